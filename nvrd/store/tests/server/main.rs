//! What only a database on a server can do: go away and come back, lose its power, be used by two, be somebody else's.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step fails the test, and the setting for tests does not reach helpers"
)]

#[path = "../../../../tests/support/postgres.rs"]
mod postgres;
#[path = "../store/support.rs"]
#[allow(dead_code, reason = "other tests need the rest")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nvr_base::{ErrorKind, Principal, SimulatedClock};
use nvr_store::{
    Change, EventFilter, EventState, PageRequest, Place, Server as Address, Store, StoreChange,
};
use postgres::{Database, Server};
use support::{NOW_US, SECOND_US, at, camera, event, segment, step};

fn place(url: &str) -> Place {
    Place::Server(Address::new(url, None).unwrap())
}

fn clock() -> Arc<SimulatedClock> {
    Arc::new(SimulatedClock::at(NOW_US))
}

/// A database of the shared server, or a word that this is left out.
fn database() -> Option<Database> {
    let database = Database::empty();
    if database.is_none() {
        postgres::skip("what a server does is not looked at");
    }
    database
}

fn change(number: i64) -> StoreChange {
    let mut event = event(&format!("{number:06}"), number);
    event.state = EventState::Closed;
    StoreChange::Event(step(Change::Closed, event))
}

/// Batches until something fails for good; every one that was said to be stored is there in the end.
#[test]
fn a_server_that_crashes_and_comes_back_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
    let Some(mut server) = Server::start(folder.path()) else {
        postgres::skip("no crash is looked at");
        return;
    };
    let store = at(&server.url(), &clock());
    store.claim().unwrap();
    let done = AtomicBool::new(false);
    let (acknowledged, failures) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut number, mut failures) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let batch: Vec<_> = (number..number + 10).map(change).collect();
                match store.apply_batch(&batch) {
                    // What the crash left may have some of them, and those are passed over.
                    Ok(committed) => {
                        assert!(committed.refused.is_empty());
                        number += 10;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                        failures += 1;
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            }
            (number, failures)
        });
        for round in 0..3 {
            let before = server.ask("SELECT count(*) FROM events");
            while server.ask("SELECT count(*) FROM events") == before {
                std::thread::sleep(Duration::from_millis(10));
            }
            server.crash();
            if round == 0 {
                // A reader says so too, after the seconds that it waits for a connection.
                let error = store.event(Principal::system(), "000000").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            }
            server.resume();
        }
        let before = server.ask("SELECT count(*) FROM events");
        while server.ask("SELECT count(*) FROM events") == before {
            std::thread::sleep(Duration::from_millis(10));
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(failures > 0, "the writer never noticed");
    let page = PageRequest { page: 1, limit: 1 };
    let found = store
        .events(Principal::system(), &EventFilter::default(), page)
        .unwrap();
    assert_eq!(found.total, u64::try_from(acknowledged).unwrap());
    let rows = server.ask("SELECT count(DISTINCT id) FROM events");
    assert_eq!(rows, acknowledged.to_string());
}

#[test]
fn one_daemon_claims_a_database_and_commands_work_beside_it() {
    let Some(database) = database() else { return };
    let daemon = at(&database.url(), &clock());
    daemon.claim().unwrap();
    daemon.claim().unwrap();
    let second = at(&database.url(), &clock());
    let error = second.claim().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("another nvrd records"), "{error}");
    second.insert_camera(&camera("front")).unwrap();
    daemon.insert_camera(&camera("yard")).unwrap();
    assert_eq!(second.list_cameras().unwrap().len(), 2);
    // Cut off, it takes the lock again when it writes again.
    database.end_connections();
    daemon.insert_camera(&camera("attic")).unwrap();
    second.insert_camera(&camera("porch")).unwrap();
    let error = second.claim().unwrap_err();
    assert!(error.message().contains("another nvrd records"), "{error}");
    // Cut off while another one was faster, it writes nothing more.
    drop(second);
    database.end_connections();
    let faster = at(&database.url(), &clock());
    faster.claim().unwrap();
    let error = daemon.insert_camera(&camera("late")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(faster.list_cameras().unwrap().len(), 4);
}

#[test]
fn a_nul_costs_one_change_and_not_its_batch() {
    let Some(database) = database() else { return };
    let store = at(&database.url(), &clock());
    let mut label = event("label", 0);
    label.label = Some("a\0b".to_owned());
    let mut codec = segment("front", 1);
    codec.codec = "\0".to_owned();
    let batch = [
        StoreChange::Segment(segment("front", 0)),
        StoreChange::Event(step(Change::Opened, label)),
        change(1),
        StoreChange::Segment(codec),
        change(2),
    ];
    let committed = store.apply_batch(&batch).unwrap();
    let stored = [batch[0].clone(), batch[2].clone(), batch[4].clone()];
    assert_eq!(committed.changes, stored);
    let refused: Vec<_> = committed
        .refused
        .iter()
        .map(|refused| (refused.index, refused.error.kind()))
        .collect();
    let wrong = ErrorKind::InvalidArgument;
    assert_eq!(refused, [(1, wrong), (3, wrong)]);
    let page = PageRequest::default();
    let all = EventFilter::default();
    let found = store.events(Principal::system(), &all, page).unwrap();
    assert_eq!((found.total, found.items.len()), (2, 2));
    // As a question it is a wrong one, and the next one is answered.
    let error = store.event(Principal::system(), "a\0b").unwrap_err();
    assert_eq!(error.kind(), wrong, "{error}");
    assert_eq!(store.list_cameras().unwrap(), []);
}

#[test]
fn a_database_that_is_not_ours_is_named_and_left_alone() {
    let Some(database) = database() else { return };
    database.ask("CREATE TABLE bookmarks (url text)");
    let refused = |kind: ErrorKind, sentence: &str, url: &str| {
        let error = Store::open_at(&place(url), clock()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(url), "{error}");
        assert!(error.to_string().contains(sentence), "{error}");
    };
    let precondition = ErrorKind::FailedPrecondition;
    refused(precondition, "belongs to another program", &database.url());
    let tables = "SELECT string_agg(table_name::text, ' ') FROM information_schema.tables \
         WHERE table_schema = 'public'";
    assert_eq!(database.ask(tables), "bookmarks");
    let missing = database.url().replace(&database.name, "no_such_database");
    refused(precondition, "does not exist", &missing);
    refused(
        ErrorKind::Unavailable,
        "no connection to the database server",
        "postgres:///x?host=/no/such/folder",
    );
    database.ask("DROP TABLE bookmarks");
    let older = Store::open_read_only_at(&place(&database.url()), clock()).unwrap_err();
    assert!(older.to_string().contains("an older program"), "{older}");
    assert_eq!(database.ask(tables), "", "a reader makes nothing");
    drop(at(&database.url(), &clock()));
    database.ask("INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231235959')");
    refused(precondition, "a newer program wrote", &database.url());
}

#[test]
fn a_search_takes_both_cases_of_letters_and_lists_go_by_bytes() {
    let Some(database) = database() else { return };
    let store = at(&database.url(), &clock());
    for (index, name) in ["b", "a-b", "a", "ab"].into_iter().enumerate() {
        store.insert_camera(&camera(name)).unwrap();
        let mut one = event(&index.to_string(), 0);
        one.label = Some(["Person", "persona", "\u{c9}cole", "x"][index].to_owned());
        store.apply_event(&step(Change::Opened, one)).unwrap();
    }
    let names: Vec<String> = store
        .list_cameras()
        .unwrap()
        .into_iter()
        .map(|row| row.name)
        .collect();
    assert_eq!(names, ["a", "a-b", "ab", "b"]);
    let count = |text: &str| {
        let filter = EventFilter {
            search: Some(text.to_owned()),
            ..EventFilter::default()
        };
        let page = PageRequest::default();
        store
            .events(Principal::system(), &filter, page)
            .unwrap()
            .total
    };
    // As in SQLite: letters of a to z alone.
    assert_eq!(
        (count("PERSON"), count("\u{e9}cole"), count("\u{c9}COLE")),
        (2, 0, 1)
    );
}

#[test]
fn damage_is_looked_for_in_every_row() {
    let Some(database) = database() else { return };
    let store = at(&database.url(), &clock());
    let batch: Vec<_> = (0..50)
        .map(|n| StoreChange::Segment(segment("front", n)))
        .collect();
    store.apply_batch(&batch).unwrap();
    assert_eq!(store.integrity().unwrap(), [] as [String; 0]);
    // Whatever makes a row unreadable: here a view that fails as a torn page does.
    database.ask("CREATE VIEW torn AS SELECT 1 / (width - width) AS one FROM segments");
    let problems = store.integrity().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("torn: "), "{problems:?}");
    database.ask("DROP VIEW torn");
    database.ask("CREATE EXTENSION amcheck");
    assert_eq!(store.integrity().unwrap(), [] as [String; 0]);
    store.settle().unwrap();
    let error = store
        .salvage(std::path::Path::new("/tmp/old.db"))
        .unwrap_err();
    assert!(
        error.message().contains("on a PostgreSQL server"),
        "{error}"
    );
    let end_us = NOW_US + 1000 * SECOND_US;
    assert!(store.overlaps("front", 0, 9).unwrap().is_empty());
    assert!(store.last_recorded_us().unwrap() < Some(end_us));
}
