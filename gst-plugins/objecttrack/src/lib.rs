//! Stable ids for detected objects across pictures.

pub mod assign;
pub mod kalman;
mod objecttrack;
pub mod tracker;

use gst::glib;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    objecttrack::register(plugin)
}

/// Registers the element in this process, without a plugin file.
///
/// # Errors
/// When GStreamer refuses the plugin.
pub fn register_static() -> Result<(), glib::BoolError> {
    plugin_register_static()
}

gst::plugin_define!(
    objecttrack,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
