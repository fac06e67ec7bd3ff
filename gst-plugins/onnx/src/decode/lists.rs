//! Suppressed inside the model: boxes, scores and classes in outputs of their own.
//!
//! `TensorFlow`'s and Torchvision's SSDs, `EfficientNMS`, RT-DETR and D-FINE.

use super::{Candidate, Collector, Decode, ShapeError, Tensor, Wanted, class_of, cornered};
use crate::io::Outlet;

/// How the outputs are called, boxes, scores and classes, in exports of SSDs.
pub const SSD_NAMES: [[&str; 3]; 3] = [
    ["detection_boxes", "detection_scores", "detection_classes"],
    ["boxes", "scores", "labels"],
    ["bboxes", "scores", "labels"],
];

/// Where the lists are and what their numbers mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lists {
    /// Names of the outputs: boxes, scores, classes.
    pub names: [&'static str; 3],
    /// What x and y are multiplied by to become input pixels.
    pub unit: (f32, f32),
    /// Whether y stands before x.
    pub rows_first: bool,
    /// Number of the first class.
    pub first_class: usize,
}

/// The outlet of a name; exports of `TensorFlow` add a number to it.
pub fn named<'a>(outlets: &'a [Outlet], name: &str) -> Option<&'a Outlet> {
    outlets.iter().find(|o| is(&o.name, name))
}

fn is(name: &str, plain: &str) -> bool {
    name.split_once(':').map_or(name, |(plain, _)| plain) == plain
}

impl Lists {
    fn list<'a>(&self, outputs: &[Tensor<'a>], at: usize) -> Result<Tensor<'a>, ShapeError> {
        let name = self.names[at];
        outputs
            .iter()
            .find(|o| is(o.name, name))
            .copied()
            .map_or_else(|| Tensor::find(outputs, name), Ok)
    }
}

impl Decode for Lists {
    fn decode(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
    ) -> Result<Vec<Candidate>, ShapeError> {
        let (boxes, scores, classes) = (
            self.list(outputs, 0)?,
            self.list(outputs, 1)?,
            self.list(outputs, 2)?,
        );
        let count = scores.data.len();
        let flat = |t: &Tensor<'_>, rank: usize| match *t.shape {
            [1, ..] => t.shape.len() <= rank + 1,
            _ => t.shape.len() <= rank,
        };
        if !flat(&scores, 1) {
            return Err(scores.shape_error("[1, boxes]".to_owned()));
        }
        if !flat(&boxes, 2) || Some(boxes.data.len()) != count.checked_mul(4) {
            return Err(boxes.shape_error(format!("[1, {count}, 4]")));
        }
        if classes.data.len() != count {
            return Err(classes.shape_error(format!("[1, {count}]")));
        }
        let mut found = Collector::default();
        let rows = boxes
            .data
            .chunks_exact(4)
            .zip(scores.data)
            .zip(classes.data);
        for ((b, score), class) in rows {
            let Some(class) = class_of(*class, self.first_class) else {
                continue;
            };
            if *score < wanted.threshold || !wanted.has_class(class) {
                continue;
            }
            let [x0, y0, x1, y1] = if self.rows_first {
                [b[1], b[0], b[3], b[2]]
            } else {
                [b[0], b[1], b[2], b[3]]
            };
            let (w, h) = self.unit;
            found.push(cornered(class, *score, [x0 * w, y0 * h, x1 * w, y1 * h]));
        }
        Ok(found.finish())
    }
}
