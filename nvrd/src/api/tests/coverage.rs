//! Coverage over REST: tiles of a range, the lifetime, and what is refused.

use nvr_contract::segment::{FragmentWritten, SegmentOpened};
use nvr_media::CameraState;
use serde_json::{Value, json};

use super::{NOW_US, SECOND_US, World};

const NOW: i64 = NOW_US / SECOND_US;

fn path(camera: &str, from: i64, to: i64) -> String {
    format!(
        "/api/v1/cameras/{camera}/coverage?start_unix={}&end_unix={}",
        NOW + from,
        NOW + to
    )
}

/// Starts and ends of both lists together, in seconds after now, in the order of time.
fn spans(found: &Value) -> Vec<(f64, f64)> {
    let lists = [&found["segments"], &found["gaps"]];
    let items = lists.iter().flat_map(|list| list.as_array().unwrap());
    let second = |item: &Value, key: &str| item[key].as_f64().unwrap() - NOW as f64;
    let mut spans: Vec<_> = items
        .map(|item| (second(item, "start_unix"), second(item, "end_unix")))
        .collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    spans
}

#[tokio::test]
async fn a_range_is_tiled_by_segments_and_gaps() {
    let world = World::new();
    let store = &world.context.store;
    store.begin_run(NOW_US - 1000 * SECOND_US).unwrap();
    let id = world.add_segment(0, b"x", None);
    world.add_segment(60, b"x", None);
    let (start, end) = (NOW_US + 10 * SECOND_US, NOW_US + 40 * SECOND_US);
    store
        .add_gap("front", "source_lost", start, Some(end), Some("no route"))
        .unwrap();
    let found = world.json(&path("front", 0, 100)).await;
    assert_eq!(
        found,
        json!({
            "camera": "front",
            "start_unix": NOW as f64, "end_unix": (NOW + 70) as f64,
            "first_unix": NOW as f64, "last_unix": (NOW + 70) as f64,
            "covered": 20.0 / 70.0, "covered_seconds": 20.0,
            "segments": [
                {"id": id, "start_unix": NOW as f64, "end_unix": (NOW + 10) as f64,
                    "url": format!("/api/v1/recordings/front/{id}/file.mp4")},
                {"id": found["segments"][1]["id"], "start_unix": (NOW + 60) as f64, "end_unix": (NOW + 70) as f64,
                    "url": found["segments"][1]["url"]},
            ],
            "gaps": [
                {"start_unix": (NOW + 10) as f64, "end_unix": (NOW + 40) as f64, "reason": "source_lost", "detail": "no route"},
                {"start_unix": (NOW + 40) as f64, "end_unix": (NOW + 60) as f64, "reason": "unknown", "detail": null},
            ],
            "reasons": {"source_lost": 30.0, "unknown": 20.0},
            "next_start_unix": null,
        }),
        "a camera that was removed ends with its last segment"
    );
    // Borders are exact to the microsecond, and parts of parts add up.
    let part = format!(
        "/api/v1/cameras/front/coverage?start_unix={}.000001&end_unix={}.75",
        NOW + 5,
        NOW + 45
    );
    let part = world.json(&part).await;
    let seconds = part["covered_seconds"].as_f64().unwrap();
    assert!((seconds - 4.999_999).abs() < 1e-9, "{part}");
    assert_eq!(spans(&part).len(), 3);
    // Outside the lifetime nothing is covered and nothing is missing.
    let before = world.json(&path("front", -200, -100)).await;
    assert_eq!(
        (&before["covered"], &before["gaps"], &before["reasons"]),
        (&Value::Null, &json!([]), &json!({}))
    );
}

#[tokio::test]
async fn a_camera_that_writes_is_covered_to_the_present() {
    let world = World::new();
    let context = &world.context;
    context.store.begin_run(NOW_US - 100 * SECOND_US).unwrap();
    let now = context.clock.monotonic();
    let location = "/x/gate/a.mp4".to_owned();
    context.live.with("gate", now, |live| {
        live.state(CameraState::Running, now, NOW_US);
        let opened = SegmentOpened {
            location: location.clone(),
            start_ns: 0,
            start_unix_us: NOW_US - 50 * SECOND_US,
        };
        live.opened(&opened, now);
        let fragment = FragmentWritten {
            location,
            bytes: 1,
            end_ns: 0,
            end_unix_us: NOW_US - SECOND_US,
            synced: false,
        };
        live.fragment(&fragment, now);
    });
    let found = world.json(&path("gate", -1000, 1000)).await;
    assert_eq!(spans(&found), [(-50.0, -1.0)], "{found}");
    assert_eq!(
        (&found["covered"], &found["segments"][0]["id"]),
        (&json!(1.0), &Value::Null)
    );
    let health = world.json("/api/v1/system/health").await;
    assert_eq!(
        health["recording"],
        json!([{
            "camera": "gate", "recording": true, "should_record": true, "recorded_until_unix_us": NOW_US - SECOND_US,
            "failure": null, "failure_since_unix_us": null, "detail": null,
        }])
    );
    assert_eq!(
        (&health["status"], &health["unknown_seconds"]),
        (&json!("ok"), &json!(0.0))
    );

    // Six seconds later nothing more has come.
    world.clock.advance(std::time::Duration::from_secs(6));
    let health = world.json("/api/v1/system/health").await;
    let camera = &health["recording"][0];
    assert_eq!(health["status"], "degraded");
    assert_eq!(
        (&camera["recording"], &camera["failure"]),
        (&json!(false), &json!("not_recording"))
    );
}

#[tokio::test]
async fn a_camera_without_a_past_is_empty_and_one_that_never_was_unknown() {
    let world = World::new();
    let found = world.json("/api/v1/cameras/gate/coverage").await;
    assert_eq!(
        (&found["first_unix"], &found["last_unix"], &found["covered"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    for name in ["nobody", "..%2f..", "UPPER"] {
        let answer = world
            .ask("GET", &format!("/api/v1/cameras/{name}/coverage"))
            .await;
        answer.assert_refused(404, "no camera is called");
    }
}

#[tokio::test]
async fn wrong_ranges_are_refused_with_their_parameter() {
    let world = World::new();
    let check = async |query: &str, detail: &str| {
        let answer = world
            .ask("GET", &format!("/api/v1/cameras/gate/coverage?{query}"))
            .await;
        answer.assert_refused(400, detail);
    };
    check(
        "start_unix=5&end_unix=5",
        "start_unix: is not before end_unix",
    )
    .await;
    check("start_unix=-1", "start_unix: ").await;
    check("end_unix=yesterday", "end_unix: ").await;
    check("limit=5", "unknown parameter `limit`").await;
    check("start_unix=0&end_unix=2000000000", "longer than 366 days").await;
}

#[tokio::test]
async fn a_full_answer_says_where_to_go_on() {
    let world = World::new();
    let rows = 5200;
    let segments = (0..rows).map(|number| nvr_store::SegmentRow {
        id: format!("{number:08}"),
        camera: "front".to_owned(),
        path: format!("front/{number}.mp4"),
        start_us: NOW_US + number * 2 * SECOND_US,
        end_us: NOW_US + (number * 2 + 1) * SECOND_US,
        frames: 1,
        bytes: 1,
        codec: "h264".to_owned(),
        width: 1,
        height: 1,
        blake3: None,
        discont: false,
        keyframes: Vec::new(),
        storage: String::new(),
        protected: false,
        audio: None,
    });
    let changes: Vec<_> = segments.map(nvr_store::StoreChange::Segment).collect();
    world.context.store.apply_batch(&changes).unwrap();
    let first = world.json(&path("front", 0, 100_000)).await;
    let next = first["next_start_unix"].as_f64().unwrap();
    assert_eq!(first["end_unix"].as_f64(), Some(next));
    let query = format!("start_unix={next}&end_unix={}", NOW + 100_000);
    let second = world
        .json(&format!("/api/v1/cameras/front/coverage?{query}"))
        .await;
    assert_eq!(second["next_start_unix"], Value::Null);
    let count = |found: &Value| found["segments"].as_array().unwrap().len() as i64;
    assert_eq!(count(&first) + count(&second), rows);
}
