//! The background model: what each cell looks like when nothing moves, and how far it strays by itself.

use super::fit::{Cells, Change};
use super::grid::{Grid, LANES};

/// An envelope never gets narrower than this, grey levels to each side.
const MIN_ENVELOPE: f32 = 0.8;
/// How much of an envelope's width a residual may exceed it before it counts: swaying things outreach their past.
const ENVELOPE_REACH: f32 = 1.4;
/// Cells that stray more than this say nothing of the light.
const TRUSTED_SPAN: f32 = 10.0;
/// Seconds of quiet after which a thing that was put down belongs to the background.
const ABSORB_AFTER: f32 = 12.0;
/// Seconds of being foreground after which a cell's envelope widens: it blinks, it does not pass.
const BLINK_AFTER: f32 = 1.0;

/// One picture compared with the background; differences in grey levels, per cell.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Difference, light and camera shift taken out.
    pub residual: Vec<f32>,
    /// Difference with only the light taken out: what is burnt into the picture does not shift.
    pub unshifted: Vec<f32>,
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
}

type Group = [f32; LANES];

fn groups(values: &[f32]) -> &[Group] {
    values.as_chunks().0
}

/// Share of a change that is followed in `dt` seconds with time constant `tau`.
fn follow(dt: f32, tau: f32) -> f32 {
    1.0 - (-dt / tau).exp()
}

/// The model; every array holds one value per cell, padded to whole groups.
#[derive(Debug)]
pub struct Background {
    grid: Grid,
    base: Vec<f32>,
    high: Vec<f32>,
    low: Vec<f32>,
    slope_x: Vec<f32>,
    slope_y: Vec<f32>,
    contrast: Vec<f32>,
    trusted: Vec<u8>,
    /// The value that `base` had before something was absorbed.
    second: Vec<f32>,
    second_hits: Vec<u8>,
    seconds: Vec<u32>,
    quiet: Vec<f32>,
    busy: Vec<f32>,
    lively: Vec<u32>,
    phase: usize,
}

/// `second_hits` of a cell without a second value.
const NO_SECOND: u8 = u8::MAX;

impl Background {
    /// The model after its first picture.
    pub fn new(grid: Grid, picture: &[f32]) -> Self {
        let len = grid.padded_len();
        let mut model = Self {
            grid,
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
        };
        for row in 0..grid.rows {
            model.refresh_slopes(row);
        }
        model
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
        let len = self.grid.padded_len();
        sight.residual.resize(len, 0.0);
        sight.unshifted.resize(len, 0.0);
        if look.shaking {
            self.compare_groups::<true>([still, shifted], look, sight, marks);
        } else {
            self.compare_groups::<false>([still, shifted], look, sight, marks);
        }
    }

    fn compare_groups<const SHAKING: bool>(
        &self,
        [still, shifted]: [&[f32]; 2],
        look: Look,
        sight: &mut Sight,
        marks: Marks<'_>,
    ) {
        let Marks {
            visible,
            threshold,
            weak,
        } = marks;
        let (still, shifted, base) = (groups(still), groups(shifted), groups(&self.base));
        let (slope_x, slope_y, contrast) = (
            groups(&self.slope_x),
            groups(&self.slope_y),
            groups(&self.contrast),
        );
        let (high, low) = (groups(&self.high), groups(&self.low));
        let visible = visible.as_chunks::<LANES>().0;
        let outputs = sight.residual.as_chunks_mut::<LANES>().0.iter_mut();
        let outputs = outputs.zip(sight.unshifted.as_chunks_mut::<LANES>().0);
        let Change { dx, dy, .. } = look.change;
        for (i, ((residual, unshifted), weak)) in
            outputs.zip(weak.as_chunks_mut::<LANES>().0).enumerate()
        {
            let (c, b, sx, sy) = (still[i], base[i], slope_x[i], slope_y[i]);
            let (hi, lo, gm, seen) = (high[i], low[i], contrast[i], visible[i]);
            let (mut r, mut q, mut w) = (Group::default(), Group::default(), [0u8; LANES]);
            for l in 0..LANES {
                let lit = look.change.lit(b[l]);
                let bent = dx * sx[l] + dy * sy[l];
                q[l] = c[l] - lit;
                r[l] = q[l] + bent;
                if SHAKING {
                    let moved = shifted[i][l] - lit + bent;
                    r[l] = if moved.abs() < q[l].abs() {
                        moved
                    } else {
                        q[l]
                    };
                }
                let (above, below) = (r[l] - ENVELOPE_REACH * hi[l], ENVELOPE_REACH * lo[l] - r[l]);
                let excess = if above > below { above } else { below };
                w[l] = u8::from(excess - look.tolerance * gm[l] > threshold) & seen[l];
            }
            *residual = r;
            *unshifted = q;
            *weak = w;
        }
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
        let burnt = (now.unshifted[index] - past.unshifted[index]).abs();
        moved.min(burnt) > threshold + self.span(index) / 2.0 + tolerance * self.contrast[index]
    }

    fn span(&self, index: usize) -> f32 {
        self.high[index] - self.low[index]
    }

    /// Explains a foreground cell by its second value, where that fits; two pictures in a row make it the first.
    ///
    /// `pictures` are the still and the shifted means. Whether the cell is explained.
    pub fn explain(
        &mut self,
        index: usize,
        pictures: [f32; 2],
        look: Look,
        sight: &mut Sight,
        threshold: f32,
    ) -> bool {
        if self.second_hits[index] == NO_SECOND {
            return false;
        }
        let lit = look.change.lit(self.second[index]);
        let bent = look.change.dx * self.slope_x[index] + look.change.dy * self.slope_y[index];
        let (still, moved) = (pictures[0] - lit, pictures[1] - lit + bent);
        let other = if moved.abs() < still.abs() {
            moved
        } else {
            still
        };
        let usual = self.low[index] - threshold..self.high[index] + threshold;
        if other.abs() >= 0.4 * sight.residual[index].abs() || !usual.contains(&other) {
            self.second_hits[index] = 0;
            return false;
        }
        sight.residual[index] = other;
        self.second_hits[index] += 1;
        if self.second_hits[index] >= 2 {
            self.second_hits[index] = 0;
            std::mem::swap(&mut self.base[index], &mut self.second[index]);
            self.quiet[index] = 0.0;
        }
        true
    }

    /// Follows a picture. `frozen` cells stay as they are, `weak` ones wait to be absorbed or to prove they only blink;
    /// `past` is an earlier sight, by which quiet is told. The answer is the share of the change of light that the
    /// background took over.
    pub fn update(&mut self, scene: Scene<'_>, look: Look, pace: Pace, threshold: f32) -> f32 {
        let share = follow(pace.dt, 6.63);
        let alpha = match (pace.learned, look.shaking) {
            (Some(_), true) => 0.0,
            (Some(pictures), false) => share.max(1.0 / (pictures as f32 + 1.0)),
            (None, true) => 0.2 * share,
            (None, false) => share,
        };
        let widen = 1.0 - f32::powf(0.75, pace.dt * 15.0);
        let rates = match pace.learned {
            Some(_) => Rates {
                alpha,
                widen: 1.0 - f32::powf(0.3, pace.dt * 15.0),
                decay: 0.0,
                freeze: 0,
            },
            None => Rates {
                alpha,
                widen,
                decay: follow(pace.dt, 30.0),
                freeze: u8::MAX,
            },
        };
        let leak = if pace.leak {
            follow(pace.dt, 9.49)
        } else {
            0.0
        };
        let Change { gain, offset, .. } = look.change;
        self.follow_groups(&scene, rates, (leak * gain, leak * offset));
        for &index in &self.seconds {
            let value = &mut self.second[index as usize];
            *value += leak * (gain * (*value - 128.0) / 128.0 + offset);
        }
        if pace.learned.is_none() {
            self.calm(&scene, pace.dt);
            for &index in scene.list {
                self.foreground(index as usize, &scene, pace.dt, threshold, widen);
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

    fn follow_groups(
        &mut self,
        scene: &Scene<'_>,
        rates: Rates,
        (leak_gain, leak_offset): (f32, f32),
    ) {
        let Rates {
            alpha,
            widen,
            decay,
            freeze,
        } = rates;
        let residual = groups(&scene.sight.residual);
        let (weak, frozen) = (
            scene.weak.as_chunks::<LANES>().0,
            scene.frozen.as_chunks::<LANES>().0,
        );
        let visible = scene.visible.as_chunks::<LANES>().0;
        let models = self.base.as_chunks_mut::<LANES>().0.iter_mut();
        let envelopes = self
            .high
            .as_chunks_mut::<LANES>()
            .0
            .iter_mut()
            .zip(self.low.as_chunks_mut::<LANES>().0);
        let trusted = self.trusted.as_chunks_mut::<LANES>().0;
        for (i, ((base, (high, low)), trusted)) in models.zip(envelopes).zip(trusted).enumerate() {
            let (r, w, f, v) = (residual[i], weak[i], frozen[i], visible[i]);
            let (mut b, mut hi, mut lo, mut t) = (*base, *high, *low, [0u8; LANES]);
            for l in 0..LANES {
                let free = (w[l] | f[l]) & freeze == 0;
                let over = if r[l] > hi[l] { r[l] - hi[l] } else { 0.0 };
                let under = if r[l] < lo[l] { r[l] - lo[l] } else { 0.0 };
                let mut up = hi[l] + widen * over;
                let mut down = lo[l] + widen * under;
                up -= decay * (up - MIN_ENVELOPE);
                down -= decay * (down + MIN_ENVELOPE);
                let nearer = b[l] + alpha * r[l];
                hi[l] = if free { up } else { hi[l] };
                lo[l] = if free { down } else { lo[l] };
                b[l] = if free { nearer } else { b[l] };
                b[l] += leak_gain * (b[l] - 128.0) * (1.0 / 128.0) + leak_offset;
                t[l] = u8::from(hi[l] - lo[l] <= TRUSTED_SPAN) & v[l] & (w[l] ^ 1);
            }
            (*base, *high, *low, *trusted) = (b, hi, lo, t);
        }
    }

    /// Lets the counters of cells that are foreground no more run down.
    fn calm(&mut self, scene: &Scene<'_>, dt: f32) {
        let (quiet, busy) = (&mut self.quiet, &mut self.busy);
        self.lively.retain(|&index| {
            let k = index as usize;
            if scene.weak[k] == 0 {
                quiet[k] = if scene.frozen[k] == 0 {
                    (quiet[k] - dt).max(0.0)
                } else {
                    0.0
                };
                if scene.frozen[k] == 0 {
                    busy[k] = (busy[k] - 0.1 * dt).max(0.0);
                }
            }
            quiet[k] > 0.0 || busy[k] > 0.0
        });
    }

    fn foreground(&mut self, k: usize, scene: &Scene<'_>, dt: f32, threshold: f32, widen: f32) {
        // A cell enters the list once: `calm` has just dropped those whose counters are both zero.
        let idle = self.quiet[k] == 0.0 && self.busy[k] == 0.0;
        let r = scene.sight.residual[k];
        if let Some(past) = scene.past {
            let still = (r - past.residual[k]).abs() < threshold + self.span(k) / 2.0;
            self.quiet[k] = if still {
                self.quiet[k] + dt
            } else {
                (self.quiet[k] - 1.0).max(0.0)
            };
        }
        if scene.frozen[k] == 0 {
            self.busy[k] += dt;
        }
        if self.quiet[k] > ABSORB_AFTER {
            self.absorb(k, r);
        } else if scene.frozen[k] == 0 && self.busy[k] > BLINK_AFTER {
            if r > self.high[k] {
                self.high[k] += widen * (r - self.high[k]);
            } else if r < self.low[k] {
                self.low[k] += widen * (r - self.low[k]);
            }
        }
        if idle && (self.quiet[k] > 0.0 || self.busy[k] > 0.0) {
            self.lively.push(k as u32);
        }
    }

    fn absorb(&mut self, k: usize, residual: f32) {
        if self.second_hits[k] == NO_SECOND {
            self.seconds.push(k as u32);
        }
        self.second_hits[k] = 0;
        self.second[k] = self.base[k];
        self.base[k] += residual;
        self.quiet[k] = 0.0;
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

    fn refresh_slopes(&mut self, row: usize) {
        let cols = self.grid.cols;
        let at = |row: usize| row * cols..(row + 1) * cols;
        let (up, down) = (row.saturating_sub(1), (row + 1).min(self.grid.rows - 1));
        let rows = [
            &self.base[at(up)],
            &self.base[at(row)],
            &self.base[at(down)],
        ];
        let scale = 0.5 / self.grid.cell as f32;
        slopes(
            rows,
            scale,
            &mut self.slope_x[at(row)],
            &mut self.slope_y[at(row)],
            &mut self.contrast[at(row)],
        );
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

#[derive(Debug, Clone, Copy)]
struct Rates {
    alpha: f32,
    widen: f32,
    decay: f32,
    freeze: u8,
}

fn slopes(
    [up, mid, down]: [&[f32]; 3],
    scale: f32,
    slope_x: &mut [f32],
    slope_y: &mut [f32],
    contrast: &mut [f32],
) {
    let n = mid.len();
    let edge = |a: f32, b: f32, u: f32, d: f32, m: f32| {
        let beside = (m - a).abs().max((m - b).abs());
        beside.max((m - u).abs()).max((m - d).abs())
    };
    let (up, down) = (&up[..n], &down[..n]);
    let (slope_x, slope_y, contrast) = (&mut slope_x[..n], &mut slope_y[..n], &mut contrast[..n]);
    for i in [0, n - 1] {
        let (a, b) = (mid[i.saturating_sub(1)], mid[(i + 1).min(n - 1)]);
        slope_x[i] = (b - a) * scale;
        slope_y[i] = (down[i] - up[i]) * scale;
        contrast[i] = edge(a, b, up[i], down[i], mid[i]);
    }
    for i in 1..n.saturating_sub(1) {
        let (a, b) = (mid[i - 1], mid[i + 1]);
        slope_x[i] = (b - a) * scale;
        slope_y[i] = (down[i] - up[i]) * scale;
        contrast[i] = edge(a, b, up[i], down[i], mid[i]);
    }
}
