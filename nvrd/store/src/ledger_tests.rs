//! Tests of the tiling: by example for each rule, and over random histories for what always holds.

use proptest::prelude::*;

use super::*;

const S: i64 = 1_000_000;

fn piece(id: &str, start_us: i64, end_us: i64) -> Recorded {
    Recorded {
        id: Some(id.to_owned()),
        start_us,
        end_us,
    }
}

fn gap(reason: &str, start_us: i64, end_us: Option<i64>) -> GapRow {
    GapRow {
        id: format!("{reason}{start_us}"),
        camera: "front".to_owned(),
        start_us,
        end_us,
        reason: reason.to_owned(),
        detail: None,
    }
}

fn run(started_us: i64, ended_us: Option<i64>) -> RunRow {
    RunRow {
        id: started_us.to_string(),
        started_us,
        seen_us: ended_us.unwrap_or(started_us),
        ended_us,
        clean: true,
    }
}

/// Tiles as `start-end word`, in seconds or fractions of them.
fn shown(tiles: &[Tile]) -> Vec<String> {
    let seconds = |us: i64| us as f64 / 1e6;
    tiles
        .iter()
        .map(|tile| {
            let what = match &tile.what {
                Stretch::Recorded(id) => id.as_deref().unwrap_or("live"),
                Stretch::Missing { reason, .. } => reason,
            };
            format!("{}-{} {what}", seconds(tile.start_us), seconds(tile.end_us))
        })
        .collect()
}

#[track_caller]
fn check(segments: &[Recorded], gaps: &[GapRow], runs: &[RunRow], expect: &[&str]) {
    let facts = Facts {
        segments,
        gaps,
        runs,
        runs_known_from_us: i64::MIN,
        now_us: 1000 * S,
    };
    assert_eq!(shown(&tile(0..100 * S, &facts)), expect);
}

#[test]
fn segments_win_and_gaps_fill() {
    let always = [run(-100 * S, None)];
    check(&[], &[], &always, &["0-100 unknown"]);
    check(
        &[piece("a", -5 * S, 10 * S), piece("b", 20 * S, 200 * S)],
        &[gap("source_lost", 5 * S, Some(25 * S))],
        &always,
        &["0-10 a", "10-20 source_lost", "20-100 b"],
    );
    // Overlapping, nested, reversed, empty and out of order.
    check(
        &[
            piece("late", 50 * S, 100 * S),
            piece("nested", 5 * S, 6 * S),
            piece("reversed", 40 * S, 30 * S),
            piece("empty", 45 * S, 45 * S),
            piece("a", 0, 10 * S),
            piece("over", 8 * S, 20 * S),
        ],
        &[],
        &always,
        &["0-10 a", "10-20 over", "20-50 unknown", "50-100 late"],
    );
    // What is still written is the listed file as soon as there is one.
    let live = Recorded {
        id: None,
        ..piece("", 0, 100 * S)
    };
    check(&[live, piece("a", 0, 100 * S)], &[], &always, &["0-100 a"]);
}

#[test]
fn the_strongest_reason_wins_and_equal_ones_merge() {
    let always = [run(-100 * S, None)];
    check(
        &[],
        &[
            gap("source_lost", 0, None),
            gap("paused", 30 * S, Some(60 * S)),
            gap("paused", 60 * S, Some(70 * S)),
            gap("paused", 80 * S, Some(75 * S)),
            gap("nonsense", 0, None),
            gap("deleted", 35 * S, Some(40 * S)),
        ],
        &always,
        &[
            "0-30 source_lost",
            "30-35 paused",
            "35-40 deleted",
            "40-70 paused",
            "70-100 source_lost",
        ],
    );
    check(
        &[],
        &[gap("nonsense", 0, Some(50 * S))],
        &always,
        &["0-50 nonsense", "50-100 unknown"],
    );
}

#[test]
fn a_daemon_that_does_not_run_takes_its_start_and_its_end_along() {
    let (a, b) = (piece("a", 0, 20 * S), piece("b", 60 * S, 100 * S));
    let runs = |end: i64, start: i64| [run(0, Some(end * S)), run(start * S, None)];
    let both = [a.clone(), b.clone()];
    check(
        &both,
        &[],
        &runs(25, 50),
        &["0-20 a", "20-60 daemon_down", "60-100 b"],
    );
    // The seen end of a killed run lies before its last picture.
    check(
        &both,
        &[],
        &runs(15, 50),
        &["0-20 a", "20-60 daemon_down", "60-100 b"],
    );
    // Another reason for the start is stronger.
    check(
        &both,
        &[gap("source_lost", 51 * S, Some(60 * S))],
        &runs(25, 50),
        &[
            "0-20 a",
            "20-51 daemon_down",
            "51-60 source_lost",
            "60-100 b",
        ],
    );
    // So long no daemon takes to record.
    check(
        &[a.clone(), piece("b", 90 * S, 100 * S)],
        &[],
        &runs(25, 50),
        &["0-20 a", "20-50 daemon_down", "50-90 unknown", "90-100 b"],
    );
    // A restart without a pause.
    check(
        &both,
        &[],
        &runs(40, 40),
        &["0-20 a", "20-60 daemon_down", "60-100 b"],
    );
    // The wall clock was set back between the runs.
    check(
        &both,
        &[],
        &runs(40, 35),
        &["0-20 a", "20-60 unknown", "60-100 b"],
    );
    // No run reaches into the range.
    check(&[], &[], &[], &["0-100 daemon_down"]);
    // Before the first run that is known nobody knows anything.
    let facts = Facts {
        segments: &[],
        gaps: &[],
        runs: &[run(50 * S, None)],
        runs_known_from_us: 50 * S,
        now_us: 1000 * S,
    };
    assert_eq!(shown(&tile(0..100 * S, &facts)), ["0-100 unknown"]);
}

#[test]
fn seams_belong_to_the_segment_before() {
    let always = [run(-100 * S, None)];
    check(
        &[
            piece("a", 0, 50 * S - 49_999),
            piece("b", 50 * S, 60 * S),
            piece("c", 60 * S + 50_000, 100 * S),
        ],
        &[],
        &always,
        &["0-50 a", "50-60 b", "60-60.05 unknown", "60.05-100 c"],
    );
}

#[test]
fn shares_add_up() {
    let facts = Facts {
        segments: &[piece("a", 10 * S, 40 * S)],
        gaps: &[gap("paused", 0, Some(10 * S))],
        runs: &[run(0, None)],
        runs_known_from_us: 0,
        now_us: 1000 * S,
    };
    let share = Share::of(&tile(0..60 * S, &facts));
    assert_eq!((share.covered_us, share.covered()), (30 * S, 0.5));
    let missing: Vec<_> = share.missing_us.into_iter().collect();
    assert_eq!(
        missing,
        [
            ("paused".to_owned(), 10 * S),
            ("unknown".to_owned(), 20 * S)
        ]
    );
    assert_eq!(Share::of(&[]).covered(), 1.0);
}

/// A random history: all lengths from microseconds to minutes, in no order, wrong way round now and then.
#[derive(Debug, Clone)]
struct History {
    segments: Vec<Recorded>,
    gaps: Vec<GapRow>,
    runs: Vec<RunRow>,
    known_from: i64,
}

impl History {
    fn facts(&self) -> Facts<'_> {
        Facts {
            segments: &self.segments,
            gaps: &self.gaps,
            runs: &self.runs,
            runs_known_from_us: self.known_from,
            now_us: 190 * S,
        }
    }
}

fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => (-20_i64..220).prop_map(|second| second * S),
        1 => -20 * S..220 * S,
        1 => (0_i64..40, -60_000_i64..60_000).prop_map(|(n, us)| n * 5 * S + us),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let segment =
        (moment(), moment(), any::<Option<u8>>()).prop_map(|(start_us, end_us, id)| Recorded {
            id: id.map(|id| id.to_string()),
            start_us,
            end_us,
        });
    let reason = prop::sample::select([&PRECEDENCE[..], &["nonsense"]].concat());
    let a_gap = (reason, moment(), prop::option::of(moment()))
        .prop_map(|(reason, start, end)| gap(reason, start, end));
    let a_run = (moment(), prop::option::of(moment())).prop_map(|(start, end)| run(start, end));
    (
        prop::collection::vec(segment, 0..12),
        prop::collection::vec(a_gap, 0..12),
        prop::collection::vec(a_run, 0..5),
        moment(),
    )
        .prop_map(|(segments, gaps, runs, known_from)| History {
            segments,
            gaps,
            runs,
            known_from,
        })
}

/// The reason of a moment by the rules as they are written, one by one; `None` where downtime's margins may reach.
fn noted_reason(history: &History, at: i64) -> Option<&str> {
    let rank = |reason: &str| {
        let place = PRECEDENCE.iter().position(|known| *known == reason);
        place.unwrap_or(PRECEDENCE.len() - 1)
    };
    let here = history
        .gaps
        .iter()
        .filter(|gap| gap.start_us <= at && gap.end_us.is_none_or(|end| at < end));
    here.map(|gap| gap.reason.as_str())
        .min_by_key(|reason| (rank(reason), (*reason).to_owned()))
        .filter(|reason| rank(reason) < rank(DAEMON_DOWN))
}

/// Tiles without the sentences, for merging may take another one when a border cuts a gap off.
fn bare(tiles: &[Tile]) -> Vec<String> {
    shown(tiles)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 2000 }))]

    #[test]
    fn tiles_tile_whatever_happened(history in history(), a in moment(), b in moment(), at in moment()) {
        let range = a.min(b)..a.max(b);
        let facts = history.facts();
        let tiles = tile(range.clone(), &facts);
        // No hole, no overlap, nothing outside.
        let mut next = range.start;
        for tile in &tiles {
            prop_assert_eq!(tile.start_us, next);
            prop_assert!(tile.end_us > tile.start_us);
            next = tile.end_us;
        }
        prop_assert_eq!(next, range.end);
        // Neighbours differ.
        for pair in tiles.windows(2) {
            if let [Stretch::Missing { reason: a, .. }, Stretch::Missing { reason: b, .. }] = [&pair[0].what, &pair[1].what] {
                prop_assert_ne!(a, b);
            }
        }
        // The share is the sum of the tiles.
        let share = Share::of(&tiles);
        prop_assert_eq!(share.total_us, range.end - range.start);
        prop_assert_eq!(share.covered_us + share.missing_us.values().sum::<i64>(), share.total_us);
        prop_assert!((0.0..=1.0).contains(&share.covered()));
        // Segments win; where none is, and no seam, the strongest noted reason does.
        if let Some(tile) = tiles.iter().find(|tile| (tile.start_us..tile.end_us).contains(&at)) {
            let recorded = history.segments.iter().any(|s| s.start_us <= at && at < s.end_us);
            match &tile.what {
                Stretch::Recorded(id) => {
                    let seam = history.segments.iter().any(|s| s.end_us <= at && at - s.end_us < SEAM_US);
                    prop_assert!(recorded || seam);
                    prop_assert!(history.segments.iter().any(|s| s.id == *id && s.start_us <= at));
                }
                Stretch::Missing { reason, .. } => {
                    prop_assert!(!recorded);
                    if let Some(noted) = noted_reason(&history, at) {
                        prop_assert_eq!(noted, reason);
                    }
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_range_has_a_part_of_its_tiles(history in history(), a in moment(), b in moment()) {
        let facts = history.facts();
        let part = a.min(b)..a.max(b);
        let whole = tile(-20 * S..220 * S, &facts);
        let cut: Vec<Tile> = whole
            .into_iter()
            .map(|tile| Tile { start_us: tile.start_us.max(part.start), end_us: tile.end_us.min(part.end), ..tile })
            .filter(|tile| tile.start_us < tile.end_us)
            .collect();
        prop_assert_eq!(bare(&tile(part, &facts)), bare(&cut));
    }

    #[test]
    fn tiles_are_facts_that_give_the_same_tiles(history in history()) {
        let range = -20 * S..220 * S;
        let tiles = tile(range.clone(), &history.facts());
        let mut again = History { segments: Vec::new(), gaps: Vec::new(), runs: Vec::new(), known_from: i64::MAX };
        for tile in &tiles {
            match &tile.what {
                Stretch::Recorded(id) => again.segments.push(Recorded { id: id.clone(), start_us: tile.start_us, end_us: tile.end_us }),
                Stretch::Missing { reason, .. } => again.gaps.push(gap(reason, tile.start_us, Some(tile.end_us))),
            }
        }
        prop_assert_eq!(bare(&tile(range, &again.facts())), bare(&tiles));
    }
}
