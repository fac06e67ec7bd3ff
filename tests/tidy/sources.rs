//! Every Rust file: a header, a length, a name, and no `unwrap` where a user would meet it.

use std::collections::BTreeSet;

use crate::finding::{Finding, places};
use crate::rust::{code_of, test_lines, test_modules};
use crate::tree::Tree;

/// Lines outside tests that one file may have.
const MOST_LINES: usize = 600;

/// Names that say nothing of what is in a module; the first ones also with anything after them.
const EMPTY_NAMES: &[&str] = &["util*", "helper*", "common", "misc", "manager"];

/// A file begins with `//!`, after inner attributes at most.
pub fn check_headers(tree: &Tree) -> Vec<Finding> {
    tree.texts(".rs")
        .filter(|(_, text)| !has_header(text))
        .map(|(path, _)| {
            Finding::new(
                path,
                1,
                "the file does not open with `//!`",
                "say in one true sentence what it is for",
            )
        })
        .collect()
}

fn has_header(text: &str) -> bool {
    let mut depth = 0_usize;
    for line in text.lines() {
        let trimmed = line.trim();
        if depth == 0 && trimmed.starts_with("//!") {
            return trimmed.len() > 3;
        }
        if depth == 0 && !trimmed.is_empty() && !trimmed.starts_with("#!") {
            return false;
        }
        depth += line.matches('[').count();
        depth = depth.saturating_sub(line.matches(']').count());
    }
    false
}

/// A file has at most [`MOST_LINES`] lines outside tests.
pub fn check_lengths(tree: &Tree) -> Vec<Finding> {
    let product = product_files(tree);
    product
        .iter()
        .filter_map(|(path, code)| {
            let lines = test_lines(code).iter().filter(|test| !**test).count();
            (lines > MOST_LINES).then(|| {
                Finding::new(
                    path,
                    0,
                    format!("{lines} lines outside tests, at most {MOST_LINES}"),
                    "split it by responsibility",
                )
            })
        })
        .collect()
}

/// A module is named by its domain; what tests share may be called as cargo's own book calls it.
pub fn check_names(tree: &Tree) -> Vec<Finding> {
    tree.texts(".rs")
        .filter(|(path, _)| !is_test_path(path))
        .filter(|(path, _)| {
            path.trim_end_matches(".rs").split('/').any(|part| {
                EMPTY_NAMES.iter().any(|name| match name.strip_suffix('*') {
                    Some(stem) => part.starts_with(stem),
                    None => part == *name,
                })
            })
        })
        .map(|(path, _)| {
            Finding::new(
                path,
                0,
                "the name says nothing of what is in it",
                "name the module by what it is about",
            )
        })
        .collect()
}

/// `unwrap()` stands in tests only.
pub fn check_unwraps(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, code) in product_files(tree) {
        for (number, (line, in_test)) in code.lines().zip(test_lines(&code)).enumerate() {
            if !in_test && line.contains(".unwrap()") {
                findings.push(Finding::new(
                    path,
                    number + 1,
                    "`unwrap()` outside a test",
                    "return the error, or write `expect(\"the invariant that rules it out\")`",
                ));
            }
        }
    }
    findings
}

/// Path and code of the files that are compiled into the product.
fn product_files(tree: &Tree) -> Vec<(&str, String)> {
    let codes: Vec<(&str, String)> = tree
        .texts(".rs")
        .filter(|(path, _)| !is_test_path(path))
        .map(|(path, text)| (path, code_of(text)))
        .collect();
    let mut tests = BTreeSet::new();
    for (path, code) in &codes {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let stem = path.trim_end_matches(".rs");
        for module in test_modules(code) {
            tests.insert(format!("{folder}/{module}.rs"));
            tests.insert(format!("{folder}/{module}/mod.rs"));
            tests.insert(format!("{stem}/{module}.rs"));
        }
    }
    codes
        .into_iter()
        .filter(|(path, _)| !tests.contains(*path))
        .collect()
}

fn is_test_path(path: &str) -> bool {
    path.split('/').any(|part| {
        matches!(part, "tests" | "benches" | "examples" | "tests.rs") || part.ends_with("_tests.rs")
    })
}

#[test]
fn a_header_may_follow_attributes() {
    let check = |text: &str, expect: bool| assert_eq!(has_header(text), expect, "{text}");
    check("//! What it is for.\n", true);
    check("#![allow(a, reason = \"b\")]\n//! What.\n", true);
    check(
        "#![allow(\n    a,\n    reason = \"b\"\n)]\n\n//! What.\n",
        true,
    );
    check("//!\n", false);
    check("// What.\n", false);
    check("use a;\n//! Late.\n", false);
    check("", false);
}

#[test]
fn long_files_are_found_and_tests_do_not_count() {
    let long = "fn a() {}\n".repeat(MOST_LINES + 1);
    let tested = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        "x\n".repeat(MOST_LINES)
    );
    let tree = Tree::of(&[
        ("a/src/long.rs", &long),
        ("a/src/tested.rs", &tested),
        ("a/tests/long.rs", &long),
        ("a/src/lib.rs", "#[cfg(test)]\nmod proof;\n"),
        ("a/src/proof.rs", &long),
    ]);
    assert_eq!(places(check_lengths(&tree)), ["a/src/long.rs:0"]);
}

#[test]
fn empty_names_are_found() {
    let tree = Tree::of(&[
        ("a/src/utils.rs", ""),
        ("a/src/helpers/b.rs", ""),
        ("a/src/common.rs", ""),
        ("a/src/uncommon.rs", ""),
        ("a/tests/common/mod.rs", ""),
        ("a/src/segment.rs", ""),
    ]);
    assert_eq!(
        places(check_names(&tree)),
        [
            "a/src/common.rs:0",
            "a/src/helpers/b.rs:0",
            "a/src/utils.rs:0"
        ]
    );
}

#[test]
fn unwraps_are_found_outside_tests() {
    let tree = Tree::of(&[
        (
            "a/src/lib.rs",
            "// x.unwrap()\nfn a() { x.unwrap(); }\nfn b() { x.unwrap_or(1); }\n#[cfg(test)]\nmod tests {\n  fn c() { x.unwrap(); }\n}\n",
        ),
        ("a/tests/b.rs", "fn a() { x.unwrap(); }"),
    ]);
    assert_eq!(places(check_unwraps(&tree)), ["a/src/lib.rs:2"]);
}
