//! What goes out on the pad `analysis`: the second stream where there is one, otherwise the main one's own pictures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use nvr_contract::source::StreamRole;

use super::imp::{CAT, CameraSrc};
use super::stream::{Counters, Line, Shared, Streamer};
use crate::backend::{self, Running};
use crate::gate::Gate;
use crate::timeline::Pace;
use crate::uri::Source;

/// A paced second stream that begins so much later than the first one begins by itself, nanoseconds.
const TOGETHER: i64 = 2_000_000_000;

/// How soon a second stream that waits for the first one notices that it is not wanted any more.
const POLL: Duration = Duration::from_millis(50);

/// What the two streams of a camera know of each other.
#[derive(Debug)]
pub struct Together {
    /// One group: a player shows them at once.
    pub group: gst::GroupId,
    begin: OnceLock<i64>,
    main: Mutex<Main>,
    moved: Condvar,
    /// The second stream sends nothing at the moment.
    second_lost: AtomicBool,
}

/// How far the main stream is, running time in nanoseconds.
#[derive(Debug, Default)]
struct Main {
    reached: u64,
    end: Option<u64>,
}

impl Default for Together {
    fn default() -> Self {
        Self {
            group: gst::GroupId::next(),
            begin: OnceLock::new(),
            main: Mutex::default(),
            moved: Condvar::new(),
            second_lost: AtomicBool::new(false),
        }
    }
}

impl Together {
    /// Where the first picture of a stream that lies ready is placed: where the other stream's was.
    pub fn begin(&self, arrival: i64) -> i64 {
        let begin = *self.begin.get_or_init(|| arrival);
        if arrival.abs_diff(begin) < TOGETHER.unsigned_abs() {
            begin
        } else {
            arrival
        }
    }

    fn main(&self) -> MutexGuard<'_, Main> {
        self.main.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The main stream sends a picture that ends at that time.
    pub fn main_reached(&self, reached: u64) {
        self.main().reached = reached;
        self.moved.notify_all();
    }

    /// Whether the main stream ended at or before that time.
    pub fn is_over(&self, pts: u64) -> bool {
        self.main().end.is_some_and(|end| end <= pts)
    }

    /// Waits until the main stream is at that time, has ended, or `closed`.
    pub fn wait_for_main(&self, pts: u64, closed: impl Fn() -> bool) {
        let mut main = self.main();
        while main.reached <= pts && main.end.is_none() && !closed() {
            let wait = self.moved.wait_timeout(main, POLL);
            main = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Notes whether the second stream sends; true when it need not try any more.
    pub fn second_lost(&self, lost: bool) -> bool {
        let main = self.main();
        self.second_lost.store(lost, Ordering::Relaxed);
        lost && main.end.is_some()
    }

    /// The main stream ends; true when the second one does not come there by itself.
    fn main_ended(&self, at: u64) -> bool {
        let mut main = self.main();
        main.end = Some(at);
        self.moved.notify_all();
        self.second_lost.load(Ordering::Relaxed)
    }
}

/// The second stream at work.
#[derive(Debug)]
struct Second {
    shared: Arc<Shared>,
    backend: Running,
}

/// The pad, and what feeds it.
#[derive(Debug, Default)]
pub(super) struct Analysis {
    pad: Option<gst::Pad>,
    source: Option<Source>,
    together: Arc<Together>,
    second: Option<Second>,
}

impl CameraSrc {
    fn analysis(&self) -> MutexGuard<'_, Analysis> {
        self.analysis.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn second(&self) -> Option<Arc<Shared>> {
        self.analysis()
            .second
            .as_ref()
            .map(|second| Arc::clone(&second.shared))
    }

    /// The pad that carries the main stream once more, if there is one.
    pub(super) fn mirror_pad(&self) -> Option<gst::Pad> {
        let analysis = self.analysis();
        analysis.pad.clone().filter(|_| analysis.source.is_none())
    }

    /// What the second stream is from the next start on.
    pub(super) fn set_second(&self, source: Option<Source>) {
        let mut analysis = self.analysis();
        analysis.source = source;
        analysis.together = Arc::default();
    }

    pub(super) fn together(&self) -> Arc<Together> {
        Arc::clone(&self.analysis().together)
    }

    /// Adds the pad; `None` when it is there already.
    pub(super) fn add_analysis_pad(&self, template: &gst::PadTemplate) -> Option<gst::Pad> {
        let pad = super::pads::pad(template);
        {
            let mut analysis = self.analysis();
            if analysis.pad.is_some() {
                return None;
            }
            analysis.pad = Some(pad.clone());
        }
        let obj = self.obj();
        let active = obj.current_state() > gst::State::Ready;
        if (active && pad.set_active(true).is_err()) || obj.add_pad(&pad).is_err() {
            self.analysis().pad = None;
            return None;
        }
        if active {
            if let Err(error) = self.start_second() {
                gst::error!(CAT, imp = self, "the second stream does not start: {error}");
            } else if obj.current_state() == gst::State::Playing {
                self.gate_second(Gate::open);
            }
        }
        Some(pad)
    }

    /// Takes the pad away, and stops what fed it.
    pub(super) fn remove_analysis_pad(&self, pad: &gst::Pad) {
        if self.analysis().pad.as_ref() != Some(pad) {
            return;
        }
        self.interrupt_second();
        // A pad that is gone already is what is wanted.
        pad.set_active(false).ok();
        self.stop_second(Duration::ZERO);
        self.analysis().pad = None;
        self.obj().remove_pad(pad).ok();
    }

    /// Starts the second stream, where there is one and somebody wants it.
    pub(super) fn start_second(&self) -> Result<(), String> {
        let (pad, source, together) = {
            let analysis = self.analysis();
            let (Some(pad), Some(source), None) =
                (&analysis.pad, &analysis.source, &analysis.second)
            else {
                return Ok(());
            };
            (pad.clone(), source.clone(), Arc::clone(&analysis.together))
        };
        let shared = Arc::new(Shared {
            queue: Arc::new(backend::queue_for(&source)),
            gate: Gate::default(),
            counters: Arc::clone(&self.second_counters),
            wakes: self.wakes(&source),
        });
        let options = self.second_options(&source, &shared.wakes);
        let pace = Pace::of(&source);
        let backend = backend::start(source, options, Arc::clone(&shared.queue))?;
        let line = Line {
            role: StreamRole::Sub,
            pad: pad.clone(),
            pace,
            start_unix_us: self.start_unix_us(),
            together,
        };
        let mut streamer = Streamer::new(self, Arc::clone(&shared), line);
        self.analysis().second = Some(Second { shared, backend });
        pad.start_task(move || streamer.iterate())
            .map_err(|error| error.to_string())
    }

    /// Sets how often the network thread looks for the second stream's packets.
    pub(super) fn set_second_wakes(&self, interval: Duration) {
        if let Some(second) = self.second() {
            second.wakes.set(interval);
        }
    }

    /// Opens or shuts the second stream's gate.
    pub(super) fn gate_second(&self, work: impl FnOnce(&Gate)) {
        if let Some(second) = self.second() {
            work(&second.gate);
        }
    }

    /// Wakes what waits there, so that the pad can be shut.
    pub(super) fn interrupt_second(&self) {
        if let Some(second) = self.second() {
            second.gate.close();
            second.queue.close();
        }
    }

    /// Ends the second stream's thread and backend; its pad is shut by now.
    pub(super) fn stop_second(&self, deadline: Duration) {
        let (pad, second) = {
            let mut analysis = self.analysis();
            (analysis.pad.clone(), analysis.second.take())
        };
        let Some(second) = second else { return };
        if pad.is_some_and(|pad| pad.stop_task().is_err()) {
            gst::warning!(
                CAT,
                imp = self,
                "the second stream's thread was not to be stopped"
            );
        }
        Counters::settle(&second.shared);
        if !second.backend.stop(deadline) {
            gst::warning!(
                CAT,
                imp = self,
                "the second stream's source does not stop and is left alone"
            );
        }
    }

    /// The main stream has ended at that running time: so does the second one, a recording at the same moment.
    pub(super) fn main_ended(&self, pace: Pace, at: u64) {
        let waits = self.together().main_ended(at);
        if let Some(second) = self.second().filter(|_| waits || pace != Pace::Free) {
            second.queue.ask_end();
            second.gate.call_off();
        }
    }
}

/// The main stream's pictures on the other pad, by reference.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    pad: Option<gst::Pad>,
    /// The pad has had a key frame and what goes before it.
    begun: bool,
    refused: bool,
}

impl Mirror {
    /// Where events go as well.
    pub(super) fn begun(&self) -> Option<&gst::Pad> {
        self.pad.as_ref().filter(|_| self.begun)
    }

    /// Pushes a picture that went out on `video`; an error is what the other side made of it.
    pub(super) fn push(
        &mut self,
        pad: Option<gst::Pad>,
        video: &gst::Pad,
        stream_start: impl FnOnce(&gst::Pad),
        picture: gst::Buffer,
    ) -> Result<(), gst::FlowError> {
        if pad != self.pad {
            *self = Self {
                pad,
                ..Self::default()
            };
        }
        let Some(pad) = self.pad.as_ref().filter(|_| !self.refused) else {
            return Ok(());
        };
        if !self.begun {
            if picture.flags().contains(gst::BufferFlags::DELTA_UNIT) {
                return Ok(());
            }
            self.begun = true;
            stream_start(pad);
            for event in sticky_events(video) {
                pad.push_event(event);
            }
        }
        match pad.push(picture) {
            // Nobody there, nobody any more, or no pad any more: the recording is not concerned.
            Ok(_)
            | Err(gst::FlowError::NotLinked | gst::FlowError::Eos | gst::FlowError::Flushing) => {
                Ok(())
            }
            Err(error) => {
                self.refused = true;
                Err(error)
            }
        }
    }
}

/// What a pad has told of its stream, but for the stream's name.
fn sticky_events(pad: &gst::Pad) -> Vec<gst::Event> {
    let mut events = Vec::new();
    pad.sticky_events_foreach(|event| {
        if event.type_() != gst::EventType::StreamStart {
            events.push(event.clone());
        }
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    events
}

/// The place of the analysis in the element.
pub(super) type Place = Mutex<Analysis>;
