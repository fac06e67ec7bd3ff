//! The line that `nvrd render` prints runs as printed and gives the events that the daemon gave.

use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Config, Daemon, nvrd};
use support::{gst_command, media, run};

/// What an event is, without when it was filmed.
fn essence(event: &Value) -> Value {
    let keys = [
        "kind", "label", "start_ns", "end_ns", "score", "box", "zones", "track_id", "frames",
        "model", "pipeline",
    ];
    let mut essence = json!({});
    for key in keys {
        let empty = event[key].is_null() || event[key] == json!([]);
        essence[key] = if empty {
            Value::Null
        } else {
            event[key].clone()
        };
    }
    essence
}

fn sorted(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(|event| (event["start_ns"].as_u64(), event.to_string()));
    events
}

fn check(uri: &str, pipeline: &str, params: &str) {
    let config = Config::new().camera("cam", uri, pipeline, params);
    let daemon = Daemon::start(&config);
    daemon.wait_state("cam", "stopped", Duration::from_secs(120));
    let from_daemon = sorted(daemon.events("camera=cam").iter().map(essence).collect());
    assert!(!from_daemon.is_empty(), "{}", daemon.log());
    drop(daemon);

    // The printed line makes the folder that it writes to.
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("out");
    let mut render = nvrd();
    render
        .args(["render", "cam", "--config"])
        .arg(config.write())
        .arg("--output")
        .arg(&folder);
    let line = String::from_utf8(run(&mut render, Duration::from_secs(30)).stdout).unwrap();
    run(
        gst_command("sh").args(["-c", line.trim()]),
        Duration::from_secs(120),
    );
    let text = std::fs::read_to_string(folder.join("cam.events.jsonl")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let from_line = sorted(
        lines
            .filter(|event| event["type"] == "closed")
            .map(|event| essence(&event))
            .collect(),
    );
    assert_eq!(from_daemon, from_line, "{line}");
}

#[test]
fn the_motion_pipeline_gives_the_same_events() {
    check(
        "test://visits?width=320&height=180&frames=300&realtime=false",
        "motion",
        "sensitivity = 0.5",
    );
}

#[test]
fn the_detect_pipeline_gives_the_same_events() {
    let (Some(model), Some(clip)) = (media::yolox(), media::shared_clip("pets_s2l1_h264.mp4"))
    else {
        println!("SKIP: no shared model or clip, or no ONNX Runtime");
        return;
    };
    let model = format!(
        "model = {}, threshold = 0.4, max-fps = 2",
        Value::from(model.to_str().unwrap())
    );
    check(&format!("file://{}", clip.display()), "detect", &model);
}
