//! ONNX Runtime: finding its library, opening a model once for all who want it, running it.
//!
//! Nothing of what the numbers mean is known here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::value::{TensorElementType, TensorRef};

use crate::decode::Tensor;
use crate::family::{ModelIo, Outlet};

/// The variable that names the library, as everywhere with ONNX Runtime.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// Where a package puts the library.
const PACKAGED: &str = "/usr/lib/nvrd/libonnxruntime.so";
/// What the system's loader is asked for at last.
const SYSTEM: [&str; 2] = ["libonnxruntime.so", "libonnxruntime.so.1"];
/// How much of a model's hash is told.
const HASH_DIGITS: usize = 12;

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
pub struct RunError(String);

/// Which session is wanted; two that want the same share one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    path: PathBuf,
    modified: Option<SystemTime>,
    length: u64,
    threads: usize,
}

/// One open model of the process, shared by all who opened the same file with the same options.
///
/// ONNX Runtime's `run` must not be entered twice at a time, so that those who share wait for each other.
#[derive(Debug)]
pub struct SharedSession {
    session: Mutex<Session>,
    io: ModelIo,
    hash: String,
}

/// The process has one environment for good: ONNX Runtime allows no second one, not even after the first.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);
/// The open sessions; entries die with their last user and are swept at the next opening.
static OPEN: Mutex<Vec<(Key, Weak<SharedSession>)>> = Mutex::new(Vec::new());

/// A panic elsewhere does not make what these locks guard wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The places to look for the library, in order; a place that the user named is the only one.
fn places(told: &str) -> Vec<PathBuf> {
    if !told.is_empty() {
        return vec![PathBuf::from(told)];
    }
    if let Some(path) = std::env::var_os(LIBRARY_VARIABLE).filter(|p| !p.is_empty()) {
        return vec![PathBuf::from(path)];
    }
    std::iter::once(PACKAGED)
        .chain(SYSTEM)
        .map(PathBuf::from)
        .collect()
}

fn environment(told: &str) -> Result<Environment, SessionError> {
    let mut guard = lock(&ENVIRONMENT);
    if let Some(environment) = guard.as_ref() {
        return Ok(environment.clone());
    }
    let mut reasons = Vec::new();
    for place in places(told) {
        let builder = match ort::init_from(&place) {
            Ok(builder) => builder,
            Err(e) => {
                reasons.push(e.to_string());
                continue;
            }
        };
        let environment = builder
            .with_name("nvrd")
            .with_telemetry(false)
            .build()
            .map_err(|e| SessionError::Library(e.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        *guard = Some(environment.clone());
        return Ok(environment);
    }
    Err(SessionError::Library(reasons.join("; ")))
}

// A function of its own, because the builder's own error type cannot leave a thread.
fn build(environment: &Environment, path: &Path, threads: usize) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_log_level(LogLevel::Warning)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // A spinning pool would burn a core between two pictures.
        .with_intra_op_spinning(false)?
        .commit_from_file(path)
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
        is_f32: dtype.tensor_type() == Some(TensorElementType::Float32),
    }
}

impl SharedSession {
    /// Opens the model at `path`, or joins those who have it open already.
    ///
    /// `library` names ONNX Runtime's library, empty for the usual places; it counts for the first opening of
    /// the process only. `threads` is how many threads one run may use.
    ///
    /// # Errors
    /// When the library or the model is missing or of no use.
    pub fn open(path: &Path, threads: usize, library: &str) -> Result<Arc<Self>, SessionError> {
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
            modified: metadata.modified().ok(),
            length: metadata.len(),
            threads,
        };
        let environment = environment(library)?;
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
        let session =
            build(&environment, &key.path, threads).map_err(|e| SessionError::Garbage {
                path: path.to_owned(),
                message: e.to_string(),
            })?;
        let shared = Arc::new(Self {
            io: ModelIo {
                inputs: session.inputs().iter().map(outlet).collect(),
                outputs: session.outputs().iter().map(outlet).collect(),
            },
            session: Mutex::new(session),
            hash,
        });
        open.push((key, Arc::downgrade(&shared)));
        Ok(shared)
    }

    /// The inputs and outputs.
    pub fn io(&self) -> &ModelIo {
        &self.io
    }

    /// First 12 hex digits of the BLAKE3 of the model file.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Runs the model on its only input and hands the outputs to `read`.
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
        let input = TensorRef::from_array_view((shape, data)).map_err(failed)?;
        let mut session = lock(&self.session);
        let outputs = session.run(ort::inputs![input]).map_err(failed)?;
        let values: Vec<_> = outputs.iter().collect();
        let mut found = Vec::with_capacity(values.len());
        for (name, value) in &values {
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(failed)?;
            let shape: Vec<usize> = shape
                .iter()
                .map(|d| usize::try_from(*d).unwrap_or(0))
                .collect();
            found.push((name, shape, data));
        }
        let tensors: Vec<Tensor<'_>> = found
            .iter()
            .map(|(name, shape, data)| Tensor { name, shape, data })
            .collect();
        Ok(read(&tensors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_told_library_is_the_only_place() {
        assert_eq!(places("/opt/x.so"), [PathBuf::from("/opt/x.so")]);
        assert!(!places("").is_empty());
    }

    #[test]
    fn errors_say_what_to_do() {
        let text = SessionError::Library("no such file".to_owned()).to_string();
        assert!(
            text.contains("ORT_DYLIB_PATH") && text.contains("scripts/setup"),
            "{text}"
        );
        let error = SharedSession::open(Path::new("/nowhere/m.onnx"), 1, "").unwrap_err();
        assert!(matches!(error, SessionError::Missing(_)), "{error}");
    }
}
