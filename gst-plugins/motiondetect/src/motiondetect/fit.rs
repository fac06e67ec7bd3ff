//! What happened to the whole picture since the background was learned: light (gain, offset) and camera (shift).
//!
//! Robust least squares by iterated weights: what moves in the picture must not pull the estimate.

use super::grid::{Grid, LANES};
use super::loops::Eight;
use super::reduce::Window;
use super::simd::Level;

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

/// Finds light and shift; kept from fit to fit to spare allocations.
#[derive(Debug, Default)]
pub struct Fitter {
    level: Level,
    /// Places of the first of each eight cells that take part.
    places: Vec<u32>,
    residual: Vec<Eight>,
}

impl Fitter {
    /// A fitter that uses the instructions of a level.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            ..Self::default()
        }
    }

    /// Improves `start` by `steps` steps; `None` when too few cells may take part.
    pub fn fit(
        &mut self,
        cells: Cells<'_>,
        grid: Grid,
        window: &Window,
        start: Change,
        steps: usize,
    ) -> Option<Change> {
        self.choose(grid, window);
        self.residual.resize(self.places.len(), Eight::default());
        let Self {
            level,
            places,
            residual,
        } = self;
        let mut change = start;
        for _ in 0..steps {
            let (sizes, count) = level.run(|| differ(cells, places, change, residual));
            if count < MIN_CELLS {
                return None;
            }
            let scale = (sizes / count).max(0.5);
            let sums = level.run(|| equations(cells, places, residual, scale));
            let [dx, dy, gain, offset] = step(sums)?;
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

    /// Chooses the cells that take part: some rows without the outermost cells, whose slopes are one-sided. The last eight
    /// of a row may reach into the next.
    fn choose(&mut self, grid: Grid, window: &Window) {
        let cols = window.cols.start.max(1)..window.cols.end.min(grid.cols.saturating_sub(1));
        let rows = window.rows.start.max(1)..window.rows.end.min(grid.rows.saturating_sub(1));
        let step = if grid.len() > 4000 { ROW_STEP } else { 1 };
        let last = grid.padded_len() - LANES;
        self.places.clear();
        for row in rows.step_by(step) {
            let row = row * grid.cols;
            let starts = (row + cols.start..row + cols.end).step_by(LANES);
            self.places
                .extend(starts.map(|place| place.min(last) as u32));
        }
    }
}

/// Eight values of one array, beginning at a place.
#[inline(always)]
fn eight(array: &[f32], place: u32) -> Eight {
    let place = place as usize;
    Eight::of(array[place..place + LANES].as_chunks().0[0])
}

/// 1.0 for the cells of eight that take part.
#[inline(always)]
fn trust(trusted: &[u8], place: u32) -> Eight {
    let place = place as usize;
    let trusted: [u8; LANES] = trusted[place..place + LANES].as_chunks().0[0];
    Eight::of(trusted.map(f32::from))
}

/// Writes the difference of picture and background; the sum of its magnitudes and the number of cells that take part.
#[inline(always)]
fn differ(cells: Cells<'_>, places: &[u32], change: Change, residual: &mut [Eight]) -> (f32, f32) {
    let (mut sizes, mut count) = (Eight::default(), Eight::default());
    let gain = Eight::all(1.0 + change.gain * (1.0 / 128.0));
    let offset = Eight::all(change.offset - change.gain);
    let (dx, dy) = (Eight::all(change.dx), Eight::all(change.dy));
    for (residual, &place) in residual.iter_mut().zip(places) {
        let lit = eight(cells.base, place) * gain + offset;
        let bent = eight(cells.slope_x, place) * dx + eight(cells.slope_y, place) * dy;
        let difference = eight(cells.picture, place) - lit + bent;
        let trust = trust(cells.trusted, place);
        sizes = sizes + difference.abs() * trust;
        count = count + trust;
        *residual = difference;
    }
    (sizes.sum(), count.sum())
}

/// Sums of the products of the four factors, each with those after it and with the residual: weighted by how near a
/// residual is to `scale`, in full up to it, then falling, faster beyond four times that.
#[inline(always)]
fn equations(cells: Cells<'_>, places: &[u32], residual: &[Eight], scale: f32) -> [f32; 14] {
    let mut sums = [Eight::default(); 14];
    let (scale, one, four) = (Eight::all(scale), Eight::all(1.0), Eight::all(4.0));
    let (tiny, middle, share) = (Eight::all(1e-6), Eight::all(128.0), Eight::all(1.0 / 128.0));
    for (&r, &place) in residual.iter().zip(places) {
        let near = (scale / (r.abs() + tiny)).min(one);
        let weight = near * (near * four).min(one) * trust(cells.trusted, place);
        let x = eight(cells.slope_x, place);
        let y = eight(cells.slope_y, place);
        let grey = (eight(cells.base, place) - middle) * share;
        let (wx, wy, wg, wr) = (weight * x, weight * y, weight * grey, weight * r);
        let products = [
            wx * x,
            wx * y,
            wx * grey,
            wx,
            wr * x,
            wy * y,
            wy * grey,
            wy,
            wr * y,
            wg * grey,
            wg,
            wr * grey,
            weight,
            wr,
        ];
        for (sum, product) in sums.iter_mut().zip(products) {
            *sum = *sum + product;
        }
    }
    sums.map(Eight::sum)
}

/// One weighted least-squares step: what to add to shift, gain and offset.
fn step(sums: [f32; 14]) -> Option<[f32; 4]> {
    // A shift acts against the slope, hence the signs.
    let sign = [-1.0, -1.0, 1.0, 1.0];
    // Where in the sums the upper triangle's rows begin.
    const ROWS: [usize; 4] = [0, 5, 9, 12];
    let mut matrix = [[0.0; 5]; 4];
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            let (first, second) = (i.min(j), i.max(j));
            let sum = f64::from(sums[ROWS[first] + second - first]);
            *value = sum * sign[i] * sign.get(j).unwrap_or(&1.0);
        }
        row[i] += f64::from(RIDGE[i]);
    }
    Some(solve(matrix)?.map(|v| v as f32))
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
