//! `nvrd fsck`: what is not as the rules of recording say, a line each, and on demand put right.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use nvr_base::{Clock, Error, ErrorKind, RealClock, Result};
use nvr_store::Store;

use super::{finish, must_exist, say, say_json, size};
use crate::config::Config;
use crate::evidence::{self, Evidence};
use crate::recovery::{Check, Level, Report};
use crate::storage::{Storage, database};

/// What `nvrd fsck` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct FsckArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
    config: PathBuf,
    /// Read every file: contents, boxes, key frames; the database and the signatures of the chains too.
    #[arg(long)]
    deep: bool,
    /// Put right what can be; nothing is deleted, what cannot be kept in place goes to quarantine.
    #[arg(long, conflicts_with = "online")]
    repair: bool,
    /// Look while a daemon runs, and change nothing.
    #[arg(long)]
    online: bool,
    /// Print one JSON object a finding, and one for the summary.
    #[arg(long)]
    json: bool,
}

/// Runs the check: 0 when everything is as the rules say (now), 1 when not, 2 when it could not be found out.
pub(crate) fn fsck(arguments: &FsckArguments) -> ExitCode {
    finish(check(arguments, &mut std::io::stdout()))
}

fn check(arguments: &FsckArguments, out: &mut dyn Write) -> Result<bool> {
    let config = Config::load(&arguments.config)?;
    // Nothing is made where there is nothing: a wrong path is no clean storage.
    must_exist(&config.storage.path)?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let started = clock.monotonic();
    let running = evidence::is_running(&config.storage.path)?;
    if running && !arguments.online {
        return Err(Error::precondition(format!(
            "a daemon runs on {}: stop it, or give --online to look without changing anything",
            config.storage.path.display()
        )));
    }
    let storage = if running {
        Storage::open_beside(&config.storage)?
    } else {
        Storage::open_all(&config.storage)?
    };
    let place = database::place(&config.storage)?;
    if let Some(file) = place.file() {
        must_exist(file).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Error::precondition(format!("{error}: the index is gone: run `nvrd rebuild`"))
            }
            _ => error,
        })?;
    }
    let store = Store::open_at(&place, Arc::clone(&clock)).map_err(|error| {
        match (error.kind(), place.file()) {
            (ErrorKind::DataLoss, Some(_)) => {
                Error::data_loss(format!("{error}; `nvrd rebuild` does that"))
            }
            _ => error,
        }
    })?;
    if !running {
        store.claim()?;
    }
    storage.identify(&store)?;
    let evidence = match arguments.repair {
        true => Some(Evidence::open(&storage.evidence(), Arc::clone(&clock))?),
        false => None,
    };
    let check = Check {
        storage: &storage,
        store: &store,
        evidence: evidence.as_ref(),
        level: if arguments.deep {
            Level::Deep
        } else {
            Level::Names
        },
        running,
    };
    let mut failure = None;
    let report = check.run(&mut |finding| {
        if arguments.json {
            failure = failure.take().or(say_json(out, finding).err());
        } else {
            say(out, &finding.line());
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    let seconds = (clock.monotonic() - started).as_secs_f64();
    if arguments.json {
        let summary = serde_json::json!({ "summary": report, "seconds": seconds, "clean": report.is_clean() });
        say_json(out, &summary)?;
    } else {
        tell(&report, seconds, out);
    }
    Ok(report.is_clean())
}

fn tell(report: &Report, seconds: f64, out: &mut dyn Write) {
    for note in &report.notes {
        say(out, &format!("note: {note}"));
    }
    let read = match report.bytes_read {
        0 => String::new(),
        bytes => format!(", {} read", size(bytes)),
    };
    let by_rule: Vec<String> = report
        .findings
        .iter()
        .map(|(rule, count)| format!("{rule} {count}"))
        .collect();
    let found = match (report.count(), report.repaired) {
        (0, _) => "clean".to_owned(),
        (count, 0) => format!("{count} findings ({})", by_rule.join(", ")),
        (count, repaired) => {
            format!(
                "{count} findings ({}), {repaired} put right",
                by_rule.join(", ")
            )
        }
    };
    say(
        out,
        &format!(
            "{} cameras, {} files, {} rows{read} in {seconds:.1} s: {found}",
            report.cameras, report.files, report.rows
        ),
    );
}
