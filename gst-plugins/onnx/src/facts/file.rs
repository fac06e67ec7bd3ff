//! The TOML beside a model, as it is written.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Channels, FactsError, Layout, Letterbox, Task};
use crate::decode::Activation;
use crate::family::Family;

/// Longest facts or labels file that is read, bytes.
const MAX_FILE: u64 = 1 << 20;

/// The labels key of the TOML.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Labels {
    /// A known list by name: `coco80`.
    Named(String),
    /// The names themselves.
    List(Vec<String>),
}

/// The TOML beside a model; every key may be left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FactsFile {
    /// What the model is for.
    pub task: Option<Task>,
    /// How its outputs are read.
    pub family: Option<Family>,
    /// One sentence on it.
    pub description: String,
    /// Licence of the weights.
    pub licence: String,
    /// Names of the classes.
    pub labels: Option<Labels>,
    /// A text file with one name a line, relative to the TOML.
    pub labels_file: Option<PathBuf>,
    /// What scores still need when they leave the model.
    pub activation: Option<Activation>,
    /// The input.
    pub input: InputFile,
    /// Non-maximum suppression.
    pub nms: NmsFile,
}

/// Table `[input]` of the TOML.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputFile {
    /// Name of the input; the one that takes pictures, when left out.
    pub name: Option<String>,
    /// Width, pixels; needed where the model leaves it open.
    pub width: Option<usize>,
    /// Height, pixels; needed where the model leaves it open.
    pub height: Option<usize>,
    /// Order of the colour planes.
    pub channels: Option<Channels>,
    /// Order of the dimensions.
    pub layout: Option<Layout>,
    /// What a value 0..255 is multiplied by.
    pub scale: Option<f32>,
    /// Subtracted after that, in the tensor's channel order.
    pub mean: Option<[f32; 3]>,
    /// Divided by after that, in the tensor's channel order.
    pub std: Option<[f32; 3]>,
    /// How a picture of another shape is put in.
    pub letterbox: Option<Letterbox>,
    /// Value 0..255 around the picture.
    pub pad: Option<f32>,
}

/// Table `[nms]` of the TOML.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NmsFile {
    /// Overlap (0..1) from which the weaker of two boxes of a class goes.
    pub iou: Option<f32>,
}

/// Where the facts of a model lie unless told otherwise: beside it, with the ending `toml`.
pub fn beside(model: &Path) -> PathBuf {
    model.with_extension("toml")
}

pub(super) fn read_text(path: &Path) -> Result<String, FactsError> {
    let read = || {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(MAX_FILE).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| FactsError::Read {
        path: path.to_owned(),
        source,
    })
}

impl FactsFile {
    /// Reads the TOML at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, or has a key that is not known.
    pub fn read(path: &Path) -> Result<Self, FactsError> {
        let text = read_text(path)?;
        toml::from_str(&text).map_err(|e| FactsError::Parse {
            path: path.to_owned(),
            message: e.to_string().trim_end().to_owned(),
        })
    }
}
