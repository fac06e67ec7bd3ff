//! The API against its own description, by generated requests, as everybody who may ask.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Config, Daemon, nvrd};
use support::random::number_from_env;
use support::run_any;

/// The program that makes the requests, where scripts/setup has put it.
fn schemathesis() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()?
        .to_owned();
    let path = root.join(".deps/schemathesis/bin/schemathesis");
    path.is_file().then_some(path)
}

/// Somebody who asks.
struct Role {
    name: &'static str,
    header: Option<String>,
    /// Also the borders of every field, not random values alone.
    thorough: bool,
}

const PASSWORD: &str = "correct horse battery";

fn add_user(config: &Config, name: &str, more: &[&str]) {
    let mut command = nvrd();
    command.args(["user", "add", name, "--password-stdin", "--config"]);
    command.arg(config.folder().join("nvrd.toml")).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "user {name}");
}

fn bearer(daemon: &Daemon, name: &str) -> String {
    let url = format!("{}/auth/login", daemon.api);
    let answer: Value = ureq::post(&url)
        .send_json(json!({"username": name, "password": PASSWORD}))
        .unwrap()
        .body_mut()
        .read_json()
        .unwrap();
    format!(
        "Authorization: Bearer {}",
        answer["access_token"].as_str().unwrap()
    )
}

#[test]
fn the_api_keeps_its_own_description() {
    let Some(schemathesis) = schemathesis() else {
        println!("SKIP: schemathesis is not there: scripts/setup brings it");
        return;
    };
    let config = Config::new()
        .camera("c0", "test://ball", "record", "")
        .camera("c1", "test://ball", "record", "");
    let daemon = Daemon::start(&config);
    daemon.wait_segments("c0", 1, Duration::from_secs(60));
    add_user(&config, "ada", &["--role", "admin"]);
    add_user(&config, "olaf", &["--role", "operator"]);
    add_user(&config, "vera", &["--role", "viewer", "--camera", "c0"]);
    // A running daemon hears of new people within two seconds.
    let admin = support::wait_for("the log-in works", Duration::from_secs(20), || {
        let url = format!("{}/auth/login", daemon.api);
        let asked = ureq::post(&url).send_json(json!({"username": "vera", "password": PASSWORD}));
        asked.is_ok().then(|| bearer(&daemon, "ada"))
    });
    let roles = [
        Role {
            name: "nobody",
            header: None,
            thorough: false,
        },
        Role {
            name: "viewer",
            header: Some(bearer(&daemon, "vera")),
            thorough: false,
        },
        Role {
            name: "operator",
            header: Some(bearer(&daemon, "olaf")),
            thorough: false,
        },
        Role {
            name: "admin",
            header: Some(admin),
            thorough: true,
        },
    ];
    let examples = number_from_env("NVRD_EXAMPLES", 1);
    let mut cases = 0;
    for role in &roles {
        cases += try_as(&schemathesis, &daemon, &config, role, examples);
        // Nobody needs to log in to hear whether all is well.
        assert!(
            daemon.get("/system/health")["status"].is_string(),
            "as {}",
            role.name
        );
    }
    println!(
        "{cases} requests as {} roles, none answered outside the description",
        roles.len()
    );
    assert!(cases >= 1000, "{cases} requests are too few");
}

/// Tries every operation as somebody; gives the number of requests.
fn try_as(
    schemathesis: &PathBuf,
    daemon: &Daemon,
    config: &Config,
    role: &Role,
    examples: u64,
) -> u64 {
    let address = daemon.api.trim_end_matches("/api/v1");
    let mut command = Command::new(schemathesis);
    // It leaves a folder where it runs.
    command.current_dir(config.folder());
    command
        .arg("--config-file")
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemathesis.toml"))
        .args([
            "run",
            &format!("{address}/openapi.json"),
            "--checks",
            "all",
            "--no-color",
        ])
        .args([
            "--max-examples",
            &examples.to_string(),
            "--continue-on-failure",
        ])
        .args([
            "--phases",
            if role.thorough {
                "examples,coverage,fuzzing"
            } else {
                "fuzzing"
            },
        ])
        .args([
            "--suppress-health-check",
            "all",
            "--request-timeout",
            "30",
            "--seed",
            "1",
        ])
        // These would end the session that asks, or never end; they have tests of their own.
        .args([
            "--exclude-path-regex",
            "auth/(logout|session|sessions|change-password|mfa)|/stream|/ws",
        ])
        .args(["--generation-database", "none"]);
    if let Some(header) = &role.header {
        command.args(["--header", header]);
    }
    let output = run_any(&mut command, Duration::from_secs(3600));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "as {}:\n{text}", role.name);
    let count = text.lines().find_map(|line| {
        let (number, rest) = line.trim().split_once(' ')?;
        rest.starts_with("generated").then(|| number.parse().ok())?
    });
    count.unwrap_or_else(|| panic!("no count of requests in:\n{text}"))
}
