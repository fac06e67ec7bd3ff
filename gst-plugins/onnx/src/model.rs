//! A model with its facts and its decoder: a tensor in, what it says of the picture out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decode::{self, Candidate, Decode, ShapeError, Tensor, Wanted, whole};
use crate::facts::{self, Facts, FactsError, FactsFile};
use crate::family::Family;
use crate::io::{Element, ModelIo};
use crate::nms;
use crate::preprocess::{InputTensor, Values};
use crate::provider::Provider;
use crate::session::{RunError, SessionError, SessionOptions, SharedSession, SideInput};

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
    /// Runs at a time, of all who share the model; 0 for as many as the machine has room for.
    pub workers: usize,
    /// Which hardware, in the order of preference; the processor is always the last.
    pub providers: Vec<Provider>,
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

impl AnalysisError {
    /// Whether the model may do better with another picture.
    pub fn is_of_this_picture(&self) -> bool {
        matches!(self, Self::Shape(error) if error.passing)
    }
}

/// An open model.
#[derive(Debug)]
pub struct Model {
    session: Arc<SharedSession>,
    facts: Facts,
    /// `None` for a model that speaks of the picture as a whole.
    decoder: Option<Box<dyn Decode>>,
    sides: Vec<SideInput>,
}

impl Model {
    /// Opens a model, learns its facts and runs it once on a blank picture.
    ///
    /// # Errors
    /// When the library, the model or its facts are missing or of no use, or the model does not run.
    pub fn open(options: &OpenOptions) -> Result<Self, OpenError> {
        let how = SessionOptions {
            threads: options.threads,
            workers: options.workers,
            providers: options.providers.clone(),
        };
        let session = SharedSession::open(&options.model, &how, &options.library)?;
        let trial = |source| OpenError::Trial {
            path: options.model.clone(),
            source,
        };
        let (file, toml) = read_facts(options)?;
        let shape = file.input_shape(session.io(), &toml)?;
        let sides = sides(session.io(), shape.width, shape.height);
        let mut io = session.io().clone();
        let open = io.outputs.iter().any(|o| o.shape.iter().any(|d| *d < 0));
        if file.family.is_none() && open {
            let dims = [shape.planes, shape.height, shape.width];
            learn_shapes(
                &session,
                &shape.name,
                shape.element,
                dims,
                shape.layout,
                &sides,
                &mut io,
            )
            .map_err(|e| trial(e.into()))?;
        }
        let facts = file.resolve(&io, &toml)?;
        let decoder = decode::for_model(&facts);
        let model = Self {
            session,
            facts,
            decoder,
            sides,
        };
        model.try_blank().map_err(trial)?;
        Ok(model)
    }

    /// Runs it once on nothing: outputs that do not fit the facts show before the first picture, and the
    /// first picture does not pay for what ONNX Runtime sets up in its first run.
    fn try_blank(&self) -> Result<(), AnalysisError> {
        let wanted = Wanted {
            threshold: 1.0,
            classes: None,
        };
        self.run(&self.blank(), |outputs| match self.facts.family {
            Family::Classification => whole::classes(outputs, self.facts.activation, 1).map(drop),
            Family::Embedding => whole::vector(outputs).map(drop),
            Family::Ctc => whole::text(outputs, &self.facts.labels).map(drop),
            _ => self.read(outputs, &wanted, 1).map(drop),
        })?
        .map_err(AnalysisError::from)
    }

    /// A tensor of zeros that it takes.
    pub fn blank(&self) -> Values {
        let count = self.shape().iter().product();
        Values::zeros(self.facts.input.element, count)
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
        self.facts.input.shape()
    }

    /// Whether several pictures may go in at once: every dimension of a batch is open, and every row of what comes
    /// out says by its place to which picture it belongs.
    pub fn takes_batches(&self) -> bool {
        let rows_tell = !matches!(self.facts.family, Family::Yolov7Nms | Family::PicodetNms);
        let open = |o: &crate::io::Outlet| o.shape.first() == Some(&-1);
        let io = self.session.io();
        rows_tell
            && self.sides.is_empty()
            && io.input(&self.facts.input.name).is_some_and(open)
            && io.outputs.iter().all(open)
    }

    fn run<T>(
        &self,
        values: &Values,
        read: impl FnOnce(&[Tensor<'_>]) -> T,
    ) -> Result<T, RunError> {
        let name = &self.facts.input.name;
        self.session
            .run_values(name, self.shape(), values, &self.sides, read)
    }

    /// Runs it on a tensor: at most `limit` candidates, the surest first.
    ///
    /// # Errors
    /// When the model fails or its outputs are not of its family.
    pub fn analyse(
        &self,
        tensor: &InputTensor,
        wanted: &Wanted,
        limit: usize,
    ) -> Result<Vec<Candidate>, AnalysisError> {
        let read = |outputs: &[Tensor<'_>]| self.read(outputs, wanted, limit);
        Ok(self.run(&tensor.values, read)??)
    }

    /// Runs it once on several pictures, whose tensors stand one after the other in `values`; what it says of each.
    ///
    /// # Errors
    /// When the model fails, or its outputs are not of its family or not of as many pictures.
    pub fn analyse_batch(
        &self,
        values: &Values,
        wanted: &[(&Wanted, usize)],
    ) -> Result<Vec<Vec<Candidate>>, AnalysisError> {
        let mut shape = self.shape();
        shape[0] = wanted.len();
        let name = &self.facts.input.name;
        let read = |outputs: &[Tensor<'_>]| {
            let parts = wanted.iter().enumerate().map(|(at, (wanted, limit))| {
                let mut shapes = Vec::with_capacity(outputs.len());
                for output in outputs {
                    shapes.push(output.part_shape(shape[0])?);
                }
                let parts: Vec<Tensor<'_>> = outputs
                    .iter()
                    .zip(&shapes)
                    .map(|(output, shape)| output.part(at, shape))
                    .collect();
                self.read(&parts, wanted, *limit)
            });
            parts.collect::<Result<Vec<_>, ShapeError>>()
        };
        Ok(self
            .session
            .run_values(name, shape, values, &self.sides, read)??)
    }

    /// The candidates in the outputs of one picture.
    fn read(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
        limit: usize,
    ) -> Result<Vec<Candidate>, ShapeError> {
        for output in outputs {
            output.check()?;
        }
        let Some(decoder) = &self.decoder else {
            return self.read_whole(outputs, wanted, limit);
        };
        let candidates = decoder.decode(outputs, wanted)?;
        let max_iou = if self.facts.family.is_suppressed() {
            // What the model left is meant to stay.
            f32::INFINITY
        } else {
            self.facts.nms_iou
        };
        Ok(nms::suppress(candidates, max_iou, limit))
    }

    /// The classes of the whole picture, each as a box around all of it; nothing where there are no classes.
    fn read_whole(
        &self,
        outputs: &[Tensor<'_>],
        wanted: &Wanted,
        limit: usize,
    ) -> Result<Vec<Candidate>, ShapeError> {
        if self.facts.family != Family::Classification {
            return Ok(Vec::new());
        }
        let input = &self.facts.input;
        let (x1, y1) = (input.width as f32, input.height as f32);
        let classes = whole::classes(outputs, self.facts.activation, limit)?;
        Ok(classes
            .into_iter()
            .filter(|(class, score)| *score >= wanted.threshold && wanted.has_class(*class))
            .map(|(class, score)| Candidate {
                class,
                score,
                x0: 0.0,
                y0: 0.0,
                x1,
                y1,
                landmarks: None,
            })
            .collect())
    }

    /// The classes of a picture, the likeliest first, at most `limit`.
    ///
    /// # Errors
    /// When the model fails or is no classifier.
    pub fn classify(
        &self,
        tensor: &InputTensor,
        limit: usize,
    ) -> Result<Vec<(usize, f32)>, AnalysisError> {
        let activation = self.facts.activation;
        Ok(self.run(&tensor.values, |outputs| {
            checked(outputs)?;
            whole::classes(outputs, activation, limit)
        })??)
    }

    /// The vector of a picture, of length 1.
    ///
    /// # Errors
    /// When the model fails or gives no vector.
    pub fn embed(&self, tensor: &InputTensor) -> Result<Vec<f32>, AnalysisError> {
        Ok(self.run(&tensor.values, |outputs| {
            checked(outputs)?;
            whole::vector(outputs)
        })??)
    }

    /// The line of text on a picture, and how sure it is, 0..1.
    ///
    /// # Errors
    /// When the model fails or reads no text.
    pub fn read_text(&self, tensor: &InputTensor) -> Result<(String, f32), AnalysisError> {
        let alphabet = &self.facts.labels;
        Ok(self.run(&tensor.values, |outputs| {
            checked(outputs)?;
            whole::text(outputs, alphabet)
        })??)
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

fn checked(outputs: &[Tensor<'_>]) -> Result<(), ShapeError> {
    outputs.iter().try_for_each(Tensor::check)
}

/// What goes into the inputs beside the picture, so that boxes come out in pixels of the input.
fn sides(io: &ModelIo, width: usize, height: usize) -> Vec<SideInput> {
    io.inputs
        .iter()
        .filter_map(|input| {
            let name = input.name.clone();
            let (w, h) = (width as f32, height as f32);
            match (name.as_str(), input.element) {
                ("orig_target_sizes", Element::F32) => Some(SideInput::Float(name, [w, h])),
                ("orig_target_sizes", _) => {
                    Some(SideInput::Whole(name, [width as i64, height as i64]))
                }
                ("scale_factor", _) => Some(SideInput::Float(name, [1.0, 1.0])),
                ("im_shape", _) => Some(SideInput::Float(name, [h, w])),
                _ => None,
            }
        })
        .collect()
}

/// Runs the model on a blank picture and fills in what its outputs leave open.
fn learn_shapes(
    session: &SharedSession,
    name: &str,
    element: Element,
    [planes, height, width]: [usize; 3],
    layout: facts::Layout,
    sides: &[SideInput],
    io: &mut ModelIo,
) -> Result<(), RunError> {
    let shape = match layout {
        facts::Layout::Nchw => [1, planes, height, width],
        facts::Layout::Nhwc => [1, height, width, planes],
    };
    let blank = Values::zeros(element, shape.iter().product());
    session.run_values(name, shape, &blank, sides, |outputs| {
        for (outlet, output) in io.outputs.iter_mut().zip(outputs) {
            for (told, real) in outlet.shape.iter_mut().zip(output.shape) {
                if *told < 0 {
                    *told = i64::try_from(*real).unwrap_or(-1);
                }
            }
        }
    })
}

fn read_facts(options: &OpenOptions) -> Result<(FactsFile, PathBuf), FactsError> {
    let beside = facts::beside(&options.model);
    let read = |path: &Path| Ok((FactsFile::read(path)?, path.to_owned()));
    match &options.facts {
        Some(told) => read(told),
        None if beside.exists() => read(&beside),
        None => Ok((FactsFile::default(), beside)),
    }
}
