//! What facts a model gets from its shapes, its family and its TOML, and that none of them can break the reader.

use proptest::prelude::*;

use super::*;
use crate::decode::yunet;
use std::path::Path;

use super::resolve::InputShape;
use crate::io::{ModelIo, Outlet};

fn outlet(name: &str, shape: &[i64]) -> Outlet {
    Outlet {
        name: name.to_owned(),
        shape: shape.to_vec(),
        element: Element::F32,
    }
}

fn io(input: &[i64], outputs: &[(&str, &[i64])]) -> ModelIo {
    ModelIo {
        inputs: vec![outlet("in", input)],
        outputs: outputs.iter().map(|(n, s)| outlet(n, s)).collect(),
        ..ModelIo::default()
    }
}

fn facts(toml: &str, io: &ModelIo) -> Result<Facts, String> {
    let file: FactsFile = toml::from_str(toml).map_err(|e| e.to_string())?;
    file.resolve(io, Path::new("m.toml"))
        .map_err(|e| e.to_string())
}

#[test]
fn without_a_toml_a_family_has_its_habits() {
    let yunet: Vec<(&str, &[i64])> = yunet::NAMES.iter().map(|n| (*n, [1].as_slice())).collect();
    let cases = [
        (
            io(&[1, 3, 416, 416], &[("o", &[1, 3549, 85])]),
            Family::Yolox,
            80,
            0.45,
        ),
        (io(&[1, 3, 320, 320], &yunet), Family::Yunet, 1, 0.3),
        (
            io(&[-1, 3, 640, 640], &[("o", &[-1, 84, 8400])]),
            Family::Yolov8,
            80,
            0.5,
        ),
    ];
    for (io, family, labels, iou) in cases {
        let f = facts("", &io).unwrap();
        assert_eq!((f.family, f.labels.len(), f.nms_iou), (family, labels, iou));
        let (channels, scale, letterbox, pad) = match family {
            Family::Yolox => (Channels::Bgr, 1.0, Letterbox::TopLeft, 114.0),
            Family::Yunet => (Channels::Bgr, 1.0, Letterbox::TopLeft, 0.0),
            _ => (Channels::Rgb, 1.0 / 255.0, Letterbox::Center, 114.0),
        };
        let i = f.input;
        assert_eq!(
            (i.channels, i.scale, i.letterbox, i.pad),
            (channels, scale, letterbox, pad)
        );
    }
}

#[test]
fn a_toml_overrides_the_habits() {
    let toml = "task = \"detection\"\nfamily = \"yolov8\"\nlabels = [\"a\", \"b\"]\ndescription = \"x\"\nlicence = \"MIT\"\n\
                [input]\nname = \"in\"\nwidth = 64\nheight = 32\nchannels = \"bgr\"\nlayout = \"nchw\"\nscale = 0.5\n\
                mean = [1.0, 2.0, 3.0]\nstd = [4.0, 5.0, 6.0]\nletterbox = \"stretch\"\npad = 7\n[nms]\niou = 0.7\n";
    let f = facts(toml, &io(&[1, 3, -1, -1], &[("o", &[1, -1, -1])])).unwrap();
    let expect = Facts {
        task: Task::Detection,
        family: Family::Yolov8,
        input: InputSpec {
            name: "in".to_owned(),
            element: Element::F32,
            layout: Layout::Nchw,
            width: 64,
            height: 32,
            channels: Channels::Bgr,
            scale: 0.5,
            mean: [1.0, 2.0, 3.0],
            std: [4.0, 5.0, 6.0],
            letterbox: Letterbox::Stretch,
            pad: 7.0,
        },
        outputs: vec!["o".to_owned()],
        activation: Activation::None,
        labels: vec!["a".to_owned(), "b".to_owned()],
        nms_iou: 0.7,
        licence: "MIT".to_owned(),
        description: "x".to_owned(),
        inferred: Vec::new(),
    };
    assert_eq!(f, expect);
}

#[test]
fn wrong_facts_are_named() {
    let yolox = io(&[1, 3, 416, 416], &[("o", &[1, 3549, 85])]);
    let check = |toml: &str, io: &ModelIo, word: &str| {
        let error = facts(toml, io).unwrap_err();
        assert!(error.contains(word), "`{word}` is not in: {error}");
    };
    check("familly = \"yolox\"", &yolox, "familly");
    check("family = \"sdd\"", &yolox, "sdd");
    check(
        "[input]\nlayout = \"nhwc\"",
        &yolox,
        "[1, height, width, 3]",
    );
    check("[input]\nlayout = \"cnhw\"", &yolox, "cnhw");
    check("[input]\nchannels = \"gray\"", &yolox, "3 planes");
    check("[input]\nname = \"other\"", &yolox, "other");
    check("[input]\npad = inf", &yolox, "input.pad");
    check("[nms]\niou = 1.5", &yolox, "nms.iou");
    check("labels = []", &yolox, "0 classes");
    check("labels = [\"a\"]\nlabels_file = \"b\"", &yolox, "not both");
    check("labels_file = \"/nowhere/names\"", &yolox, "/nowhere/names");
    check("", &io(&[1, 3, 416, 416], &[("o", &[1, 8])]), "o [1, 8]");
    check(
        "",
        &io(&[1, 416, 416, 5], &[("o", &[1, 8])]),
        "[1, 3, height, width]",
    );
    check(
        "[input]\nwidth = 100000\nheight = 1",
        &io(&[1, 3, -1, -1], &[]),
        "1..4096",
    );
    check("", &ModelIo::default(), "one input");
}

#[test]
fn what_a_model_notes_itself_needs_no_toml() {
    let mut io = io(&[-1, 3, -1, -1], &[("output0", &[-1, 6, -1])]);
    io.notes = [
        ("names", "{0: 'cat', 1: 'dog'}"),
        ("imgsz", "[384, 640]"),
        ("task", "detect"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    let f = facts("", &io).unwrap();
    assert_eq!(
        (f.family, f.input.width, f.input.height),
        (Family::Yolov8, 640, 384)
    );
    assert_eq!(f.labels, ["cat", "dog"]);
    assert_eq!(f.inferred.len(), 3, "{:?}", f.inferred);
}

#[test]
fn what_cannot_be_told_names_its_key() {
    let check = |toml: &str, io: &ModelIo, words: &[&str]| {
        let error = facts(toml, io).unwrap_err();
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
    };
    // Classes or a vector: only a person knows.
    let flat = io(&[1, 3, 64, 64], &[("o", &[1, 8])]);
    check("", &flat, &["family", "m.toml"]);
    let f = facts("family = \"embedding\"", &flat).unwrap();
    assert_eq!((f.task, f.labels.len()), (Task::Embedding, 0));
    let f = facts(
        "labels = [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]",
        &flat,
    )
    .unwrap();
    assert_eq!(f.family, Family::Classification);
    // An SSD of floats: 0..1, -1..1 or 0..255.
    let lists: &[(&str, &[i64])] = &[
        ("detection_boxes", &[1, 10, 4]),
        ("detection_scores", &[1, 10]),
        ("detection_classes", &[1, 10]),
    ];
    let mut ssd = io(&[1, 300, 300, 3], lists);
    check("labels = \"coco80\"", &ssd, &["input.scale"]);
    ssd.inputs[0].element = Element::U8;
    let f = facts("labels = \"coco80\"", &ssd).unwrap();
    assert_eq!((f.input.layout, f.input.scale), (Layout::Nhwc, 1.0));
    check("", &ssd, &["labels"]);
    // Two inputs that could take a picture, and one that nobody knows.
    let mut two = io(&[1, 3, 64, 64], &[("o", &[1, 84, 84])]);
    two.inputs.push(outlet("other", &[1, 3, 64, 64]));
    check("", &two, &["input.name"]);
    two.inputs[1].shape = vec![1];
    check("", &two, &["`other`"]);
    two.inputs[1].name = "scale_factor".to_owned();
    let shape = FactsFile::default()
        .input_shape(&two, Path::new("m.toml"))
        .unwrap();
    let expect = InputShape {
        name: "in".to_owned(),
        element: Element::F32,
        layout: Layout::Nchw,
        planes: 3,
        width: 64,
        height: 64,
    };
    assert_eq!(shape, expect);
}

proptest! {
    #[test]
    fn no_shape_breaks_the_reader(
        input in prop::collection::vec(prop_oneof![Just(1_i64), Just(3), Just(-1), Just(32), any::<i64>()], 0..6),
        output in prop::collection::vec(prop_oneof![Just(1_i64), Just(21), Just(7), any::<i64>()], 0..5),
        toml in prop_oneof![
            Just(""), Just("family = \"yolox\""), Just("family = \"yunet\""), Just("family = \"yolov8\""),
            Just("family = \"nanodet\""), Just("family = \"picodet\""), Just("family = \"rtdetr-rows\""),
            Just("family = \"classification\""), Just("labels = \"coco80\""),
        ],
    ) {
        if let Ok(f) = facts(toml, &io(&input, &[("o", &output)])) {
            prop_assert!(!f.labels.is_empty() && f.input.width <= MAX_SIDE && f.input.height <= MAX_SIDE);
        }
    }
}
