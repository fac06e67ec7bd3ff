//! An event as its table holds it, and the way there and back.

use diesel::prelude::*;

use super::{EventRow, EventState};
use crate::schema::events;

/// Unsigned numbers are stored as the signed ones of the same bits.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Debug, Clone, PartialEq)]
#[diesel(table_name = events, treat_none_as_null = true)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) camera: String,
    kind: String,
    label: Option<String>,
    pub(super) state: String,
    start_us: i64,
    end_us: Option<i64>,
    start_ns: i64,
    end_ns: Option<i64>,
    score: Option<f64>,
    box_x: Option<f64>,
    box_y: Option<f64>,
    box_w: Option<f64>,
    box_h: Option<f64>,
    track_id: Option<i64>,
    identity: Option<String>,
    similarity: Option<f64>,
    frames: i64,
    model: Option<String>,
    pipeline: Option<String>,
    interrupted: bool,
}

impl From<&EventRow> for Record {
    fn from(event: &EventRow) -> Self {
        let event = event.clone();
        let side = |index: usize| event.bbox.map(|sides| sides[index]);
        Self {
            box_x: side(0),
            box_y: side(1),
            box_w: side(2),
            box_h: side(3),
            id: event.id,
            camera: event.camera,
            kind: event.kind,
            label: event.label,
            state: event.state.as_str().to_owned(),
            start_us: event.start_us,
            end_us: event.end_us,
            start_ns: event.start_ns.cast_signed(),
            end_ns: event.end_ns.map(u64::cast_signed),
            score: event.score,
            track_id: event.track_id.map(u64::cast_signed),
            identity: event.identity,
            similarity: event.similarity,
            frames: event.frames.cast_signed(),
            model: event.model,
            pipeline: event.pipeline,
            interrupted: event.interrupted,
        }
    }
}

impl Record {
    pub(super) fn into_row(self, zones: Vec<String>) -> EventRow {
        let bbox = match (self.box_x, self.box_y, self.box_w, self.box_h) {
            (Some(x), Some(y), Some(w), Some(h)) => Some([x, y, w, h]),
            _ => None,
        };
        EventRow {
            id: self.id,
            camera: self.camera,
            kind: self.kind,
            label: self.label,
            // The table allows two words only.
            state: if self.state == EventState::Open.as_str() {
                EventState::Open
            } else {
                EventState::Closed
            },
            start_us: self.start_us,
            end_us: self.end_us,
            start_ns: self.start_ns.cast_unsigned(),
            end_ns: self.end_ns.map(i64::cast_unsigned),
            score: self.score,
            bbox,
            zones,
            track_id: self.track_id.map(i64::cast_unsigned),
            identity: self.identity,
            similarity: self.similarity,
            frames: self.frames.cast_unsigned(),
            model: self.model,
            pipeline: self.pipeline,
            interrupted: self.interrupted,
        }
    }
}
