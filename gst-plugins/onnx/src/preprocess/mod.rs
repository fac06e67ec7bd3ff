//! From the planes of a picture to the tensor of a model in one pass: crop, resize, colour, layout, normalisation.
//!
//! Bilinear with pixel centres at half coordinates and edges held, as the training code of the known families
//! resizes. Chroma is taken as centred between its luma samples; where a stream says otherwise, colour is off
//! by a quarter of a pixel, which no detector sees.

mod picture;
mod geometry;
mod tensor;
mod rows;

pub use geometry::{Geometry, Region};
pub use picture::{Colour, Picture, PictureError, Pixels, Plane};
pub use tensor::{InputTensor, Values};

use crate::facts::{Channels, InputSpec};
use rows::{Blend, Fetch};

/// Where the rows and columns of an input come from, for luma (or RGB) and for chroma.
#[derive(Debug)]
struct Tables {
    geometry: Geometry,
    chroma_step: usize,
    /// Places along a row, counted from the first column that is needed.
    x: Fetch,
    chroma_x: Fetch,
    /// First column that is needed, and one past the last.
    columns: (usize, usize),
    chroma_columns: (usize, usize),
    y: Vec<RowTap>,
    chroma_y: Vec<RowTap>,
}

/// The two rows that make an output row.
#[derive(Debug, Clone, Copy)]
struct RowTap {
    upper: usize,
    lower: usize,
    share: i16,
}

/// For each of `count` output positions the sample left of it and the share of the one right of it. The positions
/// lie evenly in `from..from + part` pixels, over `samples` samples of which each covers `step` pixels.
fn taps(
    count: usize,
    (from, part): (usize, usize),
    samples: usize,
    step: usize,
) -> impl Iterator<Item = (usize, f64)> + Clone {
    let last = samples.saturating_sub(1);
    (0..count).map(move |i| {
        let centre = from as f64 + (i as f64 + 0.5) * part as f64 / count as f64;
        let at = (centre / step as f64 - 0.5).clamp(0.0, last as f64);
        (at as usize, at - at.floor())
    })
}

fn row_taps(taps: impl Iterator<Item = (usize, f64)>, samples: usize) -> Vec<RowTap> {
    taps.map(|(upper, share)| RowTap {
        upper,
        lower: (upper + 1).min(samples.saturating_sub(1)),
        share: rows::row_share(share),
    })
    .collect()
}

fn fetch_of(
    taps: impl Iterator<Item = (usize, f64)> + Clone,
    samples: usize,
) -> (Fetch, (usize, usize)) {
    let first = taps.clone().map(|(at, _)| at).min().unwrap_or(0);
    let last = taps.clone().map(|(at, _)| at).max().unwrap_or(0);
    let fetch = Fetch::new(taps.map(|(at, share)| (at - first, share)));
    (fetch, (first, (last + 2).min(samples)))
}

impl Tables {
    fn new(geometry: Geometry, chroma_step: usize) -> Self {
        let g = &geometry;
        let (w, h) = (g.picture_width, g.picture_height);
        let (cw, ch) = (w.div_ceil(chroma_step), h.div_ceil(chroma_step));
        let across = (g.region.x, g.region.width);
        let down = (g.region.y, g.region.height);
        let (x, columns) = fetch_of(taps(g.width, across, w, 1), w);
        let (chroma_x, chroma_columns) = fetch_of(taps(g.width, across, cw, chroma_step), cw);
        Self {
            x,
            columns,
            chroma_x,
            chroma_columns,
            y: row_taps(taps(g.height, down, h, 1), h),
            chroma_y: row_taps(taps(g.height, down, ch, chroma_step), ch),
            chroma_step,
            geometry,
        }
    }
}

/// Fills tensors for one model.
#[derive(Debug)]
pub struct Preprocessor {
    spec: InputSpec,
    tables: Option<Tables>,
    mixed: [Vec<i16>; 3],
    /// Only for tensors that are not three planes of 32-bit floats.
    rows: [Vec<f32>; 3],
}

impl Preprocessor {
    /// For a model whose input is `spec`.
    pub fn new(spec: InputSpec) -> Self {
        Self {
            spec,
            tables: None,
            mixed: Default::default(),
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
        self.fill_region(
            picture,
            Region::whole(picture.width, picture.height),
            tensor,
        )
    }

    /// Puts what of `region` lies inside the picture into the tensor and says where it lies.
    ///
    /// # Errors
    /// When nothing of it does, or the planes are too short; the tensor is untouched then.
    pub fn fill_region(
        &mut self,
        picture: &Picture<'_>,
        region: Region,
        tensor: &mut InputTensor,
    ) -> Result<Geometry, PictureError> {
        picture.check()?;
        let region = region
            .inside(picture.width, picture.height)
            .ok_or(PictureError)?;
        let geometry = Geometry::of_region(&self.spec, (picture.width, picture.height), region);
        let step = picture.chroma_step();
        let tables = match self.tables.take() {
            Some(t) if t.geometry == geometry && t.chroma_step == step => t,
            _ => Tables::new(geometry, step),
        };
        tensor.surround(&self.spec, geometry);
        let blend = self.blend(picture);
        for row in 0..geometry.height {
            self.mix_row(picture, &tables, row);
            self.write_row(&tables, &blend, row, tensor);
        }
        self.tables = Some(tables);
        Ok(geometry)
    }

    /// From what a picture holds to what the tensor holds.
    fn blend(&self, picture: &Picture<'_>) -> Blend {
        let [red, green, blue] = match picture.pixels {
            Pixels::Rgb(_) => [
                [1.0, 0.0, 0.0, 0.0],
                [0.0, 1.0, 0.0, 0.0],
                [0.0, 0.0, 1.0, 0.0],
            ],
            Pixels::I420 { .. } | Pixels::Nv12 { .. } => picture.colour.matrix(),
        };
        let Colour { kr, kb, .. } = picture.colour;
        let matrix = match self.spec.channels {
            Channels::Rgb => [red, green, blue],
            Channels::Bgr => [blue, green, red],
            Channels::Gray => {
                [std::array::from_fn(|i| kr * red[i] + (1.0 - kr - kb) * green[i] + kb * blue[i]);
                    3]
            }
        };
        Blend {
            matrix,
            normal: std::array::from_fn(|c| self.spec.normal(c)),
        }
    }

    /// Mixes the rows that make output row `row` into the row buffers.
    fn mix_row(&mut self, picture: &Picture<'_>, tables: &Tables, row: usize) {
        let (luma, chroma) = (tables.y[row], tables.chroma_y[row]);
        let [a, b, c] = &mut self.mixed;
        let mix =
            |plane: &Plane<'_>, out: &mut Vec<i16>, tap: RowTap, (from, to): (usize, usize)| {
                let (upper, lower) = (plane.row(tap.upper), plane.row(tap.lower));
                rows::mix(&upper[from..to], &lower[from..to], tap.share, out);
            };
        let (from, to) = tables.columns;
        let (chroma_from, chroma_to) = tables.chroma_columns;
        match &picture.pixels {
            Pixels::Rgb(p) => rows::mix_interleaved(
                &p.row(luma.upper)[3 * from..3 * to],
                &p.row(luma.lower)[3 * from..3 * to],
                luma.share,
                [a, b, c],
            ),
            Pixels::I420 { y, u, v } => {
                mix(y, a, luma, tables.columns);
                mix(u, b, chroma, tables.chroma_columns);
                mix(v, c, chroma, tables.chroma_columns);
            }
            Pixels::Nv12 { y, uv } => {
                mix(y, a, luma, tables.columns);
                rows::mix_interleaved(
                    &uv.row(chroma.upper)[2 * chroma_from..2 * chroma_to],
                    &uv.row(chroma.lower)[2 * chroma_from..2 * chroma_to],
                    chroma.share,
                    [b, c],
                );
            }
        }
    }

    fn write_row(&mut self, tables: &Tables, blend: &Blend, row: usize, tensor: &mut InputTensor) {
        let g = tables.geometry;
        let mixed = self.mixed.each_ref().map(Vec::as_slice);
        let places = [&tables.x, &tables.chroma_x, &tables.chroma_x];
        let start = (g.y + row) * self.spec.width + g.x;
        if let Some(planes) = tensor.planes(&self.spec) {
            let part = planes.map(|plane| &mut plane[start..start + g.width]);
            rows::fetch(mixed, places, blend, part);
            return;
        }
        for row in &mut self.rows {
            row.resize(g.width, 0.0);
        }
        let [a, b, c] = &mut self.rows;
        rows::fetch(mixed, places, blend, [a, b, c]);
        tensor.store(&self.spec, start, self.rows.each_ref().map(Vec::as_slice));
    }
}

#[cfg(test)]
mod tests;
