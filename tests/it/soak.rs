//! What goes up comes down: a daemon whose cameras start and stop again and again keeps its size.

use std::time::Duration;

use support::daemon::{Config, Daemon};
use support::wait_for;

/// Threads and open files of a process, and its resident memory in MiB.
#[derive(Debug, Clone, Copy)]
struct Size {
    threads: usize,
    files: usize,
    memory_mib: u64,
}

fn size(pid: u32) -> Size {
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/{pid}/{what}"))
            .unwrap()
            .count()
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    Size {
        threads: count("task"),
        files: count("fd"),
        memory_mib: kib / 1024,
    }
}

/// `NVRD_SOAK_CYCLES` makes it long.
fn cycles() -> u32 {
    let set = std::env::var("NVRD_SOAK_CYCLES").ok();
    set.map_or(6, |text| {
        text.parse().expect("NVRD_SOAK_CYCLES is a number")
    })
}

#[test]
fn cameras_that_come_and_go_leave_nothing_behind() {
    let config = Config::new()
        .camera(
            "steady",
            "test://ball",
            "motion",
            "segment-duration = 1000000000",
        )
        .camera("away", "rtsp://127.0.0.1:9/cam", "motion", "");
    let daemon = Daemon::start(&config);
    let made = serde_json::json!({"name": "flap", "uri": "test://ball", "pipeline": "motion"});
    assert_eq!(daemon.request("POST", "/cameras", Some(&made)).0, 201);
    let mut stopped = Vec::new();
    // The first rounds fill caches and pools.
    let warm_up = 2;
    for _ in 0..warm_up + cycles() {
        assert_eq!(daemon.request("POST", "/cameras/flap/start", None).0, 200);
        daemon.wait_state("flap", "running", Duration::from_secs(30));
        wait_for("it records", Duration::from_secs(30), || {
            daemon.get("/cameras/flap")["status"]["recording"]
                .as_bool()
                .filter(|recording| *recording)
        });
        assert_eq!(daemon.request("POST", "/cameras/flap/stop", None).0, 200);
        daemon.wait_state("flap", "stopped", Duration::from_secs(20));
        stopped.push(size(daemon.pid()));
    }
    let (first, last) = (stopped[warm_up as usize - 1], stopped[stopped.len() - 1]);
    assert!(last.threads <= first.threads + 2, "threads: {stopped:?}");
    assert!(last.files <= first.files + 2, "open files: {stopped:?}");
    let allowed = first.memory_mib + 16 + u64::from(cycles()) / 10;
    assert!(last.memory_mib <= allowed, "memory in MiB: {stopped:?}");

    let segments = daemon.segments("steady");
    assert!(segments.len() > 2);
    for pair in segments.windows(2) {
        assert_eq!(
            pair[0]["end_unix_us"], pair[1]["start_unix_us"],
            "the steady camera records on"
        );
    }
}
