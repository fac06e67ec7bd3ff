//! The people who have a name, with the faces they are known by, and who of them a face is.

use std::collections::HashMap;

use crate::search::{Embedding, Index};

/// The most faces of a gallery.
pub const MAX_FACES: usize = 200_000;

/// Somebody with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Stable id: letters, digits, `_` and `-`, at most 64.
    pub id: String,
    /// For people to read.
    pub name: String,
    /// `employee`, `visitor`, `watchlist`, `vip` or a word of one's own.
    pub category: String,
}

/// When a face is somebody's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Least cosine to the nearest face of the person.
    pub threshold: f32,
    /// By how much the person must be nearer than the next one.
    pub margin: f32,
}

/// Who a face is.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A person of the gallery.
    Match {
        /// Id of the person.
        person: String,
        /// Cosine to the nearest face.
        similarity: f32,
    },
    /// Somebody of the gallery perhaps, but no one surely.
    Unsure,
    /// None of them.
    Nobody,
}

/// People and their faces, for one model.
#[derive(Debug, Clone, Default)]
pub struct Gallery {
    people: HashMap<String, Person>,
    index: Index,
    /// Whose face a row is.
    owners: Vec<String>,
}

/// Whether a text can be an id of a person.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && !text.starts_with(crate::strangers::PREFIX)
}

impl Gallery {
    /// For vectors of `dims` numbers.
    pub fn new(dims: usize) -> Self {
        Self {
            index: Index::new(dims),
            ..Self::default()
        }
    }

    /// How many people there are.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// How many faces there are.
    pub fn faces(&self) -> usize {
        self.owners.len()
    }

    /// Somebody.
    pub fn person(&self, id: &str) -> Option<&Person> {
        self.people.get(id)
    }

    /// Adds a person, or changes name and category of one.
    pub fn put(&mut self, person: Person) {
        self.people.insert(person.id.clone(), person);
    }

    /// Adds a face of length 1 to a person who is there; whether it was taken.
    pub fn add(&mut self, person: &str, face: &[f32]) -> bool {
        let takes =
            self.people.contains_key(person) && self.faces() < MAX_FACES && self.index.push(face);
        if takes {
            self.owners.push(person.to_owned());
        }
        takes
    }

    /// Removes the faces of a person, not the person.
    pub fn clear(&mut self, person: &str) {
        for row in (0..self.owners.len()).rev() {
            if self.owners[row] == person {
                self.owners.swap_remove(row);
                self.index.swap_remove(row);
            }
        }
    }

    /// Removes a person with all faces; whether there was one.
    pub fn remove(&mut self, person: &str) -> bool {
        self.clear(person);
        self.people.remove(person).is_some()
    }

    /// The faces of a person.
    pub fn faces_of(&self, person: &str) -> Vec<Embedding> {
        let rows = self.owners.iter().enumerate();
        rows.filter(|(_, owner)| *owner == person)
            .filter_map(|(row, _)| Some(self.index.row(row)?.to_vec()))
            .collect()
    }

    /// The `count` most similar people, each by the nearest face, the most similar first.
    pub fn nearest(&self, face: &[f32], count: usize) -> Vec<(&Person, f32)> {
        let mut wanted = count.saturating_mul(8).max(16);
        loop {
            let hits = self.index.nearest(face, wanted);
            let exhausted = hits.len() < wanted;
            let mut best: Vec<(&Person, f32)> = Vec::new();
            for hit in hits {
                let owner = &self.owners[hit.row];
                if best.iter().any(|(person, _)| person.id == *owner) {
                    continue;
                }
                if let Some(person) = self.people.get(owner) {
                    best.push((person, hit.similarity));
                }
            }
            // Somebody with many photos may fill the list alone.
            if best.len() >= count || exhausted {
                best.truncate(count);
                return best;
            }
            wanted = wanted.saturating_mul(8);
        }
    }

    /// Who a face of length 1 is.
    pub fn verdict(&self, face: &[f32], rule: Rule) -> Verdict {
        let nearest = self.nearest(face, 2);
        let Some((person, similarity)) = nearest.first() else {
            return Verdict::Nobody;
        };
        let next = nearest.get(1).map_or(-1.0, |(_, similarity)| *similarity);
        if *similarity >= rule.threshold && similarity - next >= rule.margin {
            Verdict::Match {
                person: person.id.clone(),
                similarity: *similarity,
            }
        } else if *similarity >= rule.threshold - rule.margin {
            Verdict::Unsure
        } else {
            Verdict::Nobody
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::normalised;

    const RULE: Rule = Rule {
        threshold: 0.4,
        margin: 0.05,
    };

    fn somebody(id: &str) -> Person {
        Person {
            id: id.to_owned(),
            name: id.to_uppercase(),
            category: "vip".to_owned(),
        }
    }

    fn face(numbers: [f32; 3]) -> Embedding {
        normalised(&numbers).unwrap()
    }

    fn two() -> Gallery {
        let mut gallery = Gallery::new(3);
        gallery.put(somebody("ann"));
        gallery.put(somebody("bob"));
        assert!(gallery.add("ann", &face([1.0, 0.0, 0.0])));
        assert!(gallery.add("ann", &face([1.0, 0.2, 0.0])));
        assert!(gallery.add("bob", &face([0.0, 1.0, 0.0])));
        gallery
    }

    #[test]
    fn a_face_is_whose_nearest_face_is_clearly_nearest() {
        let gallery = two();
        let who = |numbers| gallery.verdict(&face(numbers), RULE);
        assert!(
            matches!(who([1.0, 0.1, 0.1]), Verdict::Match { person, similarity } if person == "ann" && similarity > 0.98)
        );
        assert!(matches!(who([0.0, 1.0, 0.3]), Verdict::Match { person, .. } if person == "bob"));
        // As near to the one as to the other.
        assert_eq!(who([0.86, 1.0, 0.0]), Verdict::Unsure);
        // Near the threshold, below it.
        assert_eq!(who([0.38, 0.0, 0.925]), Verdict::Unsure);
        assert_eq!(who([0.1, 0.1, -1.0]), Verdict::Nobody);
        assert_eq!(
            Gallery::new(3).verdict(&face([1.0, 0.0, 0.0]), RULE),
            Verdict::Nobody
        );
    }

    #[test]
    fn somebody_with_many_photos_does_not_hide_the_next() {
        let mut gallery = two();
        for i in 0..200_u8 {
            gallery.add("ann", &face([1.0, 0.3, f32::from(i) / 1e4]));
        }
        let nearest = gallery.nearest(&face([1.0, 0.3, 0.0]), 2);
        let ids: Vec<&str> = nearest.iter().map(|(p, _)| p.id.as_str()).collect();
        assert_eq!(ids, ["ann", "bob"]);
    }

    #[test]
    fn who_is_removed_leaves_nothing() {
        let mut gallery = two();
        assert!(gallery.remove("ann") && !gallery.remove("ann"));
        assert_eq!((gallery.people(), gallery.faces()), (1, 1));
        assert!(gallery.faces_of("ann").is_empty() && gallery.person("ann").is_none());
        assert_eq!(
            gallery.verdict(&face([1.0, 0.0, 0.0]), RULE),
            Verdict::Nobody
        );
        assert!(!gallery.add("ann", &face([1.0, 0.0, 0.0])));
        gallery.clear("bob");
        assert_eq!((gallery.people(), gallery.faces()), (1, 0));
    }

    #[test]
    fn ids_are_words() {
        for fine in ["a", "emp_001", "A-9"] {
            assert!(is_id(fine), "{fine}");
        }
        let long = "x".repeat(65);
        for wrong in ["", "a b", "../x", "é", "stranger-1", &long] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }
}
