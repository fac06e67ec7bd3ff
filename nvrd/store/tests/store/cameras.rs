//! Cameras: made, changed, forgotten, refused.

use std::time::Duration;

use nvr_base::{ErrorKind, Principal};

use crate::support::{EVIL, NOW_US, SECOND_US, TestStore, camera, event, segment, step};

#[test]
fn cameras_are_made_changed_and_forgotten() {
    let test = TestStore::new();
    let made = test.store.insert_camera(&camera("front")).unwrap();
    assert_eq!((made.created_us, made.updated_us), (NOW_US, NOW_US));
    assert_eq!(test.store.camera("front").unwrap(), made);

    let again = test.store.insert_camera(&camera("front")).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    assert_eq!(again.to_string(), r#"camera "front" exists already"#);

    test.clock.advance(Duration::from_secs(1));
    let mut change = camera("front");
    change.sub_uri = None;
    change.password = None;
    change.enabled = false;
    let changed = test.store.update_camera(&change).unwrap();
    assert_eq!(changed.created_us, NOW_US);
    assert_eq!(changed.updated_us, NOW_US + SECOND_US);
    assert_eq!((&changed.sub_uri, &changed.password), (&None, &None));
    assert_eq!(test.after_kill().list_cameras().unwrap(), vec![changed]);
}

#[test]
fn what_a_camera_recorded_outlives_it() {
    let test = TestStore::new();
    let store = &test.store;
    store.insert_camera(&camera("front")).unwrap();
    store.insert_segment(&segment("front", 0)).unwrap();
    store
        .apply_event(&step(nvr_store::Change::Closed, event("e", 0)))
        .unwrap();
    store.open_gap("front", "paused", NOW_US, None).unwrap();
    store.delete_camera("front").unwrap();

    assert!(store.list_cameras().unwrap().is_empty());
    assert!(store.event(Principal::system(), "e").is_ok());
    assert!(
        store
            .has_segment_path("", &segment("front", 0).path)
            .unwrap()
    );
    assert_eq!(store.open_gaps("front").unwrap().len(), 1);
    for error in [
        store.camera("front").unwrap_err(),
        store.update_camera(&camera("front")).unwrap_err(),
        store.delete_camera("front").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), r#"no camera is called "front""#);
    }
}

#[test]
fn cameras_come_by_name() {
    let test = TestStore::new();
    for name in ["yard", "attic", "front-2", "front"] {
        test.store.insert_camera(&camera(name)).unwrap();
    }
    let names: Vec<_> = test
        .store
        .list_cameras()
        .unwrap()
        .into_iter()
        .map(|c| c.name)
        .collect();
    assert_eq!(names, ["attic", "front", "front-2", "yard"]);
}

#[test]
fn wrong_names_and_parameters_are_refused() {
    let test = TestStore::new();
    for name in EVIL.iter().chain(&["", "Front", "../x"]) {
        let error = test.store.insert_camera(&camera(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name:?}");
        assert_eq!(
            test.store.camera(name).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
    for params in ["", "[]", "1", "{", "{\"a\":1}x"] {
        let mut wrong = camera("front");
        wrong.params_json = params.to_owned();
        let error = test.store.insert_camera(&wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{params:?}");
        assert_eq!(
            error.to_string(),
            r#"camera "front": params must be a JSON object"#
        );
    }
    assert!(test.store.list_cameras().unwrap().is_empty());
}

#[test]
fn any_text_is_kept_as_it_is() {
    let test = TestStore::new();
    for (index, text) in EVIL.iter().enumerate() {
        let text = || (*text).to_owned();
        let mut evil = camera(&format!("c{index}"));
        evil.uri = text();
        evil.sub_uri = Some(text());
        evil.pipeline = text();
        evil.user = Some(text());
        evil.password = Some(text());
        let row = test.store.insert_camera(&evil).unwrap();
        assert_eq!(row.password, evil.password);
        assert_eq!(test.store.camera(&evil.name).unwrap(), row);
    }
    assert_eq!(test.store.list_cameras().unwrap().len(), EVIL.len());
}
