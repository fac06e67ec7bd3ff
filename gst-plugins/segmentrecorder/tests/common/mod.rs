//! A recorder fed with numbered pictures, on a storage that can be made to fail and whose syncs only count.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod disk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

    fn read_head(&mut self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        Disk.read_head(path, most)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
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

    fn overwrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.step()?;
        self.1.overwrite(at, bytes)
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

/// A recorder that is fed with numbered pictures.
pub struct Feed {
    pub config: Config,
    pub recorder: Recorder<Vec<u8>>,
    pub notices: Vec<Notice>,
    pub next: u32,
    /// Every how many pictures a key frame comes.
    pub group: u32,
}

impl Feed {
    pub fn new(config: Config, storage: Box<dyn Storage>) -> Self {
        let mut recorder = Recorder::new(config.clone(), storage);
        recorder.set_video(track(640));
        Self {
            config,
            recorder,
            notices: Vec::new(),
            next: 0,
            group: 10,
        }
    }

    /// Changes what the recorder is told.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.recorder.configure(self.config.clone());
        self.take();
    }

    /// Pushes pictures of 40 ms, every tenth a key frame; PTS follows the number.
    pub fn pictures(&mut self, count: u32) {
        for _ in 0..count {
            let pts = u64::from(self.next) * 40 * MS;
            self.picture(pts, self.next.is_multiple_of(self.group), false);
        }
    }

    pub fn picture(&mut self, pts_ns: u64, key: bool, discont: bool) {
        let data = unit(self.next, key);
        self.unit(pts_ns, key, discont, data);
    }

    pub fn unit(&mut self, pts_ns: u64, key: bool, discont: bool, data: Vec<u8>) {
        let raw = Raw {
            pts_ns: Some(pts_ns),
            dts_ns: Some(pts_ns),
            duration_ns: Some(40 * MS),
            discont,
        };
        self.next += 1;
        self.recorder.push_video(raw, key, data, || {
            EPOCH_US + i64::try_from(pts_ns / 1000).unwrap()
        });
        self.take();
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

    /// What happened to every moment, in order: reason or `recorded`, from and to in milliseconds.
    ///
    /// Segments and gaps must meet exactly, each opened gap be closed with the same words, at most one be open.
    pub fn tiles(&self) -> Vec<(&'static str, i64, i64)> {
        let mut tiles: Vec<(&'static str, i64, i64)> = self
            .closed()
            .iter()
            .map(|c| ("recorded", c.start_unix_us, c.end_unix_us))
            .collect();
        let mut open: Option<Gap> = None;
        for gap in self.gaps() {
            let Some(end) = gap.end_unix_us else {
                assert!(open.is_none(), "{open:?} is open, and {gap:?} opens");
                open = Some(gap);
                continue;
            };
            let opened = open.take().expect("a gap that closes was opened");
            assert_eq!(
                (opened.start_unix_us, opened.reason),
                (gap.start_unix_us, gap.reason)
            );
            if end > gap.start_unix_us {
                tiles.push((gap.reason.as_str(), gap.start_unix_us, end));
            }
        }
        tiles.sort_by_key(|(_, start, end)| (*start, *end));
        for pair in tiles.windows(2) {
            assert_eq!(pair[0].2, pair[1].1, "{:?} meets {:?}", pair[0], pair[1]);
        }
        if let Some(open) = open {
            if let Some(last) = tiles.last() {
                assert_eq!(last.2, open.start_unix_us, "{last:?} meets {open:?}");
            }
            tiles.push((open.reason.as_str(), open.start_unix_us, i64::MAX));
        }
        let ms = |us: i64| match us {
            i64::MAX => us,
            us => (us - EPOCH_US) / 1000,
        };
        tiles
            .into_iter()
            .map(|(what, from, to)| (what, ms(from), ms(to)))
            .collect()
    }
}

pub struct Rig {
    pub folder: tempfile::TempDir,
    pub faults: Faulty,
    pub feed: Feed,
}

impl std::ops::Deref for Rig {
    type Target = Feed;
    fn deref(&self) -> &Feed {
        &self.feed
    }
}

impl std::ops::DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut Feed {
        &mut self.feed
    }
}

impl Rig {
    /// Files of 2 s, fragments of 200 ms, unless changed.
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = quick(folder.path());
        change(&mut config);
        let faults = Faulty::default();
        Self {
            folder,
            feed: Feed::new(config, Box::new(faults.clone())),
            faults,
        }
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

/// Files of 2 s, fragments of 200 ms.
pub fn quick(location: &Path) -> Config {
    let mut config = Config {
        fragment_ns: 200 * MS,
        sync: SyncPolicy::Segment { interval_ns: S },
        ..Config::new(location.to_owned())
    };
    config.limits.duration_ns = 2 * S;
    config
}

/// An access unit of one NAL unit that holds its number.
pub fn unit(number: u32, key: bool) -> Vec<u8> {
    let mut nal = vec![if key { 0x65 } else { 0x41 }];
    nal.extend_from_slice(b"PICTURE");
    nal.extend_from_slice(&number.to_be_bytes());
    let mut unit = u32::try_from(nal.len()).unwrap().to_be_bytes().to_vec();
    unit.append(&mut nal);
    unit
}

pub fn numbers(file: &Path) -> Vec<u32> {
    numbers_in(&std::fs::read(file).unwrap())
}

pub fn numbers_in(bytes: &[u8]) -> Vec<u32> {
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
