//! From pictures to episodes: motion starts with the first moving picture and is over when the hold time is.

use super::zones::ZoneSet;

/// Motion that began or ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Whether it began.
    pub started: bool,
    /// Time stamp of the first (began) or the last (ended) moving picture, nanoseconds.
    pub pts_ns: u64,
    /// Share of the picture that moves; the peak, when it ended.
    pub level: f64,
    /// The zones touched.
    pub zones: ZoneSet,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    last_ns: u64,
    peak: f64,
    zones: ZoneSet,
}

/// Follows whether the scene moves.
#[derive(Debug, Default)]
pub struct Episodes {
    open: Option<Open>,
}

impl Episodes {
    /// Takes in a picture: its time stamp, and level and zones when something moves in it.
    ///
    /// At most two turns: a stream that jumps ends one episode and may begin another with the same picture.
    pub fn see(
        &mut self,
        pts_ns: u64,
        moving: Option<(f64, ZoneSet)>,
        hold_ns: u64,
    ) -> [Option<Turn>; 2] {
        // Beyond the hold time also when it moves again: the pictures between were not seen.
        let over = self.open.filter(|open| {
            pts_ns < open.last_ns || pts_ns - open.last_ns > hold_ns.max(LONGEST_GAP)
        });
        let ended = match (over, moving) {
            (Some(_), _) => self.finish(),
            (None, None)
                if self
                    .open
                    .is_some_and(|open| pts_ns - open.last_ns > hold_ns) =>
            {
                self.finish()
            }
            _ => None,
        };
        let Some((level, zones)) = moving else {
            return [ended, None];
        };
        let began = self.open.is_none().then_some(Turn {
            started: true,
            pts_ns,
            level,
            zones,
        });
        let open = self.open.get_or_insert(Open {
            last_ns: pts_ns,
            peak: level,
            zones,
        });
        *open = Open {
            last_ns: pts_ns,
            peak: open.peak.max(level),
            zones: open.zones.with(zones),
        };
        [ended, began]
    }

    /// Whether motion is under way, or its hold time is.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Ends the episode that is open.
    pub fn finish(&mut self) -> Option<Turn> {
        self.open.take().map(|open| Turn {
            started: false,
            pts_ns: open.last_ns,
            level: open.peak,
            zones: open.zones,
        })
    }
}

/// Moving pictures at most this far apart, in nanoseconds, belong to one episode: key frames may come seldom.
const LONGEST_GAP: u64 = 11_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Runs pictures (ms, level) through; what comes out as `+ms` or `-ms/peak`.
    fn check(pictures: &[(u64, f64)], expect: &str) {
        let mut episodes = Episodes::default();
        let mut out = Vec::new();
        for &(ms, level) in pictures {
            let moving = (level > 0.0).then_some((level, ZoneSet::default()));
            out.extend(
                episodes
                    .see(ms * MS, moving, 500 * MS)
                    .into_iter()
                    .flatten(),
            );
        }
        out.extend(episodes.finish());
        let words: Vec<String> = out
            .iter()
            .map(|turn| match turn.started {
                true => format!("+{}", turn.pts_ns / MS),
                false => format!("-{}/{}", turn.pts_ns / MS, turn.level),
            })
            .collect();
        assert_eq!(words.join(" "), expect);
    }

    #[test]
    fn hold_time_bridges_pauses() {
        check(&[(0, 0.0), (100, 0.0)], "");
        check(&[(0, 0.1), (100, 0.3), (200, 0.2)], "+0 -200/0.3");
        check(
            &[(0, 0.1), (400, 0.0), (500, 0.0), (600, 0.2)],
            "+0 -600/0.2",
        );
        check(
            &[(0, 0.1), (400, 0.0), (501, 0.0), (600, 0.2)],
            "+0 -0/0.1 +600 -600/0.2",
        );
    }

    #[test]
    fn sparse_pictures_and_jumps() {
        check(&[(0, 0.1), (2000, 0.2), (4000, 0.0)], "+0 -2000/0.2");
        check(
            &[(9000, 0.1), (5000, 0.2), (5100, 0.2)],
            "+9000 -9000/0.1 +5000 -5100/0.2",
        );
        check(&[(0, 0.1), (60_000, 0.2)], "+0 -0/0.1 +60000 -60000/0.2");
    }
}
