//! A camera as one element: RTSP, files and test scenes as parsed, encoded video.

pub mod scene;
pub mod uri;

mod anchor;
mod backend;
mod backoff;
mod camerasrc;
mod container;
mod depacketize;
mod gate;
mod lookahead;
mod net;
mod order_hint;
mod packet;
mod queue;
mod reorder;
mod timeline;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    camerasrc::register(plugin)
}

gst::plugin_define!(
    camerasrc,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);

/// Registers the element in this process, without a plugin file.
///
/// # Errors
/// When GStreamer refuses the plugin.
pub fn register_static() -> Result<(), gst::glib::BoolError> {
    plugin_register_static()
}
