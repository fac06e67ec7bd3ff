//! A picture from outside: decoded within bounds, upright, as red, green and blue.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use nvr_base::{Error, Result};
use nvr_onnx::preprocess;

/// Longest side of a picture that is decoded, pixels.
pub const MAX_SIDE_PX: u32 = 8192;
/// Largest picture once it is decoded, bytes.
pub const MAX_DECODED_BYTES: u64 = 64 << 20;

/// A decoded picture.
#[derive(Clone)]
pub struct Picture(RgbImage);

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} x {})", self.0.width(), self.0.height())
    }
}

impl Picture {
    /// Decodes a JPEG or PNG; its size is judged before a pixel is.
    ///
    /// # Errors
    /// `InvalidArgument` when it is neither, damaged, or too large.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .expect("bytes in memory can be read");
        let format = reader.format();
        if !matches!(format, Some(ImageFormat::Jpeg | ImageFormat::Png)) {
            return Err(Error::invalid("Invalid image: it is neither JPEG nor PNG"));
        }
        let mut reader = reader;
        let mut limits = Limits::default();
        // What the decoder itself needs beside the picture.
        limits.max_alloc = Some(2 * MAX_DECODED_BYTES);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(|error| damaged(&error))?;
        let (width, height) = decoder.dimensions();
        let bytes = u64::from(width) * u64::from(height) * 3;
        let bytes = bytes.max(decoder.total_bytes());
        if width.max(height) > MAX_SIDE_PX || bytes > MAX_DECODED_BYTES {
            return Err(Error::invalid(format!(
                "Invalid image: {width} x {height} pixels are too many: use at most {MAX_SIDE_PX} on a side and {} MiB decoded",
                MAX_DECODED_BYTES >> 20
            )));
        }
        // A picture whose note of its orientation is broken is shown as it lies.
        let orientation = decoder.orientation().ok();
        let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| damaged(&error))?;
        if let Some(orientation) = orientation {
            picture.apply_orientation(orientation);
        }
        Ok(Self(picture.into_rgb8()))
    }

    /// Width, pixels.
    pub fn width(&self) -> u32 {
        self.0.width()
    }

    /// Height, pixels.
    pub fn height(&self) -> u32 {
        self.0.height()
    }

    /// The picture as the elements take it.
    pub(super) fn as_input(&self) -> preprocess::Picture<'_> {
        preprocess::Picture {
            width: self.0.width() as usize,
            height: self.0.height() as usize,
            pixels: preprocess::Pixels::Rgb(preprocess::Plane {
                data: self.0.as_raw(),
                stride: 3 * self.0.width() as usize,
            }),
            colour: preprocess::Colour::BT601,
        }
    }

    /// The pixels, to be drawn on.
    pub(crate) fn pixels(&self) -> &RgbImage {
        &self.0
    }
}

fn damaged(error: &ImageError) -> Error {
    Error::invalid(format!("Invalid image: {error}"))
}
