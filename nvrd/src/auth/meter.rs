//! What API keys use: a sliding minute for the limit of each, and counts that are written now and then.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nvr_store::KeyUse;

/// What a limit counts.
const WINDOW: Duration = Duration::from_secs(60);

/// What a key may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Metered {
    /// Requests a minute.
    pub(super) limit: u32,
    /// Requests that are left, after this one.
    pub(super) remaining: u32,
    /// Time until the oldest request of the minute stops counting.
    pub(super) reset: Duration,
    /// Whether this request is one too many.
    pub(super) refused: bool,
}

#[derive(Debug, Default)]
struct Meter {
    /// When the requests of the last minute came, in monotonic time, the oldest first.
    came: VecDeque<Duration>,
    /// Requests that were not written yet.
    unwritten: u64,
    at_us: i64,
    ip: Option<IpAddr>,
}

/// The meters of all keys; at most as many as there are keys.
#[derive(Debug, Default)]
pub(super) struct Meters {
    meters: Mutex<HashMap<String, Meter>>,
}

impl Meters {
    /// Counts a request made with a key; one that is too many does not count.
    pub(super) fn count(
        &self,
        id: &str,
        limit: u32,
        now: Duration,
        now_us: i64,
        ip: Option<IpAddr>,
    ) -> Metered {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let meter = match meters.get_mut(id) {
            Some(meter) => meter,
            None => meters.entry(id.to_owned()).or_default(),
        };
        while meter.came.front().is_some_and(|came| *came + WINDOW <= now) {
            meter.came.pop_front();
        }
        let refused = meter.came.len() >= limit as usize;
        if !refused {
            meter.came.push_back(now);
            meter.unwritten += 1;
            (meter.at_us, meter.ip) = (now_us, ip);
        }
        let oldest = meter.came.front().copied().unwrap_or(now);
        let made = u32::try_from(meter.came.len()).unwrap_or(u32::MAX);
        Metered {
            limit,
            remaining: limit.saturating_sub(made),
            reset: (oldest + WINDOW).saturating_sub(now),
            refused,
        }
    }

    /// What was not written yet; from now on it counts as written.
    pub(super) fn take(&self) -> Vec<KeyUse> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let used = meters.iter_mut().filter(|(_, meter)| meter.unwritten > 0);
        used.map(|(id, meter)| KeyUse {
            id: id.clone(),
            count: std::mem::take(&mut meter.unwritten),
            at_us: meter.at_us,
            ip: meter.ip.map(|ip| ip.to_string()),
        })
        .collect()
    }

    /// Puts back what could not be written.
    pub(super) fn put_back(&self, uses: &[KeyUse]) {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        for made in uses {
            if let Some(meter) = meters.get_mut(&made.id) {
                meter.unwritten += made.count;
            }
        }
    }

    /// Forgets the keys that are gone.
    pub(super) fn retain(&self, lives: impl Fn(&str) -> bool) {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.retain(|id, _| lives(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minute_slides() {
        let meters = Meters::default();
        let at = |seconds: u64| {
            let got = meters.count("k", 3, Duration::from_secs(1000 + seconds), 0, None);
            (got.remaining, got.reset.as_secs(), got.refused)
        };
        assert_eq!(at(0), (2, 60, false));
        assert_eq!(at(50), (1, 10, false));
        assert_eq!(at(55), (0, 5, false));
        assert_eq!(at(59), (0, 1, true));
        // The first has gone, the others have not.
        assert_eq!(at(60), (0, 50, false));
        assert_eq!(at(61), (0, 49, true));
        assert_eq!(at(110), (0, 5, false));
        assert_eq!(at(1000), (2, 60, false));
    }

    #[test]
    fn keys_have_minutes_of_their_own_and_counts_that_are_written_once() {
        let meters = Meters::default();
        let ip = Some(IpAddr::from([10, 0, 0, 9]));
        for _ in 0..3 {
            meters.count("a", 2, Duration::from_secs(1), 5, ip);
        }
        assert!(
            !meters
                .count("b", 2, Duration::from_secs(1), 6, None)
                .refused
        );
        let mut taken = meters.take();
        taken.sort_by(|a, b| a.id.cmp(&b.id));
        let seen: Vec<_> = taken
            .iter()
            .map(|made| (made.id.as_str(), made.count))
            .collect();
        assert_eq!(seen, [("a", 2), ("b", 1)]);
        assert_eq!(taken[0].ip.as_deref(), Some("10.0.0.9"));
        assert!(meters.take().is_empty());
        meters.put_back(&taken);
        assert_eq!(meters.take().len(), 2);
        meters.retain(|id| id == "b");
        meters.put_back(&taken);
        assert_eq!(meters.take().len(), 1);
    }
}
