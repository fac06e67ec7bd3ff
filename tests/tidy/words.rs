//! No text leans on a place or a list that a reader of the repository cannot see.

use crate::finding::{Finding, places};
use crate::tree::Tree;

/// Split, so that this file does not find itself.
const NEEDLES: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("../.li", "brary"), "a path of one machine"),
    (concat!("helper ", "session"), "who wrote it"),
];

/// Every place with a needle, or, in code and documents, with the number of an issue.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts("") {
        let numbered = path.ends_with(".rs") || path.ends_with(".md");
        for (number, line) in text.lines().enumerate() {
            for (needle, what) in NEEDLES {
                if line.contains(needle) {
                    findings.push(Finding::new(
                        path,
                        number + 1,
                        format!("names {what}"),
                        "say what a reader can see and use",
                    ));
                }
            }
            if numbered && names_an_issue(line) {
                findings.push(Finding::new(
                    path,
                    number + 1,
                    "names the number of an issue",
                    "say what the issue says",
                ));
            }
        }
    }
    findings
}

/// `#12` as a word of its own: no attribute, no colour, no anchor, no character reference.
fn names_an_issue(line: &str) -> bool {
    line.match_indices('#').any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + 1..];
        let digits = after.chars().take_while(char::is_ascii_digit).count();
        let next = after[digits..].chars().next();
        before.is_none_or(|c| c.is_whitespace() || c == '(')
            && (1..=5).contains(&digits)
            && !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn issue_numbers_are_told_from_other_signs() {
    let check = |line: &str, expect: bool| assert_eq!(names_an_issue(line), expect, "{line}");
    check(concat!("see #", "12"), true);
    check(concat!("TODO(#", "7): x"), true);
    check(concat!("#", "3 is done"), true);
    check("#[test]", false);
    check("colour \"#123456\"", false);
    check("[a](b.md#2-flow)", false);
    check("&#39;", false);
    check("# 1. Title", false);
    check("#123456 is a colour", false);
}

#[test]
fn needles_are_found_in_every_text() {
    let script = concat!("cd /wo", "rk/main");
    let issue = concat!("fixes #", "12");
    let tree = Tree::of(&[("scripts/a", script), ("scripts/b", issue), ("c.md", issue)]);
    assert_eq!(places(check(&tree)), ["c.md:1", "scripts/a:1"]);
}
