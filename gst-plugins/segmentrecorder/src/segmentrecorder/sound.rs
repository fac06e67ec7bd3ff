//! Buffers and events of the audio pad, on their way to the pictures they belong to.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::caps;
use super::flow::{PadFlow, Sound};
use super::imp::{CAT, SegmentRecorder, lock};
use super::transcode::{self, Encoded, Transcoder};

/// How long audio that is ahead waits for pictures before the oldest of it is dropped.
const VIDEO_PATIENCE: Duration = Duration::from_secs(10);
/// How far audio may be ahead of the pictures, nanoseconds.
const AUDIO_AHEAD_NS: i64 = 2_000_000_000;

impl SegmentRecorder {
    pub(super) fn audio_buffer(
        &self,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let transcoder = lock(&self.transcoder).clone();
        let Some(transcoder) = transcoder else {
            return self.audio_packet(buffer);
        };
        if buffer.pts().is_none() {
            gst::log!(CAT, imp = self, "ignoring audio without a time stamp");
            return Ok(gst::FlowSuccess::Ok);
        }
        self.audio_encoded(transcoder.push(buffer)?)
    }

    fn audio_encoded(&self, encoded: Vec<Encoded>) -> Result<gst::FlowSuccess, gst::FlowError> {
        for encoded in encoded {
            match encoded {
                Encoded::Caps(caps) => self.set_audio_track(&caps),
                Encoded::Packet(buffer) => {
                    self.audio_packet(buffer)?;
                }
            }
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// Lays a packet down for the pictures, waiting while it is too far ahead of them.
    fn audio_packet(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let track = match &lock(&self.flow).audio_track {
            Some(Some(track)) => Arc::clone(track),
            Some(None) => return Ok(gst::FlowSuccess::Ok),
            None => return Err(gst::FlowError::NotNegotiated),
        };
        let Some(pts) = buffer.pts().or(buffer.dts()) else {
            gst::log!(CAT, imp = self, "ignoring audio without a time stamp");
            return Ok(gst::FlowSuccess::Ok);
        };
        let (pts_ns, said) = (pts.nseconds(), buffer.duration());
        let Ok(data) = buffer.into_mapped_buffer_readable() else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let assumed =
            u64::from(track.samples(&data)) * 1_000_000_000 / u64::from(track.rate()).max(1);
        let duration_ns = said.map_or(assumed, gst::ClockTime::nseconds);
        let mut flow = lock(&self.flow);
        let running_ns = flow.audio.running(pts_ns);
        loop {
            if flow.stopping || flow.audio.flushing {
                return Err(gst::FlowError::Flushing);
            }
            if flow.audio.eos {
                return Err(gst::FlowError::Eos);
            }
            let allowed = flow
                .video
                .position_ns
                .unwrap_or(0)
                .saturating_add(AUDIO_AHEAD_NS);
            let ahead = running_ns > allowed && flow.waiting_ns(running_ns) > AUDIO_AHEAD_NS;
            if !ahead || flow.video.eos {
                break;
            }
            if flow.video.late {
                flow.waiting.pop_front();
                break;
            }
            let (again, timeout) = self
                .progress
                .wait_timeout(flow, VIDEO_PATIENCE)
                .unwrap_or_else(PoisonError::into_inner);
            flow = again;
            if timeout.timed_out() {
                gst::info!(CAT, imp = self, "video is late, dropping the oldest audio");
                flow.video.late = true;
            }
        }
        flow.waiting.push_back(Sound::Packet {
            running_ns,
            duration_ns,
            data,
        });
        let end = running_ns.saturating_add_unsigned(duration_ns);
        flow.audio.position_ns = Some(end);
        // Audio that stays behind must not hold up each picture anew.
        flow.audio.late &= Some(end) < flow.video.position_ns;
        drop(flow);
        self.progress.notify_all();
        Ok(gst::FlowSuccess::Ok)
    }

    pub(super) fn audio_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        gst::debug!(CAT, obj = pad, "{event:?}");
        match event.view() {
            EventView::Caps(caps) => self.set_audio_caps(&caps.caps_owned()),
            EventView::Gap(gap) => {
                let (start, duration) = gap.get();
                let end = start.saturating_add(duration.unwrap_or_default());
                self.flush(|flow| {
                    flow.audio.position_ns = Some(flow.audio.running(end.nseconds()));
                });
            }
            EventView::StreamStart(_) => {
                let mut flow = lock(&self.flow);
                (flow.audio.eos, flow.audio.started) = (false, true);
            }
            EventView::FlushStart(_) => self.flush(|flow| flow.audio.flushing = true),
            EventView::FlushStop(_) => {
                self.flush(|flow| {
                    flow.audio = PadFlow::default();
                    flow.waiting
                        .retain(|sound| matches!(sound, Sound::Track(_)));
                });
                let transcodes = lock(&self.transcoder).is_some();
                if let Some(caps) = pad.current_caps().filter(|_| transcodes) {
                    self.set_audio_caps(&caps);
                }
            }
            EventView::Eos(_) => {
                let transcoder = lock(&self.transcoder).take();
                if let Some(transcoder) = transcoder
                    && let Err(error) = self.audio_encoded(transcoder.drain())
                {
                    gst::debug!(CAT, imp = self, "the last audio has no place: {error}");
                }
                self.flush(|flow| flow.audio.eos = true);
                self.end_if_all_ended(event.seqnum());
            }
            EventView::Segment(segment) => {
                return self.set_segment(segment.segment(), |flow| &mut flow.audio);
            }
            _ => return gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
        true
    }

    /// Sound that cannot be recorded is left out with a warning: pictures are what matters.
    fn set_audio_caps(&self, caps: &gst::Caps) {
        let transcoder = match transcode::is_needed(caps) {
            true => match Transcoder::new(caps) {
                Ok(transcoder) => Some(Arc::new(transcoder)),
                Err(reason) => {
                    *lock(&self.transcoder) = None;
                    return self.leave_audio_out(&reason);
                }
            },
            false => None,
        };
        let direct = transcoder.is_none();
        *lock(&self.transcoder) = transcoder;
        if direct {
            self.set_audio_track(caps);
        }
    }

    fn set_audio_track(&self, caps: &gst::CapsRef) {
        match caps::audio_track(caps) {
            Ok(track) => {
                let mut flow = lock(&self.flow);
                flow.audio_track = Some(Some(Arc::new(track.clone())));
                flow.waiting.push_back(Sound::Track(Some(track)));
            }
            Err(reason) => self.leave_audio_out(&reason),
        }
    }

    fn leave_audio_out(&self, reason: &str) {
        gst::element_imp_warning!(
            self,
            gst::StreamError::Format,
            ("The sound is left out: {reason}")
        );
        self.flush(|flow| {
            flow.audio_track = Some(None);
            flow.waiting.push_back(Sound::Track(None));
        });
    }
}
