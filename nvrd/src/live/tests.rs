//! What counts as recording, and what as trouble.

use super::*;

const S: i64 = 1_000_000;

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn opened(location: &str, at: i64, pts_s: u64) -> SegmentOpened {
    SegmentOpened {
        location: location.to_owned(),
        start_ns: pts_s * 1_000_000_000,
        start_unix_us: at * S,
    }
}

fn fragment(location: &str, end: i64) -> FragmentWritten {
    FragmentWritten {
        location: location.to_owned(),
        bytes: 1,
        end_ns: 0,
        end_unix_us: end * S,
        synced: false,
    }
}

fn closed(location: &str, start: i64, end: i64, pts_end_s: u64) -> SegmentClosed {
    SegmentClosed {
        location: location.to_owned(),
        start_ns: 0,
        end_ns: pts_end_s * 1_000_000_000,
        start_unix_us: start * S,
        end_unix_us: end * S,
        frames: 1,
        bytes: 1,
        codec: "h264".to_owned(),
        width: 1,
        height: 1,
        keyframes: Vec::new(),
        blake3: String::new(),
        discont: false,
        audio: None,
    }
}

fn label(camera: &Camera, at: u64) -> Option<String> {
    camera.problem(second(at), 0).map(|failure| failure.label)
}

#[test]
fn a_camera_that_should_record_and_does_not_is_in_trouble() {
    let mut camera = Camera::new(second(0));
    assert_eq!(label(&camera, 100), None, "it is stopped");
    camera.state(CameraState::Starting, second(100), 0);
    assert_eq!(label(&camera, 105), None);
    assert_eq!(label(&camera, 106).as_deref(), Some("not_recording"));
    camera.opened(&opened("a", 0, 0), second(106));
    camera.state(CameraState::Running, second(106), 0);
    camera.fragment(&fragment("a", 1), second(110));
    assert_eq!(label(&camera, 115), None);
    assert!(camera.recording(second(115)).writes);
    assert!(!camera.recording(second(116)).writes);
    camera.gap_begins(GapReason::DiskFull, 5 * S, Some("free some"));
    let failure = camera.problem(second(111), 0).unwrap();
    assert_eq!(
        (
            failure.label.as_str(),
            failure.since_us,
            failure.detail.as_deref()
        ),
        ("disk_full", 5 * S, Some("free some"))
    );
    // Nothing is expected of a camera that a person paused, or that waits for an event.
    camera.gap_begins(GapReason::Paused, 6 * S, None);
    assert_eq!(label(&camera, 200), None);
    camera.gap_ends(GapReason::Paused, 7 * S, second(200));
    camera.gap_ends(GapReason::DiskFull, 7 * S, second(200));
    camera.gap_begins(GapReason::NoEvent, 8 * S, None);
    assert_eq!((label(&camera, 300), camera.should_write()), (None, false));
    // But a camera that is lost will miss the event too.
    camera.gap_begins(GapReason::SourceLost, 9 * S, None);
    assert_eq!(label(&camera, 300).as_deref(), Some("source_lost"));
    camera.opened(&opened("b", 20, 9), second(301));
    assert_eq!(label(&camera, 301), None);
    camera.state(CameraState::Stopped, second(400), 0);
    assert_eq!(label(&camera, 500), None);
}

#[test]
fn what_has_no_row_yet_is_recorded_all_the_same() {
    let mut camera = Camera::new(second(0));
    camera.state(CameraState::Running, second(0), 0);
    let spans = |camera: &Camera| -> Vec<(i64, i64)> {
        let pieces = camera.unlisted();
        pieces
            .iter()
            .map(|p| (p.start_us / S, p.end_us / S))
            .collect()
    };
    assert_eq!(camera.opened(&opened("a", 10, 5), second(1)), None);
    camera.fragment(&fragment("a", 14), second(2));
    camera.fragment(&fragment("other", 99), second(2));
    assert_eq!(spans(&camera), [(10, 14)]);
    camera.closed(&closed("a", 10, 15, 10), second(3));
    // Wall clock and pictures went on alike.
    assert_eq!(
        camera.opened(&opened("b", 15, 10), second(3)),
        None.or(Some((-84 * S, 0)))
    );
    camera.fragment(&fragment("b", 16), second(4));
    assert_eq!(spans(&camera), [(10, 15), (15, 16)]);
    camera.settled("a");
    assert_eq!(spans(&camera), [(15, 16)]);
    for n in 0..2 * MAX_UNLISTED {
        camera.closed(&closed(&n.to_string(), 0, 1, 0), second(5));
    }
    assert_eq!(camera.unlisted().len(), MAX_UNLISTED + 1);
}

#[test]
fn a_step_of_the_wall_clock_is_told_from_missing_pictures() {
    let check = |start: i64, pts_s: u64, expect: (i64, i64)| {
        let mut camera = Camera::new(second(0));
        camera.state(CameraState::Starting, second(0), 0);
        camera.opened(&opened("a", 10, 0), second(0));
        camera.closed(&closed("a", 10, 20, 10), second(0));
        let went = camera.opened(&opened("b", start, pts_s), second(0));
        assert_eq!(went, Some((expect.0 * S, expect.1 * S)));
    };
    check(20, 10, (0, 0));
    check(60, 10, (40, 0));
    check(60, 50, (40, 40));
}

#[test]
fn the_ledger_ends_where_a_camera_that_writes_has_written() {
    let mut camera = Camera::new(second(0));
    camera.state(CameraState::Starting, second(0), 100 * S);
    assert_eq!(camera.known_until(second(1), 101 * S), 100 * S);
    camera.opened(&opened("a", 102, 0), second(3));
    camera.fragment(&fragment("a", 103), second(4));
    assert_eq!(camera.known_until(second(5), 105 * S), 103 * S);
    // So long nobody is only slow.
    assert_eq!(camera.known_until(second(60), 160 * S), 160 * S);
    camera.gap_begins(GapReason::SourceLost, 103 * S, None);
    assert_eq!(camera.known_until(second(6), 106 * S), 106 * S);
}

#[test]
fn counters_count() {
    let live = Live::default();
    live.counters().drop_segment();
    live.counters().find_segment();
    live.counters().set_waiting(7);
    let counts = live.counters().counts();
    assert_eq!(
        (
            counts.dropped_segments,
            counts.found_segments,
            counts.waiting,
            counts.failures
        ),
        (1, 1, 7, 0)
    );
}
