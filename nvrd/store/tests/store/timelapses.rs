//! Time-lapses in the store: their turns, their ends, and what a restart makes of them.

use nvr_base::{ErrorKind, Principal};
use nvr_store::{NewTimelapse, PageRequest, TimelapseFilm, TimelapseState};

use crate::support::{EVIL, NOW_US, TestStore};

const FILM: TimelapseFilm = TimelapseFilm {
    shown_us: 5,
    pictures: 7,
    bytes: 900,
};

fn wish(camera: &str) -> NewTimelapse {
    NewTimelapse {
        camera: camera.to_owned(),
        start_us: 1,
        end_us: 1000,
        interval_us: 10,
        fps: 25,
        height: Some(90),
    }
}

#[test]
fn each_has_its_turn_and_its_end() {
    let test = TestStore::new();
    let store = &test.store;
    let first = store.add_timelapse(&wish(EVIL[1]), 2).unwrap();
    let second = store.add_timelapse(&wish("yard"), 2).unwrap();
    let full = store.add_timelapse(&wish("yard"), 2).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Unavailable);
    assert!(
        full.message()
            .starts_with("2 time-lapses are waiting already"),
        "{full}"
    );

    let begun = store.begin_timelapse().unwrap().unwrap();
    assert_eq!(
        (&begun.id, begun.state),
        (&first.id, TimelapseState::Running)
    );
    assert_eq!(begun.wish, wish(EVIL[1]));
    assert!(
        store
            .end_timelapse(&first.id, Some(FILM), Some("why"))
            .unwrap()
    );
    let done = store.timelapse(Principal::system(), &first.id).unwrap();
    assert_eq!(
        (done.state, done.film, done.finished_us),
        (TimelapseState::Done, Some(FILM), Some(NOW_US))
    );
    assert_eq!(done.detail.as_deref(), Some("why"));
    assert!(!store.cancel_timelapse(&first.id).unwrap(), "it is over");

    assert!(store.cancel_timelapse(&second.id).unwrap());
    assert!(
        !store.end_timelapse(&second.id, None, None).unwrap(),
        "it was cancelled"
    );
    assert_eq!(store.begin_timelapse().unwrap(), None);

    let page = PageRequest { page: 1, limit: 10 };
    let all = store.timelapses(Principal::system(), page).unwrap();
    let ids: Vec<&str> = all.items.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(
        (ids, all.total),
        (vec![second.id.as_str(), first.id.as_str()], 2)
    );
    assert_eq!(store.surplus_timelapses(1).unwrap(), vec![first.id.clone()]);
    store.delete_timelapse(&first.id).unwrap();
    for gone in [
        store.delete_timelapse(&first.id),
        store.timelapse(Principal::system(), &first.id).map(drop),
    ] {
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn what_a_kill_interrupts_waits_again_but_not_for_ever() {
    let test = TestStore::new();
    let store = &test.store;
    let id = store.add_timelapse(&wish("front"), 9).unwrap().id;
    for _ in 0..3 {
        assert_eq!(
            store.timelapse(Principal::system(), &id).unwrap().state,
            TimelapseState::Queued
        );
        assert_eq!(store.begin_timelapse().unwrap().unwrap().id, id);
        store.requeue_timelapses(3).unwrap();
    }
    let failed = store.timelapse(Principal::system(), &id).unwrap();
    assert_eq!(failed.state, TimelapseState::Failed);
    assert_eq!(
        failed.detail.as_deref(),
        Some("the daemon ended 3 times while it was made")
    );
}
