//! Which GStreamer error stands for which reason that a model could not be opened.

use nvr_onnx::model::OpenError;
use nvr_onnx::session::SessionError;

/// The message to post; its text says what to change.
pub fn message(error: &OpenError) -> gst::ErrorMessage {
    match error {
        OpenError::Session(SessionError::Library(_)) => {
            gst::error_msg!(gst::LibraryError::Init, ("{error}"))
        }
        OpenError::Session(SessionError::Missing(_)) => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{error}"))
        }
        OpenError::Session(SessionError::Unreadable { .. }) => {
            gst::error_msg!(gst::ResourceError::OpenRead, ("{error}"))
        }
        OpenError::Session(SessionError::Garbage { .. }) => {
            gst::error_msg!(gst::StreamError::WrongType, ("{error}"))
        }
        OpenError::Trial { .. } => gst::error_msg!(gst::LibraryError::Failed, ("{error}")),
        OpenError::Facts(_) => gst::error_msg!(gst::ResourceError::Settings, ("{error}")),
    }
}
