//! Health, of a whole database and of a damaged one.

use nvr_base::{ErrorKind, Principal};
use nvr_store::{Change, Health, Store, StoreChange};

use crate::support::{TestStore, camera, event, segment, step};

#[test]
fn health_counts_what_is_there() {
    let test = TestStore::new();
    let store = &test.store;
    store.insert_camera(&camera("front")).unwrap();
    store
        .apply_event(&step(Change::Opened, event("a", 0)))
        .unwrap();
    store
        .apply_event(&step(Change::Closed, event("b", 0)))
        .unwrap();
    store.insert_segment(&segment("front", 0)).unwrap();
    store.open_gap("front", "paused", 1, None).unwrap();
    store.ping().unwrap();
    let health = store.health().unwrap();
    assert!(health.file_bytes >= 4096, "{health:?}");
    assert_eq!(
        health,
        Health {
            problems: vec![],
            schema_version: newest_migration(),
            file_bytes: health.file_bytes,
            cameras: 1,
            events: 2,
            open_events: 1,
            segments: 1,
            gaps: 1,
        }
    );
}

/// The version of the last folder of migrations: its date and time.
fn newest_migration() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
    let names = std::fs::read_dir(folder).unwrap();
    let last = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .max()
        .unwrap();
    last.chars().filter(char::is_ascii_digit).collect()
}

#[test]
fn damage_is_told_from_other_trouble() {
    let test = TestStore::new();
    let batch: Vec<_> = (0..1500)
        .map(|n| StoreChange::Segment(segment("front", n)))
        .collect();
    test.store.apply_batch(&batch).unwrap();
    let Some(path) = test.store.place().file().map(ToOwned::to_owned) else {
        // The pages of a server are the server's.
        return;
    };
    let clock = test.clock.clone();
    let copy = path.with_file_name("damaged.db");
    // The copy is taken after the last connection was closed, so it is whole.
    drop(test.after_kill());
    // The pool closes its connections on a thread of its own; the last one takes the log with it.
    let log = path.with_file_name("killed/nvrd.db-wal");
    for _ in 0..200 {
        if !log.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::fs::copy(path.with_file_name("killed/nvrd.db"), &copy).unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    let pages = bytes.len() / 4096;
    assert!(pages > 40, "{pages} pages");
    // Every page of the last third, which is the segments': tables as well as indexes are hit.
    bytes[pages * 2 / 3 * 4096..].fill(0xa5);
    std::fs::write(&copy, bytes).unwrap();

    let store = Store::open(&copy, clock).unwrap();
    match store.health() {
        Ok(health) => assert!(!health.problems.is_empty()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}"),
    }
    let error = store
        .camera_totals()
        .and_then(|_| store.segments(Principal::system(), "front", 0, i64::MAX, 500))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
    assert!(error.to_string().contains("damaged.db"), "{error}");
}
