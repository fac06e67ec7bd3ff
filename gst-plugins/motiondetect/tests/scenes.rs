//! The detector on generated scenes, at several picture rates: empty ones give no motion, moving boxes are found.
#![allow(
    clippy::unwrap_used,
    reason = "allow-unwrap-in-tests does not reach helpers of integration tests"
)]

use gstmotiondetect::motiondetect::detector::{Config, Detector, Outcome};
use gstmotiondetect::motiondetect::grid::Luma;
use nvr_contract::BBox;
use nvr_contract::polygon::parse_masks;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
/// Around the wall, for scenes in which the camera shakes.
const MARGIN: usize = 8;
const RATES: [f64; 4] = [5.0, 10.0, 15.0, 30.0];
/// Seconds before anything moves; longer than learning takes at the slowest rate.
const QUIET: f64 = 10.0;

/// A small generator of reproducible noise.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Nearly normal, standard deviation 1: the sum of eight bytes.
    fn normal(&mut self) -> f64 {
        let bytes: u64 = self
            .next()
            .to_le_bytes()
            .iter()
            .map(|&b| u64::from(b))
            .sum();
        (bytes as f64 - 1020.0) / 209.0
    }
}

/// What disturbs the picture, and what moves in it.
#[derive(Clone, Copy)]
struct Scene {
    noise: f64,
    /// Light of the picture at a time, 1 is normal.
    light: fn(f64) -> f64,
    /// Shift of the camera at a time, pixels.
    shift: fn(f64) -> (f64, f64),
    /// Shift of the tree's leaves at a time, pixels.
    sway: fn(f64) -> f64,
    clock: bool,
    /// Left edge, pixels a second and contrast of boxes that set out every 8.7 seconds.
    boxes: Option<(f64, f64)>,
    /// Seconds before the first box.
    quiet: f64,
}

const STILL: Scene = Scene {
    noise: 3.0,
    light: |_| 1.0,
    shift: |_| (0.0, 0.0),
    sway: |_| 0.0,
    clock: false,
    boxes: None,
    quiet: QUIET,
};

/// The box that is in the picture at a time, in pixels.
fn box_at(scene: Scene, t: f64) -> Option<(f64, f64, f64, f64)> {
    let (speed, _) = scene.boxes?;
    let since = (t - scene.quiet - 1.0).rem_euclid(8.7);
    let x = -24.0 + speed * since;
    (t > scene.quiet + 1.0 && x < WIDTH as f64).then_some((x, 90.0, 24.0, 40.0))
}

/// A wall with texture of several scales, and a tree on its right.
fn wall(random: &mut Random) -> Vec<f64> {
    let (width, height) = (WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN);
    let mut wall = vec![110.0; width * height];
    for (side, strength) in [(32, 14.0), (9, 9.0), (3, 5.0)] {
        let columns = width / side + 2;
        let knots: Vec<f64> = (0..columns * (height / side + 2))
            .map(|_| strength * random.normal())
            .collect();
        for (k, value) in wall.iter_mut().enumerate() {
            let (x, y) = (
                (k % width) as f64 / side as f64,
                (k / width) as f64 / side as f64,
            );
            let (column, row, fx, fy) = (x as usize, y as usize, x.fract(), y.fract());
            let at = |dx: usize, dy: usize| knots[(row + dy) * columns + column + dx];
            let upper = at(0, 0) * (1.0 - fx) + at(1, 0) * fx;
            let lower = at(0, 1) * (1.0 - fx) + at(1, 1) * fx;
            *value += upper * (1.0 - fy) + lower * fy;
        }
    }
    wall
}

fn sample(wall: &[f64], x: f64, y: f64) -> f64 {
    let width = WIDTH + 2 * MARGIN;
    let (x, y) = (x + MARGIN as f64, y + MARGIN as f64);
    let (column, row, fx, fy) = (x as usize, y as usize, x.fract(), y.fract());
    let at = |dx: usize, dy: usize| wall[(row + dy) * width + column + dx];
    if fx == 0.0 && fy == 0.0 {
        return at(0, 0);
    }
    let upper = at(0, 0) * (1.0 - fx) + at(1, 0) * fx;
    let lower = at(0, 1) * (1.0 - fx) + at(1, 1) * fx;
    upper * (1.0 - fy) + lower * fy
}

fn render(scene: Scene, wall: &[f64], t: f64, noise: &[f64], picture: &mut [u8]) {
    let (shift_x, shift_y) = (scene.shift)(t);
    let (light, sway) = ((scene.light)(t), (scene.sway)(t));
    let thing = box_at(scene, t).zip(scene.boxes);
    // Seven segments of eight digits, some of which change each second.
    let digits = 0x9e37_79b9u64.wrapping_mul(t as u64 + 1);
    for (k, out) in picture.iter_mut().enumerate() {
        let (x, y) = ((k % WIDTH) as f64, (k / WIDTH) as f64);
        let tree = (240.0..290.0).contains(&x) && (30.0..100.0).contains(&y);
        let bend = if tree { sway } else { 0.0 };
        let mut value = sample(wall, x - shift_x + bend, y - shift_y);
        if let Some(((left, top, w, h), (_, contrast))) = thing {
            let inside = (left..left + w).contains(&(x - shift_x))
                && (top..top + h).contains(&(y - shift_y));
            if inside {
                // Opaque but for a quarter: what adds to the wall and leaves its texture is light, and no thing.
                let own = contrast * (1.0 + 0.3 * ((x - left) / 4.0).sin());
                value = 0.25 * value + 0.75 * 110.0 + own;
            }
        }
        value = 16.0 + (value - 16.0) * light + noise[k];
        let (column, row) = (k % WIDTH, k / WIDTH);
        if scene.clock && (6..16).contains(&row) && (6..86).contains(&column) {
            let segment = (column - 6) / 5 + (row - 6) / 5 * 16;
            value = if digits >> segment & 1 == 1 {
                230.0
            } else {
                20.0
            };
        }
        *out = value.clamp(0.0, 255.0) as u8;
    }
}

/// As much noise as a picture needs, wherever in it the picture begins.
const BANK: usize = WIDTH * HEIGHT + 4096;

/// Runs a scene for `seconds` and shows each outcome with its time.
fn run(scene: Scene, fps: f64, seconds: f64, config: Config, mut see: impl FnMut(f64, &Outcome)) {
    let mut random = Random(0x5eed_0001 + fps.to_bits());
    let wall = wall(&mut random);
    let noise: Vec<f64> = (0..BANK).map(|_| scene.noise * random.normal()).collect();
    let mut detector = Detector::new(config);
    let mut picture = vec![0; WIDTH * HEIGHT];
    for n in 0..(seconds * fps) as u64 {
        let t = n as f64 / fps;
        let start = (random.next() % 4096) as usize;
        render(scene, &wall, t, &noise[start..], &mut picture);
        let luma = Luma::new(&picture, WIDTH, WIDTH, HEIGHT).unwrap();
        see(t, &detector.process(luma, Some((t * 1e9) as u64)));
    }
}

/// An empty scene gives no motion.
#[track_caller]
fn empty(scene: Scene, config: &Config) {
    for fps in RATES {
        let mut learned = false;
        run(scene, fps, 27.0, config.clone(), |t, outcome| {
            learned |= !outcome.learning;
            assert_eq!(outcome.regions, [], "{fps} pictures a second, at {t} s");
            assert!(
                t < QUIET || !outcome.learning,
                "{fps} pictures a second: still learning at {t} s"
            );
        });
        assert!(learned);
    }
}

#[test]
fn noise_is_no_motion() {
    empty(STILL, &Config::default());
    empty(
        Scene {
            noise: 8.0,
            ..STILL
        },
        &Config::default(),
    );
}

#[test]
fn light_is_no_motion() {
    let step = |t: f64| if (15.0..25.0).contains(&t) { 0.7 } else { 1.0 };
    empty(
        Scene {
            light: step,
            ..STILL
        },
        &Config::default(),
    );
    let flicker = |t: f64| 1.0 + 0.03 * (10.7 * t).sin() + 0.06 * (0.3 * t).sin();
    empty(
        Scene {
            light: flicker,
            ..STILL
        },
        &Config::default(),
    );
}

#[test]
fn swaying_is_no_motion() {
    let sway = |t: f64| 1.2 * (2.8 * t).sin() * (1.0 + 0.5 * (0.7 * t).sin());
    empty(Scene { sway, ..STILL }, &Config::default());
}

#[test]
fn a_clock_in_the_picture_is_no_motion() {
    empty(
        Scene {
            clock: true,
            ..STILL
        },
        &Config::default(),
    );
}

#[test]
fn a_shaking_camera_is_no_motion() {
    let shift = |t: f64| {
        let gust = if t.rem_euclid(6.0) < 1.2 { 1.6 } else { 0.0 };
        (gust * (25.8 * t).sin(), 0.6 * gust * (33.3 * t).sin())
    };
    empty(Scene { shift, ..STILL }, &Config::default());
    empty(
        Scene {
            shift,
            clock: true,
            ..STILL
        },
        &Config::default(),
    );
}

#[test]
fn a_masked_box_is_no_motion() {
    let masks = parse_masks("0,0.4 1,0.4 1,0.8 0,0.8").unwrap();
    let config = Config {
        masks,
        ..Config::default()
    };
    empty(
        Scene {
            boxes: Some((60.0, 60.0)),
            ..STILL
        },
        &config,
    );
}

/// Moving boxes are found where they are, and nothing where they are not.
#[track_caller]
fn found(scene: Scene) {
    for fps in RATES {
        let (mut inside, mut hits, mut outside, mut false_alarms) = (0, 0, 0, 0);
        run(scene, fps, 36.0, Config::default(), |t, outcome| {
            let share = |(x, y, w, h): (f64, f64, f64, f64)| {
                let (pw, ph) = (WIDTH as f64, HEIGHT as f64);
                BBox::clamped(x / pw, y / ph, w / pw, h / ph)
            };
            let truth = box_at(scene, t).map(share);
            let before = box_at(scene, t - 0.6);
            match truth {
                // From half of it in the picture on.
                Some(truth) if truth.w * WIDTH as f64 >= 12.0 && before.is_some() => {
                    inside += 1;
                    hits += usize::from(outcome.regions.iter().any(|r| r.bbox.iou(truth) >= 0.3));
                }
                None if before.is_none() => {
                    outside += 1;
                    false_alarms += usize::from(!outcome.regions.is_empty());
                }
                _ => {}
            }
        });
        assert!(inside >= 20 && outside >= 40, "{inside} {outside}");
        assert!(
            hits * 100 >= inside * 92,
            "{fps} pictures a second: {hits} of {inside} found"
        );
        assert_eq!(
            false_alarms, 0,
            "{fps} pictures a second: {false_alarms} of {outside} empty pictures"
        );
    }
}

#[test]
fn boxes_are_found() {
    found(Scene {
        boxes: Some((60.0, 60.0)),
        ..STILL
    });
}

#[test]
fn faint_slow_and_fast_boxes_are_found() {
    found(Scene {
        boxes: Some((60.0, 14.0)),
        ..STILL
    });
    found(Scene {
        boxes: Some((45.0, -30.0)),
        ..STILL
    });
    found(Scene {
        boxes: Some((110.0, -40.0)),
        ..STILL
    });
}

#[test]
fn boxes_are_found_in_changing_light_beside_a_clock() {
    let light = |t: f64| 1.0 + 0.03 * (10.7 * t).sin() + 0.06 * (0.3 * t).sin();
    found(Scene {
        light,
        clock: true,
        boxes: Some((60.0, 50.0)),
        ..STILL
    });
}

#[test]
fn key_frames_alone_show_motion() {
    let moving = |scene: Scene| {
        let (mut moving, mut looked) = (0, 0);
        run(scene, 0.5, 160.0, Config::default(), |t, outcome| {
            looked += usize::from(!outcome.learning && t > 42.0);
            moving += usize::from(!outcome.regions.is_empty());
        });
        assert!(looked >= 50, "{looked}");
        (moving, looked)
    };
    let (seen, looked) = moving(Scene {
        boxes: Some((40.0, 60.0)),
        quiet: 40.0,
        ..STILL
    });
    assert!(seen * 10 >= looked * 7, "{seen} of {looked}");
    let (seen, looked) = moving(Scene {
        clock: true,
        ..STILL
    });
    assert!(seen * 8 <= looked, "{seen} of {looked}");
}
