//! Shapes, names and notes of exports as they are found in the wild, and the family each is taken for.

use std::collections::BTreeMap;

use super::*;
use crate::io::Element;

fn outlets(list: &[(&str, &[i64])]) -> Vec<Outlet> {
    list.iter()
        .map(|(name, shape)| Outlet {
            name: (*name).to_owned(),
            shape: shape.to_vec(),
            element: Element::F32,
        })
        .collect()
}

fn io(inputs: &[(&str, &[i64])], outputs: &[(&str, &[i64])]) -> ModelIo {
    ModelIo {
        inputs: outlets(inputs),
        outputs: outlets(outputs),
        notes: BTreeMap::new(),
    }
}

#[track_caller]
fn check(side: usize, outputs: &[(&str, &[i64])], expect: Option<(Family, Option<usize>)>) {
    let io = io(&[("images", &[1, 3, -1, -1])], outputs);
    let found = Family::recognise(&io, side, side).map(|f| (f, f.classes(&io)));
    assert_eq!(found, expect, "{outputs:?}");
}

#[test]
fn families_are_told_by_their_shapes() {
    use Family::{
        Nanodet, RtdetrRows, Scrfd, Ultraface, Yolov5, Yolov7Nms, Yolov8, Yolov10, Yolox, Yunet,
    };
    check(416, &[("output", &[1, 3549, 85])], Some((Yolox, Some(80))));
    check(416, &[("o", &[-1, 3549, 6])], Some((Yolox, Some(1))));
    check(
        640,
        &[("output0", &[1, 84, 8400])],
        Some((Yolov8, Some(80))),
    );
    check(320, &[("output0", &[1, 5, 2100])], Some((Yolov8, Some(1))));
    check(
        640,
        &[("output", &[1, 25200, 85])],
        Some((Yolov5, Some(80))),
    );
    // An older export hands out what it was trained on as well.
    check(
        640,
        &[("output", &[1, 25200, 85]), ("a", &[1, 3, 80, 80, 85])],
        Some((Yolov5, Some(80))),
    );
    check(640, &[("output0", &[1, 300, 6])], Some((Yolov10, None)));
    check(640, &[("output", &[-1, 7])], Some((Yolov7Nms, None)));
    check(
        640,
        &[("output0", &[1, 300, 84])],
        Some((RtdetrRows, Some(80))),
    );
    check(
        416,
        &[("output", &[1, 3598, 112])],
        Some((Nanodet, Some(80))),
    );
    check(
        320,
        &[("output", &[1, 2100, 112])],
        Some((Nanodet, Some(80))),
    );
    check(
        240,
        &[("scores", &[1, 4420, 2]), ("boxes", &[1, 4420, 4])],
        Some((Ultraface, Some(1))),
    );
    let yunet: Vec<(&str, &[i64])> = crate::decode::yunet::NAMES
        .iter()
        .rev()
        .map(|n| (*n, [1, -1, -1].as_slice()))
        .collect();
    check(320, &yunet, Some((Yunet, Some(1))));
    let scrfd: Vec<(&str, &[i64])> = [1_usize, 4, 10]
        .iter()
        .flat_map(|c| {
            let shape: &[i64] = match c {
                1 => &[-1, 1],
                4 => &[-1, 4],
                _ => &[-1, 10],
            };
            [("443", shape), ("444", shape), ("445", shape)]
        })
        .collect();
    check(640, &scrfd, Some((Scrfd, Some(1))));
    check(640, &scrfd[..6], Some((Scrfd, Some(1))));

    check(640, &[("embedding", &[-1, 128])], None);
    check(416, &[("output", &[1, 3549, 5])], None);
    check(416, &[], None);
}

#[test]
fn families_are_told_by_their_names() {
    let side: (&str, &[i64]) = ("images", &[-1, 3, 640, 640]);
    let told = |inputs: &[(&str, &[i64])], outputs: &[(&str, &[i64])]| {
        let io = io(inputs, outputs);
        Family::recognise(&io, 640, 640)
    };
    let lists: &[(&str, &[i64])] = &[
        ("labels", &[-1, 300]),
        ("boxes", &[-1, 300, 4]),
        ("scores", &[-1, 300]),
    ];
    assert_eq!(
        told(&[side, ("orig_target_sizes", &[-1, 2])], lists),
        Some(Family::Rtdetr)
    );
    assert_eq!(told(&[side], lists), Some(Family::Ssd));
    assert_eq!(
        told(
            &[("input_tensor", &[1, -1, -1, 3])],
            &[
                ("detection_boxes:0", &[1, 100, 4]),
                ("detection_classes:0", &[1, 100]),
                ("detection_scores:0", &[1, 100]),
                ("num_detections:0", &[1]),
            ],
        ),
        Some(Family::Ssd)
    );
    assert_eq!(
        told(
            &[side],
            &[("logits", &[1, 100, 92]), ("pred_boxes", &[1, 100, 4])]
        ),
        Some(Family::Detr)
    );
    assert_eq!(
        told(
            &[side],
            &[
                ("num_dets", &[1, 1]),
                ("det_boxes", &[1, 100, 4]),
                ("det_scores", &[1, 100]),
                ("det_classes", &[1, 100]),
            ],
        ),
        Some(Family::EfficientNms)
    );
    assert_eq!(
        told(
            &[("image", &[1, 3, 320, 320]), ("scale_factor", &[1, 2])],
            &[("boxes", &[-1, 6]), ("count", &[-1])],
        ),
        Some(Family::PicodetNms)
    );
    let picodet: Vec<(&str, &[i64])> = vec![
        ("s0", &[1, 6400, 80]),
        ("s1", &[1, 1600, 80]),
        ("s2", &[1, 400, 80]),
        ("s3", &[1, 100, 80]),
        ("b0", &[1, 6400, 32]),
        ("b1", &[1, 1600, 32]),
        ("b2", &[1, 400, 32]),
        ("b3", &[1, 100, 32]),
    ];
    let io = io(&[("image", &[1, 3, 640, 640])], &picodet);
    let found = Family::recognise(&io, 640, 640);
    assert_eq!(found, Some(Family::Picodet));
    assert_eq!(Family::Picodet.classes(&io), Some(80));
}

#[test]
fn open_shapes_are_told_by_the_notes_of_the_maker() {
    let mut io = io(
        &[("images", &[-1, 3, -1, -1])],
        &[("output0", &[-1, 6, -1])],
    );
    assert_eq!(Family::recognise(&io, 640, 640), None);
    io.notes
        .insert("names".to_owned(), "{0: 'cat', 1: 'dog'}".to_owned());
    assert_eq!(Family::recognise(&io, 640, 640), Some(Family::Yolov8));
}
