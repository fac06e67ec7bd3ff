//! The motion detector as a whole: pictures and times in, moving regions out. Pure; knows nothing of GStreamer.

use nvr_contract::BBox;
use nvr_contract::polygon::{Polygon, Zone};

use super::grid::{Grid, Luma};
use super::model::Model;
use super::pace::Pace;
use super::simd::Level;
use super::zones::ZoneSet;

/// What a user may choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// 0 (only strong contrasts) to 1 (faint ones too); thresholds halve from 0 to 0.5 and again to 1.
    pub sensitivity: f64,
    /// The smallest moving region, as a share of the picture's area covered by its moving cells.
    pub min_area: f64,
    /// The largest moving region, likewise.
    pub max_area: f64,
    /// Nanoseconds of activity after which a region counts as moving.
    pub confirm_ns: u64,
    /// Nanoseconds for which a region that stands still goes on to count.
    pub hold_ns: u64,
    /// Nanoseconds of quiet after which a thing that came to stay belongs to the background.
    pub absorb_ns: u64,
    /// Nanoseconds of pictures from which the first background is learned.
    pub learn_ns: u64,
    /// Parts of the picture that are not looked at.
    pub masks: Vec<Polygon>,
    /// Named parts of the picture; at most 64 count.
    pub zones: Vec<Zone>,
    /// Whether regions outside all zones are left out; without zones nothing is.
    pub zones_only: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sensitivity: 0.5,
            min_area: 0.0,
            max_area: 1.0,
            confirm_ns: 130_000_000,
            hold_ns: 500_000_000,
            absorb_ns: 12_000_000_000,
            learn_ns: 4_000_000_000,
            masks: Vec::new(),
            zones: Vec::new(),
            zones_only: false,
        }
    }
}

/// Grey levels from which differences count, for one sensitivity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// A cell is foreground.
    pub weak: f32,
    /// A cell is clearly foreground.
    pub strong: f32,
    /// The strongest cell that a region must have.
    pub peak: f32,
    /// A cell changes.
    pub active: f32,
}

impl Thresholds {
    /// The thresholds of a sensitivity, 0..1.
    pub fn of(sensitivity: f64) -> Self {
        let scale = f64::exp2(1.0 - 2.0 * sensitivity.clamp(0.0, 1.0)) as f32;
        Self {
            weak: 2.0 * scale,
            strong: 3.5 * scale,
            peak: 6.0 * scale,
            active: 3.0 * scale,
        }
    }
}

/// A part of the picture that moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Where.
    pub bbox: BBox,
    /// How clear, 0..1: a half at the threshold.
    pub score: f64,
    /// The zones that it touches.
    pub zones: ZoneSet,
}

/// What a picture showed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Whether the background is still being learned; there are no regions as long.
    pub learning: bool,
    /// What moves.
    pub regions: Vec<Region>,
    /// Share (0..1) of the picture's cells that move.
    pub level: f64,
    /// The same of each zone's cells, in the order of the zones.
    pub zone_levels: Vec<f64>,
}

/// What the detector saw in the last picture, for a person to look at; one value per cell, padded.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The grid of cells.
    pub grid: Grid,
    /// 1 for foreground.
    pub weak: &'a [u8],
    /// 1 near what moves: the background is kept there.
    pub frozen: &'a [u8],
    /// The background, grey levels.
    pub base: &'a [f32],
    /// Parts that are not looked at.
    pub masks: &'a [Polygon],
    /// Named parts.
    pub zones: &'a [Zone],
}

/// Detects motion in pictures of one camera.
#[derive(Debug, Default)]
pub struct Detector {
    config: Config,
    pace: Pace,
    model: Option<Model>,
    level: Level,
}

impl Detector {
    /// A detector that has seen nothing.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            pace: Pace::default(),
            model: None,
            level: Level::default(),
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes the configuration; what was learned stays.
    pub fn set_config(&mut self, config: Config) {
        let redraw = (&config.masks, &config.zones) != (&self.config.masks, &self.config.zones);
        self.config = config;
        if let Some(model) = self.model.as_mut().filter(|_| redraw) {
            model.redraw(&self.config);
        }
    }

    /// What was seen in the last picture; `None` before the first.
    pub fn view(&self) -> Option<View<'_>> {
        let model = self.model.as_ref()?;
        Some(model.view(&self.config))
    }

    /// Forgets the background: the next picture begins to learn a new one.
    pub fn reset(&mut self) {
        self.model = None;
    }

    /// Forgets the last pictures, as after a seek; the background stays.
    pub fn interrupt(&mut self) {
        self.pace.restart();
        if let Some(model) = &mut self.model {
            model.interrupt();
        }
    }

    /// Takes in a picture with its presentation time stamp in nanoseconds.
    ///
    /// A picture of another size begins a new background. A time stamp that runs back or far ahead interrupts.
    pub fn process(&mut self, luma: Luma<'_>, pts_ns: Option<u64>) -> Outcome {
        let tick = self.pace.advance(pts_ns);
        match &mut self.model {
            Some(model) if model.fits(luma) => {
                if tick.jumped {
                    model.interrupt();
                }
                model.process(luma, tick, &self.config)
            }
            model => {
                *model = Some(Model::new(luma, &self.config, self.level));
                Outcome {
                    learning: true,
                    ..Outcome::default()
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A picture of a wall with noise, seen by a camera that may shake, with a box that crosses it.
    fn picture(
        (width, height): (usize, usize),
        n: usize,
        shake: usize,
        random: &mut u64,
    ) -> Vec<u8> {
        let wall = |x: usize, y: usize| (x * 7 % 61 + y * 5 % 47 + (x / 9 * y / 7) % 40) as u8;
        (0..width * height)
            .map(|k| {
                *random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let (x, y) = (k % width + shake * (n % 3), k / width);
                let thing = n > 25 && (4 * n - 90..4 * n - 70).contains(&x) && (8..30).contains(&y);
                wall(x, y) + if thing { 90 } else { 0 } + (*random >> 61) as u8
            })
            .collect()
    }

    #[test]
    fn what_stands_still_is_forgotten_after_its_time() {
        let check = |absorb_s: u64, expect: bool| {
            let mut detector = Detector::new(Config {
                learn_ns: 1_000_000_000,
                absorb_ns: absorb_s * 1_000_000_000,
                ..Config::default()
            });
            let (width, height) = (96, 64);
            for n in 0..120usize {
                // It comes in from the left and stops.
                let left = (4 * n).saturating_sub(160).min(40);
                let grey = |k: usize| {
                    let (x, y) = (k % width, k / width);
                    let thing = left > 0 && (left..left + 20).contains(&x) && (20..50).contains(&y);
                    if thing { 180 } else { 100 }
                };
                let data: Vec<u8> = (0..width * height).map(grey).collect();
                let luma =
                    Luma::new(&data, width, width, height).expect("the picture has its size");
                detector.process(luma, Some(n as u64 * 100_000_000));
            }
            let view = detector.view().expect("pictures were seen");
            let there = view.base[35 / view.grid.cell * view.grid.cols + 50 / view.grid.cell];
            assert_eq!(there > 140.0, expect, "{absorb_s} s: {there}");
        };
        check(2, true);
        check(60, false);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// The vectors of this processor and the plain loops see the same, bit by bit.
        #[test]
        fn every_level_sees_the_same(
            width in 16usize..140, height in 16usize..90, scale in prop::sample::select(vec![1usize, 3, 12]),
            shake in 0usize..3, seed in any::<u64>(),
        ) {
            let size = (width * scale, height);
            let config = Config { learn_ns: 1_000_000_000, ..Config::default() };
            let mut best = Detector::new(config.clone());
            let mut plain = Detector { level: Level::Plain, ..Detector::new(config) };
            let mut random = seed;
            for n in 0..40 {
                let data = picture(size, n, shake, &mut random);
                let luma = Luma::new(&data, size.0, size.0, size.1).expect("the picture has its size");
                let pts = Some(n as u64 * 66_000_000);
                prop_assert_eq!(best.process(luma, pts), plain.process(luma, pts));
            }
            let learned = |detector: &Detector| detector.model.as_ref().map(|model| model.learned_bits());
            prop_assert_eq!(learned(&best), learned(&plain));
        }
    }
}
