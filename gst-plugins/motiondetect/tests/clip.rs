//! The element on a real clip: six visits to a room that is empty between them.
#![allow(
    clippy::unwrap_used,
    reason = "allow-unwrap-in-tests does not reach helpers of integration tests"
)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use nvr_contract::motion::MotionFrame;

/// Pictures a second of the clip.
const FPS: usize = 10;
/// Pictures around an empty stretch that may still show who just left or is about to come: half a second.
const EDGE: usize = FPS / 2;

fn shared(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("NVRD_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    Some(folder.join(path)).filter(|path| path.exists())
}

fn make(factory: &'static str) -> Option<gst::Element> {
    gst::ElementFactory::make(factory).build().ok()
}

/// Whether each picture of a clip moves.
fn moving_pictures(clip: &std::path::Path) -> Option<Vec<bool>> {
    let [source, demux, parse, decode, motion, sink] = [
        "filesrc",
        "qtdemux",
        "h264parse",
        "avdec_h264",
        "motiondetect",
        "fakesink",
    ]
    .map(make);
    let (source, demux, parse, decode, motion, sink) =
        (source?, demux?, parse?, decode?, motion?, sink?);
    source.set_property("location", clip.to_str()?);
    sink.set_property("signal-handoffs", true);
    sink.set_property("sync", false);
    let pictures = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&pictures);
    sink.connect("handoff", false, move |args| {
        let buffer = args[1].get::<gst::Buffer>().unwrap();
        seen.lock()
            .unwrap()
            .push(MotionFrame::of_buffer(&buffer).unwrap().moving);
        None
    });
    let pipeline = gst::Pipeline::new();
    pipeline
        .add_many([&source, &demux, &parse, &decode, &motion, &sink])
        .unwrap();
    source.link(&demux).unwrap();
    gst::Element::link_many([&parse, &decode, &motion, &sink]).unwrap();
    demux.connect_pad_added(move |_, pad| {
        pad.link(&parse.static_pad("sink").unwrap()).unwrap();
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(300), &ends)
        .unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    let pictures = std::mem::take(&mut *pictures.lock().unwrap());
    Some(pictures)
}

#[test]
fn each_visit_moves_and_the_empty_room_does_not() {
    gst::init().unwrap();
    gstmotiondetect::register_static().unwrap();
    let Some(clip) = shared("media/video/one-by-one-person-detection.mp4") else {
        println!("SKIP: the clip is not there; set NVRD_SHARED to the folder that holds media/");
        return;
    };
    let Some(moving) = moving_pictures(&clip) else {
        println!("SKIP: an element to decode H.264 is missing");
        return;
    };
    assert_eq!(moving.len(), 1394);
    // The visits of media/gt/events.json: first and last picture with the person or a shadow.
    let visits = [
        (60, 202),
        (227, 452),
        (502, 704),
        (745, 873),
        (921, 1206),
        (1235, 1366),
    ];
    let mut empty = vec![true; moving.len()];
    for (first, last) in visits {
        empty[first..=last].fill(false);
        let share =
            moving[first..=last].iter().filter(|&&m| m).count() as f64 / (last - first + 1) as f64;
        println!(
            "visit {first}-{last}: motion in {:.1} % of the pictures",
            share * 100.0
        );
        assert!(share > 0.9, "visit {first}-{last}: {share}");
    }
    let near = |n: usize| {
        let end = (n + EDGE + 1).min(empty.len());
        // The clip itself is cut in mid-motion: its end is an edge like those of a visit.
        empty[n.saturating_sub(EDGE)..end].contains(&false) || end == empty.len()
    };
    let alone: Vec<usize> = (0..moving.len())
        .filter(|&n| moving[n] && empty[n] && !near(n))
        .collect();
    let beside = (0..moving.len()).filter(|&n| moving[n] && empty[n]).count();
    println!(
        "motion in {beside} empty pictures, {} of them more than half a second from a visit",
        alone.len()
    );
    assert!(alone.is_empty(), "{alone:?}");
}
