//! Faces that nobody has named, grouped: who comes again gets the id of the first time.
//!
//! A stranger is a few samples; a face belongs to the stranger whose nearest sample is similar enough. The id is
//! made of the first sample and the model, so that the same first picture gives the same id everywhere.

use std::collections::HashMap;

use crate::search::{Embedding, Index};

/// No person may be called so.
pub use nvr_contract::face::STRANGER_PREFIX as PREFIX;

/// The most strangers that are remembered; who was not seen for the longest time is forgotten first.
pub const LIMIT: usize = 5000;
/// The most samples of one stranger.
const SAMPLES: usize = 5;
/// A sample more similar to one that is there than this tells nothing new.
const SAME: f32 = 0.8;

/// One stranger.
#[derive(Debug, Clone, PartialEq, Default)]
struct Stranger {
    samples: usize,
    /// Number of the latest look, of all strangers.
    seen: u64,
}

/// All strangers of one model.
#[derive(Debug, Clone, Default)]
pub struct Strangers {
    index: Index,
    /// Whose sample a row is.
    owners: Vec<String>,
    all: HashMap<String, Stranger>,
    looks: u64,
}

/// Who a face was taken for.
#[derive(Debug, Clone, PartialEq)]
pub struct Met {
    /// Id of the stranger.
    pub id: String,
    /// Cosine to the nearest sample; 1 for a new stranger.
    pub similarity: f32,
    /// Whether the stranger is new.
    pub new: bool,
    /// Whether the face was kept as a sample.
    pub kept: bool,
}

/// The id of a stranger whose first sample this is.
pub fn id_of(sample: &[f32], model: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(model.as_bytes());
    for number in sample {
        hasher.update(&number.to_le_bytes());
    }
    let hex = hasher.finalize().to_hex();
    format!("{PREFIX}{}", &hex.as_str()[..12])
}

impl Strangers {
    /// For vectors of `dims` numbers.
    pub fn new(dims: usize) -> Self {
        Self {
            index: Index::new(dims),
            ..Self::default()
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether there is one of this id.
    pub fn knows(&self, id: &str) -> bool {
        self.all.contains_key(id)
    }

    /// Adds a sample that was kept elsewhere.
    pub fn add(&mut self, id: &str, sample: &[f32]) {
        if !self.index.push(sample) {
            return;
        }
        self.owners.push(id.to_owned());
        self.looks += 1;
        let stranger = self.all.entry(id.to_owned()).or_default();
        stranger.samples += 1;
        stranger.seen = self.looks;
    }

    /// The stranger of a face, if there is one at least so similar.
    pub fn find(&self, face: &[f32], threshold: f32) -> Option<(&str, f32)> {
        let hit = *self.index.nearest(face, 1).first()?;
        (hit.similarity >= threshold).then(|| (self.owners[hit.row].as_str(), hit.similarity))
    }

    /// Takes a face for the stranger it is most similar to, or for a new one where `may_begin`.
    pub fn meet(
        &mut self,
        face: &Embedding,
        model: &str,
        threshold: f32,
        may_begin: bool,
    ) -> Option<Met> {
        let found = self
            .find(face, threshold)
            .map(|(id, similarity)| (id.to_owned(), similarity));
        if let Some((id, similarity)) = found {
            self.looks += 1;
            let stranger = self.all.get_mut(&id)?;
            stranger.seen = self.looks;
            // Not one that is at the edge: samples must not wander from one person to another.
            let sure = similarity >= threshold + (1.0 - threshold) * 0.25;
            let kept = sure && similarity < SAME && stranger.samples < SAMPLES;
            if kept {
                self.add(&id, face);
            }
            return Some(Met {
                id,
                similarity,
                new: false,
                kept,
            });
        }
        if !may_begin || face.len() != self.index.dims() {
            return None;
        }
        if self.all.len() >= LIMIT {
            self.forget_oldest();
        }
        let id = id_of(face, model);
        self.add(&id, face);
        Some(Met {
            id,
            similarity: 1.0,
            new: true,
            kept: true,
        })
    }

    /// Forgets a stranger; whether there was one.
    pub fn forget(&mut self, id: &str) -> bool {
        for row in (0..self.owners.len()).rev() {
            if self.owners[row] == id {
                self.owners.swap_remove(row);
                self.index.swap_remove(row);
            }
        }
        self.all.remove(id).is_some()
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .all
            .iter()
            .min_by_key(|(id, s)| (s.seen, (*id).clone()));
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.forget(&id);
        }
    }

    /// The samples of a stranger.
    pub fn samples(&self, id: &str) -> Vec<Embedding> {
        let rows = self.owners.iter().enumerate();
        rows.filter(|(_, owner)| *owner == id)
            .filter_map(|(row, _)| Some(self.index.row(row)?.to_vec()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::normalised;

    /// A vector near the axis `person`, `variant` differing slightly.
    fn face(person: usize, variant: usize, far: f32) -> Embedding {
        let mut v = vec![0.0; 16];
        v[person] = 1.0;
        v[8 + variant % 8] = far;
        normalised(&v).unwrap()
    }

    #[test]
    fn who_comes_again_has_the_id_of_the_first_time() {
        let mut strangers = Strangers::new(16);
        let first = strangers.meet(&face(0, 0, 0.1), "m", 0.4, true).unwrap();
        assert!(first.new && first.id.starts_with(PREFIX));
        let other = strangers.meet(&face(1, 0, 0.1), "m", 0.4, true).unwrap();
        assert!(other.new && other.id != first.id);
        let again = strangers.meet(&face(0, 3, 1.0), "m", 0.4, true).unwrap();
        assert_eq!((again.id.as_str(), again.new), (first.id.as_str(), false));
        // Different enough to be worth keeping, similar enough to be sure.
        assert!(again.kept && again.similarity < 0.8, "{again:?}");
        assert_eq!(strangers.samples(&first.id).len(), 2);
        assert!(
            !strangers
                .meet(&face(0, 0, 0.1), "m", 0.4, true)
                .unwrap()
                .kept
        );
        assert_eq!(strangers.len(), 2);
    }

    #[test]
    fn ids_come_from_the_picture_and_the_model() {
        let id = |model| {
            let mut strangers = Strangers::new(16);
            strangers
                .meet(&face(0, 0, 0.1), model, 0.4, true)
                .unwrap()
                .id
        };
        assert_eq!(id("a"), id("a"));
        assert_ne!(id("a"), id("b"));
    }

    #[test]
    fn a_poor_face_begins_nobody() {
        let mut strangers = Strangers::new(16);
        assert_eq!(strangers.meet(&face(0, 0, 0.1), "m", 0.4, false), None);
        assert_eq!(strangers.meet(&vec![1.0], "m", 0.4, true), None);
        assert!(strangers.is_empty());
    }

    #[test]
    fn who_is_forgotten_leaves_no_sample() {
        let mut strangers = Strangers::new(16);
        let one = strangers.meet(&face(0, 0, 0.1), "m", 0.4, true).unwrap().id;
        strangers.add(&one, &face(0, 5, 1.0));
        let two = strangers.meet(&face(1, 0, 0.1), "m", 0.4, true).unwrap().id;
        assert!(strangers.forget(&one) && !strangers.forget(&one));
        assert!(strangers.samples(&one).is_empty() && !strangers.knows(&one));
        assert_eq!(strangers.find(&face(0, 0, 0.1), 0.4), None);
        assert_eq!(strangers.find(&face(1, 0, 0.1), 0.4).unwrap().0, two);
    }

    #[test]
    fn the_longest_unseen_makes_room() {
        let mut strangers = Strangers::new(16);
        for i in 0..LIMIT {
            strangers.add(&format!("{PREFIX}{i}"), &face(2 + i % 5, i, 0.3));
        }
        strangers.add("stranger-0", &face(7, 0, 0.1));
        strangers.meet(&face(0, 0, 0.0), "m", 0.9, true).unwrap();
        assert_eq!(strangers.len(), LIMIT);
        assert!(strangers.knows("stranger-0") && !strangers.knows("stranger-1"));
    }
}
