//! Which groups of foreground cells move: they change from picture to picture, for long enough, on the same ground.

use super::grid::Grid;

/// Cells that must change for a picture to count as activity of a group.
pub const MIN_ACTIVE: usize = 2;

/// Seconds without pictures from which on a picture stands for itself: key frames, not a video.
const SPARSE: f32 = 0.5;
/// With pictures farther apart than this, in seconds, there are too few of them to wait for a third one in a gust, if
/// [`SURE`] cells change.
const FEW: f32 = 0.15;
/// Cells that a gust alone seldom changes in one group.
const SURE: usize = 8;
/// Share of the time without activity that is taken off the score.
const FORGET: f32 = 0.34;
/// With pictures farther apart than this, in seconds, things may leave the ground that they covered between two.
const LEAPS_FROM: f32 = 0.08;
/// The fastest leap, in lengths of the grid's longer side a second.
const LEAP_SPEED: f32 = 0.5;
/// Score, in pictures of slow comparison, at which slow motion is confirmed.
const SLOW_CONFIRMED: f32 = 2.0;

/// What a group of cells did in one picture.
#[derive(Debug, Clone, Copy)]
pub struct Deed {
    /// Cells that changed since the picture before.
    pub active: usize,
    /// Cells that changed since the slow comparison before, when this picture makes one.
    pub slow: Option<usize>,
}

/// The pace at which scores grow.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    /// Seconds since the picture before.
    pub dt: f32,
    /// Seconds of activity that confirm.
    pub confirm: f32,
    /// Whether the camera shakes: what it makes move counts less.
    pub shaking: bool,
}

/// Place and size of a group, in cells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape {
    /// Its centre.
    pub center: (f32, f32),
    /// Its foreground cells.
    pub cells: usize,
}

impl Shape {
    /// Whether a thing of the `other` shape may have become this one in `dt` seconds.
    fn may_follow(self, other: Self, reach: f32) -> bool {
        let (dx, dy) = (
            self.center.0 - other.center.0,
            self.center.1 - other.center.1,
        );
        let (small, large) = (self.cells.min(other.cells), self.cells.max(other.cells));
        dx.hypot(dy) <= reach && large <= 2 * small + 8
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Track {
    fast: f32,
    slow: f32,
    confirmed: bool,
    /// Seconds for which it is still remembered that it moved before it stood still.
    standing: f32,
    shape: Shape,
}

/// The verdict on a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Whether it was seen to move, now or before on the same cells.
    pub confirmed: bool,
    /// Whether slow motion is confirmed, in which case its slowly changing cells count as active.
    pub slow: bool,
    /// Whether it was confirmed before and stands still now: it hides the background, which must not forget.
    pub standing: bool,
}

/// The memory of the groups of the last picture.
#[derive(Debug)]
pub struct Confirm {
    /// Cells along the longer side.
    side: f32,
    /// Per cell: number of the group, from 1, that covered it in the last picture.
    owner: Vec<u32>,
    next_owner: Vec<u32>,
    covered: Vec<u32>,
    next_covered: Vec<u32>,
    tracks: Vec<Track>,
    next_tracks: Vec<Track>,
}

impl Confirm {
    /// A memory for one grid.
    pub fn new(grid: Grid) -> Self {
        Self {
            side: grid.cols.max(grid.rows) as f32,
            owner: vec![0; grid.len()],
            next_owner: vec![0; grid.len()],
            covered: Vec::new(),
            next_covered: Vec::new(),
            tracks: Vec::new(),
            next_tracks: Vec::new(),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.turn();
        self.turn();
    }

    /// Adds a group of this picture; it inherits the best that was known of the groups on the same cells.
    pub fn judge(&mut self, cells: &[u32], shape: Shape, deed: Deed, beat: Beat) -> Verdict {
        let mut track = Track {
            shape,
            ..Track::default()
        };
        let mut last = 0;
        for &cell in cells {
            let owner = self.owner[cell as usize];
            if owner != 0 && owner != last {
                let before = self.tracks[owner as usize - 1];
                track.fast = track.fast.max(before.fast);
                track.slow = track.slow.max(before.slow);
                track.confirmed |= before.confirmed;
                track.standing = track.standing.max(before.standing - beat.dt);
                last = owner;
            }
        }
        let few = beat.dt > FEW;
        let leaps = beat.dt > LEAPS_FROM && beat.dt < SPARSE && (few || !beat.shaking);
        if last == 0 && leaps {
            let reach = self.side * LEAP_SPEED * beat.dt;
            let before = self
                .tracks
                .iter()
                .filter(|track| shape.may_follow(track.shape, reach));
            track.fast = before.map(|track| track.fast).fold(0.0, f32::max);
        }
        let sure = few && deed.active >= SURE;
        let (fast_share, slow_share) = if beat.shaking && !sure {
            (0.67, 0.5)
        } else {
            (1.0, 1.0)
        };
        // However far apart the pictures are, one alone does not confirm, unless there are only single ones.
        let most = if beat.dt < SPARSE {
            beat.confirm / 2.0
        } else {
            beat.confirm
        };
        let step = beat.dt.min(most);
        if deed.active >= MIN_ACTIVE {
            track.fast = (track.fast + fast_share * step).min(2.0 * beat.confirm);
        } else {
            track.fast = (track.fast - FORGET * beat.dt).max(0.0);
        }
        match deed.slow {
            Some(active) if active >= MIN_ACTIVE => track.slow = (track.slow + slow_share).min(3.0),
            Some(_) => track.slow = (track.slow - 0.5).max(0.0),
            None => {}
        }
        // A thousandth of a second: what rounding of time stamps may take away.
        let fast = track.fast >= beat.confirm - 1e-3;
        let slow = track.slow >= SLOW_CONFIRMED;
        track.confirmed |= fast || slow;
        self.next_tracks.push(track);
        let number = self.next_tracks.len() as u32;
        for &cell in cells {
            self.next_owner[cell as usize] = number;
        }
        self.next_covered.extend_from_slice(cells);
        Verdict {
            confirmed: track.confirmed,
            slow,
            standing: track.standing > 0.0,
        }
    }

    /// Whether a group stands where one was confirmed in the last picture.
    pub fn knows(&self, cells: &[u32]) -> bool {
        cells.iter().any(|&cell| {
            let owner = self.owner[cell as usize];
            owner != 0 && {
                let track = self.tracks[owner as usize - 1];
                track.confirmed || track.standing > 0.0
            }
        })
    }

    /// Takes the confirmation from the group that was judged last: it has stood still for too long. For so many seconds
    /// it is remembered that it moved.
    pub fn expire(&mut self, remembered: f32) {
        if let Some(track) = self.next_tracks.last_mut() {
            track.confirmed = false;
            track.standing = remembered;
        }
    }

    /// Ends the picture.
    pub fn turn(&mut self) {
        for &cell in &self.covered {
            self.owner[cell as usize] = 0;
        }
        self.covered.clear();
        self.tracks.clear();
        std::mem::swap(&mut self.owner, &mut self.next_owner);
        std::mem::swap(&mut self.covered, &mut self.next_covered);
        std::mem::swap(&mut self.tracks, &mut self.next_tracks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures until a group that is active in all of them is confirmed.
    fn pictures_until_confirmed(fps: f32, shaking: bool) -> usize {
        let mut confirm = Confirm::new(Grid {
            cell: 2,
            cols: 10,
            rows: 10,
        });
        let beat = Beat {
            dt: 1.0 / fps,
            confirm: 0.13,
            shaking,
        };
        let deed = Deed {
            active: 9,
            slow: None,
        };
        for n in 1..100 {
            if confirm
                .judge(&[11, 12, 13], Shape::default(), deed, beat)
                .confirmed
            {
                return n;
            }
            confirm.turn();
        }
        100
    }

    #[test]
    fn confirmation_takes_time_and_at_least_two_pictures() {
        assert_eq!(pictures_until_confirmed(30.0, false), 4);
        assert_eq!(pictures_until_confirmed(15.0, false), 2);
        assert_eq!(pictures_until_confirmed(5.0, false), 2);
        assert_eq!(pictures_until_confirmed(10.0, true), 3);
        assert_eq!(pictures_until_confirmed(5.0, true), 2);
        assert_eq!(pictures_until_confirmed(0.5, false), 1);
    }

    #[test]
    fn scores_stay_with_the_ground_and_fade() {
        let mut confirm = Confirm::new(Grid {
            cell: 2,
            cols: 10,
            rows: 10,
        });
        let beat = Beat {
            dt: 0.066,
            confirm: 0.13,
            shaking: false,
        };
        let act = Deed {
            active: 2,
            slow: None,
        };
        let rest = Deed {
            active: 1,
            slow: None,
        };
        assert!(
            !confirm
                .judge(&[1, 2], Shape::default(), act, beat)
                .confirmed
        );
        confirm.turn();
        // Elsewhere: nothing is known.
        assert!(
            !confirm
                .judge(&[50, 51], Shape::default(), act, beat)
                .confirmed
        );
        confirm.turn();
        assert!(
            confirm
                .judge(&[51, 52], Shape::default(), act, beat)
                .confirmed
        );
        confirm.turn();
        // Confirmation holds while the group is there, until it is taken away.
        assert!(
            confirm
                .judge(&[52, 53], Shape::default(), rest, beat)
                .confirmed
        );
        confirm.expire(0.0);
        confirm.turn();
        for _ in 0..20 {
            confirm.judge(&[52], Shape::default(), rest, beat);
            confirm.expire(0.0);
            confirm.turn();
        }
        assert!(!confirm.judge(&[52], Shape::default(), act, beat).confirmed);
    }

    #[test]
    fn slow_motion_needs_two_slow_comparisons() {
        let mut confirm = Confirm::new(Grid {
            cell: 2,
            cols: 10,
            rows: 10,
        });
        let beat = Beat {
            dt: 0.066,
            confirm: 0.13,
            shaking: false,
        };
        let slow = Deed {
            active: 0,
            slow: Some(4),
        };
        assert!(!confirm.judge(&[1], Shape::default(), slow, beat).confirmed);
        confirm.turn();
        let verdict = confirm.judge(&[1], Shape::default(), slow, beat);
        assert!(verdict.confirmed && verdict.slow);
        confirm.turn();
        confirm.clear();
        assert!(!confirm.judge(&[1], Shape::default(), slow, beat).confirmed);
    }
    #[test]
    fn few_pictures_let_things_leap() {
        let check = |dt: f32, to: f32, cells: usize, expect: bool| {
            let mut confirm = Confirm::new(Grid {
                cell: 2,
                cols: 100,
                rows: 10,
            });
            let beat = Beat {
                dt,
                confirm: 0.13,
                shaking: false,
            };
            let deed = Deed {
                active: 5,
                slow: None,
            };
            confirm.judge(
                &[1],
                Shape {
                    center: (1.0, 0.0),
                    cells: 20,
                },
                deed,
                beat,
            );
            confirm.turn();
            let verdict = confirm.judge(
                &[500],
                Shape {
                    center: (to, 5.0),
                    cells,
                },
                deed,
                beat,
            );
            assert_eq!(verdict.confirmed, expect, "{dt} {to} {cells}");
        };
        check(0.2, 8.0, 25, true);
        check(0.2, 50.0, 25, false);
        check(0.2, 8.0, 100, false);
        check(0.066, 8.0, 25, false);
    }
}
