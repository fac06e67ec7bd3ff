//! When to try again after a failed write, and how far writing is behind.

/// Waits before the attempts after the first, the second and so on, nanoseconds of media time.
const WAITS_NS: [u64; 4] = [0, 500_000_000, 1_000_000_000, 2_000_000_000];
/// A storage that is not there is looked for at most this often, nanoseconds of media time.
pub const ABSENT_NS: u64 = 1_000_000_000;

/// The state after failures; it forgets them at the first success.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retry {
    failures: usize,
    not_before_ns: u64,
}

impl Retry {
    /// Writing failed at this time of the media clock; the next attempt waits at least `least_ns`.
    pub fn failed(&mut self, now_ns: u64, least_ns: u64) {
        let wait = WAITS_NS[self.failures.min(WAITS_NS.len() - 1)].max(least_ns);
        self.failures = self.failures.saturating_add(1);
        self.not_before_ns = now_ns.saturating_add(wait);
    }

    /// Writing worked, or circumstances are new.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether a key frame at this time may begin a file.
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.failures == 0 || now_ns >= self.not_before_ns
    }
}

/// The time that writing took, less the media time that went by: how much it owes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    owed_ns: u64,
    at_ns: u64,
    slowest_ns: u64,
}

impl Pace {
    /// A write took this long and ended when the latest picture had this time of the media clock.
    pub fn wrote(&mut self, took_ns: u64, at_ns: u64) {
        let went_by = at_ns.saturating_sub(self.at_ns);
        self.at_ns = self.at_ns.max(at_ns);
        self.owed_ns = self.owed_ns.saturating_add(took_ns).saturating_sub(went_by);
        self.slowest_ns = self.slowest_ns.max(took_ns);
    }

    /// How much later than the pictures writing is, nanoseconds.
    ///
    /// A queue before the recorder that is full by this much leaves pictures out; what it could hold has gone by as
    /// media time since, so that at the hole about its own length is owed.
    pub fn owed_ns(&self) -> u64 {
        self.owed_ns
    }

    /// The longest time that one write took, nanoseconds.
    pub fn slowest_ns(&self) -> u64 {
        self.slowest_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn waits_longer_each_time_up_to_two_seconds() {
        let mut retry = Retry::default();
        assert!(retry.is_due(0));
        let mut waits = Vec::new();
        for _ in 0..6 {
            retry.failed(10 * S, 0);
            waits.push((0..40).find(|n| retry.is_due(10 * S + n * S / 10)).unwrap());
        }
        assert_eq!(waits, [0, 5, 10, 20, 20, 20]);
        retry.reset();
        retry.failed(0, ABSENT_NS);
        assert!(!retry.is_due(S - 1) && retry.is_due(S));
    }

    #[test]
    fn a_write_that_takes_longer_than_its_pictures_is_owed() {
        let mut pace = Pace::default();
        for second in 1..=10 {
            pace.wrote(5_000_000, second * S);
        }
        assert_eq!(pace.owed_ns(), 0);
        pace.wrote(13 * S, 11 * S);
        assert_eq!(pace.owed_ns() / S, 12);
        for second in 12..=21 {
            pace.wrote(0, second * S);
        }
        assert_eq!(pace.owed_ns() / S, 2, "a queue of ten seconds has gone by");
        assert_eq!(pace.slowest_ns(), 13 * S);
    }
}
