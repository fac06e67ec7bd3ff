//! Running a model on one picture, outside a pipeline: for programs that ask what is on a picture they name.
//!
//! One picture at a time: the cores belong to the recording, and a decoded picture is large.

mod picture;
mod eye;
mod draw;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nvr_base::{Clock, Error, Result};
use tokio::sync::Semaphore;

pub use draw::annotate;
pub use eye::{Eye, Found, Kind, ModelInfo, Sought, Status};
pub use picture::{MAX_DECODED_BYTES, MAX_SIDE_PX, Picture};

/// Pictures that may wait while one is looked at.
pub const QUEUE: usize = 8;
/// Longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// The models of the daemon that look at single pictures, and the queue before them.
#[derive(Debug)]
pub struct Analysis {
    /// Finds objects, where a model is configured.
    pub detector: Option<Eye>,
    /// Finds faces, where a model is configured.
    pub faces: Option<Eye>,
    /// Those who wait and the one whose turn it is.
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Analysis {
    /// For the models at these paths; nothing is opened before it is needed.
    pub fn new(detector: Option<PathBuf>, faces: Option<PathBuf>, clock: &Arc<dyn Clock>) -> Self {
        let eye =
            |file: Option<PathBuf>, kind| file.map(|it| Eye::new(it, kind, Arc::clone(clock)));
        Self {
            detector: eye(detector, Kind::Objects),
            faces: eye(faces, Kind::Faces),
            places: Arc::new(Semaphore::new(QUEUE + 1)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Does blocking work on a picture when its turn comes, off the threads that serve requests.
    ///
    /// A caller that goes does not stop work that has begun.
    ///
    /// # Errors
    /// `Unavailable` when too many wait already, else what the work says.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Error::unavailable(format!(
                "{QUEUE} pictures wait to be looked at already: try again"
            ))
        })?;
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turn).acquire_owned()).await;
        let turn = turn
            .map_err(|_| Error::unavailable("the turn of this picture did not come: try again"))?
            .expect("nobody closes the turn");
        let this = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&this);
            drop((turn, place));
            done
        });
        done.await
            .map_err(|error| Error::internal("looking at a picture panicked").with_source(error))?
    }

    /// Opens every model that is configured, so that the first request does not wait for it. Blocks.
    pub fn warm_up(&self) {
        for eye in [&self.detector, &self.faces].into_iter().flatten() {
            if let Err(error) = eye.open() {
                tracing::warn!(%error, "a model cannot be used: what needs it answers so until it can");
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
