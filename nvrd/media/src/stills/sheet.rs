//! Small pictures side by side in one JPEG, with black where one is missing.

use gst_video::prelude::*;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};
use nvr_base::{Error, Result};

/// JPEG quality: small pictures show blocks later than large ones.
const QUALITY: u8 = 80;

/// A sheet of cells that are filled one by one.
#[derive(Debug)]
pub struct Sheet {
    image: RgbImage,
    columns: u32,
    cell: (u32, u32),
}

impl Sheet {
    /// Black cells of this width and height in pixels; `columns` and `rows` are at least 1.
    pub fn new(columns: u32, rows: u32, cell: (u32, u32)) -> Self {
        Self {
            image: RgbImage::new(columns * cell.0, rows * cell.1),
            columns,
            cell,
        }
    }

    /// Puts RGB pixels, row by row without padding, into a cell, counted from 0 by rows.
    pub fn put(&mut self, number: u32, pixels: &[u8]) {
        let (width, height) = self.cell;
        let Some(picture) = RgbImage::from_raw(width, height, pixels.to_vec()) else {
            return;
        };
        let (x, y) = (
            number % self.columns * width,
            number / self.columns * height,
        );
        image::imageops::replace(&mut self.image, &picture, x.into(), y.into());
    }

    /// The sheet as a JPEG.
    ///
    /// # Errors
    /// When it is larger than a JPEG can be: 65535 pixels a side.
    pub fn jpeg(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let (width, height) = self.image.dimensions();
        JpegEncoder::new_with_quality(&mut bytes, QUALITY)
            .encode(self.image.as_raw(), width, height, ExtendedColorType::Rgb8)
            .map_err(|error| {
                Error::internal("the sheet could not be made a JPEG").with_source(error)
            })?;
        Ok(bytes)
    }
}

/// The pixels of an RGB picture, row by row without padding.
pub(super) fn rgb_of(sample: &gst::Sample) -> Result<Vec<u8>> {
    let unreadable = || Error::internal("the picture cannot be read");
    let info = sample
        .caps()
        .and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
    let info = info.ok_or_else(unreadable)?;
    let buffer = sample.buffer().ok_or_else(unreadable)?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)
        .map_err(|_| unreadable())?;
    let stride = usize::try_from(frame.plane_stride()[0]).map_err(|_| unreadable())?;
    let row = info.width() as usize * 3;
    let data = frame.plane_data(0).map_err(|_| unreadable())?;
    let rows = data.chunks(stride).take(info.height() as usize);
    Ok(rows
        .flat_map(|line| &line[..row.min(line.len())])
        .copied()
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_where_they_belong() {
        let mut sheet = Sheet::new(2, 2, (16, 16));
        sheet.put(1, &[255; 16 * 16 * 3]);
        sheet.put(3, &[255; 5]); // Another size stays out.
        let jpeg = sheet.jpeg().unwrap();
        let shown = image::load_from_memory(&jpeg).unwrap().to_rgb8();
        assert_eq!(shown.dimensions(), (32, 32));
        for (x, y, expect) in [(8, 8, 0), (24, 8, 255), (8, 24, 0), (24, 24, 0)] {
            let got = shown.get_pixel(x, y).0[0];
            assert!(got.abs_diff(expect) < 8, "({x}, {y}): {got}");
        }
    }
}
