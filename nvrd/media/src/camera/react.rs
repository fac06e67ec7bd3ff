//! What a camera does about what its pipeline says.

use gst::prelude::*;
use nvr_contract::Message;
use nvr_contract::event::Event;
use nvr_contract::face::FaceSeen;
use nvr_contract::gate::GateChange;
use nvr_contract::segment::{FragmentWritten, Gap, GapReason, SegmentClosed, SegmentOpened};
use nvr_contract::source::{LossReason, SourceChange, SourceState, StreamRole, VideoCodec};

use super::{Camera, bus};
use crate::assemble::Assembled;
use crate::description::{self, RECORDING};
use crate::notice::{CameraState, What};

/// Why nothing is recorded while the pipeline is built anew for another codec.
const OTHER_CODEC: &str = "the camera sends another codec, and its pipeline is built anew";
/// The same, for a pipeline without its analysis.
const FALLS_BACK: &str = "the analysis cannot run, and the pipeline is built anew without it";
/// Why nothing is recorded of a file that has been played.
const END_OF_FILE: &str = "the end of the file is reached";

impl Camera {
    pub(super) fn on_message(&mut self, from: u64, message: &gst::Message) {
        use gst::MessageView;
        let current = from == self.generation && self.running.is_some();
        match message.view() {
            // What a pipeline recorded and saw counts to its end; how it ends does not concern its successor.
            MessageView::Error(_) | MessageView::Eos(_) if !current => {}
            MessageView::Error(error) => self.on_error(error),
            MessageView::Eos(_) => self.on_eos(),
            MessageView::Warning(warning) => {
                tracing::warn!(camera.id = %self.spec.name, error = %warning.error(), "a pipeline element warns");
            }
            MessageView::Element(_) => self.on_element(message),
            _ => {}
        }
    }

    pub(super) fn on_element(&mut self, message: &gst::Message) {
        if GateChange::from_message(message).is_some() {
            return self.note_decoding();
        }
        let parsed = typed::<FragmentWritten>(message, What::FragmentWritten)
            .or_else(|| typed::<Event>(message, What::Event))
            .or_else(|| typed::<FaceSeen>(message, What::Face))
            .or_else(|| typed::<SegmentOpened>(message, What::SegmentOpened))
            .or_else(|| typed::<SegmentClosed>(message, What::SegmentClosed))
            .or_else(|| typed::<Gap>(message, What::Gap))
            .or_else(|| typed::<SourceChange>(message, What::Source));
        let what = match parsed {
            None => return,
            Some(Ok(what)) => what,
            Some(Err(error)) => {
                tracing::error!(camera.id = %self.spec.name, %error, "an element's message was not understood");
                return;
            }
        };
        match &what {
            What::Source(change) => self.on_source(change),
            What::Gap(gap) => self.on_gap(gap),
            What::Event(event) => self.heed(event),
            // A file that is closed is followed by the next one; it is trouble that ends a recording.
            What::SegmentOpened(_) => self.set_recording(true),
            // Once a second, while pictures come.
            What::FragmentWritten(_) => self.note_decoding(),
            _ => {}
        }
        self.notify(what);
    }

    /// Starting → Running (connected), Running → Degraded (lost), Degraded → Running (restored).
    fn on_source(&mut self, change: &SourceChange) {
        let analysed = self.description().analysed(&self.spec) == change.stream;
        match change.state {
            SourceState::Connected | SourceState::Restored => {
                match change.stream {
                    StreamRole::Main => self.connected(change),
                    StreamRole::Sub => self.problems.sub = None,
                }
                if let Some(codec) = change.codec.filter(|_| analysed)
                    && self.wrong_decoder(codec)
                {
                    return self.rebuild(GapReason::SourceLost, OTHER_CODEC);
                }
            }
            SourceState::Lost => {
                let reason = change.reason.unwrap_or(LossReason::Ended);
                let detail = change.detail.clone().unwrap_or_else(|| reason.to_string());
                match change.stream {
                    StreamRole::Main => {
                        self.problems.source = Some((reason, detail));
                        self.tap.dry();
                        self.set_recording(false);
                    }
                    StreamRole::Sub => {
                        self.problems.sub = Some(format!(
                            "the second stream is lost, so nothing is analysed: {detail}"
                        ));
                    }
                }
            }
        }
        self.show_health();
    }

    fn connected(&mut self, change: &SourceChange) {
        self.connected = true;
        self.problems.source = None;
        let mut status = self.status.lock().expect("no holder of this lock panics");
        status.codec = change.codec.or(status.codec);
        status.size = change.width.zip(change.height).or(status.size);
        status.fps = change.fps.or(status.fps);
    }

    fn on_gap(&mut self, gap: &Gap) {
        if gap.end_unix_us.is_none() {
            self.set_recording(false);
        }
        self.problems.disk = match gap.end_unix_us {
            Some(_) => None,
            // That is what was asked for.
            None if matches!(gap.reason, GapReason::NoEvent | GapReason::Paused) => None,
            None => gap.detail.clone().or_else(|| Some(gap.reason.to_string())),
        };
        self.show_health();
    }

    /// Whether the running pipeline decodes another codec than the analysed stream has; remembers the right one.
    fn wrong_decoder(&mut self, codec: VideoCodec) -> bool {
        let assembled = self.running.as_ref().map(|running| running.codec);
        self.codec = codec;
        assembled.is_some_and(|assembled| assembled != codec)
            && self.description().decoder.is_some()
    }

    fn on_eos(&mut self) {
        self.tear_down(false);
        if self.spec.is_live() {
            self.back_off(GapReason::SourceLost, "the stream ended");
        } else {
            self.misses(GapReason::SourceLost, self.clock.unix_us(), END_OF_FILE);
            // Running → Stopped: a file played once.
            self.set_state(CameraState::Stopped, Some(END_OF_FILE.to_owned()));
        }
    }

    fn on_error(&mut self, error: &gst::message::Error) {
        let sentence = bus::sentence(error);
        let codec = self.running.as_ref().and_then(sent_codec);
        if codec.is_some_and(|codec| self.wrong_decoder(codec)) {
            return self.rebuild(GapReason::SourceLost, OTHER_CODEC);
        }
        let element = self
            .running
            .as_ref()
            .and_then(|running| bus::top_element(error, &running.pipeline));
        // The source says that what it sends is refused; it is not the recorder that is choosy.
        let refused = error.error().matches(gst::StreamError::Failed);
        let name = element.map(|element| element.name());
        let analysing = refused
            || name
                .as_ref()
                .is_some_and(|name| !RECORDING.contains(&name.as_str()));
        let reason = match name.as_deref() {
            Some(description::RECORDER) => GapReason::DiskError,
            _ => GapReason::SourceLost,
        };
        let since_us = self.clock.unix_us();
        let recorded = self.is_recording();
        self.tear_down(true);
        if !analysing {
            return self.back_off(reason, &sentence);
        }
        if recorded {
            self.misses(GapReason::Paused, since_us, FALLS_BACK);
        }
        self.analysis_failed(&sentence)
    }

    /// The wanted analysis cannot run: go on with less, so that the recording does not stop.
    pub(super) fn analysis_failed(&mut self, sentence: &str) {
        if self.level + 1 >= self.spec.pipelines.len() {
            return self.back_off(GapReason::SourceLost, sentence);
        }
        let failed = self.description().name.clone();
        self.level += 1;
        let instead = self.description().name.clone();
        tracing::error!(camera.id = %self.spec.name, error = sentence, "pipeline {failed:?} cannot run, {instead:?} runs instead");
        let now = self.clock.monotonic();
        self.comeback.later(now, now.saturating_sub(self.started));
        self.problems.fallback = Some(format!(
            "pipeline {failed:?} cannot run ({sentence}), {instead:?} runs instead"
        ));
        self.start();
    }
}

fn typed<M: Message>(
    message: &gst::Message,
    wrap: impl FnOnce(M) -> What,
) -> Option<Result<What, nvr_contract::FieldError>> {
    M::from_message(message).map(|parsed| parsed.map(wrap))
}

/// The codec that the camera element sends to the analysis at the moment.
fn sent_codec(running: &Assembled) -> Option<VideoCodec> {
    let analysis = running.source.static_pad(description::ANALYSIS);
    let pad = analysis.or_else(|| running.source.static_pad("video"))?;
    VideoCodec::from_caps(&*pad.current_caps()?)
}
