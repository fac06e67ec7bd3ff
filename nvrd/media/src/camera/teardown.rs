//! Stopping a pipeline on a thread of its own, first by letting it end, then by force, with a deadline for each.

use std::sync::mpsc::{Sender, SyncSender, channel};
use std::thread;
use std::time::Duration;

use gst::prelude::*;

use super::Input;
use crate::assemble::Assembled;
use crate::description;

/// How long the end of the stream may take to reach every sink.
const FLUSH: Duration = Duration::from_secs(3);
/// How long the elements may take to stop.
const STOP: Duration = Duration::from_secs(3);

/// Stops a pipeline, however long that takes, and lets it say nothing more.
pub(super) fn stop(pipeline: &gst::Pipeline) {
    for state in [gst::State::Ready, gst::State::Null] {
        if let Err(error) = pipeline.set_state(state) {
            gst::warning!(gst::CAT_DEFAULT, "stopping: {error}");
        }
    }
    if let Some(bus) = pipeline.bus() {
        bus.unset_sync_handler();
    }
}

/// A pipeline that is being stopped.
pub(super) struct Teardown {
    flushed: Option<Sender<()>>,
    deadline: Option<Duration>,
}

impl Teardown {
    /// Begins; `graceful` sends the end of the stream behind what is in the queues and waits for it.
    pub(super) fn begin(
        assembled: Assembled,
        graceful: bool,
        generation: u64,
        outbox: SyncSender<Input>,
    ) -> Self {
        let (flushed, wait) = channel();
        let run = move || {
            if graceful {
                let audio = assembled.pipeline.by_name(description::AUDIO_QUEUE);
                let ends = audio.iter().chain(std::iter::once(&assembled.encoded));
                let analysis = assembled.source.static_pad(description::ANALYSIS);
                let sent = ends
                    .filter_map(|element| element.static_pad("sink"))
                    .chain(analysis.and_then(|pad| pad.peer()))
                    .all(|pad| pad.send_event(gst::event::Eos::new()));
                if sent {
                    // Returns early, with an error, when the camera's thread has heard enough.
                    let heard = wait.recv_timeout(FLUSH);
                    gst::debug!(gst::CAT_DEFAULT, "end of stream waited for: {heard:?}");
                }
            }
            stop(&assembled.pipeline);
            // The camera's thread may have given up waiting and ended.
            drop(outbox.send(Input::TornDown(generation)));
        };
        if let Err(error) = thread::Builder::new()
            .name("camera-stop".to_owned())
            .spawn(run)
        {
            tracing::error!(%error, "no thread to stop a pipeline on");
        }
        Self {
            flushed: Some(flushed),
            deadline: None,
        }
    }

    /// Everything has reached the sinks, or will not: stop now.
    pub(super) fn flushed(&mut self) {
        self.flushed = None;
    }

    /// How long to wait for the next message, `None` when it is enough.
    pub(super) fn remaining(&mut self, now: Duration) -> Option<Duration> {
        let deadline = *self.deadline.get_or_insert(now + FLUSH + STOP);
        deadline.checked_sub(now).filter(|left| !left.is_zero())
    }
}
