//! The gap ledger: opened once, closed, kept open over a restart, listed.

use nvr_base::{ErrorKind, Principal};

use crate::support::{EVIL, NOW_US, TestStore};

#[test]
fn gaps_open_once_and_close() {
    let test = TestStore::new();
    let store = &test.store;
    let lost = store
        .open_gap("front", "source_lost", NOW_US, Some("no answer"))
        .unwrap();
    assert_eq!(
        store
            .open_gap("front", "source_lost", NOW_US + 5, None)
            .unwrap(),
        lost
    );
    store.open_gap("front", "paused", NOW_US + 7, None).unwrap();
    store.open_gap("yard", "source_lost", NOW_US, None).unwrap();
    let after = test.after_kill();
    assert_eq!(after.open_gaps("front").unwrap().len(), 2);
    assert_eq!(after.open_gaps("front").unwrap()[0], lost);

    let closed = store
        .close_gap("front", Some("source_lost"), NOW_US + 10)
        .unwrap();
    assert_eq!(closed.len(), 1);
    assert_eq!(
        (&closed[0].id, closed[0].end_us),
        (&lost.id, Some(NOW_US + 10))
    );
    assert_eq!(
        store
            .close_gap("front", Some("source_lost"), NOW_US + 20)
            .unwrap(),
        vec![]
    );
    // Would end before it began.
    assert_eq!(
        store.close_gap("front", None, NOW_US).unwrap()[0].end_us,
        Some(NOW_US + 7)
    );
    assert_eq!(store.open_gaps("yard").unwrap().len(), 1);

    let again = store
        .open_gap("front", "source_lost", NOW_US + 30, None)
        .unwrap();
    assert_ne!(again.id, lost.id);
}

#[test]
fn a_gap_with_an_end_closes_the_open_one_or_stands_by_itself() {
    let test = TestStore::new();
    let store = &test.store;
    let open = store
        .open_gap("front", "disk_full", 10, Some("free some space"))
        .unwrap();
    let closed = store
        .add_gap("front", "disk_full", 10, Some(20), None)
        .unwrap();
    assert_eq!(
        (&closed.id, closed.end_us, &closed.detail),
        (&open.id, Some(20), &open.detail)
    );
    let whole = store
        .add_gap("front", "daemon_down", 30, Some(25), None)
        .unwrap();
    assert_eq!((whole.start_us, whole.end_us), (30, Some(30)));
    assert!(store.open_gaps("front").unwrap().is_empty());
}

#[test]
fn a_range_finds_what_reaches_into_it() {
    let test = TestStore::new();
    let store = &test.store;
    store
        .add_gap("front", "paused", 10, Some(20), None)
        .unwrap();
    store
        .add_gap("front", "overload", 30, Some(40), None)
        .unwrap();
    store.open_gap("front", "source_lost", 50, None).unwrap();
    store.open_gap("yard", "source_lost", 0, None).unwrap();
    let check = |start: i64, end: i64, limit: u32, expect: &[i64]| {
        let found = store
            .gaps(Principal::system(), "front", start, end, limit)
            .unwrap();
        let starts: Vec<_> = found.iter().map(|gap| gap.start_us).collect();
        assert_eq!(starts, expect, "{start}..{end}");
    };
    check(0, 100, 500, &[10, 30, 50]);
    check(0, 100, 2, &[10, 30]);
    check(15, 16, 500, &[10]);
    check(20, 31, 500, &[30]);
    check(90, 100, 500, &[50]);
    check(0, 10, 500, &[]);
    assert_eq!(
        store
            .gaps(Principal::system(), "front", 0, 1, 501)
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn any_text_is_kept_but_none_is_refused() {
    let test = TestStore::new();
    for text in EVIL {
        let gap = test.store.open_gap(text, text, 1, Some(text)).unwrap();
        assert_eq!(test.store.open_gaps(text).unwrap(), [gap]);
    }
    for (camera, reason) in [("", "paused"), ("front", "")] {
        let error = test.store.open_gap(camera, reason, 1, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
