//! From cameras' notices to the store, in batches; only what is committed is published.
//!
//! One thread listens and never waits for the database; another writes. Opened and closed events and gaps wait as
//! long as there is memory for them; the rows of files are left out before that, and the files found again.

mod backlog;
mod notes;
mod watch;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use nvr_base::{Clock, Shutdown};
use nvr_media::Notice;
use nvr_store::Store;
use tokio::sync::broadcast;

use crate::evidence::Evidence;
use crate::faces::Faces;
use crate::hub::{CommittedEvent, Hub};
use crate::live::Live;
use crate::pulse::{Pulse, Pulses};
use crate::storage::Storage;
use backlog::Backlog;
use watch::Told;
use writer::Writer;

/// Notices that may wait between the cameras and the thread that listens.
pub const QUEUE: usize = 4096;
/// How often it is seen that cameras record, when nobody says anything.
const WATCH: Duration = Duration::from_millis(500);
/// The thread that listens never waits for anything; longer than that it is stuck.
const LISTENER_PULSE: Duration = Duration::from_secs(15);
/// A commit may take this long on a disk that is about to fail.
const WRITER_PULSE: Duration = Duration::from_secs(60);

/// Writes notices until every sender has gone.
#[expect(missing_debug_implementations, reason = "lives on its own threads")]
pub struct Ingest {
    store: Store,
    storage: Arc<Storage>,
    clock: Arc<dyn Clock>,
    committed: broadcast::Sender<CommittedEvent>,
    stopping: Shutdown,
    evidence: Option<Arc<Evidence>>,
    live: Arc<Live>,
    hub: Option<Arc<Hub>>,
    faces: Option<Arc<Faces>>,
    run: Option<String>,
    capacity: usize,
    pulses: Option<(Pulse, Pulse)>,
}

/// The half that listens.
struct Listener {
    store: Store,
    storage: Arc<Storage>,
    clock: Arc<dyn Clock>,
    live: Arc<Live>,
    hub: Option<Arc<Hub>>,
    faces: Option<Arc<Faces>>,
    backlog: Arc<Backlog>,
    /// Failures of cameras that are open events.
    told: BTreeMap<String, Told>,
    pulse: Option<Pulse>,
}

impl Ingest {
    /// An ingest that publishes committed events to `committed`; once `stopping` is set, a store that does not
    /// take changes is waited for no longer than two seconds.
    pub fn new(
        store: Store,
        storage: Arc<Storage>,
        clock: Arc<dyn Clock>,
        committed: broadcast::Sender<CommittedEvent>,
        stopping: Shutdown,
    ) -> Self {
        Self {
            store,
            storage,
            clock,
            committed,
            stopping,
            evidence: None,
            live: Arc::default(),
            hub: None,
            faces: None,
            run: None,
            capacity: backlog::CAPACITY,
            pulses: None,
        }
    }

    /// The same ingest, which adds every segment to its camera's chain before the row.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Arc<Evidence>) -> Self {
        self.evidence = Some(evidence);
        self
    }

    /// The same ingest, which keeps what is recorded at this moment where others see it.
    #[must_use]
    pub fn with_live(mut self, live: Arc<Live>) -> Self {
        self.live = live;
        self
    }

    /// The same ingest, which says whom cameras met.
    #[must_use]
    pub fn with_faces(mut self, faces: Arc<Faces>) -> Self {
        self.faces = Some(faces);
        self
    }

    /// The same ingest, which tells whoever listens when the state of a camera changes.
    #[must_use]
    pub fn with_hub(mut self, hub: Arc<Hub>) -> Self {
        self.hub = Some(hub);
        self
    }

    /// The same ingest, which notes every few seconds that a run of the daemon goes on, and at last that it ended.
    #[must_use]
    pub fn with_run(mut self, id: String) -> Self {
        self.run = Some(id);
        self
    }

    /// The same ingest, both of whose threads say that they go on.
    #[must_use]
    pub fn with_pulses(mut self, pulses: &Pulses) -> Self {
        let listener = pulses.begin("ingest", LISTENER_PULSE);
        self.pulses = Some((listener, pulses.begin("ingest-write", WRITER_PULSE)));
        self
    }

    /// The same ingest with room for fewer changes that wait.
    #[cfg(test)]
    fn with_capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// Works until every sender of `notices` has gone; then everything is written.
    pub fn run(self, notices: &Receiver<Notice>) {
        let backlog = Arc::new(Backlog::new(self.capacity, Arc::clone(&self.live)));
        let (hearing, writing) = self.pulses.unzip();
        let mut listener = Listener {
            store: self.store.clone(),
            storage: Arc::clone(&self.storage),
            clock: Arc::clone(&self.clock),
            live: Arc::clone(&self.live),
            hub: self.hub,
            faces: self.faces,
            backlog: Arc::clone(&backlog),
            told: BTreeMap::new(),
            pulse: hearing,
        };
        let writer = Writer {
            store: self.store,
            storage: self.storage,
            clock: self.clock,
            committed: self.committed,
            stopping: self.stopping,
            evidence: self.evidence,
            live: self.live,
            run: self.run,
            pulse: writing,
        };
        std::thread::scope(|scope| {
            let waiting = Arc::clone(&backlog);
            let named = std::thread::Builder::new().name("ingest-write".to_owned());
            let writing = named.spawn_scoped(scope, move || writer.run(&waiting));
            if let Err(error) = writing {
                // Without it nothing would ever be listed; the files are, at the next start.
                tracing::error!(%error, "no thread to write to the database on");
            }
            listener.listen(notices);
            backlog.close();
        });
    }
}

impl Listener {
    /// Hears everything until every sender has gone.
    fn listen(&mut self, notices: &Receiver<Notice>) {
        let mut watched = self.clock.monotonic();
        loop {
            match notices.recv_timeout(WATCH) {
                Ok(notice) => self.hear(notice),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Some(pulse) = &self.pulse {
                pulse.tick();
            }
            let now = self.clock.monotonic();
            if now.saturating_sub(watched) >= WATCH {
                watched = now;
                self.watch();
            }
        }
        self.close_failures();
    }
}

#[cfg(test)]
mod tests;
