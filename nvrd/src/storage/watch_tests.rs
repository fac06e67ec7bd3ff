//! The watch over real folders that are taken away, swapped and brought back.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use nvr_base::{Principal, SimulatedClock};
use nvr_store::{EventFilter, PageRequest};
use tokio::sync::broadcast;

use super::*;
use crate::config::{MoreStorage, StorageConfig};

struct World {
    folder: tempfile::TempDir,
    storage: Arc<Storage>,
    store: Store,
    clock: Arc<SimulatedClock>,
    watch: Watch,
    moves: Arc<AtomicUsize>,
}

impl World {
    /// Folders `a`, `b` and `c`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = StorageConfig::at(&folder.path().join("a"));
        config.more = ["b", "c"]
            .map(|n| MoreStorage::at(&folder.path().join(n)))
            .into();
        let storage = Arc::new(Storage::open_all(&config).unwrap());
        let clock = Arc::new(SimulatedClock::at(1_767_225_600_000_000));
        let store = Store::open(&storage.database(), clock.clone()).unwrap();
        storage.identify(&store).unwrap();
        let alarms = Alarms::new(store.clone(), clock.clone(), broadcast::channel(64).0);
        let moves = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&moves);
        let watch = Watch::new(
            Arc::clone(&storage),
            store.clone(),
            clock.clone(),
            Arc::new(alarms),
            Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }),
        );
        Self {
            folder,
            storage,
            store,
            clock,
            watch,
            moves,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        std::fs::canonicalize(self.folder.path())
            .unwrap()
            .join(name)
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Looks, so many seconds later; the conditions and the name of the one in use.
    #[track_caller]
    fn check(&mut self, later_s: u64, words: [&str; 3], in_use: &str) {
        self.clock.advance(Duration::from_secs(later_s));
        self.watch.look().unwrap();
        let found: Vec<&str> = self
            .storage
            .volumes()
            .iter()
            .map(|volume| volume.condition().as_str())
            .collect();
        assert_eq!(found, words);
        let used = self.storage.in_use().map_or("none", |volume| volume.name());
        assert_eq!(used, in_use);
    }

    fn alarms(&self, label: &str) -> usize {
        let filter = EventFilter {
            label: Some(label.to_owned()),
            ..EventFilter::default()
        };
        let page = PageRequest { page: 1, limit: 1 };
        usize::try_from(
            self.store
                .events(Principal::system(), &filter, page)
                .unwrap()
                .total,
        )
        .unwrap()
    }
}

#[test]
fn a_disk_that_goes_is_left_and_taken_again_after_a_minute() {
    let mut world = World::new();
    let ready = "ready";
    world.check(1, [ready, ready, ready], "first");
    assert_eq!(world.moves.load(Ordering::Relaxed), 0);
    world.rename("a/nvrd-storage.toml", "kept");
    world.check(1, ["missing", ready, ready], "b");
    world.check(1, ["missing", ready, ready], "b");
    assert_eq!(world.moves.load(Ordering::Relaxed), 1, "told once");
    world.rename("b", "b-away");
    world.check(1, ["missing", "missing", ready], "c");
    assert!(!world.path("b").exists());
    world.rename("kept", "a/nvrd-storage.toml");
    world.check(1, [ready, "missing", ready], "c");
    world.check(59, [ready, "missing", ready], "c");
    world.check(1, [ready, "missing", ready], "first");
    assert_eq!(world.alarms("storage_missing"), 2);
    assert_eq!(world.alarms("storage_switched"), 3);
}

#[test]
fn with_no_disk_left_nothing_is_in_use_until_one_is_back() {
    let mut world = World::new();
    world.rename("a/nvrd-storage.toml", "kept");
    world.rename("b", "b-away");
    world.rename("c", "c-away");
    world.check(1, ["missing", "missing", "missing"], "none");
    assert_eq!(world.alarms("no_storage"), 1);
    world.rename("c-away", "c");
    world.check(1, ["missing", "missing", "ready"], "c");
}

#[test]
fn a_swapped_disk_is_refused() {
    let mut world = World::new();
    world.rename("b", "tmp");
    world.rename("c", "b");
    world.rename("tmp", "c");
    world.check(1, ["ready", "foreign", "foreign"], "first");
    world.rename("b", "tmp");
    world.rename("c", "b");
    world.rename("tmp", "c");
    world.check(1, ["ready", "ready", "ready"], "first");
}

#[test]
fn a_disk_that_fails_to_write_is_left_until_it_takes_a_file() {
    let mut world = World::new();
    let detail = format!("{}: no", world.path("a/recordings/cam/x.mp4").display());
    world.storage.trouble(GapReason::DiskError, Some(&detail));
    world.check(1, ["failing", "ready", "ready"], "b");
    // A late word about the first is not about the one in use.
    world.storage.trouble(GapReason::DiskError, Some(&detail));
    world.check(1, ["failing", "ready", "ready"], "b");
    // The probe is written now.
    world.check(1, ["ready", "ready", "ready"], "b");
    assert!(!world.path("a/nvrd.probe").exists());
    world.check(60, ["ready", "ready", "ready"], "first");
}

#[test]
fn a_full_disk_is_left_when_nothing_may_go() {
    let mut world = World::new();
    let id = world.storage.first().id().unwrap().to_owned();
    world.storage.set_full(&id, Some("full".to_owned()));
    world.check(1, ["full", "ready", "ready"], "b");
    world.storage.set_full(&id, None);
    world.check(1, ["ready", "ready", "ready"], "b");
    world.check(60, ["ready", "ready", "ready"], "first");
}
