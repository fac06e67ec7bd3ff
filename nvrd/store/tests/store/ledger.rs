//! Runs, what happens to a recording as rows of gaps, and the ledger that is made of them.

use nvr_base::{ErrorKind, Principal};
use nvr_store::{GapChange, GapStep, Recorded, SegmentRow, StoreChange, Stretch};

use crate::support::{NOW_US, SECOND_US, TestStore, segment};

fn at(second: i64) -> i64 {
    NOW_US + second * SECOND_US
}

fn change(covered: Option<i64>, what: GapStep) -> StoreChange {
    StoreChange::Gap(GapChange {
        camera: "front".to_owned(),
        covered_us: covered.map(at),
        what,
    })
}

fn begins(reason: &str, start: i64) -> GapStep {
    GapStep::Begins {
        reason: reason.to_owned(),
        start_us: at(start),
        end_us: None,
        detail: Some(format!("{reason} at {start}")),
    }
}

fn ends(reason: &str, end: i64) -> GapStep {
    GapStep::Ends {
        reason: Some(reason.to_owned()),
        end_us: at(end),
    }
}

fn resumes(second: i64) -> GapStep {
    GapStep::Resumes {
        at_us: at(second),
        reason: "overload".to_owned(),
        detail: None,
    }
}

/// The `number`th ten seconds.
fn recorded(number: i64) -> StoreChange {
    StoreChange::Segment(segment("front", number))
}

impl TestStore {
    fn happens(&self, changes: &[StoreChange]) {
        let done = self.store.apply_batch(changes).unwrap();
        assert!(done.refused.is_empty(), "{:?}", done.refused);
    }

    /// Rows of gaps as start, end and reason, in seconds.
    fn rows(&self) -> Vec<(i64, Option<i64>, String)> {
        let rows = self
            .store
            .gaps(Principal::system(), "front", i64::MIN, i64::MAX, 500)
            .unwrap();
        let second = |us: i64| (us - NOW_US) / SECOND_US;
        rows.into_iter()
            .map(|gap| (second(gap.start_us), gap.end_us.map(second), gap.reason))
            .collect()
    }

    #[track_caller]
    fn assert_rows(&self, expect: &[(i64, Option<i64>, &str)]) {
        let rows = self.rows();
        let rows: Vec<_> = rows.iter().map(|(a, b, c)| (*a, *b, c.as_str())).collect();
        assert_eq!(rows, expect);
    }

    fn tiles(&self, from: i64, to: i64) -> Vec<(i64, i64, String)> {
        let ledger = self
            .store
            .ledger(
                Principal::system(),
                "front",
                at(from)..at(to),
                &[],
                Some(at(to)),
                500,
            )
            .unwrap();
        let second = |us: i64| (us - NOW_US) / SECOND_US;
        let word = |what: Stretch| match what {
            Stretch::Recorded(_) => "recorded".to_owned(),
            Stretch::Missing { reason, .. } => reason,
        };
        ledger
            .tiles
            .into_iter()
            .map(|tile| (second(tile.start_us), second(tile.end_us), word(tile.what)))
            .collect()
    }
}

#[test]
fn runs_begin_are_seen_and_end() {
    let test = TestStore::new();
    let store = &test.store;
    let first = store.begin_run(at(0)).unwrap();
    store.run_seen(&first.id, at(5)).unwrap();
    store.end_run(&first.id, at(7)).unwrap();
    let second = store.begin_run(at(10)).unwrap();
    store.run_seen(&second.id, at(15)).unwrap();
    // Killed: the next start ends it where it was last seen.
    let store = test.after_kill();
    let third = store.begin_run(at(30)).unwrap();
    let runs = store.runs(at(0), at(100), 10).unwrap();
    let shown: Vec<_> = runs
        .iter()
        .map(|run| (run.started_us, run.ended_us, run.clean))
        .collect();
    assert_eq!(
        shown,
        [
            (at(0), Some(at(7)), true),
            (at(10), Some(at(15)), false),
            (at(30), None, false)
        ]
    );
    let ids = |from, to, limit| -> Vec<String> {
        let runs = store.runs(at(from), at(to), limit).unwrap();
        runs.into_iter().map(|run| run.id).collect()
    };
    assert_eq!(ids(7, 31, 10), [second.id.clone(), third.id.clone()]);
    assert_eq!(ids(0, 31, 1), [third.id.as_str()], "the last ones");
    assert!(ids(15, 30, 10).is_empty());
    for error in [
        store.run_seen("nobody", at(1)).unwrap_err(),
        store.end_run("nobody", at(1)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn a_run_that_was_killed_leaves_only_what_a_person_wanted() {
    let test = TestStore::new();
    let run = test.store.begin_run(at(0)).unwrap();
    test.happens(&[
        change(None, begins("source_lost", 2)),
        change(None, begins("paused", 3)),
        change(None, begins("no_event", 20)),
    ]);
    test.store.run_seen(&run.id, at(5)).unwrap();
    test.store.begin_run(at(60)).unwrap();
    test.assert_rows(&[
        (2, Some(5), "source_lost"),
        (3, None, "paused"),
        (20, Some(20), "no_event"),
    ]);
}

#[test]
fn an_outage_reaches_from_the_last_picture_to_the_next() {
    let test = TestStore::new();
    test.store.begin_run(at(-100)).unwrap();
    test.happens(&[
        recorded(0),
        // Noticed late; the source says it is back before the first key frame comes.
        change(Some(10), begins("source_lost", 13)),
        change(None, ends("source_lost", 27)),
        change(None, resumes(30)),
        recorded(3),
    ]);
    test.assert_rows(&[(10, Some(30), "source_lost")]);
    // Noticed too early: the end of the file was still being written.
    test.happens(&[
        change(Some(40), begins("source_lost", 38)),
        change(None, resumes(50)),
        recorded(5),
    ]);
    test.assert_rows(&[(10, Some(30), "source_lost"), (40, Some(50), "source_lost")]);
    assert_eq!(
        test.tiles(0, 60)
            .iter()
            .map(|tile| tile.2.as_str())
            .collect::<Vec<_>>(),
        [
            "recorded",
            "source_lost",
            "recorded",
            "source_lost",
            "recorded"
        ]
    );
}

#[test]
fn one_outage_is_one_row() {
    let test = TestStore::new();
    test.store.begin_run(at(-100)).unwrap();
    test.happens(&[
        recorded(0),
        change(None, begins("source_lost", 10)),
        change(None, begins("source_lost", 11)),
        change(None, ends("source_lost", 15)),
        // Lost again before a picture was recorded.
        change(None, begins("source_lost", 15)),
        change(None, ends("source_lost", 18)),
        change(None, begins("source_lost", 20)),
        change(None, ends("source_lost", 25)),
        change(None, resumes(30)),
        recorded(3),
    ]);
    test.assert_rows(&[(10, Some(30), "source_lost")]);
    let rows = test
        .store
        .gaps(Principal::system(), "front", at(0), at(100), 5)
        .unwrap();
    assert_eq!(rows[0].detail.as_deref(), Some("source_lost at 10"));
}

#[test]
fn what_nobody_explained_is_explained_when_recording_goes_on() {
    let check = |before: &[StoreChange], expect: &[(i64, Option<i64>, &str)]| {
        let test = TestStore::new();
        test.store.begin_run(at(-100)).unwrap();
        test.happens(&[recorded(0)]);
        test.happens(before);
        test.happens(&[change(None, resumes(50)), recorded(5)]);
        test.assert_rows(expect);
        let unknown = test
            .tiles(0, 60)
            .into_iter()
            .any(|tile| tile.2 == "unknown");
        assert!(!unknown, "{:?}", test.tiles(0, 60));
    };
    check(&[], &[(10, Some(50), "overload")]);
    // The next reason begins where the one before ended, or where the segment did.
    check(
        &[
            change(None, begins("paused", 20)),
            change(None, ends("paused", 30)),
        ],
        &[(10, Some(50), "paused")],
    );
    check(
        &[
            change(None, begins("paused", 20)),
            change(None, ends("paused", 30)),
            change(None, begins("source_lost", 40)),
        ],
        &[(10, Some(30), "paused"), (30, Some(50), "source_lost")],
    );
    // What was deleted says nothing of what is next to it.
    check(
        &[StoreChange::Gap(GapChange {
            camera: "front".to_owned(),
            covered_us: None,
            what: GapStep::Begins {
                reason: "deleted".to_owned(),
                start_us: at(10),
                end_us: Some(at(20)),
                detail: None,
            },
        })],
        &[(10, Some(20), "deleted"), (20, Some(50), "overload")],
    );
}

#[test]
fn a_downtime_needs_no_row() {
    let test = TestStore::new();
    let run = test.store.begin_run(at(-100)).unwrap();
    test.happens(&[recorded(0)]);
    test.store.run_seen(&run.id, at(8)).unwrap();
    test.store.begin_run(at(40)).unwrap();
    test.happens(&[change(None, resumes(50)), recorded(5)]);
    test.assert_rows(&[]);
    assert_eq!(test.tiles(0, 60)[1], (10, 50, "daemon_down".to_owned()));
    // A start that takes longer than any daemon does is somebody's fault.
    let test = TestStore::new();
    let run = test.store.begin_run(at(-100)).unwrap();
    test.happens(&[recorded(0)]);
    test.store.run_seen(&run.id, at(8)).unwrap();
    test.store.begin_run(at(15)).unwrap();
    test.happens(&[change(None, resumes(50)), recorded(5)]);
    test.assert_rows(&[(15, Some(50), "overload")]);
    assert_eq!(test.tiles(0, 60)[1], (10, 15, "daemon_down".to_owned()));
}

#[test]
fn a_ledger_knows_the_lifetime_and_stops_when_it_is_full() {
    let test = TestStore::new();
    test.store.begin_run(at(-100)).unwrap();
    let nothing = test
        .store
        .ledger(
            Principal::system(),
            "front",
            at(0)..at(10),
            &[],
            Some(at(10)),
            100,
        )
        .unwrap();
    assert_eq!((nothing.first_us, nothing.tiles.len()), (None, 0));
    let segments: Vec<SegmentRow> = (0..50).map(|number| segment("front", number * 2)).collect();
    test.happens(
        &segments
            .into_iter()
            .map(StoreChange::Segment)
            .collect::<Vec<_>>(),
    );
    // Asked on until there is no more, the answers tile the whole.
    let (mut from, mut pieces, mut answers) = (at(-50), 0, 0);
    let mut end = at(0);
    loop {
        let ledger = test
            .store
            .ledger(Principal::system(), "front", from..at(5000), &[], None, 20)
            .unwrap();
        assert_eq!(
            (ledger.first_us, ledger.last_us),
            (Some(at(0)), Some(at(990)))
        );
        for tile in &ledger.tiles {
            assert_eq!(tile.start_us, end);
            end = tile.end_us;
            pieces += usize::from(matches!(tile.what, Stretch::Recorded(_)));
        }
        answers += 1;
        match ledger.next_us {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!((end, pieces), (at(990), 50));
    assert!(answers > 2);
    // What is written right now counts, and time goes on for a camera that there is.
    let live = [Recorded {
        id: None,
        start_us: at(990),
        end_us: at(1000),
    }];
    let ledger = test
        .store
        .ledger(
            Principal::system(),
            "front",
            at(985)..at(2000),
            &live,
            Some(at(1010)),
            20,
        )
        .unwrap();
    let ends: Vec<i64> = ledger
        .tiles
        .iter()
        .map(|tile| (tile.end_us - NOW_US) / SECOND_US)
        .collect();
    assert_eq!(ends, [990, 1000, 1010]);
    assert_eq!(ledger.last_us, Some(at(1010)));
}

#[test]
fn changes_without_a_name_are_refused_alone() {
    let test = TestStore::new();
    let nobody = StoreChange::Gap(GapChange {
        camera: String::new(),
        covered_us: None,
        what: resumes(1),
    });
    let done = test
        .store
        .apply_batch(&[
            nobody,
            change(None, begins("", 1)),
            change(None, begins("paused", 1)),
        ])
        .unwrap();
    let refused: Vec<_> = done.refused.iter().map(|refused| refused.index).collect();
    assert_eq!(refused, [0, 1]);
    test.assert_rows(&[(1, None, "paused")]);
}
