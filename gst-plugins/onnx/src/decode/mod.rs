//! From a model's outputs to candidate boxes: one file a family, on plain slices and shapes.
//!
//! `whole.rs` is for models that speak of the picture as a whole.

pub mod detr;
pub mod distance;
pub mod lists;
pub mod rows;
pub mod scrfd;
pub mod ultraface;
pub mod whole;
pub mod yolov5;
pub mod yolov8;
pub mod yolox;
pub mod yunet;

use serde::Deserialize;

use crate::facts::Facts;
use crate::family::Family;

/// The most candidates that a decoder hands on: bounds what non-maximum suppression costs.
pub const MAX_CANDIDATES: usize = 1024;
/// The most numbers in an output that is read; the largest of the known families have a hundredth of it.
pub const MAX_NUMBERS: usize = 1 << 26;

/// What scores still need when they leave the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// They lie between 0 and 1 already.
    None,
    /// Each on its own.
    Sigmoid,
    /// Together they are 1.
    Softmax,
}

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
    pub(crate) fn has_class(&self, class: usize) -> bool {
        self.classes
            .as_ref()
            .is_none_or(|mask| mask.get(class).copied().unwrap_or(false))
    }
}

/// An output is not what the family promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("output `{name}` has the shape {shape:?}, expected {expected}")]
pub struct ShapeError {
    /// Which output.
    pub name: String,
    /// What it has.
    pub shape: Vec<usize>,
    /// What it should have.
    pub expected: String,
    /// Whether the shape is right and only this picture's numbers are none, so that another picture may do.
    pub passing: bool,
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

/// The decoder of a model that finds boxes, `None` for one that speaks of the picture as a whole.
pub fn for_model(facts: &Facts) -> Option<Box<dyn Decode>> {
    let (width, height) = (facts.input.width, facts.input.height);
    let distance = |levels| distance::Distance {
        width,
        height,
        levels,
    };
    let size = (width as f32, height as f32);
    Some(match facts.family {
        Family::Yolox => Box::new(yolox::Yolox { width, height }),
        Family::Yunet => Box::new(yunet::Yunet { width, height }),
        Family::Yolov5 => Box::new(yolov5::Yolov5),
        Family::Yolov8 => Box::new(yolov8::Yolov8),
        Family::Yolov10 => Box::new(rows::Rows::YOLOV10),
        Family::Yolov7Nms => Box::new(rows::Rows::YOLOV7),
        Family::PicodetNms => Box::new(rows::Rows::PICODET),
        Family::Detr | Family::RtdetrRows => Box::new(detr::Detr {
            width,
            height,
            activation: facts.activation,
        }),
        Family::EfficientNms => Box::new(lists::Lists {
            names: ["det_boxes", "det_scores", "det_classes"],
            unit: (1.0, 1.0),
            rows_first: false,
            first_class: 0,
        }),
        Family::Rtdetr => Box::new(lists::Lists {
            names: ["boxes", "scores", "labels"],
            unit: (1.0, 1.0),
            rows_first: false,
            first_class: 0,
        }),
        Family::Ssd => Box::new(ssd(&facts.outputs, size)),
        Family::Nanodet => Box::new(distance(false)),
        Family::Picodet => Box::new(distance(true)),
        Family::Scrfd => Box::new(scrfd::Scrfd { width, height }),
        Family::Ultraface => Box::new(ultraface::Ultraface { width, height }),
        Family::Classification | Family::Embedding | Family::Ctc => return None,
    })
}

/// `TensorFlow` gives shares, rows first; Torchvision pixels; both count classes from 1.
fn ssd(outputs: &[String], size: (f32, f32)) -> lists::Lists {
    let names = lists::SSD_NAMES
        .into_iter()
        .find(|names| outputs.iter().any(|o| o.starts_with(names[0])))
        .unwrap_or(lists::SSD_NAMES[0]);
    let is_tensorflow = names[0] == "detection_boxes";
    lists::Lists {
        names,
        unit: if names[0] == "boxes" {
            (1.0, 1.0)
        } else {
            size
        },
        rows_first: is_tensorflow,
        first_class: 1,
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

    /// The shape of one picture's part of an output of `pictures` pictures.
    ///
    /// # Errors
    /// When the first dimension is not their number.
    pub(crate) fn part_shape(&self, pictures: usize) -> Result<Vec<usize>, ShapeError> {
        match self.shape {
            [first, rest @ ..] if *first == pictures && pictures > 0 => Ok([&[1], rest].concat()),
            _ => Err(self.shape_error(format!("[{pictures}, …]"))),
        }
    }

    /// Picture `at`'s part, of a shape as [`Self::part_shape`] gives it.
    pub(crate) fn part<'b>(&self, at: usize, shape: &'b [usize]) -> Tensor<'b>
    where
        'a: 'b,
    {
        let size: usize = shape.iter().product();
        Tensor {
            name: self.name,
            shape,
            data: self.data.get(at * size..(at + 1) * size).unwrap_or(&[]),
        }
    }

    /// Refuses what no model of a known family gives: too many numbers, or such as are none.
    ///
    /// # Errors
    /// When there are more than [`MAX_NUMBERS`], or one is infinite or not a number.
    pub fn check(&self) -> Result<(), ShapeError> {
        if self.data.len() > MAX_NUMBERS {
            return Err(self.shape_error(format!("at most {MAX_NUMBERS} numbers")));
        }
        // Nothing but zero comes of finite numbers; eight sums at a time keep the processor busy.
        let mut sums = [0.0_f32; 32];
        let mut blocks = self.data.chunks_exact(32);
        for block in &mut blocks {
            for (sum, v) in sums.iter_mut().zip(block) {
                *sum += v * 0.0;
            }
        }
        let rest = blocks.remainder().iter().fold(0.0, |sum, v| sum + v * 0.0);
        if sums.iter().sum::<f32>() + rest != 0.0 {
            return Err(ShapeError {
                passing: true,
                ..self.shape_error("finite numbers in it".to_owned())
            });
        }
        Ok(())
    }

    fn shape_error(&self, expected: String) -> ShapeError {
        ShapeError {
            name: self.name.to_owned(),
            shape: self.shape.to_vec(),
            expected,
            passing: false,
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
                passing: false,
            })
    }

    /// The first output: older exports hand out more than is needed.
    fn first(outputs: &[Tensor<'a>]) -> Result<Tensor<'a>, ShapeError> {
        outputs
            .first()
            .copied()
            .ok_or_else(|| ShapeError::count(0, "an output"))
    }

    /// The only output.
    fn only(outputs: &[Tensor<'a>]) -> Result<Tensor<'a>, ShapeError> {
        match outputs {
            [only] => Ok(*only),
            _ => Err(ShapeError::count(outputs.len(), "one output")),
        }
    }
}

impl ShapeError {
    /// Another number of outputs than a family has.
    fn count(count: usize, expected: &str) -> Self {
        Self {
            name: "all".to_owned(),
            shape: vec![count],
            expected: expected.to_owned(),
            passing: false,
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The class of a number that stands for one; `None` for what is none, padding say.
fn class_of(number: f32, first: usize) -> Option<usize> {
    // Exact, for a float that is a whole number.
    let whole = (0.0..65_536.0).contains(&number);
    whole.then(|| number.round() as usize)?.checked_sub(first)
}

/// A box given by its corners.
fn cornered(class: usize, score: f32, [x0, y0, x1, y1]: [f32; 4]) -> Candidate {
    Candidate {
        class,
        score,
        x0,
        y0,
        x1,
        y1,
        landmarks: None,
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

    const NAMES: [&str; 8] = [
        "cls_8",
        "obj_8",
        "logits",
        "pred_boxes",
        "boxes",
        "scores",
        "labels",
        "x",
    ];

    #[test]
    fn numbers_that_are_none_and_floods_of_them_are_refused() {
        let check = |data: &[f32]| {
            let shape = [1, data.len(), 1];
            let name = "o";
            Tensor {
                name,
                shape: &shape,
                data,
            }
            .check()
            .map_err(|e| e.to_string())
        };
        for len in [1, 31, 32, 33, 100] {
            let mut data = vec![1e30; len];
            assert_eq!(check(&data), Ok(()));
            data[len / 2] = f32::NAN;
            assert!(check(&data).unwrap_err().contains("finite"));
            data[len / 2] = f32::INFINITY;
            assert!(check(&data).is_err());
        }
        assert!(
            check(&vec![0.0; MAX_NUMBERS + 1])
                .unwrap_err()
                .contains("at most")
        );
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
            Just(vec![1, 63, 7]),
            Just(vec![1, 22, 35]),
            Just(vec![1, 5, 6]),
            Just(vec![1, 5, 4]),
            Just(vec![1, 5]),
            Just(vec![32, 1]),
            Just(vec![1, 16, 1]),
            Just(vec![1, 16, 32]),
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
            names in prop::collection::vec(0_usize..NAMES.len(), 4),
            threshold in any_value(),
        ) {
            let tensors: Vec<Tensor<'_>> = outputs
                .iter()
                .zip(&names)
                .map(|((shape, data), n)| Tensor { name: NAMES[*n], shape, data })
                .collect();
            let wanted = Wanted { threshold, classes: None };
            let (width, height) = (32, 32);
            let lists = |names| lists::Lists { names, unit: (2.0, 2.0), rows_first: true, first_class: 1 };
            let decoders: [Box<dyn Decode>; 14] = [
                Box::new(yolox::Yolox { width, height }),
                Box::new(yunet::Yunet { width, height }),
                Box::new(yolov5::Yolov5),
                Box::new(yolov8::Yolov8),
                Box::new(rows::Rows::YOLOV10),
                Box::new(rows::Rows::YOLOV7),
                Box::new(rows::Rows::PICODET),
                Box::new(detr::Detr { width, height, activation: Activation::Softmax }),
                Box::new(detr::Detr { width, height, activation: Activation::None }),
                Box::new(lists(lists::SSD_NAMES[1])),
                Box::new(distance::Distance { width, height, levels: false }),
                Box::new(distance::Distance { width, height, levels: true }),
                Box::new(scrfd::Scrfd { width, height }),
                Box::new(ultraface::Ultraface { width, height }),
            ];
            let alphabet = vec!["A".to_owned()];
            // Whether they can be read or not: no panic, and no more than was asked for.
            if let Ok(classes) = whole::classes(&tensors, Activation::Softmax, 3) {
                prop_assert!(classes.len() <= 3);
            }
            prop_assert!(whole::vector(&tensors).is_ok() || whole::classes(&tensors, Activation::None, 1).is_err());
            if let Ok((text, _)) = whole::text(&tensors, &alphabet) {
                prop_assert!(text.chars().all(|c| c == 'A'));
            }
            if let Some(first) = tensors.first() {
                prop_assert_eq!(first.check().is_ok(), first.data.iter().all(|v| v.is_finite()));
            }
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
