//! Which part of a picture goes into the input, where it lies there, and the way back.

use crate::facts::{InputSpec, Letterbox};

/// A part of a picture, in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Left edge.
    pub x: usize,
    /// Top edge.
    pub y: usize,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

impl Region {
    /// The whole of a picture of this size.
    pub fn whole(width: usize, height: usize) -> Self {
        Self {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    /// What of it lies inside a picture of this size; `None` when that is nothing.
    pub fn inside(self, width: usize, height: usize) -> Option<Self> {
        let (x, y) = (self.x.min(width), self.y.min(height));
        let cut = Self {
            x,
            y,
            width: self.width.min(width - x),
            height: self.height.min(height - y),
        };
        (cut.width > 0 && cut.height > 0).then_some(cut)
    }
}

/// Where a picture lies in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Width of the picture, pixels.
    pub picture_width: usize,
    /// Height of the picture, pixels.
    pub picture_height: usize,
    /// The part of the picture that is looked at.
    pub region: Region,
    /// Left edge in the input, pixels.
    pub x: usize,
    /// Top edge in the input, pixels.
    pub y: usize,
    /// Width in the input, pixels.
    pub width: usize,
    /// Height in the input, pixels.
    pub height: usize,
}

impl Geometry {
    /// Lays a picture of `width` by `height` pixels into the input.
    pub fn new(spec: &InputSpec, width: usize, height: usize) -> Self {
        Self::of_region(spec, (width, height), Region::whole(width, height))
    }

    /// Lays a part of a picture of (width, height) pixels into the input.
    pub fn of_region(spec: &InputSpec, picture: (usize, usize), region: Region) -> Self {
        let (iw, ih) = (spec.width, spec.height);
        let (width, height) = (region.width.max(1) as f64, region.height.max(1) as f64);
        let (w, h) = match spec.letterbox {
            Letterbox::Stretch => (iw, ih),
            Letterbox::TopLeft | Letterbox::Center => {
                let r = (iw as f64 / width).min(ih as f64 / height);
                // A whole number can come out a hair too small: 416 must not become 415.
                let side = |v: f64, max: usize| ((v * r + 1e-6) as usize).clamp(1, max);
                (side(width, iw), side(height, ih))
            }
        };
        let (x, y) = match spec.letterbox {
            Letterbox::Center => ((iw - w) / 2, (ih - h) / 2),
            Letterbox::TopLeft | Letterbox::Stretch => (0, 0),
        };
        Self {
            picture_width: picture.0,
            picture_height: picture.1,
            region,
            x,
            y,
            width: w,
            height: h,
        }
    }

    /// A point of the input as shares of the picture; outside 0..1 where it lies beside the picture.
    pub fn to_shares(&self, x: f32, y: f32) -> (f64, f64) {
        let share = |v: f32, start: usize, size: usize, from: usize, part: usize, all: usize| {
            let inside = (f64::from(v) - start as f64) / size as f64;
            (from as f64 + inside * part as f64) / all as f64
        };
        let r = self.region;
        (
            share(x, self.x, self.width, r.x, r.width, self.picture_width),
            share(y, self.y, self.height, r.y, r.height, self.picture_height),
        )
    }

    /// Whether the same part of the input is filled.
    pub(super) fn same_place(&self, other: &Self) -> bool {
        let place = |g: &Self| (g.x, g.y, g.width, g.height);
        place(self) == place(other)
    }
}
