//! Makes a backup, beside a running daemon or without one: all of it is there under its name, or nothing is.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Component, Path, PathBuf};

use nvr_base::{Error, Result};
use nvr_store::Place;

use super::{CONFIG, DATABASE, Database, FORMAT, Item, MANIFEST, Manifest, STORAGE, hash_of, tar};
use crate::config::Config;
use crate::storage::identity::sync_folder;
use crate::storage::{database, identity};

/// Files of the first storage that are part of a backup, where they are there.
const OF_STORAGE: [&str; 7] = [
    "keys/vault.key",
    "keys/tokens.key",
    "evidence/key.pem",
    "evidence/public.pem",
    "tls/self-signed.pem",
    "tls/self-signed.key",
    identity::FILE,
];
/// Longest file that is taken along beside the database: keys, passwords and descriptions are small.
const MAX_BESIDE: u64 = 4 << 20;
/// Room that has to be left on the disk.
const MARGIN: u64 = 64 << 20;

/// Backups below a storage that are kept; the oldest go first.
const KEPT: usize = 5;

/// A backup below a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Name of the file.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
}

/// Makes a backup at `target`: a tar file where the name ends so, else a folder. `without_database` is for a database on
/// a server, whose backup is that server's.
///
/// # Errors
/// `AlreadyExists` when the target is there, `FailedPrecondition` without a configuration file or a database to copy,
/// and what the disk says; then nothing is left behind.
pub(crate) fn make(
    config: &Config,
    target: &Path,
    without_database: bool,
    now_us: i64,
) -> Result<Manifest> {
    let place = database::place(&config.storage)?;
    if let (Place::Server(_), false) = (&place, without_database) {
        return Err(Error::precondition(format!(
            "storage.database: the index is on a PostgreSQL server, which this cannot copy: run `pg_dump \
             --format=custom --file=nvrd.dump {place}` for it, and give --without-database for the rest"
        )));
    }
    if target.exists() {
        return Err(Error::already_exists(format!(
            "{}: is there already: choose another name",
            target.display()
        )));
    }
    let parent = target.parent().filter(|it| !it.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
    has_room(parent, &place)?;
    let staging = Staging::begin(&beside(target, ".unfinished"))?;
    let manifest = fill(&staging.0, config, &place, now_us)?;
    match is_tar(target) {
        true => pack(&staging.0, &manifest, target)?,
        false => {
            std::fs::rename(&staging.0, target).map_err(|error| Error::io(target, error))?;
        }
    }
    sync_folder(parent)?;
    Ok(manifest)
}

/// Makes a backup as a file of its own below the first storage, and removes the oldest of those there.
///
/// # Errors
/// Those of [`make`].
pub(crate) fn make_in(config: &Config, folder: &Path, now_us: i64) -> Result<(Kept, Manifest)> {
    let at = jiff::Timestamp::from_microsecond(now_us).unwrap_or_default();
    let name = format!("nvrd-{}.tar", at.strftime("%Y%m%dT%H%M%SZ"));
    let target = folder.join(&name);
    let server = config.storage.database.is_some();
    let manifest = make(config, &target, server, now_us)?;
    let bytes = std::fs::metadata(&target).map_err(|error| Error::io(&target, error))?;
    let mut old = Kept::list(folder)?;
    old.sort_by(|a, b| b.name.cmp(&a.name));
    for kept in old.iter().skip(KEPT) {
        kept.remove(folder)?;
    }
    let bytes = bytes.len();
    Ok((Kept { name, bytes }, manifest))
}

impl Kept {
    /// Those of a folder, the newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn list(folder: &Path) -> Result<Vec<Self>> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(folder, error)),
        };
        let mut found: Vec<Self> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let bytes = entry.metadata().ok().filter(|it| it.is_file())?.len();
                Self::is_name(&name).then_some(Self { name, bytes })
            })
            .collect();
        found.sort_by(|a, b| b.name.cmp(&a.name));
        Ok(found)
    }

    /// Whether a text is the name of such a backup, so that no name leads out of the folder.
    pub(crate) fn is_name(name: &str) -> bool {
        let inner = name
            .strip_prefix("nvrd-")
            .and_then(|rest| rest.strip_suffix("Z.tar"));
        let shape = |(at, c): (usize, char)| {
            if at == 8 {
                c == 'T'
            } else {
                c.is_ascii_digit()
            }
        };
        inner.is_some_and(|inner| inner.len() == 15 && inner.chars().enumerate().all(shape))
    }

    /// Removes it.
    ///
    /// # Errors
    /// `NotFound` when it is gone already, or what the disk says.
    pub(crate) fn remove(&self, folder: &Path) -> Result<()> {
        let file = folder.join(&self.name);
        std::fs::remove_file(&file).map_err(|error| Error::io(&file, error))
    }
}

/// A folder that is removed unless it was moved away.
struct Staging(PathBuf);

impl Staging {
    fn begin(folder: &Path) -> Result<Self> {
        let fail = |error: std::io::Error| Error::io(folder, error);
        if folder.exists() {
            // What another attempt left, which was cut short.
            std::fs::remove_dir_all(folder).map_err(fail)?;
        }
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).create(folder).map_err(fail)?;
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.0.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.0)
        {
            tracing::warn!(%error, folder = %self.0.display(), "what is left of a backup stays");
        }
    }
}

pub(super) fn is_tar(target: &Path) -> bool {
    target
        .extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("tar"))
}

fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Twice the database: the copy, and the copy in the tar file.
fn has_room(folder: &Path, place: &Place) -> Result<()> {
    let database = place.file().and_then(|file| std::fs::metadata(file).ok());
    let wanted = MARGIN + 2 * database.map_or(0, |found| found.len());
    let Ok(space) = rustix::fs::statvfs(folder) else {
        return Ok(());
    };
    let free = space.f_bavail * space.f_frsize;
    match free < wanted {
        true => Err(Error::exhausted(format!(
            "{}: {free} bytes are free, and a backup needs {wanted}: make room, or choose another disk",
            folder.display()
        ))),
        false => Ok(()),
    }
}

/// Puts everything into a folder.
fn fill(folder: &Path, config: &Config, place: &Place, now_us: i64) -> Result<Manifest> {
    let mut items = Vec::new();
    let database = match place {
        Place::File(_) => {
            let copy = folder.join(DATABASE);
            let schema = nvr_store::copy_database(place, &copy)?;
            items.push(item(folder, DATABASE)?);
            Database::Sqlite { schema }
        }
        Place::Server(_) => Database::Postgres {
            address: place.to_string(),
        },
    };
    let file = config.origin.path.as_deref();
    let file = file.ok_or_else(|| Error::precondition("there is no configuration file"))?;
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        Error::invalid(format!(
            "{}: its name must be valid Unicode",
            file.display()
        ))
    })?;
    take(folder, file, &format!("{CONFIG}/{name}"), &mut items)?;
    let mut left_out = Vec::new();
    let home = std::path::absolute(&config.origin.folder);
    let home = home.map_err(|error| Error::io(&config.origin.folder, error))?;
    for file in named(config)? {
        match inside(&home, &file) {
            // Two cameras may share a file.
            Some(name) if items.iter().any(|item| item.name == name) => {}
            Some(name) if super::is_inside(&name) && file.is_file() => {
                take(folder, &file, &name, &mut items)?;
            }
            _ => left_out.push(format!(
                "{}: lies outside of the folder of the configuration, or is not there: keep a copy of it yourself",
                file.display()
            )),
        }
    }
    for name in OF_STORAGE {
        let file = config.storage.path.join(name);
        if file.exists() {
            take(folder, &file, &format!("{STORAGE}/{name}"), &mut items)?;
        }
    }
    let made = jiff::Timestamp::from_microsecond(now_us).unwrap_or_default();
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_unix_us: now_us,
        made: made.to_string(),
        database,
        config: name.to_owned(),
        files: items,
        left_out,
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Error::internal(format!("no JSON: {error}")))?;
    write_new(&folder.join(MANIFEST), &text, 0o600)?;
    sync_folder(folder)?;
    Ok(manifest)
}

/// The files that a configuration names and that are part of it; models are not, they can be had again.
fn named(config: &Config) -> Result<Vec<PathBuf>> {
    let cloud = config
        .personality
        .ai_adapter
        .as_ref()
        .and_then(|it| it.cloud.as_ref());
    let mut files: Vec<PathBuf> = [
        config.storage.database_password_file.as_ref(),
        config.tls.certificate.as_ref(),
        config.tls.key.as_ref(),
        config.outbound.ca_file.as_ref(),
        cloud.and_then(|cloud| cloud.token_file.as_ref()),
    ]
    .into_iter()
    .flatten()
    .cloned()
    .collect();
    let passwords = config.cameras.iter();
    files.extend(passwords.filter_map(|camera| camera.password_file.clone()));
    if let Some(folder) = &config.pipelines.path {
        let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
        let paths = entries.flatten().map(|entry| entry.path());
        files.extend(paths.filter(|path| path.extension().is_some_and(|it| it == "toml")));
    }
    files.sort_unstable();
    Ok(files)
}

/// The name inside of a file below the folder of the configuration.
fn inside(home: &Path, file: &Path) -> Option<String> {
    let file = std::path::absolute(file).ok()?;
    let rest = file.strip_prefix(home).ok()?;
    let plain = rest
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| Some(format!("{CONFIG}/{}", rest.to_str()?)))?
}

/// Copies a file and notes it.
fn take(folder: &Path, file: &Path, name: &str, items: &mut Vec<Item>) -> Result<()> {
    let fail = |error: std::io::Error| Error::io(file, error);
    let found = std::fs::metadata(file).map_err(fail)?;
    if found.len() > MAX_BESIDE {
        return Err(Error::precondition(format!(
            "{}: {} bytes are too many for a file of the configuration",
            file.display(),
            found.len()
        )));
    }
    let content = std::fs::read(file).map_err(fail)?;
    let target = folder.join(name);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
    }
    write_new(&target, &content, found.mode() & 0o777)?;
    items.push(item(folder, name)?);
    Ok(())
}

fn item(folder: &Path, name: &str) -> Result<Item> {
    let file = folder.join(name);
    let (blake3, bytes) = hash_of(&file)?;
    let found = std::fs::metadata(&file).map_err(|error| Error::io(&file, error))?;
    Ok(Item {
        name: name.to_owned(),
        bytes,
        blake3,
        mode: found.mode() & 0o777,
    })
}

/// Writes a file that is not there yet; it is on disk when this returns.
pub(super) fn write_new(file: &Path, content: &[u8], mode: u32) -> Result<()> {
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut out = options.open(file)?;
        out.write_all(content)?;
        // Whatever the mask of this process is.
        out.set_permissions(std::fs::Permissions::from_mode(mode))?;
        out.sync_all()
    };
    write().map_err(|error| Error::io(file, error))
}

/// Makes one file of a folder.
fn pack(folder: &Path, manifest: &Manifest, target: &Path) -> Result<()> {
    let unfinished = beside(target, ".packing");
    let fail = |error: std::io::Error| Error::io(&unfinished, error);
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut out = BufWriter::new(options.open(&unfinished)?);
        let made = u64::try_from(manifest.made_unix_us / 1_000_000).unwrap_or(0);
        let names = manifest
            .files
            .iter()
            .map(|item| (item.name.as_str(), item.mode));
        for (name, mode) in std::iter::once((MANIFEST, 0o600)).chain(names) {
            let mut file = File::open(folder.join(name))?;
            let bytes = file.metadata()?.len();
            tar::write(&mut out, name, mode, made, bytes, &mut file)?;
        }
        tar::finish(&mut out)?;
        out.into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()
    };
    let written = write().map_err(fail);
    if let Err(error) = written {
        drop(std::fs::remove_file(&unfinished));
        return Err(error);
    }
    std::fs::rename(&unfinished, target).map_err(|error| Error::io(target, error))
}
