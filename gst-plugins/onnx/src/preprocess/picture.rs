//! A picture as it lies in memory: its planes, its colours, and whether they hold what they are said to.

/// One plane of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl<'a> Plane<'a> {
    /// The bytes from the beginning of a row on.
    pub(super) fn row(&self, row: usize) -> &'a [u8] {
        &self.data[row * self.stride..]
    }
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

/// Rows are red, green and blue; columns are what the first, second and third row buffer are multiplied by,
/// and what is added.
pub(super) type Matrix = [[f32; 4]; 3];

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

    /// From luma and both differences, as bytes, to colours between 0 and 255, which are still to be clamped.
    pub(super) fn matrix(self) -> Matrix {
        let kg = 1.0 - self.kr - self.kb;
        let (black, luma, chroma) = if self.full_range {
            (0.0, 1.0, 1.0)
        } else {
            (16.0, 255.0 / 219.0, 255.0 / 224.0)
        };
        let r_v = 2.0 * (1.0 - self.kr) * chroma;
        let b_u = 2.0 * (1.0 - self.kb) * chroma;
        let g_u = -b_u * self.kb / kg;
        let g_v = -r_v * self.kr / kg;
        let row = |u: f32, v: f32| [luma, u, v, -black * luma - 128.0 * (u + v)];
        [row(0.0, r_v), row(g_u, g_v), row(b_u, 0.0)]
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
    pub(super) fn check(&self) -> Result<(), PictureError> {
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

    /// Pixels of the picture that one sample of the second and third row buffer covers along each axis.
    pub(super) fn chroma_step(&self) -> usize {
        match self.pixels {
            Pixels::I420 { .. } | Pixels::Nv12 { .. } => 2,
            Pixels::Rgb(_) => 1,
        }
    }
}
