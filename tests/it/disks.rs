//! Disks that fill up, go away, come back, are swapped or fail: recording goes on where it can, and says why not.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Config, Daemon};
use support::disk::{SmallDisk, fill};
use support::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

/// A camera whose files are a second long.
fn config(more: &str) -> Config {
    Config::new()
        .replace("path = \"data\"\n", &format!("path = \"data\"\n{more}"))
        .camera(
            "ball",
            "test://ball",
            "record",
            "segment-duration = 1000000000",
        )
}

/// A second storage.
const SECOND: &str = "[[storage.more]]\npath = \"second\"\n";

fn system_events(daemon: &Daemon, label: &str) -> Vec<Value> {
    let mut events = daemon.events("kind=system");
    events.retain(|event| event["label"] == label);
    events
}

fn storage(daemon: &Daemon, index: usize) -> Value {
    daemon.get("/storage")["storages"][index].clone()
}

fn wait_storage(daemon: &Daemon, index: usize, state: &str) -> Value {
    wait_for(&format!("storage {index} is {state}"), LIMIT, || {
        Some(storage(daemon, index)).filter(|storage| storage["state"] == state)
    })
}

/// Segments of the storage with an identity.
fn segments_in(daemon: &Daemon, id: &Value) -> usize {
    let segments = daemon.segments("ball");
    segments.iter().filter(|s| s["storage"] == *id).count()
}

fn wait_more_in(daemon: &Daemon, id: &Value, more: usize) {
    let before = segments_in(daemon, id);
    wait_for(&format!("{more} more segments in {id}"), LIMIT, || {
        (segments_in(daemon, id) >= before + more).then_some(())
    });
}

#[test]
fn a_full_disk_makes_room_by_itself_and_keeps_what_is_protected() {
    let config = config("min_free = \"2 MiB\"\n");
    let Some(_disk) = SmallDisk::mount(&config.data(), 48) else {
        return;
    };
    let daemon = Daemon::start(&config);
    let segments = daemon.wait_segments("ball", 6, LIMIT);
    let at = |segment: &Value, key: &str| segment[key].as_f64().unwrap() / 1e6;
    let kept = &segments[1];
    let body = json!({
        "start_unix": at(kept, "start_unix_us") + 0.2, "end_unix": at(kept, "end_unix_us") - 0.2, "protected": true,
    });
    let (status, marked) = daemon.request("POST", "/recordings/ball/protect", Some(&body));
    assert_eq!((status, &marked["segments"]), (200, &json!(1)), "{marked}");

    // To the last byte; the recorder meets the end of the disk.
    fill(&config.data().join("filler"), 0);
    let full = std::time::Instant::now();
    let first = segments[0]["id"].clone();
    wait_for("the oldest goes", Duration::from_secs(20), || {
        let left = daemon.segments("ball");
        left.iter()
            .all(|segment| segment["id"] != first)
            .then_some(())
    });
    let newest = daemon.segments("ball").last().unwrap()["start_unix_us"].clone();
    wait_for("it records on", Duration::from_secs(20), || {
        let last = daemon.segments("ball").last()?["start_unix_us"].clone();
        (last.as_i64() > newest.as_i64()).then_some(())
    });
    println!(
        "recording goes on {:?} after the disk was full",
        full.elapsed()
    );
    let left = daemon.segments("ball");
    assert!(
        left.iter().any(|segment| segment["id"] == kept["id"]),
        "what is protected stays: {left:?}"
    );
    let (status, ..) = daemon.bytes(
        kept["url"]
            .as_str()
            .unwrap()
            .strip_prefix("/api/v1")
            .unwrap(),
    );
    assert_eq!(status, 200);
    assert!(
        daemon.recordings("ball")["gaps"]
            .to_string()
            .contains("deleted")
    );

    // Only protected ones are left: nothing may go, an alarm says so, and it heals alone.
    let all = json!({"start_unix": 0, "end_unix": 4102444800_i64, "protected": true});
    daemon.request("POST", "/recordings/ball/protect", Some(&all));
    wait_for("the alarm", LIMIT, || {
        daemon.request("POST", "/recordings/ball/protect", Some(&all));
        system_events(&daemon, "storage_full").pop()
    });
    assert_eq!(daemon.get("/system/health")["status"], "degraded");
    std::fs::remove_file(config.data().join("filler")).unwrap();
    wait_storage(&daemon, 0, "ready");
    let count = daemon.segments("ball").len();
    daemon.wait_segments("ball", count + 2, LIMIT);
    let alarm = wait_for("the alarm ends", LIMIT, || {
        system_events(&daemon, "storage_full")
            .pop()
            .filter(|event| event["state"] == "closed")
    });
    assert_eq!(alarm["camera"], "@nvrd");
}

#[test]
fn a_disk_that_goes_is_replaced_by_the_next_and_never_written_to() {
    let config = config(&format!("{SECOND}[[storage.more]]\npath = \"third\"\n"));
    let second = config.folder().join("second");
    let away = config.folder().join("away");
    let daemon = Daemon::start(&config);
    let ids: Vec<Value> = (0..3)
        .map(|index| storage(&daemon, index)["id"].clone())
        .collect();
    daemon.wait_segments("ball", 2, LIMIT);
    // The first one's identity goes, so the second one takes over; then its disk goes whole.
    let mark = config.data().join("nvrd-storage.toml");
    std::fs::rename(&mark, config.folder().join("mark")).unwrap();
    wait_storage(&daemon, 0, "missing");
    wait_more_in(&daemon, &ids[1], 2);
    std::fs::rename(&second, &away).unwrap();
    let gone = wait_storage(&daemon, 1, "missing");
    assert!(
        gone["detail"].as_str().unwrap().contains("mount it"),
        "{gone}"
    );
    wait_more_in(&daemon, &ids[2], 3);
    assert!(!second.exists(), "nothing is made where the disk was");
    let health = daemon.get("/system/health");
    assert_eq!(
        (&health["status"], &health["storage"]["in_use"]),
        (&json!("degraded"), &json!("third")),
        "{health}"
    );
    assert!(!system_events(&daemon, "storage_missing").is_empty());
    // What lies on the missing disk is listed, and its file says where it is.
    let lost = daemon.segments("ball");
    let lost = lost
        .iter()
        .find(|segment| segment["storage"] == ids[1])
        .unwrap();
    let url = lost["url"]
        .as_str()
        .unwrap()
        .strip_prefix("/api/v1")
        .unwrap();
    let (status, answer) = daemon.request("GET", url, None);
    assert_eq!(status, 503, "{answer}");
    std::fs::rename(&away, &second).unwrap();
    wait_storage(&daemon, 1, "ready");
    assert_eq!(daemon.request("GET", url, None).0, 200);
    // Without a break in the pipeline.
    assert_eq!(daemon.get("/cameras/ball")["status"]["restarts"], 0);
}

#[test]
fn with_its_only_disk_gone_the_daemon_waits_and_heals() {
    let config = config("");
    let mark = config.data().join("nvrd-storage.toml");
    let kept = config.folder().join("mark");
    let daemon = Daemon::start(&config);
    daemon.wait_segments("ball", 2, LIMIT);
    std::fs::rename(&mark, &kept).unwrap();
    wait_storage(&daemon, 0, "missing");
    wait_for("a gap says so", LIMIT, || {
        let gaps = daemon.recordings("ball")["gaps"].to_string();
        gaps.contains("disk_gone").then_some(())
    });
    assert_eq!(
        daemon.get("/system/health")["storage"]["in_use"],
        Value::Null
    );
    let files = count_files(&config.data().join("recordings"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(
        count_files(&config.data().join("recordings")),
        files,
        "nothing is written"
    );
    let count = daemon.segments("ball").len();
    std::fs::rename(&kept, &mark).unwrap();
    wait_storage(&daemon, 0, "ready");
    daemon.wait_segments("ball", count + 2, LIMIT);
}

#[test]
fn a_swapped_disk_is_refused_with_both_names() {
    let config = config(SECOND);
    let second = config.folder().join("second");
    let mut daemon = Daemon::start(&config);
    let expected = storage(&daemon, 1)["id"].clone();
    daemon.terminate(LIMIT);
    // Another recorder's disk.
    std::fs::rename(&second, config.folder().join("away")).unwrap();
    std::fs::create_dir(&second).unwrap();
    let other = "01890a5d-ac96-774b-bcce-b302099a8057";
    std::fs::write(
        second.join("nvrd-storage.toml"),
        format!("id = \"{other}\"\n"),
    )
    .unwrap();
    let daemon = Daemon::start(&config);
    let found = wait_storage(&daemon, 1, "foreign");
    let detail = found["detail"].as_str().unwrap();
    assert!(
        detail.contains(other) && detail.contains(expected.as_str().unwrap()),
        "{detail}"
    );
    assert!(!second.join("recordings").exists(), "nothing is made there");
    daemon.wait_segments("ball", 2, LIMIT);
}

#[test]
fn a_disk_that_turns_read_only_is_left_for_the_next() {
    let config = config(&format!("[[storage.more]]\npath = \"disk\"\n{SECOND}"));
    let Some(disk) = SmallDisk::mount(&config.folder().join("disk"), 16) else {
        return;
    };
    let daemon = Daemon::start(&config);
    let ids: Vec<Value> = (0..3)
        .map(|index| storage(&daemon, index)["id"].clone())
        .collect();
    std::fs::rename(
        config.data().join("nvrd-storage.toml"),
        config.folder().join("mark"),
    )
    .unwrap();
    wait_more_in(&daemon, &ids[1], 2);
    // A file that is open for writing keeps the kernel from it; there is none for a moment between two.
    let done = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        disk.read_only(true)
    });
    if !done {
        println!("SKIP: the file system cannot be made read-only");
        return;
    }
    let failing = wait_storage(&daemon, 1, "failing");
    assert!(
        failing["detail"].as_str().unwrap().contains("disk"),
        "{failing}"
    );
    wait_more_in(&daemon, &ids[2], 2);
    assert!(!system_events(&daemon, "storage_failing").is_empty());
    assert!(disk.read_only(false));
    wait_storage(&daemon, 1, "ready");
}

fn count_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { count_files(&path) } else { 1 }
        })
        .sum()
}
