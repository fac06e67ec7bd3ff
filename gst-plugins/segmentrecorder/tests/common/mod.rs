//! A recorder fed with numbered pictures, on a storage that can be made to fail and whose syncs only count.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gstsegmentrecorder::recorder::{Config, Notice, Recorder, SyncPolicy};
use gstsegmentrecorder::timeline::Raw;
use gstsegmentrecorder::writer::{Disk, Output, Storage};
use nvr_contract::segment::{Gap, SegmentClosed};
use nvr_mp4::track::{VideoCodec, VideoTrack};

pub const MS: u64 = 1_000_000;
pub const S: u64 = 1_000_000_000;
/// Wall time at PTS 0.
pub const EPOCH_US: i64 = 1_700_000_000_000_000;

const AVCC: &[u8] = &[
    1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80,
];

pub fn track(width: i32) -> VideoTrack {
    VideoTrack::new(VideoCodec::H264, AVCC, width, 360).unwrap()
}

/// Which operation fails, and how.
#[derive(Debug, Default)]
pub struct Faults {
    pub count: usize,
    /// Operations with these numbers fail.
    pub fail: std::ops::Range<usize>,
    pub kind: Option<io::ErrorKind>,
    pub synced_folders: Vec<PathBuf>,
    pub syncs: usize,
}

#[derive(Clone, Default)]
pub struct Faulty(pub Arc<Mutex<Faults>>);

impl Faulty {
    fn step(&self) -> io::Result<()> {
        let mut faults = self.0.lock().unwrap();
        let now = faults.count;
        faults.count += 1;
        if faults.fail.contains(&now) {
            return Err(faults.kind.unwrap_or(io::ErrorKind::StorageFull).into());
        }
        Ok(())
    }
}

impl Storage for Faulty {
    fn create_folder(&mut self, path: &Path) -> io::Result<bool> {
        self.step()?;
        Disk.create_folder(path)
    }

    fn create_new(&mut self, path: &Path) -> io::Result<Box<dyn Output>> {
        self.step()?;
        let output = Disk.create_new(path)?;
        Ok(Box::new(FaultyOutput(self.clone(), output)))
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.0.lock().unwrap().synced_folders.push(path.to_owned());
        Ok(())
    }
}

struct FaultyOutput(Faulty, Box<dyn Output>);

impl Output for FaultyOutput {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if let Err(error) = self.0.step() {
            // A full disk takes some of it.
            let whole = parts.concat();
            self.1.append(&[&whole[..whole.len() / 2]])?;
            return Err(error);
        }
        self.1.append(parts)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.1.truncate(len)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.step()?;
        self.0.0.lock().unwrap().syncs += 1;
        Ok(())
    }
}

pub struct Rig {
    pub folder: tempfile::TempDir,
    pub faults: Faulty,
    pub recorder: Recorder<Vec<u8>>,
    pub notices: Vec<Notice>,
    pub next: u32,
}

impl Rig {
    /// Files of 2 s, fragments of 200 ms, unless changed.
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            location: folder.path().to_owned(),
            segment_ns: 2 * S,
            fragment_ns: 200 * MS,
            sync: SyncPolicy::Segment { interval_ns: S },
            hash: true,
        };
        change(&mut config);
        let faults = Faulty::default();
        let mut recorder = Recorder::new(config, Box::new(faults.clone()));
        recorder.set_video(track(640));
        Self {
            folder,
            faults,
            recorder,
            notices: Vec::new(),
            next: 0,
        }
    }

    /// Pushes pictures of 40 ms, every tenth a key frame; PTS follows the number.
    pub fn pictures(&mut self, count: u32) {
        for _ in 0..count {
            let pts = u64::from(self.next) * 40 * MS;
            self.picture(pts, self.next.is_multiple_of(10), false);
        }
    }

    pub fn picture(&mut self, pts_ns: u64, key: bool, discont: bool) {
        let raw = Raw {
            pts_ns: Some(pts_ns),
            dts_ns: Some(pts_ns),
            duration_ns: Some(40 * MS),
            discont,
        };
        let data = unit(self.next, key);
        self.next += 1;
        self.recorder.push_video(raw, key, data, || {
            EPOCH_US + i64::try_from(pts_ns / 1000).unwrap()
        });
        self.notices.extend(self.recorder.take_notices());
    }

    pub fn finish(&mut self) {
        self.recorder.finish();
        self.take();
    }

    pub fn take(&mut self) {
        self.notices.extend(self.recorder.take_notices());
    }

    pub fn closed(&self) -> Vec<SegmentClosed> {
        let closed = self.notices.iter().filter_map(|notice| match notice {
            Notice::Closed(closed) => Some(closed.clone()),
            _ => None,
        });
        closed.collect()
    }

    pub fn gaps(&self) -> Vec<Gap> {
        let gaps = self.notices.iter().filter_map(|notice| match notice {
            Notice::Gap(gap) => Some(gap.clone()),
            _ => None,
        });
        gaps.collect()
    }

    /// All files below the folder, in order of their names.
    pub fn files(&self) -> Vec<PathBuf> {
        files(self.folder.path())
    }

    /// The numbers of the pictures in all files, in order.
    pub fn recorded(&self) -> Vec<u32> {
        self.files().iter().flat_map(|file| numbers(file)).collect()
    }
}

/// An access unit of one NAL unit that holds its number.
fn unit(number: u32, key: bool) -> Vec<u8> {
    let mut nal = vec![if key { 0x65 } else { 0x41 }];
    nal.extend_from_slice(b"PICTURE");
    nal.extend_from_slice(&number.to_be_bytes());
    let mut unit = u32::try_from(nal.len()).unwrap().to_be_bytes().to_vec();
    unit.append(&mut nal);
    unit
}

pub fn numbers(file: &Path) -> Vec<u32> {
    let bytes = std::fs::read(file).unwrap();
    let found = bytes.windows(11).filter(|at| at.starts_with(b"PICTURE"));
    found
        .map(|at| u32::from_be_bytes(at[7..].try_into().unwrap()))
        .collect()
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
