//! Whether the parts of the daemon go on: each says so as it works, and who has not for too long is stuck.

pub mod systemd;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nvr_base::Clock;

/// All parts that say that they go on.
#[derive(Debug, Clone)]
pub struct Pulses {
    clock: Arc<dyn Clock>,
    parts: Arc<Mutex<Vec<Part>>>,
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    allowed: Duration,
    /// Monotonic time of the last tick, milliseconds.
    last_ms: Arc<AtomicU64>,
}

/// The pulse of one part; it is over when the value goes.
#[derive(Debug)]
pub struct Pulse {
    pulses: Pulses,
    last_ms: Arc<AtomicU64>,
}

/// How long ago a part last said that it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// Which part.
    pub part: &'static str,
    /// How long ago.
    pub age: Duration,
    /// Whether that is too long.
    pub stuck: bool,
}

impl Pulses {
    /// Without a part.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            parts: Arc::default(),
        }
    }

    /// A part that goes on at least every so often, from now on.
    pub fn begin(&self, name: &'static str, allowed: Duration) -> Pulse {
        let pulse = Pulse {
            pulses: self.clone(),
            last_ms: Arc::default(),
        };
        pulse.tick();
        let part = Part {
            name,
            allowed,
            last_ms: Arc::clone(&pulse.last_ms),
        };
        self.lock().push(part);
        pulse
    }

    /// How every part is.
    pub fn ages(&self) -> Vec<Age> {
        let now_ms = self.now_ms();
        let parts = self.lock();
        let age = |part: &Part| {
            let age_ms = now_ms.saturating_sub(part.last_ms.load(Ordering::Relaxed));
            let age = Duration::from_millis(age_ms);
            Age {
                part: part.name,
                age,
                stuck: age > part.allowed,
            }
        };
        parts.iter().map(age).collect()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Part>> {
        self.parts.lock().expect("no holder of this lock panics")
    }
}

impl Pulse {
    /// The part goes on.
    pub fn tick(&self) {
        let now_ms = self.pulses.now_ms();
        self.last_ms.store(now_ms, Ordering::Relaxed);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let mut parts = self.pulses.lock();
        parts.retain(|part| !Arc::ptr_eq(&part.last_ms, &self.last_ms));
    }
}

#[cfg(test)]
mod tests {
    use nvr_base::SimulatedClock;

    use super::*;

    #[test]
    fn who_says_nothing_for_too_long_is_stuck() {
        let clock = Arc::new(SimulatedClock::at(0));
        let pulses = Pulses::new(clock.clone());
        let quick = pulses.begin("quick", Duration::from_secs(1));
        let slow = pulses.begin("slow", Duration::from_secs(10));
        let stuck = || {
            let ages = pulses.ages().into_iter();
            let stuck = ages.filter(|age| age.stuck);
            stuck.map(|age| age.part).collect::<Vec<_>>()
        };
        clock.advance(Duration::from_secs(1));
        assert!(stuck().is_empty());
        clock.advance(Duration::from_secs(1));
        assert_eq!(stuck(), ["quick"]);
        quick.tick();
        assert!(stuck().is_empty());
        clock.advance(Duration::from_secs(20));
        assert_eq!(stuck(), ["quick", "slow"]);
        drop(quick);
        slow.tick();
        assert!(stuck().is_empty());
        assert_eq!(pulses.ages().len(), 1);
    }
}
