//! `kill -9` again and again: what was whole stays, what was not is a gap, and recording goes on at once.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nvr_base::{Clock, RealClock};
use nvr_mp4::inspect;
use support::daemon::{Config, Daemon};
use support::load::{self, Clip, LoadCamera, Stamp};
use support::random::{Random, number_from_env};
use support::{has_program, run, wait_for};

use crate::load::{files, recorded};

const CAMERAS: usize = 4;
/// From one key frame to the next, microseconds.
const GOP_US: u64 = 2_000_000;
/// What a crash may cost: the open fragment, and what comes before the first key frame afterwards.
const LOSS_US: u64 = 1_000_000 + GOP_US;
/// How soon after its start the daemon has to record, microseconds.
const RESUME_US: u64 = 5_000_000;

/// A life of the daemon: when its process began and when it was killed, microseconds since 1970-01-01 UTC.
struct Life {
    start_us: u64,
    kill_us: u64,
}

fn name(camera: usize) -> String {
    format!("c{camera}")
}

fn check_life(life: &Life, stamps: &[Stamp]) -> (u64, u64) {
    let of_life = |stamp: &&Stamp| stamp.sent_us >= life.start_us && stamp.sent_us <= life.kill_us;
    let mine: Vec<Stamp> = stamps.iter().filter(of_life).copied().collect();
    assert_eq!(load::faults(&mine), (0, 0), "lost, twice within one life");
    let (first, last) = (mine[0], mine[mine.len() - 1]);
    let resumed = first.sent_us - life.start_us;
    let lost = life.kill_us - last.sent_us;
    assert!(
        resumed <= RESUME_US,
        "recorded {resumed} µs after the start"
    );
    assert!(lost <= LOSS_US, "lost {lost} µs before the kill");
    (resumed, lost)
}

#[test]
fn a_recorder_that_is_killed_again_and_again_keeps_what_was_whole() {
    let clip = Arc::new(Clip::encode(320, 180, 30, 400, 4));
    let cameras: Vec<LoadCamera> = (0..CAMERAS).map(|_| LoadCamera::start(&clip)).collect();
    let mut config = Config::new();
    for (number, camera) in cameras.iter().enumerate() {
        let params = "segment-duration = 3000000000";
        config = config.camera(&name(number), &camera.uri(), "record", params);
    }
    let clock = RealClock::new();
    let now_us = || u64::try_from(clock.unix_us()).unwrap();
    let mut random = Random::from_env(20);
    let mut lives: Vec<Life> = Vec::new();
    for _ in 0..number_from_env("NVRD_KILLS", 20) {
        let start_us = now_us();
        let mut daemon = Daemon::start(&config);
        // Every camera has something on disk, and then the blow falls at any moment of a segment.
        for camera in 0..CAMERAS {
            wait_for("the camera records again", Duration::from_secs(30), || {
                let file = files(&config, &name(camera)).pop()?;
                let last = load::stamps(&file).pop()?;
                (last.sent_us > start_us).then_some(())
            });
        }
        std::thread::sleep(Duration::from_secs_f64(random.between(0.0, 3.0)));
        let kill_us = now_us();
        daemon.kill();
        lives.push(Life { start_us, kill_us });
    }

    let daemon = Daemon::start(&config);
    let (mut resumed, mut lost) = (Vec::new(), Vec::new());
    for camera in 0..CAMERAS {
        let name = name(camera);
        let stamps = recorded(&config, &name);
        for life in &lives {
            let (after, before) = check_life(life, &stamps);
            resumed.push(after);
            lost.push(before);
        }
        check_files(&config, &daemon, &name);
        check_gaps(&daemon, &name, &lives, &stamps);
    }
    let worst = |values: &[u64]| *values.iter().max().unwrap() as f64 / 1e6;
    println!(
        "{} kills: recorded again after at most {:.2} s, lost at most {:.2} s",
        lives.len(),
        worst(&resumed),
        worst(&lost)
    );
}

/// Every file is playable, and every file but the open one has a row.
fn check_files(config: &Config, daemon: &Daemon, camera: &str) {
    let mut names = Vec::new();
    for file in files(config, camera) {
        let found = inspect::inspect(&file);
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        // The daemon that runs may have begun its file a moment ago.
        if let Ok(found) = found {
            assert!(found.frames > 0, "{name}");
            names.push((name, file));
        }
    }
    // At once: the daemon records on while the files are read.
    let rows = daemon.segments(camera);
    let mut starts: Vec<i64> = rows
        .iter()
        .map(|row| row["start_unix_us"].as_i64().unwrap())
        .collect();
    if has_program("ffprobe") {
        for (name, file) in &names {
            let mut probe = Command::new("ffprobe");
            probe.args(["-v", "error", "-count_packets", "-show_entries"]);
            probe
                .args(["stream=nb_read_packets", "-of", "csv=p=0"])
                .arg(file);
            let output = run(&mut probe, Duration::from_secs(20));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let text = text.trim().trim_matches(',');
            assert!(text.parse::<u64>().is_ok_and(|n| n > 0), "{name}: {text:?}");
        }
    }
    let on_disk = |(name, _): &(String, _)| {
        let stem = name.trim_end_matches(".mp4");
        stem.split('_').nth(1).unwrap().parse::<i64>().unwrap()
    };
    let mut expected: Vec<i64> = names.iter().map(on_disk).collect();
    // What is open has no row yet.
    let open = expected
        .iter()
        .filter(|start| !starts.contains(start))
        .count();
    assert!(open <= 1, "{open} files of {camera} have no row");
    expected.retain(|start| starts.contains(start));
    starts.sort_unstable();
    assert_eq!(starts, expected, "rows and files of {camera}");
}

/// Each outage is a gap of its length, give or take a second, and nothing is unexplained.
fn check_gaps(daemon: &Daemon, camera: &str, lives: &[Life], stamps: &[Stamp]) {
    let path = format!(
        "/cameras/{camera}/coverage?start_unix={:.6}&end_unix={:.6}",
        lives[0].start_us as f64 / 1e6,
        lives[lives.len() - 1].kill_us as f64 / 1e6
    );
    let coverage = daemon.get(&path);
    let gaps = coverage["gaps"].as_array().unwrap();
    assert!(
        gaps.iter().all(|gap| gap["reason"] != "unknown"),
        "{coverage}"
    );
    for pair in lives.windows(2) {
        let before = stamps.iter().rfind(|s| s.sent_us <= pair[0].kill_us);
        let after = stamps.iter().find(|s| s.sent_us >= pair[1].start_us);
        let (before, after) = (before.unwrap().sent_us, after.unwrap().sent_us);
        let middle = (before + after) as f64 / 2e6;
        let within = |gap: &&serde_json::Value| {
            let end = gap["end_unix"].as_f64().unwrap_or(f64::MAX);
            gap["start_unix"].as_f64().unwrap() <= middle && middle <= end
        };
        let gap = gaps.iter().find(within);
        let gap = gap.unwrap_or_else(|| panic!("no gap at {middle}: {coverage}"));
        assert_eq!(gap["reason"], "daemon_down", "{gap}");
        for (said, was) in [("start_unix", before), ("end_unix", after)] {
            let difference = gap[said].as_f64().unwrap() - was as f64 / 1e6;
            assert!(
                difference.abs() <= 1.0,
                "{said} is {difference:.2} s off: {gap}"
            );
        }
    }
}
