//! A real detector on a real scene: pedestrians that cross, against annotated ground truth.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "allow-…-in-tests does not reach helpers of integration tests; a skipped test says so"
)]

#[path = "support/mot.rs"]
mod mot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gst_video::prelude::*;
use gstobjecttrack::tracker::{Config, Sighting, Tracker};
use mot::{Scene, score};
use nvr_contract::BBox;
use nvr_contract::track::Tracking;
use nvr_onnx::decode::Wanted;
use nvr_onnx::model::{Model, OpenOptions};
use nvr_onnx::preprocess::{Colour, InputTensor, Picture, Pixels, Plane, Preprocessor};

fn shared(file: &str) -> Option<PathBuf> {
    let root = std::env::var("NVRD_SHARED").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join(file);
    if !path.exists() {
        println!("SKIP: no {}", path.display());
        return None;
    }
    Some(path)
}

fn library() -> Option<String> {
    let told = std::env::var("ORT_DYLIB_PATH").ok().map(PathBuf::from);
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.deps/onnxruntime/libonnxruntime.so");
    let path = told.unwrap_or(beside);
    if !path.exists() {
        println!("SKIP: no ONNX Runtime at {}", path.display());
        return None;
    }
    Some(path.to_str().unwrap().to_owned())
}

/// Frames are numbered from 1, as in the ground truth.
type Detections = BTreeMap<u64, Vec<(f64, BBox)>>;

/// The persons that the model sees on each picture of a clip, with scores from 0.1.
fn persons(clip: &Path, model: &Path, library: String) -> Detections {
    gst::init().unwrap();
    let model = Model::open(&OpenOptions {
        model: model.to_owned(),
        library,
        threads: 1,
        workers: 1,
        ..OpenOptions::default()
    })
    .unwrap();
    let pipeline = gst::parse::launch(
        "filesrc name=source ! qtdemux ! h264parse ! avdec_h264 ! video/x-raw,format=I420 ! fakesink name=sink sync=false",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let source = pipeline.by_name("source").unwrap();
    source.set_property("location", clip.to_str().unwrap());
    let mut preprocessor = Preprocessor::new(model.facts().input.clone());
    let mut tensor = InputTensor::default();
    let found: Arc<Mutex<Detections>> = Arc::default();
    let into = Arc::clone(&found);
    let pad = pipeline
        .by_name("sink")
        .unwrap()
        .static_pad("sink")
        .unwrap();
    let mut frame_number = 0;
    let state = Mutex::new(move |caps: gst::Caps, buffer: &gst::Buffer| {
        let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
        let plane = |i: u32| Plane {
            data: frame.plane_data(i).unwrap(),
            stride: usize::try_from(frame.plane_stride()[i as usize]).unwrap(),
        };
        let picture = Picture {
            width: frame.width() as usize,
            height: frame.height() as usize,
            pixels: Pixels::I420 {
                y: plane(0),
                u: plane(1),
                v: plane(2),
            },
            colour: Colour::by_height(frame.height() as usize),
        };
        let geometry = preprocessor.fill(&picture, &mut tensor).unwrap();
        let wanted = Wanted {
            threshold: 0.1,
            classes: None,
        };
        let candidates = model.analyse(&tensor, &wanted, 200).unwrap();
        let boxes = candidates.iter().filter(|c| c.class == 0).map(|c| {
            let (x0, y0) = geometry.to_shares(c.x0, c.y0);
            let (x1, y1) = geometry.to_shares(c.x1, c.y1);
            let bbox = BBox::clamped(x0, y0, x1 - x0, y1 - y0);
            (f64::from(c.score), bbox)
        });
        frame_number += 1;
        into.lock().unwrap().insert(frame_number, boxes.collect());
    });
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let caps = pad.current_caps().unwrap();
        (state.lock().unwrap())(caps, info.buffer().unwrap());
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = pipeline.bus().unwrap().timed_pop_filtered(
        gst::ClockTime::from_seconds(300),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
    std::mem::take(&mut *found.lock().unwrap())
}

fn ground_truth(file: &Path, (width, height): (f64, f64)) -> Scene {
    let mut scene = Scene::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let v: Vec<f64> = line.split(',').filter_map(|f| f.parse().ok()).collect();
        // Cut to the picture, as what is detected is.
        let bbox = BBox::clamped(v[2] / width, v[3] / height, v[4] / width, v[5] / height);
        let boxes = scene.entry(v[0] as u64).or_default();
        boxes.push((v[1] as u64, bbox));
    }
    scene
}

/// What `objecttrack` has unless told otherwise.
fn config() -> Config {
    Config::default()
}

/// Every `step`-th frame of ten a second through the tracker; what it says, and the truth of those frames.
fn follow(detections: &Detections, truth: &Scene, step: u64, aspect: f64) -> (Scene, Scene) {
    let mut tracker = Tracker::default();
    let (mut said, mut true_then) = (Scene::new(), Scene::new());
    for (frame, found) in detections.iter().filter(|(f, _)| *f % step == 1 % step) {
        let sightings: Vec<Sighting> = found
            .iter()
            .map(|(score, bbox)| Sighting {
                label: "person".to_owned(),
                score: *score,
                bbox: *bbox,
            })
            .collect();
        let verdicts = tracker.look(&config(), aspect, frame * 100_000_000, &sightings);
        let tracked = verdicts
            .iter()
            .zip(&sightings)
            .filter_map(|(verdict, s)| match verdict {
                Tracking::Tracked(track) => Some((track.id, s.bbox)),
                _ => None,
            });
        said.insert(*frame, tracked.collect());
        true_then.insert(*frame, truth.get(frame).cloned().unwrap_or_default());
    }
    (said, true_then)
}

#[test]
fn pedestrians_of_pets_are_found_and_keep_their_ids() {
    let (Some(library), Some(model), Some(clip), Some(gt)) = (
        library(),
        shared("models/yolox_nano_coco_416.onnx"),
        shared("media/video/pets_s2l1_h264.mp4"),
        shared("media/gt/PETS09-S2L1.gt.txt"),
    ) else {
        return;
    };
    let detections = persons(&clip, &model, library);
    let truth = ground_truth(&gt, (768.0, 576.0));
    // The detector alone, every tenth frame, as the elements have it by default: score .3.
    let tenth = |frame: &u64| frame % 10 == 1;
    let sure = detections
        .iter()
        .filter(|(f, _)| tenth(f))
        .map(|(f, found)| {
            let boxes = found.iter().filter(|(s, _)| *s >= 0.3).enumerate();
            (*f, boxes.map(|(i, (_, b))| (i as u64, *b)).collect())
        });
    let some = truth
        .iter()
        .filter(|(f, _)| tenth(f))
        .map(|(f, b)| (*f, b.clone()));
    let alone = score(&some.collect(), &sure.collect());
    println!(
        "detector: recall {:.3}, precision {:.3}",
        alone.recall(),
        alone.precision()
    );
    assert!(
        alone.recall() >= 0.90 && alone.precision() >= 0.78,
        "{alone:?}"
    );
    for step in [1, 2] {
        let (said, then) = follow(&detections, &truth, step, 768.0 / 576.0);
        let s = score(&then, &said);
        println!(
            "{} fps: MOTA {:.3}, IDF1 {:.3}, recall {:.3}, precision {:.3}, {s:?}",
            10 / step,
            s.mota(),
            s.idf1(),
            s.recall(),
            s.precision()
        );
        assert!(
            s.mota() >= 0.70 && s.idf1() >= 0.65 && s.switches < 40,
            "{s:?}"
        );
    }
}

/// The measures on a scene that can be reckoned by hand.
#[test]
fn the_measures_are_those_of_motmetrics() {
    let at = |x: f64| BBox {
        x,
        y: 0.0,
        w: 0.1,
        h: 0.1,
    };
    let truth: Scene = (0..4)
        .map(|f| (f, vec![(1, at(0.1)), (2, at(0.5))]))
        .collect();
    let said: Scene = [
        (0, vec![(7, at(0.1)), (8, at(0.5))]),
        (1, vec![(7, at(0.1))]),
        // Object 2 comes back as another track, and something is seen that is not there.
        (2, vec![(7, at(0.1)), (9, at(0.5)), (5, at(0.8))]),
        // Track 7 jumps over to object 2.
        (3, vec![(9, at(0.1)), (7, at(0.5))]),
    ]
    .into();
    let s = score(&truth, &said);
    assert_eq!(
        (s.truth, s.said, s.misses, s.false_positives, s.switches),
        (8, 8, 1, 1, 3)
    );
    assert!((s.mota() - 3.0 / 8.0).abs() < 1e-9);
    // Object 1 is track 7 on three pictures, object 2 one of 8 and 9 on one.
    assert_eq!(s.identified, 4);
    assert!((s.idf1() - 0.5).abs() < 1e-9);
}
