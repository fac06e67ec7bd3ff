//! A real clip, once, through the whole chain: visits become events, empty stretches do not.

use std::time::Duration;

use serde_json::Value;
use support::daemon::{Config, Daemon};
use support::media;

/// The clip's pictures per second.
const FPS: f64 = 10.0;
const CLIP: &str = "one-by-one-person-detection.mp4";

/// The visits of the clip, as (first, last) second.
fn visits() -> Option<Vec<(f64, f64)>> {
    let text = std::fs::read_to_string(media::shared()?.join("media/gt/events.json")).ok()?;
    let truth: Value = serde_json::from_str(&text).unwrap();
    let visits = truth[CLIP]["person_visits"].as_array().unwrap().iter();
    Some(
        visits
            .map(|v| {
                (
                    v[0].as_f64().unwrap() / FPS,
                    (v[1].as_f64().unwrap() + 1.0) / FPS,
                )
            })
            .collect(),
    )
}

fn interval(event: &Value) -> (f64, f64) {
    let seconds = |key: &str| event[key].as_u64().unwrap() as f64 / 1e9;
    (seconds("start_ns"), seconds("end_ns"))
}

/// How much of an interval lies outside every visit.
fn outside((start, end): (f64, f64), visits: &[(f64, f64)]) -> f64 {
    let inside: f64 = visits
        .iter()
        .map(|visit| (end.min(visit.1) - start.max(visit.0)).max(0.0))
        .sum();
    (end - start) - inside
}

/// What the chain made of the clip, and what is in it.
struct Played {
    events: Vec<Value>,
    visits: Vec<(f64, f64)>,
}

fn play(pipeline: &str, params: &str) -> Option<Played> {
    let (Some(clip), Some(visits)) = (media::shared_clip(CLIP), visits()) else {
        println!("SKIP: no shared clip {CLIP}");
        return None;
    };
    let config = Config::new().camera(
        "room",
        &format!("file://{}", clip.display()),
        pipeline,
        params,
    );
    let daemon = Daemon::start(&config);
    daemon.wait_state("room", "stopped", Duration::from_secs(240));
    Some(Played {
        events: daemon.events("camera=room"),
        visits,
    })
}

#[test]
fn each_visit_is_motion_and_the_empty_room_is_not() {
    let Some(Played { events, visits }) = play("motion", "") else {
        return;
    };
    let motion: Vec<(f64, f64)> = events
        .iter()
        .filter(|event| event["kind"] == "motion")
        .map(interval)
        .collect();
    for visit in &visits {
        let met = motion.iter().any(|m| m.0 < visit.1 && m.1 > visit.0);
        assert!(met, "no motion in the visit {visit:?}: {motion:?}");
    }
    // Half a second at either edge of a visit is not counted as empty.
    let near: Vec<(f64, f64)> = visits.iter().map(|v| (v.0 - 0.5, v.1 + 0.5)).collect();
    for interval in &motion {
        let stray = outside(*interval, &near);
        assert!(
            stray <= 0.5,
            "motion {interval:?} lies {stray:.1} s in the empty room: {motion:?}"
        );
    }
}

#[test]
fn each_visit_is_a_person() {
    let Some(model) = media::yolox() else {
        println!("SKIP: no shared model or no ONNX Runtime");
        return;
    };
    let Some(Played { events, visits }) = play(
        "detect",
        &format!("model = {}", Value::from(model.to_str().unwrap())),
    ) else {
        return;
    };
    let persons: Vec<&Value> = events
        .iter()
        .filter(|event| event["label"] == "person")
        .collect();
    for visit in &visits {
        let met = persons
            .iter()
            .map(|event| interval(event))
            .any(|p| p.0 < visit.1 && p.1 > visit.0);
        assert!(met, "no person in the visit {visit:?}: {persons:#?}");
    }
    for person in persons {
        assert!(person["score"].as_f64().unwrap() >= 0.4, "{person}");
        assert_eq!(person["state"], "closed");
        assert_eq!(person["model"].as_str().unwrap().len(), 12);
        let stray = outside(interval(person), &visits);
        assert!(
            stray <= 1.0,
            "a person {stray:.1} s in the empty room: {person}"
        );
    }
}
