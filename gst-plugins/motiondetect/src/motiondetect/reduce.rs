//! The luma plane reduced to the mean of each cell: the one pass that touches the picture.

use std::ops::Range;

use super::grid::{Grid, Luma};

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

/// Every n-th row of pixels is read: at most four of a cell, so that large pictures cost little more than small ones
/// and their cells are still averages of more pixels.
fn row_step(cell: usize) -> usize {
    (cell / 4).max(1)
}

/// Writes the mean of each cell, its pixels moved by `shift`, to `means`; cells outside the returned window are left alone.
pub fn reduce(luma: Luma<'_>, grid: Grid, shift: (i32, i32), means: &mut [f32]) -> Window {
    let window = Window::of(grid, luma.width, luma.height, shift);
    let Range { start, end } = window.cols.clone();
    if start == end {
        return window;
    }
    let moved = |cell: usize, by: i32| (cell * grid.cell).saturating_add_signed(by as isize);
    let (x, bytes) = (moved(start, shift.0), (end - start) * grid.cell);
    for row in window.rows.clone() {
        let strip = Strip {
            data: &luma.data[moved(row, shift.1) * luma.stride + x..],
            stride: luma.stride * row_step(grid.cell),
            bytes,
        };
        let out = &mut means[row * grid.cols + start..row * grid.cols + end];
        match grid.cell {
            2 => strip.pairs(out),
            4 => strip.quads(out),
            8 => strip.eights(out),
            cell => strip.wide(cell, out),
        }
    }
    window
}

/// One row of cells: the rows of pixels that are read of it.
struct Strip<'a> {
    data: &'a [u8],
    stride: usize,
    bytes: usize,
}

type Sixteen = [u8; 16];

impl<'a> Strip<'a> {
    fn row(&self, index: usize) -> &'a [u8] {
        &self.data[index * self.stride..][..self.bytes]
    }

    /// The four rows in groups of sixteen pixels, all of the same number.
    fn sixteens(&self) -> [&'a [Sixteen]; 4] {
        let rows: [&[Sixteen]; 4] = std::array::from_fn(|v| self.row(v).as_chunks().0);
        rows.map(|row| &row[..self.bytes / 16])
    }

    fn pairs(&self, out: &mut [f32]) {
        let (upper, lower) = (
            self.row(0).as_chunks::<2>().0,
            self.row(1).as_chunks::<2>().0,
        );
        for ((mean, a), b) in out.iter_mut().zip(upper).zip(lower) {
            let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
            *mean = f32::from(sum) * (1.0 / 4.0);
        }
    }

    fn quads(&self, out: &mut [f32]) {
        let rows = self.sixteens();
        let (groups, rest) = out.as_chunks_mut::<4>();
        for (i, group) in groups.iter_mut().enumerate().take(rows[0].len()) {
            let [a, b] = pair_sums(rows.map(|row| row[i])).map(|lanes| {
                let both = (lanes & EVEN_U16) + (lanes >> 16 & EVEN_U16);
                [both as u32, (both >> 32) as u32]
            });
            *group = [a[0], a[1], b[0], b[1]].map(|sum| sum as f32 * (1.0 / 16.0));
        }
        self.rest(4, rest);
    }

    fn eights(&self, out: &mut [f32]) {
        let rows = self.sixteens();
        let (groups, rest) = out.as_chunks_mut::<2>();
        for (i, group) in groups.iter_mut().enumerate().take(rows[0].len()) {
            let sums = pair_sums(rows.map(|row| row[i]));
            *group = sums.map(|lanes| sum_of_lanes(lanes) as f32 * (1.0 / 32.0));
        }
        self.rest(8, rest);
    }

    /// Cells of 16 pixels and more, any power of two.
    fn wide(&self, cell: usize, out: &mut [f32]) {
        let rows = self.sixteens();
        let scale = 1.0 / (4 * cell) as f32;
        for (mean, first) in out.iter_mut().zip((0..).step_by(cell / 16)) {
            let sums = (first..first + cell / 16).map(|i| {
                let [a, b] = pair_sums(rows.map(|row| row[i]));
                sum_of_lanes(a) + sum_of_lanes(b)
            });
            *mean = sums.sum::<u32>() as f32 * scale;
        }
    }

    /// The last cells of a strip, fewer than fill sixteen pixels.
    fn rest(&self, cell: usize, out: &mut [f32]) {
        let first = self.bytes / cell - out.len();
        for (i, mean) in out.iter_mut().enumerate() {
            let x = (first + i) * cell;
            let pixels = (0..4).flat_map(|v| &self.row(v)[x..x + cell]);
            *mean = pixels.map(|&p| u32::from(p)).sum::<u32>() as f32 / (4 * cell) as f32;
        }
    }
}

const EVEN_U8: u64 = 0x00ff_00ff_00ff_00ff;
const EVEN_U16: u64 = 0x0000_ffff_0000_ffff;

/// Sums over four rows of each pair of neighbours, as four 16-bit lanes a word; plain integers that compilers
/// turn into vector instructions.
#[inline(always)]
fn pair_sums(rows: [Sixteen; 4]) -> [u64; 2] {
    let mut sums = [0u64; 2];
    for row in rows {
        let row = u128::from_le_bytes(row);
        for (sum, word) in sums.iter_mut().zip([row as u64, (row >> 64) as u64]) {
            // A lane holds at most 4 * 2 * 255: nothing overflows.
            *sum = sum
                .wrapping_add(word & EVEN_U8)
                .wrapping_add(word >> 8 & EVEN_U8);
        }
    }
    sums
}

/// Sum of four 16-bit lanes, which must fit 16 bits.
#[inline(always)]
fn sum_of_lanes(lanes: u64) -> u32 {
    (lanes.wrapping_mul(0x0001_0001_0001_0001) >> 48) as u32
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
                if y % row_step(grid.cell) == 0 {
                    sum += u32::from(luma.data[at_y * luma.stride + x]);
                    count += 1;
                }
            }
        }
        Some(sum as f32 / count as f32)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn means_are_those_of_a_plain_loop(
            width in 32usize..120, height in 32usize..80, pad in 0usize..5, cell in prop::sample::select(vec![2usize, 4, 8, 16, 32]),
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
            let window = reduce(luma, grid, (dx, dy), &mut means);
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
        assert!(reduce(luma, grid, (0, 0), &mut means).is_whole(grid));
        assert!(means.iter().all(|&m| m == 7.0));
    }
}
