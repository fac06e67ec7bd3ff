//! From a model's outputs to candidate boxes: one file a family, on plain slices and shapes.

pub mod yolov8;
pub mod yolox;
pub mod yunet;

use crate::facts::Facts;
use crate::family::Family;

/// The most candidates that a decoder hands on: bounds what non-maximum suppression costs.
pub const MAX_CANDIDATES: usize = 1024;

/// One output of a model.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dimensions.
    pub shape: &'a [usize],
    /// Its values, row-major.
    pub data: &'a [f32],
}

/// A box that may be an object, in pixels of the model's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Index of the class.
    pub class: usize,
    /// Confidence, 0..1 with any sane model.
    pub score: f32,
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Bottom edge.
    pub y1: f32,
    /// Right eye, left eye, nose, right and left mouth corner, where the family gives them.
    pub landmarks: Option<[(f32, f32); 5]>,
}

/// Which candidates are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Least score.
    pub threshold: f32,
    /// The classes, by index; all when absent.
    pub classes: Option<Vec<bool>>,
}

impl Wanted {
    fn has_class(&self, class: usize) -> bool {
        self.classes
            .as_ref()
            .is_none_or(|mask| mask.get(class).copied().unwrap_or(false))
    }
}

/// An output is not of the shape that the family promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("output `{name}` has the shape {shape:?}, expected {expected}")]
pub struct ShapeError {
    /// Which output.
    pub name: String,
    /// What it has.
    pub shape: Vec<usize>,
    /// What it should have.
    pub expected: String,
}

/// A family's way from outputs to boxes.
pub trait Decode: Send + Sync + std::fmt::Debug {
    /// The wanted candidates, at most [`MAX_CANDIDATES`], before suppression.
    ///
    /// # Errors
    /// When an output is missing or of another shape; never panics, whatever the values.
    fn decode(&self, outputs: &[Tensor<'_>], wanted: &Wanted)
    -> Result<Vec<Candidate>, ShapeError>;
}

/// The decoder of a model.
pub fn for_model(facts: &Facts) -> Box<dyn Decode> {
    let (width, height) = (facts.input.width, facts.input.height);
    match facts.family {
        Family::Yolox => Box::new(yolox::Yolox { width, height }),
        Family::Yunet => Box::new(yunet::Yunet { width, height }),
        Family::Yolov8 => Box::new(yolov8::Yolov8),
    }
}

impl<'a> Tensor<'a> {
    /// Rows and columns of an output `[1, rows, columns]` whose data is all there.
    fn matrix(&self) -> Option<(usize, usize)> {
        match *self.shape {
            [1, rows, columns]
                if columns > 0 && rows.checked_mul(columns) == Some(self.data.len()) =>
            {
                Some((rows, columns))
            }
            _ => None,
        }
    }

    fn shape_error(&self, expected: String) -> ShapeError {
        ShapeError {
            name: self.name.to_owned(),
            shape: self.shape.to_vec(),
            expected,
        }
    }

    /// The output called `name`.
    fn find(outputs: &[Tensor<'a>], name: &str) -> Result<Tensor<'a>, ShapeError> {
        outputs
            .iter()
            .find(|o| o.name == name)
            .copied()
            .ok_or_else(|| ShapeError {
                name: name.to_owned(),
                shape: Vec::new(),
                expected: "it to exist".to_owned(),
            })
    }

    /// The only output.
    fn only(outputs: &[Tensor<'a>]) -> Result<Tensor<'a>, ShapeError> {
        match outputs {
            [only] => Ok(*only),
            _ => Err(ShapeError {
                name: String::new(),
                shape: vec![outputs.len()],
                expected: "one output".to_owned(),
            }),
        }
    }
}

/// Collects candidates and keeps the best when there are too many.
#[derive(Debug, Default)]
struct Collector(Vec<Candidate>);

impl Collector {
    fn push(&mut self, candidate: Candidate) {
        let c = &candidate;
        let sane = [c.score, c.x0, c.y0, c.x1, c.y1]
            .iter()
            .all(|v| v.is_finite());
        if !sane || c.x1 <= c.x0 || c.y1 <= c.y0 {
            return;
        }
        self.0.push(candidate);
        if self.0.len() >= 2 * MAX_CANDIDATES {
            self.shrink();
        }
    }

    // A stable sort, so that the same outputs give the same candidates.
    fn shrink(&mut self) {
        self.0.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.0.truncate(MAX_CANDIDATES);
    }

    fn finish(mut self) -> Vec<Candidate> {
        if self.0.len() > MAX_CANDIDATES {
            self.shrink();
        }
        self.0
    }
}

/// The cells of the three grids over the input, as (column, row, stride), in the order of the outputs' rows.
fn grid(width: usize, height: usize) -> impl Iterator<Item = (f32, f32, f32)> {
    crate::family::STRIDES.into_iter().flat_map(move |stride| {
        (0..height / stride).flat_map(move |row| {
            (0..width / stride).map(move |column| (column as f32, row as f32, stride as f32))
        })
    })
}

/// The index and value of the greatest number; NaN is never greater.
fn argmax(values: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    let mut best = None;
    for (i, v) in values.enumerate() {
        if best.is_none_or(|(_, b)| v > b) && !v.is_nan() {
            best = Some((i, v));
        }
    }
    best
}

/// A box given by its centre and size.
fn centred(class: usize, score: f32, [cx, cy, w, h]: [f32; 4]) -> Candidate {
    Candidate {
        class,
        score,
        x0: cx - w / 2.0,
        y0: cy - h / 2.0,
        x1: cx + w / 2.0,
        y1: cy + h / 2.0,
        landmarks: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_flood_of_candidates_is_cut_to_the_best() {
        let mut all = Collector::default();
        for i in 0..10_000_u32 {
            let score = (i * 7919 % 10_000) as f32 / 10_000.0;
            all.push(centred(0, score, [5.0, 5.0, 2.0, 2.0]));
        }
        let kept = all.finish();
        assert_eq!(kept.len(), MAX_CANDIDATES);
        let least = kept.iter().map(|c| c.score).fold(1.0, f32::min);
        assert!((least - 0.8976).abs() < 1e-6, "{least}");
    }

    fn any_value() -> impl Strategy<Value = f32> {
        prop_oneof![
            4 => -3.0_f32..3.0,
            1 => prop::num::f32::ANY,
            1 => Just(f32::NAN),
            1 => Just(f32::INFINITY),
        ]
    }

    fn any_tensor() -> impl Strategy<Value = (Vec<usize>, Vec<f32>)> {
        prop_oneof![
            // The right shapes for an input of 32 by 32 pixels, and any others.
            Just(vec![1, 21, 7]),
            Just(vec![1, 7, 21]),
            Just(vec![1, 16, 1]),
            prop::collection::vec(0_usize..6, 0..5),
        ]
        .prop_flat_map(|shape| {
            let n: usize = shape.iter().product();
            (
                Just(shape),
                prop::collection::vec(any_value(), n.saturating_sub(1)..=n + 1),
            )
        })
    }

    proptest! {
        #[test]
        fn no_output_makes_a_decoder_panic(
            outputs in prop::collection::vec(any_tensor(), 0..4),
            names in prop::collection::vec(0_usize..12, 4),
            threshold in any_value(),
        ) {
            let tensors: Vec<Tensor<'_>> = outputs
                .iter()
                .zip(&names)
                .map(|((shape, data), n)| Tensor { name: yunet::NAMES[*n], shape, data })
                .collect();
            let wanted = Wanted { threshold, classes: None };
            let decoders: [Box<dyn Decode>; 3] = [
                Box::new(yolox::Yolox { width: 32, height: 32 }),
                Box::new(yunet::Yunet { width: 32, height: 32 }),
                Box::new(yolov8::Yolov8),
            ];
            for decoder in decoders {
                if let Ok(found) = decoder.decode(&tensors, &wanted) {
                    prop_assert!(found.len() <= MAX_CANDIDATES);
                    for c in found {
                        prop_assert!(c.score >= threshold && c.x1 > c.x0 && c.y1 > c.y0);
                    }
                }
            }
        }
    }
}
