//! Documents: links and named paths that exist, a changelog that is open, lengths that are read.

use crate::finding::{Finding, places};
use crate::tree::Tree;

/// Documents and the lines they may have.
const MOST_LINES: &[(&str, usize)] = &[("README.md", 120), ("ARCHITECTURE.md", 250)];

/// Relative links lead to a file of the repository, and their anchors to a heading.
pub fn check_links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".md") {
        for (number, line) in prose(text) {
            for target in links(line) {
                if let Some(what) = broken(tree, path, text, target) {
                    findings.push(Finding::new(
                        path,
                        number,
                        what,
                        "correct the link, or write what it should lead to",
                    ));
                }
            }
        }
    }
    findings
}

/// What is wrong with a link, if anything.
fn broken(tree: &Tree, path: &str, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let (to, text) = if file.is_empty() {
        (path.to_owned(), Some(text))
    } else {
        let to = resolve(path, file);
        let text = tree.text(&to);
        (to, text)
    };
    if !tree.has(&to) {
        return Some(format!("the link `{target}` leads nowhere"));
    }
    let known = anchor.is_empty()
        || text.is_none_or(|text| {
            prose(text)
                .filter(|(_, line)| line.starts_with('#'))
                .any(|(_, line)| slug(line) == anchor)
        });
    (!known).then(|| format!("`{to}` has no heading `#{anchor}`"))
}

/// `target` as seen from the file `path`, as a path from the root.
fn resolve(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchor of a heading, as forges make it.
fn slug(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
            _ => None,
        })
        .collect()
}

/// The lines outside fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// The targets of `[text](target)` in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](")
        .filter_map(|(at, _)| line[at + 2..].split([')', ' ']).next())
}

/// Paths that a document names, in code quotes or in commands, exist.
pub fn check_paths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".md") {
        let mut fenced = false;
        for (at, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            let names: Vec<&str> = if fenced {
                line.split(|c: char| c.is_whitespace() || "\"'=;()".contains(c))
                    .collect()
            } else {
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .flat_map(str::split_whitespace)
                    .collect()
            };
            // A file is named without its folder only where the folders are explained.
            let bare = path == "ARCHITECTURE.md" && !fenced;
            for name in names
                .into_iter()
                .filter(|name| !exists(tree, path, name, bare))
            {
                findings.push(Finding::new(
                    path,
                    at + 1,
                    format!("there is no `{name}`"),
                    "name what exists",
                ));
            }
        }
    }
    findings
}

/// Whether `name` is no path of ours, or one that exists.
fn exists(tree: &Tree, document: &str, name: &str, bare: bool) -> bool {
    let name = name
        .strip_prefix("./")
        .unwrap_or(name)
        .trim_end_matches([',', ':']);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/*".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return true;
    }
    let Some((first, _)) = name.split_once('/') else {
        let file = [".rs", ".toml", ".md", ".sql"]
            .iter()
            .any(|end| name.ends_with(end));
        let named = |path: &str| path.rsplit('/').next() == Some(name);
        return !bare || !file || tree.paths().any(named);
    };
    if !tree.has_at_root(first) {
        return true;
    }
    // A star stands for one part of a path; what lies before it must be there.
    let fixed = name.split('*').next().unwrap_or(name);
    let fixed = if fixed == name {
        fixed
    } else {
        fixed.rsplit_once('/').map_or("", |(folder, _)| folder)
    };
    tree.has(fixed) || tree.has(&resolve(document, fixed))
}

/// The changelog has an `Unreleased` section, and something stands in it.
pub fn check_changelog(tree: &Tree) -> Vec<Finding> {
    let path = "CHANGELOG.md";
    let remedy =
        "begin it with `## [Unreleased]` and the change under `### Added`, `Changed` or `Fixed`";
    let Some(text) = tree.text(path) else {
        return vec![Finding::new(path, 0, "is missing", remedy)];
    };
    let mut sections = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("## "));
    match sections.next() {
        Some((_, "## [Unreleased]")) => Vec::new(),
        Some((at, _)) => vec![Finding::new(
            path,
            at + 1,
            "the first section is a release",
            remedy,
        )],
        None => vec![Finding::new(path, 0, "has no section", remedy)],
    }
}

/// The documents of [`MOST_LINES`] are there and short.
pub fn check_lengths(tree: &Tree) -> Vec<Finding> {
    MOST_LINES
        .iter()
        .filter_map(|(path, most)| {
            let what = match tree.text(path).map(|text| text.lines().count()) {
                None => "is missing".to_owned(),
                Some(lines) if lines > *most => format!("{lines} lines, at most {most}"),
                Some(_) => return None,
            };
            Some(Finding::new(
                path,
                0,
                what,
                "write it, and keep detail in design/",
            ))
        })
        .collect()
}

#[test]
fn broken_links_are_found() {
    let tree = Tree::of(&[
        (
            "design/a.md",
            "[ok](../README.md)\n[ok](#a-title-of-2)\n[bad](b.md)\n[bad](../README.md#none)\n[ok](https://x.org/y)\n```\n[no](link.md)\n```\n## A title, of 2\n",
        ),
        (
            "README.md",
            "# Title\n[ok](design/) and [bad](designs/a.md)\n",
        ),
    ]);
    assert_eq!(
        places(check_links(&tree)),
        ["README.md:2", "design/a.md:3", "design/a.md:4"]
    );
}

#[test]
fn named_paths_that_are_gone_are_found() {
    let tree = Tree::of(&[
        (
            "ARCHITECTURE.md",
            "`nvrd/src/app.rs` and `nvrd/src/gone.rs`\n`app.rs`, `lost.rs`\n`gst-plugins/*/src`\n`nvrd run`, `video/x-raw`, `pipelines/<name>.toml`\n",
        ),
        (
            "README.md",
            "```sh\nscripts/demo --now\nX=1 scripts/gone\n```\n`lost.rs`\n",
        ),
        ("nvrd/src/app.rs", ""),
        ("gst-plugins/a/src/lib.rs", ""),
        ("pipelines/a.toml", ""),
        ("scripts/demo", ""),
    ]);
    assert_eq!(
        places(check_paths(&tree)),
        ["ARCHITECTURE.md:1", "ARCHITECTURE.md:2", "README.md:3"]
    );
}

#[test]
fn a_closed_changelog_is_found() {
    let check = |text: &str, expect: &[&str]| {
        assert_eq!(
            places(check_changelog(&Tree::of(&[("CHANGELOG.md", text)]))),
            expect
        );
    };
    check("# Changelog\n\n## [Unreleased]\n\n### Added\n", &[]);
    check("# Changelog\n\n## [0.1.0]\n", &["CHANGELOG.md:3"]);
    check("# Changelog\n", &["CHANGELOG.md:0"]);
    assert_eq!(places(check_changelog(&Tree::of(&[]))), ["CHANGELOG.md:0"]);
}

#[test]
fn long_documents_are_found() {
    let long = "x\n".repeat(121);
    let tree = Tree::of(&[("README.md", &long), ("ARCHITECTURE.md", &long)]);
    assert_eq!(places(check_lengths(&tree)), ["README.md:0"]);
}
