//! Who asks the recorder for pictures while it records on events: the events that are open, and people.

use std::collections::BTreeSet;
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use nvr_base::{Error, Result};
use nvr_contract::event::{Change, Event, Kind};

use super::Camera;
use crate::description;
use crate::notice::{CameraState, What};
use crate::spec::ParamValue;

/// The knob that says when to record, and its word for events.
const MODE: (&str, &str) = ("mode", "event");
/// Open events that are told apart; more of them at a time hold the recording no longer than these.
const MAX_EVENTS: usize = 1024;

/// What is asked for at the moment.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// Ids of the events of the pipeline that are open.
    events: BTreeSet<String>,
    manual: Option<Manual>,
    /// What was said last: whether anything is recorded, as far as it is up to this.
    said: Option<bool>,
}

/// An event that a person made.
#[derive(Debug)]
struct Manual {
    event: Event,
    until: Duration,
}

/// What a person's wish led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggered {
    /// Id of the event of the kind `manual`: a new one, or the one that was open and lasts longer now.
    pub event_id: String,
    /// Its start, microseconds since 1970-01-01 UTC.
    pub start_unix_us: i64,
    /// Its end, unless it is asked for again, microseconds since 1970-01-01 UTC.
    pub end_unix_us: i64,
}

impl Demand {
    fn any(&self) -> bool {
        self.manual.is_some() || !self.events.is_empty()
    }

    /// When a person's event is over.
    pub(super) fn at(&self) -> Option<Duration> {
        self.manual.as_ref().map(|manual| manual.until)
    }
}

impl Camera {
    /// Takes note of an event of the pipeline; what the system says of itself is no reason to record.
    pub(super) fn heed(&mut self, event: &Event) {
        if event.kind == Kind::System {
            return;
        }
        match event.change {
            Change::Opened | Change::Updated => {
                if self.demand.events.len() < MAX_EVENTS {
                    self.demand.events.insert(event.id.clone());
                }
            }
            Change::Closed => {
                self.demand.events.remove(&event.id);
            }
        }
        self.demand_changed();
    }

    /// A new pipeline: events of the one before are over, whether they were closed or not.
    pub(super) fn demand_anew(&mut self) {
        self.demand.events.clear();
        self.demand.said = None;
        if let Some(until) = self.demand.at() {
            self.decode_all_for(until.saturating_sub(self.clock.monotonic()));
        }
        self.demand_changed();
    }

    /// Tells the recorder, and whoever watches that pictures reach the disk.
    pub(super) fn demand_changed(&mut self) {
        let any = self.demand.any();
        // In other modes the recorder only remembers it, so that a change of the mode finds it told.
        let recorder = self.running.as_ref();
        let recorder = recorder.and_then(|running| running.pipeline.by_name(description::RECORDER));
        let signal = if any { "start" } else { "stop" };
        if let Some(recorder) = recorder
            && glib::subclass::SignalId::lookup(signal, recorder.type_()).is_some()
        {
            recorder.emit_by_name::<()>(signal, &[]);
        }
        let wanted = any || !self.records_on_events();
        if self.demand.said.replace(wanted) != Some(wanted) {
            self.notify(What::Wanted(wanted));
        }
    }

    fn records_on_events(&self) -> bool {
        let value = self.spec.params.get(MODE.0);
        matches!(value, Some(ParamValue::Text(word)) if word == MODE.1)
            && self.description().launch.has(description::EVENTS)
    }

    /// A person wants the next `seconds` recorded; an event that a person made before lasts longer.
    pub(super) fn trigger(&mut self, id: String, seconds: u32) -> Result<Triggered> {
        let state = self
            .status
            .lock()
            .expect("no holder of this lock panics")
            .state;
        if !self.spec.enabled || state == CameraState::Stopped {
            return Err(Error::precondition(format!(
                "camera {:?} does not run: start it first",
                self.spec.name.as_str()
            )));
        }
        let (now, now_us) = (self.clock.monotonic(), self.clock.unix_us());
        let until = now + Duration::from_secs(u64::from(seconds));
        let end_unix_us = now_us.saturating_add(i64::from(seconds) * 1_000_000);
        self.decode_all_for(Duration::from_secs(u64::from(seconds)));
        if let Some(manual) = &mut self.demand.manual {
            let longer = manual.until.max(until);
            let end_unix_us = match longer == until {
                true => end_unix_us,
                false => manual.event.end_unix_us.unwrap_or(end_unix_us),
            };
            manual.until = longer;
            manual.event.end_unix_us = Some(end_unix_us);
            return Ok(Triggered {
                event_id: manual.event.id.clone(),
                start_unix_us: manual.event.start_unix_us.unwrap_or(now_us),
                end_unix_us,
            });
        }
        let mut event = self.manual_event(id, now_us);
        self.notify(What::Event(event.clone()));
        // Kept for whoever asks again; it is told once it is over.
        event.end_unix_us = Some(end_unix_us);
        let triggered = Triggered {
            event_id: event.id.clone(),
            start_unix_us: now_us,
            end_unix_us,
        };
        self.demand.manual = Some(Manual { event, until });
        self.demand_changed();
        Ok(triggered)
    }

    fn manual_event(&self, id: String, now_us: i64) -> Event {
        Event {
            change: Change::Opened,
            id,
            kind: Kind::Manual,
            label: None,
            start_ns: self.running_ns(),
            end_ns: None,
            start_unix_us: Some(now_us),
            end_unix_us: None,
            score: None,
            bbox: None,
            zones: Vec::new(),
            track_id: None,
            identity: None,
            similarity: None,
            frames: 0,
            model: None,
            pipeline: None,
        }
    }

    fn running_ns(&self) -> u64 {
        let running = self.running.as_ref();
        let time = running.and_then(|running| running.pipeline.current_running_time());
        time.map_or(0, gst::ClockTime::nseconds)
    }

    /// What a person asked for is over when its time is, and when the camera stops.
    pub(super) fn end_manual(&mut self) {
        let Some(Manual { event, .. }) = self.demand.manual.take() else {
            return;
        };
        self.notify(What::Event(Event {
            change: Change::Closed,
            end_ns: Some(self.running_ns().max(event.start_ns)),
            end_unix_us: event.start_unix_us.max(Some(self.clock.unix_us())),
            ..event
        }));
        self.demand_changed();
    }
}
