//! What users of the element rely on: its properties and pads, and clear words where it cannot work.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;

use std::fmt::Write;

use common::{EMBEDDER, YUNET_SMALL, enrol, launch, library, photos, run, shared};
use expect_test::expect;
use gst::glib;
use gst::prelude::*;

fn mutability(pspec: &glib::ParamSpec) -> &'static str {
    if !pspec.flags().contains(glib::ParamFlags::WRITABLE) {
        "read only"
    } else if pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING) {
        "playing"
    } else if pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_READY) {
        "ready"
    } else {
        "construction"
    }
}

#[test]
fn the_surface_is_as_users_know_it() {
    common::init();
    let element = gst::ElementFactory::make("facematch").build().unwrap();
    let mut text = String::new();
    for pspec in element.list_properties().iter() {
        if pspec.owner_type() != element.type_() {
            continue;
        }
        let value = pspec.default_value();
        // GStreamer cannot write an absent structure.
        let default = if value.is::<gst::Structure>() {
            "-".to_owned()
        } else {
            value.serialize().map_or("-".to_owned(), |d| d.to_string())
        };
        let (name, kind) = (pspec.name(), pspec.value_type());
        let blurb = pspec.blurb().unwrap_or_default();
        let mutability = mutability(pspec);
        writeln!(text, "{name} {kind} = {default} ({mutability}): {blurb}").unwrap();
    }
    let factory = element.factory().unwrap();
    for template in factory.static_pad_templates() {
        writeln!(text, "{} {}", template.name_template(), template.caps()).unwrap();
    }
    let class = factory.metadata("klass").unwrap();
    writeln!(text, "{class} {:?}", factory.rank()).unwrap();
    expect![[r#"
        model gchararray = - (ready): Path of the ONNX file that turns a face into a vector
        ort-library gchararray = - (ready): Path of libonnxruntime.so; empty for $ORT_DYLIB_PATH and the usual places
        threads guint = 1 (ready): Threads that one run of the model may use
        gallery gchararray = - (playing): Path of the TOML with the people, read anew when it changes; empty for nobody; shared:NAME for one that the program fills
        enroll gchararray = - (playing): Id of a person to whom the one face of each picture is added, in the gallery's file; empty for nobody
        threshold gdouble = 0.34999999999999998 (playing): Least cosine similarity (-1..1) to a face of a person
        margin gdouble = 0.050000000000000003 (playing): By how much cosine similarity (0..1) the person must be nearer than the next one
        min-size gdouble = 12 (playing): Least distance between the eyes, pixels
        min-sharpness gdouble = 0.029999999999999999 (playing): Least local contrast of a face (0 flat, about 0.3 sharp)
        max-angle gdouble = 45 (playing): Farthest that a face may be turned or nodded, degrees, as its landmarks tell
        strangers gboolean = true (playing): Whether faces of nobody in the gallery get an id of their own, the same when they come again
        max-faces guint = 4 (playing): The most faces that the model looks at on one picture, the best first
        stats GstStructure = - (read only): Pictures in, faces embedded and refused, people in the gallery, strangers remembered
        src video/x-raw, format=(string){ I420, NV12, RGB }, width=(int)[ 1, 2147483647 ], height=(int)[ 1, 2147483647 ], framerate=(fraction)[ 0/1, 2147483647/1 ]
        sink video/x-raw, format=(string){ I420, NV12, RGB }, width=(int)[ 1, 2147483647 ], height=(int)[ 1, 2147483647 ], framerate=(fraction)[ 0/1, 2147483647/1 ]
        Filter/Analyzer/Video Rank(0)
    "#]].assert_eq(&text);
}

/// The error with which a line does not start.
fn refused(line: &str) -> String {
    let pipeline = launch(line);
    assert!(pipeline.set_state(gst::State::Paused).is_err(), "{line}");
    let message = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error])
        .unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!("only errors were asked for")
    };
    error.error().message().to_owned()
}

#[test]
fn what_is_missing_is_named() {
    let name = "what_is_missing_is_named";
    let line = |rest: &str| {
        refused(&format!(
            "videotestsrc num-buffers=1 ! facematch {rest} ! fakesink"
        ))
    };
    assert!(line("").contains("property `model`"));
    if library(name).is_none() {
        return;
    }
    assert!(line("model=/nowhere.onnx").contains("/nowhere.onnx"));
    let (Some(embedder), Some(detector)) = (shared(name, EMBEDDER), shared(name, YUNET_SMALL))
    else {
        return;
    };
    let said = line(&format!("model={detector}"));
    assert!(said.contains("makes no vectors of faces"), "{said}");
    let said = line(&format!("model={embedder} gallery=/nowhere/people.toml"));
    assert!(
        said.contains("/nowhere/people.toml") && said.contains("`gallery`"),
        "{said}"
    );
    let said = line(&format!("model={embedder} gallery=x.toml enroll=\"a b\""));
    assert!(said.contains("enroll") && said.contains("a b"), "{said}");
}

#[test]
fn pictures_pass_and_it_starts_as_often_as_one_likes() {
    let name = "pictures_pass_and_it_starts_as_often_as_one_likes";
    let (Some(_), Some(embedder)) = (library(name), shared(name, EMBEDDER)) else {
        return;
    };
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=3 ! video/x-raw,format=NV12,width=61,height=37 ! facematch name=m model={embedder} ! fakesink"
    ));
    for _ in 0..3 {
        assert_eq!(run(&pipeline), Ok(Vec::new()));
        let stats: gst::Structure = pipeline.by_name("m").unwrap().property("stats");
        assert_eq!(stats.get::<u64>("frames-in"), Ok(3));
    }
}

#[test]
fn a_photo_of_several_or_of_nobody_enrols_nobody_and_says_so() {
    let name = "a_photo_of_several_or_of_nobody_enrols_nobody_and_says_so";
    let (Some(_), Some(detector), Some(embedder), Some(group), Some(nobody), Some(photos)) = (
        library(name),
        shared(name, YUNET_SMALL),
        shared(name, EMBEDDER),
        shared(name, "media/faces/group_two_people.jpg"),
        shared(name, "media/images/dog.jpg"),
        photos(name),
    ) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let gallery = folder.path().join("people.toml");
    let models = (detector.as_str(), embedder.as_str());
    let said = enrol(models, &gallery, "ann", group.as_ref()).unwrap_err();
    assert!(said.contains("2 faces"), "{said}");
    let said = enrol(models, &gallery, "ann", nobody.as_ref()).unwrap_err();
    assert!(said.contains("no face"), "{said}");
    assert!(!gallery.exists());
    let (person, photo) = &photos[0];
    assert_eq!(enrol(models, &gallery, person, photo), Ok(Vec::new()));
    assert!(gallery.exists());
}
