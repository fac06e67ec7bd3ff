//! Every family through ONNX Runtime: a model that was made for the test, and the object that it must be read as.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "support/onnx.rs"]
mod onnx;

use std::io::Write;
use std::path::{Path, PathBuf};

use nvr_onnx::decode::{Candidate, Wanted};
use nvr_onnx::facts::Task;
use nvr_onnx::family::Family;
use nvr_onnx::model::{Model, OpenOptions};
use nvr_onnx::preprocess::{InputTensor, Values};
use onnx::{F16, F32, Fixed, I64, U8};

/// Side of the input, pixels; 8 by 8, 4 by 4, 2 by 2 cells and one.
const SIDE: usize = 64;
const LABELS: &str = "labels = [\"a\", \"b\", \"c\"]\n";

/// ONNX Runtime's library, or a visible word that the test is skipped.
fn library(test: &str) -> Option<String> {
    let told = std::env::var("ORT_DYLIB_PATH").ok().map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = told.unwrap_or_else(|| beside.join(".deps/onnxruntime/libonnxruntime.so"));
    if path.exists() {
        return Some(path.to_str().unwrap().to_owned());
    }
    let line = format!("SKIP: {test} needs ONNX Runtime at {}\n", path.display());
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}

fn open(library: &str, bytes: &[u8], toml: &str) -> Result<Model, String> {
    let folder = tempfile::tempdir().unwrap();
    let model = onnx::write(folder.path(), "m.onnx", bytes, toml);
    Model::open(&OpenOptions {
        model,
        library: library.to_owned(),
        threads: 1,
        workers: 1,
        ..OpenOptions::default()
    })
    .map_err(|e| e.to_string())
}

fn blank(model: &Model) -> InputTensor {
    model.blank().into()
}

fn look(model: &Model, threshold: f32) -> Vec<Candidate> {
    let wanted = Wanted {
        threshold,
        classes: None,
    };
    model.analyse(&blank(model), &wanted, 10).unwrap()
}

/// `rows` rows of `columns` zeros, but for one.
fn rows(rows: usize, columns: usize, at: usize, row: &[f32]) -> Vec<f32> {
    let mut data = vec![0.0; rows * columns];
    data[at * columns..at * columns + row.len()].copy_from_slice(row);
    data
}

fn turned(data: &[f32], rows: usize) -> Vec<f32> {
    let columns = data.len() / rows;
    (0..columns)
        .flat_map(|c| (0..rows).map(move |r| data[r * columns + c]))
        .collect()
}

/// A distribution over eight distances that is sure of one.
fn sure(distance: usize) -> Vec<f32> {
    (0..8)
        .map(|i| if i == distance { 60.0 } else { 0.0 })
        .collect()
}

/// Opens the model and wants class 1, surely 0.8, in the box 16, 24, 48, 40.
fn check(library: &str, family: Family, model: &Fixed, toml: &str) {
    let model = open(library, &model.write(), toml).unwrap_or_else(|e| panic!("{family:?}: {e}"));
    assert_eq!(model.facts().family, family);
    let found = look(&model, 0.5);
    let [object] = found.as_slice() else {
        panic!("{family:?}: {found:?}")
    };
    let class = usize::from(model.facts().task != Task::FaceDetection);
    assert_eq!(object.class, class, "{family:?}");
    let got = [object.score, object.x0, object.y0, object.x1, object.y1];
    for (g, e) in got.iter().zip([0.8, 16.0, 24.0, 48.0, 40.0]) {
        assert!((g - e).abs() < 0.02, "{family:?}: {got:?}");
    }
    assert!(look(&model, 0.9).is_empty(), "{family:?}");
}

#[allow(
    clippy::too_many_lines,
    reason = "a table, one entry a family; its parts have no names"
)]
fn detectors() -> Vec<(Family, Fixed, &'static str)> {
    let fixed = |name, shape: &[usize], data| Fixed::new(64, vec![(name, shape.to_vec(), data)]);
    let box_of = [32.0, 32.0, 32.0, 16.0];
    let yolov8 = rows(84, 7, 2, &[&box_of[..], &[0.1, 0.8, 0.2]].concat());
    let logit = |p: f32| (p / (1.0 - p)).ln();
    let softmax = [0.1_f32.ln(), 0.8_f32.ln(), 0.05_f32.ln(), 0.05_f32.ln()];
    let lists = |names: [&'static str; 3], boxes: [f32; 4], class: f32| {
        Fixed::new(
            64,
            vec![
                (names[0], vec![1, 5, 4], rows(5, 4, 3, &boxes)),
                (names[1], vec![1, 5], rows(5, 1, 3, &[0.8])),
                (names[2], vec![1, 5], rows(5, 1, 3, &[class])),
            ],
        )
    };
    let mut rtdetr = lists(["boxes", "scores", "labels"], [16.0, 24.0, 48.0, 40.0], 1.0);
    rtdetr.sides.push(("orig_target_sizes", I64, vec![1, 2]));
    rtdetr.outputs[2].1 = I64;
    let mut tensorflow = lists(
        ["detection_boxes", "detection_scores", "detection_classes"],
        [0.375, 0.25, 0.625, 0.75],
        2.0,
    );
    tensorflow.input = ("input_tensor", U8, vec![1, 64, 64, 3]);
    let mut paddle = fixed(
        "boxes",
        &[5, 6],
        rows(5, 6, 2, &[1.0, 0.8, 16.0, 24.0, 48.0, 40.0]),
    );
    paddle.sides.push(("scale_factor", F32, vec![1, 2]));
    let middle = [&[0.0, 0.0][..], &[-60.0; 6]].concat();
    let edges = [&sure(1)[..], &middle, &sure(1), &middle].concat();
    // The point of cell (2, 2) of stride 16 is (32, 32): row 64 + 10 of the levels.
    let nanodet = rows(85, 35, 74, &[&[0.1, 0.8, 0.2][..], &edges].concat());
    // Point (24, 32) does not exist in the middle of a cell of stride 16; that of stride 64 is (32, 32).
    let half = |d: f32| {
        (0..8).map(move |i| {
            if i == 0 {
                (1.0 - d).ln()
            } else if i == 1 {
                d.ln()
            } else {
                -60.0
            }
        })
    };
    let wide: Vec<f32> = [0.25, 0.125, 0.25, 0.125]
        .into_iter()
        .flat_map(half)
        .map(|v: f32| v.max(-60.0))
        .collect();
    let level = |n: usize, columns, row: &[f32]| {
        if n == 1 {
            rows(1, columns, 0, row)
        } else {
            vec![0.0; n * columns]
        }
    };
    let picodet = [64, 16, 4, 1]
        .into_iter()
        .zip(["s0", "s1", "s2", "s3"])
        .map(|(n, name)| (name, vec![1, n, 3], level(n, 3, &[0.1, 0.8, 0.2])))
        .chain(
            [64, 16, 4, 1]
                .into_iter()
                .zip(["b0", "b1", "b2", "b3"])
                .map(|(n, name)| (name, vec![1, n, 32], level(n, 32, &wide))),
        )
        .collect();
    vec![
        (
            Family::Yolox,
            // Cell (2, 2) of stride 16.
            fixed(
                "output",
                &[1, 84, 8],
                rows(
                    84,
                    8,
                    64 + 10,
                    &[0.0, 0.0, 2_f32.ln(), 0.0, 0.8, 0.1, 1.0, 0.3],
                ),
            ),
            LABELS,
        ),
        (
            Family::Yolov5,
            fixed(
                "output",
                &[1, 252, 8],
                rows(252, 8, 100, &[&box_of[..], &[0.8, 0.1, 1.0, 0.3]].concat()),
            ),
            LABELS,
        ),
        (
            Family::Yolov8,
            fixed("output0", &[1, 7, 84], turned(&yolov8, 84)),
            LABELS,
        ),
        (
            Family::Yolov10,
            fixed(
                "output0",
                &[1, 300, 6],
                rows(300, 6, 4, &[16.0, 24.0, 48.0, 40.0, 0.8, 1.0]),
            ),
            LABELS,
        ),
        (
            Family::Yolov7Nms,
            fixed(
                "output",
                &[9, 7],
                rows(9, 7, 4, &[0.0, 16.0, 24.0, 48.0, 40.0, 1.0, 0.8]),
            ),
            LABELS,
        ),
        (
            Family::EfficientNms,
            lists(
                ["det_boxes", "det_scores", "det_classes"],
                [16.0, 24.0, 48.0, 40.0],
                1.0,
            ),
            LABELS,
        ),
        (
            Family::Detr,
            Fixed::new(
                64,
                vec![
                    ("logits", vec![1, 1, 4], softmax.to_vec()),
                    ("pred_boxes", vec![1, 1, 4], vec![0.5, 0.5, 0.5, 0.25]),
                ],
            ),
            "labels = [\"a\", \"b\", \"c\"]\nactivation = \"softmax\"\n",
        ),
        (
            Family::Detr,
            Fixed::new(
                64,
                vec![
                    (
                        "logits",
                        vec![1, 2, 3],
                        [logit(0.1), logit(0.8), -3.0, -9.0, -9.0, -9.0].to_vec(),
                    ),
                    (
                        "pred_boxes",
                        vec![1, 2, 4],
                        vec![0.5, 0.5, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0],
                    ),
                ],
            ),
            LABELS,
        ),
        (Family::Rtdetr, rtdetr, LABELS),
        (
            Family::RtdetrRows,
            fixed(
                "output0",
                &[1, 300, 7],
                rows(300, 7, 9, &[0.5, 0.5, 0.5, 0.25, 0.1, 0.8, 0.2]),
            ),
            LABELS,
        ),
        (Family::Ssd, tensorflow, LABELS),
        (
            Family::Ssd,
            lists(["boxes", "scores", "labels"], [16.0, 24.0, 48.0, 40.0], 2.0),
            LABELS,
        ),
        (
            Family::Nanodet,
            fixed("output", &[1, 85, 35], nanodet),
            LABELS,
        ),
        (Family::Picodet, Fixed::new(64, picodet), LABELS),
        (Family::PicodetNms, paddle, LABELS),
        (
            Family::Ultraface,
            Fixed::new(
                64,
                vec![
                    ("scores", vec![1, 7, 2], rows(7, 2, 3, &[0.2, 0.8])),
                    (
                        "boxes",
                        vec![1, 7, 4],
                        rows(7, 4, 3, &[0.25, 0.375, 0.75, 0.625]),
                    ),
                ],
            ),
            "",
        ),
    ]
}

#[test]
fn every_family_of_detectors_is_recognised_and_read() {
    let Some(library) = library("every_family_of_detectors_is_recognised_and_read") else {
        return;
    };
    for (family, model, toml) in detectors() {
        check(&library, family, &model, toml);
        // The same from 16-bit floats, from open shapes, and through bytes.
        let mut half = model.clone();
        if half.input.1 == F32 {
            half.input.1 = F16;
            check(&library, family, &half, toml);
        }
        let mut open = model.clone();
        open.input.2 = match open.input.1 {
            U8 => vec![-1, -1, -1, 3],
            _ => vec![-1, 3, -1, -1],
        };
        for output in &mut open.outputs {
            let last = output.2.len() - 1;
            output.2[..last].fill(-1);
        }
        if family != Family::Yolov8 {
            check(
                &library,
                family,
                &open,
                &format!("{toml}[input]\nwidth = {SIDE}\nheight = {SIDE}\n"),
            );
        }
        let quantised = Fixed {
            quantised: true,
            ..model
        };
        check(&library, family, &quantised, toml);
    }
}

#[test]
fn faces_of_scrfd_have_landmarks() {
    let Some(library) = library("faces_of_scrfd_have_landmarks") else {
        return;
    };
    // Anchor 0 of cell (2, 2) of stride 16.
    let at = 2 * 10;
    let cells = [(8, 128), (16, 32), (32, 8)];
    let names = [
        ["443", "468", "493"],
        ["446", "471", "496"],
        ["449", "474", "499"],
    ];
    let points: Vec<f32> = (0..10).map(|i| i as f32 / 10.0).collect();
    let wanted: [(usize, &[f32]); 3] = [(1, &[0.8]), (4, &[1.0, 0.5, 1.0, 0.5]), (10, &points)];
    let mut outputs = Vec::new();
    for ((columns, row), names) in wanted.iter().zip(names) {
        for ((stride, n), name) in cells.iter().zip(names) {
            let data = if *stride == 16 {
                rows(*n, *columns, at, row)
            } else {
                vec![0.0; n * columns]
            };
            outputs.push((name, vec![*n, *columns], data));
        }
    }
    let model = Fixed::new(64, outputs);
    check(&library, Family::Scrfd, &model, "");
    let found = look(&open(&library, &model.write(), "").unwrap(), 0.5);
    let points = found[0].landmarks.unwrap();
    assert!((points[4].0 - (32.0 + 0.8 * 16.0)).abs() < 1e-3);
}

#[test]
fn what_ultralytics_notes_is_enough() {
    let Some(library) = library("what_ultralytics_notes_is_enough") else {
        return;
    };
    let data = turned(&rows(84, 6, 2, &[32.0, 32.0, 32.0, 16.0, 0.1, 0.8]), 84);
    let mut model = Fixed::new(64, vec![("output0", vec![1, 6, 84], data)]);
    model.input.2 = vec![-1, 3, -1, -1];
    model.outputs[0].2 = vec![-1, 6, -1];
    model.notes = vec![
        ("names", "{0: 'cat', 1: 'dog'}"),
        ("imgsz", "[64, 64]"),
        ("task", "detect"),
    ];
    check(&library, Family::Yolov8, &model, "");
    let opened = open(&library, &model.write(), "").unwrap();
    assert_eq!(opened.label(1), "dog");
    // Without them, the key that is missing is named.
    model.notes.clear();
    let error = open(&library, &model.write(), "").unwrap_err();
    assert!(error.contains("input.width"), "{error}");
}

#[test]
fn models_of_whole_pictures_answer() {
    let Some(library) = library("models_of_whole_pictures_answer") else {
        return;
    };
    let flat = Fixed::new(64, vec![("o", vec![1, 3], vec![0.5, 3.0, 4.0])]);
    let error = open(&library, &flat.write(), "").unwrap_err();
    assert!(error.contains("family"), "{error}");
    let model = open(&library, &flat.write(), "task = \"embedding\"").unwrap();
    let vector = model.embed(&blank(&model)).unwrap();
    assert!(
        (vector[2] - 4.0 / 25.25_f32.sqrt()).abs() < 1e-5,
        "{vector:?}"
    );
    let model = open(&library, &flat.write(), LABELS).unwrap();
    let classes = model.classify(&blank(&model), 2).unwrap();
    assert_eq!((classes[0].0, classes[1].0), (2, 1));
    assert!((classes[0].1 - 0.716).abs() < 1e-2, "{classes:?}");

    let steps: Vec<f32> = [1, 1, 0, 2, 0, 2]
        .iter()
        .flat_map(|s| (0..3).map(move |c| if c == *s { 0.9 } else { 0.05 }))
        .collect();
    let mut plate = Fixed::new(64, vec![("o", vec![1, 6, 3], steps)]);
    plate.input.2 = vec![1, 1, 32, 96];
    let model = open(
        &library,
        &plate.write(),
        "family = \"ctc\"\nlabels = [\"A\", \"7\"]",
    )
    .unwrap();
    let (text, sure) = model.read_text(&blank(&model)).unwrap();
    assert_eq!(text, "A77");
    assert!((sure - 0.9).abs() < 1e-5);
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let Some(library) = library("answers_that_make_no_sense_are_errors") else {
        return;
    };
    let row = |v: f32| rows(300, 6, 4, &[16.0, 24.0, v, 40.0, 0.8, 1.0]);
    for v in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let model = Fixed::new(64, vec![("output0", vec![1, 300, 6], row(v))]);
        let error = open(&library, &model.write(), LABELS).unwrap_err();
        assert!(error.contains("finite"), "{error}");
    }
    // Ten million boxes, all of them sure.
    let toml = format!("family = \"rtdetr-rows\"\n{LABELS}");
    let error = open(&library, &onnx::flood(10_000_000), &toml).unwrap_err();
    assert!(error.contains("at most"), "{error}");
    // No shape of theirs.
    let model = Fixed::new(64, vec![("output0", vec![1, 300, 5], vec![0.0; 1500])]);
    let error = open(
        &library,
        &model.write(),
        &format!("family = \"yolov10\"\n{LABELS}"),
    )
    .unwrap_err();
    assert!(error.contains("[1, boxes, 6]"), "{error}");
}

#[test]
fn pictures_that_go_together_come_apart_again() {
    let Some(library) = library("pictures_that_go_together_come_apart_again") else {
        return;
    };
    let toml = "labels = [\"a\", \"b\"]";
    let model = open(&library, &onnx::brightness_of_many(), toml).unwrap();
    assert!(model.takes_batches());
    assert!(
        !open(&library, &onnx::brightness(32), toml)
            .unwrap()
            .takes_batches()
    );
    let levels = [0.0, 255.0, 204.0];
    let values: Vec<f32> = levels.iter().flat_map(|v| vec![*v; 3 * 32 * 32]).collect();
    let wanted = Wanted {
        threshold: 0.5,
        classes: None,
    };
    let all = model
        .analyse_batch(&Values::F32(values), &[(&wanted, 5); 3])
        .unwrap();
    let scores: Vec<Vec<f32>> = all
        .iter()
        .map(|f| f.iter().map(|c| c.score).collect())
        .collect();
    assert_eq!(scores.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 1]);
    assert!((scores[1][0] - 1.0).abs() < 1e-3 && (scores[2][0] - 0.8).abs() < 1e-3);
}

/// Bytes that are nearly a model.
#[test]
fn broken_files_are_errors() {
    let Some(library) = library("broken_files_are_errors") else {
        return;
    };
    let good = onnx::brightness(32);
    let toml = "labels = [\"a\", \"b\"]";
    assert!(open(&library, &good, toml).is_ok());
    let mut state = 1_u64;
    let mut next = |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut refused = 0;
    for _ in 0..150 {
        let mut bad = good.clone();
        match next(3) {
            0 => bad.truncate(next(good.len())),
            1 => (0..=next(4)).for_each(|_| bad[next(good.len())] ^= 1 << next(8)),
            _ => {
                let at = next(good.len());
                bad.splice(at..at, vec![0xff; next(20)]);
            }
        }
        // Whether it opens or not: no crash.
        refused += u32::from(open(&library, &bad, toml).is_err());
    }
    assert!(refused > 75, "{refused}");
    for bad in [Vec::new(), vec![0xff; 4096], vec![0x0a; 100_000]] {
        assert!(open(&library, &bad, toml).is_err());
    }
}
