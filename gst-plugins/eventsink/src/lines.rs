//! Events as JSON Lines in a file or on standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The location that stands for standard output.
pub const STDOUT: &str = "-";

/// Where lines go.
#[derive(Debug)]
pub enum Lines {
    /// Standard output.
    Stdout,
    /// A file.
    File(File),
}

impl Lines {
    /// Opens a file for appending, or empty, or standard output when `location` is [`STDOUT`].
    ///
    /// Makes the file's folder where it is missing.
    ///
    /// # Errors
    /// When the file cannot be opened for writing.
    pub fn open(location: &str, truncate: bool) -> io::Result<Self> {
        if location == STDOUT {
            return Ok(Self::Stdout);
        }
        let path = Path::new(location);
        // As the recorder makes its folder: a line that was printed elsewhere runs here.
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let torn = !truncate && ends_within_a_line(path);
        let mut options = OpenOptions::new();
        options.create(true);
        if truncate {
            options.write(true).truncate(true);
        } else {
            options.append(true);
        }
        let mut file = options.open(path)?;
        if torn {
            file.write_all(b"\n")?;
        }
        Ok(Self::File(file))
    }

    /// Writes one line, whole and at once; returns the bytes written.
    ///
    /// # Errors
    /// When the file or standard output takes no more.
    pub fn write(&mut self, line: &str) -> io::Result<usize> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()?;
            }
            // No buffer of ours: after this call the line is the kernel's.
            Self::File(file) => file.write_all(&bytes)?,
        }
        Ok(bytes.len())
    }
}

/// Whether the last writer was stopped in the middle of a line. Only plain files are asked: reading a pipe waits.
fn ends_within_a_line(path: &Path) -> bool {
    let last_byte = || -> io::Result<Option<u8>> {
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok(None);
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0u8];
        file.read_exact(&mut byte)?;
        Ok(Some(byte[0]))
    };
    matches!(last_byte(), Ok(Some(byte)) if byte != b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_whole_lines_or_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/events.jsonl");
        let location = path.to_str().unwrap();
        let write = |truncate, line| {
            Lines::open(location, truncate)
                .unwrap()
                .write(line)
                .unwrap();
            std::fs::read_to_string(&path).unwrap()
        };
        assert_eq!(write(false, "1"), "1\n");
        assert_eq!(write(false, "2"), "1\n2\n");
        // A writer that was killed left half a line.
        std::fs::write(&path, "1\n2\n{\"ty").unwrap();
        assert_eq!(write(false, "3"), "1\n2\n{\"ty\n3\n");
        assert_eq!(write(true, "4"), "4\n");
        assert!(Lines::open("/proc/nvrd/events.jsonl", false).is_err());
    }
}
