//! What is known of a model: the TOML beside it where there is one, its family's habits where that is silent.
//!
//! Not here: opening the model, or anything of its weights.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::family::{Family, ModelIo};
use crate::labels::COCO80;

/// Longest side of an input that is taken, pixels: keeps a mistyped number from asking for gigabytes.
const MAX_SIDE: usize = 4096;
/// Longest facts or labels file that is read, bytes.
const MAX_FILE: u64 = 1 << 20;

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
    /// Boxes of faces with five landmarks.
    FaceDetection,
}

/// Order of the colour planes in the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Blue first.
    Bgr,
    /// Red first.
    Rgb,
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
}

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
    /// The input.
    pub input: InputFile,
    /// Non-maximum suppression.
    pub nms: NmsFile,
}

/// Table `[input]` of the TOML.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputFile {
    /// Name of the input; the only one, when left out.
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

/// What goes into the model, with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// Name of the input.
    pub name: String,
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

/// All that is known of a model, with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What it is for.
    pub task: Task,
    /// How its outputs are read.
    pub family: Family,
    /// What goes in.
    pub input: InputSpec,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Overlap (0..1) from which the weaker of two boxes of a class goes.
    pub nms_iou: f32,
    /// Licence of the weights; empty when not told.
    pub licence: String,
    /// One sentence on it; empty when not told.
    pub description: String,
}

/// Where the facts of a model lie unless told otherwise: beside it, with the ending `toml`.
pub fn beside(model: &Path) -> PathBuf {
    model.with_extension("toml")
}

fn read_text(path: &Path) -> Result<String, FactsError> {
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

    /// Fills in what the TOML leaves out, from the model's shapes and its family's habits.
    ///
    /// `toml` is the path of the TOML, whether it is there or not.
    ///
    /// # Errors
    /// When the family cannot be told, or a fact contradicts the model.
    pub fn resolve(self, io: &ModelIo, toml: &Path) -> Result<Facts, FactsError> {
        let wrong = |message: String| FactsError::Wrong {
            toml: toml.to_owned(),
            message,
        };
        let (name, width, height) = self.input.size(io).map_err(wrong)?;
        let family = self
            .family
            .or_else(|| Family::recognise(io, width, height))
            .ok_or_else(|| FactsError::Unknown {
                summary: io.summary(),
                toml: toml.to_owned(),
            })?;
        if let Some(o) = io.outputs.iter().find(|o| !o.is_f32) {
            return Err(wrong(format!(
                "output `{}` does not hold 32-bit floats: export the model with such outputs",
                o.name
            )));
        }
        let task = match family {
            Family::Yunet => Task::FaceDetection,
            Family::Yolox | Family::Yolov8 => Task::Detection,
        };
        if self.task.is_some_and(|told| told != task) {
            return Err(wrong(format!("`task` must be {task:?} for this family")));
        }
        let labels = self.label_list(family, io, toml)?;
        let nms_iou = self.nms.iou.unwrap_or(match family {
            Family::Yolox => 0.45,
            Family::Yunet => 0.3,
            Family::Yolov8 => 0.5,
        });
        if !(0.0..=1.0).contains(&nms_iou) {
            return Err(wrong("`nms.iou` must lie in 0..1".to_owned()));
        }
        let input = self
            .input
            .fill(family, (name, width, height))
            .map_err(wrong)?;
        Ok(Facts {
            task,
            family,
            input,
            labels,
            nms_iou,
            licence: self.licence,
            description: self.description,
        })
    }

    fn label_list(
        &self,
        family: Family,
        io: &ModelIo,
        toml: &Path,
    ) -> Result<Vec<String>, FactsError> {
        let wrong = |message: String| FactsError::Wrong {
            toml: toml.to_owned(),
            message,
        };
        let coco = || COCO80.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        let classes = family.classes(io);
        let labels = match (&self.labels, &self.labels_file) {
            (Some(_), Some(_)) => {
                return Err(wrong("give `labels` or `labels_file`, not both".to_owned()));
            }
            (Some(Labels::List(list)), None) => list.clone(),
            (Some(Labels::Named(name)), None) if name == "coco80" => coco(),
            (Some(Labels::Named(name)), None) => {
                return Err(wrong(format!(
                    "`labels = \"{name}\"` is not known: write \"coco80\" or the list of names"
                )));
            }
            (None, Some(file)) => {
                let text = read_text(&toml.parent().unwrap_or(Path::new(".")).join(file))?;
                text.lines()
                    .map(|l| l.trim().to_owned())
                    .filter(|l| !l.is_empty())
                    .collect()
            }
            (None, None) => match (family, classes) {
                (Family::Yunet, _) => vec!["face".to_owned()],
                (_, Some(80)) => coco(),
                (_, count) => {
                    let count = count.map_or("its".to_owned(), |c| c.to_string());
                    return Err(wrong(format!(
                        "write `labels`, the names of {count} classes, in the model's order"
                    )));
                }
            },
        };
        match classes {
            Some(classes) if classes != labels.len() => Err(wrong(format!(
                "`labels` names {} classes, the model tells {classes} apart",
                labels.len()
            ))),
            _ if labels.is_empty() => Err(wrong("`labels` is empty".to_owned())),
            _ => Ok(labels),
        }
    }
}

impl InputFile {
    /// Name, width and height of the input, from the TOML and the model, which must agree.
    fn size(&self, io: &ModelIo) -> Result<(String, usize, usize), String> {
        let input =
            match &self.name {
                Some(name) => io.inputs.iter().find(|i| i.name == *name).ok_or_else(|| {
                    format!("`input.name = \"{name}\"` is not an input of the model")
                })?,
                None => match io.inputs.as_slice() {
                    [only] => only,
                    _ => return Err("the model must have one input".to_owned()),
                },
            };
        if io.inputs.len() != 1 || !input.is_f32 {
            return Err("the model must have one input of 32-bit floats".to_owned());
        }
        let [1 | -1, 3 | -1, h, w] = *input.shape.as_slice() else {
            return Err(format!(
                "input `{}` has the shape {:?}: [1, 3, height, width] is needed",
                input.name, input.shape
            ));
        };
        let side = |key: &str, told: Option<usize>, model: i64| {
            let model = usize::try_from(model).ok();
            match (told, model) {
                (Some(a), Some(b)) if a != b => {
                    Err(format!("`input.{key} = {a}` contradicts the model's {b}"))
                }
                (None, None) => Err(format!("write `input.{key}`, which the model leaves open")),
                (Some(v), _) | (None, Some(v)) if (1..=MAX_SIDE).contains(&v) => Ok(v),
                _ => Err(format!("`input.{key}` must lie in 1..{MAX_SIDE}")),
            }
        };
        Ok((
            input.name.clone(),
            side("width", self.width, w)?,
            side("height", self.height, h)?,
        ))
    }

    fn fill(
        self,
        family: Family,
        (name, width, height): (String, usize, usize),
    ) -> Result<InputSpec, String> {
        let (channels, scale, letterbox, pad) = match family {
            Family::Yolox => (Channels::Bgr, 1.0, Letterbox::TopLeft, 114.0),
            Family::Yunet => (Channels::Bgr, 1.0, Letterbox::TopLeft, 0.0),
            Family::Yolov8 => (Channels::Rgb, 1.0 / 255.0, Letterbox::Center, 114.0),
        };
        let spec = InputSpec {
            name,
            width,
            height,
            channels: self.channels.unwrap_or(channels),
            scale: self.scale.unwrap_or(scale),
            mean: self.mean.unwrap_or([0.0; 3]),
            std: self.std.unwrap_or([1.0; 3]),
            letterbox: self.letterbox.unwrap_or(letterbox),
            pad: self.pad.unwrap_or(pad),
        };
        if !spec.std.iter().all(|s| s.is_finite() && *s != 0.0) {
            return Err("`input.std` must not be 0".to_owned());
        }
        let finite = spec
            .mean
            .iter()
            .chain([&spec.scale, &spec.pad])
            .all(|v| v.is_finite());
        if !finite {
            return Err("`input.scale`, `input.mean` and `input.pad` must be finite".to_owned());
        }
        Ok(spec)
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
