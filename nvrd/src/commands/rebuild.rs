//! `nvrd rebuild`: the index anew from the files, and what comes back with it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use nvr_base::{Clock, RealClock, Result};

use super::{finish, must_exist, progress, say, say_json};
use crate::config::Config;
use crate::recovery::{self, Rebuilt};

/// What `nvrd rebuild` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct RebuildArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
    config: PathBuf,
    /// Read every file whose BLAKE3 no chain knows, and not its headers alone.
    #[arg(long)]
    hash: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Makes the index anew: 0 when every file is in it, 1 when some are left out, 2 when it could not be made.
pub(crate) fn rebuild(arguments: &RebuildArguments) -> ExitCode {
    finish(make(arguments, &mut std::io::stdout()))
}

fn make(arguments: &RebuildArguments, out: &mut dyn Write) -> Result<bool> {
    let config = Config::load(&arguments.config)?;
    must_exist(&config.storage.path)?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let started = clock.monotonic();
    let mut tell_progress = progress("rebuild");
    let rebuilt = recovery::rebuild(&config.storage, &clock, arguments.hash, &mut |count| {
        tell_progress(count, 0);
    })?;
    let seconds = (clock.monotonic() - started).as_secs_f64();
    let whole = rebuilt.left_out_count == 0 && rebuilt.missing.is_empty();
    if arguments.json {
        let salvaged: Vec<_> = rebuilt
            .salvaged
            .iter()
            .map(|s| serde_json::json!({ "table": s.table, "rows": s.rows, "problem": s.problem }))
            .collect();
        say_json(
            out,
            &serde_json::json!({ "rebuilt": rebuilt, "salvaged": salvaged, "seconds": seconds }),
        )?;
    } else {
        tell(&rebuilt, seconds, out);
    }
    Ok(whole)
}

fn tell(rebuilt: &Rebuilt, seconds: f64, out: &mut dyn Write) {
    for detail in &rebuilt.missing {
        say(out, &format!("not looked at: {detail}"));
    }
    for file in &rebuilt.left_out {
        say(out, &format!("left out: {file}"));
    }
    let unnamed = rebuilt.left_out_count - rebuilt.left_out.len() as u64;
    if unnamed > 0 {
        say(out, &format!("left out: {unnamed} more"));
    }
    if rebuilt.left_out_count > 0 {
        say(
            out,
            "`nvrd fsck --repair`, or the next start, cuts torn ends off and lists what is whole",
        );
    }
    for table in &rebuilt.salvaged {
        let problem = table
            .problem
            .as_ref()
            .map(|problem| format!(" ({problem})"))
            .unwrap_or_default();
        say(
            out,
            &format!(
                "taken from the old index: {} of {}{problem}",
                table.rows, table.table
            ),
        );
    }
    match &rebuilt.aside {
        Some(aside) => say(out, &format!("the old index is now {}", aside.display())),
        None => say(
            out,
            "there was no old index: cameras made over the API, events, gaps and what was protected cannot come back \
             from files",
        ),
    }
    say(
        out,
        &format!(
            "{} segments listed in {seconds:.1} s, {} with the BLAKE3 of their chain, {} read whole, {} without one",
            rebuilt.segments,
            rebuilt.hashed_by_chain,
            rebuilt.hashed,
            rebuilt.segments - rebuilt.hashed_by_chain - rebuilt.hashed
        ),
    );
}
