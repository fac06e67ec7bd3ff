//! What the element counts, and the structure in which it tells.

use std::time::Duration;

use nvr_contract::stats;

/// Counters since the last start.
#[derive(Debug, Default)]
pub struct Counters {
    frames_in: u64,
    processed: u64,
    dropped: u64,
    last_ns: u64,
    total_ns: u64,
}

/// A time in nanoseconds.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Counters {
    /// Counts a picture that came in; true for the first one.
    pub fn came_in(&mut self) -> bool {
        self.frames_in += 1;
        self.frames_in == 1
    }

    /// Counts a picture that the model looked at, for so long.
    pub fn ran(&mut self, took: Duration) {
        self.processed += 1;
        self.last_ns = nanoseconds(took);
        self.total_ns = self.total_ns.saturating_add(self.last_ns);
    }

    /// Counts a picture that was due and not analysed.
    pub fn dropped(&mut self) {
        self.dropped += 1;
    }

    /// The `stats` property.
    pub fn to_structure(&self) -> gst::Structure {
        let mean = self.total_ns.checked_div(self.processed).unwrap_or(0);
        gst::Structure::builder(stats::NAME)
            .field(stats::FRAMES_IN, self.frames_in)
            .field(stats::FRAMES_PROCESSED, self.processed)
            .field(stats::FRAMES_DROPPED, self.dropped)
            .field(stats::LAST_LATENCY_NS, self.last_ns)
            .field(stats::AVG_LATENCY_NS, mean)
            .build()
    }
}
