//! One number for one person over the pictures of a camera that are asked about one after another.

use std::collections::BTreeMap;
use std::time::Duration;

/// How much two boxes must overlap to be the same person.
const SAME: f32 = 0.3;
/// After this time without a question, who is there now is somebody else.
const MEMORY: Duration = Duration::from_secs(10);

/// A box: left, top, right and bottom edge.
type Bbox = [f32; 4];

/// The persons of every camera's last picture.
#[derive(Debug, Default)]
pub(super) struct Tracks(BTreeMap<String, Seen>);

#[derive(Debug)]
struct Seen {
    at: Duration,
    next: u64,
    persons: Vec<(u64, Bbox)>,
}

impl Tracks {
    /// A number for each box of a picture taken `now`; one that overlaps a box of the last picture keeps its own.
    pub(super) fn follow(&mut self, camera: &str, boxes: &[Bbox], now: Duration) -> Vec<u64> {
        // What is not asked about any more goes, so that the memory is that of the cameras in use.
        self.0
            .retain(|_, seen| now.saturating_sub(seen.at) <= MEMORY);
        let last = self.0.remove(camera);
        let (mut next, persons) = last.map_or((1, Vec::new()), |seen| (seen.next, seen.persons));
        let mut numbers = vec![None; boxes.len()];
        for (index, number) in pairs(boxes, &persons) {
            if numbers[index].is_none() && !numbers.contains(&Some(number)) {
                numbers[index] = Some(number);
            }
        }
        let numbers: Vec<u64> = numbers
            .into_iter()
            .map(|number| {
                number.unwrap_or_else(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        let persons = numbers.iter().copied().zip(boxes.iter().copied()).collect();
        let seen = Seen {
            at: now,
            next,
            persons,
        };
        self.0.insert(camera.to_owned(), seen);
        numbers
    }
}

/// Every box and number that may belong together, those that overlap most first.
fn pairs(boxes: &[Bbox], persons: &[(u64, Bbox)]) -> Vec<(usize, u64)> {
    let mut pairs: Vec<(f32, usize, u64)> = Vec::new();
    for (index, it) in boxes.iter().enumerate() {
        for (number, other) in persons {
            let overlap = overlap(it, other);
            if overlap >= SAME {
                pairs.push((overlap, index, *number));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
    pairs
        .into_iter()
        .map(|(_, index, number)| (index, number))
        .collect()
}

/// Intersection over union.
fn overlap(a: &Bbox, b: &Bbox) -> f32 {
    let area = |it: &Bbox| (it[2] - it[0]).max(0.0) * (it[3] - it[1]).max(0.0);
    let both = [
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ];
    let both = area(&both);
    let union = area(a) + area(b) - both;
    if union > 0.0 { both / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32) -> Bbox {
        [x, 0.0, x + 10.0, 20.0]
    }

    #[test]
    fn who_stays_keeps_the_number() {
        let mut tracks = Tracks::default();
        let mut check = |camera: &str, xs: &[f32], second: u64, expect: &[u64]| {
            let boxes: Vec<Bbox> = xs.iter().copied().map(at).collect();
            let got = tracks.follow(camera, &boxes, Duration::from_secs(second));
            assert_eq!(got, expect, "{camera} {xs:?} {second}");
        };
        check("a", &[0.0, 100.0], 0, &[1, 2]);
        // They come in another order, one has moved a little, one is new.
        check("a", &[101.0, 0.0, 50.0], 1, &[2, 1, 3]);
        // Who left and comes back is new; numbers are not used twice.
        check("a", &[50.0], 2, &[3]);
        check("a", &[0.0, 50.0], 3, &[4, 3]);
        // Another camera counts for itself, and a long silence forgets.
        check("b", &[0.0], 3, &[1]);
        check("a", &[0.0], 14, &[1]);
        // Two boxes on one person: one of them is somebody else.
        check("a", &[0.0, 1.0], 15, &[1, 2]);
        check("a", &[], 16, &[]);
    }
}
