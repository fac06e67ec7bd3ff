//! A copy of a database in a file, made while a daemon writes to it.

use std::path::Path;

use nvr_base::{Error, Result};

use crate::backend::Conn;
use crate::connect::{establish, set};
use crate::migrate;
use crate::place::Place;

/// Copies the database of a file as it is at one moment, and answers the version of its schema; nobody who writes to
/// it waits for that.
///
/// The copy has no logs beside it, is readable by its owner alone, and is on disk when this returns.
///
/// # Errors
/// `FailedPrecondition` for a database on a server, whose copies are the server's business, and for one of another
/// program or a newer one; `AlreadyExists` if the target is there; those of the disk, and then there is no target.
pub fn copy_database(place: &Place, target: &Path) -> Result<String> {
    let file = place.need_file("copy it with pg_dump")?;
    std::fs::metadata(file).map_err(|error| Error::io(file, error))?;
    if target.exists() {
        return Err(Error::already_exists(format!(
            "{}: is there already",
            target.display()
        )));
    }
    let mut conn = establish(place)?;
    migrate::check(&mut conn, place)?;
    let version = migrate::applied(&mut conn, place)?.pop();
    let version = version.ok_or_else(|| {
        Error::precondition(format!("{place}: nothing is in it: the daemon never ran"))
    })?;
    let copied = match &mut conn {
        Conn::Sqlite(conn) => set(conn, place, "PRAGMA busy_timeout = 5000;")
            .and_then(|()| migrate::copy_into(conn, target)),
        #[cfg(feature = "postgres")]
        Conn::Pg(_) => Ok(()),
    };
    if copied.is_err() {
        // Half a copy is none.
        drop(std::fs::remove_file(target));
    }
    copied.map(|()| version)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nvr_base::{ErrorKind, SimulatedClock};

    use super::*;
    use crate::conn::Store;
    use crate::place::Server;

    #[test]
    fn a_copy_is_that_of_one_moment_while_somebody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nvrd.db");
        let clock = Arc::new(SimulatedClock::at(5));
        let store = Store::open(&file, clock.clone()).unwrap();
        let value = |text: &str| [("language".to_owned(), Some(text.to_owned()))].into();
        store.set_settings(&value("\"en\"")).unwrap();
        let copy = folder.path().join("copy.db");
        let version = copy_database(store.place(), &copy).unwrap();
        assert_eq!(version, migrate::newest_schema().unwrap());
        store.set_settings(&value("\"de\"")).unwrap();
        let copied = Store::open_read_only(&copy, clock).unwrap();
        assert_eq!(copied.settings().unwrap()["language"], "\"en\"");
        assert_eq!(copied.health().unwrap().problems, [""; 0]);
        #[cfg(unix)]
        {
            let mode = std::fs::metadata(&copy).unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::mode(&mode) & 0o777, 0o600);
        }
        let again = copy_database(store.place(), &copy).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_cannot_be_copied_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.db");
        let check = |place: &Place, kind: ErrorKind| {
            let error = copy_database(place, &copy).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!copy.exists(), "{error}");
        };
        let server = Server::new("postgres://nvrd@localhost/nvrd", None).unwrap();
        check(&Place::Server(server), ErrorKind::FailedPrecondition);
        check(
            &Place::File(folder.path().join("none.db")),
            ErrorKind::NotFound,
        );
        let foreign = folder.path().join("foreign.db");
        std::fs::write(
            &foreign,
            "no database, but long enough to be looked at as one, surely",
        )
        .unwrap();
        check(&Place::File(foreign), ErrorKind::DataLoss);
    }
}
