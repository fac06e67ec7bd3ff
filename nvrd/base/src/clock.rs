//! The only place that asks the system for the time; everything else is given a [`Clock`].

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall time and monotonic time.
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// Microseconds since 1970-01-01 UTC.
    fn unix_us(&self) -> i64;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The system's clocks.
#[derive(Debug)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// A clock whose monotonic time starts now.
    #[expect(
        clippy::new_without_default,
        reason = "a default would hide that the start is now"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for RealClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    fn unix_us(&self) -> i64 {
        let now = SystemTime::now();
        // A machine without a battery clock may stand before 1970: count down rather than fail.
        match now.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct SimulatedClock {
    now: Mutex<(i64, Duration)>,
}

impl SimulatedClock {
    /// A clock that stands at a wall time, microseconds since 1970-01-01 UTC.
    pub fn at(unix_us: i64) -> Self {
        Self {
            now: Mutex::new((unix_us, Duration::ZERO)),
        }
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().expect("no holder of this lock panics");
        now.0 += i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        now.1 += by;
    }
}

impl Clock for SimulatedClock {
    fn unix_us(&self) -> i64 {
        self.now.lock().expect("no holder of this lock panics").0
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().expect("no holder of this lock panics").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulated_clock_moves_only_when_told() {
        let clock = SimulatedClock::at(1_000_000);
        assert_eq!(clock.unix_us(), 1_000_000);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(
            (clock.unix_us(), clock.monotonic()),
            (2_500_000, Duration::from_millis(1500))
        );
    }

    #[test]
    fn the_real_clock_is_after_2024() {
        assert!(RealClock::new().unix_us() > 1_704_000_000_000_000);
    }
}
