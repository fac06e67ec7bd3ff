//! Segments: stored once, found by time and path, summed up, refused.

use nvr_base::{ErrorKind, Principal};
use nvr_store::{CameraTotals, SegmentRow, StoreChange};
use proptest::prelude::*;

use crate::support::{EVIL, NOW_US, SECOND_US, TestStore, segment};

#[test]
fn a_segment_is_stored_once_and_read_back_whole() {
    let test = TestStore::new();
    let mut row = segment("front", 0);
    (row.frames, row.bytes, row.width) = (u64::MAX, 0, u32::MAX);
    row.keyframes = vec![(0, 0), (u64::MAX, u64::MAX)];
    row.blake3 = None;
    assert!(test.store.insert_segment(&row).unwrap());
    assert!(!test.store.insert_segment(&row).unwrap());
    assert_eq!(
        test.after_kill()
            .segment(Principal::system(), &row.id)
            .unwrap(),
        row
    );

    let mut other = segment("front", 0);
    other.id = "other".to_owned();
    let error = test.store.insert_segment(&other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(
        error.to_string().contains(r#""front/00000000.mp4""#),
        "{error}"
    );
    other.storage = "another disk".to_owned();
    assert!(test.store.insert_segment(&other).unwrap());

    assert_eq!(test.store.delete_segment(&row.id).unwrap(), row);
    for error in [
        test.store
            .segment(Principal::system(), &row.id)
            .unwrap_err(),
        test.store.delete_segment(&row.id).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            r#"no segment has the id "front-00000000""#
        );
    }
}

#[test]
fn a_range_finds_what_reaches_into_it() {
    let test = TestStore::new();
    for number in (0..10).rev() {
        test.store
            .insert_segment(&segment("front", number))
            .unwrap();
    }
    test.store.insert_segment(&segment("yard", 3)).unwrap();
    let check = |start: i64, end: i64, limit: u32, expect: &[i64]| {
        let found = test
            .store
            .segments(
                Principal::system(),
                "front",
                NOW_US + start * SECOND_US,
                NOW_US + end * SECOND_US,
                limit,
            )
            .unwrap();
        let expect: Vec<_> = expect
            .iter()
            .map(|number| segment("front", *number))
            .collect();
        assert_eq!(found, expect, "{start}..{end}");
    };
    check(0, 100, 500, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    check(0, 100, 3, &[0, 1, 2]);
    check(25, 45, 500, &[2, 3, 4]);
    check(20, 40, 500, &[2, 3]);
    check(25, 26, 500, &[2]);
    check(-50, 0, 500, &[]);
    check(100, 500, 500, &[]);
    check(40, 20, 500, &[]);
    for limit in [0, 501] {
        let error = test
            .store
            .segments(Principal::system(), "front", 0, 1, limit)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

/// Against the plain definition, with lengths from nothing to years as a clock that was set leaves them.
#[test]
fn a_range_finds_segments_of_any_length() {
    let test = TestStore::new();
    let case = std::cell::Cell::new(0);
    let lengths = prop_oneof![0..20_i64, Just(5_000_000), Just(-3)];
    proptest!(ProptestConfig::with_cases(48), |(
        made in proptest::collection::vec((0..100_i64, lengths), 0..12),
        ranges in proptest::collection::vec((-10..120_i64, -10..120_i64), 8),
    )| {
        case.set(case.get() + 1);
        let camera = format!("camera-{}", case.get());
        let rows: Vec<SegmentRow> = made
            .iter()
            .enumerate()
            .map(|(index, (start, length))| SegmentRow {
                start_us: *start,
                end_us: start + length,
                ..segment(&camera, i64::try_from(index).unwrap())
            })
            .collect();
        let batch: Vec<_> = rows.iter().cloned().map(StoreChange::Segment).collect();
        test.store.apply_batch(&batch).unwrap();
        for (start_us, end_us) in ranges {
            let mut expect: Vec<_> = rows
                .iter()
                .filter(|row| row.start_us < end_us && row.end_us > start_us)
                .cloned()
                .collect();
            expect.sort_by(|a, b| (a.start_us, &a.id).cmp(&(b.start_us, &b.id)));
            let found = test.store.segments(Principal::system(), &camera, start_us, end_us, 500).unwrap();
            prop_assert_eq!(found, expect);
        }
    });
}

#[test]
fn recovery_sees_the_paths() {
    let test = TestStore::new();
    for number in [2, 0, 1] {
        test.store
            .insert_segment(&segment("front", number))
            .unwrap();
    }
    let paths = test.store.segment_paths("front").unwrap();
    assert_eq!(
        paths,
        [
            "front/00000000.mp4",
            "front/00000001.mp4",
            "front/00000002.mp4"
        ]
    );
    assert!(test.store.has_segment_path("", &paths[1]).unwrap());
    assert!(!test.store.has_segment_path("other", &paths[1]).unwrap());
    assert!(
        !test
            .store
            .has_segment_path("", "front/0000000_.mp4")
            .unwrap()
    );
    assert!(test.store.segment_paths("yard").unwrap().is_empty());
}

#[test]
fn totals_are_per_camera() {
    let test = TestStore::new();
    assert_eq!(test.store.camera_totals().unwrap(), vec![]);
    for number in 0..3 {
        test.store
            .insert_segment(&segment("front", number))
            .unwrap();
    }
    test.store.insert_segment(&segment("attic", 5)).unwrap();
    let totals = |camera: &str, segments: u64, first: i64, last: i64| CameraTotals {
        camera: camera.to_owned(),
        segments,
        bytes: segments * 5_000_000,
        first_us: NOW_US + first * SECOND_US,
        last_us: NOW_US + last * SECOND_US,
    };
    assert_eq!(
        test.store.camera_totals().unwrap(),
        [totals("attic", 1, 50, 60), totals("front", 3, 0, 30)]
    );
}

#[test]
fn paths_that_lead_out_of_the_storage_are_refused() {
    let test = TestStore::new();
    for path in [
        "",
        "/etc/passwd",
        "../x.mp4",
        "a/../../x.mp4",
        ".",
        "a\0b.mp4",
    ] {
        let mut row = segment("front", 0);
        row.path = path.to_owned();
        let error = test.store.insert_segment(&row).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{path:?}");
    }
    for (index, text) in EVIL
        .iter()
        .enumerate()
        .filter(|(_, text)| !text.contains('\0'))
    {
        let mut row = segment("front", i64::try_from(index).unwrap());
        row.path = (*text).to_owned();
        row.camera = (*text).to_owned();
        row.codec = (*text).to_owned();
        assert!(test.store.insert_segment(&row).unwrap());
        assert_eq!(
            test.store.segment(Principal::system(), &row.id).unwrap(),
            row
        );
        assert_eq!(test.store.segment_paths(text).unwrap(), [*text]);
    }
}
