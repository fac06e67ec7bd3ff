//! A camera with two streams: the large one is recorded, the small one is analysed, on one clock.

use std::time::Duration;

use gst::prelude::*;
use serde_json::{Value, json};
use support::camera::RtspCamera;
use support::daemon::{Config, Daemon, nvrd};
use support::{gst_command, media, run, wait_for};

const MINUTE: Duration = Duration::from_secs(60);

/// A configuration with one camera of two streams.
fn config(uri: &str, sub: &str, pipeline: &str, params: &str) -> Config {
    let sub = format!("sub_uri = {}\npipeline = ", Value::from(sub));
    Config::new()
        .camera("cam", uri, pipeline, params)
        .replace("pipeline = ", &sub)
}

/// When something first moves in a recorded scene, nanoseconds of the file: the mean luma leaves that of the start.
fn first_move(file: &std::path::Path) -> Option<u64> {
    gst::init().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's own graph")]
    let pipeline = gst::parse::launch(
        "filesrc name=file ! qtdemux ! h264parse ! avdec_h264 ! appsink name=out sync=false max-buffers=8",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let location = file.display().to_string();
    pipeline
        .by_name("file")
        .unwrap()
        .set_property("location", location);
    let sink = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut first: Option<Vec<u8>> = None;
    let mut found = None;
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        let buffer = sample.buffer().unwrap();
        let map = buffer.map_readable().unwrap();
        let luma = &map[..map.len() * 2 / 3];
        let first = first.get_or_insert_with(|| luma.to_vec());
        let apart: u64 = luma
            .iter()
            .zip(first.iter())
            .map(|(a, b)| u64::from(a.abs_diff(*b)).saturating_sub(20))
            .sum();
        // A figure of which a strip is to be seen, and no noise.
        if apart > luma.len() as u64 / 20 {
            found = Some(buffer.pts().unwrap().nseconds());
            break;
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    found
}

#[test]
fn an_event_of_the_second_stream_points_at_its_moment_in_the_first() {
    let scene = |size: &str, fps: u32| format!("test://visits?{size}&fps={fps}&period=9&visit=4");
    let config = config(
        &scene("width=640&height=360", 15),
        &scene("width=320&height=180", 10),
        "motion",
        "segment-duration = 60000000000",
    );
    let mut daemon = Daemon::start(&config);
    let event = wait_for("an event", MINUTE, || daemon.events("camera=cam").pop());
    let camera = daemon.get("/cameras/cam");
    assert_eq!(camera["status"]["state"], "running", "{camera}");
    assert_eq!(camera["status"]["width"], 640, "{camera}");
    assert_eq!(camera["sub_uri"], scene("width=320&height=180", 10));
    let start = event["start_unix_us"].as_i64().unwrap();
    assert!(daemon.terminate(Duration::from_secs(15)).success());

    let daemon = Daemon::start(&config);
    let segments = daemon.wait_segments("cam", 1, MINUTE);
    let segment = &segments[0];
    let files: Vec<_> = media_files(&config);
    let moved = first_move(&files[0]).expect("somebody walks through the recording");
    let visit = segment["start_unix_us"].as_i64().unwrap() + i64::try_from(moved / 1000).unwrap();
    let apart = (start - visit) as f64 / 1e6;
    println!("the event begins {apart:.3} s after the visit that was recorded");
    assert!(apart.abs() < 0.3, "{apart} s: {event} {segment}");
}

fn media_files(config: &Config) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for day in std::fs::read_dir(config.data().join("recordings/cam")).unwrap() {
        for file in std::fs::read_dir(day.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort();
    files
}

#[test]
fn a_second_stream_that_dies_costs_the_analysis_and_no_picture() {
    let clip = media::street();
    let (_folder, small) = media::generated_h265("I420");
    let main = RtspCamera::start(&clip);
    let sub = RtspCamera::start_h265(&small);
    let port = sub.port();
    let config = config(
        &main.uri(),
        &sub.uri().replace("rtsp://", "rtsp://u:secret@"),
        "motion",
        "segment-duration = 2000000000",
    );
    let daemon = Daemon::start(&config);
    // H.264 is recorded and H.265 is analysed: the decoder follows the stream that it decodes.
    wait_for("an event of the second stream", MINUTE, || {
        daemon.events("camera=cam").pop()
    });
    daemon.wait_state("cam", "running", MINUTE);
    let count = daemon.segments("cam").len();
    drop(sub);
    daemon.wait_state("cam", "degraded", Duration::from_secs(30));
    let camera = daemon.get("/cameras/cam");
    let detail = camera["status"]["detail"].as_str().unwrap();
    assert!(detail.contains("second stream"), "{camera}");
    assert_eq!(camera["status"]["loss"], Value::Null, "{camera}");
    assert_eq!(camera["status"]["recording"], true, "{camera}");
    assert_eq!(camera["has_password"], true, "{camera}");
    assert!(!camera.to_string().contains("secret"), "{camera}");
    daemon.wait_segments("cam", count + 2, MINUTE);
    let _sub = RtspCamera::serve_h265_on(&small, port);
    daemon.wait_state("cam", "running", MINUTE);
    let segments = daemon.segments("cam");
    // The first ones may be of the pipeline before the decoder was known.
    for pair in segments[1..].windows(2) {
        assert_eq!(pair[0]["end_unix_us"], pair[1]["start_unix_us"], "{pair:?}");
    }
    assert_eq!(daemon.recordings("cam")["gaps"], json!([]));
    assert!(!daemon.log().contains("secret"), "{}", daemon.log());
}

#[test]
fn a_second_stream_over_rest_and_in_a_rendered_line() {
    let main = "test://visits?width=320&height=180&frames=150&realtime=false";
    let sub = "test://visits?width=160&height=90&realtime=false";
    let config = config(main, sub, "motion", "");
    let daemon = Daemon::start(&config);
    daemon.wait_state("cam", "stopped", MINUTE);
    assert_eq!(daemon.events("camera=cam").len(), 1, "{}", daemon.log());

    let made = json!({"name": "rest", "uri": main, "sub_uri": "rtsp://u:secret@127.0.0.1:9/2"});
    let (status, refused) = daemon.request("POST", "/cameras", Some(&made));
    assert_eq!(status, 400, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("sub_uri"));
    assert!(!refused.to_string().contains("secret"), "{refused}");
    let made = json!({"name": "rest", "uri": main, "sub_uri": sub, "enabled": false});
    let (status, camera) = daemon.request("POST", "/cameras", Some(&made));
    assert_eq!((status, &camera["sub_uri"]), (201, &json!(sub)), "{camera}");
    let (_, tested) = daemon.request("POST", "/cameras/rest/test", None);
    assert_eq!(tested["sub"]["width"], 160, "{tested}");
    let change = json!({"sub_uri": null});
    let (status, camera) = daemon.request("PATCH", "/cameras/rest", Some(&change));
    assert_eq!(
        (status, &camera["sub_uri"]),
        (200, &Value::Null),
        "{camera}"
    );
    drop(daemon);

    let out = tempfile::tempdir().unwrap();
    let mut render = nvrd();
    render
        .args(["render", "cam", "--config"])
        .arg(config.write())
        .arg("--output")
        .arg(out.path());
    let line = String::from_utf8(run(&mut render, Duration::from_secs(30)).stdout).unwrap();
    run(gst_command("sh").args(["-c", line.trim()]), MINUTE);
    let text = std::fs::read_to_string(out.path().join("cam.events.jsonl")).unwrap();
    assert!(text.contains("\"closed\""), "{line}\n{text}");
}
