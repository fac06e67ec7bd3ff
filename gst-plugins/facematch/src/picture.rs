//! The planes of a picture as colours at any place: what an aligned face is cut out of.
//!
//! Bilinear, chroma taken as centred between its luma samples. Only the pixels under a face are converted.

use crate::align::Colours;

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
    I420([Plane<'a>; 3]),
    /// Luma and one plane of interleaved chroma, blue first.
    Nv12([Plane<'a>; 2]),
    /// Interleaved bytes, red first.
    Rgb(Plane<'a>),
}

/// How luma and chroma become colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matrix {
    /// Weight of red in luma.
    pub kr: f32,
    /// Weight of blue in luma.
    pub kb: f32,
    /// Whether luma fills 0..255; 16..235 otherwise.
    pub full_range: bool,
}

/// A picture whose planes are as long as its size promises.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    width: usize,
    height: usize,
    pixels: Pixels<'a>,
    matrix: Matrix,
}

impl<'a> Picture<'a> {
    /// A picture of `width` by `height` pixels; `None` when it is empty or its planes are too short.
    pub fn new(width: usize, height: usize, pixels: Pixels<'a>, matrix: Matrix) -> Option<Self> {
        let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
        let fits = |p: &Plane<'_>, row: usize, rows: usize| {
            rows > 0
                && p.stride >= row
                && (rows - 1)
                    .checked_mul(p.stride)
                    .and_then(|n| n.checked_add(row))
                    .is_some_and(|n| p.data.len() >= n)
        };
        let fine = width > 0
            && match &pixels {
                Pixels::I420([y, u, v]) => {
                    fits(y, width, height) && fits(u, cw, ch) && fits(v, cw, ch)
                }
                Pixels::Nv12([y, uv]) => fits(y, width, height) && fits(uv, 2 * cw, ch),
                Pixels::Rgb(p) => fits(p, 3 * width, height),
            };
        fine.then_some(Self {
            width,
            height,
            pixels,
            matrix,
        })
    }
}

/// One sample between four; `step` bytes lie between two samples of a row, the first at byte `offset`.
fn sample(
    plane: &Plane<'_>,
    (w, h): (usize, usize),
    step: usize,
    offset: usize,
    x: f32,
    y: f32,
) -> f32 {
    let (x, y) = (x.clamp(0.0, (w - 1) as f32), y.clamp(0.0, (h - 1) as f32));
    let (x0, y0) = (x as usize, y as usize);
    let (x1, y1) = ((x0 + 1).min(w - 1), (y0 + 1).min(h - 1));
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let get = |x: usize, y: usize| f32::from(plane.data[y * plane.stride + x * step + offset]);
    let top = get(x0, y0) + (get(x1, y0) - get(x0, y0)) * fx;
    let bottom = get(x0, y1) + (get(x1, y1) - get(x0, y1)) * fx;
    top + (bottom - top) * fy
}

impl Colours for Picture<'_> {
    fn width(&self) -> usize {
        self.width
    }

    fn height(&self) -> usize {
        self.height
    }

    fn at(&self, x: f32, y: f32) -> [f32; 3] {
        let size = (self.width, self.height);
        let half = (self.width.div_ceil(2), self.height.div_ceil(2));
        let (cx, cy) = ((x - 0.5) / 2.0, (y - 0.5) / 2.0);
        let (l, u, v) = match &self.pixels {
            Pixels::Rgb(p) => {
                return [0, 1, 2].map(|c| sample(p, size, 3, c, x, y));
            }
            Pixels::I420([l, u, v]) => (
                sample(l, size, 1, 0, x, y),
                sample(u, half, 1, 0, cx, cy),
                sample(v, half, 1, 0, cx, cy),
            ),
            Pixels::Nv12([l, uv]) => (
                sample(l, size, 1, 0, x, y),
                sample(uv, half, 2, 0, cx, cy),
                sample(uv, half, 2, 1, cx, cy),
            ),
        };
        let Matrix { kr, kb, full_range } = self.matrix;
        let (black, luma, chroma) = if full_range {
            (0.0, 1.0, 1.0)
        } else {
            (16.0, 255.0 / 219.0, 255.0 / 224.0)
        };
        let (l, cb, cr) = (
            (l - black) * luma,
            (u - 128.0) * chroma,
            (v - 128.0) * chroma,
        );
        let r = l + 2.0 * (1.0 - kr) * cr;
        let b = l + 2.0 * (1.0 - kb) * cb;
        let g = (l - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|v| v.clamp(0.0, 255.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BT601: Matrix = Matrix {
        kr: 0.299,
        kb: 0.114,
        full_range: false,
    };

    fn plane(data: &[u8], stride: usize) -> Plane<'_> {
        Plane { data, stride }
    }

    #[test]
    fn the_colours_of_all_formats_are_the_same() {
        // Pure red in limited BT.601: Y 81, U 90, V 240.
        let (luma, u, v) = ([81_u8; 35], [90_u8; 12], [240_u8; 12]);
        let uv: Vec<u8> = std::iter::repeat_n([90, 240], 12).flatten().collect();
        let rgb: Vec<u8> = std::iter::repeat_n([254, 0, 0], 35).flatten().collect();
        let all = [
            Pixels::I420([plane(&luma, 7), plane(&u, 4), plane(&v, 4)]),
            Pixels::Nv12([plane(&luma, 7), plane(&uv, 8)]),
            Pixels::Rgb(plane(&rgb, 21)),
        ];
        for pixels in all {
            let picture = Picture::new(7, 5, pixels, BT601).unwrap();
            for (x, y) in [(0.0, 0.0), (6.0, 4.0), (3.3, 2.7)] {
                let [r, g, b] = picture.at(x, y);
                assert!((r - 254.0).abs() < 2.0 && g < 2.0 && b < 2.0, "{r} {g} {b}");
            }
        }
    }

    #[test]
    fn between_two_pixels_lies_their_mean() {
        let rgb = [0, 0, 0, 100, 50, 10];
        let picture = Picture::new(2, 1, Pixels::Rgb(plane(&rgb, 6)), BT601).unwrap();
        assert_eq!(picture.at(0.5, 0.0), [50.0, 25.0, 5.0]);
    }

    #[test]
    fn short_planes_are_no_picture() {
        let bytes = [0_u8; 10];
        for (w, h, stride) in [(2, 2, 6), (0, 1, 6), (1, 0, 6), (3, 1, 8)] {
            assert!(
                Picture::new(w, h, Pixels::Rgb(plane(&bytes, stride)), BT601).is_none(),
                "{w} {h} {stride}"
            );
        }
    }
}
