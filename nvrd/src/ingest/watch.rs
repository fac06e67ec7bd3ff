//! Sees that every camera that should record does: what does not is an event, a line in the log and a count, at once.

use nvr_contract::event::{Change, Event, Kind};
use nvr_contract::segment::{Gap, GapReason};

use super::Listener;
use crate::live::{Failure, SILENCE};

/// The label when nobody said why.
const SILENT: &str = "not_recording";

/// A failure that is told: its event, open until it is over.
#[derive(Debug)]
pub(super) struct Told {
    id: String,
    failure: Failure,
}

impl Listener {
    /// Compares what every camera does with what it should do.
    pub(super) fn watch(&mut self) {
        let (now, now_us) = (self.clock.monotonic(), self.clock.unix_us());
        for camera in self.live.names() {
            let problem = self
                .live
                .with(&camera, now, |live| live.problem(now, now_us));
            let told = self.told.get(&camera).map(|told| &told.failure.label);
            if told != problem.as_ref().map(|failure| &failure.label) {
                self.over(&camera, now_us);
                if let Some(failure) = &problem {
                    self.fails(&camera, failure);
                }
                self.live
                    .with(&camera, now, |live| drop(live.set_failure(problem.clone())));
            }
            // The ledger is told too, once it is plain that nobody else will.
            let longest_us = i64::try_from(3 * SILENCE.as_micros()).unwrap_or(i64::MAX);
            let silent = problem.filter(|failure| failure.label == SILENT);
            if let Some(failure) = silent.filter(|it| now_us - it.since_us > longest_us) {
                let gap = Gap {
                    start_unix_us: failure.since_us,
                    end_unix_us: None,
                    reason: GapReason::Overload,
                    detail: failure.detail,
                };
                self.gap(&camera, &gap);
            }
        }
    }

    fn fails(&mut self, camera: &str, failure: &Failure) {
        tracing::error!(
            camera.id = camera,
            detail = failure.detail,
            "the camera is not recorded: {}",
            failure.label
        );
        self.live.counters().fail();
        let told = Told {
            id: self.store.new_id(),
            failure: failure.clone(),
        };
        self.event(camera, event_of(&told, Change::Opened, None));
        self.told.insert(camera.to_owned(), told);
    }

    fn over(&mut self, camera: &str, now_us: i64) {
        let Some(told) = self.told.remove(camera) else {
            return;
        };
        tracing::info!(camera.id = camera, "over: {}", told.failure.label);
        self.event(camera, event_of(&told, Change::Closed, Some(now_us)));
    }

    /// Nothing comes any more: what failed is not known to fail any longer.
    pub(super) fn close_failures(&mut self) {
        let now_us = self.clock.unix_us();
        let cameras: Vec<String> = self.told.keys().cloned().collect();
        for camera in cameras {
            self.over(&camera, now_us);
        }
    }
}

fn event_of(told: &Told, change: Change, end_us: Option<i64>) -> Event {
    let start_us = told.failure.since_us;
    Event {
        change,
        id: told.id.clone(),
        kind: Kind::System,
        label: Some(told.failure.label.clone()),
        // It rests on no picture.
        start_ns: 0,
        end_ns: end_us.map(|_| 0),
        start_unix_us: Some(start_us),
        end_unix_us: end_us.map(|end| end.max(start_us)),
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
