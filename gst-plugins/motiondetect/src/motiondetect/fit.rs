//! What happened to the whole picture since the background was learned: light (gain, offset) and camera (shift).
//!
//! Robust least squares by iterated weights: what moves in the picture must not pull the estimate.

use super::grid::{Grid, LANES};
use super::loops;
use super::reduce::Window;

/// Every n-th row is enough: some thousand cells for four unknowns.
const ROW_STEP: usize = 4;
/// Fewer cells than this decide nothing.
const MIN_CELLS: f32 = 40.0;
/// A step below these, in pixels and grey levels, is the last.
const SMALL_SHIFT: f32 = 0.05;
const SMALL_LIGHT: f32 = 0.3;
/// Shifts are held near zero where the picture has no texture that would show them.
const RIDGE: [f32; 4] = [50.0, 50.0, 1.0, 0.0];

/// Change of the whole picture: `c = b + gain * (b - 128) / 128 + offset - shift . gradient`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Change {
    /// Shift to the right, pixels.
    pub dx: f32,
    /// Shift downwards, pixels.
    pub dy: f32,
    /// Change of contrast around mid grey, grey levels at 128 levels from it.
    pub gain: f32,
    /// Change of brightness, grey levels.
    pub offset: f32,
}

impl Change {
    /// What the light makes of a background value.
    #[inline(always)]
    pub fn lit(self, value: f32) -> f32 {
        value + self.gain * (value - 128.0) * (1.0 / 128.0) + self.offset
    }
}

/// The arrays that a fit reads, one value per cell.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'a> {
    /// Means of the picture.
    pub picture: &'a [f32],
    /// The background.
    pub base: &'a [f32],
    /// Slope of the background to the right, grey levels per pixel.
    pub slope_x: &'a [f32],
    /// Slope of the background downwards, grey levels per pixel.
    pub slope_y: &'a [f32],
    /// 1 for cells that may take part, 0 for others.
    pub trusted: &'a [u8],
}

/// The cells that take part in a fit, gathered; kept from fit to fit to spare allocations.
#[derive(Debug, Default)]
pub struct Fitter {
    slope_x: Vec<f32>,
    slope_y: Vec<f32>,
    /// Distance of the background from mid grey, as a share of it.
    grey: Vec<f32>,
    picture: Vec<f32>,
    trust: Vec<f32>,
    residual: Vec<f32>,
    weights: Vec<f32>,
    product: Vec<f32>,
}

impl Fitter {
    /// Improves `start` by `steps` steps; `None` when too few cells may take part.
    pub fn fit(
        &mut self,
        cells: Cells<'_>,
        grid: Grid,
        window: &Window,
        start: Change,
        steps: usize,
    ) -> Option<Change> {
        self.gather(cells, grid, window, start);
        let count = loops::sum(&self.trust);
        if count < MIN_CELLS {
            return None;
        }
        let mut change = start;
        for _ in 0..steps {
            let scale = (loops::dot_abs(&self.trust, &self.residual) / count).max(0.5);
            let [dx, dy, gain, offset] = self.step(scale)?;
            loops::add_bent(&mut self.residual, &self.slope_x, &self.slope_y, (dx, dy));
            loops::add_scaled(&mut self.residual, &self.grey, -gain);
            self.residual.iter_mut().for_each(|r| *r -= offset);
            change = Change {
                dx: change.dx + dx,
                dy: change.dy + dy,
                gain: change.gain + gain,
                offset: change.offset + offset,
            };
            // Most pictures look at the scene as the one before did.
            if dx.abs().max(dy.abs()) < SMALL_SHIFT && gain.abs().max(offset.abs()) < SMALL_LIGHT {
                break;
            }
        }
        Some(change)
    }

    /// Collects the rows that take part, without the outermost cells, whose slopes are one-sided.
    fn gather(&mut self, cells: Cells<'_>, grid: Grid, window: &Window, start: Change) {
        let cols = window.cols.start.max(1)..window.cols.end.min(grid.cols.saturating_sub(1));
        let rows = window.rows.start.max(1)..window.rows.end.min(grid.rows.saturating_sub(1));
        let step = if grid.len() > 4000 { ROW_STEP } else { 1 };
        let lists = [
            &mut self.slope_x,
            &mut self.slope_y,
            &mut self.grey,
            &mut self.picture,
            &mut self.trust,
        ];
        lists.into_iter().for_each(Vec::clear);
        for row in rows.step_by(step) {
            let first = row * grid.cols + cols.start;
            let range = first..first + cols.len();
            self.slope_x
                .extend_from_slice(&cells.slope_x[range.clone()]);
            self.slope_y
                .extend_from_slice(&cells.slope_y[range.clone()]);
            self.grey.extend_from_slice(&cells.base[range.clone()]);
            self.picture
                .extend_from_slice(&cells.picture[range.clone()]);
            self.trust
                .extend(cells.trusted[range].iter().map(|&t| f32::from(t)));
        }
        let len = self.trust.len().next_multiple_of(LANES);
        let lists = [
            &mut self.slope_x,
            &mut self.slope_y,
            &mut self.grey,
            &mut self.picture,
            &mut self.trust,
        ];
        let others = [&mut self.residual, &mut self.weights, &mut self.product];
        lists
            .into_iter()
            .chain(others)
            .for_each(|list| list.resize(len, 0.0));
        loops::unlit(&mut self.residual, &self.picture, &self.grey, start);
        loops::add_bent(
            &mut self.residual,
            &self.slope_x,
            &self.slope_y,
            (start.dx, start.dy),
        );
        self.grey
            .iter_mut()
            .for_each(|b| *b = (*b - 128.0) * (1.0 / 128.0));
    }

    /// One weighted least-squares step: what to add to shift, gain and offset; `scale` is the residual from which on a
    /// cell counts less.
    fn step(&mut self, scale: f32) -> Option<[f32; 4]> {
        let Self {
            slope_x,
            slope_y,
            grey,
            residual,
            trust,
            weights,
            product,
            ..
        } = self;
        loops::robust_weights(weights, residual, trust, scale);
        // The unknowns act through these; a shift acts against the slope, hence the signs below.
        let factors: [&[f32]; 3] = [slope_x, slope_y, grey];
        let sign = [-1.0, -1.0, 1.0, 1.0];
        let mut matrix = [[0.0; 5]; 4];
        for (i, factor) in factors.into_iter().enumerate() {
            loops::multiply(product, weights, factor);
            for (j, other) in factors.into_iter().enumerate().skip(i) {
                matrix[i][j] = loops::dot(product, other);
            }
            matrix[i][3] = loops::sum(product);
            matrix[i][4] = loops::dot(product, residual);
        }
        matrix[3][3] = loops::sum(weights);
        matrix[3][4] = loops::dot(weights, residual);
        let mut full = [[0.0; 5]; 4];
        for i in 0..4 {
            for j in 0..4 {
                full[i][j] = f64::from(matrix[i.min(j)][i.max(j)] * sign[i] * sign[j]);
            }
            full[i][i] += f64::from(RIDGE[i]);
            full[i][4] = f64::from(matrix[i][4] * sign[i]);
        }
        Some(solve(full)?.map(|v| v as f32))
    }
}

/// Solves four linear equations, the right side in the last column; `None` when they do not determine the unknowns.
fn solve(mut m: [[f64; 5]; 4]) -> Option<[f64; 4]> {
    for i in 0..4 {
        let pivot = (i..4).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs()))?;
        m.swap(i, pivot);
        if m[i][i].abs() < 1e-6 {
            return None;
        }
        let upper = m[i];
        for row in &mut m[i + 1..] {
            let factor = row[i] / upper[i];
            for (value, above) in row.iter_mut().zip(upper).skip(i) {
                *value -= factor * above;
            }
        }
    }
    let mut x = [0.0; 4];
    for i in (0..4).rev() {
        let known: f64 = (i + 1..4).map(|k| m[i][k] * x[k]).sum();
        x[i] = (m[i][4] - known) / m[i][i];
    }
    x.iter().all(|v| v.is_finite()).then_some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wavy background and what light and camera make of it, with an object over a tenth of the cells.
    fn scene(change: Change) -> (Grid, [Vec<f32>; 4]) {
        let grid = Grid {
            cell: 4,
            cols: 80,
            rows: 60,
        };
        let wave = |x: f32, y: f32| {
            110.0 + 30.0 * (x / 23.0).sin() + 25.0 * (y / 17.0).cos() + 12.0 * ((x + y) / 9.0).sin()
        };
        let (mut picture, mut base, mut sx, mut sy) = (vec![], vec![], vec![], vec![]);
        for k in 0..grid.len() {
            let (col, row) = grid.position(k);
            let (x, y) = (4.0 * col as f32, 4.0 * row as f32);
            base.push(wave(x, y));
            sx.push((wave(x + 4.0, y) - wave(x - 4.0, y)) / 8.0);
            sy.push((wave(x, y + 4.0) - wave(x, y - 4.0)) / 8.0);
            let object = (20..26).contains(&col) && (10..50).contains(&row);
            picture.push(if object {
                200.0
            } else {
                change.lit(wave(x - change.dx, y - change.dy))
            });
        }
        (grid, [picture, base, sx, sy])
    }

    #[test]
    fn finds_light_and_shift_beside_an_object() {
        let check = |change: Change| {
            let (grid, [picture, base, slope_x, slope_y]) = scene(change);
            let trusted = vec![1; grid.len()];
            let cells = Cells {
                picture: &picture,
                base: &base,
                slope_x: &slope_x,
                slope_y: &slope_y,
                trusted: &trusted,
            };
            let window = Window {
                cols: 0..grid.cols,
                rows: 0..grid.rows,
            };
            let found = Fitter::default()
                .fit(cells, grid, &window, Change::default(), 6)
                .unwrap();
            assert!((found.dx - change.dx).abs() < 0.35, "{found:?} {change:?}");
            assert!((found.dy - change.dy).abs() < 0.35, "{found:?} {change:?}");
            assert!(
                (found.lit(110.0) - change.lit(110.0)).abs() < 1.0,
                "{found:?} {change:?}"
            );
        };
        check(Change::default());
        check(Change {
            offset: 12.0,
            ..Change::default()
        });
        check(Change {
            gain: -20.0,
            offset: -25.0,
            ..Change::default()
        });
        check(Change {
            dx: 1.5,
            dy: -1.0,
            ..Change::default()
        });
    }

    #[test]
    fn too_few_cells_decide_nothing() {
        let (grid, [picture, base, slope_x, slope_y]) = scene(Change::default());
        let trusted = vec![0; grid.len()];
        let cells = Cells {
            picture: &picture,
            base: &base,
            slope_x: &slope_x,
            slope_y: &slope_y,
            trusted: &trusted,
        };
        let window = Window {
            cols: 0..grid.cols,
            rows: 0..grid.rows,
        };
        assert_eq!(
            Fitter::default().fit(cells, grid, &window, Change::default(), 2),
            None
        );
    }

    #[test]
    fn equations_without_an_answer_are_refused() {
        assert_eq!(solve([[0.0; 5]; 4]), None);
        let mut one = [[0.0; 5]; 4];
        for (i, row) in one.iter_mut().enumerate() {
            row[i] = 2.0;
            row[4] = 4.0;
        }
        assert_eq!(solve(one), Some([2.0; 4]));
    }
}
