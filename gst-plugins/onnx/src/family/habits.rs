//! What the training code of each family does to pictures, and what that leaves to say in the facts.

use super::Family;
use crate::decode::Activation;
use crate::facts::{Channels, Letterbox, Task};
use crate::io::{Element, ModelIo, Outlet};

/// What a family does unless the facts say otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Habits {
    pub(crate) task: Task,
    pub(crate) channels: Channels,
    /// `None` where it differs from export to export and the model does not tell.
    pub(crate) scale: Option<f32>,
    pub(crate) mean: [f32; 3],
    pub(crate) std: [f32; 3],
    pub(crate) letterbox: Letterbox,
    pub(crate) pad: f32,
    pub(crate) nms_iou: f32,
    pub(crate) activation: Activation,
}

const BYTE: f32 = 1.0 / 255.0;
const PLAIN: Habits = Habits {
    task: Task::Detection,
    channels: Channels::Rgb,
    scale: Some(BYTE),
    mean: [0.0; 3],
    std: [1.0; 3],
    letterbox: Letterbox::Stretch,
    pad: 0.0,
    nms_iou: 0.5,
    activation: Activation::None,
};
const ULTRALYTICS: Habits = Habits {
    letterbox: Letterbox::Center,
    pad: 114.0,
    ..PLAIN
};
/// Mean and standard deviation of `ImageNet`, red first, after division by 255.
const IMAGENET: Habits = Habits {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
    ..PLAIN
};
const FACES: Habits = Habits {
    task: Task::FaceDetection,
    scale: Some(1.0),
    nms_iou: 0.3,
    ..PLAIN
};

/// From -1 to 1.
const CENTRED: Habits = Habits {
    scale: Some(1.0),
    mean: [127.5; 3],
    std: [127.5; 3],
    ..PLAIN
};

fn classification(io: &ModelIo) -> Habits {
    Habits {
        task: Task::Classification,
        activation: Activation::Softmax,
        // Those of Ultralytics do without the figures of the others.
        ..if io.note("task") == Some("classify") {
            PLAIN
        } else {
            IMAGENET
        }
    }
}

impl Family {
    /// What it does unless told otherwise, to a model whose picture goes into `input`.
    pub(crate) fn habits(self, io: &ModelIo, input: &Outlet) -> Habits {
        let habits = self.plain_habits(io);
        if input.element == Element::U8 {
            // Such a model normalises by itself.
            return Habits {
                scale: Some(1.0),
                mean: [0.0; 3],
                std: [1.0; 3],
                ..habits
            };
        }
        habits
    }

    fn plain_habits(self, io: &ModelIo) -> Habits {
        match self {
            Self::Yolox => Habits {
                channels: Channels::Bgr,
                scale: Some(1.0),
                letterbox: Letterbox::TopLeft,
                pad: 114.0,
                nms_iou: 0.45,
                ..PLAIN
            },
            Self::Yolov5 | Self::Yolov8 | Self::Yolov10 | Self::Yolov7Nms | Self::EfficientNms => {
                ULTRALYTICS
            }
            Self::Rtdetr | Self::RtdetrRows => PLAIN,
            Self::Detr => Habits {
                activation: activation(io),
                ..IMAGENET
            },
            Self::Ssd => Habits {
                // Torchvision's takes 0..1; the others differ, and only bytes need no scale.
                scale: io.output("detection_boxes").is_none().then_some(BYTE),
                ..PLAIN
            },
            Self::Nanodet => Habits {
                channels: Channels::Bgr,
                scale: Some(1.0),
                mean: [103.53, 116.28, 123.675],
                std: [57.375, 57.12, 58.395],
                nms_iou: 0.6,
                ..PLAIN
            },
            Self::Picodet | Self::PicodetNms => Habits {
                nms_iou: 0.6,
                ..IMAGENET
            },
            Self::Yunet => Habits {
                channels: Channels::Bgr,
                letterbox: Letterbox::TopLeft,
                ..FACES
            },
            Self::Scrfd => Habits {
                mean: [127.5; 3],
                std: [128.0; 3],
                letterbox: Letterbox::TopLeft,
                nms_iou: 0.4,
                ..FACES
            },
            Self::Ultraface => Habits {
                mean: [127.0; 3],
                std: [128.0; 3],
                ..FACES
            },
            Self::Classification => classification(io),
            Self::Embedding => Habits {
                task: Task::Embedding,
                ..CENTRED
            },
            Self::Ctc => Habits {
                task: Task::Text,
                ..CENTRED
            },
        }
    }
}

/// The first DETR has a class for "nothing" and shares one among all; its successors judge each class alone.
fn activation(io: &ModelIo) -> Activation {
    let classes = io
        .output("logits")
        .and_then(|o| o.dimension(o.shape.len().checked_sub(1)?));
    match classes {
        // COCO's 91 numbers and "nothing".
        Some(92) => Activation::Softmax,
        _ => Activation::Sigmoid,
    }
}
