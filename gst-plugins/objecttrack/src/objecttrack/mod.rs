//! `objecttrack` gives the detections on passing pictures ids that stay the same from picture to picture.
//! It reads and writes metas only, never a pixel, and knows which objects stand still and in which zones they are.
//!
//! **Needs upstream**: detections as region-of-interest metas with a `detection` parameter, from `onnxinfer` or
//! any detector that writes this layout. Pictures on which the model did not look (`onnxinfer` says so) do not
//! make a track older. Without detections everything passes.
//!
//! **Adds**: to each region meta `object_id` (`id`) and `nvrd-track` (`id`, `stationary`, `zones`); a detection
//! that is not confirmed by `min-hits` sightings yet has `nvrd-track` with `tentative` instead of an `id`.
//! A region that has a track already is left alone.
//!
//! An object that stands where it was first seen for three times
//! `stationary-time`, a parked car or a post that the model takes
//! for a person, is scenery: it is followed and remembered, and gets no `id` until it moves.
//!
//! **Posts**: nothing.
//!
//! ```sh
//! gst-launch-1.0 videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=640,height=360 \
//!     ! objecttrack zones="porch=0,0.5 1,0.5 1,1 0,1" max-age=3000000000 ! fakesink
//! ```

mod imp;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element.
    pub struct ObjectTrack(ObjectSubclass<imp::ObjectTrack>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element with a plugin.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "objecttrack",
        gst::Rank::NONE,
        ObjectTrack::static_type(),
    )
}
