//! A face on a picture: where it is, cut out upright, and how good it is.

use gstfacematch::align::Points;
use gstfacematch::picture as planes;
use gstfacematch::recogniser::{Portrait, portrait};

use crate::infer::{Found, Picture};

/// A face.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Left, top, right and bottom edge, pixels.
    pub bbox: [f32; 4],
    /// How sure it is that it is one, 0..1.
    pub score: f32,
    pub(super) landmarks: Points,
    pub(super) portrait: Portrait,
}

impl Seen {
    /// The face that a detector found, `None` where it has no landmarks that make one.
    pub(super) fn of(picture: &Picture, found: &Found) -> Option<Self> {
        // The centre of the first pixel is at half a pixel of the picture.
        let landmarks = found
            .landmarks?
            .map(|[x, y]| (f64::from(x) - 0.5, f64::from(y) - 0.5));
        Some(Self {
            bbox: found.bbox,
            score: found.score,
            landmarks,
            portrait: cut(picture, &landmarks)?,
        })
    }

    /// Pixels that it covers.
    pub(super) fn area(&self) -> f32 {
        let [left, top, right, bottom] = self.bbox;
        (right - left) * (bottom - top)
    }
}

/// Cuts a face out of a picture.
pub(super) fn cut(picture: &Picture, landmarks: &Points) -> Option<Portrait> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels = planes::Pixels::Rgb(planes::Plane {
        data: picture.pixels().as_raw(),
        stride: 3 * width,
    });
    // Without meaning for red, green and blue.
    let matrix = planes::Matrix {
        kr: 0.299,
        kb: 0.114,
        full_range: true,
    };
    let picture = planes::Picture::new(width, height, pixels, matrix)?;
    portrait(&picture, landmarks)
}
