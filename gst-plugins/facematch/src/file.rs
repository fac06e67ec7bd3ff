//! A gallery as a TOML file: read with bounds and clear errors, written so that no reader ever sees half of it.
//!
//! ```toml
//! [[person]]
//! id = "emp_001"
//! name = "John Doe"           # the id, when left out
//! category = "employee"       # "unknown", when left out
//!
//! [[person.face]]             # one for each photo and model
//! model = "6ced4e0c36ab"      # first 12 hex digits of the BLAKE3 of the model file
//! embedding = "mpmZPgAA…"     # base64 of 32-bit little-endian floats
//! ```

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::gallery::{Gallery, MAX_FACES, Person, is_id};
use crate::search::normalised;

/// The largest file that is read, bytes: a hundred thousand faces of 512 numbers fit.
const MAX_BYTES: u64 = 512 << 20;
/// Longest name, characters.
const MAX_NAME: usize = 255;
/// Longest category, characters.
const MAX_CATEGORY: usize = 32;
/// The category of whom nobody gave one.
pub const UNKNOWN: &str = "unknown";

/// Why a file is no gallery; each names the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    /// It could not be read or written.
    #[error("cannot {doing} the gallery {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What stands in it is wrong.
    #[error("the gallery {path}: {message}", path = path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What, and how it should be.
        message: String,
    },
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GalleryFile {
    /// Everybody.
    #[serde(default, rename = "person", skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonEntry>,
}

/// A `[[person]]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonEntry {
    /// See [`Person::id`].
    pub id: String,
    /// See [`Person::name`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// See [`Person::category`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub category: String,
    /// The faces.
    #[serde(default, rename = "face", skip_serializing_if = "Vec::is_empty")]
    pub faces: Vec<FaceEntry>,
}

/// A `[[person.face]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceEntry {
    /// The model that made it.
    pub model: String,
    /// See [`encode`].
    pub embedding: String,
}

/// A vector as text: base64 of its 32-bit little-endian floats.
pub fn encode(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// The vector of a text, `None` when it is none.
pub fn decode(text: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, []) = bytes.as_chunks::<4>() else {
        return None;
    };
    Some(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

impl GalleryFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or holds what is no gallery.
    pub fn read(path: &Path) -> Result<Self, GalleryError> {
        let io = |source| GalleryError::Io {
            doing: "read",
            path: path.to_owned(),
            source,
        };
        let wrong = |message: String| GalleryError::Wrong {
            path: path.to_owned(),
            message,
        };
        let file = std::fs::File::open(path).map_err(io)?;
        let mut text = String::new();
        file.take(MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(io)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(wrong(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
        }
        let read: Self = toml::from_str(&text).map_err(|e| {
            // The parser's own text repeats the line, and a line may hold an embedding.
            let line = e.span().map_or(1, |span| {
                1 + text
                    .get(..span.start)
                    .map_or(0, |t| t.matches('\n').count())
            });
            wrong(format!("line {line}: {}", e.message()))
        })?;
        read.check().map_err(wrong)?;
        Ok(read)
    }

    fn check(&self) -> Result<(), String> {
        let mut ids = std::collections::HashSet::new();
        let mut faces = 0;
        for person in &self.people {
            let id = &person.id;
            if !is_id(id) {
                return Err(format!(
                    "person.id {id:?}: use 1 to 64 letters, digits, `_` and `-`, not beginning with {:?}",
                    crate::strangers::PREFIX
                ));
            }
            if !ids.insert(id.as_str()) {
                return Err(format!("person.id {id:?} stands there twice"));
            }
            if person.name.chars().count() > MAX_NAME {
                return Err(format!(
                    "person {id:?}: name: use at most {MAX_NAME} characters"
                ));
            }
            if person.category.chars().count() > MAX_CATEGORY {
                return Err(format!(
                    "person {id:?}: category: use at most {MAX_CATEGORY} characters"
                ));
            }
            faces += person.faces.len();
            if person
                .faces
                .iter()
                .any(|face| decode(&face.embedding).is_none())
            {
                return Err(format!(
                    "person {id:?}: face.embedding: is no base64 of 32-bit floats"
                ));
            }
        }
        if faces > MAX_FACES {
            return Err(format!(
                "{faces} faces are too many: use at most {MAX_FACES}"
            ));
        }
        Ok(())
    }

    /// Puts it in the place of the file at `path`; whoever reads meanwhile sees the old or the new one whole.
    ///
    /// # Errors
    /// When the folder cannot be written to; the old file stays then.
    pub fn write(&self, path: &Path) -> Result<(), GalleryError> {
        let io = |source| GalleryError::Io {
            doing: "write",
            path: path.to_owned(),
            source,
        };
        let text = toml::to_string(self).map_err(|e| GalleryError::Wrong {
            path: path.to_owned(),
            message: e.to_string(),
        })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let replace = || {
            let mut file = private(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, path)
        };
        replace().map_err(|error| {
            // What was begun is of no use; that it cannot be removed either changes nothing.
            std::fs::remove_file(&beside).ok();
            io(error)
        })
    }

    /// The gallery for a model: faces of other models are left out, and counted.
    pub fn for_model(&self, model: &str, dims: usize) -> (Gallery, usize) {
        let mut gallery = Gallery::new(dims);
        let mut foreign = 0;
        for entry in &self.people {
            let or = |text: &str, other: &str| match text {
                "" => other.to_owned(),
                text => text.to_owned(),
            };
            gallery.put(Person {
                id: entry.id.clone(),
                name: or(&entry.name, &entry.id),
                category: or(&entry.category, UNKNOWN),
            });
            for face in &entry.faces {
                let vector = decode(&face.embedding).filter(|_| face.model == model);
                match vector.and_then(|vector| normalised(&vector)) {
                    Some(vector) if gallery.add(&entry.id, &vector) => {}
                    _ => foreign += 1,
                }
            }
        }
        (gallery, foreign)
    }

    /// Adds a face to a person, who is made when there is none of this id.
    pub fn enrol(&mut self, id: &str, model: &str, face: &[f32]) {
        let entry = FaceEntry {
            model: model.to_owned(),
            embedding: encode(face),
        };
        match self.people.iter_mut().find(|person| person.id == id) {
            Some(person) => {
                if !person.faces.contains(&entry) {
                    person.faces.push(entry);
                }
            }
            None => self.people.push(PersonEntry {
                id: id.to_owned(),
                faces: vec![entry],
                ..PersonEntry::default()
            }),
        }
    }
}

/// A file that only its owner reads: faces are nobody else's business.
fn private(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face() -> Vec<f32> {
        normalised(&[3.0, 0.0, 4.0]).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.toml");
        let mut file = GalleryFile::default();
        file.enrol("ann", "aaaaaaaaaaaa", &face());
        file.enrol("ann", "aaaaaaaaaaaa", &face());
        file.enrol("ann", "bbbbbbbbbbbb", &face());
        file.people[0].name = "Ann \"A\" Ä".to_owned();
        file.write(&path).unwrap();
        let read = GalleryFile::read(&path).unwrap();
        assert_eq!(read, file);
        let (gallery, foreign) = read.for_model("aaaaaaaaaaaa", 3);
        assert_eq!((gallery.people(), gallery.faces(), foreign), (1, 1, 1));
        assert_eq!(gallery.person("ann").unwrap().name, "Ann \"A\" Ä");
        assert_eq!(gallery.person("ann").unwrap().category, UNKNOWN);
        assert_eq!(gallery.faces_of("ann"), [face()]);
        // Only the gallery is left in the folder, and only its owner reads it.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.toml");
        let check = |text: &str, said: &str| {
            std::fs::write(&path, text).unwrap();
            let error = GalleryFile::read(&path).unwrap_err().to_string();
            assert!(
                error.contains(said) && error.contains("people.toml"),
                "{error}"
            );
        };
        check("[[person]]\nid = \"a b\"", "person.id \"a b\"");
        check("[[person]]\nid = \"stranger-1\"", "not beginning with");
        check("[[person]]\nid = \"a\"\n[[person]]\nid = \"a\"", "twice");
        check("[[person]]\nid = \"a\"\nfaces = 3", "unknown field `faces`");
        check("[[person]]\nname = \"a\"", "missing field `id`");
        check(
            "[[person]]\nid = \"a\"\n[[person.face]]\nmodel = \"m\"\nembedding = \"&\"",
            "face.embedding",
        );
        check(
            &format!("[[person]]\nid = \"a\"\nname = \"{}\"", "x".repeat(256)),
            "name",
        );
        let missing = GalleryFile::read(&folder.path().join("no.toml")).unwrap_err();
        assert!(matches!(missing, GalleryError::Io { .. }), "{missing}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone/people.toml");
        assert!(GalleryFile::default().write(&path).is_err());
    }
}
