//! What is known of a model: the TOML beside it where there is one, then the model's own notes, then its family's habits.
//!
//! Not here: opening the model, or anything of its weights.

mod file;
mod resolve;

pub use file::{FactsFile, InputFile, Labels, NmsFile, beside};

use std::path::PathBuf;

use serde::Deserialize;

use crate::decode::Activation;
use crate::family::Family;
use crate::io::Element;

/// Longest side of an input that is taken, pixels: keeps a mistyped number from asking for gigabytes.
pub const MAX_SIDE: usize = 4096;

/// Why a model's facts cannot be used; each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The TOML has a mistake.
    #[error("{path}: {message}", path = path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and what, by the parser.
        message: String,
    },
    /// Neither the TOML nor the shapes say what the model is.
    #[error("the model's family cannot be told from its shapes ({summary}): write its facts to {toml}", toml = toml.display())]
    Unknown {
        /// Inputs and outputs.
        summary: String,
        /// Where the facts belong.
        toml: PathBuf,
    },
    /// A fact is wrong in itself or contradicts the model.
    #[error("{toml}: {message}", toml = toml.display())]
    Wrong {
        /// Where the facts belong.
        toml: PathBuf,
        /// Which fact, and what it should be.
        message: String,
    },
}

/// What the model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Boxes with labels.
    Detection,
    /// Boxes of faces, most with five landmarks.
    FaceDetection,
    /// What a picture shows as a whole.
    Classification,
    /// A vector for a picture.
    Embedding,
    /// A line of text.
    Text,
}

/// Order of the colour planes in the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Blue first.
    Bgr,
    /// Red first.
    Rgb,
    /// One plane, of brightness.
    Gray,
}

impl Channels {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Self::Bgr | Self::Rgb => 3,
            Self::Gray => 1,
        }
    }
}

/// How a picture of another shape is put into the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Letterbox {
    /// Keeps its shape, at the top left.
    TopLeft,
    /// Keeps its shape, in the middle.
    Center,
    /// Stretched to the input.
    Stretch,
}

/// Order of the tensor's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// What goes into the model, with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// Name of the input.
    pub name: String,
    /// What it holds: 32-bit floats, 16-bit floats or bytes.
    pub element: Element,
    /// Order of its dimensions.
    pub layout: Layout,
    /// Width, pixels.
    pub width: usize,
    /// Height, pixels.
    pub height: usize,
    /// Order of the colour planes.
    pub channels: Channels,
    /// What a value 0..255 is multiplied by.
    pub scale: f32,
    /// Subtracted after that.
    pub mean: [f32; 3],
    /// Divided by after that.
    pub std: [f32; 3],
    /// How a picture of another shape is put in.
    pub letterbox: Letterbox,
    /// Value 0..255 around the picture.
    pub pad: f32,
}

impl InputSpec {
    /// The shape of the tensor for one picture.
    pub fn shape(&self) -> [usize; 4] {
        let channels = self.channels.count();
        match self.layout {
            Layout::Nchw => [1, channels, self.height, self.width],
            Layout::Nhwc => [1, self.height, self.width, channels],
        }
    }

    /// Multiplier and addend that normalise channel `c` of the tensor.
    pub fn normal(&self, c: usize) -> (f32, f32) {
        (self.scale / self.std[c], -self.mean[c] / self.std[c])
    }

    /// Where in the tensor channel `c` of pixel `at` (row by row) lies.
    pub fn place(&self, c: usize, at: usize) -> usize {
        match self.layout {
            Layout::Nchw => c * self.width * self.height + at,
            Layout::Nhwc => at * self.channels.count() + c,
        }
    }
}

/// All that is known of a model, with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What it is for.
    pub task: Task,
    /// How its outputs are read.
    pub family: Family,
    /// What goes in.
    pub input: InputSpec,
    /// Names of the outputs, in the model's order.
    pub outputs: Vec<String>,
    /// What scores still need.
    pub activation: Activation,
    /// Names of the classes; the characters of a model that reads text; empty for an embedding.
    pub labels: Vec<String>,
    /// Overlap (0..1) from which the weaker of two boxes of a class goes.
    pub nms_iou: f32,
    /// Licence of the weights; empty when not told.
    pub licence: String,
    /// One sentence on it; empty when not told.
    pub description: String,
    /// What no one told and was inferred, a few words each, for the log.
    pub inferred: Vec<String>,
}

#[cfg(test)]
mod tests;
