//! How long to wait before the next attempt: doubling from one second to thirty, spread so that cameras do not march in step.

use std::time::Duration;

/// The first wait, before jitter.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait, before jitter.
const LONGEST: Duration = Duration::from_secs(30);

/// A sequence of waits that belongs to one camera.
#[derive(Debug, Clone)]
pub struct Backoff {
    random: SplitMix,
    attempts: u32,
}

impl Backoff {
    /// A sequence that begins at the first wait; equal seeds give equal waits.
    pub fn new(seed: u64) -> Self {
        Self {
            random: SplitMix(seed),
            attempts: 0,
        }
    }

    /// Failed attempts since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts a failed attempt and says how long to wait: 75 % to 125 % of 1, 2, 4, 8, 16, 30, 30 … seconds.
    pub fn failed(&mut self) -> Duration {
        let doubled = FIRST * (1 << self.attempts.min(5));
        self.attempts = self.attempts.saturating_add(1);
        // 0..=500 thousandths above 750: integers, so that a seed means the same on every machine.
        let spread = u32::try_from(self.random.next() % 501).expect("at most 500");
        doubled.min(LONGEST) * (750 + spread) / 1000
    }

    /// Pictures came: the next failure starts over.
    pub fn succeeded(&mut self) {
        self.attempts = 0;
    }
}

/// The `SplitMix64` generator: one word of state, good enough for jitter and noise, the same on every machine.
#[derive(Debug, Clone)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_thirty_seconds_within_a_quarter() {
        let mut backoff = Backoff::new(1);
        for seconds in [1_u64, 2, 4, 8, 16, 30, 30, 30] {
            let wait = backoff.failed();
            let nominal = Duration::from_secs(seconds);
            assert!(
                wait >= nominal * 3 / 4 && wait <= nominal * 5 / 4,
                "{wait:?} for {seconds} s"
            );
        }
        assert_eq!(backoff.attempts(), 8);
        backoff.succeeded();
        assert!(backoff.failed() <= Duration::from_millis(1250));
    }

    #[test]
    fn seeds_decide_and_differ() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..6).map(|_| backoff.failed()).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }

    #[test]
    fn never_overflows() {
        let mut backoff = Backoff::new(3);
        backoff.attempts = u32::MAX;
        assert!(backoff.failed() <= Duration::from_millis(37_500));
        assert_eq!(backoff.attempts(), u32::MAX);
    }
}
