//! Storages as crashes, disks and people leave them: what the check says, and what is there after the repair.

mod steps;
mod anew;
mod figures;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nvr_base::{Clock, Principal, SimulatedClock};
use nvr_mp4::fmp4::{self, Entry, IndexEntry, Run, VIDEO_TIMESCALE};
use nvr_mp4::inspect;
use nvr_mp4::track::{VideoCodec, VideoTrack};
use nvr_store::{SegmentRow, Store};

use super::*;

/// 2026-11-20 10:00 UTC.
const START_US: i64 = 1_795_168_800_000_000;
const SECOND_US: i64 = 1_000_000;
/// Pictures a second of the films here.
const RATE: u32 = 10;
/// A baseline stream's `avcC`.
const AVCC: &[u8] = &[
    1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80,
];

/// Writes a film of whole seconds, a fragment each, as the recorder does; without its index unless it is finished.
fn film(file: &Path, start_us: i64, seconds: u32, finished: bool) {
    let track = VideoTrack::new(VideoCodec::H264, AVCC, 640, 360).unwrap();
    let mut bytes = fmp4::header(&track, None, 0, start_us).unwrap();
    let mut index = Vec::new();
    for second in 0..seconds {
        let run = Run {
            decode_time: u64::from(second * VIDEO_TIMESCALE),
            entries: (0..RATE)
                .map(|n| Entry {
                    duration: VIDEO_TIMESCALE / RATE,
                    size: 100,
                    sync: n == 0,
                    composition_offset: 0,
                })
                .collect(),
        };
        let at_us = start_us + i64::from(second) * SECOND_US;
        let head = fmp4::fragment_head(second + 1, at_us, &run, &Run::default()).unwrap();
        index.push(IndexEntry {
            time: run.decode_time,
            moof: bytes.len() as u64 + head.moof,
            sample: 1,
        });
        bytes.extend(&head.bytes);
        bytes.extend((0..100 * RATE).map(|n| (n + second + start_us as u32) as u8));
    }
    if finished {
        bytes.extend(fmp4::index(&index).unwrap());
    }
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, bytes).unwrap();
}

/// A storage with its index and its chains.
pub(super) struct World {
    folder: tempfile::TempDir,
    clock: Arc<dyn Clock>,
}

/// What a daemon has open.
struct Open {
    storage: Storage,
    store: Store,
    evidence: Evidence,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(SimulatedClock::at(START_US + 3600 * SECOND_US)),
        }
    }

    /// With `count` segments of ten seconds of the camera `front`, recorded in order.
    fn with(count: i64) -> Self {
        let world = Self::new();
        let open = world.open();
        for n in 0..count {
            world.record(&open, "front", n);
        }
        world
    }

    fn open(&self) -> Open {
        let storage = Storage::open(self.folder.path()).unwrap();
        let store = Store::open(&storage.database(), Arc::clone(&self.clock)).unwrap();
        storage.identify(&store).unwrap();
        let evidence = Evidence::open(&storage.evidence(), Arc::clone(&self.clock)).unwrap();
        Open {
            storage,
            store,
            evidence,
        }
    }

    fn path(camera: &str, n: i64) -> String {
        let start_us = START_US + n * 10 * SECOND_US;
        let at = jiff::Timestamp::from_microsecond(start_us).unwrap();
        format!(
            "{camera}/{}_{start_us}.mp4",
            at.strftime("%Y-%m-%d/%H-%M-%S")
        )
    }

    fn file(&self, n: i64) -> PathBuf {
        self.folder
            .path()
            .join("recordings")
            .join(Self::path("front", n))
    }

    /// A file, whole, without entry or row.
    fn film(&self, camera: &str, n: i64) -> PathBuf {
        let file = self
            .folder
            .path()
            .join("recordings")
            .join(Self::path(camera, n));
        film(&file, START_US + n * 10 * SECOND_US, 10, true);
        file
    }

    /// The row that the ingest would make of it.
    fn row(&self, open: &Open, camera: &str, n: i64) -> SegmentRow {
        let path = Self::path(camera, n);
        let file = self.folder.path().join("recordings").join(&path);
        let found = inspect::inspect(&file).unwrap();
        let id = open.storage.first().id().unwrap();
        let row = judge::row_of(&open.store, camera, id, &path, &found)
            .unwrap()
            .unwrap();
        SegmentRow {
            blake3: Some(inspect::hash(&file).unwrap()),
            ..row
        }
    }

    fn record(&self, open: &Open, camera: &str, n: i64) -> SegmentRow {
        self.film(camera, n);
        let row = self.row(open, camera, n);
        open.evidence
            .recorded(std::slice::from_ref(&row), None)
            .unwrap();
        open.store.insert_segment(&row).unwrap();
        row
    }

    /// What a check finds, as pairs of rule and words of the remedy, and the report.
    fn check(&self, level: Level, repair: bool) -> (Vec<String>, Report) {
        let open = self.open();
        let mut lines = Vec::new();
        let check = Check {
            storage: &open.storage,
            store: &open.store,
            evidence: repair.then_some(&open.evidence),
            level,
            running: false,
        };
        let report = check
            .run(&mut |finding| {
                assert_eq!(finding.failure, None, "{}", finding.line());
                lines.push(finding.line());
            })
            .unwrap();
        (lines, report)
    }

    /// Sees that nothing at all is wrong.
    #[track_caller]
    fn assert_clean(&self, what: &str) {
        let (lines, report) = self.check(Level::Deep, false);
        assert_eq!(
            lines,
            Vec::<String>::new(),
            "{what}: the deep check is not clean"
        );
        assert!(report.is_clean(), "{what}");
    }

    fn rows(&self) -> Vec<SegmentRow> {
        self.open()
            .store
            .segments(Principal::system(), "front", i64::MIN, i64::MAX, 500)
            .unwrap()
    }

    /// What `nvrd verify` says of the camera.
    fn verify(&self) -> evidence::Report {
        let open = self.open();
        let place = evidence::Place {
            id: open.storage.first().id().unwrap().to_owned(),
            recordings: open.storage.recordings(),
        };
        let wanted = evidence::Wanted {
            evidence: &open.storage.evidence(),
            places: &[place],
            key: &open.evidence.public_key(),
            range: i64::MIN..i64::MAX,
            head: None,
            running: false,
        };
        evidence::verify("front", &wanted, &mut |_| {}).unwrap()
    }
}

#[test]
fn a_storage_that_nobody_touched_is_clean_at_every_level() {
    let world = World::with(5);
    for level in [Level::Start, Level::Names, Level::Deep] {
        let (lines, report) = world.check(level, false);
        assert_eq!(lines, Vec::<String>::new(), "{level:?}");
        assert_eq!((report.files, report.rows, report.cameras), (5, 5, 1));
        assert!(report.is_clean());
    }
    assert!(world.verify().is_whole());
}

/// How something is broken, at which level that is seen, which lines it gives, and whether the chain shows it for ever.
struct Case {
    what: &'static str,
    break_it: fn(&World, &Open),
    seen_at: Level,
    says: &'static [&'static str],
    segments_left: usize,
    quarantined: u64,
    shows: bool,
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    fn flip(file: &Path) {
        let mut bytes = std::fs::read(file).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(file, bytes).unwrap();
    }
    fn cut(file: &Path, by: u64) {
        let length = std::fs::metadata(file).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length - by).unwrap();
    }
    let case = |what, break_it, seen_at, says, segments_left, quarantined, shows| Case { what, break_it, seen_at, says, segments_left, quarantined, shows };
    vec![
        case("a file is gone", |w, _| std::fs::remove_file(w.file(2)).unwrap(), Level::Start,
            &["R1 front/2026-11-20/10-00-20_1795168820000000.mp4: listed, but the file is gone; --repair will take it off the list and note the gap"], 4, 0, true),
        case("the last file is gone", |w, _| std::fs::remove_file(w.file(4)).unwrap(), Level::Start, &["R1"], 4, 0, true),
        case("a file is cut off", |w, _| cut(&w.file(2), 500), Level::Start, &["R1"], 4, 1, true),
        case("a byte is flipped", |w, _| flip(&w.file(2)), Level::Deep, &["R1"], 4, 1, true),
        case("a byte of the last file is flipped", |w, _| flip(&w.file(4)), Level::Start, &["R1"], 4, 1, true),
        case("a file that was recorded by nobody", |w, _| drop(w.film("front", 5)), Level::Start, &["R2"], 6, 0, false),
        case("a file in mid-fragment", |w, _| {
            film(&w.file(5), START_US + 50 * SECOND_US, 5, false);
            cut(&w.file(5), 700);
        }, Level::Start, &["R2 front/2026-11-20/10-00-50_1795168850000000.mp4: no row; it holds 4.0 s, and"], 6, 0, false),
        case("a file that holds nothing", |w, _| std::fs::write(w.file(5), b"").unwrap(), Level::Start, &["R2"], 5, 1, false),
        case("a file of rubbish", |w, _| std::fs::write(w.file(5), [7; 5000]).unwrap(), Level::Start, &["R2"], 5, 1, false),
        case("an old file comes back", |w, o| {
            let row = w.rows_of(o).remove(0);
            o.evidence.deleted(std::slice::from_ref(&row), "age").unwrap();
            o.store.delete_segment(&row.id).unwrap();
        }, Level::Start, &["R2"], 4, 1, false),
        case("a row is altered", |w, o| {
            let mut row = w.rows_of(o).remove(2);
            row.keyframes[1].1 += 1;
            o.store.correct_segment(&row).unwrap();
        }, Level::Deep, &["R4"], 5, 0, false),
        case("a row has another length", |w, o| {
            let mut row = w.rows_of(o).remove(2);
            row.bytes -= 1;
            o.store.correct_segment(&row).unwrap();
        }, Level::Start, &["R1"], 5, 0, false),
        case("a row has another hash", |w, o| {
            let mut row = w.rows_of(o).remove(2);
            row.blake3 = Some("00".repeat(32));
            o.store.correct_segment(&row).unwrap();
        }, Level::Deep, &["R1"], 5, 0, false),
        case("a row goes", |w, o| {
            let row = w.rows_of(o).remove(2);
            o.store.delete_segment(&row.id).unwrap();
        }, Level::Start, &["R2"], 5, 0, false),
        case("a row and its file go", |w, o| {
            let row = w.rows_of(o).remove(2);
            o.store.delete_segment(&row.id).unwrap();
            std::fs::remove_file(w.file(2)).unwrap();
        }, Level::Names, &["R12"], 4, 0, true),
        case("the chain goes", |w, _| std::fs::remove_dir_all(w.folder.path().join("evidence/front")).unwrap(), Level::Start, &["R12"; 5], 5, 0, false),
        case("the end of the chain goes", |w, _| {
            let file = w.folder.path().join("evidence/front/2026-11.jsonl");
            let text = std::fs::read_to_string(&file).unwrap();
            let kept: Vec<&str> = text.lines().take(3).collect();
            std::fs::write(&file, kept.join("\n") + "\n").unwrap();
        }, Level::Start, &["R12", "R12"], 5, 0, false),
    ]
}

impl World {
    fn rows_of(&self, open: &Open) -> Vec<SegmentRow> {
        open.store
            .segments(Principal::system(), "front", i64::MIN, i64::MAX, 500)
            .unwrap()
    }
}

#[test]
fn what_is_broken_is_said_at_its_level_and_put_right_there() {
    for case in cases() {
        for level in [Level::Start, Level::Names, Level::Deep] {
            let world = World::with(5);
            {
                let open = world.open();
                (case.break_it)(&world, &open);
            }
            let what = format!("{} at {level:?}", case.what);
            let (lines, _) = world.check(level, false);
            if level < case.seen_at {
                assert_eq!(lines, Vec::<String>::new(), "{what}");
                continue;
            }
            let (again, report) = world.check(level, false);
            assert_eq!(lines, again, "{what}: a check changes nothing");
            assert_eq!(lines.len(), case.says.len(), "{what}: {lines:#?}");
            for (line, says) in lines.iter().zip(case.says) {
                assert!(line.starts_with(says), "{what}: {line}");
                assert!(line.contains("; --repair will "), "{what}: {line}");
            }
            assert!(!report.is_clean() && report.repaired == 0, "{what}");
            let (_, report) = world.check(level, true);
            assert!(report.is_clean(), "{what}: {report:?}");
            assert_eq!(report.quarantined, case.quarantined, "{what}");
            world.assert_clean(&what);
            assert_eq!(world.rows().len(), case.segments_left, "{what}");
            assert_eq!(
                files_below(&world.folder.path().join("quarantine")),
                2 * case.quarantined,
                "{what}: each with a sentence"
            );
            assert_eq!(
                !world.verify().is_whole(),
                case.shows,
                "{what}: {:?}",
                world.verify().findings
            );
        }
    }
}

fn files_below(folder: &Path) -> u64 {
    let Ok(reader) = std::fs::read_dir(folder) else {
        return 0;
    };
    reader
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
        .sum()
}

#[test]
fn a_damaged_segment_leaves_a_gap_with_its_reason() {
    let world = World::with(3);
    std::fs::remove_file(world.file(1)).unwrap();
    world.check(Level::Names, true);
    let open = world.open();
    let gaps = open
        .store
        .gaps(Principal::system(), "front", i64::MIN, i64::MAX, 10)
        .unwrap();
    let said: Vec<_> = gaps
        .iter()
        .map(|gap| (gap.reason.as_str(), gap.start_us, gap.end_us))
        .collect();
    let start = START_US + 10 * SECOND_US;
    assert_eq!(said, [("damaged", start, Some(start + 10 * SECOND_US))]);
    assert_eq!(gaps[0].detail.as_deref(), Some("its file is gone"));
}

#[test]
fn overlaps_and_missing_disks_need_a_person() {
    let world = World::with(3);
    {
        let open = world.open();
        let file = open
            .storage
            .recordings()
            .join("front/2026-11-20/10-00-15_1795168815000000.mp4");
        film(&file, START_US + 15 * SECOND_US, 10, true);
    }
    world.check(Level::Start, true);
    let (lines, report) = world.check(Level::Names, true);
    let says = [
        "R7 front/2026-11-20/10-00-15_1795168815000000.mp4: it begins 5.000 s before",
        "R7 front/2026-11-20/10-00-20",
    ];
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for (line, says) in lines.iter().zip(says) {
        assert!(
            line.starts_with(says) && line.ends_with("; this needs a person"),
            "{line}"
        );
    }
    assert!(!report.is_clean());
    // The identity of the first folder is known, so nothing is taken for an empty storage.
    let open = world.open();
    let mut row = world.rows_of(&open).remove(0);
    (row.id, row.storage, row.path) = (
        "other".to_owned(),
        "gone".to_owned(),
        "front/x.mp4".to_owned(),
    );
    row.start_us -= 100 * SECOND_US;
    row.end_us -= 100 * SECOND_US;
    open.store.insert_segment(&row).unwrap();
    drop(open);
    let (lines, _) = world.check(Level::Names, true);
    assert!(
        lines[0].starts_with("R9 gone: segments lie in a storage that is not configured"),
        "{lines:#?}"
    );
    assert_eq!(
        world.rows().len(),
        5,
        "rows of a disk that is not there stay"
    );
}

/// A start looks at every name, but only at the lengths of the last day: what is older was right when it was written.
#[test]
fn a_start_leaves_old_lengths_to_the_check() {
    let world = World::with(3);
    world.record(&world.open(), "front", 3 * 8640);
    std::fs::write(world.file(1), "short").unwrap();
    assert_eq!(world.check(Level::Start, false).0, Vec::<String>::new());
    assert_eq!(world.check(Level::Names, false).0.len(), 1);
    std::fs::remove_file(world.file(1)).unwrap();
    assert_eq!(
        world.check(Level::Start, false).0.len(),
        1,
        "a name that is gone is seen"
    );
}

/// An installation from before there were chains.
#[test]
fn recordings_without_a_chain_are_entered_at_once() {
    let world = World::with(30);
    std::fs::remove_dir_all(world.folder.path().join("evidence/front")).unwrap();
    world.record(&world.open(), "yard", 0);
    let (lines, _) = world.check(Level::Start, false);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("R12 front: 30 listed files have no entry in the chain, the first is front/2026-11-20/10-00-00_"), "{lines:#?}");
    assert!(world.check(Level::Start, true).1.is_clean());
    world.assert_clean("after the start");
    assert_eq!(
        (world.verify().entries, world.verify().found_later),
        (30, 30)
    );
}

#[test]
fn what_is_no_recording_is_left_alone() {
    let world = World::with(2);
    let recordings = world.folder.path().join("recordings");
    std::fs::write(recordings.join("front/notes.txt"), "mine").unwrap();
    std::fs::create_dir_all(recordings.join("Not a camera")).unwrap();
    std::fs::write(recordings.join("Not a camera/x.mp4"), "mine").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", recordings.join("front/2026-11-20/link.mp4"))
        .unwrap();
    let (lines, report) = world.check(Level::Deep, true);
    assert_eq!(lines, Vec::<String>::new());
    assert_eq!(
        report.notes,
        ["front: 2 files that are no recordings are left alone"]
    );
    assert_eq!(files_below(&recordings), 2 + 3);
}
