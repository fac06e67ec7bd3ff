//! The gate with a decoder and a detector: what moves is found as if everything were decoded, and little is.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may fail loudly, and say what they skip"
)]

use std::sync::OnceLock;

use gst::prelude::*;
use nvr_contract::gate::{Bypass, OpenReason};
use support::{Clip, MS, Run, Scene, run, run_with, watched};

mod support;

/// Visits, in pictures of 15 a second; the second one is over a key frame by a second to each side.
const VISITS: [(usize, usize); 3] = [(310, 360), (495, 525), (655, 700)];

/// Encoders, by what is special about them.
const ENCODERS: [(&str, &str); 9] = [
    (
        "avc",
        "x264enc speed-preset=superfast key-int-max=30 bframes=0 option-string=scenecut=0 ! h264parse ! video/x-h264,stream-format=avc,alignment=au",
    ),
    (
        "bytes",
        "x264enc speed-preset=superfast key-int-max=30 bframes=0 option-string=scenecut=0 ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au",
    ),
    (
        "b-frames",
        "x264enc speed-preset=superfast key-int-max=30 bframes=2 b-adapt=false option-string=scenecut=0 ! h264parse ! video/x-h264,stream-format=avc,alignment=au",
    ),
    (
        "slices",
        "x264enc speed-preset=superfast tune=zerolatency key-int-max=30 option-string=scenecut=0:slices=4 ! h264parse ! video/x-h264,stream-format=avc,alignment=au",
    ),
    (
        "raw",
        "x264enc speed-preset=superfast tune=zerolatency key-int-max=30 option-string=scenecut=0 ! video/x-h264,stream-format=byte-stream,alignment=au",
    ),
    (
        "h265",
        "x265enc speed-preset=ultrafast tune=zerolatency key-int-max=30 option-string=scenecut=0:open-gop=0:log-level=none ! h265parse ! video/x-h265,stream-format=hvc1,alignment=au",
    ),
    (
        "h265-open",
        "x265enc speed-preset=ultrafast key-int-max=30 option-string=scenecut=0:open-gop=1:bframes=2:b-adapt=0:log-level=none ! h265parse config-interval=-1 ! video/x-h265,stream-format=byte-stream,alignment=au",
    ),
    (
        "open-gop",
        "x264enc speed-preset=superfast key-int-max=30 bframes=2 option-string=scenecut=0:open-gop=1 ! h264parse ! video/x-h264,stream-format=avc,alignment=au",
    ),
    (
        "refresh",
        "x264enc speed-preset=superfast tune=zerolatency key-int-max=30 intra-refresh=true ! h264parse ! video/x-h264,stream-format=avc,alignment=au",
    ),
];

/// The scene by an encoder's name, encoded once; `None`, with a line that says so, where that cannot be.
fn clip(name: &str) -> Option<&'static Clip> {
    static CLIPS: [OnceLock<Option<Clip>>; 9] = [const { OnceLock::new() }; 9];
    let n = ENCODERS.iter().position(|(n, _)| *n == name).unwrap();
    let clip = CLIPS[n].get_or_init(|| Scene::new(900, &VISITS).encode(ENCODERS[n].1));
    if clip.is_none() {
        println!("SKIP {name}: the encoder is not installed");
    }
    clip.as_ref()
}

/// Both runs of a clip, after what every clip must do.
#[track_caller]
fn check(clip: &Clip, name: &str, line: &dyn Fn(&str) -> String) -> (Run, Run) {
    let all = run(clip, &line("all"));
    let gated = run(clip, &line("adaptive"));
    println!(
        "{name}: {:?} {:?} {:?}",
        all.motion, gated.motion, gated.stats
    );
    assert!(all.starts().len() >= 2, "{name}");
    assert_eq!(all.starts().len(), gated.starts().len(), "{name}");
    for (a, b) in all.starts().iter().zip(gated.starts()) {
        assert!(a.abs_diff(b) <= 67, "{name}: {a} {b}");
    }
    assert!(
        gated.pictures.is_sorted_by(|a, b| a.0 < b.0),
        "{name}: order"
    );
    assert_eq!(gated.flushes, 0, "{name}");
    // Every picture that came out is the very one of the whole run.
    let mut whole = all.pictures.iter();
    for picture in &gated.pictures {
        assert!(whole.any(|other| other == picture), "{name}: {picture:?}");
    }
    (all, gated)
}

#[test]
fn what_moves_is_found_and_little_is_decoded() {
    for name in [
        "avc",
        "bytes",
        "b-frames",
        "slices",
        "raw",
        "h265",
        "h265-open",
    ] {
        let Some(clip) = clip(name) else { continue };
        let (_, gated) = check(clip, name, &watched);
        assert!(gated.share() < 0.7, "{name}: {}", gated.share());
        assert_eq!(gated.stat("opened"), 1 + VISITS.len() as u64, "{name}");
    }
}

#[test]
fn decoders_that_hold_pictures_back() {
    let line = |mode: &str| {
        format!(
            "decodegate name=gate mode={mode} ! DECODER max-threads=4 thread-type=frame ! motiondetect"
        )
    };
    check(clip("b-frames").unwrap(), "4 threads", &line);
}

#[test]
fn queues_between_change_nothing() {
    let line = |mode: &str| {
        format!(
            "queue ! decodegate name=gate mode={mode} ! DECODER max-threads=1 ! queue max-size-buffers=4 ! videoconvert ! motiondetect ! queue"
        )
    };
    for name in ["avc", "b-frames"] {
        let (_, once) = check(clip(name).unwrap(), name, &line);
        let again = run(clip(name).unwrap(), &line("adaptive"));
        assert_eq!(once.pictures, again.pictures, "{name}: two runs differ");
    }
}

#[test]
fn streams_that_key_frames_do_not_carry_are_let_through() {
    let check = |name: &str, bypass: Bypass| {
        let clip = clip(name).unwrap();
        let all = run(clip, &watched("all"));
        let gated = run(clip, &watched("adaptive"));
        let told: Vec<_> = gated
            .gate
            .iter()
            .filter_map(|change| change.bypass)
            .collect();
        assert!(told.contains(&bypass), "{name}: {:?}", gated.gate);
        assert_eq!(gated.pictures, all.pictures, "{name}");
        assert_eq!(gated.motion, all.motion, "{name}");
    };
    check("open-gop", Bypass::OpenGop);
    check("refresh", Bypass::IntraRefresh);
    let seldom = "x264enc speed-preset=superfast key-int-max=150 bframes=0 option-string=scenecut=0 ! h264parse";
    let seldom = Scene::new(600, &[(310, 360)]).encode(seldom).unwrap();
    let gated = run(&seldom, &watched("adaptive"));
    assert_eq!(gated.gate.last().unwrap().bypass, Some(Bypass::NoKeyframes));
    let stats = gated.stats.unwrap();
    assert_eq!(stats.get::<&str>("bypass"), Ok("no-keyframes"));
    assert_eq!(stats.get::<&str>("reason"), Ok("bypass"));
}

#[test]
fn requests_and_the_schedule_open_it() {
    let clip = clip("avc").unwrap();
    // For a second from picture 170, in a scene that is quiet since picture 140 or so.
    let asked = run_with(clip, &watched("adaptive"), |n, gate| {
        if n == 170 {
            gate.emit_by_name::<()>("open", &[&"door", &(1000 * MS)]);
        }
    });
    let by = asked
        .gate
        .iter()
        .find(|c| c.open == Some(OpenReason::Request))
        .unwrap();
    assert_eq!(by.request.as_deref(), Some("door"));
    assert!(by.pts_ns <= 172 * 1000 / 15 * MS, "{by:?}");
    // Nothing is shown twice: it began with the picture after the key frame.
    assert!(asked.pictures.is_sorted_by(|a, b| a.0 < b.0));
    // Until it is taken back.
    let viewed = run_with(clip, &watched("keyframes"), |n, gate| match n {
        95 => gate.emit_by_name::<()>("open", &[&"viewer", &0u64]),
        200 => gate.emit_by_name::<()>("close", &[&"viewer"]),
        _ => {}
    });
    let opened: Vec<bool> = viewed.gate.iter().map(|c| c.open.is_some()).collect();
    assert_eq!(opened, [true, false]);
    let passed = viewed.stat("frames-passed");
    assert!((120..160).contains(&passed), "{passed}");
}

#[test]
fn key_frames_alone() {
    let clip = clip("b-frames").unwrap();
    let keys = run(clip, &watched("keyframes"));
    assert_eq!(keys.pictures.len(), 30);
    assert_eq!(keys.stat("frames-passed"), 30);
    assert_eq!(keys.stat("frames-dropped"), 870);
    assert_eq!(keys.stat("keyframe-interval-ns").div_ceil(MS), 2000);
}

#[test]
fn a_detector_that_says_nothing_lets_everything_through() {
    let line = "decodegate name=gate mode=adaptive ! DECODER max-threads=1 ! identity";
    let run = run(clip("avc").unwrap(), line);
    assert_eq!(run.pictures.len(), 900);
    assert_eq!(run.gate.len(), 1);
    assert_eq!(run.gate[0].open, Some(OpenReason::Learning));
}

#[test]
fn the_mode_changes_while_it_plays() {
    let clip = clip("b-frames").unwrap();
    let run = run_with(clip, &watched("all"), |n, gate| {
        let mode = match n {
            95 => "keyframes",
            250 => "adaptive",
            800 => "all",
            _ => return,
        };
        gate.set_property_from_str("mode", mode);
    });
    assert!(run.pictures.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(run.starts().len(), 3, "{:?}", run.motion);
    assert!(run.share() < 0.85, "{}", run.share());
}
