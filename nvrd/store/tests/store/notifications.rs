//! Notifications: each person's own view of them, and how many there are.

use std::collections::BTreeSet;

use nvr_base::principal::{Actor, CameraAccess, Role};
use nvr_base::{ErrorKind, Principal};
use nvr_store::{KeepNotifications, NewNotification, PageRequest, Store};

use crate::support::{SECOND_US, TestStore};

const KEEP: KeepNotifications = KeepNotifications {
    age_us: 100 * SECOND_US,
    count: 1200,
};

fn of(camera: &str, event: &str) -> NewNotification {
    NewNotification {
        event_id: event.to_owned(),
        camera: camera.to_owned(),
        kind: "object".to_owned(),
        label: None,
        text: format!("{event} at {camera}"),
    }
}

fn user(id: &str, cameras: CameraAccess) -> Principal {
    Principal {
        actor: Actor::User {
            id: id.to_owned(),
            name: id.to_owned(),
        },
        role: Role::Viewer,
        scopes: None,
        cameras,
    }
}

/// The events of the notifications that somebody sees, the newest first; those that were read in capitals.
fn seen(store: &Store, who: &Principal, unread: bool) -> String {
    let page = PageRequest { page: 1, limit: 50 };
    let found = store.notifications(who, unread, page).unwrap();
    assert_eq!(found.total, found.items.len() as u64);
    found
        .items
        .iter()
        .map(|row| match row.read {
            true => row.what.event_id.to_uppercase(),
            false => row.what.event_id.clone(),
        })
        .collect()
}

#[test]
fn everybody_reads_and_removes_for_themselves() {
    let test = TestStore::new();
    let store = &test.store;
    let new = [of("a", "x"), of("b", "y"), of("a", "z")];
    let rows = store.add_notifications(&new, KEEP).unwrap();
    let all = user("1", CameraAccess::All);
    let only_a = user("2", CameraAccess::Only(BTreeSet::from(["a".to_owned()])));
    let none = user("3", CameraAccess::Only(BTreeSet::new()));
    assert_eq!(seen(store, &all, false), "zyx");
    assert_eq!(seen(store, &only_a, false), "zx");
    assert_eq!(seen(store, &none, false), "");

    let read = store.read_notification(&all, &rows[0].id).unwrap();
    assert!(read.read && read.what == new[0]);
    store.read_notification(&all, &rows[0].id).unwrap();
    assert_eq!(seen(store, &all, false), "zyX");
    assert_eq!(seen(store, &all, true), "zy");
    assert_eq!(store.unread_notifications(&all).unwrap(), 2);
    assert_eq!(store.unread_notifications(&only_a).unwrap(), 2);

    store.hide_notification(&all, &rows[0].id).unwrap();
    store.hide_notification(&all, &rows[2].id).unwrap();
    assert_eq!(seen(store, &all, false), "y");
    assert_eq!(seen(store, &only_a, false), "zx");
    assert_eq!(store.read_all_notifications(&only_a).unwrap(), 2);
    assert_eq!(store.read_all_notifications(&only_a).unwrap(), 0);
    assert_eq!(seen(store, &only_a, false), "ZX");
    assert_eq!(seen(store, &all, false), "y");
    assert_eq!(store.hide_all_notifications(&only_a).unwrap(), 2);
    assert_eq!(store.hide_all_notifications(&only_a).unwrap(), 0);
    assert_eq!(seen(store, &only_a, false), "");

    // What one may not see, removed, or that never was, is the same.
    for (who, id) in [
        (&only_a, rows[1].id.as_str()),
        (&all, &rows[0].id),
        (&all, "nothing"),
    ] {
        let errors = [
            store.read_notification(who, id).map(drop).unwrap_err(),
            store.hide_notification(who, id).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }
}

#[test]
fn old_ones_and_surplus_ones_go() {
    let test = TestStore::new();
    let everybody = Principal::local();
    let new: Vec<_> = (0..2000).map(|n| of("a", &n.to_string())).collect();
    let rows = test.store.add_notifications(&new, KEEP).unwrap();
    test.store
        .read_notification(&everybody, &rows[1999].id)
        .unwrap();
    let total = || {
        let page = PageRequest { page: 1, limit: 1 };
        let found = test.store.notifications(&everybody, false, page).unwrap();
        (found.total, found.items[0].what.event_id.clone())
    };
    assert_eq!(total(), (1200, "1999".to_owned()));
    test.clock.advance(std::time::Duration::from_secs(101));
    test.store
        .add_notifications(&[of("a", "new")], KEEP)
        .unwrap();
    assert_eq!(total(), (1, "new".to_owned()));
}
