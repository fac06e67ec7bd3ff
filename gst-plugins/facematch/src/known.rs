//! The faces that one model knows in this process, shared by every element that names the same gallery.
//!
//! A gallery is a file, which may change at any time, or `shared:NAME`, which the program around the elements
//! fills. Queries and changes exclude each other for the milliseconds that either takes.

use std::path::{Path, PathBuf};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};
use std::time::SystemTime;

use crate::file::{GalleryError, GalleryFile};
use crate::gallery::Gallery;
use crate::strangers::Strangers;

/// What names of galleries begin with that the program fills.
pub const SHARED: &str = "shared:";

/// Where people come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: everybody is a stranger.
    Nothing,
    /// A file.
    File(PathBuf),
    /// The program.
    Shared(String),
}

impl Source {
    /// The source that a property names.
    pub fn of(text: &str) -> Self {
        match text.strip_prefix(SHARED) {
            Some(name) => Self::Shared(name.to_owned()),
            None if text.is_empty() => Self::Nothing,
            None => Self::File(PathBuf::from(text)),
        }
    }
}

/// What was read from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// People in it.
    pub people: usize,
    /// Their faces for this model.
    pub faces: usize,
    /// Faces of other models, or of no use.
    pub foreign: usize,
}

/// Which file it is: another one has another stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode,
        })
    }
}

/// What is known of the file.
#[derive(Debug, Default)]
struct Watch {
    stamp: Option<Stamp>,
    loading: bool,
    news: Option<Result<Loaded, GalleryError>>,
}

/// People and strangers for one model.
#[derive(Debug)]
pub struct Known {
    source: Source,
    model: String,
    dims: usize,
    people: RwLock<Gallery>,
    strangers: Mutex<Strangers>,
    watch: Mutex<Watch>,
}

/// Those in use; entries die with their last user.
static OPEN: Mutex<Vec<Weak<Known>>> = Mutex::new(Vec::new());

/// A panic elsewhere does not make what these locks guard wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// The faces of a source for the model with this hash, whose vectors have `dims` numbers; a file is not read
    /// before [`Known::load`].
    pub fn open(source: Source, model: &str, dims: usize) -> Arc<Self> {
        let make = |source| {
            Arc::new(Self {
                source,
                model: model.to_owned(),
                dims,
                people: RwLock::new(Gallery::new(dims)),
                strangers: Mutex::new(Strangers::new(dims)),
                watch: Mutex::default(),
            })
        };
        // Elements without a gallery share nothing: what is a stranger to one is none of the other's business.
        if source == Source::Nothing {
            return make(source);
        }
        let mut open = lock(&OPEN);
        open.retain(|weak| weak.strong_count() > 0);
        let same = open
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| known.source == source && known.model == model && known.dims == dims);
        same.unwrap_or_else(|| {
            let known = make(source);
            open.push(Arc::downgrade(&known));
            known
        })
    }

    /// Hash of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Numbers of a vector.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The people, to ask.
    pub fn people(&self) -> RwLockReadGuard<'_, Gallery> {
        self.people.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The people, to change.
    pub fn people_mut(&self) -> RwLockWriteGuard<'_, Gallery> {
        self.people.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The strangers.
    pub fn strangers(&self) -> MutexGuard<'_, Strangers> {
        lock(&self.strangers)
    }

    /// Reads the file now. `Ok(None)` when there is none to read, or it has been read already.
    ///
    /// # Errors
    /// When it is there and no gallery, or is not there and `must_exist`.
    pub fn load(&self, must_exist: bool) -> Result<Option<Loaded>, GalleryError> {
        let Source::File(path) = &self.source else {
            return Ok(None);
        };
        let stamp = Stamp::of(path);
        if stamp.is_none() && !must_exist || stamp.is_some() && lock(&self.watch).stamp == stamp {
            return Ok(None);
        }
        let loaded = self.read(path)?;
        lock(&self.watch).stamp = stamp;
        Ok(Some(loaded))
    }

    fn read(&self, path: &Path) -> Result<Loaded, GalleryError> {
        let file = GalleryFile::read(path)?;
        let (gallery, foreign) = file.for_model(&self.model, self.dims);
        let loaded = Loaded {
            people: gallery.people(),
            faces: gallery.faces(),
            foreign,
        };
        *self.people_mut() = gallery;
        Ok(loaded)
    }

    /// Looks whether the file is another one by now and has it read in the background, once; what came of the
    /// last reading, once. A file that is no gallery, or is gone, changes nothing.
    pub fn refresh(self: &Arc<Self>) -> Option<Result<Loaded, GalleryError>> {
        let Source::File(path) = &self.source else {
            return None;
        };
        let mut watch = lock(&self.watch);
        if let Some(news) = watch.news.take() {
            return Some(news);
        }
        if watch.loading {
            return None;
        }
        let stamp = Stamp::of(path);
        if stamp.is_none() || watch.stamp == stamp {
            return None;
        }
        watch.stamp = stamp;
        watch.loading = true;
        drop(watch);
        let (this, path) = (Arc::clone(self), path.clone());
        let reading = std::thread::Builder::new()
            .name("facematch-file".to_owned())
            .spawn(move || {
                let news = this.read(&path);
                let mut watch = lock(&this.watch);
                watch.loading = false;
                watch.news = Some(news);
            });
        if reading.is_err() {
            // Tried again at the next look.
            let mut watch = lock(&self.watch);
            watch.loading = false;
            watch.stamp = None;
        }
        None
    }

    /// Adds a face to a person of the file, in the file and here.
    ///
    /// # Errors
    /// When the file is no gallery or cannot be written; the source must be a file.
    pub fn enrol(&self, person: &str, face: &[f32]) -> Result<(), GalleryError> {
        let Source::File(path) = &self.source else {
            return Err(GalleryError::Wrong {
                path: PathBuf::new(),
                message: "enrolling needs a gallery that is a file".to_owned(),
            });
        };
        // Held throughout, so that two who enrol at a time do not lose one of the two.
        let mut people = self.people_mut();
        let mut file = match path.exists() {
            true => GalleryFile::read(path)?,
            false => GalleryFile::default(),
        };
        file.enrol(person, &self.model, face);
        file.write(path)?;
        *people = file.for_model(&self.model, self.dims).0;
        drop(people);
        lock(&self.watch).stamp = Stamp::of(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::{Rule, Verdict};
    use crate::search::normalised;

    const RULE: Rule = Rule {
        threshold: 0.5,
        margin: 0.05,
    };

    fn file(people: &[&str]) -> GalleryFile {
        let mut file = GalleryFile::default();
        for (i, id) in people.iter().enumerate() {
            let mut face = [0.0; 4];
            face[i] = 1.0;
            file.enrol(id, "m", &face);
        }
        file
    }

    #[test]
    fn the_same_gallery_is_shared_and_others_are_not() {
        let named = |name: &str, model| Known::open(Source::of(name), model, 4);
        let one = named("shared:test-a", "m");
        assert!(Arc::ptr_eq(&one, &named("shared:test-a", "m")));
        assert!(!Arc::ptr_eq(&one, &named("shared:test-a", "n")));
        assert!(!Arc::ptr_eq(&one, &named("shared:test-b", "m")));
        assert!(!Arc::ptr_eq(&named("", "m"), &named("", "m")));
        one.strangers().add("stranger-x", &[1.0, 0.0, 0.0, 0.0]);
        drop(one);
        assert!(named("shared:test-a", "m").strangers().is_empty());
    }

    #[test]
    fn a_changed_file_is_read_and_a_broken_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.toml");
        let known = Known::open(Source::File(path.clone()), "m", 4);
        assert!(known.load(true).is_err());
        assert_eq!(known.load(false).unwrap(), None);
        file(&["ann"]).write(&path).unwrap();
        let loaded = known.load(true).unwrap().unwrap();
        assert_eq!((loaded.people, loaded.faces, loaded.foreign), (1, 1, 0));
        assert!(known.refresh().is_none());

        let wait = || loop {
            if let Some(news) = known.refresh() {
                return news;
            }
            std::thread::yield_now();
        };
        file(&["bob", "cat"]).write(&path).unwrap();
        assert_eq!(wait().unwrap().people, 2);
        let verdict = known.people().verdict(&[1.0, 0.0, 0.0, 0.0], RULE);
        assert!(matches!(verdict, Verdict::Match { person, .. } if person == "bob"));

        std::fs::write(&path, "person = 3").unwrap();
        assert!(wait().is_err());
        assert_eq!(known.people().people(), 2);
    }

    #[test]
    fn who_is_enrolled_is_known_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.toml");
        let known = Known::open(Source::File(path.clone()), "m", 4);
        let face = normalised(&[0.0, 1.0, 1.0, 0.0]).unwrap();
        known.enrol("dan", &face).unwrap();
        known.enrol("eve", &[1.0, 0.0, 0.0, 0.0]).unwrap();
        let verdict = known.people().verdict(&face, RULE);
        assert!(matches!(verdict, Verdict::Match { person, .. } if person == "dan"));
        assert!(known.refresh().is_none());
        assert_eq!(GalleryFile::read(&path).unwrap().people.len(), 2);
        let nameless = Known::open(Source::Nothing, "m", 4);
        assert!(nameless.enrol("dan", &face).is_err());
    }
}
