//! `YOLOv8` and its successors of the same head: one output `[1, 4 + C, N]`, boxes in input pixels, one column a box.

use super::{Candidate, Collector, Decode, ShapeError, Tensor, Wanted, argmax, centred};

/// The decoder; the output carries all it needs.
#[derive(Debug, Clone, Copy)]
pub struct Yolov8;

impl Decode for Yolov8 {
    fn decode(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
    ) -> Result<Vec<Candidate>, ShapeError> {
        let output = Tensor::only(outputs)?;
        let n = match output.matrix() {
            Some((rows, n)) if rows > 4 => n,
            _ => return Err(output.shape_error("[1, 4 + classes, boxes]".to_owned())),
        };
        let mut found = Collector::default();
        let lines: Vec<&[f32]> = output.data.chunks_exact(n).collect();
        let [cx, cy, w, h, scores @ ..] = lines.as_slice() else {
            return Ok(Vec::new());
        };
        for i in 0..n {
            let Some((class, score)) = argmax(scores.iter().map(|line| line[i])) else {
                continue;
            };
            if score >= wanted.threshold && wanted.has_class(class) {
                found.push(centred(class, score, [cx[i], cy[i], w[i], h[i]]));
            }
        }
        Ok(found.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_becomes_a_box() {
        // Three boxes, two classes, one line a quantity.
        let data = [
            10.0,
            20.0,
            30.0, // cx
            11.0,
            21.0,
            31.0, // cy
            4.0,
            4.0,
            4.0, // w
            2.0,
            2.0,
            2.0, // h
            0.1,
            0.9,
            f32::NAN, // class 0
            0.2,
            0.3,
            0.6, // class 1
        ];
        let shape = [1, 6, 3];
        let tensor = [Tensor {
            name: "output0",
            shape: &shape,
            data: &data,
        }];
        let found = Yolov8
            .decode(
                &tensor,
                &Wanted {
                    threshold: 0.5,
                    classes: None,
                },
            )
            .unwrap();
        let got: Vec<_> = found
            .iter()
            .map(|c| (c.class, c.score, [c.x0, c.y0, c.x1, c.y1]))
            .collect();
        assert_eq!(
            got,
            [
                (0, 0.9, [18.0, 20.0, 22.0, 22.0]),
                (1, 0.6, [28.0, 30.0, 32.0, 32.0])
            ]
        );
    }
}
