//! Media time as the detector sees it: how long since the picture before, and whether the stream jumped.

/// A pause longer than this, in nanoseconds, is no pause between pictures: what was seen last says nothing any more.
const LONGEST_PAUSE: u64 = 11_000_000_000;
/// Seconds between pictures as long as nothing is known of them.
const USUAL: f32 = 1.0 / 15.0;
/// The longest step, in seconds, that anything takes at once.
const LONGEST_STEP: f32 = 2.0;

/// Follows presentation time stamps; its own time never runs backwards.
#[derive(Debug, Clone)]
pub struct Pace {
    last_pts: Option<u64>,
    usual: f32,
    now: u64,
}

/// One picture's place in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// Nanoseconds that the detector has seen, jumps left out.
    pub now: u64,
    /// Seconds since the picture before, at least a millisecond.
    pub dt: f32,
    /// Whether the stream jumped: backwards, or ahead by more than a pause.
    pub jumped: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            last_pts: None,
            usual: USUAL,
            now: 0,
        }
    }
}

impl Pace {
    /// The place of the next picture; without a time stamp it comes as long after the last one as usual.
    pub fn advance(&mut self, pts: Option<u64>) -> Tick {
        let gap = match (self.last_pts, pts) {
            (Some(last), Some(pts)) => pts.checked_sub(last).filter(|&gap| gap <= LONGEST_PAUSE),
            _ => None,
        };
        let jumped = self.last_pts.is_some() && pts.is_some() && gap.is_none();
        let dt = match gap {
            Some(gap) => {
                let dt = (gap as f32 / 1e9).clamp(1e-3, LONGEST_STEP);
                self.usual += 0.1 * (dt - self.usual);
                dt
            }
            None => self.usual,
        };
        self.last_pts = pts.or(self.last_pts);
        self.now += (f64::from(dt) * 1e9) as u64;
        Tick {
            now: self.now,
            dt,
            jumped,
        }
    }

    /// Treats the next picture as the first of a new stream.
    pub fn restart(&mut self) {
        self.last_pts = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_told_from_pauses() {
        let mut pace = Pace::default();
        let mut check = |pts: Option<u64>, dt: f32, jumped: bool| {
            let tick = pace.advance(pts.map(|ms| ms * 1_000_000));
            assert!((tick.dt - dt).abs() < 0.02, "{tick:?}");
            assert_eq!(tick.jumped, jumped, "{tick:?}");
            tick.now
        };
        let mut times = vec![check(Some(1000), USUAL, false)];
        times.push(check(Some(1040), 0.04, false));
        times.push(check(Some(3040), 2.0, false));
        times.push(check(Some(8040), 2.0, false));
        times.push(check(None, 0.44, false));
        times.push(check(Some(20_000), 0.44, true));
        times.push(check(Some(100), 0.44, true));
        times.push(check(Some(140), 0.04, false));
        times.push(check(Some(140), 0.001, false));
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    }
}
