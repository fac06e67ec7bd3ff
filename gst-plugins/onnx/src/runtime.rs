//! ONNX Runtime's library: where it is looked for, and the one environment that a process has.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::session::SessionError;

/// The variable that names the library, as everywhere with ONNX Runtime.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// Where a package puts the library.
const PACKAGED: &str = "/usr/lib/nvrd/libonnxruntime.so";
/// What the system's loader is asked for at last.
const SYSTEM: [&str; 2] = ["libonnxruntime.so", "libonnxruntime.so.1"];

/// The process has one environment for good: ONNX Runtime allows no second one, not even after the first.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// A panic elsewhere does not make what these locks guard wrong.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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

/// The environment, with the library loaded if it is not yet; `told` names the library, empty for the usual places.
///
/// # Errors
/// When no library can be loaded.
pub(crate) fn environment(told: &str) -> Result<Environment, SessionError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_told_library_is_the_only_place() {
        assert_eq!(places("/opt/x.so"), [PathBuf::from("/opt/x.so")]);
        assert!(!places("").is_empty());
    }
}
