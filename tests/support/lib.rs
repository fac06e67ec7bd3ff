//! What the integration tests share: the daemon as a process, an RTSP camera, media, pictures, and waiting.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up shall fail where it is"
)]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

pub mod camera;
pub mod coverage;
pub mod daemon;
pub mod disk;
pub mod load;
pub mod media;
pub mod pictures;
pub mod printed;
pub mod process;
pub mod random;
pub mod wire;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The root of the project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The folder of the binaries and plugins that were built with the tests.
pub fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    deps.parent().unwrap().to_owned()
}

/// Waits until `condition` gives something; fails with `what` after `limit`.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A command with our plugins on the path and the registry of the tests.
pub fn gst_command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("GST_PLUGIN_PATH", built()).current_dir(root());
    // Not the registry of the tests' own processes: these do not have our plugins on the path.
    command.env("GST_REGISTRY", built().join("gst-registry-plugins.bin"));
    if let Some(library) = media::onnx_runtime() {
        command.env("ORT_DYLIB_PATH", library);
    }
    command
}

/// Runs a command to its end; fails with its output when it takes longer than `limit` or does not succeed.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> Output {
    let output = run_any(command, limit);
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command to its end, whatever that is; fails when it takes longer than `limit`.
#[track_caller]
pub fn run_any(command: &mut Command, limit: Duration) -> Output {
    use std::process::Stdio;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let (stdout, stderr) = (
        reader(child.stdout.take().unwrap()),
        reader(child.stderr.take().unwrap()),
    );
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            let text = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
            panic!("{command:?} ({id}) ran longer than {limit:?}:\n{text}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    Output {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn reader(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Seconds since 1970-01-01 UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "a test compares what the daemon says with what it sees itself"
)]
pub fn unix_now() -> f64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// Whether a program is installed.
pub fn has_program(name: &str) -> bool {
    Command::new(name).arg("-version").output().is_ok()
}
