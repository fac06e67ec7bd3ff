//! Motion in raw video by an adaptive background model.

pub mod motiondetect;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    motiondetect::register(plugin)
}

gst::plugin_define!(
    motiondetect,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);

/// Registers the element in this process, for programs that carry it inside.
///
/// # Errors
/// When GStreamer is not initialised or refuses the plugin.
pub fn register_static() -> Result<(), gst::glib::BoolError> {
    plugin_register_static()
}
