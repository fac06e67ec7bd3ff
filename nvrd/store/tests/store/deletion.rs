//! What retention asks of the store: tiers that follow events, totals, garbage, protection.

use nvr_base::Principal;
use nvr_store::retention::{Class, Item, Tier};
use nvr_store::{Change, ClockDoubt, EventRow, GarbageRow, Held, Pending, SegmentRow};
use proptest::prelude::*;

use crate::support::{NOW_US, SECOND_US, TestStore, event, segment, step};

const CONTINUOUS: Class = class(Tier::Continuous, false);

const fn class(tier: Tier, protected: bool) -> Class {
    Class { protected, tier }
}

fn numbers(items: &[Item]) -> Vec<i64> {
    let start = |item: &Item| (item.start_us - NOW_US) / (10 * SECOND_US);
    items.iter().map(start).collect()
}

/// The numbers of a camera's segments by class.
fn by_class(test: &TestStore, class: Class) -> Vec<i64> {
    let found = test.store.oldest_segments("", "front", class, None, 100);
    numbers(&found.unwrap())
}

fn event_of(id: &str, kind: &str, start: i64, end: i64) -> EventRow {
    let mut event = event(id, start);
    event.kind = kind.to_owned();
    event.end_us = Some(NOW_US + end * SECOND_US);
    event
}

#[test]
fn tiers_follow_the_events() {
    let test = TestStore::new();
    let store = &test.store;
    for number in 0..5 {
        store.insert_segment(&segment("front", number)).unwrap();
    }
    // An event that goes on, and motion that ended, before the segments that they lie in come.
    let open = event_of("a", "object", 62, 63);
    store
        .apply_event(&step(Change::Opened, open.clone()))
        .unwrap();
    let motion = event_of("b", "motion", 30, 34);
    store.apply_event(&step(Change::Closed, motion)).unwrap();
    let system = event_of("c", "system", 0, 10);
    store.apply_event(&step(Change::Closed, system)).unwrap();
    let mut elsewhere = event_of("d", "object", 0, 10);
    elsewhere.camera = "yard".to_owned();
    store.apply_event(&step(Change::Closed, elsewhere)).unwrap();
    for number in 5..10 {
        store.insert_segment(&segment("front", number)).unwrap();
    }
    assert_eq!(
        by_class(&test, class(Tier::Motion, false)),
        [2, 3],
        "5 s before count"
    );
    assert_eq!(by_class(&test, class(Tier::Event, false)), [5, 6, 7, 8, 9]);
    assert_eq!(by_class(&test, CONTINUOUS), [0, 1, 4]);

    // It ended in segment 7, so that the one after it is within the 5 s, and the last is not.
    let mut closed = open;
    closed.end_us = Some(NOW_US + 79 * SECOND_US);
    store.apply_event(&step(Change::Closed, closed)).unwrap();
    store.insert_segment(&segment("front", 10)).unwrap();
    assert_eq!(by_class(&test, CONTINUOUS), [0, 1, 4, 9, 10]);
    // Motion within an object's time changes nothing; without the object it counts.
    let motion = event_of("e", "motion", 62, 64);
    store.apply_event(&step(Change::Closed, motion)).unwrap();
    assert_eq!(by_class(&test, class(Tier::Event, false)), [5, 6, 7, 8]);
    store.delete_event(Principal::system(), "a").unwrap();
    assert_eq!(by_class(&test, class(Tier::Event, false)), [] as [i64; 0]);
    assert_eq!(by_class(&test, class(Tier::Motion, false)), [2, 3, 5, 6]);
}

/// Events and segments in any order give the tiers of the plain definition, once all events are closed.
#[test]
fn tiers_do_not_depend_on_the_order() {
    let test = TestStore::new();
    let case = std::cell::Cell::new(0);
    proptest!(ProptestConfig::with_cases(48), |(
        events in proptest::collection::vec((0..100_i64, 0..40_i64, any::<bool>()), 0..5),
        order in Just((0..15_usize).collect::<Vec<_>>()).prop_shuffle(),
    )| {
        case.set(case.get() + 1);
        let camera = format!("camera-{}", case.get());
        for step_of in order {
            match step_of {
                0..10 => {
                    let number = i64::try_from(step_of).unwrap();
                    test.store.insert_segment(&segment(&camera, number)).unwrap();
                }
                index => {
                    let Some((start, length, object)) = events.get(index - 10) else { continue };
                    let kind = if *object { "object" } else { "motion" };
                    let mut event = event_of(&format!("{camera}-{index}"), kind, *start, start + length);
                    event.camera.clone_from(&camera);
                    test.store.apply_event(&step(Change::Closed, event)).unwrap();
                }
            }
        }
        for tier in Tier::ALL {
            let found = test.store.oldest_segments("", &camera, class(tier, false), None, 100).unwrap();
            let expect: Vec<i64> = (0..10)
                .filter(|number| {
                    let (from, to) = (number * 10 - 5, number * 10 + 15);
                    let touching = events.iter().filter(|(start, length, _)| *start < to && start + length > from);
                    let best = touching.map(|(_, _, object)| if *object { Tier::Event } else { Tier::Motion }).max();
                    best.unwrap_or(Tier::Continuous) == tier
                })
                .collect();
            prop_assert_eq!(numbers(&found), expect, "{:?} with {:?}", tier, &events);
        }
    });
}

#[test]
fn the_oldest_come_in_batches() {
    let test = TestStore::new();
    let mut rows: Vec<SegmentRow> = (0..5).map(|number| segment("front", number)).collect();
    // Two that begin at the same time are told apart by their ids.
    rows[3].start_us = rows[2].start_us;
    rows[4].storage = "other".to_owned();
    for row in &rows {
        test.store.insert_segment(row).unwrap();
    }
    let mut found: Vec<Item> = Vec::new();
    loop {
        let more = test
            .store
            .oldest_segments("", "front", CONTINUOUS, found.last(), 1)
            .unwrap();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    let ids: Vec<&str> = found.iter().map(|item| item.id.as_str()).collect();
    let expect: Vec<&str> = rows[..4].iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, expect);
}

fn held(test: &TestStore) -> Vec<(String, String, i64, i64)> {
    let held = test.store.held().unwrap().into_iter();
    held.map(
        |Held {
             storage,
             camera,
             segments,
             bytes,
         }| (storage, camera, segments, bytes),
    )
    .collect()
}

#[test]
fn totals_are_kept_through_every_change() {
    let test = TestStore::new();
    for number in 0..3 {
        test.store
            .insert_segment(&segment("front", number))
            .unwrap();
    }
    test.store.insert_segment(&segment("attic", 0)).unwrap();
    let row = |storage: &str, camera: &str, count: i64| {
        (
            storage.to_owned(),
            camera.to_owned(),
            count,
            count * 5_000_000,
        )
    };
    assert_eq!(held(&test), [row("", "attic", 1), row("", "front", 3)]);
    assert_eq!(test.store.place_segments("disk").unwrap(), 4);
    assert_eq!(
        held(&test),
        [row("disk", "attic", 1), row("disk", "front", 3)]
    );
    let ids = ["front-00000000".to_owned(), "nobody".to_owned()];
    assert_eq!(test.store.discard_segments(&ids, "age").unwrap().len(), 1);
    test.store.delete_segment("attic-00000000").unwrap();
    assert_eq!(held(&test), [row("disk", "front", 2)]);
    assert_eq!(
        test.store.last_recorded_us().unwrap(),
        Some(NOW_US + 30 * SECOND_US)
    );
}

#[test]
fn what_is_deleted_becomes_garbage_and_a_gap_at_once() {
    let test = TestStore::new();
    for number in 0..6 {
        test.store
            .insert_segment(&segment("front", number))
            .unwrap();
    }
    let id = |number: i64| vec![segment("front", number).id];
    let gaps = || -> Vec<(i64, i64)> {
        let found = test
            .store
            .gaps(Principal::system(), "front", 0, i64::MAX, 100)
            .unwrap();
        let seconds = |us: i64| (us - NOW_US) / SECOND_US;
        let found = found.into_iter().filter(|gap| gap.reason == "deleted");
        found
            .map(|gap| (seconds(gap.start_us), seconds(gap.end_us.unwrap())))
            .collect()
    };
    // In any order, what follows on is one gap.
    for (number, expect) in [
        (0, vec![(0, 10)]),
        (1, vec![(0, 20)]),
        (4, vec![(0, 20), (40, 50)]),
        (3, vec![(0, 20), (30, 50)]),
        (2, vec![(0, 50)]),
    ] {
        let gone = test.store.discard_segments(&id(number), "space").unwrap();
        assert_eq!((gone.len(), gone[0].reason.as_str()), (1, "space"));
        assert_eq!(gaps(), expect, "after {number}");
    }
    let store = test.after_kill();
    let list: Vec<GarbageRow> = store.garbage("", 500).unwrap();
    assert_eq!(list.len(), 5);
    assert!(store.is_garbage("", &list[0].path).unwrap());
    assert!(!store.is_garbage("other", &list[0].path).unwrap());
    let pending = store.pending_garbage().unwrap();
    assert_eq!(
        pending,
        [Pending {
            storage: String::new(),
            files: 5,
            bytes: 25_000_000
        }]
    );
    // What fails goes to the end.
    store.garbage_failed(&list[0], "read-only").unwrap();
    let after = store.garbage("", 500).unwrap();
    assert_eq!(
        (
            after[4].path.as_str(),
            after[4].tries,
            after[4].error.as_deref()
        ),
        (list[0].path.as_str(), 1, Some("read-only"))
    );
    store.forget_garbage(&after).unwrap();
    assert!(store.pending_garbage().unwrap().is_empty());
}

#[test]
fn a_range_is_protected_and_let_go() {
    let test = TestStore::new();
    for number in 0..5 {
        test.store
            .insert_segment(&segment("front", number))
            .unwrap();
    }
    let at = |second: i64| NOW_US + second * SECOND_US;
    assert!(!test.store.has_protected("front", at(0), at(50)).unwrap());
    assert_eq!(
        test.store
            .protect_segments("front", at(15), at(21), true)
            .unwrap(),
        2
    );
    assert_eq!(by_class(&test, class(Tier::Continuous, true)), [1, 2]);
    assert_eq!(by_class(&test, CONTINUOUS), [0, 3, 4]);
    assert!(test.store.has_protected("front", at(29), at(50)).unwrap());
    assert!(!test.store.has_protected("front", at(30), at(50)).unwrap());
    assert_eq!(
        test.store
            .protect_segments("front", at(20), at(30), false)
            .unwrap(),
        1
    );
    assert_eq!(
        test.store
            .protect_segments("yard", at(0), at(50), true)
            .unwrap(),
        0
    );
    assert_eq!(by_class(&test, class(Tier::Continuous, true)), [1]);
}

#[test]
fn what_a_camera_writes_is_measured() {
    let test = TestStore::new();
    assert_eq!(test.store.ahead("front", 600 * SECOND_US).unwrap(), None);
    for number in -100..0 {
        let mut row = segment("front", number);
        // Twice as much in the last minute.
        row.bytes = if number >= -6 { 10_000_000 } else { 5_000_000 };
        test.store.insert_segment(&row).unwrap();
    }
    let rate = |seconds: i64| {
        let ahead = test.store.ahead("front", seconds * SECOND_US).unwrap();
        ahead.unwrap().rate
    };
    assert!((rate(60) - 1_000_000.0).abs() < 1.0, "{}", rate(60));
    assert!((rate(120) - 750_000.0).abs() < 1.0, "{}", rate(120));
    assert!((rate(55) - 1_000_000.0).abs() < 1.0, "{}", rate(55));
    test.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(rate(60), 0.0, "long silent");
}

#[test]
fn a_doubt_about_the_clock_survives() {
    let test = TestStore::new();
    assert_eq!(test.store.clock_doubt().unwrap(), None);
    let doubt = ClockDoubt {
        reason: "it jumped".to_owned(),
        since_us: 7,
    };
    test.store.set_clock_doubt(Some(&doubt)).unwrap();
    assert_eq!(test.after_kill().clock_doubt().unwrap(), Some(doubt));
    test.store.set_clock_doubt(None).unwrap();
    assert_eq!(test.store.clock_doubt().unwrap(), None);
}
