//! What is happening, for whoever listens: frames in order, a few thousand of them kept, and nobody waits for anybody.
//!
//! It knows neither how events look outside nor how listeners are connected; the API gives it the one and is the other.

mod committed;
mod frame;
mod listener;
mod notify;
mod tickets;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use nvr_base::{Clock, Shutdown};
use nvr_media::{CameraState, CameraStatus};
use serde::Serialize;
use tokio::sync::{Semaphore, broadcast};

pub use committed::CommittedEvent;
pub use frame::{Frame, Topic};
pub use listener::{End, Listener};
pub use notify::{Bellpull, Notifier, notification_data};
pub use tickets::{TICKET_LIFE, Tickets};

/// Frames that are kept for those who come back, and that a listener may be behind before it is cut.
pub const KEPT: usize = 4096;
/// Listeners at once unless the configuration says otherwise.
pub const LISTENERS: usize = 2000;
/// Committed events that may wait for whoever follows them; a follower that is further behind loses the oldest.
const COMMITTED: usize = 8192;

/// Pairs of camera and kind whose events are counted; cameras come and go, their names stay counted.
const MOST_COUNTED: usize = 4096;

/// Whoever wants to listen when there are listeners enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// See the module.
#[derive(Debug)]
pub struct Hub {
    clock: Arc<dyn Clock>,
    /// Tells ids of this start from those of another.
    run: String,
    ring: Mutex<Ring>,
    frames: broadcast::Sender<Arc<Frame>>,
    committed: broadcast::Sender<CommittedEvent>,
    seats: Arc<Semaphore>,
    places: usize,
    tickets: Tickets,
    stopping: Shutdown,
    /// New events since the start, by camera and kind.
    events: Mutex<BTreeMap<(String, String), u64>>,
}

#[derive(Debug, Default)]
struct Ring {
    /// Number of the frame that comes next, from 1.
    next: u64,
    kept: VecDeque<Arc<Frame>>,
}

#[derive(Serialize)]
struct CameraData<'a> {
    camera_id: &'a str,
    camera_name: &'a str,
    state: &'static str,
    is_online: bool,
    detail: Option<&'a str>,
    recording: bool,
    pipeline: &'a str,
    restarts: u32,
    since_unix_us: i64,
}

#[derive(Serialize)]
struct ResetData<'a> {
    reason: &'a str,
}

impl Hub {
    /// A hub for so many listeners, who hear that it is over once `stopping` is set.
    ///
    /// It does not publish committed events by itself: whoever knows how they look outside follows
    /// [`committed`](Self::committed).
    pub fn new(clock: Arc<dyn Clock>, places: usize, stopping: Shutdown) -> Self {
        Self {
            run: format!("{:x}", clock.unix_us()),
            clock,
            ring: Mutex::new(Ring {
                next: 1,
                kept: VecDeque::new(),
            }),
            frames: broadcast::channel(KEPT).0,
            committed: broadcast::channel(COMMITTED).0,
            seats: Arc::new(Semaphore::new(places)),
            places,
            tickets: Tickets::default(),
            stopping,
            events: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("no holder of this lock panics")
    }

    /// Where committed events are told.
    pub fn committed(&self) -> &broadcast::Sender<CommittedEvent> {
        &self.committed
    }

    /// Set when the daemon stops.
    pub fn stopping(&self) -> &Shutdown {
        &self.stopping
    }

    /// What lets those in who cannot send their credentials.
    pub fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.places - self.seats.available_permits().min(self.places)
    }

    /// Counts an event that is new.
    pub fn count_event(&self, camera: &str, kind: &str) {
        let mut events = self.events.lock().expect("no holder of this lock panics");
        let key = (camera.to_owned(), kind.to_owned());
        if let Some(count) = events.get_mut(&key) {
            *count += 1;
        } else if events.len() < MOST_COUNTED {
            events.insert(key, 1);
        }
    }

    /// New events since the start, by camera and kind.
    pub fn events(&self) -> Vec<((String, String), u64)> {
        let events = self.events.lock().expect("no holder of this lock panics");
        events.clone().into_iter().collect()
    }

    /// Tells everybody who may know of the camera; never waits.
    pub fn publish(&self, topic: Topic, camera: &str, data: &impl Serialize) {
        let data = match serde_json::to_string(data) {
            Ok(data) => data,
            Err(error) => {
                tracing::error!(%error, topic = topic.as_str(), "a frame could not be written");
                return;
            }
        };
        let at_us = self.clock.unix_us();
        let mut ring = self.lock();
        let id = self.id(ring.next);
        let frame = Arc::new(Frame::new(&id, topic, camera, at_us, &data));
        ring.next += 1;
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(Arc::clone(&frame));
        // Inside the lock, so that all hear frames in the order of their ids; fails only when nobody listens.
        drop(self.frames.send(frame));
    }

    /// Tells that a camera's state changed.
    pub fn camera_changed(&self, camera: &str, status: &CameraStatus) {
        let online = matches!(status.state, CameraState::Running | CameraState::Degraded);
        let data = CameraData {
            camera_id: camera,
            camera_name: camera,
            state: status.state.as_str(),
            is_online: online && status.loss.is_none(),
            detail: status.detail.as_deref(),
            recording: status.recording,
            pipeline: &status.pipeline,
            restarts: status.restarts,
            since_unix_us: status.since_unix_us,
        };
        self.publish(Topic::CameraStatus, camera, &data);
    }

    /// Tells everybody that frames are missing before this one.
    pub fn lost(&self, reason: &str) {
        self.publish(Topic::Reset, "", &ResetData { reason });
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    /// Takes a place among the listeners; with the id of a frame, first what came after that one.
    ///
    /// Where that is not known any more, the first frame is a [`Topic::Reset`].
    ///
    /// # Errors
    /// When all places are taken.
    pub fn listen(&self, after: Option<&str>) -> Result<Listener, Full> {
        let seat = Arc::clone(&self.seats).try_acquire_owned();
        let seat = seat.map_err(|_| Full)?;
        let ring = self.lock();
        let past = match after {
            None => Vec::new(),
            Some(after) => self.after(&ring, after),
        };
        // Inside the lock, so that nothing falls between what is past and what comes.
        let now = self.frames.subscribe();
        drop(ring);
        Ok(Listener::new(past, now, self.stopping.clone(), seat))
    }

    fn after(&self, ring: &Ring, after: &str) -> Vec<Arc<Frame>> {
        let oldest = ring.next - ring.kept.len() as u64;
        let heard = after
            .split_once('-')
            .filter(|(run, _)| *run == self.run)
            .and_then(|(_, number)| number.parse::<u64>().ok())
            // Whoever heard the one before the oldest has missed none.
            .filter(|heard| (oldest.saturating_sub(1)..ring.next).contains(heard));
        if let Some(heard) = heard {
            let known = usize::try_from(heard + 1 - oldest).unwrap_or(usize::MAX);
            return ring.kept.iter().skip(known).cloned().collect();
        }
        let reason = "what came after this id is not kept any more: ask for the lists again";
        let data = serde_json::to_string(&ResetData { reason }).expect("a text always serialises");
        let id = self.id(ring.next - 1);
        let at_us = self.clock.unix_us();
        vec![Arc::new(Frame::new(&id, Topic::Reset, "", at_us, &data))]
    }
}

#[cfg(test)]
mod tests;
