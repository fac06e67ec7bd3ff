//! Tests of the migrations: forth and back, from every earlier schema, and files that are left alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::sqlite::Sqlite;
use nvr_base::SimulatedClock;

use super::*;
use crate::Store;

#[derive(QueryableByName, Debug, PartialEq)]
struct Item {
    #[diesel(sql_type = Text)]
    text: String,
}

fn texts(conn: &mut SqliteConnection, query: &str) -> Vec<String> {
    let items: Vec<Item> = diesel::sql_query(query).load(conn).unwrap();
    items.into_iter().map(|item| item.text).collect()
}

/// Every table and index as SQLite keeps it.
fn schema(conn: &mut SqliteConnection) -> Vec<String> {
    texts(
        conn,
        "SELECT coalesce(sql, name) AS text FROM sqlite_master WHERE name NOT LIKE '\\_\\_%' ESCAPE '\\' ORDER BY name",
    )
}

fn connection(file: &Path) -> SqliteConnection {
    SqliteConnection::establish(file.to_str().unwrap()).unwrap()
}

fn on_disk(file: &Path) -> Place {
    Place::File(file.to_owned())
}

fn file_steps() -> Vec<Step<Sqlite>> {
    steps(FOR_FILES, &on_disk(Path::new("a.db"))).unwrap()
}

fn open(file: &Path) -> Result<Store> {
    Store::open(file, Arc::new(SimulatedClock::at(1)))
}

fn names(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Waits until the database is one file: the pool closes its connections on a thread of its own.
fn settled(folder: &Path) {
    let whole = BTreeSet::from(["a.db".to_owned()]);
    for _ in 0..1000 {
        if names(folder) == whole {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("something stays: {:?}", names(folder));
}

#[test]
fn down_undoes_up_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let mut conn = connection(&file);
    conn.applied_migrations().unwrap();
    let known = file_steps();
    let mut before = Vec::new();
    for step in &known {
        before.push(schema(&mut conn));
        conn.run_migration(step.as_ref()).unwrap();
    }
    let whole = schema(&mut conn);
    assert!(whole.len() > 10, "{whole:#?}");
    for (step, before) in known.iter().zip(&before).rev() {
        conn.revert_migration(step.as_ref()).unwrap();
        assert_eq!(&schema(&mut conn), before, "after down of {}", step.name());
    }
    drop(conn);
    drop(open(&file).unwrap());
    assert_eq!(schema(&mut connection(&file)), whole);
}

/// From each earlier schema, with a row in it where it has a table for one.
#[test]
fn every_earlier_schema_is_brought_up_with_its_rows_and_a_copy() {
    let fresh = {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        drop(open(&file).unwrap());
        settled(folder.path());
        schema(&mut connection(&file))
    };
    let known = file_steps();
    for count in 1..known.len() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let mut conn = connection(&file);
        conn.applied_migrations().unwrap();
        for step in &known[..count] {
            conn.run_migration(step.as_ref()).unwrap();
        }
        conn.batch_execute(
            "INSERT INTO cameras (name, uri, sub_uri, pipeline, params_json, enabled, username, password, created_us, updated_us) \
             VALUES ('front', 'rtsp://x', NULL, 'record', '{}', 1, NULL, NULL, 1, 2)",
        )
        .unwrap();
        let old = schema(&mut conn);
        drop(conn);

        let store = open(&file).unwrap();
        assert_eq!(store.camera("front").unwrap().updated_us, 2);
        assert_eq!(schema(&mut connection(&file)), fresh, "from step {count}");
        let copy = folder.path().join(format!(
            "a.db.schema-{}.backup",
            version_of(&known[count - 1])
        ));
        let mut conn = connection(&copy);
        assert_eq!(schema(&mut conn), old);
        assert_eq!(
            texts(&mut conn, "SELECT name AS text FROM cameras"),
            ["front"]
        );
        assert!(
            !names(folder.path())
                .iter()
                .any(|name| name.contains("unfinished"))
        );
        #[cfg(unix)]
        for file in [&file, &copy] {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &std::fs::metadata(file).unwrap().permissions(),
            );
            // The old file was made here, by hand.
            assert!(file != &copy || mode & 0o077 == 0, "{mode:o}");
        }
    }
}

#[test]
fn a_copy_that_was_cut_short_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let mut conn = connection(&file);
    conn.applied_migrations().unwrap();
    let first = &file_steps()[0];
    conn.run_migration(first.as_ref()).unwrap();
    drop(conn);
    let version = version_of(first);
    for rest in ["unfinished", "backup"] {
        std::fs::write(
            folder.path().join(format!("a.db.schema-{version}.{rest}")),
            "rest",
        )
        .unwrap();
    }
    drop(open(&file).unwrap());
    let copy = folder.path().join(format!("a.db.schema-{version}.backup"));
    assert!(schema(&mut connection(&copy)).len() > 1);
}

#[test]
fn a_step_that_fails_is_undone_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let mut conn = connection(&file);
    conn.applied_migrations().unwrap();
    conn.run_migration(file_steps()[0].as_ref()).unwrap();
    // The second step makes a table first, then this one.
    conn.batch_execute("CREATE TABLE event_zones (mine TEXT)")
        .unwrap();
    let before = schema(&mut conn);
    for _ in 0..2 {
        let error = open(&file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(
            error
                .to_string()
                .contains("migration 2026-11-20-120100_events failed and was undone"),
            "{error}"
        );
        assert_eq!(schema(&mut conn), before);
    }
    conn.batch_execute("DROP TABLE event_zones").unwrap();
    open(&file).unwrap();
}

#[test]
fn a_second_start_copies_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    drop(open(&file).unwrap());
    drop(open(&file).unwrap());
    settled(folder.path());
}

/// Files that are not ours: refused with a kind and a sentence, and not changed by a byte.
#[test]
fn files_that_are_not_ours_are_left_alone() {
    let check = |make: &dyn Fn(&Path), kind: ErrorKind, sentence: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        make(&file);
        let before = std::fs::read(&file).unwrap();
        let error = open(&file).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.to_string(), format!("{}: {sentence}", file.display()));
        assert!(std::fs::read(&file).unwrap() == before, "{sentence}");
        assert_eq!(names(folder.path()), BTreeSet::from(["a.db".to_owned()]));
    };
    check(
        &|file| {
            std::fs::write(
                file,
                "this is a letter to a friend, of more than a few words ".repeat(30),
            )
            .unwrap()
        },
        ErrorKind::DataLoss,
        "the file is not a SQLite database; move it away or restore a backup",
    );
    check(
        &|file| {
            connection(file)
                .batch_execute("CREATE TABLE bookmarks (url TEXT)")
                .unwrap()
        },
        ErrorKind::FailedPrecondition,
        "the database belongs to another program; give the recorder a file of its own",
    );
    check(
        &|file| {
            let mut conn = connection(file);
            conn.applied_migrations().unwrap();
            for step in file_steps() {
                conn.run_migration(step.as_ref()).unwrap();
            }
            conn.batch_execute(
                "INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231235959')",
            )
            .unwrap();
        },
        ErrorKind::FailedPrecondition,
        &format!(
            "a newer program wrote the database (schema 20991231235959, this one knows up to {}); \
             install the newer program or restore the backup beside the file",
            version_of(file_steps().last().unwrap())
        ),
    );
}

#[test]
fn a_place_that_cannot_hold_a_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = open(&folder.path().join("no/such/a.db")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let in_the_way = open(folder.path()).unwrap_err();
    assert_eq!(
        in_the_way.kind(),
        ErrorKind::FailedPrecondition,
        "{in_the_way}"
    );
    for error in [missing, in_the_way] {
        assert!(error.to_string().contains(folder.path().to_str().unwrap()));
    }
    // Would be a setting, not a name, if SQLite saw it as it is.
    let odd = folder.path().join("file:a?mode=memory");
    drop(open(&odd).unwrap());
    assert!(odd.exists());
}

/// `<YYYY-MM-DD-HHMMSS>_<name>/{up,down}.sql` and nothing else, each time once.
#[test]
fn migration_folders_are_well_formed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
    let folders = names(&root);
    assert_eq!(folders.len(), file_steps().len());
    let mut times = BTreeSet::new();
    for folder in &folders {
        let (time, name) = folder.split_once('_').unwrap();
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00-000000", "{folder}");
        assert!(times.insert(time), "{folder}: the time is taken");
        assert!(
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{folder}"
        );
        let files = names(&root.join(folder));
        assert_eq!(
            files,
            BTreeSet::from(["down.sql".to_owned(), "up.sql".to_owned()])
        );
        for file in files {
            let text = std::fs::read_to_string(root.join(folder).join(&file)).unwrap();
            assert!(!text.trim().is_empty(), "{folder}/{file} is empty");
        }
    }
}

/// `schema.rs` says of every table and column what the migrations made.
#[test]
fn the_schema_for_diesel_is_what_the_migrations_make() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    drop(open(&file).unwrap());
    let mut made = texts(
        &mut connection(&file),
        "SELECT m.name || '.' || c.name || ' ' || c.type || iif(c.\"notnull\", '', ' null') AS text \
         FROM sqlite_master m, pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' ORDER BY m.name, c.cid",
    );
    let mut told = Vec::new();
    let mut table = String::new();
    for line in include_str!("schema.rs")
        .lines()
        .filter(|line| line.starts_with("    "))
    {
        if let Some((column, kind)) = line.trim().split_once(" -> ") {
            let kind = kind.trim_end_matches(',');
            let inner = kind
                .strip_prefix("Nullable<")
                .and_then(|kind| kind.strip_suffix('>'));
            let stored = match inner.unwrap_or(kind) {
                "Text" => "TEXT",
                "BigInt" | "Integer" | "Bool" => "INTEGER",
                "Double" => "REAL",
                other => panic!("{other} is not in the common subset"),
            };
            let null = if inner.is_some() { " null" } else { "" };
            told.push(format!("{table}.{column} {stored}{null}"));
        } else if line.ends_with(") {") {
            table = line.trim().split(' ').next().unwrap().to_owned();
        }
    }
    made.sort();
    told.sort();
    assert_eq!(told, made);
}
