//! The loops over all cells, kept apart and plain so that compilers turn them into vector instructions.
//!
//! Slices of one call have the same, padded length; shorter ones would only shorten the loop.

use std::ops::Range;

use super::fit::Change;

/// Lanes of sums: sums of floats vectorise only when several are kept side by side.
const SUMS: usize = 8;

/// Cells that are worked on at once: what several loops in a row read and write stays in the nearest cache.
pub const BLOCK: usize = 1024;

/// The ranges of blocks that cover `len` cells.
pub fn blocks(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len)
        .step_by(BLOCK)
        .map(move |start| start..(start + BLOCK).min(len))
}

/// Sum of products.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; SUMS];
    for (a, b) in a.as_chunks::<SUMS>().0.iter().zip(b.as_chunks::<SUMS>().0) {
        for l in 0..SUMS {
            sums[l] += a[l] * b[l];
        }
    }
    sums.iter().sum()
}

/// Sum.
pub fn sum(a: &[f32]) -> f32 {
    let mut sums = [0.0; SUMS];
    for a in a.as_chunks::<SUMS>().0 {
        for l in 0..SUMS {
            sums[l] += a[l];
        }
    }
    sums.iter().sum()
}

/// Sum of products with magnitudes.
pub fn dot_abs(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; SUMS];
    for (a, b) in a.as_chunks::<SUMS>().0.iter().zip(b.as_chunks::<SUMS>().0) {
        for l in 0..SUMS {
            sums[l] += a[l] * b[l].abs();
        }
    }
    sums.iter().sum()
}

/// Weights of residuals: full up to `scale`, then falling, faster beyond four times that; times `trust`.
pub fn robust_weights(weights: &mut [f32], residual: &[f32], trust: &[f32], scale: f32) {
    for ((weight, &r), &trust) in weights.iter_mut().zip(residual).zip(trust) {
        let size = r.abs() + 1e-6;
        let near = scale / size;
        let near = if near < 1.0 { near } else { 1.0 };
        let far = 4.0 * near;
        let far = if far < 1.0 { far } else { 1.0 };
        *weight = near * far * trust;
    }
}

/// Products.
pub fn multiply(out: &mut [f32], a: &[f32], b: &[f32]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = a * b;
    }
}

/// Adds a multiple.
pub fn add_scaled(out: &mut [f32], a: &[f32], by: f32) {
    for (out, &a) in out.iter_mut().zip(a) {
        *out += a * by;
    }
}

/// Adds magnitudes.
pub fn add_sizes(out: &mut [f32], a: &[f32]) {
    for (out, &a) in out.iter_mut().zip(a) {
        *out += a.abs();
    }
}

/// Difference of a picture from the background in its present light.
pub fn unlit(out: &mut [f32], picture: &[f32], base: &[f32], light: Change) {
    for ((out, &c), &b) in out.iter_mut().zip(picture).zip(base) {
        *out = c - light.lit(b);
    }
}

/// Adds what a shift makes of the slopes.
pub fn add_bent(out: &mut [f32], slope_x: &[f32], slope_y: &[f32], (dx, dy): (f32, f32)) {
    for ((out, &sx), &sy) in out.iter_mut().zip(slope_x).zip(slope_y) {
        *out += dx * sx + dy * sy;
    }
}

/// Both of the above for a camera at rest: the difference without and with the shift.
pub fn differ(
    unshifted: &mut [f32],
    out: &mut [f32],
    [picture, base]: [&[f32]; 2],
    [slope_x, slope_y]: [&[f32]; 2],
    change: Change,
) {
    let cells = unshifted
        .iter_mut()
        .zip(out)
        .zip(picture)
        .zip(base)
        .zip(slope_x)
        .zip(slope_y);
    for (((((unshifted, out), &c), &b), &sx), &sy) in cells {
        let difference = c - change.lit(b);
        *unshifted = difference;
        *out = difference + (change.dx * sx + change.dy * sy);
    }
}

/// Keeps the smaller of two differences.
pub fn keep_smaller(out: &mut [f32], other: &[f32]) {
    for (out, &other) in out.iter_mut().zip(other) {
        *out = if out.abs() < other.abs() { *out } else { other };
    }
}

/// What is usual in a cell, and by what share of its local contrast it may differ more.
#[derive(Debug, Clone, Copy)]
pub struct Usual<'a> {
    /// Upper edge of the envelope.
    pub high: &'a [f32],
    /// Lower edge of the envelope.
    pub low: &'a [f32],
    /// Largest difference to a neighbour in the background.
    pub contrast: &'a [f32],
    /// Share of the envelope that is usual.
    pub reach: f32,
    /// Share of the contrast that is tolerated.
    pub tolerance: f32,
}

/// Marks visible cells that differ by more than what is usual and `threshold`.
pub fn mark(weak: &mut [u8], residual: &[f32], visible: &[u8], usual: Usual<'_>, threshold: f32) {
    let Usual {
        high,
        low,
        contrast,
        reach,
        tolerance,
    } = usual;
    let cells = weak
        .iter_mut()
        .zip(residual)
        .zip(visible)
        .zip(high)
        .zip(low)
        .zip(contrast);
    for (((((weak, &r), &visible), &high), &low), &contrast) in cells {
        let slack = threshold + tolerance * contrast;
        let (above, below) = (r - reach * high, reach * low - r);
        let excess = if above > below { above } else { below };
        *weak = u8::from(excess > slack) & visible;
    }
}

/// 1.0 for cells that follow, 0.0 for foreground and frozen ones.
pub fn mark_free(free: &mut [f32], weak: &[u8], frozen: &[u8]) {
    for ((free, &weak), &frozen) in free.iter_mut().zip(weak).zip(frozen) {
        *free = f32::from(1 - (weak | frozen));
    }
}

/// Moves free cells by a share of their residual, and all by what they take over of the light.
pub fn follow(base: &mut [f32], residual: &[f32], free: &[f32], alpha: f32, leak: Change) {
    for ((base, &r), &free) in base.iter_mut().zip(residual).zip(free) {
        *base += alpha * free * r;
        *base = leak.lit(*base);
    }
}

/// Widens the envelopes of free cells by a share of what goes beyond them and lets them decay towards `floor`.
pub fn breathe(
    high: &mut [f32],
    low: &mut [f32],
    residual: &[f32],
    free: &[f32],
    (widen, decay, floor): (f32, f32, f32),
) {
    for (((high, low), &r), &free) in high.iter_mut().zip(low).zip(residual).zip(free) {
        let (over, under) = (r - *high, r - *low);
        let over = if over > 0.0 { over } else { 0.0 };
        let under = if under < 0.0 { under } else { 0.0 };
        *high += free * (widen * over - decay * (*high - floor));
        *low += free * (widen * under - decay * (*low + floor));
    }
}

/// Marks visible cells that are no foreground and stray little: they tell the light.
pub fn mark_trusted(
    trusted: &mut [u8],
    weak: &[u8],
    visible: &[u8],
    (high, low): (&[f32], &[f32]),
    span: f32,
) {
    let cells = trusted.iter_mut().zip(weak).zip(visible).zip(high).zip(low);
    for ((((trusted, &weak), &visible), &high), &low) in cells {
        *trusted = u8::from(high - low <= span) & visible & (1 - weak);
    }
}

/// Slopes and contrast of the middle one of three rows; neighbours beyond the ends count as the cell itself.
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
    fn sums_cover_all_lanes() {
        let a: Vec<f32> = (0..32).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..32)
            .map(|i| if i % 2 == 0 { 1.0 } else { -2.0 })
            .collect();
        assert_eq!(sum(&a), 496.0);
        assert_eq!(dot(&a, &b), 240.0 - 512.0);
        assert_eq!(dot_abs(&a, &b), 240.0 + 512.0);
    }

    #[test]
    fn weights_fall_with_the_residual() {
        let mut weights = [9.0; 4];
        robust_weights(
            &mut weights,
            &[0.0, 2.0, -8.0, 1.0],
            &[1.0, 1.0, 1.0, 0.0],
            1.0,
        );
        let expect = [1.0, 0.5, 1.0 / 8.0 / 2.0, 0.0];
        assert!(
            weights
                .iter()
                .zip(expect)
                .all(|(w, e)| (w - e).abs() < 1e-4),
            "{weights:?}"
        );
    }

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
