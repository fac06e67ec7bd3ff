//! What every camera records at this moment, in memory: the ingest keeps it, health and coverage read it.
//!
//! Nothing here outlives the process; what does is in the store.

mod counters;
mod totals;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use nvr_contract::segment::{FragmentWritten, GapReason, SegmentClosed, SegmentOpened};
use nvr_media::CameraState;
use nvr_store::Recorded;

pub use counters::{Counters, Counts};
pub use totals::{Missed, Totals};

/// A camera that should record and has written nothing for so long does not: fragments hold a second at most.
pub const SILENCE: Duration = Duration::from_secs(5);
/// Files of one camera that wait for their rows and are shown all the same; with more the oldest are not shown.
const MAX_UNLISTED: usize = 4096;

/// All cameras that have said anything since the start.
#[derive(Debug, Default)]
pub struct Live {
    cameras: Mutex<BTreeMap<String, Camera>>,
    counters: Counters,
}

/// What one camera records at this moment.
#[derive(Debug, Clone)]
pub struct Camera {
    open: Option<File>,
    /// Files that are closed and have no row yet.
    unlisted: VecDeque<File>,
    /// End of what is recorded, as far as this process knows.
    covered_us: Option<i64>,
    /// End of the last thing that is known, recorded or not.
    known_us: Option<i64>,
    /// PTS of the end of the last file of the pipeline that runs, nanoseconds.
    media_end_ns: Option<u64>,
    /// Gaps that last: since when, and why.
    gaps: BTreeMap<GapReason, (i64, Option<String>)>,
    state: CameraState,
    /// Whether anything is asked to be recorded.
    wanted: bool,
    /// Monotonic time of the last fragment, or of the moment from which on there should be some.
    alive_at: Duration,
    /// Monotonic time of the last fragment, absent before the first.
    wrote_at: Option<Duration>,
    failure: Option<Failure>,
    totals: Totals,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    location: String,
    start_us: i64,
    end_us: i64,
    /// Its length as far as it was told.
    bytes: u64,
}

/// Why a camera that should record does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One word: the reason of the gap, or `not_recording` when nobody said why.
    pub label: String,
    /// Since when, microseconds since 1970-01-01 UTC.
    pub since_us: i64,
    /// One sentence for people.
    pub detail: Option<String>,
}

/// How a camera's recording is, for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Whether a fragment was written within the last [`SILENCE`].
    pub writes: bool,
    /// Whether one should have been.
    pub should_write: bool,
    /// End of what is recorded, microseconds since 1970-01-01 UTC.
    pub covered_us: Option<i64>,
    /// What is wrong.
    pub failure: Option<Failure>,
}

impl Camera {
    fn new(now: Duration) -> Self {
        Self {
            open: None,
            unlisted: VecDeque::new(),
            covered_us: None,
            known_us: None,
            media_end_ns: None,
            gaps: BTreeMap::new(),
            state: CameraState::Stopped,
            wanted: true,
            alive_at: now,
            wrote_at: None,
            failure: None,
            totals: Totals::default(),
        }
    }

    /// End of what is recorded, as far as this process knows.
    pub fn covered_us(&self) -> Option<i64> {
        self.covered_us
    }

    /// Whether a gap of that reason lasts.
    pub fn misses(&self, reason: GapReason) -> bool {
        self.gaps.contains_key(&reason)
    }

    /// Whether pictures should reach the disk: it runs, nobody paused it, and no event is waited for.
    pub fn should_write(&self) -> bool {
        self.state != CameraState::Stopped
            && self.wanted
            && !self.misses(GapReason::Paused)
            && !self.misses(GapReason::NoEvent)
    }

    /// What is wrong with the recording at this moment.
    pub fn problem(&self, now: Duration, now_us: i64) -> Option<Failure> {
        // A loss is a loss even while no event is waited for: what comes next would not be seen.
        let lasting = self.gaps.iter().find(|(reason, _)| {
            !matches!(
                reason,
                GapReason::Paused | GapReason::NoEvent | GapReason::NoKeyframe
            )
        });
        match lasting {
            _ if self.state == CameraState::Stopped || self.misses(GapReason::Paused) => None,
            Some((reason, (since_us, detail))) => Some(Failure {
                label: reason.as_str().to_owned(),
                since_us: *since_us,
                detail: detail.clone(),
            }),
            None => {
                let silent = now.saturating_sub(self.alive_at);
                let silent_us = i64::try_from(silent.as_micros()).unwrap_or(i64::MAX);
                (self.should_write() && silent > SILENCE).then(|| Failure {
                    label: "not_recording".to_owned(),
                    since_us: now_us.saturating_sub(silent_us),
                    detail: Some("no picture reaches the disk, and nobody says why".to_owned()),
                })
            }
        }
    }

    /// Sets the failure that is told; answers the one that was told before.
    pub fn set_failure(&mut self, failure: Option<Failure>) -> Option<Failure> {
        std::mem::replace(&mut self.failure, failure)
    }

    /// The failure that is told.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// A file was begun. Answers how far the wall clock and the pictures went on since the file before of the same
    /// pipeline, microseconds each.
    pub fn opened(&mut self, opened: &SegmentOpened, now: Duration) -> Option<(i64, i64)> {
        let since = self.covered_us.zip(self.media_end_ns);
        let went = since.map(|(covered_us, media_end_ns)| {
            let media_ns = i128::from(opened.start_ns) - i128::from(media_end_ns);
            let media_us = i64::try_from(media_ns / 1000).unwrap_or(0);
            (opened.start_unix_us.saturating_sub(covered_us), media_us)
        });
        self.open = Some(File {
            location: opened.location.clone(),
            start_us: opened.start_unix_us,
            end_us: opened.start_unix_us,
            bytes: 0,
        });
        for (reason, (since_us, _)) in std::mem::take(&mut self.gaps) {
            self.totals
                .missed_until(reason, since_us, opened.start_unix_us);
        }
        self.wrote(opened.start_unix_us, now);
        went
    }

    /// A fragment is in the file that is open.
    pub fn fragment(&mut self, fragment: &FragmentWritten, now: Duration) {
        if let Some(open) = &mut self.open
            && open.location == fragment.location
        {
            self.totals.bytes += fragment.bytes.saturating_sub(open.bytes);
            open.bytes = open.bytes.max(fragment.bytes);
            self.totals.recorded(open.end_us, fragment.end_unix_us);
            open.end_us = open.end_us.max(fragment.end_unix_us);
        }
        self.wrote(fragment.end_unix_us, now);
    }

    /// A file is complete; it is shown until [`Camera::settled`] says that it has a row.
    pub fn closed(&mut self, closed: &SegmentClosed, now: Duration) {
        let open = self.open.take_if(|open| open.location == closed.location);
        let (told, until_us) = open.map_or((0, closed.start_unix_us), |it| (it.bytes, it.end_us));
        self.totals.bytes += closed.bytes.saturating_sub(told);
        self.totals.recorded(until_us, closed.end_unix_us);
        self.totals.frames += closed.frames;
        self.totals.segments += 1;
        self.unlisted.push_back(File {
            location: closed.location.clone(),
            start_us: closed.start_unix_us,
            end_us: closed.end_unix_us,
            bytes: closed.bytes,
        });
        if self.unlisted.len() > MAX_UNLISTED {
            self.unlisted.pop_front();
        }
        self.media_end_ns = Some(closed.end_ns);
        self.wrote(closed.end_unix_us, now);
    }

    fn wrote(&mut self, end_us: i64, now: Duration) {
        self.covered_us = self.covered_us.max(Some(end_us));
        self.known_us = self.known_us.max(Some(end_us));
        self.alive_at = now;
        self.wrote_at = Some(now);
    }

    /// A file has its row, or never will have one.
    pub fn settled(&mut self, location: &str) {
        self.unlisted.retain(|file| file.location != location);
    }

    /// A gap begins. The file that was open is over, or about to be.
    pub fn gap_begins(&mut self, reason: GapReason, start_us: i64, detail: Option<&str>) {
        let detail = detail.map(ToOwned::to_owned);
        if let Entry::Vacant(place) = self.gaps.entry(reason) {
            place.insert((start_us, detail));
            self.totals.missed(reason);
        }
    }

    /// A gap was told as a whole.
    pub fn gap_was(&mut self, reason: GapReason, start_us: i64, end_us: i64) {
        self.totals.missed(reason);
        self.totals.missed_until(reason, start_us, end_us);
    }

    /// A gap is over, and nothing is written yet.
    pub fn gap_ends(&mut self, reason: GapReason, end_us: i64, now: Duration) {
        if let Some((since_us, _)) = self.gaps.remove(&reason) {
            self.totals.missed_until(reason, since_us, end_us);
            self.alive_at = now;
            self.known_us = self.known_us.max(Some(end_us));
        }
    }

    /// Recording is asked for, or no longer is: a camera that records on events.
    pub fn wanted(&mut self, wanted: bool, now: Duration) {
        if wanted && !self.wanted {
            self.alive_at = now;
        }
        self.wanted = wanted;
    }

    /// The pipeline is in another state.
    pub fn state(&mut self, state: CameraState, now: Duration, now_us: i64) {
        if state == CameraState::Starting || self.state == CameraState::Stopped {
            self.alive_at = now;
        }
        if state == CameraState::Starting {
            // Another pipeline counts its time from another start.
            self.media_end_ns = None;
            self.open = None;
            self.known_us = self.known_us.max(Some(now_us));
        }
        if state == CameraState::Stopped {
            self.open = None;
        }
        self.state = state;
    }

    /// How the recording is.
    pub fn recording(&self, now: Duration) -> Recording {
        Recording {
            // Not whether a file is open: between two there is none for a moment.
            writes: self.gaps.is_empty()
                && self
                    .wrote_at
                    .is_some_and(|at| now.saturating_sub(at) <= SILENCE),
            should_write: self.should_write(),
            covered_us: self.covered_us,
            failure: self.failure.clone(),
        }
    }

    /// What was recorded and what was missed since the start; gaps that last count until `now_us`.
    pub fn totals(&self, now_us: i64) -> Totals {
        let mut totals = self.totals.clone();
        for (reason, (since_us, _)) in &self.gaps {
            totals.missed_until(*reason, *since_us, now_us);
        }
        totals
    }

    /// What is recorded and has no row yet, in the order of time.
    pub fn unlisted(&self) -> Vec<Recorded> {
        let files = self.unlisted.iter().chain(&self.open);
        files
            .map(|file| Recorded {
                id: None,
                start_us: file.start_us,
                end_us: file.end_us,
            })
            .collect()
    }

    /// Until when the ledger of the camera is known: a camera that writes says the rest in a moment.
    pub fn known_until(&self, now: Duration, now_us: i64) -> i64 {
        let silent = now.saturating_sub(self.alive_at);
        // Between two events its file may wait for the next one, and it says only then which it was.
        let speaks = self.gaps.is_empty()
            && self.state != CameraState::Stopped
            && (silent <= 3 * SILENCE || !self.wanted);
        match self.known_us {
            Some(known) if speaks => known.min(now_us),
            _ => now_us,
        }
    }
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Camera>> {
        self.cameras.lock().expect("no holder of this lock panics")
    }

    /// Changes what is known of a camera.
    pub fn with<T>(&self, camera: &str, now: Duration, work: impl FnOnce(&mut Camera) -> T) -> T {
        let mut cameras = self.lock();
        if !cameras.contains_key(camera) {
            cameras.insert(camera.to_owned(), Camera::new(now));
        }
        work(cameras.get_mut(camera).expect("it was put there"))
    }

    /// A camera as it is at this moment, `None` when it has not said anything.
    pub fn camera(&self, camera: &str) -> Option<Camera> {
        self.lock().get(camera).cloned()
    }

    /// The names of all cameras that have said anything.
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// What is counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

#[cfg(test)]
mod tests;
