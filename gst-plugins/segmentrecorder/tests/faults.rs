//! The recorder on a disk that fails at any operation, loses its power, or gets streams that are broken.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::disk::{EINTR, EIO, ENOSPC, EROFS, Failure, MemoryDisk, Random};
use common::{EPOCH_US, Feed, MS, S, numbers_in, quick, unit};
use gstsegmentrecorder::demand::Mode;
use gstsegmentrecorder::identity::Identity;
use gstsegmentrecorder::recorder::{Config, Notice, SyncPolicy};
use nvr_contract::segment::{GapReason, SegmentClosed};
use nvr_mp4::inspect::{self, InspectError, Inspected};

/// One file on a real file system at a time, because that is where files are inspected.
struct Bench(tempfile::NamedTempFile);

impl Bench {
    fn new() -> Self {
        Self(tempfile::NamedTempFile::new().unwrap())
    }

    fn lay(&mut self, bytes: &[u8]) -> &Path {
        let file = self.0.as_file_mut();
        file.set_len(0).unwrap();
        std::io::Seek::rewind(file).unwrap();
        file.write_all(bytes).unwrap();
        self.0.path()
    }

    fn inspect(&mut self, bytes: &[u8]) -> Result<Inspected, InspectError> {
        inspect::inspect(self.lay(bytes))
    }

    /// What the repaired file holds.
    fn repair(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let path = self.lay(bytes).to_owned();
        match inspect::repair(&path) {
            Ok(found) => {
                let left = std::fs::read(&path).unwrap();
                assert_eq!(numbers_in(&left).len() as u64, found.frames);
                Some(left)
            }
            Err(InspectError::NoHeader(_) | InspectError::NoFragment) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Everything that must hold of files and messages after any failure. Returns the pictures on disk.
fn check(feed: &Feed, disk: &MemoryDisk, bench: &mut Bench, what: &str) -> Vec<u32> {
    feed.tiles();
    let content = disk.lock();
    let closed: BTreeMap<PathBuf, SegmentClosed> = feed
        .closed()
        .into_iter()
        .map(|closed| (PathBuf::from(&closed.location), closed))
        .collect();
    assert_eq!(
        closed.len(),
        feed.closed().len(),
        "{what}: each file is announced once"
    );
    let mut recorded = Vec::new();
    for (path, file) in &content.files {
        let Some(closed) = closed.get(path) else {
            // It could be neither written nor removed: nothing whole is in it.
            assert!(
                bench.inspect(&file.bytes).is_err(),
                "{what}: {} has no message",
                path.display()
            );
            continue;
        };
        let found = bench.inspect(&file.bytes).unwrap();
        assert_eq!(
            (found.frames, found.valid_bytes),
            (closed.frames, closed.bytes),
            "{what}"
        );
        let whole = usize::try_from(found.valid_bytes).unwrap();
        if closed.blake3.is_empty() {
            // It could not be cut, so nobody knows what it ends with.
            assert!(file.bytes.len() >= whole, "{what}");
        } else {
            assert_eq!(file.bytes.len(), whole, "{what}");
            assert_eq!(
                blake3::hash(&file.bytes).to_hex().to_string(),
                closed.blake3,
                "{what}"
            );
        }
        recorded.extend(numbers_in(&file.bytes[..whole]));
    }
    for path in closed.keys() {
        assert!(
            content.files.contains_key(path),
            "{what}: {} is not there",
            path.display()
        );
    }
    assert!(
        recorded.is_sorted_by(|a, b| a < b),
        "{what}: in order, none twice"
    );
    // What is not on disk is in a gap, and the other way round.
    let tiles = feed.tiles();
    for number in 0..feed.next {
        let at = i64::from(number) * 40;
        let tile = tiles
            .iter()
            .find(|(_, from, to)| (*from..*to).contains(&at));
        let said = tile.map(|(what, ..)| *what) == Some("recorded");
        assert_eq!(
            said,
            recorded.contains(&number),
            "{what}: picture {number}, {tiles:?}"
        );
    }
    let counters = feed.recorder.counters();
    assert_eq!(
        counters.frames_in - counters.frames_dropped,
        recorded.len() as u64,
        "{what}"
    );
    recorded
}

fn reason_of(failure: Failure) -> GapReason {
    match failure {
        Failure::Error(ENOSPC) | Failure::Short(ENOSPC) => GapReason::DiskFull,
        _ => GapReason::DiskError,
    }
}

/// Records 160 pictures; operations from `first` on fail, `times` of them or until picture 80.
fn run(first: usize, times: usize, failure: Failure, mode: Mode) -> (Feed, MemoryDisk) {
    let disk = MemoryDisk::default();
    let mut config = Config {
        sync: SyncPolicy::Fragment,
        fragment_ns: 400 * MS,
        mode,
        pre_roll_ns: S,
        post_roll_ns: 8 * S,
        ..quick(Path::new("/r"))
    };
    config.limits.duration_ns = S;
    let mut feed = Feed::new(config, Box::new(disk.clone()));
    if times > 0 {
        disk.fail(first..first.saturating_add(times), failure);
    }
    feed.recorder.trigger();
    feed.pictures(80);
    if times == usize::MAX {
        disk.lock().fail = 0..0;
    }
    feed.pictures(80);
    feed.finish();
    (feed, disk)
}

#[test]
fn any_operation_may_fail_once_for_a_while_or_until_somebody_helps() {
    let mut bench = Bench::new();
    let every = [
        (Failure::Error(ENOSPC), 1),
        (Failure::Error(EIO), 1),
        (Failure::Error(EROFS), 1),
        (Failure::Error(EINTR), 1),
        (Failure::Short(ENOSPC), 1),
        (Failure::Short(EIO), 1),
        (Failure::Error(EIO), 3),
        (Failure::Short(ENOSPC), 3),
        (Failure::Error(EROFS), usize::MAX),
        (Failure::Short(ENOSPC), usize::MAX),
    ];
    let some = [
        (Failure::Short(EIO), 1),
        (Failure::Error(ENOSPC), usize::MAX),
    ];
    for (mode, failures) in [(Mode::Continuous, &every[..]), (Mode::Event, &some[..])] {
        let operations = run(0, 0, Failure::Error(EIO), mode).1.lock().operations;
        assert!(operations > 50, "{operations}");
        for first in 0..operations {
            for &(failure, times) in failures {
                sweep(first, times, failure, mode, &mut bench);
            }
        }
    }
}

fn sweep(first: usize, times: usize, failure: Failure, mode: Mode, bench: &mut Bench) {
    let (feed, disk) = run(first, times, failure, mode);
    let what = format!("operation {first}, {failure:?} {times} times, {mode:?}");
    let recorded = check(&feed, &disk, bench, &what);
    if feed.recorder.counters().write_errors == 0 {
        assert_eq!(recorded.len(), 160, "{what}: it came to nothing");
        return;
    }
    let gaps = feed.gaps();
    let gap = gaps.iter().find(|gap| gap.detail.is_some());
    let gap = gap.unwrap_or_else(|| panic!("{what}: it is said"));
    assert_eq!(gap.reason, reason_of(failure), "{what}");
    let least = match times {
        1 => 130,
        3 => 60,
        _ => 10,
    };
    assert!(
        recorded.len() >= least,
        "{what}: {} recorded",
        recorded.len()
    );
    if recorded[0] > 0 || recorded.windows(2).any(|pair| pair[1] - pair[0] > 1) {
        assert_eq!(recorded.last(), Some(&159), "{what}: it goes on");
    }
}

#[test]
fn a_storage_that_is_gone_gets_nothing_and_is_asked_once_a_second() {
    let disk = MemoryDisk::default();
    let file = PathBuf::from("/s/nvrd-storage.toml");
    let mut feed = Feed::new(
        Config {
            identity: Some(Identity {
                file: file.clone(),
                text: "5f2a".to_owned(),
            }),
            ..quick(Path::new("/s/recordings/front"))
        },
        Box::new(disk.clone()),
    );
    feed.pictures(500);
    assert!(disk.lock().files.is_empty());
    let asked = disk.lock().operations;
    assert!(
        (5..=20).contains(&asked),
        "{asked} times in 20 s, and nothing else was tried"
    );
    disk.lock()
        .heads
        .insert(file.clone(), b"id = \"another\"\n".to_vec());
    feed.pictures(100);
    disk.lock()
        .heads
        .insert(file.clone(), b"made = 0\nid = \"5f2a\"\n".to_vec());
    feed.pictures(100);
    // It goes while a file is open: that file goes on, and there is no other.
    disk.lock().heads.clear();
    feed.pictures(100);
    feed.finish();
    let mut bench = Bench::new();
    check(&feed, &disk, &mut bench, "identity");
    let tiles = feed.tiles();
    let what: Vec<_> = tiles.iter().map(|tile| tile.0).collect();
    assert_eq!(what.first(), Some(&"disk_gone"));
    assert_eq!(what.last(), Some(&"disk_gone"));
    assert!(what.contains(&"recorded"));
    let details: Vec<_> = feed
        .gaps()
        .into_iter()
        .filter_map(|gap| gap.detail)
        .collect();
    assert!(
        details[0].contains("/s/nvrd-storage.toml is not there"),
        "{details:?}"
    );
}

/// How many seeds: the soak runs more.
fn seeds(most: u64) -> u64 {
    std::env::var("NVRD_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(most)
}

/// Records until the power goes, and looks at what is left of it.
fn lose_power(seed: u64, bench: &mut Bench) {
    let mut random = Random(seed);
    let disk = MemoryDisk::default();
    let interval = [200 * MS, S, 2 * S][random.below(3)];
    let fragment = [120 * MS, 200 * MS, 400 * MS][random.below(3)];
    let mut config = Config {
        sync: SyncPolicy::Segment {
            interval_ns: interval,
        },
        fragment_ns: fragment,
        ..quick(Path::new("/r"))
    };
    config.limits.duration_ns = [S, 4 * S, 60 * S][random.below(3)];
    let mut feed = Feed::new(config, Box::new(disk.clone()));
    feed.group = [1, 5, 10, 30][random.below(4)];
    let pictures = 1 + random.below(300);
    feed.pictures(u32::try_from(pictures).unwrap());

    let left = disk.power_cut(seed);
    let mut recovered = Vec::new();
    let content = disk.lock();
    for (path, bytes) in &left {
        let Some(whole) = bench.repair(bytes) else {
            continue;
        };
        let written = numbers_in(&content.files[path].bytes);
        let numbers = numbers_in(&whole);
        assert!(
            written.starts_with(&numbers),
            "seed {seed}: {numbers:?} of {written:?}"
        );
        recovered.extend(numbers);
    }
    // What was announced is there as it was announced.
    for closed in feed.closed() {
        let bytes = &left[Path::new(&closed.location)];
        assert_eq!(
            blake3::hash(bytes).to_hex().to_string(),
            closed.blake3,
            "seed {seed}"
        );
    }
    // What was synced is there: whole files, and of the open one up to the last sync.
    let synced = feed.notices.iter().filter_map(|notice| match notice {
        Notice::Fragment(fragment) if fragment.synced => Some(fragment.end_ns),
        Notice::Closed(closed) => Some(closed.end_ns),
        _ => None,
    });
    let synced = synced.max().unwrap_or(0) / (40 * MS);
    assert!(
        recovered.len() as u64 >= synced,
        "seed {seed}: {} of {synced}",
        recovered.len()
    );
    let expected: Vec<u32> = (0..u32::try_from(recovered.len()).unwrap()).collect();
    assert_eq!(
        recovered, expected,
        "seed {seed}: from the first on without a hole"
    );
    let lost_ns = (pictures - recovered.len()) as u64 * 40 * MS;
    assert!(
        lost_ns <= interval + fragment + 40 * MS,
        "seed {seed}: lost {} ms",
        lost_ns / MS
    );
}

#[test]
fn a_power_cut_costs_no_more_than_the_sync_interval_and_a_fragment() {
    let mut bench = Bench::new();
    for seed in 0..seeds(250) {
        lose_power(seed, &mut bench);
    }
}

/// A stream with everything wrong that a camera or a network can do to it.
fn break_stream(seed: u64) {
    let mut random = Random(seed);
    let disk = MemoryDisk::default();
    let mode = [Mode::Continuous, Mode::Event][random.below(2)];
    let config = Config {
        mode,
        pre_roll_ns: S,
        ring_bytes: 200_000,
        ..quick(Path::new("/r"))
    };
    let mut feed = Feed::new(config, Box::new(disk.clone()));
    let mut pts: u64 = 5 * S;
    for _ in 0..300 {
        pts = match random.below(40) {
            0 => pts.saturating_sub(random.below(20_000) as u64 * MS),
            1 => pts.saturating_add(random.below(20_000) as u64 * MS),
            2 => u64::MAX - random.below(9) as u64,
            3 => pts % (1 << 33),
            4 => random.below(1 << 40) as u64,
            _ => pts.saturating_add(40 * MS),
        };
        let size = [0, 1, 4, 5, 40, 3000][random.below(6)];
        let mut data = unit(feed.next, random.below(2) == 0);
        data.resize(data.len() + size, 0x55);
        for _ in 0..random.below(3) {
            let at = random.below(data.len());
            data[at] ^= 1 << random.below(8);
        }
        data.truncate(if random.below(20) == 0 { 0 } else { data.len() });
        feed.unit(pts, random.below(6) == 0, random.below(3) == 0, data);
        match random.below(30) {
            0 => feed.recorder.trigger(),
            1 => feed.recorder.flush(),
            2 => feed.recorder.split(),
            3 => feed
                .recorder
                .set_video(common::track([320, 640][random.below(2)])),
            _ => {}
        }
        assert!(
            feed.recorder.counters().ring_bytes <= 200_000,
            "seed {seed}"
        );
    }
    feed.finish();
    let closed = feed.closed();
    for pair in closed.windows(2) {
        assert!(
            pair[0].end_unix_us <= pair[1].start_unix_us,
            "seed {seed}: segments overlap"
        );
    }
    let content = disk.lock();
    let mut bench = Bench::new();
    for closed in &closed {
        let file = &content.files[Path::new(&closed.location)];
        let found = bench.inspect(&file.bytes).unwrap();
        assert_eq!(
            (found.frames, found.finalised),
            (closed.frames, true),
            "seed {seed}"
        );
        assert_eq!(
            blake3::hash(&file.bytes).to_hex().to_string(),
            closed.blake3
        );
    }
    assert_eq!(content.files.len(), closed.len(), "seed {seed}");
}

#[test]
fn broken_streams_do_no_harm() {
    for seed in 0..seeds(60) {
        break_stream(seed);
    }
}

#[test]
fn slow_marked_and_huge_pictures_are_recorded_and_files_end_on_time() {
    // One picture a second, each marked as coming after a hole.
    let disk = MemoryDisk::default();
    let mut feed = Feed::new(quick(Path::new("/r")), Box::new(disk.clone()));
    for n in 0..60 {
        feed.picture(n * S, n % 3 == 0, true);
    }
    // The file ends at the first key frame after 2 s.
    feed.finish();
    assert_eq!(feed.closed().len(), 20);
    assert!(feed.gaps().is_empty());
    assert_eq!(feed.tiles().len(), 20);

    let disk = MemoryDisk::default();
    let mut feed = Feed::new(quick(Path::new("/r")), Box::new(disk.clone()));
    feed.pictures(20);
    let mut huge = unit(feed.next, true);
    huge.resize(100 << 20, 0x55);
    feed.unit(20 * 40 * MS, true, false, huge);
    feed.pictures(40);
    feed.finish();
    let closed = feed.closed();
    assert_eq!(closed.iter().map(|c| c.frames).sum::<u64>(), 61);
    assert!(closed.iter().map(|c| c.bytes).sum::<u64>() > 100 << 20);
    assert_eq!(feed.closed()[0].start_unix_us, EPOCH_US);
}
