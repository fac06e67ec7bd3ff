//! A daemon that serves other machines: everybody logs in, by REST and by RTSP, and sees their own cameras only.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Config, Daemon, nvrd};
use support::{has_program, run_any, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "only-for-the-porch-7";

/// Runs `nvrd user`; it reads a password where one is asked for.
fn user(config: &Config, arguments: &[&str]) {
    let mut command = nvrd();
    command.arg("user").args(arguments);
    command.arg("--config").arg(config.write());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that reads no password may have ended by now.
    drop(child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

fn probe(uri: &str) -> Output {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-rtsp_transport", "tcp"]);
    command.args(["-show_entries", "stream=codec_name", "-of", "csv=p=0", uri]);
    run_any(&mut command, PATIENCE)
}

/// What ffprobe finds, or the last it complains of.
fn probed(uri: &str) -> String {
    let output = probe(uri);
    let said = match output.status.success() {
        true => output.stdout,
        false => output.stderr,
    };
    String::from_utf8(said).unwrap().trim().to_owned()
}

fn log_in(daemon: &Daemon, name: &str, password: &str) -> Option<String> {
    let body = json!({"username": name, "password": password});
    let (status, answer) = daemon.request("POST", "/auth/login", Some(&body));
    (status == 200).then(|| answer["access_token"].as_str().unwrap().to_owned())
}

fn ask(daemon: &Daemon, path: &str, token: &str) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut answer = agent
        .get(format!("{}{path}", daemon.api))
        .header("authorization", format!("Bearer {token}"))
        .call()
        .unwrap();
    let status = answer.status().as_u16();
    (status, answer.body_mut().read_json().unwrap_or(Value::Null))
}

#[test]
fn a_daemon_for_other_machines_shows_nobody_what_is_not_theirs() {
    if !has_program("ffprobe") {
        println!("SKIP: ffprobe is not installed");
        return;
    }
    let config = Config::new()
        .replace(
            "[api]\nlisten = \"127.0.0.1:0\"",
            "[api]\nlisten = \"0.0.0.0:0\"\nauth = true",
        )
        .replace(
            "[rtsp]\nlisten = \"127.0.0.1:0\"",
            "[rtsp]\nlisten = \"0.0.0.0:0\"\nauth = true",
        )
        .camera("porch", "test://ball", "record", "")
        .camera("safe", "test://ball", "record", "");
    let mut daemon = Daemon::start(&config);
    daemon.api = daemon.api.replace("0.0.0.0", "127.0.0.1");
    let rtsp = daemon.rtsp.replace("rtsp://0.0.0.0", "127.0.0.1");

    // Nobody is there yet, and nobody gets in: it waits for its first user.
    let closed = |status: u16| {
        for path in ["/cameras", "/events", "/system/settings", "/logs"] {
            assert_eq!(daemon.request("GET", path, None).0, status, "{path}");
        }
    };
    closed(403);
    let refused = probed(&format!("rtsp://{rtsp}/porch"));
    assert!(refused.contains("401"), "{refused}");

    user(
        &config,
        &["add", "ada", "--role", "admin", "--password-stdin"],
    );
    let vera = ["add", "vera", "--role", "viewer", "--camera", "porch"];
    user(&config, &[&vera[..], &["--password-stdin"]].concat());
    let password = PASSWORD;
    let token = wait_for("the daemon knows of the user", PATIENCE, || {
        log_in(&daemon, "vera", password)
    });
    closed(401);
    let running = |name: &str| {
        let (_, camera) = ask(&daemon, &format!("/cameras/{name}"), &token);
        (camera["status"]["state"] == "running").then_some(camera)
    };
    let camera = wait_for("the camera runs", PATIENCE, || running("porch"));
    assert_eq!(camera["restream_url"], format!("rtsp://{rtsp}/porch"));
    assert_eq!(ask(&daemon, "/cameras/safe", &token).0, 404);

    let uri = |user: &str, password: &str, camera: &str| {
        probed(&format!("rtsp://{user}:{password}@{rtsp}/{camera}"))
    };
    assert_eq!(uri("vera", password, "porch"), "h264");
    let hidden = uri("vera", password, "safe");
    assert!(hidden.contains("404"), "{hidden}");
    let unknown = uri("vera", password, "nowhere");
    assert!(unknown.contains("404"), "{unknown}");
    let wrong = uri("vera", "not-this-one-at-all", "porch");
    assert!(wrong.contains("401"), "{wrong}");
    let nobody = uri("nobody", password, "porch");
    assert!(nobody.contains("401"), "{nobody}");

    // Who is removed sees nothing more.
    user(&config, &["remove", "vera"]);
    wait_for("the user is gone", PATIENCE, || {
        (ask(&daemon, "/cameras", &token).0 == 401).then_some(())
    });
    let gone = uri("vera", password, "porch");
    assert!(gone.contains("401"), "{gone}");
    assert!(daemon.terminate(PATIENCE).success());
    assert!(
        !daemon.log().contains(password),
        "the log holds no password"
    );
}
