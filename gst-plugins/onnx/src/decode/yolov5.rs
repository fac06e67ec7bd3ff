//! `YOLOv5`, `YOLOv7` and their kind: one output `[1, N, 5 + C]`, boxes in input pixels, objectness, class scores.

use super::{Candidate, Collector, Decode, ShapeError, Tensor, Wanted, argmax, centred};

/// The decoder; the output carries all it needs.
#[derive(Debug, Clone, Copy)]
pub struct Yolov5;

impl Decode for Yolov5 {
    fn decode(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
    ) -> Result<Vec<Candidate>, ShapeError> {
        // Older exports hand out what they were trained on as well.
        let output = Tensor::first(outputs)?;
        let columns = match output.matrix() {
            Some((_, columns)) if columns > 5 => columns,
            _ => return Err(output.shape_error("[1, boxes, 5 + classes]".to_owned())),
        };
        let mut found = Collector::default();
        for row in output.data.chunks_exact(columns) {
            let [cx, cy, w, h, objectness, scores @ ..] = row else {
                continue;
            };
            // No class score is above 1, so most of the boxes end here.
            let sure = *objectness >= wanted.threshold;
            let Some((class, best)) = sure.then(|| argmax(scores.iter().copied())).flatten() else {
                continue;
            };
            let score = objectness * best;
            if score >= wanted.threshold && wanted.has_class(class) {
                found.push(centred(class, score, [*cx, *cy, *w, *h]));
            }
        }
        Ok(found.finish())
    }
}
