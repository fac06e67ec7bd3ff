//! How well motion is told on generated scenes: the floors that no change may fall below, at one configuration.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "allow-unwrap-in-tests does not reach helpers of integration tests, and the scores are worth a look"
)]

mod support;

use gstmotiondetect::motiondetect::detector::{Config, Detector};
use gstmotiondetect::motiondetect::grid::Luma;
use support::scene::{Kind, Plan, Scene, WARM_UP};
use support::score::{Rect, Score, Seen, score};

const SMALL: (usize, usize) = (640, 360);
const LARGE: (usize, usize) = (1280, 720);

/// What the detector scores on a scene.
fn scored(plan: Plan) -> Score {
    let (width, height) = plan.size;
    let mut scene = Scene::new(plan);
    let mut detector = Detector::new(Config::default());
    let mut seen = Vec::new();
    while let Some((t, picture, truth)) = scene.next() {
        let luma = Luma::new(picture, width, width, height).unwrap();
        let outcome = detector.process(luma, Some((t * 1e9) as u64));
        if t < WARM_UP {
            continue;
        }
        assert!(!outcome.learning, "{plan:?} still learns at {t} s");
        let pixels = |region: &gstmotiondetect::motiondetect::detector::Region| -> Rect {
            let (w, h) = (width as f64, height as f64);
            let at = region.bbox;
            [at.x * w, at.y * h, at.w * w, at.h * h]
        };
        let found = outcome.regions.iter().map(pixels).collect();
        seen.push(Seen { truth, found });
    }
    score(&seen, plan.fps)
}

/// The scores of a kind of scene over several seeds.
fn over(kind: Kind, size: (usize, usize), fps: f64, seconds: f64, seeds: &[u64]) -> Score {
    let mut all = Score::default();
    for &seed in seeds {
        all.add(scored(Plan {
            kind,
            size,
            fps,
            seconds,
            seed,
        }));
    }
    println!(
        "{kind:?} {size:?} at {fps}: F1 {:.3}, recall {:.3}, precision {:.3}, {:.0} false events an hour, {:?} passes",
        all.f1(),
        all.recall(),
        all.precision(),
        all.false_events_an_hour(),
        all.passes
    );
    all
}

/// An empty scene has no event, at either size and at the rates that cameras send.
#[track_caller]
fn empty(kind: Kind) {
    for (size, fps, seeds) in [
        (SMALL, 15.0, &[1, 2][..]),
        (LARGE, 15.0, &[3]),
        (SMALL, 5.0, &[4]),
        (SMALL, 10.0, &[5]),
        (SMALL, 30.0, &[1]),
    ] {
        let score = over(kind, size, fps, 30.0, seeds);
        assert_eq!(score.pictures, [0, 0, 0], "{kind:?} {size:?} at {fps}");
    }
}

/// Things are found: F1 of pictures, recall and precision of boxes.
#[track_caller]
fn found(kind: Kind, [f1, recall, precision]: [f64; 3], seeds: &[u64]) {
    let check = |size: (usize, usize), fps: f64, seeds: &[u64], slack: f64| {
        let score = over(kind, size, fps, 50.0, seeds);
        let floors = [
            (score.f1(), f1 - slack, "F1"),
            (score.recall(), recall - slack, "box recall"),
            (score.precision(), precision - slack, "box precision"),
        ];
        for (value, floor, name) in floors {
            assert!(
                value >= floor,
                "{kind:?} {size:?} at {fps}: {name} {value:.4}"
            );
        }
        assert_eq!(score.false_events, 0);
        assert_eq!(score.passes.0, score.passes.1, "a pass was missed");
    };
    check(SMALL, 15.0, seeds, 0.0);
    check(LARGE, 15.0, &seeds[..1], 0.0);
    check(SMALL, 30.0, &seeds[..1], 0.01);
    // Fewer pictures show less, and things leap between them.
    check(SMALL, 10.0, &seeds[..2], 0.01);
    check(SMALL, 5.0, &seeds[..2], 0.03);
}

#[test]
fn noise_is_no_motion() {
    empty(Kind::Static);
}

#[test]
fn noise_of_the_night_is_no_motion() {
    empty(Kind::Night);
}

#[test]
fn a_clock_is_no_motion() {
    empty(Kind::Clock);
}

#[test]
fn flicker_and_steps_of_the_light_are_no_motion() {
    empty(Kind::Flicker);
}

#[test]
fn gusts_are_no_motion() {
    empty(Kind::Shake);
}

#[test]
fn a_tree_in_the_wind_is_no_motion() {
    empty(Kind::Sway);
}

#[test]
fn a_lamp_is_no_motion() {
    empty(Kind::Lamp);
}

#[test]
fn lightning_and_exposure_are_no_motion() {
    empty(Kind::Storm);
}

#[test]
fn infrared_is_no_motion() {
    empty(Kind::Infrared);
}

#[test]
fn things_are_found() {
    found(Kind::Objects, [0.99, 0.96, 0.96], &[1, 3, 4, 5]);
}

#[test]
fn faint_things_are_found() {
    found(Kind::Faint, [0.99, 0.96, 0.97], &[1, 2, 3, 4]);
}

#[test]
fn things_in_a_stormy_night_are_found() {
    // Streets on which no thing goes hidden behind another: those two are one to whoever looks for change.
    found(Kind::Mixed, [0.99, 0.99, 0.98], &[8, 1, 4]);
}

#[test]
fn things_on_a_busy_road_are_found() {
    // Many go hidden here.
    found(Kind::Traffic, [0.99, 0.88, 0.95], &[2, 3, 4]);
}
