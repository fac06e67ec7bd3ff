//! The folders and their identities, over a real database.

use std::sync::Arc;

use nvr_base::SimulatedClock;
use nvr_store::Store;

use super::*;
use crate::config::MoreStorage;

/// A first folder and the others, which may be missing.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        std::fs::canonicalize(self.folder.path())
            .unwrap()
            .join(name)
    }

    /// A start of the daemon with these folders after the first.
    fn start(&self, more: &[&str]) -> (Storage, Store) {
        let mut config = StorageConfig::at(&self.path("first"));
        config.more = more
            .iter()
            .map(|name| MoreStorage::at(&self.path(name)))
            .collect();
        let storage = Storage::open_all(&config).unwrap();
        let clock = Arc::new(SimulatedClock::at(1_767_225_600_000_000));
        let store = Store::open(&storage.database(), clock).unwrap();
        storage.identify(&store).unwrap();
        (storage, store)
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

fn words(storage: &Storage) -> Vec<&'static str> {
    let volumes = storage.volumes().iter();
    volumes.map(|volume| volume.condition().as_str()).collect()
}

#[test]
fn a_second_daemon_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Storage::open(folder.path()).unwrap();
    let error = Storage::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("another nvrd runs on"), "{error}");
    drop(first);
    Storage::open(folder.path()).unwrap();
}

#[test]
fn no_id_leads_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path()).unwrap();
    assert_eq!(storage.thumbnail("../../etc/passwd"), None);
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    assert!(
        storage
            .thumbnail(id)
            .unwrap()
            .ends_with(format!("thumbnails/{id}.jpg"))
    );
    for path in ["", "/etc/passwd", "../nvrd.db", "cam/../../x", "./x/.."] {
        assert!(storage.file_at("", path).is_err(), "{path}");
    }
}

#[test]
fn a_file_in_the_place_of_the_folder_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Storage::open(file.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("storage.path: ") && error.contains("choose a folder"),
        "{error}"
    );
}

#[test]
fn a_folder_that_must_be_a_mount_and_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = StorageConfig::at(&folder.path().join("disk"));
    config.require_mount = true;
    let error = Storage::open_all(&config).unwrap_err().to_string();
    assert!(error.contains("no disk is mounted at"), "{error}");
    assert!(
        !folder.path().join("disk").exists(),
        "nothing is made there"
    );
}

#[test]
fn a_folder_keeps_its_identity_and_its_files_are_found_by_it() {
    let world = World::new();
    let ids = {
        let (storage, _) = world.start(&["second"]);
        assert_eq!(words(&storage), ["ready", "ready"]);
        let ids: Vec<String> = storage
            .volumes()
            .iter()
            .map(|volume| volume.id().unwrap().to_owned())
            .collect();
        let file = world.path("second/recordings/cam/day/a.mp4");
        let (id, path) = storage.relative(&file).unwrap();
        assert_eq!((&id, path), (&ids[1], Path::new("cam/day/a.mp4")));
        assert_eq!(storage.file_at(&id, "cam/day/a.mp4").unwrap(), file);
        let elsewhere = world.path("third/recordings/a.mp4");
        assert_eq!(storage.relative(&elsewhere), None);
        let error = storage.file_at("other", "a.mp4").unwrap_err().to_string();
        assert!(error.contains("not configured"), "{error}");
        ids
    };
    // A folder that was moved is known by its identity; the other one may go and come.
    world.rename("second", "moved");
    let (storage, store) = world.start(&["moved"]);
    assert_eq!(words(&storage), ["ready", "ready"]);
    assert_eq!(storage.volumes()[1].id(), Some(ids[1].as_str()));
    let rows = store.storages().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows[1].path.ends_with("/moved"), "{rows:?}");
}

#[test]
fn nothing_is_made_where_a_disk_is_missing() {
    let world = World::new();
    drop(world.start(&["second"]));
    world.rename("second", "away");
    let (storage, store) = world.start(&["second"]);
    assert_eq!(words(&storage), ["ready", "missing"]);
    let detail = storage.volumes()[1].condition();
    let detail = detail.detail().unwrap();
    assert!(
        detail.contains("/second") && detail.contains("mount it"),
        "{detail}"
    );
    assert!(!world.path("second").exists());
    let id = storage.volumes()[1].id().unwrap().to_owned();
    let error = storage.file_at(&id, "cam/a.mp4").unwrap_err();
    assert_eq!(error.kind(), nvr_base::ErrorKind::Unavailable);
    // An empty mount point is no new storage either.
    std::fs::create_dir(world.path("second")).unwrap();
    assert_eq!(storage.look(1, &store, false).unwrap().as_str(), "missing");
    std::fs::remove_dir(world.path("second")).unwrap();
    world.rename("away", "second");
    assert_eq!(storage.look(1, &store, false).unwrap(), Condition::Ready);
}

#[test]
fn another_disk_in_its_place_is_refused_with_both_names() {
    let world = World::new();
    drop(world.start(&["second", "third"]));
    // Two disks are swapped.
    world.rename("second", "tmp");
    world.rename("third", "second");
    world.rename("tmp", "third");
    let (storage, _) = world.start(&["second", "third"]);
    assert_eq!(words(&storage), ["ready", "foreign", "foreign"]);
    let detail = storage.volumes()[1].condition();
    let detail = detail.detail().unwrap().to_owned();
    let found = identity::read(&world.path("second")).unwrap().unwrap();
    let expected = storage.volumes()[1].id().unwrap();
    assert!(
        detail.contains(&found) && detail.contains(expected) && found != expected,
        "{detail}"
    );
    drop(storage);

    // A copy of another folder is not taken for a storage of its own.
    std::fs::create_dir(world.path("copy")).unwrap();
    std::fs::copy(
        identity::file_of(&world.path("first")),
        identity::file_of(&world.path("copy")),
    )
    .unwrap();
    let (storage, _) = world.start(&["copy"]);
    assert_eq!(words(&storage), ["ready", "foreign"]);
}

#[test]
fn the_first_folder_is_known_by_its_database() {
    let world = World::new();
    let id = {
        let (storage, _) = world.start(&[]);
        storage.first().id().unwrap().to_owned()
    };
    std::fs::remove_file(identity::file_of(&world.path("first"))).unwrap();
    let (storage, _) = world.start(&[]);
    assert_eq!(storage.first().id(), Some(id.as_str()));
    assert_eq!(identity::read(&world.path("first")).unwrap(), Some(id));
}

#[test]
fn folders_in_one_another_are_refused() {
    let world = World::new();
    let mut config = StorageConfig::at(&world.path("first"));
    config.more = vec![MoreStorage::at(&world.path("first/more"))];
    let error = Storage::open_all(&config).unwrap_err().to_string();
    assert!(error.contains("storage.more[0].path"), "{error}");
}
