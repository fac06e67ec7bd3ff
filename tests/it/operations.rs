//! Looking after a daemon from the command line: figures, health, a backup while it records, and life after a loss.

use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use support::daemon::{Config, Daemon, nvrd};
use support::{run_any, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

fn camera() -> Config {
    Config::new().camera("cam", "test://ball?width=320&height=180", "record", "")
}

fn call(arguments: &[&str]) -> Output {
    run_any(nvrd().args(arguments), PATIENCE)
}

/// What a command prints, and that it ended well.
fn printed(arguments: &[&str]) -> String {
    let output = call(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The value of a figure with its labels, 0 where there is none yet.
fn figure(daemon: &Daemon, row: &str) -> f64 {
    let (status, _, bytes) = daemon.bytes("/metrics");
    assert_eq!(status, 200);
    let text = String::from_utf8(bytes).unwrap();
    let mut values = text.lines().filter_map(|line| line.strip_prefix(row));
    values
        .next()
        .map_or(0.0, |value| value.trim().parse().unwrap())
}

#[test]
fn figures_grow_while_it_records_and_health_is_asked_from_outside() {
    let config = camera();
    let daemon = Daemon::start(&config);
    let root = daemon.api.trim_end_matches("/api/v1").to_owned();
    wait_for("bytes are counted", PATIENCE, || {
        (figure(&daemon, "nvrd_recorded_bytes_total{camera=\"cam\"}") > 10_000.0).then_some(())
    });
    assert_eq!(
        figure(&daemon, "nvrd_camera_recording{camera=\"cam\"}"),
        1.0
    );
    assert_eq!(figure(&daemon, "nvrd_cameras{state=\"running\"}"), 1.0);
    let before = figure(&daemon, "nvrd_recorded_time_seconds_total{camera=\"cam\"}");
    wait_for("time is counted", PATIENCE, || {
        (figure(&daemon, "nvrd_recorded_time_seconds_total{camera=\"cam\"}") > before).then_some(())
    });
    let health = printed(&["health", "--url", &root, "--json"]);
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["status"], "ok", "{health}");
    drop(daemon);
    let output = call(&["health", "--url", &root, "--alive"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_recorder_comes_back_from_a_backup_that_was_made_while_it_recorded() {
    let config = camera();
    let daemon = Daemon::start(&config);
    let made = serde_json::json!({"name": "yard", "uri": "rtsp://10.0.0.5/", "user": "u", "password": "hunter2",
        "enabled": false});
    let (status, answer) = daemon.request("POST", "/cameras", Some(&made));
    assert_eq!(status, 201, "{answer}");
    wait_for("it records", PATIENCE, || {
        (figure(&daemon, "nvrd_recorded_bytes_total{camera=\"cam\"}") > 10_000.0).then_some(())
    });
    let file = config.folder().join("nvrd.toml").display().to_string();
    let other = tempfile::tempdir().unwrap();
    let backup = other.path().join("backup.tar").display().to_string();
    let told = printed(&["backup", &backup, "--config", &file, "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["database"]["kind"], "sqlite", "{told}");
    assert_eq!(
        figure(&daemon, "nvrd_camera_recording{camera=\"cam\"}"),
        1.0
    );
    printed(&["restore", &backup, "--config", &file, "--check"]);
    // Under the daemon nothing is put back.
    let refused = call(&["restore", &backup, "--config", &file, "--force"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("another nvrd runs"), "{said}");
    drop(daemon);

    // Another machine, with the same file name by chance only.
    let anew = Config::new();
    let file = anew.folder().join("nvrd.toml").display().to_string();
    let told = printed(&["restore", &backup, "--config", &file]);
    assert!(told.contains("put back: "), "{told}");
    let report = printed(&["doctor", "--config", &file, "--json"]);
    let summary: Value = serde_json::from_str(report.lines().last().unwrap()).unwrap();
    assert_eq!(summary["summary"]["problems"], 0, "{report}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("name = \"cam\""), "{text}");
    let daemon =
        Daemon::start(&anew.camera("cam", "test://ball?width=320&height=180", "record", ""));
    let yard = daemon.get("/cameras/yard");
    assert_eq!(yard["has_password"], true, "{yard}");
    assert!(
        !daemon.log().contains("goes without its password"),
        "{}",
        daemon.log()
    );
}
