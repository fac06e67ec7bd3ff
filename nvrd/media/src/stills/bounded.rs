//! A small pipeline that never keeps its owner: what does not stop is left behind, and only so many may be.
//!
//! Such pipelines run beside cameras that record, so nothing in them may hang for good.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use gst::prelude::*;
use nvr_base::{Error, Result};

/// How long the elements may take to stop before they are left behind.
const STOP: Duration = Duration::from_secs(1);
/// Pipelines that may be stopping at once before no more are begun: more than ever run at once, so some hang.
const MAX_STOPPING: usize = 16;

static STOPPING: AtomicUsize = AtomicUsize::new(0);

/// A chain of elements that plays; it is stopped when the value goes.
#[derive(Debug)]
pub(super) struct Bounded(gst::Pipeline);

impl Bounded {
    /// Links the elements in their order and plays them.
    ///
    /// # Errors
    /// When they do not fit together or do not start, or too many pipelines hang already.
    pub(super) fn play(chain: &[gst::Element]) -> Result<Self> {
        if STOPPING.load(Ordering::Relaxed) >= MAX_STOPPING {
            return Err(Error::unavailable(
                "too many decoders hang: restart nvrd to be rid of them",
            ));
        }
        let failed = |error: gst::glib::BoolError| {
            Error::internal("the pictures' pipeline cannot be built").with_source(error)
        };
        let this = Self(gst::Pipeline::new());
        this.0.add_many(chain).map_err(failed)?;
        gst::Element::link_many(chain).map_err(failed)?;
        this.0.set_state(gst::State::Playing).map_err(|error| {
            Error::internal("the pictures' pipeline does not start").with_source(error)
        })?;
        Ok(this)
    }

    /// The first failure of an element since the last call, with this sentence.
    ///
    /// # Errors
    /// That is the failure.
    pub(super) fn failure(&self, sentence: &str) -> Result<()> {
        match self.heard(gst::ClockTime::ZERO, &[gst::MessageType::Error]) {
            Some(message) => Err(error_of(&message, sentence)),
            None => Ok(()),
        }
    }

    /// Waits until the end has reached the sink; whether it has within `limit`.
    ///
    /// # Errors
    /// When an element fails, with this sentence.
    pub(super) fn ended(&self, limit: Duration, sentence: &str) -> Result<bool> {
        let limit = gst::ClockTime::from_nseconds(limit.as_nanos() as u64);
        match self.heard(limit, &[gst::MessageType::Error, gst::MessageType::Eos]) {
            Some(message) if message.type_() == gst::MessageType::Eos => Ok(true),
            Some(message) => Err(error_of(&message, sentence)),
            None => Ok(false),
        }
    }

    fn heard(&self, limit: gst::ClockTime, types: &[gst::MessageType]) -> Option<gst::Message> {
        let bus = self.0.bus().expect("a pipeline has a bus");
        bus.timed_pop_filtered(limit, types)
    }
}

fn error_of(message: &gst::Message, sentence: &str) -> Error {
    match message.view() {
        gst::MessageView::Error(found) => {
            let cause = found.error();
            let error = match cause.matches(gst::ResourceError::NoSpaceLeft) {
                true => Error::exhausted(format!("{sentence}: the disk is full")),
                false => Error::data_loss(sentence),
            };
            error.with_source(cause)
        }
        _ => Error::data_loss(sentence),
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let pipeline = self.0.clone();
        let (done, stopped) = channel();
        STOPPING.fetch_add(1, Ordering::Relaxed);
        let stop = move || {
            if let Err(error) = pipeline.set_state(gst::State::Null) {
                tracing::debug!(%error, "a pipeline for pictures did not stop");
            }
            drop(pipeline);
            STOPPING.fetch_sub(1, Ordering::Relaxed);
            if done.send(()).is_err() {
                tracing::info!("a decoder that hung has stopped");
            }
        };
        let thread = std::thread::Builder::new().name("still-stop".to_owned());
        match thread.spawn(stop) {
            Ok(_) if stopped.recv_timeout(STOP).is_err() => {
                tracing::warn!("a decoder hangs and is left behind");
            }
            Ok(_) => {}
            Err(error) => {
                STOPPING.fetch_sub(1, Ordering::Relaxed);
                tracing::error!(%error, "no thread to stop a decoder on");
            }
        }
    }
}
