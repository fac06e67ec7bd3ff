//! Buffers and events of the two pads: audio is put before the pictures it belongs to, by waiting for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use nvr_contract::wallclock::WallClock;

use super::caps;
use super::imp::{CAT, Data, SegmentRecorder, lock};
use crate::fragment::Packet;
use crate::recorder::{Counters, Recorder};
use crate::timeline::Raw;
use nvr_mp4::track::AudioTrack;

/// How long a picture waits for the audio that belongs before it.
const AUDIO_PATIENCE: Duration = Duration::from_millis(500);

/// Something of the audio pad that waits for its pictures.
pub(super) enum Sound {
    Track(Option<AudioTrack>),
    Packet {
        /// Running time, nanoseconds: the one time that two pads have in common.
        running_ns: i64,
        duration_ns: u64,
        data: Data,
    },
}

/// Audio in the time of the video pad.
enum Heard {
    Track(Option<AudioTrack>),
    Packet(Packet<Data>),
}

/// Where the two pads are.
#[derive(Default)]
pub(super) struct Flow {
    pub counters: Counters,
    pub stopping: bool,
    pub video: PadFlow,
    pub audio: PadFlow,
    pub waiting: VecDeque<Sound>,
    /// Absent before the caps; of sound that is left out there is none.
    pub audio_track: Option<Option<Arc<AudioTrack>>>,
}

/// Where one pad is.
#[derive(Debug, Default)]
pub(super) struct PadFlow {
    pub flushing: bool,
    pub eos: bool,
    /// Whether a stream has begun: a pad may be linked for audio that the camera does not have.
    pub started: bool,
    /// Up to where data has come, running time in nanoseconds.
    pub position_ns: Option<i64>,
    /// What makes running time of a PTS, nanoseconds.
    shift_ns: i64,
    /// Whether the other pad has given up waiting for this one.
    pub late: bool,
}

impl SegmentRecorder {
    pub(super) fn audio_linked(&self, linked: bool) {
        let mut flow = lock(&self.flow);
        flow.audio = PadFlow::default();
        flow.audio_track = None;
        flow.waiting.clear();
        drop(flow);
        *lock(&self.transcoder) = None;
        self.progress.notify_all();
        if !linked {
            self.with_recorder(|recorder| recorder.set_audio(None));
            self.end_if_all_ended(gst::Seqnum::next());
        }
    }

    pub(super) fn video_buffer(
        &self,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if !self.video_pad.has_current_caps() {
            return Err(gst::FlowError::NotNegotiated);
        }
        let raw = Raw {
            pts_ns: buffer.pts().map(gst::ClockTime::nseconds),
            dts_ns: buffer.dts().map(gst::ClockTime::nseconds),
            duration_ns: buffer.duration().map(gst::ClockTime::nseconds),
            discont: buffer.flags().contains(gst::BufferFlags::DISCONT),
        };
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        if buffer.size() == 0 {
            gst::log!(CAT, imp = self, "ignoring an empty buffer");
            return Ok(gst::FlowSuccess::Ok);
        }
        let heard = self.wait_for_audio(raw.pts_ns.or(raw.dts_ns))?;
        let Ok(data) = buffer.into_mapped_buffer_readable() else {
            gst::warning!(CAT, imp = self, "dropping a buffer that cannot be mapped");
            return Ok(gst::FlowSuccess::Ok);
        };
        self.record(|recorder| {
            push_heard(recorder, heard);
            recorder.push_video(raw, key, data, system_unix_us);
        });
        Ok(gst::FlowSuccess::Ok)
    }

    /// Waits until audio has come up to `pts_ns`, unless there is none or it is late; takes what has come.
    fn wait_for_audio(&self, pts_ns: Option<u64>) -> Result<Vec<Heard>, gst::FlowError> {
        let linked = lock(&self.audio_pad).is_some();
        let mut flow = lock(&self.flow);
        let position_ns = pts_ns.map(|pts| flow.video.running(pts));
        if position_ns.is_some() {
            flow.video.position_ns = position_ns;
        }
        flow.video.late = false;
        self.progress.notify_all();
        loop {
            if flow.stopping || flow.video.flushing {
                return Err(gst::FlowError::Flushing);
            }
            if flow.video.eos {
                return Err(gst::FlowError::Eos);
            }
            let audio = &flow.audio;
            let behind = audio.position_ns < position_ns;
            let left_out = matches!(flow.audio_track, Some(None));
            if !linked || left_out || audio.eos || audio.flushing || audio.late || !behind {
                return Ok(flow.take_waiting());
            }
            let (again, timeout) = self
                .progress
                .wait_timeout(flow, AUDIO_PATIENCE)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            flow = again;
            if timeout.timed_out() {
                gst::info!(CAT, imp = self, "audio is late, going on without");
                flow.audio.late = true;
            }
        }
    }

    pub(super) fn video_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        gst::debug!(CAT, obj = pad, "{event:?}");
        if let Some(anchor) = WallClock::from_event(&event) {
            self.with_recorder(|recorder| recorder.set_anchor(anchor));
            return true;
        }
        match event.view() {
            EventView::Caps(caps) => match caps::video_track(caps.caps()) {
                Ok(track) => self.with_recorder(|recorder| recorder.set_video(track)),
                Err(reason) => return self.refuse(&reason),
            },
            EventView::Gap(_) => self.with_recorder(Recorder::flush),
            EventView::StreamStart(_) => lock(&self.flow).video.eos = false,
            EventView::FlushStart(_) => self.flush(|flow| flow.video.flushing = true),
            EventView::FlushStop(_) => {
                self.with_recorder(Recorder::finish);
                self.flush(|flow| {
                    flow.video = PadFlow::default();
                    flow.waiting
                        .retain(|sound| matches!(sound, Sound::Track(_)));
                });
            }
            EventView::Eos(_) => {
                self.flush(|flow| flow.video.eos = true);
                self.end_if_all_ended(event.seqnum());
            }
            EventView::Segment(segment) => {
                return self.set_segment(segment.segment(), |flow| &mut flow.video);
            }
            _ => return gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
        true
    }

    /// Changes where a pad is and wakes whoever waits for it.
    pub(super) fn flush(&self, change: impl FnOnce(&mut Flow)) {
        change(&mut lock(&self.flow));
        self.progress.notify_all();
    }

    fn refuse(&self, reason: &str) -> bool {
        gst::element_imp_error!(self, gst::StreamError::Format, ["Cannot record: {reason}"]);
        false
    }

    pub(super) fn set_segment(
        &self,
        segment: &gst::Segment,
        pad: impl FnOnce(&mut Flow) -> &mut PadFlow,
    ) -> bool {
        let Some(segment) = segment.downcast_ref::<gst::ClockTime>() else {
            return self.refuse("the stream is not timed; put a parser before the recorder");
        };
        let ns = |time: Option<gst::ClockTime>| {
            i64::try_from(time.map_or(0, gst::ClockTime::nseconds)).unwrap_or(i64::MAX)
        };
        let before = ns(segment.start()).saturating_add(ns(segment.offset()));
        let shift_ns = ns(segment.base()).saturating_sub(before);
        self.flush(|flow| pad(flow).shift_ns = shift_ns);
        true
    }

    /// Closes the file and says so once no pad has anything more.
    pub(super) fn end_if_all_ended(&self, seqnum: gst::Seqnum) {
        let linked = lock(&self.audio_pad).is_some();
        let flow = lock(&self.flow);
        let silent = !linked || !flow.audio.started;
        let ended = flow.video.eos && (flow.audio.eos || silent);
        drop(flow);
        if ended {
            self.write_waiting_audio();
            self.with_recorder(Recorder::finish);
            self.post_eos(seqnum);
        }
    }

    /// Gives the recorder the audio that no picture has fetched.
    pub(super) fn write_waiting_audio(&self) {
        let heard = lock(&self.flow).take_waiting();
        self.with_recorder(|recorder| push_heard(recorder, heard));
    }
}

impl Flow {
    /// How much audio waits, up to `running_ns`.
    pub fn waiting_ns(&self, running_ns: i64) -> i64 {
        let first = self.waiting.iter().find_map(|sound| match sound {
            Sound::Packet { running_ns, .. } => Some(*running_ns),
            Sound::Track(_) => None,
        });
        first.map_or(0, |first| running_ns.saturating_sub(first))
    }

    /// The audio that waits, with the time stamps that pictures have at the same time.
    fn take_waiting(&mut self) -> Vec<Heard> {
        let shift_ns = self.video.shift_ns;
        let heard = self.waiting.drain(..).filter_map(|sound| match sound {
            Sound::Track(track) => Some(Heard::Track(track)),
            Sound::Packet {
                running_ns,
                duration_ns,
                data,
            } => Some(Heard::Packet(Packet {
                // What is before the first possible picture has no place.
                pts_ns: u64::try_from(running_ns.saturating_sub(shift_ns)).ok()?,
                duration_ns,
                data,
            })),
        });
        heard.collect()
    }
}

impl PadFlow {
    pub fn running(&self, pts_ns: u64) -> i64 {
        i64::try_from(pts_ns)
            .unwrap_or(i64::MAX)
            .saturating_add(self.shift_ns)
    }
}

fn push_heard(recorder: &mut Recorder<Data>, heard: Vec<Heard>) {
    for heard in heard {
        match heard {
            Heard::Track(track) => recorder.set_audio(track),
            Heard::Packet(packet) => recorder.push_audio(packet),
        }
    }
}

/// The system clock, microseconds since 1970-01-01 UTC: asked when no anchor has come.
#[expect(
    clippy::disallowed_methods,
    reason = "without a source that knows the time there is no other clock"
)]
fn system_unix_us() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}
