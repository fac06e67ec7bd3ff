//! An event that is on disk, as it is handed on inside the daemon.

use nvr_contract::BBox;
use nvr_contract::event::{self, Event, Kind};
use nvr_store::{Change, EventChange};

/// A committed event, for clients and actions.
#[derive(Debug, Clone)]
pub struct CommittedEvent {
    /// The camera.
    pub camera: String,
    /// The event as `eventsink` said it, or would have.
    pub event: Event,
    /// What was committed.
    pub committed: EventChange,
}

impl CommittedEvent {
    /// Of an event that no element made.
    pub fn of(committed: EventChange) -> Self {
        let row = &committed.event;
        let event = Event {
            change: match committed.change {
                Change::Opened => event::Change::Opened,
                Change::Updated => event::Change::Updated,
                Change::Closed => event::Change::Closed,
            },
            id: row.id.clone(),
            kind: Kind::from_word(&row.kind).unwrap_or(Kind::System),
            label: row.label.clone(),
            start_ns: row.start_ns,
            end_ns: row.end_ns,
            start_unix_us: Some(row.start_us),
            end_unix_us: row.end_us,
            score: row.score,
            bbox: row.bbox.map(|[x, y, w, h]| BBox::clamped(x, y, w, h)),
            zones: row.zones.clone(),
            track_id: row.track_id,
            identity: row.identity.clone(),
            similarity: row.similarity,
            frames: row.frames,
            model: row.model.clone(),
            pipeline: row.pipeline.clone(),
        };
        Self {
            camera: row.camera.clone(),
            event,
            committed,
        }
    }
}
