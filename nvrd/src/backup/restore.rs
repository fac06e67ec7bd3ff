//! Puts a backup back: everything is checked first, then all of it takes its place, or nothing does.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nvr_base::{Error, Result};

use super::{CONFIG, DATABASE, Database, Item, Manifest, Package, STORAGE, hash_of};
use crate::config::Config;
use crate::storage::Storage;
use crate::storage::identity::sync_folder;

/// Files in the way that an error names.
const MOST_NAMED: usize = 8;

/// What is wanted of a restoration.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// Where the configuration file goes; its folder is the one that its other files go to.
    pub(crate) config: &'a Path,
    /// Whether the configuration there stays, and only storage and database are put back.
    pub(crate) keep_config: bool,
    /// Whether what is in the way is moved aside.
    pub(crate) force: bool,
    /// Now, for the names of what is moved aside.
    pub(crate) now_us: i64,
}

/// What a restoration did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Files that are those of the backup now.
    pub(crate) written: Vec<PathBuf>,
    /// Files that were so before.
    pub(crate) unchanged: Vec<PathBuf>,
    /// Where files that were in the way lie now.
    pub(crate) aside: Vec<PathBuf>,
}

/// A file that takes its place.
struct Step {
    name: String,
    mode: u32,
    fresh: PathBuf,
    target: PathBuf,
    /// What is in the way: the file, or for a database its logs too.
    old: Vec<PathBuf>,
}

/// Puts a backup back.
///
/// # Errors
/// `AlreadyExists` that names what is in the way, unless it shall be moved aside; `FailedPrecondition` while a daemon
/// runs there, or for a database of a newer program; those of the disk. Then everything is as it was.
pub(crate) fn restore(package: &Package, wanted: &Wanted<'_>) -> Result<Restored> {
    let manifest = package.manifest();
    let config = configuration(package, wanted)?;
    fits(manifest, &config)?;
    // Held to the end: no daemon begins meanwhile.
    let _storage = Storage::open_all(&config.storage)?;
    let mut restored = Restored::default();
    let mut steps = Vec::new();
    for item in &manifest.files {
        let Some(target) = place_of(item, manifest, &config, wanted)? else {
            continue;
        };
        let found = old_of(item, &target);
        if found == [target.clone()] && is_same(&target, item) {
            restored.unchanged.push(target);
            continue;
        }
        steps.push(Step {
            name: item.name.clone(),
            mode: item.mode,
            fresh: with_suffix(&target, ".restoring"),
            target,
            old: found,
        });
    }
    // The database last: without its keys it is of no use.
    steps.sort_by_key(|step| step.name == DATABASE);
    let in_the_way: Vec<String> = steps
        .iter()
        .flat_map(|step| &step.old)
        .map(|file| file.display().to_string())
        .collect();
    if !wanted.force && !in_the_way.is_empty() {
        let more = in_the_way.len().saturating_sub(MOST_NAMED);
        let named = in_the_way[..in_the_way.len().min(MOST_NAMED)].join(", ");
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        return Err(Error::already_exists(format!(
            "other files are there already: {named}{more}: give --force to have them moved aside"
        )));
    }
    let done = bring(package, &steps).and_then(|()| swap(&steps, wanted.now_us));
    for step in &steps {
        // Gone already where all went well.
        drop(std::fs::remove_file(&step.fresh));
    }
    restored.aside = done?;
    restored.written = steps.into_iter().map(|step| step.target).collect();
    Ok(restored)
}

/// The configuration that will hold.
fn configuration(package: &Package, wanted: &Wanted<'_>) -> Result<Config> {
    if wanted.keep_config {
        return Config::load(wanted.config);
    }
    let text = package.config()?;
    Config::parse(&text, &home_of(wanted.config)?).map_err(|error| {
        Error::precondition(format!(
            "the configuration in the backup is none for this program: {error}; give --keep-config with one that is"
        ))
    })
}

fn home_of(config: &Path) -> Result<PathBuf> {
    let config = std::path::absolute(config).map_err(|error| Error::io(config, error))?;
    let home = config.parent();
    home.map(Path::to_owned)
        .ok_or_else(|| Error::invalid(format!("{}: is no file", config.display())))
}

fn fits(manifest: &Manifest, config: &Config) -> Result<()> {
    let Database::Sqlite { schema } = &manifest.database else {
        return Ok(());
    };
    if config.storage.database.is_some() {
        return Err(Error::precondition(
            "storage.database: the configuration has its index on a server, and the backup has it in a file",
        ));
    }
    let newest = nvr_store::newest_schema()?;
    match *schema > newest {
        true => Err(Error::precondition(format!(
            "the backup has a database of a newer program (schema {schema}, this one knows up to {newest}): install \
             that one"
        ))),
        false => Ok(()),
    }
}

/// Where a file goes; `None` for one that is not wanted.
fn place_of(
    item: &Item,
    manifest: &Manifest,
    config: &Config,
    wanted: &Wanted<'_>,
) -> Result<Option<PathBuf>> {
    let root = std::fs::canonicalize(&config.storage.path);
    let root = root.map_err(|error| Error::io(&config.storage.path, error))?;
    if item.name == DATABASE {
        return Ok(Some(root.join(DATABASE)));
    }
    let below = |folder: &str| item.name.strip_prefix(folder)?.strip_prefix('/');
    if let Some(rest) = below(STORAGE) {
        return Ok(Some(root.join(rest)));
    }
    match below(CONFIG) {
        Some(_) if wanted.keep_config => Ok(None),
        Some(rest) if rest == manifest.config => Ok(Some(wanted.config.to_owned())),
        Some(rest) => Ok(Some(home_of(wanted.config)?.join(rest))),
        None => Err(Error::data_loss(format!(
            "{:?}: nobody knows where it goes",
            item.name
        ))),
    }
}

/// What is in the way of a file.
fn old_of(item: &Item, target: &Path) -> Vec<PathBuf> {
    let logs: &[&str] = if item.name == DATABASE {
        &["", "-wal", "-shm"]
    } else {
        &[""]
    };
    let all = logs.iter().map(|suffix| with_suffix(target, suffix));
    all.filter(|file| file.symlink_metadata().is_ok()).collect()
}

fn is_same(target: &Path, item: &Item) -> bool {
    let same = |(hash, bytes): (String, u64)| hash == item.blake3 && bytes == item.bytes;
    hash_of(target).is_ok_and(same)
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes every file beside its place.
fn bring(package: &Package, steps: &[Step]) -> Result<()> {
    for step in steps {
        if let Some(folder) = step.target.parent() {
            let mut builder = std::fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(folder);
            made.map_err(|error| Error::io(folder, error))?;
        }
    }
    package.unpack(&mut |item| {
        let Some(step) = steps.iter().find(|step| step.name == item.name) else {
            return Ok(Box::new(std::io::sink()) as Box<dyn Write>);
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&step.fresh);
        let file = file.map_err(|error| Error::io(&step.fresh, error))?;
        Ok(Box::new(BufWriter::new(file)))
    })?;
    for step in steps {
        let mode = std::fs::Permissions::from_mode(step.mode & 0o777);
        let synced = File::open(&step.fresh).and_then(|file| {
            file.set_permissions(mode)?;
            file.sync_all()
        });
        synced.map_err(|error| Error::io(&step.fresh, error))?;
    }
    Ok(())
}

/// Gives every file its place; answers where lies what was there. What fails is undone.
fn swap(steps: &[Step], now_us: i64) -> Result<Vec<PathBuf>> {
    let at = jiff::Timestamp::from_microsecond(now_us).unwrap_or_default();
    let suffix = format!(".before-restore-{}", at.strftime("%Y%m%dT%H%M%SZ"));
    let (mut moved, mut placed) = (Vec::new(), Vec::new());
    let mut all = || -> Result<()> {
        for step in steps {
            for old in &step.old {
                let mut aside = with_suffix(old, &suffix);
                let mut nth = 1_u32;
                while aside.symlink_metadata().is_ok() {
                    nth += 1;
                    aside = with_suffix(old, &format!("{suffix}-{nth}"));
                }
                match std::fs::rename(old, &aside) {
                    Ok(()) => moved.push((old.clone(), aside)),
                    // The log of a database goes with the last one who looked into it.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(Error::io(old, error)),
                }
            }
            let target = &step.target;
            std::fs::rename(&step.fresh, target).map_err(|error| Error::io(target, error))?;
            placed.push(target.clone());
        }
        for step in steps {
            step.target.parent().map_or(Ok(()), sync_folder)?;
        }
        Ok(())
    };
    if let Err(error) = all() {
        for target in placed {
            undo(std::fs::remove_file(&target), &target);
        }
        for (old, aside) in moved.into_iter().rev() {
            undo(std::fs::rename(&aside, &old), &old);
        }
        return Err(error);
    }
    Ok(moved.into_iter().map(|(_, aside)| aside).collect())
}

fn undo(done: std::io::Result<()>, file: &Path) {
    if let Err(error) = done {
        tracing::error!(%error, file = %file.display(), "it could not be put back as it was");
    }
}
