//! Turns whatever time stamps a camera sends into ones that never go backwards; numbers only, nanoseconds throughout.
//!
//! A connection has its own zero. The timeline ties it to the output at the first key frame: live to the running
//! time of that picture's arrival, otherwise to the end of what went before.

use crate::reorder::{Order, Reorder};
use crate::uri::Source;

const SECOND: i64 = 1_000_000_000;
/// Output times of two pictures differ by at least this much: a tick that survives a 90 kHz clock.
const TICK: i64 = 100_000;
/// Live pictures stamped so far ahead of their arrival come from a clock that jumped.
const AHEAD: i64 = 3 * SECOND;
/// Live pictures that arrive so late do so because a clock jumped, not because the network stalled.
const LATE: i64 = 10 * SECOND;
/// A paced source that falls behind by this much goes on from now.
const BEHIND: i64 = 2 * SECOND;
/// A step back longer than this is a new zero of a source that is not live; shorter ones are reordering.
const BACK: i64 = SECOND;
/// A live source's step of more than this is no distance: its clock was set.
const JUMP: i64 = 10 * SECOND;
/// How far behind the one before a picture is put that has no time stamp to go by and comes early.
const EARLY: i64 = SECOND / 100;
/// Sound that comes at most this far from where the pictures' time puts it shares their time.
const IN_STEP: i64 = SECOND;
/// Nobody waits longer than this for sound.
const SOUNDLESS: i64 = 2 * SECOND;
/// A step forward longer than this in a recording is damage, not a pause.
const LEAP: i64 = 24 * 3600 * SECOND;
/// A picture is decoded at most this long before it is shown.
const LEAD: i64 = 10 * SECOND;
/// How often the camera's clock is compared with ours.
const DRIFT_WINDOW: i64 = 10 * SECOND;
/// The most a camera's clock is corrected in one window: 500 millionths, what a cheap quartz is off by.
const DRIFT_STEP: i64 = DRIFT_WINDOW / 2000;
/// What a picture lasts while nothing is known.
const DURATION: i64 = SECOND / 25;

/// What the output follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Pictures arrive when the camera sends them: time follows their arrival.
    Live,
    /// Pictures lie ready and are held back until their time.
    Paced,
    /// Pictures come as fast as they are taken, from zero.
    Free,
}

impl Pace {
    /// The pace of a source.
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Rtsp(_) => Self::Live,
            source if source.is_live() => Self::Paced,
            _ => Self::Free,
        }
    }
}

/// What a source says about the time of one packet, on the source's own timeline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// When it is shown.
    pub pts: Option<i64>,
    /// When it is decoded, where the source knows.
    pub dts: Option<i64>,
    /// How long it lasts.
    pub duration: Option<i64>,
    /// Running time at which it arrived, or at which it is looked at.
    pub arrival: i64,
    /// Whether decoding can begin here.
    pub key: bool,
    /// It refers to a later picture, so it comes out of order.
    pub reordered: bool,
}

/// Output times of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// Presentation time.
    pub pts: u64,
    /// Decoding time, at most `pts`, more than any before it in the stream.
    pub dts: u64,
    /// Duration.
    pub duration: u64,
    /// Something is missing before this packet, or time was tied anew.
    pub discont: bool,
    /// Output time was tied to the clock anew.
    pub anchored: bool,
}

/// Why there is no relation between the source's time and ours at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loose {
    /// Nothing came yet.
    Begin,
    /// The same recording begins again: goes on seamlessly.
    Loop,
    /// Another connection, or a clock that jumped: goes on from now.
    Anew,
}

/// The state between one source and the output.
#[derive(Debug)]
pub struct Timeline {
    pace: Pace,
    offset: Result<i64, Loose>,
    need_key: bool,
    discont: bool,
    reorder: Reorder,
    nominal: i64,
    /// What is added to the source's times to mend its jumps.
    mended: i64,
    last_src: Option<i64>,
    last_src_pts: Option<i64>,
    last_dts: Option<i64>,
    /// The latest time at which a picture is shown, and when the last of them ends.
    latest: i64,
    end: i64,
    drift: Drift,
    /// What following the camera's clock has moved the offset by since it was tied.
    followed: i64,
    sound: Sound,
}

/// Where sound stands on the same line.
#[derive(Debug, Default)]
struct Sound {
    /// What is added to its source times, and whether `followed` goes on top.
    offset: Option<(i64, bool)>,
    last_src: Option<i64>,
    drift: Drift,
    started: bool,
    end: i64,
    discont: bool,
}

impl Timeline {
    /// A timeline before its first packet.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            offset: Err(Loose::Begin),
            need_key: true,
            discont: true,
            reorder: Reorder::default(),
            nominal: DURATION,
            mended: 0,
            last_src: None,
            last_src_pts: None,
            last_dts: None,
            latest: 0,
            end: 0,
            drift: Drift::default(),
            followed: 0,
            sound: Sound {
                discont: true,
                ..Sound::default()
            },
        }
    }

    /// How many pictures may overtake one by the stream's own word, `None` where it does not say.
    pub fn declare_depth(&mut self, depth: Option<usize>) {
        self.reorder.declare(depth);
    }

    /// Learns how pictures are reordered from the presentation times of those that come next.
    pub fn foresee(&mut self, pts: impl Iterator<Item = Option<i64>>) {
        self.reorder.foresee(pts.flatten());
    }

    /// What a picture lasts by the stream's own word; ignored where it makes no sense.
    pub fn declare_rate(&mut self, numerator: i32, denominator: i32) {
        if numerator > 0 && denominator > 0 {
            let duration = SECOND * i64::from(denominator) / i64::from(numerator);
            if (SECOND / 1000..=10 * SECOND).contains(&duration) {
                self.nominal = duration;
            }
        }
    }

    /// The source begins again from its first picture: output goes on at the end of the last one.
    pub fn looped(&mut self) {
        if self.offset.is_ok() {
            self.loosen(Loose::Loop);
        }
    }

    /// The next packets come from another connection.
    pub fn reconnected(&mut self) {
        if self.offset != Err(Loose::Begin) {
            self.loosen(Loose::Anew);
        }
        self.need_key = true;
        self.discont = true;
    }

    /// The pipeline paused: what comes now is tied to the time that is now.
    pub fn resumed(&mut self) {
        if self.offset.is_ok() {
            self.loosen(Loose::Anew);
            self.discont = true;
        }
    }

    /// Pictures were left out: the next one is a key frame on the same timeline.
    pub fn gap(&mut self) {
        self.need_key = true;
        self.discont = true;
        self.sound.discont = true;
        self.reorder.restart();
    }

    fn loosen(&mut self, why: Loose) {
        self.offset = Err(why);
        (self.last_src, self.last_src_pts) = (None, None);
        (self.mended, self.followed) = (0, 0);
        self.reorder.restart();
        self.drift = Drift::default();
        (self.sound.offset, self.sound.last_src) = (None, None);
        self.sound.drift = Drift::default();
        self.sound.discont = true;
    }

    /// Output times of a picture, `None` when it cannot be shown: it waits for a key frame.
    pub fn video(&mut self, stamp: Stamp) -> Option<Mapped> {
        if self.need_key && !stamp.key {
            if let Some(pts) = stamp.pts {
                self.reorder.learn(pts.saturating_add(self.mended));
            }
            return None;
        }
        let pts = self.source_pts(stamp);
        let pts = match self.place_by_arrival(stamp, pts) {
            Some(placed) => {
                self.discont = true;
                placed
            }
            None => pts,
        };
        if self.jumped_back(stamp, pts) {
            self.loosen(Loose::Anew);
            self.discont = true;
            if !stamp.key {
                self.need_key = true;
                return None;
            }
        }
        let dts = match (stamp.dts, self.reorder.order(pts, self.nominal)) {
            (Some(dts), _) | (None, Order::Decode(dts)) => dts.clamp(pts.saturating_sub(LEAD), pts),
            // Pictures that refer to ones from before the first key frame.
            (None, Order::Leading) => return None,
            // More reordering than was known: what went out says it plainly, so begin at the next key frame.
            (None, Order::TooDeep) => {
                self.gap();
                return None;
            }
        };
        self.need_key = false;
        self.last_src_pts = Some(pts);
        let leap = self
            .last_src
            .replace(dts)
            .is_some_and(|last| dts.saturating_sub(last) > LEAP);
        let anchored = self.tie(stamp.arrival, dts, leap);
        let offset = self.offset.expect("tied just now");
        let duration = self.duration(stamp, dts.saturating_add(offset));
        let floor = self.last_dts.map_or(0, |last| last + TICK);
        let dts = dts.saturating_add(offset).max(floor);
        let pts = pts.saturating_add(offset).max(dts);
        self.last_dts = Some(dts);
        self.latest = self.latest.max(pts);
        self.end = self.end.max(pts.saturating_add(duration));
        Some(Mapped {
            pts: unsigned(pts),
            dts: unsigned(dts),
            duration: unsigned(duration),
            discont: std::mem::take(&mut self.discont) | anchored,
            anchored,
        })
    }

    /// Output times of a piece of sound, `None` before the first picture and where it overlaps what went out.
    pub fn audio(&mut self, stamp: Stamp) -> Option<Mapped> {
        let source = stamp.pts?;
        let offset = self.sound_offset(stamp, source)?;
        let pts = source.saturating_add(offset);
        let duration = stamp.duration.unwrap_or(0).clamp(0, SECOND);
        // Two milliseconds of overlap are rounding.
        if pts < 0 || pts.saturating_add(2_000_000) < self.sound.end {
            return None;
        }
        let pts = pts.max(self.sound.end);
        let gap = pts - self.sound.end > SECOND / 10;
        self.sound.started = true;
        self.sound.end = pts.saturating_add(duration.max(1));
        Some(Mapped {
            pts: unsigned(pts),
            dts: unsigned(pts),
            duration: unsigned(duration),
            discont: std::mem::take(&mut self.sound.discont) | gap,
            anchored: false,
        })
    }

    /// Sound that did not come and that nobody should wait for any longer: where it begins and how long it lasts.
    pub fn missing_sound(&mut self) -> Option<(u64, u64)> {
        let now = self.last_dts.filter(|_| self.sound.started)?;
        let start = self.sound.end;
        if now.saturating_sub(start) <= SOUNDLESS {
            return None;
        }
        // What comes late, but not too late, still has its place.
        self.sound.end = now - SOUNDLESS / 2;
        self.sound.discont = true;
        Some((unsigned(start), unsigned(self.sound.end - start)))
    }

    /// What to add to a time of the sound; live sound that is out of step is tied by its own arrival.
    fn sound_offset(&mut self, stamp: Stamp, source: i64) -> Option<i64> {
        let pictures = self.offset.ok()?;
        if self.pace != Pace::Live {
            return Some(pictures.saturating_add(self.mended));
        }
        let step = self
            .sound
            .last_src
            .replace(source)
            .map(|last| source.saturating_sub(last));
        let (offset, shared) = match self.sound.offset {
            Some(known) if step.is_none_or(|step| (1..=JUMP).contains(&step)) => known,
            Some(_) => (self.sound_by_arrival(stamp, source), false),
            // Times of both streams count from the same zero where the camera says so; it may be wrong.
            None => (pictures.saturating_add(self.mended) - self.followed, true),
        };
        let mut offset = match shared {
            true => offset.saturating_add(self.followed),
            false => offset,
        };
        let late = stamp.arrival.saturating_sub(source.saturating_add(offset));
        let bounds = match self.sound.offset {
            None => -IN_STEP..=IN_STEP,
            Some(_) => -AHEAD..=LATE,
        };
        if !bounds.contains(&late) {
            offset = self.sound_by_arrival(stamp, source);
            self.sound.offset = Some((offset, false));
        } else if shared {
            self.sound.offset = Some((offset - self.followed, true));
        } else {
            offset = offset.saturating_add(self.sound.drift.correction(stamp.arrival, late));
            self.sound.offset = Some((offset, false));
        }
        Some(offset)
    }

    fn sound_by_arrival(&mut self, stamp: Stamp, source: i64) -> i64 {
        self.sound.discont = true;
        self.sound.drift = Drift::default();
        stamp.arrival.max(self.sound.end).saturating_sub(source)
    }

    fn source_pts(&self, stamp: Stamp) -> i64 {
        if let Some(pts) = stamp.pts.or(stamp.dts) {
            return pts.saturating_add(self.mended);
        }
        match (self.pace, self.offset, self.last_src) {
            (Pace::Live, Ok(offset), _) => stamp.arrival - offset,
            (_, _, Some(last)) => last + self.nominal,
            _ => 0,
        }
    }

    /// Where a live picture belongs whose time stamp repeats, goes back or leaps: `None` where the stamp is in order.
    ///
    /// The pictures after it count from there.
    fn place_by_arrival(&mut self, stamp: Stamp, pts: i64) -> Option<i64> {
        let (Pace::Live, Ok(offset), None) = (self.pace, self.offset, stamp.dts) else {
            return None;
        };
        let step = pts.saturating_sub(self.last_src_pts?);
        let in_order = match self.reorder.depth() {
            _ if stamp.reordered => true,
            0 => step > 0,
            _ => self.last_src.is_none_or(|last| pts > last) && !self.reorder.has_seen(pts),
        };
        if in_order && (-JUMP..=JUMP).contains(&step) {
            return None;
        }
        let depth = i64::try_from(self.reorder.depth()).expect("at most sixteen");
        let arrival = stamp.arrival.saturating_sub(offset);
        // Never before what went out: a picture that comes early waits for its turn.
        let floor = self.last_src?.saturating_add(EARLY);
        let placed = arrival.max(floor).saturating_add(depth * self.nominal);
        self.mended = self.mended.saturating_add(placed.saturating_sub(pts));
        Some(placed)
    }

    /// Whether the source's time has a new zero: a key frame is never shown before what was decoded before it.
    fn jumped_back(&self, stamp: Stamp, pts: i64) -> bool {
        let now = stamp.dts.unwrap_or(pts);
        self.last_src
            .is_some_and(|last| now < last.saturating_sub(BACK))
    }

    /// Ties the source's time to ours where it is loose or has slipped; true when it was tied anew.
    fn tie(&mut self, arrival: i64, dts: i64, leap: bool) -> bool {
        let mut ahead = false;
        if let Ok(offset) = self.offset {
            let late = arrival.saturating_sub(dts.saturating_add(offset));
            ahead = self.pace == Pace::Live && late < -AHEAD;
            let slipped = match self.pace {
                Pace::Live => !(-AHEAD..=LATE).contains(&late),
                Pace::Paced => late > BEHIND || leap,
                Pace::Free => leap,
            };
            if !slipped {
                if self.pace == Pace::Live {
                    let step = self.drift.correction(arrival, late);
                    self.offset = Ok(offset + step);
                    self.followed += step;
                }
                return false;
            }
            self.drift = Drift::default();
            self.offset = Err(Loose::Anew);
        }
        let loose = self.offset.err();
        // Where decoding begins: the first picture is shown when it arrives, later ones follow the last.
        let target = match (self.pace, loose) {
            (Pace::Free, _) | (Pace::Paced, Some(Loose::Loop)) => self.end,
            // A clock that runs too fast would run away, were each picture given its length once more.
            _ if ahead => arrival.max(self.latest),
            _ => arrival.max(self.end),
        };
        self.offset = Ok(target.saturating_sub(dts));
        loose != Some(Loose::Loop)
    }

    fn duration(&mut self, stamp: Stamp, dts: i64) -> i64 {
        let known = stamp.duration.filter(|d| (1..=10 * SECOND).contains(d));
        if let Some(duration) = known {
            self.nominal = duration;
        } else if let Some(last) = self.last_dts {
            let step = dts.saturating_sub(last);
            if (SECOND / 1000..=SECOND).contains(&step) {
                // A quarter of the way: jitter of arrival does not show, a new rate does.
                self.nominal += (step - self.nominal) / 4;
            }
        }
        self.nominal
    }
}

/// Follows the difference between the camera's clock and ours.
#[derive(Debug, Default)]
struct Drift {
    window: Option<(i64, i64)>,
}

impl Drift {
    /// How much to add to the offset now: the least delay of a window is the clock's own, the rest is the network.
    fn correction(&mut self, arrival: i64, late: i64) -> i64 {
        let (start, least) = self.window.get_or_insert((arrival, late));
        *least = (*least).min(late);
        if arrival - *start < DRIFT_WINDOW {
            return 0;
        }
        let step = (*least).clamp(-DRIFT_STEP, DRIFT_STEP);
        self.window = None;
        step
    }
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
