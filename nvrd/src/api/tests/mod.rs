//! The API asked as clients ask it, over real parts in a folder of its own.

mod ai;
mod cameras;
mod coverage;
mod document;
mod events;
mod evidence;
mod exports;
mod files;
mod hostile;
mod live;
mod notifications;
mod posted;
mod matrix;
mod metrics;
mod people;
mod canary;
mod protect;
mod refusals;
mod logs;
mod served;
mod settings;
mod storage;
mod stills;
mod system;
mod timelapses;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use nvr_base::{Clock, SimulatedClock};
use nvr_media::description::Descriptions;
use nvr_media::restream::Restream;
use nvr_media::tap::Taps;
use nvr_media::{Notice, Supervisor};
use nvr_store::{Change, EventChange, EventRow, EventState, SegmentRow, Store};
use serde_json::Value;
use warp::http::Response;

use super::{ApiContext, routes};
use crate::alarms::Alarms;
use crate::auth::{self, Auth};
use crate::cameras::{Cameras, Parts};
use crate::config::{Config, OutboundConfig};
use crate::evidence::Evidence;
use crate::exports::{Exports, Parts as ExportParts};
use crate::outbound::Outbound;
use crate::retention::{self, Policy, Retention};
use crate::settings::{self as door, Settings};
use crate::storage::Storage;
use crate::vault::Vault;

/// 2026-01-01 00:00 UTC.
const NOW_US: i64 = 1_767_225_600_000_000;
const SECOND_US: i64 = 1_000_000;

/// The configuration file of every world.
const FILE: &str = r#"
[storage]
path = "."

[[camera]]
name = "gate"
uri = "rtsp://admin:file-secret@10.0.0.9/main"
pipeline = "record"
enabled = false
"#;

/// The API over real parts; no camera runs, for none is enabled.
pub(crate) struct World {
    pub(crate) context: Arc<ApiContext>,
    clock: Arc<SimulatedClock>,
    folder: tempfile::TempDir,
    _notices: Receiver<Notice>,
}

impl World {
    /// With one camera, `gate`, in the configuration file.
    pub(crate) fn new() -> Self {
        crate::plugins::register().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::at(NOW_US));
        let storage = Arc::new(Storage::open(folder.path()).unwrap());
        let store = Store::open(&storage.database(), clock.clone()).unwrap();
        let taps = Taps::default();
        let (sender, notices) = sync_channel(4096);
        let clock_of_all: Arc<dyn Clock> = clock.clone();
        let file = folder.path().join("nvrd.toml");
        std::fs::write(&file, FILE).unwrap();
        let config = Config::load(&file).unwrap();
        let cameras = Cameras::new(Parts {
            descriptions: Descriptions::load(None).unwrap(),
            file: config.cameras.clone(),
            config_folder: folder.path().to_owned(),
            storage: storage.clone(),
            store: store.clone(),
            vault: Arc::new(Vault::open_in(&storage.keys()).unwrap()),
            clock: clock_of_all.clone(),
            supervisor: Supervisor::new(clock_of_all.clone(), sender, taps.clone()),
            restream: Restream::start(([127, 0, 0, 1], 0).into(), taps.clone()).unwrap(),
            taps,
        });
        let cameras = Arc::new(cameras.unwrap().with_outbound(guard()));
        cameras.start().unwrap();
        await_rtsp(cameras.rtsp_address());
        storage.identify(&store).unwrap();
        let alarms = Alarms::new(
            store.clone(),
            clock_of_all.clone(),
            tokio::sync::broadcast::channel(16).0,
        );
        let retention = Retention::new(retention::Parts {
            storage: storage.clone(),
            store: store.clone(),
            clock: clock_of_all.clone(),
            policy: Policy::default(),
            deletions: None,
            alarms: Arc::new(alarms),
        });
        let retention = Arc::new(retention.unwrap());
        let evidence = Evidence::open(&storage.evidence(), clock_of_all.clone()).unwrap();
        let exports = Exports::new(ExportParts {
            store: store.clone(),
            storage: storage.clone(),
            evidence: None,
            clock: clock_of_all.clone(),
            config: Default::default(),
        });
        let settings = Settings::new(door::Parts {
            config,
            store: store.clone(),
            cameras: cameras.clone(),
            retention: retention.clone(),
            exports: exports.clone(),
            log_is_fixed: false,
        });
        let auth = auth_of(&store, &cameras, &clock_of_all, &storage);
        let context = ApiContext::new(
            cameras,
            store,
            storage,
            retention,
            exports,
            auth,
            clock_of_all,
        )
        .with_evidence(Arc::new(evidence))
        .with_settings(Arc::new(settings.unwrap()));
        Self {
            context: Arc::new(context),
            clock,
            folder,
            _notices: notices,
        }
    }

    /// Asks without a body.
    async fn ask(&self, method: &str, path: &str) -> Answer {
        let request = warp::test::request().method(method).path(path);
        Answer::of(request.reply(&routes(self.context.clone())).await)
    }

    /// Asks with a JSON body.
    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = warp::test::request().method(method).path(path).json(body);
        Answer::of(request.reply(&routes(self.context.clone())).await)
    }

    /// Asks for something that is there, and gives its JSON.
    async fn json(&self, path: &str) -> Value {
        let answer = self.ask("GET", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Stores an event that began `second` seconds after [`NOW_US`] and took five.
    fn add_event(&self, second: i64, change: impl FnOnce(&mut EventRow)) -> String {
        let start_us = NOW_US + second * SECOND_US;
        let mut event = EventRow {
            id: self.context.store.new_id(),
            camera: "front".to_owned(),
            kind: "object".to_owned(),
            label: Some("person".to_owned()),
            state: EventState::Closed,
            start_us,
            end_us: Some(start_us + 5 * SECOND_US),
            start_ns: 1_000_000_000,
            end_ns: Some(6_000_000_000),
            score: Some(0.876_543_21),
            bbox: Some([0.1, 0.2, 0.3, 0.4]),
            zones: vec!["drive".to_owned()],
            track_id: Some(7),
            identity: None,
            similarity: None,
            frames: 50,
            model: Some("m".to_owned()),
            pipeline: Some("p".to_owned()),
            interrupted: false,
        };
        change(&mut event);
        let id = event.id.clone();
        let step = match event.state {
            EventState::Open => Change::Opened,
            EventState::Closed => Change::Closed,
        };
        self.context
            .store
            .apply_event(&EventChange {
                change: step,
                event,
            })
            .unwrap();
        id
    }

    /// Stores a segment of `front` that began `second` seconds after [`NOW_US`] and took ten, with its file.
    fn add_segment(&self, second: i64, bytes: &[u8], blake3: Option<&str>) -> String {
        self.add_segment_of("front", second, bytes, blake3)
    }

    /// The same of another camera.
    fn add_segment_of(
        &self,
        camera: &str,
        second: i64,
        bytes: &[u8],
        blake3: Option<&str>,
    ) -> String {
        let id = self.context.store.new_id();
        let path = format!("{camera}/{second}.mp4");
        let file = self.context.storage.recordings().join(&path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
        let start_us = NOW_US + second * SECOND_US;
        let segment = SegmentRow {
            id: id.clone(),
            camera: camera.to_owned(),
            path,
            start_us,
            end_us: start_us + 10 * SECOND_US,
            frames: 250,
            bytes: bytes.len() as u64,
            codec: "h264".to_owned(),
            width: 1920,
            height: 1080,
            blake3: blake3.map(str::to_owned),
            discont: false,
            keyframes: vec![(0, 0)],
            storage: self.context.storage.first().id().unwrap().to_owned(),
            protected: false,
            audio: None,
        };
        assert!(self.context.store.insert_segment(&segment).unwrap());
        id
    }
}

/// Who asks, where only this machine does.
fn auth_of(
    store: &Store,
    cameras: &Cameras,
    clock: &Arc<dyn Clock>,
    storage: &Storage,
) -> Arc<Auth> {
    let auth = Auth::open(auth::Parts {
        store: store.clone(),
        vault: cameras.vault().clone(),
        clock: clock.clone(),
        keys: &storage.keys(),
        open_at_first: true,
        trusted_proxies: Vec::new(),
    });
    Arc::new(auth.unwrap())
}

/// Small servers of the tests are on this machine; the rest of it stays refused.
fn guard() -> Arc<Outbound> {
    let config = OutboundConfig {
        allow: vec!["127.0.0.1".parse().unwrap()],
        ca_file: None,
    };
    Arc::new(Outbound::new(&config).unwrap())
}

/// Waits until the RTSP server answers: its thread has to be in its loop before it can be told to leave it.
fn await_rtsp(address: std::net::SocketAddr) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(10)))
        .unwrap();
    stream
        .write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        .unwrap();
    let mut first = [0; 8];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"RTSP/1.0");
}

impl Drop for World {
    fn drop(&mut self) {
        self.context.cameras.stop();
    }
}

/// What came back.
struct Answer {
    status: u16,
    response: Response<Bytes>,
}

impl Answer {
    fn of(response: Response<Bytes>) -> Self {
        Self {
            status: response.status().as_u16(),
            response,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.response.body()).into_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(self.response.body()).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    }

    /// Sees that it is a failure in the one shape, and that its sentence holds `detail`.
    #[track_caller]
    fn assert_refused(&self, status: u16, detail: &str) {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert_eq!(body["status_code"], status, "{body}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
        assert!(body["detail"].as_str().unwrap().contains(detail), "{body}");
    }
}
