//! Which pictures are analysed: by motion, every n-th, at most so many a second.
//!
//! All decisions rest on PTS and on what is told, so that two runs over the same pictures decide the same.

/// The rules, as the user set them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Whether only moving pictures are analysed.
    pub on_motion: bool,
    /// Every n-th picture; 0 counts as 1.
    pub interval: u32,
    /// The most pictures a second on average; 0 means no limit.
    pub max_fps: f64,
}

/// With `on_motion`, how often a picture without motion is looked at until three such looks in a row found nothing, and
/// for how long after the last motion: somebody who stands still is still there, and somebody who left must be seen to be gone.
const LINGER_NS: u64 = 1_000_000_000;
const HOPE: u8 = 3;
const LINGER_LIMIT_NS: u64 = 300_000_000_000;

/// Remembers what the rules need.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    /// Pictures since the last analysed one, that one included; 0 before the first.
    since: u32,
    /// PTS from which the rate allows the next one, nanoseconds.
    rate_from: Option<u64>,
    /// PTS of the last analysed picture, nanoseconds.
    last: Option<u64>,
    /// PTS of the last moving picture, nanoseconds.
    moved: Option<u64>,
    /// Looks that may still find nothing before pictures without motion are not looked at.
    hope: u8,
}

impl Schedule {
    /// Whether the rules want this picture analysed; `pts` in nanoseconds.
    ///
    /// A picture that was wanted and not analysed leaves the next one wanted.
    pub fn is_due(&mut self, rules: Rules, pts: Option<u64>, moving: bool) -> bool {
        // Time that runs backwards is another stretch of pictures: old limits mean nothing there.
        if let (Some(pts), Some(last)) = (pts, self.last)
            && pts < last
        {
            *self = Self::default();
        }
        let nth = self.since == 0 || self.since >= rules.interval;
        self.since = if self.since == 0 {
            0
        } else {
            self.since.saturating_add(1)
        };
        let in_rate = rules.max_fps <= 0.0
            || match (pts, self.rate_from) {
                (Some(pts), Some(from)) => pts >= from,
                _ => true,
            };
        if moving {
            self.moved = pts;
        }
        nth && in_rate && (moving || !rules.on_motion || self.lingers(pts))
    }

    fn lingers(&self, pts: Option<u64>) -> bool {
        let (Some(pts), Some(last), Some(moved)) = (pts, self.last, self.moved) else {
            return false;
        };
        self.hope > 0
            && pts.saturating_sub(last) >= LINGER_NS
            && pts.saturating_sub(moved) <= LINGER_LIMIT_NS
    }

    /// Notes whether the last look found something.
    pub fn found(&mut self, something: bool) {
        self.hope = if something {
            HOPE
        } else {
            self.hope.saturating_sub(1)
        };
    }

    /// Notes that the picture was analysed.
    pub fn analysed(&mut self, rules: Rules, pts: Option<u64>) {
        self.since = 1;
        self.last = pts.or(self.last);
        let Some(pts) = pts else { return };
        if rules.max_fps > 0.0 {
            let period = (1e9 / rules.max_fps) as u64;
            // On a grid of periods, so that the rate holds on average when pictures do not fall on it.
            self.rate_from = Some(match self.rate_from {
                Some(from) if pts.saturating_sub(from) < period => from.saturating_add(period),
                _ => pts.saturating_add(period),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FREE: Rules = Rules {
        on_motion: false,
        interval: 1,
        max_fps: 0.0,
    };

    /// Indices of the analysed ones among 50 pictures, 25 a second, of which `moving` tells which move.
    fn run(rules: Rules, moving: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut schedule = Schedule::default();
        (0..50)
            .filter(|i| {
                let pts = Some(i * 40_000_000);
                let due = schedule.is_due(rules, pts, moving(*i));
                if due {
                    schedule.analysed(rules, pts);
                }
                due
            })
            .collect()
    }

    #[test]
    fn rules_choose_pictures() {
        let all: Vec<u64> = (0..50).collect();
        assert_eq!(run(FREE, |_| false), all);
        assert_eq!(
            run(
                Rules {
                    interval: 0,
                    ..FREE
                },
                |_| true
            ),
            all
        );
        assert_eq!(
            run(
                Rules {
                    interval: 20,
                    ..FREE
                },
                |_| true
            ),
            [0, 20, 40]
        );
        assert_eq!(
            run(
                Rules {
                    max_fps: 1.0,
                    ..FREE
                },
                |_| true
            ),
            [0, 25]
        );
        assert_eq!(
            run(
                Rules {
                    max_fps: 10.0,
                    ..FREE
                },
                |_| true
            )
            .len(),
            20
        );
        let on_motion = Rules {
            on_motion: true,
            ..FREE
        };
        assert_eq!(run(on_motion, |i| (7..10).contains(&i)), [7, 8, 9]);
        // The first moving picture is not made to wait for its turn.
        let both = Rules {
            interval: 10,
            ..on_motion
        };
        assert_eq!(run(both, |i| (7..30).contains(&i)), [7, 17, 27]);
    }

    #[test]
    fn who_stands_still_is_looked_at_now_and_then() {
        let rules = Rules {
            on_motion: true,
            ..FREE
        };
        let looks = |found_until: u64| {
            let mut schedule = Schedule::default();
            (0..120_u64)
                .filter(|i| {
                    let pts = Some(i * 100_000_000);
                    let due = schedule.is_due(rules, pts, *i < 3);
                    if due {
                        schedule.analysed(rules, pts);
                        schedule.found(*i < found_until);
                    }
                    due
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(looks(0), [0, 1, 2]);
        // The third that finds nothing is the last.
        assert_eq!(looks(30), [0, 1, 2, 12, 22, 32, 42, 52]);
    }

    #[test]
    fn time_that_runs_back_begins_anew() {
        let mut s = Schedule::default();
        let rules = Rules {
            max_fps: 1.0,
            ..FREE
        };
        s.analysed(rules, Some(5_000_000_000));
        assert!(!s.is_due(rules, Some(5_500_000_000), true));
        assert!(s.is_due(rules, Some(500), true));
    }

    proptest! {
        #[test]
        fn the_rate_holds_over_any_stretch(
            steps in prop::collection::vec(1_u64..200_000_000, 1..300),
            max_fps in 0.5_f64..60.0,
        ) {
            let rules = Rules { max_fps, ..FREE };
            let mut schedule = Schedule::default();
            let (mut pts, mut count) = (0, 0_u64);
            for step in steps {
                if schedule.is_due(rules, Some(pts), true) {
                    schedule.analysed(rules, Some(pts));
                    count += 1;
                }
                pts += step;
            }
            let most = pts as f64 / 1e9 * max_fps * 1.001 + 1.0;
            prop_assert!(count as f64 <= most.ceil(), "{} of at most {}", count, most);
        }
    }
}
