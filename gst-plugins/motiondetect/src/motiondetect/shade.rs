//! Light and shade that fall on a part of the picture: what lies there stays to be seen, brighter or darker.

use super::grid::Grid;

/// Pairs of neighbours that must be compared for an answer.
const MIN_PAIRS: f32 = 24.0;
/// Mean square of the differences between neighbours from which on there is something to be seen there, grey levels.
const MIN_TEXTURE: f32 = 3.0;
/// Share of the variance in the picture that the background explains: noise and the rim of the light take the rest.
const EXPLAINED: f32 = 0.7;
/// Least slope of it: what is half transparent is no shade.
const MIN_SLOPE: f32 = 0.5;

/// Nanoseconds for which pieces around a group of shade are taken for parts of it.
const LASTS: u64 = 500_000_000;
/// Cells around it in which they are.
const AROUND: usize = 6;

/// Where light changes now: its rim and bare spots do not show by themselves what they are.
#[derive(Debug, Default)]
pub struct Shaded {
    /// First and last column and row, and until when.
    at: Option<([usize; 4], u64)>,
}

impl Shaded {
    /// Whether a group lies within.
    pub fn holds(&self, grid: Grid, cells: &[u32], now: u64) -> bool {
        self.at.is_some_and(|([left, right, top, bottom], until)| {
            let inside = |&cell: &u32| {
                let (col, row) = grid.position(cell as usize);
                (left..=right).contains(&col) && (top..=bottom).contains(&row)
            };
            now <= until && cells.iter().all(inside)
        })
    }

    /// Adds a group.
    pub fn add(&mut self, grid: Grid, cells: &[u32], now: u64) {
        let mut at = match self.at {
            Some((at, until)) if now <= until => at,
            _ => [usize::MAX, 0, usize::MAX, 0],
        };
        for &cell in cells {
            let (col, row) = grid.position(cell as usize);
            let reach = |v: usize| (v.saturating_sub(AROUND), v + AROUND);
            let ((left, right), (top, bottom)) = (reach(col), reach(row));
            at = [
                at[0].min(left),
                at[1].max(right),
                at[2].min(top),
                at[3].max(bottom),
            ];
        }
        self.at = Some((at, now + LASTS));
    }

    /// Forgets it.
    pub fn clear(&mut self) {
        self.at = None;
    }
}

/// Whether a group of foreground cells shows the background in another light: the differences between its neighbours are
/// those of the background, times one factor. `value` is a cell's value in the background and in the picture.
pub fn is_shade(
    grid: Grid,
    cells: &[u32],
    weak: &[u8],
    value: impl Fn(usize) -> (f32, f32),
) -> bool {
    let (mut pairs, mut base, mut both, mut picture) = (0.0, 0.0, 0.0, 0.0);
    for &cell in cells {
        let k = cell as usize;
        if weak[k] == 0 {
            continue;
        }
        let here = value(k);
        let (col, _) = grid.position(k);
        let right = (col + 1 < grid.cols).then_some(k + 1);
        for other in right.into_iter().chain([k + grid.cols]) {
            if other >= grid.len() || weak[other] == 0 {
                continue;
            }
            let there = value(other);
            let (b, c) = (there.0 - here.0, there.1 - here.1);
            pairs += 1.0;
            base += b * b;
            both += b * c;
            picture += c * c;
        }
    }
    pairs >= MIN_PAIRS
        && base >= MIN_TEXTURE * pairs
        && both >= MIN_SLOPE * base
        && both * both >= EXPLAINED * base * picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_keeps_what_it_falls_on() {
        let grid = Grid {
            cell: 4,
            cols: 12,
            rows: 10,
        };
        let cells: Vec<u32> = (0..120).collect();
        let wall = |k: usize| (k * 29 % 31) as f32;
        let check = |picture: &dyn Fn(usize) -> f32, expect: bool| {
            let found = is_shade(grid, &cells, &[1; 120], |k| (wall(k), picture(k)));
            assert_eq!(found, expect);
        };
        check(&|k| 1.4 * wall(k) + (k % 12) as f32, true);
        check(&|k| 0.6 * wall(k), true);
        check(&|k| 0.25 * wall(k) + 60.0, false);
        check(&|k| (k * 17 % 23) as f32, false);
        check(&|_| 90.0, false);
        // A bare wall does not show whether something stands before it.
        assert!(!is_shade(grid, &cells, &[1; 120], |k| (9.0, wall(k))));
        assert!(!is_shade(grid, &cells[..4], &[1; 120], |k| (
            wall(k),
            wall(k)
        )));
    }
}
