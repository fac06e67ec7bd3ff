//! Users, sessions, keys and the audit log: what is refused, what ends with what, and what is bounded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nvr_base::principal::{Actor, CameraAccess, Role, Scope};
use nvr_base::{ErrorKind, SimulatedClock};

use crate::{
    AuditBounds, AuditFilter, Keep, KeyUse, MAX_SESSIONS_OF_USER, NewAudit, NewKey, NewUser,
    PageRequest, Rotated, SessionKind, SessionRow, Store,
};

const NOW_US: i64 = 1_767_225_600_000_000;

struct World {
    store: Store,
    clock: Arc<SimulatedClock>,
    _folder: tempfile::TempDir,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SimulatedClock::at(NOW_US));
    let store = Store::open(&folder.path().join("a.db"), clock.clone()).unwrap();
    World {
        store,
        clock,
        _folder: folder,
    }
}

fn only(names: &[&str]) -> CameraAccess {
    CameraAccess::Only(names.iter().map(|&name| name.to_owned()).collect())
}

fn user(name: &str, role: Role) -> NewUser {
    NewUser {
        name: name.to_owned(),
        display_name: None,
        email: None,
        role,
        cameras: CameraAccess::All,
        active: true,
        must_change_password: false,
        password_hash: "canary-hash".to_owned(),
        digest: Some("canary-digest".to_owned()),
    }
}

fn session(id: &str, user_id: &str, created_us: i64) -> SessionRow {
    SessionRow {
        id: id.to_owned(),
        user_id: user_id.to_owned(),
        kind: SessionKind::Token,
        secret_hash: "h0".to_owned(),
        address: None,
        agent: None,
        created_us,
        seen_us: created_us,
        expires_us: created_us + 1_000_000,
    }
}

#[test]
fn users_come_back_as_they_were_told() {
    let World { store, .. } = world();
    let mut ada = user("Ada", Role::Viewer);
    ada.cameras = only(&["gate", "not-there-yet"]);
    ada.email = Some("ada@example.org".to_owned());
    let added = store.add_user(&ada, true).unwrap();
    assert_eq!(store.users().unwrap(), std::slice::from_ref(&added));
    assert_eq!(store.user(&added.id).unwrap(), added);
    assert!(!format!("{added:?} {ada:?}").contains("canary"));

    let again = store
        .add_user(&user("aDA", Role::Admin), false)
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let first = store.add_user(&user("bob", Role::Admin), true).unwrap_err();
    assert_eq!(first.kind(), ErrorKind::FailedPrecondition);
    assert_eq!(store.users().unwrap().len(), 1);

    let changed = store
        .change_user(&added.id, Keep::All, |user| {
            user.cameras = only(&["yard"]);
            user.name = "eve".to_owned();
            user.email = None;
            Ok(())
        })
        .unwrap();
    assert_eq!((changed.name.as_str(), &changed.email), ("Ada", &None));
    assert_eq!(store.user(&added.id).unwrap().cameras, only(&["yard"]));
}

#[test]
fn somebody_who_manages_always_stays() {
    let World { store, .. } = world();
    let root = store.add_user(&user("root", Role::Admin), true).unwrap();
    store
        .add_user(&user("helper", Role::Operator), false)
        .unwrap();
    let refused = |result: nvr_base::Result<crate::UserRow>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::FailedPrecondition);
        assert_eq!(store.user(&root.id).unwrap(), root);
    };
    refused(store.delete_user(&root.id));
    refused(store.change_user(&root.id, Keep::All, |user| {
        user.active = false;
        Ok(())
    }));
    refused(store.change_user(&root.id, Keep::All, |user| {
        user.role = Role::Operator;
        Ok(())
    }));
    let second = store.add_user(&user("second", Role::Admin), false).unwrap();
    store.delete_user(&root.id).unwrap();
    assert!(store.delete_user(&second.id).is_err());
    assert_eq!(
        store.delete_user(&root.id).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn every_change_is_counted_and_the_use_of_things_is_not() {
    let World { store, .. } = world();
    let mut last = store.identity_version().unwrap();
    assert_eq!(last, 0);
    let mut counts = |what: &str, expect: i64| {
        let now = store.identity_version().unwrap();
        assert_eq!(now - last, expect, "{what}");
        last = now;
    };
    let ada = store.add_user(&user("ada", Role::Admin), true).unwrap();
    counts("add", 1);
    store.change_user(&ada.id, Keep::All, |_| Ok(())).unwrap();
    counts("change", 1);
    store.add_session(&session("s", &ada.id, NOW_US)).unwrap();
    counts("session", 1);
    store.see_sessions(&[("s".to_owned(), NOW_US + 5)]).unwrap();
    assert!(store.use_totp_step(&ada.id, 7).unwrap());
    counts("use", 0);
    assert!(!store.delete_session("none").unwrap());
    counts("nothing", 0);
    assert!(store.delete_session("s").unwrap());
    counts("end", 1);
}

#[test]
fn a_code_is_good_once() {
    let World { store, .. } = world();
    let ada = store.add_user(&user("ada", Role::Admin), true).unwrap();
    for (step, expect) in [(10, true), (10, false), (9, false), (11, true)] {
        assert_eq!(
            store.use_totp_step(&ada.id, step).unwrap(),
            expect,
            "{step}"
        );
    }
}

#[test]
fn sessions_end_with_their_user_and_with_a_replayed_secret() {
    let World { store, clock, .. } = world();
    let ada = store.add_user(&user("ada", Role::Admin), true).unwrap();
    let bob = store.add_user(&user("bob", Role::Viewer), false).unwrap();
    let ids = || -> Vec<String> {
        let mut ids: Vec<_> = store
            .sessions()
            .unwrap()
            .into_iter()
            .map(|row| row.id)
            .collect();
        ids.sort();
        ids
    };
    for (id, user) in [("a", &ada), ("b", &ada), ("c", &bob)] {
        store.add_session(&session(id, &user.id, NOW_US)).unwrap();
    }
    assert_eq!(store.user(&bob.id).unwrap().last_login_us, Some(NOW_US));
    assert_eq!(
        store
            .rotate_session("a", "h0", "h1", NOW_US + 1_000_000)
            .unwrap(),
        Rotated::Done
    );
    assert_eq!(
        store
            .rotate_session("a", "h0", "h2", NOW_US + 1_000_000)
            .unwrap(),
        Rotated::Replayed
    );
    assert_eq!(
        store
            .rotate_session("a", "h1", "h2", NOW_US + 1_000_000)
            .unwrap(),
        Rotated::Gone
    );
    assert_eq!(ids(), ["b", "c"]);
    store.add_session(&session("d", &ada.id, NOW_US)).unwrap();
    store
        .change_user(&ada.id, Keep::Only("d"), |_| Ok(()))
        .unwrap();
    assert_eq!(ids(), ["c", "d"]);
    store.delete_user(&bob.id).unwrap();
    assert_eq!(ids(), ["d"]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        store
            .rotate_session("d", "h0", "h1", NOW_US + 1_000_000)
            .unwrap(),
        Rotated::Replayed
    );
    store
        .change_user(&ada.id, Keep::Nothing, |_| Ok(()))
        .unwrap();
    assert!(ids().is_empty());
}

#[test]
fn a_user_has_so_many_sessions_and_no_more() {
    let World { store, .. } = world();
    let ada = store.add_user(&user("ada", Role::Admin), true).unwrap();
    for number in 0..MAX_SESSIONS_OF_USER + 3 {
        let row = session(&format!("s{number:03}"), &ada.id, NOW_US + number as i64);
        store.add_session(&row).unwrap();
    }
    let left = store.sessions().unwrap();
    assert_eq!(left.len(), MAX_SESSIONS_OF_USER);
    assert_eq!(left.last().unwrap().id, "s003");
}

#[test]
fn keys_are_kept_counted_and_revoked_once() {
    let World { store, .. } = world();
    let new = |name: &str, cameras| NewKey {
        name: name.to_owned(),
        prefix: "nvrd_abcdefgh".to_owned(),
        hash: format!("canary-{name}"),
        scopes: BTreeSet::from([Scope::ReadEvents, Scope::WriteCameras]),
        cameras,
        per_minute: 100,
        created_by: Some("ada".to_owned()),
        expires_us: None,
    };
    let one = store.add_key(&new("one", only(&["gate"]))).unwrap();
    let two = store.add_key(&new("two", CameraAccess::All)).unwrap();
    assert!(!format!("{one:?}").contains("canary"));
    assert_eq!(store.key(&one.id).unwrap(), one);
    let made = KeyUse {
        id: two.id.clone(),
        count: 3,
        at_us: NOW_US + 9,
        ip: Some("10.0.0.1".to_owned()),
    };
    let gone = KeyUse {
        id: "gone".to_owned(),
        ..made.clone()
    };
    store.note_key_uses(&[made.clone(), gone]).unwrap();
    store.note_key_uses(&[made]).unwrap();
    let used = store.key(&two.id).unwrap();
    assert_eq!((used.uses, used.last_used_us), (6, Some(NOW_US + 9)));
    assert!(store.revoke_key(&one.id).unwrap().revoked_us.is_some());
    assert_eq!(
        store.revoke_key(&one.id).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(store.live_keys().unwrap(), std::slice::from_ref(&used));
    let page = PageRequest::default();
    assert_eq!(store.keys(false, page).unwrap().items, [used]);
    assert_eq!(store.keys(true, page).unwrap().total, 2);
}

#[test]
fn failing_often_pushes_nothing_out_of_the_log() {
    let World { store, clock, .. } = world();
    let entry = |action: &str, refused| {
        NewAudit {
            action: action.to_owned(),
            refused,
            ..NewAudit::default()
        }
        .by(&Actor::Local)
    };
    store.add_audit(&entry("old", false)).unwrap();
    clock.advance(Duration::from_secs(10));
    store.add_audit(&entry("camera.delete", false)).unwrap();
    for _ in 0..5 {
        store.add_audit(&entry("login", true)).unwrap();
    }
    let bounds = AuditBounds {
        before_us: NOW_US + 1,
        done: 10,
        refused: 2,
    };
    assert_eq!(store.trim_audits(bounds).unwrap(), 4);
    assert_eq!(store.trim_audits(bounds).unwrap(), 0);
    let of = |filter: AuditFilter| store.audits(&filter, PageRequest::default()).unwrap().total;
    assert_eq!(of(AuditFilter::default()), 3);
    let action = |word: &str| AuditFilter {
        action: Some(word.to_owned()),
        ..AuditFilter::default()
    };
    assert_eq!((of(action("camera.delete")), of(action("login"))), (1, 2));
    let later = AuditFilter {
        start_us: Some(NOW_US + 10_000_001),
        ..AuditFilter::default()
    };
    assert_eq!(of(later), 0);
}
