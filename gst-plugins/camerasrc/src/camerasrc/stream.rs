//! The streaming thread: takes packets from the queue, gives them their times, and pushes them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use nvr_contract::source::{SourceState, StreamRole};
use nvr_contract::wallclock::WallClock;

use super::analysis::{Mirror, Together};
use super::imp::{self, CAT};
use super::report::{self, framerate, reorder_depth, running_time, wall_clock_us};
use crate::anchor;
use crate::gate::{Gate, Passed};
use crate::lookahead::Lookahead;
use crate::net::Wakes;
use crate::packet::{Item, Loss, Packet, Stream};
use crate::queue::Queue;
use crate::timeline::{Mapped, Pace, Stamp, Timeline};

/// What the statistics show; written by the streaming thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Pictures that the backend delivered.
    pub frames_in: AtomicU64,
    /// Pictures among them that were not pushed.
    pub frames_dropped: AtomicU64,
    /// Connections that brought pictures after a loss.
    pub reconnects: AtomicU64,
}

impl Counters {
    /// Counts what a queue left out, once it is closed.
    pub fn settle(shared: &Shared) {
        let left_out = shared.queue.left_out();
        let counters = &shared.counters;
        counters.frames_in.fetch_add(left_out, Ordering::Relaxed);
        counters
            .frames_dropped
            .fetch_add(left_out, Ordering::Relaxed);
    }
}

/// Which of a camera's streams a thread serves, and how.
#[derive(Debug)]
pub struct Line {
    /// Which stream it is.
    pub role: StreamRole,
    /// Where its pictures go.
    pub pad: gst::Pad,
    /// What its times follow.
    pub pace: Pace,
    /// Wall time of time stamp 0 of a source that is not live, microseconds since 1970-01-01 UTC.
    pub start_unix_us: Option<i64>,
    /// What it shares with the other stream.
    pub together: Arc<Together>,
}

/// What the element and its streaming thread share while it runs.
#[derive(Debug)]
pub struct Shared {
    /// Packets from the backend.
    pub queue: Arc<Queue>,
    /// Open while the pipeline plays.
    pub gate: Gate,
    /// For the statistics.
    pub counters: Arc<Counters>,
    /// How often the network thread looks for this camera's packets.
    pub wakes: Arc<Wakes>,
}

/// Whether the streaming thread has anything more to do.
type Flow = Result<(), Stop>;

/// Why it has not.
#[derive(Debug)]
enum Stop {
    /// The pipeline goes down.
    Flushing,
    /// The end was pushed, or is to be pushed now.
    End,
    /// Something failed; the sentence is to be posted.
    Failed(gst::FlowError),
}

/// The last word on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    None,
    Up,
    Lost { before: bool },
}

/// The state of the streaming thread.
pub struct Streamer {
    element: glib::WeakRef<super::CameraSrc>,
    shared: Arc<Shared>,
    role: StreamRole,
    together: Arc<Together>,
    video: gst::Pad,
    mirror: Mirror,
    audio: Option<gst::Pad>,
    audio_caps: Option<gst::Caps>,
    caps: Option<gst::Caps>,
    pending_caps: Option<gst::Caps>,
    pace: Pace,
    start_unix_us: Option<i64>,
    timeline: Timeline,
    connection: Connection,
    started: bool,
    anchor: Option<WallClock>,
    lookahead: Lookahead<Packet>,
    noted: BTreeSet<String>,
    /// Where the last picture ends, nanoseconds.
    reached: u64,
}

impl Streamer {
    /// A streaming thread before its first packet.
    pub fn new(imp: &imp::CameraSrc, shared: Arc<Shared>, line: Line) -> Self {
        Self {
            element: imp.obj().downgrade(),
            shared,
            role: line.role,
            together: line.together,
            video: line.pad,
            mirror: Mirror::default(),
            audio: None,
            audio_caps: None,
            caps: None,
            pending_caps: None,
            pace: line.pace,
            start_unix_us: line.start_unix_us,
            timeline: Timeline::new(line.pace),
            connection: Connection::None,
            started: false,
            anchor: None,
            lookahead: Lookahead::default(),
            noted: BTreeSet::new(),
            reached: 0,
        }
    }

    /// Handles one item; pauses the pad's task when there is nothing more to do.
    pub fn iterate(&mut self) {
        let Some(element) = self.element.upgrade() else {
            return;
        };
        let Err(stop) = self.step(&element) else {
            return;
        };
        gst::debug!(CAT, obj = element, "streaming stops: {stop:?}");
        match stop {
            Stop::Flushing => {}
            Stop::End => self.push_end(&element),
            Stop::Failed(error) => {
                report::refused(&element, &self.video, error);
                self.push_end(&element);
            }
        }
        // Fails only when the task is gone, which is what is wanted.
        self.video.pause_task().ok();
    }

    fn step(&mut self, element: &super::CameraSrc) -> Flow {
        if self.pace != Pace::Free {
            match self.shared.gate.pass() {
                Passed::AtOnce => {}
                Passed::Waited => {
                    if self.pace == Pace::Live {
                        self.shared.queue.forget();
                    }
                    self.timeline.resumed();
                }
                Passed::Closed => return Err(Stop::Flushing),
            }
        }
        match self.shared.queue.pop().map_err(|_| Stop::Flushing)? {
            Item::Packet(packet) => match packet.stream {
                Stream::Video => self.video(element, packet),
                Stream::Audio if self.role == StreamRole::Main => self.audio(element, packet),
                Stream::Audio => Ok(()),
            },
            Item::Gap => {
                self.release(element)?;
                self.timeline.gap();
                Ok(())
            }
            Item::Note(note) => {
                self.note(element, note);
                Ok(())
            }
            Item::Looped => {
                self.timeline.looped();
                Ok(())
            }
            Item::Lost(loss) => {
                self.release(element)?;
                self.lost(element, loss);
                match self.role == StreamRole::Sub && self.together.second_lost(true) {
                    true => Err(Stop::End),
                    false => Ok(()),
                }
            }
            Item::Failed(failure) => {
                report::failure(element, &failure);
                Err(Stop::End)
            }
            Item::End => Err(Stop::End),
        }
    }

    fn video(&mut self, element: &super::CameraSrc, packet: Packet) -> Flow {
        let counters = &self.shared.counters;
        counters.frames_in.fetch_add(1, Ordering::Relaxed);
        if let Some(caps) = &packet.caps {
            if let Some(rate) = framerate(caps) {
                self.timeline.declare_rate(rate.numer(), rate.denom());
            }
            let caps = caps.clone();
            self.release(element)?;
            if self.pace == Pace::Live {
                let depth = reorder_depth(&caps);
                self.timeline.declare_depth(depth);
                // The same stream again need not be looked at again.
                if depth.is_none() && self.caps.as_ref() != Some(&caps) {
                    self.lookahead.begin();
                }
            }
            self.pending_caps = Some(caps);
        }
        if self.lookahead.wants(packet.key) {
            let reordered = packet.reordered;
            return match self.lookahead.hold(packet, reordered) {
                true => self.release(element),
                false => Ok(()),
            };
        }
        self.picture(element, packet)
    }

    /// Lets go of the pictures that were held back to see how they are reordered.
    fn release(&mut self, element: &super::CameraSrc) -> Flow {
        if self.lookahead.is_empty() {
            return Ok(());
        }
        let held = self.lookahead.release();
        self.timeline.foresee(held.iter().map(|packet| packet.pts));
        held.into_iter()
            .try_for_each(|packet| self.picture(element, packet))
    }

    fn picture(&mut self, element: &super::CameraSrc, packet: Packet) -> Flow {
        let counters = &self.shared.counters;
        let mut stamp = stamp(element, &packet);
        if self.pace == Pace::Paced && !self.started {
            stamp.arrival = self.together.begin(stamp.arrival);
        }
        let Some(mapped) = self.timeline.video(stamp) else {
            counters.frames_dropped.fetch_add(1, Ordering::Relaxed);
            gst::log!(
                CAT,
                obj = element,
                "left out until a key frame, this one: {}, {:?} ns",
                packet.key,
                packet.pts
            );
            return Ok(());
        };
        if self.role == StreamRole::Sub {
            if self.pace == Pace::Free {
                // Neither runs ahead of the other, so that both end at the same moment.
                let queue = &self.shared.queue;
                self.together
                    .wait_for_main(mapped.pts, || queue.is_closed());
            }
            if self.together.is_over(mapped.pts) {
                return Err(Stop::End);
            }
            self.together.second_lost(false);
        }
        if self.pace == Pace::Paced {
            self.wait_until(element, mapped.dts)?;
        }
        let new_caps = self.pending_caps.take();
        let changed = new_caps.is_some() && new_caps != self.caps;
        if !self.started {
            begin(
                &self.video,
                element,
                self.video.name().as_str(),
                self.together.group,
            );
        }
        if let Some(caps) = new_caps.filter(|_| changed) {
            gst::info!(CAT, obj = self.video, "pictures are {caps}");
            self.tell(&gst::event::Caps::new(&caps));
            self.caps = Some(caps);
        }
        if !self.started {
            self.started = true;
            self.video.push_event(segment());
        }
        if mapped.anchored || (packet.key && self.has_come_apart(element)) {
            self.anchor(element, mapped.pts);
        }
        self.up(element, mapped.pts);
        if self.role == StreamRole::Main {
            self.reached = mapped.pts.saturating_add(mapped.duration);
            self.together.main_reached(self.reached);
        }
        let picture = stamped(packet, mapped, changed);
        let again = (self.role == StreamRole::Main).then(|| picture.clone());
        push(&self.video, picture)?;
        if let Some(picture) = again {
            self.mirror(element, picture);
        }
        self.fill_sound();
        Ok(())
    }

    /// Hands a picture to the analysis as well; what becomes of it there never ends the recording.
    fn mirror(&mut self, element: &super::CameraSrc, picture: gst::Buffer) {
        let (pad, group) = (element.imp().mirror_pad(), self.together.group);
        let start = |pad: &gst::Pad| begin(pad, element, "analysis", group);
        if let Err(error) = self.mirror.push(pad.clone(), &self.video, start, picture)
            && let Some(pad) = pad
        {
            report::refused(element, &pad, error);
        }
    }

    /// The pads of the pictures: the stream's own, and the one that carries it once more.
    fn pictures(&self) -> impl Iterator<Item = &gst::Pad> {
        std::iter::once(&self.video).chain(self.mirror.begun())
    }

    /// Tells whoever gets the pictures.
    fn tell(&self, event: &gst::Event) {
        for pad in self.pictures() {
            pad.push_event(event.clone());
        }
    }

    /// Tells downstream of sound that does not come, so that nobody waits for it.
    fn fill_sound(&mut self) {
        if let Some(pad) = &self.audio
            && let Some((start, length)) = self.timeline.missing_sound()
        {
            let time = gst::ClockTime::from_nseconds;
            pad.push_event(gst::event::Gap::new(time(start), time(length)));
        }
    }

    /// Says on the bus what whoever set the camera up may want to know; once, not with every connection.
    fn note(&mut self, element: &super::CameraSrc, note: String) {
        if self.noted.insert(note.clone()) {
            gst::info!(CAT, obj = element, "{note}");
            gst::element_info!(element, gst::StreamError::Format, ("{note}"));
        }
    }

    fn audio(&mut self, element: &super::CameraSrc, packet: Packet) -> Flow {
        if let Some(caps) = &packet.caps {
            self.audio_caps = Some(caps.clone());
        }
        let Some(mapped) = self.timeline.audio(stamp(element, &packet)) else {
            return Ok(());
        };
        let caps = self.audio_caps.take();
        let pad = match &self.audio {
            Some(pad) => pad.clone(),
            None => {
                let Some(pad) = element.imp().add_audio_pad() else {
                    return Ok(());
                };
                begin(&pad, element, "audio", self.together.group);
                if let Some(caps) = &caps {
                    pad.push_event(gst::event::Caps::new(caps));
                }
                pad.push_event(segment());
                if let Some(anchor) = self.anchor {
                    pad.push_event(anchor.to_event());
                }
                self.audio = Some(pad.clone());
                element.no_more_pads();
                return self.push_audio(&pad, packet, mapped);
            }
        };
        if let Some(caps) = caps.filter(|caps| pad.current_caps().as_ref() != Some(caps)) {
            pad.push_event(gst::event::Caps::new(&caps));
        }
        self.push_audio(&pad, packet, mapped)
    }

    /// Sound that nobody takes does not end the pictures: what fails for good fails for them too.
    fn push_audio(&self, pad: &gst::Pad, packet: Packet, mapped: Mapped) -> Flow {
        match push(pad, stamped(packet, mapped, false)) {
            Err(Stop::End | Stop::Failed(_)) => Ok(()),
            other => other,
        }
    }

    fn push_end(&self, element: &super::CameraSrc) {
        let mirror = (self.role == StreamRole::Main)
            .then(|| element.imp().mirror_pad())
            .flatten();
        for pad in std::iter::once(&self.video)
            .chain(&self.audio)
            .chain(&mirror)
        {
            if pad.sticky_event::<gst::event::StreamStart>(0).is_none() {
                // Downstream must know the stream before it hears of its end.
                begin(pad, element, pad.name().as_str(), self.together.group);
            }
            pad.push_event(gst::event::Eos::new());
        }
        if self.role == StreamRole::Main {
            element.imp().main_ended(self.pace, self.reached);
        }
    }

    /// Waits until it is time for a picture that lies ready.
    fn wait_until(&self, element: &super::CameraSrc, running_time: u64) -> Flow {
        let (Some(clock), Some(base)) = (element.clock(), element.base_time()) else {
            return Ok(());
        };
        let time = base + gst::ClockTime::from_nseconds(running_time);
        match self.shared.gate.wait_until(&clock, time) {
            true => Ok(()),
            false => Err(Stop::Flushing),
        }
    }

    /// Whether wall time has moved against the pipeline's since they were tied.
    fn has_come_apart(&self, element: &super::CameraSrc) -> bool {
        self.pace != Pace::Free
            && self
                .anchor
                .is_some_and(|tied| anchor::is_off(tied, running_time(element), wall_clock_us()))
    }

    /// Ties media time to wall time downstream.
    fn anchor(&mut self, element: &super::CameraSrc, pts: u64) {
        let unix_us = match self.pace {
            Pace::Free => self
                .start_unix_us
                .map(|start| start.saturating_add(signed(pts / 1000))),
            Pace::Live | Pace::Paced => {
                let ahead = signed(pts) - signed(running_time(element));
                Some(wall_clock_us() + ahead / 1000)
            }
        };
        if let Some(unix_us) = unix_us {
            let anchor = WallClock {
                pts_ns: pts,
                unix_us,
            };
            self.anchor = Some(anchor);
            self.tell(&anchor.to_event());
            if let Some(audio) = &self.audio {
                audio.push_event(anchor.to_event());
            }
        }
    }

    fn up(&mut self, element: &super::CameraSrc, pts: u64) {
        let state = match self.connection {
            Connection::Up => return,
            Connection::None | Connection::Lost { before: false } => SourceState::Connected,
            Connection::Lost { before: true } => {
                let reconnects = &self.shared.counters.reconnects;
                reconnects.fetch_add(1, Ordering::Relaxed);
                SourceState::Restored
            }
        };
        self.connection = Connection::Up;
        let running_time = match self.pace {
            Pace::Free => pts,
            Pace::Live | Pace::Paced => running_time(element),
        };
        let caps = self.caps.as_deref();
        report::change(element, self.role, caps, state, running_time, None);
    }

    fn lost(&mut self, element: &super::CameraSrc, loss: Loss) {
        gst::warning!(
            CAT,
            obj = element,
            "no pictures of the {} stream ({}): {}",
            self.role,
            loss.reason,
            loss.detail
        );
        let before = matches!(
            self.connection,
            Connection::Up | Connection::Lost { before: true }
        );
        self.connection = Connection::Lost { before };
        self.timeline.reconnected();
        if self.started {
            // What is open downstream, a file or an event, must not wait for a camera that may never come back.
            let now = gst::ClockTime::from_nseconds(running_time(element));
            for pad in self.pictures().chain(&self.audio) {
                pad.push_event(gst::event::Gap::new(now, gst::ClockTime::NONE));
            }
        }
        report::change(
            element,
            self.role,
            self.caps.as_deref(),
            SourceState::Lost,
            running_time(element),
            Some(loss),
        );
    }
}

/// The buffer of a packet with its times.
fn stamped(packet: Packet, mapped: Mapped, new_caps: bool) -> gst::Buffer {
    let mut buffer = packet.data;
    {
        let buffer = buffer.make_mut();
        let time = gst::ClockTime::from_nseconds;
        buffer.set_pts(time(mapped.pts));
        buffer.set_dts(time(mapped.dts));
        buffer.set_duration(time(mapped.duration));
        buffer.unset_flags(gst::BufferFlags::all());
        if !packet.key {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        if mapped.discont || new_caps || packet.corrupted {
            buffer.set_flags(gst::BufferFlags::DISCONT);
        }
        if packet.corrupted {
            buffer.set_flags(gst::BufferFlags::CORRUPTED);
        }
    }
    buffer
}

fn push(pad: &gst::Pad, buffer: gst::Buffer) -> Flow {
    match pad.push(buffer) {
        Ok(_) => Ok(()),
        Err(gst::FlowError::Flushing) => Err(Stop::Flushing),
        Err(gst::FlowError::Eos) => Err(Stop::End),
        Err(error) => Err(Stop::Failed(error)),
    }
}

fn stamp(element: &super::CameraSrc, packet: &Packet) -> Stamp {
    let waited = packet
        .arrival
        .map_or(0, |arrival| arrival.elapsed().as_nanos());
    let arrival = u128::from(running_time(element)).saturating_sub(waited);
    Stamp {
        pts: packet.pts,
        dts: packet.dts,
        duration: packet.duration,
        arrival: i64::try_from(arrival).unwrap_or(i64::MAX),
        key: packet.key,
        reordered: packet.reordered,
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn begin(pad: &gst::Pad, element: &super::CameraSrc, stream: &str, group: gst::GroupId) {
    let id = format!("{}/{stream}", element.path_string());
    pad.push_event(
        gst::event::StreamStart::builder(&id)
            .group_id(group)
            .build(),
    );
}

fn segment() -> gst::Event {
    gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())
}
