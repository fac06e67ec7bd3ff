//! Everything in the daemon that touches the database.
//!
//! Verbs of the domain, not tables: each takes plain values and returns plain structs. All of it blocks, so
//! asynchronous callers go through a blocking task. Writes take turns on one connection, each in one transaction
//! that is on disk when the call returns; reads run beside them, each on a snapshot of its own.
//! Times are microseconds since 1970-01-01 UTC, ranges include their start and exclude their end, ids are UUIDs.
#![warn(missing_docs, unreachable_pub)]

mod backend;
mod place;
mod connect;
mod open;
mod latency;
mod conn;
mod dialect;
mod failure;
mod schema;
mod migrate;
mod copy;
mod page;
mod cameras;
mod events;
mod descriptions;
mod ai;
mod controllers;
mod segments;
mod storages;
mod tiers;
mod garbage;
pub mod retention;
mod files;
mod salvage;
mod gaps;
mod timelapses;
mod notifications;
mod runs;
mod ledger;
mod exports;
mod settings;
mod apply;
mod health;
mod users;
mod sessions;
mod keys;
mod audit;
mod people;
mod strangers;

pub use ai::{AiProviderRow, AiUsage, MAX_AI_PROVIDERS, NewAiProvider};
pub use apply::{Committed, Refused, StoreChange};
pub use audit::{AuditBounds, AuditFilter, AuditRow, NewAudit};
pub use cameras::{CameraRow, NewCamera};
pub use conn::Store;
pub use controllers::{ControllerCamera, ControllerRow, MAX_CONTROLLERS, NewController};
pub use copy::copy_database;
pub use descriptions::{DescriptionSample, EventDescription, NewDescription};
pub use events::{Change, EventChange, EventFilter, EventGroup, EventRow, EventState};
pub use exports::{ExportGap, ExportOutcome, ExportRow, ExportState, NewExport};
pub use files::{FileRow, Overlap};
pub use gaps::{GapChange, GapRow, GapStep};
pub use garbage::{ClockDoubt, GarbageRow, Pending};
pub use health::Health;
pub use keys::{KeyRow, KeyUse, MAX_KEYS, NewKey};
pub use latency::Latency;
pub use ledger::{Facts, Ledger, PRECEDENCE, Recorded, Share, Stretch, Tile, tile};
pub use migrate::newest_schema;
pub use notifications::{KeepNotifications, NewNotification, NotificationRow};
pub use page::{MAX_LIMIT, Page, PageRequest};
pub use people::{FaceRow, Forgotten, MAX_FACES, NewFace, NewPerson, PersonRow};
pub use place::{Place, Server};
pub use runs::RunRow;
pub use salvage::Salvaged;
pub use segments::{CameraTotals, SegmentRow};
pub use sessions::{MAX_SESSIONS_OF_USER, Rotated, SessionKind, SessionRow};
pub use storages::StorageRow;
pub use strangers::{NewSighting, StrangerRow};
pub use tiers::{Ahead, Held};
pub use timelapses::{NewTimelapse, TimelapseFilm, TimelapseRow, TimelapseState};
pub use users::{Keep, MAX_USERS, NewUser, UserRow};

#[cfg(test)]
#[path = "../../../tests/support/postgres.rs"]
mod postgres_for_tests;
