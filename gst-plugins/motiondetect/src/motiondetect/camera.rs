//! How the camera looks at the scene in one picture: its light, and its shift when it shakes.

use super::background::{Background, Look};
use super::fit::{Change, Fitter};
use super::grid::{Grid, LANES, Luma};
use super::reduce::{Reducer, Window};
use super::simd::Level;

/// A shift above this, in pixels, is shaking.
const SHAKES_ABOVE: f32 = 0.25;
/// The farthest shift that is followed, pixels.
const MAX_SHIFT: f32 = 16.0;

/// The reduced picture and the working memory to find how the camera looks.
#[derive(Debug)]
pub struct Camera {
    grid: Grid,
    still: Vec<f32>,
    shifted: Vec<f32>,
    window: Window,
    reducer: Reducer,
    fitter: Fitter,
    /// Light of the last picture, less what the background has followed.
    light: Change,
}

impl Camera {
    /// A camera that has seen nothing.
    pub fn new(grid: Grid, level: Level) -> Self {
        Self {
            grid,
            still: vec![0.0; grid.padded_len()],
            shifted: vec![0.0; grid.padded_len()],
            window: Window {
                cols: 0..grid.cols,
                rows: 0..grid.rows,
            },
            reducer: Reducer::new(grid, level),
            fitter: Fitter::new(level),
            light: Change::default(),
        }
    }

    /// The instructions that it uses.
    pub fn level(&self) -> Level {
        self.reducer.level()
    }

    /// Means of the cells of the last picture.
    pub fn still(&self) -> &[f32] {
        &self.still
    }

    /// Means of the cells with whole pixels of the shift taken out; the same as [`Self::still`] for a camera at rest.
    pub fn shifted(&self, look: Look) -> &[f32] {
        if look.shaking {
            &self.shifted
        } else {
            &self.still
        }
    }

    /// Takes in a picture.
    pub fn see(&mut self, luma: Luma<'_>) {
        self.window = self.reducer.reduce(luma, (0, 0), &mut self.still);
    }

    /// How the picture that was seen last looks at the background.
    pub fn look(&mut self, luma: Luma<'_>, background: &Background) -> Look {
        let cells = background.cells(&self.still);
        let start = self.light;
        let Some(change) = self.fitter.fit(cells, self.grid, &self.window, start, 2) else {
            return self.steady(start);
        };
        if change.dx.abs() <= SHAKES_ABOVE && change.dy.abs() <= SHAKES_ABOVE {
            return self.steady(change);
        }
        self.follow(luma, background, change)
    }

    fn steady(&mut self, change: Change) -> Look {
        self.light = Change {
            dx: 0.0,
            dy: 0.0,
            ..change
        };
        Look {
            change,
            tolerance: 0.03,
            ..Look::default()
        }
    }

    /// Looks again from where the shift points to, until the whole pixels of the shift stay the same.
    fn follow(&mut self, luma: Luma<'_>, background: &Background, found: Change) -> Look {
        let (mut change, mut shift) = (found, (found.dx, found.dy));
        let mut pixels = None;
        for _ in 0..3 {
            let whole = |v: f32| v.clamp(-MAX_SHIFT, MAX_SHIFT).round() as i32;
            let next = (whole(shift.0), whole(shift.1));
            if pixels == Some(next) {
                break;
            }
            pixels = Some(next);
            // Cells outside the window keep values of no meaning: those of the unshifted picture do no harm there.
            self.shifted.copy_from_slice(&self.still);
            self.window = self.reducer.reduce(luma, next, &mut self.shifted);
            let (px, py) = (next.0 as f32, next.1 as f32);
            let start = Change {
                dx: shift.0 - px,
                dy: shift.1 - py,
                ..change
            };
            let cells = background.cells(&self.shifted);
            change = start;
            let Some(better) = self.fitter.fit(cells, self.grid, &self.window, start, 2) else {
                break;
            };
            change = better;
            shift = (px + better.dx, py + better.dy);
        }
        self.light = Change {
            dx: 0.0,
            dy: 0.0,
            ..change
        };
        let far = shift.0.abs().max(shift.1.abs());
        Look {
            change,
            shaking: true,
            shift,
            tolerance: 0.06 + 0.2 * (2.0 * far / self.grid.cell as f32).min(1.0),
        }
    }

    /// Lowers the light still to be explained by the share that the background has followed.
    pub fn leaked(&mut self, share: f32) {
        self.light.gain *= 1.0 - share;
        self.light.offset *= 1.0 - share;
    }

    /// Takes the present light for the usual one.
    pub fn forget_light(&mut self) {
        self.light = Change::default();
    }

    /// Clears what no cell outside the window can know.
    pub fn clear_outside(&self, residual: &mut [f32], weak: &mut [u8]) {
        debug_assert_eq!(residual.len() % LANES, 0, "arrays are padded");
        if self.window.is_whole(self.grid) {
            return;
        }
        for row in 0..self.grid.rows {
            for col in 0..self.grid.cols {
                if !(self.window.rows.contains(&row) && self.window.cols.contains(&col)) {
                    let k = row * self.grid.cols + col;
                    (residual[k], weak[k]) = (0.0, 0);
                }
            }
        }
    }
}
