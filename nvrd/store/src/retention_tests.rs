//! Tests of the planner: what must hold of every plan, over random histories, and cases a person can follow.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const HOUR_US: i64 = 3_600_000_000;

/// A segment with all that is true of it.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    camera: usize,
    place: usize,
    class: Class,
    item: Item,
}

/// A history in memory; gives its segments in batches of two.
#[derive(Debug, Clone)]
struct History {
    held: Vec<Held>,
    situation: Situation,
}

impl Segments for History {
    fn oldest(
        &mut self,
        camera: &str,
        storage: &str,
        class: Class,
        after: Option<&Item>,
    ) -> Result<Vec<Item>> {
        let mut found: Vec<Item> = self
            .held
            .iter()
            .filter(|held| name(held.camera) == camera && place_id(held.place) == storage)
            .filter(|held| held.class == class)
            .map(|held| held.item.clone())
            .filter(|item| {
                after.is_none_or(|after| (item.start_us, &item.id) > (after.start_us, &after.id))
            })
            .collect();
        found.sort_by(|a, b| (a.start_us, &a.id).cmp(&(b.start_us, &b.id)));
        found.truncate(2);
        Ok(found)
    }
}

#[derive(Debug, Clone)]
struct Step {
    held: Held,
    reason: Reason,
}

impl History {
    /// Fills in what follows from the segments.
    fn settle(&mut self) {
        for (index, camera) in self.situation.cameras.iter_mut().enumerate() {
            let own = self.held.iter().filter(|held| held.camera == index);
            camera.newest_us = own
                .clone()
                .map(|held| held.item.start_us)
                .max()
                .unwrap_or(0);
            let mut held: HashMap<String, u64> = HashMap::new();
            for own in own {
                *held.entry(place_id(own.place)).or_default() += own.item.bytes;
            }
            camera.held = held.into_iter().collect();
        }
    }

    fn plan(&self) -> (Vec<Step>, Plan) {
        let mut steps = Vec::new();
        let found = plan(&self.situation, &mut self.clone(), &mut |deletion| {
            let held = self
                .held
                .iter()
                .find(|held| held.item.id == deletion.item.id);
            let held = held.expect("only what is there is deleted").clone();
            assert_eq!(name(held.camera), deletion.camera);
            assert_eq!(place_id(held.place), deletion.storage);
            assert_eq!((held.class, &held.item), (deletion.class, &deletion.item));
            steps.push(Step {
                held,
                reason: deletion.reason,
            });
            ControlFlow::Continue(())
        });
        (steps, found.unwrap())
    }

    /// The history without a segment, and with the room that it took.
    fn without(&mut self, id: &str) {
        let index = self.held.iter().position(|held| held.item.id == id);
        let gone = self.held.remove(index.expect("nothing is deleted twice"));
        self.situation.places[gone.place].free_bytes += gone.item.bytes;
        self.settle();
    }

    fn of_camera(&self, camera: usize) -> u64 {
        let own = self.held.iter().filter(|held| held.camera == camera);
        own.map(|held| held.item.bytes).sum()
    }

    fn of_place(&self, place: usize) -> u64 {
        let own = self.held.iter().filter(|held| held.place == place);
        own.map(|held| held.item.bytes).sum()
    }

    fn wanted(&self, place: usize) -> u64 {
        let place = &self.situation.places[place];
        let cameras = self.situation.cameras.iter();
        let rate = cameras.filter(|c| c.storage == place.id).map(|c| c.rate);
        wanted_free(place, rate.sum())
    }

    fn may_go(&self, class: Class) -> bool {
        !class.protected || self.situation.when_full == WhenFull::DeleteProtected
    }

    /// Whether a reason holds for deleting one more of a camera, a place.
    fn calls_for(&self, step: &Step, space_begun: bool) -> bool {
        let (camera, place) = (step.held.camera, step.held.place);
        let (limits, room) = (
            self.situation.cameras[camera].limits,
            &self.situation.places[place],
        );
        match step.reason {
            Reason::Age => {
                let limit = limits.age_us[usize::try_from(step.held.class.tier.rank()).unwrap()];
                self.situation.clock_trusted
                    && !step.held.class.protected
                    && step.held.item.end_us <= self.situation.now_us - limit.unwrap()
                    && step.held.item.start_us < self.situation.cameras[camera].newest_us
            }
            Reason::CameraSize => self.of_camera(camera) > limits.max_bytes.unwrap(),
            Reason::StorageSize => self.of_place(place) > room.max_bytes.unwrap(),
            Reason::Space if space_begun => room.free_bytes < enough(self.wanted(place)),
            Reason::Space => room.free_bytes < self.wanted(place),
        }
    }
}

fn name(camera: usize) -> String {
    format!("cam{camera}")
}

fn place_id(place: usize) -> String {
    format!("place{place}")
}

type Drawn = (usize, usize, bool, i32, u64, i64);

fn history() -> impl Strategy<Value = History> {
    let segment = (
        0..3_usize,
        0..2_usize,
        proptest::bool::weighted(0.15),
        0..3_i32,
        1..50_u64,
        1..30_i64,
    );
    let age = || proptest::option::of(1..200_i64);
    let camera = (
        age(),
        age(),
        age(),
        proptest::option::of(1..400_u64),
        0..2_usize,
        0..20_u32,
    );
    let place = (
        100..2000_u64,
        0..400_u64,
        proptest::option::of(1..600_u64),
        0..200_u64,
    );
    (
        proptest::collection::vec(segment, 0..40),
        proptest::collection::vec(camera, 3),
        proptest::collection::vec(place, 2),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(segments, cameras, places, clock_trusted, delete)| {
            let cameras = cameras.into_iter().enumerate();
            let cameras = cameras.map(|(index, (a, b, c, max_bytes, storage, rate))| Camera {
                name: name(index),
                limits: Limits {
                    age_us: [a, b, c].map(|age| age.map(|hours| hours * HOUR_US)),
                    max_bytes,
                },
                newest_us: 0,
                storage: place_id(storage),
                rate: f64::from(rate) / 3600.0,
                held: Vec::new(),
            });
            let places = places.into_iter().enumerate();
            let places = places.map(|(index, (total, free, max_bytes, min))| Place {
                id: place_id(index),
                disk: index as u64,
                total_bytes: total,
                free_bytes: free,
                max_bytes,
                min_free_bytes: min,
            });
            let held = held(segments);
            let mut history = History {
                situation: Situation {
                    now_us: 300 * HOUR_US,
                    clock_trusted,
                    when_full: match delete {
                        true => WhenFull::DeleteProtected,
                        false => WhenFull::Stop,
                    },
                    cameras: cameras.collect(),
                    places: places.collect(),
                },
                held,
            };
            history.settle();
            history
        })
}

/// Segments of a camera follow one another, some hours long each.
fn held(drawn: Vec<Drawn>) -> Vec<Held> {
    let mut ends = [0_i64; 3];
    let drawn = drawn.into_iter().enumerate();
    drawn
        .map(|(index, (camera, place, protected, tier, bytes, hours))| {
            let start_us = ends[camera];
            ends[camera] += hours * HOUR_US;
            Held {
                camera,
                place,
                class: Class {
                    protected,
                    tier: Tier::ALL[usize::try_from(tier).unwrap()],
                },
                item: Item {
                    id: format!("{index:03}"),
                    start_us,
                    end_us: ends[camera],
                    bytes,
                },
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_plan_keeps_the_rules(before in history()) {
        let (steps, found) = before.plan();
        prop_assert!(!found.cut_short);
        let mut now = before.clone();
        let mut last_space = None;
        for step in &steps {
            let begun = step.reason == Reason::Space && last_space == Some(step.held.place);
            // Necessary at its turn: the last one of each limit too, so no more goes than needed.
            prop_assert!(now.calls_for(step, begun), "{step:?} of {now:?}");
            prop_assert!(now.may_go(step.held.class) || step.reason == Reason::Age, "{step:?}");
            prop_assert!(step.reason != Reason::Age || !step.held.class.protected);
            // Nothing that should have gone before it stays.
            let rivals = now.held.iter().filter(|held| held.item.id != step.held.item.id);
            let mut rivals = rivals.filter(|held| match step.reason {
                Reason::Age => held.camera == step.held.camera
                    && held.place == step.held.place && held.class == step.held.class,
                Reason::CameraSize => held.camera == step.held.camera,
                Reason::StorageSize | Reason::Space => held.place == step.held.place,
            });
            let rank = |held: &Held| (held.class.order(), held.item.start_us);
            prop_assert!(
                rivals.all(|held| rank(held) >= rank(&step.held)),
                "{step:?} of {now:?}"
            );
            last_space = (step.reason == Reason::Space).then_some(step.held.place);
            now.without(&step.held.item.id);
        }
        // Every limit holds afterwards, or nothing was left to delete.
        for camera in 0..3 {
            let limit = now.situation.cameras[camera].limits.max_bytes;
            let left = now.held.iter().any(|held| held.camera == camera && now.may_go(held.class));
            prop_assert!(limit.is_none_or(|max| now.of_camera(camera) <= max) || !left);
        }
        for (place, outlook) in found.places.iter().enumerate() {
            let room = &now.situation.places[place];
            let left = now.held.iter().any(|held| held.place == place && now.may_go(held.class));
            let over = room.max_bytes.map_or(0, |max| now.of_place(place).saturating_sub(max));
            let lacking = now.wanted(place).saturating_sub(room.free_bytes);
            prop_assert!((over == 0 && lacking == 0) || !left, "{now:?}");
            prop_assert_eq!(outlook.short_bytes, over.max(lacking), "what cannot be reached is told");
        }
        if before.situation.clock_trusted {
            for held in now.held.iter().filter(|held| !held.class.protected) {
                let camera = &now.situation.cameras[held.camera];
                let limit = camera.limits.age_us[usize::try_from(held.class.tier.rank()).unwrap()];
                let expired = limit.is_some_and(|limit| held.item.end_us <= now.situation.now_us - limit);
                prop_assert!(!expired || held.item.start_us == camera.newest_us, "{held:?}");
            }
        } else {
            prop_assert!(steps.iter().all(|step| step.reason != Reason::Age));
        }
        // Applied once, there is nothing more to do.
        let (again, _) = now.plan();
        prop_assert!(again.is_empty(), "{again:?}");
    }

    #[test]
    fn a_plan_that_is_cut_short_is_the_beginning_of_the_whole(before in history(), most in 0..10_usize) {
        let (whole, _) = before.plan();
        let mut ids = Vec::new();
        let found = plan(&before.situation, &mut before.clone(), &mut |deletion| {
            ids.push(deletion.item.id);
            match ids.len() > most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }).unwrap();
        prop_assert_eq!(found.cut_short, whole.len() > most);
        let whole: Vec<String> = whole.into_iter().map(|step| step.held.item.id).collect();
        prop_assert!(whole.starts_with(&ids), "{ids:?} of {whole:?}");
    }
}

/// One camera with ten segments of an hour and ten bytes.
fn plain() -> History {
    let held = (0..10).map(|hour| Held {
        camera: 0,
        place: 0,
        class: Class::plain(Tier::Continuous),
        item: Item {
            id: format!("{hour}"),
            start_us: hour * HOUR_US,
            end_us: (hour + 1) * HOUR_US,
            bytes: 10,
        },
    });
    let mut history = History {
        held: held.collect(),
        situation: Situation {
            now_us: 10 * HOUR_US,
            clock_trusted: true,
            when_full: WhenFull::Stop,
            cameras: vec![Camera {
                name: name(0),
                limits: Limits::default(),
                newest_us: 0,
                storage: place_id(0),
                rate: 10.0 / 3600.0,
                held: Vec::new(),
            }],
            places: vec![Place {
                id: place_id(0),
                disk: 0,
                total_bytes: 1000,
                free_bytes: 500,
                max_bytes: None,
                min_free_bytes: 0,
            }],
        },
    };
    history.settle();
    history
}

fn ids(history: &History) -> String {
    let steps = history.plan().0;
    steps
        .iter()
        .map(|step| step.held.item.id.as_str())
        .collect()
}

#[test]
fn each_limit_takes_the_oldest_and_no_more() {
    let mut history = plain();
    assert_eq!(ids(&history), "");
    history.situation.cameras[0].limits.age_us[0] = Some(3 * HOUR_US);
    assert_eq!(ids(&history), "0123456");
    history.situation.clock_trusted = false;
    assert_eq!(ids(&history), "");
    history.situation.cameras[0].limits.max_bytes = Some(75);
    assert_eq!(ids(&history), "012");
    history.situation.places[0].max_bytes = Some(55);
    assert_eq!(ids(&history), "01234");
    // 100 wanted, 125 is enough: 60 are free with what the sizes took, so seven more go.
    history.situation.places[0].min_free_bytes = 100;
    history.situation.places[0].free_bytes = 10;
    assert_eq!(ids(&history), "0123456789");
    let short = history.plan().1.places[0].short_bytes;
    assert_eq!(short, 0, "110 are free then");
    history.held[0].class.protected = true;
    history.settle();
    history.situation.places[0].free_bytes = 0;
    assert_eq!(ids(&history), "123456789");
    assert_eq!(history.plan().1.places[0].short_bytes, 10);
    history.situation.when_full = WhenFull::DeleteProtected;
    assert_eq!(ids(&history), "1234567890", "last of all");
}

#[test]
fn the_newest_never_goes_by_age() {
    let mut history = plain();
    history.situation.now_us = 1_000_000 * HOUR_US;
    history.situation.cameras[0].limits.age_us = [Some(1); 3];
    assert_eq!(ids(&history), "012345678");
}

#[test]
fn room_is_wanted_for_an_hour_within_bounds() {
    let mut place = plain().situation.places[0].clone();
    assert_eq!(wanted_free(&place, 0.01), 36);
    assert_eq!(wanted_free(&place, 1.0), 200, "a fifth at most");
    place.min_free_bytes = 300;
    assert_eq!(wanted_free(&place, 1.0), 300, "what was asked for at least");
}

#[test]
fn folders_of_one_disk_share_its_room() {
    let mut history = plain();
    let mut twin = history.situation.places[0].clone();
    twin.id = place_id(1);
    history.situation.places.push(twin);
    for place in &mut history.situation.places {
        (place.free_bytes, place.min_free_bytes) = (0, 40);
    }
    // 40 wanted, 50 is enough; the second folder finds it free already.
    assert_eq!(ids(&history), "01234");
}

#[test]
fn what_lasts_how_long_is_told_with_its_reason() {
    let mut history = plain();
    let lasting = |history: &History| history.plan().1.cameras[0];
    // 100 held and 500 free, less 1.25 of the ten bytes of an hour: 587 hours and a bit.
    let found = lasting(&history);
    assert_eq!(found.by, Some(Reason::Space));
    assert!((found.days.unwrap() * 24.0 - 58.7).abs() < 0.1, "{found:?}");
    history.situation.places[0].max_bytes = Some(480);
    assert_eq!(lasting(&history).by, Some(Reason::StorageSize));
    assert!((lasting(&history).days.unwrap() - 2.0).abs() < 0.01);
    history.situation.cameras[0].limits.max_bytes = Some(240);
    assert_eq!(lasting(&history).by, Some(Reason::CameraSize));
    assert!((lasting(&history).days.unwrap() - 1.0).abs() < 0.01);
    history.situation.cameras[0].limits.age_us[0] = Some(12 * HOUR_US);
    assert_eq!(lasting(&history).by, Some(Reason::Age));
    assert!((lasting(&history).days.unwrap() - 0.5).abs() < 0.01);
    history.situation.cameras[0].rate = 0.0;
    assert_eq!(lasting(&history).by, Some(Reason::Age));
    history.situation.cameras[0].limits = Limits::default();
    assert_eq!(
        lasting(&history),
        Lasting {
            days: None,
            by: None
        }
    );
}

/// What a year of sixteen cameras costs; the sum is checked so that nothing is optimised away.
#[test]
fn half_a_million_segments_are_planned_in_one_pass() {
    struct Many;
    impl Segments for Many {
        fn oldest(
            &mut self,
            camera: &str,
            _: &str,
            class: Class,
            after: Option<&Item>,
        ) -> Result<Vec<Item>> {
            let first = after.map_or(0, |after| after.start_us / HOUR_US + 1);
            let own = i64::from(class == Class::plain(Tier::Continuous)) * 31_250;
            let hours = first..(first + 256).min(own);
            Ok(hours
                .map(|hour| Item {
                    id: format!("{camera}-{hour:08}"),
                    start_us: hour * HOUR_US,
                    end_us: (hour + 1) * HOUR_US,
                    bytes: 10,
                })
                .collect())
        }
    }
    let mut situation = plain().situation;
    let camera = Camera {
        held: vec![(place_id(0), 312_500)],
        newest_us: 31_249 * HOUR_US,
        ..situation.cameras[0].clone()
    };
    situation.cameras = (0..16)
        .map(|index| Camera {
            name: name(index),
            ..camera.clone()
        })
        .collect();
    situation.places[0].max_bytes = Some(0);
    let start = std::time::Instant::now();
    let mut count = 0;
    plan(&situation, &mut Many, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    println!("{count} deletions planned in {:?}", start.elapsed());
    assert_eq!(count, 500_000);
}
