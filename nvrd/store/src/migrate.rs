//! Brings the schema of a database file up to date, after a copy of the file was made.

use std::path::{Path, PathBuf};

use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use nvr_base::{Error, ErrorKind, Result};

use crate::backend::Conn;
#[cfg(feature = "postgres")]
use crate::conn::finish;
use crate::dialect;
use crate::failure::{from_message, from_query};
use crate::place::Place;

/// Those for a file.
const FOR_FILES: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
/// The same for a server, under the same names; a test compares what comes out.
#[cfg(feature = "postgres")]
const FOR_SERVERS: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

diesel::table! {
    /// Which migrations the database has; `diesel_migrations` makes and fills it.
    __diesel_schema_migrations (version) {
        version -> Text,
    }
}

/// Version of the schema that this program makes: digits of the newest migration's time.
///
/// # Errors
/// When the program was built without migrations.
pub fn newest_schema() -> Result<String> {
    let place = Place::File(PathBuf::new());
    let newest = known(&place)?.pop();
    newest.ok_or_else(|| Error::internal("the program was built without a schema"))
}

/// Sees that the database is empty or ours and not newer than the program, without changing it.
///
/// # Errors
/// [`FailedPrecondition`](nvr_base::ErrorKind::FailedPrecondition) for that of a newer program or of another one.
pub(crate) fn check(conn: &mut Conn, place: &Place) -> Result<()> {
    refuse_newer(place, &known(place)?, &applied(conn, place)?)
}

/// Whether the database lacks a migration.
pub(crate) fn is_older(conn: &mut Conn, place: &Place) -> Result<bool> {
    let applied = applied(conn, place)?;
    Ok(known(place)?
        .iter()
        .any(|version| !applied.contains(version)))
}

/// Applies every migration that the database does not have yet.
pub(crate) fn upgrade(conn: &mut Conn, place: &Place) -> Result<()> {
    if !is_older(conn, place)? {
        return Ok(());
    }
    let applied = applied(conn, place)?;
    match conn {
        Conn::Sqlite(conn) => {
            if let Some(newest) = applied.last() {
                back_up(conn, place, newest)?;
            }
            let steps = steps::<diesel::sqlite::Sqlite>(FOR_FILES, place)?;
            run(conn, place, &pending(steps, &applied))
        }
        #[cfg(feature = "postgres")]
        Conn::Pg(_) => on_server(conn, place),
    }
}

/// All or nothing, so that there is no need for a way back: a server undoes tables as well as rows.
#[cfg(feature = "postgres")]
fn on_server(conn: &mut Conn, place: &Place) -> Result<()> {
    let steps = steps::<diesel::pg::Pg>(FOR_SERVERS, place)?;
    dialect::begin_writing(conn).map_err(|error| from_query(place, error))?;
    let (done, _) = finish(place, conn, |conn| {
        // Another program may have been first.
        let applied = applied(conn, place)?;
        match conn {
            Conn::Pg(conn) => Ok(run(conn, place, &pending(steps, &applied))?),
            Conn::Sqlite(_) => Ok(()),
        }
    });
    done
}

fn run<C>(conn: &mut C, place: &Place, pending: &[Step<C::Backend>]) -> Result<()>
where
    C: MigrationHarness<<C as Connection>::Backend> + Connection,
{
    // Makes the ledger, which the first migration writes to.
    conn.applied_migrations()
        .map_err(|error| failed(place, "schema", &error))?;
    for step in pending {
        let name = step.name().to_string();
        conn.run_migration(step.as_ref())
            .map_err(|error| failed(place, &name, &error))?;
        #[cfg(feature = "postgres")]
        if matches!(place, Place::Server(_)) {
            conn.batch_execute(dialect::postgres::BYTEWISE)
                .map_err(|error| failed(place, &name, &error))?;
        }
    }
    Ok(())
}

/// The versions that the database has, oldest first; none in a new one.
pub(crate) fn applied(conn: &mut Conn, place: &Place) -> Result<Vec<String>> {
    let tables = dialect::tables(conn).map_err(|error| from_query(place, error))?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    if !tables
        .iter()
        .any(|name| name == "__diesel_schema_migrations")
    {
        let own = match place {
            Place::File(_) => "a file",
            Place::Server(_) => "a database",
        };
        return Err(Error::precondition(format!(
            "{place}: the database belongs to another program; give the recorder {own} of its own"
        )));
    }
    __diesel_schema_migrations::table
        .order(__diesel_schema_migrations::version)
        .select(__diesel_schema_migrations::version)
        .load(conn)
        .map_err(|error| from_query(place, error))
}

type Step<DB> = Box<dyn Migration<DB>>;

/// The migrations built into the program for a database, oldest first.
fn steps<DB: diesel::backend::Backend>(
    source: EmbeddedMigrations,
    place: &Place,
) -> Result<Vec<Step<DB>>> {
    let mut steps: Vec<Step<DB>> = source
        .migrations()
        .map_err(|error| failed(place, "schema", &error))?;
    steps.sort_by_key(version_of);
    Ok(steps)
}

fn pending<DB: diesel::backend::Backend>(
    steps: Vec<Step<DB>>,
    applied: &[String],
) -> Vec<Step<DB>> {
    let missing = |step: &Step<DB>| !applied.contains(&version_of(step));
    steps.into_iter().filter(missing).collect()
}

/// The versions that the program knows, oldest first: the same for every database.
fn known(place: &Place) -> Result<Vec<String>> {
    let steps = steps::<diesel::sqlite::Sqlite>(FOR_FILES, place)?;
    Ok(steps.iter().map(version_of).collect())
}

fn version_of<DB: diesel::backend::Backend>(step: &Step<DB>) -> String {
    step.name().version().to_string()
}

fn refuse_newer(place: &Place, known: &[String], applied: &[String]) -> Result<()> {
    let unknown = applied.iter().rfind(|version| !known.contains(version));
    match unknown {
        None => Ok(()),
        Some(version) => {
            let way_back = match place {
                Place::File(_) => "restore the backup beside the file",
                Place::Server(_) => "restore a backup of the server",
            };
            Err(Error::precondition(format!(
                "{place}: a newer program wrote the database (schema {version}, this one knows up to {}); \
                 install the newer program or {way_back}",
                known.last().map_or("nothing", String::as_str)
            )))
        }
    }
}

/// Copies the database to `<file>.schema-<version>.backup`, all or nothing, in place of an older copy.
fn back_up(conn: &mut SqliteConnection, place: &Place, version: &str) -> Result<()> {
    let file = place.need_file("its backups are the server's")?;
    let target = beside(file, &format!(".schema-{version}.backup"));
    let unfinished = beside(file, &format!(".schema-{version}.unfinished"));
    if unfinished.exists() {
        std::fs::remove_file(&unfinished).map_err(|error| Error::io(&unfinished, error))?;
    }
    copy_into(conn, &unfinished)?;
    std::fs::rename(&unfinished, &target).map_err(|error| Error::io(&target, error))?;
    match target.parent() {
        Some(folder) => sync(folder),
        None => Ok(()),
    }
}

/// Copies a database as it is at this moment into a file that is made for it; the file is on disk when this returns.
pub(crate) fn copy_into(conn: &mut SqliteConnection, target: &Path) -> Result<()> {
    // VACUUM takes an empty file and keeps its mode: the copy holds secrets too.
    create_private(target)?;
    let name = target.to_str().ok_or_else(|| {
        Error::invalid(format!(
            "{}: the path of a database must be valid Unicode",
            target.display()
        ))
    })?;
    diesel::sql_query("VACUUM INTO ?")
        .bind::<Text, _>(name)
        .execute(conn)
        .map_err(|error| from_query(&Place::File(target.to_owned()), error))?;
    sync(target)
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

fn failed(place: &Place, step: &str, error: &dyn std::fmt::Display) -> Error {
    let cause = from_message(place, &error.to_string());
    if cause.kind() == ErrorKind::Internal {
        Error::internal(format!(
            "{place}: migration {step} failed and was undone ({error})"
        ))
    } else {
        cause
    }
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
#[cfg(test)]
#[cfg(feature = "postgres")]
#[path = "migrate_server_tests.rs"]
mod server_tests;
