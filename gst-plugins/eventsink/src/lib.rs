//! Detections over time into events.

pub mod events;
mod live;

pub mod album;
pub mod event_id;
pub mod lines;
mod outlet;
pub mod thumbnail;

mod eventsink;

use gst::glib;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    eventsink::register(plugin)
}

/// Registers the element in this process, without a plugin file.
///
/// # Errors
/// When GStreamer refuses the plugin.
pub fn register_static() -> Result<(), glib::BoolError> {
    plugin_register_static()
}

gst::plugin_define!(
    eventsink,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
