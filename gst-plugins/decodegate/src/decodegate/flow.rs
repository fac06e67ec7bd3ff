//! Buffers and events through the gate, and what the gate wants done with the decoder.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use nvr_contract::Message;
use nvr_contract::gate::SceneChange;
use nvr_contract::wallclock::WallClock;

use super::imp::{CAT, Core, DecodeGate};
use crate::gate::{Act, Unit};
use crate::nal::{self, Codec, Framing, Kind};

/// How long a key frame waits for the word on the one before it, which came in a second or more earlier when live.
const PATIENCE: Duration = Duration::from_secs(2);

impl DecodeGate {
    pub(super) fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let stream = self.core().stream.ok_or(gst::FlowError::NotNegotiated)?;
        let Some(kind) = kind_of(&buffer, stream) else {
            // Parameter sets on their own, say.
            return self.src.push(buffer);
        };
        let unit = Unit {
            kind,
            pts_ns: buffer.pts().map(gst::ClockTime::nseconds),
            bytes: buffer.size(),
            torn: buffer.flags().contains(gst::BufferFlags::DISCONT),
        };
        let mut acts = Vec::new();
        let mut core = self.core();
        if kind == Kind::Key {
            core = self.wait_for_word(core)?;
        }
        core.look_at_the_clock(unit.pts_ns);
        core.gate.push(unit, buffer, &mut acts);
        drop(core);
        self.perform(acts)
    }

    /// Waits until the detector has given its word on the key frame that it was sent.
    fn wait_for_word<'a>(
        &self,
        mut core: MutexGuard<'a, Core>,
    ) -> Result<MutexGuard<'a, Core>, gst::FlowError> {
        while core.gate.is_awaiting() {
            if core.flushing {
                return Err(gst::FlowError::Flushing);
            }
            let (again, timeout) = self
                .heard
                .wait_timeout(core, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner);
            core = again;
            if timeout.timed_out() && core.gate.is_awaiting() {
                gst::warning!(
                    CAT,
                    imp = self,
                    "no word on a key frame: decoding everything"
                );
                core.gate.unanswered();
            }
        }
        Ok(core)
    }

    fn perform(&self, acts: Vec<Act<gst::Buffer>>) -> Result<gst::FlowSuccess, gst::FlowError> {
        for act in acts {
            match act {
                Act::Send { item, fresh } => {
                    self.src.push(marked(item, fresh))?;
                }
                Act::Announce(state) => {
                    self.shield.stand(&self.src);
                    self.push_event(state.to_event());
                }
                Act::Drain => {
                    for still in [true, false] {
                        self.push_event(gst_video::StillFrameEvent::builder(still).build());
                    }
                }
                Act::Rewind { shown_ns } => self.rewind(shown_ns),
                Act::Tell(change) => {
                    gst::info!(CAT, imp = self, "{change:?}");
                    let message = gst::message::Element::builder(change.to_structure())
                        .src(&*self.obj())
                        .build();
                    if self.obj().post_message(message).is_err() {
                        gst::debug!(CAT, imp = self, "no bus for {change:?}");
                    }
                }
            }
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// Makes the decoder forget, and nobody else.
    fn rewind(&self, shown_ns: Option<u64>) {
        self.shield.stand(&self.src);
        let seqnum = gst::Seqnum::next();
        let segment = self.src.sticky_event::<gst::event::Segment>(0);
        self.shield.expect(seqnum, shown_ns);
        self.push_event(gst::event::FlushStart::builder().seqnum(seqnum).build());
        self.push_event(gst::event::FlushStop::builder(false).seqnum(seqnum).build());
        if let Some(segment) = segment {
            self.push_event(segment.into());
        }
    }

    fn push_event(&self, event: gst::Event) {
        gst::log!(CAT, imp = self, "{event:?}");
        if !self.src.push_event(event) {
            // The next buffer finds out why.
            gst::debug!(CAT, imp = self, "an event was refused");
        }
    }

    pub(super) fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if let Some(anchor) = WallClock::from_event(&event) {
            self.core().wall = Some(anchor);
        }
        match event.view() {
            gst::EventView::Caps(caps) => {
                let stream = stream_of(caps.caps());
                let mut core = self.core();
                if pad.current_caps().is_some_and(|old| &*old != caps.caps()) {
                    core.gate.restart();
                }
                core.stream = stream;
            }
            gst::EventView::Segment(segment) => {
                let old = pad.sticky_event::<gst::event::Segment>(0);
                if old.is_some_and(|old| old.segment() != segment.segment()) {
                    self.core().gate.restart();
                }
            }
            gst::EventView::FlushStart(_) => self.set_flushing(true),
            gst::EventView::FlushStop(_) => {
                self.shield.forget();
                self.core().gate.restart();
                self.set_flushing(false);
            }
            gst::EventView::Eos(_) => self.settle(),
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// The stream ends: what the detector says of the last key frame still counts.
    fn settle(&self) {
        let mut acts = Vec::new();
        if let Ok(mut core) = self.wait_for_word(self.core()) {
            core.gate.settle(&mut acts);
        }
        if let Err(error) = self.perform(acts) {
            gst::debug!(CAT, imp = self, "the end of the stream: {error}");
        }
    }

    pub(super) fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if let Some(scene) = SceneChange::from_event(&event) {
            gst::log!(CAT, imp = self, "{scene:?}");
            self.core().gate.hear(scene.moving, scene.pts_ns);
            self.heard.notify_all();
            return true;
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }
}

impl Core {
    fn look_at_the_clock(&mut self, pts_ns: Option<u64>) {
        if self.schedule.is_empty() {
            self.gate.set_scheduled(false);
        } else if let Some((wall, pts)) = self.wall.zip(pts_ns) {
            let scheduled = self.schedule.holds(wall.unix_us_of(pts));
            self.gate.set_scheduled(scheduled);
        }
    }
}

fn marked(mut buffer: gst::Buffer, fresh: bool) -> gst::Buffer {
    if fresh != buffer.flags().contains(gst::BufferFlags::DISCONT) {
        let buffer = buffer.make_mut();
        match fresh {
            true => buffer.set_flags(gst::BufferFlags::DISCONT),
            false => buffer.unset_flags(gst::BufferFlags::DISCONT),
        }
    }
    buffer
}

/// The kind of a picture; its first memory nearly always says it, and mapping all would copy where there are several.
fn kind_of(buffer: &gst::BufferRef, (codec, framing): (Codec, Framing)) -> Option<Kind> {
    if buffer.n_memory() == 0 {
        return None;
    }
    let first = buffer.peek_memory(0).map_readable().ok()?;
    let kind = nal::kind_of(&first, codec, framing);
    if kind.is_some() || buffer.n_memory() == 1 {
        return kind;
    }
    drop(first);
    let whole = buffer.map_readable().ok()?;
    nal::kind_of(&whole, codec, framing)
}

/// Codec and framing by caps; `None` where they say too little.
fn stream_of(caps: &gst::CapsRef) -> Option<(Codec, Framing)> {
    let structure = caps.structure(0)?;
    let codec = match structure.name().as_str() {
        "video/x-h264" => Codec::H264,
        "video/x-h265" => Codec::H265,
        _ => return None,
    };
    if structure.get::<&str>("stream-format").ok()? == "byte-stream" {
        return Some((codec, Framing::StartCodes));
    }
    let data = structure.get::<gst::Buffer>("codec_data").ok()?;
    let data = data.map_readable().ok()?;
    // `lengthSizeMinusOne` of ISO 14496-15: byte 4 of avcC, byte 21 of hvcC.
    let byte = *data.get(match codec {
        Codec::H264 => 4,
        Codec::H265 => 21,
    })?;
    Some((codec, Framing::Lengths(usize::from(byte & 3) + 1)))
}
