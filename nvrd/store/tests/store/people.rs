//! People, their faces and strangers, and that nothing is left of who is forgotten.

use nvr_base::{ErrorKind, Principal};
use nvr_store::{Change, NewFace, NewPerson, NewSighting, PageRequest};

use crate::support::{NOW_US, TestStore, event, step};

const PAGE: PageRequest = PageRequest { page: 1, limit: 50 };

fn person(id: &str, category: &str) -> NewPerson {
    NewPerson {
        id: id.to_owned(),
        name: format!("Name of {id}"),
        category: category.to_owned(),
        metadata: "{\"floor\":3}".to_owned(),
    }
}

fn face(id: &str) -> NewFace {
    NewFace {
        id: id.to_owned(),
        source: "photo".to_owned(),
        photo: Some(format!("{id}.jpg")),
        landmarks: Some("[]".to_owned()),
        model: "aaaaaaaaaaaa".to_owned(),
        vector: format!("vector-of-{id}"),
    }
}

#[test]
fn people_are_enrolled_listed_and_changed() {
    let test = TestStore::new();
    let (store, who) = (&test.store, &Principal::local());
    store
        .enrol(who, &person("ann", "vip"), &face("f1"), false)
        .unwrap();
    store
        .enrol(who, &person("ann", "vip"), &face("f2"), false)
        .unwrap();
    store
        .enrol(who, &person("bob", "watchlist"), &face("f3"), true)
        .unwrap();
    assert_eq!(store.person(who, "ann").unwrap().faces, 2);
    let listed = store.people(who, Some("watchlist"), PAGE).unwrap();
    assert_eq!((listed.items.len(), listed.total), (1, 1));
    assert_eq!(store.people(who, None, PAGE).unwrap().total, 2);
    // Again, in place of what was there.
    let gone = store
        .enrol(who, &person("ann", "employee"), &face("f4"), true)
        .unwrap();
    assert_eq!(gone, ["f1.jpg", "f2.jpg"]);
    let row = store.person(who, "ann").unwrap();
    assert_eq!((row.faces, row.person.category.as_str()), (1, "employee"));
    let changed = store.change_person(who, &person("ann", "visitor")).unwrap();
    assert_eq!(changed.person.category, "visitor");
    assert!(store.replace_vector("f4", "bbbbbbbbbbbb", "new").unwrap());
    assert!(!store.replace_vector("f1", "bbbbbbbbbbbb", "new").unwrap());
    let (people, faces) = store.all_faces().unwrap();
    assert_eq!((people.len(), faces.len()), (2, 2));
    let ann = faces.iter().find(|it| it.owner == "ann").unwrap();
    assert_eq!(
        (ann.face.model.as_str(), ann.face.vector.as_str()),
        ("bbbbbbbbbbbb", "new")
    );
    assert_eq!(
        store.faces_of(who, "ann").unwrap(),
        std::slice::from_ref(ann)
    );
}

#[test]
fn who_may_not_operate_sees_nobody() {
    let test = TestStore::new();
    let store = &test.store;
    store
        .enrol(
            &Principal::local(),
            &person("ann", "vip"),
            &face("f1"),
            false,
        )
        .unwrap();
    let viewer = Principal::anonymous();
    let refused = [
        store.person(&viewer, "ann").map(drop),
        store.people(&viewer, None, PAGE).map(drop),
        store.faces_of(&viewer, "ann").map(drop),
        store
            .enrol(&viewer, &person("x", ""), &face("f2"), false)
            .map(drop),
        store.change_person(&viewer, &person("ann", "")).map(drop),
        store.forget_person(&viewer, "ann").map(drop),
        store.strangers(&viewer, PAGE).map(drop),
        store
            .name_stranger(&viewer, "stranger-1", &person("x", ""))
            .map(drop),
        store.forget_stranger(&viewer, "stranger-1").map(drop),
    ];
    for refused in refused {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(store.person(&Principal::local(), "ann").unwrap().faces, 1);
}

/// An event with somebody on it.
fn seen(test: &TestStore, id: &str, who: &str) {
    let mut row = event(id, 1);
    row.identity = Some(who.to_owned());
    row.similarity = Some(0.7);
    test.store.apply_event(&step(Change::Opened, row)).unwrap();
}

#[test]
fn nothing_is_left_of_who_is_forgotten() {
    let test = TestStore::new();
    let (store, who) = (&test.store, &Principal::local());
    for id in ["ann-xyzzy", "bob"] {
        store
            .enrol(who, &person(id, "vip"), &face(&format!("face-{id}")), false)
            .unwrap();
    }
    seen(&test, "e1", "ann-xyzzy");
    seen(&test, "e2", "bob");
    let forgotten = store.forget_person(who, "ann-xyzzy").unwrap();
    assert_eq!(forgotten.photos, ["face-ann-xyzzy.jpg"]);
    assert_eq!(forgotten.events, ["e1"]);
    assert_eq!(store.event(who, "e1").unwrap().identity, None);
    assert_eq!(
        store.event(who, "e2").unwrap().identity.as_deref(),
        Some("bob")
    );
    assert_eq!(
        store.person(who, "ann-xyzzy").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        store.forget_person(who, "ann-xyzzy").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(store.all_faces().unwrap().1.len(), 1);
    if let Some(folder) = test.folder() {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap_or_default();
            let left = bytes.windows(5).any(|window| window == b"xyzzy");
            assert!(!left, "{} still knows of her", path.display());
        }
    }
}

#[test]
fn strangers_come_again_and_get_a_name() {
    let test = TestStore::new();
    let (store, who) = (&test.store, &Principal::local());
    let met = |id: &str, at, face| NewSighting {
        id: id.to_owned(),
        camera: "front".to_owned(),
        at_us: NOW_US + at,
        face,
    };
    store
        .met_stranger(&met("stranger-1", 0, Some(face("s1"))))
        .unwrap();
    store.met_stranger(&met("stranger-1", 5, None)).unwrap();
    store
        .met_stranger(&met("stranger-2", 9, Some(face("s2"))))
        .unwrap();
    // Never begun, so nobody.
    store.met_stranger(&met("stranger-3", 9, None)).unwrap();
    let page = store.strangers(who, PAGE).unwrap();
    let ids: Vec<&str> = page.items.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["stranger-2", "stranger-1"]);
    let first = &page.items[1];
    assert_eq!(
        (first.sightings, first.first_us, first.last_us),
        (2, NOW_US, NOW_US + 5)
    );

    seen(&test, "e1", "stranger-1");
    seen(&test, "e2", "stranger-2");
    assert_eq!(
        store
            .name_stranger(who, "stranger-1", &person("eve", "visitor"))
            .unwrap(),
        1
    );
    assert_eq!(
        store.event(who, "e1").unwrap().identity.as_deref(),
        Some("eve")
    );
    assert_eq!(store.person(who, "eve").unwrap().faces, 1);
    assert_eq!(
        store
            .name_stranger(who, "stranger-1", &person("eve", ""))
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        store.forget_stranger(who, "stranger-2").unwrap().events,
        ["e2"]
    );
    assert_eq!(store.event(who, "e2").unwrap().identity, None);
    assert!(store.strangers(who, PAGE).unwrap().items.is_empty());
}
