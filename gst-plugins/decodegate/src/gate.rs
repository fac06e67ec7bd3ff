//! What goes to the decoder and when: the decisions of the gate, on plain values.
//!
//! While the scene is quiet, key frames go through alone, each drained out of the decoder at once, and the detector
//! gives a word on each. When the word is that something moves, the decoder is wound back to the key frame before,
//! and everything since then follows; pictures that were shown already are not shown again.
//! Time is that of the pictures alone.

use nvr_contract::gate::{Bypass, GateChange, GateMode, GateState, OpenReason};

use crate::cadence::Cadence;
use crate::nal::Kind;
use crate::ring::{Ring, Sent};
use crate::word::{Requests, Word};

/// A step back in time of more than this, nanoseconds, is another stream; less is pictures out of order.
const JUMP_NS: u64 = 1_000_000_000;

/// What the gate has to know of an access unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// What a decoder can do with it.
    pub kind: Kind,
    /// Presentation time stamp, nanoseconds.
    pub pts_ns: Option<u64>,
    /// Its size.
    pub bytes: usize,
    /// Whether something before it is missing.
    pub torn: bool,
}

/// What a user may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What is let through.
    pub mode: GateMode,
    /// For how long after the last motion everything is let through, nanoseconds.
    pub hold_ns: u64,
    /// The most encoded bytes that are kept.
    pub ring_bytes: usize,
    /// The longest time that is kept, nanoseconds.
    pub ring_ns: u64,
    /// Without a key frame for this long everything is let through, nanoseconds.
    pub keyframe_limit_ns: u64,
}

/// Something to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act<T> {
    /// Say downstream what comes from here on.
    Announce(GateState),
    /// Make the decoder forget; what it shows up to `shown_ns` (PTS) from here on was shown before.
    Rewind {
        /// PTS of the last picture that was shown, nanoseconds.
        shown_ns: Option<u64>,
    },
    /// Send a picture.
    Send {
        /// The picture.
        item: T,
        /// Whether what was sent before it is not what came before it.
        fresh: bool,
    },
    /// Make the decoder show what it holds.
    Drain,
    /// Say it on the bus.
    Tell(GateChange),
}

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Pictures that came in.
    pub frames_in: u64,
    /// Of those, the ones that were sent at least once.
    pub passed: u64,
    /// Pictures that were sent from the ring.
    pub replayed: u64,
    /// Pictures sent, each time counted.
    pub sent: u64,
    /// Times that the gate opened.
    pub opened: u64,
}

/// The gate of one stream; `T` is an encoded picture, cheap to clone.
#[derive(Debug)]
pub struct Gate<T> {
    config: Config,
    cadence: Cadence,
    ring: Ring<T>,
    word: Word,
    requests: Requests,
    scheduled: bool,
    now_ns: Option<u64>,
    open: Option<OpenReason>,
    /// Whether the decoder has everything that the next picture needs.
    synced: bool,
    /// Whether the decoder has anything.
    begun: bool,
    /// The latest PTS that was sent.
    sent_ns: Option<u64>,
    announced: Option<GateState>,
    counters: Counters,
}

impl<T: Clone> Gate<T> {
    /// A gate that has seen nothing; it is open until a detector says that it knows the scene.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            cadence: Cadence::default(),
            ring: Ring::default(),
            word: Word::default(),
            requests: Requests::default(),
            scheduled: false,
            now_ns: None,
            open: None,
            synced: false,
            begun: false,
            sent_ns: None,
            announced: None,
            counters: Counters::default(),
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes the configuration; it holds from the next picture on.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Why everything is let through, `None` when it is not.
    pub fn open(&self) -> Option<OpenReason> {
        self.open
    }

    /// What the stream lacks, if anything.
    pub fn bypass(&self) -> Option<Bypass> {
        self.cadence.bypass()
    }

    /// The latest interval between two key frames, nanoseconds.
    pub fn keyframe_interval(&self) -> Option<u64> {
        self.cadence.interval()
    }

    /// Bytes kept.
    pub fn ring_bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Whether a key frame is with the detector that has given no word on it yet.
    pub fn is_awaiting(&self) -> bool {
        self.word.awaited.is_some()
    }

    /// The detector gives no word: better to decode too much than to miss something.
    pub fn unanswered(&mut self) {
        self.word.awaited = None;
        self.word.silent = true;
    }

    /// The detector's word on the picture with that PTS.
    pub fn hear(&mut self, moving: bool, pts_ns: u64) {
        let alone = self
            .ring
            .iter()
            .any(|e| e.sent == Sent::Alone && e.unit.pts_ns == Some(pts_ns));
        self.word.hear(moving, pts_ns, self.open.is_none() && alone);
    }

    /// Lets everything through for somebody, for a time in nanoseconds or, with 0, until `close`.
    pub fn request(&mut self, who: &str, duration_ns: u64) {
        self.requests.open(who, duration_ns, self.now_ns);
    }

    /// Ends what somebody asked for; an empty name ends everybody's.
    pub fn release(&mut self, who: &str) {
        self.requests.close(who);
    }

    /// Whether it is one of the times at which everything is let through.
    pub fn set_scheduled(&mut self, scheduled: bool) {
        self.scheduled = scheduled;
    }

    /// Another stream begins, or the old one elsewhere: nothing that is kept belongs to what comes.
    pub fn restart(&mut self) {
        self.ring.clear();
        self.cadence.restart();
        (self.word.awaited, self.word.hint) = (None, None);
        (self.now_ns, self.sent_ns) = (None, None);
        self.synced = false;
    }

    /// Takes in the next picture, in decoding order.
    pub fn push(&mut self, unit: Unit, item: T, out: &mut Vec<Act<T>>) {
        self.counters.frames_in += 1;
        let back = unit.pts_ns.zip(self.now_ns);
        if back.is_some_and(|(pts, now)| pts.saturating_add(JUMP_NS) < now) {
            self.restart();
        }
        if unit.torn && unit.kind != Kind::Key {
            self.ring.tear();
            self.synced = false;
        }
        self.cadence
            .see(unit.kind, unit.pts_ns, self.config.keyframe_limit_ns);
        self.now_ns = unit.pts_ns.or(self.now_ns);
        self.requests.expire(self.now_ns);
        if self.config.mode == GateMode::All && self.open.is_some() {
            self.ring.clear();
        } else {
            let (bytes, time) = (self.config.ring_bytes, self.config.ring_ns);
            self.ring.push(unit, item.clone(), bytes, time);
        }
        if !self.turn(true, out) {
            match self.open {
                Some(_) => self.send_along(unit, item, out),
                None => self.send_alone(unit, item, out),
            }
        }
    }

    /// Opens or closes without a picture: nothing comes after this.
    pub fn settle(&mut self, out: &mut Vec<Act<T>>) {
        self.turn(false, out);
    }

    fn wants(&self) -> Option<OpenReason> {
        if self.config.mode == GateMode::All {
            return Some(OpenReason::Mode);
        }
        if self.cadence.bypass().is_some() {
            return Some(OpenReason::Bypass);
        }
        if self.scheduled {
            return Some(OpenReason::Schedule);
        }
        if self.requests.any() {
            return Some(OpenReason::Request);
        }
        match self.config.mode {
            GateMode::Adaptive => self.word.wants(self.now_ns, self.config.hold_ns),
            _ => None,
        }
    }

    /// Opens or closes where that is due; whether the newest picture was dealt with.
    fn turn(&mut self, with_newest: bool, out: &mut Vec<Act<T>>) -> bool {
        let wanted = self.wants();
        match (self.open, wanted) {
            (None, Some(reason)) => return self.open_for(reason, with_newest, out),
            (Some(_), None) => {
                self.open = None;
                self.synced = false;
                self.word.closed();
                out.push(Act::Drain);
                out.push(Act::Tell(self.change(0)));
            }
            (Some(old), Some(new)) if old != new => {
                self.open = Some(new);
                if old == OpenReason::Bypass || new == OpenReason::Bypass {
                    out.push(Act::Tell(self.change(0)));
                }
            }
            _ => {}
        }
        false
    }

    fn change(&self, replayed: u64) -> GateChange {
        let asked = self.open == Some(OpenReason::Request);
        GateChange {
            open: self.open,
            bypass: self.cadence.bypass().filter(|_| self.open.is_some()),
            request: asked.then(|| self.requests.who()).flatten(),
            pts_ns: self.now_ns.unwrap_or(0),
            replayed,
        }
    }

    /// Opens, and sends what is kept from where it is wanted; whether the newest picture was among it.
    fn open_for(&mut self, reason: OpenReason, with_newest: bool, out: &mut Vec<Act<T>>) -> bool {
        self.open = Some(reason);
        self.counters.opened += 1;
        let hint = self.word.hint.take();
        let before = |unit: &Unit| hint.is_none_or(|hint| unit.pts_ns.is_some_and(|p| p < hint));
        let start = self
            .ring
            .group_by(before)
            .or_else(|| self.ring.group_by(|_| true));
        let shown_ns = match hint {
            // What the detector saw something on, it did not pass on.
            Some(_) => {
                let shown = self.ring.iter().filter(|e| e.sent != Sent::No);
                let shown = shown.filter(|e| before(&e.unit));
                shown.filter_map(|e| e.unit.pts_ns).max()
            }
            None => self.sent_ns,
        };
        let Some(start) = start else {
            self.announce(false, out);
            out.push(Act::Tell(self.change(0)));
            return false;
        };
        if self.begun {
            out.push(Act::Rewind { shown_ns });
        }
        self.announce(false, out);
        self.begun = true;
        self.synced = self.ring.is_whole();
        let newest = with_newest && self.synced;
        let mut replayed = 0;
        for (n, entry) in self.ring.from(start).enumerate() {
            out.push(Act::Send {
                item: entry.item.clone(),
                fresh: n == 0,
            });
            replayed += 1;
            self.counters.passed += u64::from(entry.sent == Sent::No);
            entry.sent = Sent::Along;
            self.sent_ns = self.sent_ns.max(entry.unit.pts_ns);
        }
        self.counters.sent += replayed;
        replayed -= u64::from(newest);
        self.counters.replayed += replayed;
        out.push(Act::Tell(self.change(replayed)));
        newest
    }

    /// Sends a picture among all the others, where the decoder has what it needs.
    fn send_along(&mut self, unit: Unit, item: T, out: &mut Vec<Act<T>>) {
        // Nothing better can be done with these streams than to send it all.
        let all = matches!(self.open, Some(OpenReason::Mode | OpenReason::Bypass));
        let fresh = !self.synced && unit.kind == Kind::Key;
        self.synced |= unit.kind == Kind::Key;
        if self.synced || all {
            self.announce(false, out);
            self.send(unit, item, fresh, Sent::Along, out);
        }
    }

    /// Sends a key frame on its own.
    fn send_alone(&mut self, unit: Unit, item: T, out: &mut Vec<Act<T>>) {
        if unit.kind != Kind::Key {
            return;
        }
        self.announce(true, out);
        self.send(unit, item, true, Sent::Alone, out);
        out.push(Act::Drain);
        if self.config.mode == GateMode::Adaptive {
            self.word.awaited = unit.pts_ns;
        }
    }

    fn send(&mut self, unit: Unit, item: T, fresh: bool, sent: Sent, out: &mut Vec<Act<T>>) {
        self.begun = true;
        self.counters.passed += 1;
        self.counters.sent += 1;
        self.sent_ns = self.sent_ns.max(unit.pts_ns);
        self.ring.mark_last(sent);
        out.push(Act::Send { item, fresh });
    }

    fn announce(&mut self, keys_only: bool, out: &mut Vec<Act<T>>) {
        let state = GateState {
            keys_only,
            replays: self.config.mode == GateMode::Adaptive,
        };
        if self.announced != Some(state) {
            self.announced = Some(state);
            out.push(Act::Announce(state));
        }
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
