//! The recorder without GStreamer: what it writes and says when all goes well, and when operations fail.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{EPOCH_US, MS, Rig, S, numbers, track};
use gstsegmentrecorder::demand::Mode;
use gstsegmentrecorder::fragment::Packet;
use gstsegmentrecorder::recorder::{Notice, SyncPolicy};
use nvr_contract::segment::GapReason;
use nvr_contract::wallclock::WallClock;
use nvr_mp4::inspect::{self, InspectError, inspect};
use nvr_mp4::track::AudioTrack;
use proptest::prelude::*;

/// Everything that must hold of the files and messages, whatever happened.
fn check(rig: &Rig) {
    let closed = rig.closed();
    let files = rig.files();
    let said: Vec<_> = closed
        .iter()
        .map(|c| Path::new(&c.location).to_owned())
        .collect();
    assert_eq!(
        files, said,
        "each file is announced and each announced file is there"
    );
    for closed in &closed {
        let path = Path::new(&closed.location);
        let found = inspect(path).unwrap();
        assert_eq!(found.frames, closed.frames);
        assert_eq!(found.valid_bytes, closed.bytes);
        assert_eq!(found.file_bytes, closed.bytes);
        assert_eq!(numbers(path).len() as u64, closed.frames);
        assert_eq!(inspect::hash(path).unwrap(), closed.blake3);
        assert!((found.start_unix_us.unwrap() - closed.start_unix_us).abs() <= 6);
        // A small correction of the clock makes a segment last until the next one.
        let longer = closed.end_unix_us - found.end_unix_us.unwrap();
        assert!((-12..1_000_000).contains(&longer), "{longer}");
        let bytes: Vec<_> = closed.keyframes.iter().map(|key| key.byte).collect();
        assert_eq!(
            found
                .keyframes
                .iter()
                .map(|key| key.byte)
                .collect::<Vec<_>>(),
            bytes
        );
        for (found, said) in found.keyframes.iter().zip(&closed.keyframes) {
            assert!(found.offset_ns.abs_diff(said.offset_ns) <= 12_000);
        }
    }
    for pair in closed.windows(2) {
        assert!(
            pair[0].end_unix_us <= pair[1].start_unix_us,
            "segments overlap"
        );
        if !pair[1].discont {
            assert_eq!(pair[1].start_unix_us, pair[0].end_unix_us);
        }
    }
    let recorded = rig.recorded();
    assert!(recorded.is_sorted_by(|a, b| a < b), "in order, none twice");
    let counters = rig.recorder.counters();
    assert_eq!(counters.frames_in, u64::from(rig.next));
    assert_eq!(
        counters.frames_in - counters.frames_dropped,
        recorded.len() as u64
    );
}

/// Each picture that was pushed at its number times 40 ms is in a file or in a gap.
fn check_covered(rig: &Rig) {
    let mut missed = Vec::new();
    for gap in rig.gaps() {
        missed.retain(|(start, _)| *start != gap.start_unix_us);
        missed.push((gap.start_unix_us, gap.end_unix_us.unwrap_or(i64::MAX)));
    }
    let recorded = rig.recorded();
    for number in 0..rig.next {
        let at = EPOCH_US + i64::from(number) * 40_000;
        let in_gap = missed
            .iter()
            .any(|(start, end)| (*start..*end).contains(&at));
        assert_ne!(
            in_gap,
            recorded.contains(&number),
            "picture {number}: {missed:?}"
        );
    }
}

#[test]
fn nothing_is_lost_or_doubled_over_many_files() {
    let mut rig = Rig::new(|_| {});
    rig.pictures(1000);
    rig.finish();
    check(&rig);
    assert_eq!(rig.recorded(), (0..1000).collect::<Vec<_>>());
    let closed = rig.closed();
    // A key frame every 400 ms: the first at or after 2 s.
    assert_eq!(closed.len(), 20);
    assert!(closed.iter().all(|segment| segment.frames == 50));
    assert!(closed[0].discont && closed[1..].iter().all(|segment| !segment.discont));
    assert!(
        closed
            .iter()
            .all(|c| inspect(Path::new(&c.location)).unwrap().finalised)
    );
    assert!(rig.gaps().is_empty());
}

#[test]
fn messages_come_in_order() {
    let mut rig = Rig::new(|config| config.limits.duration_ns = 400 * MS);
    rig.pictures(20);
    rig.finish();
    let kinds: String = rig
        .notices
        .iter()
        .map(|notice| match notice {
            Notice::Opened(_) => 'o',
            Notice::Fragment(_) => 'f',
            Notice::Closed(_) => 'c',
            Notice::Gap(_) => 'g',
        })
        .collect();
    assert_eq!(kinds, "offcoffc");
}

#[test]
fn a_disk_that_stays_full_is_one_gap() {
    let mut rig = Rig::new(|_| {});
    rig.pictures(100);
    rig.faults.0.lock().unwrap().fail = 0..usize::MAX;
    rig.pictures(500);
    assert_eq!(rig.gaps().len(), 1);
    let attempts = rig.faults.0.lock().unwrap().count;
    rig.faults.0.lock().unwrap().fail = 0..0;
    rig.pictures(100);
    rig.finish();
    check(&rig);
    check_covered(&rig);
    assert_eq!(rig.gaps().len(), 2);
    let after = rig
        .closed()
        .into_iter()
        .find(|c| Some(c.start_unix_us) == rig.gaps()[1].end_unix_us);
    assert!(after.unwrap().discont);
    assert!(attempts < 100, "about one attempt a second: {attempts}");
}

#[test]
fn a_kill_leaves_whole_fragments() {
    let mut rig = Rig::new(|config| config.limits.duration_ns = 60 * S);
    rig.pictures(101);
    let files = rig.files();
    let found = inspect(&files[0]).unwrap();
    assert_eq!(
        (files.len(), found.frames, found.finalised),
        (1, 100, false)
    );
    assert_eq!(found.valid_bytes, found.file_bytes);
    assert_eq!(found.duration_ns, 4 * S);
    assert_eq!(found.start_unix_us, Some(EPOCH_US));
}

#[test]
fn off_is_at_once_and_on_at_the_next_key_frame() {
    let mut rig = Rig::new(|_| {});
    rig.pictures(15);
    rig.configure(|config| config.mode = Mode::Off);
    assert_eq!(rig.closed().len(), 1);
    rig.pictures(20);
    rig.configure(|config| config.mode = Mode::Continuous);
    rig.pictures(20);
    rig.finish();
    check(&rig);
    check_covered(&rig);
    let gaps = rig.gaps();
    assert_eq!(gaps.len(), 2);
    assert_eq!(gaps[1].reason, GapReason::Paused);
    assert_eq!(gaps[1].end_unix_us, Some(EPOCH_US + 40 * 40_000));
    let mut expected: Vec<_> = (0..15).collect();
    expected.extend(40..55);
    assert_eq!(rig.recorded(), expected);
}

#[test]
fn starting_between_key_frames_is_a_gap() {
    let mut rig = Rig::new(|_| {});
    rig.next = 5;
    rig.pictures(20);
    rig.finish();
    let gaps = rig.gaps();
    assert_eq!(gaps[0].reason, GapReason::NoKeyframe);
    assert_eq!(gaps[0].start_unix_us, EPOCH_US + 200_000);
    assert_eq!(gaps[1].end_unix_us, Some(EPOCH_US + 400_000));
    assert_eq!(rig.recorded(), (10..25).collect::<Vec<_>>());
}

#[test]
fn a_jump_in_time_begins_a_new_file() {
    let mut rig = Rig::new(|_| {});
    rig.pictures(15);
    for n in 0..20 {
        rig.picture(10 * S + n * 40 * MS, n % 10 == 0, n == 0);
    }
    rig.finish();
    check(&rig);
    let closed = rig.closed();
    assert_eq!(closed.len(), 2);
    assert!(closed[1].discont);
    assert_eq!(closed[0].end_ns, 600 * MS);
    assert_eq!(closed[1].start_unix_us, EPOCH_US + 10_000_000);
}

#[test]
fn a_clock_that_steps_back_makes_no_overlap() {
    let mut rig = Rig::new(|_| {});
    let anchor = |unix_us| WallClock { pts_ns: 0, unix_us };
    rig.recorder.set_anchor(anchor(EPOCH_US));
    rig.pictures(60);
    rig.recorder.set_anchor(anchor(EPOCH_US + 300_000));
    rig.pictures(60);
    rig.recorder.set_anchor(anchor(EPOCH_US - 3_600_000_000));
    rig.pictures(120);
    rig.finish();
    check(&rig);
    let closed = rig.closed();
    assert_eq!(closed.iter().map(|c| c.frames).sum::<u64>(), 240);
    let jumps: Vec<_> = closed.iter().map(|c| c.discont).collect();
    assert_eq!(jumps, [true, false, false, true, false, false]);
    assert_eq!(
        closed[2].start_unix_us,
        EPOCH_US + 4_300_000,
        "a small correction counts from the next file"
    );
}

#[test]
fn other_caps_begin_a_new_file() {
    let mut rig = Rig::new(|_| {});
    rig.pictures(20);
    rig.recorder.set_video(track(640));
    rig.pictures(10);
    rig.recorder.set_video(track(320));
    rig.pictures(20);
    rig.finish();
    check(&rig);
    let widths: Vec<_> = rig
        .closed()
        .iter()
        .map(|c| (c.width, c.frames, c.discont))
        .collect();
    assert_eq!(widths, [(640, 30, true), (320, 20, false)]);
}

#[test]
fn split_is_at_the_next_key_frame() {
    let mut rig = Rig::new(|config| config.limits.duration_ns = 60 * S);
    rig.pictures(15);
    rig.recorder.split();
    rig.pictures(15);
    rig.finish();
    check(&rig);
    assert_eq!(
        rig.closed().iter().map(|c| c.frames).collect::<Vec<_>>(),
        [20, 10]
    );
}

#[test]
fn names_that_are_taken_are_not_touched() {
    let mut rig = Rig::new(|_| {});
    let folder = rig.folder.path().join("2023-11-14");
    std::fs::create_dir(&folder).unwrap();
    let taken = folder.join(format!("22-13-20_{EPOCH_US}.mp4"));
    std::fs::write(&taken, "mine").unwrap();
    rig.pictures(10);
    rig.finish();
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
    assert!(
        rig.closed()[0]
            .location
            .ends_with(&format!("22-13-20_{EPOCH_US}_1.mp4"))
    );
}

#[test]
fn syncs_as_the_policy_says() {
    for (sync, at_least, at_most) in [
        (SyncPolicy::None, 0, 0),
        (SyncPolicy::Segment { interval_ns: 0 }, 1, 1),
        (SyncPolicy::Segment { interval_ns: S }, 4, 5),
        (SyncPolicy::Fragment, 20, 21),
    ] {
        let mut rig = Rig::new(|config| {
            config.sync = sync;
            config.limits.duration_ns = 60 * S;
        });
        rig.pictures(100);
        rig.finish();
        let faults = rig.faults.0.lock().unwrap();
        assert!(
            (at_least..=at_most).contains(&faults.syncs),
            "{sync:?}: {}",
            faults.syncs
        );
        let day = rig.folder.path().join("2023-11-14");
        let folders = [day, rig.folder.path().to_owned()];
        assert_eq!(
            faults.synced_folders,
            folders[..if at_most > 0 { 2 } else { 0 }]
        );
    }
}

#[test]
fn audio_goes_into_the_file_of_its_pictures() {
    let mut rig = Rig::new(|_| {});
    let audio = AudioTrack::aac(&[0x11, 0x90], 48_000, 2).unwrap();
    rig.recorder.set_audio(Some(audio));
    let mut sound = 0_u32;
    for number in 0..200_u64 {
        while u64::from(sound) * 20 <= number * 40 {
            rig.recorder.push_audio(Packet {
                pts_ns: u64::from(sound) * 20 * MS,
                duration_ns: 20 * MS,
                data: format!("SOUND{sound:06}").into_bytes(),
            });
            sound += 1;
        }
        rig.pictures(1);
    }
    rig.finish();
    check(&rig);
    let mut heard = Vec::new();
    for (nth, file) in rig.files().iter().enumerate() {
        assert!(inspect(file).unwrap().has_audio);
        let bytes = std::fs::read(file).unwrap();
        let found = bytes.windows(11).filter(|at| at.starts_with(b"SOUND"));
        let found: Vec<u32> = found
            .map(|at| std::str::from_utf8(&at[5..]).unwrap().parse().unwrap())
            .collect();
        assert_eq!(found[0], u32::try_from(nth).unwrap() * 100);
        heard.extend(found);
    }
    assert_eq!(heard, (0..sound).collect::<Vec<_>>());
}

#[test]
fn a_flush_writes_the_open_fragment_at_once() {
    let mut rig = Rig::new(|_| {});
    rig.pictures(13);
    assert_eq!(inspect(&rig.files()[0]).unwrap().frames, 10);
    rig.recorder.flush();
    assert_eq!(inspect(&rig.files()[0]).unwrap().frames, 13);
    rig.pictures(50);
    rig.finish();
    check(&rig);
    assert_eq!(rig.recorded(), (0..63).collect::<Vec<_>>());
}

#[test]
fn time_stamps_at_the_end_of_time_do_no_harm() {
    let mut rig = Rig::new(|_| {});
    for n in 0..40 {
        rig.picture(
            u64::MAX - 30 * 40 * MS + n.min(29) * 40 * MS,
            n % 10 == 0,
            n % 7 == 0,
        );
        rig.recorder.flush();
    }
    rig.finish();
    assert!(!rig.closed().is_empty());
}

#[test]
fn repair_cuts_a_torn_end_off() {
    let mut rig = Rig::new(|config| config.limits.duration_ns = 60 * S);
    rig.pictures(100);
    rig.finish();
    let file = rig.files().remove(0);
    let whole = std::fs::read(&file).unwrap();
    let mut ends: Vec<u64> = Vec::new();
    for length in 0..whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        match inspect(&file) {
            Ok(found) => {
                assert!(found.valid_bytes <= length as u64);
                assert!(!found.finalised);
                let is_new = ends.last() != Some(&found.frames);
                ends.push(found.frames);
                // Each sync takes its time.
                if is_new || length % 200 == 0 {
                    assert_eq!(inspect::repair(&file).unwrap().frames, found.frames);
                    assert_eq!(std::fs::metadata(&file).unwrap().len(), found.valid_bytes);
                    assert_eq!(numbers(&file).len() as u64, found.frames);
                }
            }
            Err(InspectError::NoFragment | InspectError::NoHeader(_)) => assert!(ends.is_empty()),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(ends.is_sorted());
    ends.dedup();
    assert_eq!(ends, (1..=20).map(|n| n * 5).collect::<Vec<u64>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn inspect_survives_anything(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        length in any::<prop::sample::Index>(),
        noise in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..400)),
    ) {
        static FILE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let mut rig = Rig::new(|_| {});
            rig.pictures(40);
            rig.finish();
            std::fs::read(&rig.files()[0]).unwrap()
        });
        let mut bytes = noise.unwrap_or_else(|| FILE.clone());
        if !bytes.is_empty() {
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let length = bytes.len() - length.index(bytes.len()) / 2;
            bytes.truncate(length);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        if let Ok(found) = inspect(file.path()) {
            prop_assert!(found.valid_bytes <= bytes.len() as u64);
            prop_assert!(found.frames > 0);
        }
    }
}
