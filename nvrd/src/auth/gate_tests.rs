//! The gate by itself: a fresh recorder on a network, changes made beside the daemon, and what RTSP asks it.

use std::sync::Arc;
use std::time::Duration;

use nvr_base::principal::{Actor, CameraAccess, Role, Scope};
use nvr_base::{Clock, Secret, SimulatedClock};
use nvr_store::{SessionKind, Store};

use super::password::digest;
use super::*;

const NOW_US: i64 = 1_767_225_600_000_000;
const PASSWORD: &str = "correct horse battery";

struct World {
    auth: Arc<Auth>,
    store: Store,
    vault: Arc<Vault>,
    clock: Arc<SimulatedClock>,
    folder: tempfile::TempDir,
}

fn world(open_at_first: bool, proxies: &[&str]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SimulatedClock::at(NOW_US));
    let store = Store::open(&folder.path().join("a.db"), clock.clone()).unwrap();
    let vault = Arc::new(Vault::open_in(folder.path()).unwrap());
    let auth = Auth::open(Parts {
        store: store.clone(),
        vault: vault.clone(),
        clock: clock.clone(),
        keys: folder.path(),
        open_at_first,
        trusted_proxies: proxies.iter().map(|text| text.parse().unwrap()).collect(),
    });
    World {
        auth: Arc::new(auth.unwrap()),
        store,
        vault,
        clock,
        folder,
    }
}

fn account(name: &str, role: Role, cameras: CameraAccess) -> NewAccount {
    NewAccount {
        username: name.to_owned(),
        password: Secret::new(PASSWORD),
        display_name: None,
        email: None,
        role,
        cameras,
        active: true,
        must_change_password: false,
    }
}

async fn asks(auth: &Auth, need: Need, headers: &[(&str, &str)]) -> Result<Identified, Refused> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, value.parse().unwrap());
    }
    auth.identify(&Asked {
        method: &Method::GET,
        headers: &map,
        peer: Some(([203, 0, 113, 9], 4000).into()),
        need,
    })
    .await
}

#[tokio::test]
async fn a_fresh_recorder_on_a_network_answers_nothing_but_the_set_up() {
    for (open_at_first, proxies) in [(false, &[][..]), (true, &["127.0.0.1"])] {
        let World { auth, .. } = world(open_at_first, proxies);
        assert!(!auth.is_open());
        for need in [
            Need::Person,
            Need::SeeEvents,
            Need::SeeCameras,
            Need::Operate,
            Need::Manage,
        ] {
            let refused = asks(&auth, need, &[]).await.unwrap_err();
            assert_eq!(refused.status, 403);
            let header = refused
                .headers
                .iter()
                .find(|(name, _)| name == "x-setup-required");
            assert_eq!(header.unwrap().1, "true");
        }
        let nobody = asks(&auth, Need::Public, &[]).await.unwrap();
        assert_eq!(nobody.principal.actor, Actor::Anonymous);
        assert!(!nobody.principal.sees("a"));
        // Whatever cookie comes along.
        for cookie in [
            "nvrd_session=1",
            "nvrd_session=a.b",
            "access_token=x",
            "admin=1; uid=0",
        ] {
            let refused = asks(&auth, Need::Manage, &[("cookie", cookie)])
                .await
                .unwrap_err();
            assert!([401, 403].contains(&refused.status), "{cookie}");
        }
    }
    let World { auth, .. } = world(true, &[]);
    let local = asks(&auth, Need::Manage, &[]).await.unwrap();
    assert_eq!(local.principal.actor, Actor::Local);
    assert!(auth.still(&local).is_some());
}

#[tokio::test]
async fn changes_made_beside_the_daemon_are_seen() {
    let World {
        auth, store, vault, ..
    } = world(true, &[]);
    let mut changes = auth.changes();
    let local = asks(&auth, Need::Manage, &[]).await.unwrap();
    let new = account("root", Role::Admin, CameraAccess::All);
    let row = accounts::add_user(&store, &vault, &new, false).unwrap();
    assert!(auth.is_open());
    auth.sync().unwrap();
    assert!(!auth.is_open() && changes.has_changed().unwrap());
    changes.borrow_and_update();
    assert!(
        auth.still(&local).is_none(),
        "whoever sat there has to log in"
    );
    assert_eq!(
        asks(&auth, Need::Manage, &[]).await.unwrap_err().status,
        401
    );

    let program = NewProgram {
        name: "k".to_owned(),
        scopes: std::collections::BTreeSet::from([Scope::ReadEvents]),
        cameras: CameraAccess::All,
        per_minute: 10,
        expires_us: Some(NOW_US + 60_000_000),
        created_by: None,
    };
    let (key, secret) = accounts::add_key(&store, &program).unwrap();
    let header = [("x-api-key", secret.expose())];
    assert_eq!(
        asks(&auth, Need::SeeEvents, &header)
            .await
            .unwrap_err()
            .status,
        401
    );
    auth.sync().unwrap();
    let known = asks(&auth, Need::SeeEvents, &header).await.unwrap();
    assert!(auth.still(&known).is_some());
    auth.write_uses().unwrap();
    let used = store.key(&key.id).unwrap();
    assert_eq!(
        (used.uses, used.last_used_ip.as_deref()),
        (1, Some("203.0.113.9"))
    );
    let token = format!("Bearer {}", secret.expose());
    let shown = asks(&auth, Need::SeeEvents, &[("authorization", &token)]).await;
    assert!(shown.is_ok(), "a program may show its key as a token");
    store.revoke_key(&key.id).unwrap();
    auth.sync().unwrap();
    assert!(auth.still(&known).is_none());

    let asked = LogIn {
        username: "root".to_owned(),
        password: Secret::new(PASSWORD),
        code: None,
        kind: SessionKind::Token,
        address: None,
        agent: None,
    };
    let logged = auth.log_in(asked).await.unwrap();
    let Proof::Tokens(tokens) = &logged.proof else {
        panic!("a program gets tokens");
    };
    let bearer = format!("Bearer {}", tokens.access.expose());
    let header = [("authorization", bearer.as_str())];
    let known = asks(&auth, Need::Manage, &header).await.unwrap();
    assert!(auth.still(&known).is_some());
    assert!(!format!("{logged:?} {known:?}").contains(tokens.access.expose()));
    let change = AccountChange {
        password: Some(Secret::new("another horse battery")),
        ..AccountChange::default()
    };
    accounts::change_user(&store, &vault, &row.id, &change).unwrap();
    auth.sync().unwrap();
    assert!(auth.still(&known).is_none());
}

#[tokio::test]
async fn rtsp_finds_users_by_their_very_name() {
    let World {
        auth, store, vault, ..
    } = world(false, &[]);
    let all = account("Root", Role::Admin, CameraAccess::All);
    accounts::add_user(&store, &vault, &all, true).unwrap();
    let gate = CameraAccess::Only(std::collections::BTreeSet::from(["gate".to_owned()]));
    let vera =
        accounts::add_user(&store, &vault, &account("vera", Role::Viewer, gate), false).unwrap();
    auth.reload().unwrap();
    let (principal, known) = auth.digest_of("vera").unwrap();
    assert_eq!(known.expose(), digest("vera", PASSWORD));
    assert!(principal.sees("gate") && !principal.sees("yard"));
    assert!(auth.digest_of("root").is_none() && auth.digest_of("nobody").is_none());
    assert!(auth.digest_of("Root").is_some());
    for change in [
        AccountChange {
            must_change_password: Some(true),
            ..AccountChange::default()
        },
        AccountChange {
            active: Some(false),
            must_change_password: Some(false),
            ..AccountChange::default()
        },
    ] {
        accounts::change_user(&store, &vault, &vera.id, &change).unwrap();
        auth.reload().unwrap();
        assert!(auth.digest_of("vera").is_none());
    }
}

#[tokio::test]
async fn a_restart_keeps_sessions_and_ends_them_in_time() {
    let World {
        auth,
        store,
        vault,
        clock,
        folder,
    } = world(false, &[]);
    accounts::add_user(
        &store,
        &vault,
        &account("root", Role::Admin, CameraAccess::All),
        true,
    )
    .unwrap();
    auth.reload().unwrap();
    let asked = LogIn {
        username: "root".to_owned(),
        password: Secret::new(PASSWORD),
        code: None,
        kind: SessionKind::Browser,
        address: None,
        agent: Some("x".repeat(1000)),
    };
    let logged = auth.log_in(asked).await.unwrap();
    assert_eq!(logged.session.agent.as_ref().unwrap().len(), 200);
    let Proof::Cookie(secret) = logged.proof else {
        panic!("a browser gets a cookie");
    };
    let again = Auth::open(Parts {
        store,
        vault,
        clock: clock.clone() as Arc<dyn Clock>,
        keys: folder.path(),
        open_at_first: false,
        trusted_proxies: Vec::new(),
    })
    .unwrap();
    let cookie = format!("{SESSION_COOKIE}={}", secret.expose());
    let header = [("cookie", cookie.as_str())];
    assert!(asks(&again, Need::Manage, &header).await.is_ok());
    clock.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(
        asks(&again, Need::Manage, &header)
            .await
            .unwrap_err()
            .status,
        401
    );
}
