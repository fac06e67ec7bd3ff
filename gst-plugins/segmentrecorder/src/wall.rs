//! Wall time of pictures: from the anchor that the source sends, else from the system clock at the first picture.

use nvr_contract::wallclock::WallClock;

/// A new anchor that differs more than this from the one before breaks the segment, microseconds.
const BREAK_US: i64 = 1_000_000;
/// A segment that follows on starts at the end of the one before when the clocks differ less, microseconds.
const SNAP_US: i64 = 1_000;

/// The mapping from presentation time to wall time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wall {
    anchor: Option<WallClock>,
    /// Whether the anchor is our own reading of the system clock.
    own: bool,
    /// End of the last segment, microseconds since 1970.
    end_unix_us: Option<i64>,
}

impl Wall {
    /// Takes an anchor from upstream; says by how much wall time jumps by it, microseconds, 0 for a small step.
    pub fn set_anchor(&mut self, anchor: WallClock) -> i64 {
        let step = self.anchor.map_or(0, |before| {
            let expected = before.unix_us_of(anchor.pts_ns);
            anchor.unix_us.saturating_sub(expected)
        });
        self.anchor = Some(anchor);
        self.own = false;
        if step.unsigned_abs() > BREAK_US.unsigned_abs() {
            step
        } else {
            0
        }
    }

    /// Forgets our own reading of the system clock, because media time has jumped.
    pub fn media_jumped(&mut self) {
        if self.own {
            self.anchor = None;
        }
    }

    /// Wall time of a picture; `now` is asked when there is no anchor yet.
    pub fn at(&mut self, pts_ns: u64, now: impl FnOnce() -> i64) -> i64 {
        let own = &mut self.own;
        let anchor = self.anchor.get_or_insert_with(|| {
            *own = true;
            WallClock {
                pts_ns,
                unix_us: now(),
            }
        });
        anchor.unix_us_of(pts_ns)
    }

    /// Start of a segment whose first picture has the wall time `unix_us`: never before the last one's end.
    pub fn segment_start(&self, unix_us: i64, discont: bool) -> i64 {
        match self.end_unix_us {
            Some(end) if unix_us < end || (!discont && unix_us.saturating_sub(end) < SNAP_US) => {
                end
            }
            _ => unix_us,
        }
    }

    /// Notes the end of a segment.
    pub fn segment_ended(&mut self, unix_us: i64) {
        self.end_unix_us = self.end_unix_us.max(Some(unix_us));
    }

    /// End of the last segment.
    pub fn last_end(&self) -> Option<i64> {
        self.end_unix_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn the_anchor_wins_over_the_system_clock() {
        let mut wall = Wall::default();
        assert_eq!(wall.at(5 * S, || 100_000_000), 100_000_000);
        assert_eq!(wall.at(6 * S, || unreachable!()), 101_000_000);
        let near = WallClock {
            pts_ns: 7 * S,
            unix_us: 102_400_000,
        };
        assert_eq!(wall.set_anchor(near), 0);
        let far = WallClock {
            pts_ns: 8 * S,
            unix_us: 104_500_000,
        };
        assert_eq!(wall.set_anchor(far), 1_100_000);
        assert_eq!(wall.at(8 * S, || unreachable!()), 104_500_000);
    }

    #[test]
    fn segments_never_overlap() {
        let mut wall = Wall::default();
        assert_eq!(wall.segment_start(-5, true), -5);
        wall.segment_ended(10_000_000);
        assert_eq!(wall.segment_start(3, true), 10_000_000);
        assert_eq!(wall.segment_start(10_000_400, false), 10_000_000);
        assert_eq!(wall.segment_start(10_000_400, true), 10_000_400);
        assert_eq!(wall.segment_start(10_002_000, false), 10_002_000);
        wall.segment_ended(9);
        assert_eq!(wall.last_end(), Some(10_000_000));
    }
}
