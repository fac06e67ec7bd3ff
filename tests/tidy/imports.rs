//! Who may name what inside the `nvrd` package, where no border between crates helps.

use crate::finding::{Finding, places};
use crate::rust::code_of;
use crate::tree::Tree;

/// A folder or file of the daemon, and the paths its code may not begin with.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "nvrd/src/api",
        &[
            "gst",
            "gst_app",
            "gst_video",
            "diesel",
            "crate::actions",
            "crate::ingest",
        ],
    ),
    (
        "nvrd/src/config",
        &[
            "gst",
            "gst_app",
            "gst_video",
            "warp",
            "hyper",
            "diesel",
            "crate::api",
            "crate::app",
        ],
    ),
    (
        "nvrd/src/ingest",
        &[
            "gst",
            "gst_app",
            "warp",
            "hyper",
            "crate::api",
            "crate::actions",
        ],
    ),
    (
        "nvrd/src/actions",
        &["gst", "gst_app", "warp", "nvr_media", "crate::api"],
    ),
    ("nvrd/src", &["diesel", "gst_rtsp_server", "libsqlite3_sys"]),
    ("nvrd/media/src", &["warp", "diesel", "nvr_store"]),
    ("nvrd/store/src", &["gst", "warp", "tokio", "nvr_contract"]),
    ("nvrd/base/src", &["gst", "warp", "diesel"]),
    ("gst-plugins/contract/src", &["diesel", "warp", "nvr_base"]),
];

/// Every place that names what its folder may not know.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".rs") {
        let rows: Vec<_> = FORBIDDEN
            .iter()
            .filter(|(folder, _)| lies_in(path, folder))
            .collect();
        if rows.is_empty() {
            continue;
        }
        for (number, line) in code_of(text).lines().enumerate() {
            for (folder, names) in &rows {
                for name in names.iter().filter(|name| names_path(line, name)) {
                    findings.push(Finding::new(
                        path,
                        number + 1,
                        format!("`{name}` is not for {folder}"),
                        "go through the module that owns it (tests/tidy/imports.rs has the table)",
                    ));
                }
            }
        }
    }
    findings
}

fn lies_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// Whether a line of code has a path that begins with `name`, or imports `name` itself.
fn names_path(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let starts = !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':'));
        let after = &line[at + name.len()..];
        let imported =
            line[..at].trim_end().ends_with("use") && after.trim_start().starts_with(';');
        starts && (after.starts_with("::") || imported)
    })
}

#[test]
fn a_path_is_told_from_a_word() {
    let check = |line: &str, name: &str, expect: bool| {
        assert_eq!(names_path(line, name), expect, "{line}");
    };
    check("use gst::prelude::*;", "gst", true);
    check("use gst;", "gst", true);
    check("let x = gst::init();", "gst", true);
    check("use gst_video::VideoInfo;", "gst", false);
    check("let gst = 1;", "gst", false);
    check("nvr_media::gst::x()", "gst", false);
    check("use crate::api::error;", "crate::api", true);
    check("use crate::apiary::x;", "crate::api", false);
}

#[test]
fn each_folder_has_its_own_table() {
    let tree = Tree::of(&[
        (
            "nvrd/src/api/events.rs",
            "use warp::Filter;\nuse gst::Bus;\n",
        ),
        ("nvrd/src/api.rs", "use diesel::prelude::*;\n"),
        ("nvrd/src/config/mod.rs", "// gst::Bus\nuse warp::Filter;\n"),
        ("nvrd/src/app.rs", "use gst::Bus;\n"),
        (
            "nvrd/store/src/lib.rs",
            "use diesel::prelude::*;\nuse gst::Bus;\n",
        ),
    ]);
    let mut found = places(check(&tree));
    found.dedup();
    assert_eq!(
        found,
        [
            "nvrd/src/api.rs:1",
            "nvrd/src/api/events.rs:2",
            "nvrd/src/config/mod.rs:2",
            "nvrd/store/src/lib.rs:2",
        ]
    );
}
