//! Pictures and what is on them, one after the other, into events that open, are updated and close.
//!
//! Time is the pictures' own. An event ends with the last picture that shows its subject; it is closed once that
//! is longer ago than a gap **and** a later picture shows that the subject is gone: one without motion, or one at
//! which the model looked. So a slow picture rate alone, or a model that did not run, closes nothing.

use std::collections::VecDeque;

use nvr_contract::BBox;
use nvr_contract::event::{Change, Event, Kind};
use nvr_contract::face::Identity;
use nvr_contract::motion::{MotionFrame, MotionRegion};
use nvr_contract::track::Tracking;
use nvr_contract::wallclock::WallClock;

use crate::event_id::{EventFacts, event_id};
use crate::live::{Key, Live, Stage, Touch};

/// The most events open at a time; the oldest is closed for a new one.
pub const OPEN_LIMIT: usize = 256;
/// The most subjects remembered, candidates and those closed for want of room included.
const LIVE_LIMIT: usize = 1024;
/// The most pictures kept at a time; those of the longest waiting events go first.
const SHOT_LIMIT: usize = 32;
/// The shortest time between two updates of one event.
const UPDATE_NS: u64 = 1_000_000_000;
/// Pictures that stand for one sure one, in `min_frames`.
const UNSURE_FRAMES: u64 = 10;
/// For how long an object that stands still keeps its event open; after that it is silent until it moves.
const STAND_NS: u64 = 30_000_000_000;
/// After a hole this long, or a step this far back, everything begins anew.
const HOLE_NS: u64 = 30_000_000_000;
const BACK_NS: u64 = 1_000_000_000;
/// The label of face detectors.
const FACE: &str = "face";

/// What may be turned.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether motion makes events.
    pub motion: bool,
    /// For how long it must be quiet for a motion event to end, nanoseconds.
    pub motion_gap: u64,
    /// A motion event this long is closed and goes on as a new one, nanoseconds; 0 for no limit.
    pub motion_limit: u64,
    /// For how long an object must be gone for its event to end, nanoseconds.
    pub object_gap: u64,
    /// Pictures that must show an object before it is an event.
    pub min_frames: u64,
    /// Score (0..1) that one picture must reach before its subject is an event; one that is seen on ten times
    /// `min_frames` pictures is one without.
    pub open_score: f64,
    /// Detections with a lower score (0..1) are not looked at.
    pub min_score: f64,
    /// Only these labels make events; empty for all.
    pub labels: Vec<String>,
    /// Hash of the pipeline, stamped on each event.
    pub pipeline: Option<String>,
    /// Goes into the ids of events, so that two streams never share one.
    pub id_seed: String,
}

/// A detected object on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// The model's label.
    pub label: String,
    /// Confidence, 0..1.
    pub score: f64,
    /// Where.
    pub bbox: BBox,
    /// What a tracker said, `None` when there is no tracker.
    pub tracking: Option<Tracking>,
    /// Whose face it is.
    pub identity: Option<Identity>,
}

/// What is known of a picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Picture {
    /// Presentation time stamp, nanoseconds.
    pub pts_ns: u64,
    /// For how long it is shown, nanoseconds, when known.
    pub duration_ns: Option<u64>,
    /// The anchor of wall time, when known.
    pub wall: Option<WallClock>,
    /// What the motion detector says, `None` when there is none.
    pub motion: Option<MotionFrame>,
    /// What moves.
    pub regions: Vec<MotionRegion>,
    /// Whether a model looked; `None` when nothing says so, which counts as a look.
    pub looked: Option<bool>,
    /// Hash of the model.
    pub model: Option<String>,
    /// What was found.
    pub sights: Vec<Sight>,
}

/// Something to tell, with the event's best picture where there is a new one.
#[derive(Debug, Clone, PartialEq)]
pub struct Told<P> {
    /// The event.
    pub event: Event,
    /// Its best picture so far.
    pub shot: Option<P>,
}

/// The events of one stream; `P` is how pictures are kept.
#[derive(Debug)]
pub struct Events<P> {
    lives: Vec<Live<P>>,
    last_ns: Option<u64>,
    /// Counts pictures, and subjects for their ids.
    pictures: u64,
    subjects: u64,
    /// Numbers of the latest pictures that were kept.
    shots: VecDeque<u64>,
    /// Pictures looked at since everything began anew.
    looks: u64,
    opened: u64,
    closed: u64,
}

impl<P> Default for Events<P> {
    fn default() -> Self {
        Self {
            lives: Vec::new(),
            last_ns: None,
            pictures: 0,
            subjects: 0,
            shots: VecDeque::new(),
            looks: 0,
            opened: 0,
            closed: 0,
        }
    }
}

impl<P: Clone> Events<P> {
    /// Events opened so far.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Events closed so far.
    pub fn closed(&self) -> u64 {
        self.closed
    }

    /// The PTS of the latest picture, nanoseconds.
    pub fn now(&self) -> Option<u64> {
        self.last_ns
    }

    /// Takes in a picture; `shoot` is called at most once, when the picture is worth keeping.
    pub fn step(
        &mut self,
        config: &Config,
        picture: &Picture,
        shoot: &mut dyn FnMut() -> Option<P>,
    ) -> Vec<Told<P>> {
        let mut told = Vec::new();
        if self.last_ns.is_some_and(|last| {
            picture.pts_ns < last.saturating_sub(BACK_NS)
                || picture.pts_ns > last.saturating_add(HOLE_NS)
        }) {
            told = self.finish(config);
        }
        let now = self.last_ns.unwrap_or(0).max(picture.pts_ns);
        self.last_ns = Some(now);
        self.pictures += 1;
        let looked = picture.looked.unwrap_or(true);
        self.looks += u64::from(looked);

        // Whoever comes back after the gap is another event, even on the picture that ends the gap.
        self.expire(config, now, &mut told);
        let mut shot = None;
        let mut shoot = || shot.get_or_insert_with(&mut *shoot).clone();
        if config.motion {
            self.take_motion(config, picture, now, &mut shoot);
        }
        for sight in &picture.sights {
            self.take_sight(config, picture, now, sight, &mut shoot);
        }
        if let Some(Some(_)) = shot {
            self.bound_shots();
        }
        let moving = picture.motion.as_ref().is_some_and(|m| m.moving);
        let quiet = picture
            .motion
            .as_ref()
            .is_some_and(|m| !m.moving && !m.learning);
        for live in &mut self.lives {
            if !live.seen_on(self.pictures) {
                live.missed |= match live.kind {
                    Kind::Motion => !moving,
                    _ => looked || quiet,
                };
            }
        }
        self.expire(config, now, &mut told);
        self.announce(config, now, &mut told);
        told
    }

    /// Closes everything, each event with the last picture that showed it, and begins anew.
    pub fn finish(&mut self, config: &Config) -> Vec<Told<P>> {
        let now = self.last_ns.unwrap_or(0);
        let mut told = Vec::new();
        // A still picture cannot show anything twice: what was on every picture there was, is an event.
        let still = self.looks < config.min_frames.max(2);
        for mut live in std::mem::take(&mut self.lives) {
            if live.stage == Stage::Candidate && still && live.frames == self.looks {
                live.stage = Stage::Open;
                self.opened += 1;
                told.push(Told::of(&mut live, Change::Opened, now, config));
            }
            if live.stage == Stage::Open {
                self.closed += 1;
                told.push(Told::of(&mut live, Change::Closed, now, config));
            }
        }
        self.last_ns = None;
        self.looks = 0;
        told
    }

    fn take_motion(
        &mut self,
        config: &Config,
        picture: &Picture,
        now: u64,
        shoot: &mut dyn FnMut() -> Option<P>,
    ) {
        let Some(motion) = picture.motion.as_ref().filter(|m| m.moving) else {
            return;
        };
        let regions = &picture.regions;
        let zones: Vec<String> = regions.iter().flat_map(|r| r.zones.clone()).collect();
        let touch = Touch {
            label: None,
            score: regions
                .iter()
                .map(|r| r.score)
                .reduce(f64::max)
                .unwrap_or(motion.level),
            bbox: regions
                .iter()
                .map(|r| r.bbox)
                .reduce(BBox::union)
                .unwrap_or_default(),
            zones: &zones,
            identity: None,
            confirmed: true,
            standing: false,
        };
        self.touch(config, picture, now, Key::Motion, &touch, shoot);
    }

    fn take_sight(
        &mut self,
        config: &Config,
        picture: &Picture,
        now: u64,
        sight: &Sight,
        shoot: &mut dyn FnMut() -> Option<P>,
    ) {
        let wanted = config.labels.is_empty() || config.labels.contains(&sight.label);
        if !wanted || sight.score.is_nan() || sight.score < config.min_score {
            return;
        }
        let kind = kind_of(&sight.label);
        let (key, zones, confirmed): (_, &[String], _) = match &sight.tracking {
            Some(Tracking::Unclaimed) => return,
            Some(Tracking::Tentative(id)) => (Key::Track(kind, *id), &[], false),
            Some(Tracking::Tracked(track)) => {
                let key = Key::Track(kind, track.id);
                if track.stationary && !self.may_stand(&key, now) {
                    return;
                }
                (key, &track.zones, true)
            }
            None => {
                let person = sight.identity.as_ref().map(|i| i.person.clone());
                (Key::Label(sight.label.clone(), person), &[], true)
            }
        };
        let touch = Touch {
            label: Some(&sight.label),
            score: sight.score,
            bbox: sight.bbox,
            zones,
            identity: sight.identity.as_ref(),
            confirmed,
            standing: matches!(&sight.tracking, Some(Tracking::Tracked(t)) if t.stationary),
        };
        self.touch(config, picture, now, key, &touch, shoot);
    }

    /// Whether an object that stands still goes on with its event: it has one, and moved not long ago.
    fn may_stand(&self, key: &Key, now: u64) -> bool {
        let live = self.lives.iter().find(|live| live.key == *key);
        live.is_some_and(|live| now.saturating_sub(live.moved_ns) <= STAND_NS)
    }

    fn touch(
        &mut self,
        config: &Config,
        picture: &Picture,
        now: u64,
        key: Key,
        touch: &Touch<'_>,
        shoot: &mut dyn FnMut() -> Option<P>,
    ) {
        let mut known = self.lives.iter().position(|live| live.key == key);
        if let Key::Track(_, track) = key
            && let Some(index) = known
            && self.lives[index].is_of_another(touch)
        {
            self.lives[index].leave(track);
            known = None;
        }
        let index = match known {
            Some(index) => index,
            None => self.begin(config, picture, now, key, touch),
        };
        let live = &mut self.lives[index];
        if live.touch(picture, now, self.pictures, touch) && live.stage != Stage::Spent {
            live.keep(self.pictures, shoot());
        }
    }

    fn bound_shots(&mut self) {
        self.shots.push_back(self.pictures);
        if self.shots.len() > SHOT_LIMIT {
            self.shots.pop_front();
            let oldest = self.shots.front().copied().unwrap_or(self.pictures);
            for live in &mut self.lives {
                live.let_go(oldest);
            }
        }
    }

    fn begin(
        &mut self,
        config: &Config,
        picture: &Picture,
        now: u64,
        key: Key,
        touch: &Touch<'_>,
    ) -> usize {
        if self.lives.len() >= LIVE_LIMIT
            && let Some(oldest) = self.lives.iter().position(|l| l.stage != Stage::Open)
        {
            self.lives.remove(oldest);
        }
        self.subjects += 1;
        let (kind, track_id) = match &key {
            Key::Motion => (Kind::Motion, None),
            Key::Track(kind, id) => (*kind, Some(*id)),
            Key::Left(id) => (Kind::Face, Some(*id)),
            Key::Label(label, _) => (kind_of(label), None),
        };
        let start_unix_us = picture.wall.map(|wall| wall.unix_us_of(now));
        let id = event_id(EventFacts {
            pipeline: config.pipeline.as_deref().unwrap_or_default(),
            seed: &config.id_seed,
            kind,
            label: touch.label,
            track_id,
            start_ns: now,
            start_unix_us,
            serial: self.subjects,
        });
        self.lives
            .push(Live::new(id, key, kind, now, start_unix_us));
        self.lives.len() - 1
    }

    /// Closes what is over, in the order in which it began.
    fn expire(&mut self, config: &Config, now: u64, told: &mut Vec<Told<P>>) {
        let closed = &mut self.closed;
        self.lives.retain_mut(|live| {
            let gap = match live.kind {
                Kind::Motion => config.motion_gap,
                _ => config.object_gap,
            };
            // A street that is never quiet would be one event that nobody can review.
            let too_long = live.kind == Kind::Motion
                && config.motion_limit > 0
                && now.saturating_sub(live.start_ns) >= config.motion_limit;
            let over = too_long || live.missed && now.saturating_sub(live.last_ns) > gap;
            if over && live.stage == Stage::Open {
                *closed += 1;
                told.push(Told::of(live, Change::Closed, now, config));
            }
            !over
        });
    }

    /// Opens what is sure by now, and updates what has news, at most once a second each.
    fn announce(&mut self, config: &Config, now: u64, told: &mut Vec<Told<P>>) {
        for index in 0..self.lives.len() {
            let live = &mut self.lives[index];
            let sure = live.score() >= config.open_score
                || live.frames >= config.min_frames.saturating_mul(UNSURE_FRAMES);
            let enough = live.kind == Kind::Motion || live.frames >= config.min_frames && sure;
            match live.stage {
                Stage::Candidate if live.confirmed && enough => {
                    self.make_room(config, now, told);
                    let live = &mut self.lives[index];
                    live.stage = Stage::Open;
                    self.opened += 1;
                    told.push(Told::of(live, Change::Opened, now, config));
                }
                Stage::Open if live.news && now.saturating_sub(live.said_ns) >= UPDATE_NS => {
                    told.push(Told::of(live, Change::Updated, now, config));
                }
                _ => {}
            }
        }
    }

    fn make_room(&mut self, config: &Config, now: u64, told: &mut Vec<Told<P>>) {
        let mut open = self.lives.iter_mut().filter(|l| l.stage == Stage::Open);
        // Subjects stand in the order in which they began.
        if let Some(oldest) = open.next()
            && open.count() + 1 >= OPEN_LIMIT
        {
            oldest.stage = Stage::Spent;
            self.closed += 1;
            told.push(Told::of(oldest, Change::Closed, now, config));
        }
    }
}

impl<P> Told<P> {
    fn of(live: &mut Live<P>, change: Change, now: u64, config: &Config) -> Self {
        let (event, shot) = live.say(change, now, config.pipeline.as_deref());
        Self { event, shot }
    }
}

fn kind_of(label: &str) -> Kind {
    if label == FACE {
        Kind::Face
    } else {
        Kind::Object
    }
}
