//! Whether a storage is the one that is meant, by a file on it, so that nothing is written below a mount point.

use std::io;
use std::path::PathBuf;

use crate::writer::Storage;

/// More of the file is not read, bytes.
const MOST: usize = 4096;

/// What a storage must say of itself before a file is created on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The file.
    pub file: PathBuf,
    /// What its first line says, or another that reads `id = "…"`.
    pub text: String,
}

impl Identity {
    /// Looks at the storage.
    ///
    /// # Errors
    /// A sentence that says what is there instead.
    pub fn check(&self, storage: &mut dyn Storage) -> Result<(), String> {
        let file = self.file.display();
        match storage.read_head(&self.file, MOST) {
            Ok(head) if holds(&head, &self.text) => Ok(()),
            Ok(_) => Err(format!(
                "{file} names another storage than the expected {}; mount the right disk there",
                self.text
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
                "{file} is not there, so the storage is not mounted; mount it"
            )),
            Err(error) => Err(format!(
                "{file} cannot be read: {error}; check the disk and its mount"
            )),
        }
    }
}

fn holds(head: &[u8], text: &str) -> bool {
    let head = String::from_utf8_lossy(head);
    let wanted = format!("id = \"{text}\"");
    let mut lines = head.lines().map(str::trim);
    head.lines().next().map(str::trim) == Some(text) || lines.any(|line| line == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_must_be_the_identity() {
        for (head, same) in [
            ("abc\n", true),
            ("  abc  \nmore", true),
            ("# storage\nmade = 1\nid = \"abc\"\n", true),
            ("id = \"abcd\"", false),
            ("# id = \"abc\"", false),
            ("other\nabc\n", false),
            ("", false),
            ("\u{fffd}\0", false),
        ] {
            assert_eq!(holds(head.as_bytes(), "abc"), same, "{head:?}");
        }
    }
}
