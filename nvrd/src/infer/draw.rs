//! Boxes and points drawn on a picture, as a JPEG.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use nvr_base::{Error, Result};

use super::eye::Found;
use super::picture::Picture;

/// Colours that stand out from each other and from most scenes; one label has one.
const COLOURS: [Rgb<u8>; 6] = [
    Rgb([0, 230, 64]),
    Rgb([255, 176, 0]),
    Rgb([0, 160, 255]),
    Rgb([255, 64, 129]),
    Rgb([186, 85, 255]),
    Rgb([255, 241, 0]),
];
/// Of JPEG, 1..100.
const QUALITY: u8 = 85;

/// The picture with a frame around everything that was found, as a JPEG.
///
/// # Errors
/// `Internal` when it cannot be encoded.
pub fn annotate(picture: &Picture, found: &[Found]) -> Result<Vec<u8>> {
    let mut pixels = picture.pixels().clone();
    // Visible on a thumbnail of a large picture, and no wall on a small one.
    let thick = (pixels.width().max(pixels.height()) / 320).clamp(1, 12);
    for it in found {
        let colour = colour_of(&it.label);
        frame(&mut pixels, it.bbox, thick, colour);
        for [x, y] in it.landmarks.into_iter().flatten() {
            let half = thick as f32;
            fill(
                &mut pixels,
                [x - half, y - half, x + half, y + half],
                colour,
            );
        }
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .write_image(
            pixels.as_raw(),
            pixels.width(),
            pixels.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|error| Error::internal("a picture cannot be encoded").with_source(error))?;
    Ok(jpeg)
}

fn colour_of(label: &str) -> Rgb<u8> {
    let sum: usize = label.bytes().map(usize::from).sum();
    if label == "person" {
        return COLOURS[0];
    }
    COLOURS[sum % COLOURS.len()]
}

fn frame(pixels: &mut RgbImage, [left, top, right, bottom]: [f32; 4], thick: u32, colour: Rgb<u8>) {
    let thick = thick as f32;
    fill(pixels, [left, top, right, top + thick], colour);
    fill(pixels, [left, bottom - thick, right, bottom], colour);
    fill(pixels, [left, top, left + thick, bottom], colour);
    fill(pixels, [right - thick, top, right, bottom], colour);
}

/// Fills what of a rectangle lies inside the picture.
fn fill(pixels: &mut RgbImage, [left, top, right, bottom]: [f32; 4], colour: Rgb<u8>) {
    let inside = |value: f32, size: u32| (value.max(0.0).round() as u32).min(size);
    let (width, height) = pixels.dimensions();
    for y in inside(top, height)..inside(bottom, height) {
        for x in inside(left, width)..inside(right, width) {
            pixels.put_pixel(x, y, colour);
        }
    }
}
