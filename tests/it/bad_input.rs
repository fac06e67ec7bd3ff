//! What users get wrong: each gives one clear sentence that names what to change, and the rest goes on.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use support::daemon::{Config, Daemon, nvrd};
use support::disk::{SmallDisk, fill};
use support::{run_any, wait_for};

/// Runs `nvrd run` on a configuration that must be refused; gives the exit code and what it says.
fn refused(config: &Config) -> (i32, String) {
    let output = run_any(
        nvrd().args(["run", "--config"]).arg(config.write()),
        Duration::from_secs(30),
    );
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[track_caller]
fn check(config: &Config, code: i32, sentence: &str) {
    let (got, text) = refused(config);
    assert_eq!(got, code, "{text}");
    assert!(text.contains(sentence), "{sentence:?} is not in:\n{text}");
}

#[test]
fn a_typo_names_the_nearest_key() {
    check(
        &Config::new().replace("[storage]", "[stroage]"),
        2,
        "unknown key `stroage`; did you mean `storage`?",
    );
    let camera = Config::new().camera("a", "test://ball", "motion", "sensitvity = 0.5");
    check(
        &camera,
        2,
        "params.sensitvity is not offered by pipeline \"motion\"",
    );
    check(
        &Config::new().camera("a", "test://ball", "moton", ""),
        2,
        "pipeline \"moton\" does not exist",
    );
    check(
        &Config::new().camera("a", "http://h/", "motion", ""),
        2,
        "http:// is not spoken",
    );
    check(
        &Config::new().camera("A", "test://ball", "motion", ""),
        2,
        "camera[0].name",
    );
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let api = format!("[api]\nlisten = \"{address}\"");
    check(
        &Config::new().replace("[api]\nlisten = \"127.0.0.1:0\"", &api),
        1,
        &format!("api.listen: {address}"),
    );
    let rtsp = format!("[rtsp]\nlisten = \"{address}\"");
    check(
        &Config::new().replace("[rtsp]\nlisten = \"127.0.0.1:0\"", &rtsp),
        1,
        &format!("rtsp.listen: {address}"),
    );
}

#[test]
fn other_machines_are_not_served_without_log_ins() {
    check(
        &Config::new().replace(
            "[api]\nlisten = \"127.0.0.1:0\"",
            "[api]\nlisten = \"0.0.0.0:0\"",
        ),
        2,
        "so whoever comes there has to log in: set api.auth = true",
    );
}

#[test]
fn a_storage_that_is_no_folder_is_named() {
    let config = Config::new();
    std::fs::write(config.data(), "a file").unwrap();
    check(&config, 1, "storage.path");
}

#[test]
fn nvrd_check_tells_every_problem_at_once() {
    let config = Config::new()
        .camera("gone", "file:///nowhere/clip.mp4", "record", "")
        .camera("blind", "test://ball", "detect", "model = \"missing.onnx\"");
    let output = run_any(
        nvrd().args(["check", "--config"]).arg(config.write()),
        Duration::from_secs(30),
    );
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("camera \"gone\": uri: /nowhere/clip.mp4 does not exist"),
        "{text}"
    );
    assert!(
        text.contains("camera \"blind\": params.model:")
            && text.contains("missing.onnx does not exist"),
        "{text}"
    );
    let good = Config::new().camera("good", "test://ball", "motion", "");
    let output = run_any(
        nvrd().args(["check", "--config"]).arg(good.write()),
        Duration::from_secs(30),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn bad_cameras_say_why_and_a_good_one_records_on() {
    let config = Config::new();
    let corrupt = config.folder().join("corrupt.mp4");
    let mut bytes = std::fs::read(support::media::generated()).unwrap();
    bytes[100..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&corrupt, bytes).unwrap();
    let config = config
        .camera(
            "good",
            "test://ball",
            "record",
            "segment-duration = 1000000000",
        )
        .camera("away", "rtsp://127.0.0.1:9/cam", "record", "")
        .camera(
            "missing",
            "file:///nowhere/clip.mp4?realtime=true",
            "record",
            "",
        )
        .camera(
            "corrupt",
            &format!("file://{}", corrupt.display()),
            "record",
            "",
        )
        .camera("blind", "test://ball", "detect", "model = \"missing.onnx\"");
    let daemon = Daemon::start(&config);
    let detail = |camera: &str| {
        let status = daemon.get(&format!("/cameras/{camera}"))["status"].clone();
        status["detail"].as_str().map(str::to_owned)
    };
    for (camera, names) in [
        ("away", "127.0.0.1:9"),
        ("missing", "/nowhere/clip.mp4"),
        ("corrupt", "corrupt.mp4"),
        ("blind", "missing.onnx"),
    ] {
        let mut last = None;
        wait_for(
            &format!("{camera} says {names}"),
            Duration::from_secs(30),
            || {
                last = detail(camera).or(last.take());
                last.as_ref()
                    .filter(|detail| detail.contains(names))
                    .map(|_| ())
            },
        );
    }
    // Without its model the camera still records and detects motion.
    let blind = daemon.get("/cameras/blind")["status"].clone();
    assert_eq!(
        (blind["state"].as_str(), blind["pipeline"].as_str()),
        (Some("degraded"), Some("motion")),
        "{blind}"
    );
    wait_for("it records", Duration::from_secs(30), || {
        daemon.get("/cameras/blind")["status"]["recording"]
            .as_bool()
            .filter(|recording| *recording)
    });
    daemon.wait_segments("good", 3, Duration::from_secs(60));
    assert_eq!(daemon.recordings("good")["gaps"], json!([]));
    let health = daemon.get("/system/health");
    assert_eq!(health["status"], "degraded", "{health}");
}

#[test]
fn a_full_disk_is_told_and_recording_goes_on_when_there_is_room() {
    // A file system of its own, 16 MiB; needs the right to mount, which a container may not have.
    let config = Config::new().camera(
        "ball",
        "test://ball",
        "record",
        "segment-duration = 1000000000",
    );
    std::fs::create_dir_all(config.data().join("recordings")).unwrap();
    let mount = config.data().join("recordings");
    let Some(_disk) = SmallDisk::mount(&mount, 16) else {
        return;
    };
    let filler = mount.join("filler");
    fill(&filler, 256 << 10);
    let daemon = Daemon::start(&config);
    wait_for("the full disk is told", Duration::from_secs(90), || {
        let detail = daemon.get("/cameras/ball")["status"]["detail"].clone();
        detail
            .as_str()
            .filter(|detail| detail.contains("recordings"))
            .map(str::to_owned)
    });
    let gaps = daemon.recordings("ball")["gaps"].clone();
    assert!(gaps.to_string().contains("disk_full"), "{gaps}");
    std::fs::remove_file(&filler).unwrap();
    daemon.wait_state("ball", "running", Duration::from_secs(30));
    let count = daemon.segments("ball").len();
    daemon.wait_segments("ball", count + 2, Duration::from_secs(30));
}
