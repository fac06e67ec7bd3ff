//! Makes room: asks the planner what goes, and has it go in an order that a crash cannot break.
//!
//! Nothing here decides what is deleted; `nvr_store::retention` does.

mod trust;
mod policy;
mod dispose;
mod situation;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use nvr_base::{Clock, ErrorKind, Result, Shutdown};
use nvr_store::retention::{Deletion, Outlook, Plan, Reason, Situation, plan};
use nvr_store::{ClockDoubt, Store};

use crate::alarms::Alarms;
use crate::evidence::Deletions;
use crate::storage::{Condition, Storage, Volume};

pub use policy::{Policy, StorageLimits};
pub use trust::ClockTrust;

use dispose::dispose;
use situation::FromStore;

/// How often it is looked whether something has to go.
const EVERY: Duration = Duration::from_secs(10);
/// Segments that go in one transaction.
const BATCH: usize = 64;
/// Most files that go in one round.
const ROUND: u64 = 4096;

/// What has been done since the start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counters {
    /// Files that were deleted.
    pub deleted_files: u64,
    /// Their length together.
    pub deleted_bytes: u64,
    /// Attempts to unlink a file that failed.
    pub failed: u64,
    /// Rounds that ended with an error.
    pub failed_rounds: u64,
}

/// What [`Retention`] is built from.
#[expect(
    missing_debug_implementations,
    reason = "moved once, from the composition root"
)]
pub struct Parts {
    /// The folders.
    pub storage: Arc<Storage>,
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The policy of the configuration.
    pub policy: Policy,
    /// Who is told of what is deleted, before it is unlinked.
    pub deletions: Option<Arc<dyn Deletions>>,
    /// Where alarms go.
    pub alarms: Arc<Alarms>,
}

/// See the module.
pub struct Retention {
    storage: Arc<Storage>,
    store: Store,
    clock: Arc<dyn Clock>,
    /// Changes when the configuration is read anew.
    policy: Mutex<Arc<Policy>>,
    deletions: Option<Arc<dyn Deletions>>,
    alarms: Arc<Alarms>,
    state: Mutex<State>,
    /// One round at a time, whoever asks for it.
    round: Mutex<()>,
}

struct State {
    /// Monotonic time of the last round.
    last_round: Duration,
    trust: ClockTrust,
    counters: Counters,
    outlooks: Vec<Outlook>,
}

impl std::fmt::Debug for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retention").finish_non_exhaustive()
    }
}

/// Why a round ended before its plan did.
enum End {
    Full(Vec<Gone>),
    Done(Vec<Gone>, Plan),
}

struct Gone {
    id: String,
    reason: Reason,
    protected: bool,
}

impl Retention {
    /// Takes the parts; asks the store what the last run left in doubt about the clock.
    ///
    /// # Errors
    /// Those of the database.
    pub fn new(parts: Parts) -> Result<Self> {
        let (unix_us, monotonic) = (parts.clock.unix_us(), parts.clock.monotonic());
        let doubted = parts.store.clock_doubt()?;
        let doubted = doubted.map(|doubt| (doubt.reason, doubt.since_us));
        let last_us = parts.store.last_recorded_us()?;
        let trust = ClockTrust::at_start(unix_us, monotonic, doubted, last_us);
        let this = Self {
            storage: parts.storage,
            store: parts.store,
            clock: parts.clock,
            policy: Mutex::new(Arc::new(parts.policy)),
            deletions: parts.deletions,
            alarms: parts.alarms,
            state: Mutex::new(State {
                last_round: monotonic,
                trust,
                counters: Counters::default(),
                outlooks: Vec::new(),
            }),
            round: Mutex::default(),
        };
        this.note_doubt()?;
        Ok(this)
    }

    /// Makes room until `stopping` is set and the bell is rung.
    pub fn run(&self, stopping: &Shutdown) {
        while !stopping.is_triggered() {
            if let Err(error) = self.round(stopping) {
                self.lock().counters.failed_rounds += 1;
                tracing::error!(%error, "no room could be made; it is tried again");
                // What may be lacking is the room to write down what goes.
                if error.kind() == ErrorKind::ResourceExhausted && self.storage.release_reserve() {
                    continue;
                }
            }
            self.storage.retention_bell.wait(EVERY);
        }
    }

    /// When it is looked again what has to go, if nothing rings before: microseconds since 1970-01-01 UTC.
    pub fn next_round_us(&self) -> i64 {
        let since = self
            .clock
            .monotonic()
            .saturating_sub(self.lock().last_round);
        let left = EVERY.saturating_sub(since);
        let left_us = i64::try_from(left.as_micros()).unwrap_or(0);
        self.clock.unix_us().saturating_add(left_us)
    }

    /// Deletes what has to go now, and what was begun before.
    ///
    /// # Errors
    /// Those of the database and of the chain; what was begun goes on with the next round.
    pub fn round(&self, stopping: &Shutdown) -> Result<()> {
        let _round = self.round.lock().expect("no holder of this lock panics");
        let now = self.clock.monotonic();
        {
            let mut state = self.lock();
            state.last_round = now;
            state.trust.observe(self.clock.unix_us(), now);
        }
        self.note_doubt()?;
        self.empty_garbage(ROUND)?;
        let mut left = ROUND;
        while left > 0 && !stopping.is_triggered() {
            let situation = self.situation(&self.policy())?;
            let (gone, plan) = match self.next_batch(&situation)? {
                End::Full(gone) => (gone, None),
                End::Done(gone, plan) => (gone, Some(plan)),
            };
            left = left.saturating_sub(gone.len() as u64);
            if !gone.is_empty() {
                self.discard(&gone)?;
                self.empty_garbage(BATCH as u64 * 2)?;
            }
            if let Some(plan) = plan {
                self.conclude(plan.places);
                break;
            }
        }
        Ok(())
    }

    /// What the planner has go first.
    fn next_batch(&self, situation: &Situation) -> Result<End> {
        let mut gone = Vec::new();
        let mut each = |deletion: Deletion<'_>| {
            gone.push(Gone {
                id: deletion.item.id,
                reason: deletion.reason,
                protected: deletion.class.protected,
            });
            match gone.len() < BATCH {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        let found = plan(situation, &mut FromStore(&self.store), &mut each)?;
        Ok(match found.cut_short {
            true => End::Full(gone),
            false => End::Done(gone, found),
        })
    }

    fn discard(&self, gone: &[Gone]) -> Result<()> {
        for part in gone.chunk_by(|a, b| a.reason == b.reason) {
            let ids: Vec<String> = part.iter().map(|gone| gone.id.clone()).collect();
            let rows = self.store.discard_segments(&ids, part[0].reason.as_str())?;
            let bytes = rows
                .iter()
                .map(|row| row.bytes.cast_unsigned())
                .sum::<u64>();
            let protected = part.iter().filter(|gone| gone.protected).count();
            if protected > 0 {
                tracing::error!(
                    protected,
                    "protected recordings were deleted: nothing else was left, and when_full allows it"
                );
                self.alarms.note("protected_deleted", "retention");
            }
            tracing::info!(
                files = rows.len(),
                bytes,
                reason = part[0].reason.as_str(),
                "recordings were deleted"
            );
            let mut state = self.lock();
            state.counters.deleted_files += rows.len() as u64;
            state.counters.deleted_bytes += bytes;
        }
        Ok(())
    }

    /// Unlinks what is on the list of garbage, in every storage that is there and takes it.
    ///
    /// # Errors
    /// Those of the database and of the chain.
    pub fn empty_garbage(&self, most: u64) -> Result<()> {
        let today = today(self.clock.unix_us());
        for volume in self.storage.volumes() {
            if !deletes_from(volume) {
                continue;
            }
            let deletions = self.deletions.as_deref();
            let done = dispose(&self.storage, volume, &self.store, deletions, &today, most)?;
            self.lock().counters.failed += done.failed;
        }
        Ok(())
    }

    /// Says which storages are full for good.
    fn conclude(&self, outlooks: Vec<Outlook>) {
        for outlook in &outlooks {
            let why = (outlook.short_bytes > 0).then(|| {
                format!(
                    "{} bytes more have to be free and nothing that may be deleted is left: add a disk, keep less, or \
                     take the protection off recordings",
                    outlook.short_bytes
                )
            });
            self.storage.set_full(&outlook.storage, why);
        }
        self.lock().outlooks = outlooks;
    }

    /// Keeps what is doubted over a restart, and says so.
    fn note_doubt(&self) -> Result<()> {
        let why = {
            let state = self.lock();
            state
                .trust
                .why()
                .map(|(why, since)| (why.to_owned(), since))
        };
        let known = self.store.clock_doubt()?;
        let doubt = why.map(|(reason, since_us)| ClockDoubt { reason, since_us });
        match &doubt {
            Some(_) => self.alarms.raise("clock_doubt", "clock"),
            None => self.alarms.clear("clock_doubt", "clock"),
        }
        if doubt == known {
            return Ok(());
        }
        self.store.set_clock_doubt(doubt.as_ref())?;
        match &doubt {
            Some(doubt) => tracing::error!(
                "the clock is not trusted: {}; nothing is deleted by age until it kept pace for a day, or somebody \
                 says that it is right",
                doubt.reason
            ),
            None => tracing::info!("the clock is trusted again"),
        }
        Ok(())
    }

    /// An administrator says that the wall clock is right; answers whether it is believed now.
    ///
    /// # Errors
    /// Those of the database.
    pub fn trust_clock(&self) -> Result<bool> {
        let trusted = {
            let now = (self.clock.unix_us(), self.clock.monotonic());
            self.lock().trust.trust(now.0, now.1)
        };
        self.note_doubt()?;
        self.storage.retention_bell.ring();
        Ok(trusted)
    }

    /// Why the wall clock is not believed, and since when; `None` when it is.
    pub fn clock_doubt(&self) -> Option<(String, i64)> {
        let state = self.lock();
        state
            .trust
            .why()
            .map(|(why, since)| (why.to_owned(), since))
    }

    /// What has been done since the start.
    pub fn counters(&self) -> Counters {
        self.lock().counters.clone()
    }

    /// The policy that holds.
    pub fn policy(&self) -> Arc<Policy> {
        let policy = self.policy.lock().expect("no holder of this lock panics");
        Arc::clone(&policy)
    }

    /// Keeps recordings by another policy from now on.
    pub fn set_policy(&self, policy: Policy) {
        *self.policy.lock().expect("no holder of this lock panics") = Arc::new(policy);
        self.storage.retention_bell.ring();
    }

    /// What a policy would delete now, told to `each`, and how long what is recorded lasts under it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn preview(
        &self,
        policy: &Policy,
        each: &mut dyn FnMut(Deletion<'_>) -> ControlFlow<()>,
    ) -> Result<(Situation, Plan)> {
        let situation = self.situation(policy)?;
        let plan = plan(&situation, &mut FromStore(&self.store), each)?;
        Ok((situation, plan))
    }

    fn situation(&self, policy: &Policy) -> Result<Situation> {
        let trusted = self.lock().trust.is_trusted();
        situation::gather(
            &self.storage,
            &self.store,
            policy,
            self.clock.unix_us(),
            trusted,
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// Whether files in a storage can be deleted at the moment.
fn deletes_from(volume: &Volume) -> bool {
    matches!(volume.condition(), Condition::Ready | Condition::Full(_))
}

/// The folder that the recorder writes to today, by its name.
fn today(unix_us: i64) -> String {
    // A day before: around midnight the folder of the day may still be the one before.
    let day = jiff::Timestamp::from_microsecond(unix_us.saturating_sub(86_400_000_000));
    day.map_or_else(
        |_| String::new(),
        |time| time.strftime("%Y-%m-%d").to_string(),
    )
}

#[cfg(test)]
mod tests;
