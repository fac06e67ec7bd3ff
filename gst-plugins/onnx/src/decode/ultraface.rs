//! `UltraFace`: `scores` `[1, N, 2]` (background, face) and `boxes` `[1, N, 4]`, corners as shares of the input.

use super::{Candidate, Collector, Decode, ShapeError, Tensor, Wanted, cornered};

/// The decoder for an input of `width` by `height` pixels.
#[derive(Debug, Clone, Copy)]
pub struct Ultraface {
    /// Width of the input, pixels.
    pub width: usize,
    /// Height of the input, pixels.
    pub height: usize,
}

impl Decode for Ultraface {
    fn decode(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
    ) -> Result<Vec<Candidate>, ShapeError> {
        let scores = Tensor::find(outputs, "scores")?;
        let boxes = Tensor::find(outputs, "boxes")?;
        let Some((n, 2)) = scores.matrix() else {
            return Err(scores.shape_error("[1, boxes, 2]".to_owned()));
        };
        if boxes.matrix() != Some((n, 4)) {
            return Err(boxes.shape_error(format!("[1, {n}, 4]")));
        }
        let (w, h) = (self.width as f32, self.height as f32);
        let mut found = Collector::default();
        for (s, b) in scores.data.chunks_exact(2).zip(boxes.data.chunks_exact(4)) {
            if s[1] >= wanted.threshold && wanted.has_class(0) {
                found.push(cornered(0, s[1], [b[0] * w, b[1] * h, b[2] * w, b[3] * h]));
            }
        }
        Ok(found.finish())
    }
}
