//! Registers our elements in this process, so that the daemon needs no installed plugins.

use nvr_base::{Error, Result};

/// Initialises GStreamer and registers every element of ours; a second call changes nothing.
///
/// # Errors
/// When GStreamer cannot start.
pub fn register() -> Result<()> {
    gst::init().map_err(|error| Error::internal(format!("GStreamer does not start: {error}")))?;
    nvr_media::gstlog::bridge();
    let all = [
        gstcamerasrc::register_static(),
        gstsegmentrecorder::register_static(),
        gstdecodegate::register_static(),
        gstmotiondetect::register_static(),
        gstonnxinfer::register_static(),
        gstobjecttrack::register_static(),
        gstfacematch::register_static(),
        gsteventsink::register_static(),
    ];
    let failed = all.into_iter().find_map(|registered| registered.err());
    failed.map_or(Ok(()), |error| {
        Err(Error::internal(format!(
            "an element is not registered: {error}"
        )))
    })
}
