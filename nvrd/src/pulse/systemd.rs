//! What the service manager is told: that the daemon is ready, reads its configuration anew, stops, and goes on.

use std::time::Duration;

use nvr_base::{Error, Result, Shutdown};
use sd_notify::NotifyState;

use super::Pulses;

/// How often the line of state is brought up to date.
const STATUS: Duration = Duration::from_secs(10);
/// How often it is looked whether the daemon stops.
const STEP: Duration = Duration::from_millis(250);

/// Everything listens and records.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read anew; [`ready`] says when that is over.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the service manager is not told of the reload"),
    }
}

/// No new work is taken, and what is open is closed.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell, and that is no error.
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Feeds the watchdog of the service manager while every part goes on, and says in a line how things are; until
/// `stopping` is set. Without a service manager it does nothing.
///
/// # Errors
/// When there is no thread for it.
pub fn watch(
    pulses: &Pulses,
    stopping: &Shutdown,
    status: impl Fn() -> String + Send + 'static,
) -> Result<()> {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return Ok(());
    }
    let patience = sd_notify::watchdog_enabled();
    let (pulses, stopping) = (pulses.clone(), stopping.clone());
    let thread = std::thread::Builder::new().name("watchdog".to_owned());
    let work = move || {
        // Thrice within the time, so that one late feed does no harm.
        let every = patience.map(|patience| patience / 3);
        let (mut fed, mut said) = (None, None);
        while !stopping.is_triggered() {
            let now = pulses.clock.monotonic();
            let due = |last: Option<Duration>, every: Duration| {
                last.is_none_or(|last| now.saturating_sub(last) >= every)
            };
            if let Some(every) = every.filter(|every| due(fed, *every)) {
                fed = Some(now);
                feed(&pulses, || tell(&[NotifyState::Watchdog]));
                tracing::trace!(
                    every_ms = every.as_millis() as u64,
                    "the watchdog was looked after"
                );
            }
            if due(said, STATUS) {
                said = Some(now);
                tell(&[NotifyState::Status(&status())]);
            }
            std::thread::sleep(every.map_or(STEP, |every| STEP.min(every)));
        }
    };
    let spawned = thread.spawn(work);
    spawned
        .map(drop)
        .map_err(|error| Error::exhausted(format!("watchdog: no thread: {error}")))
}

/// Feeds the watchdog, unless a part is stuck: then the manager starts the daemon anew, and recording goes on.
fn feed(pulses: &Pulses, feed: impl FnOnce()) {
    let stuck: Vec<String> = pulses
        .ages()
        .into_iter()
        .filter(|age| age.stuck)
        .map(|age| format!("{} for {} s", age.part, age.age.as_secs()))
        .collect();
    match stuck.is_empty() {
        true => feed(),
        false => tracing::error!(
            "the watchdog is not fed: nothing was heard of {}",
            stuck.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nvr_base::SimulatedClock;

    use super::*;

    #[test]
    fn a_stuck_part_ends_the_feeding() {
        let clock = Arc::new(SimulatedClock::at(0));
        let pulses = Pulses::new(clock.clone());
        let part = pulses.begin("ingest", Duration::from_secs(10));
        let fed = || {
            let mut fed = false;
            feed(&pulses, || fed = true);
            fed
        };
        assert!(fed());
        clock.advance(Duration::from_secs(11));
        assert!(!fed());
        part.tick();
        assert!(fed());
    }
}
