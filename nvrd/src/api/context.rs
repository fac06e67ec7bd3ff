//! What handlers are given, and the lanes in which they may block.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nvr_base::{Clock, Result, Shutdown};
use nvr_store::Store;
use tokio::sync::Semaphore;

use super::error::{ApiError, ApiResult};
use super::health::LastCheck;
use crate::ai::Ai;
use crate::auth::{Asked, Auth, Identified, Refused};
use crate::cameras::Cameras;
use crate::config::FacesConfig;
use crate::evidence::Evidence;
use crate::exports::Exports;
use crate::faces::Faces;
use crate::hub::{self, Hub};
use crate::live::Live;
use crate::metrics::Http;
use crate::net::tls::Tls;
use crate::protect::Controllers;
use crate::pulse::Pulses;
use crate::retention::Retention;
use crate::settings::Settings;
use crate::stills::Stills;
use crate::storage::Storage;
use crate::timelapse::Timelapses;
use crate::vault::Vault;

/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// What the API needs of the daemon.
#[derive(Clone)]
pub struct ApiContext {
    /// Says who asks.
    pub(crate) auth: Arc<Auth>,
    /// Whether this listener asks nobody who they are.
    open: bool,
    pub(crate) cameras: Arc<Cameras>,
    /// Seals what is stored and must not be read there.
    pub(super) vault: Arc<Vault>,
    pub(super) ai: Arc<Ai>,
    pub(super) protect: Arc<Controllers>,
    /// Whose faces are.
    pub(crate) faces: Arc<Faces>,
    pub(crate) store: Store,
    pub(crate) storage: Arc<Storage>,
    pub(super) retention: Arc<Retention>,
    pub(super) stills: Arc<Stills>,
    /// The chains; none where recordings are not proved.
    pub(super) evidence: Option<Arc<Evidence>>,
    pub(super) exports: Exports,
    pub(super) timelapses: Arc<Timelapses>,
    /// The configuration of the daemon and its settings.
    pub(super) settings: Option<Arc<Settings>>,
    /// Who says that it goes on.
    pub(super) pulses: Option<Pulses>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(super) live: Arc<Live>,
    /// Counts requests, over all listeners.
    pub(super) http: Arc<Http>,
    /// The certificate of the listener; none where it does not encrypt.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) hub: Arc<Hub>,
    /// Monotonic time of the start.
    pub(crate) started: Duration,
    pub(crate) version: &'static str,
    pub(super) last_check: Arc<Mutex<Option<LastCheck>>>,
    reads: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    snapshots: Arc<Semaphore>,
    pictures: Arc<Semaphore>,
    tests: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    plans: Arc<Semaphore>,
    backups: Arc<Semaphore>,
    pub(super) checks: Arc<Semaphore>,
}

impl std::fmt::Debug for ApiContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiContext").finish_non_exhaustive()
    }
}

/// Where a request may block; lanes keep slow work from holding up quick work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Reading the store.
    Read,
    /// Changing something: one at a time, so that no change is lost between reading and writing.
    Change,
    /// Decoding a picture.
    Snapshot,
    /// Decoding pictures of recordings.
    Still,
    /// Adding events, which nothing else changes meanwhile.
    Write,
    /// Planning what a policy would delete, which may look at every segment: one at a time.
    Plan,
    /// Copying the database: one at a time.
    Backup,
    /// Connecting to a camera.
    Test,
}

impl ApiContext {
    /// A context whose uptime counts from now.
    pub fn new(
        cameras: Arc<Cameras>,
        store: Store,
        storage: Arc<Storage>,
        retention: Arc<Retention>,
        exports: Exports,
        auth: Arc<Auth>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stills = Stills::new(Arc::clone(&storage), store.clone(), Arc::clone(&clock));
        let stills = Arc::new(stills);
        let timelapses = Timelapses::start(
            store.clone(),
            Arc::clone(&stills),
            Arc::clone(&storage),
            Arc::clone(&clock),
        );
        let hub = Hub::new(Arc::clone(&clock), hub::LISTENERS, Shutdown::new());
        let outbound = cameras.outbound().cloned().unwrap_or_default();
        let ai = Ai::new(
            store.clone(),
            Arc::clone(&outbound),
            Arc::clone(cameras.vault()),
            Arc::clone(&clock),
        );
        let protect = Controllers::new(
            store.clone(),
            outbound,
            Arc::clone(cameras.vault()),
            Arc::clone(&cameras),
            Arc::clone(&clock),
        );
        let faces = Faces::new(
            &FacesConfig::default(),
            store.clone(),
            Arc::clone(&storage),
            Arc::clone(&clock),
        );
        Self {
            auth,
            open: false,
            faces: Arc::new(faces),
            ai: Arc::new(ai),
            protect: Arc::new(protect),
            vault: Arc::clone(cameras.vault()),
            cameras,
            store,
            storage,
            retention,
            exports,
            evidence: None,
            settings: None,
            pulses: None,
            stills,
            timelapses: Arc::new(timelapses),
            started: clock.monotonic(),
            clock,
            live: Arc::default(),
            http: Arc::default(),
            tls: None,
            hub: Arc::new(hub),
            version: env!("CARGO_PKG_VERSION"),
            last_check: Arc::default(),
            reads: Arc::new(Semaphore::new(8)),
            changes: Arc::new(Semaphore::new(1)),
            snapshots: Arc::new(Semaphore::new(2)),
            pictures: Arc::new(Semaphore::new(2)),
            tests: Arc::new(Semaphore::new(2)),
            writes: Arc::new(Semaphore::new(4)),
            plans: Arc::new(Semaphore::new(1)),
            backups: Arc::new(Semaphore::new(1)),
            checks: Arc::new(Semaphore::new(1)),
        }
    }

    /// The controllers that lend cameras, for whoever stays in touch with them.
    pub fn controllers(&self) -> &Arc<Controllers> {
        &self.protect
    }

    /// The same context, which tells faces apart.
    #[must_use]
    pub fn with_faces(mut self, faces: Arc<Faces>) -> Self {
        self.faces = faces;
        self
    }

    /// The same context with the chains of recordings.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Arc<Evidence>) -> Self {
        self.evidence = Some(evidence);
        self
    }

    /// The same context for a listener on loopback that may ask nobody who they are.
    #[must_use]
    pub(crate) fn for_listener(&self, open: bool) -> Self {
        Self {
            open,
            ..self.clone()
        }
    }

    /// The same context, whose listener says that it goes on.
    #[must_use]
    pub fn with_pulses(mut self, pulses: Pulses) -> Self {
        self.pulses = Some(pulses);
        self
    }

    /// The same context with the configuration and the settings of the daemon.
    #[must_use]
    pub fn with_settings(mut self, settings: Arc<Settings>) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Whether whoever reaches this listener may do everything.
    pub(super) fn is_open(&self) -> bool {
        self.open || self.auth.is_open()
    }

    /// Says who asks.
    pub(super) async fn identify(&self, asked: &Asked<'_>) -> Result<Identified, Refused> {
        match self.open {
            true => Ok(Identified::local()),
            false => self.auth.identify(asked).await,
        }
    }

    /// The same context, which sees what is recorded at this moment.
    #[must_use]
    pub fn with_live(mut self, live: Arc<Live>) -> Self {
        self.live = live;
        self
    }

    /// The same context, behind a listener that encrypts.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self
    }

    /// The same context, whose clients listen to this hub.
    #[must_use]
    pub fn with_hub(mut self, hub: Arc<Hub>) -> Self {
        self.hub = hub;
        self
    }

    /// Runs blocking work in a lane, off the threads that serve requests.
    pub(super) async fn block<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> ApiResult<T> {
        let (permits, name) = match lane {
            Lane::Read => (&self.reads, "requests"),
            Lane::Change => (&self.changes, "changes"),
            Lane::Snapshot => (&self.snapshots, "snapshots"),
            Lane::Still => (&self.pictures, "pictures of recordings"),
            Lane::Write => (&self.writes, "new events"),
            Lane::Plan => (&self.plans, "plans"),
            Lane::Backup => (&self.backups, "backups"),
            Lane::Test => (&self.tests, "tests of cameras"),
        };
        let turn = tokio::time::timeout(TURN, Arc::clone(permits).acquire_owned()).await;
        let turn = turn
            .map_err(|_| ApiError::busy(format!("too many {name} at once: try again")))?
            .expect("nobody closes the lanes");
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        let done = done.await.map_err(|error| {
            nvr_base::Error::internal("the request's work panicked").with_source(error)
        })?;
        Ok(done?)
    }
}
