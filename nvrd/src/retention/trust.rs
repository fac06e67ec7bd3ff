//! Whether the wall clock may be believed by what deletes by age: a pure state, fed with both clocks.

use std::time::Duration;

/// 2024-01-01 UTC: the program is younger.
const EARLIEST_US: i64 = 1_704_067_200_000_000;
const SECOND_US: i64 = 1_000_000;
/// A step forward that is more than a correction.
const STEP_US: i64 = 3600 * SECOND_US;
/// A pause between two runs that is longer than anybody leaves a recorder off.
const PAUSE_US: i64 = 7 * 86_400 * SECOND_US;
/// So long it must have kept pace to be believed again.
const PROBATION: Duration = Duration::from_secs(86_400);
/// What counts as keeping pace.
const PACE_US: i64 = 60 * SECOND_US;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockTrust {
    /// Wall time less monotonic time, as it was when the clock was last in order, microseconds.
    offset_us: i64,
    doubt: Option<Doubt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Doubt {
    reason: String,
    since_us: i64,
    /// Monotonic time since which it has kept pace.
    pace_since: Duration,
}

fn offset(unix_us: i64, monotonic: Duration) -> i64 {
    unix_us.saturating_sub(i64::try_from(monotonic.as_micros()).unwrap_or(i64::MAX))
}

impl ClockTrust {
    /// At a start: `doubted` is what an earlier run left in doubt, `last_us` the last thing that is recorded.
    pub fn at_start(
        unix_us: i64,
        monotonic: Duration,
        doubted: Option<(String, i64)>,
        last_us: Option<i64>,
    ) -> Self {
        let mut this = Self {
            offset_us: offset(unix_us, monotonic),
            doubt: None,
        };
        let pause_us = last_us.map_or(0, |last| unix_us.saturating_sub(last));
        if let Some((reason, since_us)) = doubted {
            this.doubt = Some(Doubt {
                reason,
                since_us,
                pace_since: monotonic,
            });
        } else if pause_us > PAUSE_US {
            let days = pause_us / 86_400 / SECOND_US;
            this.doubt(
                unix_us,
                monotonic,
                format!("at the start it was {days} days after the last recording"),
            );
        }
        this.observe(unix_us, monotonic);
        this
    }

    /// Looks at both clocks; to be called every few seconds.
    pub fn observe(&mut self, unix_us: i64, monotonic: Duration) {
        let now = offset(unix_us, monotonic);
        let step_us = now.saturating_sub(self.offset_us);
        if step_us > STEP_US {
            let hours = step_us as f64 / 3600e6;
            self.doubt(
                unix_us,
                monotonic,
                format!("it was set forward by {hours:.1} hours"),
            );
            self.offset_us = now;
        } else if step_us < 0 {
            // Whoever sets it back and forward again has not moved it; the way forward counts from here.
            self.offset_us = now;
        }
        if let Some(doubt) = &mut self.doubt {
            if step_us.abs() > PACE_US {
                doubt.pace_since = monotonic;
                self.offset_us = now;
            } else if monotonic.saturating_sub(doubt.pace_since) >= PROBATION {
                self.doubt = None;
                self.offset_us = now;
            }
        }
        if unix_us < EARLIEST_US {
            let reason = "it stands before 2024, so it was never set".to_owned();
            self.doubt(unix_us, monotonic, reason);
        }
    }

    fn doubt(&mut self, unix_us: i64, monotonic: Duration, reason: String) {
        if let Some(doubt) = &mut self.doubt {
            doubt.pace_since = monotonic;
            doubt.reason = reason;
            return;
        }
        self.doubt = Some(Doubt {
            reason,
            since_us: unix_us,
            pace_since: monotonic,
        });
    }

    /// An administrator says that the time is right; where it stands before 2024 it is not.
    ///
    /// Says whether it is believed now.
    pub fn trust(&mut self, unix_us: i64, monotonic: Duration) -> bool {
        self.offset_us = offset(unix_us, monotonic);
        self.doubt = None;
        self.observe(unix_us, monotonic);
        self.is_trusted()
    }

    /// Whether it is believed.
    pub fn is_trusted(&self) -> bool {
        self.doubt.is_none()
    }

    /// Why it is not believed, and since when, microseconds since 1970-01-01 UTC by that very clock.
    pub fn why(&self) -> Option<(&str, i64)> {
        let doubt = self.doubt.as_ref()?;
        Some((&doubt.reason, doubt.since_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_767_225_600_000_000;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    /// A clock that was right at the start, and is then so many seconds off at so many seconds after it.
    #[track_caller]
    fn check(steps: &[(i64, i64)], trusted: bool) {
        let mut trust = ClockTrust::at_start(NOW_US, Duration::ZERO, None, None);
        for (at, off) in steps {
            trust.observe(
                NOW_US + (at + off) * SECOND_US,
                Duration::from_secs(at.unsigned_abs()),
            );
        }
        assert_eq!(trust.is_trusted(), trusted, "{steps:?}: {:?}", trust.why());
    }

    #[test]
    fn a_step_forward_is_not_believed_and_a_step_back_is() {
        check(&[(10, 0)], true);
        check(&[(10, HOUR)], true);
        check(&[(10, HOUR + 1)], false);
        check(&[(10, HOUR / 2), (20, HOUR + 1)], false);
        check(&[(10, -DAY)], true);
        check(&[(10, -DAY), (20, 0)], false);
        check(&[(400 * DAY, 0)], true);
    }

    #[test]
    fn a_day_in_step_is_enough() {
        check(&[(10, DAY), (10 + DAY, DAY)], true);
        check(&[(10, DAY), (9 + DAY, DAY)], false);
        check(
            &[(10, DAY), (DAY / 2, DAY + 61), (20 + DAY, DAY + 61)],
            false,
        );
        check(
            &[(10, DAY), (DAY / 2, DAY + 61), (DAY + DAY / 2, DAY + 61)],
            true,
        );
        check(&[(10, DAY), (20, 2 * DAY), (20 + DAY, 2 * DAY)], true);
    }

    #[test]
    fn a_start_looks_at_what_was_left() {
        let start = |unix_us: i64, doubted: bool, last: Option<i64>| {
            let doubted = doubted.then(|| ("it jumped".to_owned(), 5));
            ClockTrust::at_start(unix_us, Duration::ZERO, doubted, last)
        };
        assert!(start(NOW_US, false, None).is_trusted());
        assert!(start(NOW_US, false, Some(NOW_US - PAUSE_US)).is_trusted());
        assert!(start(NOW_US, false, Some(NOW_US + DAY)).is_trusted());
        let late = start(NOW_US, false, Some(NOW_US - PAUSE_US - DAY * SECOND_US));
        assert!(late.why().unwrap().0.contains("8 days"), "{late:?}");
        let mut left = start(NOW_US, true, Some(NOW_US));
        assert_eq!(left.why(), Some(("it jumped", 5)), "a restart is no cure");
        assert!(left.trust(NOW_US, Duration::ZERO));
        let mut unset = start(1_000_000, false, None);
        assert!(!unset.is_trusted());
        assert!(!unset.trust(1_000_000, Duration::ZERO));
        assert!(unset.trust(NOW_US, Duration::from_secs(1)));
    }
}
