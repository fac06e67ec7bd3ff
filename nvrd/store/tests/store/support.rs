//! A store of its own, in a folder or on a server, and rows to put into it.

use std::path::Path;
use std::sync::Arc;

use nvr_base::SimulatedClock;
use nvr_store::{
    Change, EventChange, EventRow, EventState, NewCamera, Place, SegmentRow, Server, Store,
};

use crate::postgres::{self, Database};

/// The same tests are two programs, which differ by their name alone: `store` uses SQLite, `store_postgres` a server.
pub(crate) const ON_SERVER: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"store_postgres");

/// 2026-01-01 00:00 UTC.
pub(crate) const NOW_US: i64 = 1_767_225_600_000_000;

/// One second.
pub(crate) const SECOND_US: i64 = 1_000_000;

/// PostgreSQL stores no text with a NUL; that it says so is looked at elsewhere.
const NUL: &str = if ON_SERVER { "a\u{1}b" } else { "a\0b" };

/// Texts that trip what takes data for syntax.
pub(crate) const EVIL: [&str; 12] = [
    "'",
    "\"; DROP TABLE events; --",
    NUL,
    "%",
    "_",
    "\\",
    "\\%",
    "*?[a]",
    "🚗\u{202e}👪",
    "é\r\n\t",
    "NULL",
    "',\"['",
];

/// A store whose database goes when it is dropped.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) clock: Arc<SimulatedClock>,
    home: Home,
}

enum Home {
    Folder(tempfile::TempDir),
    Server {
        database: Database,
        /// What a kill left of it, for as long as somebody may look at that.
        copies: std::sync::Mutex<Vec<Database>>,
    },
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(SimulatedClock::at(NOW_US));
        let database = match ON_SERVER {
            true => Database::prepared(|url| drop(at(url, &clock))),
            false => None,
        };
        if let Some(database) = database {
            return Self {
                store: at(&database.url(), &clock),
                clock,
                home: Home::Server {
                    database,
                    copies: std::sync::Mutex::default(),
                },
            };
        }
        if ON_SERVER {
            postgres::skip("this runs on SQLite");
        }
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(&folder.path().join("nvrd.db"), clock.clone()).unwrap(),
            clock,
            home: Home::Folder(folder),
        }
    }

    /// The database as a start finds it after the program was killed now: as it is, nothing closed.
    pub(crate) fn after_kill(&self) -> Store {
        match &self.home {
            Home::Folder(home) => {
                let folder = home.path().join("killed");
                std::fs::create_dir_all(&folder).unwrap();
                let copy = |name: &str| {
                    let from = home.path().join(name);
                    std::fs::copy(from, folder.join(name)).unwrap();
                };
                copy("nvrd.db");
                copy("nvrd.db-wal");
                self.open(&folder)
            }
            Home::Server { database, copies } => {
                let copy = database.copy();
                let store = at(&copy.url(), &self.clock);
                copies.lock().unwrap().push(copy);
                store
            }
        }
    }

    /// The folder of the database; none where it is on a server.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.home {
            Home::Folder(folder) => Some(folder.path()),
            Home::Server { .. } => None,
        }
    }

    fn open(&self, folder: &Path) -> Store {
        Store::open(&folder.join("nvrd.db"), self.clock.clone()).unwrap()
    }
}

/// The store in a database of a server.
pub(crate) fn at(url: &str, clock: &Arc<SimulatedClock>) -> Store {
    let place = Place::Server(Server::new(url, None).unwrap());
    Store::open_at(&place, clock.clone()).unwrap()
}

pub(crate) fn camera(name: &str) -> NewCamera {
    NewCamera {
        title: None,
        name: name.to_owned(),
        uri: "rtsp://10.0.0.5/stream1".to_owned(),
        sub_uri: Some("rtsp://10.0.0.5/stream2".to_owned()),
        pipeline: "detect".to_owned(),
        params_json: r#"{"threshold":0.4}"#.to_owned(),
        enabled: true,
        user: Some("admin".to_owned()),
        password: Some("s3cret".to_owned()),
    }
}

/// An event that began `second` seconds after [`NOW_US`] and is five seconds old.
pub(crate) fn event(id: &str, second: i64) -> EventRow {
    let start_us = NOW_US + second * SECOND_US;
    EventRow {
        id: id.to_owned(),
        camera: "front".to_owned(),
        kind: "object".to_owned(),
        label: Some("person".to_owned()),
        state: EventState::Open,
        start_us,
        end_us: Some(start_us + 5 * SECOND_US),
        start_ns: 1_000_000_000,
        end_ns: Some(6_000_000_000),
        score: Some(0.875),
        bbox: Some([0.1, 0.2, 0.3, 0.4]),
        zones: vec!["door".to_owned(), "garden".to_owned()],
        track_id: Some(7),
        identity: None,
        similarity: None,
        frames: 25,
        model: Some("cafe".to_owned()),
        pipeline: Some("babe".to_owned()),
        interrupted: false,
    }
}

pub(crate) fn step(change: Change, event: EventRow) -> EventChange {
    EventChange { change, event }
}

/// The `number`th segment of ten seconds after [`NOW_US`].
pub(crate) fn segment(camera: &str, number: i64) -> SegmentRow {
    let start_us = NOW_US + number * 10 * SECOND_US;
    SegmentRow {
        id: format!("{camera}-{number:08}"),
        camera: camera.to_owned(),
        path: format!("{camera}/{number:08}.mp4"),
        start_us,
        end_us: start_us + 10 * SECOND_US,
        frames: 250,
        bytes: 5_000_000,
        codec: "h264".to_owned(),
        width: 1920,
        height: 1080,
        blake3: Some("0123456789abcdef".repeat(4)),
        discont: number == 0,
        keyframes: (0..5).map(|k| (k * 2_000_000_000, k * 1_000_000)).collect(),
        storage: String::new(),
        protected: false,
        audio: None,
    }
}
