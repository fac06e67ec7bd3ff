//! What walks over a large storage cost; it takes minutes, so it runs only by name:
//! `cargo nextest run -p nvrd --run-ignored only --no-capture figures`.

use std::time::Instant;

use super::*;

/// Files of each camera.
const EACH: i64 = 25_000;
const CAMERAS: [&str; 4] = ["north", "east", "south", "west"];

#[test]
#[ignore = "makes a hundred thousand files"]
fn figures_of_a_large_storage() {
    let world = World::new();
    let open = world.open();
    let id = open.storage.first().id().unwrap().to_owned();
    for camera in CAMERAS {
        let mut rows = Vec::new();
        for n in 0..EACH {
            let path = World::path(camera, n);
            let file = world.folder.path().join("recordings").join(&path);
            film(&file, START_US + n * 10 * SECOND_US, 1, true);
            let found = inspect::inspect(&file).unwrap();
            let made = SegmentRow {
                id: open.store.new_id(),
                camera: camera.to_owned(),
                path,
                start_us: found.start_unix_us.unwrap(),
                end_us: found.end_unix_us.unwrap(),
                frames: found.frames,
                bytes: found.file_bytes,
                codec: found.codec,
                width: found.width,
                height: found.height,
                blake3: Some(inspect::hash(&file).unwrap()),
                discont: true,
                keyframes: found
                    .keyframes
                    .iter()
                    .map(|key| (key.offset_ns, key.byte))
                    .collect(),
                storage: id.clone(),
                protected: false,
                audio: None,
            };
            rows.push(made);
        }
        for rows in rows.chunks(1000) {
            open.evidence.recorded(rows, None).unwrap();
            open.store.insert_segments(rows).unwrap();
        }
    }
    let started = Instant::now();
    for n in 0..200 {
        let row = crate::evidence::tests_support::row("alone", n);
        open.evidence.recorded(&[row], None).unwrap();
    }
    println!("one entry with its sync: {:?}", started.elapsed() / 200);
    std::fs::remove_dir_all(world.folder.path().join("evidence/alone")).unwrap();
    drop(open);
    for level in [Level::Start, Level::Names, Level::Deep] {
        let started = Instant::now();
        let (lines, report) = world.check(level, false);
        assert_eq!(lines, Vec::<String>::new());
        println!(
            "{level:?}: {} files and rows in {:?}",
            report.files,
            started.elapsed()
        );
    }
    let started = Instant::now();
    let config = crate::config::StorageConfig::at(world.folder.path());
    let rebuilt = rebuild(&config, &world.clock, false, &mut |_| {}).unwrap();
    println!(
        "rebuild: {} files in {:?}",
        rebuilt.segments,
        started.elapsed()
    );
    assert_eq!(rebuilt.segments, 4 * EACH as u64);
    let started = Instant::now();
    let entries =
        crate::evidence::Said::read(&world.folder.path().join("evidence/north"), "", None).unwrap();
    println!(
        "one chain of {} entries in {:?}",
        entries.live.len(),
        started.elapsed()
    );
}
