//! Suppressed inside the model: one output with a row a box, corners in input pixels.
//!
//! `YOLOv10` and Ultralytics' own suppression `[1, N, 6]`, `YOLOv7`'s `[N, 7]`, and `PicoDet`'s `[N, 6]`.

use super::{Candidate, Collector, Decode, ShapeError, Tensor, Wanted, class_of, cornered};

/// Where in a row what stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Numbers in a row.
    pub columns: usize,
    /// Place of the left edge; the other three follow.
    pub corners: usize,
    /// Place of the score.
    pub score: usize,
    /// Place of the class.
    pub class: usize,
}

impl Rows {
    /// Corners, score, class.
    pub const YOLOV10: Self = Self {
        columns: 6,
        corners: 0,
        score: 4,
        class: 5,
    };
    /// Number in the batch, corners, class, score.
    pub const YOLOV7: Self = Self {
        columns: 7,
        corners: 1,
        score: 6,
        class: 5,
    };
    /// Class, score, corners.
    pub const PICODET: Self = Self {
        columns: 6,
        corners: 2,
        score: 1,
        class: 0,
    };
}

impl Decode for Rows {
    fn decode(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
    ) -> Result<Vec<Candidate>, ShapeError> {
        let output = outputs
            .iter()
            .find(|o| o.shape.last() == Some(&self.columns))
            .copied()
            .map_or_else(|| Tensor::first(outputs), Ok)?;
        let fits = match *output.shape {
            [rows, columns] | [1, rows, columns] => {
                columns == self.columns && rows.checked_mul(columns) == Some(output.data.len())
            }
            _ => false,
        };
        if !fits {
            return Err(output.shape_error(format!("[1, boxes, {}]", self.columns)));
        }
        let mut found = Collector::default();
        for row in output.data.chunks_exact(self.columns) {
            let (score, c) = (row[self.score], self.corners);
            let Some(class) = class_of(row[self.class], 0) else {
                continue;
            };
            if score >= wanted.threshold && wanted.has_class(class) {
                found.push(cornered(
                    class,
                    score,
                    [row[c], row[c + 1], row[c + 2], row[c + 3]],
                ));
            }
        }
        Ok(found.finish())
    }
}
