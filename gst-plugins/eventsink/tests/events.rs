//! Scenes as small tables, and the events that come of them; without GStreamer.
#![allow(
    clippy::unwrap_used,
    reason = "allow-unwrap-in-tests does not reach helpers of integration tests"
)]

use expect_test::{Expect, expect};
use gsteventsink::events::{Config, Events, OPEN_LIMIT, Picture, Sight, Told};
use nvr_contract::BBox;
use nvr_contract::event::{Change, Event};
use nvr_contract::face::Identity;
use nvr_contract::motion::{MotionFrame, MotionRegion};
use nvr_contract::track::{Track, Tracking};
use nvr_contract::wallclock::WallClock;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

fn config() -> Config {
    Config {
        motion: true,
        motion_gap: 2000 * MS,
        motion_limit: 60_000 * MS,
        object_gap: 3000 * MS,
        min_frames: 2,
        open_score: 0.0,
        min_score: 0.0,
        labels: Vec::new(),
        pipeline: None,
        id_seed: String::new(),
    }
}

/// The number or text after `mark`, up to the next mark.
fn after(word: &str, mark: char) -> Option<&str> {
    let rest = &word[word.find(mark)? + mark.len_utf8()..];
    Some(rest.split(['#', '?', ':', '*', '=', '+']).next().unwrap())
}

/// `label`, then `#3` (track), `?3` (tentative), `!` (unclaimed), `:0.9` (score), `*2` (size), `+zone`,
/// `=alice` (identity).
fn sight(word: &str) -> Sight {
    let label = word
        .split(['#', '?', '!', ':', '*', '=', '+'])
        .next()
        .unwrap();
    let size: f64 = after(word, '*').map_or(1.0, |s| s.parse().unwrap());
    let zones = after(word, '+').map(str::to_owned).into_iter().collect();
    let stationary = word.contains('~');
    let word = &word.replace('~', "");
    let tracking = if word.contains('!') {
        Some(Tracking::Unclaimed)
    } else if let Some(id) = after(word, '?') {
        Some(Tracking::Tentative(id.parse().unwrap()))
    } else {
        after(word, '#').map(|id| {
            Tracking::Tracked(Track {
                id: id.parse().unwrap(),
                stationary,
                zones,
            })
        })
    };
    Sight {
        label: label.to_owned(),
        score: after(word, ':').map_or(0.8, |s| s.parse().unwrap()),
        bbox: BBox::clamped(0.1, 0.1, 0.1 * size, 0.1),
        tracking,
        identity: after(word, '=').map(|person| Identity {
            person: person.to_owned(),
            similarity: 0.7,
        }),
    }
}

/// A row: milliseconds; `moving`, `quiet` (what the motion detector says), `ran`, `idle` (whether the model
/// looked), `region:0.9*2+zone`, and sights.
fn picture(row: &str) -> Picture {
    let mut words = row.split_whitespace();
    let mut picture = Picture {
        pts_ns: words.next().unwrap().parse::<u64>().unwrap() * MS,
        ..Picture::default()
    };
    for word in words {
        match word {
            "moving" | "quiet" => {
                picture.motion = Some(MotionFrame {
                    moving: word == "moving",
                    level: 0.05,
                    learning: false,
                });
            }
            "ran" | "idle" => {
                picture.looked = Some(word == "ran");
                picture.model = Some("0123456789ab".to_owned());
            }
            "wall" => {
                picture.wall = Some(WallClock {
                    pts_ns: 0,
                    unix_us: 1_700_000_000_000_000,
                });
            }
            _ if word.starts_with("region") => {
                let Sight { score, bbox, .. } = sight(word);
                picture.regions.push(MotionRegion {
                    bbox,
                    score,
                    zones: after(word, '+').map(str::to_owned).into_iter().collect(),
                });
            }
            _ => picture.sights.push(sight(word)),
        }
    }
    picture
}

/// `1000..2500 ran person#1` is a row every 100 ms from 1000 to 2500, both included.
fn rows(scene: &str) -> Vec<Picture> {
    let mut pictures = Vec::new();
    for row in scene.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (time, rest) = row.split_once(' ').unwrap_or((row, ""));
        match time.split_once("..") {
            None => pictures.push(picture(row)),
            Some((from, to)) => {
                let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
                pictures.extend(
                    (from..=to)
                        .step_by(100)
                        .map(|ms| picture(&format!("{ms} {rest}"))),
                );
            }
        }
    }
    pictures
}

fn line(at: &str, told: &Told<u64>) -> String {
    let Event {
        change,
        kind,
        label,
        start_ns,
        end_ns,
        score,
        zones,
        track_id,
        identity,
        frames,
        ..
    } = &told.event;
    let mut line = format!("{at}: {change} {kind}");
    if let Some(label) = label {
        line += &format!(" {label}");
    }
    if let Some(id) = track_id {
        line += &format!("#{id}");
    }
    line += &format!(" {}..", start_ns / MS);
    if let Some(end) = end_ns {
        line += &format!("{}", end / MS);
    }
    line += &format!(" score {} frames {frames}", score.unwrap());
    if !zones.is_empty() {
        line += &format!(" zones {}", zones.join(","));
    }
    if let Some(identity) = identity {
        line += &format!(" is {identity}");
    }
    if let Some(shot) = told.shot {
        line += &format!(" shot {}", shot / MS);
    }
    line
}

fn play(config: &Config, pictures: &[Picture]) -> (String, Vec<Told<u64>>) {
    let mut events = Events::default();
    let (mut text, mut all) = (String::new(), Vec::new());
    for picture in pictures {
        let told = events.step(config, picture, &mut || Some(picture.pts_ns));
        for told in told {
            text += &(line(&(picture.pts_ns / MS).to_string(), &told) + "\n");
            all.push(told);
        }
    }
    for told in events.finish(config) {
        text += &(line("end", &told) + "\n");
        all.push(told);
    }
    assert_eq!(events.opened(), events.closed());
    (text, all)
}

#[track_caller]
fn check_with(config: &Config, scene: &str, expected: Expect) {
    expected.assert_eq(&play(config, &rows(scene)).0);
}

#[track_caller]
fn check(scene: &str, expected: Expect) {
    check_with(&config(), scene, expected);
}

#[test]
fn motion_opens_at_once_and_closes_after_the_gap() {
    check(
        "0..900 quiet
         1000..2000 moving region:0.5
         2100..4200 quiet
         4300..4500 moving region:0.5
         4600..6000 quiet",
        expect![[r#"
            1000: opened motion 1000.. score 0.5 frames 1 shot 1000
            4100: closed motion 1000..2000 score 0.5 frames 11
            4300: opened motion 4300.. score 0.5 frames 1 shot 4300
            end: closed motion 4300..4500 score 0.5 frames 3
        "#]],
    );
}

#[test]
fn motion_that_comes_back_within_the_gap_is_one_event() {
    check(
        "0..500 moving region:0.5
         600..2400 quiet
         2500..3000 moving region:0.5
         3100..6000 quiet",
        expect![[r#"
            0: opened motion 0.. score 0.5 frames 1 shot 0
            5100: closed motion 0..3000 score 0.5 frames 12
        "#]],
    );
}

#[test]
fn without_a_motion_detector_there_are_no_motion_events() {
    check("0..3000", expect![[""]]);
    let config = Config {
        motion: false,
        ..config()
    };
    check_with(&config, "0..500 moving region", expect![[""]]);
}

#[test]
fn what_stands_is_silent_until_it_moves() {
    check(
        "0..2000 ran car#1
         2100..40000 ran car#1~
         40100..41000 ran car#1
         41100..45000 ran",
        expect![[r#"
            100: opened object car#1 0.. score 0.8 frames 2 shot 0
            35100: closed object car#1 0..32000 score 0.8 frames 321
            40200: opened object car#1 40100.. score 0.8 frames 2 shot 40100
            44100: closed object car#1 40100..41000 score 0.8 frames 10
        "#]],
    );
    // What has stood ever since it was first seen is no event.
    check("0..5000 ran car#1~", expect![[""]]);
}

#[test]
fn one_sure_picture_or_many_unsure_ones_open_an_event() {
    let config = Config {
        open_score: 0.6,
        ..config()
    };
    check_with(&config, "0..600 ran frisbee#1:0.58", expect![[""]]);
    check_with(
        &config,
        "0..600 ran person#1:0.5
         700..800 ran person#1:0.7
         900..6000 ran",
        expect![[r#"
            700: opened object person#1 0.. score 0.7 frames 8 shot 700
            3900: closed object person#1 0..800 score 0.7 frames 9
        "#]],
    );
    check_with(
        &config,
        "0..2500 ran person#1:0.5",
        expect![[r#"
        1900: opened object person#1 0.. score 0.5 frames 20 shot 0
        end: closed object person#1 0..2500 score 0.5 frames 26
    "#]],
    );
}

#[test]
fn endless_motion_goes_on_as_a_new_event() {
    let config = Config {
        motion_limit: 500 * MS,
        ..config()
    };
    check_with(
        &config,
        "0..1100 moving region",
        expect![[r#"
        0: opened motion 0.. score 0.8 frames 1 shot 0
        500: closed motion 0..400 score 0.8 frames 5
        500: opened motion 500.. score 0.8 frames 1 shot 500
        1000: closed motion 500..900 score 0.8 frames 5
        1000: opened motion 1000.. score 0.8 frames 1 shot 1000
        end: closed motion 1000..1100 score 0.8 frames 2
    "#]],
    );
}

#[test]
fn updates_tell_of_better_pictures_and_new_zones_once_a_second() {
    check(
        "0 moving region:0.5+road
         100 moving region:0.5*2+road
         200 moving region:0.5*4+road
         300..900 moving region:0.5*4+road
         1000..1500 moving region:0.5*4+porch
         1600..2500 moving region:0.5*4.5+porch
         2600..3000 moving region:0.5*4+gate",
        expect![[r#"
            0: opened motion 0.. score 0.5 frames 1 zones road shot 0
            1000: updated motion 0..1000 score 0.5 frames 11 zones porch,road shot 200
            2600: updated motion 0..2600 score 0.5 frames 27 zones gate,porch,road
            end: closed motion 0..3000 score 0.5 frames 31 zones gate,porch,road
        "#]],
    );
}

#[test]
fn a_tracked_object_opens_with_its_second_picture_and_starts_with_its_first() {
    check(
        "0..900 ran
         1000 ran person?1
         1100..3000 ran person#1+road
         3100..6000 ran
         6100..6300 ran",
        expect![[r#"
            1100: opened object person#1 1000.. score 0.8 frames 2 zones road shot 1000
            6100: closed object person#1 1000..3000 score 0.8 frames 21 zones road
        "#]],
    );
}

#[test]
fn a_glimpse_is_no_event() {
    check(
        "0..900 ran
         1000 ran person?1
         1100..4500 ran
         4600 ran dog!
         4700..5000 ran dog!",
        expect![[""]],
    );
}

#[test]
fn two_tracks_are_two_events_and_labels_do_not_count() {
    check(
        "0..500 ran person#1 person#2
         600..800 ran person#1 dog#2
         900..1000 ran person#1 face#1",
        expect![[r#"
            100: opened object person#1 0.. score 0.8 frames 2 shot 0
            100: opened object person#2 0.. score 0.8 frames 2 shot 0
            1000: opened face face#1 900.. score 0.8 frames 2 shot 900
            end: closed object person#1 0..1000 score 0.8 frames 11
            end: closed object person#2 0..800 score 0.8 frames 9
            end: closed face face#1 900..1000 score 0.8 frames 2
        "#]],
    );
}

#[test]
fn without_a_tracker_there_is_one_event_a_label_and_person() {
    check(
        "0..1000 person person:0.9 car
         1100..3000 car
         3100..4500 car person
         4600..5000 car face=alice face=bob face
         5100..9000 ran",
        expect![[r#"
            100: opened object person 0.. score 0.9 frames 2 shot 0
            100: opened object car 0.. score 0.8 frames 2 shot 0
            4700: opened face face 4600.. score 0.8 frames 2 is alice shot 4600
            4700: opened face face 4600.. score 0.8 frames 2 is bob shot 4600
            4700: opened face face 4600.. score 0.8 frames 2 shot 4600
            7600: closed object person 0..4500 score 0.9 frames 26
            8100: closed object car 0..5000 score 0.8 frames 51
            8100: closed face face 4600..5000 score 0.8 frames 5 is alice
            8100: closed face face 4600..5000 score 0.8 frames 5 is bob
            8100: closed face face 4600..5000 score 0.8 frames 5
        "#]],
    );
}

#[test]
fn a_model_that_does_not_run_closes_nothing_by_itself() {
    check(
        "0..500 ran moving region person#1
         600..9000 idle moving region
         9100..9500 ran moving region person#1",
        expect![[r#"
            0: opened motion 0.. score 0.8 frames 1 shot 0
            100: opened object person#1 0.. score 0.8 frames 2 shot 0
            end: closed motion 0..9500 score 0.8 frames 96
            end: closed object person#1 0..9500 score 0.8 frames 11
        "#]],
    );
    // A quiet scene does.
    check(
        "0..500 ran person#1
         600..5000 idle quiet
         9100..9500 ran person#1",
        expect![[r#"
            100: opened object person#1 0.. score 0.8 frames 2 shot 0
            3600: closed object person#1 0..500 score 0.8 frames 6
            9200: opened object person#1 9100.. score 0.8 frames 2 shot 9100
            end: closed object person#1 9100..9500 score 0.8 frames 5
        "#]],
    );
}

#[test]
fn key_frames_far_apart_make_one_event() {
    check(
        "0 moving region ran person#1
         4000 moving region ran person#1
         8000 moving region ran person#1
         12000 moving region ran person#1
         16000 quiet ran",
        expect![[r#"
            0: opened motion 0.. score 0.8 frames 1 shot 0
            4000: opened object person#1 0.. score 0.8 frames 2 shot 0
            16000: closed motion 0..12000 score 0.8 frames 4
            16000: closed object person#1 0..12000 score 0.8 frames 4
        "#]],
    );
}

#[test]
fn an_identity_is_news() {
    check(
        "0..500 ran face#1
         600..1500 ran face#1=alice
         1600..3000 ran face#1=alice",
        expect![[r#"
            100: opened face face#1 0.. score 0.8 frames 2 shot 0
            1100: updated face face#1 0..1100 score 0.8 frames 12 is alice
            end: closed face face#1 0..3000 score 0.8 frames 31 is alice
        "#]],
    );
}

#[test]
fn a_name_counts_before_a_stranger_and_another_name_is_another_event() {
    check(
        "0..500 ran face#1=stranger-1
         600..1500 ran face#1=alice
         1600..2000 ran face#1
         2100..3000 ran face#1=bob",
        expect![[r#"
            100: opened face face#1 0.. score 0.8 frames 2 is stranger-1 shot 0
            1100: updated face face#1 0..1100 score 0.8 frames 12 is alice
            2200: opened face face#1 2100.. score 0.8 frames 2 is bob shot 2100
            end: closed face face#1 0..1500 score 0.8 frames 21 is alice
            end: closed face face#1 2100..3000 score 0.8 frames 10 is bob
        "#]],
    );
}

#[test]
fn a_still_picture_shows_everything_once() {
    check(
        "0 ran face?1 face",
        expect![[r#"
        end: opened face face#1 0.. score 0.8 frames 1 shot 0
        end: closed face face#1 0..0 score 0.8 frames 1
        end: opened face face 0.. score 0.8 frames 1 shot 0
        end: closed face face 0..0 score 0.8 frames 1
    "#]],
    );
    check(
        "0 person",
        expect![[r#"
        end: opened object person 0.. score 0.8 frames 1 shot 0
        end: closed object person 0..0 score 0.8 frames 1
    "#]],
    );
    check_with(
        &Config {
            min_frames: 1,
            ..config()
        },
        "0 ran face?1",
        expect![[r#"
            end: opened face face#1 0.. score 0.8 frames 1 shot 0
            end: closed face face#1 0..0 score 0.8 frames 1
        "#]],
    );
}

#[test]
fn time_that_runs_back_or_jumps_begins_anew() {
    check(
        "5000..5500 ran person#1 moving region
         5460 ran person#1 moving region
         0..300 ran person#1 moving region
         60000..60200 ran person#1 moving region",
        expect![[r#"
            5000: opened motion 5000.. score 0.8 frames 1 shot 5000
            5100: opened object person#1 5000.. score 0.8 frames 2 shot 5000
            0: closed motion 5000..5500 score 0.8 frames 7
            0: closed object person#1 5000..5500 score 0.8 frames 7
            0: opened motion 0.. score 0.8 frames 1 shot 0
            100: opened object person#1 0.. score 0.8 frames 2 shot 0
            60000: closed motion 0..300 score 0.8 frames 4
            60000: closed object person#1 0..300 score 0.8 frames 4
            60000: opened motion 60000.. score 0.8 frames 1 shot 60000
            60100: opened object person#1 60000.. score 0.8 frames 2 shot 60000
            end: closed motion 60000..60200 score 0.8 frames 3
            end: closed object person#1 60000..60200 score 0.8 frames 3
        "#]],
    );
}

#[test]
fn filters_leave_out_what_is_not_asked_for() {
    check_with(
        &Config {
            min_score: 0.5,
            labels: vec!["person".to_owned(), "car".to_owned()],
            ..config()
        },
        "0..500 person:0.9 dog:0.9 car:0.4 car:nan",
        expect![[r#"
            100: opened object person 0.. score 0.9 frames 2 shot 0
            end: closed object person 0..500 score 0.9 frames 6
        "#]],
    );
}

#[test]
fn wall_time_and_provenance_are_stamped() {
    let config = Config {
        pipeline: Some("cafe".to_owned()),
        ..config()
    };
    let (_, told) = play(&config, &rows("1000..1500 wall ran person#1"));
    let closed = &told.last().unwrap().event;
    assert_eq!(closed.change, Change::Closed);
    assert_eq!(closed.start_unix_us, Some(1_700_000_001_000_000));
    assert_eq!(closed.end_unix_us, Some(1_700_000_001_500_000));
    assert_eq!(closed.model.as_deref(), Some("0123456789ab"));
    assert_eq!(closed.pipeline.as_deref(), Some("cafe"));
    let (_, told) = play(&config, &rows("1000..1500 ran person#1"));
    assert!(told.iter().all(|t| t.event.start_unix_us.is_none()));
    // The last picture is shown for a while: the event ends when that is over.
    let mut pictures = rows("1000..1500 ran person#1");
    for picture in &mut pictures {
        picture.duration_ns = Some(100 * MS);
    }
    let (_, told) = play(&config, &pictures);
    assert_eq!(told.last().unwrap().event.end_ns, Some(1600 * MS));
}

#[test]
fn a_crowd_opens_a_bounded_number_once() {
    let crowd: String = (0..400).map(|id| format!(" person#{id}")).collect();
    let scene: String = (0..20)
        .map(|step| format!("{} ran{crowd}\n", step * 100))
        .collect();
    let (_, told) = play(&config(), &rows(&scene));
    let count = |change| told.iter().filter(|t| t.event.change == change).count();
    assert_eq!((count(Change::Opened), count(Change::Closed)), (400, 400));
    let mut open = 0usize;
    for told in &told {
        match told.event.change {
            Change::Opened => open += 1,
            Change::Closed => open -= 1,
            Change::Updated => {}
        }
        assert!(open <= OPEN_LIMIT);
    }
    // The oldest went first.
    assert_eq!(told[OPEN_LIMIT].event.change, Change::Closed);
    assert_eq!(told[OPEN_LIMIT].event.track_id, Some(0));
}

#[test]
fn pictures_kept_are_bounded_whatever_waits() {
    // Each picture shows another candidate, which is never confirmed: all want their picture kept.
    let mut events = Events::default();
    let held = std::rc::Rc::new(());
    for step in 0..500u64 {
        let picture = picture(&format!("{} ran person?{step} dog?{step}", step * 5));
        let mut shoot = || Some(std::rc::Rc::clone(&held));
        assert!(events.step(&config(), &picture, &mut shoot).is_empty());
        assert!(std::rc::Rc::strong_count(&held) <= 1 + 2 * 32);
    }
    // Who waited too long for its picture to be kept gets the next one.
    let last = picture("2500 ran person#1 person#499");
    let told = events.step(&config(), &last, &mut || Some(std::rc::Rc::clone(&held)));
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|told| told.shot.is_some()));
}

fn any_row() -> impl Strategy<Value = String> {
    let sight = prop_oneof![
        Just(String::new()),
        (0u64..4).prop_map(|id| format!("person#{id}")),
        (0u64..4).prop_map(|id| format!("person?{id}:0.3")),
        Just("face=eve*3".to_owned()),
        Just("car".to_owned()),
    ];
    (
        0u64..4000,
        prop::sample::select(vec!["moving region:0.6", "quiet", ""]),
        prop::sample::select(vec!["ran", "idle", ""]),
        sight.clone(),
        sight,
    )
        .prop_map(|(step, motion, model, a, b)| format!("{step} {motion} {model} {a} {b}"))
}

proptest! {
    /// Each event is opened once, then updated, then closed once, and its times are in order; the same input
    /// gives the same bytes.
    #[test]
    fn lives_are_whole_and_repeatable(steps in prop::collection::vec(any_row(), 0..80), back in 0usize..80) {
        let mut now = 0;
        let mut pictures = Vec::new();
        for (index, row) in steps.iter().enumerate() {
            let mut picture = picture(row);
            now += picture.pts_ns;
            if index == back {
                now = 0;
            }
            picture.pts_ns = now;
            pictures.push(picture);
        }
        let (text, told) = play(&config(), &pictures);
        let mut states = std::collections::HashMap::new();
        for Told { event, .. } in &told {
            let before = states.insert(event.id.clone(), event.change);
            match event.change {
                Change::Opened => prop_assert_eq!(before, None),
                _ => prop_assert!(matches!(before, Some(Change::Opened | Change::Updated))),
            }
            prop_assert!(event.end_ns.is_none_or(|end| end >= event.start_ns));
        }
        prop_assert!(states.values().all(|change| *change == Change::Closed));
        let json = |told: &[Told<u64>]| told.iter().map(|t| t.event.to_json()).collect::<Vec<_>>();
        let (again, told_again) = play(&config(), &pictures);
        prop_assert_eq!(text, again);
        prop_assert_eq!(json(&told), json(&told_again));
    }
}
