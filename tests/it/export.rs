//! Exports of a daemon that runs: their pictures are the recorded ones, their times are those of history.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nvr_mp4::read::Reader;
use serde_json::{Value, json};
use support::daemon::{Config, Daemon, nvrd};
use support::{has_program, media, pictures, run, run_any, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn an_export_over_files_and_a_gap_shows_every_picture_at_its_time() {
    let clip = media::street();
    let uri = format!("file://{}?loop=true&realtime=true", clip.display());
    let config = Config::new();
    let daemon = Daemon::start(&config);
    add(
        &daemon,
        "street",
        &uri,
        &json!({"segment-duration": 2_000_000_000_i64}),
    );
    daemon.wait_segments("street", 2, PATIENCE);
    assert_eq!(daemon.request("POST", "/cameras/street/stop", None).0, 200);
    let before = daemon.segments("street").len();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(daemon.request("POST", "/cameras/street/start", None).0, 200);
    daemon.wait_segments("street", before + 2, PATIENCE);
    assert_eq!(daemon.request("POST", "/cameras/street/stop", None).0, 200);
    let segments = daemon.segments("street");
    let files: Vec<PathBuf> = segments
        .iter()
        .map(|segment| fetch(&daemon, &config, segment["id"].as_str().unwrap(), segment))
        .collect();
    let recorded = pictures::all_checksums(&files);
    let micros = |segment: &Value, key: &str| segment[key].as_i64().unwrap();
    let (start, end) = (
        micros(&segments[0], "start_unix_us"),
        micros(segments.last().unwrap(), "end_unix_us"),
    );

    // All of it: no picture is lost, and none is added for the gap.
    let whole = export(&daemon, "street", start, end);
    assert_eq!(whole["detail"], Value::Null, "{whole}");
    assert_eq!(whole["shown_start_unix_us"], start);
    let gap: i64 = segments
        .windows(2)
        .map(|pair| micros(&pair[1], "start_unix_us") - micros(&pair[0], "end_unix_us"))
        .sum();
    assert!(gap > 1_500_000, "{gap} µs between files: {segments:?}");
    let missing: i64 = whole["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| micros(gap, "end_unix_us") - micros(gap, "start_unix_us"))
        .sum();
    assert!(
        missing.abs_diff(gap) < 100_000,
        "{gap} µs are missing: {whole}"
    );
    let file = fetch(&daemon, &config, "whole", &whole);
    assert!(
        pictures::checksums(&file) == recorded,
        "the pictures are the recorded ones"
    );
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes.len() as u64, whole["bytes"].as_u64().unwrap());
    assert!(
        bytes.windows(16).any(|part| part == b"nvrd-proof-box-1"),
        "it carries its proof"
    );
    times_are_those_of_history(&daemon, &whole, end - start);

    // From the middle of a file to the middle of another: the first picture is the one that stood there.
    let (from, to) = (start + 700_000, end - 500_000);
    let part = export(&daemon, "street", from, to);
    let first = shown_before(&files[0], from - start);
    assert!(micros(&part, "shown_start_unix_us") <= from);
    let last = files.last().unwrap();
    let last_start = micros(segments.last().unwrap(), "start_unix_us");
    let cut =
        Reader::open(last).unwrap().samples().len() - shown_before(last, to - 1 - last_start) - 1;
    let file = fetch(&daemon, &config, "part", &part);
    assert!(
        pictures::checksums(&file) == recorded[first..recorded.len() - cut],
        "the pictures of the part are those from {first} on, but for the last {cut}"
    );

    clips_are_the_same(
        daemon,
        &config,
        (from, to),
        &recorded[first..recorded.len() - cut],
    );
}

/// The same from the command line, beside the daemon and without it.
fn clips_are_the_same(mut daemon: Daemon, config: &Config, (from, to): (i64, i64), expect: &[u64]) {
    let clip = |name: &str| {
        let output = config.folder().join(name);
        let mut command = nvrd();
        command.args([
            "clip",
            "--camera",
            "street",
            "--from",
            &seconds(from),
            "--to",
            &seconds(to),
        ]);
        command
            .arg("-o")
            .arg(&output)
            .arg("--config")
            .arg(config.folder().join("nvrd.toml"));
        (run_any(&mut command, PATIENCE), output)
    };
    let (done, beside) = clip("beside.mp4");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success() && said.contains("\nmissing "),
        "{said}\n{done:?}"
    );
    let (again, _) = clip("beside.mp4");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && said.contains("is there already"),
        "{said}"
    );
    assert!(daemon.terminate(PATIENCE).success());
    let (_, without) = clip("without.mp4");
    for file in [beside, without] {
        assert!(pictures::checksums(&file) == *expect);
    }
}

/// Length and seeking over HTTP, as a player does both.
fn times_are_those_of_history(daemon: &Daemon, export: &Value, length_us: i64) {
    if !has_program("ffprobe") {
        println!("SKIP: ffprobe is not installed");
        return;
    }
    let path = export["url"]
        .as_str()
        .unwrap()
        .strip_prefix("/api/v1")
        .unwrap();
    let url = format!("{}{path}", daemon.api);
    let mut probe = Command::new("ffprobe");
    probe.args([
        "-v",
        "error",
        "-show_entries",
        "format=duration",
        "-of",
        "csv=p=0",
        &url,
    ]);
    let output = run(&mut probe, PATIENCE);
    let length: f64 = String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(
        (length - length_us as f64 / 1e6).abs() < 0.06,
        "{length} {length_us}"
    );
    let mut seek = Command::new("ffmpeg");
    let near_the_end = format!("{:.3}", length - 0.5);
    seek.args([
        "-v",
        "error",
        "-ss",
        &near_the_end,
        "-i",
        &url,
        "-frames:v",
        "1",
        "-f",
        "framemd5",
        "-",
    ]);
    let output = run(&mut seek, PATIENCE);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        lines.lines().filter(|line| !line.starts_with('#')).count(),
        1,
        "{lines}"
    );
}

#[test]
fn an_export_of_what_is_being_written_survives_a_kill() {
    // Sound, and a file that is longer than the test.
    let (_folder, clip) = media::generated_with_audio();
    let uri = format!("file://{}?loop=true&realtime=true", clip.display());
    let config = Config::new();
    let mut daemon = Daemon::start(&config);
    add(&daemon, "yard", &uri, &json!({}));
    daemon.wait_state("yard", "running", PATIENCE);
    std::thread::sleep(Duration::from_secs(5));
    // Nothing is listed yet, so that nothing can be exported: a first file is needed.
    assert_eq!(daemon.request("POST", "/cameras/yard/stop", None).0, 200);
    assert_eq!(daemon.request("POST", "/cameras/yard/start", None).0, 200);
    let first = daemon.wait_segments("yard", 1, PATIENCE)[0].clone();
    std::thread::sleep(Duration::from_secs(5));
    let start = first["start_unix_us"].as_i64().unwrap() + 500_000;
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_micros();
    let end = i64::try_from(now).unwrap() - 2_500_000;
    let asked = ask(&daemon, "yard", start, end);
    let path = format!("/exports/{}", asked["id"].as_str().unwrap());
    assert_eq!(
        daemon.get(&path)["state"],
        "queued",
        "its end is being written"
    );
    daemon.kill();

    let daemon = Daemon::start(&config);
    let done = wait_over(&daemon, &path);
    assert_eq!(done["state"], "done", "{done}\n{}", daemon.log());
    let file = fetch(&daemon, &config, "export", &done);
    if has_program("ffmpeg") {
        let mut decode = Command::new("ffmpeg");
        let output = run(
            decode
                .args(["-v", "warning", "-i"])
                .arg(&file)
                .args(["-f", "null", "-"]),
            PATIENCE,
        );
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "", "pictures and sound decode without a complaint");
    } else {
        println!("SKIP: ffmpeg is not installed");
    }
    assert_eq!(daemon.request("DELETE", &path, None).0, 204);
    assert_eq!(daemon.request("GET", &path, None).0, 404);
    let left = std::fs::read_dir(config.data().join("exports"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "the file goes with the export");
}

#[test]
fn an_export_of_h265_plays() {
    let (_folder, clip) = media::generated_h265("I420");
    let uri = format!("file://{}?loop=true&realtime=true", clip.display());
    let config = Config::new().camera("hevc", &uri, "record", "segment-duration = 2000000000");
    let daemon = Daemon::start(&config);
    let segments = daemon.wait_segments("hevc", 2, PATIENCE);
    let start = segments[0]["start_unix_us"].as_i64().unwrap() + 300_000;
    let done = export(&daemon, "hevc", start, start + 2_000_000);
    if !has_program("ffprobe") {
        println!("SKIP: ffprobe is not installed");
        return;
    }
    let file = fetch(&daemon, &config, "export", &done);
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-count_frames", "-select_streams", "v"]);
    probe.args([
        "-show_entries",
        "stream=codec_tag_string,nb_read_frames",
        "-of",
        "csv=p=0",
    ]);
    let output = run(probe.arg(&file), PATIENCE);
    // Ten a second, for two seconds and the rest of the picture that stood at the start.
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(["hvc1,20", "hvc1,21"].contains(&said.trim()), "{said}");
}

/// How many pictures of a file are shown before a moment, but for the one that stands there.
fn shown_before(file: &Path, us: i64) -> usize {
    let reader = Reader::open(file).unwrap();
    let shown = reader
        .samples()
        .iter()
        .filter(|sample| sample.pts_ns <= us * 1000);
    shown.count().max(1) - 1
}

/// Adds a camera that may be stopped and started, which one of the file may not.
fn add(daemon: &Daemon, name: &str, uri: &str, params: &Value) {
    let camera = json!({"name": name, "uri": uri, "pipeline": "record", "params": params});
    let (status, answer) = daemon.request("POST", "/cameras", Some(&camera));
    assert_eq!(status, 201, "{answer}");
}

fn seconds(us: i64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

fn ask(daemon: &Daemon, camera: &str, start_us: i64, end_us: i64) -> Value {
    let wish = json!({
        "camera": camera, "start_unix": start_us as f64 / 1e6, "end_unix": end_us as f64 / 1e6,
    });
    let (status, asked) = daemon.request("POST", "/exports", Some(&wish));
    assert_eq!(status, 202, "{asked}");
    asked
}

fn wait_over(daemon: &Daemon, path: &str) -> Value {
    wait_for("the export is over", PATIENCE, || {
        let export = daemon.get(path);
        let state = export["state"].as_str().unwrap();
        (!["queued", "running"].contains(&state)).then_some(export)
    })
}

fn export(daemon: &Daemon, camera: &str, start_us: i64, end_us: i64) -> Value {
    let asked = ask(daemon, camera, start_us, end_us);
    let done = wait_over(
        daemon,
        &format!("/exports/{}", asked["id"].as_str().unwrap()),
    );
    assert_eq!(
        (&done["state"], &done["progress"]),
        (&json!("done"), &json!(1.0)),
        "{done}"
    );
    done
}

/// Fetches the file of a segment or an export as a client does.
fn fetch(daemon: &Daemon, config: &Config, name: &str, from: &Value) -> PathBuf {
    let url = from["url"].as_str().unwrap();
    let (status, kind, body) = daemon.bytes(url.strip_prefix("/api/v1").unwrap());
    assert_eq!((status, kind.as_str()), (200, "video/mp4"));
    let path = config.folder().join(format!("{name}.mp4"));
    std::fs::write(&path, body).unwrap();
    path
}
