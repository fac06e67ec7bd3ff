//! A camera that dies and comes back: recording and events resume by themselves, and the outage can be seen.

use std::time::{Duration, Instant};

use serde_json::Value;
use support::camera::RtspCamera;
use support::daemon::{Config, Daemon};
use support::{coverage, media, wait_for};

#[test]
fn a_camera_that_dies_for_five_seconds_comes_back() {
    let clip = media::street();
    let camera = RtspCamera::start(&clip);
    let port = camera.port();
    let config = Config::new().camera(
        "street",
        &camera.uri(),
        "motion",
        "segment-duration = 2000000000",
    );
    let daemon = Daemon::start(&config);
    daemon.wait_segments("street", 1, Duration::from_secs(60));
    wait_for(
        "an event before the outage",
        Duration::from_secs(60),
        || daemon.events("camera=street&kind=motion").pop(),
    );

    drop(camera);
    let died = Instant::now();
    daemon.wait_state("street", "degraded", Duration::from_secs(20));
    let status = daemon.get("/cameras/street")["status"].clone();
    assert!(
        status["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{status}"
    );
    let before = daemon.segments("street").len();
    wait_for(
        "nothing stays open without pictures",
        Duration::from_secs(10),
        || {
            daemon
                .events("camera=street&state=open&kind=motion")
                .is_empty()
                .then_some(())
        },
    );
    assert_the_failure_is_told(&daemon);
    wait_for("five seconds of outage", Duration::from_secs(10), || {
        (died.elapsed() >= Duration::from_secs(5)).then_some(())
    });

    let _camera = RtspCamera::start_on(&clip, port);
    daemon.wait_state("street", "running", Duration::from_secs(60));
    let segments = daemon.wait_segments("street", before + 2, Duration::from_secs(60));
    let recordings = daemon.recordings("street");
    let gaps = recordings["gaps"].as_array().unwrap();
    let gap = gaps
        .iter()
        .find(|gap| gap["reason"] == "source_lost" && !gap["end_unix_us"].is_null());
    let gap = gap.unwrap_or_else(|| panic!("no closed outage: {recordings}"));
    let seconds = (gap["end_unix_us"].as_i64().unwrap() - gap["start_unix_us"].as_i64().unwrap())
        as f64
        / 1e6;
    assert!(
        (2.0..60.0).contains(&seconds),
        "the outage lasted {seconds} s"
    );
    let back = gap["end_unix_us"].as_i64().unwrap();
    let died_unix = gap["start_unix_us"].as_i64().unwrap();
    assert!(
        segments
            .iter()
            .any(|segment| segment["start_unix_us"].as_i64().unwrap() >= back - 1_000_000)
    );
    wait_for("an event after the outage", Duration::from_secs(60), || {
        daemon
            .events("camera=street&kind=motion")
            .into_iter()
            .find(|event| event["start_unix_us"].as_i64().unwrap() > died_unix + 1_000_000)
    });
    // No two segments overlap.
    for pair in segments.windows(2) {
        assert!(
            pair[0]["end_unix_us"].as_i64() <= pair[1]["start_unix_us"].as_i64(),
            "{pair:?}"
        );
    }
    assert_one_outage(&daemon, &segments);
}

/// Every moment has its reason, and the outage is one gap that ends with the first picture.
#[track_caller]
fn assert_one_outage(daemon: &Daemon, segments: &[Value]) {
    let coverage = daemon.coverage("street");
    let tiles = coverage::explained(&coverage);
    let missing = coverage::missing(&tiles);
    assert_eq!(missing.len(), 1, "{coverage}");
    assert_eq!(missing[0].2, "source_lost", "{coverage}");
    let lasted = missing[0].1 - missing[0].0;
    assert!((4.0..60.0).contains(&lasted), "{lasted} s: {coverage}");
    let after = segments.iter().map(|segment| &segment["start_unix_us"]);
    let firsts: Vec<f64> = after.map(|us| us.as_f64().unwrap() / 1e6).collect();
    assert!(firsts.contains(&missing[0].1), "{coverage}");
    wait_for("the failure is over", Duration::from_secs(10), || {
        let events = daemon.events("camera=street&kind=system");
        (events.len() == 1 && events[0]["state"] == "closed").then_some(())
    });
    assert_eq!(daemon.get("/system/health")["status"], "ok");
}

#[track_caller]
fn assert_the_failure_is_told(daemon: &Daemon) {
    let told = wait_for("the failure is an event", Duration::from_secs(10), || {
        daemon.events("camera=street&kind=system&state=open").pop()
    });
    assert_eq!(told["label"], "source_lost", "{told}");
    let health = daemon.get("/system/health");
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["recording"][0]["failure"], "source_lost", "{health}");
}
