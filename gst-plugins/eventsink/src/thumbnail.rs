//! A small picture out of the planes of a large one, as JPEG in a file.

use std::fs;
use std::io;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;

/// JPEG quality: at 480 pixels a person's face is still clear, and a file is about 20 kB.
const QUALITY: u8 = 80;
/// The most points of the large picture along each axis that make a pixel of the small one.
const POINTS: usize = 3;

/// How the pixels lie in the planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Luma, then two planes of chroma at half the size.
    I420,
    /// Luma, then one plane of chroma pairs at half the size.
    Nv12,
    /// Red, green, blue in one plane.
    Rgb,
    /// Luma only.
    Gray,
}

/// One plane and the bytes from one of its rows to the next.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
}

/// A picture as it lies in memory.
#[derive(Debug, Clone)]
pub struct Planes<'a> {
    /// How the pixels lie.
    pub layout: Layout,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// As many as the layout has.
    pub planes: Vec<Plane<'a>>,
    /// Whether colours are those of HD video (BT.709) and not of SD video (BT.601).
    pub hd_colours: bool,
    /// Whether luma goes from 0 to 255 and not from 16 to 235.
    pub full_range: bool,
}

/// A small picture, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Red, green, blue, row by row.
    pub rgb: Vec<u8>,
}

impl Planes<'_> {
    /// The picture at most `max_width` pixels wide, never larger than it is; `None` when the planes are too
    /// short for what they are said to hold.
    pub fn scaled(&self, max_width: u32) -> Option<Thumbnail> {
        if self.width == 0 || self.height == 0 || max_width == 0 || !self.whole() {
            return None;
        }
        let width = self.width.min(max_width as usize);
        let height = (self.height * width / self.width).max(1);
        let mut rgb = Vec::with_capacity(width * height * 3);
        let columns = points(self.width, width);
        for rows in points(self.height, height) {
            for columns in &columns {
                rgb.extend_from_slice(&self.colour(&rows, columns));
            }
        }
        Some(Thumbnail {
            width: u32::try_from(width).ok()?,
            height: u32::try_from(height).ok()?,
            rgb,
        })
    }

    /// Whether every pixel of the size lies in the planes.
    fn whole(&self) -> bool {
        let (half_width, half_height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let needed: &[(usize, usize)] = match self.layout {
            Layout::I420 => &[
                (self.width, self.height),
                (half_width, half_height),
                (half_width, half_height),
            ],
            Layout::Nv12 => &[(self.width, self.height), (half_width * 2, half_height)],
            Layout::Rgb => &[(self.width * 3, self.height)],
            Layout::Gray => &[(self.width, self.height)],
        };
        self.planes.len() >= needed.len()
            && needed
                .iter()
                .zip(&self.planes)
                .all(|(&(row, rows), plane)| {
                    plane.stride >= row && plane.data.len() >= plane.stride * (rows - 1) + row
                })
    }

    /// The mean colour of the points where the rows and columns meet.
    fn colour(&self, rows: &[usize], columns: &[usize]) -> [u8; 3] {
        let mean = |step: usize, offset: usize| {
            let Plane { data, stride } = self.planes[0];
            let mut sum = 0u32;
            for row in rows {
                let line = &data[row * stride..];
                for column in columns {
                    sum += u32::from(line[column * step + offset]);
                }
            }
            let count = (rows.len() * columns.len()) as u32;
            ((sum + count / 2) / count) as u8
        };
        // Eyes and JPEG are coarse in chroma: the middle point will do, and halves the time.
        let (row, column) = (rows[rows.len() / 2] / 2, columns[columns.len() / 2] / 2);
        let chroma = |plane: usize, step: usize, offset: usize| {
            let Plane { data, stride } = self.planes[plane];
            data[row * stride + column * step + offset]
        };
        match self.layout {
            Layout::I420 => self.rgb_of(mean(1, 0), chroma(1, 1, 0), chroma(2, 1, 0)),
            Layout::Nv12 => self.rgb_of(mean(1, 0), chroma(1, 2, 0), chroma(1, 2, 1)),
            Layout::Gray => self.rgb_of(mean(1, 0), 128, 128),
            Layout::Rgb => [mean(3, 0), mean(3, 1), mean(3, 2)],
        }
    }

    fn rgb_of(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        // Shares of red and blue in luma, as the two standards have them.
        let (kr, kb) = if self.hd_colours {
            (0.2126, 0.0722)
        } else {
            (0.299, 0.114)
        };
        let (base, luma, chroma) = if self.full_range {
            (0.0, 1.0, 1.0)
        } else {
            (16.0, 255.0 / 219.0, 255.0 / 224.0)
        };
        let y = (f32::from(y) - base) * luma;
        let (cb, cr) = (
            (f32::from(u) - 128.0) * chroma,
            (f32::from(v) - 128.0) * chroma,
        );
        let kg = 1.0 - kr - kb;
        let (r, b) = (2.0 * (1.0 - kr) * cr, 2.0 * (1.0 - kb) * cb);
        // `as` saturates, which is the clipping that is wanted here.
        [y + r, y - (kr * r + kb * b) / kg, y + b].map(|value| (value + 0.5) as u8)
    }
}

/// For each of `to` pixels the places, out of `from`, that make it.
fn points(from: usize, to: usize) -> Vec<Vec<usize>> {
    (0..to)
        .map(|at| {
            let (start, end) = (
                at * from / to,
                ((at + 1) * from / to).max(at * from / to + 1),
            );
            let count = (end - start).min(POINTS);
            (0..count)
                .map(|i| start + (2 * i + 1) * (end - start) / (2 * count))
                .collect()
        })
        .collect()
}

impl Thumbnail {
    /// The picture as JPEG.
    ///
    /// # Errors
    /// When the picture is too large for the format (65535 pixels a side).
    pub fn to_jpeg(&self) -> image::ImageResult<Vec<u8>> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode(
            &self.rgb,
            self.width,
            self.height,
            image::ExtendedColorType::Rgb8,
        )?;
        Ok(bytes)
    }
}

/// Writes `<id>.jpg` so that who reads the folder finds the old file or the new one, never half of one.
///
/// # Errors
/// When the folder takes no file.
pub fn write_atomically(folder: &Path, id: &str, jpeg: &[u8]) -> io::Result<()> {
    let part = folder.join(format!(".{id}.jpg.part"));
    fs::write(&part, jpeg)?;
    fs::rename(&part, folder.join(format!("{id}.jpg")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn planes(layout: Layout, width: usize, height: usize, data: &[Vec<u8>]) -> Planes<'_> {
        let half = width.div_ceil(2);
        let strides = match layout {
            Layout::I420 => vec![width, half, half],
            Layout::Nv12 => vec![width, half * 2],
            Layout::Rgb => vec![width * 3],
            Layout::Gray => vec![width],
        };
        Planes {
            layout,
            width,
            height,
            planes: data
                .iter()
                .zip(strides)
                .map(|(data, stride)| Plane { data, stride })
                .collect(),
            hd_colours: false,
            full_range: false,
        }
    }

    /// Red, in BT.601 of limited range: Y 81, U 90, V 240.
    #[test]
    fn colours_come_out_right_in_every_layout() {
        for (layout, data, expected) in [
            (
                Layout::I420,
                vec![vec![81; 64], vec![90; 16], vec![240; 16]],
                [254, 0, 0],
            ),
            (
                Layout::Nv12,
                vec![vec![81; 64], [90, 240].repeat(16)],
                [254, 0, 0],
            ),
            (Layout::Rgb, vec![[200, 100, 50].repeat(64)], [200, 100, 50]),
            (Layout::Gray, vec![vec![126; 64]], [128, 128, 128]),
        ] {
            let thumbnail = planes(layout, 8, 8, &data).scaled(4).unwrap();
            assert_eq!((thumbnail.width, thumbnail.height), (4, 4));
            assert_eq!(thumbnail.rgb, expected.repeat(16), "{layout:?}");
        }
    }

    #[test]
    fn a_small_picture_is_not_made_larger_and_shapes_are_kept() {
        for (width, height, max, expected) in [
            (1920, 1080, 480, (480, 270)),
            (320, 240, 480, (320, 240)),
            (641, 3, 480, (480, 2)),
            (1000, 1, 10, (10, 1)),
            (1, 1000, 10, (1, 1000)),
        ] {
            let data = [vec![100; width * height]];
            let thumbnail = planes(Layout::Gray, width, height, &data)
                .scaled(max)
                .unwrap();
            assert_eq!((thumbnail.width, thumbnail.height), expected);
        }
    }

    #[test]
    fn left_stays_left_and_top_stays_top() {
        let data = [(0..64).map(|i| if i % 8 < 4 { 16 } else { 235 }).collect()];
        let thumbnail = planes(Layout::Gray, 8, 8, &data).scaled(2).unwrap();
        assert_eq!(thumbnail.rgb, [0, 0, 0, 255, 255, 255].repeat(2));
    }

    proptest! {
        #[test]
        fn odd_sizes_and_short_planes_never_panic(
            width in 0usize..40, height in 0usize..40, max in 0u32..50, missing in 0usize..3,
            layout in prop::sample::select(vec![Layout::I420, Layout::Nv12, Layout::Rgb, Layout::Gray]),
        ) {
            let half = width.div_ceil(2) * height.div_ceil(2);
            let sizes = match layout {
                Layout::I420 => vec![width * height, half, half],
                Layout::Nv12 => vec![width * height, 2 * half],
                Layout::Rgb => vec![3 * width * height],
                Layout::Gray => vec![width * height],
            };
            let data: Vec<Vec<u8>> = sizes.iter().map(|n| vec![77; n.saturating_sub(missing)]).collect();
            let thumbnail = planes(layout, width, height, &data).scaled(max);
            prop_assert_eq!(thumbnail.is_some(), width > 0 && height > 0 && max > 0 && missing == 0);
        }
    }

    #[test]
    fn a_jpeg_decodes_and_its_file_appears_whole() {
        let data = [vec![[200, 100, 50]; 64 * 48].concat()];
        let thumbnail = planes(Layout::Rgb, 64, 48, &data).scaled(32).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            write_atomically(folder.path(), "x", &thumbnail.to_jpeg().unwrap()).unwrap();
        }
        let names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["x.jpg"]);
        let decoded = image::open(folder.path().join("x.jpg")).unwrap().to_rgb8();
        assert_eq!(decoded.dimensions(), (32, 24));
        let pixel = decoded.get_pixel(16, 12).0;
        for (got, expected) in pixel.iter().zip([200i32, 100, 50]) {
            assert!((i32::from(*got) - expected).abs() < 6, "{pixel:?}");
        }
    }
}
