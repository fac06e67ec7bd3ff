//! A backup that is read: a folder or a tar file, whose every file is compared with the list of contents.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use nvr_base::{Error, Result};

use super::make::is_tar;
use super::{CONFIG, Item, MANIFEST, Manifest, tar};

/// Longest list of contents.
const MAX_MANIFEST: u64 = 1 << 20;
/// Longest configuration file.
const MAX_CONFIG: u64 = 4 << 20;

/// A backup, whole when it was opened.
#[derive(Debug)]
pub(crate) struct Package {
    path: PathBuf,
    manifest: Manifest,
}

/// Where the content of a file goes.
type Sink<'a> = &'a mut dyn FnMut(&Item) -> Result<Box<dyn Write>>;

impl Package {
    /// Opens a backup and reads all of it.
    ///
    /// # Errors
    /// `DataLoss` that names the file which is damaged, missing or too many; `FailedPrecondition` for one of a newer
    /// program.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut manifest = None;
        read(
            path,
            &mut |found| manifest = Some(found.clone()),
            &mut |_| Ok(Box::new(std::io::sink())),
        )?;
        let manifest = manifest.ok_or_else(|| bad(path, "it is empty"))?;
        Ok(Self {
            path: path.to_owned(),
            manifest,
        })
    }

    /// What is in it.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The text of the configuration file.
    ///
    /// # Errors
    /// When it is too long or no text, or the backup changed since it was opened.
    pub(crate) fn config(&self) -> Result<String> {
        let name = format!("{CONFIG}/{}", self.manifest.config);
        let item = self.manifest.files.iter().find(|item| item.name == name);
        if item.is_none_or(|item| item.bytes > MAX_CONFIG) {
            return Err(bad(&self.path, "its configuration file is too long"));
        }
        let text = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        self.unpack(&mut |item| {
            let text = (item.name == name).then(|| std::rc::Rc::clone(&text));
            Ok(Box::new(Gather(text)))
        })?;
        let text = text.take();
        String::from_utf8(text).map_err(|_| bad(&self.path, "its configuration file is no text"))
    }

    /// Hands every file to whoever `sink` says, comparing it once more.
    ///
    /// # Errors
    /// When the backup changed since it was opened, and those of the sink.
    pub(crate) fn unpack(&self, sink: Sink<'_>) -> Result<()> {
        let mut same = false;
        read(
            &self.path,
            &mut |found| same = *found == self.manifest,
            sink,
        )?;
        match same {
            true => Ok(()),
            false => Err(bad(&self.path, "it changed while it was read")),
        }
    }
}

/// Keeps what it is given, or nothing.
struct Gather(Option<std::rc::Rc<std::cell::RefCell<Vec<u8>>>>);

impl Write for Gather {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(text) = &self.0 {
            text.borrow_mut().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn bad(path: &Path, what: &str) -> Error {
    Error::data_loss(format!(
        "{}: this backup cannot be used: {what}",
        path.display()
    ))
}

/// Reads a backup from its list of contents to its end.
fn read(path: &Path, listed: &mut dyn FnMut(&Manifest), sink: Sink<'_>) -> Result<()> {
    let found = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    match found.is_dir() {
        true => folder(path, listed, sink),
        false if is_tar(path) => archive(path, listed, sink),
        false => Err(bad(
            path,
            "it is neither a folder nor a file whose name ends with .tar",
        )),
    }
}

fn folder(path: &Path, listed: &mut dyn FnMut(&Manifest), sink: Sink<'_>) -> Result<()> {
    let manifest = Manifest::read(&bounded(&mut plain(path, MANIFEST)?, path)?)?;
    listed(&manifest);
    for item in &manifest.files {
        let mut file = plain(path, &item.name)?;
        let length = file
            .metadata()
            .map_err(|error| Error::io(path, error))?
            .len();
        if length != item.bytes {
            return Err(bad(
                path,
                &format!("{}: its length is another one", item.name),
            ));
        }
        copy(path, item, &mut file, sink)?;
    }
    Ok(())
}

/// A file of the folder that is no link.
fn plain(folder: &Path, name: &str) -> Result<File> {
    let file = folder.join(name);
    let found = std::fs::symlink_metadata(&file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => bad(folder, &format!("{name}: it is missing")),
        _ => Error::io(&file, error),
    })?;
    if !found.is_file() {
        return Err(bad(folder, &format!("{name}: it is no plain file")));
    }
    File::open(&file).map_err(|error| Error::io(&file, error))
}

fn bounded(from: &mut dyn Read, path: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = from.take(MAX_MANIFEST + 1).read_to_end(&mut text);
    read.map_err(|error| Error::io(path, error))?;
    match text.len() as u64 > MAX_MANIFEST {
        true => Err(bad(path, &format!("{MANIFEST}: it is too long"))),
        false => Ok(text),
    }
}

fn archive(path: &Path, listed: &mut dyn FnMut(&Manifest), sink: Sink<'_>) -> Result<()> {
    let damaged = |error: std::io::Error| match error.kind() {
        ErrorKind::InvalidData => bad(path, &error.to_string()),
        ErrorKind::UnexpectedEof => bad(path, "its end is missing"),
        _ => Error::io(path, error),
    };
    let mut from = BufReader::new(File::open(path).map_err(|error| Error::io(path, error))?);
    let first = tar::next(&mut from).map_err(damaged)?;
    let first = first.filter(|entry| entry.name == MANIFEST && entry.bytes <= MAX_MANIFEST);
    let first = first.ok_or_else(|| bad(path, "it does not begin with its list of contents"))?;
    let mut text = Vec::new();
    (&mut from)
        .take(first.bytes)
        .read_to_end(&mut text)
        .map_err(damaged)?;
    tar::skip(&mut from, first.bytes).map_err(damaged)?;
    let manifest = Manifest::read(&text)?;
    listed(&manifest);
    let mut left: BTreeMap<&str, &Item> = manifest
        .files
        .iter()
        .map(|item| (item.name.as_str(), item))
        .collect();
    while let Some(entry) = tar::next(&mut from).map_err(damaged)? {
        let item = left.remove(entry.name.as_str());
        let item = item
            .filter(|item| item.bytes == entry.bytes)
            .ok_or_else(|| {
                bad(
                    path,
                    &format!("{}: it is not as the list of contents says", entry.name),
                )
            })?;
        copy(path, item, &mut (&mut from).take(entry.bytes), sink)?;
        tar::skip(&mut from, entry.bytes).map_err(damaged)?;
    }
    match left.keys().next() {
        None => Ok(()),
        Some(name) => Err(bad(path, &format!("{name}: it is missing"))),
    }
}

/// Copies a file to where it goes, and sees that it is the one of the list.
fn copy(path: &Path, item: &Item, from: &mut dyn Read, sink: Sink<'_>) -> Result<()> {
    let mut out = sink(item)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        let read = from
            .read(&mut piece)
            .map_err(|error| Error::io(path, error))?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        let written = out.write_all(&piece[..read]);
        written.map_err(|error| Error::io(Path::new(&item.name), error))?;
    }
    out.flush()
        .map_err(|error| Error::io(Path::new(&item.name), error))?;
    let same = hasher.count() == item.bytes && hasher.finalize().to_hex().as_str() == item.blake3;
    match same {
        true => Ok(()),
        false => Err(bad(path, &format!("{}: its content is damaged", item.name))),
    }
}
