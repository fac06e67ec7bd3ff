//! What is recorded in which mode: before and after events, at changes of mode, and where files begin.
#![allow(
    clippy::unwrap_used,
    clippy::single_range_in_vec_init,
    reason = "a test fails by panicking, and ranges of pictures are what it is about"
)]

mod common;

use std::path::Path;

use common::disk::MemoryDisk;
use common::{EPOCH_US, Feed, MS, S, numbers_in, quick};
use gstsegmentrecorder::demand::Mode;
use gstsegmentrecorder::fragment::Packet;
use gstsegmentrecorder::recorder::{Config, Notice};
use nvr_contract::wallclock::WallClock;
use nvr_mp4::track::AudioTrack;
use proptest::prelude::*;

const END: i64 = i64::MAX;

/// One second before and after an event.
fn event(change: impl FnOnce(&mut Config)) -> (Feed, MemoryDisk) {
    let disk = MemoryDisk::default();
    let mut config = Config {
        mode: Mode::Event,
        pre_roll_ns: S,
        post_roll_ns: S,
        ..quick(Path::new("/r"))
    };
    config.limits.duration_ns = 60 * S;
    change(&mut config);
    (Feed::new(config, Box::new(disk.clone())), disk)
}

fn recorded(disk: &MemoryDisk) -> Vec<u32> {
    let content = disk.lock();
    let files = content.files.values();
    files.flat_map(|file| numbers_in(&file.bytes)).collect()
}

fn is(disk: &MemoryDisk, ranges: &[std::ops::Range<u32>]) {
    let expected: Vec<u32> = ranges.iter().cloned().flatten().collect();
    assert_eq!(recorded(disk), expected);
}

#[test]
fn a_trigger_records_from_the_pre_roll_to_the_post_roll_outwards() {
    let (mut feed, disk) = event(|_| {});
    feed.pictures(100);
    assert!(disk.lock().files.is_empty(), "nothing was asked for");
    feed.recorder.trigger();
    feed.pictures(100);
    feed.finish();
    // At 3.96 s: from the key frame at or before 2.96 s to the one at or after 4.96 s.
    is(&disk, &[70..130]);
    let expected = [
        ("no_event", 0, 2800),
        ("recorded", 2800, 5200),
        ("no_event", 5200, END),
    ];
    assert_eq!(feed.tiles(), expected);
    assert_eq!(feed.closed()[0].frames, 60);
    let counters = feed.recorder.counters();
    assert_eq!((counters.frames_in, counters.frames_dropped), (200, 140));
}

#[test]
fn start_lasts_until_stop_and_the_post_roll_runs_out() {
    let (mut feed, disk) = event(|_| {});
    feed.pictures(50);
    feed.recorder.start();
    feed.pictures(200);
    feed.recorder.stop();
    feed.pictures(200);
    feed.finish();
    // From 1.96 - 1 s to 9.96 + 1 s.
    is(&disk, &[20..280]);
    feed.tiles();
}

#[test]
fn an_event_soon_after_another_goes_on_in_the_same_file() {
    let (mut feed, disk) = event(|_| {});
    feed.pictures(50);
    feed.recorder.trigger();
    feed.pictures(60);
    // The post-roll ended at picture 80; the pre-roll begins at or before picture 84.
    assert!(
        feed.closed().is_empty(),
        "it waits for an event to go on with"
    );
    feed.recorder.trigger();
    feed.pictures(90);
    feed.finish();
    is(&disk, &[20..140]);
    assert_eq!(feed.closed().len(), 1);
    assert_eq!(feed.tiles()[1], ("recorded", 800, 5600));
}

#[test]
fn a_file_closes_once_no_pre_roll_can_reach_it() {
    let (mut feed, disk) = event(|_| {});
    feed.pictures(50);
    feed.recorder.trigger();
    feed.pictures(64);
    assert!(feed.closed().is_empty());
    feed.pictures(2);
    // A pre-roll would begin at picture 90 now.
    assert_eq!(feed.closed().len(), 1);
    feed.recorder.trigger();
    feed.pictures(90);
    feed.finish();
    is(&disk, &[20..80, 90..140]);
    assert!(feed.closed().iter().all(|closed| closed.discont));
    feed.tiles();
}

#[test]
fn a_trigger_before_the_first_picture_counts() {
    let (mut feed, disk) = event(|_| {});
    feed.recorder.trigger();
    feed.next = 5;
    feed.pictures(100);
    feed.finish();
    // At 0.2 s, and the first key frame is picture 10.
    is(&disk, &[10..30]);
    let expected = [
        ("no_keyframe", 200, 400),
        ("recorded", 400, 1200),
        ("no_event", 1200, END),
    ];
    assert_eq!(feed.tiles(), expected);
}

#[test]
fn the_end_of_the_stream_writes_what_was_asked_for() {
    let (mut feed, disk) = event(|_| {});
    feed.pictures(57);
    feed.recorder.trigger();
    feed.finish();
    is(&disk, &[30..57]);
    feed.tiles();
}

#[test]
fn a_post_roll_of_nothing_still_records_the_pre_roll() {
    let (mut feed, disk) = event(|config| config.post_roll_ns = 0);
    feed.pictures(57);
    feed.recorder.trigger();
    feed.pictures(100);
    feed.finish();
    is(&disk, &[30..60]);
    feed.tiles();
}

#[test]
fn modes_change_between_key_frames() {
    let (mut feed, disk) = event(|config| config.mode = Mode::Continuous);
    feed.pictures(15);
    feed.configure(|config| config.mode = Mode::Event);
    // Up to the key frame 20; then nothing, but for the ring.
    feed.pictures(50);
    // What is held is not lost.
    feed.configure(|config| config.mode = Mode::Continuous);
    feed.pictures(20);
    feed.configure(|config| config.mode = Mode::Off);
    feed.pictures(20);
    feed.configure(|config| config.mode = Mode::Event);
    feed.pictures(20);
    feed.recorder.trigger();
    feed.configure(|config| config.mode = Mode::Off);
    feed.pictures(10);
    feed.finish();
    is(&disk, &[0..20, 30..85]);
    let expected = [
        ("recorded", 0, 800),
        ("no_event", 800, 1200),
        ("recorded", 1200, 3400),
        ("paused", 3400, 4200),
        ("no_event", 4200, 5000),
        ("paused", 5000, END),
    ];
    assert_eq!(feed.tiles(), expected);
}

#[test]
fn a_ring_that_is_too_small_says_so() {
    // Each picture costs 273 bytes: three groups of ten fit.
    let (mut feed, disk) = event(|config| {
        config.ring_bytes = 9000;
        config.pre_roll_ns = 3 * S;
    });
    feed.pictures(100);
    assert!(feed.recorder.counters().ring_bytes <= 9000);
    feed.recorder.trigger();
    feed.pictures(100);
    feed.finish();
    is(&disk, &[70..130]);
    let expected = [
        ("no_event", 0, 960),
        ("overload", 960, 2800),
        ("recorded", 2800, 5200),
        ("no_event", 5200, END),
    ];
    assert_eq!(feed.tiles(), expected);
    let gap = feed
        .gaps()
        .into_iter()
        .find(|gap| gap.detail.is_some())
        .unwrap();
    assert!(gap.detail.unwrap().contains("ring-bytes"));
}

#[test]
fn a_group_that_alone_is_too_large_is_let_go() {
    let (mut feed, disk) = event(|config| config.ring_bytes = 9000);
    feed.group = 100;
    feed.pictures(170);
    assert_eq!(feed.recorder.counters().ring_bytes, 0);
    feed.recorder.trigger();
    feed.pictures(150);
    feed.finish();
    // At 6.76 s; nothing can be shown before the key frame at 8 s, and by then the post-roll is over.
    is(&disk, &[]);
    let expected = [
        ("no_event", 0, 5760),
        ("overload", 5760, 7760),
        ("no_event", 7760, END),
    ];
    assert_eq!(feed.tiles()[..2], expected[..2]);
}

#[test]
fn sound_comes_with_its_pictures() {
    let (mut feed, disk) = event(|_| {});
    let audio = AudioTrack::aac(&[0x11, 0x90], 48_000, 2).unwrap();
    feed.recorder.set_audio(Some(audio));
    let mut sound = 0_u64;
    for number in 0..200_u64 {
        if number == 100 {
            feed.recorder.trigger();
        }
        while sound * 20 <= number * 40 {
            feed.recorder.push_audio(Packet {
                pts_ns: sound * 20 * MS,
                duration_ns: 20 * MS,
                data: format!("SOUND{sound:06}").into_bytes(),
            });
            sound += 1;
        }
        feed.pictures(1);
    }
    feed.finish();
    let content = disk.lock();
    let bytes = &content.files.values().next().unwrap().bytes;
    let found = bytes.windows(11).filter(|at| at.starts_with(b"SOUND"));
    let found: Vec<u64> = found
        .map(|at| std::str::from_utf8(&at[5..]).unwrap().parse().unwrap())
        .collect();
    assert_eq!(found, (140..260).collect::<Vec<_>>());
}

#[test]
fn a_ring_over_a_jump_keeps_both_sides_apart() {
    let (mut feed, disk) = event(|config| config.pre_roll_ns = 5 * S);
    feed.pictures(30);
    for n in 0..30 {
        feed.picture(4 * S + n * 40 * MS, n % 10 == 0, n == 0);
    }
    feed.recorder.trigger();
    feed.finish();
    is(&disk, &[0..60]);
    let closed = feed.closed();
    assert_eq!(closed.len(), 2);
    assert!(closed[1].discont);
    assert_eq!(closed[1].start_unix_us, EPOCH_US + 4_000_000);
}

#[test]
fn a_clock_set_forward_loses_no_picture_and_is_a_gap_of_its_own() {
    let (mut feed, disk) = event(|config| config.mode = Mode::Continuous);
    let anchor = |unix_us| WallClock { pts_ns: 0, unix_us };
    feed.recorder.set_anchor(anchor(EPOCH_US));
    feed.pictures(65);
    feed.recorder.set_anchor(anchor(EPOCH_US + 5_000_000));
    feed.pictures(65);
    feed.finish();
    is(&disk, &[0..130]);
    let expected = [
        ("recorded", 0, 2800),
        ("clock_step", 2800, 7800),
        ("recorded", 7800, 10_200),
    ];
    assert_eq!(feed.tiles(), expected);
}

#[test]
fn pictures_left_out_before_the_recorder_are_overload_or_a_slow_disk() {
    for (takes_ms, reason) in [(0, "overload"), (500, "disk_slow")] {
        let (mut feed, disk) = event(|config| config.mode = Mode::Continuous);
        disk.lock().takes = std::time::Duration::from_millis(takes_ms);
        feed.pictures(100);
        for n in 0..50 {
            feed.picture(6 * S + n * 40 * MS, n % 10 == 0, n == 0);
        }
        feed.finish();
        let tiles = feed.tiles();
        assert_eq!(tiles[1], (reason, 4000, 6000));
        assert!(feed.gaps()[0].detail.is_some());
    }
    // A source that was away says so itself, and sends an anchor when it is back.
    let (mut feed, _disk) = event(|config| config.mode = Mode::Continuous);
    let anchor = WallClock {
        pts_ns: 0,
        unix_us: EPOCH_US,
    };
    feed.recorder.set_anchor(anchor);
    feed.pictures(100);
    feed.recorder.set_anchor(anchor);
    feed.picture(6 * S, true, true);
    feed.finish();
    assert!(feed.gaps().is_empty());
}

#[test]
fn files_end_by_size_and_at_wall_clock_boundaries() {
    let (mut feed, _disk) = event(|config| {
        config.mode = Mode::Continuous;
        config.limits.bytes = 3000;
    });
    feed.pictures(300);
    feed.finish();
    let closed = feed.closed();
    assert!(closed.len() > 5, "{}", closed.len());
    for file in &closed[..closed.len() - 1] {
        assert!(file.bytes >= 3000 && file.bytes < 6000, "{}", file.bytes);
    }
    let (mut feed, disk) = event(|config| {
        config.mode = Mode::Continuous;
        config.limits.boundary_ns = 10 * S;
    });
    // Key frames every 0.4 s from 3.5 s past a boundary on.
    feed.recorder.set_anchor(WallClock {
        pts_ns: 0,
        unix_us: EPOCH_US + 3_500_000,
    });
    feed.pictures(700);
    feed.finish();
    is(&disk, &[0..700]);
    let starts: Vec<_> = feed
        .closed()
        .iter()
        .map(|c| (c.start_unix_us - EPOCH_US) / 1000)
        .collect();
    assert_eq!(starts, [3500, 10_300, 20_300, 30_300]);
}

#[test]
fn long_groups_still_end_files_and_a_stream_without_key_frames_is_bounded() {
    let (mut feed, disk) = event(|config| {
        config.mode = Mode::Continuous;
        config.limits.duration_ns = 2 * S;
    });
    feed.group = 75;
    feed.pictures(400);
    feed.finish();
    let frames: Vec<_> = feed.closed().iter().map(|c| c.frames).collect();
    assert_eq!(frames, [75, 75, 75, 75, 75, 25]);
    is(&disk, &[0..400]);

    let (mut feed, disk) = event(|config| {
        config.mode = Mode::Continuous;
        config.most_bytes = 8000;
    });
    feed.group = 100_000;
    feed.pictures(1000);
    feed.finish();
    is(&disk, &[0..1000]);
    let closed = feed.closed();
    assert!(closed.len() > 3);
    for file in closed {
        assert!(file.bytes < 12_000, "{}", file.bytes);
        assert_eq!(
            file.keyframes[0].offset_ns, 0,
            "players begin with its first picture"
        );
    }
    feed.tiles();
}

/// What a recorder may be told, with pictures in between.
#[derive(Debug, Clone)]
enum Act {
    Pictures(u32),
    Trigger,
    Start,
    Stop,
    Split,
    Mode(Mode),
    Flush,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1_u32..70).prop_map(Act::Pictures),
        2 => Just(Act::Trigger),
        1 => Just(Act::Start),
        1 => Just(Act::Stop),
        1 => Just(Act::Split),
        1 => prop_oneof![Just(Mode::Continuous), Just(Mode::Event), Just(Mode::Off)].prop_map(Act::Mode),
        1 => Just(Act::Flush),
    ]
}

fn play(feed: &mut Feed, acts: &[Act]) {
    for act in acts {
        match *act {
            Act::Pictures(count) => feed.pictures(count),
            Act::Trigger => feed.recorder.trigger(),
            Act::Start => feed.recorder.start(),
            Act::Stop => feed.recorder.stop(),
            Act::Split => feed.recorder.split(),
            Act::Mode(mode) => feed.configure(|config| config.mode = mode),
            Act::Flush => {
                feed.recorder.flush();
                feed.take();
            }
        }
    }
    feed.finish();
}

/// The pictures that an event recorder should keep: windows round triggers, outwards to key frames.
fn wanted(acts: &[Act], group: u32) -> Vec<u32> {
    let total: u32 = acts
        .iter()
        .map(|act| if let Act::Pictures(n) = act { *n } else { 0 })
        .sum();
    let mut windows: Vec<(i64, i64)> = Vec::new();
    let mut next = 0_i64;
    let mut held = None;
    for act in acts {
        // A trigger is at the picture that came last, or at the first.
        let at = (next - 1).max(0);
        match act {
            Act::Pictures(n) => next += i64::from(*n),
            Act::Trigger => windows.push((at - 25, at + 25)),
            Act::Start => held = held.or(Some(at)),
            Act::Stop => {
                if let Some(since) = held.take() {
                    windows.push((since - 25, at + 25));
                }
            }
            _ => {}
        }
    }
    if let Some(since) = held {
        windows.push((since - 25, i64::from(total)));
    }
    let group = i64::from(group);
    let kept = |number: u32| {
        windows.iter().any(|(from, to)| {
            let from = from.max(&0).div_euclid(group) * group;
            let to = (to + group - 1).div_euclid(group) * group;
            (from..to).contains(&i64::from(number))
        })
    };
    (0..total).filter(|&number| kept(number)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_is_asked_for_segments_and_gaps_tile(acts in proptest::collection::vec(act(), 1..40), group in 1_u32..30) {
        let (mut feed, disk) = event(|_| {});
        feed.group = group;
        play(&mut feed, &acts);
        feed.tiles();
        let recorded = recorded(&disk);
        prop_assert!(recorded.is_sorted_by(|a, b| a < b), "in order, none twice");
        let counters = feed.recorder.counters();
        prop_assert_eq!(counters.frames_in, u64::from(feed.next));
        prop_assert_eq!(counters.frames_in - counters.frames_dropped, recorded.len() as u64);
        let closed: u64 = feed.closed().iter().map(|closed| closed.frames).sum();
        prop_assert_eq!(closed, recorded.len() as u64);
        let opened = feed.notices.iter().filter(|notice| matches!(notice, Notice::Opened(_))).count();
        prop_assert_eq!(opened, feed.closed().len());
    }

    #[test]
    fn an_event_recorder_keeps_what_the_model_says(acts in proptest::collection::vec(
        act().prop_filter("of one mode", |act| !matches!(act, Act::Mode(_) | Act::Flush)), 1..40), group in 1_u32..30) {
        let (mut feed, disk) = event(|_| {});
        feed.group = group;
        play(&mut feed, &acts);
        prop_assert_eq!(recorded(&disk), wanted(&acts, group));
    }
}
