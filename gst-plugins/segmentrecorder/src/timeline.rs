//! Time stamps as they come, turned into a decode time that only grows, and the jumps found in them.

/// A jump marked by `DISCONT` that is longer than this ends the segment, nanoseconds.
const MARKED_JUMP_NS: i128 = 1_000_000_000;
/// Without the mark only a longer pause ends it, because a camera may send a picture every few seconds.
const UNMARKED_JUMP_NS: i128 = 10_000_000_000;
/// The least step of the decode time: one unit of the video track, rounded up.
const STEP_NS: u64 = 11_112;
/// What a picture lasts when nothing says it, nanoseconds.
const DEFAULT_DURATION_NS: u64 = 40_000_000;

/// The time stamps of a buffer, nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Raw {
    /// Presentation time.
    pub pts_ns: Option<u64>,
    /// Decode time.
    pub dts_ns: Option<u64>,
    /// Duration.
    pub duration_ns: Option<u64>,
    /// Whether the source says that something is missing before it.
    pub discont: bool,
}

/// The time stamps that are recorded, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Presentation time.
    pub pts_ns: u64,
    /// Decode time, greater than that of the picture before unless there was a jump.
    pub dts_ns: u64,
    /// Duration, measured or assumed.
    pub duration_ns: u64,
    /// Whether time does not go on from the picture before.
    pub jump: bool,
}

/// The run of decode times so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeline {
    last: Option<Stamp>,
}

impl Timeline {
    /// Takes the next picture in decode order.
    pub fn stamp(&mut self, raw: Raw) -> Stamp {
        let step = self
            .last
            .map_or(DEFAULT_DURATION_NS, |last| last.duration_ns);
        let expected = self
            .last
            .map(|last| last.dts_ns.saturating_add(last.duration_ns));
        let dts = raw.dts_ns.or(raw.pts_ns).or(expected).unwrap_or(0);
        let jump = expected.is_some_and(|expected| {
            let ahead = i128::from(dts) - i128::from(expected);
            let by_reordering = raw.dts_ns.is_none();
            ahead > UNMARKED_JUMP_NS
                || (ahead < -MARKED_JUMP_NS && !by_reordering)
                || ahead < -UNMARKED_JUMP_NS
                || (raw.discont && ahead.abs() > MARKED_JUMP_NS)
        });
        let dts_ns = match self.last {
            Some(last) if !jump => dts.max(last.dts_ns.saturating_add(STEP_NS)),
            _ => dts,
        };
        let measured = self
            .last
            .filter(|_| !jump)
            .map(|last| dts_ns - last.dts_ns)
            .filter(|&measured| measured < 1_000_000_000);
        let stamp = Stamp {
            pts_ns: raw.pts_ns.unwrap_or(dts_ns),
            dts_ns,
            duration_ns: raw
                .duration_ns
                .filter(|&duration| duration > 0 && duration < 60_000_000_000)
                .or(measured)
                .unwrap_or(step),
            jump,
        };
        self.last = Some(stamp);
        stamp
    }

    /// Decode time of the last picture.
    pub fn last_dts_ns(&self) -> Option<u64> {
        self.last.map(|last| last.dts_ns)
    }

    /// Forgets the past: the next picture is the first.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn raw(pts_ms: u64, dts_ms: u64) -> Raw {
        Raw {
            pts_ns: Some(pts_ms * MS),
            dts_ns: Some(dts_ms * MS),
            duration_ns: Some(40 * MS),
            discont: false,
        }
    }

    #[test]
    fn finds_jumps_and_only_jumps() {
        let mut discont = raw(3000, 3000);
        discont.discont = true;
        let mut short = raw(900, 900);
        short.discont = true;
        for (next, jump) in [
            (raw(40, 40), false),
            (short, false),
            (discont, true),
            (raw(3000, 3000), false),
            (raw(20_000, 20_000), true),
        ] {
            let mut timeline = Timeline::default();
            timeline.stamp(raw(0, 0));
            assert_eq!(timeline.stamp(next).jump, jump, "{next:?}");
        }
        let mut timeline = Timeline::default();
        timeline.stamp(raw(50_000, 50_000));
        assert!(timeline.stamp(raw(0, 0)).jump, "a source that starts again");
    }

    #[test]
    fn fills_what_is_missing() {
        let mut timeline = Timeline::default();
        let first = timeline.stamp(Raw::default());
        assert_eq!((first.pts_ns, first.dts_ns), (0, 0));
        let second = timeline.stamp(Raw::default());
        assert_eq!(second.dts_ns, 40 * MS);
        let third = timeline.stamp(Raw {
            pts_ns: Some(90 * MS),
            ..Raw::default()
        });
        assert_eq!((third.pts_ns, third.dts_ns), (90 * MS, 90 * MS));
        assert_eq!(third.duration_ns, 50 * MS);
    }

    proptest! {
        #[test]
        fn decode_time_grows(stamps in proptest::collection::vec(
            (proptest::option::of(any::<u64>()), proptest::option::of(any::<u64>()), any::<bool>()), 1..60)) {
            let mut timeline = Timeline::default();
            let mut last: Option<u64> = None;
            for (pts_ns, dts_ns, discont) in stamps {
                let stamp = timeline.stamp(Raw { pts_ns, dts_ns, duration_ns: None, discont });
                if let (Some(last), false) = (last, stamp.jump) {
                    prop_assert!(stamp.dts_ns > last || last == u64::MAX);
                }
                last = Some(stamp.dts_ns);
            }
        }
    }
}
