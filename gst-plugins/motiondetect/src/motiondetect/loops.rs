//! The loops over all cells, kept apart and plain so that compilers turn them into vector instructions.
//!
//! Slices of one call have the same, padded length. `simd.rs` compiles them for what the processor has.
#![expect(
    clippy::needless_range_loop,
    reason = "one index into many slices of one length is what compilers vectorise and readers follow"
)]

use super::fit::Change;
use super::grid::LANES;

/// Eight values that are worked on at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Eight([f32; LANES]);

impl Eight {
    /// These eight.
    #[inline(always)]
    pub fn of(values: [f32; LANES]) -> Self {
        Self(values)
    }

    /// Eight times the same.
    #[inline(always)]
    pub fn all(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn with(self, other: Self, merge: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = [0.0; LANES];
        for l in 0..LANES {
            out[l] = merge(self.0[l], other.0[l]);
        }
        Self(out)
    }

    /// Magnitudes.
    #[inline(always)]
    pub fn abs(self) -> Self {
        self.with(self, |a, _| a.abs())
    }

    /// The smaller of each two.
    #[inline(always)]
    pub fn min(self, other: Self) -> Self {
        self.with(other, |a, b| if a < b { a } else { b })
    }

    /// Sum of the eight.
    #[inline(always)]
    pub fn sum(self) -> f32 {
        self.0.iter().sum()
    }
}

impl std::ops::Add for Eight {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }
}

impl std::ops::Sub for Eight {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }
}

impl std::ops::Mul for Eight {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }
}

impl std::ops::Div for Eight {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.with(other, |a, b| a / b)
    }
}

/// Adds magnitudes.
#[inline(always)]
pub fn add_sizes(out: &mut [f32], a: &[f32]) {
    for (out, &a) in out.iter_mut().zip(a) {
        *out += a.abs();
    }
}

/// What a picture is compared with; one value per cell.
#[derive(Debug, Clone, Copy)]
pub struct Usual<'a> {
    /// The background.
    pub base: &'a [f32],
    /// Its slope to the right, grey levels per pixel.
    pub slope_x: &'a [f32],
    /// Its slope downwards.
    pub slope_y: &'a [f32],
    /// Its largest difference to a neighbour.
    pub contrast: &'a [f32],
    /// Upper edge of the envelope.
    pub high: &'a [f32],
    /// Lower edge of the envelope.
    pub low: &'a [f32],
    /// 1 for cells that no mask hides.
    pub visible: &'a [u8],
}

/// How a picture is compared.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Light, and shift.
    pub change: Change,
    /// Share of the envelope that is usual.
    pub reach: f32,
    /// Share of the contrast that is tolerated.
    pub tolerance: f32,
    /// Grey levels beyond what is usual from which on a cell counts.
    pub threshold: f32,
}

/// 1 where a difference is more than what is usual.
#[inline(always)]
fn stands_out(usual: Usual<'_>, measure: Measure, k: usize, r: f32) -> u8 {
    let slack = measure.threshold + measure.tolerance * usual.contrast[k];
    let above = r - measure.reach * usual.high[k];
    let below = measure.reach * usual.low[k] - r;
    let excess = if above > below { above } else { below };
    u8::from(excess > slack) & usual.visible[k]
}

/// Writes the difference of a picture from the background in its present light and, for a camera at rest, place; marks
/// visible cells that differ by more than what is usual. All slices have one length.
#[inline(always)]
pub fn compare(
    picture: &[f32],
    usual: Usual<'_>,
    measure: Measure,
    residual: &mut [f32],
    weak: &mut [u8],
) {
    let n = residual.len();
    let (picture, weak) = (&picture[..n], &mut weak[..n]);
    let usual = usual.first(n);
    let Change { dx, dy, .. } = measure.change;
    for k in 0..n {
        let bent = dx * usual.slope_x[k] + dy * usual.slope_y[k];
        let r = picture[k] - measure.change.lit(usual.base[k]) + bent;
        residual[k] = r;
        weak[k] = stands_out(usual, measure, k, r);
    }
}

/// The same for a camera that shakes: `unshifted` gets the difference without regard to its place, and the smaller one
/// counts, because what is burnt into the picture stands still while all else shakes.
#[inline(always)]
pub fn compare_shaking(
    [still, shifted]: [&[f32]; 2],
    usual: Usual<'_>,
    measure: Measure,
    [residual, unshifted]: [&mut [f32]; 2],
    weak: &mut [u8],
) {
    let n = residual.len();
    let (still, shifted) = (&still[..n], &shifted[..n]);
    let (unshifted, weak) = (&mut unshifted[..n], &mut weak[..n]);
    let usual = usual.first(n);
    let Change { dx, dy, .. } = measure.change;
    for k in 0..n {
        let lit = measure.change.lit(usual.base[k]);
        let bent = dx * usual.slope_x[k] + dy * usual.slope_y[k];
        let (stays, moves) = (still[k] - lit, shifted[k] - lit + bent);
        let r = if moves.abs() < stays.abs() {
            moves
        } else {
            stays
        };
        unshifted[k] = stays;
        residual[k] = r;
        weak[k] = stands_out(usual, measure, k, r);
    }
}

impl Usual<'_> {
    /// The first `n` cells.
    #[inline(always)]
    fn first(self, n: usize) -> Self {
        Self {
            base: &self.base[..n],
            slope_x: &self.slope_x[..n],
            slope_y: &self.slope_y[..n],
            contrast: &self.contrast[..n],
            high: &self.high[..n],
            low: &self.low[..n],
            visible: &self.visible[..n],
        }
    }
}

/// What follows a picture; one value per cell.
#[derive(Debug)]
pub struct Followers<'a> {
    /// The background.
    pub base: &'a mut [f32],
    /// Upper edge of the envelope.
    pub high: &'a mut [f32],
    /// Lower edge of the envelope.
    pub low: &'a mut [f32],
    /// Becomes 1 for visible cells that are no foreground and stray little: they tell the light.
    pub trusted: &'a mut [u8],
}

/// What is followed, and which cells do.
#[derive(Debug, Clone, Copy)]
pub struct Followed<'a> {
    /// Differences of the picture.
    pub residual: &'a [f32],
    /// 1 for foreground.
    pub weak: &'a [u8],
    /// 1 near what moves.
    pub frozen: &'a [u8],
    /// 1 for cells that no mask hides.
    pub visible: &'a [u8],
}

/// How fast cells follow.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Share of its residual by which a cell moves.
    pub alpha: f32,
    /// What all cells take over of the light.
    pub leak: Change,
    /// Share of what goes beyond an envelope by which it widens.
    pub widen: f32,
    /// Share by which it decays.
    pub decay: f32,
    /// Width to which it decays, grey levels to each side.
    pub floor: f32,
    /// Width up to which a cell tells the light.
    pub trusted_span: f32,
    /// Whether foreground and frozen cells follow too.
    pub all: bool,
}

/// Lets cells follow a picture. All slices have one length.
#[inline(always)]
pub fn follow(cells: Followers<'_>, picture: Followed<'_>, rates: Rates) {
    let n = cells.base.len();
    let Followers {
        base,
        high,
        low,
        trusted,
    } = cells;
    let (high, low, trusted) = (&mut high[..n], &mut low[..n], &mut trusted[..n]);
    let (residual, weak) = (&picture.residual[..n], &picture.weak[..n]);
    let (frozen, visible) = (&picture.frozen[..n], &picture.visible[..n]);
    let held = u8::from(!rates.all);
    for k in 0..n {
        let free = f32::from(1 - ((weak[k] | frozen[k]) & held));
        let (r, h, l) = (residual[k], high[k], low[k]);
        base[k] = rates.leak.lit(base[k] + rates.alpha * free * r);
        let (over, under) = (r - h, r - l);
        let over = if over > 0.0 { over } else { 0.0 };
        let under = if under < 0.0 { under } else { 0.0 };
        let h = h + free * (rates.widen * over - rates.decay * (h - rates.floor));
        let l = l + free * (rates.widen * under - rates.decay * (l + rates.floor));
        (high[k], low[k]) = (h, l);
        trusted[k] = u8::from(h - l <= rates.trusted_span) & visible[k] & (1 - weak[k]);
    }
}

/// Slopes and contrast of the middle one of three rows; neighbours beyond the ends count as the cell itself.
#[inline(always)]
pub fn slopes(
    [up, mid, down]: [&[f32]; 3],
    scale: f32,
    slope_x: &mut [f32],
    slope_y: &mut [f32],
    contrast: &mut [f32],
) {
    let n = mid.len();
    let wide = |a: f32, b: f32| if a > b { a } else { b };
    let most = |m: f32, a: f32, b: f32, u: f32, d: f32| {
        let (beside, across) = (
            wide((m - a).abs(), (m - b).abs()),
            wide((m - u).abs(), (m - d).abs()),
        );
        wide(beside, across)
    };
    for i in [0, n - 1] {
        let (a, b) = (mid[i.saturating_sub(1)], mid[(i + 1).min(n - 1)]);
        slope_x[i] = (b - a) * scale;
        contrast[i] = most(mid[i], a, b, up[i], down[i]);
    }
    for ((slope, &u), &d) in slope_y.iter_mut().zip(up).zip(down) {
        *slope = (d - u) * scale;
    }
    let neighbours = mid.iter().zip(mid.iter().skip(2));
    for (slope, (&a, &b)) in slope_x.iter_mut().skip(1).zip(neighbours.clone()) {
        *slope = (b - a) * scale;
    }
    let around = neighbours.zip(up.iter().skip(1).zip(down.iter().skip(1)));
    let inner = contrast
        .iter_mut()
        .skip(1)
        .zip(mid.iter().skip(1))
        .zip(around);
    for ((contrast, &m), ((&a, &b), (&u, &d))) in inner {
        *contrast = most(m, a, b, u, d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_central_differences() {
        let (up, mid, down) = ([1.0; 5], [2.0, 4.0, 8.0, 8.0, 9.0], [3.0; 5]);
        let (mut sx, mut sy, mut contrast) = ([0.0; 5], [0.0; 5], [0.0; 5]);
        slopes([&up, &mid, &down], 0.5, &mut sx, &mut sy, &mut contrast);
        assert_eq!(sx, [1.0, 3.0, 2.0, 0.5, 0.5]);
        assert_eq!(sy, [1.0; 5]);
        assert_eq!(contrast, [2.0, 4.0, 7.0, 7.0, 8.0]);
    }
}
