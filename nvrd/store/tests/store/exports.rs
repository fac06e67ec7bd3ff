//! The life of an export in the store: waiting, running, over, gone.

use nvr_base::{ErrorKind, Principal};
use nvr_store::{ExportGap, ExportOutcome, ExportState, NewExport, PageRequest, Store};

use crate::support::{EVIL, NOW_US, SECOND_US, TestStore};

fn wish(name: Option<&str>) -> NewExport {
    NewExport {
        camera: "front".to_owned(),
        name: name.map(str::to_owned),
        start_us: NOW_US,
        end_us: NOW_US + 60 * SECOND_US,
        missing: vec![ExportGap {
            start_us: NOW_US,
            end_us: NOW_US + SECOND_US,
            reason: "source_lost".to_owned(),
            detail: Some("no \"route\"".to_owned()),
        }],
    }
}

fn done() -> ExportOutcome {
    ExportOutcome::Done {
        shown_us: NOW_US + 1,
        bytes: 5 << 30,
        missing: Vec::new(),
        detail: None,
    }
}

#[test]
fn an_export_goes_from_waiting_to_done() {
    let test = TestStore::new();
    let store = &test.store;
    let added = store.add_export(&wish(None), 2).unwrap();
    assert_eq!(store.export(Principal::system(), &added.id).unwrap(), added);
    assert_eq!(added.missing, wish(None).missing);
    assert!(
        !store.end_export(&added.id, &done()).unwrap(),
        "it does not run"
    );
    assert!(store.begin_export(&added.id).unwrap());
    assert!(!store.begin_export(&added.id).unwrap(), "only once");
    assert!(store.end_export(&added.id, &done()).unwrap());
    let row = store.export(Principal::system(), &added.id).unwrap();
    assert_eq!(
        (row.state, row.bytes, row.attempts),
        (ExportState::Done, Some(5 << 30), 1)
    );
    assert!(row.finished_us.is_some() && row.missing.is_empty());
    assert!(!store.cancel_export(&added.id).unwrap(), "it is over");
    store.delete_export(&added.id).unwrap();
    for error in [
        store.export(Principal::system(), &added.id).unwrap_err(),
        store.delete_export(&added.id).unwrap_err(),
        store.cancel_export(&added.id).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn the_queue_is_bounded_and_in_order() {
    let test = TestStore::new();
    let store = &test.store;
    let first = store.add_export(&wish(None), 2).unwrap();
    let second = store.add_export(&wish(None), 2).unwrap();
    let full = store.add_export(&wish(None), 2).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Unavailable);
    assert!(
        full.message().contains("2 exports are waiting already"),
        "{full}"
    );
    let queued = store.exports_in(ExportState::Queued).unwrap();
    assert_eq!(queued, [first.clone(), second.clone()]);
    assert!(store.begin_export(&first.id).unwrap());
    assert!(
        store.add_export(&wish(None), 2).is_err(),
        "what runs counts too"
    );
    assert!(store.cancel_export(&first.id).unwrap());
    assert!(
        !store.end_export(&first.id, &done()).unwrap(),
        "cancelled stays cancelled"
    );
    assert_eq!(
        store.export(Principal::system(), &first.id).unwrap().state,
        ExportState::Cancelled
    );
    let third = store.add_export(&wish(None), 2).unwrap();
    let page = store
        .exports(Principal::system(), PageRequest { page: 1, limit: 2 })
        .unwrap();
    let ids: Vec<&str> = page.items.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(
        (page.total, ids),
        (3, vec![third.id.as_str(), second.id.as_str()])
    );
}

#[test]
fn what_ran_at_a_kill_waits_again_but_not_for_ever() {
    let test = TestStore::new();
    let id = test.store.add_export(&wish(None), 9).unwrap().id;
    for attempt in 1..=3 {
        assert!(test.store.begin_export(&id).unwrap());
        test.store.requeue_exports(3).unwrap();
        let row = test.store.export(Principal::system(), &id).unwrap();
        let expect = if attempt < 3 {
            ExportState::Queued
        } else {
            ExportState::Failed
        };
        assert_eq!((row.state, row.attempts), (expect, attempt));
    }
    let detail = test
        .store
        .export(Principal::system(), &id)
        .unwrap()
        .detail
        .unwrap();
    assert!(detail.contains("ended 3 times"), "{detail}");
}

#[test]
fn old_and_surplus_exports_are_found() {
    let test = TestStore::new();
    let ids: Vec<String> = (0..4)
        .map(|_| {
            let id = test.store.add_export(&wish(None), 9).unwrap().id;
            assert!(test.store.begin_export(&id).unwrap());
            assert!(test.store.end_export(&id, &done()).unwrap());
            test.clock.advance(std::time::Duration::from_secs(10));
            id
        })
        .collect();
    let waiting = test.store.add_export(&wish(None), 9).unwrap();
    let check = |before, keep, expect: &[&String]| {
        let stale = test.store.stale_exports(before, keep).unwrap();
        let found: Vec<&String> = stale.iter().map(|row| &row.id).collect();
        assert_eq!(found, expect, "{before:?} {keep}");
        assert!(!stale.iter().any(|row| row.id == waiting.id));
    };
    check(None, 100, &[]);
    check(Some(NOW_US + 15 * SECOND_US), 100, &[&ids[0], &ids[1]]);
    check(None, 3, &[&ids[0]]);
    check(Some(NOW_US + 5 * SECOND_US), 2, &[&ids[0], &ids[1]]);
    check(Some(i64::MAX), 0, &[&ids[0], &ids[1], &ids[2], &ids[3]]);
}

#[test]
fn a_store_that_is_read_beside_its_writer_changes_nothing() {
    let test = TestStore::new();
    let added = test.store.add_export(&wish(None), 9).unwrap();
    let place = test.store.place();
    let reader = Store::open_read_only_at(place, test.clock.clone()).unwrap();
    assert_eq!(
        reader.export(Principal::system(), &added.id).unwrap(),
        added
    );
    let refused = reader.add_export(&wish(None), 9).unwrap_err();
    assert!(refused.message().contains("for reading only"), "{refused}");
    if let Some(file) = place.file() {
        let missing = file.with_file_name("missing.db");
        let error = Store::open_read_only(&missing, test.clock.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!missing.exists());
    }
}

#[test]
fn names_are_data() {
    let test = TestStore::new();
    let store = &test.store;
    for name in EVIL {
        let id = store.add_export(&wish(Some(name)), 99).unwrap().id;
        assert_eq!(
            store
                .export(Principal::system(), &id)
                .unwrap()
                .name
                .as_deref(),
            Some(name)
        );
    }
}
