//! The properties of the element as plain values, and their defaults.

use std::path::PathBuf;

use gst::glib;

use nvr_onnx::model::OpenOptions;
use nvr_onnx::provider::Provider;

use crate::filter::Wish;
use crate::schedule::Rules;

/// When the model looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstNvrdOnnxInferTrigger")]
#[repr(i32)]
pub enum Trigger {
    /// At every picture that the other rules allow.
    #[default]
    #[enum_value(
        name = "Always: every picture that the other rules allow",
        nick = "always"
    )]
    Always,
    /// Only at pictures that `motiondetect` calls moving.
    #[enum_value(
        name = "Motion: only pictures that motiondetect calls moving",
        nick = "motion"
    )]
    Motion,
}

/// Whether pictures may wait for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstNvrdOnnxInferLive")]
#[repr(i32)]
pub enum Live {
    /// As upstream says.
    #[default]
    #[enum_value(name = "Auto: as upstream answers the latency query", nick = "auto")]
    Auto,
    /// They may not, longer than the budget.
    #[enum_value(name = "Yes: keep to the budget", nick = "yes")]
    Yes,
    /// They may.
    #[enum_value(
        name = "No: analyse every due picture, however long it takes",
        nick = "no"
    )]
    No,
}

/// Which part of a picture the model looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstNvrdOnnxInferRegion")]
#[repr(i32)]
pub enum Look {
    /// All of it.
    #[default]
    #[enum_value(name = "Full frame: the whole picture", nick = "full-frame")]
    FullFrame,
    /// Parts of it.
    #[enum_value(
        name = "ROI list: a detector looks closer at what moves, any other model at what was detected",
        nick = "roi-list"
    )]
    RoiList,
}

/// What the user set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Path of the ONNX file.
    pub model: Option<String>,
    /// Path of the TOML with its facts; beside the model, when absent.
    pub model_facts: Option<String>,
    /// Path of ONNX Runtime's library; the usual places, when absent.
    pub ort_library: Option<String>,
    /// Threads of one run.
    pub threads: u32,
    /// Runs at a time; 0 for as many as the machine has room for.
    pub workers: u32,
    /// Comma list of execution providers, as it was written.
    pub provider: String,
    /// Which of the found objects are kept.
    pub wish: Wish,
    /// The zones of the wish, as they were written.
    pub zones: String,
    /// Which part of a picture the model looks at.
    pub look: Look,
    /// The most objects on a picture.
    pub max_detections: u32,
    /// When the model looks.
    pub trigger: Trigger,
    /// Every n-th picture.
    pub interval: u32,
    /// The most pictures a second; 0 means no limit.
    pub max_fps: f64,
    /// The longest wait of a live picture, nanoseconds; 0 means no limit.
    pub budget: u64,
    /// Whether pictures may wait for the model.
    pub live: Live,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            model_facts: None,
            ort_library: None,
            threads: 1,
            workers: 0,
            provider: "cpu".to_owned(),
            wish: Wish {
                labels: String::new(),
                threshold: 0.4,
                thresholds: String::new(),
                min_area: 0.0,
                max_area: 1.0,
                zones: Vec::new(),
            },
            zones: String::new(),
            look: Look::default(),
            max_detections: 100,
            trigger: Trigger::default(),
            interval: 1,
            max_fps: 0.0,
            // Long enough for a small model on a small machine; a model that needs longer is told of.
            budget: 500_000_000,
            live: Live::default(),
        }
    }
}

impl Settings {
    /// What to open, `None` when no model is named.
    pub fn open_options(&self) -> Option<OpenOptions> {
        let told = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        Some(OpenOptions {
            model: PathBuf::from(told(&self.model)?),
            facts: told(&self.model_facts).map(PathBuf::from),
            library: told(&self.ort_library).unwrap_or_default(),
            threads: self.threads as usize,
            workers: self.workers as usize,
            // What is no list of providers was refused when it was set.
            providers: Provider::parse(&self.provider).unwrap_or_default(),
        })
    }

    /// Which pictures to analyse.
    pub fn rules(&self) -> Rules {
        Rules {
            on_motion: self.trigger == Trigger::Motion,
            interval: self.interval,
            max_fps: self.max_fps,
        }
    }
}
