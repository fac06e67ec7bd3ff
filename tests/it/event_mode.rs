//! A camera that records on events: each is on disk with its pre-roll and post-roll, and nothing else is.

use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Config, Daemon};
use support::{coverage, pictures, wait_for};

/// Five seconds of a visit, ten of nothing.
const VISITS: &str = "test://visits?width=320&height=180&period=15&visit=5";

fn config(more: &str) -> Config {
    let params = format!("mode = \"event\", pre-roll = 2000000000, post-roll = 2000000000{more}");
    Config::new().camera("visits", VISITS, "motion", &params)
}

fn at(item: &Value, key: &str) -> f64 {
    item[key].as_f64().unwrap() / 1e6
}

#[test]
fn a_visit_is_recorded_with_what_comes_before_and_after_it() {
    let config = config("");
    let daemon = Daemon::start(&config);
    let closed = "camera=visits&kind=motion&state=closed";
    wait_for("two visits", Duration::from_secs(90), || {
        (daemon.events(closed).len() >= 2).then_some(())
    });
    let segments = daemon.wait_segments("visits", 2, Duration::from_secs(60));
    let events = daemon.events(closed);
    for event in events.iter().take(2) {
        let (start, end) = (at(event, "start_unix_us"), at(event, "end_unix_us"));
        let holds = segments.iter().find(|segment| {
            at(segment, "start_unix_us") <= start && end <= at(segment, "end_unix_us")
        });
        let segment = holds.unwrap_or_else(|| panic!("{event} is in none of {segments:?}"));
        let (before, after) = (
            start - at(segment, "start_unix_us"),
            at(segment, "end_unix_us") - end,
        );
        // The first visit begins with the camera, and nothing can come before that.
        let first = event["id"] == events[0]["id"];
        assert!(
            first || (1.0..6.0).contains(&before),
            "{before} s before {event}"
        );
        assert!((1.0..8.0).contains(&after), "{after} s after {event}");
    }
    let answer = daemon.coverage("visits");
    let tiles = coverage::explained(&answer);
    let missing = coverage::missing(&tiles);
    assert!(
        missing
            .iter()
            .any(|gap| gap.2 == "no_event" && gap.1 - gap.0 > 1.0),
        "{answer}"
    );
    assert!(missing.iter().all(|gap| gap.2 == "no_event"), "{answer}");
    assert!(
        daemon.events("camera=visits&kind=system").is_empty(),
        "to wait for an event is no failure"
    );
    assert_eq!(daemon.get("/system/health")["status"], "ok");
    // No picture is in two files.
    let files = segments.iter().map(|segment| {
        let path = config
            .folder()
            .join(format!("{}.mp4", segment["id"].as_str().unwrap()));
        let (status, _, body) = daemon.bytes(
            segment["url"]
                .as_str()
                .unwrap()
                .strip_prefix("/api/v1")
                .unwrap(),
        );
        assert_eq!(status, 200);
        std::fs::write(&path, body).unwrap();
        path
    });
    let files: Vec<_> = files.collect();
    let told: u64 = segments
        .iter()
        .map(|segment| segment["frames"].as_u64().unwrap())
        .sum();
    assert_eq!(pictures::all_checksums(&files).len() as u64, told);
    for pair in segments.windows(2) {
        assert!(
            at(&pair[0], "end_unix_us") <= at(&pair[1], "start_unix_us"),
            "{pair:?}"
        );
    }
}

#[test]
fn a_person_has_a_camera_recorded() {
    let config = Config::new().camera(
        "quiet",
        "test://visits?width=320&height=180&period=3600&visit=0.1",
        "motion",
        "mode = \"event\", pre-roll = 1000000000, post-roll = 1000000000",
    );
    let daemon = Daemon::start(&config);
    daemon.wait_state("quiet", "running", Duration::from_secs(30));
    let (status, done) = daemon.request(
        "POST",
        "/cameras/quiet/trigger",
        Some(&json!({"seconds": 2})),
    );
    assert_eq!(status, 200, "{done}");
    // Asked again it is the same event, and lasts until the later end.
    let (_, again) = daemon.request(
        "POST",
        "/cameras/quiet/trigger",
        Some(&json!({"seconds": 4})),
    );
    assert_eq!(again["event_id"], done["event_id"]);
    assert!(again["end_unix_us"].as_i64() > done["end_unix_us"].as_i64());
    let event = wait_for("the event is over", Duration::from_secs(20), || {
        daemon.events("camera=quiet&kind=manual&state=closed").pop()
    });
    assert_eq!(event["id"], done["event_id"]);
    let segment = daemon
        .wait_segments("quiet", 1, Duration::from_secs(30))
        .pop()
        .unwrap();
    let (start, end) = (at(&segment, "start_unix_us"), at(&segment, "end_unix_us"));
    assert!(
        start <= at(&event, "start_unix_us") && end >= at(&event, "end_unix_us"),
        "{segment} {event}"
    );
    assert!((4.0..12.0).contains(&(end - start)), "{segment}");

    let refused = |path: &str, body: Option<&Value>| daemon.request("POST", path, body);
    let (status, body) = refused("/cameras/quiet/trigger", Some(&json!({"seconds": 0})));
    assert_eq!(
        (
            status,
            body["detail"].as_str().unwrap().contains("1 to 3600")
        ),
        (400, true)
    );
    assert_eq!(refused("/cameras/nobody/trigger", None).0, 404);
    // Without a body it is half a minute.
    let (status, long) = refused("/cameras/quiet/trigger", None);
    let lasts = long["end_unix_us"].as_i64().unwrap() - long["start_unix_us"].as_i64().unwrap();
    assert_eq!((status, lasts), (200, 30_000_000), "{long}");
}
