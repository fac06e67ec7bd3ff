//! How long the database takes, reading and writing apart.

use std::sync::atomic::{AtomicU64, Ordering};

use nvr_base::durations::Counted;
use nvr_base::{Clock, Durations, Result};

/// How long transactions of a kind took, from the wait for a connection on.
#[derive(Debug, Default)]
pub(crate) struct Took {
    durations: Durations,
    failed: AtomicU64,
}

/// How long the transactions of a kind took since the database was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// By their duration, the wait for a connection included; those that failed too.
    pub spent: Counted,
    /// How many failed.
    pub failed: u64,
}

impl Took {
    /// Does something and counts how long it took.
    pub(crate) fn count<T>(
        &self,
        clock: &dyn Clock,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let begun = clock.monotonic();
        let done = work();
        self.durations.add(clock.monotonic().saturating_sub(begun));
        if done.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    /// What was counted so far.
    pub(crate) fn latency(&self) -> Latency {
        Latency {
            spent: self.durations.counted(),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}
