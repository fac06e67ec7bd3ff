//! One thing that is wrong: where, what, and what to do about it.

use std::fmt;

/// One broken invariant at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub path: String,
    /// Counted from 1; 0 where the finding is about the whole file.
    pub line: usize,
    pub what: String,
    pub remedy: &'static str,
}

impl Finding {
    pub fn new(path: &str, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            remedy,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}: {}", self.path, self.what, self.remedy)
        } else {
            write!(
                f,
                "{}:{}: {}: {}",
                self.path, self.line, self.what, self.remedy
            )
        }
    }
}

/// Fails the test with every finding on a line of its own.
#[track_caller]
pub fn assert_none(mut findings: Vec<Finding>) {
    findings.sort();
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

/// The places of the findings as `path:line`, for the tests of the checkers.
pub fn places(mut findings: Vec<Finding>) -> Vec<String> {
    findings.sort();
    findings
        .iter()
        .map(|finding| format!("{}:{}", finding.path, finding.line))
        .collect()
}

#[test]
fn a_finding_reads_as_an_editor_wants_it() {
    let finding = Finding::new("a/b.rs", 7, "`x` is wrong", "write `y`");
    assert_eq!(finding.to_string(), "a/b.rs:7: `x` is wrong: write `y`");
    let whole = Finding::new("a/b.rs", 0, "is wrong", "write another");
    assert_eq!(whole.to_string(), "a/b.rs: is wrong: write another");
}

#[test]
#[should_panic(expected = "a.rs:1: wrong: mend it")]
fn a_finding_fails_the_test() {
    assert_none(vec![Finding::new("a.rs", 1, "wrong", "mend it")]);
}
