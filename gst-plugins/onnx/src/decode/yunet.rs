//! `YuNet`: twelve outputs, for each stride a class score, an objectness, a box and five landmarks a cell.

use super::{Candidate, Collector, Decode, ShapeError, Tensor, Wanted, centred};
use crate::family::STRIDES;

/// Names of the outputs, by which the family is known.
pub const NAMES: [&str; 12] = [
    "cls_8", "cls_16", "cls_32", "obj_8", "obj_16", "obj_32", "bbox_8", "bbox_16", "bbox_32",
    "kps_8", "kps_16", "kps_32",
];

/// The decoder for an input of `width` by `height` pixels.
#[derive(Debug, Clone, Copy)]
pub struct Yunet {
    /// Width of the input, pixels.
    pub width: usize,
    /// Height of the input, pixels.
    pub height: usize,
}

impl Yunet {
    fn level<'a>(
        &self,
        outputs: &[Tensor<'a>],
        kind: &str,
        stride: usize,
        columns: usize,
    ) -> Result<&'a [f32], ShapeError> {
        let output = Tensor::find(outputs, &format!("{kind}_{stride}"))?;
        let n = (self.width / stride) * (self.height / stride);
        if output.matrix() == Some((n, columns)) {
            Ok(output.data)
        } else {
            Err(output.shape_error(format!("[1, {n}, {columns}]")))
        }
    }
}

impl Decode for Yunet {
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
            let cls = self.level(outputs, "cls", stride, 1)?;
            let obj = self.level(outputs, "obj", stride, 1)?;
            let boxes = self.level(outputs, "bbox", stride, 4)?;
            let points = self.level(outputs, "kps", stride, 10)?;
            let columns = (self.width / stride).max(1);
            let s = stride as f32;
            for (i, (c, o)) in cls.iter().zip(obj).enumerate() {
                let score = (c.clamp(0.0, 1.0) * o.clamp(0.0, 1.0)).sqrt();
                // A NaN is not sure.
                let sure = score >= wanted.threshold;
                if !sure {
                    continue;
                }
                let (column, row) = ((i % columns) as f32, (i / columns) as f32);
                let b = &boxes[4 * i..4 * i + 4];
                let k = &points[10 * i..10 * i + 10];
                let landmarks: [(f32, f32); 5] =
                    std::array::from_fn(|j| ((k[2 * j] + column) * s, (k[2 * j + 1] + row) * s));
                let known = landmarks
                    .iter()
                    .all(|(x, y)| x.is_finite() && y.is_finite());
                found.push(Candidate {
                    landmarks: known.then_some(landmarks),
                    ..centred(
                        0,
                        score,
                        [
                            (column + b[0]) * s,
                            (row + b[1]) * s,
                            b[2].exp() * s,
                            b[3].exp() * s,
                        ],
                    )
                });
            }
        }
        Ok(found.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_becomes_a_face() {
        let decoder = Yunet {
            width: 64,
            height: 32,
        };
        // Everything empty, except cell 5 (column 1, row 1) of the 4 by 2 grid of stride 16.
        let mut outputs: Vec<(String, [usize; 3], Vec<f32>)> = Vec::new();
        for (kind, columns) in [("kps", 10), ("bbox", 4), ("obj", 1), ("cls", 1)] {
            for stride in STRIDES {
                let n = (64 / stride) * (32 / stride);
                let mut data = vec![0.0; n * columns];
                if stride == 16 {
                    let cell = match kind {
                        "cls" => vec![0.81],
                        "obj" => vec![1.5],
                        "bbox" => vec![0.5, 0.5, 0.0, 2_f32.ln()],
                        _ => (0..10).map(|i| i as f32 / 10.0).collect(),
                    };
                    data[5 * columns..6 * columns].copy_from_slice(&cell);
                }
                outputs.push((format!("{kind}_{stride}"), [1, n, columns], data));
            }
        }
        let tensors: Vec<Tensor<'_>> = outputs
            .iter()
            .map(|(name, shape, data)| Tensor { name, shape, data })
            .collect();
        let wanted = Wanted {
            threshold: 0.7,
            classes: None,
        };
        let found = decoder.decode(&tensors, &wanted).unwrap();
        let [face] = found.as_slice() else {
            panic!("{found:?}")
        };
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "{a} {b}");
        near(face.score, 0.9);
        near(face.x0, 16.0);
        near(face.x1, 32.0);
        near(face.y0, 8.0);
        near(face.y1, 40.0);
        let points = face.landmarks.unwrap();
        near(points[0].0, 16.0);
        near(points[4].0, 28.8);
        near(points[4].1, 30.4);

        assert!(decoder.decode(&tensors[1..], &wanted).is_err());
    }
}
