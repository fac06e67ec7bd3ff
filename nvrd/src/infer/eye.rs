//! One model and what it sees on a picture.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nvr_base::{Clock, Error, Result};
use nvr_onnx::decode::{Candidate, Wanted};
use nvr_onnx::facts::Task;
use nvr_onnx::model::{Model, OpenOptions};
use nvr_onnx::preprocess::{Geometry, InputTensor, Preprocessor};

use super::picture::Picture;

/// How long a model that failed to open is left alone.
const REST: Duration = Duration::from_secs(10);
/// Most things that are told of one picture.
const MAX_FOUND: usize = 300;

/// What a model is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Boxes with labels.
    Objects,
    /// Boxes of faces.
    Faces,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Sought {
    /// Least score, 0..1.
    pub threshold: f32,
    /// Only these labels; all, when absent.
    pub labels: Option<Vec<String>>,
}

/// Something on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is.
    pub label: String,
    /// How sure that is, 0..1.
    pub score: f32,
    /// Left, top, right and bottom edge inside the picture, pixels.
    pub bbox: [f32; 4],
    /// Right eye, left eye, nose, right and left corner of the mouth, pixels; of faces only.
    pub landmarks: Option<[[f32; 2]; 5]>,
}

/// What is known of an open model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// First 12 hex digits of the BLAKE3 of the file.
    pub hash: String,
    /// Width and height of its input, pixels.
    pub input_px: [usize; 2],
    /// What it tells apart.
    pub labels: Vec<String>,
    /// Licence of the weights; empty when not told.
    pub licence: String,
}

/// Whether a model can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It has not been needed yet.
    Closed,
    /// It is open.
    Open(ModelInfo),
    /// It cannot be opened, and why.
    Failed(String),
}

/// A model, opened when it is first needed.
#[derive(Debug)]
pub struct Eye {
    file: PathBuf,
    kind: Kind,
    clock: Arc<dyn Clock>,
    /// Held while the model runs.
    open: Mutex<Option<Open>>,
    /// Held for moments only, so that whoever asks how it is does not wait for a picture.
    status: Mutex<(Status, Duration)>,
}

#[derive(Debug)]
struct Open {
    model: Model,
    preprocessor: Preprocessor,
    tensor: InputTensor,
}

/// A panic elsewhere does not make what these locks guard wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Eye {
    /// For the model at a path.
    pub fn new(file: PathBuf, kind: Kind, clock: Arc<dyn Clock>) -> Self {
        Self {
            file,
            kind,
            clock,
            open: Mutex::default(),
            status: Mutex::new((Status::Closed, Duration::ZERO)),
        }
    }

    /// The name of the file without its ending.
    pub fn name(&self) -> String {
        let stem = self.file.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether it can be used, as far as that is known.
    pub fn status(&self) -> Status {
        lock(&self.status).0.clone()
    }

    /// Opens the model, if it is not open. Blocks.
    ///
    /// # Errors
    /// `Unavailable` with the reason; a model that failed is tried again after ten seconds.
    pub fn open(&self) -> Result<()> {
        self.opened(&mut lock(&self.open)).map(drop)
    }

    /// What is on a picture, the surest first. Blocks while the model runs.
    ///
    /// # Errors
    /// `Unavailable` when the model cannot be opened, `InvalidArgument` for a label it does not know,
    /// `Internal` when it fails.
    pub fn find(&self, picture: &Picture, sought: &Sought) -> Result<Vec<Found>> {
        let mut open = lock(&self.open);
        let Open {
            model,
            preprocessor,
            tensor,
        } = self.opened(&mut open)?;
        let wanted = Wanted {
            threshold: sought.threshold,
            classes: classes(sought.labels.as_deref(), &model.facts().labels)?,
        };
        let geometry = preprocessor
            .fill(&picture.as_input(), tensor)
            .map_err(|error| Error::invalid(format!("Invalid image: {error}")))?;
        let candidates = model
            .analyse(tensor, &wanted, MAX_FOUND)
            .map_err(|error| Error::internal("Inference failed").with_source(error))?;
        let told = |candidate: &Candidate| found(candidate, &geometry, model);
        Ok(candidates.iter().filter_map(told).collect())
    }

    fn opened<'a>(&self, open: &'a mut Option<Open>) -> Result<&'a mut Open> {
        if open.is_none() {
            if let (Status::Failed(why), since) = &*lock(&self.status)
                && self.clock.monotonic().saturating_sub(*since) < REST
            {
                return Err(Error::unavailable(why.clone()));
            }
            let tried = self.try_open();
            let status = match &tried {
                Ok(Open { model, .. }) => Status::Open(ModelInfo {
                    hash: model.hash().to_owned(),
                    input_px: [model.facts().input.width, model.facts().input.height],
                    labels: model.facts().labels.clone(),
                    licence: model.facts().licence.clone(),
                }),
                Err(why) => Status::Failed(why.clone()),
            };
            *lock(&self.status) = (status, self.clock.monotonic());
            *open = Some(tried.map_err(Error::unavailable)?);
        }
        Ok(open.as_mut().expect("it has just been opened"))
    }

    fn try_open(&self) -> Result<Open, String> {
        let options = OpenOptions {
            model: self.file.clone(),
            // The cores belong to the recording.
            threads: 1,
            ..OpenOptions::default()
        };
        let model = Model::open(&options).map_err(|error| error.to_string())?;
        let fits = match self.kind {
            Kind::Objects => model.facts().task == Task::Detection,
            Kind::Faces => model.facts().task == Task::FaceDetection,
        };
        if !fits {
            return Err(format!(
                "{} is a model for another task: {}",
                self.file.display(),
                match self.kind {
                    Kind::Objects => "choose one that detects objects",
                    Kind::Faces => "choose one that detects faces",
                }
            ));
        }
        Ok(Open {
            preprocessor: Preprocessor::new(model.facts().input.clone()),
            tensor: InputTensor::default(),
            model,
        })
    }
}

/// Which classes the labels name.
fn classes(wanted: Option<&[String]>, known: &[String]) -> Result<Option<Vec<bool>>> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    if let Some(stranger) = wanted.iter().find(|label| !known.contains(label)) {
        return Err(Error::invalid(format!(
            "labels: the model does not know {stranger:?}: use {}",
            known.join(", ")
        )));
    }
    Ok(Some(
        known.iter().map(|label| wanted.contains(label)).collect(),
    ))
}

/// A candidate in pixels of the picture; none where nothing of it lies inside.
fn found(candidate: &Candidate, geometry: &Geometry, model: &Model) -> Option<Found> {
    let (width, height) = (
        geometry.picture_width as f64,
        geometry.picture_height as f64,
    );
    let point = |x: f32, y: f32| {
        let (x, y) = geometry.to_shares(x, y);
        [
            (x * width).clamp(0.0, width) as f32,
            (y * height).clamp(0.0, height) as f32,
        ]
    };
    let [left, top] = point(candidate.x0, candidate.y0);
    let [right, bottom] = point(candidate.x1, candidate.y1);
    (left < right && top < bottom).then(|| Found {
        label: model.label(candidate.class),
        score: candidate.score.clamp(0.0, 1.0),
        bbox: [left, top, right, bottom],
        landmarks: candidate
            .landmarks
            .map(|points| points.map(|(x, y)| point(x, y))),
    })
}
