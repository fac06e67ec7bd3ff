//! A crash after each step of a segment's life, and a start after it.

use super::*;

/// A step of making or deleting the third of three segments, done by hand.
type Step = fn(&World, &Open);

fn publish(upto: usize) -> Vec<Step> {
    let steps: [Step; 6] = [
        // The file is open and empty: the first fragment was not written yet.
        |w, _| {
            std::fs::create_dir_all(w.file(2).parent().unwrap()).unwrap();
            std::fs::write(w.file(2), b"").unwrap();
        },
        // Fragments.
        |w, _| film(&w.file(2), START_US + 20 * SECOND_US, 4, false),
        // A fragment that is torn.
        |w, _| {
            film(&w.file(2), START_US + 20 * SECOND_US, 9, false);
            let length = std::fs::metadata(w.file(2)).unwrap().len();
            let file = std::fs::OpenOptions::new()
                .write(true)
                .open(w.file(2))
                .unwrap();
            file.set_len(length - 321).unwrap();
        },
        // Closed.
        |w, _| drop(w.film("front", 2)),
        // In the chain.
        |w, o| o.evidence.recorded(&[w.row(o, "front", 2)], None).unwrap(),
        // Listed.
        |w, o| assert!(o.store.insert_segment(&w.row(o, "front", 2)).unwrap()),
    ];
    steps[..upto].to_vec()
}

#[test]
fn a_crash_after_any_step_of_making_a_segment_is_put_right() {
    let expect = [(2, 0), (3, 40), (3, 80), (3, 100), (3, 100), (3, 100)];
    for (upto, (segments, pictures)) in expect.into_iter().enumerate() {
        let world = World::with(2);
        for step in publish(upto + 1) {
            step(&world, &world.open());
        }
        let what = format!("after step {upto}");
        let (_, report) = world.check(Level::Start, true);
        assert!(report.is_clean(), "{what}: {report:?}");
        world.assert_clean(&what);
        let rows = world.rows();
        assert_eq!(rows.len(), segments, "{what}");
        if let Some(last) = rows.get(2) {
            assert_eq!(last.frames, pictures, "{what}");
            assert!(!last.discont, "{what}: it follows on from the one before");
            assert_eq!(
                last.end_us - last.start_us,
                i64::try_from(pictures).unwrap() * SECOND_US / 10
            );
        }
        let verified = world.verify();
        assert!(verified.is_whole(), "{what}: {:?}", verified.findings);
        assert_eq!(
            verified.entries, segments as u64,
            "{what}: no segment has two entries"
        );
        // A second start has nothing to do.
        assert_eq!(
            world.check(Level::Start, true).0,
            Vec::<String>::new(),
            "{what}"
        );
    }
}

#[test]
fn what_does_not_follow_on_is_marked() {
    let world = World::with(2);
    // Three seconds are missing before it.
    film(&world.file(2), START_US + 23 * SECOND_US, 4, false);
    world.check(Level::Start, true);
    assert!(world.rows()[2].discont);
    world.assert_clean("a recording with a hole before it");
}

#[test]
fn a_crash_after_any_step_of_deleting_a_segment_is_put_right() {
    for upto in 0..3 {
        let world = World::with(3);
        {
            let open = world.open();
            let row = world.rows_of(&open).remove(0);
            // The row goes, and its name enters the list of garbage.
            open.store
                .discard_segments(std::slice::from_ref(&row.id), "age")
                .unwrap();
            if upto >= 1 {
                // The chain hears of it.
                let rows = [row];
                open.evidence.deleted(&rows, "age").unwrap();
            }
            if upto >= 2 {
                // The file goes; its name is still in the list.
                std::fs::remove_file(world.file(0)).unwrap();
            }
        }
        let what = format!("after step {upto}");
        let (lines, _) = world.check(Level::Start, true);
        assert_eq!(
            lines,
            Vec::<String>::new(),
            "{what}: whoever deletes goes on with it"
        );
        world.assert_clean(&what);
        assert_eq!(world.rows().len(), 2, "{what}: it is not listed again");
        assert_eq!(world.file(0).exists(), upto < 2, "{what}");
    }
}
