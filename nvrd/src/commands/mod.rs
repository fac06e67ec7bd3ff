//! The subcommands: what they print, and the exit status that says what they found.

mod about;
mod backup;
mod doctor;
mod health;
mod run;
mod fsck;
mod identity;
mod key;
mod rebuild;
mod user;
mod verify;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use std::time::Duration;

use nvr_base::{Clock as _, Error, RealClock, Result};

pub(crate) use about::{
    CompletionsArguments, ManArguments, VersionArguments, completions, man, schema, version,
};
pub(crate) use backup::{BackupArguments, RestoreArguments, backup, restore};
pub(crate) use doctor::{DoctorArguments, doctor};
pub(crate) use fsck::{FsckArguments, fsck};
pub(crate) use health::{HealthArguments, health};
pub(crate) use key::{KeyArguments, key};
pub(crate) use rebuild::{RebuildArguments, rebuild};
pub(crate) use run::run;
pub(crate) use user::{UserArguments, user};
pub(crate) use verify::{VerifyArguments, verify};

/// How often a long check says how far it is.
const TELL: Duration = Duration::from_secs(5);

/// Nothing is wrong.
const CLEAN: u8 = 0;
/// Something is wrong, and it was named.
const FINDINGS: u8 = 1;
/// It could not be found out.
const FAILED: u8 = 2;

/// Turns what a subcommand found into the status of the process; a failure is told on standard error.
fn finish(outcome: Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::from(CLEAN),
        Ok(false) => ExitCode::from(FINDINGS),
        Err(error) => {
            for line in error.to_string().lines() {
                say(&mut std::io::stderr(), &format!("nvrd: {line}"));
            }
            ExitCode::from(FAILED)
        }
    }
}

/// Prints a line; a reader that has gone is no error of ours.
fn say(to: &mut dyn Write, line: &str) {
    if let Err(error) = writeln!(to, "{line}").and_then(|()| to.flush()) {
        tracing::debug!(%error, "nobody reads the output");
    }
}

/// Prints a value as one line of JSON.
fn say_json(to: &mut dyn Write, value: &impl serde::Serialize) -> Result<()> {
    let line = serde_json::to_string(value)
        .map_err(|error| Error::internal(format!("no JSON: {error}")))?;
    say(to, &line);
    Ok(())
}

/// A moment that a person wrote, microseconds since 1970-01-01 UTC.
fn moment(key: &str, text: &str) -> Result<i64> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.as_microsecond());
    }
    let seconds: Option<f64> = text
        .parse()
        .ok()
        .filter(|s: &f64| s.abs() < 253_402_300_800.0);
    // Far inside what 64 bits of microseconds hold.
    seconds.map(|seconds| (seconds * 1e6) as i64).ok_or_else(|| {
        Error::invalid(format!(
            "{key}: {text:?} is no time: give seconds since 1970, or one like 2026-11-20T10:00:00Z"
        ))
    })
}

/// A moment as people read it.
fn people(unix_us: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(unix_us).unwrap_or_default();
    at.round(jiff::Unit::Millisecond).unwrap_or(at).to_string()
}

/// A number of bytes as people read it.
fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..=9_999_999_999 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Sees that a file is there before a folder is made in its name.
fn must_exist(path: &Path) -> Result<()> {
    std::fs::metadata(path)
        .map(drop)
        .map_err(|error| Error::io(path, error))
}

/// Says how far it is, every few seconds.
fn progress(what: &str) -> impl FnMut(u64, u64) + use<> {
    let (clock, what) = (RealClock::new(), what.to_owned());
    let mut next = TELL;
    move |count, bytes| {
        if clock.monotonic() >= next {
            next = clock.monotonic() + TELL;
            let volume = if bytes == 0 {
                String::new()
            } else {
                format!(", {}", size(bytes))
            };
            say(
                &mut std::io::stderr(),
                &format!("{what}: {count} files{volume} so far"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        let check = |text: &str, expect: Option<i64>| {
            assert_eq!(moment("--from", text).ok(), expect, "{text}");
        };
        check("1970-01-01T00:00:01Z", Some(1_000_000));
        check("1970-01-01T01:00:00.5+01:00", Some(500_000));
        check("12.25", Some(12_250_000));
        check("-1", Some(-1_000_000));
        for bad in [
            "",
            "noon",
            "1e300",
            "nan",
            "2026-13-01T00:00:00Z",
            "2026-11-20",
        ] {
            check(bad, None);
        }
    }
}
