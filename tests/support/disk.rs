//! Small file systems of their own, for tests of what happens on a full, failing or missing disk.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs that goes with the value.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of a size in MiB; `None` without the right to mount, which a container may not have.
    pub fn mount(at: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            println!("SKIP: no right to mount a small file system");
        }
        mounted.then(|| Self { at: at.to_owned() })
    }

    /// Makes it read-only, or not; says whether that was possible.
    pub fn read_only(&self, yes: bool) -> bool {
        let mode = if yes { "remount,ro" } else { "remount,rw" };
        let done = Command::new("mount")
            .args(["-o", mode])
            .arg(&self.at)
            .output();
        done.is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount")
            .arg("-l")
            .arg(&self.at)
            .status()
            .unwrap();
        assert!(unmounted.success());
    }
}

/// Makes a file so big that only `left` bytes stay free.
pub fn fill(file: &Path, left: u64) {
    use std::io::Write as _;
    let mut filler = std::fs::File::create(file).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    let size = filler.metadata().unwrap().len();
    filler.set_len(size.saturating_sub(left)).unwrap();
}
