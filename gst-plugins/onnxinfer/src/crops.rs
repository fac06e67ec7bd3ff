//! Where to look closer: what moves, as parts of the picture that the model sees at its own scale.

use nvr_contract::BBox;
use nvr_onnx::preprocess::Region;

/// The most parts of one picture; what is left over is seen with the whole picture.
pub const MAX_CROPS: usize = 6;
/// By how much of its size a moving region grows on each side: motion is often seen of a part of a body only.
const GROW: f64 = 0.25;
/// Parts that together are this share of the picture show no more than the whole of it.
const MOST: f64 = 0.6;
/// Boxes of two parts are one object when this share of the smaller one lies in the other.
const SAME: f64 = 0.6;

/// The parts of a picture of `picture` pixels that a model with an input of `input` pixels looks at, for what moves;
/// only the whole picture when the parts would show no more.
pub fn crops(moving: &[BBox], picture: (usize, usize), input: (usize, usize)) -> Vec<Region> {
    let whole = vec![Region::whole(picture.0, picture.1)];
    if picture.0 <= input.0 && picture.1 <= input.1 {
        return whole;
    }
    let mut parts: Vec<[f64; 4]> = Vec::new();
    for bbox in moving.iter().filter(|b| b.area() > 0.0) {
        add(&mut parts, grown(*bbox, picture, input), input);
    }
    // Two that came to overlap since are one, and that may overlap a third.
    while let Some((a, b)) = overlapping(&parts) {
        let other = parts.swap_remove(b);
        parts[a] = union(parts[a], other);
    }
    let area: f64 = parts.iter().map(|p| (p[2] - p[0]) * (p[3] - p[1])).sum();
    let all = (picture.0 * picture.1) as f64;
    if parts.is_empty() || parts.len() > MAX_CROPS || area > MOST * all {
        return whole;
    }
    parts.sort_by(|a, b| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0])));
    parts
        .iter()
        .filter_map(|p| {
            // To whole pixels; what sums of fractions are off by makes no further pixel.
            let size = |from: f64, to: f64| (to - from - 1e-6).ceil().max(1.0) as usize;
            Region {
                x: p[0].round().max(0.0) as usize,
                y: p[1].round().max(0.0) as usize,
                width: size(p[0], p[2]),
                height: size(p[1], p[3]),
            }
            .inside(picture.0, picture.1)
        })
        .collect()
}

/// A region as corners in pixels: grown, at least as large as the input, and moved into the picture.
fn grown(bbox: BBox, picture: (usize, usize), input: (usize, usize)) -> [f64; 4] {
    let side = |from: f64, size: f64, picture: usize, input: usize| {
        let picture = picture as f64;
        let wide = (size * picture * (1.0 + 2.0 * GROW))
            .max(input as f64)
            .min(picture);
        let middle = (from + size / 2.0) * picture;
        let start = (middle - wide / 2.0).clamp(0.0, picture - wide);
        (start, start + wide)
    };
    let (x0, x1) = side(bbox.x, bbox.w, picture.0, input.0);
    let (y0, y1) = side(bbox.y, bbox.h, picture.1, input.1);
    [x0, y0, x1, y1]
}

/// Joins a part with the first one that is hardly larger with it than the input, or adds it.
fn add(parts: &mut Vec<[f64; 4]>, part: [f64; 4], input: (usize, usize)) {
    let fits =
        |p: [f64; 4]| p[2] - p[0] <= 1.3 * input.0 as f64 && p[3] - p[1] <= 1.3 * input.1 as f64;
    match parts.iter_mut().find(|p| fits(union(**p, part))) {
        Some(other) => *other = union(*other, part),
        None => parts.push(part),
    }
}

fn union(a: [f64; 4], b: [f64; 4]) -> [f64; 4] {
    [
        a[0].min(b[0]),
        a[1].min(b[1]),
        a[2].max(b[2]),
        a[3].max(b[3]),
    ]
}

/// Two parts of which the smaller lies by half in the other.
fn overlapping(parts: &[[f64; 4]]) -> Option<(usize, usize)> {
    let area = |p: &[f64; 4]| (p[2] - p[0]) * (p[3] - p[1]);
    for (a, p) in parts.iter().enumerate() {
        for (b, q) in parts.iter().enumerate().skip(a + 1) {
            let w = p[2].min(q[2]) - p[0].max(q[0]);
            let h = p[3].min(q[3]) - p[1].max(q[1]);
            if w > 0.0 && h > 0.0 && w * h > 0.5 * area(p).min(area(q)) {
                return Some((a, b));
            }
        }
    }
    None
}

/// Whether two boxes of one label, seen in two parts, are of one object.
pub fn are_one(a: BBox, b: BBox) -> bool {
    let smaller = a.area().min(b.area());
    smaller > 0.0 && a.intersection(b) > SAME * smaller
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UHD: (usize, usize) = (3840, 2160);
    const INPUT: (usize, usize) = (416, 416);

    #[test]
    fn a_far_person_is_seen_at_the_scale_of_the_model() {
        let far = BBox::clamped(0.5, 0.3, 0.01, 0.04);
        let parts = crops(&[far], UHD, INPUT);
        let [part] = parts.as_slice() else {
            panic!("{parts:?}")
        };
        assert_eq!((part.width, part.height), INPUT);
        // Nothing is made larger than it is, and neighbours share a part.
        let near = BBox::clamped(0.52, 0.31, 0.01, 0.04);
        assert_eq!(crops(&[far, near], UHD, INPUT).len(), 1);
        let other = BBox::clamped(0.1, 0.8, 0.01, 0.04);
        assert_eq!(crops(&[far, other], UHD, INPUT).len(), 2);
    }

    #[test]
    fn parts_that_show_no_more_are_the_whole() {
        let whole = [Region::whole(640, 360)];
        assert_eq!(crops(&[], (640, 360), INPUT), whole);
        let most = BBox::clamped(0.1, 0.0, 0.8, 1.0);
        assert_eq!(crops(&[most], (640, 360), INPUT), whole);
        assert_eq!(crops(&[most], (300, 300), INPUT), [Region::whole(300, 300)]);
        let many: Vec<BBox> = (0..40)
            .map(|i| BBox::clamped(f64::from(i % 8) / 8.0, f64::from(i / 8) / 5.0, 0.01, 0.01))
            .collect();
        assert_eq!(crops(&many, UHD, INPUT), [Region::whole(UHD.0, UHD.1)]);
    }

    proptest! {
        #[test]
        fn what_moves_is_always_seen(
            boxes in prop::collection::vec(prop::array::uniform4(0.0_f64..1.0), 0..20),
            (w, h) in (1_usize..4000, 1_usize..3000),
        ) {
            let boxes: Vec<BBox> = boxes.iter().map(|b| BBox::clamped(b[0], b[1], b[2], b[3])).collect();
            let parts = crops(&boxes, (w, h), INPUT);
            prop_assert!(!parts.is_empty() && parts.len() <= MAX_CROPS);
            for p in &parts {
                prop_assert!(p.width > 0 && p.x + p.width <= w && p.y + p.height <= h);
            }
            for b in boxes.iter().filter(|b| b.area() > 0.0) {
                let (x, y) = b.center();
                let (x, y) = (x * w as f64, y * h as f64);
                let seen = parts.iter().any(|p| {
                    x >= p.x as f64 - 1.0 && x <= (p.x + p.width) as f64 + 1.0
                        && y >= p.y as f64 - 1.0 && y <= (p.y + p.height) as f64 + 1.0
                });
                prop_assert!(seen, "{:?} in {:?}", b, parts);
            }
        }
    }
}
