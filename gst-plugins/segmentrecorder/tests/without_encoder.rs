//! G.711 where the encoder is not installed: one warning that names the package, and pictures alone.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]
#![allow(dead_code, reason = "the media of several test binaries")]

mod media;

use gst::prelude::*;
use media::{H264, Rig};

#[test]
fn pictures_go_on_without_the_encoder() {
    if !media::have(&["x264enc", "mulawdec"]) {
        return;
    }
    let registry = gst::Registry::get();
    if let Some(feature) = registry.lookup_feature("opusenc") {
        registry.remove_feature(&feature);
    }
    let mut rig = Rig::new(&[]);
    let pad = rig.element.request_pad_simple("audio").unwrap();
    pad.send_event(gst::event::StreamStart::new("sound"));
    let caps = gst::Caps::builder("audio/x-mulaw")
        .field("rate", 8000)
        .field("channels", 1);
    assert!(pad.send_event(gst::event::Caps::new(&caps.build())));
    rig.push(&media::encode(30, "width=160,height=120", H264));
    pad.send_event(gst::event::Eos::new());
    rig.harness.push_event(gst::event::Eos::new());
    let messages = rig.messages();
    let warnings: Vec<_> = messages
        .iter()
        .filter_map(|message| match message.view() {
            gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("opusenc") && warnings[0].contains("gstreamer1.0-plugins-base"));
    let closed = media::closed(&messages);
    assert_eq!((closed[0].frames, closed[0].audio.as_deref()), (30, None));
}
