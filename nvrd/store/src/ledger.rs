//! The ledger: tiles that cover a range of a camera's time without hole or overlap, each recorded or missing with one
//! reason. The tiles are a function of facts and are kept nowhere; `extent` asks the database for the facts.

mod extent;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::gaps::GapRow;
use crate::runs::RunRow;

pub use extent::Ledger;
pub(crate) use extent::{end_before, gaps_within, runs_within};

/// The reasons in the order in which they win where several apply; a word that is not here comes before the last one.
pub const PRECEDENCE: [&str; 14] = [
    "deleted",
    "damaged",
    "clock_step",
    "paused",
    "disk_gone",
    "disk_full",
    "disk_error",
    "disk_slow",
    "source_lost",
    "no_event",
    "no_keyframe",
    "overload",
    DAEMON_DOWN,
    UNKNOWN,
];

const DAEMON_DOWN: &str = "daemon_down";
pub(crate) const UNKNOWN: &str = "unknown";

/// A shorter hole between two segments belongs to the first: nobody knows the length of its last picture exactly.
const SEAM_US: i64 = 50_000;
/// So long a daemon may take to record after its start, and to stop after its last picture, for that to be part of
/// the time in which it did not run.
const MARGIN_US: i64 = 30_000_000;

/// Something recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Id of its segment; absent while the file is written or not yet listed.
    pub id: Option<String>,
    /// First moment, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// End, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
}

/// What is known of a camera, in any order.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What is recorded.
    pub segments: &'a [Recorded],
    /// What is noted as missing.
    pub gaps: &'a [GapRow],
    /// When the daemon ran.
    pub runs: &'a [RunRow],
    /// From when on `runs` is complete, microseconds since 1970-01-01 UTC.
    pub runs_known_from_us: i64,
    /// Now, microseconds since 1970-01-01 UTC.
    pub now_us: i64,
}

/// What a tile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    /// Recorded, in the segment with that id.
    Recorded(Option<String>),
    /// Not recorded.
    Missing {
        /// Why, one word.
        reason: String,
        /// One sentence for people.
        detail: Option<String>,
    },
}

/// A stretch of time of which one thing is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// First moment, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// End, microseconds since 1970-01-01 UTC; the start of the next tile.
    pub end_us: i64,
    /// What is true of it.
    pub what: Stretch,
}

/// How much of some tiles is recorded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Share {
    /// Length of all tiles, microseconds.
    pub total_us: i64,
    /// Recorded, microseconds.
    pub covered_us: i64,
    /// Missing, microseconds by reason.
    pub missing_us: BTreeMap<String, i64>,
}

impl Share {
    /// Adds up tiles.
    pub fn of(tiles: &[Tile]) -> Self {
        let mut share = Self::default();
        for tile in tiles {
            let length = tile.end_us - tile.start_us;
            share.total_us += length;
            match &tile.what {
                Stretch::Recorded(_) => share.covered_us += length,
                Stretch::Missing { reason, .. } => {
                    *share.missing_us.entry(reason.clone()).or_default() += length;
                }
            }
        }
        share
    }

    /// The recorded part, 0..1; 1 of nothing.
    pub fn covered(&self) -> f64 {
        match self.total_us {
            0 => 1.0,
            total => self.covered_us as f64 / total as f64,
        }
    }
}

/// Tiles a range: the tiles are in order, touch each other, and begin and end with the range.
pub fn tile(range: Range<i64>, facts: &Facts<'_>) -> Vec<Tile> {
    let recorded = without_overlap(facts.segments);
    let reasons = reasons(facts, &recorded);
    let mut tiles = Vec::new();
    let mut at = range.start;
    for piece in &recorded {
        let (start, end) = (piece.start_us.max(range.start), piece.end_us.min(range.end));
        if start >= end {
            continue;
        }
        missing(at..start, &reasons, &mut tiles);
        tiles.push(Tile {
            start_us: start,
            end_us: end,
            what: Stretch::Recorded(piece.id.clone()),
        });
        at = end;
    }
    missing(at..range.end, &reasons, &mut tiles);
    tiles
}

/// Segments in order, cut where an earlier one covers the time already, with the seams closed.
fn without_overlap(segments: &[Recorded]) -> Vec<Recorded> {
    let mut sorted: Vec<&Recorded> = segments.iter().filter(|s| s.start_us < s.end_us).collect();
    // A file that is listed goes before the same one as it was while it was written.
    sorted.sort_by_key(|s| (s.start_us, Reverse(s.end_us), s.id.is_none(), &s.id));
    let mut pieces: Vec<Recorded> = Vec::with_capacity(sorted.len());
    for segment in sorted {
        let mut start_us = segment.start_us;
        if let Some(last) = pieces.last_mut() {
            if segment.end_us <= last.end_us {
                continue;
            }
            start_us = start_us.max(last.end_us);
            if start_us.saturating_sub(last.end_us) < SEAM_US {
                last.end_us = start_us;
            }
        }
        pieces.push(Recorded {
            start_us,
            ..segment.clone()
        });
    }
    pieces
}

/// Stretches with a sentence each, in order and apart from each other.
type Union = Vec<(Range<i64>, Option<String>)>;

/// When each reason applies, the strongest reason first.
fn reasons(facts: &Facts<'_>, recorded: &[Recorded]) -> BTreeMap<(usize, String), Union> {
    let mut all: BTreeMap<(usize, String), Union> = BTreeMap::new();
    let mut note = |reason: &str, span: Range<i64>, detail: Option<String>| {
        if span.start < span.end {
            let place = PRECEDENCE.iter().position(|known| *known == reason);
            let rank = place.unwrap_or(PRECEDENCE.len() - 1);
            let key = (rank, reason.to_owned());
            all.entry(key).or_default().push((span, detail));
        }
    };
    for gap in facts.gaps {
        let end = gap.end_us.unwrap_or(i64::MAX);
        note(&gap.reason, gap.start_us..end, gap.detail.clone());
    }
    for down in downtime(facts) {
        note(
            DAEMON_DOWN,
            with_margins(down, recorded, facts.now_us),
            None,
        );
    }
    for union in all.values_mut() {
        *union = merged(std::mem::take(union));
    }
    all
}

fn merged(mut spans: Union) -> Union {
    spans.sort_by_key(|(span, _)| (span.start, span.end));
    let mut union: Union = Vec::new();
    for (span, detail) in spans {
        match union.last_mut() {
            Some((last, known)) if span.start <= last.end => {
                last.end = last.end.max(span.end);
                if known.is_none() {
                    *known = detail;
                }
            }
            _ => union.push((span, detail)),
        }
    }
    union
}

/// When the daemon did not run; a restart without a pause is an empty stretch.
fn downtime(facts: &Facts<'_>) -> Vec<Range<i64>> {
    let mut runs: Vec<(i64, i64)> = facts
        .runs
        .iter()
        .map(|run| (run.started_us, run.ended_us.unwrap_or(i64::MAX)))
        .filter(|(start, end)| start <= end)
        .collect();
    runs.sort_unstable();
    let mut down = Vec::new();
    let mut up_until: Option<i64> = None;
    for (start, end) in runs {
        match up_until {
            Some(until) if start >= until => down.push(until..start),
            None if facts.runs_known_from_us < start => down.push(facts.runs_known_from_us..start),
            _ => {}
        }
        up_until = up_until.max(Some(end));
    }
    let until = up_until.unwrap_or(facts.runs_known_from_us);
    if until < facts.now_us {
        down.push(until..facts.now_us);
    }
    down
}

/// A downtime with the end of the run before it and the start of the run behind it.
fn with_margins(down: Range<i64>, recorded: &[Recorded], now_us: i64) -> Range<i64> {
    let behind = recorded.partition_point(|piece| piece.start_us < down.end);
    let before = recorded.partition_point(|piece| piece.end_us <= down.start);
    let since = before.checked_sub(1).map(|index| recorded[index].end_us);
    let until = recorded.get(behind).map_or(now_us, |next| next.start_us);
    let start = since.filter(|since| down.start.saturating_sub(*since) <= MARGIN_US);
    let end = Some(until)
        .filter(|until| *until > down.end && until.saturating_sub(down.end) <= MARGIN_US);
    start.unwrap_or(down.start)..end.unwrap_or(down.end)
}

/// Tiles a stretch that is not recorded.
fn missing(hole: Range<i64>, reasons: &BTreeMap<(usize, String), Union>, tiles: &mut Vec<Tile>) {
    if hole.start >= hole.end {
        return;
    }
    let mut borders = vec![hole.start, hole.end];
    for union in reasons.values() {
        let from = union.partition_point(|(span, _)| span.end <= hole.start);
        let here = union[from..].iter().map(|(span, _)| span);
        let here = here.take_while(|span| span.start < hole.end);
        borders.extend(here.flat_map(|span| [span.start.max(hole.start), span.end.min(hole.end)]));
    }
    borders.sort_unstable();
    borders.dedup();
    let first = tiles.len();
    for pair in borders.windows(2) {
        let (start_us, end_us) = (pair[0], pair[1]);
        let (reason, detail) = reason_at(start_us, reasons);
        match tiles[first..].last_mut() {
            Some(Tile {
                end_us: end,
                what:
                    Stretch::Missing {
                        reason: before,
                        detail: known,
                    },
                ..
            }) if before == reason => {
                *end = end_us;
                if known.is_none() {
                    known.clone_from(detail);
                }
            }
            _ => tiles.push(Tile {
                start_us,
                end_us,
                what: Stretch::Missing {
                    reason: reason.to_owned(),
                    detail: detail.clone(),
                },
            }),
        }
    }
}

fn reason_at(at: i64, reasons: &BTreeMap<(usize, String), Union>) -> (&str, &Option<String>) {
    for ((_, reason), union) in reasons {
        let index = union.partition_point(|(span, _)| span.end <= at);
        if let Some((_, detail)) = union.get(index).filter(|(span, _)| span.start <= at) {
            return (reason, detail);
        }
    }
    (UNKNOWN, &None)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
