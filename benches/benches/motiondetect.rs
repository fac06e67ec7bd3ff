//! What motion detection costs a picture, beside one pass over the same bytes that nobody can do without.
//!
//! Pictures lie in more memory than the caches hold, as those that come from a decoder do.
#![allow(
    clippy::print_stdout,
    reason = "the figures are the output of a measurement"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstmotiondetect::motiondetect::detector::{Config, Detector};
use gstmotiondetect::motiondetect::grid::Luma;

const SIZES: [(usize, usize); 3] = [(640, 360), (1280, 720), (1920, 1080)];
/// Bytes of distinct pictures.
const COLD: usize = 160 << 20;
/// Nanoseconds between pictures.
const STEP: u64 = 66_666_667;
/// Pictures before the first is measured: the background is learned, the boxes move.
const WARM_UP: u64 = 150;

/// Pictures of one scene: a textured wall with noise, and two boxes that cross it once through the whole list.
fn pictures(width: usize, height: usize) -> Vec<Vec<u8>> {
    let mut random = 0x5eed_u64;
    let count = (COLD / (width * height)).clamp(60, 300);
    (0..count)
        .map(|n| {
            let mut picture = vec![0; width * height];
            for (k, value) in picture.iter_mut().enumerate() {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let (x, y) = ((k % width) as f32, (k / width) as f32);
                let wall = 110.0 + 35.0 * (x / 41.0).sin() + 25.0 * (y / 29.0).cos();
                // Nothing but the wall for the first third: what is learned first is the background.
                let boxes = [(0.25, 0.10), (0.60, 0.15)].iter().any(|&(top, side)| {
                    let (w, h) = (width as f32, height as f32);
                    let left = (n as f32 / count as f32 - 0.33) * 1.5 * w;
                    n * 3 > count
                        && (left..left + side * h).contains(&x)
                        && (top * h..(top + side) * h).contains(&y)
                });
                *value = (wall + if boxes { 45.0 } else { 0.0 }) as u8 + (random >> 61) as u8;
            }
            picture
        })
        .collect()
}

/// The limit: each byte read once, an 8-bit background moved one step towards it.
fn reference(background: &mut [u8], picture: &[u8]) {
    for (b, &c) in background.iter_mut().zip(picture) {
        *b = if c > *b {
            *b + 1
        } else {
            *b - u8::from(c < *b)
        };
    }
}

/// The same, and what differs by more than 25 grey levels is counted in cells of 8x8: the least that a detector which
/// looks at every pixel does.
fn counting(background: &mut [u8], picture: &[u8], width: usize, cells: &mut [u16]) {
    cells.fill(0);
    let mut marks = vec![0u8; width];
    for (row, (line, below)) in picture
        .chunks(width)
        .zip(background.chunks_mut(width))
        .enumerate()
    {
        for ((mark, b), &c) in marks.iter_mut().zip(below).zip(line) {
            *mark = u8::from(b.abs_diff(c) > 25);
            *b = (*b + u8::from(c > *b)) - u8::from(c < *b);
        }
        let counts = &mut cells[row / 8 * (width / 8)..];
        for (count, marks) in counts.iter_mut().zip(marks.as_chunks::<8>().0) {
            *count += marks.iter().map(|&mark| u16::from(mark)).sum::<u16>();
        }
    }
}

/// The least and the median, microseconds: others work on the machine too.
fn least_and_median(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let us = |at: usize| times[at].as_secs_f64() * 1e6;
    (us(times.len() / 20), us(times.len() / 2))
}

/// The detector alone beside both passes: in the same run, picture by picture in turn, so that the machine's mood
/// touches all alike.
fn ratio(width: usize, height: usize, pictures: &[Vec<u8>]) {
    let mut detector = Detector::new(Config::default());
    let mut background = pictures[0].clone();
    let mut cells = vec![0; (width / 8) * height.div_ceil(8)];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    let mut moving = 0;
    for n in 0..WARM_UP + 600 {
        let at = n as usize % pictures.len();
        let luma =
            Luma::new(&pictures[at], width, width, height).expect("the picture has its size");
        // Other pictures: that one is in the cache now.
        let other = |part: usize| &pictures[(at + pictures.len() * part / 3) % pictures.len()];
        let began = Instant::now();
        let outcome = black_box(detector.process(luma, Some(n * STEP)));
        let looked = Instant::now();
        reference(&mut background, black_box(other(1)));
        black_box(&background);
        let passed = Instant::now();
        counting(&mut background, black_box(other(2)), width, &mut cells);
        black_box((&background, &cells));
        if n >= WARM_UP {
            times[0].push(looked - began);
            times[1].push(passed - looked);
            times[2].push(passed.elapsed());
            moving += usize::from(!outcome.regions.is_empty());
        }
    }
    let share = moving as f64 * 100.0 / times[0].len() as f64;
    let [ours, pass, counted] = times.map(least_and_median);
    println!(
        "motiondetect {width}x{height}: {:.0} us a picture (median {:.0}); pass {:.0} us ({:.0}), ratio {:.2} ({:.2}); counting pass {:.0} us ({:.0}), ratio {:.2} ({:.2}); {share:.0} % moving",
        ours.0,
        ours.1,
        pass.0,
        pass.1,
        ours.0 / pass.0,
        ours.1 / pass.1,
        counted.0,
        counted.1,
        ours.0 / counted.0,
        ours.1 / counted.1,
    );
}

/// Time to push pictures into a chain that ends in a `fakesink`, with or without the element.
fn pushed(width: usize, height: usize, buffers: &[gst::Buffer], with: bool) -> Vec<Duration> {
    let make = |name: &str| {
        gst::ElementFactory::make(name)
            .build()
            .expect("the element is there")
    };
    let (element, sink) = (
        make(if with { "motiondetect" } else { "identity" }),
        make("fakesink"),
    );
    sink.set_property("sync", false);
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&element, &sink]).expect("both are new");
    element.link(&sink).expect("both take any caps");
    let source = gst::Pad::builder(gst::PadDirection::Src)
        .name("pictures")
        .build();
    let target = element.static_pad("sink").expect("it has a sink pad");
    source.set_active(true).expect("the pad is new");
    source.link(&target).expect("the pad is free");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "GRAY8")
        .field("width", width as i32)
        .field("height", height as i32)
        .field("framerate", gst::Fraction::new(15, 1))
        .build();
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    source.push_event(gst::event::StreamStart::new("pictures"));
    source.push_event(gst::event::Caps::new(&caps));
    source.push_event(gst::event::Segment::new(&segment));
    let mut times = Vec::new();
    for n in 0..WARM_UP + 450 {
        let mut buffer = buffers[n as usize % buffers.len()].clone();
        let time = gst::ClockTime::from_nseconds(n * STEP);
        buffer.make_mut().set_pts(time);
        let began = Instant::now();
        source.push(buffer).expect("the chain takes it");
        if n >= WARM_UP {
            times.push(began.elapsed());
        }
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    times
}

/// What the element costs in a pipeline: the chain with it less the chain without.
fn element(width: usize, height: usize, pictures: Vec<Vec<u8>>) {
    let buffers: Vec<gst::Buffer> = pictures
        .into_iter()
        .map(gst::Buffer::from_mut_slice)
        .collect();
    let [with, without] =
        [true, false].map(|with| least_and_median(pushed(width, height, &buffers, with)));
    println!(
        "motiondetect {width}x{height} in a pipeline: {:.0} us a picture (median {:.0})",
        with.0 - without.0,
        with.1 - without.1
    );
}

fn main() {
    gst::init().expect("GStreamer starts");
    gstmotiondetect::register_static().expect("the element registers");
    for (width, height) in SIZES {
        let pictures = pictures(width, height);
        ratio(width, height, &pictures);
        element(width, height, pictures);
    }
}
