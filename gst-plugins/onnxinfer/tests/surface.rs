//! What users of the element rely on: its properties and pads.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;

use std::fmt::Write;

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
    let element = gst::ElementFactory::make("onnxinfer").build().unwrap();
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
        writeln!(
            text,
            "{} {} = {} ({}): {}",
            pspec.name(),
            pspec.value_type(),
            default,
            mutability(pspec),
            pspec.blurb().unwrap_or_default()
        )
        .unwrap();
    }
    let factory = element.factory().unwrap();
    for template in factory.static_pad_templates() {
        writeln!(text, "{} {}", template.name_template(), template.caps()).unwrap();
    }
    writeln!(
        text,
        "{} {:?}",
        factory.metadata("klass").unwrap(),
        factory.rank()
    )
    .unwrap();
    expect![[r#"
        model gchararray = - (ready): Path of the ONNX file
        model-facts gchararray = - (ready): Path of the TOML with the model's facts; empty for the one beside the model
        ort-library gchararray = - (ready): Path of libonnxruntime.so; empty for $ORT_DYLIB_PATH and the usual places
        provider gchararray = - (ready): Comma list of the hardware to run on, the first that works counts and the processor is always the last: cpu, cuda, tensorrt, openvino, coreml; `stats` tells which it is
        workers guint = 0 (ready): Runs of the model at a time, of all elements that share it; 0 for as many as the processor has room for
        inference-region GstNvrdOnnxInferRegion = full-frame (playing): What the model looks at: the whole picture; or parts of it, moving ones for a detector and detected ones for any other model
        threads guint = 1 (ready): Threads that one run of the model may use
        live GstNvrdOnnxInferLive = auto (ready): Whether pictures may wait for the model no longer than the budget
        threshold gdouble = 0.40000000000000002 (playing): Least confidence of an object, 0..1
        thresholds gchararray = - (playing): Least confidence of some labels, label=score parted by commas; the others have `threshold`
        labels gchararray = - (playing): Comma list of the labels to look for; empty for all
        min-area gdouble = 0 (playing): Least area of an object as a share (0..1) of the picture
        max-area gdouble = 1 (playing): Greatest area of an object as a share (0..1) of the picture
        zones gchararray = - (playing): Only objects whose lower edge's middle stands in one of these polygons: name=x,y x,y x,y; name=… in shares (0..1) of the picture; empty for everywhere
        max-detections guint = 100 (playing): The most objects attached to one picture, the surest first
        trigger GstNvrdOnnxInferTrigger = always (playing): Which pictures the model looks at
        interval guint = 1 (playing): Analyse every n-th picture
        max-fps gdouble = 0 (playing): Analyse at most so many pictures a second, by PTS; 0 for no limit
        budget guint64 = 500000000 (playing): The longest that analysis may hold a live picture, nanoseconds; 0 for no limit
        stats GstStructure = - (read only): Pictures in, analysed and dropped from analysis; last and mean time of the model, nanoseconds; the hardware it runs on
        src video/x-raw, format=(string){ I420, NV12, RGB }, width=(int)[ 1, 2147483647 ], height=(int)[ 1, 2147483647 ], framerate=(fraction)[ 0/1, 2147483647/1 ]
        sink video/x-raw, format=(string){ I420, NV12, RGB }, width=(int)[ 1, 2147483647 ], height=(int)[ 1, 2147483647 ], framerate=(fraction)[ 0/1, 2147483647/1 ]
        Filter/Analyzer/Video Rank(0)
    "#]].assert_eq(&text);
}
