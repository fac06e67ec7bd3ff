//! Where the index is, as the configuration says: a file in the first folder, or a database on a server.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nvr_base::{Clock, Error, ErrorKind, Result};
use nvr_store::{Place, Server, Store};

use crate::config::StorageConfig;

/// Longer passwords are a mistake, such as the name of another file.
const MAX_PASSWORD: u64 = 4096;
/// How long the daemon waits at its start for a server that starts too.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it asks meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the index is.
///
/// # Errors
/// When the password for the server cannot be read, or others may read it too.
pub fn place(config: &StorageConfig) -> Result<Place> {
    let Some(url) = &config.database else {
        let root = std::fs::canonicalize(&config.path).unwrap_or_else(|_| config.path.clone());
        return Ok(Place::File(root.join("nvrd.db")));
    };
    let password = config.database_password_file.as_deref().map(password);
    let server = Server::new(url, password.transpose()?.as_deref())
        .map_err(|error| Error::invalid(format!("storage.database: {error}")))?;
    Ok(Place::Server(server))
}

fn password(path: &Path) -> Result<String> {
    let key = "storage.database_password_file";
    let fail = |error: std::io::Error| {
        let error = Error::io(path, error);
        Error::precondition(format!("{key}: {error}"))
    };
    let file = std::fs::File::open(path).map_err(fail)?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().map_err(fail)?);
        if mode & 0o007 != 0 {
            return Err(Error::precondition(format!(
                "{key}: everybody may read {}: use `chmod 600`",
                path.display()
            )));
        }
    }
    let mut text = String::new();
    file.take(MAX_PASSWORD + 1)
        .read_to_string(&mut text)
        .map_err(fail)?;
    if text.len() as u64 > MAX_PASSWORD {
        return Err(Error::precondition(format!(
            "{key}: {} holds more than {MAX_PASSWORD} bytes",
            path.display()
        )));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// Opens the index for the daemon, the one that the index has. Waits some time for a server that is not there yet.
///
/// # Errors
/// Those of [`Store::open_at`] and [`Store::claim`].
pub fn open(config: &StorageConfig, clock: &Arc<dyn Clock>) -> Result<Store> {
    let place = place(config)?;
    let started = clock.monotonic();
    loop {
        let opened = Store::open_at(&place, Arc::clone(clock)).and_then(|store| {
            store.claim()?;
            Ok(store)
        });
        let waited = clock.monotonic().saturating_sub(started);
        match opened {
            Err(error)
                if error.kind() == ErrorKind::Unavailable
                    && place.file().is_none()
                    && waited < PATIENCE =>
            {
                tracing::warn!(%error, "the database is not there yet, trying again");
                std::thread::sleep(PAUSE);
            }
            opened => return opened,
        }
    }
}
