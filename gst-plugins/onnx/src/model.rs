//! A model with its facts and its decoder: a tensor in, suppressed candidates out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decode::{self, Candidate, Decode, ShapeError, Wanted};
use crate::facts::{self, Facts, FactsError, FactsFile};
use crate::nms;
use crate::session::{RunError, SessionError, SharedSession};

/// What to open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// The ONNX file.
    pub model: PathBuf,
    /// The TOML with its facts; the one beside the model, when absent.
    pub facts: Option<PathBuf>,
    /// ONNX Runtime's library; the usual places, when empty.
    pub library: String,
    /// Threads of one run; 0 counts as 1.
    pub threads: usize,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It, or ONNX Runtime, cannot be opened.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Its facts are wrong or missing.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// It opens, and fails on a blank picture.
    #[error("{path} does not run as its facts say: {source}", path = path.display())]
    Trial {
        /// Which model.
        path: PathBuf,
        /// What went wrong.
        source: AnalysisError,
    },
}

/// Why a picture was not analysed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnalysisError {
    /// The model failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Its outputs are not what its facts say.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// An open model.
#[derive(Debug)]
pub struct Model {
    session: Arc<SharedSession>,
    facts: Facts,
    decoder: Box<dyn Decode>,
}

impl Model {
    /// Opens a model, learns its facts and runs it once on a blank picture.
    ///
    /// # Errors
    /// When the library, the model or its facts are missing or of no use, or the model does not run.
    pub fn open(options: &OpenOptions) -> Result<Self, OpenError> {
        let session =
            SharedSession::open(&options.model, options.threads.max(1), &options.library)?;
        let facts = read_facts(options, &session)?;
        let decoder = decode::for_model(&facts);
        let model = Self {
            session,
            facts,
            decoder,
        };
        model.try_blank().map_err(|source| OpenError::Trial {
            path: options.model.clone(),
            source,
        })?;
        Ok(model)
    }

    /// Runs it once on nothing: outputs that do not fit the facts show before the first picture, and the
    /// first picture does not pay for what ONNX Runtime sets up in its first run.
    fn try_blank(&self) -> Result<(), AnalysisError> {
        let blank = vec![0.0; self.shape().iter().product()];
        let wanted = Wanted {
            threshold: 1.0,
            classes: None,
        };
        self.analyse(&blank, &wanted, 1).map(drop)
    }

    /// What is known of it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// First 12 hex digits of the BLAKE3 of the model file.
    pub fn hash(&self) -> &str {
        self.session.hash()
    }

    /// The session under it.
    pub fn session(&self) -> &Arc<SharedSession> {
        &self.session
    }

    /// Shape of the tensor that it takes.
    pub fn shape(&self) -> [usize; 4] {
        [1, 3, self.facts.input.height, self.facts.input.width]
    }

    /// Runs it on a tensor: at most `limit` candidates, the surest first.
    ///
    /// # Errors
    /// When the model fails or its outputs are not of its family.
    pub fn analyse(
        &self,
        tensor: &[f32],
        wanted: &Wanted,
        limit: usize,
    ) -> Result<Vec<Candidate>, AnalysisError> {
        let decode = |outputs: &[decode::Tensor<'_>]| self.decoder.decode(outputs, wanted);
        let candidates = self.session.run(self.shape(), tensor, decode)??;
        Ok(nms::suppress(candidates, self.facts.nms_iou, limit))
    }

    /// The label of a class.
    pub fn label(&self, class: usize) -> String {
        // More classes than labels are possible only where the model leaves its shapes open.
        self.facts
            .labels
            .get(class)
            .cloned()
            .unwrap_or_else(|| format!("class-{class}"))
    }
}

fn read_facts(options: &OpenOptions, session: &SharedSession) -> Result<Facts, FactsError> {
    let beside = facts::beside(&options.model);
    let (file, path): (FactsFile, &Path) = match &options.facts {
        Some(told) => (FactsFile::read(told)?, told),
        None if beside.exists() => (FactsFile::read(&beside)?, &beside),
        None => (FactsFile::default(), &beside),
    };
    file.resolve(session.io(), path)
}
