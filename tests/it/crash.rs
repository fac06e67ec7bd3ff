//! `kill -9` in the middle of a file: the file plays, and the next start lists it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nvr_mp4::inspect;
use support::daemon::{Config, Daemon};
use support::{coverage, has_program, run, unix_now, wait_for};

fn files(config: &Config, camera: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let days = std::fs::read_dir(config.data().join("recordings").join(camera))
        .into_iter()
        .flatten();
    for day in days {
        files.extend(
            std::fs::read_dir(day.unwrap().path())
                .unwrap()
                .map(|file| file.unwrap().path()),
        );
    }
    files.sort();
    files
}

#[test]
fn a_file_survives_kill_9_and_is_listed_at_the_next_start() {
    let config = Config::new().camera("visits", "test://visits?period=6&visit=5", "motion", "");
    let mut daemon = Daemon::start(&config);
    let file = wait_for("three seconds on disk", Duration::from_secs(60), || {
        let file = files(&config, "visits").pop()?;
        inspect::inspect(&file)
            .ok()
            .filter(|found| found.duration_ns >= 3_000_000_000)
            .map(|_| file)
    });
    wait_for("an open event", Duration::from_secs(60), || {
        daemon.events("state=open").pop()
    });
    assert_eq!(daemon.segments("visits").len(), 0, "the file is not closed");
    let before = daemon.coverage("visits");
    let tiles = coverage::explained(&before);
    assert!(
        tiles.len() == 1 && tiles[0].1 - tiles[0].0 >= 3.0,
        "what is being written counts: {before}"
    );
    daemon.kill();
    let killed_unix = unix_now();

    if has_program("ffprobe") {
        let mut probe = Command::new("ffprobe");
        probe.args([
            "-v",
            "error",
            "-count_packets",
            "-show_entries",
            "stream=nb_read_packets",
            "-of",
            "csv=p=0",
        ]);
        let output = run(probe.arg(&file), Duration::from_secs(20));
        let packets: u32 = String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .trim_matches(',')
            .parse()
            .unwrap();
        assert!(packets >= 30, "{packets} pictures are playable");
    } else {
        println!("SKIP: ffprobe is not installed");
    }

    let daemon = Daemon::start(&config);
    let segments = daemon.segments("visits");
    assert_eq!(segments.len(), 1, "{}", daemon.log());
    assert!(
        segments[0]["duration_s"].as_f64().unwrap() >= 3.0,
        "{}",
        segments[0]
    );
    let (status, _, body) = daemon.bytes(
        segments[0]["url"]
            .as_str()
            .unwrap()
            .strip_prefix("/api/v1")
            .unwrap(),
    );
    assert_eq!(
        (status, body.len() as u64),
        (200, segments[0]["bytes"].as_u64().unwrap())
    );
    let last_us = segments[0]["end_unix_us"].as_f64().unwrap();
    assert_only_the_outage_is_missing(&daemon, last_us / 1e6, killed_unix);
    let interrupted = daemon.events("camera=visits&state=closed");
    assert!(
        interrupted.iter().any(|event| event["interrupted"] == true),
        "{interrupted:?}"
    );
}

/// The outage is a gap, and nothing else is missing: from the last fragment, which holds a second at most, to the
/// first picture of the new run.
#[track_caller]
fn assert_only_the_outage_is_missing(daemon: &Daemon, last_unix: f64, killed_unix: f64) {
    wait_for("the new run records", Duration::from_secs(30), || {
        let missing = coverage::missing(&coverage::tiles(&daemon.coverage("visits")));
        let back = daemon.get("/system/health")["recording"][0]["recording"] == true;
        (back && missing.len() == 1).then_some(())
    });
    let after = daemon.coverage("visits");
    let tiles = coverage::explained(&after);
    let missing = coverage::missing(&tiles);
    assert_eq!(missing.len(), 1, "{after}");
    let (start, end, reason) = &missing[0];
    assert_eq!(reason, "daemon_down", "{after}");
    assert!(
        (start - killed_unix).abs() < 1.5,
        "{start} is not about {killed_unix}"
    );
    assert_eq!(*start, last_unix);
    let back = wait_for("the first new file", Duration::from_secs(5), || {
        tiles
            .last()
            .filter(|tile| tile.2 == "recorded")
            .map(|tile| tile.0)
    });
    assert_eq!(*end, back, "{after}");
}
