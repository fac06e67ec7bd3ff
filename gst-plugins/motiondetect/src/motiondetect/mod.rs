//! `motiondetect` tells what moves in raw video, by an adaptive background model of the luma plane.
//! It learns for some seconds, then follows light, shaking and swaying, and reports what is none of those.
//!
//! Upstream it needs `video/x-raw` in GRAY8, I420 or NV12 of at least 16x16 pixels, best 10 to 15 pictures a second.
//! To every picture it adds a motion fact (`MotionFrame`) and a region of interest per moving thing (`MotionRegion`);
//! on the bus it posts `nvrd-motion` when motion starts and when it is over, and upstream it tells `decodegate` the same.
//! Key frames that a gate sends alone it judges by themselves; one with motion is held back until it comes with the others.
//!
//! ```sh
//! gst-launch-1.0 -m videotestsrc num-buffers=120 pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate=15/1 \
//!     ! motiondetect learn-time=1000000000 ! fakesink
//! ```

pub mod detector;
pub mod grid;
pub mod zones;

mod absorb;
mod background;
mod camera;
mod components;
mod confirm;
mod episode;
mod fit;
mod imp;
mod keyframe;
mod loops;
mod model;
mod overlay;
mod pace;
mod reduce;
mod regions;
mod settings;
mod shade;
mod simd;
mod state;
mod upheaval;
mod watch;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element; see the module for what it does.
    pub struct MotionDetect(ObjectSubclass<imp::MotionDetect>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element with a plugin.
///
/// # Errors
/// When GStreamer refuses the type.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "motiondetect",
        gst::Rank::NONE,
        MotionDetect::static_type(),
    )
}
