//! `nvrd run`: the daemon, from the first signal to the last.

use std::path::PathBuf;
use std::sync::Arc;

use nvr_base::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

use super::say;
use crate::app::App;
use crate::config::Config;
use crate::pulse::systemd;
use crate::settings::Settings;

/// Runs until SIGTERM or SIGINT; SIGHUP has the configuration read anew.
pub(crate) fn run(config: Config, folder: PathBuf, print_events: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::internal(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let scheme = if config.api.tls { "https" } else { "http" };
        let warnings = config.warnings();
        let app = App::start(config, &folder).await?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        if let Some(adapter) = app.adapter_address() {
            tracing::info!(
                "AI adapter http://{adapter}/infer, documentation http://{adapter}/docs"
            );
        }
        tracing::info!(
            "API {scheme}://{}/api/v1, documentation {scheme}://{}/docs, RTSP rtsp://{}/<camera>",
            app.api_address(),
            app.api_address(),
            app.rtsp_address()
        );
        offer_set_up(&app, scheme, print_events);
        app.watch_over()?;
        systemd::ready();
        tokio::select! {
            () = print_committed(&app), if print_events => {}
            () = signals.until_stop(app.settings()) => {}
        }
        tracing::info!("stopping");
        systemd::stopping();
        app.stop().await?;
        tracing::info!("stopped: every open segment and event is closed");
        Ok(())
    })
}

/// Prints the link by which the first user is made, where there is none yet.
///
/// Never into the log, which the API shows; standard output is for events where they are printed.
fn offer_set_up(app: &App, scheme: &str, print_events: bool) {
    let Some(secret) = app.begin_setup() else {
        return;
    };
    let mut address = app.api_address();
    if address.ip().is_unspecified() {
        address.set_ip(match address.is_ipv4() {
            true => std::net::Ipv4Addr::LOCALHOST.into(),
            false => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let line = format!(
        "nvrd: there is no user yet; make the first one within a day: {scheme}://{address}/setup?token={}",
        secret.expose()
    );
    match print_events {
        true => say(&mut std::io::stderr(), &line),
        false => say(&mut std::io::stdout(), &line),
    }
}

/// SIGTERM and SIGINT stop, SIGHUP reads anew.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let on = |kind| {
            signal(kind).map_err(|error| Error::internal(format!("no signal handler: {error}")))
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    async fn until_stop(&mut self, settings: &Arc<Settings>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => reload(settings).await,
            }
        }
    }
}

/// Reads the configuration anew, and says in the log what that did.
async fn reload(settings: &Arc<Settings>) {
    systemd::reloading();
    let settings = Arc::clone(settings);
    let done = tokio::task::spawn_blocking(move || settings.reload(true)).await;
    match done {
        Ok(Ok(done)) => {
            for change in &done.changes {
                let restart = match change.needs_restart {
                    true => ": counts from the next start on",
                    false => "",
                };
                tracing::info!(
                    "{}: {} is {}{restart}",
                    change.path,
                    change.before,
                    change.after
                );
            }
            for note in &done.notes {
                tracing::warn!("{note}");
            }
            tracing::info!(
                added = done.cameras.added.len(),
                removed = done.cameras.removed.len(),
                changed = done.cameras.changed.len(),
                "the configuration was read anew"
            );
        }
        Ok(Err(error)) => {
            for line in error.to_string().lines() {
                tracing::error!("the configuration stays as it was: {line}");
            }
        }
        Err(error) => tracing::error!(%error, "reading the configuration anew panicked"),
    }
    systemd::ready();
}

async fn print_committed(app: &App) {
    let mut events = app.events();
    loop {
        match events.recv().await {
            Ok(committed) => {
                let line = line_of_event(&committed.camera, &committed.event.to_json());
                say(&mut std::io::stdout(), &line);
            }
            Err(RecvError::Lagged(lost)) => {
                tracing::warn!(lost, "standard output is read too slowly, events left out")
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// The event's own line with the camera as its first key.
fn line_of_event(camera: &str, json: &str) -> String {
    let camera = serde_json::Value::from(camera);
    format!("{{\"camera\":{camera},{}", json.trim_start_matches('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_camera_comes_first_and_the_line_stays_json() {
        let line = line_of_event("front \"door\"", "{\"type\":\"opened\"}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (value["camera"].as_str(), value["type"].as_str()),
            (Some("front \"door\""), Some("opened"))
        );
    }
}
