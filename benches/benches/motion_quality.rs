//! How well motion is told, as a table: generated scenes with known truth, scored by the rules of the tests.
#![allow(
    clippy::print_stdout,
    reason = "the table is the output of a measurement"
)]

#[path = "../../gst-plugins/motiondetect/tests/support/mod.rs"]
mod support;

use gstmotiondetect::motiondetect::detector::{Config, Detector};
use gstmotiondetect::motiondetect::grid::Luma;
use support::scene::{Kind, Plan, Scene, WARM_UP};
use support::score::{Score, Seen, score};

const SIZES: [(usize, usize); 2] = [(640, 360), (1280, 720)];
const RATES: [f64; 4] = [5.0, 10.0, 15.0, 30.0];
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;
/// Seconds of each scene that are scored.
const SECONDS: f64 = 60.0;

const THINGS: [Kind; 4] = [Kind::Objects, Kind::Faint, Kind::Mixed, Kind::Traffic];
const EMPTY: [Kind; 9] = [
    Kind::Static,
    Kind::Night,
    Kind::Clock,
    Kind::Flicker,
    Kind::Shake,
    Kind::Sway,
    Kind::Lamp,
    Kind::Storm,
    Kind::Infrared,
];

/// What the detector scores on a kind of scene, over all seeds.
fn scored(kind: Kind, size: (usize, usize), fps: f64) -> Score {
    let (width, height) = size;
    let mut all = Score::default();
    for seed in SEEDS {
        let mut scene = Scene::new(Plan {
            kind,
            size,
            fps,
            seconds: SECONDS,
            seed,
        });
        let mut detector = Detector::new(Config::default());
        let mut seen = Vec::new();
        while let Some((t, picture, truth)) = scene.next() {
            let luma = Luma::new(picture, width, width, height).expect("the picture has its size");
            let outcome = detector.process(luma, Some((t * 1e9) as u64));
            if t >= WARM_UP {
                let boxes = outcome.regions.iter().map(|region| region.bbox);
                let (w, h) = (width as f64, height as f64);
                let found = boxes.map(|b| [b.x * w, b.y * h, b.w * w, b.h * h]);
                seen.push(Seen {
                    truth,
                    found: found.collect(),
                });
            }
        }
        all.add(score(&seen, fps));
    }
    all
}

fn row(cells: impl IntoIterator<Item = String>) {
    println!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
}

fn heading(first: &str, kinds: &[Kind]) {
    let names = kinds.iter().map(|kind| format!("{kind:?}").to_lowercase());
    row(std::iter::once(first.to_owned()).chain(names));
    row(std::iter::repeat_n("---".to_owned(), kinds.len() + 1));
}

fn main() {
    let settings: Vec<((usize, usize), f64)> = RATES
        .iter()
        .map(|&fps| (SIZES[0], fps))
        .chain([(SIZES[1], 15.0)])
        .collect();
    let name = |((w, h), fps): ((usize, usize), f64)| format!("{w}x{h} at {fps}");
    println!("# How well motion is told\n");
    println!(
        "`benches/motion-quality` makes this page: generated scenes of {SECONDS} s after {WARM_UP} s of learning,"
    );
    println!(
        "seeds {} to {}, the defaults of `motiondetect`.\n",
        SEEDS.start(),
        SEEDS.end()
    );
    println!(
        "F1 of pictures that move / share of things that a box meets (IoU 0.3) / share of boxes that meet a thing;"
    );
    println!(
        "two things of which one hides the other are one to whoever looks for change, and count as a miss.\n"
    );
    heading("scene", &THINGS);
    for &(size, fps) in &settings {
        let cells = THINGS.iter().map(|&kind| {
            let score = scored(kind, size, fps);
            format!(
                "{:.3} / {:.3} / {:.3}",
                score.f1(),
                score.recall(),
                score.precision()
            )
        });
        row(std::iter::once(name((size, fps))).chain(cells));
    }
    println!("\nFalse events in an hour of scenes in which nothing moves:\n");
    heading("scene", &EMPTY);
    for &(size, fps) in &settings {
        let cells = EMPTY.iter().map(|&kind| {
            let score = scored(kind, size, fps);
            format!("{:.0}", score.false_events_an_hour())
        });
        row(std::iter::once(name((size, fps))).chain(cells));
    }
}
