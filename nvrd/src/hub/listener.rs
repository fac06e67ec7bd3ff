//! Somebody who listens: frames of the past first, then those that come, until they fall too far behind.

use std::collections::VecDeque;
use std::sync::Arc;

use nvr_base::Shutdown;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{Receiver, error::RecvError, error::TryRecvError};

use super::frame::Frame;

/// Why nothing comes any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The listener was too slow, and frames would be missing.
    Slow,
    /// The daemon stops.
    Stopping,
}

/// A place at the hub; it is free again when this is dropped.
#[derive(Debug)]
pub struct Listener {
    past: VecDeque<Arc<Frame>>,
    now: Receiver<Arc<Frame>>,
    stopping: Shutdown,
    _seat: OwnedSemaphorePermit,
}

impl Listener {
    pub(super) fn new(
        past: Vec<Arc<Frame>>,
        now: Receiver<Arc<Frame>>,
        stopping: Shutdown,
        seat: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            past: past.into(),
            now,
            stopping,
            _seat: seat,
        }
    }

    /// The next frame, once there is one.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// When there will be none.
    pub async fn next(&mut self) -> Result<Arc<Frame>, End> {
        if let Some(frame) = self.past.pop_front() {
            return Ok(frame);
        }
        tokio::select! {
            frame = self.now.recv() => match frame {
                Ok(frame) => Ok(frame),
                Err(RecvError::Lagged(_)) => Err(End::Slow),
                Err(RecvError::Closed) => Err(End::Stopping),
            },
            () = self.stopping.wait() => Err(End::Stopping),
        }
    }

    /// The next frame if it is there already.
    ///
    /// # Errors
    /// When there will be none.
    pub fn ready(&mut self) -> Result<Option<Arc<Frame>>, End> {
        if let Some(frame) = self.past.pop_front() {
            return Ok(Some(frame));
        }
        match self.now.try_recv() {
            Ok(frame) => Ok(Some(frame)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Lagged(_)) => Err(End::Slow),
            Err(TryRecvError::Closed) => Err(End::Stopping),
        }
    }
}
