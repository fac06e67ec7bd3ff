//! What the camera sent is on disk, picture by picture, over several files.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use support::camera::RtspCamera;
use support::daemon::{Config, Daemon};
use support::{has_program, media, pictures, run};

#[test]
fn no_picture_is_lost_and_none_comes_twice() {
    let clip = media::street();
    let camera = RtspCamera::start(&clip);
    let config = Config::new().camera(
        "street",
        &camera.uri(),
        "record",
        "segment-duration = 2000000000",
    );
    let daemon = Daemon::start(&config);
    // Four files are three roll-overs.
    let segments = daemon.wait_segments("street", 4, Duration::from_secs(60));

    let files: Vec<PathBuf> = segments
        .iter()
        .map(|segment| download(&daemon, &config, segment))
        .collect();
    let recorded = pictures::all_checksums(&files);
    let source = pictures::checksums(&clip);
    let told: u64 = segments
        .iter()
        .map(|segment| segment["frames"].as_u64().unwrap())
        .sum();
    assert_eq!(
        recorded.len() as u64,
        told,
        "the rows tell how many pictures there are"
    );
    let at = pictures::position(&source, &recorded);
    assert!(
        at.is_some(),
        "{} recorded pictures are not one run of the clip's {}",
        recorded.len(),
        source.len()
    );

    for pair in segments.windows(2) {
        assert_eq!(
            pair[0]["end_unix_us"], pair[1]["start_unix_us"],
            "segments follow on: {segments:?}"
        );
    }
}

/// Fetches a segment as a client does.
fn download(daemon: &Daemon, config: &Config, segment: &serde_json::Value) -> PathBuf {
    let url = segment["url"].as_str().unwrap();
    let (status, kind, body) = daemon.bytes(url.strip_prefix("/api/v1").unwrap());
    assert_eq!((status, kind.as_str()), (200, "video/mp4"));
    assert_eq!(body.len() as u64, segment["bytes"].as_u64().unwrap());
    let path = config
        .folder()
        .join(format!("{}.mp4", segment["id"].as_str().unwrap()));
    std::fs::write(&path, body).unwrap();
    path
}

#[test]
fn h265_is_recorded_analysed_and_shown() {
    let (_folder, clip) = media::generated_h265("Y444");
    let uri = format!("file://{}?loop=true&realtime=true", clip.display());
    let config = Config::new().camera("hevc", &uri, "motion", "segment-duration = 2000000000");
    let daemon = Daemon::start(&config);
    // What was recorded until the codec was known, and the decoder fitted, is kept as a short file of its own.
    let all = daemon.wait_segments("hevc", 3, Duration::from_secs(60));
    let segments = &all[all.len() - 2..];
    assert!(
        all.iter().all(|segment| segment["codec"] == "h265"),
        "{all:?}"
    );
    assert_eq!(
        segments[0]["frames"].as_u64().unwrap() % 10,
        0,
        "whole groups: {segments:?}"
    );
    assert_eq!(segments[0]["end_unix_us"], segments[1]["start_unix_us"]);
    let status = daemon.get("/cameras/hevc")["status"].clone();
    assert_eq!(
        (status["state"].as_str(), status["codec"].as_str()),
        (Some("running"), Some("h265")),
        "{status}"
    );
    let (code, kind, jpeg) = daemon.bytes("/cameras/hevc/snapshot.jpg?width=160");
    assert_eq!(
        (code, kind.as_str(), &jpeg[..2]),
        (200, "image/jpeg", &[0xff, 0xd8][..])
    );
    support::wait_for("a motion event", Duration::from_secs(60), || {
        daemon.events("camera=hevc").pop()
    });
    if has_program("ffprobe") {
        let file = download(&daemon, &config, &segments[1]);
        let mut probe = Command::new("ffprobe");
        probe.args([
            "-v",
            "error",
            "-show_entries",
            "stream=codec_name,codec_tag_string",
            "-of",
            "csv=p=0",
        ]);
        let output = run(probe.arg(file), Duration::from_secs(20));
        assert_eq!(
            String::from_utf8(output.stdout).unwrap().trim(),
            "hevc,hvc1"
        );
    }
}

#[test]
fn sound_is_recorded_with_the_pictures() {
    if !has_program("ffprobe") {
        println!("SKIP: ffprobe is not installed");
        return;
    }
    let (_folder, clip) = media::generated_with_audio();
    let uri = format!("file://{}?loop=true&realtime=true", clip.display());
    let config = Config::new().camera("loud", &uri, "record", "segment-duration = 2000000000");
    let mut daemon = Daemon::start(&config);
    let segments = daemon.wait_segments("loud", 3, Duration::from_secs(60));
    for segment in &segments {
        let file = download(&daemon, &config, segment);
        let mut probe = Command::new("ffprobe");
        probe.args(["-v", "error", "-count_packets", "-show_entries"]);
        probe.args(["stream=codec_name,nb_read_packets", "-of", "csv=p=0"]);
        let output = run(probe.arg(file), Duration::from_secs(20));
        let text = String::from_utf8(output.stdout).unwrap();
        let count = |codec: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(codec));
            let line = line.unwrap_or_else(|| panic!("no {codec} in {text}"));
            line.split(',').nth(1).unwrap().parse().unwrap()
        };
        let seconds = segment["duration_s"].as_f64().unwrap();
        assert!(
            (count("h264") / seconds - 25.0).abs() < 1.0,
            "{text}: {segment}"
        );
        // 1024 samples a packet, and at a border one may belong to either side.
        assert!(
            (count("aac") - seconds * 44100.0 / 1024.0).abs() < 4.0,
            "{text}: {segment}"
        );
    }
    assert!(
        daemon.terminate(Duration::from_secs(10)).success(),
        "{}",
        daemon.log()
    );
    assert!(!daemon.log().contains("left behind"), "{}", daemon.log());
}

#[test]
fn sigterm_closes_what_is_open() {
    let config = Config::new().camera(
        "visits",
        "test://visits?width=320&height=180&period=4&visit=3",
        "motion",
        "",
    );
    let mut daemon = Daemon::start(&config);
    support::wait_for("an open motion event", Duration::from_secs(60), || {
        daemon.events("state=open").into_iter().next()
    });
    let status = daemon.terminate(Duration::from_secs(10));
    assert!(status.success(), "{status}\n{}", daemon.log());

    let mut again = Daemon::start(&config.replace("test://visits", "test://ball"));
    let events = again.events("camera=visits");
    let closed = events
        .iter()
        .filter(|event| event["state"] == "closed" && event["interrupted"] == false)
        .count();
    assert_eq!(closed, events.len(), "{events:?}");
    let segments = again.segments("visits");
    assert!(!segments.is_empty(), "the segment that was open is listed");
    assert!(
        !again.log().contains("ended in mid-segment"),
        "{}",
        again.log()
    );
    again.kill();
}
