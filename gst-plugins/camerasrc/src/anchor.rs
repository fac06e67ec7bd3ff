//! When media time and wall time have come so far apart that they must be tied anew; numbers only.

use nvr_contract::wallclock::WallClock;

/// A millionth part: what crystals drift by without anyone minding, see `design/time.md`.
const DRIFT_PPM: u64 = 500;
/// Both clocks are read one after the other, and the thread may lose the processor in between.
const READING_US: u64 = 20_000;

/// Whether the anchor no longer tells the wall time of a running time, which is nanoseconds.
pub fn is_off(anchor: WallClock, running_ns: u64, unix_us: i64) -> bool {
    let since_us = running_ns.abs_diff(anchor.pts_ns) / 1000;
    let off_us = anchor.unix_us_of(running_ns).abs_diff(unix_us);
    off_us > READING_US.saturating_add(since_us / 1_000_000 * DRIFT_PPM)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANCHOR: WallClock = WallClock {
        pts_ns: 1_000_000_000,
        unix_us: 1_700_000_000_000_000,
    };

    #[test]
    fn steps_are_seen_and_drift_is_not() {
        let hour = 3_600_000_000_i64;
        for (passed_us, off_us, expected) in [
            (0, 0, false),
            (0, 15_000, false),
            (0, 25_000, true),
            (0, -25_000, true),
            (hour, 1_800_000, false),
            (hour, 1_850_000, true),
            (hour, -1_850_000, true),
            (hour, hour, true),
        ] {
            let running = ANCHOR.pts_ns + u64::try_from(passed_us).unwrap() * 1000;
            let unix_us = ANCHOR.unix_us + passed_us + off_us;
            assert_eq!(
                is_off(ANCHOR, running, unix_us),
                expected,
                "{passed_us} {off_us}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_overflows(pts_ns: u64, unix_us: i64, running_ns: u64, now_us: i64) {
            let anchor = WallClock { pts_ns, unix_us: unix_us / 4 };
            is_off(anchor, running_ns, now_us / 4);
        }

        #[test]
        fn crystals_never_renew_an_anchor(ppm in -500..=500_i64, seconds in 0..1_000_000_i64) {
            let running = ANCHOR.pts_ns + u64::try_from(seconds).unwrap() * 1_000_000_000;
            let unix_us = ANCHOR.unix_us + seconds * (1_000_000 + ppm);
            prop_assert!(!is_off(ANCHOR, running, unix_us));
        }
    }
}
