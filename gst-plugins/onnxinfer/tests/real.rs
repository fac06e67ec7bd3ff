//! Real models on real pictures, where they lie beside the project.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{element, library, shared};
use gst::prelude::*;
use nvr_contract::BBox;
use nvr_contract::detection::{Detection, FoundDetection};
use nvr_contract::face;

const YOLOX: &str = "models/yolox_nano_coco_416.onnx";

/// What the element finds on a JPEG file that reaches it in `format`, with the landmarks where there are any.
fn look(
    element: &gst::Element,
    file: &Path,
    format: &str,
) -> Vec<(FoundDetection, Option<face::Landmarks>)> {
    let make = |name: &str| gst::ElementFactory::make(name).build().unwrap();
    let (source, decoder, convert) = (make("filesrc"), make("jpegdec"), make("videoconvert"));
    let (filter, sink) = (make("capsfilter"), make("fakesink"));
    source.set_property("location", file.to_str().unwrap());
    filter.set_property(
        "caps",
        gst::Caps::builder("video/x-raw")
            .field("format", format)
            .build(),
    );
    let pipeline = gst::Pipeline::new();
    let chain = [&source, &decoder, &convert, &filter, element, &sink];
    pipeline.add_many(chain).unwrap();
    gst::Element::link_many(chain).unwrap();
    let found = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&found);
    sink.static_pad("sink")
        .unwrap()
        .add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer().unwrap();
            let marks: Vec<_> = buffer
                .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
                .map(|meta| (meta.id(), face::landmarks_of(&meta)))
                .collect();
            for object in Detection::all_of_buffer(buffer) {
                let landmarks = marks
                    .iter()
                    .find(|(id, _)| *id == object.roi_id)
                    .and_then(|(_, l)| *l);
                into.lock().unwrap().push((object, landmarks));
            }
            gst::PadProbeReturn::Ok
        });
    pipeline.set_state(gst::State::Playing).unwrap();
    let message = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    pipeline.remove(element).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    std::mem::take(&mut *found.lock().unwrap())
}

#[test]
fn yolox_sees_the_dog_in_every_format() {
    let name = "yolox_sees_the_dog_in_every_format";
    let (Some(library), Some(model), Some(dog)) = (
        library(name),
        shared(name, YOLOX),
        shared(name, "media/images/dog.jpg"),
    ) else {
        return;
    };
    let element = element(&library, &model);
    for format in ["I420", "NV12", "RGB"] {
        let found = look(&element, &dog, format);
        for (label, score) in [("dog", 0.86), ("bicycle", 0.80), ("car", 0.80)] {
            let best = found
                .iter()
                .filter(|(f, _)| f.detection.label == label)
                .map(|(f, _)| f.detection.score)
                .fold(0.0, f64::max);
            assert!(
                (best - score).abs() < 0.03,
                "{format}: {label} is {best}, not {score}: {found:?}"
            );
        }
        // The dog sits at the left, below the middle.
        let (dog, _) = found
            .iter()
            .find(|(f, _)| f.detection.label == "dog")
            .unwrap();
        let (x, y) = dog.detection.bbox.center();
        assert!(
            (0.2..0.4).contains(&x) && (0.5..0.8).contains(&y),
            "{dog:?}"
        );
    }
}

/// One labelled object of the ground truth, in shares of the picture.
fn truth(line: &serde_json::Value, (width, height): (f64, f64)) -> Vec<(String, BBox)> {
    let boxes = line["bboxes"].as_array().unwrap();
    boxes
        .iter()
        .map(|b| {
            let at = |i: usize| b["bbox"][i].as_f64().unwrap();
            let bbox = BBox::clamped(at(0) / width, at(1) / height, at(2) / width, at(3) / height);
            (b["category"].as_str().unwrap().to_owned(), bbox)
        })
        .collect()
}

#[test]
fn yolox_finds_a_fair_share_of_coco() {
    let name = "yolox_finds_a_fair_share_of_coco";
    let (Some(library), Some(model), Some(list)) = (
        library(name),
        shared(name, YOLOX),
        shared(name, "media/gt/coco6.jsonl"),
    ) else {
        return;
    };
    let element = element(&library, &model);
    element.set_property("threshold", 0.3);
    // Width and height of the six pictures.
    let sizes = [
        (500.0, 375.0),
        (429.0, 640.0),
        (640.0, 428.0),
        (640.0, 426.0),
        (640.0, 426.0),
        (640.0, 480.0),
    ];
    let (mut hits, mut misses, mut total) = (0, 0, 0);
    for (line, size) in std::fs::read_to_string(list).unwrap().lines().zip(sizes) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = format!("media/images/coco6/{}", line["img"].as_str().unwrap());
        let Some(file) = shared(name, &file) else {
            return;
        };
        let mut truth = truth(&line, size);
        total += truth.len();
        for (found, _) in look(&element, &file, "I420") {
            let object = found.detection;
            let hit = truth
                .iter()
                .position(|(label, b)| *label == object.label && b.iou(object.bbox) >= 0.5);
            match hit {
                Some(i) => {
                    truth.remove(i);
                    hits += 1;
                }
                None => misses += 1,
            }
        }
    }
    println!("coco6: {hits} true, {misses} false, of {total}");
    assert!(hits * 10 >= total * 3, "{hits} of {total}");
    assert!(misses <= hits, "{misses} false, {hits} true");
}

#[test]
fn yunet_sees_faces_and_their_landmarks() {
    let name = "yunet_sees_faces_and_their_landmarks";
    for model in ["models/yunet_n_320_320.onnx", "models/yunet_n_640_640.onnx"] {
        for (photo, faces) in [
            ("obama_5.jpg", 1),
            ("biden_2.jpg", 1),
            ("group_two_people.jpg", 2),
        ] {
            let photo = format!("media/faces/{photo}");
            let (Some(library), Some(model), Some(photo)) =
                (library(name), shared(name, model), shared(name, &photo))
            else {
                return;
            };
            let element = element(&library, &model);
            element.set_property("threshold", 0.7);
            let found = look(&element, &photo, "NV12");
            assert_eq!(found.len(), faces, "{}: {found:?}", photo.display());
            for (object, landmarks) in found {
                assert_eq!(object.detection.label, "face");
                let [right_eye, left_eye, nose, right_mouth, left_mouth] = landmarks.unwrap();
                let b = object.detection.bbox;
                for (x, y) in landmarks.unwrap() {
                    assert!(
                        x > b.x && x < b.x + b.w && y > b.y && y < b.y + b.h,
                        "{object:?}"
                    );
                }
                // The person's right is the picture's left; eyes above nose above mouth.
                assert!(right_eye.0 < left_eye.0 && right_mouth.0 < left_mouth.0);
                assert!(right_eye.1 < nose.1 && nose.1 < left_mouth.1);
            }
        }
    }
}
