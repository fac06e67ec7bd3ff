//! Detections of one picture after the other into tracks, in the manner of ByteTrack: sure detections are
//! paired first, unsure ones only continue what is already tracked.
//!
//! What stands where it was first seen is scenery after a while, a parked car or a post that looks like a person: it
//! is known and followed, and nothing is said of it until it moves.
//!
//! Time is media time and comes in with each picture. Only pictures on which a model looked are evidence, so
//! that a track does not age while nobody looks.

use nvr_contract::BBox;
use nvr_contract::polygon::Zone;
use nvr_contract::track::{Track, Tracking};

use crate::assign::assign;
use crate::kalman::Kalman;

/// The most tracks at a time; the longest unseen goes first.
pub const MAX_TRACKS: usize = 512;
/// The longest time between two looks that counts, and over which a motion is carried on.
const STEP_LIMIT_NS: u64 = 1_000_000_000;
/// After a hole this long, or a step this far back, it is another scene.
const SCENE_HOLE_NS: u64 = 30_000_000_000;
const SCENE_BACK_NS: u64 = 1_000_000_000;
/// Unsure detections must overlap this much to continue a track.
const UNSURE_IOU: f64 = 0.5;
/// By how much of its size each side of a box grows in the last pass, for small and fast objects.
const REACH: f64 = 0.5;
/// An object has moved when it overlaps the place where it stood less than this; less still if it stood long.
const MOVED_IOU: f64 = 0.7;
const LEFT_IOU: f64 = 0.5;
/// By how much a box may grow or shrink in area without having moved.
const GROWN: f64 = 2.5;

/// What has stood for this many stationary times since it was first seen is scenery: people stand in one place too, and
/// for longer than it takes to call them stationary.
const SCENERY_TIMES: u64 = 3;
/// For how long scenery that is looked for and not found is remembered: a detector that flickers must not make
/// news of it again and again.
const SCENERY_NS: u64 = 600_000_000_000;

/// The last place inside the picture.
const INSIDE: f64 = 1.0 - 1e-6;

/// What may be turned.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// From this score (0..1) on a detection may begin a track.
    pub high_threshold: f64,
    /// From this score (0..1) on a detection may continue a track.
    pub low_threshold: f64,
    /// The least overlap (intersection over union, 0..1) of a detection with the place where its track is expected.
    pub match_iou: f64,
    /// For how long a track that is looked for and not found is kept, nanoseconds.
    pub max_age: u64,
    /// Sightings after which a track is one.
    pub min_hits: u32,
    /// After standing this long an object is stationary, nanoseconds.
    pub stationary_time: u64,
    /// Where the foot of an object is asked for.
    pub zones: Vec<Zone>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            high_threshold: 0.5,
            low_threshold: 0.1,
            match_iou: 0.2,
            max_age: 2_000_000_000,
            min_hits: 2,
            stationary_time: 10_000_000_000,
            zones: Vec::new(),
        }
    }
}

/// A detection as the tracker needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// Only detections of one label make a track.
    pub label: String,
    /// Confidence, 0..1.
    pub score: f64,
    /// Where.
    pub bbox: BBox,
}

#[derive(Debug)]
struct Live {
    id: u64,
    label: String,
    filter: Kalman,
    hits: u32,
    confirmed: bool,
    /// For how long it was looked for and not found, nanoseconds; 0 while it is seen.
    missed: u64,
    stood_at: BBox,
    stood_since: u64,
    stationary: bool,
    /// Where it was first seen, until it is seen elsewhere.
    born_at: Option<BBox>,
    born_ns: u64,
    scenery: bool,
}

/// The tracks of one stream.
#[derive(Debug, Default)]
pub struct Tracker {
    tracks: Vec<Live>,
    last_id: u64,
    last_picture: Option<u64>,
    last_look: Option<u64>,
    confirmed: u64,
}

impl Tracker {
    /// Forgets every track; ids go on.
    pub fn reset(&mut self) {
        self.tracks.clear();
        self.last_picture = None;
        self.last_look = None;
    }

    /// The latest picture's PTS, nanoseconds.
    pub fn now(&self) -> Option<u64> {
        self.last_picture
    }

    /// Tracks that are kept now, tentative and lost ones included.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Whether nothing is tracked.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// Tracks confirmed since the tracker was made.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// A picture on which no model looked: time passes, nothing is missed.
    pub fn pass(&mut self, pts: u64) {
        if let Some(last) = self.last_picture
            && (pts > last.saturating_add(SCENE_HOLE_NS)
                || pts < last.saturating_sub(SCENE_BACK_NS))
        {
            self.reset();
        }
        self.last_picture = Some(self.last_picture.map_or(pts, |last| last.max(pts)));
    }

    /// A picture on which a model looked; one verdict per sighting. `aspect` is picture width over height.
    pub fn look(
        &mut self,
        config: &Config,
        aspect: f64,
        pts: u64,
        sightings: &[Sighting],
    ) -> Vec<Tracking> {
        self.pass(pts);
        // A picture slightly out of order counts as of now: filters do not run backwards.
        let now = self.last_picture.unwrap_or(pts);
        let step = self
            .last_look
            .map_or(0, |last| now.saturating_sub(last))
            .min(STEP_LIMIT_NS);
        self.last_look = Some(now);
        for track in &mut self.tracks {
            // What stands and is hidden is still there.
            if !(track.stationary && track.missed > 0) {
                track.filter.predict(step as f64 / 1e9, track.missed > 0);
            }
        }

        let claims = self.pair(config, sightings);
        let mut owner = vec![None; sightings.len()];
        for (index, (track, claim)) in self.tracks.iter_mut().zip(&claims).enumerate() {
            match claim {
                Some(sighting) => {
                    owner[*sighting] = Some(index);
                    if track.seen(config, now, sightings[*sighting].bbox) {
                        self.confirmed += 1;
                    }
                }
                None => track.missed = track.missed.saturating_add(step.max(1)),
            }
        }
        let mut verdicts: Vec<Tracking> = owner
            .iter()
            .zip(sightings)
            .map(|(owner, sighting)| {
                owner.map_or(Tracking::Unclaimed, |index| {
                    self.tracks[index].verdict(config, sighting.bbox)
                })
            })
            .collect();
        // What was once missed before it was confirmed was most likely nothing.
        self.tracks
            .retain(|t| t.missed == 0 || (t.confirmed && t.missed <= t.patience(config)));
        for ((verdict, sighting), owner) in verdicts.iter_mut().zip(sightings).zip(&owner) {
            if owner.is_none() && sighting.score >= config.high_threshold {
                *verdict = self.begin(config, aspect, now, sighting);
            }
        }
        verdicts
    }

    /// The sighting of each track.
    fn pair(&self, config: &Config, sightings: &[Sighting]) -> Vec<Option<usize>> {
        let mut claims: Vec<Option<usize>> = vec![None; self.tracks.len()];
        let mut taken = vec![false; sightings.len()];
        let sure = |s: &Sighting| s.score >= config.high_threshold;
        let unsure =
            |s: &Sighting| s.score >= config.low_threshold && s.score < config.high_threshold;
        let expected: Vec<BBox> = self.tracks.iter().map(|t| t.filter.bbox()).collect();
        let mut pass = |track_of: &dyn Fn(&Live) -> bool,
                        sighting_of: &dyn Fn(&Sighting) -> bool,
                        at_least: f64,
                        reach: f64| {
            let rows: Vec<usize> = (0..self.tracks.len())
                .filter(|&i| claims[i].is_none() && track_of(&self.tracks[i]))
                .collect();
            let columns: Vec<usize> = (0..sightings.len())
                .filter(|&i| !taken[i] && sighting_of(&sightings[i]))
                .collect();
            let pairs = assign(rows.len(), columns.len(), at_least, |r, c| {
                let (track, sighting) = (&self.tracks[rows[r]], &sightings[columns[c]]);
                let overlap = grown(expected[rows[r]], reach).iou(grown(sighting.bbox, reach));
                // Whoever passes by what stands there hidden is somebody else.
                let passes_by = track.stationary
                    && track.missed > 0
                    && expected[rows[r]].iou(sighting.bbox) < LEFT_IOU;
                if overlap > 0.0 && !passes_by && track.label == sighting.label {
                    overlap
                } else {
                    0.0
                }
            });
            for (r, c) in pairs {
                claims[rows[r]] = Some(columns[c]);
                taken[columns[c]] = true;
            }
        };
        let iou = config.match_iou;
        pass(&|t| t.confirmed, &sure, iou, 0.0);
        pass(
            &|t| t.confirmed && t.missed == 0,
            &unsure,
            iou.max(UNSURE_IOU),
            0.0,
        );
        pass(&|t| !t.confirmed, &sure, iou, 0.0);
        pass(&|t| t.confirmed, &sure, iou, REACH);
        pass(&|t| !t.confirmed, &sure, iou, REACH);
        claims
    }

    fn begin(&mut self, config: &Config, aspect: f64, now: u64, sighting: &Sighting) -> Tracking {
        if self.tracks.len() >= MAX_TRACKS
            && let Some(index) = (0..self.tracks.len()).max_by_key(|&i| self.tracks[i].missed)
        {
            self.tracks.swap_remove(index);
        }
        self.last_id += 1;
        let mut track = Live {
            id: self.last_id,
            label: sighting.label.clone(),
            filter: Kalman::new(sighting.bbox, aspect),
            hits: 1,
            confirmed: config.min_hits <= 1,
            missed: 0,
            stood_at: sighting.bbox,
            stood_since: now,
            stationary: false,
            born_at: Some(sighting.bbox),
            born_ns: now,
            scenery: false,
        };
        track.stationary = track.confirmed && config.stationary_time == 0;
        self.confirmed += u64::from(track.confirmed);
        let verdict = track.verdict(config, sighting.bbox);
        self.tracks.push(track);
        verdict
    }
}

impl Live {
    /// Takes in a sighting; true when it makes the track one.
    fn seen(&mut self, config: &Config, now: u64, bbox: BBox) -> bool {
        self.filter.correct(bbox);
        self.missed = 0;
        self.hits = self.hits.saturating_add(1);
        let at_least = if self.stationary { LEFT_IOU } else { MOVED_IOU };
        if !is_there(self.filter.bbox(), self.stood_at, at_least) {
            self.stood_at = self.filter.bbox();
            self.stood_since = now;
        }
        self.stationary = now.saturating_sub(self.stood_since) >= config.stationary_time;
        if self
            .born_at
            .is_some_and(|b| !is_there(self.filter.bbox(), b, LEFT_IOU))
        {
            self.born_at = None;
        }
        let long = config.stationary_time.saturating_mul(SCENERY_TIMES);
        self.scenery = self.born_at.is_some() && now.saturating_sub(self.born_ns) >= long;
        let first = !self.confirmed && self.hits >= config.min_hits;
        self.confirmed |= first;
        first
    }

    /// For how long it is remembered while it is looked for and not found, nanoseconds.
    fn patience(&self, config: &Config) -> u64 {
        if self.stationary && self.born_at.is_some() {
            config.max_age.max(SCENERY_NS)
        } else {
            config.max_age
        }
    }

    fn verdict(&self, config: &Config, bbox: BBox) -> Tracking {
        if self.scenery {
            return Tracking::Unclaimed;
        }
        if !self.confirmed {
            return Tracking::Tentative(self.id);
        }
        // A foot cut off by the lower edge still stands in a zone that reaches down to the edge.
        let (x, y) = bbox.foot();
        let (x, y) = (x.clamp(0.0, INSIDE), y.clamp(0.0, INSIDE));
        let mut zones: Vec<String> = config
            .zones
            .iter()
            .filter(|zone| zone.polygon.contains(x, y))
            .map(|zone| zone.name.clone())
            .collect();
        zones.sort_unstable();
        Tracking::Tracked(Track {
            id: self.id,
            stationary: self.stationary,
            zones,
        })
    }
}

/// Whether something is where it was: so much of the smaller box lies in the other, and neither is much larger. A
/// detector that sees now a whole body and now a half has not seen it move; somebody who comes closer has moved.
fn is_there(now: BBox, then: BBox, at_least: f64) -> bool {
    let (smaller, larger) = (now.area().min(then.area()), now.area().max(then.area()));
    now.intersection(then) >= at_least * smaller && larger <= GROWN * smaller
}

fn grown(bbox: BBox, by: f64) -> BBox {
    BBox {
        x: bbox.x - bbox.w * by,
        y: bbox.y - bbox.h * by,
        w: bbox.w * (1.0 + 2.0 * by),
        h: bbox.h * (1.0 + 2.0 * by),
    }
}
