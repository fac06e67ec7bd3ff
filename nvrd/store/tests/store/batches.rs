//! Batches: one transaction, an exact list of what was committed, and how fast they are.

use std::time::Instant;

use nvr_base::{ErrorKind, Principal};
use nvr_store::{Change, StoreChange};

use crate::support::{TestStore, event, segment, step};

#[test]
fn a_batch_tells_exactly_what_is_new() {
    let test = TestStore::new();
    let opened = StoreChange::Event(step(Change::Opened, event("e1", 0)));
    let first = StoreChange::Segment(segment("front", 0));
    let batch = vec![
        opened.clone(),
        first.clone(),
        opened.clone(),
        first.clone(),
        StoreChange::Event(step(Change::Closed, event("e1", 0))),
    ];
    let committed = test.store.apply_batch(&batch).unwrap();
    assert!(committed.refused.is_empty());
    assert_eq!(committed.changes.len(), 3);
    assert_eq!(committed.changes[..2], [opened, first]);
    let store = test.after_kill();
    assert_eq!(
        committed.changes[2],
        StoreChange::Event(step(
            Change::Closed,
            store.event(Principal::system(), "e1").unwrap()
        ))
    );

    let again = store.apply_batch(&batch).unwrap();
    assert_eq!((again.changes, again.refused.len()), (vec![], 0));
    assert!(store.apply_batch(&[]).unwrap().changes.is_empty());
}

#[test]
fn one_wrong_change_does_not_cost_the_others() {
    let test = TestStore::new();
    let mut nan = event("nan", 0);
    nan.score = Some(f64::NAN);
    let mut twin = segment("front", 0);
    twin.id = "twin".to_owned();
    let mut outside = segment("front", 1);
    outside.path = "../../boot.img".to_owned();
    let batch = [
        StoreChange::Segment(segment("front", 0)),
        StoreChange::Event(step(Change::Opened, nan)),
        StoreChange::Segment(twin),
        StoreChange::Segment(outside),
        StoreChange::Event(step(Change::Opened, event("good", 0))),
    ];
    let committed = test.store.apply_batch(&batch).unwrap();
    assert_eq!(committed.changes, [batch[0].clone(), batch[4].clone()]);
    let refused: Vec<_> = committed
        .refused
        .iter()
        .map(|refused| (refused.index, refused.error.kind()))
        .collect();
    assert_eq!(
        refused,
        [
            (1, ErrorKind::InvalidArgument),
            (2, ErrorKind::AlreadyExists),
            (3, ErrorKind::InvalidArgument)
        ]
    );
    assert_eq!(test.after_kill().segment_paths("front").unwrap().len(), 1);
    assert!(test.store.event(Principal::system(), "good").is_ok());
}

/// Prints how fast it goes; what must hold is that nothing is lost on the way.
#[test]
fn thousands_of_changes_in_batches_and_one_by_one() {
    let test = TestStore::new();
    let batches: Vec<Vec<StoreChange>> = (0..50)
        .map(|batch| {
            (0..50)
                .flat_map(|n| {
                    let number = batch * 50 + n;
                    let event = event(&format!("{number:06}"), number);
                    [
                        StoreChange::Event(step(Change::Closed, event)),
                        StoreChange::Segment(segment("front", number)),
                    ]
                })
                .collect()
        })
        .collect();
    let start = Instant::now();
    for batch in &batches {
        assert_eq!(test.store.apply_batch(batch).unwrap().changes.len(), 100);
    }
    let batched = start.elapsed();
    let start = Instant::now();
    for number in 0..100 {
        test.store.insert_segment(&segment("yard", number)).unwrap();
    }
    let single = start.elapsed();
    println!(
        "batches of 100: {:.0} changes/s; one by one: {:.0} changes/s",
        5000.0 / batched.as_secs_f64(),
        100.0 / single.as_secs_f64()
    );
    assert_eq!(test.store.health().unwrap().segments, 2600);
}

#[test]
fn events_with_words_come_all_or_not_at_all() {
    let test = TestStore::new();
    let said = |text: &str| nvr_store::NewDescription {
        description: text.to_owned(),
        provider: "api".to_owned(),
        model: String::new(),
        confidence: Some(90),
        objects: vec!["person".to_owned()],
        tokens: 0,
        cost: 0.0,
        response_time_ms: 0,
    };
    let rows = [
        (event("a", 0), Some(said("a person waits"))),
        (event("b", 1), None),
    ];
    let added = test.store.add_events(&rows).unwrap();
    assert_eq!(added.len(), 2);
    assert!(
        added
            .iter()
            .all(|step| step.event.state == nvr_store::EventState::Closed)
    );
    let store = test.after_kill();
    let ids = ["a".to_owned(), "b".to_owned()];
    let words = store.event_descriptions(&ids).unwrap();
    assert_eq!(words.len(), 1);
    assert_eq!(words["a"].answer.description, "a person waits");

    let twice = [(event("c", 2), None), (event("b", 1), None)];
    let error = test.store.add_events(&twice).unwrap_err();
    assert_eq!(error.kind(), nvr_base::ErrorKind::AlreadyExists);
    let page = nvr_store::PageRequest::default();
    let filter = nvr_store::EventFilter::default();
    let all = nvr_base::Principal::system();
    assert_eq!(test.store.events(all, &filter, page).unwrap().total, 2);
}
