//! Round trips, damage, and everything that must not be overwritten.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nvr_base::{ErrorKind, SimulatedClock};
use nvr_store::Store;

use super::*;
use crate::config::Config;
use crate::evidence::Evidence;
use crate::storage::Storage;
use crate::vault::Vault;

const NOW_US: i64 = 1_767_225_600_000_000;
const FILE: &str = "[storage]\npath = \"data\"\n[[camera]]\nname = \"front\"\nuri = \"rtsp://10.0.0.5/\"\n\
                    password_file = \"secrets/front\"\n[pipelines]\npath = \"pipelines\"\n[tls]\n\
                    certificate = \"/nowhere/c.pem\"\nkey = \"secrets/key.pem\"";

/// A recorder that ran once, in a folder of its own.
struct Recorder {
    home: PathBuf,
    sealed: String,
}

impl Recorder {
    fn new(home: &Path) -> Self {
        std::fs::create_dir_all(home.join("secrets")).unwrap();
        std::fs::create_dir_all(home.join("pipelines")).unwrap();
        std::fs::write(home.join("nvrd.toml"), FILE).unwrap();
        std::fs::write(home.join("secrets/front"), "hunter2").unwrap();
        std::fs::write(home.join("secrets/key.pem"), "no key").unwrap();
        std::fs::write(home.join("pipelines/own.toml"), "x = 1").unwrap();
        std::fs::write(home.join("pipelines/readme"), "none of it").unwrap();
        let clock = Arc::new(SimulatedClock::at(NOW_US));
        let storage = Storage::open(&home.join("data")).unwrap();
        let store = Store::open(&storage.database(), clock.clone()).unwrap();
        storage.identify(&store).unwrap();
        let value = Some("\"backed up\"".to_owned());
        store
            .set_settings(&[("system_name".to_owned(), value)].into())
            .unwrap();
        let vault = Vault::open_in(&storage.keys()).unwrap();
        Evidence::open(&storage.evidence(), clock).unwrap();
        Self {
            home: home.to_owned(),
            sealed: vault.seal("hunter2"),
        }
    }

    fn config(&self) -> Config {
        Config::load(&self.home.join("nvrd.toml")).unwrap()
    }

    fn back_up(&self, target: &Path) -> Result<Manifest> {
        make(&self.config(), target, false, NOW_US)
    }
}

fn put_back(backup: &Path, home: &Path, force: bool) -> Result<Restored> {
    let package = Package::open(backup)?;
    restore(
        &package,
        &Wanted {
            config: &home.join("nvrd.toml"),
            keep_config: false,
            force,
            now_us: NOW_US,
        },
    )
}

/// Every file below a folder with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => left.push(path),
                false => found.push((path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_backed_up_comes_back_whole() {
    for name in ["backup", "backup.tar"] {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(&folder.path().join("old"));
        let backup = folder.path().join("to").join(name);
        // Beside somebody who writes.
        let clock = Arc::new(SimulatedClock::at(NOW_US));
        let running = Storage::open(&recorder.home.join("data")).unwrap();
        let writing = Store::open(&running.database(), clock.clone()).unwrap();
        let manifest = recorder.back_up(&backup).unwrap();
        drop((writing, running));
        assert_eq!(manifest.left_out.len(), 1, "{manifest:?}");
        assert!(manifest.left_out[0].starts_with("/nowhere/c.pem: "));
        let mode = std::fs::metadata(&backup).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "nobody else may read it");

        let home = folder.path().join("new");
        let restored = put_back(&backup, &home, false).unwrap();
        assert!(restored.aside.is_empty(), "{restored:?}");
        let read = |path: &str| std::fs::read_to_string(home.join(path)).unwrap();
        assert_eq!(read("nvrd.toml"), FILE);
        assert_eq!(read("secrets/front"), "hunter2");
        assert_eq!(read("pipelines/own.toml"), "x = 1");
        assert!(!home.join("pipelines/readme").exists());
        let storage = Storage::open(&home.join("data")).unwrap();
        let store = Store::open(&storage.database(), clock.clone()).unwrap();
        assert_eq!(store.settings().unwrap()["system_name"], "\"backed up\"");
        let vault = Vault::open_in(&storage.keys()).unwrap();
        assert_eq!(vault.open(&recorder.sealed).unwrap().expose(), "hunter2");
        let key = |home: &Path| std::fs::read(home.join("data/evidence/key.pem")).unwrap();
        assert_eq!(key(&home), key(&recorder.home));
        let mode = std::fs::metadata(home.join("data/keys/vault.key"))
            .unwrap()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        drop((store, storage));
        // Once more changes nothing but the database, which has been opened.
        let again = put_back(&backup, &home, true).unwrap();
        assert!(again.unchanged.len() >= 6, "{again:?}");
    }
}

#[test]
fn a_damaged_backup_is_refused_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(&folder.path().join("old"));
    let whole = folder.path().join("whole");
    recorder.back_up(&whole).unwrap();
    let tar = folder.path().join("whole.tar");
    recorder.back_up(&tar).unwrap();
    let home = folder.path().join("new");
    let refused = |backup: &Path, says: &str| {
        let error = put_back(backup, &home, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert!(!home.exists(), "{says}: something was put back");
    };
    // A folder, file by file.
    for (name, _) in contents(&whole) {
        let inside = name.strip_prefix(&whole).unwrap().display().to_string();
        if inside == MANIFEST {
            continue;
        }
        let good = std::fs::read(&name).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(&name, &bad).unwrap();
        refused(&whole, &format!("{inside}: its content is damaged"));
        std::fs::write(&name, &good[..good.len() - 1]).unwrap();
        refused(&whole, &format!("{inside}: its length"));
        std::fs::remove_file(&name).unwrap();
        refused(&whole, &format!("{inside}: it is missing"));
        std::os::unix::fs::symlink(&tar, &name).unwrap();
        refused(&whole, &format!("{inside}: it is no plain file"));
        std::fs::remove_file(&name).unwrap();
        std::fs::write(&name, &good).unwrap();
    }
    // A tar file: a bit in every stretch of it, and every length.
    let good = std::fs::read(&tar).unwrap();
    let damaged = folder.path().join("damaged.tar");
    for part in 0..40 {
        let at = good.len() * part / 40;
        // What fills up blocks says nothing.
        if good[at] == 0 {
            continue;
        }
        let mut bad = good.clone();
        bad[at] ^= 4;
        std::fs::write(&damaged, &bad).unwrap();
        let error = Package::open(&damaged).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::DataLoss | ErrorKind::FailedPrecondition
            ),
            "{at}: {error}"
        );
        std::fs::write(&damaged, &good[..at]).unwrap();
        refused(&damaged, "");
    }
}

#[test]
fn a_hostile_list_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(&folder.path().join("old"));
    let backup = folder.path().join("backup");
    recorder.back_up(&backup).unwrap();
    let list = backup.join(MANIFEST);
    let good: serde_json::Value = serde_json::from_slice(&std::fs::read(&list).unwrap()).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value), kind: ErrorKind| {
        let mut bad = good.clone();
        change(&mut bad);
        std::fs::write(&list, bad.to_string()).unwrap();
        let error = Package::open(&backup).unwrap_err();
        assert_eq!(error.kind(), kind, "{bad}: {error}");
    };
    for name in [
        "../nvrd.db",
        "/etc/passwd",
        "config/../../x",
        "config//x",
        "config/./x",
        "storage/",
        "storage",
        "config/a\\b",
        "config/a\nb",
        "other/x",
        "manifest.json",
    ] {
        refused(
            &|list| list["files"][0]["name"] = name.into(),
            ErrorKind::DataLoss,
        );
    }
    refused(
        &|list| list["files"][1] = list["files"][0].clone(),
        ErrorKind::DataLoss,
    );
    refused(
        &|list| list["config"] = "../nvrd.toml".into(),
        ErrorKind::DataLoss,
    );
    refused(
        &|list| list["surely_unknown"] = 1.into(),
        ErrorKind::DataLoss,
    );
    refused(
        &|list| list["format"] = 2.into(),
        ErrorKind::FailedPrecondition,
    );
}

#[test]
fn nothing_is_overwritten_unless_asked_and_never_under_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(&folder.path().join("old"));
    let backup = folder.path().join("backup.tar");
    recorder.back_up(&backup).unwrap();
    let again = recorder.back_up(&backup).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);

    let home = folder.path().join("new");
    let other = Recorder::new(&home);
    std::fs::write(home.join("secrets/front"), "another one").unwrap();
    let before = contents(&home);
    let error = put_back(&backup, &home, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!(contents(&home), before);

    let running = Storage::open(&home.join("data")).unwrap();
    let error = put_back(&backup, &home, true).unwrap_err();
    assert!(error.to_string().contains("another nvrd runs"), "{error}");
    assert_eq!(contents(&home), before);
    drop(running);

    let restored = put_back(&backup, &home, true).unwrap();
    let name = "secrets/front.before-restore-20260101T000000Z";
    assert_eq!(
        std::fs::read_to_string(home.join(name)).unwrap(),
        "another one"
    );
    assert!(restored.aside.contains(&home.join(name)), "{restored:?}");
    let keys = home.join("data/keys");
    let vault = Vault::open_in(&keys).unwrap();
    assert!(vault.open(&recorder.sealed).is_ok());
    assert!(vault.open(&other.sealed).is_err());
}

#[test]
fn a_step_that_fails_undoes_those_before() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(&folder.path().join("old"));
    let backup = folder.path().join("backup.tar");
    recorder.back_up(&backup).unwrap();
    let home = folder.path().join("new");
    Recorder::new(&home);
    // A folder with something in it where the first file would be written.
    std::fs::create_dir_all(home.join("data/nvrd.db.restoring/x")).unwrap();
    let before = contents(&home);
    let error = put_back(&backup, &home, true).unwrap_err();
    assert!(error.to_string().contains("nvrd.db.restoring"), "{error}");
    assert_eq!(contents(&home), before);
}

#[test]
fn names_of_kept_backups_have_one_shape() {
    let check = |name: &str, expect: bool| assert_eq!(Kept::is_name(name), expect, "{name}");
    check("nvrd-20260101T000000Z.tar", true);
    check("nvrd-20260101T000000Z.tar.unfinished", false);
    check("nvrd-20260101t000000Z.tar", false);
    check("../nvrd-20260101T000000Z.tar", false);
    check("nvrd-.tar", false);
}

#[test]
fn only_the_newest_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(&folder.path().join("old"));
    let to = folder.path().join("backups");
    for second in 0..7 {
        make_in(&recorder.config(), &to, NOW_US + second * 1_000_000).unwrap();
    }
    let names: Vec<String> = Kept::list(&to)
        .unwrap()
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names.len(), 5);
    assert_eq!(names[0], "nvrd-20260101T000006Z.tar");
    assert_eq!(names[4], "nvrd-20260101T000002Z.tar");
}

#[test]
fn a_database_on_a_server_is_said_not_to_be_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(&folder.path().join("old"));
    let text = FILE.replace(
        "path = \"data\"",
        "path = \"data\"\ndatabase = \"postgres://nvrd@h/nvrd\"",
    );
    std::fs::write(recorder.home.join("nvrd.toml"), text).unwrap();
    let target = folder.path().join("backup");
    let error = recorder.back_up(&target).unwrap_err();
    assert!(error.to_string().contains("pg_dump"), "{error}");
    assert!(!target.exists());
    let manifest = make(&recorder.config(), &target, true, NOW_US).unwrap();
    assert_eq!(
        manifest.database,
        Database::Postgres {
            address: "postgres://nvrd@h/nvrd".to_owned()
        }
    );
    assert!(!target.join(DATABASE).exists());
    Package::open(&target).unwrap();
}
