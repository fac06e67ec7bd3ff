//! The store through its front door.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step fails the test, and the setting for tests does not reach helpers"
)]

mod support;

use nvr_base::ErrorKind;
use nvr_store::{Change, EventFilter, EventState, PageRequest, StoreChange};

use support::{NOW_US, SECOND_US, TestStore, camera, event, segment, step};

#[test]
fn cameras_are_made_changed_and_forgotten() {
    let test = TestStore::new();
    let made = test.store.insert_camera(&camera("front")).unwrap();
    assert_eq!((made.created_us, made.updated_us), (NOW_US, NOW_US));
    assert_eq!(test.store.camera("front").unwrap(), made);

    let again = test.store.insert_camera(&camera("front")).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);

    test.clock.advance(std::time::Duration::from_secs(1));
    let mut change = camera("front");
    change.sub_uri = None;
    change.enabled = false;
    let changed = test.store.update_camera(&change).unwrap();
    assert_eq!(changed.created_us, NOW_US);
    assert_eq!(changed.updated_us, NOW_US + SECOND_US);
    assert_eq!(test.reopened().list_cameras().unwrap(), vec![changed]);

    test.store.insert_segment(&segment("front", 0)).unwrap();
    test.store.delete_camera("front").unwrap();
    assert!(test.store.list_cameras().unwrap().is_empty());
    assert_eq!(test.store.camera_totals().unwrap()[0].segments, 1);
    for error in [
        test.store.camera("front").unwrap_err(),
        test.store.update_camera(&camera("front")).unwrap_err(),
        test.store.delete_camera("front").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), r#"no camera is called "front""#);
    }
}

#[test]
fn a_batch_is_committed_and_told() {
    let test = TestStore::new();
    let opened = step(Change::Opened, event("e1", 0));
    let batch = vec![
        StoreChange::Event(opened.clone()),
        StoreChange::Segment(segment("front", 0)),
        StoreChange::Event(opened),
        StoreChange::Event(step(Change::Closed, event("e1", 0))),
    ];
    let committed = test.store.apply_batch(&batch).unwrap();
    assert_eq!(committed.changes.len(), 3);
    assert!(committed.refused.is_empty());
    let again = test.store.apply_batch(&batch).unwrap();
    assert_eq!(again.changes, vec![]);

    let store = test.reopened();
    assert_eq!(store.event("e1").unwrap().state, EventState::Closed);
    let page = store
        .events(&EventFilter::default(), PageRequest::default())
        .unwrap();
    assert_eq!((page.items.len(), page.total), (1, 1));
    assert_eq!(
        store.segments("front", NOW_US, NOW_US + 1, 10).unwrap(),
        vec![segment("front", 0)]
    );
    let health = store.health().unwrap();
    assert_eq!(health.problems, Vec::<String>::new());
    assert_eq!(
        (health.events, health.open_events, health.segments),
        (1, 0, 1)
    );
    assert_eq!(health.schema_version, "20261120120300");
}

#[test]
fn gaps_open_once_and_close() {
    let test = TestStore::new();
    let store = &test.store;
    let lost = store
        .open_gap("front", "source_lost", NOW_US, Some("no answer"))
        .unwrap();
    let same = store
        .open_gap("front", "source_lost", NOW_US + 5, None)
        .unwrap();
    assert_eq!(lost, same);
    store.open_gap("front", "paused", NOW_US + 7, None).unwrap();
    assert_eq!(test.reopened().open_gaps("front").unwrap().len(), 2);
    let closed = store
        .close_gap("front", Some("source_lost"), NOW_US + 10)
        .unwrap();
    assert_eq!(closed[0].end_us, Some(NOW_US + 10));
    assert_eq!(store.close_gap("front", None, NOW_US).unwrap().len(), 1);
    let all = store.gaps("front", NOW_US, NOW_US + 100, 10).unwrap();
    // The second one would have ended before it began.
    assert_eq!(
        all.iter().map(|gap| gap.end_us).collect::<Vec<_>>(),
        vec![Some(NOW_US + 10), Some(NOW_US + 7)]
    );
}
