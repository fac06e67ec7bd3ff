//! What must hold of every answer about coverage.

use serde_json::Value;

/// Start, end and what: `recorded` or the reason.
pub type Span = (f64, f64, String);

/// The tiles of an answer in the order of time; fails when they leave a hole, overlap, or do not add up.
#[track_caller]
pub fn tiles(coverage: &Value) -> Vec<Span> {
    let span = |item: &Value, what: &str| {
        let at = |key: &str| item[key].as_f64().unwrap();
        (at("start_unix"), at("end_unix"), what.to_owned())
    };
    let list = |key: &str| coverage[key].as_array().unwrap();
    let recorded = list("segments").iter().map(|item| span(item, "recorded"));
    let missing = list("gaps").iter();
    let missing = missing.map(|item| span(item, item["reason"].as_str().unwrap()));
    let mut tiles: Vec<Span> = recorded.chain(missing).collect();
    tiles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut at = coverage["start_unix"].as_f64().unwrap();
    for (start, end, what) in &tiles {
        assert_eq!(*start, at, "before {what}: {coverage}");
        assert!(end > start, "{coverage}");
        at = *end;
    }
    assert_eq!(Some(at), coverage["end_unix"].as_f64(), "{coverage}");
    let covered: f64 = tiles
        .iter()
        .filter(|tile| tile.2 == "recorded")
        .map(|tile| tile.1 - tile.0)
        .sum();
    let told = coverage["covered_seconds"].as_f64().unwrap();
    assert!((covered - told).abs() < 1e-3, "{covered}: {coverage}");
    tiles
}

/// The tiles, none of which may be without a reason.
#[track_caller]
pub fn explained(coverage: &Value) -> Vec<Span> {
    let tiles = tiles(coverage);
    assert!(
        tiles.iter().all(|tile| tile.2 != "unknown"),
        "not explained: {coverage}"
    );
    tiles
}

/// The missing stretches alone.
pub fn missing(tiles: &[Span]) -> Vec<Span> {
    let missing = tiles.iter().filter(|tile| tile.2 != "recorded");
    missing.cloned().collect()
}
