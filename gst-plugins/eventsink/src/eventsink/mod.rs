//! `eventsink` turns the metas of the pictures it gets into events: motion, objects and faces, each opened,
//! updated when there is a clearly better picture, a new zone or an identity, and closed.
//! It is the end of an analysis branch and keeps no picture longer than it must.
//!
//! **Needs upstream**: `motiondetect` for motion events; `onnxinfer` (or a detector that writes the same layout)
//! for object and face events, best with `objecttrack` behind it: then there is one event per track, else one per
//! label. A `nvrd-wall-clock` sticky event, as `camerasrc` sends it, gives events their wall time.
//!
//! **Adds**: nothing. **Posts**: an element message `nvrd-event` for each change, with the same keys as the lines.
//!
//! **Writes**: with `location` one JSON object a line, appended; with `thumbnails` a picture `<id>.jpg` for each
//! event, replaced when there is a better one. Ids depend on the input only: the same input gives the same bytes.
//!
//! An event ends with the last picture that shows its subject. It is closed once that is longer ago than
//! `motion-gap` or `object-gap` and a later picture shows that the subject is gone: one without motion, or one on
//! which the model looked.
//!
//! ```sh
//! gst-launch-1.0 videotestsrc num-buffers=30 pattern=ball ! video/x-raw,format=I420 ! eventsink location=-
//! ```

mod gather;
mod imp;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element.
    pub struct EventSink(ObjectSubclass<imp::EventSink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}

/// Registers the element with a plugin.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "eventsink",
        gst::Rank::NONE,
        EventSink::static_type(),
    )
}
