//! A model opened once for all who want it: as many sessions as may run at a time, each run by one at a time.
//!
//! Nothing of what the numbers mean is known here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{Session, SessionInputValue};

use crate::decode::Tensor;
use crate::io::{ModelIo, Outlet};
use crate::pool::Pool;
use crate::preprocess::Values;
use crate::provider::Provider;
use crate::runtime::{self, LIBRARY_VARIABLE, lock};
use crate::value;

/// How much of a model's hash is told.
const HASH_DIGITS: usize = 12;
/// The notes of a model that are read, and how much of each: a hostile file may hold gigabytes of them.
const NOTES: [&str; 6] = ["names", "task", "imgsz", "description", "author", "license"];
const NOTE_LIMIT: usize = 1 << 16;
/// How often a file is asked whether it changed.
const WATCH: Duration = Duration::from_secs(2);

/// Why a model could not be opened; each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No library.
    #[error(
        "ONNX Runtime could not be loaded ({0}): set {LIBRARY_VARIABLE} or the property `ort-library` to libonnxruntime.so (1.17 or later), or run scripts/setup"
    )]
    Library(String),
    /// No such file.
    #[error("there is no model at {path}: set the property `model` to an ONNX file", path = .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("cannot read the model {path}: {source}", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// ONNX Runtime does not take the file.
    #[error("{path} is not a model that ONNX Runtime can run: {message}", path = path.display())]
    Garbage {
        /// Which file.
        path: PathBuf,
        /// What ONNX Runtime says.
        message: String,
    },
}

/// The model did not run on this input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model failed: {0}")]
pub struct RunError(pub(crate) String);

/// How a model is opened; those who open the same file in the same way share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads of one run; 0 counts as 1.
    pub threads: usize,
    /// Runs at a time; 0 for as many as the machine has room for.
    pub workers: usize,
    /// Which hardware, in the order of preference.
    pub providers: Vec<Provider>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            workers: 1,
            providers: Vec::new(),
        }
    }
}

impl SessionOptions {
    /// With nothing left open.
    fn settled(&self) -> Self {
        let threads = self.threads.max(1);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            threads,
            workers: match self.workers {
                0 => (cores / threads).max(1),
                n => n,
            },
            providers: self.providers.clone(),
        }
    }
}

/// Which session is wanted; two that want the same share one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    path: PathBuf,
    stamp: Stamp,
    options: SessionOptions,
}

/// What changes when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
        }
    }
}

/// An input beside the picture: its name and its numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum SideInput {
    /// Whole numbers, `[1, 2]`.
    Whole(String, [i64; 2]),
    /// Floats, `[1, 2]`.
    Float(String, [f32; 2]),
}

/// Sessions that nobody runs, and how many there are.
#[derive(Debug)]
struct Idle {
    sessions: Vec<Session>,
    open: usize,
    most: usize,
}

/// Whether the file is still what was opened.
#[derive(Debug)]
struct Watch {
    next: Instant,
    stamp: Stamp,
    told: Option<String>,
}

/// One open model of the process, shared by all who opened the same file with the same options.
///
/// ONNX Runtime's `run` must not be entered twice at a time for one session, so that more of them are opened when
/// more than one run is wanted, up to the number of workers.
#[derive(Debug)]
pub struct SharedSession {
    environment: Environment,
    path: PathBuf,
    stamp: Stamp,
    options: SessionOptions,
    idle: Mutex<Idle>,
    freed: Condvar,
    io: ModelIo,
    hash: String,
    provider: Provider,
    watch: Mutex<Watch>,
    pool: Mutex<Weak<Pool>>,
}

/// The open sessions; entries die with their last user and are swept at the next opening.
static OPEN: Mutex<Vec<(Key, Weak<SharedSession>)>> = Mutex::new(Vec::new());

// A function of its own, because the builder's own error type cannot leave a thread.
fn build(
    environment: &Environment,
    path: &Path,
    threads: usize,
    provider: Provider,
) -> ort::Result<Session> {
    let builder = Session::builder(environment)?
        .with_log_level(LogLevel::Warning)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // A spinning pool would burn a core between two pictures.
        .with_intra_op_spinning(false)?;
    provider.register(builder)?.commit_from_file(path)
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    let mut hex = hasher.finalize().to_hex().to_string();
    hex.truncate(HASH_DIGITS);
    Ok(hex)
}

fn outlet(outlet: &ort::value::Outlet) -> Outlet {
    let dtype = outlet.dtype();
    Outlet {
        name: outlet.name().to_owned(),
        shape: dtype.tensor_shape().map(|s| s.to_vec()).unwrap_or_default(),
        element: value::element(dtype.tensor_type()),
    }
}

fn model_io(session: &Session) -> ModelIo {
    let mut io = ModelIo {
        inputs: session.inputs().iter().map(outlet).collect(),
        outputs: session.outputs().iter().map(outlet).collect(),
        ..ModelIo::default()
    };
    if let Ok(metadata) = session.metadata() {
        for name in NOTES {
            if let Some(note) = metadata.custom(name).filter(|n| n.len() <= NOTE_LIMIT) {
                io.notes.insert(name.to_owned(), note);
            }
        }
    }
    io
}

impl SharedSession {
    /// Opens the model at `path`, or joins those who have it open already.
    ///
    /// `library` names ONNX Runtime's library, empty for the usual places; it counts for the first opening of
    /// the process only.
    ///
    /// # Errors
    /// When the library or the model is missing or of no use.
    pub fn open(
        path: &Path,
        options: &SessionOptions,
        library: &str,
    ) -> Result<Arc<Self>, SessionError> {
        let unreadable = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => SessionError::Missing(path.to_owned()),
            _ => SessionError::Unreadable {
                path: path.to_owned(),
                source,
            },
        };
        let canonical = path.canonicalize().map_err(unreadable)?;
        let metadata = canonical.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(SessionError::Missing(path.to_owned()));
        }
        let key = Key {
            path: canonical,
            stamp: Stamp::of(&metadata),
            options: options.settled(),
        };
        let environment = runtime::environment(library)?;
        // Held while opening: cameras that start together must wait for one session, not open one each.
        let mut open = lock(&OPEN);
        open.retain(|(_, weak)| weak.strong_count() > 0);
        if let Some(session) = open
            .iter()
            .find(|(k, _)| *k == key)
            .and_then(|(_, weak)| weak.upgrade())
        {
            return Ok(session);
        }
        let hash = hash(&key.path).map_err(unreadable)?;
        let (session, provider) =
            first(&environment, &key).map_err(|message| SessionError::Garbage {
                path: path.to_owned(),
                message,
            })?;
        let shared = Arc::new(Self {
            environment,
            path: key.path.clone(),
            options: key.options.clone(),
            io: model_io(&session),
            idle: Mutex::new(Idle {
                sessions: vec![session],
                open: 1,
                most: key.options.workers,
            }),
            stamp: key.stamp,
            freed: Condvar::new(),
            hash,
            provider,
            watch: Mutex::new(Watch {
                next: Instant::now() + WATCH,
                stamp: key.stamp,
                told: None,
            }),
            pool: Mutex::default(),
        });
        open.push((key, Arc::downgrade(&shared)));
        Ok(shared)
    }

    /// The inputs, outputs and notes.
    pub fn io(&self) -> &ModelIo {
        &self.io
    }

    /// First 12 hex digits of the BLAKE3 of the model file.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The hardware that runs it.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Runs at a time, at most.
    pub fn workers(&self) -> usize {
        self.options.workers
    }

    /// The new hash, once after the file was changed; asks the file every two seconds at most.
    pub fn changed(&self) -> Option<String> {
        let mut watch = lock(&self.watch);
        let now = Instant::now();
        if now < watch.next {
            return None;
        }
        watch.next = now + WATCH;
        // A file that is being replaced may be absent for a moment.
        let stamp = Stamp::of(&self.path.metadata().ok()?);
        if stamp == watch.stamp {
            return None;
        }
        watch.stamp = stamp;
        let hash = hash(&self.path).ok()?;
        let known = watch.told.as_deref().unwrap_or(&self.hash);
        if hash == known {
            return None;
        }
        watch.told = Some(hash.clone());
        Some(hash)
    }

    /// The pool of those who wait for this model; it ends with the last of them.
    pub(crate) fn pool(&self) -> std::io::Result<Arc<Pool>> {
        let mut slot = lock(&self.pool);
        if let Some(pool) = slot.upgrade() {
            return Ok(pool);
        }
        let pool = Arc::new(Pool::start(self.options.workers)?);
        *slot = Arc::downgrade(&pool);
        Ok(pool)
    }

    /// Runs the model on its only input, 32-bit floats, and hands the outputs to `read`.
    ///
    /// # Errors
    /// When ONNX Runtime refuses the input or fails.
    pub fn run<T>(
        &self,
        shape: [usize; 4],
        data: &[f32],
        read: impl FnOnce(&[Tensor<'_>]) -> T,
    ) -> Result<T, RunError> {
        let failed = |e: ort::Error| RunError(e.to_string());
        let input = ort::value::TensorRef::from_array_view((shape, data)).map_err(failed)?;
        self.with_session(|session| {
            let outputs = session.run(ort::inputs![input]).map_err(failed)?;
            value::read(&outputs, read)
        })
    }

    /// Runs the model on a picture in the type that it takes, beside other inputs, and hands the outputs to `read`.
    ///
    /// # Errors
    /// When ONNX Runtime refuses an input or fails.
    pub fn run_values<T>(
        &self,
        name: &str,
        shape: [usize; 4],
        values: &Values,
        sides: &[SideInput],
        read: impl FnOnce(&[Tensor<'_>]) -> T,
    ) -> Result<T, RunError> {
        if let (Values::F32(data), []) = (values, sides) {
            return self.run(shape, data, read);
        }
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> =
            vec![(name, value::input(shape, values)?)];
        for side in sides {
            inputs.push(value::side_input(side)?);
        }
        self.with_session(|session| {
            let outputs = session.run(inputs).map_err(|e| RunError(e.to_string()))?;
            value::read(&outputs, read)
        })
    }

    /// Lends a session that nobody runs, opens one, or waits for one.
    fn with_session<T>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        let mut session = self.take();
        let result = work(&mut session);
        lock(&self.idle).sessions.push(session);
        self.freed.notify_one();
        result
    }

    fn take(&self) -> Session {
        let mut idle = lock(&self.idle);
        loop {
            if let Some(session) = idle.sessions.pop() {
                return session;
            }
            if idle.open < idle.most {
                idle.open += 1;
                drop(idle);
                if let Some(session) = self.another() {
                    return session;
                }
                idle = lock(&self.idle);
                // Never none: the first one is not counted off.
                idle.open -= 1;
                idle.most = idle.open;
                continue;
            }
            idle = self
                .freed
                .wait(idle)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One more session; none where the file is gone or another one by now, or ONNX Runtime has no room for it:
    /// then those that are open have to do.
    fn another(&self) -> Option<Session> {
        let stamp = Stamp::of(&self.path.metadata().ok()?);
        if stamp != self.stamp {
            return None;
        }
        let threads = self.options.threads;
        build(&self.environment, &self.path, threads, self.provider).ok()
    }
}

/// The first session, with the first provider that takes the model.
fn first(environment: &Environment, key: &Key) -> Result<(Session, Provider), String> {
    let mut reasons = Vec::new();
    let wanted = key.options.providers.iter().copied();
    for provider in wanted.chain([Provider::Cpu]) {
        match build(environment, &key.path, key.options.threads, provider) {
            Ok(session) => return Ok((session, provider)),
            Err(e) => reasons.push(format!("{provider}: {e}")),
        }
    }
    Err(reasons.pop().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let text = SessionError::Library("no such file".to_owned()).to_string();
        assert!(
            text.contains("ORT_DYLIB_PATH") && text.contains("scripts/setup"),
            "{text}"
        );
        let options = SessionOptions::default();
        let error = SharedSession::open(Path::new("/nowhere/m.onnx"), &options, "").unwrap_err();
        assert!(matches!(error, SessionError::Missing(_)), "{error}");
    }

    #[test]
    fn what_is_left_open_fits_the_machine() {
        let open = SessionOptions {
            threads: 0,
            workers: 0,
            providers: Vec::new(),
        };
        let settled = open.settled();
        assert!(settled.threads == 1 && settled.workers >= 1);
        let many = SessionOptions {
            threads: 10_000,
            ..open
        };
        assert_eq!(many.settled().workers, 1);
    }
}
