//! How long to wait before the next attempt: a fifth longer each time, from one second to thirty, spread so that cameras
//! do not march in step.
//!
//! Waits that grow by a fifth stay near a fifth of the time that a camera has been away: one that was gone for fifteen
//! seconds is back within three, and one that is gone for good is asked twice a minute after two and a half minutes.

use std::time::Duration;

/// The most, in first waits, that a source which brings pictures, but soon breaks off again, has to bear.
const SHORT_LIVED: u32 = 2;

/// The shortest and the longest wait, before jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// After the first failure.
    pub first: Duration,
    /// However many there were.
    pub longest: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
        }
    }
}

/// A sequence of waits that belongs to one camera.
#[derive(Debug, Clone)]
pub struct Backoff {
    waits: Waits,
    random: SplitMix,
    /// The next wait, before jitter.
    next: Duration,
    attempts: u32,
    refusals: u32,
}

impl Backoff {
    /// A sequence that begins at the first wait; equal seeds give equal waits.
    pub fn new(seed: u64, waits: Waits) -> Self {
        Self {
            waits,
            random: SplitMix(seed),
            next: waits.first,
            attempts: 0,
            refusals: 0,
        }
    }

    /// Failed attempts since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts a failed attempt and says how long to wait: 75 % to 125 % of 1, 1.2, 1.44, 1.73 … 30 seconds.
    pub fn failed(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 6 / 5).min(self.waits.longest);
        self.refusals = 0;
        self.spread(wait)
    }

    /// The same after credentials were refused: only the first time soon, because a stale nonce looks like that, and
    /// cameras lock out who asks often.
    pub fn refused(&mut self) -> Duration {
        let wait = match self.refusals {
            0 => self.waits.first,
            _ => self.waits.longest,
        };
        self.refusals = self.refusals.saturating_add(1);
        self.spread(wait)
    }

    fn spread(&mut self, wait: Duration) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        // 0..=500 thousandths above 750: integers, so that a seed means the same on every machine.
        let spread = u32::try_from(self.random.next() % 501).expect("at most 500");
        wait * (750 + spread) / 1000
    }

    /// A healthy connection ended: the next failure starts over.
    pub fn succeeded(&mut self) {
        (self.attempts, self.refusals) = (0, 0);
        self.next = self.waits.first;
    }

    /// Pictures came, but not for long: waits stay short, for each connection is worth something, and do not start over.
    pub fn flapped(&mut self) {
        self.refusals = 0;
        self.next = self.next.min(self.waits.first * SHORT_LIVED);
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
    fn waits_grow_by_a_fifth_up_to_thirty_seconds_within_a_quarter() {
        let mut backoff = Backoff::new(1, Waits::default());
        let mut nominal = Duration::from_secs(1);
        for _ in 0..30 {
            let wait = backoff.failed();
            let (least, most) = (nominal * 3 / 4, nominal * 5 / 4);
            assert!(wait >= least && wait <= most, "{wait:?} for {nominal:?}");
            nominal = (nominal * 6 / 5).min(Duration::from_secs(30));
        }
        assert_eq!(
            nominal,
            Duration::from_secs(30),
            "after less than thirty attempts"
        );
        assert_eq!(backoff.attempts(), 30);
        backoff.succeeded();
        assert!(backoff.failed() <= Duration::from_millis(1250));
    }

    #[test]
    fn refused_credentials_are_tried_once_soon_and_then_seldom() {
        let mut backoff = Backoff::new(5, Waits::default());
        assert!(backoff.refused() < Duration::from_secs(2));
        for _ in 0..3 {
            assert!(backoff.refused() > Duration::from_secs(20));
        }
        assert_eq!(backoff.attempts(), 4);
        backoff.succeeded();
        assert!(backoff.refused() < Duration::from_secs(2));
    }

    #[test]
    fn connections_that_break_off_soon_are_renewed_soon() {
        let mut backoff = Backoff::new(6, Waits::default());
        for n in 0..10 {
            backoff.flapped();
            let wait = backoff.failed();
            assert!(wait < Duration::from_secs(3), "{wait:?}");
            assert!(n < 4 || wait >= Duration::from_millis(1500), "{wait:?}");
        }
    }

    #[test]
    fn seeds_decide_and_differ() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed, Waits::default());
            (0..6).map(|_| backoff.failed()).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }

    #[test]
    fn never_overflows() {
        let mut backoff = Backoff::new(3, Waits::default());
        backoff.attempts = u32::MAX;
        assert!(backoff.failed() <= Duration::from_millis(37_500));
        assert_eq!(backoff.attempts(), u32::MAX);
    }
}
