//! Tests of how transactions run: beside each other, after a panic, against a lock.

use std::sync::mpsc;

use diesel::connection::SimpleConnection as _;
use nvr_base::{ErrorKind, SimulatedClock};

use super::*;
use crate::connect::establish;
use crate::postgres_for_tests::{self as postgres, Database};
use crate::{NewCamera, SegmentRow, StoreChange};

fn store(folder: &Path) -> Store {
    Store::open(
        &folder.join("a.db"),
        Arc::new(SimulatedClock::at(1_700_000_000_000_000)),
    )
    .unwrap()
}

/// On a file, and on a server where there is one.
fn on_each(test: impl Fn(&Store)) {
    let folder = tempfile::tempdir().unwrap();
    test(&store(folder.path()));
    match Database::empty() {
        Some(database) => {
            let server = crate::Server::new(&database.url(), None).unwrap();
            let clock = Arc::new(SimulatedClock::at(1_700_000_000_000_000));
            test(&Store::open_at(&Place::Server(server), clock).unwrap());
        }
        None => postgres::skip("this ran on SQLite alone"),
    }
}

fn camera(name: &str) -> NewCamera {
    NewCamera {
        name: name.to_owned(),
        uri: "rtsp://admin:hunter2@10.0.0.5/".to_owned(),
        title: None,
        sub_uri: None,
        pipeline: "record".to_owned(),
        params_json: "{}".to_owned(),
        enabled: true,
        user: None,
        password: Some("hunter2".to_owned()),
    }
}

fn insert(conn: &mut Conn, name: &str) -> QueryResult<()> {
    conn.batch_execute(&format!(
        "INSERT INTO cameras (name, uri, sub_uri, pipeline, params_json, enabled, username, password, created_us, updated_us) VALUES ('{name}', '', NULL, '', '{{}}', {}, NULL, NULL, 0, 0)",
        if matches!(conn, Conn::Sqlite(_)) { "1" } else { "true" }
    ))
}

#[test]
fn every_connection_has_its_settings() {
    #[derive(QueryableByName)]
    struct Settings {
        #[diesel(sql_type = diesel::sql_types::Text)]
        text: String,
    }
    let settings = |conn: &mut Conn| -> Result<String, Failure> {
        let row: Settings = diesel::sql_query(
            "SELECT journal_mode || ' ' || synchronous || ' ' || foreign_keys || ' ' || timeout || ' ' || query_only AS text \
             FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys, pragma_busy_timeout, pragma_query_only",
        )
        .get_result(conn)?;
        Ok(row.text)
    };
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    // 2 is FULL.
    assert_eq!(store.write(settings).unwrap(), "wal 2 1 5000 0");
    store.inner.writer.lock().unwrap().take();
    assert_eq!(
        store.write(settings).unwrap(),
        "wal 2 1 5000 0",
        "opened anew"
    );
    assert_eq!(store.read(settings).unwrap(), "wal 2 1 5000 1");
    let error = store.read(|conn| Ok(insert(conn, "a")?)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
}

#[test]
fn readers_see_the_last_commit_while_a_transaction_runs() {
    on_each(|store| {
        store.insert_camera(&camera("a")).unwrap();
        store
            .write(|conn| {
                insert(conn, "b")?;
                // From this thread, inside the transaction: would hang for ever if reading waited for writing.
                assert_eq!(store.list_cameras().unwrap().len(), 1);
                assert_eq!(store.health().unwrap().cameras, 1);
                Ok(())
            })
            .unwrap();
        assert_eq!(store.list_cameras().unwrap().len(), 2);
    });
}

#[test]
fn one_read_is_one_snapshot() {
    on_each(|store| {
        let count = |conn: &mut Conn| {
            crate::schema::cameras::table
                .count()
                .get_result::<i64>(conn)
        };
        store
            .read(|conn| {
                assert_eq!(count(conn)?, 0);
                store.insert_camera(&camera("a")).unwrap();
                assert_eq!(count(conn)?, 0);
                Ok(())
            })
            .unwrap();
        assert_eq!(store.read(|conn| Ok(count(conn)?)).unwrap(), 1);
    });
}

#[test]
fn a_panic_or_a_refusal_inside_a_transaction_undoes_it_and_the_next_one_works() {
    on_each(|store| {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            store.write(|conn| -> Result<(), Failure> {
                insert(conn, "a")?;
                panic!("on purpose")
            })
        }));
        assert!(panicked.is_err());
        let refused = store.write(|conn| -> Result<(), Failure> {
            insert(conn, "b")?;
            Err(Error::invalid("on purpose").into())
        });
        assert_eq!(refused.unwrap_err().to_string(), "on purpose");
        store.insert_camera(&camera("c")).unwrap();
        let names: Vec<_> = store
            .list_cameras()
            .unwrap()
            .into_iter()
            .map(|c| c.name)
            .collect();
        assert_eq!(names, ["c"]);
    });
}

#[test]
fn a_transaction_that_was_ended_behind_our_back_costs_the_connection_not_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let result = store.write(|conn| {
        insert(conn, "a")?;
        // What SQLite does by itself on a full disk or a failed write.
        Ok(conn.batch_execute("ROLLBACK")?)
    });
    assert!(
        result.is_err(),
        "a commit of nothing must not look like a commit"
    );
    store.insert_camera(&camera("b")).unwrap();
    assert_eq!(store.list_cameras().unwrap().len(), 1);
}

#[test]
fn a_full_disk_costs_no_half_batch_and_the_same_batch_fits_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let limit = |pages: &str| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        store.write(|conn| Ok(conn.batch_execute(&pragma)?))
    };
    // SQLite takes the pages that are there if the limit is below.
    limit("1").unwrap();
    let batch: Vec<_> = (0..200)
        .map(|number| {
            StoreChange::Segment(SegmentRow {
                id: format!("{number}"),
                camera: "front".to_owned(),
                path: format!("front/{number}"),
                start_us: number,
                end_us: number + 1,
                frames: 1,
                bytes: 1,
                codec: "h264".to_owned(),
                width: 1,
                height: 1,
                blake3: None,
                discont: false,
                keyframes: vec![(0, 0); 20],
                storage: String::new(),
                protected: false,
                audio: None,
            })
        })
        .collect();
    let error = store.apply_batch(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(store.segment_paths("front").unwrap().is_empty());
    limit("4294967294").unwrap();
    assert_eq!(store.apply_batch(&batch).unwrap().changes, batch);
    assert_eq!(store.segment_paths("front").unwrap().len(), 200);
}

#[test]
fn a_write_waits_for_another_program() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut other = establish(store.place()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let (done, result) = mpsc::channel();
    let writer = {
        let store = store.clone();
        std::thread::spawn(move || done.send(store.insert_camera(&camera("a")).map(drop)))
    };
    // Nothing arrives while the lock is held; the wait only bounds how long that is looked at.
    assert!(result.recv_timeout(Duration::from_millis(50)).is_err());
    other.batch_execute("COMMIT").unwrap();
    result.recv().unwrap().unwrap();
    writer.join().unwrap().unwrap();
}

#[test]
fn ids_are_different_and_sort_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let ids: Vec<_> = (0..1000).map(|_| store.new_id()).collect();
    assert!(ids.is_sorted());
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(ids[0].len(), 36);
    // The clock stands: the milliseconds are those of the clock.
    assert!(ids[0].starts_with("018bcfe5-6800-7"), "{}", ids[0]);
}

#[test]
fn debug_output_has_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let row = store.insert_camera(&camera("a")).unwrap();
    let text = format!("{row:?} {:?} {store:?}", camera("a"));
    assert!(!text.contains("hunter2"), "{text}");
}
