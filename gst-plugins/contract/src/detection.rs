//! Detected objects on a picture, in the region-of-interest layout that other GStreamer tools read.
//!
//! One `GstVideoRegionOfInterestMeta` per object: `roi_type` is the label, the rectangle is in pixels of the
//! picture, and a parameter structure `detection` holds `x_min`, `x_max`, `y_min`, `y_max`, `confidence`
//! (doubles, shares) and `label_id`. A frame-level custom meta says whether a model looked at the picture at
//! all, so that "nobody there" and "nobody looked" are two things.

use crate::BBox;
use crate::fields::{self, FieldError, Message};

/// The most regions of one kind that a reader takes from one picture.
pub const ROI_LIST_LIMIT: usize = 512;

/// An object that a model found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// The label, as the model's facts name it.
    pub label: String,
    /// Index of the label in the model's list.
    pub label_id: i32,
    /// Confidence, 0..1.
    pub score: f64,
    /// Where.
    pub bbox: BBox,
}

/// A detection as read back, with the id of its meta, by which others refer to it.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundDetection {
    /// Id of the region meta on this buffer.
    pub roi_id: i32,
    /// What was found.
    pub detection: Detection,
    /// The track it belongs to, once `objecttrack` said so.
    pub track: Option<crate::track::Track>,
}

const DETECTION: &str = "detection";
const X_MIN: &str = "x_min";
const X_MAX: &str = "x_max";
const Y_MIN: &str = "y_min";
const Y_MAX: &str = "y_max";
const CONFIDENCE: &str = "confidence";
const LABEL_ID: &str = "label_id";

impl Detection {
    /// Puts the detection on a picture of `width` by `height` pixels.
    pub fn attach(&self, buffer: &mut gst::BufferRef, width: u32, height: u32) {
        let rect = self.bbox.to_pixels(width, height);
        // Unique on the buffer: what was there is counted, and nothing of ours is ever removed.
        let id = buffer
            .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
            .map(|m| m.id())
            .max()
            .unwrap_or(0);
        let mut meta = gst_video::VideoRegionOfInterestMeta::add(buffer, &self.label, rect);
        meta.set_id(id.saturating_add(1));
        meta.add_param(
            gst::Structure::builder(DETECTION)
                .field(X_MIN, self.bbox.x)
                .field(X_MAX, self.bbox.x + self.bbox.w)
                .field(Y_MIN, self.bbox.y)
                .field(Y_MAX, self.bbox.y + self.bbox.h)
                .field(CONFIDENCE, self.score)
                .field(LABEL_ID, self.label_id)
                .build(),
        );
    }

    /// Whether a region meta is a detection.
    pub fn is_on(meta: &gst_video::VideoRegionOfInterestMeta) -> bool {
        meta.param(DETECTION).is_some()
    }

    /// The detections on a picture.
    pub fn all_of_buffer(buffer: &gst::BufferRef) -> Vec<FoundDetection> {
        buffer
            .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
            .filter_map(|meta| {
                let s = meta.param(DETECTION)?;
                let get = |field| s.get::<f64>(field).ok();
                let (x0, x1, y0, y1) = (get(X_MIN)?, get(X_MAX)?, get(Y_MIN)?, get(Y_MAX)?);
                Some(FoundDetection {
                    roi_id: meta.id(),
                    detection: Self {
                        label: meta.roi_type().to_owned(),
                        label_id: s.get(LABEL_ID).unwrap_or(-1),
                        score: get(CONFIDENCE)?,
                        bbox: BBox::clamped(x0, y0, x1 - x0, y1 - y0),
                    },
                    track: crate::track::Track::of_meta(&meta),
                })
            })
            .take(ROI_LIST_LIMIT)
            .collect()
    }
}

const FRAME: &str = "NvrdInferenceFrameMeta";
const RAN: &str = "ran";
const MODEL: &str = "model";

/// What `onnxinfer` says of every picture that passed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferenceFrame {
    /// Whether the model looked at this picture.
    pub ran: bool,
    /// First 12 hex digits of the BLAKE3 of the model file.
    pub model: String,
}

fn ensure_registered() {
    if !gst::meta::CustomMeta::is_registered(FRAME) {
        gst::meta::CustomMeta::register(FRAME, &[]);
    }
}

impl InferenceFrame {
    /// Puts the fact on a picture.
    pub fn attach(&self, buffer: &mut gst::BufferRef) {
        ensure_registered();
        if let Ok(mut meta) = gst::meta::CustomMeta::add(buffer, FRAME) {
            let s = meta.mut_structure();
            s.set(RAN, self.ran);
            s.set(MODEL, &self.model);
        }
    }

    /// The fact on a picture, `None` when no `onnxinfer` stands upstream.
    pub fn of_buffer(buffer: &gst::BufferRef) -> Option<Self> {
        ensure_registered();
        let meta = gst::meta::CustomMeta::from_buffer(buffer, FRAME).ok()?;
        let s = meta.structure();
        Some(Self {
            ran: s.get(RAN).ok()?,
            model: s.get(MODEL).ok()?,
        })
    }
}

/// Posted once when the file of a model that runs was changed: what runs is still the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelChanged {
    /// Path of the file.
    pub path: String,
    /// Hash of what runs.
    pub running: String,
    /// Hash of what lies there now.
    pub found: String,
}

const PATH: &str = "path";
const RUNNING: &str = "running";
const FOUND: &str = "found";

impl Message for ModelChanged {
    const NAME: &'static str = "nvrd-model-changed";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(PATH, &self.path)
            .field(RUNNING, &self.running)
            .field(FOUND, &self.found)
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        Ok(Self {
            path: fields::required(s, Self::NAME, PATH)?,
            running: fields::required(s, Self::NAME, RUNNING)?,
            found: fields::required(s, Self::NAME, FOUND)?,
        })
    }
}
