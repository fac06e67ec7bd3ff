//! Which family a model belongs to: how its outputs are read, and what its training code did to pictures.
//!
//! `recognise.rs` tells it by names, shapes and notes, `habits.rs` knows what each family does unless told otherwise.

mod recognise;
mod habits;

pub(crate) use habits::Habits;

use serde::Deserialize;

use crate::io::ModelIo;

/// The strides of the three pyramid levels that most families share, in input pixels.
pub const STRIDES: [usize; 3] = [8, 16, 32];
/// Those of the families with a fourth level.
pub const STRIDES4: [usize; 4] = [8, 16, 32, 64];

/// How the outputs of a model are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// One output `[1, N, 5 + C]`: offsets to a grid cell, objectness, class scores.
    Yolox,
    /// One output `[1, 3 N, 5 + C]`: boxes in input pixels, objectness, class scores; `YOLOv7` too.
    #[serde(alias = "yolov7")]
    Yolov5,
    /// One output `[1, 4 + C, N]`: boxes in input pixels and class scores; `YOLOv9` and v11 too.
    #[serde(alias = "yolov9", alias = "yolov11", alias = "yolo11")]
    Yolov8,
    /// One output `[1, N, 6]`: corners in input pixels, score, class; nothing is left to suppress.
    Yolov10,
    /// One output `[N, 7]`: number in the batch, corners in input pixels, class, score.
    Yolov7Nms,
    /// `num_dets`, `det_boxes`, `det_scores`, `det_classes`: corners in input pixels.
    EfficientNms,
    /// `logits` and `pred_boxes`: centres and sizes as shares of the input.
    Detr,
    /// `labels`, `boxes`, `scores` beside an input `orig_target_sizes`: RT-DETR and D-FINE.
    #[serde(alias = "d-fine", alias = "dfine")]
    Rtdetr,
    /// One output `[1, N, 4 + C]`: centres and sizes as shares of the input, and class scores.
    RtdetrRows,
    /// Boxes, scores and classes as lists, suppressed inside the model.
    Ssd,
    /// One output `[1, N, C + 4 R]`: class scores and distributions of the distances to the edges.
    Nanodet,
    /// Two outputs a level: class scores, and distributions of the distances to the edges.
    Picodet,
    /// One output `[N, 6]` beside an input `scale_factor`: class, score, corners in input pixels.
    PicodetNms,
    /// Twelve outputs `cls_8` to `kps_32`: faces with five landmarks.
    Yunet,
    /// Six or nine outputs, two anchors a cell: scores, distances to the edges, landmarks.
    Scrfd,
    /// `scores` and `boxes`: faces, corners as shares of the input.
    Ultraface,
    /// One output `[1, C]`: how much a picture is of each class.
    Classification,
    /// One output `[1, D]`: a vector that is near those of similar pictures.
    Embedding,
    /// One output `[1, T, C]`: the characters of a line of text, blank first.
    Ctc,
}

/// How many cells the grids of `strides` over an input of `width` by `height` pixels have together.
pub fn cells(width: usize, height: usize, strides: &[usize]) -> usize {
    strides.iter().fold(0, |sum, s| {
        (width / s).saturating_mul(height / s).saturating_add(sum)
    })
}

/// The same where a stride that does not divide the input leaves a part of a cell, which counts.
pub fn cells_up(width: usize, height: usize, strides: &[usize]) -> usize {
    strides.iter().fold(0, |sum, s| {
        let level = width.div_ceil(*s).saturating_mul(height.div_ceil(*s));
        level.saturating_add(sum)
    })
}

impl Family {
    /// How many classes the outputs tell apart, `None` when their shapes leave it open.
    pub fn classes(self, io: &ModelIo) -> Option<usize> {
        let first = io.outputs.first();
        let last = |outlet: &crate::io::Outlet| {
            let at = outlet.shape.len().checked_sub(1)?;
            outlet.dimension(at)
        };
        match self {
            Self::Yolox | Self::Yolov5 => last(first?)?.checked_sub(5),
            Self::Yolov8 => first?.dimension(1)?.checked_sub(4),
            Self::RtdetrRows => last(first?)?.checked_sub(4),
            Self::Nanodet => last(first?)?.checked_sub(4 * crate::decode::distance::BINS),
            Self::Picodet => {
                let scores = io.outputs.iter().map(last).collect::<Option<Vec<_>>>()?;
                let boxes = 4 * crate::decode::distance::BINS;
                // With as many classes as a box has numbers, either will do.
                scores.iter().copied().find(|c| *c != boxes).or(Some(boxes))
            }
            Self::Yunet | Self::Scrfd | Self::Ultraface => Some(1),
            Self::Classification => last(first?),
            Self::Yolov10
            | Self::Yolov7Nms
            | Self::EfficientNms
            | Self::Detr
            | Self::Rtdetr
            | Self::Ssd
            | Self::PicodetNms
            | Self::Embedding
            | Self::Ctc => None,
        }
    }

    /// Whether its boxes are suppressed by the model itself.
    pub fn is_suppressed(self) -> bool {
        matches!(
            self,
            Self::Yolov10
                | Self::Yolov7Nms
                | Self::EfficientNms
                | Self::Detr
                | Self::Rtdetr
                | Self::RtdetrRows
                | Self::Ssd
                | Self::PicodetNms
        )
    }
}
