//! The ingest over a real store: what cameras say becomes rows.

use std::path::Path;
use std::sync::mpsc::channel;

use nvr_base::{Principal, RealClock, SimulatedClock};
use nvr_contract::event::{self, Event};
use nvr_contract::segment::{FragmentWritten, Gap, GapReason, SegmentClosed, SegmentOpened};
use nvr_media::{CameraState, CameraStatus, What};
use nvr_store::{EventFilter, EventState, PRECEDENCE, PageRequest, Stretch};

use super::*;

const S: i64 = 1_000_000;

fn event(change: event::Change, frames: u64) -> What {
    What::Event(Event {
        change,
        id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        kind: event::Kind::Motion,
        label: None,
        start_ns: 0,
        end_ns: (change != event::Change::Opened).then_some(2_000_000_000),
        start_unix_us: Some(10 * S),
        end_unix_us: (change != event::Change::Opened).then_some(12 * S),
        score: Some(0.5),
        bbox: None,
        zones: Vec::new(),
        track_id: None,
        identity: None,
        similarity: None,
        frames,
        model: None,
        pipeline: None,
    })
}

fn gap(reason: GapReason, start: i64) -> What {
    What::Gap(Gap {
        start_unix_us: start,
        end_unix_us: None,
        reason,
        detail: Some("why".to_owned()),
    })
}

fn closed(location: String) -> What {
    What::SegmentClosed(SegmentClosed {
        location,
        start_ns: 0,
        end_ns: 5_000_000_000,
        start_unix_us: 20 * S,
        end_unix_us: 25 * S,
        frames: 50,
        bytes: 1000,
        codec: "h264".to_owned(),
        width: 640,
        height: 360,
        keyframes: Vec::new(),
        blake3: String::new(),
        discont: false,
        audio: None,
    })
}

#[test]
fn notices_become_rows_and_only_what_is_committed_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(Storage::open(folder.path()).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::at(0));
    let store = Store::open(&storage.database(), Arc::clone(&clock)).unwrap();
    let (committed, mut published) = broadcast::channel(16);
    let (notices, inbox) = channel();
    let location = |name: &str| {
        let path = storage.recordings().join("cam/2024-01-01").join(name);
        path.display().to_string()
    };
    let opened = SegmentOpened {
        location: location("b.mp4"),
        start_ns: 0,
        start_unix_us: 9 * S,
    };
    for what in [
        gap(GapReason::DiskFull, 5 * S),
        gap(GapReason::DiskFull, 6 * S),
        What::SegmentOpened(opened),
        event(event::Change::Opened, 1),
        event(event::Change::Updated, 5),
        event(event::Change::Closed, 9),
        closed(location("a.mp4")),
        closed("/elsewhere/a.mp4".to_owned()),
    ] {
        let camera = "cam".parse().unwrap();
        notices.send(Notice { camera, what }).unwrap();
    }
    drop(notices);
    let ingest = Ingest::new(
        store.clone(),
        Arc::clone(&storage),
        clock,
        committed,
        Shutdown::new(),
    );
    ingest.run(&inbox);

    let page = PageRequest { page: 1, limit: 10 };
    let events = store
        .events(Principal::system(), &EventFilter::default(), page)
        .unwrap()
        .items;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].state, events[0].end_us, events[0].frames),
        (EventState::Closed, Some(12 * S), 9)
    );
    let segments = store
        .segments(Principal::system(), "cam", 0, 100 * S, 10)
        .unwrap();
    let paths: Vec<&str> = segments.iter().map(|row| row.path.as_str()).collect();
    assert_eq!(
        paths,
        ["cam/2024-01-01/a.mp4"],
        "what lies elsewhere is not listed"
    );
    let gaps = store
        .gaps(Principal::system(), "cam", 0, 100 * S, 10)
        .unwrap();
    let spans: Vec<_> = gaps.iter().map(|gap| (gap.start_us, gap.end_us)).collect();
    assert_eq!(
        spans,
        [(5 * S, Some(9 * S))],
        "a file that is begun ends a gap"
    );
    let told: Vec<event::Change> = std::iter::from_fn(|| published.try_recv().ok())
        .map(|told| told.event.change)
        .collect();
    let all = [
        event::Change::Opened,
        event::Change::Updated,
        event::Change::Closed,
    ];
    assert_eq!(told, all);
}

/// A store and what goes with it, in a folder of its own.
struct World {
    storage: Arc<Storage>,
    store: Store,
    clock: Arc<dyn Clock>,
    live: Arc<Live>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(Storage::open(folder.path()).unwrap());
        let store = Store::open(&storage.database(), Arc::clone(&clock)).unwrap();
        Self {
            storage,
            store,
            clock,
            live: Arc::default(),
            _folder: folder,
        }
    }

    fn ingest(&self) -> Ingest {
        let (committed, _) = broadcast::channel(16);
        Ingest::new(
            self.store.clone(),
            Arc::clone(&self.storage),
            Arc::clone(&self.clock),
            committed,
            Shutdown::new(),
        )
        .with_live(Arc::clone(&self.live))
    }

    fn listener(&self, backlog: &Arc<Backlog>) -> Listener {
        Listener {
            store: self.store.clone(),
            storage: Arc::clone(&self.storage),
            clock: Arc::clone(&self.clock),
            live: Arc::clone(&self.live),
            hub: None,
            faces: None,
            backlog: Arc::clone(backlog),
            told: BTreeMap::new(),
            pulse: None,
        }
    }

    fn writer(&self) -> Writer {
        let (committed, _) = broadcast::channel(16);
        Writer {
            store: self.store.clone(),
            storage: Arc::clone(&self.storage),
            clock: Arc::clone(&self.clock),
            committed,
            stopping: Shutdown::new(),
            evidence: None,
            live: Arc::clone(&self.live),
            run: None,
            pulse: None,
        }
    }

    /// Says these, waits until they are written.
    fn say(&self, notices: impl IntoIterator<Item = What>) {
        let (sender, inbox) = channel();
        for what in notices {
            sender.send(notice(what)).unwrap();
        }
        drop(sender);
        self.ingest().run(&inbox);
    }

    fn rows(&self) -> Vec<(i64, Option<i64>, String)> {
        let gaps = self
            .store
            .gaps(Principal::system(), "cam", i64::MIN, i64::MAX, 100)
            .unwrap();
        gaps.into_iter()
            .map(|gap| (gap.start_us / S, gap.end_us.map(|end| end / S), gap.reason))
            .collect()
    }
}

fn notice(what: What) -> Notice {
    Notice {
        camera: "cam".parse().unwrap(),
        what,
    }
}

fn state(state: CameraState, since: i64) -> What {
    What::State(CameraStatus {
        state,
        since_unix_us: since * S,
        detail: None,
        loss: None,
        pipeline: "record".to_owned(),
        recording: false,
        codec: None,
        size: None,
        fps: None,
        restarts: 0,
        abandoned: 0,
        decoding: None,
    })
}

#[test]
fn the_reasons_of_the_store_are_those_of_the_elements() {
    let mut ours: Vec<&str> = GapReason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .collect();
    let mut theirs = PRECEDENCE.to_vec();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
}

#[test]
fn rows_that_are_left_out_are_found_again_and_nothing_comes_twice() {
    let world = World::new(Arc::new(SimulatedClock::at(0)));
    let said = crate::sample::record(&world.storage.recordings_of(&"cam".parse().unwrap()));
    let files = said
        .iter()
        .filter(|what| matches!(what, What::SegmentClosed(_)))
        .count();
    assert!(files >= 4, "{said:?}");
    // Nobody writes: as with a database that takes nothing.
    let backlog = Arc::new(Backlog::new(2, Arc::clone(&world.live)));
    let listener = world.listener(&backlog);
    for what in said.clone() {
        listener.hear(notice(what));
    }
    for frames in 0..5 {
        listener.hear(notice(event(event::Change::Updated, frames)));
    }
    listener.hear(notice(event(event::Change::Closed, 9)));
    let counts = world.live.counters().counts();
    assert_eq!((counts.dropped_updates, counts.dropped_changes), (5, 0));
    assert!(counts.dropped_segments as usize >= files - 2, "{counts:?}");
    // All of it is recorded for whoever asks, though no row is there.
    let live = world.live.camera("cam").unwrap();
    assert_eq!(live.unlisted().len(), files);

    backlog.close();
    world.writer().run(&backlog);
    let rows = world
        .store
        .segments(Principal::system(), "cam", 0, i64::MAX, 100)
        .unwrap();
    let told = said.iter().filter_map(|what| match what {
        What::SegmentClosed(closed) => Some((
            closed.location.clone(),
            closed.start_unix_us,
            closed.end_unix_us,
            closed.frames,
            closed.bytes,
            closed.blake3.clone(),
        )),
        _ => None,
    });
    let listed = rows.into_iter().map(|row| {
        let file = world.storage.segment_file(&row).unwrap();
        let hash = row.blake3.unwrap();
        (
            file.display().to_string(),
            row.start_us,
            row.end_us,
            row.frames,
            row.bytes,
            hash,
        )
    });
    assert_eq!(listed.collect::<Vec<_>>(), told.collect::<Vec<_>>());
    let counts = world.live.counters().counts();
    assert_eq!(
        (counts.found_segments, counts.waiting),
        (counts.dropped_segments, 0)
    );
    assert!(world.live.camera("cam").unwrap().unlisted().is_empty());
    // The last word on the event came through.
    let page = PageRequest { page: 1, limit: 10 };
    let events = world
        .store
        .events(Principal::system(), &EventFilter::default(), page)
        .unwrap()
        .items;
    assert_eq!((events.len(), events[0].frames), (1, 9));
    // Once more, and nothing is double.
    world.say(said);
    assert_eq!(
        world
            .store
            .segments(Principal::system(), "cam", 0, i64::MAX, 100)
            .unwrap()
            .len(),
        files
    );
}

#[test]
fn what_is_lost_for_good_is_counted() {
    let world = World::new(Arc::new(SimulatedClock::at(0)));
    let backlog = Arc::new(Backlog::new(1, Arc::clone(&world.live)));
    let listener = world.listener(&backlog);
    for second in 0..10 {
        listener.hear(notice(gap(GapReason::DiskFull, second * S)));
    }
    assert_eq!(world.live.counters().counts().dropped_changes, 6);
}

fn opened(start: i64, pts_s: u64) -> What {
    What::SegmentOpened(SegmentOpened {
        location: format!("/{start}"),
        start_ns: pts_s * 1_000_000_000,
        start_unix_us: start * S,
    })
}

fn file(world: &World, start: i64, end: i64, pts_s: u64) -> What {
    let path = world
        .storage
        .recordings()
        .join(format!("cam/2024-01-01/{start}.mp4"));
    let What::SegmentClosed(closed) = closed(path.display().to_string()) else {
        unreachable!("it is one")
    };
    What::SegmentClosed(SegmentClosed {
        start_unix_us: start * S,
        end_unix_us: end * S,
        start_ns: pts_s * 1_000_000_000,
        end_ns: (pts_s + (end - start) as u64) * 1_000_000_000,
        ..closed
    })
}

#[test]
fn every_moment_between_two_files_gets_its_reason_at_once() {
    let check = |between: Vec<What>, next_pts_s: u64, expect: &[(i64, Option<i64>, &str)]| {
        let world = World::new(Arc::new(SimulatedClock::at(1000 * S)));
        world.store.begin_run(0).unwrap();
        let start = [
            state(CameraState::Starting, 0),
            opened(10, 0),
            file(&world, 10, 20, 0),
        ];
        let end = [opened(50, next_pts_s), file(&world, 50, 60, next_pts_s)];
        world.say(start.into_iter().chain(between).chain(end));
        let rows = world.rows();
        let rows: Vec<_> = rows.iter().map(|(a, b, c)| (*a, *b, c.as_str())).collect();
        assert_eq!(rows, expect);
        let ledger = world
            .store
            .ledger(Principal::system(), "cam", 10 * S..60 * S, &[], None, 100)
            .unwrap();
        let mut at = 10 * S;
        for tile in &ledger.tiles {
            assert_eq!(tile.start_us, at);
            at = tile.end_us;
            assert!(!matches!(&tile.what, Stretch::Missing { reason, .. } if reason == "unknown"));
        }
        assert_eq!(at, 60 * S);
    };
    check(vec![], 50, &[(20, Some(50), "source_lost")]);
    check(vec![], 10, &[(20, Some(50), "clock_step")]);
    // A person changed the camera, and its pipeline was built anew.
    check(
        vec![
            gap(GapReason::Paused, 18 * S),
            state(CameraState::Starting, 25),
        ],
        0,
        &[(20, Some(50), "paused")],
    );
    check(
        vec![
            gap(GapReason::Paused, 22 * S),
            state(CameraState::Starting, 25),
            gap(GapReason::SourceLost, 30 * S),
        ],
        0,
        &[(20, Some(25), "paused"), (25, Some(50), "source_lost")],
    );
    // A recorder says the end of its gap after the file that ends it.
    let ended = What::Gap(Gap {
        start_unix_us: 22 * S,
        end_unix_us: Some(50 * S),
        reason: GapReason::NoEvent,
        detail: None,
    });
    check(
        vec![gap(GapReason::NoEvent, 22 * S), ended],
        50,
        &[(20, Some(50), "no_event")],
    );
}

#[test]
fn a_camera_that_does_not_record_is_an_event_until_it_does() {
    let clock = Arc::new(SimulatedClock::at(1000 * S));
    let world = World::new(clock.clone());
    let backlog = Arc::new(Backlog::new(100, Arc::clone(&world.live)));
    let mut listener = world.listener(&backlog);
    let pass = |listener: &mut Listener, seconds: u64| {
        clock.advance(Duration::from_secs(seconds));
        listener.watch();
    };
    listener.hear(notice(state(CameraState::Starting, 1000)));
    pass(&mut listener, 5);
    assert!(listener.told.is_empty());
    pass(&mut listener, 1);
    assert_eq!(
        listener.told.len(),
        1,
        "six seconds without a picture on disk"
    );
    pass(&mut listener, 1);
    listener.hear(notice(gap(GapReason::DiskFull, 1006 * S)));
    pass(&mut listener, 1);
    listener.hear(notice(opened(1010, 0)));
    pass(&mut listener, 1);
    assert!(listener.told.is_empty());
    listener.hear(notice(What::FragmentWritten(FragmentWritten {
        location: "/1010".to_owned(),
        bytes: 1,
        end_ns: 0,
        end_unix_us: 1011 * S,
        synced: false,
    })));
    pass(&mut listener, 60);
    listener.close_failures();
    backlog.close();
    world.writer().run(&backlog);

    let page = PageRequest { page: 1, limit: 10 };
    let mut events = world
        .store
        .events(Principal::system(), &EventFilter::default(), page)
        .unwrap()
        .items;
    events.reverse();
    let shown: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.kind.as_str(),
                event.label.as_deref().unwrap(),
                event.state,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("system", "not_recording", EventState::Closed),
            ("system", "disk_full", EventState::Closed),
            ("system", "not_recording", EventState::Closed),
        ]
    );
    assert_eq!(world.live.counters().counts().failures, 3);
    // A camera that is silent for a minute, and nobody says why: the ledger is told all the same.
    assert_eq!(world.rows().last().unwrap().2, "overload");
}

#[test]
fn a_run_is_noted_and_ends_in_order() {
    let world = World::new(Arc::new(RealClock::new()));
    let run = world.store.begin_run(world.clock.unix_us()).unwrap();
    let (sender, inbox) = channel();
    drop::<std::sync::mpsc::Sender<Notice>>(sender);
    world.ingest().with_capacity(1).with_run(run.id).run(&inbox);
    let runs = world.store.runs(0, i64::MAX, 10).unwrap();
    assert!(
        runs[0].clean && runs[0].ended_us >= Some(runs[0].started_us),
        "{runs:?}"
    );
    assert!(Path::new(&world.storage.database()).is_file());
}
