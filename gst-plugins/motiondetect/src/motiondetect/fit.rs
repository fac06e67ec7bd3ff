//! What happened to the whole picture since the background was learned: light (gain, offset) and camera (shift).
//!
//! Robust least squares by iterated weights: what moves in the picture must not pull the estimate.

use super::grid::Grid;
use super::reduce::Window;

/// Cells in a group that is summed side by side; sums of floats do not vectorise by themselves.
const WIDTH: usize = 4;
/// Every n-th row is enough: some thousand cells for four unknowns.
const ROW_STEP: usize = 4;
/// Fewer cells than this decide nothing.
const MIN_CELLS: f32 = 40.0;
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

/// Working memory of fits, kept to spare allocations.
#[derive(Debug, Default)]
pub struct Fitter {
    residuals: Vec<[f32; WIDTH]>,
    weights: Vec<[f32; WIDTH]>,
}

type Lanes = [f32; WIDTH];

fn total(lanes: Lanes) -> f32 {
    lanes.iter().sum()
}

fn groups(values: &[f32], row: &std::ops::Range<usize>) -> impl Iterator<Item = Lanes> {
    values[row.clone()].as_chunks::<WIDTH>().0.iter().copied()
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
        let rows = Self::rows(grid, window);
        self.weights.clear();
        for row in &rows {
            let trusted = cells.trusted[row.clone()].as_chunks::<WIDTH>().0;
            self.weights
                .extend(trusted.iter().map(|t| t.map(f32::from)));
        }
        let count: f32 = self.weights.iter().flatten().sum();
        if count < MIN_CELLS {
            return None;
        }
        let mut change = start;
        for _ in 0..steps {
            let mean = self.measure(cells, &rows, change) / count;
            change = self.step(cells, &rows, change, mean.max(0.5))?;
        }
        Some(change)
    }

    /// The parts of rows that take part: not the outermost cells, whose slopes are one-sided.
    fn rows(grid: Grid, window: &Window) -> Vec<std::ops::Range<usize>> {
        let cols = window.cols.start.max(1)..window.cols.end.min(grid.cols.saturating_sub(1));
        let rows = window.rows.start.max(1)..window.rows.end.min(grid.rows.saturating_sub(1));
        let step = if grid.len() > 4000 { ROW_STEP } else { 1 };
        let width = cols.len();
        rows.step_by(step)
            .map(|row| {
                let first = row * grid.cols + cols.start;
                first..first + width
            })
            .collect()
    }

    /// Fills in the residuals; the answer is the sum of their magnitudes.
    fn measure(
        &mut self,
        cells: Cells<'_>,
        rows: &[std::ops::Range<usize>],
        change: Change,
    ) -> f32 {
        self.residuals.clear();
        let mut sums = Lanes::default();
        let mut weights = self.weights.iter();
        for row in rows {
            let values = groups(cells.picture, row)
                .zip(groups(cells.base, row))
                .zip(groups(cells.slope_x, row).zip(groups(cells.slope_y, row)));
            let residuals = values.zip(&mut weights).map(|(((c, b), (sx, sy)), w)| {
                let mut r = Lanes::default();
                for l in 0..WIDTH {
                    r[l] = c[l] - change.lit(b[l]) + change.dx * sx[l] + change.dy * sy[l];
                    sums[l] += w[l] * r[l].abs();
                }
                r
            });
            self.residuals.extend(residuals);
        }
        total(sums)
    }

    /// One weighted least-squares step; `scale` is the residual from which on a cell counts less.
    fn step(
        &self,
        cells: Cells<'_>,
        rows: &[std::ops::Range<usize>],
        change: Change,
        scale: f32,
    ) -> Option<Change> {
        // The upper triangle of the normal matrix, row by row, then the right side.
        let mut sums = [Lanes::default(); 14];
        let mut kept = self.residuals.iter().zip(&self.weights);
        for row in rows {
            let values = groups(cells.base, row)
                .zip(groups(cells.slope_x, row).zip(groups(cells.slope_y, row)));
            for ((b, (sx, sy)), (r, trust)) in values.zip(&mut kept) {
                let mut f = [Lanes::default(); 4];
                let mut w = Lanes::default();
                for l in 0..WIDTH {
                    let size = r[l].abs().max(1e-6);
                    let near = (scale / size).min(1.0);
                    let far = (4.0 * scale / size).min(1.0);
                    w[l] = near * far * trust[l];
                    f[0][l] = -sx[l];
                    f[1][l] = -sy[l];
                    f[2][l] = (b[l] - 128.0) * (1.0 / 128.0);
                    f[3][l] = 1.0;
                }
                let mut k = 0;
                for i in 0..4 {
                    let mut wf = Lanes::default();
                    for l in 0..WIDTH {
                        wf[l] = w[l] * f[i][l];
                    }
                    for other in &f[i..] {
                        for l in 0..WIDTH {
                            sums[k][l] += wf[l] * other[l];
                        }
                        k += 1;
                    }
                    for l in 0..WIDTH {
                        sums[10 + i][l] += wf[l] * r[l];
                    }
                }
            }
        }
        let sums = sums.map(total);
        let mut matrix = [[0.0; 5]; 4];
        let pairs = (0..4).flat_map(|i| (i..4).map(move |j| (i, j)));
        for ((i, j), &sum) in pairs.zip(&sums) {
            matrix[i][j] = f64::from(sum);
            matrix[j][i] = f64::from(sum);
        }
        for i in 0..4 {
            matrix[i][i] += f64::from(RIDGE[i]);
            matrix[i][4] = f64::from(sums[10 + i]);
        }
        let [dx, dy, gain, offset] = solve(matrix)?.map(|v| v as f32);
        Some(Change {
            dx: change.dx + dx,
            dy: change.dy + dy,
            gain: change.gain + gain,
            offset: change.offset + offset,
        })
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
