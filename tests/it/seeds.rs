//! The references of OpenNVR and ArgusAI as they are printed: every endpoint they name answers, every line they show runs.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Config, Daemon, nvrd};
use support::{media, printed, run_any, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

/// The documents: what is kept here of each, and the file it is in where the originals are at hand.
const DOCUMENTS: [(&str, &str); 2] = [
    ("opennvr.txt", "001_b8e1c29ec1e9f625.txt"),
    ("argusai.txt", "002_af715329475b1e24.txt"),
];

/// What stands in for models elsewhere, a chat and a controller: an HTTP server with fixed answers.
const STAND_IN: &str = r#"
import http.server, json, sys
class Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        seen = {"description": "A ball.", "objects_detected": ["ball"], "confidence": 80}
        chat = {"choices": [{"message": {"role": "assistant", "content": json.dumps(seen)}}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
        box = {"xmin": 1, "ymin": 2, "xmax": 11, "ymax": 22}
        models = [{"label": "ball", "score": 0.9, "box": box}]
        text = json.dumps(models if "/models/" in self.path else chat).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"#;

/// A daemon on the ports that the documents print, in a network of its own where that can be had.
struct Printed {
    daemon: Daemon,
    stand_in: std::process::Child,
    /// Whether the ports are those that are printed; else they are replaced in every line.
    own_network: bool,
    api: String,
    adapter: String,
    /// The port of what stands in for others.
    elsewhere: u16,
    _config: Config,
}

impl Drop for Printed {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.stand_in.kill());
        drop(self.stand_in.wait());
    }
}

/// Whether this user may have networks of their own.
fn networks_can_be_had() -> bool {
    let made = Command::new("unshare")
        .args(["-n", "ip", "link", "set", "lo", "up"])
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success())
}

/// The same command line in a network of its own.
fn in_own_network(command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    let script = "ip link set lo up && exec \"$0\" \"$@\"";
    inside.args(["-n", "sh", "-c", script]);
    inside.arg(command.get_program());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(key, value),
            None => inside.env_remove(key),
        };
    }
    inside
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Printed {
    fn start() -> Self {
        let own_network = networks_can_be_had();
        let elsewhere = if own_network { 9911 } else { free_port() };
        let mut adapter = format!(
            "[outbound]\nallow = [\"127.0.0.1\"]\n\
             [personality.ai_adapter.cloud]\nendpoint = \"http://127.0.0.1:{elsewhere}\"\n\
             [personality.ai_adapter]\n"
        );
        let text = |path: &PathBuf| Value::from(path.to_str().unwrap());
        if let Some(model) = media::yolox() {
            adapter += &format!("detector = {}\n", text(&model));
        }
        let faces = media::faces().map_or(String::new(), |[detector, embedder, _]| {
            let (detector, embedder) = (text(&detector), text(&embedder));
            format!("[faces]\ndetector = {detector}\nembedder = {embedder}\n")
        });
        let mut config = Config::new();
        if own_network {
            config = config.replace("listen = \"127.0.0.1:0\"\n", "");
        } else {
            println!("SKIP: no network of its own: the printed ports are replaced");
            adapter += "listen = \"127.0.0.1:0\"\n";
        }
        let config = config
            .replace("[rtsp]", &format!("{adapter}{faces}[rtsp]"))
            .camera(
                "camera-0",
                "test://ball",
                "record",
                "segment-duration = 2000000000",
            );
        let mut command = match own_network {
            true => in_own_network(&nvrd()),
            false => nvrd(),
        };
        let daemon = Daemon::start_with(&config, &mut command);
        let pid = own_network.then(|| daemon.pid());
        let stand_in = inside(pid, "python3")
            .args(["-c", STAND_IN, &elsewhere.to_string()])
            .spawn()
            .unwrap();
        let host = |address: &str| address.split('/').nth(2).unwrap().to_owned();
        Self {
            api: host(&daemon.api),
            adapter: host(daemon.adapter.as_ref().unwrap()),
            daemon,
            elsewhere,
            stand_in,
            own_network,
            _config: config,
        }
    }

    /// Runs a command line as it is printed; gives the status and the body.
    fn run(&self, line: &str) -> (u16, String) {
        let line = match self.own_network {
            true => line.to_owned(),
            false => line
                .replace("localhost:8000", &self.api)
                .replace("localhost:9100", &self.adapter),
        };
        let script = format!("{line} -s -w '\\n%{{http_code}}'");
        let pid = self.own_network.then(|| self.daemon.pid());
        let output = run_any(inside(pid, "sh").args(["-c", &script]), PATIENCE);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{line}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// Runs a command line that a document shows; `key` goes where it shows that one's own does.
    fn shows(&self, line: &str, key: &str) {
        let (status, answer) = self.run(&line.replace("argus_abc123...", key));
        let expected = match line.contains("person_counting") {
            true if media::yolox().is_none() => 503,
            _ if line.contains("faces/register") && media::faces().is_none() => 503,
            _ => 200,
        };
        assert_eq!(status, expected, "{line}\n{answer}");
    }

    fn ask(&self, method: &str, url: &str, body: Option<&Value>) -> (u16, Value) {
        let mut line = format!("curl -X {method} '{url}'");
        if let Some(body) = body {
            assert!(!body.to_string().contains('\''));
            line += &format!(" -H 'Content-Type: application/json' -d '{body}'");
        }
        let (status, body) = self.run(&line);
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        (status, body)
    }
}

/// A program in the network of a process.
fn inside(pid: Option<u32>, program: &str) -> Command {
    match pid {
        Some(pid) => {
            let mut command = Command::new("nsenter");
            command.args(["-t", &pid.to_string(), "-n", program]);
            command
        }
        None => Command::new(program),
    }
}

/// What is kept of a document: its endpoints and its command lines.
fn kept(name: &str) -> (Vec<String>, Vec<String>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("it/printed")
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(str::to_owned)
        .partition(|line| !line.starts_with("curl "))
}

#[test]
fn what_is_kept_of_the_documents_is_what_they_print() {
    let Some(shared) = media::shared() else {
        println!("SKIP: the documents are not at hand");
        return;
    };
    for (name, file) in DOCUMENTS {
        let text = std::fs::read_to_string(shared.join("seeds").join(file)).unwrap();
        let (endpoints, lines) = kept(name);
        assert_eq!(endpoints, printed::endpoints(&text), "{name}");
        assert_eq!(lines, printed::curls(&text), "{name}");
    }
}

/// A body for an endpoint that takes one.
fn body_of(endpoint: &str) -> Option<Value> {
    let camera = json!({"name": "second", "uri": "test://ball"});
    let controller = json!({
        "name": "gate house", "host": "127.0.0.1", "port": 1, "username": "u", "password": "p",
    });
    Some(match endpoint {
        "POST /cameras" => camera,
        "PUT /cameras/{id}" => json!({"uri": "test://ball", "enabled": true}),
        "POST /cameras/test" => json!({"uri": "test://ball"}),
        "POST /events/{id}/reanalyse" => json!({}),
        "POST /protect/controllers" => controller,
        "PUT /protect/controllers/{id}" => json!({"name": "gate"}),
        "POST /protect/controllers/test" => controller,
        "POST /ai/describe" => json!({"camera_id": "camera-0"}),
        "POST /ai/refine-prompt" => json!({"current_prompt": "Say what you see."}),
        "POST /api-keys" => json!({"name": "home", "scopes": ["read:events"]}),
        "PUT /system/settings" => json!({"retention": {"event_days": 30}}),
        "POST /infer" => json!({
            "task": "person_counting",
            "input": {"frame": {"uri": "opennvr://frames/camera_0/latest.jpg"}},
        }),
        _ => return None,
    })
}

/// An endpoint with its placeholders filled in.
fn filled(endpoint: &str, made: &BTreeMap<&str, String>) -> String {
    let (_, path) = endpoint.split_once(' ').unwrap();
    let of = |what: &str| made[what].as_str();
    let id = match path.split('/').nth(1).unwrap_or_default() {
        "cameras" => of("camera"),
        "events" => of("event"),
        "protect" => of("controller"),
        _ => made.get("key").map_or("", String::as_str),
    };
    path.replace("{id}", id)
        .replace("{camera_id}", "camera-0")
        .replace("{person_id}", "emp_001")
        .replace("<task_name>", "person_counting")
        .replace("start_unix=X", "start_unix=0")
        .replace("end_unix=Y", "end_unix=4102444800")
        .replace("camera_id=123", "camera_id=camera-0")
}

/// The statuses that an endpoint may answer with, where that is not 200.
fn fits(endpoint: &str, status: u16) -> bool {
    match endpoint {
        "POST /cameras" | "POST /protect/controllers" | "POST /api-keys" => status == 201,
        "DELETE /api-keys/{id}" | "DELETE /cameras/{id}" | "DELETE /events/{id}" => {
            status == 204 || status == 200
        }
        "DELETE /protect/controllers/{id}" => status == 204 || status == 200,
        // The controller is not there: it says so.
        "GET /protect/controllers/{id}/cameras" => status == 503,
        // Without models it says which one is missing.
        "POST /infer" if media::yolox().is_none() => status == 503,
        "GET /faces/list?category=watchlist" | "DELETE /faces/{person_id}"
            if media::faces().is_none() =>
        {
            status == 503
        }
        _ => status == 200,
    }
}

#[test]
fn every_endpoint_and_every_line_of_the_documents_works_as_printed() {
    let it = Printed::start();
    wait_for("the camera shows pictures", PATIENCE, || {
        let url = "http://localhost:8000/api/v1/cameras/camera-0/snapshot.jpg";
        let (status, _) = it.run(&format!("curl '{url}' -o /dev/null"));
        (status == 200).then_some(())
    });
    let core = "http://localhost:8000/api/v1";
    let recorded = wait_for("something is recorded", PATIENCE, || {
        let all = "recordings/camera-0?start_unix=0&end_unix=4102444800";
        let (_, chunks) = it.ask("GET", &format!("{core}/{all}"), None);
        chunks[0]["start"].as_str().map(str::to_owned)
    });
    let event = json!({
        "camera_id": "camera-0", "timestamp": recorded, "description": "A ball.", "confidence": 80,
        "objects_detected": ["person"],
    });
    let (status, event) = it.ask("POST", &format!("{core}/events"), Some(&event));
    assert_eq!(status, 201, "{event}");
    let chat = format!("http://127.0.0.1:{}/v1", it.elsewhere);
    let chat = json!({"name": "here", "base_url": chat, "model": "any"});
    let (status, answer) = it.ask("POST", &format!("{core}/ai/providers"), Some(&chat));
    assert_eq!(status, 201, "{answer}");
    let mut made = BTreeMap::from([
        ("camera", "camera-0".to_owned()),
        ("event", event["id"].as_str().unwrap().to_owned()),
        ("controller", String::new()),
    ]);

    // What `person.jpg` of the camera is.
    if let Some([.., photo]) = media::faces() {
        let url = "http://localhost:9100/frames/camera_0/person.jpg";
        let photo = photo.to_str().unwrap();
        let line =
            format!("curl -X POST '{url}' -H 'Content-Type: image/jpeg' --data-binary '@{photo}'");
        let (status, answer) = it.run(&line);
        assert_eq!(status, 201, "{answer}");
    }
    let mut secret = String::new();
    for (name, _) in DOCUMENTS {
        let (endpoints, lines) = kept(name);
        // What removes something comes last.
        let (removes, rest): (Vec<_>, Vec<_>) = endpoints
            .iter()
            .partition(|endpoint| endpoint.starts_with("DELETE "));
        let (makes, rest): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|endpoint| endpoint.starts_with("POST ") && !endpoint.contains('{'));
        let lines = lines.iter().map(|line| (false, line));
        let asked = makes.into_iter().chain(rest).map(|it| (true, it));
        let removed = removes.into_iter().map(|it| (true, it));
        for (is_endpoint, endpoint) in asked.chain(lines).chain(removed) {
            if !is_endpoint {
                it.shows(endpoint, &secret);
                continue;
            }
            let (method, path) = endpoint.split_once(' ').unwrap();
            let base = match name {
                "argusai.txt" => core,
                _ if path.starts_with("/api/") => "http://localhost:8000",
                _ => "http://localhost:9100",
            };
            let url = format!("{base}{}", filled(endpoint, &made));
            let body = body_of(endpoint);
            let (status, answer) = it.ask(method, &url, body.as_ref());
            assert!(fits(endpoint, status), "{endpoint}: {status} {answer}");
            // A controller comes in an envelope.
            let made_id = || {
                let id = answer["id"].as_str().or(answer["data"]["id"].as_str());
                id.unwrap_or_else(|| panic!("{endpoint}: {answer}"))
                    .to_owned()
            };
            match endpoint.as_str() {
                "POST /cameras" => made.insert("camera", made_id()),
                "POST /protect/controllers" => made.insert("controller", made_id()),
                "POST /api-keys" => {
                    secret = answer["key"].as_str().unwrap().to_owned();
                    made.insert("key", made_id())
                }
                _ => None,
            };
        }
    }
}
