//! Queries: class scores and boxes as shares of the input, in two outputs (DETR and its successors) or in one
//! (Ultralytics' RT-DETR).

use super::{
    Activation, Candidate, Collector, Decode, ShapeError, Tensor, Wanted, argmax, centred, sigmoid,
};

/// The decoder for an input of `width` by `height` pixels.
#[derive(Debug, Clone, Copy)]
pub struct Detr {
    /// Width of the input, pixels.
    pub width: usize,
    /// Height of the input, pixels.
    pub height: usize,
    /// What the scores still need.
    pub activation: Activation,
}

/// Class and score of a query, `None` where it is no object.
fn judge(activation: Activation, logits: &[f32]) -> Option<(usize, f32)> {
    match activation {
        Activation::None => argmax(logits.iter().copied()),
        Activation::Sigmoid => {
            argmax(logits.iter().copied()).map(|(class, score)| (class, sigmoid(score)))
        }
        Activation::Softmax => {
            // The last one is "nothing"; it takes its share of certainty with it.
            let (_, most) = argmax(logits.iter().copied())?;
            let sum: f32 = logits.iter().map(|l| (l - most).exp()).sum();
            let real = &logits[..logits.len().checked_sub(1)?];
            argmax(real.iter().copied()).map(|(class, l)| (class, (l - most).exp() / sum))
        }
    }
}

impl Detr {
    fn query(&self, logits: &[f32], b: &[f32], wanted: &Wanted, found: &mut Collector) {
        let Some((class, score)) = judge(self.activation, logits) else {
            return;
        };
        if score >= wanted.threshold && wanted.has_class(class) {
            let (w, h) = (self.width as f32, self.height as f32);
            found.push(centred(
                class,
                score,
                [b[0] * w, b[1] * h, b[2] * w, b[3] * h],
            ));
        }
    }
}

impl Decode for Detr {
    fn decode(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
    ) -> Result<Vec<Candidate>, ShapeError> {
        let mut found = Collector::default();
        if !outputs.iter().any(|o| o.name == "pred_boxes") {
            let output = Tensor::first(outputs)?;
            let columns = match output.matrix() {
                Some((_, columns)) if columns > 4 => columns,
                _ => return Err(output.shape_error("[1, queries, 4 + classes]".to_owned())),
            };
            for row in output.data.chunks_exact(columns) {
                let (b, scores) = row.split_at(4);
                self.query(scores, b, wanted, &mut found);
            }
            return Ok(found.finish());
        }
        let logits = Tensor::find(outputs, "logits")?;
        let boxes = Tensor::find(outputs, "pred_boxes")?;
        let Some((queries, classes)) = logits.matrix() else {
            return Err(logits.shape_error("[1, queries, classes]".to_owned()));
        };
        if boxes.matrix() != Some((queries, 4)) {
            return Err(boxes.shape_error(format!("[1, {queries}, 4]")));
        }
        let rows = logits.data.chunks_exact(classes);
        for (row, b) in rows.zip(boxes.data.chunks_exact(4)) {
            self.query(row, b, wanted, &mut found);
        }
        Ok(found.finish())
    }
}
