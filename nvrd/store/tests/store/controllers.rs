//! Controllers, and which of their cameras are cameras here.

use nvr_base::ErrorKind;
use nvr_store::{ControllerCamera, MAX_CONTROLLERS, NewController};

use crate::support::TestStore;

fn controller(name: &str) -> NewController {
    NewController {
        name: name.to_owned(),
        host: "10.0.0.1".to_owned(),
        port: 443,
        username: "admin".to_owned(),
        password: "sealed".to_owned(),
        verify_ssl: false,
    }
}

#[test]
fn controllers_come_change_and_go() {
    let test = TestStore::new();
    let store = &test.store;
    let made = store.insert_controller(&controller("home")).unwrap();
    assert!(made.wanted && made.last_connected_us.is_none() && made.last_error.is_none());
    assert_eq!(
        store
            .insert_controller(&controller("home"))
            .unwrap_err()
            .kind(),
        ErrorKind::AlreadyExists
    );
    store.note_controller(&made.id, Some("it is away")).unwrap();
    assert_eq!(
        store.controller(&made.id).unwrap().last_error.as_deref(),
        Some("it is away")
    );
    store.note_controller(&made.id, None).unwrap();
    store.want_controller(&made.id, false).unwrap();
    let changed = NewController {
        host: "10.0.0.2".to_owned(),
        ..controller("house")
    };
    let row = store.update_controller(&made.id, &changed).unwrap();
    assert_eq!(row.controller, changed);
    assert_eq!((row.wanted, row.last_error), (false, None));
    assert_eq!(row.last_connected_us, Some(store.now_unix_us()));
    assert_eq!(
        store.controllers().unwrap(),
        [store.controller(&made.id).unwrap()]
    );
    for more in 1..MAX_CONTROLLERS {
        store
            .insert_controller(&controller(&format!("c{more}")))
            .unwrap();
    }
    assert_eq!(
        store
            .insert_controller(&controller("last"))
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceExhausted
    );
    store.delete_controller(&made.id).unwrap();
    for gone in [
        store.delete_controller(&made.id).unwrap_err(),
        store.controller(&made.id).unwrap_err(),
        store.want_controller(&made.id, true).unwrap_err(),
        store.update_controller(&made.id, &changed).unwrap_err(),
    ] {
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }
    store.note_controller(&made.id, None).unwrap();
}

#[test]
fn a_camera_belongs_to_one_place_at_most() {
    let test = TestStore::new();
    let store = &test.store;
    let home = store.insert_controller(&controller("home")).unwrap().id;
    let link = |protect_camera_id: &str, camera: &str| ControllerCamera {
        controller_id: home.clone(),
        protect_camera_id: protect_camera_id.to_owned(),
        camera: camera.to_owned(),
    };
    store.link_controller_camera(&link("1", "yard")).unwrap();
    store.link_controller_camera(&link("2", "door")).unwrap();
    assert_eq!(
        store
            .link_controller_camera(&link("3", "door"))
            .unwrap_err()
            .kind(),
        ErrorKind::AlreadyExists
    );
    store.link_controller_camera(&link("1", "garden")).unwrap();
    assert_eq!(
        store.controller_cameras().unwrap(),
        [link("1", "garden"), link("2", "door")]
    );
    assert!(store.unlink_controller_camera(&home, "2").unwrap());
    assert!(!store.unlink_controller_camera(&home, "2").unwrap());
    store.delete_controller(&home).unwrap();
    assert_eq!(store.controller_cameras().unwrap(), []);
    assert_eq!(
        store
            .link_controller_camera(&link("1", "yard"))
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
}
