//! The boxes drawn around what moves, and the regions of the picture that they become.

use nvr_contract::BBox;

use super::detector::Region;
use super::grid::Grid;
use super::zones::ZoneSet;

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

/// Cells of a thing that stands for itself, and the share of its box that they fill.
const SOLID_CELLS: usize = 24;
const SOLID_SHARE: f32 = 0.75;

/// Parts foreground cells, each with its column, row and strength, where a whole row or column of their box is empty and
/// what lies on both sides is solid: two things that pass each other closely, not pieces of one.
pub fn parted(cells: Vec<(usize, usize, f32)>) -> Vec<Vec<(usize, usize, f32)>> {
    for by_row in [true, false] {
        let place = |cell: &(usize, usize, f32)| if by_row { cell.1 } else { cell.0 };
        let mut places: Vec<usize> = cells.iter().map(place).collect();
        places.sort_unstable();
        let gap = places.windows(2).find(|pair| pair[1] > pair[0] + 1);
        if let Some(&[_, behind]) = gap {
            let (before, after): (Vec<_>, Vec<_>) =
                cells.iter().partition(|cell| place(cell) < behind);
            if is_solid(&before) && is_solid(&after) {
                return [before, after].into_iter().flat_map(parted).collect();
            }
        }
    }
    vec![cells]
}

/// Whether cells fill most of their box.
pub fn is_solid(cells: &[(usize, usize, f32)]) -> bool {
    let side = |place: fn(&(usize, usize, f32)) -> usize| {
        let (low, high) = cells
            .iter()
            .map(place)
            .fold((usize::MAX, 0), |(low, high), v| (low.min(v), high.max(v)));
        high.saturating_sub(low) + 1
    };
    let area = side(|cell| cell.0) * side(|cell| cell.1);
    cells.len() >= SOLID_CELLS && cells.len() as f32 >= SOLID_SHARE * area as f32
}

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

/// A moving thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thing {
    /// Where.
    pub at: CellBox,
    /// By how much its strongest cell exceeds what is usual there, grey levels.
    pub peak: f32,
    /// The zones that it touches.
    pub zones: ZoneSet,
    /// Whether it fills its box.
    pub solid: bool,
}

/// Joins things whose boxes touch or nearly do, unless both fill theirs.
fn merge(mut things: Vec<Thing>) -> Vec<Thing> {
    let mut i = 0;
    while i < things.len() {
        let near = (i + 1..things.len()).find(|&j| {
            let (a, b) = (&things[i], &things[j]);
            !(a.solid && b.solid) && a.at.near(b.at, MERGE_GAP)
        });
        match near {
            Some(j) => {
                let other = things.swap_remove(j);
                let thing = &mut things[i];
                thing.at = thing.at.cover(other.at);
                thing.peak = thing.peak.max(other.peak);
                thing.zones = thing.zones.with(other.zones);
                thing.solid = false;
                // The grown box may now touch one that was passed before.
                i = 0;
            }
            None => i += 1,
        }
    }
    things
}

/// The regions of a picture of `size` pixels that things on its grid become; a score is a half where the peak is `half`.
pub fn joined(things: Vec<Thing>, grid: Grid, size: (usize, usize), half: f32) -> Vec<Region> {
    let share = |cells: f32, size: usize| f64::from(cells) * grid.cell as f64 / size as f64;
    let region = |Thing {
                      at, peak, zones, ..
                  }| Region {
        bbox: BBox::clamped(
            share(at.x0, size.0),
            share(at.y0, size.1),
            share(at.x1 - at.x0, size.0),
            share(at.y1 - at.y0, size.1),
        ),
        score: f64::from(peak / (peak + half)),
        zones,
    };
    merge(things).into_iter().map(region).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let at = |x0: f32, x1: f32| Thing {
            at: CellBox {
                x0,
                y0: 0.0,
                x1,
                y1: 2.0,
            },
            peak: x1,
            zones: ZoneSet::default(),
            solid: false,
        };
        let merged = merge(vec![at(0.0, 2.0), at(8.0, 9.0), at(4.5, 7.0), at(3.0, 4.0)]);
        assert_eq!(merged, [at(0.0, 9.0)]);
        assert_eq!(merge(vec![at(0.0, 2.0), at(3.5, 4.0)]).len(), 2);
    }

    #[test]
    fn solid_things_are_parted() {
        let block = |cols: std::ops::Range<usize>, rows: std::ops::Range<usize>| {
            cols.flat_map(move |col| rows.clone().map(move |row| (col, row, 5.0)))
        };
        let check = |cells: Vec<(usize, usize, f32)>, expect: usize| {
            let count = cells.len();
            let parts = parted(cells);
            assert_eq!(parts.len(), expect);
            assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), count);
        };
        check(block(0..6, 0..5).chain(block(3..9, 6..12)).collect(), 2);
        check(block(0..6, 0..5).chain(block(7..12, 0..6)).collect(), 2);
        // Touching, or a piece too small to stand for itself: one.
        check(block(0..6, 0..5).chain(block(3..9, 5..12)).collect(), 1);
        check(block(0..6, 0..5).chain(block(0..6, 6..8)).collect(), 1);
        check(Vec::new(), 1);
    }

    #[test]
    fn regions_are_shares_of_the_picture() {
        let thing = Thing {
            at: CellBox {
                x0: 4.0,
                y0: 2.0,
                x1: 8.0,
                y1: 4.0,
            },
            peak: 6.0,
            zones: ZoneSet::default(),
            solid: true,
        };
        let grid = Grid {
            cell: 4,
            cols: 16,
            rows: 8,
        };
        let regions = joined(vec![thing], grid, (64, 32), 6.0);
        assert_eq!(regions[0].bbox.to_array(), [0.25, 0.25, 0.25, 0.25]);
        assert_eq!(regions[0].score, 0.5);
    }
}
