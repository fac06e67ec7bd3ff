//! `nvrd backup` and `nvrd restore`: database, configuration and keys to somewhere else, and back.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use nvr_base::{Clock as _, RealClock, Result};

use super::{finish, say, say_json, size};
use crate::backup::{self, Database, Manifest, Package, Wanted};
use crate::config::Config;

/// What `nvrd backup` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArguments {
    /// Where it goes: a file whose name ends with .tar, else a folder; it must not exist. It holds every secret.
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
    config: PathBuf,
    /// Leave out a database on a PostgreSQL server, which `pg_dump` backs up.
    #[arg(long)]
    without_database: bool,
    /// Print the list of contents as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What `nvrd restore` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArguments {
    /// The backup, a folder or a file whose name ends with .tar.
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// Where the configuration file goes; other files of the configuration go to its folder.
    #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
    config: PathBuf,
    /// Leave the configuration there as it is, and put database and keys back to its storage.
    #[arg(long)]
    keep_config: bool,
    /// Move what is in the way aside.
    #[arg(long)]
    force: bool,
    /// Read and compare the whole backup, and put nothing back.
    #[arg(long, conflicts_with_all = ["keep_config", "force"])]
    check: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Makes a backup: 0 when it is made, 1 when something that the configuration names is not in it, 2 when it could not be.
pub(crate) fn backup(arguments: &BackupArguments) -> ExitCode {
    finish(make(arguments, &mut std::io::stdout()))
}

fn make(arguments: &BackupArguments, out: &mut dyn Write) -> Result<bool> {
    let config = Config::load(&arguments.config)?;
    let now_us = RealClock::new().unix_us();
    let target = &arguments.target;
    let manifest = backup::make(&config, target, arguments.without_database, now_us)?;
    let whole = manifest.left_out.is_empty();
    if arguments.json {
        say_json(out, &manifest)?;
        return Ok(whole);
    }
    say(
        out,
        &format!("{}: {}", target.display(), summary(&manifest)),
    );
    for line in &manifest.left_out {
        say(out, &format!("not in it: {line}"));
    }
    say(
        out,
        "it holds every secret of the recorder: keep it where nobody else can read it",
    );
    Ok(whole)
}

fn summary(manifest: &Manifest) -> String {
    let database = match &manifest.database {
        Database::Sqlite { schema } => format!("database with schema {schema}"),
        Database::Postgres { address } => {
            format!("without the database at {address}, which pg_dump backs up")
        }
    };
    format!(
        "{} files, {}, {database}, made {} by nvrd {}",
        manifest.files.len(),
        size(manifest.bytes()),
        manifest.made,
        manifest.version
    )
}

/// Puts a backup back: 0 when it is done, 2 when it could not be, and then nothing has changed.
pub(crate) fn restore(arguments: &RestoreArguments) -> ExitCode {
    finish(put_back(arguments, &mut std::io::stdout()).map(|()| true))
}

fn put_back(arguments: &RestoreArguments, out: &mut dyn Write) -> Result<()> {
    let package = Package::open(&arguments.backup)?;
    let manifest = package.manifest();
    if arguments.check {
        return match arguments.json {
            true => say_json(out, manifest),
            false => {
                say(
                    out,
                    &format!(
                        "{}: whole: {}",
                        arguments.backup.display(),
                        summary(manifest)
                    ),
                );
                Ok(())
            }
        };
    }
    let wanted = Wanted {
        config: &arguments.config,
        keep_config: arguments.keep_config,
        force: arguments.force,
        now_us: RealClock::new().unix_us(),
    };
    let restored = backup::restore(&package, &wanted)?;
    let names = |files: &[PathBuf]| -> Vec<String> {
        files
            .iter()
            .map(|file| file.display().to_string())
            .collect()
    };
    if arguments.json {
        return say_json(
            out,
            &serde_json::json!({
                "written": names(&restored.written), "unchanged": names(&restored.unchanged),
                "aside": names(&restored.aside), "left_out": manifest.left_out,
                "database": manifest.database,
            }),
        );
    }
    for file in names(&restored.written) {
        say(out, &format!("put back: {file}"));
    }
    for file in names(&restored.aside) {
        say(out, &format!("moved aside: {file}"));
    }
    for line in &manifest.left_out {
        say(out, &format!("was not in it: {line}"));
    }
    if let Database::Postgres { address } = &manifest.database {
        say(
            out,
            &format!("the database at {address} is not in it: pg_restore puts that back"),
        );
    }
    say(
        out,
        "recordings that the database does not know yet are listed at the next start",
    );
    Ok(())
}
