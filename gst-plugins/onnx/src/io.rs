//! What a model says of itself: its inputs and outputs with their types and shapes, and its notes.

use std::collections::BTreeMap;

/// What a tensor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 64-bit floats.
    F64,
    /// Bytes.
    U8,
    /// Bytes with a sign.
    I8,
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// Something else, text say, or no tensor at all.
    Other,
}

/// An input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// Its dimensions, -1 where the model leaves one open; empty when it is not a tensor.
    pub shape: Vec<i64>,
    /// What it holds.
    pub element: Element,
}

/// The inputs and outputs of a model, in the model's order, and its notes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelIo {
    /// What it takes.
    pub inputs: Vec<Outlet>,
    /// What it gives.
    pub outputs: Vec<Outlet>,
    /// The notes that its maker left in it, by name.
    pub notes: BTreeMap<String, String>,
}

impl ModelIo {
    /// The shapes in one line, for error messages: what a person needs to write the facts by hand.
    pub fn summary(&self) -> String {
        let list = |outlets: &[Outlet]| {
            let all: Vec<String> = outlets
                .iter()
                .take(16)
                .map(|o| format!("{} {:?}", o.name, o.shape))
                .collect();
            all.join(", ")
        };
        format!(
            "inputs: {}; outputs: {}",
            list(&self.inputs),
            list(&self.outputs)
        )
    }

    /// The output called `name`.
    pub fn output(&self, name: &str) -> Option<&Outlet> {
        self.outputs.iter().find(|o| o.name == name)
    }

    /// The input called `name`.
    pub fn input(&self, name: &str) -> Option<&Outlet> {
        self.inputs.iter().find(|i| i.name == name)
    }

    /// A note of the maker.
    pub fn note(&self, name: &str) -> Option<&str> {
        self.notes.get(name).map(String::as_str)
    }
}

impl Outlet {
    /// A dimension, `None` where the model leaves it open or has none.
    pub fn dimension(&self, at: usize) -> Option<usize> {
        self.shape.get(at).and_then(|d| usize::try_from(*d).ok())
    }
}

/// The names of classes as Ultralytics writes them into its models: `{0: 'person', 1: 'bicycle'}`.
///
/// `None` when the text is not such a list, or its numbers are not 0, 1, 2 and so on.
pub fn class_names(note: &str) -> Option<Vec<String>> {
    let mut rest = note.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (number, after) = rest.split_once(':')?;
        if number.trim().parse::<usize>().ok()? != names.len() {
            return None;
        }
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let mut name = String::new();
        let mut chars = after[1..].char_indices();
        let end = loop {
            match chars.next()? {
                (_, '\\') => name.push(chars.next()?.1),
                (at, c) if c == quote => break at + 1 + c.len_utf8(),
                (_, c) => name.push(c),
            }
        };
        names.push(name);
        rest = after[end..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_classes_are_read() {
        let check = |note: &str, expect: Option<&[&str]>| {
            let names = class_names(note);
            let names: Option<Vec<&str>> = names
                .as_ref()
                .map(|n| n.iter().map(String::as_str).collect());
            assert_eq!(names.as_deref(), expect, "{note}");
        };
        check("{0: 'person', 1: 'bicycle'}", Some(&["person", "bicycle"]));
        check(
            "{0: \"driver's cab\", 1: 'it\\'s'}",
            Some(&["driver's cab", "it's"]),
        );
        check("{0: 'a, b: c'}", Some(&["a, b: c"]));
        check("{1: 'person'}", None);
        check("{0: person}", None);
        check("{0: 'person", None);
        check("{}", None);
        check("['person']", None);
    }

    proptest! {
        #[test]
        fn no_note_makes_the_reader_panic(note in "\\{[0-9:,'\"\\\\a-zä ]{0,40}\\}") {
            class_names(&note);
        }
    }
}
