//! The element on its own: pads, events, states and what comes from outside.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use gst::prelude::*;
use gst_check::Harness;
use nvr_contract::gate::{GateState, SceneChange};
use support::{MS, Scene, init, run, watched};

mod support;

const CAPS: &str = "video/x-h264,stream-format=byte-stream,alignment=au,width=320,height=180";

/// A gate between the pads of a test.
fn harness() -> Harness {
    init();
    let mut harness = Harness::new("decodegate");
    harness.set_src_caps_str(CAPS);
    harness.play();
    harness
}

/// An access unit with the PTS of picture `n`, every 100 ms; a key frame every tenth.
fn unit(n: u64) -> gst::Buffer {
    let kind = if n.is_multiple_of(10) { 0x65 } else { 0x41 };
    let mut buffer = gst::Buffer::from_slice([0, 0, 0, 1, kind, 0x88, n as u8]);
    let edit = buffer.get_mut().unwrap();
    edit.set_pts(gst::ClockTime::from_nseconds(n * 100 * MS));
    buffer
}

/// Sends pictures; the numbers of those that come out.
fn push(harness: &mut Harness, range: std::ops::Range<u64>) -> Vec<u64> {
    for n in range {
        harness.push(unit(n)).unwrap();
    }
    let mut out = Vec::new();
    while let Some(buffer) = harness.try_pull() {
        out.push(buffer.pts().unwrap().nseconds() / (100 * MS));
    }
    out
}

/// The detector's word.
fn say(harness: &mut Harness, moving: bool, n: u64) {
    let pts_ns = n * 100 * MS;
    assert!(harness.push_upstream_event(SceneChange { moving, pts_ns }.to_event()));
}

/// A gate that is quiet, after picture 60.
fn quiet() -> Harness {
    let mut harness = harness();
    assert_eq!(push(&mut harness, 0..3), [0, 1, 2]);
    say(&mut harness, false, 0);
    let out = push(&mut harness, 3..60);
    assert_eq!(out.last(), Some(&50));
    assert!(!out.contains(&45), "{out:?}");
    say(&mut harness, false, 50);
    assert_eq!(push(&mut harness, 60..61), [60]);
    harness
}

/// Names of the events that came out since the last time.
fn events(harness: &mut Harness) -> Vec<String> {
    let mut out = Vec::new();
    while let Some(event) = harness.try_pull_event() {
        let name = event.structure().map(|s| s.name().to_string());
        match GateState::from_event(&event) {
            Some(state) => out.push(format!("{state:?}")),
            None => out.push(name.unwrap_or_else(|| format!("{:?}", event.type_()))),
        }
    }
    out
}

#[test]
fn a_word_opens_it_and_the_decoder_is_wound_back() {
    let mut harness = quiet();
    events(&mut harness);
    say(&mut harness, true, 60);
    let replayed: Vec<u64> = (50..62).collect();
    assert_eq!(push(&mut harness, 61..62), replayed);
    let told = events(&mut harness);
    assert_eq!(
        told[..3],
        ["FlushStart", "GstEventFlushStop", "GstEventSegment"].map(str::to_owned),
        "{told:?}"
    );
    assert!(
        told[3].contains("keys_only: false, replays: true"),
        "{told:?}"
    );
}

#[test]
fn a_flush_and_a_jump_forget_what_was_kept() {
    let mut harness = quiet();
    say(&mut harness, false, 60);
    assert!(push(&mut harness, 61..65).is_empty());
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(false)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    harness
        .element()
        .unwrap()
        .emit_by_name::<()>("open", &[&"test", &0u64]);
    // Deltas of a group that is not there any more do not come out.
    assert_eq!(push(&mut harness, 65..72), [70, 71]);
    assert_eq!(push(&mut harness, 5..12), [10, 11]);
}

#[test]
fn the_end_of_the_stream_waits_for_the_word() {
    let mut harness = quiet();
    say(&mut harness, true, 60);
    assert!(harness.push_event(gst::event::Eos::new()));
    let replayed: Vec<u64> = (50..61).collect();
    assert_eq!(push(&mut harness, 0..0), replayed);
}

#[test]
fn a_silent_detector_is_not_waited_for_for_long() {
    let mut harness = quiet();
    let began = std::time::Instant::now();
    let out = push(&mut harness, 61..75);
    assert!(out.contains(&74), "{out:?}");
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
    let stats = harness
        .element()
        .unwrap()
        .property::<gst::Structure>("stats");
    assert_eq!(stats.get::<&str>("reason"), Ok("unanswered"));
}

#[test]
fn nothing_from_outside_panics() {
    let mut harness = harness();
    for bytes in [
        &[][..],
        &[0],
        &[0, 0, 1],
        &[0, 0, 1, 0x06, 6],
        &[255; 40],
        &[0; 40],
    ] {
        harness
            .push(gst::Buffer::from_slice(bytes.to_vec()))
            .unwrap();
    }
    let element = harness.element().unwrap();
    element.emit_by_name::<()>("open", &[&"x".repeat(1000), &u64::MAX]);
    element.emit_by_name::<()>("close", &[&""]);
    for bad in ["nonsense", "mon", "25:00-26:00"] {
        element.set_property("schedule", bad);
        assert_eq!(element.property::<String>("schedule"), "");
    }
    element.set_property("schedule", "mon-sun 00:00-24:00");
    assert_eq!(
        element.property::<String>("schedule"),
        "mon-sun 00:00-24:00"
    );
    assert_eq!(element.property::<Option<String>>("bypass"), None);
}

#[test]
fn caps_that_say_too_little_are_refused() {
    init();
    let mut harness = Harness::new("decodegate");
    harness.set_src_caps_str("video/x-h264,stream-format=avc,alignment=au,width=320,height=180");
    harness.play();
    assert_eq!(harness.push(unit(0)), Err(gst::FlowError::NotNegotiated));
}

#[test]
fn again_and_again() {
    let clip = "x264enc speed-preset=ultrafast tune=zerolatency key-int-max=15 ! h264parse";
    let clip = Scene::new(30, &[]).encode(clip).unwrap();
    for _ in 0..3 {
        assert_eq!(run(&clip, &watched("adaptive")).pictures.len(), 30);
    }
    let mut harness = quiet();
    let element = harness.element().unwrap();
    for _ in 0..20 {
        element.set_state(gst::State::Null).unwrap();
        element.set_state(gst::State::Playing).unwrap();
    }
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("frames-in"), Ok(0));
    assert_eq!(stats.get::<u64>("ring-bytes"), Ok(0));
    assert!(harness.try_pull().is_none());
}
