//! The one door by which the configuration of a running daemon changes: the file that is read anew, and settings.
//!
//! What stands in the file goes first; a setting holds where the file leaves its key open. Everything is checked
//! before anything changes.

mod diff;
mod keys;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nvr_base::{Error, Result, logging};
use nvr_media::description::Descriptions;
use nvr_store::Store;
use serde_json::Value;

use crate::cameras::{Cameras, FileChange, FromFile};
use crate::config::{Config, Origin};
use crate::exports::Exports;
use crate::retention::{Policy, Retention};

pub use diff::{Change, is_secret};

/// What [`Settings`] is built from.
#[expect(
    missing_debug_implementations,
    reason = "moved once, from the composition root"
)]
pub struct Parts {
    /// The configuration of the start.
    pub config: Config,
    /// Where settings are kept.
    pub store: Store,
    /// Those that take a change.
    pub cameras: Arc<Cameras>,
    /// Those that take a change.
    pub retention: Arc<Retention>,
    /// Those that take a change.
    pub exports: Exports,
    /// Whether a variable of the environment says what is logged, so that nothing else does.
    pub log_is_fixed: bool,
}

/// See the module.
pub struct Settings {
    store: Store,
    cameras: Arc<Cameras>,
    retention: Arc<Retention>,
    exports: Exports,
    log_is_fixed: bool,
    /// Held while something changes, so that two changes never mix.
    state: Mutex<State>,
}

struct State {
    /// What the file said at the start: what needs a restart counts from there.
    started: toml::Table,
    /// What the file says, and the settings where it leaves a key open.
    config: Config,
    /// What the file says.
    file: Origin,
    /// What is set, by key.
    set: BTreeMap<String, Value>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

/// What reading the file anew did, or would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Reloaded {
    /// Every value that differs.
    pub changes: Vec<Change>,
    /// Cameras that came, went or changed.
    pub cameras: FileChange,
    /// What people should know beside that, one sentence each.
    pub notes: Vec<String>,
}

/// The settings as they are.
#[derive(Debug, Clone)]
pub struct Current {
    /// Values by key: what holds, wherever it was said.
    pub values: BTreeMap<String, Value>,
    /// Keys of those that stand in the file, so that they are changed there.
    pub read_only: Vec<String>,
    /// The other values of the file by key, without secrets and cameras.
    pub file: BTreeMap<String, Value>,
    /// The configuration file.
    pub path: Option<PathBuf>,
}

impl Settings {
    /// Takes the parts and puts in force what was set before.
    ///
    /// # Errors
    /// Those of the database.
    pub fn new(parts: Parts) -> Result<Self> {
        let mut set = BTreeMap::new();
        for (key, json) in parts.store.settings()? {
            match serde_json::from_str(&json) {
                Ok(value) => drop(set.insert(key, value)),
                Err(error) => tracing::error!(key, %error, "a setting is damaged and left out"),
            }
        }
        let file = parts.config.origin.clone();
        let this = Self {
            store: parts.store,
            cameras: parts.cameras,
            retention: parts.retention,
            exports: parts.exports,
            log_is_fixed: parts.log_is_fixed,
            state: Mutex::new(State {
                started: file.table.clone(),
                config: parts.config,
                file,
                set,
            }),
        };
        let mut state = this.lock();
        match effective(&state.file, &state.set) {
            Ok(config) => this.put_in_force(&mut state, config)?,
            // A newer program may take fewer values: what the file says is enough to record.
            Err(error) => tracing::error!(%error, "the settings are left out: they no longer fit"),
        }
        drop(state);
        Ok(this)
    }

    /// Reads the configuration file anew and makes everything what it says; without `apply` it only tells.
    ///
    /// # Errors
    /// Every problem, each with its key; then nothing has changed.
    pub fn reload(&self, apply: bool) -> Result<Reloaded> {
        let mut state = self.lock();
        let path = state.file.path.clone().ok_or_else(|| {
            Error::precondition("the daemon was started without a configuration file")
        })?;
        let read = Config::load(&path)?;
        let config = effective(&read.origin, &state.set)?;
        let descriptions = Descriptions::load(config.pipelines.path.as_deref())?;
        let cameras = FromFile::read(descriptions, config.cameras.clone())?;
        self.cameras.check_file(&cameras)?;

        let table = &read.origin.table;
        let mut changes = diff::changes(&state.file.table, table);
        changes.retain(|change| !change.needs_restart);
        // What needs one differs from the start for as long as there was none.
        let waiting = diff::changes(&state.started, table);
        changes.extend(waiting.into_iter().filter(|change| change.needs_restart));
        changes.sort_by(|a, b| a.path.cmp(&b.path));

        let moved = match apply {
            true => {
                let moved = self.cameras.set_file(cameras)?;
                state.file = read.origin;
                self.put_in_force(&mut state, config)?;
                moved
            }
            false => self.cameras.preview_file(&cameras),
        };
        Ok(Reloaded {
            notes: self.notes(&changes),
            changes,
            cameras: moved,
        })
    }

    fn notes(&self, changes: &[Change]) -> Vec<String> {
        let mut notes = Vec::new();
        if self.log_is_fixed && changes.iter().any(|change| change.path == "log.filter") {
            notes.push("log.filter: NVRD_LOG is set and goes before it".to_owned());
        }
        notes
    }

    /// The settings as they are.
    pub fn current(&self) -> Current {
        current_of(&self.lock())
    }

    /// The configuration in force, for whoever needs all of it.
    pub fn config(&self) -> Config {
        let state = self.lock();
        let mut config = state.config.clone();
        // What stands in the file, and not what was made of it.
        config.origin = state.file.clone();
        config
    }

    /// The value of one setting.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.current().values.remove(key)
    }

    /// Sets values, all or none; `None` goes back to the default. Without `apply` it only tells what would change.
    ///
    /// # Errors
    /// `InvalidArgument` that begins with the key, `FailedPrecondition` for a key that stands in the file.
    pub fn set(
        &self,
        wanted: &BTreeMap<String, Option<Value>>,
        apply: bool,
    ) -> Result<Vec<Change>> {
        let mut state = self.lock();
        let before = current_of(&state);
        let mut set = state.set.clone();
        for (key, value) in wanted {
            if keys::find(&state.file.table, key).is_some() {
                return Err(in_file(key, state.file.path.as_deref()));
            }
            match value {
                Some(value) => {
                    keys::check(key, value)?;
                    set.insert(key.clone(), value.clone());
                }
                None => drop(set.remove(key)),
            }
        }
        let config =
            effective(&state.file, &set).map_err(|error| named(error, &state.file, wanted))?;
        let after = config.settable();
        let default = keys::own();
        let changes = before.values.into_iter().filter_map(|(key, before)| {
            let own = || set.get(&key).or(default.get(key.as_str())).cloned();
            let after = after.get(&key).cloned().or_else(own).unwrap_or_default();
            (before != after).then_some(Change {
                path: key,
                before,
                after,
                needs_restart: false,
            })
        });
        let changes: Vec<Change> = changes.collect();
        if apply {
            let texts = wanted.iter().map(|(key, value)| {
                let text = value.as_ref().map(ToString::to_string);
                (key.clone(), text)
            });
            self.store.set_settings(&texts.collect())?;
            state.set = set;
            self.put_in_force(&mut state, config)?;
        }
        Ok(changes)
    }

    /// Hands a configuration that was checked to those it concerns, but for the cameras.
    fn put_in_force(&self, state: &mut State, config: Config) -> Result<()> {
        self.retention.set_policy(Policy::of(&config));
        self.exports.set_config(config.export);
        if !self.log_is_fixed && state.config.log.filter != config.log.filter {
            logging::set_filter(&config.log.filter)?;
        }
        state.config = config;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whatever panicked, both halves of the state are whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The settings as they are.
fn current_of(state: &State) -> Current {
    let of_file = state.config.settable();
    let own = keys::own().into_iter().map(|(key, default)| {
        let set = state.set.get(key).cloned();
        (key.to_owned(), set.unwrap_or(default))
    });
    let stands = |key: &&str| keys::find(&state.file.table, key).is_some();
    let fixed = keys::OF_FILE.into_iter().filter(stands);
    let others = diff::flat(&state.file.table).into_iter();
    Current {
        values: own.chain(of_file).collect(),
        read_only: fixed.map(str::to_owned).collect(),
        file: others
            .filter(|(key, _)| !keys::OF_FILE.contains(&key.as_str()))
            .filter(|(key, _)| !key.starts_with("camera."))
            .collect(),
        path: state.file.path.clone(),
    }
}

/// The error with the key of the value that alone is enough for one.
fn named(error: Error, file: &Origin, wanted: &BTreeMap<String, Option<Value>>) -> Error {
    for (key, value) in wanted {
        let Some(value) = value else { continue };
        let alone = BTreeMap::from([(key.clone(), value.clone())]);
        let Err(error) = effective(file, &alone) else {
            continue;
        };
        let text = error.to_string();
        let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
        return Error::invalid(if text.starts_with(&format!("{key}: ")) {
            text
        } else if text.starts_with(&format!("{last}: ")) {
            format!("{section}.{text}")
        } else {
            format!("{key}: {text}")
        });
    }
    error
}

/// That a key is changed in the file.
fn in_file(key: &str, path: Option<&std::path::Path>) -> Error {
    let file = path.map_or_else(
        || "the configuration file".to_owned(),
        |path| path.display().to_string(),
    );
    Error::precondition(format!(
        "{key}: stands in {file}: change it there and have it read anew"
    ))
}

/// What the file says, and the settings where it leaves a key open.
fn effective(file: &Origin, set: &BTreeMap<String, Value>) -> Result<Config> {
    let mut table = file.table.clone();
    for key in keys::OF_FILE {
        let value = set.get(key).filter(|_| keys::find(&table, key).is_none());
        if let Some(value) = value {
            let value = keys::toml_of(value)
                .ok_or_else(|| Error::invalid(format!("{key}: use a number or a text")))?;
            keys::put(&mut table, key, value);
        }
    }
    let text = toml::to_string(&table)
        .map_err(|error| Error::internal(format!("the configuration has no text: {error}")))?;
    let mut config = Config::parse(&text, &file.folder).map_err(|error| {
        // Lines of a text that nobody wrote help nobody.
        let text = error.to_string();
        let plain = match text
            .strip_prefix("line ")
            .and_then(|rest| rest.split_once(": "))
        {
            Some((_, rest)) => rest.to_owned(),
            None => text,
        };
        Error::invalid(plain)
    })?;
    config.origin.path.clone_from(&file.path);
    Ok(config)
}
