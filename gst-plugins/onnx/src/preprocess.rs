//! From the planes of a picture to the tensor of a model in one pass: resize, colour, layout, normalisation.
//!
//! Bilinear with pixel centres at half coordinates and edges held, as the training code of the known families
//! resizes. Chroma is taken as centred between its luma samples; where a stream says otherwise, colour is off
//! by a quarter of a pixel, which no detector sees.

use crate::facts::{Channels, InputSpec, Letterbox};

/// One plane of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// The planes of a picture.
#[derive(Debug, Clone, Copy)]
pub enum Pixels<'a> {
    /// Luma and two chroma planes of half the size.
    I420 {
        /// Luma.
        y: Plane<'a>,
        /// Blue difference.
        u: Plane<'a>,
        /// Red difference.
        v: Plane<'a>,
    },
    /// Luma and one plane of interleaved chroma.
    Nv12 {
        /// Luma.
        y: Plane<'a>,
        /// Both differences, blue first.
        uv: Plane<'a>,
    },
    /// Interleaved bytes, red first.
    Rgb(Plane<'a>),
}

/// How luma and chroma become colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    /// Weight of red in luma.
    pub kr: f32,
    /// Weight of blue in luma.
    pub kb: f32,
    /// Whether luma fills 0..255; 16..235 otherwise.
    pub full_range: bool,
}

impl Colour {
    /// BT.601, limited range: standard definition.
    pub const BT601: Self = Self {
        kr: 0.299,
        kb: 0.114,
        full_range: false,
    };
    /// BT.709, limited range: high definition.
    pub const BT709: Self = Self {
        kr: 0.2126,
        kb: 0.0722,
        full_range: false,
    };

    /// What a picture of this height has when nobody says.
    pub fn by_height(height: usize) -> Self {
        if height > 576 {
            Self::BT709
        } else {
            Self::BT601
        }
    }
}

/// A picture to look at.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Width, pixels.
    pub width: usize,
    /// Height, pixels.
    pub height: usize,
    /// The planes.
    pub pixels: Pixels<'a>,
    /// How they become colour; without meaning for RGB.
    pub colour: Colour,
}

/// A picture is empty or its planes are shorter than it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the picture is empty or its memory is shorter than its size")]
pub struct PictureError;

impl Picture<'_> {
    fn check(&self) -> Result<(), PictureError> {
        let (w, h) = (self.width, self.height);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let fits = |p: &Plane<'_>, row: usize, rows: usize| {
            p.stride >= row
                && (rows - 1)
                    .checked_mul(p.stride)
                    .and_then(|n| n.checked_add(row))
                    .is_some_and(|n| p.data.len() >= n)
        };
        let fine = w > 0
            && h > 0
            && match &self.pixels {
                Pixels::I420 { y, u, v } => fits(y, w, h) && fits(u, cw, ch) && fits(v, cw, ch),
                Pixels::Nv12 { y, uv } => fits(y, w, h) && fits(uv, 2 * cw, ch),
                Pixels::Rgb(p) => fits(p, 3 * w, h),
            };
        fine.then_some(()).ok_or(PictureError)
    }
}

/// Where a picture lies in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Width of the picture, pixels.
    pub picture_width: usize,
    /// Height of the picture, pixels.
    pub picture_height: usize,
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
        let (iw, ih) = (spec.width, spec.height);
        let (w, h) = match spec.letterbox {
            Letterbox::Stretch => (iw, ih),
            Letterbox::TopLeft | Letterbox::Center => {
                let r = (iw as f64 / width.max(1) as f64).min(ih as f64 / height.max(1) as f64);
                // A whole number can come out a hair too small: 416 must not become 415.
                let side = |v: usize, max: usize| ((v as f64 * r + 1e-6) as usize).clamp(1, max);
                (side(width, iw), side(height, ih))
            }
        };
        let (x, y) = match spec.letterbox {
            Letterbox::Center => ((iw - w) / 2, (ih - h) / 2),
            Letterbox::TopLeft | Letterbox::Stretch => (0, 0),
        };
        Self {
            picture_width: width,
            picture_height: height,
            x,
            y,
            width: w,
            height: h,
        }
    }

    /// A point of the input as shares of the picture; outside 0..1 where it lies beside the picture.
    pub fn to_shares(&self, x: f32, y: f32) -> (f64, f64) {
        let share = |v: f32, start: usize, size: usize| (f64::from(v) - start as f64) / size as f64;
        (share(x, self.x, self.width), share(y, self.y, self.height))
    }
}

/// The tensor `[1, 3, height, width]` that a model takes, reused from picture to picture.
#[derive(Debug, Default)]
pub struct InputTensor {
    /// The values, plane by plane.
    pub data: Vec<f32>,
    /// For which geometry the surround is filled already.
    padded: Option<Geometry>,
}

/// Where an output column or row lies between two input ones.
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

/// One tap for each of `count` output positions over `size` samples, of which each covers `step` pixels.
fn taps(count: usize, pixels: usize, size: usize, step: f64) -> Vec<Tap> {
    let last = size.saturating_sub(1);
    (0..count)
        .map(|i| {
            let centre = (i as f64 + 0.5) * pixels as f64 / count as f64;
            let at = (centre / step - 0.5).clamp(0.0, last as f64);
            let first = at as usize;
            Tap {
                first,
                second: (first + 1).min(last),
                share: (at - first as f64) as f32,
            }
        })
        .collect()
}

/// The taps along both axes, for luma (or RGB) and for chroma.
#[derive(Debug)]
struct Tables {
    geometry: Geometry,
    x: Vec<Tap>,
    y: Vec<Tap>,
    chroma_x: Vec<Tap>,
    chroma_y: Vec<Tap>,
}

impl Tables {
    fn new(geometry: Geometry) -> Self {
        let g = &geometry;
        let (w, h) = (g.picture_width, g.picture_height);
        Self {
            x: taps(g.width, w, w, 1.0),
            y: taps(g.height, h, h, 1.0),
            chroma_x: taps(g.width, w, w.div_ceil(2), 2.0),
            chroma_y: taps(g.height, h, h.div_ceil(2), 2.0),
            geometry,
        }
    }
}

/// Interpolates one output row from a plane whose samples lie `STEP` bytes apart, starting at byte `offset`.
fn sample_row<const STEP: usize>(
    plane: &Plane<'_>,
    offset: usize,
    xs: &[Tap],
    y: Tap,
    out: &mut [f32],
) {
    let upper = &plane.data[y.first * plane.stride + offset..];
    let lower = &plane.data[y.second * plane.stride + offset..];
    for (tap, out) in xs.iter().zip(out) {
        let (a, b) = (tap.first * STEP, tap.second * STEP);
        let mix = |p: u8, q: u8| {
            let (p, q) = (f32::from(p), f32::from(q));
            p + (q - p) * tap.share
        };
        let top = mix(upper[a], upper[b]);
        let bottom = mix(lower[a], lower[b]);
        *out = top + (bottom - top) * y.share;
    }
}

/// Turns a row of luma and chroma into red, green and blue, in place.
fn to_rgb(colour: Colour, [y, u, v]: &mut [Vec<f32>; 3]) {
    let kg = 1.0 - colour.kr - colour.kb;
    let (black, luma, chroma) = if colour.full_range {
        (0.0, 1.0, 1.0)
    } else {
        (16.0, 255.0 / 219.0, 255.0 / 224.0)
    };
    let r_v = 2.0 * (1.0 - colour.kr) * chroma;
    let b_u = 2.0 * (1.0 - colour.kb) * chroma;
    let g_u = -b_u * colour.kb / kg;
    let g_v = -r_v * colour.kr / kg;
    for ((y, u), v) in y.iter_mut().zip(u).zip(v) {
        let (l, cb, cr) = ((*y - black) * luma, *u - 128.0, *v - 128.0);
        *y = (l + r_v * cr).clamp(0.0, 255.0);
        *u = (l + g_u * cb + g_v * cr).clamp(0.0, 255.0);
        *v = (l + b_u * cb).clamp(0.0, 255.0);
    }
}

/// Fills tensors for one model.
#[derive(Debug)]
pub struct Preprocessor {
    spec: InputSpec,
    tables: Option<Tables>,
    rows: [Vec<f32>; 3],
}

impl Preprocessor {
    /// For a model whose input is `spec`.
    pub fn new(spec: InputSpec) -> Self {
        Self {
            spec,
            tables: None,
            rows: Default::default(),
        }
    }

    /// Puts the picture into the tensor and says where it lies.
    ///
    /// # Errors
    /// When the picture is empty or its planes are too short; the tensor is untouched then.
    pub fn fill(
        &mut self,
        picture: &Picture<'_>,
        tensor: &mut InputTensor,
    ) -> Result<Geometry, PictureError> {
        picture.check()?;
        let geometry = Geometry::new(&self.spec, picture.width, picture.height);
        let tables = match self.tables.take() {
            Some(tables) if tables.geometry == geometry => tables,
            _ => Tables::new(geometry),
        };
        self.surround(geometry, tensor);
        for row in &mut self.rows {
            row.resize(geometry.width, 0.0);
        }
        for row in 0..geometry.height {
            self.read_row(picture, &tables, row);
            self.write_row(geometry, row, &mut tensor.data);
        }
        self.tables = Some(tables);
        Ok(geometry)
    }

    /// Multiplier and addend that normalise channel `c` of the tensor.
    fn normal(&self, c: usize) -> (f32, f32) {
        let spec = &self.spec;
        (spec.scale / spec.std[c], -spec.mean[c] / spec.std[c])
    }

    fn surround(&self, geometry: Geometry, tensor: &mut InputTensor) {
        let size = self.spec.width * self.spec.height;
        if tensor.padded == Some(geometry) && tensor.data.len() == 3 * size {
            return;
        }
        tensor.data.resize(3 * size, 0.0);
        for (c, plane) in tensor.data.chunks_exact_mut(size).enumerate() {
            let (factor, addend) = self.normal(c);
            plane.fill(self.spec.pad * factor + addend);
        }
        tensor.padded = Some(geometry);
    }

    /// Reads output row `row` into the row buffers, as red, green and blue.
    fn read_row(&mut self, picture: &Picture<'_>, tables: &Tables, row: usize) {
        let (y_tap, chroma_tap) = (tables.y[row], tables.chroma_y[row]);
        let (xs, cxs) = (&tables.x, &tables.chroma_x);
        let [a, b, c] = &mut self.rows;
        match &picture.pixels {
            Pixels::Rgb(p) => {
                sample_row::<3>(p, 0, xs, y_tap, a);
                sample_row::<3>(p, 1, xs, y_tap, b);
                sample_row::<3>(p, 2, xs, y_tap, c);
                return;
            }
            Pixels::I420 { y, u, v } => {
                sample_row::<1>(y, 0, xs, y_tap, a);
                sample_row::<1>(u, 0, cxs, chroma_tap, b);
                sample_row::<1>(v, 0, cxs, chroma_tap, c);
            }
            Pixels::Nv12 { y, uv } => {
                sample_row::<1>(y, 0, xs, y_tap, a);
                sample_row::<2>(uv, 0, cxs, chroma_tap, b);
                sample_row::<2>(uv, 1, cxs, chroma_tap, c);
            }
        }
        to_rgb(picture.colour, &mut self.rows);
    }

    fn write_row(&self, geometry: Geometry, row: usize, data: &mut [f32]) {
        let (width, height) = (self.spec.width, self.spec.height);
        let start = (geometry.y + row) * width + geometry.x;
        for (c, plane) in data.chunks_exact_mut(width * height).enumerate() {
            let source = match self.spec.channels {
                Channels::Rgb => &self.rows[c],
                Channels::Bgr => &self.rows[2 - c],
            };
            let (factor, addend) = self.normal(c);
            for (out, v) in plane[start..start + geometry.width].iter_mut().zip(source) {
                *out = v * factor + addend;
            }
        }
    }
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
