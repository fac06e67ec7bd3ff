//! A database that another program holds: recording goes on, and every file has its row afterwards, once.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::daemon::{Config, Daemon};
use support::{coverage, has_program, wait_for};

/// Holds the write lock of a database from the moment it prints a line.
const HOLD: &str = "import sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute('BEGIN IMMEDIATE')
print('held', flush=True)
time.sleep(float(sys.argv[2]))
c.execute('ROLLBACK')";

#[test]
fn a_locked_database_costs_no_picture() {
    if !has_program("python3") {
        println!("SKIP: python3 is not installed");
        return;
    }
    let config = Config::new().camera(
        "ball",
        "test://ball",
        "record",
        "segment-duration = 1000000000",
    );
    let daemon = Daemon::start(&config);
    daemon.wait_segments("ball", 2, Duration::from_secs(60));
    let mut holder = Command::new("python3");
    holder
        .args(["-c", HOLD])
        .arg(config.data().join("nvrd.db"))
        .arg("7");
    let mut holder = holder.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(holder.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "held");
    let (held, before) = (Instant::now(), daemon.segments("ball").len());

    // What is on disk is shown as recorded, although no row can be written.
    wait_for(
        "five seconds of a locked database",
        Duration::from_secs(10),
        || (held.elapsed() > Duration::from_secs(5)).then_some(()),
    );
    let answer = daemon.coverage("ball");
    let tiles = coverage::explained(&answer);
    assert_eq!(coverage::missing(&tiles), [], "{answer}");
    let listed = daemon.segments("ball").len();
    assert!(listed <= before + 1, "rows were written under a lock");
    assert!(tiles.len() >= listed + 3, "{answer}");
    let health = daemon.get("/system/health");
    assert_eq!(health["recording"][0]["recording"], true, "{health}");
    holder.wait().unwrap();

    let segments = daemon.wait_segments("ball", listed + 5, Duration::from_secs(30));
    for pair in segments.windows(2) {
        assert_eq!(
            pair[0]["end_unix_us"], pair[1]["start_unix_us"],
            "{segments:?}"
        );
    }
    let health = daemon.get("/system/health");
    assert!(
        health["counters"]["store_retries"].as_u64().unwrap() >= 1,
        "{health}"
    );
    assert_eq!(health["counters"]["dropped_segments"], 0, "{health}");
    assert!(daemon.events("camera=ball&kind=system").is_empty());
}
