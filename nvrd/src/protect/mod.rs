//! Controllers: devices that have cameras and an API of their own. Their cameras become cameras here, and stay while
//! the controller is away.

mod bootstrap;
mod device;
mod manage;
mod borrow;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nvr_base::{Clock, Error, Result, Shutdown};
use nvr_store::{ControllerRow, Store};
use tokio::sync::Semaphore;

pub use bootstrap::DeviceCamera;
pub use borrow::Wish;
pub use manage::{ControllerChange, ControllerView, NewController, Tested};

use self::bootstrap::Bootstrap;
use self::device::{Device, Session};
use crate::cameras::Cameras;
use crate::outbound::Outbound;
use crate::vault::Vault;

/// How often a controller is asked.
const EVERY: Duration = Duration::from_secs(60);
/// How long one that failed is left alone, the first time; twice as long each further time.
const FIRST_REST: Duration = Duration::from_secs(30);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(600);
/// How often the daemon looks whom to ask.
const LOOK: Duration = Duration::from_secs(5);
/// Controllers that are asked at once.
const CALLS: usize = 4;
/// How long a request waits until it may ask.
const TURN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Controllers {
    store: Store,
    outbound: Arc<Outbound>,
    vault: Arc<Vault>,
    cameras: Arc<Cameras>,
    clock: Arc<dyn Clock>,
    links: Mutex<HashMap<String, Link>>,
    turns: Semaphore,
    /// One change of who is lent what at a time.
    door: tokio::sync::Mutex<()>,
}

/// How it stands with one controller.
#[derive(Debug, Default)]
struct Link {
    session: Option<Session>,
    /// What it told last, and when: microseconds since 1970-01-01 UTC.
    told: Option<(Arc<Bootstrap>, i64)>,
    connected: bool,
    failures: u32,
    /// Monotonic time of the next question.
    next: Duration,
    /// Counts the changes of what a person said of it, so that an answer to an older question is not taken.
    version: u64,
}

/// The cameras of a controller, and how fresh the list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its cameras, each with the name of the camera here that it is, if it is one.
    pub cameras: Vec<(DeviceCamera, Option<String>)>,
    /// Whether the list is older than the question.
    pub cached: bool,
    /// When the controller told it, microseconds since 1970-01-01 UTC.
    pub told_us: i64,
    /// Why it is not a new one.
    pub warning: Option<String>,
}

impl Controllers {
    /// Borrows cameras through this door, and calls through this guard; nothing is asked before [`Controllers::run`]
    /// or a request.
    pub fn new(
        store: Store,
        outbound: Arc<Outbound>,
        vault: Arc<Vault>,
        cameras: Arc<Cameras>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            outbound,
            vault,
            cameras,
            clock,
            links: Mutex::default(),
            turns: Semaphore::new(CALLS),
            door: tokio::sync::Mutex::new(()),
        }
    }

    /// Stays in touch with every controller that is wanted, until the daemon stops.
    pub async fn run(self: Arc<Self>, stopping: Shutdown) {
        loop {
            tokio::select! {
                () = stopping.wait() => return,
                () = self.look() => {}
            }
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Asks every controller whose time has come.
    pub(crate) async fn look(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let rows = blocking(move || this.store.controllers()).await;
        let rows = match rows.and_then(|rows| rows) {
            Ok(rows) => rows,
            Err(error) => return tracing::error!(%error, "controllers cannot be read"),
        };
        let now = self.clock.monotonic();
        let due = rows
            .into_iter()
            .filter(|row| row.wanted && self.link(&row.id, |link| link.next <= now));
        let asked = due.map(|row| async move {
            // What went wrong is noted with the controller, and told there.
            if let Err(error) = self.refresh(&row).await {
                tracing::debug!(controller = row.controller.name, %error, "a controller is away");
            }
        });
        futures_util::future::join_all(asked).await;
    }

    /// Asks one controller, and makes the cameras that it lends what it says of them.
    async fn refresh(self: &Arc<Self>, row: &ControllerRow) -> Result<Arc<Bootstrap>> {
        let turn = tokio::time::timeout(TURN, self.turns.acquire()).await;
        let _turn = turn
            .map_err(|_| Error::unavailable("too many controllers are asked at once: try again"))?
            .expect("nobody closes the lanes");
        let (session, version) = self.link(&row.id, |link| (link.session.clone(), link.version));
        let asked = self.ask(row, session).await;
        let now = self.clock.monotonic();
        let told_us = self.clock.unix_us();
        let mut was_away = false;
        let (noted, answer) = match asked {
            Ok((told, session)) => {
                let told = Arc::new(told);
                let current = self.link(&row.id, |link| {
                    if link.version != version {
                        return false;
                    }
                    was_away = !link.connected;
                    link.session = Some(session);
                    link.told = Some((Arc::clone(&told), told_us));
                    link.connected = true;
                    link.failures = 0;
                    link.next = now + EVERY;
                    true
                });
                if !current {
                    return Err(changed_meanwhile());
                }
                (None, Ok(told))
            }
            Err(error) => {
                let was_there = self.link(&row.id, |link| {
                    if link.version == version {
                        link.session = None;
                        link.failures = link.failures.saturating_add(1);
                        let times = 1_u32 << (link.failures - 1).min(10);
                        link.next = now + FIRST_REST.saturating_mul(times).min(LONGEST_REST);
                    }
                    std::mem::take(&mut link.connected)
                });
                if was_there {
                    tracing::warn!(controller = row.controller.name, %error, "a controller is away; its cameras stay");
                }
                (Some(error.message().to_owned()), Err(error))
            }
        };
        if was_away {
            tracing::info!(controller = row.controller.name, "a controller answers");
        }
        let (this, id) = (Arc::clone(self), row.id.clone());
        blocking(move || this.store.note_controller(&id, noted.as_deref())).await??;
        let told = answer?;
        self.follow(row, &told).await;
        Ok(told)
    }

    async fn ask(
        &self,
        row: &ControllerRow,
        session: Option<Session>,
    ) -> Result<(Bootstrap, Session)> {
        let controller = &row.controller;
        let password = self.vault.open(&controller.password)?;
        let device = Device {
            host: &controller.host,
            port: controller.port,
            username: &controller.username,
            password: &password,
            verify_ssl: controller.verify_ssl,
        };
        device.bootstrap(&self.outbound, session).await
    }

    /// The cameras of a controller: a list of the last minute unless `fresh` is wanted, and the last one known where
    /// the controller is away.
    ///
    /// # Errors
    /// `NotFound` if there is no such controller, `Unavailable` when it never answered.
    pub async fn cameras_of(self: &Arc<Self>, id: &str, fresh: bool) -> Result<Told> {
        let row = self.row(id).await?;
        let known = self.link(id, |link| link.told.clone());
        let age_us = |told_us: i64| self.clock.unix_us().saturating_sub(told_us);
        let young = known.clone().filter(|(_, told_us)| {
            !fresh && (0..EVERY.as_micros() as i64).contains(&age_us(*told_us))
        });
        let (told, cached, told_us, warning) = match young {
            Some((told, told_us)) => (told, true, told_us, None),
            None => match (self.refresh(&row).await, known) {
                (Ok(told), _) => (told, false, self.clock.unix_us(), None),
                (Err(error), Some((told, told_us))) => {
                    (told, true, told_us, Some(error.message().to_owned()))
                }
                (Err(error), None) => return Err(error),
            },
        };
        let this = Arc::clone(self);
        let links = blocking(move || this.store.controller_cameras()).await??;
        let here = |camera: &DeviceCamera| {
            let same = |link: &&nvr_store::ControllerCamera| {
                link.controller_id == id && link.protect_camera_id == camera.id
            };
            links.iter().find(same).map(|link| link.camera.clone())
        };
        Ok(Told {
            cameras: told
                .cameras
                .iter()
                .map(|camera| (camera.clone(), here(camera)))
                .collect(),
            cached,
            told_us,
            warning,
        })
    }

    async fn row(self: &Arc<Self>, id: &str) -> Result<ControllerRow> {
        let (this, id) = (Arc::clone(self), id.to_owned());
        blocking(move || this.store.controller(&id)).await?
    }

    fn link<T>(&self, id: &str, work: impl FnOnce(&mut Link) -> T) -> T {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        work(links.entry(id.to_owned()).or_default())
    }

    /// Begins anew with a controller that was changed, or forgets one that has gone.
    fn forget(&self, id: &str) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let version = links.remove(id).map_or(0, |link| link.version);
        let link = Link {
            version: version + 1,
            ..Link::default()
        };
        links.insert(id.to_owned(), link);
    }
}

fn changed_meanwhile() -> Error {
    Error::unavailable("the controller was changed meanwhile: try again")
}

/// Runs what blocks off the threads that serve requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("the work for a controller panicked").with_source(error))
}
