//! What motion detection costs a picture, beside one pass over the same bytes that nobody can do without.
//!
//! Pictures lie in more memory than the caches hold, as those that come from a decoder do.
#![allow(
    clippy::print_stdout,
    reason = "the figures are the output of a measurement"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

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

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// One line: both in the same run, picture by picture in turn, so that the machine's mood touches both alike.
fn ratio(width: usize, height: usize, pictures: &[Vec<u8>]) {
    let mut detector = Detector::new(Config::default());
    let mut background = pictures[0].clone();
    let (mut ours, mut limit, mut moving) = (Vec::new(), Vec::new(), 0);
    for n in 0..WARM_UP + 450 {
        let at = n as usize % pictures.len();
        let luma =
            Luma::new(&pictures[at], width, width, height).expect("the picture has its size");
        let began = Instant::now();
        let outcome = black_box(detector.process(luma, Some(n * STEP)));
        let between = Instant::now();
        // Another picture: that one is in the cache now.
        reference(
            &mut background,
            black_box(&pictures[(at + pictures.len() / 2) % pictures.len()]),
        );
        black_box(&background);
        if n >= WARM_UP {
            ours.push(between - began);
            limit.push(between.elapsed());
            moving += usize::from(!outcome.regions.is_empty());
        }
    }
    let share = moving as f64 * 100.0 / ours.len() as f64;
    let (ours, limit) = (median(ours), median(limit));
    println!(
        "motiondetect {width}x{height}: {ours:.0} us a picture, reference pass {limit:.0} us, ratio {:.2} ({share:.0} % moving)",
        ours / limit
    );
}

fn main() {
    for (width, height) in SIZES {
        ratio(width, height, &pictures(width, height));
    }
}
