//! The life of an event: each step on each state, repeated, out of order, and cut off by a crash.

use nvr_base::{ErrorKind, Principal};
use nvr_store::{Change, EventFilter, EventRow, EventState, PageRequest, Store};
use proptest::prelude::*;

use crate::support::{EVIL, NOW_US, SECOND_US, TestStore, event, step};

fn later(frames: u64, label: &str) -> EventRow {
    EventRow {
        frames,
        label: Some(label.to_owned()),
        ..event("e", 0)
    }
}

fn closed(event: &EventRow) -> EventRow {
    EventRow {
        state: EventState::Closed,
        ..event.clone()
    }
}

#[test]
fn a_whole_life() {
    let test = TestStore::new();
    let store = &test.store;
    let mut first = event("e", 0);
    (first.end_us, first.end_ns) = (None, None);
    let opened = store
        .apply_event(&step(Change::Opened, first.clone()))
        .unwrap();
    assert_eq!(opened, Some(step(Change::Opened, first.clone())));
    assert_eq!(store.event(Principal::system(), "e").unwrap(), first);

    let mut more = later(40, "courier");
    more.zones = vec!["street".to_owned(), "door".to_owned(), "door".to_owned()];
    let updated = store
        .apply_event(&step(Change::Updated, more))
        .unwrap()
        .unwrap();
    assert_eq!(updated.change, Change::Updated);
    assert_eq!(updated.event.zones, ["door", "street"]);
    assert_eq!(
        store.event(Principal::system(), "e").unwrap(),
        updated.event
    );

    let mut last = later(50, "courier");
    last.zones.clear();
    last.bbox = None;
    let end = store
        .apply_event(&step(Change::Closed, last.clone()))
        .unwrap()
        .unwrap();
    assert_eq!(end, step(Change::Closed, closed(&last)));
    assert_eq!(
        test.after_kill().event(Principal::system(), "e").unwrap(),
        end.event
    );
}

/// What is stored (`None`, or frames and state), a step with its frames, and what is committed.
#[test]
fn each_step_on_each_state() {
    use Change::{Closed, Opened, Updated};
    let check = |before: &[(Change, u64)],
                 step_: (Change, u64),
                 committed: Option<Change>,
                 frames: u64,
                 state: &str| {
        let test = TestStore::new();
        for (change, frames) in before {
            test.store
                .apply_event(&step(*change, later(*frames, "x")))
                .unwrap()
                .unwrap();
        }
        let (change, with) = step_;
        let answer = test
            .store
            .apply_event(&step(change, later(with, "x")))
            .unwrap();
        assert_eq!(
            answer.as_ref().map(|done| done.change),
            committed,
            "{before:?} {step_:?}"
        );
        let stored = test.store.event(Principal::system(), "e").unwrap();
        assert_eq!(
            (stored.frames, stored.state.as_str()),
            (frames, state),
            "{before:?} {step_:?}"
        );
        if let Some(done) = answer {
            assert_eq!(done.event, stored, "what is published is what is stored");
        }
    };
    check(&[], (Opened, 1), Some(Opened), 1, "open");
    check(&[], (Updated, 5), Some(Opened), 5, "open");
    check(&[], (Closed, 9), Some(Closed), 9, "closed");
    check(&[(Opened, 1)], (Opened, 1), None, 1, "open");
    check(&[(Opened, 1)], (Updated, 5), Some(Updated), 5, "open");
    check(&[(Opened, 1)], (Updated, 1), None, 1, "open");
    check(&[(Opened, 1)], (Closed, 1), Some(Closed), 1, "closed");
    check(&[(Updated, 5)], (Opened, 1), None, 5, "open");
    check(&[(Opened, 1), (Updated, 5)], (Updated, 5), None, 5, "open");
    check(&[(Opened, 1), (Updated, 5)], (Updated, 3), None, 5, "open");
    check(
        &[(Opened, 1), (Updated, 5)],
        (Closed, 4),
        Some(Closed),
        4,
        "closed",
    );
    for late in [(Opened, 99), (Updated, 99), (Closed, 9), (Closed, 99)] {
        check(&[(Closed, 9)], late, None, 9, "closed");
    }
}

fn any_row() -> impl Strategy<Value = EventRow> {
    // One that both databases store.
    let any_text = |regex: &'static str| regex.prop_map(|text: String| text.replace('\0', "\u{1}"));
    let text = || proptest::option::of(any_text(".{0,8}"));
    let number = || proptest::option::of(-1e300..1e300_f64);
    (
        (text(), text(), text(), text()),
        (number(), number(), proptest::option::of(any::<u64>())),
        (
            any::<i64>(),
            proptest::option::of(any::<i64>()),
            any::<u64>(),
            proptest::option::of(any::<u64>()),
        ),
        proptest::option::of(proptest::array::uniform4(-1e9..1e9_f64)),
        proptest::collection::btree_set(any_text(".{0,6}"), 0..4),
        any::<u64>(),
    )
        .prop_map(|(texts, numbers, times, bbox, zones, frames)| EventRow {
            label: texts.0,
            identity: texts.1,
            model: texts.2,
            pipeline: texts.3,
            score: numbers.0,
            similarity: numbers.1,
            track_id: numbers.2,
            start_us: times.0,
            end_us: times.1,
            start_ns: times.2,
            end_ns: times.3,
            bbox,
            zones: zones.into_iter().collect(),
            frames,
            ..event("e", 0)
        })
}

fn any_steps() -> impl Strategy<Value = Vec<(Change, EventRow)>> {
    let change = prop_oneof![Just(Change::Opened), Just(Change::Updated)];
    proptest::collection::vec((change, any_row()), 0..6)
}

fn fresh(store: &Store) {
    if store.event(Principal::system(), "e").is_ok() {
        store.delete_event(Principal::system(), "e").unwrap();
    }
}

#[test]
fn after_closed_neither_order_nor_repetition_matters() {
    let test = TestStore::new();
    let store = &test.store;
    proptest!(ProptestConfig::with_cases(96), |(
        before in any_steps(),
        end in any_row(),
        after in any_steps(),
    )| {
        fresh(store);
        for (change, row) in &before {
            let change = step(*change, row.clone());
            if let Some(done) = store.apply_event(&change).unwrap() {
                prop_assert_eq!(&done.event, &store.event(Principal::system(), "e").unwrap());
            }
            prop_assert_eq!(store.apply_event(&change).unwrap(), None, "the same step twice");
        }
        let end = step(Change::Closed, end);
        prop_assert!(store.apply_event(&end).unwrap().is_some());
        for (change, row) in before.iter().chain(&after) {
            prop_assert_eq!(store.apply_event(&step(*change, row.clone())).unwrap(), None);
            prop_assert_eq!(store.apply_event(&end).unwrap(), None);
        }
        prop_assert_eq!(store.event(Principal::system(), "e").unwrap(), closed(&end.event));
    });
}

#[test]
fn what_a_crash_left_open_is_closed_at_its_last_known_end() {
    let test = TestStore::new();
    // Begun, with nothing known of its end; going on; ended; begun in a future that the clock no longer sees.
    let mut bare = event("bare", 0);
    (bare.end_us, bare.end_ns) = (None, None);
    for row in [bare, event("going-on", 10), event("future", 5000)] {
        test.store.apply_event(&step(Change::Opened, row)).unwrap();
    }
    test.store
        .apply_event(&step(Change::Closed, event("ended", 20)))
        .unwrap();

    let store = test.after_kill();
    let now_us = NOW_US + 12 * SECOND_US;
    let done = store.close_interrupted_events(now_us).unwrap();
    let ends: Vec<_> = done
        .iter()
        .map(|row| {
            (
                row.id.as_str(),
                (row.end_us.unwrap() - NOW_US) / SECOND_US,
                row.end_ns.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        ends,
        [
            ("bare", 0, 1_000_000_000),
            ("going-on", 12, 6_000_000_000),
            ("future", 5000, 6_000_000_000),
        ]
    );
    for row in &done {
        assert!(row.interrupted);
        assert_eq!(&store.event(Principal::system(), &row.id).unwrap(), row);
    }
    assert!(
        !store
            .event(Principal::system(), "ended")
            .unwrap()
            .interrupted
    );
    assert_eq!(store.close_interrupted_events(now_us).unwrap(), vec![]);

    // The real end was still on its way: it knows better, once.
    let real = step(Change::Closed, event("going-on", 10));
    assert!(store.apply_event(&real).unwrap().is_some());
    assert_eq!(store.apply_event(&real).unwrap(), None);
    assert_eq!(
        store.event(Principal::system(), "going-on").unwrap(),
        closed(&event("going-on", 10))
    );
    assert_eq!(
        store
            .apply_event(&step(Change::Updated, event("bare", 0)))
            .unwrap(),
        None
    );
}

#[test]
fn what_no_column_can_hold_is_refused() {
    let test = TestStore::new();
    let check = |spoil: &dyn Fn(&mut EventRow), says: &str| {
        let mut row = event("e", 0);
        spoil(&mut row);
        let error = test
            .store
            .apply_event(&step(Change::Opened, row))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(says), "{error}");
    };
    check(&|row| row.score = Some(f64::NAN), "finite");
    check(&|row| row.similarity = Some(f64::INFINITY), "finite");
    check(
        &|row| row.bbox = Some([0.0, 0.0, f64::NEG_INFINITY, 0.0]),
        "finite",
    );
    check(&|row| row.id.clear(), "id is empty");
    check(&|row| row.camera.clear(), "camera is empty");
    check(&|row| row.kind.clear(), "kind is empty");
    assert_eq!(test.store.health().unwrap().events, 0);
}

#[test]
fn any_text_is_kept_and_found_as_it_is() {
    let test = TestStore::new();
    for (index, text) in EVIL.iter().enumerate() {
        let text = || (*text).to_owned();
        let row = EventRow {
            id: format!("{index} {}", text()),
            camera: text(),
            kind: text(),
            label: Some(text()),
            zones: vec![text()],
            identity: Some(text()),
            model: Some(text()),
            pipeline: Some(text()),
            ..event("", 0)
        };
        test.store
            .apply_event(&step(Change::Opened, row.clone()))
            .unwrap();
        assert_eq!(test.store.event(Principal::system(), &row.id).unwrap(), row);
    }
    let found = |filter: EventFilter| {
        let page = test
            .store
            .events(Principal::system(), &filter, PageRequest::default())
            .unwrap();
        page.items
            .into_iter()
            .map(|row| row.camera)
            .collect::<Vec<_>>()
    };
    for text in EVIL {
        let same = || Some(text.to_owned());
        let camera = EventFilter {
            camera: same(),
            ..EventFilter::default()
        };
        let kind = EventFilter {
            kind: same(),
            ..EventFilter::default()
        };
        let label = EventFilter {
            label: same(),
            ..EventFilter::default()
        };
        let zone = EventFilter {
            zone: same(),
            ..EventFilter::default()
        };
        for filter in [camera, kind, label, zone] {
            assert_eq!(found(filter), [text]);
        }
        if text.contains('\0') {
            continue;
        }
        let mut holding: Vec<_> = EVIL
            .into_iter()
            .filter(|other| other.contains(text))
            .collect();
        let mut matches = found(EventFilter {
            search: same(),
            ..EventFilter::default()
        });
        holding.sort_unstable();
        matches.sort();
        assert_eq!(matches, holding, "search for {text:?}");
    }
    let nul = EventFilter {
        search: Some("a\0b".to_owned()),
        ..EventFilter::default()
    };
    let error = test
        .store
        .events(Principal::system(), &nul, PageRequest::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn an_event_is_removed_with_its_zones() {
    let test = TestStore::new();
    test.store
        .apply_event(&step(Change::Closed, event("e", 0)))
        .unwrap();
    test.store.delete_event(Principal::system(), "e").unwrap();
    for error in [
        test.store.event(Principal::system(), "e").unwrap_err(),
        test.store
            .delete_event(Principal::system(), "e")
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), r#"no event has the id "e""#);
    }
    let mut bare = event("e", 0);
    bare.zones.clear();
    test.store.apply_event(&step(Change::Closed, bare)).unwrap();
    assert!(
        test.store
            .event(Principal::system(), "e")
            .unwrap()
            .zones
            .is_empty()
    );
}
