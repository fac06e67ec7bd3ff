//! What is to be deleted, in which order and why: a pure function of segments, policies, storages and the time.
//!
//! Nothing else decides it. Segments come oldest first, a batch at a time, so that a year of them costs no memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::ops::ControlFlow;

use nvr_base::Result;

/// What a segment shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Nothing in particular.
    Continuous,
    /// Something moved.
    Motion,
    /// An event other than motion.
    Event,
}

impl Tier {
    /// All, in the order in which they are deleted.
    pub const ALL: [Self; 3] = [Self::Continuous, Self::Motion, Self::Event];

    /// 0, 1, 2: as the database has it.
    pub fn rank(self) -> i32 {
        match self {
            Self::Continuous => 0,
            Self::Motion => 1,
            Self::Event => 2,
        }
    }

    /// The word for the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continuous => "continuous",
            Self::Motion => "motion",
            Self::Event => "event",
        }
    }
}

/// What a segment is to retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Whether somebody said that it must stay.
    pub protected: bool,
    /// What it shows.
    pub tier: Tier,
}

impl Class {
    /// All, in the order in which they are deleted.
    pub const ALL: [Self; 6] = [
        Self::plain(Tier::Continuous),
        Self::plain(Tier::Motion),
        Self::plain(Tier::Event),
        Self::guarded(Tier::Continuous),
        Self::guarded(Tier::Motion),
        Self::guarded(Tier::Event),
    ];

    const fn plain(tier: Tier) -> Self {
        Self {
            protected: false,
            tier,
        }
    }

    const fn guarded(tier: Tier) -> Self {
        Self {
            protected: true,
            tier,
        }
    }

    /// `continuous`, `motion`, `event` or `protected`.
    pub fn as_str(self) -> &'static str {
        if self.protected {
            "protected"
        } else {
            self.tier.as_str()
        }
    }

    /// What is protected is one tier, whatever it shows.
    fn order(self) -> i32 {
        if self.protected { 3 } else { self.tier.rank() }
    }
}

/// A segment as the planner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Wall time of its start, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Wall time of its end, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
    /// Length of the file.
    pub bytes: u64,
}

/// Where the segments come from.
pub trait Segments {
    /// Some segments of a camera in a storage that are of a class, oldest first by start and id, from the first one
    /// after `after` on; none when there are no more.
    ///
    /// # Errors
    /// Those of the source; the plan ends there.
    fn oldest(
        &mut self,
        camera: &str,
        storage: &str,
        class: Class,
        after: Option<&Item>,
    ) -> Result<Vec<Item>>;
}

/// How long the recordings of a camera are kept.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Longest age by tier (continuous, motion, event), microseconds; no limit where absent.
    pub age_us: [Option<i64>; 3],
    /// Most bytes of the camera in all storages.
    pub max_bytes: Option<u64>,
}

/// What happens when there is no room and only protected segments are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Recording stops.
    #[default]
    Stop,
    /// They are deleted too.
    DeleteProtected,
}

/// A camera that has segments.
#[derive(Debug, Clone, PartialEq)]
pub struct Camera {
    /// Its name.
    pub name: String,
    /// How long its recordings are kept.
    pub limits: Limits,
    /// Start of its newest segment: that one never goes by age.
    pub newest_us: i64,
    /// The storage that it writes to.
    pub storage: String,
    /// What it writes, bytes a second.
    pub rate: f64,
    /// What it has in each storage, bytes.
    pub held: Vec<(String, u64)>,
}

/// A storage folder that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its identity.
    pub id: String,
    /// Which disk it is on: folders of one disk share its room.
    pub disk: u64,
    /// All of the disk, bytes.
    pub total_bytes: u64,
    /// What is free, with what is about to be unlinked counted as free already, bytes.
    pub free_bytes: u64,
    /// Most bytes of recordings in it.
    pub max_bytes: Option<u64>,
    /// What must always be free at least, bytes.
    pub min_free_bytes: u64,
}

/// All that a plan depends on, besides the segments.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// The time, microseconds since 1970-01-01 UTC.
    pub now_us: i64,
    /// Whether the time is believed; if not, nothing goes by age.
    pub clock_trusted: bool,
    /// What happens when only protected segments are left.
    pub when_full: WhenFull,
    /// Every camera that has segments.
    pub cameras: Vec<Camera>,
    /// The storages that are there; nothing is deleted from others.
    pub places: Vec<Place>,
}

/// Why a segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is older than its tier is kept.
    Age,
    /// Its camera has too much.
    CameraSize,
    /// Its storage has too much.
    StorageSize,
    /// The disk has too little room.
    Space,
}

impl Reason {
    /// The word for the API, the chain and the list of garbage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::CameraSize => "camera_size",
            Self::StorageSize => "storage_size",
            Self::Space => "space",
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletion<'a> {
    /// Whose.
    pub camera: &'a str,
    /// Where.
    pub storage: &'a str,
    /// What it shows, and whether it is protected.
    pub class: Class,
    /// Which.
    pub item: Item,
    /// Why.
    pub reason: Reason,
}

/// What sets how long a camera's recordings last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lasting {
    /// Days that what it records is kept at the present rate; `None` when nothing sets a limit that is known.
    pub days: Option<f64>,
    /// What sets that limit.
    pub by: Option<Reason>,
}

/// How a storage is after a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Its identity.
    pub storage: String,
    /// What it has to have free before anything is deleted for room, bytes.
    pub wanted_bytes: u64,
    /// Bytes that could not be made free, or could not be taken off its recordings, however much is deleted.
    pub short_bytes: u64,
    /// Bytes a second that are written to it.
    pub rate: f64,
    /// Days that it holds at that rate.
    pub days: Option<f64>,
}

/// What a plan comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In the order of the places.
    pub places: Vec<Outlook>,
    /// In the order of the cameras.
    pub cameras: Vec<Lasting>,
    /// Whether `each` ended it before its end.
    pub cut_short: bool,
}

/// Deletion for room ends at so much of what is wanted, so that it does not begin again at once.
const ENOUGH: f64 = 1.25;
const DAY_S: f64 = 86_400.0;

/// What has to be free in a storage that so many bytes a second are written to.
pub fn wanted_free(place: &Place, rate: f64) -> u64 {
    let hour = (rate * 3600.0).max(0.0) as u64;
    hour.min(place.total_bytes / 5).max(place.min_free_bytes)
}

fn enough(wanted: u64) -> u64 {
    (wanted as f64 * ENOUGH).ceil() as u64
}

/// Says to `each` what is to be deleted, in order, until it breaks off, and what that comes to.
///
/// # Errors
/// Those of the source of the segments.
pub fn plan(
    situation: &Situation,
    segments: &mut dyn Segments,
    each: &mut dyn FnMut(Deletion<'_>) -> ControlFlow<()>,
) -> Result<Plan> {
    let mut work = Work::new(situation, segments, each);
    let mut short = vec![0; situation.places.len()];
    let cut_short = work.all(&mut short)?.is_break();
    let places = work.outlooks(&short);
    let cameras = situation
        .cameras
        .iter()
        .map(|camera| work.lasting(camera, &places))
        .collect();
    Ok(Plan {
        places,
        cameras,
        cut_short,
    })
}

/// The segments of one camera, storage and class, from the oldest on.
#[derive(Default)]
struct Cursor {
    waiting: VecDeque<Item>,
    last: Option<Item>,
    ended: bool,
}

type Key = (usize, usize, Class);

struct Work<'a> {
    situation: &'a Situation,
    segments: &'a mut dyn Segments,
    each: &'a mut dyn FnMut(Deletion<'_>) -> ControlFlow<()>,
    cursors: HashMap<Key, Cursor>,
    /// Which cameras have something in which places.
    holds: Vec<(usize, usize)>,
    /// What is left of each camera in the places that are there, bytes.
    of_camera: Vec<u64>,
    /// What is left in each place, bytes.
    of_place: Vec<u64>,
    /// By disk: what the plan frees, bytes.
    freed: BTreeMap<u64, u64>,
}

impl<'a> Work<'a> {
    fn new(
        situation: &'a Situation,
        segments: &'a mut dyn Segments,
        each: &'a mut dyn FnMut(Deletion<'_>) -> ControlFlow<()>,
    ) -> Self {
        let mut holds = Vec::new();
        let mut of_camera = vec![0; situation.cameras.len()];
        let mut of_place = vec![0; situation.places.len()];
        for (camera, has) in situation.cameras.iter().enumerate() {
            for (storage, bytes) in &has.held {
                let place = situation.places.iter().position(|p| p.id == *storage);
                if let Some(place) = place {
                    holds.push((camera, place));
                    of_camera[camera] += bytes;
                    of_place[place] += bytes;
                }
            }
        }
        Self {
            situation,
            segments,
            each,
            cursors: HashMap::new(),
            holds,
            of_camera,
            of_place,
            freed: BTreeMap::new(),
        }
    }

    fn all(&mut self, short: &mut [u64]) -> Result<ControlFlow<()>> {
        if self.situation.clock_trusted && self.by_age()?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        for camera in 0..self.situation.cameras.len() {
            if self.by_camera(camera)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        for (place, short) in short.iter_mut().enumerate() {
            if self.by_place(place, short)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn by_age(&mut self) -> Result<ControlFlow<()>> {
        let situation = self.situation;
        for (index, camera) in situation.cameras.iter().enumerate() {
            for (tier, limit) in Tier::ALL.into_iter().zip(camera.limits.age_us) {
                let Some(limit) = limit else { continue };
                let expired_us = situation.now_us.saturating_sub(limit);
                for place in 0..situation.places.len() {
                    let key = (index, place, Class::plain(tier));
                    while let Some(head) = self.head(key)?
                        && head.end_us <= expired_us
                        && head.start_us < camera.newest_us
                    {
                        if self.delete(key, Reason::Age).is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn by_camera(&mut self, camera: usize) -> Result<ControlFlow<()>> {
        let Some(max) = self.situation.cameras[camera].limits.max_bytes else {
            return Ok(ControlFlow::Continue(()));
        };
        let keys = self.keys(|c, _| c == camera);
        let over = |work: &Self| work.of_camera[camera] > max;
        self.take(&keys, Reason::CameraSize, over)
    }

    fn by_place(&mut self, index: usize, short: &mut u64) -> Result<ControlFlow<()>> {
        let place = &self.situation.places[index];
        let keys = self.keys(|_, p| p == index);
        if let Some(max) = place.max_bytes {
            let over = |work: &Self| work.of_place[index] > max;
            if self.take(&keys, Reason::StorageSize, over)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            *short = self.of_place[index].saturating_sub(max);
        }
        let wanted = wanted_free(place, self.rate_of(&place.id));
        if self.free(place) >= wanted {
            return Ok(ControlFlow::Continue(()));
        }
        let lacking = |work: &Self| work.free(place) < enough(wanted);
        let taken = self.take(&keys, Reason::Space, lacking)?;
        *short = (*short).max(wanted.saturating_sub(self.free(place)));
        Ok(taken)
    }

    /// Deletes from the cursors while there is need: by tier, then by age; camera and storage settle the rest.
    fn take(
        &mut self,
        keys: &[Key],
        reason: Reason,
        need: impl Fn(&Self) -> bool,
    ) -> Result<ControlFlow<()>> {
        for order in 0..=3 {
            if !need(self) {
                break;
            }
            let mut heads = BinaryHeap::new();
            for &key in keys.iter().filter(|(_, _, class)| class.order() == order) {
                let start_us = self.head(key)?.map(|head| head.start_us);
                heads.extend(start_us.map(|start_us| Reverse((start_us, key))));
            }
            while need(self)
                && let Some(Reverse((_, key))) = heads.pop()
            {
                if self.delete(key, reason).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                let start_us = self.head(key)?.map(|head| head.start_us);
                heads.extend(start_us.map(|start_us| Reverse((start_us, key))));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The cursors that size and space may take from.
    fn keys(&self, wanted: impl Fn(usize, usize) -> bool) -> Vec<Key> {
        let mut keys = Vec::new();
        for &(camera, place) in &self.holds {
            if wanted(camera, place) {
                keys.extend(Class::ALL.map(|class| (camera, place, class)));
            }
        }
        keys.retain(|(_, _, class)| {
            !class.protected || self.situation.when_full == WhenFull::DeleteProtected
        });
        keys
    }

    fn head(&mut self, key: Key) -> Result<Option<&Item>> {
        let cursor = self.cursors.entry(key).or_default();
        if cursor.waiting.is_empty() && !cursor.ended {
            let camera = &self.situation.cameras[key.0].name;
            let storage = &self.situation.places[key.1].id;
            let more = self
                .segments
                .oldest(camera, storage, key.2, cursor.last.as_ref())?;
            cursor.ended = more.is_empty();
            cursor.last = more.last().cloned().or(cursor.last.take());
            cursor.waiting = more.into();
        }
        Ok(cursor.waiting.front())
    }

    fn delete(&mut self, key: Key, reason: Reason) -> ControlFlow<()> {
        let (camera, place, class) = key;
        let item = self
            .cursors
            .get_mut(&key)
            .and_then(|cursor| cursor.waiting.pop_front())
            .expect("its head was looked at");
        self.of_camera[camera] = self.of_camera[camera].saturating_sub(item.bytes);
        self.of_place[place] = self.of_place[place].saturating_sub(item.bytes);
        let place = &self.situation.places[place];
        *self.freed.entry(place.disk).or_default() += item.bytes;
        (self.each)(Deletion {
            camera: &self.situation.cameras[camera].name,
            storage: &place.id,
            class,
            item,
            reason,
        })
    }

    fn free(&self, place: &Place) -> u64 {
        let freed = self.freed.get(&place.disk).copied().unwrap_or(0);
        place.free_bytes.saturating_add(freed)
    }

    fn rate_of(&self, storage: &str) -> f64 {
        let cameras = self.situation.cameras.iter();
        cameras
            .filter(|camera| camera.storage == storage)
            .map(|camera| camera.rate)
            // A plain sum of nothing is -0.
            .fold(0.0, |sum, rate| sum + rate)
    }

    fn outlooks(&self, short: &[u64]) -> Vec<Outlook> {
        let places = self.situation.places.iter().enumerate().zip(short);
        places
            .map(|((index, place), &short_bytes)| {
                let rate = self.rate_of(&place.id);
                let wanted_bytes = wanted_free(place, rate);
                let held = self.of_place[index];
                let room = self.free(place).saturating_sub(enough(wanted_bytes));
                let most = held
                    .saturating_add(room)
                    .min(place.max_bytes.unwrap_or(u64::MAX));
                Outlook {
                    storage: place.id.clone(),
                    wanted_bytes,
                    short_bytes,
                    rate,
                    days: (rate > 0.0).then(|| most as f64 / rate / DAY_S),
                }
            })
            .collect()
    }

    /// How long what a camera records is kept: what does not show anything goes first, so that is what is told.
    fn lasting(&self, camera: &Camera, places: &[Outlook]) -> Lasting {
        let age = camera.limits.age_us[0].map(|age| age as f64 / 1e6 / DAY_S);
        let own = camera
            .limits
            .max_bytes
            .filter(|_| camera.rate > 0.0)
            .map(|max| max as f64 / camera.rate / DAY_S);
        let index = places.iter().position(|p| p.storage == camera.storage);
        let (shared, by) = match index.filter(|_| camera.rate > 0.0) {
            None => (None, Reason::Space),
            Some(index) => {
                let limited = self.situation.places[index].max_bytes;
                let most = places[index].days.unwrap_or(f64::MAX) * places[index].rate * DAY_S;
                let by = match limited.is_some_and(|max| most + 1.0 >= max as f64) {
                    true => Reason::StorageSize,
                    false => Reason::Space,
                };
                (places[index].days, by)
            }
        };
        let found = [(age, Reason::Age), (own, Reason::CameraSize), (shared, by)];
        let least = found
            .into_iter()
            .filter_map(|(days, by)| Some((days?, by)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        Lasting {
            days: least.map(|(days, _)| days),
            by: least.map(|(_, by)| by),
        }
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
