//! YOLOX: one output `[1, N, 5 + C]`, offsets to grid cells of three strides, scores already between 0 and 1.

use super::{Candidate, Collector, Decode, ShapeError, Tensor, Wanted, centred, grid};
use crate::family::{STRIDES, cells};

/// The decoder for an input of `width` by `height` pixels.
#[derive(Debug, Clone, Copy)]
pub struct Yolox {
    /// Width of the input, pixels.
    pub width: usize,
    /// Height of the input, pixels.
    pub height: usize,
}

impl Decode for Yolox {
    fn decode(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
    ) -> Result<Vec<Candidate>, ShapeError> {
        let output = Tensor::only(outputs)?;
        let n = cells(self.width, self.height, &STRIDES);
        let columns = match output.matrix() {
            Some((rows, columns)) if rows == n && columns > 5 => columns,
            _ => return Err(output.shape_error(format!("[1, {n}, 5 + classes]"))),
        };
        let mut found = Collector::default();
        for (row, (gx, gy, s)) in output
            .data
            .chunks_exact(columns)
            .zip(grid(self.width, self.height))
        {
            let [ox, oy, ow, oh, objectness, scores @ ..] = row else {
                continue;
            };
            // No class score is above 1, so most of the cells end here.
            if *objectness < wanted.threshold {
                continue;
            }
            // Classes do not exclude each other: a cell may hold a person and what the person carries.
            for (class, share) in scores.iter().enumerate() {
                let score = objectness * share;
                if score >= wanted.threshold && wanted.has_class(class) {
                    found.push(centred(
                        class,
                        score,
                        [(ox + gx) * s, (oy + gy) * s, ow.exp() * s, oh.exp() * s],
                    ));
                }
            }
        }
        Ok(found.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Yolox = Yolox {
        width: 64,
        height: 32,
    };

    #[test]
    fn a_cell_becomes_a_box() {
        // 32 + 8 + 2 cells, two classes; the second cell of the second row of stride 16 is number 32 + 4 + 1.
        let mut data = vec![0.0_f32; 42 * 7];
        data[37 * 7..38 * 7].copy_from_slice(&[0.5, 0.25, 2_f32.ln(), 0.0, 0.8, 0.1, 0.9]);
        let shape = [1, 42, 7];
        let tensor = [Tensor {
            name: "output",
            shape: &shape,
            data: &data,
        }];
        let mut wanted = Wanted {
            threshold: 0.5,
            classes: None,
        };
        let found = TINY.decode(&tensor, &wanted).unwrap();
        let [c] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(c.class, 1);
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "{a} {b}");
        near(c.score, 0.72);
        // Centre (1.5, 1.25) cells of 16 pixels, two cells wide, one high.
        near(c.x0, 8.0);
        near(c.x1, 40.0);
        near(c.y0, 12.0);
        near(c.y1, 28.0);

        wanted.classes = Some(vec![true, false]);
        assert_eq!(TINY.decode(&tensor, &wanted).unwrap(), []);
        wanted = Wanted {
            threshold: 0.73,
            classes: None,
        };
        assert_eq!(TINY.decode(&tensor, &wanted).unwrap(), []);
    }

    #[test]
    fn another_shape_is_named() {
        let shape = [1, 41, 7];
        let data = vec![0.0; 41 * 7];
        let tensor = [Tensor {
            name: "output",
            shape: &shape,
            data: &data,
        }];
        let wanted = Wanted {
            threshold: 0.5,
            classes: None,
        };
        let error = TINY.decode(&tensor, &wanted).unwrap_err().to_string();
        assert_eq!(
            error,
            "output `output` has the shape [1, 41, 7], expected [1, 42, 5 + classes]"
        );
    }
}
