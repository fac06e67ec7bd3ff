//! Objects in raw video by an ONNX model.
//!
//! Does not belong here: what detections mean over time, and anything that knows whose face it is.
//!
//! How a model is opened and run is in `nvr-onnx`, which knows nothing of GStreamer.

pub mod schedule;
pub mod pace;
pub mod crops;
pub mod filter;

mod onnxinfer;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    onnxinfer::register(plugin)
}

gst::plugin_define!(
    onnxinfer,
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
