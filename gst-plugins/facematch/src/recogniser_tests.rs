//! The recogniser on pictures of one colour a person, with a model that reads the colour.

use std::cell::Cell;

use super::*;
use crate::align::TEMPLATE;
use crate::gallery::Person;
use crate::known::Source;
use crate::search::normalised;

/// A picture whose every pixel has the colour of the person shown; a pattern makes it sharp.
struct Shown {
    /// At which column of pixels whose colour begins.
    people: Vec<(f32, [f32; 3])>,
}

impl Colours for Shown {
    fn width(&self) -> usize {
        1000
    }
    fn height(&self) -> usize {
        400
    }
    fn at(&self, x: f32, y: f32) -> [f32; 3] {
        let (_, colour) = self
            .people
            .iter()
            .rev()
            .find(|(from, _)| x >= *from)
            .unwrap();
        // Another pattern for another colour, so that the small pictures differ too.
        let step = 2.0 + colour[1] / 60.0;
        let on = ((x % 200.0 / step) as i32 + (y / step) as i32) % 2;
        colour.map(|c| c * (0.6 + 0.4 * on as f32))
    }
}

const ANN: [f32; 3] = [250.0, 20.0, 20.0];
const BOB: [f32; 3] = [20.0, 250.0, 20.0];
const EVE: [f32; 3] = [60.0, 140.0, 250.0];
const MS: u64 = 1_000_000;

/// Takes the mean colour for the vector.
#[derive(Default)]
struct MeanColour {
    runs: Cell<usize>,
}

fn of_colour(colour: [f32; 3]) -> Embedding {
    normalised(&colour.map(|c| c - 110.0)).unwrap()
}

impl Embed for MeanColour {
    fn embed(&self, chip: &Chip) -> Result<Embedding, EmbedError> {
        self.runs.set(self.runs.get() + 1);
        let mean = |c: usize| {
            let plane = &chip.planes[c * SIDE * SIDE..(c + 1) * SIDE * SIDE];
            // The pattern darkens by a fifth.
            plane.iter().sum::<f32>() / plane.len() as f32 / 0.8
        };
        Ok(of_colour([mean(0), mean(1), mean(2)]))
    }
}

fn config() -> Config {
    Config {
        rule: Rule {
            threshold: 0.5,
            margin: 0.05,
        },
        gate: Gate {
            min_eyes_px: 10.0,
            min_sharpness: 0.01,
            max_angle: 40.0,
        },
        strangers: true,
        most: 4,
    }
}

fn recogniser() -> Recogniser {
    let known = Known::open(Source::Nothing, "m", 3);
    {
        let mut people = known.people_mut();
        for (id, colour) in [("ann", ANN), ("bob", BOB)] {
            people.put(Person {
                id: id.to_owned(),
                name: id.to_owned(),
                category: String::new(),
            });
            assert!(people.add(id, &of_colour(colour)));
        }
    }
    Recogniser::new(known)
}

fn found(x: f64, track: Option<u64>) -> Found {
    Found {
        landmarks: TEMPLATE.map(|(px, py)| (px + x, py)),
        track,
    }
}

fn one(colour: [f32; 3]) -> Shown {
    Shown {
        people: vec![(0.0, colour)],
    }
}

fn names(outcome: &Outcome) -> Vec<Option<&str>> {
    let whose = outcome.whose.iter();
    whose.map(|w| w.as_ref().map(|w| w.id.as_str())).collect()
}

#[test]
fn a_track_is_named_once_and_costs_the_model_little() {
    let (mut recogniser, model) = (recogniser(), MeanColour::default());
    let mut told = 0;
    for n in 0..50 {
        let outcome = recogniser
            .look(
                &config(),
                &model,
                &one(ANN),
                &[found(0.0, Some(1))],
                n * 40 * MS,
            )
            .unwrap();
        assert_eq!(names(&outcome), [Some("ann")], "picture {n}");
        told += outcome.news.len();
    }
    assert_eq!((told, model.runs.get()), (1, 1));
}

#[test]
fn after_a_cut_a_track_has_no_wrong_name() {
    let (mut recogniser, model) = (recogniser(), MeanColour::default());
    let mut look = |colour, n: u64| {
        let seen = [found(0.0, Some(1))];
        let outcome = recogniser.look(&config(), &model, &one(colour), &seen, n * 40 * MS);
        outcome.unwrap().whose[0].as_ref().map(|w| w.id.clone())
    };
    for n in 0..10 {
        assert_eq!(look(ANN, n).as_deref(), Some("ann"));
    }
    for n in 10..20 {
        assert_eq!(look(BOB, n).as_deref(), Some("bob"), "picture {n}");
    }
}

#[test]
fn strangers_are_the_same_again_and_get_their_name_later() {
    let (mut recogniser, model) = (recogniser(), MeanColour::default());
    let mut ids = Vec::new();
    let mut samples = 0;
    for track in [1, 2] {
        for n in 0..40 {
            let now = (track * 100 + n) * 40 * MS;
            let seen = [found(0.0, Some(track))];
            let outcome = recogniser
                .look(&config(), &model, &one(EVE), &seen, now)
                .unwrap();
            ids.extend(outcome.whose[0].clone());
            samples += outcome.news.iter().filter(|n| n.sample.is_some()).count();
        }
    }
    assert!(
        ids.len() > 40 && ids.iter().all(|w| w.stranger && w.id == ids[0].id),
        "{ids:?}"
    );
    assert_eq!(samples, 1);
    // Named: the stranger's samples become a person's.
    {
        let known = recogniser.known();
        let mut people = known.people_mut();
        people.put(Person {
            id: "eve".to_owned(),
            name: "Eve".to_owned(),
            category: "visitor".to_owned(),
        });
        for sample in known.strangers().samples(&ids[0].id) {
            assert!(people.add("eve", &sample));
        }
        known.strangers().forget(&ids[0].id);
    }
    let outcome = recogniser
        .look(
            &config(),
            &model,
            &one(EVE),
            &[found(0.0, Some(9))],
            20_000 * MS,
        )
        .unwrap();
    assert_eq!(names(&outcome), [Some("eve")]);
    // And gone again: the name is given to nobody any more.
    recogniser.known().people_mut().remove("eve");
    recogniser.gallery_changed();
    let outcome = recogniser
        .look(
            &config(),
            &model,
            &one(EVE),
            &[found(0.0, Some(9))],
            20_040 * MS,
        )
        .unwrap();
    assert_ne!(names(&outcome), [Some("eve")]);
}

#[test]
fn without_a_tracker_each_picture_counts_and_strangers_may_be_off() {
    let (mut recogniser, model) = (recogniser(), MeanColour::default());
    let seen = [found(0.0, None)];
    let mut look = |config: &Config, colour| {
        let outcome = recogniser
            .look(config, &model, &one(colour), &seen, 0)
            .unwrap();
        outcome.whose[0].clone()
    };
    assert_eq!(look(&config(), BOB).unwrap().id, "bob");
    assert!(look(&config(), EVE).unwrap().stranger);
    let without = Config {
        strangers: false,
        ..config()
    };
    assert_eq!(look(&without, EVE), None);
}

#[test]
fn nobody_is_on_a_picture_twice_and_the_model_looks_at_the_best_first() {
    let (mut recogniser, model) = (recogniser(), MeanColour::default());
    let both = Shown {
        people: vec![(0.0, ANN), (150.0, ANN), (300.0, BOB)],
    };
    let seen = [
        found(0.0, Some(1)),
        found(160.0, Some(2)),
        found(320.0, Some(3)),
    ];
    let outcome = recogniser.look(&config(), &model, &both, &seen, 0).unwrap();
    let named = names(&outcome);
    assert_eq!(
        named.iter().filter(|n| **n == Some("ann")).count(),
        1,
        "{named:?}"
    );
    assert_eq!(named[2], Some("bob"));
    let config = Config {
        most: 1,
        ..config()
    };
    let mut recogniser = self::recogniser();
    let outcome = recogniser.look(&config, &model, &both, &seen, 0).unwrap();
    assert_eq!(outcome.embedded, 1);
}

#[test]
fn poor_faces_and_no_faces_are_left_alone() {
    let (mut recogniser, model) = (recogniser(), MeanColour::default());
    let small = Found {
        landmarks: TEMPLATE.map(|(x, y)| (x / 5.0, y / 5.0)),
        track: Some(1),
    };
    let nothing = Found {
        landmarks: [(5.0, 5.0); 5],
        track: None,
    };
    let outcome = recogniser
        .look(&config(), &model, &one(ANN), &[small, nothing], 0)
        .unwrap();
    assert_eq!(outcome.whose, [None, None]);
    assert_eq!(
        (outcome.refused, outcome.embedded, model.runs.get()),
        (1, 0, 0)
    );
}
