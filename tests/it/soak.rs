//! What goes up comes down: a daemon whose cameras start and stop again and again keeps its size.

use std::time::Duration;

use support::daemon::{Config, Daemon};
use support::process::size;
use support::random::number_from_env;
use support::wait_for;

/// `NVRD_SOAK_CYCLES` makes it long.
fn cycles() -> u32 {
    u32::try_from(number_from_env("NVRD_SOAK_CYCLES", 6)).unwrap()
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
    // The first rounds fill caches and pools; the allocator keeps an arena for each of many threads, and takes about
    // this long until all of them are as large as a pipeline makes them.
    let warm_up = 12;
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
    let allowed = first.memory_kib + (16 << 10) + u64::from(cycles()) * 100;
    assert!(last.memory_kib <= allowed, "memory in KiB: {stopped:?}");

    let segments = daemon.segments("steady");
    assert!(segments.len() > 2);
    for pair in segments.windows(2) {
        assert_eq!(
            pair[0]["end_unix_us"], pair[1]["start_unix_us"],
            "the steady camera records on"
        );
    }
}
