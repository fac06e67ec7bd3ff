//! The pads: what they carry and how they answer.

use gst::subclass::prelude::*;

use super::imp::CameraSrc;

/// What the element may have: video always, audio where the camera has sound, and what to analyse on request.
pub(super) fn templates() -> Vec<gst::PadTemplate> {
    let video = |name: &str, length_prefixed: &str| {
        gst::Structure::builder(name)
            .field(
                "stream-format",
                gst::List::new([length_prefixed, "byte-stream"]),
            )
            .field("alignment", "au")
            .build()
    };
    let video = gst::Caps::builder_full()
        .structure(video("video/x-h264", "avc"))
        .structure(video("video/x-h265", "hvc1"))
        .build();
    let audio = gst::Caps::builder_full()
        .structure(
            gst::Structure::builder("audio/mpeg")
                .field("mpegversion", 4)
                .field("stream-format", "raw")
                .field("framed", true)
                .build(),
        )
        .structure(
            gst::Structure::builder("audio/x-opus")
                .field("channel-mapping-family", 0)
                .build(),
        )
        .structure(gst::Structure::new_empty("audio/x-alaw"))
        .structure(gst::Structure::new_empty("audio/x-mulaw"))
        .build();
    let template = |name: &str, presence, caps| {
        gst::PadTemplate::new(name, gst::PadDirection::Src, presence, caps)
            .expect("the caps are fixed text")
    };
    vec![
        template("video", gst::PadPresence::Always, &video),
        template("audio", gst::PadPresence::Sometimes, &audio),
        template("analysis", gst::PadPresence::Request, &video),
    ]
}

/// A source pad of a template.
pub(super) fn pad(template: &gst::PadTemplate) -> gst::Pad {
    gst::Pad::builder_from_template(template)
        .query_function(|pad, parent, query| {
            CameraSrc::catch_panic_pad_function(parent, || false, |imp| imp.query(pad, query))
        })
        .event_function(|pad, parent, event| match event.type_() {
            // A camera neither gets faster nor seeks; that the news arrived is all there is to say.
            gst::EventType::Latency | gst::EventType::Qos | gst::EventType::Reconfigure => true,
            _ => gst::Pad::event_default(pad, parent, event),
        })
        .flags(gst::PadFlags::FIXED_CAPS)
        .build()
}
