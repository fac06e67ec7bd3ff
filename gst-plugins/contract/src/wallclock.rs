//! The sticky event that ties media time to wall time: "the picture with this PTS was taken at this time".
//!
//! `camerasrc` sends it before the first picture and again after each reconnect, so that recording and
//! detection share one clock. Elements that see no such event have no wall time, and say nothing about it.

use gst::prelude::*;

const NAME: &str = "nvrd-wall-clock";
const PTS_NS: &str = "pts-ns";
const UNIX_US: &str = "unix-us";

/// One point that both clocks share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// Presentation time stamp, nanoseconds.
    pub pts_ns: u64,
    /// Microseconds since 1970-01-01 UTC at which the picture with that PTS was taken.
    pub unix_us: i64,
}

impl WallClock {
    /// The serialised, sticky downstream event.
    pub fn to_event(self) -> gst::Event {
        gst::event::CustomDownstreamSticky::builder(
            gst::Structure::builder(NAME)
                .field(PTS_NS, self.pts_ns)
                .field(UNIX_US, self.unix_us)
                .build(),
        )
        .build()
    }

    /// The anchor in an event, `None` when it is some other event.
    pub fn from_event(event: &gst::EventRef) -> Option<Self> {
        if event.type_() != gst::EventType::CustomDownstreamSticky {
            return None;
        }
        let structure = event.structure().filter(|s| s.name() == NAME)?;
        Some(Self {
            pts_ns: structure.get(PTS_NS).ok()?,
            unix_us: structure.get(UNIX_US).ok()?,
        })
    }

    /// The anchor that a pad has seen last, if any.
    pub fn of_pad(pad: &gst::Pad) -> Option<Self> {
        let mut found = None;
        pad.sticky_events_foreach(|event| {
            if let Some(anchor) = Self::from_event(event) {
                found = Some(anchor);
            }
            std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
        });
        found
    }

    /// Wall time of a PTS, microseconds since 1970-01-01 UTC.
    pub fn unix_us_of(self, pts_ns: u64) -> i64 {
        let delta_us = (i128::from(pts_ns) - i128::from(self.pts_ns)) / 1000;
        self.unix_us
            .saturating_add(i64::try_from(delta_us).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_event_and_counts_both_ways() {
        gst::init().unwrap();
        let anchor = WallClock {
            pts_ns: 5_000_000_000,
            unix_us: 1_700_000_000_000_000,
        };
        assert_eq!(WallClock::from_event(&anchor.to_event()), Some(anchor));
        assert_eq!(anchor.unix_us_of(6_000_000_000), 1_700_000_001_000_000);
        assert_eq!(anchor.unix_us_of(4_000_000_000), 1_699_999_999_000_000);
        assert_eq!(WallClock::from_event(&gst::event::Eos::new()), None);
    }
}
