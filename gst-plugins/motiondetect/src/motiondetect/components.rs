//! Foreground cells that belong together, and the boxes drawn around them.

use std::ops::Range;

use super::grid::Grid;

/// Finds groups of foreground cells; two cells with at most two others between them belong together.
#[derive(Debug, Default)]
pub struct Components {
    grid: Grid,
    /// 0: not near foreground; 1: near, not visited; 2: visited.
    near: Vec<u8>,
    cells: Vec<u32>,
    groups: Vec<Range<usize>>,
}

impl Components {
    /// A finder for one grid.
    pub fn new(grid: Grid) -> Self {
        Self {
            grid,
            near: vec![0; grid.len()],
            cells: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Groups the foreground cells; each group also holds the cells right beside its foreground.
    pub fn find(&mut self, foreground: &[u32]) {
        let grid = self.grid;
        for &cell in &self.cells {
            self.near[cell as usize] = 0;
        }
        self.cells.clear();
        self.groups.clear();
        for &cell in foreground {
            for range in grid.around(cell as usize, 1) {
                self.near[range].fill(1);
            }
        }
        for &seed in foreground {
            if self.near[seed as usize] == 1 {
                self.flood(seed);
            }
        }
    }

    fn flood(&mut self, seed: u32) {
        let start = self.cells.len();
        self.near[seed as usize] = 2;
        self.cells.push(seed);
        let mut next = start;
        // The list of found cells is the queue of cells to look around from.
        while let Some(&cell) = self.cells.get(next) {
            next += 1;
            for k in self.grid.around(cell as usize, 1).flatten() {
                if self.near[k] == 1 {
                    self.near[k] = 2;
                    self.cells.push(k as u32);
                }
            }
        }
        self.groups.push(start..self.cells.len());
    }

    /// The groups found last.
    pub fn groups(&self) -> impl Iterator<Item = &[u32]> {
        self.groups.iter().map(|range| &self.cells[range.clone()])
    }
}

/// A box on the grid, in cells and parts of cells; the right and lower edges are exclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellBox {
    /// Left edge.
    pub x0: f32,
    /// Upper edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Lower edge.
    pub y1: f32,
}

impl CellBox {
    fn near(self, other: Self, gap: f32) -> bool {
        self.x0.max(other.x0) - self.x1.min(other.x1) <= gap
            && self.y0.max(other.y0) - self.y1.min(other.y1) <= gap
    }

    fn cover(self, other: Self) -> Self {
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }
}

/// An edge line whose cells differ less than this share of the mean is only partly covered by the thing.
const FAINT_EDGE: f32 = 0.6;
/// Boxes with at most this gap, in cells, are one thing.
const MERGE_GAP: f32 = 1.0;

/// The box around foreground cells, each with its column, row and strength, faint edges taken in by a part of a cell.
pub fn fitted_box(cells: impl Iterator<Item = (usize, usize, f32)> + Clone) -> Option<CellBox> {
    let (first_col, first_row, _) = cells.clone().next()?;
    let (mut left, mut right, mut top, mut bottom) = (first_col, first_col, first_row, first_row);
    let (mut sum, mut count) = (0.0, 0.0);
    for (col, row, strength) in cells.clone() {
        (left, right) = (left.min(col), right.max(col));
        (top, bottom) = (top.min(row), bottom.max(row));
        sum += strength;
        count += 1.0;
    }
    let mean = f32::max(sum / count, f32::MIN_POSITIVE);
    // Sum and number of the cells on each edge line: left, right, top, bottom.
    let mut edges = [(0.0, 0.0); 4];
    for (col, row, strength) in cells {
        let on = [col == left, col == right, row == top, row == bottom];
        for (edge, _) in edges.iter_mut().zip(on).filter(|(_, on)| *on) {
            *edge = (edge.0 + strength, edge.1 + 1.0);
        }
    }
    let [l, r, t, b] = edges.map(|(sum, count)| {
        let share = sum / count / mean;
        if share < FAINT_EDGE { 1.0 - share } else { 0.0 }
    });
    let take_in = |low: usize, high: usize, from_low: f32, from_high: f32| {
        let (mut low, mut high) = (low as f32, high as f32 + 1.0);
        if high - low > 2.0 {
            low += from_low;
        }
        if high - low > 2.0 {
            high -= from_high;
        }
        (low, high)
    };
    let ((x0, x1), (y0, y1)) = (take_in(left, right, l, r), take_in(top, bottom, t, b));
    Some(CellBox { x0, y0, x1, y1 })
}

/// Joins things whose boxes touch or nearly do; `join` adds what else is known of the second to the first.
pub fn merge<T>(
    mut things: Vec<(CellBox, T)>,
    mut join: impl FnMut(&mut T, T),
) -> Vec<(CellBox, T)> {
    let mut i = 0;
    while i < things.len() {
        let near = (i + 1..things.len()).find(|&j| things[i].0.near(things[j].0, MERGE_GAP));
        match near {
            Some(j) => {
                let (other, facts) = things.swap_remove(j);
                things[i].0 = things[i].0.cover(other);
                join(&mut things[i].1, facts);
                // The grown box may now touch one that was passed before.
                i = 0;
            }
            None => i += 1,
        }
    }
    things
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRID: Grid = Grid {
        cell: 4,
        cols: 20,
        rows: 12,
    };

    fn cell(col: u32, row: u32) -> u32 {
        row * 20 + col
    }

    #[test]
    fn two_empty_cells_do_not_part_a_group() {
        let mut components = Components::new(GRID);
        let check = |components: &mut Components, cells: &[u32], expect: usize| {
            components.find(cells);
            assert_eq!(components.groups().count(), expect, "{cells:?}");
        };
        check(&mut components, &[], 0);
        check(&mut components, &[cell(0, 0)], 1);
        check(&mut components, &[cell(2, 2), cell(5, 2)], 1);
        check(&mut components, &[cell(2, 2), cell(6, 2)], 2);
        check(&mut components, &[cell(2, 2), cell(5, 5)], 1);
        check(&mut components, &[cell(19, 0), cell(0, 1)], 2);
    }

    proptest! {
        #[test]
        fn every_foreground_cell_is_in_one_group(picks in prop::collection::btree_set(0u32..240, 0..60)) {
            let picks: Vec<u32> = picks.into_iter().collect();
            let mut components = Components::new(GRID);
            components.find(&[3, 9]);
            components.find(&picks);
            let mut all: Vec<u32> = components.groups().flatten().copied().collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), count);
            prop_assert!(picks.iter().all(|p| all.binary_search(p).is_ok()));
        }
    }

    #[test]
    fn faint_edges_are_taken_in() {
        let strong = (4..8).flat_map(|col| (3..6).map(move |row| (col, row, 10.0)));
        let whole = CellBox {
            x0: 4.0,
            y0: 3.0,
            x1: 8.0,
            y1: 6.0,
        };
        assert_eq!(fitted_box(strong.clone()), Some(whole));
        let faint = strong.chain((3..6).map(|row| (8, row, 2.0)));
        let found = fitted_box(faint).unwrap();
        assert!(found.x1 > 8.0 && found.x1 < 8.5, "{found:?}");
        assert_eq!(fitted_box(std::iter::empty()), None);
    }

    #[test]
    fn boxes_that_touch_are_one() {
        let at = |x0: f32, x1: f32| {
            (
                CellBox {
                    x0,
                    y0: 0.0,
                    x1,
                    y1: 2.0,
                },
                1,
            )
        };
        let merged = merge(
            vec![at(0.0, 2.0), at(8.0, 9.0), at(4.5, 7.0), at(3.0, 4.0)],
            |a, b| *a += b,
        );
        assert_eq!(
            merged,
            [(
                CellBox {
                    x0: 0.0,
                    y0: 0.0,
                    x1: 9.0,
                    y1: 2.0
                },
                4
            )]
        );
        let apart = merge(vec![at(0.0, 2.0), at(3.5, 4.0)], |a, b| *a += b);
        assert_eq!(apart.len(), 2);
    }
}
