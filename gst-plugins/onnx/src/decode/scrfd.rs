//! SCRFD: two anchors a cell, scores, distances to the edges in strides, and five landmarks where it has them.

use super::{Candidate, Collector, Decode, ShapeError, Tensor, Wanted, cornered};
use crate::family::STRIDES;

/// Anchors a cell.
const ANCHORS: usize = 2;

/// The decoder for an input of `width` by `height` pixels.
#[derive(Debug, Clone, Copy)]
pub struct Scrfd {
    /// Width of the input, pixels.
    pub width: usize,
    /// Height of the input, pixels.
    pub height: usize,
}

impl Scrfd {
    /// The output of a level: exports number their outputs anew each time, so shapes tell them apart.
    fn level<'a>(
        self,
        outputs: &[Tensor<'a>],
        stride: usize,
        columns: usize,
    ) -> Result<&'a [f32], ShapeError> {
        let n = ANCHORS * (self.width / stride) * (self.height / stride);
        let fits = |t: &&Tensor<'a>| {
            matches!(*t.shape, [rows, c] | [1, rows, c] if (rows, c) == (n, columns))
                && t.data.len() == n * columns
        };
        outputs
            .iter()
            .find(fits)
            .map(|t| t.data)
            .ok_or_else(|| ShapeError {
                name: format!("of stride {stride}"),
                shape: Vec::new(),
                expected: format!("[{n}, {columns}]"),
                passing: false,
            })
    }
}

impl Decode for Scrfd {
    fn decode(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
    ) -> Result<Vec<Candidate>, ShapeError> {
        let mut found = Collector::default();
        if !wanted.has_class(0) {
            return Ok(Vec::new());
        }
        for stride in STRIDES {
            let scores = self.level(outputs, stride, 1)?;
            let boxes = self.level(outputs, stride, 4)?;
            let points = if outputs.len() > 2 * STRIDES.len() {
                Some(self.level(outputs, stride, 10)?)
            } else {
                None
            };
            let (columns, s) = ((self.width / stride).max(1), stride as f32);
            for (i, score) in scores.iter().enumerate() {
                // A NaN is not sure.
                let sure = *score >= wanted.threshold;
                if !sure {
                    continue;
                }
                let cell = i / ANCHORS;
                let (x, y) = ((cell % columns) as f32 * s, (cell / columns) as f32 * s);
                let d = &boxes[4 * i..4 * i + 4];
                let landmarks = points.map(|points| {
                    let k = &points[10 * i..10 * i + 10];
                    std::array::from_fn(|j| (x + k[2 * j] * s, y + k[2 * j + 1] * s))
                });
                let known = |points: &[(f32, f32); 5]| {
                    points.iter().all(|(x, y)| x.is_finite() && y.is_finite())
                };
                found.push(Candidate {
                    landmarks: landmarks.filter(known),
                    ..cornered(
                        0,
                        *score,
                        [x - d[0] * s, y - d[1] * s, x + d[2] * s, y + d[3] * s],
                    )
                });
            }
        }
        Ok(found.finish())
    }
}
