//! Time-lapses of recordings made by the recorder.

use std::cell::Cell;

use super::*;
use crate::stills::tests::{SECOND_US, World, listed};

const NOW_US: i64 = 1_000_000 * SECOND_US;

fn wish(start_us: i64) -> NewTimelapse {
    NewTimelapse {
        camera: "front".to_owned(),
        start_us,
        end_us: start_us + 4 * SECOND_US,
        interval_us: SECOND_US,
        fps: 10,
        height: Some(90),
    }
}

fn world() -> Option<(World, i64)> {
    let start_us = 1_000 * SECOND_US;
    Some((listed(start_us)?, start_us))
}

#[test]
fn a_film_has_a_picture_for_each_moment_that_is_recorded() {
    let Some((world, start_us)) = world() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("film.mp4");
    let check = |wish: NewTimelapse, pictures: u64, absent: u64| {
        let plan = Plan::of(&world.stills, &wish).unwrap();
        let last = Cell::new((0, 0));
        let step = |done, all| {
            last.set((done, all));
            ControlFlow::Continue(())
        };
        let made = plan.make(&to, &step).unwrap().unwrap();
        assert_eq!(
            (made.pictures, made.absent, made.damaged),
            (pictures, absent, 0)
        );
        assert_eq!(made.shown_us, start_us);
        assert_eq!(last.get(), (pictures, pictures));
        assert!(!beside(&to).exists() && std::fs::metadata(&to).unwrap().len() > 1000);
    };
    check(wish(start_us), 4, 0);
    let long = NewTimelapse {
        start_us: start_us - 4 * SECOND_US,
        end_us: start_us + 8 * SECOND_US,
        ..wish(start_us)
    };
    check(long, 4, 8);
    // Closer than the key frames: each stands for several moments.
    let close = NewTimelapse {
        interval_us: SECOND_US / 4,
        ..wish(start_us)
    };
    check(close, 16, 0);
}

#[test]
fn a_film_can_be_stopped_and_says_what_it_lacks() {
    let Some((world, start_us)) = world() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("film.mp4");
    let plan = Plan::of(&world.stills, &wish(start_us)).unwrap();
    let step = |done, _| match done {
        2.. => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    assert_eq!(plan.make(&to, &step).unwrap(), None);

    // Deleted between the plan and the film.
    std::fs::remove_file(&world.file).unwrap();
    let go = |_, _| ControlFlow::Continue(());
    let error = plan.make(&to, &go).unwrap_err();
    assert_eq!(error.message(), "none of its pictures could be decoded");
    let error = Plan::of(&world.stills, &wish(0)).unwrap_err();
    assert!(
        error.message().starts_with("nothing of camera \"front\""),
        "{error}"
    );
    let made = Made {
        pictures: 1,
        absent: 2,
        damaged: 3,
        shown_us: 0,
    };
    let detail = "2 of its moments are not recorded, 3 could not be decoded";
    assert_eq!(made.detail().as_deref(), Some(detail));
}

#[test]
fn wishes_that_make_no_sense_name_the_field() {
    let check = |change: fn(&mut NewTimelapse), expect: &str| {
        let mut wish = wish(0);
        change(&mut wish);
        assert_eq!(super::check(&wish, NOW_US).unwrap_err().message(), expect);
    };
    check(|wish| wish.end_us = 0, "start_unix: is not before end_unix");
    check(
        |wish| wish.end_us = NOW_US + 1,
        "end_unix: lies in the future",
    );
    check(|wish| wish.interval_us = 0, "interval_s: use 0.1 or more");
    check(|wish| wish.fps = 0, "fps: 0 is out of range: use 1 to 60");
    check(
        |wish| wish.height = Some(8),
        "height: 8 is out of range: use 16 to 4320",
    );
    check(
        |wish| wish.end_us = 20_001 * SECOND_US,
        "interval_s: gives 20001 pictures, and 20000 are the most: use 1.001 or more",
    );
    assert!(super::check(&wish(0), NOW_US).is_ok());
}

#[test]
fn films_have_even_sides() {
    assert_eq!(film_size((1920, 1080), None), (1920, 1080));
    assert_eq!(film_size((1920, 1080), Some(90)), (160, 90));
    assert_eq!(film_size((321, 181), Some(2000)), (322, 182));
    assert_eq!(film_size((0, 0), None), (16, 16));
}
