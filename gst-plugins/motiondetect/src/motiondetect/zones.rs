//! Masks and zones laid over the grid once, so that a picture only looks them up.

use nvr_contract::polygon::{Polygon, Zone};

use super::grid::Grid;

/// A set of zones, one bit each, in the order in which they were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ZoneSet(u64);

impl ZoneSet {
    /// Whether no zone is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The zones of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The places of the zones in the order in which they were given.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |place| self.0 >> place & 1 == 1)
    }

    /// The names of the zones, sorted.
    pub fn names(self, zones: &[Zone]) -> Vec<String> {
        let named = self.places().filter_map(|place| zones.get(place));
        let mut names: Vec<String> = named.map(|zone| zone.name.clone()).collect();
        names.sort_unstable();
        names
    }
}

/// Points looked at along each side of a cell: a polygon narrower than a third of a cell may be missed.
const POINTS: usize = 3;

/// What the masks hide and the zones hold, per cell.
#[derive(Debug)]
pub struct Raster {
    visible: Vec<u8>,
    hidden: Vec<u32>,
    zones: Vec<ZoneSet>,
    /// Cells of each zone.
    sizes: Vec<u32>,
}

impl Raster {
    /// Lays polygons over the grid of a picture of `width` by `height` pixels; at most the first 64 zones count.
    pub fn new(
        grid: Grid,
        (width, height): (usize, usize),
        masks: &[Polygon],
        zones: &[Zone],
    ) -> Self {
        let mut raster = Self {
            visible: vec![1; grid.padded_len()],
            hidden: Vec::new(),
            zones: vec![ZoneSet::default(); if zones.is_empty() { 0 } else { grid.len() }],
            sizes: vec![0; zones.len().min(64)],
        };
        raster.visible[grid.len()..].fill(0);
        let size = (width as f64, height as f64);
        for mask in masks {
            cover(grid, size, mask, |k| raster.visible[k] = 0);
        }
        for (bit, zone) in zones.iter().enumerate().take(64) {
            let cells = &mut raster.zones;
            let count = &mut raster.sizes[bit];
            cover(grid, size, &zone.polygon, |k| {
                cells[k].0 |= 1 << bit;
                *count += 1;
            });
        }
        raster.hidden = (0..grid.len() as u32)
            .filter(|&k| raster.visible[k as usize] == 0)
            .collect();
        raster
    }

    /// 1 for cells that no mask hides, padded with 0.
    pub fn visible(&self) -> &[u8] {
        &self.visible
    }

    /// The cells that a mask hides.
    pub fn hidden(&self) -> &[u32] {
        &self.hidden
    }

    /// Number of cells of each zone.
    pub fn zone_sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// The zones that hold some part of a cell.
    pub fn zones_at(&self, index: usize) -> ZoneSet {
        self.zones.get(index).copied().unwrap_or_default()
    }
}

/// Calls `found` for each cell of which the polygon holds some part.
fn cover(grid: Grid, (width, height): (f64, f64), polygon: &Polygon, mut found: impl FnMut(usize)) {
    let side = grid.cell as f64;
    let point = |cell: usize, i: usize| (cell as f64 + (i as f64 + 0.5) / POINTS as f64) * side;
    for row in 0..grid.rows {
        for col in 0..grid.cols {
            let holds = (0..POINTS * POINTS).any(|i| {
                let (x, y) = (point(col, i % POINTS), point(row, i / POINTS));
                polygon.contains(x / width, y / height)
            });
            if holds {
                found(row * grid.cols + col);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nvr_contract::polygon::{parse_masks, parse_zones};

    #[test]
    fn polygons_cover_their_cells() {
        let grid = Grid {
            cell: 4,
            cols: 10,
            rows: 10,
        };
        let masks = parse_masks("0,0 0.2,0 0.2,0.1 0,0.1").unwrap();
        let zones = parse_zones("b=0,0 0.5,0 0.5,1 0,1; a=0.4,0 1,0 1,1 0.4,1").unwrap();
        let raster = Raster::new(grid, (40, 40), &masks, &zones);
        assert_eq!(raster.hidden(), [0, 1]);
        assert_eq!(raster.visible()[..3], [0, 0, 1]);
        assert_eq!(raster.visible()[grid.len()..], [0; 4]);
        assert_eq!(raster.zone_sizes(), [50, 60]);
        let names = |k: usize| raster.zones_at(k).names(&zones);
        assert_eq!(names(3), ["b"]);
        assert_eq!(names(4), ["a", "b"]);
        assert_eq!(names(9), ["a"]);
    }

    #[test]
    fn nothing_given_hides_and_holds_nothing() {
        let raster = Raster::new(
            Grid {
                cell: 2,
                cols: 8,
                rows: 8,
            },
            (16, 16),
            &[],
            &[],
        );
        assert!(raster.hidden().is_empty());
        assert!(raster.zones_at(5).is_empty());
    }
}
