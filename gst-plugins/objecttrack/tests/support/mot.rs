//! Scores tracks against ground truth by the definitions of `motmetrics`: CLEAR MOT (Bernardin and Stiefelhagen,
//! 2008) and the identity measures (Ristani and others, 2016), at an overlap of a half.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, HashMap};

use gstobjecttrack::assign::assign;
use nvr_contract::BBox;

/// Least overlap of a pair.
const OVERLAP: f64 = 0.5;

/// Boxes with their ids, by frame.
pub type Scene = BTreeMap<u64, Vec<(u64, BBox)>>;

#[derive(Debug, Default, Clone, PartialEq)]
pub struct Score {
    pub truth: u64,
    pub said: u64,
    pub misses: u64,
    pub false_positives: u64,
    pub switches: u64,
    /// Pictures on which truth and track are the ones that belong together best.
    pub identified: u64,
}

impl Score {
    pub fn mota(&self) -> f64 {
        1.0 - (self.misses + self.false_positives + self.switches) as f64 / self.truth as f64
    }

    pub fn idf1(&self) -> f64 {
        2.0 * self.identified as f64 / (self.truth + self.said) as f64
    }

    pub fn recall(&self) -> f64 {
        1.0 - self.misses as f64 / self.truth as f64
    }

    pub fn precision(&self) -> f64 {
        1.0 - self.false_positives as f64 / self.said as f64
    }
}

/// Scores `said` on the frames of `truth`.
pub fn score(truth: &Scene, said: &Scene) -> Score {
    let mut score = Score::default();
    // What each object was matched with last, whenever that was.
    let mut last: HashMap<u64, u64> = HashMap::new();
    let mut together: HashMap<(u64, u64), u64> = HashMap::new();
    let none = Vec::new();
    for (frame, objects) in truth {
        let tracks = said.get(frame).unwrap_or(&none);
        score.truth += objects.len() as u64;
        score.said += tracks.len() as u64;
        for (object, a) in objects {
            for (track, b) in tracks {
                if a.iou(*b) >= OVERLAP {
                    *together.entry((*object, *track)).or_default() += 1;
                }
            }
        }
        let mut taken = vec![false; tracks.len()];
        let mut open = Vec::new();
        let mut matched = 0;
        for (i, (object, a)) in objects.iter().enumerate() {
            // A pair that still overlaps stays a pair, whatever else would fit better.
            let kept = last.get(object).and_then(|id| {
                tracks
                    .iter()
                    .position(|(track, b)| track == id && a.iou(*b) >= OVERLAP)
            });
            match kept.filter(|at| !taken[*at]) {
                Some(at) => {
                    taken[at] = true;
                    matched += 1;
                }
                None => open.push(i),
            }
        }
        let free: Vec<usize> = (0..tracks.len()).filter(|i| !taken[*i]).collect();
        let pairs = assign(open.len(), free.len(), OVERLAP, |r, c| {
            objects[open[r]].1.iou(tracks[free[c]].1)
        });
        for (r, c) in &pairs {
            let (object, track) = (objects[open[*r]].0, tracks[free[*c]].0);
            let before = last.insert(object, track);
            score.switches += u64::from(before.is_some_and(|b| b != track));
        }
        matched += pairs.len();
        score.misses += (objects.len() - matched) as u64;
        score.false_positives += (tracks.len() - matched) as u64;
    }
    score.identified = identified(&together);
    score
}

/// The greatest number of pictures that a one-to-one pairing of objects and tracks explains.
fn identified(together: &HashMap<(u64, u64), u64>) -> u64 {
    let ids = |of: fn(&(u64, u64)) -> u64| {
        let mut ids: Vec<u64> = together.keys().map(of).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let (objects, tracks) = (ids(|k| k.0), ids(|k| k.1));
    let count = |r: usize, c: usize| together.get(&(objects[r], tracks[c])).copied().unwrap_or(0);
    assign(objects.len(), tracks.len(), 0.5, |r, c| count(r, c) as f64)
        .into_iter()
        .map(|(r, c)| count(r, c))
        .sum()
}
