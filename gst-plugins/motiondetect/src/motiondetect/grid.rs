//! The grid of cells on which motion is judged, and the picture it is laid over.

/// A luma plane, as it lies in memory.
#[derive(Debug, Clone, Copy)]
pub struct Luma<'a> {
    /// The bytes of the plane; the last row may end after `width` bytes.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

impl<'a> Luma<'a> {
    /// A plane, `None` when the bytes do not hold a picture of that size or a side is shorter than 16 pixels.
    pub fn new(data: &'a [u8], stride: usize, width: usize, height: usize) -> Option<Self> {
        let needed = stride
            .checked_mul(height.checked_sub(1)?)?
            .checked_add(width)?;
        let fits = width >= 16 && height >= 16 && stride >= width && data.len() >= needed;
        fits.then_some(Self {
            data,
            stride,
            width,
            height,
        })
    }
}

/// Square cells that cover a picture from its top left corner; what is left over at the far edges is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grid {
    /// Side of a cell in pixels: 2, 4, 6 or a multiple of four.
    pub cell: usize,
    /// Cells in a row.
    pub cols: usize,
    /// Rows of cells.
    pub rows: usize,
}

/// The most cells along the longer side: finer ones cost time and see noise, coarser ones miss small things. With 240
/// of them 1080 lines took twice the time, and nothing more was found.
const MAX_CELLS: usize = 192;

/// Arrays of cells are padded to whole groups of this many, so that loops need no remainder.
pub const LANES: usize = 8;

impl Grid {
    /// The grid for a picture of `width` by `height` pixels.
    pub fn for_picture(width: usize, height: usize) -> Self {
        let fits = |cell: &usize| width.max(height) / cell <= MAX_CELLS;
        let fine = [2, 4, 6].into_iter().chain((8..).step_by(4));
        let cell = fine.into_iter().find(fits).unwrap_or(usize::MAX);
        Self {
            cell,
            cols: (width / cell).max(1),
            rows: (height / cell).max(1),
        }
    }

    /// Number of cells.
    #[expect(clippy::len_without_is_empty, reason = "a grid has at least one cell")]
    pub fn len(self) -> usize {
        self.cols * self.rows
    }

    /// Number of cells, rounded up to whole groups of [`LANES`].
    pub fn padded_len(self) -> usize {
        self.len().next_multiple_of(LANES)
    }

    /// Column and row of a cell.
    pub fn position(self, index: usize) -> (usize, usize) {
        // Divisions of 32 bits take half the time of those of 64.
        let (index, cols) = (index as u32, self.cols as u32);
        ((index % cols) as usize, (index / cols) as usize)
    }

    /// Whether the cell is not at the edge of the grid and `holds` for the four cells beside it.
    pub fn is_inner(self, index: usize, holds: impl Fn(usize) -> bool) -> bool {
        let (col, row) = self.position(index);
        let inside = col > 0 && row > 0 && col + 1 < self.cols && row + 1 < self.rows;
        inside
            && holds(index - 1)
            && holds(index + 1)
            && holds(index - self.cols)
            && holds(index + self.cols)
    }

    /// The cells at most `reach` columns and rows away from a cell, one range of indices per row.
    pub fn around(
        self,
        index: usize,
        reach: usize,
    ) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (col, row) = self.position(index);
        let cols = col.saturating_sub(reach)..(col + reach + 1).min(self.cols);
        let rows = row.saturating_sub(reach)..(row + reach + 1).min(self.rows);
        rows.map(move |row| row * self.cols + cols.start..row * self.cols + cols.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_follow_the_longer_side() {
        let check = |w, h, expect: (usize, usize, usize)| {
            let grid = Grid::for_picture(w, h);
            assert_eq!((grid.cell, grid.cols, grid.rows), expect, "{w}x{h}");
        };
        check(16, 16, (2, 8, 8));
        check(384, 216, (2, 192, 108));
        check(480, 270, (4, 120, 67));
        check(640, 360, (4, 160, 90));
        check(1280, 720, (8, 160, 90));
        check(768, 432, (4, 192, 108));
        check(960, 540, (6, 160, 90));
        check(1920, 1080, (12, 160, 90));
        check(1080, 1920, (12, 90, 160));
        check(3840, 2160, (20, 192, 108));
        check(17, 4001, (24, 1, 166));
    }

    #[test]
    fn a_plane_must_hold_its_picture() {
        assert!(Luma::new(&[0; 20 * 15 + 16], 20, 16, 16).is_some());
        assert!(Luma::new(&[0; 20 * 15 + 15], 20, 16, 16).is_none());
        assert!(Luma::new(&[0; 4096], 8, 16, 16).is_none());
        assert!(Luma::new(&[0; 4096], 64, 64, 8).is_none());
        assert!(Luma::new(&[], usize::MAX, 16, usize::MAX).is_none());
    }

    #[test]
    fn neighbours_stay_on_the_grid() {
        let grid = Grid {
            cell: 2,
            cols: 8,
            rows: 8,
        };
        let cells: Vec<usize> = grid.around(0, 1).flatten().collect();
        assert_eq!(cells, [0, 1, 8, 9]);
        assert_eq!(grid.around(27, 1).flatten().count(), 9);
        assert_eq!(grid.around(63, 2).flatten().count(), 9);
    }
}
