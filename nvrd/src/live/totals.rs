//! What a camera recorded and missed since the start of the daemon, for the metrics.

use std::collections::BTreeMap;

use nvr_contract::segment::GapReason;

/// Sums that only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pictures in files that are closed.
    pub frames: u64,
    /// Bytes in files, the open one as far as it is on disk.
    pub bytes: u64,
    /// Files that are closed.
    pub segments: u64,
    /// How much time is on disk, microseconds.
    pub recorded_us: u64,
    /// What was missed, by the reason.
    pub missed: BTreeMap<GapReason, Missed>,
}

/// Time that is not on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// How many stretches.
    pub gaps: u64,
    /// Their length together, microseconds.
    pub us: u64,
}

impl Totals {
    /// More is on disk, from one moment until another.
    pub(super) fn recorded(&mut self, from_us: i64, until_us: i64) {
        self.recorded_us += length(from_us, until_us);
    }

    /// A gap begins.
    pub(super) fn missed(&mut self, reason: GapReason) {
        self.missed.entry(reason).or_default().gaps += 1;
    }

    /// A gap lasted so long.
    pub(super) fn missed_until(&mut self, reason: GapReason, since_us: i64, until_us: i64) {
        self.missed.entry(reason).or_default().us += length(since_us, until_us);
    }
}

/// 0 where the clock went back.
fn length(from_us: i64, until_us: i64) -> u64 {
    u64::try_from(until_us.saturating_sub(from_us)).unwrap_or(0)
}
