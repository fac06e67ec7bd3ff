//! What a second model says of a region that a first one found: a class, a vector, or the text on it.
//!
//! `classification` with `label`, `label_id`, `confidence` and `model_name` is what other GStreamer tools read.

/// A class of a region, its colour say.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// The label, as the model's facts name it.
    pub label: String,
    /// Index of the label in the model's list.
    pub label_id: i32,
    /// Confidence, 0..1.
    pub score: f64,
    /// First 12 hex digits of the BLAKE3 of the model file, which tells the words of several models apart.
    pub model: String,
}

/// The text on a region, a number plate's say.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// The characters.
    pub text: String,
    /// Mean confidence of the characters, 0..1.
    pub score: f64,
    /// First 12 hex digits of the BLAKE3 of the model file.
    pub model: String,
}

/// A vector that is near those of similar regions.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// The vector, of length 1.
    pub vector: Vec<f32>,
    /// First 12 hex digits of the BLAKE3 of the model file.
    pub model: String,
}

const CLASSIFICATION: &str = "classification";
const LABEL: &str = "label";
const LABEL_ID: &str = "label_id";
const CONFIDENCE: &str = "confidence";
const MODEL_NAME: &str = "model_name";
const TEXT: &str = "nvrd-text";
const CHARACTERS: &str = "text";
const EMBEDDING: &str = "nvrd-embedding";
const VECTOR: &str = "vector";

type Roi = gst_video::VideoRegionOfInterestMeta;

impl Classified {
    /// Adds the class to a region.
    pub fn add_to_meta(&self, meta: &mut Roi) {
        meta.add_param(
            gst::Structure::builder(CLASSIFICATION)
                .field(LABEL, &self.label)
                .field(LABEL_ID, self.label_id)
                .field(CONFIDENCE, self.score)
                .field(MODEL_NAME, &self.model)
                .build(),
        );
    }

    /// The classes on a region, one a model.
    pub fn all_of_meta(meta: &Roi) -> Vec<Self> {
        meta.params()
            .filter(|s| s.name() == CLASSIFICATION)
            .filter_map(|s| {
                Some(Self {
                    label: s.get(LABEL).ok()?,
                    label_id: s.get(LABEL_ID).unwrap_or(-1),
                    score: s.get(CONFIDENCE).ok()?,
                    model: s.get(MODEL_NAME).unwrap_or_default(),
                })
            })
            .collect()
    }
}

impl Text {
    /// Adds the text to a region.
    pub fn add_to_meta(&self, meta: &mut Roi) {
        meta.add_param(
            gst::Structure::builder(TEXT)
                .field(CHARACTERS, &self.text)
                .field(CONFIDENCE, self.score)
                .field(MODEL_NAME, &self.model)
                .build(),
        );
    }

    /// The text on a region.
    pub fn of_meta(meta: &Roi) -> Option<Self> {
        let s = meta.param(TEXT)?;
        Some(Self {
            text: s.get(CHARACTERS).ok()?,
            score: s.get(CONFIDENCE).ok()?,
            model: s.get(MODEL_NAME).unwrap_or_default(),
        })
    }
}

impl Embedding {
    /// Adds the vector to a region.
    pub fn add_to_meta(&self, meta: &mut Roi) {
        meta.add_param(
            gst::Structure::builder(EMBEDDING)
                .field(VECTOR, gst::Array::new(self.vector.iter().copied()))
                .field(MODEL_NAME, &self.model)
                .build(),
        );
    }

    /// The vector on a region.
    pub fn of_meta(meta: &Roi) -> Option<Self> {
        let s = meta.param(EMBEDDING)?;
        let array = s.get::<gst::Array>(VECTOR).ok()?;
        Some(Self {
            vector: array.iter().filter_map(|v| v.get().ok()).collect(),
            model: s.get(MODEL_NAME).unwrap_or_default(),
        })
    }
}
