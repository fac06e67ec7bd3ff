//! Counts of durations by how long they were: added to from any thread, read as a whole for a histogram.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes, seconds; what is longer has a class of its own.
pub const BOUNDS_S: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Durations {
    /// One for each bound, and the last for what is longer.
    classes: [AtomicU64; BOUNDS_S.len() + 1],
    sum_ns: AtomicU64,
}

/// What was counted until a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// Upper bound of each class in seconds, and how many fell into it and into none before; the last has no bound.
    pub classes: Vec<(f64, u64)>,
    /// All durations together, seconds.
    pub sum_s: f64,
}

impl Durations {
    /// Counts a duration.
    pub fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let class = BOUNDS_S.partition_point(|bound| *bound < seconds);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        let bounds = BOUNDS_S.into_iter().chain([f64::INFINITY]);
        let counts = self.classes.iter().map(|it| it.load(Ordering::Relaxed));
        Counted {
            classes: bounds.zip(counts).collect(),
            sum_s: self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9,
        }
    }
}

impl Counted {
    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.classes.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_class_that_they_fit() {
        let durations = Durations::default();
        for (millis, times) in [(0, 1), (1, 2), (5, 1), (6, 1), (20_000, 1)] {
            for _ in 0..times {
                durations.add(Duration::from_millis(millis));
            }
        }
        let counted = durations.counted();
        let some: Vec<(f64, u64)> = counted
            .classes
            .iter()
            .copied()
            .filter(|(_, n)| *n > 0)
            .collect();
        let expect = [
            (0.0005, 1),
            (0.001, 2),
            (0.005, 1),
            (0.01, 1),
            (f64::INFINITY, 1),
        ];
        assert_eq!(some, expect);
        assert_eq!(counted.count(), 6);
        assert!((counted.sum_s - 20.013).abs() < 1e-9, "{}", counted.sum_s);
    }
}
