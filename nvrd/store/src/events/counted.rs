//! Totals of filtered lists that took long to count, for a while: the next page of the same list has the same total.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::QueryResult;

/// Lists whose totals are remembered; the one that was counted first goes.
const MOST: usize = 256;
/// A total is counted anew after so many times as long as counting took, so that it costs a twentieth at most.
const PATIENCE: u32 = 20;
/// No total is older than this, though nothing seems to have changed: another program may have.
const OLDEST: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct Known {
    total: i64,
    changes: u64,
    at: Duration,
    cost: Duration,
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Transactions that changed events.
    changes: AtomicU64,
    known: Mutex<HashMap<String, Known>>,
}

impl Counted {
    /// Events were changed; to be called after the commit.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// The total of a list: remembered, or counted.
    ///
    /// `now` gives monotonic times.
    pub(super) fn total(
        &self,
        list: String,
        now: impl Fn() -> Duration,
        count: impl FnOnce() -> QueryResult<i64>,
    ) -> QueryResult<i64> {
        let (changes, at) = (self.changes.load(Ordering::Acquire), now());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |known: &&Known| {
            let age = at.saturating_sub(known.at);
            let fresh = known.changes == changes || age < known.cost * PATIENCE;
            fresh && age < OLDEST
        };
        if let Some(known) = known.get(&list).filter(holds) {
            return Ok(known.total);
        }
        // Two that ask at once both count; nobody waits for another's query.
        drop(known);
        let total = count()?;
        let cost = now().saturating_sub(at);
        known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST && !known.contains_key(&list) {
            let oldest = known.iter().min_by_key(|(_, known)| known.at);
            if let Some(oldest) = oldest.map(|(list, _)| list.clone()) {
                known.remove(&oldest);
            }
        }
        let counted = Known {
            total,
            changes,
            at,
            cost,
        };
        known.insert(list, counted);
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_total_is_counted_anew_when_something_changed_and_it_is_worth_it() {
        let counted = Counted::default();
        let now = Cell::new(Duration::ZERO);
        let truth = Cell::new(1);
        let ask = |cost_ms: u64| {
            let count = || {
                now.set(now.get() + Duration::from_millis(cost_ms));
                Ok(truth.get())
            };
            counted
                .total("list".to_owned(), || now.get(), count)
                .unwrap()
        };
        let later = |ms: u64| now.set(now.get() + Duration::from_millis(ms));
        assert_eq!(ask(100), 1);
        truth.set(2);
        assert_eq!(ask(100), 1, "nothing is known to have changed");
        counted.changed();
        assert_eq!(ask(100), 1, "counting took 100 ms: not yet");
        later(1_900);
        assert_eq!(ask(0), 2);
        truth.set(3);
        counted.changed();
        assert_eq!(ask(100), 3, "counting took no time: at once");
        truth.set(4);
        later(10_000);
        assert_eq!(ask(0), 4, "another program may have changed it");
    }

    #[test]
    fn the_memory_is_bounded() {
        let counted = Counted::default();
        for list in 0..10_000_u64 {
            let at = Duration::from_millis(list);
            counted.total(list.to_string(), || at, || Ok(0)).unwrap();
        }
        assert_eq!(counted.known.lock().unwrap().len(), MOST);
        assert!(counted.known.lock().unwrap().contains_key("9999"));
    }
}
