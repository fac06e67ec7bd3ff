//! A model that turns an upright face into a vector: opening it, its facts, and running it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nvr_onnx::session::{RunError, SessionError, SessionOptions, SharedSession};
use serde::Deserialize;

use crate::align::{Chip, SIDE};
use crate::search::{Embedding, normalised};

/// The longest vector that is taken.
const MAX_DIMS: usize = 4096;
/// Longest facts file that is read, bytes.
const MAX_FACTS: u64 = 1 << 16;

/// Why a model cannot be used; each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// It, or ONNX Runtime, cannot be opened.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Its facts are wrong.
    #[error("{path}: {message}", path = path.display())]
    Facts {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// It is no model that takes a face and gives a vector.
    #[error("{path} makes no vectors of faces: {message}", path = path.display())]
    Unfit {
        /// Which model.
        path: PathBuf,
        /// What it does instead.
        message: String,
    },
}

/// The face was not turned into a vector.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EmbedError {
    /// The model failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What it gave is no direction.
    #[error("the model gave no vector of finite numbers")]
    NoVector,
}

/// Order of the colour planes in the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Channels {
    #[default]
    Rgb,
    Bgr,
}

/// The TOML beside the model, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
struct FactsFile {
    input: InputFacts,
}

/// `[input]` of it: a value `v` of 0..255 becomes `(v * scale - mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default)]
struct InputFacts {
    channels: Channels,
    scale: f32,
    mean: [f32; 3],
    std: [f32; 3],
}

impl Default for InputFacts {
    fn default() -> Self {
        Self {
            channels: Channels::Rgb,
            scale: 1.0,
            mean: [127.5; 3],
            std: [127.5; 3],
        }
    }
}

/// An open model.
#[derive(Debug)]
pub struct Embedder {
    session: Arc<SharedSession>,
    input: InputFacts,
    dims: usize,
    /// Reused from face to face.
    tensor: Mutex<Vec<f32>>,
}

/// What to open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// The ONNX file; its facts are read from the TOML beside it, where there is one.
    pub model: PathBuf,
    /// ONNX Runtime's library; the usual places, when empty.
    pub library: String,
    /// Threads of one run; 0 counts as 1.
    pub threads: usize,
}

impl Embedder {
    /// Opens a model and runs it once.
    ///
    /// # Errors
    /// When the library or the model is missing or of no use, or its facts are wrong.
    pub fn open(options: &OpenOptions) -> Result<Self, EmbedderError> {
        let input = read_facts(&options.model.with_extension("toml"))?;
        let how = SessionOptions {
            threads: options.threads,
            ..SessionOptions::default()
        };
        let session = SharedSession::open(&options.model, &how, &options.library)?;
        let unfit = |message: String| EmbedderError::Unfit {
            path: options.model.clone(),
            message,
        };
        let summary = || session.io().summary();
        let side = SIDE as i64;
        match session.io().inputs.as_slice() {
            [input]
                if matches!(*input.shape.as_slice(), [1 | -1, 3, h, w]
                    if (h == side || h == -1) && (w == side || w == -1)) => {}
            _ => {
                return Err(unfit(format!(
                    "it should take one input [1, 3, {SIDE}, {SIDE}] ({})",
                    summary()
                )));
            }
        }
        let mut embedder = Self {
            session: Arc::clone(&session),
            input,
            dims: 0,
            tensor: Mutex::default(),
        };
        let blank = vec![0.0; 3 * SIDE * SIDE];
        let raw = embedder.run(&blank).map_err(|e| unfit(e.to_string()))?;
        if !(2..=MAX_DIMS).contains(&raw.len()) {
            return Err(unfit(format!(
                "it should give one vector of 2 to {MAX_DIMS} numbers ({})",
                summary()
            )));
        }
        embedder.dims = raw.len();
        Ok(embedder)
    }

    /// First 12 hex digits of the BLAKE3 of the model file.
    pub fn hash(&self) -> &str {
        self.session.hash()
    }

    /// Numbers of a vector.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The vector of a face, of length 1.
    ///
    /// # Errors
    /// When the model fails or gives nonsense.
    pub fn embed(&self, chip: &Chip) -> Result<Embedding, EmbedError> {
        let mut tensor = self.tensor.lock().unwrap_or_else(PoisonError::into_inner);
        tensor.clear();
        let InputFacts {
            channels,
            scale,
            mean,
            std,
        } = self.input;
        for c in 0..3 {
            let from = match channels {
                Channels::Rgb => c,
                Channels::Bgr => 2 - c,
            };
            let plane = &chip.planes[from * SIDE * SIDE..(from + 1) * SIDE * SIDE];
            tensor.extend(plane.iter().map(|v| (v * scale - mean[c]) / std[c]));
        }
        let vector = self.run(&tensor)?;
        if vector.len() != self.dims {
            return Err(EmbedError::NoVector);
        }
        normalised(&vector).ok_or(EmbedError::NoVector)
    }

    /// The numbers of the only output.
    fn run(&self, tensor: &[f32]) -> Result<Vec<f32>, EmbedError> {
        let read = |outputs: &[nvr_onnx::decode::Tensor<'_>]| match outputs {
            [only] => Some(only.data.to_vec()),
            _ => None,
        };
        let ran = self.session.run([1, 3, SIDE, SIDE], tensor, read)?;
        ran.ok_or(EmbedError::NoVector)
    }
}

/// The facts in the TOML at `path`, the usual ones where there is none.
fn read_facts(path: &Path) -> Result<InputFacts, EmbedderError> {
    let wrong = |message: String| EmbedderError::Facts {
        path: path.to_owned(),
        message,
    };
    let mut text = String::new();
    match std::fs::File::open(path) {
        Ok(file) => file
            .take(MAX_FACTS)
            .read_to_string(&mut text)
            .map_err(|e| wrong(format!("cannot be read: {e}")))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(InputFacts::default()),
        Err(e) => return Err(wrong(format!("cannot be read: {e}"))),
    };
    let facts: FactsFile = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let numbers = [
        &facts.input.mean[..],
        &facts.input.std,
        &[facts.input.scale],
    ]
    .concat();
    if facts.input.std.contains(&0.0) || numbers.iter().any(|v| !v.is_finite()) {
        return Err(wrong(
            "input: scale, mean and std must be finite, std not 0".to_owned(),
        ));
    }
    Ok(facts.input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_where_there_are_any() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        assert_eq!(read_facts(&path).unwrap(), InputFacts::default());
        std::fs::write(
            &path,
            "task = \"embedding\"\n[input]\nchannels = \"bgr\"\nstd = [128.0, 128.0, 128.0]",
        )
        .unwrap();
        let facts = read_facts(&path).unwrap();
        assert_eq!(
            (facts.channels, facts.std[0], facts.mean[0]),
            (Channels::Bgr, 128.0, 127.5)
        );
        for wrong in [
            "[input]\nstd = [0.0, 1.0, 1.0]",
            "[input]\nchannels = \"grb\"",
            "[input",
        ] {
            std::fs::write(&path, wrong).unwrap();
            let error = read_facts(&path).unwrap_err().to_string();
            assert!(error.contains("m.toml"), "{error}");
        }
    }
}
