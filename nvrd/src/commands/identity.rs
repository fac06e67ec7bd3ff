//! The database and the vault of a configuration, for the subcommands that change people and keys.

use std::path::Path;
use std::sync::Arc;

use nvr_base::{Clock, RealClock, Result};
use nvr_store::{NewAudit, Store};

use crate::config::Config;
use crate::evidence;
use crate::storage::{Storage, database};
use crate::vault::Vault;

/// Where people and keys are kept; a running daemon hears of a change within two seconds.
pub(super) struct Identity {
    pub(super) store: Store,
    pub(super) vault: Vault,
    /// Holds the lock of the storages while no daemon does.
    _storage: Storage,
}

impl Identity {
    /// Opens them; makes them where the daemon never ran.
    pub(super) fn open(config: &Path) -> Result<Self> {
        let config = Config::load(config)?;
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let storage = match evidence::is_running(&config.storage.path)? {
            true => Storage::open_beside(&config.storage)?,
            false => Storage::open_all(&config.storage)?,
        };
        Ok(Self {
            store: Store::open_at(&database::place(&config.storage)?, clock)?,
            vault: Vault::open_in(&storage.keys())?,
            _storage: storage,
        })
    }
}

/// Adds a line to the audit log; a failure is told, for what it tells of has happened.
pub(super) fn note(store: &Store, action: &str, object: &str, detail: Option<&str>) {
    let entry = NewAudit {
        actor_kind: "system".to_owned(),
        actor: "command line".to_owned(),
        action: action.to_owned(),
        object: Some(object.to_owned()),
        detail: detail.map(str::to_owned),
        ..NewAudit::default()
    };
    if let Err(error) = store.add_audit(&entry) {
        tracing::error!(%error, action, "the audit log lacks a line");
    }
}
