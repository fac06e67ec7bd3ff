//! `NanoDet` and `PicoDet`: each edge of a box is a distribution over distances from a cell's point, whose mean counts.
//!
//! The way of "Generalized Focal Loss" (Li and others, 2020).

use super::{Candidate, Collector, Decode, ShapeError, Tensor, Wanted, argmax};
use crate::family::{STRIDES, STRIDES4, cells_up};

/// Values of a distribution: distances 0 to 7, in strides.
pub const BINS: usize = 8;

/// The decoder for an input of `width` by `height` pixels.
#[derive(Debug, Clone, Copy)]
pub struct Distance {
    /// Width of the input, pixels.
    pub width: usize,
    /// Height of the input, pixels.
    pub height: usize,
    /// Whether each level has its own outputs (`PicoDet`) and a cell's point is its middle.
    pub levels: bool,
}

/// The mean of a distribution that is given by its logits.
fn mean(logits: &[f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (i, logit) in logits.iter().enumerate() {
        let share = (logit - most).exp();
        sum += share;
        weighted += share * i as f32;
    }
    weighted / sum
}

impl Distance {
    /// One cell, whose point is `(x, y)` input pixels.
    fn cell(
        (x, y): (f32, f32),
        stride: f32,
        scores: &[f32],
        edges: &[f32],
        wanted: &Wanted,
        found: &mut Collector,
    ) {
        let Some((class, score)) = argmax(scores.iter().copied()) else {
            return;
        };
        if score >= wanted.threshold && wanted.has_class(class) {
            let d: [f32; 4] =
                std::array::from_fn(|i| mean(&edges[i * BINS..(i + 1) * BINS]) * stride);
            found.push(super::cornered(
                class,
                score,
                [x - d[0], y - d[1], x + d[2], y + d[3]],
            ));
        }
    }

    fn cells_of(self, stride: usize) -> impl Iterator<Item = (f32, f32)> {
        let (columns, rows) = (self.width.div_ceil(stride), self.height.div_ceil(stride));
        let middle = if self.levels { 0.5 } else { 0.0 };
        let at = move |i: usize| (i as f32 + middle) * stride as f32;
        (0..rows).flat_map(move |row| (0..columns).map(move |column| (at(column), at(row))))
    }

    fn one_output(self, output: Tensor<'_>, wanted: &Wanted) -> Result<Vec<Candidate>, ShapeError> {
        let edges = 4 * BINS;
        let strides: &[usize] = match output.matrix() {
            Some((n, columns)) if columns > edges => [&STRIDES4[..], &STRIDES]
                .into_iter()
                .find(|s| n == cells_up(self.width, self.height, s))
                .unwrap_or(&[]),
            _ => &[],
        };
        if strides.is_empty() {
            let n = cells_up(self.width, self.height, &STRIDES4);
            return Err(output.shape_error(format!("[1, {n}, classes + {edges}]")));
        }
        let columns = output.shape[2];
        let mut found = Collector::default();
        let places = strides
            .iter()
            .flat_map(|s| self.cells_of(*s).map(move |at| (at, *s as f32)));
        for (row, (at, stride)) in output.data.chunks_exact(columns).zip(places) {
            let (scores, edges) = row.split_at(columns - edges);
            Self::cell(at, stride, scores, edges, wanted, &mut found);
        }
        Ok(found.finish())
    }
}

impl Decode for Distance {
    fn decode(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
    ) -> Result<Vec<Candidate>, ShapeError> {
        if !self.levels {
            return self.one_output(Tensor::only(outputs)?, wanted);
        }
        let levels = outputs.len() / 2;
        let mut found = Collector::default();
        // All scores come first, then all boxes, each from the finest level to the coarsest.
        let (scores, boxes) = outputs.split_at(levels);
        let strides = STRIDES4.iter().take(levels);
        for ((scores, boxes), stride) in scores.iter().zip(boxes).zip(strides) {
            let n = cells_up(self.width, self.height, &[*stride]);
            let Some(classes) = scores.matrix().filter(|m| m.0 == n).map(|m| m.1) else {
                return Err(scores.shape_error(format!("[1, {n}, classes]")));
            };
            if boxes.matrix() != Some((n, 4 * BINS)) {
                return Err(boxes.shape_error(format!("[1, {n}, {}]", 4 * BINS)));
            }
            let rows = scores.data.chunks_exact(classes);
            let rows = rows.zip(boxes.data.chunks_exact(4 * BINS));
            for ((scores, edges), at) in rows.zip(self.cells_of(*stride)) {
                Self::cell(at, *stride as f32, scores, edges, wanted, &mut found);
            }
        }
        if levels == 0 || outputs.len() != 2 * levels {
            return Err(ShapeError::count(outputs.len(), "two outputs a level"));
        }
        Ok(found.finish())
    }
}
