//! The properties of the element as plain values, and their defaults.

use std::path::PathBuf;

use crate::embedder::OpenOptions;
use crate::gallery::Rule;
use crate::quality::Gate;
use crate::recogniser::Config;

/// What the user set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Path of the ONNX file.
    pub model: Option<String>,
    /// Path of ONNX Runtime's library; the usual places, when absent.
    pub ort_library: Option<String>,
    /// Threads of one run.
    pub threads: u32,
    /// Path of the gallery, or `shared:NAME`.
    pub gallery: Option<String>,
    /// Whom to enrol.
    pub enroll: Option<String>,
    /// Least cosine.
    pub threshold: f64,
    /// Lead over the next person.
    pub margin: f64,
    /// Least distance between the eyes, pixels.
    pub min_size: f64,
    /// Least sharpness.
    pub min_sharpness: f64,
    /// Most yaw or pitch, degrees.
    pub max_angle: f64,
    /// Whether faces of nobody get an id.
    pub strangers: bool,
    /// The most faces embedded on one picture.
    pub max_faces: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            ort_library: None,
            threads: 1,
            gallery: None,
            enroll: None,
            threshold: 0.35,
            margin: 0.05,
            min_size: DEFAULT_GATE.min_eyes_px,
            min_sharpness: DEFAULT_GATE.min_sharpness,
            max_angle: DEFAULT_GATE.max_angle,
            strangers: true,
            max_faces: 4,
        }
    }
}

/// When a face is somebody's, unless told otherwise: faces of different people rarely come nearer.
pub const DEFAULT_RULE: Rule = Rule {
    threshold: 0.35,
    margin: 0.05,
};

/// Which faces are compared, unless told otherwise: models of this kind fail on less.
pub const DEFAULT_GATE: Gate = Gate {
    min_eyes_px: 12.0,
    min_sharpness: 0.03,
    max_angle: 45.0,
};

impl Settings {
    /// What to open, `None` when no model is named.
    pub fn open_options(&self) -> Option<OpenOptions> {
        let told = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        Some(OpenOptions {
            model: PathBuf::from(told(&self.model)?),
            library: told(&self.ort_library).unwrap_or_default(),
            threads: self.threads as usize,
        })
    }

    /// Whom to enrol, if anybody.
    pub fn enroll(&self) -> Option<&str> {
        self.enroll.as_deref().filter(|id| !id.is_empty())
    }

    /// How faces are judged and compared.
    pub fn config(&self) -> Config {
        Config {
            rule: Rule {
                threshold: self.threshold as f32,
                margin: self.margin as f32,
            },
            gate: Gate {
                min_eyes_px: self.min_size,
                min_sharpness: self.min_sharpness,
                max_angle: self.max_angle,
            },
            strangers: self.strangers,
            most: self.max_faces as usize,
        }
    }
}
