//! What cameras say, as it becomes changes for the store and the picture of this moment.

use std::path::Path;

use nvr_contract::event::{self, Event};
use nvr_contract::segment::{Gap, GapReason, SegmentClosed, SegmentOpened};
use nvr_contract::source::{SourceChange, SourceState, StreamRole};
use nvr_media::{CameraState, CameraStatus, Notice, What};
use nvr_store::{
    Change, EventChange, EventRow, EventState, GapChange, GapStep, SegmentRow, StoreChange,
};

use super::Listener;
use super::backlog::Waiting;
use crate::hub::CommittedEvent;

/// The wall clock went on so much more than the pictures did: it was set forward, microseconds.
const STEP_US: i64 = 500_000;

impl Listener {
    pub(super) fn hear(&self, notice: Notice) {
        let camera = notice.camera.as_str();
        match notice.what {
            What::Event(event) => self.event(camera, event),
            What::Face(seen) => {
                if let Some(faces) = &self.faces {
                    faces.met(camera, seen, self.clock.unix_us());
                }
            }
            What::SegmentOpened(opened) => self.opened(camera, &opened),
            What::FragmentWritten(fragment) => {
                let now = self.clock.monotonic();
                self.live
                    .with(camera, now, |live| live.fragment(&fragment, now));
            }
            What::SegmentClosed(closed) => self.closed(camera, &closed),
            What::Gap(gap) => {
                if gap.end_unix_us.is_none() {
                    self.storage.trouble(gap.reason, gap.detail.as_deref());
                }
                self.gap(camera, &gap);
            }
            What::Wanted(wanted) => {
                let now = self.clock.monotonic();
                self.live.with(camera, now, |live| live.wanted(wanted, now));
            }
            What::Source(change) => self.source(camera, &change),
            What::State(status) => self.state(camera, &status),
        }
    }

    pub(super) fn event(&self, camera: &str, event: Event) {
        let change = change_of_event(camera, &event, self.clock.unix_us());
        self.backlog.push(Waiting {
            change: StoreChange::Event(change.clone()),
            event: Some(CommittedEvent {
                camera: camera.to_owned(),
                event,
                committed: change,
            }),
            location: None,
        });
    }

    /// Whatever stood in the way, an earlier run's crash included, does so no longer.
    fn opened(&self, camera: &str, opened: &SegmentOpened) {
        tracing::debug!(
            camera.id = camera,
            segment.path = opened.location,
            "segment opened"
        );
        let now = self.clock.monotonic();
        let (covered_us, went) = self.live.with(camera, now, |live| {
            (live.covered_us(), live.opened(opened, now))
        });
        let (reason, detail) = why_nothing_was_noted(went);
        self.note(
            camera,
            covered_us,
            GapStep::Resumes {
                at_us: opened.start_unix_us,
                reason: reason.as_str().to_owned(),
                detail: Some(detail),
            },
        );
    }

    fn closed(&self, camera: &str, closed: &SegmentClosed) {
        let now = self.clock.monotonic();
        let Some(row) = self.row(camera, closed) else {
            tracing::error!(
                camera.id = camera,
                segment.path = closed.location,
                "a segment lies outside the storage"
            );
            return;
        };
        self.live.with(camera, now, |live| live.closed(closed, now));
        self.backlog.push(Waiting {
            change: StoreChange::Segment(row),
            event: None,
            location: Some(closed.location.clone()),
        });
    }

    fn row(&self, camera: &str, closed: &SegmentClosed) -> Option<SegmentRow> {
        let (storage, path) = self.storage.relative(Path::new(&closed.location))?;
        Some(SegmentRow {
            id: self.store.new_id(),
            camera: camera.to_owned(),
            path: path.display().to_string(),
            start_us: closed.start_unix_us,
            end_us: closed.end_unix_us,
            frames: closed.frames,
            bytes: closed.bytes,
            codec: closed.codec.clone(),
            width: closed.width,
            height: closed.height,
            blake3: Some(closed.blake3.clone()).filter(|hash| !hash.is_empty()),
            discont: closed.discont,
            keyframes: closed
                .keyframes
                .iter()
                .map(|key| (key.offset_ns, key.byte))
                .collect(),
            storage,
            protected: false,
            audio: closed.audio.clone(),
        })
    }

    pub(super) fn gap(&self, camera: &str, gap: &Gap) {
        let now = self.clock.monotonic();
        let reason = gap.reason;
        let begins = |end_us: Option<i64>| GapStep::Begins {
            reason: reason.as_str().to_owned(),
            start_us: gap.start_unix_us,
            end_us,
            detail: gap.detail.clone(),
        };
        let (covered_us, step) = self.live.with(camera, now, |live| {
            let step = match gap.end_unix_us {
                None => {
                    live.gap_begins(reason, gap.start_unix_us, gap.detail.as_deref());
                    begins(None)
                }
                Some(end_us) if live.misses(reason) => {
                    live.gap_ends(reason, end_us, now);
                    let reason = Some(reason.as_str().to_owned());
                    GapStep::Ends { reason, end_us }
                }
                // It ended with the file that was begun, or is told as a whole.
                Some(end_us) => {
                    live.gap_was(reason, gap.start_unix_us, end_us);
                    begins(Some(end_us))
                }
            };
            (live.covered_us(), step)
        });
        self.note(camera, covered_us, step);
    }

    /// Ends a gap, if it lasts.
    fn gap_ends(&self, camera: &str, reason: GapReason, end_us: i64) {
        let now = self.clock.monotonic();
        self.live
            .with(camera, now, |live| live.gap_ends(reason, end_us, now));
        // Also where this process knows of none: one may last since an earlier run.
        self.note(
            camera,
            None,
            GapStep::Ends {
                reason: Some(reason.as_str().to_owned()),
                end_us,
            },
        );
    }

    /// An outage begins when pictures stop and ends when they come again; the file that follows fills in the rest.
    fn source(&self, camera: &str, change: &SourceChange) {
        // The second stream is analysed, and nothing of it is recorded.
        if change.stream != StreamRole::Main {
            return;
        }
        match change.state {
            SourceState::Lost => self.gap(
                camera,
                &Gap {
                    start_unix_us: change.unix_us,
                    end_unix_us: None,
                    reason: GapReason::SourceLost,
                    detail: change.detail.clone(),
                },
            ),
            SourceState::Connected | SourceState::Restored => {
                self.gap_ends(camera, GapReason::SourceLost, change.unix_us);
            }
        }
    }

    fn state(&self, camera: &str, status: &CameraStatus) {
        let (state, detail) = (status.state, status.detail.as_deref());
        tracing::info!(camera.id = camera, detail, "camera is {}", state.as_str());
        let (now, now_us) = (self.clock.monotonic(), self.clock.unix_us());
        self.live
            .with(camera, now, |live| live.state(state, now, now_us));
        if let Some(hub) = &self.hub {
            hub.camera_changed(camera, status);
        }
        if state == CameraState::Starting {
            // A person wants it again, or the daemon started: what stands in the way now has another name.
            self.gap_ends(camera, GapReason::Paused, status.since_unix_us);
        }
    }

    fn note(&self, camera: &str, covered_us: Option<i64>, what: GapStep) {
        self.backlog.push(Waiting {
            change: StoreChange::Gap(GapChange {
                camera: camera.to_owned(),
                covered_us,
                what,
            }),
            event: None,
            location: None,
        });
    }
}

/// The reason for what nobody explained between two files, by how far the wall clock and the pictures went on.
fn why_nothing_was_noted(went: Option<(i64, i64)>) -> (GapReason, String) {
    match went {
        Some((wall_us, media_us)) if wall_us - media_us > STEP_US && media_us < STEP_US => (
            GapReason::ClockStep,
            format!(
                "the wall clock went forward by {:.3} s; no picture is missing",
                (wall_us - media_us) as f64 / 1e6
            ),
        ),
        _ => (
            GapReason::SourceLost,
            "no picture came from the camera".to_owned(),
        ),
    }
}

fn change_of_event(camera: &str, event: &Event, now_us: i64) -> EventChange {
    let change = match event.change {
        event::Change::Opened => Change::Opened,
        event::Change::Updated => Change::Updated,
        event::Change::Closed => Change::Closed,
    };
    let state = if change == Change::Closed {
        EventState::Closed
    } else {
        EventState::Open
    };
    // Without a wall clock upstream the moment of arrival is the best that is known.
    let start_us = event.start_unix_us.unwrap_or(now_us);
    EventChange {
        change,
        event: EventRow {
            id: event.id.clone(),
            camera: camera.to_owned(),
            kind: event.kind.as_str().to_owned(),
            label: event.label.clone(),
            state,
            start_us,
            end_us: event.end_unix_us,
            start_ns: event.start_ns,
            end_ns: event.end_ns,
            score: event.score,
            bbox: event.bbox.map(nvr_contract::BBox::to_array),
            zones: event.zones.clone(),
            track_id: event.track_id,
            identity: event.identity.clone(),
            similarity: event.similarity,
            frames: event.frames,
            model: event.model.clone(),
            pipeline: event.pipeline.clone(),
            interrupted: false,
        },
    }
}
