//! Sets up the log of the program: text or JSON on standard error, and the last records in memory for whoever asks.
//!
//! Secrets never come here by design; what looks like one is blotted out all the same, as a second net.

mod scrub;
mod ring;

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

pub use ring::{Record, Ring, Wanted};
pub use scrub::scrub;

use crate::{Error, Result};

/// What is logged when nobody says anything.
const DEFAULT_FILTER: &str = "info";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line of text per record.
    #[default]
    Text,
    /// One JSON object per record.
    Json,
}

/// The filter of the running log.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();
/// The last records of the process.
static RING: OnceLock<Ring> = OnceLock::new();

/// Starts logging to standard error; `filter` is in the syntax of `RUST_LOG`, `info` say.
///
/// A second call in one process has no effect: tests start the daemon many times.
pub fn init(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let (filter, handle) = reload::Layer::new(filter);
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Scrubbed)
        .with_ansi(colour)
        .with_target(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let all = Registry::default()
        .with(filter)
        .with(lines)
        .with(ring::Keep(last_records()));
    match all.try_init() {
        Ok(()) => drop(FILTER.set(handle)),
        Err(error) => tracing::debug!(%error, "logging was set up before"),
    }
}

/// The last records of this process, whatever the format of the log is.
pub fn last_records() -> &'static Ring {
    RING.get_or_init(Ring::default)
}

/// Says whether a text is a filter, in the syntax of `RUST_LOG`.
///
/// # Errors
/// `InvalidArgument` with the part that is none.
pub fn check_filter(filter: &str) -> Result<()> {
    EnvFilter::try_new(filter).map(drop).map_err(|error| {
        Error::invalid(format!(
            "{filter:?} is no filter ({error}): use a level such as info, or target=level, separated by commas"
        ))
    })
}

/// Logs by another filter from now on; without a log of ours there is nothing to do.
///
/// # Errors
/// As [`check_filter`].
pub fn set_filter(filter: &str) -> Result<()> {
    check_filter(filter)?;
    let Some(handle) = FILTER.get() else {
        return Ok(());
    };
    let filter = EnvFilter::new(filter);
    handle
        .reload(filter)
        .map_err(|error| Error::internal(format!("the log keeps its filter: {error}")))
}

/// Standard error, with what looks like a secret blotted out.
struct Scrubbed;

impl<'a> MakeWriter<'a> for Scrubbed {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Scrubbed {
    /// The formatter writes each record at once, so that nothing is cut in the middle of a secret.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => io::stderr().write_all(scrub(text).as_bytes())?,
            Err(_) => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        for good in ["info", "info,ort=warn", "nvrd::api=trace", ""] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
        let error = check_filter("info,a=b=c").unwrap_err().to_string();
        assert!(error.starts_with("\"info,a=b=c\" is no filter"), "{error}");
    }

    #[test]
    fn the_filter_of_a_running_log_changes_and_the_ring_keeps_what_passes() {
        init(LogFormat::Text, "warn");
        let find = |text: &str| {
            let wanted = Wanted {
                search: Some(text.to_owned()),
                ..Wanted::default()
            };
            last_records().newest(&wanted, 0, 10).0.len()
        };
        tracing::info!("the quiet one");
        assert_eq!(find("the quiet one"), 0);
        set_filter("info").unwrap();
        tracing::info!(camera.id = "front", password = "hunter2", "the loud one");
        assert_eq!(find("the loud one"), 1);
        assert_eq!(find("hunter2"), 0);
        assert!(set_filter("a=b=c").is_err());
    }
}
