//! How often a stream has a key frame, and whether the gate can work with that.

use nvr_contract::gate::Bypass;

use crate::nal::Kind;

/// Pictures without a time stamp after which the stream counts as one without.
const UNSTAMPED: u32 = 3;
/// Regular intervals between key frames that end a bypass.
const REGULAR: u32 = 2;

/// Follows the key frames of one stream.
#[derive(Debug, Default)]
pub struct Cadence {
    /// PTS of the last key frame, or of the first picture as long as there is none; nanoseconds.
    since: Option<u64>,
    /// The latest interval between two key frames, nanoseconds.
    interval: Option<u64>,
    /// What kind of recovery point came since the last key frame.
    recovery: Option<bool>,
    unstamped: u32,
    regular: u32,
    bypass: Option<Bypass>,
}

impl Cadence {
    /// Why the gate cannot work with this stream, if it cannot.
    pub fn bypass(&self) -> Option<Bypass> {
        self.bypass
    }

    /// The latest interval between two key frames, nanoseconds.
    pub fn interval(&self) -> Option<u64> {
        self.interval
    }

    /// Begins anew in time, as after a jump; what is known of the stream stays.
    pub fn restart(&mut self) {
        (self.since, self.recovery, self.unstamped) = (None, None, 0);
    }

    /// Takes in the next picture; without a key frame for `limit` nanoseconds the gate cannot work.
    pub fn see(&mut self, kind: Kind, pts: Option<u64>, limit: u64) {
        let Some(pts) = pts else {
            self.unstamped += 1;
            if self.unstamped >= UNSTAMPED {
                self.fail(Bypass::NoTimestamps);
            }
            return;
        };
        self.unstamped = 0;
        let since = *self.since.get_or_insert(pts);
        let passed = pts.saturating_sub(since);
        match kind {
            Kind::Key => {
                if passed > 0 {
                    self.interval = Some(passed);
                }
                let regular = passed > 0 && passed <= limit && self.recovery.is_none();
                self.regular = if regular { self.regular + 1 } else { 0 };
                if self.regular >= REGULAR {
                    self.bypass = None;
                } else if passed > limit {
                    self.fail(Bypass::NoKeyframes);
                }
                (self.since, self.recovery) = (Some(pts), None);
            }
            Kind::Recovery { gradual } => {
                // The key frame that should have been here is none: another will hardly come.
                self.recovery = Some(gradual);
                self.fail(match gradual {
                    true => Bypass::IntraRefresh,
                    false => Bypass::OpenGop,
                });
            }
            Kind::Delta if passed > limit && self.bypass.is_none() => {
                self.fail(Bypass::NoKeyframes);
            }
            Kind::Delta => {}
        }
    }

    fn fail(&mut self, bypass: Bypass) {
        self.bypass = Some(bypass);
        self.regular = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Pictures as `k` (key), `d` (delta), `o` (open GOP), `r` (refresh), `-` (no time stamp), `every` ms apart.
    fn check(every: u64, pictures: &str, expect: Option<Bypass>) {
        let mut cadence = Cadence::default();
        for (n, word) in pictures.chars().enumerate() {
            let kind = match word {
                'k' => Kind::Key,
                'o' => Kind::Recovery { gradual: false },
                'r' => Kind::Recovery { gradual: true },
                _ => Kind::Delta,
            };
            let pts = (word != '-').then_some(n as u64 * every * MS);
            cadence.see(kind, pts, 5000 * MS);
        }
        assert_eq!(cadence.bypass(), expect, "{pictures} every {every} ms");
    }

    #[test]
    fn streams_that_the_gate_can_and_cannot_work_with() {
        check(1000, "kddddkddddk", None);
        check(1000, "kddddddkddd", Some(Bypass::NoKeyframes));
        check(1000, "dddddd", None);
        check(1000, "ddddddd", Some(Bypass::NoKeyframes));
        check(1000, "kodddd", Some(Bypass::OpenGop));
        check(1000, "krdddd", Some(Bypass::IntraRefresh));
        check(40, "k--", None);
        check(40, "k---", Some(Bypass::NoTimestamps));
        // Two regular intervals, and it works again.
        check(1000, "kddddddkdkd", Some(Bypass::NoKeyframes));
        check(1000, "kddddddkdkdk", None);
        check(1000, "koddkdkdk", None);
        check(1000, "koddkodk", Some(Bypass::OpenGop));
        // A limit that is reached and not passed.
        check(2500, "kdkdkd", None);
    }

    #[test]
    fn the_interval_is_told() {
        let mut cadence = Cadence::default();
        assert_eq!(cadence.interval(), None);
        for n in 0..5 {
            cadence.see(Kind::Key, Some(n * 2000 * MS), 5000 * MS);
        }
        assert_eq!(cadence.interval(), Some(2000 * MS));
    }
}
