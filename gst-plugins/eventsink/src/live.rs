//! One event while it lives: what is known of it so far, and what is said of it.

use nvr_contract::BBox;
use nvr_contract::event::{Change, Event, Kind};
use nvr_contract::face::Identity;

use crate::events::Picture;

/// By how much a picture must be better than the best so far to take its place.
const CLEARLY: f64 = 1.25;
/// A track that changes its label more often than this keeps the first ones.
const LABEL_LIMIT: usize = 8;

/// What makes two sightings one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// There is one scene.
    Motion,
    /// A tracker says so.
    Track(Kind, u64),
    /// Of a track that went over to somebody else.
    Left(u64),
    /// No tracker: all of one label, and of one person where the person is known.
    Label(String, Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not enough is known to speak of it.
    Candidate,
    /// It was announced.
    Open,
    /// It was closed because there were too many; it is not announced again while it is seen.
    Spent,
}

/// A sighting of an event's subject on one picture.
#[derive(Debug)]
pub(crate) struct Touch<'a> {
    pub(crate) label: Option<&'a str>,
    pub(crate) score: f64,
    pub(crate) bbox: BBox,
    pub(crate) zones: &'a [String],
    pub(crate) identity: Option<&'a Identity>,
    /// Whether nothing but more pictures is needed to speak of it.
    pub(crate) confirmed: bool,
    /// Whether the tracker says that it stands still.
    pub(crate) standing: bool,
}

#[derive(Debug)]
pub(crate) struct Live<P> {
    pub(crate) id: String,
    pub(crate) key: Key,
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
    pub(crate) confirmed: bool,
    pub(crate) start_ns: u64,
    pub(crate) start_unix_us: Option<i64>,
    /// PTS of the last picture it was seen on.
    pub(crate) last_ns: u64,
    /// PTS of the last picture on which it did not stand still.
    pub(crate) moved_ns: u64,
    end_ns: u64,
    end_unix_us: Option<i64>,
    /// Pictures it was seen on, and which one was the last.
    pub(crate) frames: u64,
    last_picture: u64,
    /// Whether a picture since then shows that it is not there.
    pub(crate) missed: bool,
    labels: Vec<(String, u64)>,
    score: f64,
    quality: f64,
    bbox: Option<BBox>,
    zones: Vec<String>,
    identity: Option<Identity>,
    /// When the picture ended on which it was this one, nanoseconds and wall time.
    identified: (u64, Option<i64>),
    model: Option<String>,
    /// The best picture, until it is handed out, and that picture's number.
    shot: Option<(u64, P)>,
    /// Whether there is something new to say, and when something was said last.
    pub(crate) news: bool,
    pub(crate) said_ns: u64,
}

impl<P> Live<P> {
    pub(crate) fn new(
        id: String,
        key: Key,
        kind: Kind,
        start_ns: u64,
        start_unix_us: Option<i64>,
    ) -> Self {
        Self {
            id,
            key,
            kind,
            stage: Stage::Candidate,
            confirmed: false,
            start_ns,
            start_unix_us,
            last_ns: start_ns,
            moved_ns: start_ns,
            end_ns: start_ns,
            end_unix_us: None,
            frames: 0,
            last_picture: 0,
            missed: false,
            labels: Vec::new(),
            score: 0.0,
            // Any picture is better than none, one that scores nothing too.
            quality: -1.0,
            bbox: None,
            zones: Vec::new(),
            identity: None,
            identified: (start_ns, None),
            model: None,
            shot: None,
            news: false,
            said_ns: start_ns,
        }
    }

    /// Takes in a sighting; `serial` counts pictures, `now` is the picture's time. True when the picture is
    /// clearly the best one so far and should be kept as such.
    pub(crate) fn touch(
        &mut self,
        picture: &Picture,
        now: u64,
        serial: u64,
        touch: &Touch<'_>,
    ) -> bool {
        if self.last_picture != serial {
            self.frames += 1;
            self.last_picture = serial;
        }
        self.last_ns = now;
        if !touch.standing {
            self.moved_ns = now;
        }
        self.end_ns = now.saturating_add(picture.duration_ns.unwrap_or(0));
        self.end_unix_us = picture.wall.map(|wall| wall.unix_us_of(self.end_ns));
        self.missed = false;
        self.confirmed |= touch.confirmed;
        self.score = self.score.max(touch.score);
        if let Some(label) = touch.label {
            let known = self.labels.iter().position(|(known, _)| known == label);
            match known {
                Some(index) => self.labels[index].1 += 1,
                None if self.labels.len() < LABEL_LIMIT => self.labels.push((label.to_owned(), 1)),
                None => {}
            }
        }
        for zone in touch.zones {
            if let Err(place) = self.zones.binary_search(zone) {
                self.zones.insert(place, zone.clone());
                self.news = true;
            }
        }
        self.identify(touch.identity);
        if self.kind != Kind::Motion && picture.model.is_some() {
            self.model.clone_from(&picture.model);
        }
        let quality = touch.score * touch.bbox.area();
        let better = quality > self.quality * CLEARLY;
        if better {
            self.quality = quality;
            self.bbox = Some(touch.bbox).filter(|bbox| bbox.area() > 0.0);
            self.news = true;
        }
        better
    }

    /// The most similar person wins, and anybody with a name before a stranger; a new one is news, a little more
    /// similarity is not.
    fn identify(&mut self, identity: Option<&Identity>) {
        let Some(identity) = identity else { return };
        let rank = |identity: &Identity| (!identity.is_stranger(), identity.similarity);
        let known = self.identity.as_ref();
        if known.is_none_or(|known| rank(identity) > rank(known)) {
            self.news |= known.is_none_or(|known| known.person != identity.person);
            self.identity = Some(identity.clone());
        }
        if self.identity.as_ref().map(|it| &it.person) == Some(&identity.person) {
            self.identified = (self.end_ns, self.end_unix_us);
        }
    }

    /// Whether a sighting shows somebody else by name: a tracker may go from one to another, at a cut say.
    pub(crate) fn is_of_another(&self, touch: &Touch<'_>) -> bool {
        let named = |identity: Option<&'_ Identity>| {
            identity
                .filter(|identity| !identity.is_stranger())
                .map(|identity| identity.person.clone())
        };
        let (this, other) = (named(self.identity.as_ref()), named(touch.identity));
        this.is_some() && other.is_some() && this != other
    }

    /// Ends it with the last picture on which it was surely this one; the track goes on as somebody else's.
    pub(crate) fn leave(&mut self, track: u64) {
        self.key = Key::Left(track);
        (self.end_ns, self.end_unix_us) = self.identified;
        self.missed = true;
    }

    /// The best score so far.
    pub(crate) fn score(&self) -> f64 {
        self.score
    }

    /// Whether it was seen on the picture with this number.
    pub(crate) fn seen_on(&self, serial: u64) -> bool {
        self.last_picture == serial
    }

    /// Keeps the picture with this number as the best one.
    pub(crate) fn keep(&mut self, serial: u64, shot: Option<P>) {
        if let Some(shot) = shot {
            self.shot = Some((serial, shot));
        }
    }

    /// Lets go of a picture that is older than the one with this number; the next sighting is the best one then.
    pub(crate) fn let_go(&mut self, serial: u64) {
        if self.shot.as_ref().is_some_and(|(taken, _)| *taken < serial) {
            self.shot = None;
            self.quality = -1.0;
        }
    }

    /// What is said now, with the best picture if it was not handed out yet.
    pub(crate) fn say(
        &mut self,
        change: Change,
        now: u64,
        pipeline: Option<&str>,
    ) -> (Event, Option<P>) {
        self.news = false;
        self.said_ns = now;
        let ended = change != Change::Opened;
        let event = Event {
            change,
            id: self.id.clone(),
            kind: self.kind,
            label: self.label().map(str::to_owned),
            start_ns: self.start_ns,
            end_ns: ended.then_some(self.end_ns),
            start_unix_us: self.start_unix_us,
            end_unix_us: self.end_unix_us.filter(|_| ended),
            score: Some(self.score),
            bbox: self.bbox,
            zones: self.zones.clone(),
            track_id: match self.key {
                Key::Track(_, id) | Key::Left(id) => Some(id),
                Key::Motion | Key::Label(..) => None,
            },
            identity: self.identity.as_ref().map(|i| i.person.clone()),
            similarity: self.identity.as_ref().map(|i| i.similarity),
            frames: self.frames,
            model: self.model.clone(),
            pipeline: pipeline.map(str::to_owned),
        };
        (event, self.shot.take().map(|(_, shot)| shot))
    }

    /// The label of most pictures; of two, the one that came first.
    fn label(&self) -> Option<&str> {
        let most = self.labels.iter().map(|(_, count)| *count).max()?;
        self.labels
            .iter()
            .find(|(_, count)| *count == most)
            .map(|(label, _)| label.as_str())
    }
}
