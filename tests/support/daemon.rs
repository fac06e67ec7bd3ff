//! The daemon as a process of its own, on free ports, with its log kept.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::{built, media, wait_for};

/// How long the daemon may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration in a folder of its own.
pub struct Config {
    folder: tempfile::TempDir,
    text: String,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// Free ports and no cameras.
    pub fn new() -> Self {
        let text = "[storage]\npath = \"data\"\n[api]\nlisten = \"127.0.0.1:0\"\n[rtsp]\nlisten = \"127.0.0.1:0\"\n";
        Self {
            folder: tempfile::tempdir().unwrap(),
            text: text.to_owned(),
        }
    }

    /// Adds a camera; `params` is the inside of a TOML inline table.
    #[must_use]
    pub fn camera(mut self, name: &str, uri: &str, pipeline: &str, params: &str) -> Self {
        write!(
            self.text,
            "[[camera]]\nname = {}\nuri = {}\npipeline = {}\nparams = {{ {params} }}\n",
            Value::from(name),
            Value::from(uri),
            Value::from(pipeline)
        )
        .unwrap();
        self
    }

    /// Replaces a part of the text.
    #[must_use]
    pub fn replace(mut self, from: &str, to: &str) -> Self {
        assert!(self.text.contains(from));
        self.text = self.text.replace(from, to);
        self
    }

    /// Writes the file and says where it is.
    pub fn write(&self) -> PathBuf {
        let path = self.folder.path().join("nvrd.toml");
        std::fs::write(&path, &self.text).unwrap();
        path
    }

    /// The folder of the file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The storage folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// A command line of the daemon's program.
pub fn nvrd() -> Command {
    let mut command = Command::new(built().join("nvrd"));
    command.env("GST_REGISTRY", built().join("gst-registry-nvrd.bin"));
    command.env_remove("GST_PLUGIN_PATH");
    if let Some(library) = media::onnx_runtime() {
        command.env("ORT_DYLIB_PATH", library);
    }
    command
}

/// A daemon that runs; it is killed when the value goes.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    /// `http://address/api/v1`
    pub api: String,
    /// `rtsp://address`
    pub rtsp: String,
    /// `http://address` of the AI adapter, where it listens.
    pub adapter: Option<String>,
}

impl Daemon {
    /// Starts the daemon and waits until it listens.
    pub fn start(config: &Config) -> Self {
        Self::start_with(config, &mut nvrd())
    }

    /// The same by a command line of one's own.
    pub fn start_with(config: &Config, command: &mut Command) -> Self {
        let mut child = command
            .args(["run", "--config"])
            .arg(config.write())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env("NVRD_LOG", "debug")
            .env("NO_COLOR", "1")
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap());
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut this = Self {
            child,
            log,
            api: String::new(),
            rtsp: String::new(),
            adapter: None,
        };
        let (api, rtsp) = wait_for("the daemon listens", PATIENCE, || {
            if let Some(status) = this.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}:\n{}", this.log());
            }
            let log = this.log();
            let line = log.lines().find(|line| line.contains("API http://"))?;
            let after = |start: &str, end: &str| {
                Some(line.split_once(start)?.1.split_once(end)?.0.to_owned())
            };
            Some((
                after("API http://", "/api")?,
                after("RTSP rtsp://", "/<camera>")?,
            ))
        });
        this.api = format!("http://{api}/api/v1");
        this.rtsp = format!("rtsp://{rtsp}");
        // Told before the API's, so that it is there by now.
        let log = this.log();
        let adapter = log.split_once("AI adapter http://");
        let adapter = adapter.and_then(|(_, rest)| rest.split_once("/infer"));
        this.adapter = adapter.map(|(address, _)| format!("http://{address}"));
        this
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Any request; the status and the body as JSON (null when it is none).
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .allow_non_standard_methods(true)
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api));
        let mut answer = match body {
            Some(body) => {
                let request = request
                    .header("content-type", "application/json")
                    .body(body.to_string())
                    .unwrap();
                agent.run(request).unwrap()
            }
            None => agent.run(request.body(()).unwrap()).unwrap(),
        };
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_vec()
            .unwrap();
        (
            answer.status().as_u16(),
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// A GET that must succeed.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, None);
        assert_eq!(status, 200, "GET {path}: {body}\n{}", self.log());
        body
    }

    /// A GET of bytes, with its content type.
    pub fn bytes(&self, path: &str) -> (u16, String, Vec<u8>) {
        let (status, headers, body) = self.answer(path);
        let kind = headers.get("content-type");
        let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
        (status, kind.unwrap_or_default(), body)
    }

    /// A GET of bytes, with all headers.
    pub fn answer(&self, path: &str) -> (u16, ureq::http::HeaderMap, Vec<u8>) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut answer = agent.get(format!("{}{path}", self.api)).call().unwrap();
        let headers = answer.headers().clone();
        let body = answer
            .body_mut()
            .with_config()
            .limit(256 << 20)
            .read_to_vec()
            .unwrap();
        (answer.status().as_u16(), headers, body)
    }

    /// The events of a camera that fit a query, oldest first.
    pub fn events(&self, query: &str) -> Vec<Value> {
        let mut items = self.get(&format!("/events?limit=500&{query}"))["items"]
            .as_array()
            .unwrap()
            .clone();
        items.reverse();
        items
    }

    /// All recordings of a camera: `items` and `gaps`.
    pub fn recordings(&self, camera: &str) -> Value {
        self.get(&format!(
            "/cameras/{camera}/recordings?start_unix=0&end_unix=4102444800&limit=500"
        ))
    }

    /// The closed segments of a camera, oldest first, however many.
    pub fn segments(&self, camera: &str) -> Vec<Value> {
        let mut found: Vec<Value> = Vec::new();
        let mut from = 0.0;
        loop {
            let part = self.get(&format!(
                "/cameras/{camera}/recordings?start_unix={from:.6}&end_unix=4102444800&limit=500"
            ));
            for item in part["items"].as_array().unwrap() {
                // What lies across the border comes twice.
                if !found.iter().any(|known| known["id"] == item["id"]) {
                    found.push(item.clone());
                }
            }
            match part["next_start_unix"].as_f64() {
                Some(next) => from = next,
                None => return found,
            }
        }
    }

    /// All coverage of a camera that anything is known of, within a month.
    pub fn coverage(&self, camera: &str) -> Value {
        let day = self.get(&format!("/cameras/{camera}/coverage"));
        let Some(last) = day["last_unix"].as_f64() else {
            return day;
        };
        let (start, end) = (last - 30.0 * 86_400.0, last + 86_400.0);
        self.get(&format!(
            "/cameras/{camera}/coverage?start_unix={start}&end_unix={end}"
        ))
    }

    /// Waits for a camera to be in a state.
    #[track_caller]
    pub fn wait_state(&self, camera: &str, state: &str, limit: Duration) {
        let mut last = Value::Null;
        let path = format!("/cameras/{camera}");
        let what = format!("camera {camera} is {state}");
        wait_for(&what, limit, || {
            last = self.get(&path);
            (last["status"]["state"] == state).then_some(())
        });
    }

    /// Waits for at least `count` closed segments.
    #[track_caller]
    pub fn wait_segments(&self, camera: &str, count: usize, limit: Duration) -> Vec<Value> {
        wait_for(&format!("{count} segments of {camera}"), limit, || {
            let segments = self.segments(camera);
            (segments.len() >= count).then_some(segments)
        })
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal, `HUP` say.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(id)
            .status();
        assert!(sent.unwrap().success());
    }

    /// Asks it to stop, and waits; fails when it takes longer than `limit`.
    #[track_caller]
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        let child = &mut self.child;
        wait_for("the daemon stops", limit, || child.try_wait().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the daemon's log:\n{}", self.log());
        }
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
