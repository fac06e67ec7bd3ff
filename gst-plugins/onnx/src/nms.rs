//! Non-maximum suppression: of boxes of one class that overlap much, the surest stays.

use crate::decode::Candidate;

fn iou(a: &Candidate, b: &Candidate) -> f32 {
    let w = a.x1.min(b.x1) - a.x0.max(b.x0);
    let h = a.y1.min(b.y1) - a.y0.max(b.y0);
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let common = w * h;
    let area = |c: &Candidate| (c.x1 - c.x0) * (c.y1 - c.y0);
    let union = area(a) + area(b) - common;
    // Areas of absurd boxes may overflow to infinity; a comparison with NaN is false, so both stay.
    common / union
}

/// Order of scores, the surer first.
pub fn surer<T: Into<f64>>(a: T, b: T) -> std::cmp::Ordering {
    b.into().total_cmp(&a.into())
}

/// Keeps at most `limit` boxes, the surest first; a box that overlaps a surer one of its class by more than
/// `max_iou` goes. Equal scores keep the order in which they came.
pub fn suppress(mut candidates: Vec<Candidate>, max_iou: f32, limit: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() >= limit {
            break;
        }
        let hidden = kept
            .iter()
            .any(|k| k.class == candidate.class && iou(k, &candidate) > max_iou);
        if !hidden {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(class: usize, score: f32, [x0, y0, x1, y1]: [f32; 4]) -> Candidate {
        Candidate {
            class,
            score,
            x0,
            y0,
            x1,
            y1,
            landmarks: None,
        }
    }

    #[test]
    fn the_surest_of_a_heap_stays() {
        let heap = vec![
            candidate(0, 0.6, [0.0, 0.0, 10.0, 10.0]),
            candidate(0, 0.9, [1.0, 0.0, 11.0, 10.0]),
            candidate(1, 0.5, [0.0, 0.0, 10.0, 10.0]),
            candidate(0, 0.4, [50.0, 0.0, 60.0, 10.0]),
        ];
        let scores = |limit| -> Vec<f32> {
            suppress(heap.clone(), 0.45, limit)
                .iter()
                .map(|c| c.score)
                .collect()
        };
        assert_eq!(scores(10), [0.9, 0.5, 0.4]);
        assert_eq!(scores(1), [0.9]);
        assert_eq!(scores(0), [0.0; 0]);
    }

    proptest! {
        #[test]
        fn what_stays_is_apart_and_what_goes_is_covered(
            boxes in prop::collection::vec(
                (0_usize..3, 0.0_f32..1.0, 0.0_f32..90.0, 0.0_f32..90.0, 1.0_f32..40.0, 1.0_f32..40.0),
                0..60,
            ),
        ) {
            let all: Vec<Candidate> = boxes
                .iter()
                .map(|&(c, s, x, y, w, h)| candidate(c, s, [x, y, x + w, y + h]))
                .collect();
            let kept = suppress(all.clone(), 0.5, usize::MAX);
            for (i, a) in kept.iter().enumerate() {
                for b in &kept[..i] {
                    prop_assert!(a.class != b.class || iou(a, b) <= 0.5);
                }
            }
            for a in &all {
                let covered = kept
                    .iter()
                    .any(|k| k == a || (k.class == a.class && k.score >= a.score && iou(k, a) > 0.5));
                prop_assert!(covered);
            }
        }
    }
}
