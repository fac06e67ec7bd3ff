//! Totals and far pages of events, which nobody counts or walks to, are those of the rows all the same.

use std::collections::BTreeSet;

use nvr_base::Principal;
use nvr_base::principal::CameraAccess;
use nvr_store::{Change, EventFilter, EventRow, PageRequest, Store, StoreChange};

use crate::support::{NOW_US, SECOND_US, TestStore, event, step};

/// A generator that gives the same numbers in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        // The constants are Knuth's; the high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn named(id: u64, camera: &str, kind: &str, start_us: i64) -> EventRow {
    EventRow {
        camera: camera.to_owned(),
        kind: kind.to_owned(),
        start_us,
        end_us: Some(start_us + 1),
        zones: Vec::new(),
        ..event(&format!("{id:08}"), 0)
    }
}

fn store_all(store: &Store, rows: &[EventRow]) {
    for part in rows.chunks(1500) {
        let batch: Vec<_> = part
            .iter()
            .map(|row| StoreChange::Event(step(Change::Closed, row.clone())))
            .collect();
        let committed = store.apply_batch(&batch).unwrap();
        assert_eq!(committed.changes.len(), part.len());
    }
}

fn only(cameras: &[&str]) -> Principal {
    let names: BTreeSet<String> = cameras.iter().map(|name| (*name).to_owned()).collect();
    Principal {
        cameras: CameraAccess::Only(names),
        ..Principal::local()
    }
}

/// Compares pages here and there with a list that was sorted in memory.
#[track_caller]
fn compare(store: &Store, rows: &[EventRow], principal: &Principal, filter: &EventFilter) {
    let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|text| text == is);
    let mut expect: Vec<&EventRow> = rows
        .iter()
        .filter(|row| principal.sees(&row.camera))
        .filter(|row| fits(&filter.camera, &row.camera) && fits(&filter.kind, &row.kind))
        .collect();
    expect.sort_by(|a, b| (b.start_us, &b.id).cmp(&(a.start_us, &a.id)));
    let limit = 20;
    let pages = u32::try_from(expect.len() / limit).unwrap() + 2;
    for page in (1..=pages).filter(|page| page % 7 == 1 || page + 3 > pages) {
        let request = PageRequest {
            page,
            limit: u32::try_from(limit).unwrap(),
        };
        let got = store.events(principal, filter, request).unwrap();
        assert_eq!(got.total, expect.len() as u64, "{filter:?}");
        let ids: Vec<&str> = got.items.iter().map(|row| row.id.as_str()).collect();
        let from = (page as usize - 1) * limit;
        let here: Vec<&str> = expect
            .iter()
            .skip(from)
            .take(limit)
            .map(|row| row.id.as_str())
            .collect();
        assert_eq!(ids, here, "page {page} of {pages}, {filter:?}");
    }
}

#[track_caller]
fn compare_all(store: &Store, rows: &[EventRow]) {
    let text = |text: &str| Some(text.to_owned());
    let everybody = Principal::local();
    let filters = [
        (None, None),
        (text("a"), None),
        (text("c"), None),
        (text("nobody"), None),
        (None, text("motion")),
        (text("b"), text("object")),
    ];
    for (camera, kind) in filters {
        let filter = EventFilter {
            camera,
            kind,
            ..EventFilter::default()
        };
        for principal in [&everybody, &only(&["a"]), &only(&["b", "c"]), &only(&[])] {
            compare(store, rows, principal, &filter);
        }
    }
    assert_eq!(store.health().unwrap().events, rows.len() as u64);
}

#[test]
fn pages_and_totals_stay_those_of_the_rows_whatever_comes_and_goes() {
    let test = TestStore::new();
    let mut numbers = Numbers(4);
    let mut rows = Vec::new();
    let mut next = 0;
    // In order, in reverse, all over, and many at one moment.
    for round in 0..4_i64 {
        let mut batch: Vec<EventRow> = (0..4000)
            .map(|n| {
                next += 1;
                let camera = ["a", "b", "c"][numbers.below(3) as usize];
                let kind = ["motion", "object"][numbers.below(2) as usize];
                let start = match round {
                    0 => n * SECOND_US,
                    1 => -n * SECOND_US,
                    2 => numbers.below(8000).cast_signed() * SECOND_US / 3,
                    _ => 77 * SECOND_US + n / 1700,
                };
                named(next, camera, kind, NOW_US + start)
            })
            .collect();
        store_all(&test.store, &batch);
        rows.append(&mut batch);
        compare_all(&test.store, &rows);
    }
    for _ in 0..100 {
        let gone = rows.swap_remove(numbers.below(rows.len() as u64) as usize);
        test.store
            .delete_event(&Principal::local(), &gone.id)
            .unwrap();
    }
    // A whole stretch, so that a lot is empty.
    let (gone, kept): (Vec<EventRow>, Vec<EventRow>) = rows
        .into_iter()
        .partition(|row| row.start_us < NOW_US - 2900 * SECOND_US);
    for row in &gone {
        test.store
            .delete_event(&Principal::local(), &row.id)
            .unwrap();
    }
    compare_all(&test.store, &kept);
    // A start does not find anything to put right.
    assert!(
        test.store
            .close_interrupted_events(NOW_US)
            .unwrap()
            .is_empty()
    );
    compare_all(&test.store, &kept);
}

#[test]
fn an_event_that_moves_moves_in_the_totals() {
    let test = TestStore::new();
    let row = named(1, "a", "motion", NOW_US);
    test.store
        .apply_event(&step(Change::Opened, row.clone()))
        .unwrap();
    let moved = EventRow {
        camera: "b".to_owned(),
        kind: "object".to_owned(),
        start_us: NOW_US - 5 * SECOND_US,
        ..row
    };
    test.store
        .apply_event(&step(Change::Closed, moved.clone()))
        .unwrap();
    compare_all(&test.store, &[moved]);
}

#[test]
fn other_filters_count_what_is_there() {
    let test = TestStore::new();
    let total = |label: &str| {
        let filter = EventFilter {
            label: Some(label.to_owned()),
            ..EventFilter::default()
        };
        let page = PageRequest { page: 1, limit: 1 };
        test.store
            .events(&Principal::local(), &filter, page)
            .unwrap()
            .total
    };
    assert_eq!(total("person"), 0);
    let row = named(1, "a", "object", NOW_US);
    test.store.apply_event(&step(Change::Closed, row)).unwrap();
    assert_eq!(total("person"), 1);
    test.store
        .delete_event(&Principal::local(), "00000001")
        .unwrap();
    assert_eq!(total("person"), 0);
}
