//! `nvrd health`: asks the running daemon how it is, for people, containers and monitors.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nvr_base::{Error, Result};
use serde_json::Value;

use super::{say, say_json};
use crate::config::Config;

/// Longest answer.
const MAX_BYTES: usize = 4 << 20;

/// What `nvrd health` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct HealthArguments {
    /// The configuration file, which says where the daemon listens.
    #[arg(
        long,
        value_name = "FILE",
        env = "NVRD_CONFIG",
        required_unless_present = "url"
    )]
    config: Option<PathBuf>,
    /// Where the daemon listens, instead of what the configuration says: `http://127.0.0.1:8000`.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Be content with a daemon that answers, whatever it says: a restart does not mend a camera.
    #[arg(long)]
    alive: bool,
    /// How long to wait for the answer, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
    /// Print the daemon's answer as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Asks: 0 when all is well (with `--alive`: when it answers), 1 when not. No other status, for containers know none.
pub(crate) fn health(arguments: &HealthArguments) -> ExitCode {
    let asked = ask(arguments);
    match tell(arguments, asked, &mut std::io::stdout()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn tell(arguments: &HealthArguments, asked: Result<Value>, out: &mut dyn Write) -> bool {
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => {
            if arguments.json {
                let failed =
                    serde_json::json!({"status": "unreachable", "detail": error.to_string()});
                drop(say_json(out, &failed));
            } else {
                say(&mut std::io::stderr(), &format!("nvrd: {error}"));
            }
            return false;
        }
    };
    if arguments.json {
        drop(say_json(out, &answer));
    } else {
        for line in lines(&answer) {
            say(out, &line);
        }
    }
    arguments.alive || answer["status"] == "ok"
}

/// What people want to read of an answer.
fn lines(answer: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut lines = vec![format!(
        "{}: nvrd {}, up {} s",
        text(&answer["status"]),
        text(&answer["version"]),
        answer["uptime_s"]
    )];
    let cameras = answer["recording"].as_array().into_iter().flatten();
    let failing = cameras.filter(|camera| !camera["failure"].is_null());
    lines.extend(failing.map(|camera| {
        format!(
            "camera {}: {}: {}",
            text(&camera["camera"]),
            text(&camera["failure"]),
            text(&camera["detail"])
        )
    }));
    for part in ["database", "storage"] {
        let problems = answer[part]["problems"].as_array().into_iter().flatten();
        lines.extend(problems.map(|problem| format!("{part}: {}", text(problem))));
    }
    if lines.len() == 1 && answer["status"] != "ok" {
        lines.push(
            "what is not well is told to those who log in: GET /api/v1/system/health".to_owned(),
        );
    }
    lines
}

fn ask(arguments: &HealthArguments) -> Result<Value> {
    let base = match (&arguments.url, &arguments.config) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, Some(config)) => address(&Config::load(config)?)?,
        (None, None) => return Err(Error::invalid("give --config FILE or --url URL")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal(format!("no runtime: {error}")))?;
    runtime.block_on(fetch(&base, Duration::from_secs(arguments.timeout)))
}

/// Where the daemon of a configuration is asked from this machine.
fn address(config: &Config) -> Result<String> {
    let mut listen = config.api.listen;
    if listen.port() == 0 {
        return Err(Error::precondition(
            "api.listen: the daemon takes a free port: give --url with the one that its log names",
        ));
    }
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let scheme = if config.api.tls { "https" } else { "http" };
    Ok(format!("{scheme}://{listen}"))
}

async fn fetch(base: &str, patience: Duration) -> Result<Value> {
    let url = format!("{base}/api/v1/system/health");
    let fail = |error: &dyn std::fmt::Display| {
        Error::unavailable(format!("{url}: the daemon does not answer: {error}"))
    };
    crate::outbound::use_ring();
    let client = reqwest::Client::builder()
        .user_agent(concat!("nvrd/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Nothing secret is sent, and the certificate may be one that the daemon made itself.
        .tls_danger_accept_invalid_certs(true)
        .timeout(patience)
        .build()
        .map_err(|error| fail(&causes(&error)))?;
    let mut answer = client
        .get(&url)
        .send()
        .await
        .map_err(|error| fail(&causes(&error)))?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|error| fail(&causes(&error)))?
    {
        body.extend_from_slice(&piece);
        if body.len() > MAX_BYTES {
            return Err(fail(&"its answer is too long"));
        }
    }
    if !status.is_success() {
        return Err(fail(&format!("status {status}")));
    }
    let answer: Value =
        serde_json::from_slice(&body).map_err(|_| fail(&"its answer is no JSON"))?;
    match answer["status"].is_string() {
        true => Ok(answer),
        false => Err(fail(&"it is another program")),
    }
}

/// An error with what caused it, which reqwest's own text leaves out.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn arguments(alive: bool, json: bool) -> HealthArguments {
        HealthArguments {
            config: None,
            url: None,
            alive,
            timeout: 1,
            json,
        }
    }

    #[test]
    fn the_address_is_that_of_the_configuration() {
        let check = |api: &str, expect: Result<&str, &str>| {
            let text = format!("[storage]\npath = \"d\"\n[tls]\nself_signed = true\n[api]\n{api}");
            let config = Config::parse(&text, Path::new("/")).unwrap();
            let got = address(&config).map_err(|error| error.to_string());
            match expect {
                Ok(url) => assert_eq!(got.as_deref(), Ok(url)),
                Err(says) => assert!(got.unwrap_err().contains(says)),
            }
        };
        check("", Ok("http://127.0.0.1:8000"));
        check("tls = true\nlisten = \"[::1]:9\"", Ok("https://[::1]:9"));
        check("listen = \"127.0.0.1:0\"", Err("give --url"));
    }

    #[test]
    fn the_status_says_whether_all_is_well() {
        let check = |alive: bool, asked: Result<Value>, expect: bool, says: &str| {
            let mut out = Vec::new();
            assert_eq!(tell(&arguments(alive, false), asked, &mut out), expect);
            let out = String::from_utf8(out).unwrap();
            assert!(out.contains(says), "{out}");
        };
        let answer = |status: &str| json!({"status": status, "version": "1", "uptime_s": 5});
        check(false, Ok(answer("ok")), true, "ok: nvrd 1, up 5 s");
        check(false, Ok(answer("degraded")), false, "to those who log in");
        check(true, Ok(answer("degraded")), true, "degraded");
        check(true, Err(Error::unavailable("x")), false, "");
        let mut failing = answer("degraded");
        failing["recording"] =
            json!([{"camera": "front", "failure": "disk_full", "detail": "no room"}]);
        check(
            false,
            Ok(failing),
            false,
            "camera front: disk_full: no room",
        );
        let mut out = Vec::new();
        tell(
            &arguments(false, true),
            Err(Error::unavailable("x")),
            &mut out,
        );
        let told: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(told["status"], "unreachable");
    }

    #[test]
    fn nobody_there_is_a_sentence() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", port.local_addr().unwrap());
        drop(port);
        let asked = ask(&HealthArguments {
            url: Some(url),
            ..arguments(false, false)
        });
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("the daemon does not answer: "), "{error}");
    }
}
