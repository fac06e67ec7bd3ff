//! The one stretch that is being missed right now, and the messages at its start and end.

use nvr_contract::segment::{Gap, GapReason};

/// At most one gap is open.
#[derive(Debug, Default)]
pub struct Gaps {
    open: Option<Gap>,
}

impl Gaps {
    /// Begins a gap; a gap that is open for another reason ends there. Returns what to say.
    ///
    /// Waiting for a key frame is part of whatever gap is open already, unless that says that nobody wanted any.
    pub fn open(
        &mut self,
        reason: GapReason,
        start_unix_us: i64,
        detail: Option<String>,
    ) -> Vec<Gap> {
        let known = self.open.as_ref();
        let waits = reason == GapReason::NoKeyframe;
        let said = |gap: &Gap| gap.reason == reason || (waits && gap.reason != GapReason::NoEvent);
        if known.is_some_and(said) {
            return Vec::new();
        }
        let mut said = Vec::from_iter(self.close(start_unix_us));
        let start_unix_us = said.first().map_or(start_unix_us, |before| {
            start_unix_us.max(before.start_unix_us)
        });
        let gap = Gap {
            start_unix_us,
            end_unix_us: None,
            reason,
            detail,
        };
        self.open = Some(gap.clone());
        said.push(gap);
        said
    }

    /// Ends the open gap. Returns what to say.
    pub fn close(&mut self, end_unix_us: i64) -> Option<Gap> {
        let gap = self.open.take()?;
        Some(Gap {
            end_unix_us: Some(end_unix_us.max(gap.start_unix_us)),
            ..gap
        })
    }

    /// Whether a gap is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a gap for this reason is open.
    pub fn is(&self, reason: GapReason) -> bool {
        self.open.as_ref().is_some_and(|gap| gap.reason == reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gap_at_a_time() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.open(GapReason::DiskFull, 10, None).len(), 1);
        assert!(gaps.open(GapReason::DiskFull, 20, None).is_empty());
        assert!(gaps.open(GapReason::NoKeyframe, 20, None).is_empty());
        let said = gaps.open(GapReason::Paused, 30, None);
        assert_eq!(said[0].end_unix_us, Some(30));
        assert_eq!(
            (said[1].start_unix_us, said[1].reason),
            (30, GapReason::Paused)
        );
        assert_eq!(gaps.close(5).unwrap().end_unix_us, Some(30));
        assert!(gaps.close(5).is_none());
        gaps.open(GapReason::NoEvent, 30, None);
        assert_eq!(gaps.open(GapReason::NoKeyframe, 40, None).len(), 2);
        assert!(gaps.is(GapReason::NoKeyframe));
    }
}
