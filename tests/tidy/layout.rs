//! What lies where: the entries of the root, and the folders of the migrations.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, places};
use crate::tree::Tree;

/// The product's entries, the root documents, and the settings of tools.
const ROOT: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "gst-plugins",
    "nvrd",
    "pipelines",
    "migrations",
    "tests",
    "benches",
    "meson.build",
    "meson_options.txt",
    "scripts",
    "design",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "NOTICE",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
    "rust-toolchain.toml",
    "typos.toml",
    ".gitignore",
    ".gitattributes",
    ".editorconfig",
    ".cargo",
    ".config",
    ".ci",
];

/// Databases with a folder of migrations.
const BACKENDS: &[&str] = &["sqlite", "postgres"];

/// The root holds the entries of [`ROOT`] and nothing else.
pub fn check_root(tree: &Tree) -> Vec<Finding> {
    let entries: BTreeSet<&str> = tree
        .paths()
        .filter_map(|path| path.split('/').next())
        .collect();
    entries
        .into_iter()
        .filter(|entry| !ROOT.contains(entry))
        .map(|entry| {
            Finding::new(
                entry,
                0,
                "the root has no such entry",
                "put it into the folder it belongs to",
            )
        })
        .collect()
}

/// `migrations/<backend>/<time>_<name>/{up,down}.sql`, with the same names for every backend.
pub fn check_migrations(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for path in tree.paths().filter(|path| path.starts_with("migrations/")) {
        let parts: Vec<&str> = path.split('/').collect();
        match parts[1..] {
            ["README.md"] => {}
            [backend, name, "up.sql" | "down.sql"]
                if BACKENDS.contains(&backend) && well_named(name) =>
            {
                names.entry(backend).or_default().insert(name);
            }
            _ => findings.push(Finding::new(
                path,
                0,
                "is no migration",
                "name it migrations/<sqlite|postgres>/<YYYY-MM-DD-HHMMSS>_<lower_case>/{up,down}.sql",
            )),
        }
    }
    let all: BTreeSet<&str> = names.values().flatten().copied().collect();
    for (backend, present) in &names {
        for name in &all {
            let folder = format!("migrations/{backend}/{name}");
            if !present.contains(name) {
                findings.push(Finding::new(
                    &folder,
                    0,
                    "another database has this migration",
                    "write it for this one too",
                ));
                continue;
            }
            for file in ["up.sql", "down.sql"] {
                let path = format!("{folder}/{file}");
                if tree.text(&path).is_none_or(|sql| sql.trim().is_empty()) {
                    findings.push(Finding::new(
                        &path,
                        0,
                        "is missing or empty",
                        "a migration goes up and down",
                    ));
                }
            }
        }
    }
    findings
}

/// `2026-01-31-120000_create_segments`.
fn well_named(name: &str) -> bool {
    let Some((time, words)) = name.split_once('_') else {
        return false;
    };
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00-000000"
        && words.starts_with(|c: char| c.is_ascii_lowercase())
        && words
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Where every element is named, and in which form.
const ELEMENT_LISTS: &[(&str, &str, &str)] = &[
    ("Cargo.toml", "\"gst-plugins/", "\","),
    ("meson.build", "'", "',"),
    ("README.md", "| `", "` |"),
    ("ARCHITECTURE.md", "| `gst-plugins/", "` |"),
];

/// A folder of `gst-plugins` with a manifest, but for those that elements share, is a member, is installed, and is told of.
pub fn check_elements(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in tree.texts("/Cargo.toml") {
        let parts: Vec<&str> = path.split('/').collect();
        let ["gst-plugins", element, "Cargo.toml"] = parts[..] else {
            continue;
        };
        if matches!(element, "contract" | "mp4" | "onnx") {
            continue;
        }
        for (list, before, after) in ELEMENT_LISTS {
            let entry = format!("{before}{element}{after}");
            if !tree.text(list).is_some_and(|text| text.contains(&entry)) {
                findings.push(Finding::new(
                    list,
                    0,
                    format!("`{element}` is not in it"),
                    "name every element where the others are named",
                ));
            }
        }
    }
    findings
}

#[test]
fn elements_that_a_list_forgot_are_found() {
    let tree = Tree::of(&[
        ("gst-plugins/a/Cargo.toml", ""),
        ("gst-plugins/contract/Cargo.toml", ""),
        ("Cargo.toml", "members = [\n\"gst-plugins/a\",\n]"),
        ("meson.build", "elements = [\n  'a',\n]"),
        ("README.md", "| `ab` | what it does |"),
    ]);
    assert_eq!(
        places(check_elements(&tree)),
        ["ARCHITECTURE.md:0", "README.md:0"]
    );
}

#[test]
fn strangers_at_the_root_are_found() {
    let tree = Tree::of(&[("nvrd/a.rs", ""), ("dist/b", ""), ("notes.md", "")]);
    assert_eq!(places(check_root(&tree)), ["dist:0", "notes.md:0"]);
}

#[test]
fn names_of_migrations_have_one_shape() {
    let check = |name: &str, expect: bool| assert_eq!(well_named(name), expect, "{name}");
    check("2026-01-31-120000_create_segments", true);
    check("2026-01-31-120000_", false);
    check("2026-01-31_create", false);
    check("0001_create", false);
    check("2026-01-31-120000_Create", false);
}

#[test]
fn incomplete_migrations_are_found() {
    let first = "2026-01-31-120000_first";
    let second = "2026-02-01-120000_second";
    let path =
        |backend: &str, name: &str, file: &str| format!("migrations/{backend}/{name}/{file}");
    let files = [
        (path("sqlite", first, "up.sql"), "create"),
        (path("sqlite", first, "down.sql"), "drop"),
        (path("sqlite", second, "up.sql"), "create"),
        (path("sqlite", second, "down.sql"), " \n"),
        (path("postgres", first, "up.sql"), "create"),
        (path("sqlite", "third", "up.sql"), "create"),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), *t)).collect();
    assert_eq!(
        places(check_migrations(&Tree::of(&files))),
        [
            format!("migrations/postgres/{first}/down.sql:0"),
            format!("migrations/postgres/{second}:0"),
            format!("migrations/sqlite/{second}/down.sql:0"),
            "migrations/sqlite/third/up.sql:0".to_owned(),
        ]
    );
}
