//! Whose the faces in raw video are.
//!
//! Does not belong here: finding faces on a picture, and what they mean over time.
//!
//! The modules stand in the order the data flows: a face is cut out upright, judged, becomes a vector, and is
//! compared with those that are known.

pub mod picture;
pub mod align;
pub mod quality;
pub mod embedder;
pub mod search;
pub mod gallery;
pub mod strangers;
pub mod file;
pub mod known;
pub mod tracks;
pub mod recogniser;
pub mod enrol;

mod facematch;

pub use facematch::{DEFAULT_GATE, DEFAULT_RULE};

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    facematch::register(plugin)
}

gst::plugin_define!(
    facematch,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);

/// Registers the plugin in this process, for programs that carry it inside.
///
/// # Errors
/// When GStreamer refuses it.
pub fn register_static() -> Result<(), gst::glib::BoolError> {
    plugin_register_static()
}
