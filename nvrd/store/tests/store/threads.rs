//! Several threads on one store: nothing lost, nothing torn.

use nvr_base::Principal;
use std::sync::atomic::{AtomicBool, Ordering};

use nvr_store::{Change, EventFilter, PageRequest, StoreChange};

use crate::support::{NOW_US, SECOND_US, TestStore, event, segment, step};

#[test]
fn two_write_and_two_read() {
    const BATCHES: i64 = 40;
    let test = TestStore::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = ["front", "yard"]
            .into_iter()
            .map(|camera| {
                let store = test.store.clone();
                scope.spawn(move || {
                    for number in 0..BATCHES {
                        let mut event = event(&format!("{camera}-{number}"), number);
                        event.camera = camera.to_owned();
                        let batch = [
                            StoreChange::Segment(segment(camera, number)),
                            StoreChange::Event(step(Change::Closed, event)),
                        ];
                        assert_eq!(store.apply_batch(&batch).unwrap().changes.len(), 2);
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            let (store, done) = (test.store.clone(), &done);
            scope.spawn(move || {
                let request = PageRequest {
                    page: 1,
                    limit: 500,
                };
                let mut before = 0;
                while !done.load(Ordering::Relaxed) {
                    let page = store
                        .events(Principal::system(), &EventFilter::default(), request)
                        .unwrap();
                    // Count and items are of one moment, and no commit is ever taken back.
                    assert_eq!(page.total, page.items.len() as u64);
                    assert!(page.total >= before);
                    assert!(page.items.iter().all(|row| row.zones.len() == 2));
                    before = page.total;
                    let health = store.health().unwrap();
                    // A batch is seen whole or not at all.
                    assert_eq!(health.segments, health.events);
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    for camera in ["front", "yard"] {
        let end_us = NOW_US + BATCHES * 10 * SECOND_US;
        let found = test
            .store
            .segments(Principal::system(), camera, NOW_US, end_us, 500)
            .unwrap();
        assert_eq!(found.len(), usize::try_from(BATCHES).unwrap());
    }
}

#[test]
fn more_readers_than_connections_take_turns() {
    let test = TestStore::new();
    test.store.insert_segment(&segment("front", 0)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let store = test.store.clone();
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(store.camera_totals().unwrap().len(), 1);
                }
            });
        }
    });
}
