//! `/metrics`: names by Prometheus' rules, who may read them, and a failure that shows everywhere at once.
#![allow(
    clippy::too_many_lines,
    reason = "a story is easier to follow in one piece"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use expect_test::expect;
use nvr_contract::segment::{Gap, GapReason, SegmentClosed, SegmentOpened};
use nvr_media::{CameraState, CameraStatus, Notice, What};
use serde_json::json;

use super::people::ask;
use super::{NOW_US, SECOND_US, World};
use crate::hub::{CommittedEvent, Notifier};
use crate::sample;

/// A file of `front` of ten seconds.
fn segment(world: &World) -> [What; 2] {
    let location = world.context.storage.recordings().join("front/2026/a.mp4");
    let location = location.display().to_string();
    let opened = SegmentOpened {
        location: location.clone(),
        start_ns: 0,
        start_unix_us: NOW_US,
    };
    let closed = SegmentClosed {
        location,
        start_ns: 0,
        end_ns: 10_000_000_000,
        start_unix_us: NOW_US,
        end_unix_us: NOW_US + 10 * SECOND_US,
        frames: 250,
        bytes: 1_000_000,
        codec: "h264".to_owned(),
        width: 640,
        height: 360,
        keyframes: Vec::new(),
        blake3: String::new(),
        discont: false,
        audio: None,
    };
    [What::SegmentOpened(opened), What::SegmentClosed(closed)]
}

fn running() -> What {
    What::State(CameraStatus {
        state: CameraState::Running,
        since_unix_us: NOW_US,
        detail: None,
        loss: None,
        pipeline: "record".to_owned(),
        recording: true,
        codec: None,
        size: None,
        fps: Some(25.0),
        restarts: 0,
        abandoned: 0,
        decoding: None,
    })
}

fn full() -> What {
    What::Gap(Gap {
        start_unix_us: NOW_US + 10 * SECOND_US,
        end_unix_us: None,
        reason: GapReason::DiskFull,
        detail: Some("no space left".to_owned()),
    })
}

/// Has the ingest of a daemon hear something of `front`, until `until` says that it was seen.
fn hear(world: &World, notices: Vec<What>, until: impl Fn() -> bool) {
    let context = &world.context;
    let (store, storage) = (context.store.clone(), context.storage.clone());
    let clock = context.clock.clone();
    let ingest = sample::hear(
        store,
        storage,
        clock,
        context.hub.clone(),
        context.live.clone(),
    );
    for what in notices {
        let camera = "front".parse().unwrap();
        ingest.0.send(Notice { camera, what }).unwrap();
    }
    let patience = std::time::Duration::from_millis(20);
    for _ in 0..500 {
        // Its watch looks twice a second.
        world.clock.advance(std::time::Duration::from_millis(600));
        std::thread::sleep(patience);
        if until() {
            break;
        }
    }
    assert!(until(), "it was not heard");
    let (sender, thread) = ingest;
    drop(sender);
    thread.join().unwrap();
}

async fn with_front() -> World {
    let world = World::new();
    let camera = json!({"name": "front", "uri": "test://ball", "enabled": false});
    let made = world.send("POST", "/api/v1/cameras", &camera).await;
    assert_eq!(made.status, 201, "{}", made.text());
    world
}

/// What `promtool check metrics` finds fault with: help, type, units and words in names.
fn faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let (mut helps, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    let mut rows = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            if helps.insert(name, help).is_some() {
                faults.push(format!("{name}: told twice"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            kinds.insert(name, kind);
        } else if line.starts_with('#') {
            faults.push(format!("a stray comment: {line}"));
        } else {
            let (row, value) = line.rsplit_once(' ').unwrap();
            if value.parse::<f64>().is_err() {
                faults.push(format!("no number: {line}"));
            }
            if !rows.insert(row) {
                faults.push(format!("a row twice: {row}"));
            }
        }
    }
    // Other units are no base units, or are abbreviated.
    let odd_units = [
        "milliseconds",
        "microseconds",
        "nanoseconds",
        "minutes",
        "hours",
        "days",
        "kilobytes",
        "megabytes",
        "gigabytes",
        "bits",
        "percent",
        "s",
        "ms",
        "us",
        "ns",
        "sec",
        "b",
        "kb",
        "mb",
        "gb",
        "m",
        "h",
        "d",
    ];
    for (name, kind) in &kinds {
        let words: Vec<&str> = name.split('_').collect();
        let total = words.last() == Some(&"total");
        let mut check = |fault: bool, what: &str| {
            if fault {
                faults.push(format!("{name}: {what}"));
            }
        };
        check(
            helps.get(name).is_none_or(|help| !help.ends_with('.')),
            "no help that is a sentence",
        );
        check(
            (*kind == "counter") != total,
            "_total is for counters alone",
        );
        check(
            words.iter().any(|word| odd_units.contains(word)),
            "a unit that is no base unit",
        );
        check(
            ["counter", "gauge", "histogram", "summary"]
                .iter()
                .any(|kind| words.contains(kind)),
            "its type is in its name",
        );
        check(
            *kind != "histogram" && ["count", "sum", "bucket"].contains(words.last().unwrap()),
            "a suffix of histograms",
        );
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        check(!name.chars().all(plain), "letters");
        check(
            words.iter().any(|word| ["time", "duration"].contains(word))
                && !words.contains(&"seconds"),
            "a time without its unit",
        );
    }
    let names = rows.iter().map(|row| row.split(['{', ' ']).next().unwrap());
    for name in names {
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .any(|family| kinds.get(family) == Some(&"histogram"));
        if !kinds.contains_key(name) && !of_histogram {
            faults.push(format!("{name}: without a type"));
        }
    }
    faults
}

#[test]
fn faults_are_found() {
    let check = |text: &str, fault: &str| {
        let found = faults(text).join("; ");
        assert!(found.contains(fault), "{text}: {found}");
    };
    check("# TYPE a gauge\na 1", "no help");
    check("# HELP a B.\n# TYPE a counter\na 1", "_total is for");
    check(
        "# HELP a_total B.\n# TYPE a_total gauge\na_total 1",
        "_total",
    );
    check("# HELP a_ms B.\n# TYPE a_ms gauge\na_ms 1", "no base unit");
    check(
        "# HELP a_duration B.\n# TYPE a_duration gauge",
        "without its unit",
    );
    check("# HELP a B.\n# TYPE a gauge\na 1\na 2", "a row twice");
    check("# HELP a B.\n# TYPE a gauge\nb 2", "b: without a type");
    assert!(faults("# HELP a_bytes B.\n# TYPE a_bytes gauge\na_bytes 2").is_empty());
}

/// `promtool check metrics`, where it is installed.
fn promtool(text: &str) {
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        println!("SKIP: no promtool here");
        return;
    };
    tool.stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let done = tool.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success() && said.is_empty(), "promtool: {said}");
}

#[tokio::test]
async fn names_help_and_units_are_as_prometheus_wants_them() {
    let world = with_front().await;
    let notices = [running()]
        .into_iter()
        .chain(segment(&world))
        .chain([full()]);
    let live = world.context.live.clone();
    let failed = || live.counters().counts().failures == 1;
    hear(&world, notices.collect(), failed);
    // An event that was told, a check of the database, and a request that failed.
    let id = world.add_event(0, |_| {});
    let event = world
        .context
        .store
        .event(nvr_base::Principal::system(), &id)
        .unwrap();
    let (notifier, bell) = Notifier::new(
        world.context.store.clone(),
        world.context.hub.clone(),
        world.context.clock.clone(),
        Default::default(),
    );
    let following = tokio::spawn(crate::api::follow(world.context.hub.clone(), bell));
    let change = nvr_store::EventChange {
        change: nvr_store::Change::Closed,
        event,
    };
    tokio::task::yield_now().await;
    while world.context.hub.events().is_empty() {
        drop(
            world
                .context
                .hub
                .committed()
                .send(CommittedEvent::of(change.clone())),
        );
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    following.abort();
    drop(notifier);
    world.json("/api/v1/system/health").await;
    assert_eq!(world.ask("GET", "/nowhere").await.status, 404);

    let answer = world.ask("GET", "/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    assert_eq!(faults(&text), [""; 0], "{text}");
    promtool(&text);
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    expect![[r#"
        nvrd_build_info gauge
        nvrd_uptime_seconds gauge
        nvrd_part_silent_seconds gauge
        nvrd_part_stuck gauge
        nvrd_cameras gauge
        nvrd_camera_state gauge
        nvrd_camera_restarts_total counter
        nvrd_camera_abandoned_pipelines_total counter
        nvrd_camera_declared_frame_rate gauge
        nvrd_camera_recording gauge
        nvrd_camera_recording_wanted gauge
        nvrd_camera_recording_failure gauge
        nvrd_camera_recorded_until_timestamp_seconds gauge
        nvrd_recording_failures_total counter
        nvrd_recorded_frames_total counter
        nvrd_recorded_bytes_total counter
        nvrd_recorded_segments_total counter
        nvrd_recorded_time_seconds_total counter
        nvrd_gaps_total counter
        nvrd_missed_time_seconds_total counter
        nvrd_events_total counter
        nvrd_storage_ready gauge
        nvrd_storage_in_use gauge
        nvrd_storage_free_bytes gauge
        nvrd_storage_size_bytes gauge
        nvrd_storage_recordings_bytes gauge
        nvrd_storage_segments gauge
        nvrd_storage_garbage_bytes gauge
        nvrd_retention_deleted_files_total counter
        nvrd_retention_deleted_bytes_total counter
        nvrd_retention_failures_total counter
        nvrd_clock_trusted gauge
        nvrd_ingest_waiting gauge
        nvrd_ingest_dropped_total counter
        nvrd_ingest_found_segments_total counter
        nvrd_ingest_retries_total counter
        nvrd_exports gauge
        nvrd_database_failures_total counter
        nvrd_database_transaction_duration_seconds histogram
        nvrd_database_size_bytes gauge
        nvrd_database_problems gauge
        nvrd_live_listeners gauge
        nvrd_rtsp_clients gauge
        nvrd_certificate_expiry_timestamp_seconds gauge
        nvrd_http_requests_total counter
        nvrd_http_request_duration_seconds histogram
        process_resident_memory_bytes gauge
        process_virtual_memory_bytes gauge
        process_threads gauge
        process_open_fds gauge
        process_max_fds gauge
        process_start_time_seconds gauge
        process_cpu_seconds_total counter"#]]
    .assert_eq(&names.join("\n"));
    for line in [
        "nvrd_cameras{state=\"disabled\"} 2",
        "nvrd_recorded_frames_total{camera=\"front\"} 250.0",
        "nvrd_recorded_bytes_total{camera=\"front\"} 1000000.0",
        "nvrd_recorded_time_seconds_total{camera=\"front\"} 10.0",
        "nvrd_gaps_total{camera=\"front\",reason=\"disk_full\"} 1",
        "nvrd_http_requests_total{method=\"GET\",class=\"4xx\"} 1",
        "nvrd_storage_in_use{storage=\"first\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }

    let headers = [("accept", "application/openmetrics-text;version=1.0.0")];
    let open = ask(&world, "GET", "/metrics", &headers, None).await;
    assert!(
        open.header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(open.text().ends_with("# EOF\n"));
    assert!(open.text().contains("# UNIT nvrd_recorded_bytes bytes\n"));
}

#[tokio::test]
async fn a_failure_that_costs_recording_shows_everywhere_at_once() {
    let world = with_front().await;
    let live = world.context.live.clone();
    let notices = [running()]
        .into_iter()
        .chain(segment(&world))
        .chain([full()]);
    let mut published = world.context.hub.committed().subscribe();
    nvr_base::logging::init(nvr_base::logging::LogFormat::Text, "info");
    let failed = || live.counters().counts().failures == 1;
    hear(&world, notices.collect(), failed);

    // An event, which whoever listens was told of.
    let event = published.try_recv().unwrap();
    assert_eq!(event.camera, "front");
    assert_eq!(event.event.label.as_deref(), Some("disk_full"));
    let events = world.json("/api/v1/events?kind=system").await;
    assert_eq!(events["items"][0]["label"], "disk_full", "{events}");
    // A line in the log.
    let logs = world
        .json("/api/v1/logs?level=error&search=disk_full")
        .await;
    let line = logs["items"][0].to_string();
    assert!(
        line.contains("the camera is not recorded: disk_full"),
        "{logs}"
    );
    // The metrics.
    let text = world.ask("GET", "/metrics").await.text();
    for line in [
        "nvrd_camera_recording_failure{camera=\"front\",reason=\"disk_full\"} 1",
        "nvrd_camera_recording{camera=\"front\"} 0",
        "nvrd_camera_recording_wanted{camera=\"front\"} 1",
        "nvrd_recording_failures_total 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    // A red field.
    let health = world.json("/api/v1/system/health").await;
    assert_eq!(health["status"], "degraded");
    let front = &health["recording"][0];
    assert_eq!(front["camera"], "front", "{health}");
    assert_eq!(front["failure"], "disk_full");
    assert_eq!(front["detail"], "no space left");
}

#[tokio::test]
async fn keys_read_the_figures_of_the_cameras_they_may_know_of() {
    let world = with_front().await;
    let root = world.root().await;
    let open = world.ask("GET", "/metrics").await;
    assert_eq!(open.status, 401, "{}", open.text());
    let body = json!({"name": "prometheus", "scopes": ["read:cameras"], "cameras": ["front"]});
    let (key, _) = world.add_key(&root, &body).await;
    // Prometheus sends credentials as a token, and no header of its own.
    for (name, value) in [
        ("x-api-key", key.clone()),
        ("authorization", format!("Bearer {key}")),
    ] {
        let answer = ask(&world, "GET", "/metrics", &[(name, &value)], None).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let text = answer.text();
        assert!(
            text.contains("camera=\"front\"") && !text.contains("gate"),
            "{text}"
        );
    }
    let wrong = [("authorization", "Bearer nvrd_0123456789")];
    assert_eq!(
        ask(&world, "GET", "/metrics", &wrong, None).await.status,
        401
    );
}
