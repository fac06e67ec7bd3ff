//! What users of the element rely on: its properties and pads.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

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
    support::init();
    let element = gst::ElementFactory::make("decodegate").build().unwrap();
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
        mode GstNvrdDecodeGateMode = adaptive (playing): What is let through; with adaptive everything until a detector says that the scene is quiet
        hold guint64 = 4000000000 (playing): For how long after the last motion everything is let through (ns of media time)
        ring-bytes guint64 = 8388608 (playing): The most that is kept in memory for when something moves, in bytes; should hold two groups of pictures
        ring-time guint64 = 15000000000 (playing): The longest time that is kept in memory for when something moves (ns)
        keyframe-limit guint64 = 5000000000 (playing): Without a key frame for this long everything is let through (ns)
        schedule gchararray = - (playing): Times of the week (UTC) at which everything is let through: 'mon-fri 08:00-18:00; sat,sun 22:00-06:00'
        stats GstStructure = - (read only): Counters: pictures in, passed, dropped and replayed, their share that is decoded, times opened; whether and why everything is let through now, bytes in the ring, time between key frames (ns)
        bypass gchararray = - (read only): Why the stream cannot be decoded by key frames alone and is let through whole; null when it can
        sink video/x-h264, stream-format=(string){ avc, avc3, byte-stream }, alignment=(string)au; video/x-h265, stream-format=(string){ hvc1, hev1, byte-stream }, alignment=(string)au
        src video/x-h264, stream-format=(string){ avc, avc3, byte-stream }, alignment=(string)au; video/x-h265, stream-format=(string){ hvc1, hev1, byte-stream }, alignment=(string)au
        Filter/Video Rank(0)
    "#]].assert_eq(&text);
}
