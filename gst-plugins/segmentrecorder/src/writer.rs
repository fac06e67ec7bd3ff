//! The file operations of the recorder behind a small trait, so that tests can make each of them fail.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What the recorder asks of a file system.
pub trait Storage: Send {
    /// Creates a folder and its parents; says whether the folder is new.
    ///
    /// # Errors
    /// Those of the file system.
    fn create_folder(&mut self, path: &Path) -> io::Result<bool>;

    /// Creates a file that must not exist.
    ///
    /// # Errors
    /// Those of the file system; `AlreadyExists` when the name is taken.
    fn create_new(&mut self, path: &Path) -> io::Result<Box<dyn Output>>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&mut self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder survive a power cut.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_folder(&mut self, path: &Path) -> io::Result<()>;

    /// The beginning of a file, at most `most` bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn read_head(&mut self, path: &Path, most: usize) -> io::Result<Vec<u8>>;

    /// Monotonic time, by which operations are measured.
    fn now(&self) -> Duration;
}

/// A file that is being written.
pub trait Output: Send {
    /// Appends all parts, in one system call where the kernel takes them at once.
    ///
    /// # Errors
    /// Those of the file system; some of the bytes may have been written.
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()>;

    /// Writes over what is there, without moving the end.
    ///
    /// # Errors
    /// Those of the file system; the bytes there are not known then.
    fn overwrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off at a length in bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Makes the content survive a power cut.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn create_folder(&mut self, path: &Path) -> io::Result<bool> {
        if path.is_dir() {
            return Ok(false);
        }
        std::fs::create_dir_all(path)?;
        Ok(true)
    }

    fn create_new(&mut self, path: &Path) -> io::Result<Box<dyn Output>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(file))
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn read_head(&mut self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        File::open(path)?.take(most as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    fn now(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

impl Output for File {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut slices = &mut slices[..];
        IoSlice::advance_slices(&mut slices, 0);
        // The kernel takes 1024 parts at once; a signal may cut a call short.
        while !slices.is_empty() {
            match self.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn overwrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(|_| ())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_more_parts_than_the_kernel_takes_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        let mut disk = Disk;
        assert!(disk.create_folder(path.parent().unwrap()).unwrap());
        assert!(!disk.create_folder(path.parent().unwrap()).unwrap());
        let mut output = disk.create_new(&path).unwrap();
        assert!(disk.create_new(&path).is_err(), "never opens what is there");
        let parts: Vec<Vec<u8>> = (0..3000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        output.append(&slices).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), parts.concat());
        output.truncate(8).unwrap();
        output.append(&[b"e"]).unwrap();
        output.overwrite(2, &[9]).unwrap();
        output.append(&[b"nd"]).unwrap();
        output.sync_data().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0\x09\0\0\0\0\x01end");
        assert_eq!(disk.read_head(&path, 9).unwrap(), b"\0\0\x09\0\0\0\0\x01e");
        disk.sync_folder(folder.path()).unwrap();
        disk.remove(&path).unwrap();
        assert!(!path.exists());
    }
}
