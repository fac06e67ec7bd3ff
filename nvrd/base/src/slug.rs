//! A name that is safe in a path, a URL and an RTSP mount: what cameras are called by.

use crate::Error;

/// 1 to 64 characters of `[a-z0-9-]`, with a letter or digit at both ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(String);

impl Slug {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Slug {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = (1..=64).contains(&text.len())
            && text.chars().all(|c| word(c) || c == '-')
            && text.starts_with(word)
            && text.ends_with(word);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::invalid(format!(
                "{text:?} is no camera name: use 1 to 64 of a-z, 0-9 and -, with a letter or digit at both ends"
            )))
        }
    }
}

impl std::fmt::Display for Slug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_refuses_paths() {
        let check =
            |text: &str, valid: bool| assert_eq!(text.parse::<Slug>().is_ok(), valid, "{text:?}");
        for good in ["a", "front", "front-door-2", "0", &"a".repeat(64)] {
            check(good, true);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "Front",
            "a b",
            "a/b",
            "..",
            "a\0",
            "ä",
            "a_b",
            &"a".repeat(65),
        ] {
            check(bad, false);
        }
    }
}
