//! What the recording side of the daemon counts, for health now and for metrics later.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use utoipa::ToSchema;

/// Counters that only grow, and the length of a queue.
#[derive(Debug, Default)]
pub struct Counters {
    dropped_updates: AtomicU64,
    dropped_segments: AtomicU64,
    dropped_changes: AtomicU64,
    found_segments: AtomicU64,
    store_retries: AtomicU64,
    failures: AtomicU64,
    waiting: AtomicU64,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Changes that wait for the database.
    pub waiting: u64,
    /// Updates of events that were left out because too much waited.
    pub dropped_updates: u64,
    /// Files whose rows were left out because too much waited; they are found again on disk.
    pub dropped_segments: u64,
    /// Other changes that were lost because too much waited.
    pub dropped_changes: u64,
    /// Files that were found on disk and have their row now.
    pub found_segments: u64,
    /// Attempts to write to the database that failed and were repeated.
    pub store_retries: u64,
    /// Failures that cost recording, each once.
    pub failures: u64,
}

macro_rules! counting {
    ($($(#[$meta:meta])* $verb:ident $field:ident;)+) => {
        impl Counters {
            $($(#[$meta])* pub fn $verb(&self) { self.$field.fetch_add(1, Ordering::Relaxed); })+

            /// All of them.
            pub fn counts(&self) -> Counts {
                Counts {
                    waiting: self.waiting.load(Ordering::Relaxed),
                    $($field: self.$field.load(Ordering::Relaxed),)+
                }
            }
        }
    };
}

counting! {
    /// An update of an event was left out.
    drop_update dropped_updates;
    /// The row of a file was left out.
    drop_segment dropped_segments;
    /// Another change was lost.
    drop_change dropped_changes;
    /// A file was found on disk and listed.
    find_segment found_segments;
    /// An attempt to write to the database is repeated.
    retry_store store_retries;
    /// A failure costs recording.
    fail failures;
}

impl Counters {
    /// So much waits for the database.
    pub fn set_waiting(&self, waiting: usize) {
        self.waiting.store(waiting as u64, Ordering::Relaxed);
    }
}
