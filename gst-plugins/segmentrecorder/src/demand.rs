//! Who wants the pictures: the mode, and what `start`, `stop` and `trigger` asked for.
//!
//! All times are those of [`MediaClock`].

use crate::timeline::Stamp;

/// When something is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything, from the first key frame on.
    Continuous,
    /// What is asked for, with some time before and after it.
    Event,
    /// Nothing.
    Off,
}

/// Media time that goes on where time stamps jump, nanoseconds since the first picture.
#[derive(Debug, Clone, Copy, Default)]
pub struct MediaClock {
    now_ns: Option<u64>,
    /// Clock less presentation time.
    shift_ns: i128,
    end_ns: u64,
}

impl MediaClock {
    /// Time of a picture; where time stamps jump, `away_ns` have passed since the end of the one before.
    pub fn at(&mut self, stamp: &Stamp, away_ns: u64) -> u64 {
        let pts = i128::from(stamp.pts_ns);
        if self.now_ns.is_none() || stamp.jump {
            self.shift_ns = i128::from(self.end_ns.saturating_add(away_ns)) - pts;
        }
        let at = u64::try_from((pts + self.shift_ns).max(0)).unwrap_or(u64::MAX);
        self.now_ns = self.now_ns.max(Some(at));
        self.end_ns = self.end_ns.max(at.saturating_add(stamp.duration_ns));
        at
    }

    /// Time of the latest picture, absent before the first.
    pub fn now_ns(&self) -> Option<u64> {
        self.now_ns
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demand {
    held: bool,
    /// Asked before any picture has come.
    early: bool,
    /// Asked since the last picture.
    fresh: bool,
    last_ns: Option<u64>,
}

impl Demand {
    /// Records from now on until `stop`.
    pub fn start(&mut self, now_ns: Option<u64>) {
        self.held = true;
        self.trigger(now_ns);
    }

    /// Lets the post-roll run out after a `start`.
    pub fn stop(&mut self, now_ns: Option<u64>) {
        if std::mem::take(&mut self.held) {
            self.trigger(now_ns);
        }
    }

    /// Records for the post-roll.
    pub fn trigger(&mut self, now_ns: Option<u64>) {
        self.fresh = true;
        self.early = now_ns.is_none();
        self.last_ns = now_ns.or(self.last_ns);
    }

    /// Takes note of a picture; says whether it is asked for.
    pub fn wants(&mut self, at_ns: u64, post_ns: u64) -> bool {
        if std::mem::take(&mut self.early) {
            self.last_ns = Some(at_ns);
        }
        let fresh = std::mem::take(&mut self.fresh);
        self.held || fresh || at_ns < self.until_ns(post_ns)
    }

    /// Where the post-roll ends.
    pub fn until_ns(&self, post_ns: u64) -> u64 {
        self.last_ns.map_or(0, |last| last.saturating_add(post_ns))
    }

    /// Where the pre-roll begins.
    pub fn from_ns(&self, pre_ns: u64) -> u64 {
        self.last_ns.unwrap_or(0).saturating_sub(pre_ns)
    }

    /// Whether somebody waits for what is held back.
    pub fn is_pending(&self) -> bool {
        self.fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_trigger_lasts_for_the_post_roll_and_a_start_until_its_stop() {
        let mut demand = Demand::default();
        assert!(!demand.wants(0, 2 * S));
        demand.trigger(Some(0));
        assert!(demand.wants(S, 2 * S) && !demand.wants(2 * S, 2 * S));
        demand.stop(Some(3 * S));
        assert!(!demand.wants(3 * S, 2 * S), "nothing had been started");
        demand.start(Some(3 * S));
        assert!(demand.wants(90 * S, 2 * S));
        demand.stop(Some(90 * S));
        assert!(demand.wants(91 * S, 2 * S) && !demand.wants(92 * S, 2 * S));
        assert_eq!(demand.from_ns(5 * S), 85 * S);
    }

    #[test]
    fn a_trigger_before_the_first_picture_counts_from_it_and_one_without_post_roll_too() {
        let mut demand = Demand::default();
        demand.trigger(None);
        assert!(demand.wants(7 * S, S) && demand.wants(7 * S + 1, S) && !demand.wants(8 * S, S));
        demand.trigger(Some(9 * S));
        assert!(demand.is_pending());
        assert!(demand.wants(9 * S, 0) && !demand.wants(9 * S, 0));
    }

    #[test]
    fn the_clock_goes_on_over_jumps() {
        let mut clock = MediaClock::default();
        let stamp = |pts_ns, jump| Stamp {
            pts_ns,
            dts_ns: pts_ns,
            duration_ns: 10,
            jump,
        };
        assert_eq!(clock.at(&stamp(1000, false), 0), 0);
        assert_eq!(clock.at(&stamp(1050, false), 0), 50);
        assert_eq!(clock.at(&stamp(1020, false), 0), 20, "reordered");
        assert_eq!(clock.now_ns(), Some(50));
        assert_eq!(clock.at(&stamp(3, true), 40), 100);
        assert_eq!(clock.at(&stamp(0, false), 0), 97);
        assert_eq!(clock.at(&stamp(u64::MAX, true), 5), 115);
    }
}
