//! The luma plane reduced to the mean of each cell: the one pass that touches the picture.

use std::ops::Range;

use super::grid::{Grid, Luma};
use super::simd::{GROUP, Level};

/// The cells that still lie in the picture when it is looked at through a shift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Columns of the grid.
    pub cols: Range<usize>,
    /// Rows of the grid.
    pub rows: Range<usize>,
}

impl Window {
    /// The cells of `grid` whose pixels, moved by (`dx`, `dy`), lie in a picture of `width` by `height`.
    fn of(grid: Grid, width: usize, height: usize, (dx, dy): (i32, i32)) -> Self {
        let range = |shift: i32, size: usize, count: usize| {
            let shift = shift as isize;
            let first = (-shift).max(0).cast_unsigned().div_ceil(grid.cell);
            let end = size.saturating_add_signed(-shift) / grid.cell;
            let end = end.min(count);
            first.min(end)..end
        };
        Self {
            cols: range(dx, width, grid.cols),
            rows: range(dy, height, grid.rows),
        }
    }

    /// Whether every cell of the grid is in it.
    pub fn is_whole(&self, grid: Grid) -> bool {
        self.cols == (0..grid.cols) && self.rows == (0..grid.rows)
    }
}

/// Which row of a cell is read as its `index`-th: four of them, spread evenly, so that large pictures cost little more
/// than small ones and their cells are still averages of more pixels. Cells of two pixels have no more than two.
fn sampled_row(cell: usize, index: usize) -> usize {
    index * cell / ROWS.min(cell)
}

/// Rows of pixels that are read of a cell.
const ROWS: usize = 4;

/// Reduces pictures to the means of their cells.
#[derive(Debug)]
pub struct Reducer {
    grid: Grid,
    level: Level,
    /// Working memory: sums of four pixels, or of a column, along one row of cells.
    line: Vec<f32>,
}

impl Reducer {
    /// One for pictures of a grid.
    pub fn new(grid: Grid, level: Level) -> Self {
        Self {
            grid,
            level,
            line: vec![0.0; grid.cols * grid.cell / 4 + GROUP],
        }
    }

    /// The instructions that it uses.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Writes the mean of each cell, its pixels moved by `shift`, to `means`; cells outside the returned window are left
    /// alone.
    pub fn reduce(&mut self, luma: Luma<'_>, shift: (i32, i32), means: &mut [f32]) -> Window {
        let grid = self.grid;
        let window = Window::of(grid, luma.width, luma.height, shift);
        let Range { start, end } = window.cols.clone();
        if start == end {
            return window;
        }
        let moved = |cell: usize, by: i32| (cell * grid.cell).saturating_add_signed(by as isize);
        let (x, bytes) = (moved(start, shift.0), (end - start) * grid.cell);
        for row in window.rows.clone() {
            let top = moved(row, shift.1);
            let rows: [&[u8]; ROWS] = std::array::from_fn(|index| {
                let y = top + sampled_row(grid.cell, index.min(grid.cell - 1));
                &luma.data[y * luma.stride + x..][..bytes]
            });
            let out = &mut means[row * grid.cols + start..row * grid.cols + end];
            match grid.cell {
                2 => self.level.run(|| pairs(rows, out)),
                6 => self.level.run(|| sixes(rows, out)),
                cell => self.fours(rows, luma.stride * cell, out),
            }
        }
        window
    }

    /// Cells of a multiple of four pixels; the next row of cells begins `ahead` bytes farther.
    fn fours(&mut self, rows: [&[u8]; ROWS], ahead: usize, out: &mut [f32]) {
        let fours = self.grid.cell / 4;
        let scale = 1.0 / (4 * ROWS * fours) as f32;
        if fours == 1 {
            return self.level.quads(rows, ahead, scale, out);
        }
        let line = &mut self.line[..out.len() * fours];
        self.level.quads(rows, ahead, 1.0, line);
        match fours {
            2 => self.level.run(|| gather::<2>(line, scale, out)),
            3 => self.level.run(|| gather::<3>(line, scale, out)),
            4 => self.level.run(|| gather::<4>(line, scale, out)),
            _ => {
                for (out, part) in out.iter_mut().zip(line.chunks_exact(fours)) {
                    *out = part.iter().sum::<f32>() * scale;
                }
            }
        }
    }
}

/// Sums of `N` neighbours each, times `scale`.
#[inline(always)]
fn gather<const N: usize>(line: &[f32], scale: f32, out: &mut [f32]) {
    for (out, part) in out.iter_mut().zip(line.as_chunks::<N>().0) {
        let mut sum = part[0];
        for value in &part[1..] {
            sum += value;
        }
        *out = sum * scale;
    }
}

/// Cells of two pixels: the last two rows are the second one again.
#[inline(always)]
fn pairs([upper, lower, ..]: [&[u8]; ROWS], out: &mut [f32]) {
    let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
    for ((mean, a), b) in out.iter_mut().zip(upper).zip(lower) {
        let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
        *mean = f32::from(sum) * (1.0 / 4.0);
    }
}

/// Cells of six pixels.
#[inline(always)]
fn sixes(rows: [&[u8]; ROWS], out: &mut [f32]) {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<6>().0);
    for ((((mean, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let mut sum = 0;
        for i in 0..6 {
            sum += u16::from(a[i]) + u16::from(b[i]) + u16::from(c[i]) + u16::from(d[i]);
        }
        *mean = f32::from(sum) * (1.0 / 24.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The mean of a cell by a plain loop, `None` when it does not lie in the picture.
    fn plainly(
        luma: Luma<'_>,
        grid: Grid,
        (col, row): (usize, usize),
        (dx, dy): (i32, i32),
    ) -> Option<f32> {
        let place = |at: usize, by: i32| usize::try_from(at as i64 + i64::from(by)).ok();
        let (mut sum, mut count) = (0u32, 0);
        for y in 0..grid.cell {
            for x in 0..grid.cell {
                let (x, at_y) = (
                    place(col * grid.cell + x, dx)?,
                    place(row * grid.cell + y, dy)?,
                );
                if x >= luma.width || at_y >= luma.height {
                    return None;
                }
                if (0..ROWS).any(|i| sampled_row(grid.cell, i.min(grid.cell - 1)) == y) {
                    sum += u32::from(luma.data[at_y * luma.stride + x]);
                    count += 1;
                }
            }
        }
        Some(sum as f32 * (1.0 / count as f32))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn means_are_those_of_a_plain_loop(
            width in 32usize..120, height in 32usize..80, pad in 0usize..5, cell in prop::sample::select(vec![2usize, 4, 6, 8, 12, 16, 20, 32]),
            dx in -20i32..20, dy in -20i32..20, seed in any::<u32>(),
        ) {
            let stride = width + pad;
            let mut random = seed;
            let data: Vec<u8> = (0..stride * height).map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 24) as u8
            }).collect();
            let luma = Luma::new(&data, stride, width, height).unwrap();
            let grid = Grid { cell, cols: width / cell, rows: height / cell };
            let mut means = vec![-1.0; grid.len()];
            let window = Reducer::new(grid, Level::default()).reduce(luma, (dx, dy), &mut means);
            for row in 0..grid.rows {
                for col in 0..grid.cols {
                    let inside = window.cols.contains(&col) && window.rows.contains(&row);
                    let expect = plainly(luma, grid, (col, row), (dx, dy));
                    prop_assert_eq!(inside, expect.is_some());
                    prop_assert_eq!(means[row * grid.cols + col], expect.unwrap_or(-1.0));
                }
            }
        }
    }

    #[test]
    fn a_still_view_covers_the_grid() {
        let data = [7; 100 * 50];
        let luma = Luma::new(&data, 100, 99, 50).unwrap();
        let grid = Grid::for_picture(99, 50);
        let mut means = vec![0.0; grid.len()];
        let window = Reducer::new(grid, Level::default()).reduce(luma, (0, 0), &mut means);
        assert!(window.is_whole(grid));
        assert!(means.iter().all(|&m| m == 7.0));
    }
}
