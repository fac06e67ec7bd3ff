//! The index made anew from the files.

use nvr_base::Principal;
use nvr_store::{EventFilter, NewCamera, PageRequest};

use super::*;
use crate::config::StorageConfig;

fn rebuild_it(world: &World, hash: bool) -> Rebuilt {
    rebuild(
        &StorageConfig::at(world.folder.path()),
        &world.clock,
        hash,
        &mut |_| {},
    )
    .unwrap()
}

/// What the ledger says of the camera.
fn coverage(world: &World) -> Vec<(i64, i64)> {
    world
        .rows()
        .iter()
        .map(|row| (row.start_us, row.end_us))
        .collect()
}

fn camera() -> NewCamera {
    NewCamera {
        name: "yard".to_owned(),
        uri: "test://ball".to_owned(),
        title: None,
        sub_uri: None,
        pipeline: "record".to_owned(),
        params_json: "{}".to_owned(),
        enabled: true,
        user: None,
        password: None,
    }
}

#[test]
fn everything_of_the_segments_comes_back_from_the_files_alone() {
    let world = World::with(6);
    let before = world.rows();
    for name in ["nvrd.db", "nvrd.db-wal", "nvrd.db-shm"] {
        // The logs are there only while it is used.
        drop(std::fs::remove_file(world.folder.path().join(name)));
    }
    let rebuilt = rebuild_it(&world, false);
    assert_eq!(
        (rebuilt.segments, rebuilt.hashed_by_chain, rebuilt.hashed),
        (6, 6, 0)
    );
    assert_eq!((rebuilt.aside, rebuilt.left_out_count), (None, 0));
    let strip = |rows: Vec<SegmentRow>| -> Vec<SegmentRow> {
        rows.into_iter()
            .map(|row| SegmentRow {
                id: String::new(),
                ..row
            })
            .collect()
    };
    let after = world.rows();
    assert_eq!(strip(after), strip(before));
    world.assert_clean("after the rebuild");
}

#[test]
fn without_a_chain_the_hashes_come_from_the_files() {
    let world = World::with(3);
    std::fs::remove_dir_all(world.folder.path().join("evidence")).unwrap();
    assert_eq!(rebuild_it(&world, false).hashed, 0);
    assert!(world.rows().iter().all(|row| row.blake3.is_none()));
    let rebuilt = rebuild_it(&world, true);
    assert_eq!((rebuilt.hashed, rebuilt.hashed_by_chain), (3, 0));
    assert!(world.rows().iter().all(|row| row.blake3.is_some()));
}

/// Ruins a database in one place after another.
#[test]
fn what_can_be_read_of_a_damaged_index_is_saved() {
    let all = Principal::system();
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage, bool); 4] = [
        ("nothing", |_| {}, true),
        ("its header", |bytes| bytes[..100].fill(0xff), false),
        (
            "its last pages",
            |bytes| {
                let length = bytes.len();
                bytes[length - 3 * 4096..].fill(0xff);
            },
            true,
        ),
        (
            "its end is cut off",
            |bytes| bytes.truncate(bytes.len() / 2),
            true,
        ),
    ];
    for (what, damage, may_save) in damages {
        let world = World::with(4);
        let (before, ids) = {
            let open = world.open();
            open.store.insert_camera(&camera()).unwrap();
            open.store
                .add_gap("front", "paused", 1, Some(2), None)
                .unwrap();
            open.store
                .protect_segments("front", START_US, START_US + SECOND_US, true)
                .unwrap();
            open.store.settle().unwrap();
            (coverage_of(&open), ids_of(&open))
        };
        let database = world.folder.path().join("nvrd.db");
        let mut bytes = std::fs::read(&database).unwrap();
        damage(&mut bytes);
        std::fs::write(&database, &bytes).unwrap();
        let rebuilt = rebuild_it(&world, false);
        let aside = rebuilt.aside.expect("the old one is kept");
        assert!(
            aside.to_string_lossy().contains("nvrd.db.damaged-2026"),
            "{}",
            aside.display()
        );
        assert_eq!(
            std::fs::read(&aside).unwrap(),
            bytes,
            "{what}: it is kept as it was"
        );
        assert_eq!(coverage(&world), before, "{what}");
        let open = world.open();
        if what == "nothing" {
            assert_eq!(ids_of(&open), ids);
            assert_eq!(open.store.list_cameras().unwrap()[0].name, "yard");
            assert_eq!(open.store.gaps(all, "front", 0, 10, 10).unwrap().len(), 1);
            assert!(
                open.store
                    .has_protected("front", START_US, START_US + SECOND_US)
                    .unwrap()
            );
            let page = PageRequest { page: 1, limit: 10 };
            assert_eq!(
                open.store
                    .events(all, &EventFilter::default(), page)
                    .unwrap()
                    .total,
                0
            );
        } else if !may_save {
            assert!(
                rebuilt.salvaged.iter().all(|table| table.problem.is_some()),
                "{:?}",
                rebuilt.salvaged
            );
        }
        drop(open);
        world.assert_clean(what);
    }
}

fn coverage_of(open: &Open) -> Vec<(i64, i64)> {
    let rows = open
        .store
        .segments(Principal::system(), "front", i64::MIN, i64::MAX, 500)
        .unwrap();
    rows.iter().map(|row| (row.start_us, row.end_us)).collect()
}

fn ids_of(open: &Open) -> Vec<String> {
    let rows = open
        .store
        .segments(Principal::system(), "front", i64::MIN, i64::MAX, 500)
        .unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

#[test]
fn what_is_torn_or_altered_is_named_and_left_to_the_repair() {
    let world = World::with(3);
    film(&world.file(3), START_US + 30 * SECOND_US, 3, false);
    let length = std::fs::metadata(world.file(3)).unwrap().len();
    std::fs::OpenOptions::new()
        .write(true)
        .open(world.file(3))
        .unwrap()
        .set_len(length - 10)
        .unwrap();
    std::fs::write(world.file(4), "rubbish").unwrap();
    let rebuilt = rebuild_it(&world, false);
    assert_eq!((rebuilt.segments, rebuilt.left_out_count), (3, 2));
    assert!(
        rebuilt.left_out[0].contains("its end is torn"),
        "{:?}",
        rebuilt.left_out
    );
    world.check(Level::Start, true);
    world.assert_clean("after the start");
    assert_eq!(world.rows().len(), 4);
}
