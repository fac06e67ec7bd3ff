//! What waits for the database: bounded, so that a database that is stuck costs memory up to a limit and no recording.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use nvr_store::{Change, StoreChange};

use crate::hub::CommittedEvent;
use crate::live::Live;

/// Changes that may wait; with eight cameras that is more than an hour of a database that takes nothing.
pub(super) const CAPACITY: usize = 4096;
/// What cannot be found again on disk may wait behind that, until there are so many times as many.
const RESERVE: usize = 4;
/// Files whose rows were left out and that are looked up again; more are found at the next start.
const MAX_LEFT_OUT: usize = 65_536;

/// A change, and what is published once it is committed.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) change: StoreChange,
    pub(super) event: Option<CommittedEvent>,
    /// The file of a segment.
    pub(super) location: Option<String>,
}

/// A file whose row was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) camera: String,
    pub(super) location: String,
}

/// What there is to do.
#[derive(Debug)]
pub(super) enum Work {
    /// These, in order.
    Changes(Vec<Waiting>),
    /// Nothing waits, and these were left out before.
    LeftOut(Vec<LeftOut>),
    /// Nothing for now.
    Nothing,
    /// Nothing any more.
    Done,
}

#[derive(Debug, Default)]
struct Content {
    waiting: VecDeque<Waiting>,
    left_out: VecDeque<LeftOut>,
    closed: bool,
}

/// The queue between the thread that listens to cameras and the one that writes.
#[derive(Debug)]
pub(super) struct Backlog {
    content: Mutex<Content>,
    more: Condvar,
    capacity: usize,
    live: Arc<Live>,
}

impl Backlog {
    pub(super) fn new(capacity: usize, live: Arc<Live>) -> Self {
        Self {
            content: Mutex::default(),
            more: Condvar::new(),
            capacity,
            live,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no holder of this lock panics")
    }

    /// Adds a change, or leaves it out when too much waits; never waits itself.
    pub(super) fn push(&self, waiting: Waiting) {
        let mut content = self.lock();
        let room = match is_update(&waiting.change) || waiting.location.is_some() {
            true => self.capacity,
            false => self.capacity * RESERVE,
        };
        if content.waiting.len() < room {
            content.waiting.push_back(waiting);
            self.live.counters().set_waiting(content.waiting.len());
            drop(content);
            self.more.notify_one();
            return;
        }
        let counters = self.live.counters();
        match (waiting.change, waiting.location) {
            (StoreChange::Segment(row), Some(location)) => {
                counters.drop_segment();
                if content.left_out.len() < MAX_LEFT_OUT {
                    let camera = row.camera;
                    content.left_out.push_back(LeftOut { camera, location });
                }
            }
            (change, _) if is_update(&change) => counters.drop_update(),
            (change, _) => {
                counters.drop_change();
                drop(content);
                tracing::error!(?change, "the database takes nothing, and a change is lost");
            }
        }
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
    }

    /// What there is to do; waits for it, but no longer than `limit`.
    pub(super) fn take(&self, most: usize, limit: Duration) -> Work {
        let content = self.lock();
        let idle = |content: &mut Content| {
            content.waiting.is_empty() && content.left_out.is_empty() && !content.closed
        };
        let (mut content, _) = self
            .more
            .wait_timeout_while(content, limit, idle)
            .expect("no holder of this lock panics");
        if !content.waiting.is_empty() {
            let count = most.min(content.waiting.len());
            let changes = content.waiting.drain(..count).collect();
            self.live.counters().set_waiting(content.waiting.len());
            Work::Changes(changes)
        } else if !content.left_out.is_empty() {
            let count = most.min(content.left_out.len());
            Work::LeftOut(content.left_out.drain(..count).collect())
        } else if content.closed {
            Work::Done
        } else {
            Work::Nothing
        }
    }

    /// These could not be looked up: later.
    pub(super) fn put_back(&self, files: Vec<LeftOut>) {
        let mut content = self.lock();
        // At the end of the daemon the next start finds them.
        if !content.closed {
            content.left_out.extend(files);
        }
    }
}

/// The next step of an event says all that this one does.
fn is_update(change: &StoreChange) -> bool {
    matches!(change, StoreChange::Event(step) if step.change == Change::Updated)
}
