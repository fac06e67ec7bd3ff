//! The actual state of a camera, for whoever asks, and the notice when it changes.

use nvr_contract::segment::{Gap, GapReason};

use super::Camera;
use crate::notice::{CameraState, Notice, What};

impl Camera {
    pub(super) fn show_health(&mut self) {
        let problem = None
            .or_else(|| {
                self.problems
                    .source
                    .as_ref()
                    .map(|(_, detail)| detail.clone())
            })
            .or_else(|| self.problems.disk.clone())
            // Before the first picture there is nothing that could be analysed anyhow.
            .or_else(|| self.problems.sub.clone().filter(|_| self.connected))
            .or_else(|| self.problems.fallback.clone());
        match problem {
            Some(detail) => self.set_state(CameraState::Degraded, Some(detail)),
            None if self.connected => self.set_state(CameraState::Running, None),
            None => {}
        }
    }

    /// Counts a pipeline that hangs.
    pub(super) fn leave_behind(&mut self, what: &str) {
        self.left_behind.insert(self.generation);
        tracing::error!(camera.id = %self.spec.name, hanging = self.left_behind.len(), "a pipeline did not {what} in time and is left behind");
        let mut status = self.status.lock().expect("no holder of this lock panics");
        status.abandoned = status.abandoned.saturating_add(1);
    }

    pub(super) fn is_recording(&self) -> bool {
        let status = self.status.lock().expect("no holder of this lock panics");
        status.recording
    }

    /// Says that nothing is recorded from a moment on, and why: what the recorder itself cannot say.
    pub(super) fn misses(&self, reason: GapReason, since_unix_us: i64, why: &str) {
        self.notify(What::Gap(Gap {
            start_unix_us: since_unix_us,
            end_unix_us: None,
            reason,
            detail: Some(why.to_owned()),
        }));
    }

    pub(super) fn set_recording(&mut self, recording: bool) {
        self.status
            .lock()
            .expect("no holder of this lock panics")
            .recording = recording;
    }

    pub(super) fn set_state(&mut self, state: CameraState, detail: Option<String>) {
        let now = self.clock.unix_us();
        let pipeline = self.description().name.clone();
        let changed = {
            let mut status = self.status.lock().expect("no holder of this lock panics");
            let changed = status.state != state || status.detail != detail;
            if status.state != state {
                status.since_unix_us = now;
            }
            status.state = state;
            status.detail = detail;
            status.loss = self.problems.source.as_ref().map(|(reason, _)| *reason);
            status.pipeline = pipeline;
            if matches!(state, CameraState::Stopped | CameraState::Backoff) {
                status.recording = false;
                status.decoding = None;
            }
            changed.then(|| status.clone())
        };
        if let Some(status) = changed {
            self.notify(What::State(status));
        }
    }

    pub(super) fn notify(&self, what: What) {
        // Fails only when the daemon has gone, at its very end.
        if self
            .notices
            .send(Notice {
                camera: self.spec.name.clone(),
                what,
            })
            .is_err()
        {
            tracing::debug!(camera.id = %self.spec.name, "nobody listens any more");
        }
    }
}
