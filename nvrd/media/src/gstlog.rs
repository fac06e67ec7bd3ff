//! GStreamer's own log, on its way into the daemon's: one stream of records, one filter, one format.

use gst::DebugLevel;

/// Elements of ours, whose warnings tell of something lost or degraded.
const OURS: [&str; 8] = [
    "camerasrc",
    "segmentrecorder",
    "decodegate",
    "motiondetect",
    "onnxinfer",
    "objecttrack",
    "facematch",
    "eventsink",
];

/// Sends GStreamer's log to `tracing`; a second call in one process changes nothing.
///
/// Errors of all elements and warnings of ours are on; `GST_DEBUG` says otherwise, as everywhere.
pub fn bridge() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::log::remove_default_log_function();
        if std::env::var_os("GST_DEBUG").is_none() {
            gst::log::set_default_threshold(DebugLevel::Error);
            for element in OURS {
                gst::log::set_threshold_for_name(element, DebugLevel::Warning);
            }
        }
        gst::log::add_log_function(
            |category, level, _file, _function, _line, object, message| {
                let text = message.get();
                let text = text.as_deref().map_or("", |text| text.as_str());
                let object = object.map(|object| object.to_string());
                record(category.name(), level, object.as_deref(), text);
            },
        );
    });
}

fn record(category: &str, level: DebugLevel, object: Option<&str>, text: &str) {
    match level {
        // The bus carries the error too, and there it is acted on.
        DebugLevel::Error => tracing::warn!(gst.category = category, gst.object = object, "{text}"),
        DebugLevel::Warning => {
            tracing::warn!(gst.category = category, gst.object = object, "{text}");
        }
        DebugLevel::Fixme | DebugLevel::Info => {
            tracing::info!(gst.category = category, gst.object = object, "{text}");
        }
        DebugLevel::Debug => {
            tracing::debug!(gst.category = category, gst.object = object, "{text}");
        }
        _ => tracing::trace!(gst.category = category, gst.object = object, "{text}"),
    }
}
