//! Foreground cells that belong together.

use std::ops::Range;

use super::grid::Grid;

/// Finds groups of foreground cells; two cells with at most two others between them belong together.
#[derive(Debug, Default)]
pub struct Components {
    grid: Grid,
    /// What is known of each cell, one of the constants below.
    near: Vec<u8>,
    cells: Vec<u32>,
    groups: Vec<Range<usize>>,
}

/// Not near foreground.
const FAR: u8 = 0;
/// Foreground, or right beside some; not in a group yet.
const BESIDE: u8 = 1;
const FOREGROUND: u8 = 2;
/// In a group.
const GROUPED: u8 = 3;

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
            self.near[cell as usize] = FAR;
        }
        self.cells.clear();
        self.groups.clear();
        for &cell in foreground {
            self.near[cell as usize] = FOREGROUND;
        }
        for &cell in foreground {
            // Inside a thing there is nothing beside it: only its rim is worth a look around.
            if !grid.is_inner(cell as usize, |k| self.near[k] == FOREGROUND) {
                for k in grid.around(cell as usize, 1).flatten() {
                    if self.near[k] == FAR {
                        self.near[k] = BESIDE;
                    }
                }
            }
        }
        for &seed in foreground {
            if self.near[seed as usize] != GROUPED {
                self.flood(seed);
            }
        }
    }

    fn flood(&mut self, seed: u32) {
        let start = self.cells.len();
        self.near[seed as usize] = GROUPED;
        self.cells.push(seed);
        let mut next = start;
        // The list of found cells is the queue of cells to look around from.
        while let Some(&cell) = self.cells.get(next) {
            next += 1;
            for range in self.grid.around(cell as usize, 1) {
                for k in range {
                    if matches!(self.near[k], BESIDE | FOREGROUND) {
                        self.near[k] = GROUPED;
                        self.cells.push(k as u32);
                    }
                }
            }
        }
        self.groups.push(start..self.cells.len());
    }

    /// Whether a cell and the four beside it are in a group.
    pub fn is_inner(&self, cell: usize) -> bool {
        self.grid.is_inner(cell, |k| self.near[k] == GROUPED)
    }

    /// The groups found last.
    pub fn groups(&self) -> impl Iterator<Item = &[u32]> {
        self.groups.iter().map(|range| &self.cells[range.clone()])
    }
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
}
