//! Who asks: turns what a request carries into a principal, or says why not.
//!
//! It knows headers and addresses, and nothing of the API behind it, so that every listener can ask it.

mod address;
mod refused;
mod password;
mod tokens;
mod limit;
mod meter;
mod people;
mod second;
mod accounts;
mod identify;
mod log_in;
mod factor;
mod setup;
mod keep;
mod viewers;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use nvr_base::principal::{Role, Scope};
use nvr_base::{Clock, Principal, Result, Secret};
use nvr_store::{NewAudit, SessionRow, Store, UserRow};
use tokio::sync::{Semaphore, watch};

use crate::vault::Vault;

pub use accounts::{
    AccountChange, NewAccount, NewProgram, add_key, add_user, change_user, find_user,
    generate_password,
};
pub use address::Network;
pub use log_in::{LogIn, LoggedIn, Proof, Tokens as TokenPair};
pub use password::REALM;
pub use people::KEY_MARK;
pub use refused::Refused;
pub use viewers::RtspViewers;

use limit::Attempts;
use meter::Meters;
use people::People;
use setup::Setup;
use tokens::Tokens;

/// Cookie of a browser that is logged in.
pub const SESSION_COOKIE: &str = "nvrd_session";

/// What somebody must be allowed to do before a request is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing; who asks without credentials is nobody and sees no camera.
    Public,
    /// To be a user who is logged in, whatever the role.
    Person,
    /// To see events and what is recorded.
    SeeEvents,
    /// To see cameras and what they show now.
    SeeCameras,
    /// To start, stop and trigger cameras, to keep and export recordings, to delete events.
    Operate,
    /// To read the figures of the whole system: a person who is an admin, or a program with a key that sees cameras.
    Measure,
    /// To change how the system is set up.
    Manage,
}

impl Need {
    /// What it takes of a person, and of an API key.
    fn takes(self) -> Option<(Role, Scope)> {
        match self {
            Self::Public | Self::Person => None,
            Self::SeeEvents => Some((Role::Viewer, Scope::ReadEvents)),
            Self::SeeCameras => Some((Role::Viewer, Scope::ReadCameras)),
            Self::Operate => Some((Role::Operator, Scope::WriteCameras)),
            Self::Measure => Some((Role::Admin, Scope::ReadCameras)),
            Self::Manage => Some((Role::Admin, Scope::Admin)),
        }
    }

    /// Whether a principal may.
    pub fn allows(self, principal: &Principal) -> bool {
        use nvr_base::principal::Actor;
        match self.takes() {
            Some((role, scope)) => {
                principal.actor != Actor::Anonymous && principal.may(role, scope)
            }
            None => {
                self == Self::Public || matches!(principal.actor, Actor::Local | Actor::User { .. })
            }
        }
    }
}

/// What is known of a request before its body is read.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Where it comes from; unknown in tests that have no connection.
    pub peer: Option<SocketAddr>,
    /// What it needs.
    pub need: Need,
}

/// Somebody who may ask.
#[derive(Debug, Clone)]
pub struct Identified {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// The session they asked in; none for keys and where nobody logs in.
    pub session: Option<String>,
    /// Where they ask from, behind the proxies that are trusted.
    pub address: Option<IpAddr>,
    /// What the answer carries, such as how many requests are left.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Identified {
    /// Whoever sits at this machine, where nobody is asked who they are.
    pub fn local() -> Self {
        Self {
            principal: Arc::new(Principal::local()),
            session: None,
            address: None,
            headers: Vec::new(),
        }
    }
}

/// What [`Auth`] is built from.
#[expect(
    missing_debug_implementations,
    reason = "moved once, from the composition root"
)]
pub struct Parts<'a> {
    /// The store.
    pub store: Store,
    /// Seals what Digest and the second factor need.
    pub vault: Arc<Vault>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The folder of the keys.
    pub keys: &'a Path,
    /// Whether whoever reaches the API may do everything until there is a user: only this machine reaches it, and the
    /// configuration does not ask for log-ins.
    pub open_at_first: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

/// The gate of every listener.
pub struct Auth {
    store: Store,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    open_at_first: bool,
    trusted_proxies: Vec<Network>,
    people: RwLock<Arc<People>>,
    /// Held while everybody is read anew, so that what was read first never comes last.
    reading: Mutex<()>,
    /// The version of the people, for those who keep connections open.
    changes: watch::Sender<i64>,
    attempts: Attempts,
    meters: Meters,
    /// When sessions were last used, until it is written.
    seen: Mutex<HashMap<String, i64>>,
    hashing: Arc<Semaphore>,
    setup: Mutex<Option<Setup>>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

impl Auth {
    /// Reads who there is. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read, or the keys that sign cannot be read or made.
    pub fn open(parts: Parts<'_>) -> Result<Self> {
        let people = People::read(&parts.store)?;
        let now_unix = parts.clock.unix_us() / 1_000_000;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            tokens: Tokens::open_in(parts.keys, now_unix)?,
            store: parts.store,
            vault: parts.vault,
            clock: parts.clock,
            open_at_first: parts.open_at_first,
            trusted_proxies: parts.trusted_proxies,
            changes: watch::Sender::new(people.version),
            people: RwLock::new(Arc::new(people)),
            reading: Mutex::new(()),
            attempts: Attempts::default(),
            meters: Meters::default(),
            seen: Mutex::default(),
            hashing: Arc::new(Semaphore::new(cores)),
            setup: Mutex::new(None),
        })
    }

    /// Whether everybody who reaches a listener may do everything, because there are no users yet.
    ///
    /// Never behind a proxy: whoever comes through one seems to be of this machine.
    pub fn is_open(&self) -> bool {
        self.open_at_first && self.trusted_proxies.is_empty() && self.people().is_empty()
    }

    /// Whether there is no user yet.
    pub fn needs_setup(&self) -> bool {
        self.people().is_empty()
    }

    /// Who somebody is by now, whose connection lasts; `None` once they may not ask any more.
    pub fn still(&self, known: &Identified) -> Option<Arc<Principal>> {
        use nvr_base::principal::Actor;
        let (people, now_us) = (self.people(), self.clock.unix_us());
        match &known.principal.actor {
            Actor::System => Some(Arc::clone(&known.principal)),
            Actor::Anonymous => Some(Arc::clone(&known.principal)),
            Actor::Local => self.is_open().then(|| Arc::clone(&known.principal)),
            Actor::User { .. } => {
                let (_, person) = people.session(known.session.as_deref()?, now_us)?;
                Some(Arc::clone(&person.principal))
            }
            Actor::Key { id, .. } => {
                let program = people.key_by_id(id, now_us)?;
                Some(Arc::clone(&program.principal))
            }
        }
    }

    /// Tells whenever users, sessions or keys changed.
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.changes.subscribe()
    }

    /// An active user by the very name, and what Digest knows of their password in the realm [`REALM`].
    ///
    /// `None` also for one who must choose a password first.
    pub fn digest_of(&self, name: &str) -> Option<(Arc<Principal>, Secret)> {
        let people = self.people();
        let person = people.named(name)?;
        let row = &person.row;
        if !row.active || row.must_change_password || row.name != name {
            return None;
        }
        let digest = self.vault.open(row.digest.as_deref()?);
        let digest = digest.inspect_err(|error| tracing::error!(user = name, %error, "no Digest"));
        Some((Arc::clone(&person.principal), digest.ok()?))
    }

    /// The user with an id, as known now.
    pub fn user(&self, id: &str) -> Option<UserRow> {
        self.people().user(id).map(|person| person.row.clone())
    }

    /// The sessions of a user that go on, the newest first.
    pub fn sessions_of(&self, user_id: &str) -> Vec<SessionRow> {
        self.people().sessions_of(user_id, self.clock.unix_us())
    }

    /// Adds a line to the audit log. Blocks; a failure is logged, for what it tells of has happened.
    pub fn note(&self, entry: &NewAudit) {
        if let Err(error) = self.store.add_audit(entry) {
            tracing::error!(%error, action = entry.action, actor = entry.actor, "the audit log lacks a line");
        }
    }

    /// Adds a line to the audit log, off the threads that serve requests.
    pub async fn note_later(self: &Arc<Self>, entry: NewAudit) {
        let this = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || this.note(&entry)).await;
        if let Err(error) = done {
            tracing::error!(%error, "the audit log lacks a line");
        }
    }

    /// Reads everybody anew, after a change. Blocks.
    ///
    /// # Errors
    /// Those of the database; then those who were known stay.
    pub fn reload(&self) -> Result<()> {
        let _turn = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let people = Arc::new(People::read(&self.store)?);
        let (version, now_us) = (people.version, self.clock.unix_us());
        self.meters
            .retain(|id| people.key_by_id(id, now_us).is_some());
        if !people.is_empty() {
            self.end_setup();
        }
        *self.people.write().unwrap_or_else(PoisonError::into_inner) = people;
        self.changes.send_replace(version);
        Ok(())
    }

    fn people(&self) -> Arc<People> {
        Arc::clone(&self.people.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn now_unix(&self) -> i64 {
        self.clock.unix_us() / 1_000_000
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
