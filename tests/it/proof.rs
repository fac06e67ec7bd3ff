//! What is kept can be checked: `nvrd fsck`, `verify` and `rebuild` beside, after and without a daemon.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use nvr_mp4::inspect;
use support::daemon::{Config, Daemon, nvrd};
use support::{run_any, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs a subcommand; its status and what it printed.
fn tool(config: &Config, arguments: &[&str]) -> (i32, String) {
    let mut command = nvrd();
    command.args(arguments).arg("--config").arg(config.write());
    said(&run_any(&mut command, LIMIT))
}

fn said(output: &Output) -> (i32, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = text(&output.stdout) + &text(&output.stderr);
    (output.status.code().unwrap_or(-1), all)
}

fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let days = std::fs::read_dir(config.data().join("recordings/ball"));
    for day in days.into_iter().flatten() {
        let day = std::fs::read_dir(day.unwrap().path()).unwrap();
        files.extend(day.map(|file| file.unwrap().path()));
    }
    files.sort();
    files
}

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[track_caller]
fn expect(config: &Config, arguments: &[&str], status: i32, says: &str) {
    let (code, text) = tool(config, arguments);
    assert_eq!(code, status, "{arguments:?}: {text}");
    assert!(
        text.contains(says),
        "{arguments:?} does not say {says:?}: {text}"
    );
}

#[test]
fn a_killed_daemon_leaves_what_can_be_checked_and_tampering_is_named() {
    let config = Config::new().camera(
        "ball",
        "test://ball",
        "record",
        "segment-duration = 2000000000",
    );
    let mut daemon = Daemon::start(&config);
    daemon.wait_segments("ball", 3, LIMIT);
    // Beside a daemon that runs.
    expect(&config, &["verify"], 0, "everything is what was recorded");
    expect(&config, &["fsck"], 2, "a daemon runs on");
    expect(&config, &["fsck", "--online"], 0, "clean");
    let head = daemon.get("/evidence/ball");
    assert_eq!(head["camera"], "ball", "{head}");
    assert!(head["entries"].as_u64().unwrap() >= 3, "{head}");
    let kept = format!("{}:{}", head["seq"], head["link"].as_str().unwrap());

    // A file is open when it dies.
    wait_for("the first fragment of a file", LIMIT, || {
        let found = inspect::inspect(&files(&config).pop()?).ok()?;
        (!found.finalised && found.duration_ns < 1_500_000_000).then_some(())
    });
    daemon.kill();
    expect(&config, &["fsck"], 1, "R2 ball/");
    expect(&config, &["fsck", "--deep", "--repair"], 0, "put right");
    expect(&config, &["fsck", "--deep"], 0, "clean");
    expect(&config, &["verify"], 0, "found after a crash");
    expect(
        &config,
        &["verify", "--camera", "ball", "--head", &kept],
        0,
        "everything",
    );

    // Without the index.
    let before = tool(&config, &["fsck", "--json"]).1;
    for name in ["nvrd.db", "nvrd.db-wal", "nvrd.db-shm"] {
        // The logs go with the last who uses it.
        drop(std::fs::remove_file(config.data().join(name)));
    }
    expect(
        &config,
        &["fsck"],
        2,
        "the index is gone: run `nvrd rebuild`",
    );
    expect(&config, &["rebuild"], 0, "segments listed");
    let after = tool(&config, &["fsck", "--json"]).1;
    let rows = |text: &str| {
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        line["summary"]["rows"].as_u64().unwrap()
    };
    assert_eq!(rows(&before), rows(&after));

    // Somebody changes a byte, and takes a file.
    let all = files(&config);
    flip(&all[0]);
    std::fs::remove_file(&all[1]).unwrap();
    let name = |file: &Path| file.file_name().unwrap().to_string_lossy().into_owned();
    let (code, text) = tool(&config, &["verify"]);
    assert_eq!(code, 1, "{text}");
    let altered = format!(
        "{}: its bytes are not those that were recorded",
        name(&all[0])
    );
    let missing = format!("{}: the file is gone", name(&all[1]));
    assert!(text.contains(&altered) && text.contains(&missing), "{text}");
    expect(&config, &["fsck", "--deep"], 1, &name(&all[1]));

    // The next start goes on, with the gap and without the file.
    let daemon = Daemon::start(&config);
    let gaps = daemon.recordings("ball")["gaps"].to_string();
    assert!(gaps.contains("damaged"), "{gaps}");
    expect(&config, &["verify"], 1, &name(&all[0]));
}

#[test]
fn what_cannot_be_checked_is_said() {
    let config = Config::new();
    expect(&config, &["fsck"], 2, "data: No such file or directory");
    expect(&config, &["verify"], 2, "data: No such file or directory");
    expect(&config, &["rebuild"], 2, "data: No such file or directory");
    let file = config.folder().join("any.mp4");
    std::fs::write(&file, "no export").unwrap();
    let mut command = nvrd();
    command.arg("verify").arg(&file);
    let (code, text) = said(&run_any(&mut command, LIMIT));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("--key"), "{text}");
}
