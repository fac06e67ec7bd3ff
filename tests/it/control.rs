//! The daemon while it runs: read anew without touching what stays the same, and watched by a service manager.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use serde_json::json;
use support::daemon::{Config, Daemon, nvrd};
use support::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);

fn two_cameras() -> Config {
    Config::new()
        .camera("one", "test://ball", "record", "")
        .camera("two", "test://ball", "record", "")
}

/// The names of the cameras.
fn names(daemon: &Daemon) -> Vec<String> {
    let list = daemon.get("/cameras");
    let items = list["items"].as_array().or(list.as_array()).unwrap();
    let name = |item: &serde_json::Value| item["name"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

#[test]
fn a_signal_reads_the_file_anew_and_leaves_the_rest_alone() {
    let config = two_cameras();
    let mut daemon = Daemon::start(&config);
    daemon.wait_state("one", "running", PATIENCE);
    daemon.wait_state("two", "running", PATIENCE);
    let since = |daemon: &Daemon| daemon.get("/cameras/one")["status"]["since_unix_us"].clone();
    let before = since(&daemon);

    let config = config
        .replace("name = \"two\"", "name = \"three\"")
        .replace("[api]", "[retention]\nevent_days = 30\n[api]");
    config.write();
    daemon.signal("HUP");
    wait_for("the file is read anew", PATIENCE, || {
        (names(&daemon) == ["one", "three"]).then_some(())
    });
    daemon.wait_state("three", "running", PATIENCE);
    assert_eq!(since(&daemon), before, "the camera that stays goes on");
    let policy = daemon.get("/storage/policy");
    assert_eq!(policy["retention"]["event_days"], 30.0, "{policy}");

    // A file with a mistake changes nothing, and the log says which.
    let config = config
        .replace("\"three\"", "\"Three\"")
        .replace("= 30", "= 3");
    config.write();
    daemon.signal("HUP");
    wait_for("the mistake is told", PATIENCE, || {
        let log = daemon.log();
        log.contains("the configuration stays as it was: ")
            .then_some(())
    });
    assert!(
        daemon.log().contains("camera[1].name: \"Three\""),
        "{}",
        daemon.log()
    );
    assert_eq!(names(&daemon), ["one", "three"]);
    let (status, answer) = daemon.request("POST", "/system/reload", Some(&json!({})));
    assert_eq!(status, 400, "{answer}");
    assert_eq!(daemon.get("/storage/policy"), policy);
    assert!(daemon.terminate(PATIENCE).success());
}

#[test]
fn a_service_manager_hears_of_every_step_and_is_fed() {
    let config = two_cameras();
    let place = config.folder().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    let short = Some(Duration::from_millis(100));
    socket.set_read_timeout(short).unwrap();
    let mut heard: Vec<(Instant, String)> = Vec::new();
    let mut hear_until = |word: &str| {
        wait_for(word, PATIENCE, || {
            let mut bytes = [0; 4096];
            let length = socket.recv(&mut bytes).ok()?;
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let found = text.contains(word);
            heard.push((Instant::now(), text));
            found.then_some(())
        });
        heard.clone()
    };
    let mut command = nvrd();
    command
        .env("NOTIFY_SOCKET", &place)
        .env("WATCHDOG_USEC", "900000");
    let mut daemon = Daemon::start_with(&config, &mut command);
    let first = hear_until("READY=1");
    assert_eq!(first.len(), 1, "nothing is said before: {first:?}");
    hear_until("STATUS=recording ");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        hear_until("WATCHDOG=1");
    }
    let fed = hear_until("WATCHDOG=1");
    let fed: Vec<Instant> = fed
        .iter()
        .filter(|(_, text)| text.contains("WATCHDOG=1"))
        .map(|(at, _)| *at)
        .collect();
    let longest = fed.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < Duration::from_millis(900), "{longest:?}");

    daemon.signal("HUP");
    let told = hear_until("RELOADING=1");
    assert!(
        told.last().unwrap().1.contains("MONOTONIC_USEC="),
        "{told:?}"
    );
    hear_until("READY=1");
    daemon.signal("TERM");
    hear_until("STOPPING=1");
    assert!(daemon.terminate(PATIENCE).success());
}
