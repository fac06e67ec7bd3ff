//! Leaves a provider alone that does not answer, so that the next one is asked at once.

use std::time::Duration;

/// Failures in a row before it is left alone.
const FAILURES: u32 = 3;
/// How long the first time; each further time twice as long.
const FIRST: Duration = Duration::from_secs(30);
/// How long at most by our own choice.
const LONGEST: Duration = Duration::from_secs(600);

/// Whether a provider is left alone, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Failures in a row.
    pub failures: u32,
    /// How long it is left alone from now on.
    pub rest: Option<Duration>,
}

/// The state of one provider; times are monotonic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    failures: u32,
    until: Option<Duration>,
}

impl Breaker {
    /// Whether it may be called now.
    ///
    /// When its time has come one call is let through, and only an answer lets more through.
    ///
    /// # Errors
    /// How long it must be left alone yet.
    pub(super) fn may_call(&mut self, now: Duration) -> Result<(), Duration> {
        match self.until {
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                self.until = Some(now + FIRST);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// It answered.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// It did not, and may have said for how long it wants to be left alone.
    pub(super) fn failed(&mut self, now: Duration, rest: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let own = (self.failures >= FAILURES).then(|| {
            let times = 1_u32 << (self.failures - FAILURES).min(10);
            FIRST.saturating_mul(times).min(LONGEST)
        });
        self.until = rest.max(own).map(|rest| now + rest);
    }

    /// What people are told of it.
    pub(super) fn pause(&self, now: Duration) -> Pause {
        Pause {
            failures: self.failures,
            rest: self
                .until
                .and_then(|until| until.checked_sub(now))
                .filter(|rest| !rest.is_zero()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_fails_is_left_alone_longer_and_longer() {
        let mut breaker = Breaker::default();
        let mut now = SECOND;
        for _ in 0..2 {
            assert!(breaker.may_call(now).is_ok());
            breaker.failed(now, None);
        }
        for rest in [30, 60, 120, 240, 480, 600, 600] {
            assert!(breaker.may_call(now).is_ok());
            breaker.failed(now, None);
            assert_eq!(breaker.may_call(now), Err(SECOND * rest));
            now += SECOND * rest;
        }
        // One is tried, and the others wait for what becomes of it.
        assert!(breaker.may_call(now).is_ok());
        assert!(breaker.may_call(now).is_err());
        breaker.answered();
        assert!(breaker.may_call(now).is_ok() && breaker.may_call(now).is_ok());
        assert_eq!(
            breaker.pause(now),
            Pause {
                failures: 0,
                rest: None
            }
        );
    }

    #[test]
    fn who_asks_for_a_rest_gets_it() {
        let mut breaker = Breaker::default();
        breaker.failed(SECOND, Some(SECOND * 7));
        assert_eq!(breaker.may_call(SECOND * 3), Err(SECOND * 5));
        assert_eq!(breaker.pause(SECOND * 3).rest, Some(SECOND * 5));
        assert!(breaker.may_call(SECOND * 8).is_ok());
        for _ in 0..u8::MAX {
            breaker.failed(SECOND * 9, Some(SECOND));
        }
        assert_eq!(breaker.pause(SECOND * 9).rest, Some(LONGEST));
    }
}
