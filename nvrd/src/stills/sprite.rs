//! Small pictures of a stretch of time on one sheet, evenly spaced, with empty cells where nothing is recorded.

use nvr_base::{Error, Result};
use nvr_media::stills::Sheet;

use super::place::open;
use super::{Pick, Stills};

/// What a sheet shall show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpriteRequest {
    /// Start of the stretch, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Its end.
    pub end_us: i64,
    /// Cells, at least 1.
    pub count: u32,
    /// Cells in a row, at least 1.
    pub columns: u32,
    /// Height of a cell in pixels.
    pub height: u32,
}

impl SpriteRequest {
    /// The moment of a cell: the middle of its share of the stretch.
    fn moment(&self, cell: u32) -> i64 {
        let length = i128::from(self.end_us) - i128::from(self.start_us);
        let into = length * i128::from(2 * cell + 1) / i128::from(2 * self.count);
        self.start_us
            .saturating_add(i64::try_from(into).unwrap_or(i64::MAX))
    }

    /// Cells in a row; no more than there are cells.
    pub fn columns(&self) -> u32 {
        self.columns.clamp(1, self.count.max(1))
    }

    /// Rows of cells.
    pub fn rows(&self) -> u32 {
        self.count.div_ceil(self.columns())
    }
}

/// A cell of a sheet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The moment that it stands for, microseconds since 1970-01-01 UTC.
    pub wanted_us: i64,
    /// The picture, if there is one.
    pub pick: Option<Pick>,
}

/// Which pictures a sheet has, and how it is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sprite {
    /// What was asked for.
    pub request: SpriteRequest,
    /// Width of a cell in pixels: that of the first picture that is found.
    pub width: u32,
    /// The cells by rows.
    pub cells: Vec<Cell>,
}

impl Stills {
    /// Chooses the pictures of a sheet; nothing is decoded.
    ///
    /// # Errors
    /// `NotFound` when nothing of the stretch is recorded, with the reason of its first moment.
    pub fn sprite(&self, camera: &str, request: SpriteRequest) -> Result<Sprite> {
        let moments: Vec<i64> = (0..request.count)
            .map(|cell| request.moment(cell))
            .collect();
        let picks = self.picks(camera, moments.iter().copied())?;
        let Some(first) = picks.iter().flatten().next() else {
            let first = moments.first().copied().unwrap_or(request.start_us);
            return match self.source(camera, first) {
                Err(error) => Err(error),
                Ok(_) => Err(Error::not_found("nothing of this stretch is recorded")),
            };
        };
        let width = cell_width(first.size, request.height);
        let cells = moments.into_iter().zip(picks);
        Ok(Sprite {
            request,
            width,
            cells: cells
                .map(|(wanted_us, pick)| Cell { wanted_us, pick })
                .collect(),
        })
    }

    /// Makes a sheet; the answer says which cells have a picture: one that cannot be decoded stays empty too.
    ///
    /// # Errors
    /// Only when the sheet cannot be encoded.
    pub fn sheet(&self, sprite: &Sprite) -> Result<(Vec<u8>, Vec<bool>)> {
        let SpriteRequest { height, .. } = sprite.request;
        let (columns, rows) = (sprite.request.columns(), sprite.request.rows());
        let size = (sprite.width, height);
        let mut sheet = Sheet::new(columns, rows, size);
        let mut filled = vec![false; sprite.cells.len()];
        let picks: Vec<(usize, &Pick)> = sprite
            .cells
            .iter()
            .enumerate()
            .filter_map(|(number, cell)| Some((number, cell.pick.as_ref()?)))
            .collect();
        for group in picks.chunk_by(|(_, a), (_, b)| a.path == b.path) {
            let Some((_, first)) = group.first() else {
                continue;
            };
            let wanted: Vec<i64> = group.iter().map(|(_, pick)| pick.offset_ns).collect();
            let put = |offset_ns: i64, pixels: Vec<u8>| {
                // One key frame may stand for several moments.
                for (number, _) in group.iter().filter(|(_, pick)| pick.offset_ns == offset_ns) {
                    sheet.put(u32::try_from(*number).unwrap_or(u32::MAX), &pixels);
                    filled[*number] = true;
                }
            };
            let done = open(&first.path).and_then(|mut file| file.small_keys(&wanted, size, put));
            if let Err(error) = done {
                tracing::info!(%error, segment.path = %first.path.display(), "cells of a sheet stay empty");
            }
        }
        Ok((sheet.jpeg()?, filled))
    }
}

/// The width that a picture of this size has at a height, even and never zero.
fn cell_width((width, height): (u32, u32), cell_height: u32) -> u32 {
    let scaled = u64::from(width) * u64::from(cell_height) / u64::from(height.max(1));
    let even = scaled.div_ceil(2) * 2;
    // Recordings are at most 65535 wide, but a damaged row may say anything.
    u32::try_from(even)
        .unwrap_or(u32::MAX)
        .clamp(2, 4 * cell_height.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_for_the_middle_of_their_share() {
        let request = SpriteRequest {
            start_us: 1000,
            end_us: 2000,
            count: 5,
            columns: 3,
            height: 90,
        };
        let moments: Vec<i64> = (0..5).map(|cell| request.moment(cell)).collect();
        assert_eq!(moments, [1100, 1300, 1500, 1700, 1900]);
        assert_eq!((request.columns(), request.rows()), (3, 2));
        let one = SpriteRequest {
            count: 1,
            ..request
        };
        assert_eq!((one.moment(0), one.columns(), one.rows()), (1500, 1, 1));
    }

    #[test]
    fn cells_have_the_shape_of_the_pictures() {
        assert_eq!(cell_width((1920, 1080), 90), 160);
        assert_eq!(cell_width((640, 480), 90), 120);
        assert_eq!(cell_width((1080, 1920), 90), 50);
        assert_eq!(cell_width((u32::MAX, 0), 90), 360);
    }
}
