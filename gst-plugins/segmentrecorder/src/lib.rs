//! Encoded video into fragmented MP4 segments, without losing a picture.
//!
//! The modules stand in the order the data flows; `nvr-mp4` has the boxes, and reads back what is written.

pub mod segmentrecorder;

pub mod timeline;

mod wall;

pub mod fragment;

pub mod demand;

mod ring;

pub mod rotation;

mod gaps;

mod retry;

pub mod recorder;

mod segment;

mod hash;

mod naming;

pub mod identity;

pub mod writer;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    segmentrecorder::register(plugin)
}

/// Registers the element in this process, without a plugin file.
///
/// # Errors
/// When GStreamer refuses the plugin.
pub fn register_static() -> Result<(), gst::glib::BoolError> {
    plugin_register_static()
}

gst::plugin_define!(
    segmentrecorder,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
