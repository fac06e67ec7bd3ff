//! `kill -9` in the middle of a file: the file plays, and the next start lists it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nvr_mp4::inspect;
use support::daemon::{Config, Daemon};
use support::{has_program, run, wait_for};

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
    daemon.kill();

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
    let interrupted = daemon.events("camera=visits&state=closed");
    assert!(
        interrupted.iter().any(|event| event["interrupted"] == true),
        "{interrupted:?}"
    );
}
