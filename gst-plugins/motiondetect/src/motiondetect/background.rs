//! The background model: what each cell looks like when nothing moves, and how far it strays by itself.

use super::absorb::NO_SECOND;
use super::fit::{Cells, Change};
use super::grid::Grid;
use super::loops::{self, Followed, Followers, Measure, Rates, Usual};
use super::simd::Level;

/// An envelope never gets narrower than this, grey levels to each side.
const MIN_ENVELOPE: f32 = 0.8;
/// How much of an envelope's width a residual may exceed it before it counts: swaying things outreach their past.
const ENVELOPE_REACH: f32 = 1.4;
/// Seconds that one picture teaches at most: with key frames alone a habit must outlast more of them.
const LONGEST_LESSON: f32 = 0.25;
/// Cells that stray more than this say nothing of the light.
const TRUSTED_SPAN: f32 = 10.0;
/// A learned envelope is at most this many times as wide as the mean difference: a swing is never much wider, a thing
/// that passed once is.
const HABIT: f32 = 3.0;

/// One picture compared with the background; differences in grey levels, per cell.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Difference, light and camera shift taken out.
    pub residual: Vec<f32>,
    /// Difference with only the light taken out: what is burnt into the picture does not shift. Empty for a camera at rest,
    /// whose shift is a fraction of a pixel.
    unshifted: Vec<f32>,
    /// That fraction, pixels.
    bend: (f32, f32),
}

/// How the camera sees the background now.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Look {
    /// Light, and the shift left over after whole pixels were taken out.
    pub change: Change,
    /// Whether the camera shakes.
    pub shaking: bool,
    /// Whole shift in pixels, to the right and downwards.
    pub shift: (f32, f32),
    /// Share of the local contrast by which a cell may differ more.
    pub tolerance: f32,
}

/// How the model follows a picture.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Seconds since the picture before.
    pub dt: f32,
    /// Pictures learned from so far, while learning; `None` afterwards.
    pub learned: Option<u32>,
    /// Whether the background follows the light of the whole picture.
    pub leak: bool,
    /// Seconds of quiet after which what came to stay belongs to the background.
    pub absorb: f32,
}

/// Share of a change that is followed in `dt` seconds with time constant `tau`.
fn follow(dt: f32, tau: f32) -> f32 {
    1.0 - (-dt / tau).exp()
}

/// The model; every array holds one value per cell, padded to whole groups.
#[derive(Debug)]
pub struct Background {
    grid: Grid,
    level: Level,
    pub(super) base: Vec<f32>,
    pub(super) high: Vec<f32>,
    pub(super) low: Vec<f32>,
    pub(super) slope_x: Vec<f32>,
    pub(super) slope_y: Vec<f32>,
    contrast: Vec<f32>,
    trusted: Vec<u8>,
    /// The value that `base` had before something was absorbed.
    pub(super) second: Vec<f32>,
    pub(super) second_hits: Vec<u8>,
    pub(super) seconds: Vec<u32>,
    pub(super) quiet: Vec<f32>,
    pub(super) busy: Vec<f32>,
    pub(super) lively: Vec<u32>,
    phase: usize,
    /// Sums of the magnitudes of differences while learning; empty afterwards.
    strayed: Vec<f32>,
    /// Pictures in those sums.
    learned_from: u32,
}

impl Background {
    /// The model after its first picture.
    pub fn new(grid: Grid, picture: &[f32], level: Level) -> Self {
        let len = grid.padded_len();
        let mut model = Self {
            grid,
            level,
            base: picture.to_vec(),
            high: vec![MIN_ENVELOPE; len],
            low: vec![-MIN_ENVELOPE; len],
            slope_x: vec![0.0; len],
            slope_y: vec![0.0; len],
            contrast: vec![0.0; len],
            trusted: vec![1; len],
            second: vec![0.0; len],
            second_hits: vec![NO_SECOND; len],
            seconds: Vec::new(),
            quiet: vec![0.0; len],
            busy: vec![0.0; len],
            lively: Vec::new(),
            phase: 0,
            strayed: vec![0.0; len],
            learned_from: 0,
        };
        for row in 0..grid.rows {
            model.refresh_slopes(row);
        }
        model
    }

    /// Every bit of the background and its envelopes, for tests.
    #[cfg(test)]
    pub fn bits(&self) -> Vec<u32> {
        let all = [&self.base, &self.high, &self.low].into_iter().flatten();
        all.map(|value| value.to_bits()).collect()
    }

    /// What a fit of light and shift reads, for the means of a picture.
    pub fn cells<'a>(&'a self, picture: &'a [f32]) -> Cells<'a> {
        Cells {
            picture,
            base: &self.base,
            slope_x: &self.slope_x,
            slope_y: &self.slope_y,
            trusted: &self.trusted,
        }
    }

    /// Compares a picture with the background; `weak` becomes 1 where `visible` is and the difference is above `threshold`.
    ///
    /// `shifted` holds the means of the picture with the whole pixels of the shift taken out.
    pub fn compare(
        &self,
        still: &[f32],
        shifted: &[f32],
        look: Look,
        sight: &mut Sight,
        marks: Marks<'_>,
    ) {
        sight.residual.resize(self.grid.padded_len(), 0.0);
        let usual = Usual {
            base: &self.base,
            slope_x: &self.slope_x,
            slope_y: &self.slope_y,
            contrast: &self.contrast,
            high: &self.high,
            low: &self.low,
            visible: marks.visible,
        };
        let measure = Measure {
            change: look.change,
            reach: ENVELOPE_REACH,
            tolerance: look.tolerance,
            threshold: marks.threshold,
        };
        sight.bend = (look.change.dx, look.change.dy);
        if look.shaking {
            sight.unshifted.resize(self.grid.padded_len(), 0.0);
            let out = [&mut sight.residual[..], &mut sight.unshifted[..]];
            self.level.run(|| {
                loops::compare_shaking([still, shifted], usual, measure, out, marks.weak);
            });
        } else {
            sight.unshifted.clear();
            let residual = &mut sight.residual;
            self.level
                .run(|| loops::compare(still, usual, measure, residual, marks.weak));
        }
    }

    /// Difference of a cell with only the light taken out.
    #[inline]
    fn unshifted(&self, sight: &Sight, index: usize) -> f32 {
        sight.unshifted.get(index).copied().unwrap_or_else(|| {
            let (dx, dy) = sight.bend;
            let bent = dx * self.slope_x[index] + dy * self.slope_y[index];
            sight.residual[index] - bent
        })
    }

    /// The whole background, padded.
    pub fn all(&self) -> &[f32] {
        &self.base
    }

    /// What a cell looks like in the light in which it was learned, grey levels.
    #[inline]
    pub fn base(&self, index: usize) -> f32 {
        self.base[index]
    }

    /// By how much a cell's difference exceeds what is usual there, grey levels.
    #[inline]
    pub fn excess(&self, index: usize, residual: f32, tolerance: f32) -> f32 {
        let above = residual - ENVELOPE_REACH * self.high[index];
        let below = ENVELOPE_REACH * self.low[index] - residual;
        above.max(below) - tolerance * self.contrast[index]
    }

    /// Whether a cell changed between two sights by more than its noise and `threshold`.
    #[inline]
    pub fn changed(
        &self,
        index: usize,
        now: &Sight,
        past: &Sight,
        threshold: f32,
        tolerance: f32,
    ) -> bool {
        let moved = (now.residual[index] - past.residual[index]).abs();
        let burnt = (self.unshifted(now, index) - self.unshifted(past, index)).abs();
        moved.min(burnt) > threshold + self.span(index) / 2.0 + tolerance * self.contrast[index]
    }

    pub(super) fn span(&self, index: usize) -> f32 {
        self.high[index] - self.low[index]
    }

    /// Follows a picture. `frozen` cells stay as they are, `weak` ones wait to be absorbed or to prove they only blink;
    /// `past` is an earlier sight, by which quiet is told. The answer is the share of the change of light that the
    /// background took over.
    pub fn update(&mut self, scene: Scene<'_>, look: Look, pace: Pace, threshold: f32) -> f32 {
        let step = pace.dt.min(LONGEST_LESSON);
        let share = follow(step, 6.63);
        let alpha = match (pace.learned, look.shaking) {
            (Some(_), true) => 0.0,
            (Some(pictures), false) => share.max(1.0 / (pictures as f32 + 1.0)),
            (None, true) => 0.2 * share,
            (None, false) => share,
        };
        let widen = 1.0 - f32::powf(0.75, pace.dt * 15.0);
        let leak = if pace.leak { follow(step, 9.49) } else { 0.0 };
        let Change { gain, offset, .. } = look.change;
        let light = Change {
            gain: leak * gain,
            offset: leak * offset,
            ..Change::default()
        };
        let learning = pace.learned.is_some();
        match pace.learned {
            Some(pictures) => {
                self.learned_from = pictures;
                loops::add_sizes(&mut self.strayed, &scene.sight.residual);
            }
            None => self.settle(),
        }
        let (widen_all, decay) = match pace.learned {
            Some(_) => (1.0 - f32::powf(0.3, pace.dt * 15.0), 0.0),
            None => (widen, follow(step, 30.0)),
        };
        let rates = Rates {
            alpha,
            leak: light,
            widen: widen_all,
            decay,
            floor: MIN_ENVELOPE,
            trusted_span: TRUSTED_SPAN,
            all: learning,
        };
        let cells = Followers {
            base: &mut self.base,
            high: &mut self.high,
            low: &mut self.low,
            trusted: &mut self.trusted,
        };
        let picture = Followed {
            residual: &scene.sight.residual,
            weak: scene.weak,
            frozen: scene.frozen,
            visible: scene.visible,
        };
        self.level.run(|| loops::follow(cells, picture, rates));
        for &index in &self.seconds {
            let value = &mut self.second[index as usize];
            *value += leak * (gain * (*value - 128.0) / 128.0 + offset);
        }
        if pace.learned.is_none() {
            self.calm(&scene, pace.dt);
            for &index in scene.list {
                self.foreground(index as usize, &scene, pace, threshold, widen);
            }
        }
        if look.shaking {
            self.drift(look.shift, (0.3 * pace.dt).min(0.1));
        }
        self.phase = (self.phase + 1) % 4;
        for row in (self.phase..self.grid.rows).step_by(4) {
            self.refresh_slopes(row);
        }
        leak
    }

    /// Ends learning: what passed through a cell once must not count as its habit, as a tree's swaying does.
    fn settle(&mut self) {
        let strayed = std::mem::take(&mut self.strayed);
        let share = HABIT / self.learned_from.max(1) as f32;
        let envelopes = self.high.iter_mut().zip(&mut self.low);
        for (sum, (high, low)) in strayed.into_iter().zip(envelopes) {
            let habit = (sum * share).max(MIN_ENVELOPE);
            *high = high.min(habit);
            *low = low.max(-habit);
        }
    }

    /// Moves the model a part of the way to where the camera looks now, so that a slow drift does not add up.
    fn drift(&mut self, (dx, dy): (f32, f32), share: f32) {
        let slopes = self.slope_x.iter().zip(&self.slope_y);
        for (base, (sx, sy)) in self.base.iter_mut().zip(slopes) {
            *base -= share * (dx * sx + dy * sy);
        }
        for &index in &self.seconds {
            let k = index as usize;
            self.second[k] -= share * (dx * self.slope_x[k] + dy * self.slope_y[k]);
        }
    }

    /// Makes the cells look like the picture: what is masked must not come back as a difference when the mask goes.
    pub fn adopt(&mut self, cells: &[u32], picture: &[f32], light: Change) {
        for &index in cells {
            let k = index as usize;
            self.base[k] = picture[k] - (light.lit(picture[k]) - picture[k]);
            (self.high[k], self.low[k]) = (MIN_ENVELOPE, -MIN_ENVELOPE);
            self.trusted[k] = 0;
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.grid.rows
    }

    pub(super) fn refresh_slopes(&mut self, row: usize) {
        let cols = self.grid.cols;
        let at = |row: usize| row * cols..(row + 1) * cols;
        let (up, down) = (row.saturating_sub(1), (row + 1).min(self.grid.rows - 1));
        let rows = [
            &self.base[at(up)],
            &self.base[at(row)],
            &self.base[at(down)],
        ];
        let scale = 0.5 / self.grid.cell as f32;
        let (slope_x, slope_y) = (&mut self.slope_x[at(row)], &mut self.slope_y[at(row)]);
        let contrast = &mut self.contrast[at(row)];
        self.level
            .run(|| loops::slopes(rows, scale, slope_x, slope_y, contrast));
    }
}

/// What a comparison marks, and where.
#[derive(Debug)]
pub struct Marks<'a> {
    /// 1 for cells that no mask hides.
    pub visible: &'a [u8],
    /// Grey levels beyond what is usual.
    pub threshold: f32,
    /// Set to 1 or 0.
    pub weak: &'a mut [u8],
}

/// What an update reads.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The picture, compared.
    pub sight: &'a Sight,
    /// An earlier one.
    pub past: Option<&'a Sight>,
    /// 1 for foreground cells.
    pub weak: &'a [u8],
    /// The indices of those.
    pub list: &'a [u32],
    /// 1 near what moves: the model must not learn it.
    pub frozen: &'a [u8],
    /// 1 for cells that no mask hides.
    pub visible: &'a [u8],
}
