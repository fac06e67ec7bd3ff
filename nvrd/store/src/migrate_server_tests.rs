//! Tests of the migrations on a server: forth and back, from every earlier schema, and that both databases agree.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step fails the test, and the setting for tests does not reach helpers"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::pg::{Pg, PgConnection};
use diesel::sqlite::Sqlite;
use nvr_base::SimulatedClock;

use super::*;
use crate::dialect::lines;
use crate::dialect::postgres::BYTEWISE;
use crate::postgres_for_tests::{self as postgres, Database};
use crate::{Server, Store};

fn database() -> Option<Database> {
    let database = Database::empty();
    if database.is_none() {
        postgres::skip("the migrations for it are not looked at");
    }
    database
}

fn on_server(database: &Database) -> Place {
    Place::Server(Server::new(&database.url(), None).unwrap())
}

fn connection(database: &Database) -> PgConnection {
    PgConnection::establish(&database.url()).unwrap()
}

fn server_steps() -> Vec<Step<Pg>> {
    steps(FOR_SERVERS, &Place::File("x".into())).unwrap()
}

fn open(database: &Database) -> Result<Store> {
    Store::open_at(&on_server(database), Arc::new(SimulatedClock::at(1)))
}

/// Every column, index, constraint, trigger and function as the server tells it.
fn schema(conn: &mut PgConnection) -> Vec<String> {
    let query = "SELECT line FROM (
        SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' ||
            coalesce(column_default, '') || ' ' || coalesce(collation_name, '') AS line
            FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT conrelid::regclass::text || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ) AS everything WHERE line NOT LIKE '%\\_\\_diesel%' ORDER BY line COLLATE \"C\"";
    lines(conn, query).unwrap()
}

#[test]
fn down_undoes_up_step_by_step() {
    let Some(database) = database() else { return };
    let mut conn = connection(&database);
    conn.applied_migrations().unwrap();
    let known = server_steps();
    let mut before = Vec::new();
    for step in &known {
        before.push(schema(&mut conn));
        conn.run_migration(step.as_ref()).unwrap();
        conn.batch_execute(BYTEWISE).unwrap();
    }
    for (step, before) in known.iter().zip(&before).rev() {
        conn.revert_migration(step.as_ref()).unwrap();
        assert_eq!(&schema(&mut conn), before, "after down of {}", step.name());
    }
}

/// From some earlier schemas, with a row in it; the last step of one fails first, and nothing is changed then.
#[test]
fn an_earlier_schema_is_brought_up_with_its_rows_or_stays_as_it_is() {
    let Some(fresh) = database() else { return };
    drop(open(&fresh).unwrap());
    let fresh = schema(&mut connection(&fresh));
    let known = server_steps();
    for count in [1, 4, known.len() - 1] {
        let Some(database) = database() else { return };
        let mut conn = connection(&database);
        conn.applied_migrations().unwrap();
        for step in &known[..count] {
            conn.run_migration(step.as_ref()).unwrap();
            conn.batch_execute(BYTEWISE).unwrap();
        }
        conn.batch_execute(
            "INSERT INTO cameras (name, uri, pipeline, params_json, enabled, created_us, updated_us) \
             VALUES ('front', 'rtsp://x', 'record', '{}', true, 1, 2)",
        )
        .unwrap();
        if count == 1 {
            // A later step makes a table of that name.
            conn.batch_execute("CREATE TABLE timelapses (mine TEXT)")
                .unwrap();
            let before = schema(&mut conn);
            let error = open(&database).unwrap_err();
            let says = "2026-11-20-130500_timelapses failed and was undone";
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(schema(&mut conn), before);
            conn.batch_execute("DROP TABLE timelapses").unwrap();
        }
        let store = open(&database).unwrap();
        assert_eq!(store.camera("front").unwrap().updated_us, 2);
        assert_eq!(schema(&mut conn), fresh, "from step {count}");
    }
}

/// A line for everything that the two databases have to agree on, in the words of neither.
#[test]
fn both_databases_have_the_same_schema() {
    let Some(database) = database() else { return };
    let file_versions: Vec<String> = {
        let steps: Vec<Step<Sqlite>> = steps(FOR_FILES, &Place::File("x".into())).unwrap();
        steps.iter().map(|step| step.name().to_string()).collect()
    };
    let server_versions: Vec<String> = server_steps()
        .iter()
        .map(|step| step.name().to_string())
        .collect();
    assert_eq!(file_versions, server_versions);

    drop(open(&database).unwrap());
    let mut server = connection(&database);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    drop(Store::open(&file, Arc::new(SimulatedClock::at(1))).unwrap());
    let mut sqlite = SqliteConnection::establish(file.to_str().unwrap()).unwrap();

    // The store's own connections are closed on a thread of the pool.
    sqlite.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
    let told = told_columns();
    let columns = "SELECT table_name || '.' || column_name || ' ' || data_type || \
         CASE is_nullable WHEN 'YES' THEN ' null' ELSE '' END || \
         CASE WHEN data_type = 'text' AND collation_name IS DISTINCT FROM 'C' THEN ' not bytewise' ELSE '' END AS line \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'";
    assert_eq!(set(lines(&mut server, columns).unwrap()), told);

    // Primary keys and unique columns are indexes here and constraints there: by table and columns.
    let server_indexes = "SELECT t.relname || CASE WHEN x.indisunique THEN ' unique ' ELSE ' ' END ||
             (SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(x.indkey) WITH ORDINALITY k(attnum, n)
                 JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum) ||
             CASE WHEN x.indpred IS NULL THEN '' ELSE ' partial' END AS line
         FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid
         WHERE t.relnamespace = 'public'::regnamespace AND t.relname NOT LIKE '\\_\\_%'";
    let file_indexes = "SELECT m.name || iif(l.\"unique\", ' unique ', ' ') ||
             (SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno)) ||
             iif(l.partial, ' partial', '') AS line
         FROM sqlite_master m, pragma_index_list(m.name) l
         WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'";
    // A primary key of one integer is the row's number in a file, and no index.
    let mut indexes = set(lines(&mut sqlite, file_indexes).unwrap());
    let numbered = "SELECT m.name || ' unique ' || c.name AS line FROM sqlite_master m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND c.pk = 1 AND c.type = 'INTEGER'
             AND NOT EXISTS (SELECT 1 FROM pragma_table_info(m.name) d WHERE d.pk = 2)";
    indexes.extend(lines(&mut sqlite, numbered).unwrap());
    assert_eq!(set(lines(&mut server, server_indexes).unwrap()), indexes);

    let server_keys = "SELECT c.conrelid::regclass::text || ' -> ' || c.confrelid::regclass::text || ' ' || c.confdeltype::text AS line
         FROM pg_constraint c WHERE c.contype = 'f'";
    let file_keys = "SELECT m.name || ' -> ' || f.\"table\" || ' ' ||
             CASE f.on_delete WHEN 'CASCADE' THEN 'c' WHEN 'SET NULL' THEN 'n' WHEN 'RESTRICT' THEN 'r' ELSE 'a' END
             AS line FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'";
    assert_eq!(
        set(lines(&mut server, server_keys).unwrap()),
        set(lines(&mut sqlite, file_keys).unwrap())
    );

    let server_triggers = "SELECT t.tgname || ' on ' || c.relname AS line FROM pg_trigger t
         JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal";
    let file_triggers =
        "SELECT name || ' on ' || tbl_name AS line FROM sqlite_master WHERE type = 'trigger'";
    assert_eq!(
        set(lines(&mut server, server_triggers).unwrap()),
        set(lines(&mut sqlite, file_triggers).unwrap())
    );

    // A boolean needs no check there; every other one is counted by table.
    let server_checks =
        "SELECT c.conrelid::regclass::text || ' ' || count(*) AS line FROM pg_constraint c
         WHERE c.contype = 'c' AND c.connamespace = 'public'::regnamespace GROUP BY c.conrelid";
    let mut checks = BTreeSet::new();
    let tables = "SELECT name || ' ' || sql AS line FROM sqlite_master WHERE type = 'table'";
    for table in lines(&mut sqlite, tables).unwrap() {
        let name = table.split(' ').next().unwrap();
        let count = table.matches("CHECK (").count() - table.matches(" IN (0, 1))").count();
        if count > 0 {
            checks.insert(format!("{name} {count}"));
        }
    }
    assert_eq!(set(lines(&mut server, server_checks).unwrap()), checks);
}

fn set(lines: Vec<String>) -> BTreeSet<String> {
    let count = lines.len();
    let set: BTreeSet<String> = lines.into_iter().collect();
    assert_eq!(set.len(), count, "the same twice");
    set
}

/// The columns of `schema.rs` in the words of a server.
fn told_columns() -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    let mut table = String::new();
    let lines = include_str!("schema.rs").lines();
    for line in lines.filter(|line| line.starts_with("    ")) {
        if let Some((column, kind)) = line.trim().split_once(" -> ") {
            let kind = kind.trim_end_matches(',');
            let inner = kind.strip_prefix("Nullable<");
            let inner = inner.and_then(|kind| kind.strip_suffix('>'));
            let stored = match inner.unwrap_or(kind) {
                "Text" => "text",
                "BigInt" => "bigint",
                "Integer" => "integer",
                "Bool" => "boolean",
                "Double" => "double precision",
                "Binary" => "bytea",
                other => panic!("{other} is not in the common subset"),
            };
            let null = if inner.is_some() { " null" } else { "" };
            told.insert(format!("{table}.{column} {stored}{null}"));
        } else if line.ends_with(") {") {
            table = line.trim().split(' ').next().unwrap().to_owned();
        }
    }
    told
}
