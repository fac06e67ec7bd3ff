//! Lets a decoder sleep while nothing happens, and wakes it early enough that nothing is missed.

pub mod cadence;
mod decodegate;
pub mod gate;
pub mod nal;
pub mod ring;
pub mod schedule;
mod word;

use gst::glib;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    decodegate::register(plugin)
}

/// Registers the element in this process, without a plugin file.
///
/// # Errors
/// When GStreamer refuses the plugin.
pub fn register_static() -> Result<(), glib::BoolError> {
    plugin_register_static()
}

gst::plugin_define!(
    decodegate,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
