//! What the configuration asks for: its file, pipelines and models, listeners, and on demand its cameras.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nvr_base::RealClock;
use nvr_contract::source::StreamRole;
use nvr_media::ParamValue;
use nvr_media::probe::{self, Probe, Stream};
use nvr_onnx::session::{SessionOptions, SharedSession};

use super::{Findings, sentence};
use crate::app;
use crate::config::Config;

/// How long a camera may take for its first picture, and how long it is measured then.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(8), Duration::from_secs(6));
/// With more seconds between two key frames, seeking and the start of a view take long.
const MOST_KEY_FRAME_S: f64 = 4.0;

/// Who may read the file, where it holds passwords.
pub(super) fn file(path: &Path, config: &Config, findings: &mut Findings) {
    let secrets = config.cameras.iter().any(|camera| {
        let in_uri = |uri: &str| url::Url::parse(uri).is_ok_and(|url| url.password().is_some());
        camera.password.is_some() || in_uri(&camera.uri)
    });
    let open = std::fs::metadata(path).is_ok_and(|found| found.mode() & 0o007 != 0);
    match secrets && open {
        true => findings.warning(
            "configuration",
            format!(
                "{}: everybody may read it, and passwords stand in it",
                path.display()
            ),
            "chmod 640 it, or move them to a password_file",
        ),
        false => findings.ok(
            "configuration",
            format!(
                "{}: {} cameras, no problems",
                path.display(),
                config.cameras.len()
            ),
        ),
    }
}

/// That every pipeline can be built, and every model loaded.
pub(super) fn pipelines(config: &Config, folder: &Path, findings: &mut Findings) {
    let specs = match app::specs(config, folder) {
        Ok(specs) => specs,
        Err(error) => {
            for line in error.to_string().lines() {
                findings.problem(
                    "pipelines",
                    line,
                    "put the configuration right, or bring what is missing",
                );
            }
            return;
        }
    };
    let mut models = Vec::new();
    for spec in &specs {
        let knobs = spec.pipelines[0].params.iter();
        for (key, _) in knobs.filter(|(_, knob)| knob.path) {
            if let Some(ParamValue::Text(path)) = spec.params.get(key)
                && path.ends_with(".onnx")
            {
                models.push(path.clone());
            }
        }
    }
    let adapter = config.personality.listening_adapter();
    let of_adapter = adapter.into_iter().flat_map(|it| [&it.detector, &it.faces]);
    models.extend(of_adapter.flatten().map(|path| path.display().to_string()));
    models.sort_unstable();
    models.dedup();
    for model in &models {
        let opened = SharedSession::open(Path::new(model), &SessionOptions::default(), "");
        match opened {
            Ok(_) => findings.ok("model", format!("{model}: ONNX Runtime loads it")),
            Err(error) => findings.problem(
                "model",
                error.to_string(),
                "bring ONNX Runtime (scripts/setup, or ORT_DYLIB_PATH) and the model; cameras run on their fallback \
                 without it",
            ),
        }
    }
    findings.ok(
        "pipelines",
        format!("those of {} cameras can be built", specs.len()),
    );
}

/// That the addresses can be had, unless the daemon has them.
pub(super) fn listeners(config: &Config, running: bool, findings: &mut Findings) {
    if running {
        findings.ok("listeners", "the daemon runs and has them");
        return;
    }
    let adapter = config.personality.listening_adapter();
    let all: [(&str, Option<SocketAddr>); 4] = [
        ("api.listen", Some(config.api.listen)),
        ("rtsp.listen", Some(config.rtsp.listen)),
        ("rtsp.tls_listen", config.rtsp.tls_listen),
        ("personality.ai_adapter.listen", adapter.map(|it| it.listen)),
    ];
    let mut free = Vec::new();
    for (key, address) in all {
        let Some(address) = address else { continue };
        match TcpListener::bind(address) {
            Ok(_) => free.push(address.to_string()),
            Err(error) => findings.problem(
                key,
                format!("{address}: {error}"),
                "stop what listens there (ss -ltnp shows it), or choose another address",
            ),
        }
    }
    if !free.is_empty() {
        findings.ok("listeners", format!("{} can be had", free.join(", ")));
    }
}

/// Connects to every camera that is enabled.
pub(super) fn cameras(config: &Config, folder: &Path, findings: &mut Findings) {
    let clock = RealClock::new();
    // What is wrong with the configuration was said before.
    let Ok(specs) = app::specs(config, folder) else {
        return;
    };
    for spec in specs.iter().filter(|spec| spec.enabled) {
        let subject = format!("camera {}", spec.name);
        for role in [StreamRole::Main, StreamRole::Sub] {
            let Some(stream) = Stream::of(spec, role) else {
                continue;
            };
            match probe::probe(&clock, &stream, PATIENCE.0, PATIENCE.1) {
                Ok(found) => stream_of(&subject, role, &found, findings),
                Err(error) => findings.problem(
                    &subject,
                    format!("{}: {}", role.as_str(), sentence(&error)),
                    "see that it is on, its address and its password; `nvrd probe URI` tries again",
                ),
            }
        }
    }
}

fn stream_of(subject: &str, role: StreamRole, found: &Probe, findings: &mut Findings) {
    let what = format!(
        "{}: {} {}x{}, {:.1} pictures a second",
        role.as_str(),
        found.codec,
        found.width,
        found.height,
        found.fps.or(found.declared_fps).unwrap_or_default()
    );
    match found.keyframe_interval_s {
        Some(seconds) if seconds > MOST_KEY_FRAME_S => findings.warning(
            subject,
            format!("{what}, a key frame every {seconds:.1} s"),
            "set the interval of key frames (GOP, I-frame interval) in the camera to 1 to 2 s",
        ),
        // Only one came while it was measured.
        None => findings.warning(
            subject,
            format!("{what}, and no second key frame within {} s", PATIENCE.1.as_secs()),
            "set the interval of key frames (GOP, I-frame interval) in the camera to 1 to 2 s, and switch off \
             `smart` codecs such as H.264+",
        ),
        Some(seconds) => findings.ok(subject, format!("{what}, a key frame every {seconds:.1} s")),
    }
}
