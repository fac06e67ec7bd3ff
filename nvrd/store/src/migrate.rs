//! Brings the schema of a database file up to date, after a copy of the file was made.

use std::path::{Path, PathBuf};

use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use nvr_base::{Error, ErrorKind, Result};

use crate::failure::{from_message, from_query};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

type Step = Box<dyn Migration<Sqlite>>;

diesel::table! {
    sqlite_master (name) {
        name -> Text,
    }
}

diesel::table! {
    /// Which migrations the file has; `diesel_migrations` makes and fills it.
    __diesel_schema_migrations (version) {
        version -> Text,
    }
}

/// Sees that the file is empty or ours and not newer than the program, without changing it.
///
/// # Errors
/// [`FailedPrecondition`](nvr_base::ErrorKind::FailedPrecondition) for the file of a newer program or of another one.
pub(crate) fn check(conn: &mut SqliteConnection, file: &Path) -> Result<()> {
    refuse_newer(file, &steps(file)?, &applied(conn, file)?)
}

/// Whether the file lacks a migration.
pub(crate) fn is_older(conn: &mut SqliteConnection, file: &Path) -> Result<bool> {
    let applied = applied(conn, file)?;
    Ok(steps(file)?
        .iter()
        .any(|step| !applied.contains(&version_of(step))))
}

/// Applies every migration that the file does not have yet.
pub(crate) fn upgrade(conn: &mut SqliteConnection, file: &Path) -> Result<()> {
    let known = steps(file)?;
    let applied = applied(conn, file)?;
    let pending: Vec<&Step> = known
        .iter()
        .filter(|step| !applied.contains(&version_of(step)))
        .collect();
    if pending.is_empty() {
        return Ok(());
    }
    if let Some(newest) = applied.last() {
        back_up(conn, file, newest)?;
    }
    // Makes the ledger, which the first migration writes to.
    conn.applied_migrations()
        .map_err(|error| failed(file, "schema", &error))?;
    for step in pending {
        conn.run_migration(step.as_ref())
            .map_err(|error| failed(file, &step.name().to_string(), &error))?;
    }
    Ok(())
}

/// The versions that the file has, oldest first; none in a new file.
pub(crate) fn applied(conn: &mut SqliteConnection, file: &Path) -> Result<Vec<String>> {
    let tables: Vec<String> = sqlite_master::table
        .select(sqlite_master::name)
        .load(conn)
        .map_err(|error| from_query(file, error))?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    if !tables
        .iter()
        .any(|name| name == "__diesel_schema_migrations")
    {
        return Err(Error::precondition(format!(
            "{}: the database belongs to another program; give the recorder a file of its own",
            file.display()
        )));
    }
    __diesel_schema_migrations::table
        .order(__diesel_schema_migrations::version)
        .select(__diesel_schema_migrations::version)
        .load(conn)
        .map_err(|error| from_query(file, error))
}

/// The migrations built into the program, oldest first.
fn steps(file: &Path) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = MIGRATIONS
        .migrations()
        .map_err(|error| failed(file, "schema", &error))?;
    steps.sort_by_key(version_of);
    Ok(steps)
}

fn version_of(step: &Step) -> String {
    step.name().version().to_string()
}

fn refuse_newer(file: &Path, known: &[Step], applied: &[String]) -> Result<()> {
    let unknown = applied
        .iter()
        .rfind(|version| known.iter().all(|step| version_of(step) != **version));
    match unknown {
        None => Ok(()),
        Some(version) => Err(Error::precondition(format!(
            "{}: a newer program wrote the database (schema {version}, this one knows up to {}); \
             install the newer program or restore the backup beside the file",
            file.display(),
            known.last().map_or_else(String::new, version_of)
        ))),
    }
}

/// Copies the database to `<file>.schema-<version>.backup`, all or nothing, in place of an older copy.
fn back_up(conn: &mut SqliteConnection, file: &Path, version: &str) -> Result<()> {
    let target = beside(file, &format!(".schema-{version}.backup"));
    let unfinished = beside(file, &format!(".schema-{version}.unfinished"));
    if unfinished.exists() {
        std::fs::remove_file(&unfinished).map_err(|error| Error::io(&unfinished, error))?;
    }
    // VACUUM takes an empty file and keeps its mode: the copy holds the cameras' passwords too.
    create_private(&unfinished)?;
    let name = unfinished
        .to_str()
        .expect("the database's own name is Unicode, or it would not be open");
    diesel::sql_query("VACUUM INTO ?")
        .bind::<Text, _>(name)
        .execute(conn)
        .map_err(|error| from_query(&unfinished, error))?;
    sync(&unfinished)?;
    std::fs::rename(&unfinished, &target).map_err(|error| Error::io(&target, error))?;
    match target.parent() {
        Some(folder) => sync(folder),
        None => Ok(()),
    }
}

fn sync(path: &Path) -> Result<()> {
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::io(path, error))
}

/// Makes an empty file that only its owner may read, unless there is a file already.
pub(crate) fn create_private(path: &Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io(path, error)),
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(file: &Path, step: &str, error: &dyn std::fmt::Display) -> Error {
    let cause = from_message(file, &error.to_string());
    if cause.kind() == ErrorKind::Internal {
        Error::internal(format!(
            "{}: migration {step} failed and was undone ({error})",
            file.display()
        ))
    } else {
        cause
    }
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
