//! The element in a harness, with tiny models: what it attaches, when it looks, what it survives.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;

use std::path::PathBuf;
use std::str::FromStr;

use common::{caps, element, grey, harness, init, library, next_trouble, onnx};
use gst::prelude::*;
use gst_check::Harness;
use nvr_contract::detection::{Detection, FoundDetection, InferenceFrame};
use nvr_contract::motion::{MotionFrame, MotionRegion};
use nvr_contract::{BBox, stats};
use nvr_onnx::model::{Model, OpenOptions};

const LABELS: &str = "labels = [\"dull\", \"bright\"]\n[input]\nletterbox = \"stretch\"\n";

/// The bright-object model in a folder of its own, in a harness of I420 pictures of 64 by 48 pixels.
struct Bench {
    element: gst::Element,
    harness: Harness,
    model: PathBuf,
    folder: tempfile::TempDir,
}

fn bench_of(test: &str, model: &[u8], set: impl FnOnce(&gst::Element)) -> Option<Bench> {
    let library = library(test)?;
    let folder = tempfile::tempdir().unwrap();
    let model = onnx::write(folder.path(), "m.onnx", model, LABELS);
    let element = element(&library, &model);
    set(&element);
    let mut harness = harness(&element);
    harness.set_src_caps_str(&caps("I420", 64, 48));
    Some(Bench {
        element,
        harness,
        model,
        folder,
    })
}

fn bench(test: &str, set: impl FnOnce(&gst::Element)) -> Option<Bench> {
    bench_of(test, &onnx::brightness(32), set)
}

impl Bench {
    fn push(&mut self, buffer: gst::Buffer) -> (bool, Vec<FoundDetection>) {
        let out = self.harness.push_and_pull(buffer).unwrap();
        let frame = InferenceFrame::of_buffer(&out).unwrap();
        (frame.ran, Detection::all_of_buffer(&out))
    }

    /// Numbers of the analysed pictures among the bright `numbers`.
    fn ran(&mut self, numbers: impl Iterator<Item = u64>) -> Vec<u64> {
        numbers
            .filter(|n| self.push(grey(64, 48, 255, *n)).0)
            .collect()
    }

    fn count(&self, field: &str) -> u64 {
        self.element
            .property::<gst::Structure>("stats")
            .get(field)
            .unwrap()
    }
}

#[test]
fn a_bright_picture_gets_its_object() {
    let Some(mut b) = bench("a_bright_picture_gets_its_object", |_| {}) else {
        return;
    };
    let mut picture = grey(64, 48, 235, 0);
    let region = MotionRegion {
        bbox: BBox::clamped(0.1, 0.1, 0.2, 0.2),
        score: 0.5,
        zones: vec![],
    };
    region.attach(picture.get_mut().unwrap(), 64, 48);

    let out = b.harness.push_and_pull(picture).unwrap();
    let hash = blake3::hash(&std::fs::read(&b.model).unwrap())
        .to_hex()
        .to_string();
    let frame = InferenceFrame {
        ran: true,
        model: hash[..12].to_owned(),
    };
    assert_eq!(InferenceFrame::of_buffer(&out), Some(frame));
    // What stood there before is left alone.
    assert_eq!(MotionRegion::all_of_buffer(&out).len(), 1);

    let found = Detection::all_of_buffer(&out);
    let [object] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (object.detection.label.as_str(), object.detection.label_id),
        ("bright", 1)
    );
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-4, "{a} {b}");
    near(object.detection.score, 1.0);
    let bbox = object.detection.bbox;
    near(bbox.x, 0.25);
    near(bbox.y, 0.375);
    near(bbox.w, 0.5);
    near(bbox.h, 0.25);

    // Half as bright is half as sure, and a dark picture holds nothing.
    let (_, found) = b.push(grey(64, 48, 16 + 219 / 2, 1));
    near(found[0].detection.score, 109.0 / 219.0);
    assert_eq!(b.push(grey(64, 48, 16, 2)), (true, vec![]));
    assert_eq!(b.count(stats::FRAMES_IN), 3);
    assert_eq!(b.count(stats::FRAMES_PROCESSED), 3);
    assert_eq!(b.count(stats::FRAMES_DROPPED), 0);
    assert!(b.count(stats::AVG_LATENCY_NS) > 0);
}

#[test]
fn thresholds_and_labels_change_while_playing() {
    let Some(mut b) = bench("thresholds_and_labels_change_while_playing", |_| {}) else {
        return;
    };
    let bus = gst::Bus::new();
    b.element.set_bus(Some(&bus));
    let half = |n| grey(64, 48, 16 + 219 / 2, n);
    assert_eq!(b.push(half(0)).1.len(), 1);
    b.element.set_property("threshold", 0.6);
    assert_eq!(b.push(half(1)).1.len(), 0);
    b.element.set_property("threshold", 0.3);
    b.element.set_property("labels", "dull");
    assert_eq!(b.push(half(2)).1.len(), 0);
    b.element.set_property("labels", "dull, bright");
    assert_eq!(b.push(half(3)).1.len(), 1);
    assert_eq!(next_trouble(&bus).map(|t| t.1), None);

    b.element.set_property("labels", "brihgt");
    assert_eq!(b.push(half(4)).1.len(), 0);
    let (error, text) = next_trouble(&bus).unwrap();
    assert!(
        error.matches(gst::LibraryError::Settings) && text.contains("brihgt"),
        "{text}"
    );
    b.element.set_property("labels", None::<String>);
    assert_eq!(b.push(half(5)).1.len(), 1);
    assert_eq!(next_trouble(&bus).map(|t| t.1), None);
}

#[test]
fn rules_choose_the_pictures() {
    let Some(mut b) = bench("rules_choose_the_pictures", |e| {
        e.set_property("interval", 4_u32)
    }) else {
        return;
    };
    assert_eq!(b.ran(0..10), [0, 4, 8]);
    b.element.set_property("interval", 1_u32);
    b.element.set_property("max-fps", 5.0);
    assert_eq!(b.ran(10..26), [10, 15, 20, 25]);
    b.element.set_property("max-fps", 0.0);
    b.element.set_property_from_str("trigger", "motion");
    let mut push = |n, moving: Option<bool>| {
        let mut picture = grey(64, 48, 255, n);
        if let Some(moving) = moving {
            MotionFrame {
                moving,
                level: 0.0,
                learning: false,
            }
            .attach(picture.get_mut().unwrap());
        }
        b.push(picture).0
    };
    assert!(!push(30, Some(false)));
    assert!(push(31, Some(true)));
    // Nobody looked for motion: the element works alone.
    assert!(push(32, None));
    assert_eq!(b.count(stats::FRAMES_DROPPED), 0);
}

#[test]
fn gaps_and_broken_buffers_pass() {
    let Some(mut b) = bench("gaps_and_broken_buffers_pass", |_| {}) else {
        return;
    };
    let mut gap = grey(64, 48, 255, 0);
    gap.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
    assert_eq!(b.push(gap), (false, vec![]));
    let mut short = gst::Buffer::with_size(100).unwrap();
    short
        .get_mut()
        .unwrap()
        .set_pts(gst::ClockTime::from_mseconds(40));
    assert_eq!(b.push(short), (false, vec![]));
    assert_eq!(b.count(stats::FRAMES_DROPPED), 1);
    let mut discont = grey(64, 48, 255, 2);
    discont
        .get_mut()
        .unwrap()
        .set_flags(gst::BufferFlags::DISCONT);
    assert!(b.push(discont).0);
    // No PTS at all.
    let mut timeless = grey(64, 48, 255, 3);
    timeless.get_mut().unwrap().set_pts(gst::ClockTime::NONE);
    assert!(b.push(timeless).0);
}

#[test]
fn sizes_formats_and_strides_change_mid_stream() {
    let Some(mut b) = bench("sizes_formats_and_strides_change_mid_stream", |_| {}) else {
        return;
    };
    let sizes = [(64, 48), (1, 1), (33, 17), (2, 200), (640, 360)];
    for (n, (width, height)) in sizes.into_iter().enumerate() {
        for (format, white) in [("I420", 235), ("NV12", 235), ("RGB", 255)] {
            b.harness.set_src_caps_str(&caps(format, width, height));
            let format = gst_video::VideoFormat::from_string(format);
            let info = gst_video::VideoInfo::builder(format, width as u32, height as u32)
                .build()
                .unwrap();
            let mut data = vec![if white == 255 { 255 } else { 128 }; info.size()];
            if white != 255 {
                data[..info.offset()[1]].fill(white);
            }
            let mut picture = gst::Buffer::from_mut_slice(data);
            picture
                .get_mut()
                .unwrap()
                .set_pts(gst::ClockTime::from_mseconds(40 * n as u64));
            let (ran, found) = b.push(picture);
            let sure = found.first().map_or(0.0, |f| f.detection.score);
            assert!(ran && sure > 0.98, "{format} {width}x{height}: {found:?}");
        }
    }
    // Rows farther apart than the caps alone would have it, with black between them.
    b.harness.set_src_caps_str(&caps("RGB", 10, 8));
    let mut data = vec![0_u8; 100 * 8];
    for row in data.chunks_exact_mut(100) {
        row[..30].fill(255);
    }
    let mut picture = gst::Buffer::from_mut_slice(data);
    gst_video::VideoMeta::add_full(
        picture.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        gst_video::VideoFormat::Rgb,
        10,
        8,
        &[0],
        &[100],
    )
    .unwrap();
    let (_, found) = b.push(picture);
    assert!(found[0].detection.score > 0.99, "{found:?}");
}

#[test]
fn flush_eos_and_states_leave_it_working() {
    let Some(mut b) = bench("flush_eos_and_states_leave_it_working", |e| {
        e.set_property("interval", 10_u32);
    }) else {
        return;
    };
    assert_eq!(b.ran(0..3), [0]);
    assert!(b.harness.push_event(gst::event::FlushStart::new()));
    assert!(b.harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(b.harness.push_event(gst::event::Segment::new(&segment)));
    // Forgotten with the flush: the first picture after it is analysed at once.
    assert_eq!(b.ran(3..5), [3]);
    assert!(b.harness.push_event(gst::event::Eos::new()));
    // A harness takes the element to NULL when it goes.
    let Bench {
        element,
        harness: mut last,
        folder: _kept,
        ..
    } = b;
    for round in 0..3 {
        drop(last);
        let mut again = harness(&element);
        again.set_src_caps_str(&caps("I420", 64, 48));
        let out = again.push_and_pull(grey(64, 48, 255, round)).unwrap();
        assert!(InferenceFrame::of_buffer(&out).unwrap().ran);
        last = again;
    }
}

#[test]
fn a_live_stream_waits_no_longer_than_its_budget() {
    let name = "a_live_stream_waits_no_longer_than_its_budget";
    let Some(mut b) = bench_of(name, &onnx::slow(), |e| {
        e.set_property_from_str("live", "yes");
        e.set_property("budget", 1_000_000_u64);
    }) else {
        return;
    };
    let bus = gst::Bus::new();
    b.element.set_bus(Some(&bus));
    // All pictures come out, none analysed; the first two of them while the model is at the first.
    assert_eq!(b.ran(0..2), [0_u64; 0]);
    assert_eq!(b.count(stats::FRAMES_DROPPED), 2);
    let (error, text) = next_trouble(&bus).unwrap();
    assert!(
        error.matches(gst::ResourceError::Busy) && text.contains("budget"),
        "{text}"
    );
    // Once a stream, however many more.
    assert_eq!(b.ran(2..40), [0_u64; 0]);
    assert_eq!(next_trouble(&bus).map(|t| t.1), None);
    assert_eq!(b.count(stats::FRAMES_IN), 40);
    assert_eq!(b.count(stats::FRAMES_DROPPED), 40);

    // With all the time in the world the same model answers, the latency shows it, and the stream rests after it.
    b.element.set_property("budget", 0_u64);
    let mut n = 40;
    while !b.push(grey(64, 48, 255, n)).0 {
        n += 1;
    }
    let held = b.harness.query_latency().unwrap();
    assert!(held >= gst::ClockTime::from_mseconds(10), "{held}");
    // Pictures that do not move on in time while the model takes its time: the stream is behind.
    assert!((0..20).any(|_| !b.push(grey(64, 48, 255, n)).0));
}

#[test]
fn upstream_says_whether_the_stream_is_live() {
    let name = "upstream_says_whether_the_stream_is_live";
    for live in [true, false] {
        let Some(mut b) = bench_of(name, &onnx::slow(), |e| {
            e.set_property_from_str("live", "auto");
            e.set_property("budget", 1_000_000_u64);
        }) else {
            return;
        };
        b.harness.set_live(live);
        assert_eq!(b.ran(0..1).is_empty(), live, "live: {live}");
    }
}

#[test]
fn equal_models_share_one_session() {
    let Some(library) = library("equal_models_share_one_session") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let model = onnx::write(folder.path(), "m.onnx", &onnx::brightness(32), LABELS);
    let link = folder.path().join("link.onnx");
    std::os::unix::fs::symlink(&model, &link).unwrap();
    let facts = Some(model.with_extension("toml"));
    let open = |path: &PathBuf, threads| {
        let options = OpenOptions {
            model: path.clone(),
            facts: facts.clone(),
            library: library.clone(),
            threads,
            ..OpenOptions::default()
        };
        Model::open(&options).unwrap()
    };
    let first = open(&model, 1);
    let shares = |other: &Model| std::sync::Arc::ptr_eq(first.session(), other.session());
    assert!(shares(&open(&model, 1)) && shares(&open(&link, 1)));
    assert!(!shares(&open(&model, 2)));
    // Another file of the same name is another model.
    let mut bytes = onnx::brightness(32);
    bytes.extend([0x12, 0x01, b'x']);
    onnx::write(folder.path(), "m.onnx", &bytes, "");
    assert!(!shares(&open(&model, 1)));
}

/// What going to READY with this model says.
#[track_caller]
fn check_refused(model: &[u8], toml: &str, error: impl gst::MessageErrorDomain, words: &[&str]) {
    let Some(library) = library("check_refused") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = onnx::write(folder.path(), "m.onnx", model, toml);
    let element = element(&library, &path);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Ready).is_err());
    let (got, text) = next_trouble(&bus).unwrap();
    assert!(got.matches(error), "{got:?}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn bad_models_and_facts_are_refused_in_ready() {
    let good = onnx::brightness(32);
    let settings = gst::ResourceError::Settings;
    check_refused(b"not a model", "", gst::StreamError::WrongType, &["m.onnx"]);
    check_refused(&good, "", settings, &["m.toml", "labels", "2 classes"]);
    check_refused(
        &good,
        "labels = [\"one\"]",
        settings,
        &["1 classes", "tells 2"],
    );
    check_refused(
        &good,
        "lables = [\"a\", \"b\"]",
        settings,
        &["m.toml", "lables"],
    );
    check_refused(&good, "labels = \"coco\"", settings, &["coco80"]);
    check_refused(
        &good,
        &format!("{LABELS}width = 64"),
        settings,
        &["input.width = 64", "32"],
    );
    check_refused(
        &good,
        &format!("{LABELS}std = [1.0, 0.0, 1.0]"),
        settings,
        &["input.std"],
    );
    check_refused(
        &good,
        &format!("task = \"face-detection\"\n{LABELS}"),
        settings,
        &["task"],
    );
    check_refused(&onnx::brightness(-1), LABELS, settings, &["input.width"]);
    let told = format!("family = \"yolox\"\n{LABELS}");
    let failed = gst::LibraryError::Failed;
    check_refused(&onnx::liar(), &told, failed, &["m.onnx", "[1, 20, 7]"]);
    check_refused(&onnx::embedding(), "", settings, &["m.toml", "y [1, 8]"]);
}

#[test]
fn a_missing_model_is_told_by_its_path() {
    init();
    for (model, word) in [
        (None, "`model`"),
        (Some("/nowhere/m.onnx"), "/nowhere/m.onnx"),
        (Some("/tmp"), "/tmp"),
    ] {
        let element = gst::ElementFactory::make("onnxinfer")
            .property("model", model)
            .build()
            .unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        assert!(element.set_state(gst::State::Ready).is_err());
        let (error, text) = next_trouble(&bus).unwrap();
        assert!(
            error.matches(gst::ResourceError::NotFound) && text.contains(word),
            "{text}"
        );
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn facts_complete_an_open_model() {
    let toml = "family = \"yolox\"\ndescription = \"d\"\nlicence = \"CC0-1.0\"\nlabels_file = \"names.txt\"\n\
                [input]\nwidth = 32\nheight = 32\nletterbox = \"stretch\"\n[nms]\niou = 0.6\n";
    let Some(library) = library("facts_complete_an_open_model") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let model = onnx::write(folder.path(), "m.onnx", &onnx::brightness(-1), "");
    let facts = folder.path().join("elsewhere.toml");
    std::fs::write(&facts, toml).unwrap();
    std::fs::write(folder.path().join("names.txt"), "dull\n\nbright\n").unwrap();
    let element = element(&library, &model);
    element.set_property("model-facts", facts.to_str().unwrap());
    let mut h = harness(&element);
    h.set_src_caps_str(&caps("I420", 64, 48));
    let out = h.push_and_pull(grey(64, 48, 235, 0)).unwrap();
    assert_eq!(Detection::all_of_buffer(&out)[0].detection.label, "bright");
}

#[test]
fn a_model_that_fails_ends_the_stream() {
    let name = "a_model_that_fails_ends_the_stream";
    for live in ["no", "yes"] {
        let Some(mut b) = bench_of(name, &onnx::fragile(), |e| {
            e.set_property_from_str("live", live);
        }) else {
            return;
        };
        let bus = gst::Bus::new();
        b.element.set_bus(Some(&bus));
        let flow = b.harness.push(grey(64, 48, 235, 0));
        assert_eq!(flow, Err(gst::FlowError::Error));
        let (error, text) = next_trouble(&bus).unwrap();
        assert!(error.matches(gst::LibraryError::Failed), "{error:?}");
        assert!(text.contains("Analysis failed"), "{text}");
    }
}

#[test]
fn memory_is_neither_copied_nor_constrained() {
    let Some(mut b) = bench("memory_is_neither_copied_nor_constrained", |_| {}) else {
        return;
    };
    // As after a tee: somebody else holds the picture too.
    let picture = grey(64, 48, 235, 0);
    let address = |b: &gst::Buffer| b.map_readable().unwrap().as_ptr();
    let held = picture.clone();
    let out = b.harness.push_and_pull(picture).unwrap();
    assert_eq!(address(&out), address(&held));
    assert_eq!(Detection::all_of_buffer(&held), []);
    assert_eq!(Detection::all_of_buffer(&out).len(), 1);

    let asks_for_strides = |b: &Bench| {
        let caps = gst::Caps::from_str(&caps("I420", 64, 48)).unwrap();
        let mut query = gst::query::Allocation::new(Some(&caps), true);
        let sink = b.element.static_pad("sink").unwrap();
        assert!(sink.query(&mut query));
        query
            .find_allocation_meta::<gst_video::VideoMeta>()
            .is_some()
    };
    assert!(!asks_for_strides(&b));
    b.harness
        .add_propose_allocation_meta(gst_video::VideoMeta::meta_api(), None);
    assert!(asks_for_strides(&b));
}

#[test]
fn a_new_model_counts_from_the_next_start() {
    let Some(b) = bench("a_new_model_counts_from_the_next_start", |_| {}) else {
        return;
    };
    let Bench {
        element,
        mut harness,
        folder,
        ..
    } = b;
    let blind = onnx::write(folder.path(), "blind.onnx", &onnx::slow(), LABELS);
    // READY keeps the old model open, and the property may be set there.
    element.set_state(gst::State::Ready).unwrap();
    element.set_property("model", blind.to_str().unwrap());
    element.set_state(gst::State::Playing).unwrap();
    assert!(harness.push_event(gst::event::StreamStart::new("again")));
    harness.set_src_caps_str(&caps("I420", 64, 48));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    let out = harness.push_and_pull(grey(64, 48, 255, 0)).unwrap();
    assert_eq!(Detection::all_of_buffer(&out), []);
    let hash = blake3::hash(&std::fs::read(&blind).unwrap())
        .to_hex()
        .to_string();
    assert!(hash.starts_with(&InferenceFrame::of_buffer(&out).unwrap().model));
}

#[test]
fn each_label_has_its_threshold_and_places_count() {
    let Some(mut b) = bench("each_label_has_its_threshold_and_places_count", |_| {}) else {
        return;
    };
    let half = |n| grey(64, 48, 16 + 219 / 2, n);
    b.element.set_property("thresholds", "bright=0.6");
    assert_eq!(b.push(half(0)).1.len(), 0);
    b.element.set_property("thresholds", "bright=0.45,dull=0.9");
    assert_eq!(b.push(half(1)).1.len(), 1);
    // No threshold: the last one stays.
    b.element.set_property("thresholds", "bright=much");
    assert_eq!(
        b.element.property::<String>("thresholds"),
        "bright=0.45,dull=0.9"
    );
    b.element.set_property("min-area", 0.2);
    assert_eq!(b.push(half(2)).1.len(), 0);
    b.element.set_property("min-area", 0.0);
    // The object's foot is at (0.5, 0.625).
    b.element.set_property("zones", "top=0,0 1,0 1,0.5 0,0.5");
    assert_eq!(b.push(half(3)).1.len(), 0);
    b.element
        .set_property("zones", "top=0,0 1,0 1,0.5 0,0.5; low=0,0.6 1,0.6 1,1 0,1");
    assert_eq!(b.push(half(4)).1.len(), 1);
}

#[test]
fn a_closer_look_finds_what_is_small() {
    let name = "a_closer_look_finds_what_is_small";
    let Some(mut b) = bench(name, |e| {
        e.set_property_from_str("inference-region", "roi-list");
    }) else {
        return;
    };
    b.harness.set_src_caps_str(&caps("I420", 640, 480));
    // Dark, but for a bright spot of 32 by 32 pixels, which the whole picture's mean does not show.
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, 640, 480)
        .build()
        .unwrap();
    let picture = |n: u64, region: Option<BBox>| {
        let mut bytes = vec![128_u8; info.size()];
        bytes[..640 * 480].fill(16);
        for row in 320..352 {
            bytes[row * 640 + 480..row * 640 + 512].fill(235);
        }
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(gst::ClockTime::from_mseconds(40 * n));
        if let Some(bbox) = region {
            let region = MotionRegion {
                bbox,
                score: 0.5,
                zones: vec![],
            };
            region.attach(writable, 640, 480);
        }
        buffer
    };
    assert_eq!(b.push(picture(0, None)).1.len(), 0);
    let spot = BBox::clamped(490.0 / 640.0, 330.0 / 480.0, 10.0 / 640.0, 10.0 / 480.0);
    let (_, found) = b.push(picture(1, Some(spot)));
    let [object] = found.as_slice() else {
        panic!("{found:?}")
    };
    // The model says the middle of what it sees.
    let (x, y) = object.detection.bbox.center();
    assert!(
        (x - 495.0 / 640.0).abs() < 0.01 && (y - 335.0 / 480.0).abs() < 0.01,
        "{object:?}"
    );
}

#[test]
fn a_second_model_looks_at_what_the_first_found() {
    use nvr_contract::attribute::{Classified, Embedding, Text};
    let name = "a_second_model_looks_at_what_the_first_found";
    let flat = onnx::Fixed::new(32, vec![("o", vec![1, 2], vec![0.0, 2.0])]).write();
    let plate: Vec<f32> = [1, 2]
        .iter()
        .flat_map(|s| (0..3).map(move |c| f32::from(u8::from(c == *s))))
        .collect();
    let plate = onnx::Fixed::new(32, vec![("o", vec![1, 2, 3], plate)]).write();
    let look = |model: &[u8], toml: &str, labels: &str| {
        let library = library(name)?;
        let folder = tempfile::tempdir().unwrap();
        let model = onnx::write(folder.path(), "m.onnx", model, toml);
        let element = element(&library, &model);
        element.set_property_from_str("inference-region", "roi-list");
        element.set_property("labels", labels);
        let mut harness = harness(&element);
        harness.set_src_caps_str(&caps("I420", 64, 48));
        let mut picture = grey(64, 48, 255, 0);
        for label in ["car", "person"] {
            Detection {
                label: label.to_owned(),
                label_id: 0,
                score: 0.9,
                bbox: BBox::clamped(0.2, 0.2, 0.4, 0.4),
            }
            .attach(picture.get_mut().unwrap(), 64, 48);
        }
        let out = harness.push_and_pull(picture).unwrap();
        let metas: Vec<_> = out
            .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
            .map(|m| {
                (
                    Classified::all_of_meta(&m),
                    Embedding::of_meta(&m),
                    Text::of_meta(&m),
                )
            })
            .collect();
        assert_eq!(metas.len(), 2);
        Some(metas)
    };
    let Some(metas) = look(&flat, "labels = [\"red\", \"blue\"]", "car") else {
        return;
    };
    assert_eq!(
        (metas[0].0[0].label.as_str(), metas[0].0[0].label_id),
        ("blue", 1)
    );
    assert!(metas[0].0[0].score > 0.8 && metas[0].0[0].model.len() == 12);
    assert!(metas[1].0.is_empty(), "only cars were asked for");
    let metas = look(&flat, "task = \"embedding\"", "").unwrap();
    assert_eq!(metas[1].1.as_ref().unwrap().vector, [0.0, 1.0]);
    let metas = look(&plate, "task = \"text\"\nlabels = [\"B\", \"4\"]", "").unwrap();
    assert_eq!(metas[0].2.as_ref().unwrap().text, "B4");
}

#[test]
fn a_model_that_changes_under_a_stream_is_told_of() {
    use nvr_contract::Message;
    use nvr_contract::detection::ModelChanged;
    let Some(mut b) = bench("a_model_that_changes_under_a_stream_is_told_of", |_| {}) else {
        return;
    };
    let bus = gst::Bus::new();
    b.element.set_bus(Some(&bus));
    assert!(b.push(grey(64, 48, 255, 0)).0);
    let mut other = onnx::brightness(32);
    other.extend([0x12, 0x01, b'x']);
    std::fs::write(&b.model, &other).unwrap();
    let began = std::time::Instant::now();
    let mut n = 1;
    let changed = loop {
        b.push(grey(64, 48, 255, n));
        n += 1;
        let told = bus.pop().and_then(|m| ModelChanged::from_message(&m));
        if let Some(told) = told {
            break told.unwrap();
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(60));
    };
    let hash = blake3::hash(&other).to_hex().to_string();
    assert_eq!(changed.found, hash[..12]);
    assert_ne!(changed.running, changed.found);
    assert_eq!(changed.path, b.model.to_str().unwrap());
}

#[test]
fn what_runs_the_model_is_told() {
    let Some(b) = bench("what_runs_the_model_is_told", |e| {
        e.set_property("provider", "cuda,cpu");
        e.set_property("provider", "cdua");
    }) else {
        return;
    };
    // No list of providers: the last one stays; and no such hardware here, or not built in.
    assert_eq!(b.element.property::<String>("provider"), "cuda,cpu");
    let stats = b.element.property::<gst::Structure>("stats");
    let used = stats.get::<String>(stats::PROVIDER).unwrap();
    assert!(["cpu", "cuda"].contains(&used.as_str()), "{used}");
}
