//! Whose faces are: the models on single photos, the people of the database, and the gallery that cameras compare with.
//!
//! Photos and vectors are personal data. A photo is cut to the face, lies below the storage folder under a name that
//! says nothing, and goes with its row; nothing of either is logged.

mod photo;
mod portrait;
mod said;

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstfacematch::embedder::{Embedder, OpenOptions};
use gstfacematch::file::{decode, encode};
use gstfacematch::gallery::{self, Person};
use gstfacematch::known::{Known, Source};
use gstfacematch::search::{Embedding, normalised};
use nvr_base::{Clock, Error, Principal, Result};
use nvr_contract::face::FaceSeen;
use nvr_store::{Forgotten, NewFace, NewPerson, NewSighting, Store};

use crate::config::FacesConfig;
use crate::infer::{Eye, Kind, Picture, Sought};
use crate::storage::Storage;

pub use portrait::Seen;
pub use said::{checked_category, checked_metadata, checked_name, metadata_of};

/// The gallery that the cameras' `facematch` name.
const GALLERY: &str = "people";
/// How long a model that failed to open is left alone.
const REST: Duration = Duration::from_secs(10);
/// Below, the detector takes patterns for faces.
const DETECTION: f32 = 0.7;
/// Strangers that may wait to be written.
const QUEUE: usize = 256;

/// Why a picture enrols nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotEnrolled {
    /// No face.
    NoFace,
    /// More than one.
    Several(usize),
    /// Too small, too blurred, or turned away.
    Poor(String),
}

impl std::fmt::Display for NotEnrolled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoFace => f.write_str("No face detected in image"),
            Self::Several(count) => write!(
                f,
                "{count} faces detected in image: use one with exactly one"
            ),
            Self::Poor(why) => f.write_str(why),
        }
    }
}

/// Somebody who looks like a face.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// The person.
    pub person: Person,
    /// Cosine to the nearest face.
    pub similarity: f32,
}

/// Open models, and whom they know.
#[derive(Debug)]
struct Open {
    embedder: Embedder,
    known: Arc<Known>,
}

/// See the module.
#[derive(Debug)]
pub struct Faces {
    detector: Option<Eye>,
    embedder: Option<PathBuf>,
    threshold: f32,
    store: Store,
    storage: Arc<Storage>,
    clock: Arc<dyn Clock>,
    open: Mutex<Option<Arc<Open>>>,
    /// Why the embedder could not be opened, and when that was tried.
    failed: Mutex<Option<(String, Duration)>>,
    met: SyncSender<NewSighting>,
}

/// A panic elsewhere does not make what these locks guard wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faces {
    /// For the models of a configuration; nothing is opened before it is needed.
    pub fn new(
        config: &FacesConfig,
        store: Store,
        storage: Arc<Storage>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (met, inbox) = sync_channel::<NewSighting>(QUEUE);
        let writer = store.clone();
        let written = std::thread::Builder::new()
            .name("strangers".to_owned())
            .spawn(move || {
                for sighting in inbox {
                    if let Err(error) = writer.met_stranger(&sighting) {
                        tracing::warn!(%error, "a stranger is not kept");
                    }
                }
            });
        if let Err(error) = written {
            tracing::warn!(%error, "strangers are not kept: there is no thread for them");
        }
        let detector = config.detector.clone();
        Self {
            detector: detector.map(|file| Eye::new(file, Kind::Faces, Arc::clone(&clock))),
            embedder: config.embedder.clone(),
            threshold: config.threshold,
            store,
            storage,
            clock,
            open: Mutex::default(),
            failed: Mutex::default(),
            met,
        }
    }

    /// The model that finds faces, where one is configured.
    pub fn detector(&self) -> Option<&Eye> {
        self.detector.as_ref()
    }

    /// Least similarity of two faces of one person.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Why faces cannot be told apart, as far as that is known without trying.
    pub fn missing(&self) -> Option<String> {
        if self.embedder.is_none() {
            return Some("no model is configured: set faces.embedder to an ONNX model that tells faces apart".to_owned());
        }
        if self.detector.is_none() {
            return Some(
                "no model is configured: set faces.detector to an ONNX model that finds faces"
                    .to_owned(),
            );
        }
        lock(&self.failed).as_ref().map(|(why, _)| why.clone())
    }

    /// Opens the models, so that cameras know everybody and the first request does not wait. Blocks.
    pub fn warm_up(&self) {
        if self.embedder.is_some()
            && let Err(error) = self.opened()
        {
            tracing::warn!(%error, "faces cannot be told apart until this is put right");
        }
    }

    /// The open models. Blocks.
    ///
    /// # Errors
    /// `FailedPrecondition` where no model is named, `Unavailable` where one cannot be used, with the reason.
    fn opened(&self) -> Result<Arc<Open>> {
        let mut open = lock(&self.open);
        if let Some(open) = open.as_ref() {
            return Ok(Arc::clone(open));
        }
        if let Some((why, since)) = lock(&self.failed).clone()
            && self.clock.monotonic().saturating_sub(since) < REST
        {
            return Err(Error::unavailable(why));
        }
        let model = match (&self.embedder, self.missing()) {
            (Some(model), _) => model.clone(),
            (None, why) => return Err(Error::precondition(why.unwrap_or_default())),
        };
        let options = OpenOptions {
            model,
            library: String::new(),
            // The cores belong to the recording.
            threads: 1,
        };
        match Embedder::open(&options) {
            Ok(embedder) => {
                *lock(&self.failed) = None;
                let source = Source::Shared(GALLERY.to_owned());
                let known = Known::open(source, embedder.hash(), embedder.dims());
                let opened = Arc::new(Open { embedder, known });
                self.load(&opened)?;
                *open = Some(Arc::clone(&opened));
                Ok(opened)
            }
            Err(error) => {
                let why = error.to_string();
                *lock(&self.failed) = Some((why.clone(), self.clock.monotonic()));
                Err(Error::unavailable(why))
            }
        }
    }

    /// Everybody of the database into the gallery; vectors of another model are made anew from their photos.
    fn load(&self, open: &Open) -> Result<()> {
        let (people, faces) = self.store.all_faces()?;
        let mut vectors: Vec<(String, bool, Embedding)> = Vec::with_capacity(faces.len());
        let (mut anew, mut lost) = (0_u64, 0_u64);
        for row in faces {
            let vector = if row.face.model == open.embedder.hash() {
                decode(&row.face.vector).and_then(|vector| normalised(&vector))
            } else {
                let vector = photo::vector_of(&self.storage, &row.face, &open.embedder);
                if let Some(vector) = &vector {
                    let text = encode(vector);
                    self.store
                        .replace_vector(&row.face.id, open.embedder.hash(), &text)?;
                    anew += 1;
                }
                vector
            };
            match vector {
                Some(vector) => vectors.push((row.owner, row.stranger, vector)),
                None => lost += 1,
            }
        }
        if anew + lost > 0 {
            tracing::info!(
                anew,
                lost,
                "the model that tells faces apart is another one: vectors were made anew"
            );
        }
        let mut gallery = open.known.people_mut();
        let mut strangers = open.known.strangers();
        for person in &people {
            gallery.put(of_row(person));
        }
        for (owner, stranger, vector) in &vectors {
            if *stranger {
                strangers.add(owner, vector);
            } else if !gallery.add(owner, vector) {
                tracing::warn!("a face does not fit into the gallery");
            }
        }
        Ok(())
    }

    /// The faces on a picture, the largest first. Blocks.
    ///
    /// # Errors
    /// `FailedPrecondition` where no model is named, `Unavailable` where one cannot be used, with the reason.when a model is missing, `Internal` when it fails.
    pub fn look(&self, picture: &Picture) -> Result<Vec<Seen>> {
        let detector = self
            .detector
            .as_ref()
            .ok_or_else(|| Error::precondition(self.missing().unwrap_or_default()))?;
        let sought = Sought {
            threshold: DETECTION,
            labels: None,
        };
        let mut seen: Vec<Seen> = detector
            .find(picture, &sought)?
            .iter()
            .filter_map(|found| Seen::of(picture, found))
            .collect();
        seen.sort_by(|a, b| b.area().total_cmp(&a.area()));
        Ok(seen)
    }

    /// The vector of a face, of length 1. Blocks.
    ///
    /// # Errors
    /// `FailedPrecondition` where no model is named, `Unavailable` where one cannot be used, with the reason.when the model is missing, `Internal` when it fails.
    pub fn vector(&self, seen: &Seen) -> Result<Embedding> {
        embed(&self.opened()?.embedder, seen)
    }

    /// The `count` people most like a face, the most similar first. Blocks.
    ///
    /// # Errors
    /// `FailedPrecondition` where no model is named, `Unavailable` where one cannot be used, with the reason.when the model is missing.
    pub fn nearest(
        &self,
        vector: &[f32],
        category: Option<&str>,
        count: usize,
    ) -> Result<Vec<Near>> {
        let open = self.opened()?;
        let people = open.known.people();
        // Of one category they may be far behind all others.
        let most = match category {
            Some(_) => people.people(),
            None => count,
        };
        Ok(people
            .nearest(vector, most)
            .into_iter()
            .filter(|(person, _)| category.is_none_or(|category| person.category == category))
            .take(count)
            .map(|(person, similarity)| Near {
                person: person.clone(),
                similarity,
            })
            .collect())
    }

    /// Enrols the one face of a picture; with `instead` it takes the place of all that were kept. Blocks.
    ///
    /// # Errors
    /// `InvalidArgument` for an id that is none, `Unavailable` when a model is missing, those of the database.
    pub fn enrol(
        &self,
        principal: &Principal,
        person: &NewPerson,
        picture: &Picture,
        source: &str,
        instead: bool,
    ) -> Result<Result<(), NotEnrolled>> {
        check_id(&person.id)?;
        let open = self.opened()?;
        let seen = self.look(picture)?;
        let face = match seen.as_slice() {
            [] => return Ok(Err(NotEnrolled::NoFace)),
            [face] => face,
            several => return Ok(Err(NotEnrolled::Several(several.len()))),
        };
        if let Err(refused) = face.portrait.quality.pass(&gstfacematch::DEFAULT_GATE) {
            return Ok(Err(NotEnrolled::Poor(refused.to_string())));
        }
        let vector = embed(&open.embedder, face)?;
        let id = self.store.new_id();
        let kept = photo::keep(&self.storage, &id, picture, face)?;
        let row = NewFace {
            id,
            source: source.to_owned(),
            photo: Some(kept.file.clone()),
            landmarks: Some(kept.landmarks),
            model: open.embedder.hash().to_owned(),
            vector: encode(&vector),
        };
        let gone = self
            .store
            .enrol(principal, person, &row, instead)
            .inspect_err(|_| photo::remove(&self.storage, &kept.file))?;
        for file in gone {
            photo::remove(&self.storage, &file);
        }
        let mut people = open.known.people_mut();
        if instead {
            people.clear(&person.id);
        }
        people.put(of_row(person));
        people.add(&person.id, &vector);
        Ok(Ok(()))
    }

    /// Changes what is said about a person.
    ///
    /// # Errors
    /// Those of the database.
    pub fn change(&self, principal: &Principal, person: &NewPerson) -> Result<()> {
        self.store.change_person(principal, person)?;
        if let Some(open) = lock(&self.open).as_ref() {
            open.known.people_mut().put(of_row(person));
        }
        Ok(())
    }

    /// Forgets a person everywhere but in event thumbnails, whose events it says.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget(&self, principal: &Principal, id: &str) -> Result<Forgotten> {
        let forgotten = self.store.forget_person(principal, id)?;
        for file in &forgotten.photos {
            photo::remove(&self.storage, file);
        }
        if let Some(open) = lock(&self.open).as_ref() {
            open.known.people_mut().remove(id);
        }
        Ok(forgotten)
    }

    /// Gives a stranger a name; how many events there were.
    ///
    /// # Errors
    /// `InvalidArgument` for an id that is none, those of the database.
    pub fn name_stranger(
        &self,
        principal: &Principal,
        id: &str,
        person: &NewPerson,
    ) -> Result<u64> {
        check_id(&person.id)?;
        let events = self.store.name_stranger(principal, id, person)?;
        if let Some(open) = lock(&self.open).as_ref() {
            let mut people = open.known.people_mut();
            let mut strangers = open.known.strangers();
            people.put(of_row(person));
            for sample in strangers.samples(id) {
                people.add(&person.id, &sample);
            }
            strangers.forget(id);
        }
        Ok(events)
    }

    /// Forgets a stranger everywhere but in event thumbnails, whose events it says.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget_stranger(&self, principal: &Principal, id: &str) -> Result<Forgotten> {
        let forgotten = self.store.forget_stranger(principal, id)?;
        if let Some(open) = lock(&self.open).as_ref() {
            open.known.strangers().forget(id);
        }
        Ok(forgotten)
    }

    /// The photo of a face.
    ///
    /// # Errors
    /// `NotFound` when it has gone.
    pub fn photo(&self, file: &str) -> Result<Vec<u8>> {
        photo::read(&self.storage, file)
    }

    /// Takes in whom a camera met; never waits.
    pub fn met(&self, camera: &str, seen: FaceSeen, at_us: i64) {
        if !seen.stranger {
            return;
        }
        let face = seen.embedding.map(|vector| NewFace {
            id: self.store.new_id(),
            source: "stranger".to_owned(),
            photo: None,
            landmarks: None,
            model: seen.model,
            vector,
        });
        let sighting = NewSighting {
            id: seen.person,
            camera: camera.to_owned(),
            at_us,
            face,
        };
        if self.met.try_send(sighting).is_err() {
            tracing::warn!(
                camera.id = camera,
                "too many strangers at once: one is not kept"
            );
        }
    }
}

fn embed(embedder: &Embedder, seen: &Seen) -> Result<Embedding> {
    embedder
        .embed(&seen.portrait.chip)
        .map_err(|error| Error::internal("Inference failed").with_source(error))
}

fn of_row(person: &NewPerson) -> Person {
    Person {
        id: person.id.clone(),
        name: person.name.clone(),
        category: person.category.clone(),
    }
}

/// # Errors
/// `InvalidArgument` when it is no id.
pub fn check_id(id: &str) -> Result<()> {
    match gallery::is_id(id) {
        true => Ok(()),
        false => Err(Error::invalid(
            "person_id: use 1 to 64 letters, digits, `_` and `-`, not beginning with \"stranger-\"",
        )),
    }
}
