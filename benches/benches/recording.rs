//! What recording costs: CPU seconds per minute of one stream, beside GStreamer's own recorder on the same stream.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on must fail, and its figures are its output"
)]

use std::path::{Path, PathBuf};

use gst::prelude::*;
use gst_app::{AppSink, AppSrc};

const STREAMS: u64 = 8;
const MINUTES: u64 = 5;
const ROUNDS: usize = 3;
/// Length of the clip that is repeated, seconds; a divisor of 60.
const CLIP_S: u64 = 20;
/// `USER_HZ`, which is 100 on every Linux that GStreamer runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// Kilobits a second, which is what a sub stream or a quiet main stream has.
const BITRATE: u32 = 2000;

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement builds its pipelines from text"
)]
fn launch(text: &str) -> gst::Pipeline {
    gst::parse::launch(text).unwrap().downcast().unwrap()
}

fn clip() -> (gst::Caps, Vec<gst::Buffer>) {
    let pipeline = launch(&format!(
        "videotestsrc num-buffers={} pattern=snow ! video/x-raw,format=I420,width=640,height=360,framerate=25/1 ! \
         x264enc speed-preset=ultrafast bitrate={BITRATE} key-int-max=50 bframes=0 option-string=scenecut=0 ! \
         h264parse ! video/x-h264,stream-format=avc,alignment=au ! appsink name=out sync=false",
        CLIP_S * 25,
    ));
    let sink: AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut caps = None;
    let mut buffers = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        caps = caps.or_else(|| sample.caps_owned());
        buffers.push(sample.buffer_owned().unwrap());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    (caps.unwrap(), buffers)
}

/// User and system time of this process, seconds.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let ticks: u64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    ticks as f64 / TICKS_A_SECOND
}

/// Feeds one stream into a sink, as fast as it takes it.
fn feed(sink: &str, caps: &gst::Caps, buffers: &[gst::Buffer]) {
    let pipeline = launch(&format!(
        "appsrc name=in format=time block=true max-bytes=1000000 ! {sink}"
    ));
    let source: AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
    source.set_caps(Some(caps));
    pipeline.set_state(gst::State::Playing).unwrap();
    let first = buffers[0].pts().unwrap();
    for round in 0..MINUTES * 60 / CLIP_S {
        for buffer in buffers {
            let mut buffer = buffer.copy();
            let time = buffer.pts().unwrap() - first + gst::ClockTime::from_seconds(round * CLIP_S);
            let changed = buffer.get_mut().unwrap();
            changed.set_pts(time);
            changed.set_dts(time);
            source.push_buffer(buffer).unwrap();
        }
    }
    source.end_of_stream().unwrap();
    let bus = pipeline.bus().unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(600), &ends)
        .unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// CPU seconds per stream-minute of `STREAMS` streams at once.
fn measure(sink: &str, folder: &Path, caps: &gst::Caps, buffers: &[gst::Buffer]) -> f64 {
    let before = cpu_s();
    std::thread::scope(|scope| {
        for stream in 0..STREAMS {
            let folder = folder.join(stream.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            let sink = sink.replace("FOLDER", &folder.to_string_lossy());
            scope.spawn(move || feed(&sink, caps, buffers));
        }
    });
    let spent = cpu_s() - before;
    std::fs::remove_dir_all(folder).unwrap();
    spent / (STREAMS * MINUTES) as f64
}

fn main() {
    gst::init().unwrap();
    gstsegmentrecorder::register_static().unwrap();
    for needed in ["x264enc", "splitmuxsink", "mp4mux"] {
        if gst::ElementFactory::find(needed).is_none() {
            println!("SKIP: recording needs the element {needed}");
            return;
        }
    }
    let (caps, buffers) = clip();
    let bytes: usize = buffers.iter().map(|buffer| buffer.size()).sum();
    println!(
        "recording: {STREAMS} streams of {MINUTES} min, 640x360, 25 pictures/s, {:.1} Mbit/s, files of 60 s, fragments of 1 s",
        bytes as f64 * 8e-6 / CLIP_S as f64
    );
    let folder: PathBuf =
        std::env::temp_dir().join(format!("nvrd-bench-recording-{}", std::process::id()));
    let fragmented = "splitmuxsink location=FOLDER/%05d.mp4 max-size-time=60000000000 async-finalize=true \
         muxer-factory=mp4mux muxer-properties=\"properties,fragment-duration=1000\" \
         sink-properties=\"properties,buffer-mode=2\"";
    let variants = [
        ("feeding alone (fakesink)", "fakesink sync=false"),
        ("segmentrecorder", "segmentrecorder location=FOLDER"),
        (
            "segmentrecorder sync=none",
            "segmentrecorder location=FOLDER sync=none",
        ),
        (
            "segmentrecorder hash=false sync=none",
            "segmentrecorder location=FOLDER hash=false sync=none",
        ),
        ("splitmuxsink mp4mux fragmented, unbuffered", fragmented),
        (
            "splitmuxsink mp4mux, lost by a crash",
            "splitmuxsink location=FOLDER/%05d.mp4 max-size-time=60000000000",
        ),
    ];
    let mut best = [f64::INFINITY; 6];
    for _ in 0..ROUNDS {
        for (best, (_, sink)) in best.iter_mut().zip(variants) {
            *best = best.min(measure(sink, &folder, &caps, &buffers));
        }
    }
    for (best, (name, _)) in best.iter().zip(variants) {
        println!("recording: {name}: {best:.4} CPU s per stream-minute (least of {ROUNDS})");
    }
}
