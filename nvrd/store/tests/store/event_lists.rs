//! Lists of events: every filter by itself and together, pages, and their limits.

use nvr_base::{ErrorKind, Principal};
use nvr_store::{
    Change, EventFilter, EventRow, EventState, MAX_LIMIT, PageRequest, Store, StoreChange,
};

use crate::support::{NOW_US, SECOND_US, TestStore, event, step};

/// Five events, `a` the oldest; each differs from the others in some field.
fn five() -> TestStore {
    let test = TestStore::new();
    let rows = [
        EventRow {
            camera: "yard".to_owned(),
            score: Some(0.5),
            ..event("a", 0)
        },
        EventRow {
            kind: "motion".to_owned(),
            label: None,
            score: None,
            zones: vec![],
            ..event("b", 10)
        },
        EventRow {
            label: Some("Car".to_owned()),
            zones: vec!["street".to_owned()],
            ..event("c", 20)
        },
        EventRow {
            kind: "face".to_owned(),
            identity: Some("Ann 100%".to_owned()),
            ..event("d", 30)
        },
        EventRow {
            score: Some(0.875),
            ..event("e", 40)
        },
    ];
    for row in rows {
        let change = if row.id == "b" {
            Change::Opened
        } else {
            Change::Closed
        };
        test.store.apply_event(&step(change, row)).unwrap();
    }
    test
}

fn ids(store: &Store, filter: &EventFilter) -> String {
    let page = store
        .events(Principal::system(), filter, PageRequest::default())
        .unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items.iter().map(|row| row.id.as_str()).collect()
}

#[test]
fn each_filter_lets_through_what_it_says() {
    let test = five();
    let check = |set: &dyn Fn(&mut EventFilter), expect: &str| {
        let mut filter = EventFilter::default();
        set(&mut filter);
        assert_eq!(ids(&test.store, &filter), expect, "{filter:?}");
    };
    let text = |text: &str| Some(text.to_owned());
    let at = |second: i64| Some(NOW_US + second * SECOND_US);
    check(&|_| {}, "edcba");
    check(&|f| f.camera = text("yard"), "a");
    check(&|f| f.camera = text("Yard"), "");
    check(&|f| f.kind = text("object"), "eca");
    check(&|f| f.label = text("Car"), "c");
    check(&|f| f.label = text("car"), "");
    // `a` ends at 5, `c` at 25; `b` is open and so goes on for ever.
    check(&|f| f.start_us = at(5), "edcba");
    check(&|f| f.start_us = at(6), "edcb");
    check(&|f| f.start_us = at(26), "edb");
    check(&|f| f.start_us = at(1000), "b");
    check(&|f| f.end_us = at(0), "");
    check(&|f| f.end_us = at(1), "a");
    check(&|f| f.end_us = at(20), "ba");
    check(&|f| (f.start_us, f.end_us) = (at(22), at(31)), "dcb");
    check(&|f| f.min_score = Some(0.875), "edc");
    check(&|f| f.min_score = Some(0.0), "edca");
    check(&|f| f.zone = text("street"), "c");
    check(&|f| f.zone = text("door"), "eda");
    check(&|f| f.zone = text("doo"), "");
    check(&|f| f.state = Some(EventState::Open), "b");
    check(&|f| f.state = Some(EventState::Closed), "edca");
    check(&|f| f.search = text("CAR"), "c");
    check(&|f| f.search = text("ann"), "d");
    check(&|f| f.search = text("0%"), "d");
    check(&|f| f.search = text("mot"), "b");
    check(&|f| f.search = text("yar"), "a");
    check(&|f| f.search = text("_"), "");
    check(&|f| f.search = text(""), "edcba");
    check(
        &|f| {
            f.camera = text("front");
            f.kind = text("object");
            f.label = text("person");
            (f.start_us, f.end_us) = (at(0), at(100));
            f.min_score = Some(0.5);
            f.zone = text("garden");
            f.state = Some(EventState::Closed);
            f.search = text("pers");
        },
        "e",
    );
}

#[test]
fn pages_tile_the_list() {
    let test = TestStore::new();
    // Three that began at the same moment: the id decides, or one could be on two pages.
    let batch: Vec<_> = (0..13)
        .map(|n| StoreChange::Event(step(Change::Closed, event(&format!("{n:02}"), n / 3))))
        .collect();
    test.store.apply_batch(&batch).unwrap();
    for limit in [1, 2, 5, 13, 14] {
        let mut seen = Vec::new();
        for page in 1.. {
            let page = test
                .store
                .events(
                    Principal::system(),
                    &EventFilter::default(),
                    PageRequest { page, limit },
                )
                .unwrap();
            assert_eq!(page.total, 13);
            if page.items.is_empty() {
                break;
            }
            seen.extend(page.items.into_iter().map(|row| row.id));
        }
        let expect: Vec<_> = (0..13).rev().map(|n| format!("{n:02}")).collect();
        assert_eq!(seen, expect, "limit {limit}");
    }
}

#[test]
fn a_full_page_holds_the_most_that_is_allowed() {
    let test = TestStore::new();
    let batch: Vec<_> = (0..700)
        .map(|n| StoreChange::Event(step(Change::Closed, event(&format!("{n:04}"), n))))
        .collect();
    test.store.apply_batch(&batch).unwrap();
    let request = PageRequest {
        page: 1,
        limit: MAX_LIMIT,
    };
    let page = test
        .store
        .events(Principal::system(), &EventFilter::default(), request)
        .unwrap();
    assert_eq!((page.items.len(), page.total), (500, 700));
    assert!(page.items.iter().all(|row| row.zones == ["door", "garden"]));
    let request = PageRequest {
        page: 2,
        limit: MAX_LIMIT,
    };
    let page = test
        .store
        .events(Principal::system(), &EventFilter::default(), request)
        .unwrap();
    assert_eq!((page.items.len(), page.total), (200, 700));
    let request = PageRequest {
        page: u32::MAX,
        limit: MAX_LIMIT,
    };
    let page = test
        .store
        .events(Principal::system(), &EventFilter::default(), request)
        .unwrap();
    assert_eq!((page.items.len(), page.total), (0, 700));

    for (page, limit, says) in [(0, 1, "page 0"), (1, 0, "limit 0"), (1, 501, "limit 501")] {
        let error = test
            .store
            .events(
                Principal::system(),
                &EventFilter::default(),
                PageRequest { page, limit },
            )
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(says), "{error}");
    }
    let filter = EventFilter {
        min_score: Some(f64::NAN),
        ..EventFilter::default()
    };
    let error = test
        .store
        .events(Principal::system(), &filter, PageRequest::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
