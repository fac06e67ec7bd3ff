//! Cameras over REST: made, changed and removed while others record on without a gap.

use std::time::Duration;

use serde_json::json;
use support::daemon::{Config, Daemon};
use support::wait_for;

#[test]
fn adding_and_removing_a_camera_leaves_the_others_alone() {
    let config = Config::new().camera(
        "first",
        "test://ball",
        "record",
        "segment-duration = 1000000000",
    );
    let daemon = Daemon::start(&config);
    daemon.wait_segments("first", 2, Duration::from_secs(60));

    let made =
        json!({"name": "second", "uri": "test://visits?period=4&visit=3", "pipeline": "motion"});
    let (status, camera) = daemon.request("POST", "/cameras", Some(&made));
    assert_eq!(status, 201, "{camera}");
    assert_eq!(camera["name"], "second");
    assert_eq!(camera["read_only"], false);
    daemon.wait_state("second", "running", Duration::from_secs(30));
    wait_for(
        "an event of the new camera",
        Duration::from_secs(60),
        || daemon.events("camera=second").pop(),
    );
    let (status, kind, jpeg) = daemon.bytes("/cameras/second/snapshot.jpg");
    assert_eq!(
        (status, kind.as_str(), &jpeg[..2]),
        (200, "image/jpeg", &[0xff, 0xd8][..])
    );

    let (status, _) = daemon.request("POST", "/cameras/second/stop", None);
    assert_eq!(status, 200);
    daemon.wait_state("second", "stopped", Duration::from_secs(20));
    let (status, _) = daemon.request("POST", "/cameras/second/start", None);
    assert_eq!(status, 200);
    daemon.wait_state("second", "running", Duration::from_secs(30));
    let changed = json!({"params": {"sensitivity": 0.6}});
    let (status, camera) = daemon.request("PATCH", "/cameras/second", Some(&changed));
    assert_eq!(
        (status, camera["params"]["sensitivity"].as_f64()),
        (200, Some(0.6)),
        "{camera}"
    );
    assert_eq!(
        daemon.get("/cameras/second")["status"]["state"],
        "running",
        "a threshold changes without a restart"
    );
    let (status, _) = daemon.request("DELETE", "/cameras/second", None);
    assert_eq!(status, 204);
    assert_eq!(daemon.request("GET", "/cameras/second", None).0, 404);
    assert!(
        !daemon.segments("second").is_empty(),
        "what was recorded stays"
    );

    let count = daemon.segments("first").len();
    let segments = daemon.wait_segments("first", count + 2, Duration::from_secs(60));
    for pair in segments.windows(2) {
        assert_eq!(
            pair[0]["end_unix_us"], pair[1]["start_unix_us"],
            "{segments:?}"
        );
    }
    assert_eq!(daemon.recordings("first")["gaps"], json!([]));
}

#[test]
fn cameras_over_rest_survive_a_restart_and_those_of_the_file_are_read_only() {
    let config = Config::new().camera("file", "test://ball", "record", "");
    let mut daemon = Daemon::start(&config);
    let made = json!({"name": "rest", "uri": "rtsp://admin:secret@127.0.0.1:9/cam", "pipeline": "record", "enabled": false});
    let (status, camera) = daemon.request("POST", "/cameras", Some(&made));
    assert_eq!(status, 201, "{camera}");
    assert_eq!(
        (camera["uri"].as_str(), camera["has_password"].as_bool()),
        (Some("rtsp://127.0.0.1:9/cam"), Some(true))
    );
    assert!(!camera.to_string().contains("secret"));
    assert_eq!(daemon.request("POST", "/cameras", Some(&made)).0, 409);
    let (status, error) = daemon.request("DELETE", "/cameras/file", None);
    assert_eq!(status, 409, "{error}");
    assert!(
        error["detail"]
            .as_str()
            .unwrap()
            .contains("configuration file"),
        "{error}"
    );
    assert!(daemon.terminate(Duration::from_secs(10)).success());
    assert!(!daemon.log().contains("secret"), "{}", daemon.log());

    let daemon = Daemon::start(&config);
    let names: Vec<String> = daemon.get("/cameras")["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|camera| camera["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["file", "rest"]);
}

#[test]
fn a_camera_is_tested_before_it_is_saved() {
    let config = Config::new();
    let daemon = Daemon::start(&config);
    let good = json!({"name": "new", "uri": "test://ball?width=320&height=240"});
    let (status, found) = daemon.request("POST", "/cameras/test", Some(&good));
    assert_eq!(status, 200, "{found}");
    assert_eq!(
        (found["success"].as_bool(), found["codec"].as_str()),
        (Some(true), Some("h264")),
        "{found}"
    );
    assert_eq!(
        (found["width"].as_i64(), found["height"].as_i64()),
        (Some(320), Some(240))
    );
    assert!(
        found["thumbnail"]
            .as_str()
            .unwrap()
            .starts_with("data:image/jpeg;base64,")
    );
    let away = json!({"name": "new", "uri": "rtsp://127.0.0.1:9/cam"});
    let (status, found) = daemon.request("POST", "/cameras/test", Some(&away));
    assert_eq!(
        (status, found["success"].as_bool()),
        (200, Some(false)),
        "{found}"
    );
    assert!(!found["detail"].as_str().unwrap().is_empty());
    assert_eq!(daemon.get("/cameras")["total"], 0);
}

#[test]
fn two_changes_at_once_are_both_made() {
    let config = Config::new();
    let daemon = Daemon::start(&config);
    let made = json!({"name": "cam", "uri": "rtsp://127.0.0.1:9/0", "enabled": false});
    assert_eq!(daemon.request("POST", "/cameras", Some(&made)).0, 201);
    for round in 1..=20 {
        let changes = [
            json!({"uri": format!("rtsp://127.0.0.1:9/{round}")}),
            json!({"params": {"sensitivity": f64::from(round) / 100.0}}),
        ];
        std::thread::scope(|scope| {
            for change in &changes {
                scope.spawn(|| {
                    let (status, body) = daemon.request("PATCH", "/cameras/cam", Some(change));
                    assert_eq!(status, 200, "{body}");
                });
            }
        });
        let camera = daemon.get("/cameras/cam");
        assert_eq!(camera["uri"], changes[0]["uri"], "{camera}");
        assert_eq!(camera["params"], changes[1]["params"], "{camera}");
    }
}
