//! What is looked after now and then: changes made beside the daemon, counts that wait, old lines of the audit log.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use nvr_base::{Result, Shutdown};
use nvr_store::AuditBounds;

use super::Auth;

/// How often changes made by the command line are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// After how many looks counts are written.
const WRITE_EVERY: u32 = 5;
/// After how many looks the audit log is cut.
const TRIM_EVERY: u32 = 3600;
/// How long lines of the audit log are kept, in days.
const AUDIT_DAYS: i64 = 400;
/// Most lines of what was done.
const AUDIT_DONE: u32 = 200_000;
/// Most lines of what was refused.
const AUDIT_REFUSED: u32 = 20_000;

impl Auth {
    /// Looks after all of it until the daemon stops; then writes what waits.
    pub async fn keep(self: Arc<Self>, stopping: Shutdown) {
        let mut looks = 0_u32;
        loop {
            let stops = tokio::time::timeout(LOOK, stopping.wait()).await.is_ok();
            let this = Arc::clone(&self);
            let look = looks;
            let done = tokio::task::spawn_blocking(move || this.look(look, stops)).await;
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "users and keys are not looked after now"),
                Err(error) => tracing::error!(%error, "looking after users and keys panicked"),
            }
            if stops {
                return;
            }
            looks = looks.wrapping_add(1);
        }
    }

    fn look(&self, look: u32, stops: bool) -> Result<()> {
        self.sync()?;
        if stops || look.is_multiple_of(WRITE_EVERY) {
            self.write_uses()?;
        }
        if look.is_multiple_of(TRIM_EVERY) {
            let age_us = AUDIT_DAYS * 86_400 * 1_000_000;
            self.store.trim_audits(AuditBounds {
                before_us: self.clock.unix_us().saturating_sub(age_us),
                done: AUDIT_DONE,
                refused: AUDIT_REFUSED,
            })?;
        }
        Ok(())
    }

    /// Reads everybody anew if another program changed something. Blocks.
    ///
    /// # Errors
    /// Those of the database.
    pub fn sync(&self) -> Result<()> {
        match self.store.identity_version()? == self.people().version {
            true => Ok(()),
            false => self.reload(),
        }
    }

    /// Writes how often keys were used and when sessions were. Blocks.
    ///
    /// # Errors
    /// Those of the database; then it waits for the next time.
    pub fn write_uses(&self) -> Result<()> {
        let uses = self.meters.take();
        if !uses.is_empty() {
            self.store
                .note_key_uses(&uses)
                .inspect_err(|_| self.meters.put_back(&uses))?;
        }
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if !seen.is_empty() {
            self.store
                .see_sessions(&seen.into_iter().collect::<Vec<_>>())?;
        }
        Ok(())
    }
}
