//! Every element works alone: its page is complete, and each line of its documentation runs as written.

use std::process::Command;
use std::time::Duration;

use support::{gst_command, media, root, run, run_any};

const ELEMENTS: [&str; 8] = [
    "camerasrc",
    "segmentrecorder",
    "decodegate",
    "motiondetect",
    "onnxinfer",
    "objecttrack",
    "facematch",
    "eventsink",
];

#[test]
fn every_page_is_complete() {
    for element in ELEMENTS {
        let output = run(
            gst_command("gst-inspect-1.0").arg(element),
            Duration::from_secs(30),
        );
        let page = String::from_utf8(output.stdout).unwrap();
        for part in [
            "Rank                     none",
            "Long-name",
            "Klass",
            "Description",
            "Author",
            "Version",
            "License",
            "Source release date",
            "Origin URL",
            "Pad Templates:",
            "Element Properties:",
            "stats",
        ] {
            assert!(
                page.contains(part),
                "gst-inspect-1.0 {element} lacks {part:?}:\n{page}"
            );
        }
        assert!(
            !page.contains("(null)"),
            "gst-inspect-1.0 {element}:\n{page}"
        );
        assert!(page.contains(&format!("libgst{element}.so")), "{page}");
    }
}

/// The shell lines of all elements' documentation: (element, line).
fn documented_lines() -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for element in ELEMENTS {
        let file = root().join(format!("gst-plugins/{element}/src/{element}/mod.rs"));
        let text = std::fs::read_to_string(&file).unwrap();
        let (mut inside, mut line) = (false, String::new());
        for doc in text.lines().filter_map(|line| {
            line.trim()
                .strip_prefix("//!")
                .or(line.trim().strip_prefix("///"))
        }) {
            let doc = doc.trim();
            match doc {
                "```sh" => inside = true,
                "```" => inside = false,
                _ if inside => {
                    line.push_str(doc.trim_end_matches('\\'));
                    line.push(' ');
                    if !doc.ends_with('\\') {
                        let whole = std::mem::take(&mut line).trim().to_owned();
                        if whole.starts_with("gst-launch-1.0 ") {
                            lines.push((element.to_owned(), whole));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    lines
}

#[test]
fn documented_lines_run_as_written() {
    let lines = documented_lines();
    for element in ELEMENTS {
        assert!(
            lines.iter().any(|(name, _)| name == element),
            "the documentation of {element} holds no line"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let gallery = folder.path().join("people.toml");
    for (element, line) in lines {
        let mut shell = gst_command("sh");
        shell.args(["-c", &line]);
        if line.contains("$MODEL") {
            let Some(model) = media::yolox() else {
                println!("SKIP: no model for: {line}");
                continue;
            };
            shell.env("MODEL", model);
        }
        if line.contains("$EMBEDDER") {
            let Some([detector, embedder, photo]) = media::faces() else {
                println!("SKIP: no models and photo of a face for: {line}");
                continue;
            };
            shell.env("DETECTOR", detector).env("EMBEDDER", embedder);
            shell.env("PHOTO", photo).env("GALLERY", &gallery);
        }
        let output = run_any(&mut shell, Duration::from_secs(30));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{element}: {line}\n{errors}");
        assert!(!errors.contains("CRITICAL"), "{element}: {line}\n{errors}");
    }
}

#[test]
fn elements_leak_nothing() {
    let lines = documented_lines();
    for (element, line) in lines.into_iter().filter(|(_, line)| !line.contains('$')) {
        let mut shell = gst_command("sh");
        shell
            .args(["-c", &line])
            .env("GST_TRACERS", "leaks")
            .env("GST_DEBUG", "GST_TRACER:7");
        let output = run_any(&mut shell, Duration::from_secs(30));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        // The tracer first says how it will say it.
        let alive = errors
            .lines()
            .filter(|line| line.contains("object-alive, type-name=(string)"));
        let alive: Vec<&str> = alive
            .filter(|line| !line.contains("new format string"))
            .collect();
        assert!(alive.is_empty(), "{element}: {line}\n{alive:#?}");
    }
}

#[test]
fn the_chain_of_the_design_runs() {
    let folder = tempfile::tempdir().unwrap();
    let clip = media::street();
    let events = folder.path().join("events.jsonl");
    let line = format!(
        "gst-launch-1.0 camerasrc uri=file://{} name=cam  cam.video ! avdec_h264 ! motiondetect ! eventsink location={}",
        clip.display(),
        events.display()
    );
    run(
        gst_command("sh").args(["-c", &line]),
        Duration::from_secs(120),
    );
    let text = std::fs::read_to_string(events).unwrap();
    let kinds: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        kinds
            .iter()
            .any(|event| event["kind"] == "motion" && event["type"] == "closed"),
        "{text}"
    );
}

#[test]
fn six_visits_are_six_persons_and_nothing_else() {
    let clip = media::shared_clip("one-by-one-person-detection.mp4");
    let (Some(clip), Some(model)) = (clip, media::yolox()) else {
        println!("SKIP: no shared media, or no model");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().join("events.jsonl");
    let line = format!(
        "gst-launch-1.0 camerasrc uri='file://{}?realtime=false' name=cam  cam.video ! avdec_h264 ! motiondetect \
         ! onnxinfer model={} threshold=0.4 ! objecttrack ! eventsink location={}",
        clip.display(),
        model.display(),
        location.display()
    );
    run(
        gst_command("sh").args(["-c", &line]),
        Duration::from_secs(240),
    );
    let text = std::fs::read_to_string(location).unwrap();
    let closed: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["type"] == "closed")
        .collect();
    let (motion, objects): (Vec<_>, Vec<_>) =
        closed.iter().partition(|event| event["kind"] == "motion");
    assert_eq!((motion.len(), objects.len()), (6, 6), "{text}");
    for (visit, person) in motion.iter().zip(&objects) {
        assert_eq!(person["label"], "person", "{person}");
        let ns = |event: &serde_json::Value, key: &str| event[key].as_u64().unwrap();
        assert!(ns(person, "start_ns") >= ns(visit, "start_ns"), "{person}");
        assert!(ns(person, "end_ns") <= ns(visit, "end_ns"), "{person}");
    }
}

#[test]
fn recordings_of_gst_launch_play() {
    if !support::has_program("ffprobe") {
        println!("SKIP: ffprobe is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "gst-launch-1.0 camerasrc uri=file://{} name=cam  cam.video ! tee name=t \
         t. ! queue ! segmentrecorder location={} segment-duration=10000000000 \
         t. ! queue ! fakesink",
        media::street().display(),
        folder.path().display()
    );
    run(
        gst_command("sh").args(["-c", &line]),
        Duration::from_secs(60),
    );
    let files: Vec<_> = walk(folder.path());
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let mut probe = Command::new("ffprobe");
        probe
            .args([
                "-v",
                "error",
                "-show_entries",
                "format=duration",
                "-of",
                "csv=p=0",
            ])
            .arg(&file);
        let output = run(&mut probe, Duration::from_secs(20));
        let seconds: f64 = String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert!(
            seconds > 0.5 && seconds < 15.0,
            "{}: {seconds} s",
            file.display()
        );
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path))
        } else {
            files.push(path)
        }
    }
    files.sort();
    files
}
