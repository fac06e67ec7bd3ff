//! Rounds of deleting over a real store and real files.

use std::path::PathBuf;

use nvr_base::{Error, Principal, SimulatedClock};
use nvr_store::SegmentRow;
use tokio::sync::broadcast;

use super::*;

const NOW_US: i64 = 1_767_225_600_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// Keeps what it is told, and refuses when asked to.
#[derive(Default)]
struct Chain {
    told: Mutex<Vec<String>>,
    refuses: Mutex<bool>,
}

impl Deletions for Chain {
    fn on_deleted(&self, rows: &[SegmentRow], reason: &str) -> Result<()> {
        if *self.refuses.lock().unwrap() {
            return Err(Error::unavailable("not now"));
        }
        let mut told = self.told.lock().unwrap();
        told.extend(rows.iter().map(|row| format!("{} {reason}", row.path)));
        Ok(())
    }
}

struct World {
    folder: tempfile::TempDir,
    storage: Arc<Storage>,
    store: Store,
    clock: Arc<SimulatedClock>,
    chain: Arc<Chain>,
    retention: Retention,
}

impl World {
    /// Ten segments of an hour up to now, a file of 1000 bytes each, one a day folder.
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[storage]\npath = \"data\"\nmin_free = 1\n{policy}");
        let config = crate::config::Config::parse(&text, folder.path()).unwrap();
        let storage = Arc::new(Storage::open_all(&config.storage).unwrap());
        let clock = Arc::new(SimulatedClock::at(NOW_US));
        let store = Store::open(&storage.database(), clock.clone()).unwrap();
        storage.identify(&store).unwrap();
        for number in 0..10 {
            let path = format!("cam/2000-01-{:02}/{number}.mp4", number + 1);
            let file = storage.recordings().join(&path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, [7; 1000]).unwrap();
            let start_us = NOW_US + (i64::from(number) - 10) * HOUR_US;
            let row = SegmentRow {
                id: format!("{number}"),
                camera: "cam".to_owned(),
                path,
                start_us,
                end_us: start_us + HOUR_US,
                frames: 1,
                bytes: 1000,
                codec: "h264".to_owned(),
                width: 1,
                height: 1,
                blake3: None,
                discont: false,
                keyframes: Vec::new(),
                storage: storage.first().id().unwrap().to_owned(),
                protected: number == 1,
                audio: None,
            };
            store.insert_segment(&row).unwrap();
        }
        let chain = Arc::new(Chain::default());
        let retention = Retention::new(Parts {
            storage: storage.clone(),
            store: store.clone(),
            clock: clock.clone(),
            policy: Policy::of(&config),
            deletions: Some(chain.clone()),
            alarms: Arc::new(Alarms::new(
                store.clone(),
                clock.clone(),
                broadcast::channel(16).0,
            )),
        });
        Self {
            retention: retention.unwrap(),
            folder,
            storage,
            store,
            clock,
            chain,
        }
    }

    fn round(&self) -> Result<()> {
        self.retention.round(&Shutdown::new())
    }

    /// The segments that have a row, and those that have a file.
    fn left(&self) -> (String, String) {
        let rows = self
            .store
            .segments(Principal::system(), "cam", 0, i64::MAX, 100)
            .unwrap();
        let files = (0..10).filter(|number| self.file(*number).exists());
        (
            rows.iter().map(|row| row.id.as_str()).collect(),
            files.map(|number| number.to_string()).collect(),
        )
    }

    fn file(&self, number: i32) -> PathBuf {
        let path = format!("cam/2000-01-{:02}/{number}.mp4", number + 1);
        self.storage.recordings().join(path)
    }
}

#[test]
fn what_is_too_much_goes_with_its_file_its_folder_and_a_word_to_the_chain() {
    let world = World::new("[retention]\nmax_bytes = 7500\n");
    world.round().unwrap();
    let left = ("13456789".to_owned(), "13456789".to_owned());
    // The second one is protected.
    assert_eq!(
        world.left(),
        ("1456789".to_owned(), "1456789".to_owned()),
        "{left:?}"
    );
    let told = world.chain.told.lock().unwrap().clone();
    assert_eq!(
        told,
        [
            "cam/2000-01-01/0.mp4 camera_size",
            "cam/2000-01-03/2.mp4 camera_size",
            "cam/2000-01-04/3.mp4 camera_size"
        ]
    );
    assert!(
        !world.file(0).parent().unwrap().exists(),
        "an empty day goes"
    );
    assert!(world.store.pending_garbage().unwrap().is_empty());
    let gaps = world
        .store
        .gaps(Principal::system(), "cam", 0, i64::MAX, 100)
        .unwrap();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert_eq!(world.retention.counters().deleted_files, 3);
    world.round().unwrap();
    assert_eq!(world.retention.counters().deleted_files, 3);
}

#[test]
fn age_waits_for_a_clock_that_is_believed() {
    let world = World::new("[retention]\ncontinuous_days = 0.25\n");
    world.clock.advance(Duration::from_secs(1));
    world.round().unwrap();
    assert_eq!(
        world.left().0,
        "1456789",
        "up to six hours old, and the protected one"
    );
    // A jump of a year, as seen by a program that starts then: the clock is not believed.
    let jumped = Arc::new(SimulatedClock::at(NOW_US + 365 * 24 * HOUR_US));
    let retention = Retention::new(Parts {
        storage: world.storage.clone(),
        store: world.store.clone(),
        clock: jumped.clone(),
        policy: (*world.retention.policy()).clone(),
        deletions: None,
        alarms: world.retention.alarms.clone(),
    })
    .unwrap();
    retention.round(&Shutdown::new()).unwrap();
    assert_eq!(world.left().0, "1456789");
    assert!(retention.clock_doubt().unwrap().0.contains("365 days"));
    assert!(
        world.store.clock_doubt().unwrap().is_some(),
        "kept over a restart"
    );
    assert!(retention.trust_clock().unwrap());
    retention.round(&Shutdown::new()).unwrap();
    assert_eq!(world.left().0, "19", "the newest stays");
    assert!(world.store.clock_doubt().unwrap().is_none());
}

#[test]
fn nothing_is_unlinked_before_the_chain_knows() {
    let world = World::new("[retention]\nmax_bytes = 9000\n");
    *world.chain.refuses.lock().unwrap() = true;
    assert!(world.round().is_err());
    assert_eq!(
        world.left(),
        ("123456789".to_owned(), "0123456789".to_owned())
    );
    assert!(world.round().is_err());
    assert_eq!(
        world.left().0,
        "123456789",
        "nothing else goes in its stead"
    );
    *world.chain.refuses.lock().unwrap() = false;
    world.retention.empty_garbage(u64::MAX).unwrap();
    assert_eq!(world.left().1, "123456789");
    assert_eq!(world.chain.told.lock().unwrap().len(), 1);
}

#[test]
fn a_file_that_cannot_be_unlinked_is_tried_again_and_counted() {
    let world = World::new("[retention]\nmax_bytes = 9000\n");
    // A folder in the place of the file cannot be unlinked, whoever asks.
    std::fs::remove_file(world.file(0)).unwrap();
    std::fs::create_dir(world.file(0)).unwrap();
    world.round().unwrap();
    assert_eq!(world.left().0, "123456789");
    assert_eq!(world.retention.counters().failed, 1);
    world.round().unwrap();
    assert_eq!(world.retention.counters().failed, 2);
    assert_eq!(world.left().0, "123456789");
    let list = world
        .store
        .garbage(world.storage.first().id().unwrap(), 9)
        .unwrap();
    assert_eq!((list.len(), list[0].tries), (1, 2));
    std::fs::remove_dir(world.file(0)).unwrap();
    world.round().unwrap();
    assert!(world.store.pending_garbage().unwrap().is_empty());
    assert!(world.folder.path().exists());
}

#[test]
fn what_cannot_be_had_is_told_as_a_full_storage() {
    let world = World::new("max_bytes = \"500 B\"\n");
    world.round().unwrap();
    assert_eq!(world.left().0.as_str(), "1", "all but the protected one");
    let outlook = world.retention.lock().outlooks[0].clone();
    assert_eq!(outlook.short_bytes, 500);
}

#[test]
fn a_preview_deletes_nothing() {
    let world = World::new("");
    let policy = Policy {
        general: serde_json::from_str(r#"{"max_bytes": "5 kB", "continuous_days": 1}"#).unwrap(),
        ..Policy::default()
    };
    let mut ids = String::new();
    let (_, plan) = world
        .retention
        .preview(&policy, &mut |deletion| {
            ids.push_str(&deletion.item.id);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(ids, "02345");
    assert_eq!(plan.cameras.len(), 1);
    assert_eq!(world.left().0, "0123456789");
}
