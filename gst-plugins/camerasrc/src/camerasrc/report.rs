//! What the element says on the bus, and the clocks it reads for that.

use gst::prelude::*;
use nvr_contract::Message;
use nvr_contract::source::{SourceChange, SourceState, StreamRole, VideoCodec};

use crate::order_hint;
use crate::packet::{Failure, Loss};

/// Posts a change of a stream's connection; `caps` are those of its pictures, once known.
pub(super) fn change(
    element: &super::CameraSrc,
    stream: StreamRole,
    caps: Option<&gst::CapsRef>,
    state: SourceState,
    running_time_ns: u64,
    loss: Option<Loss>,
) {
    let field = |name: &str| caps?.structure(0)?.get::<i32>(name).ok();
    let change = SourceChange {
        stream,
        state,
        reason: loss.as_ref().map(|loss| loss.reason),
        attempts: loss.as_ref().map_or(0, |loss| loss.attempts),
        detail: loss.map(|loss| loss.detail),
        running_time_ns,
        unix_us: wall_clock_us(),
        codec: caps.and_then(VideoCodec::from_caps),
        width: field("width"),
        height: field("height"),
        fps: caps
            .and_then(framerate)
            .map(|rate| f64::from(rate.numer()) / f64::from(rate.denom())),
    };
    let message = gst::message::Element::builder(change.to_structure())
        .src(element)
        .build();
    // Without a bus nobody listens.
    element.post_message(message).ok();
}

/// The one place that reads the wall clock; everything else follows the pipeline's clock.
pub(super) fn wall_clock_us() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the anchor between media time and wall time is taken here"
    )]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}

/// The pipeline's running time, nanoseconds, 0 while there is none.
pub(super) fn running_time(element: &super::CameraSrc) -> u64 {
    element
        .current_running_time()
        .map_or(0, gst::ClockTime::nseconds)
}

/// Pictures per second, where the caps say so.
pub(super) fn framerate(caps: &gst::CapsRef) -> Option<gst::Fraction> {
    let rate = caps.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    (rate.numer() > 0 && rate.denom() > 0).then_some(rate)
}

/// How many pictures may overtake one, where the codec data says so.
pub(super) fn reorder_depth(caps: &gst::CapsRef) -> Option<usize> {
    let data = caps.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    let is_h265 = VideoCodec::from_caps(caps)? == VideoCodec::H265;
    order_hint::reorder_depth(is_h265, &data.map_readable().ok()?)
}

/// Posts that downstream refused a picture, why, and what to change.
pub(super) fn refused(element: &super::CameraSrc, pad: &gst::Pad, error: gst::FlowError) {
    let pad = pad.name();
    let text = match error {
        gst::FlowError::NotLinked => {
            format!("pad {pad:?} is not linked: link it or use a fakesink")
        }
        gst::FlowError::NotNegotiated => {
            format!(
                "the element after pad {pad:?} does not take the camera's format: put a parser or decoder there"
            )
        }
        _ => format!("an element after pad {pad:?} failed"),
    };
    gst::element_error!(
        element,
        gst::StreamError::Failed,
        ("streaming stopped: {text}"),
        ["flow {error:?}"]
    );
}

/// Posts the error that ends the stream.
pub(super) fn failure(element: &super::CameraSrc, failure: &Failure) {
    let text = failure.text();
    match failure {
        Failure::NotFound(_) => {
            gst::element_error!(element, gst::ResourceError::NotFound, ("{text}"))
        }
        Failure::Unreadable(_) => {
            gst::element_error!(element, gst::ResourceError::Read, ("{text}"))
        }
        Failure::UnknownType(_) => {
            gst::element_error!(element, gst::StreamError::TypeNotFound, ("{text}"));
        }
        Failure::Damaged(_) => gst::element_error!(element, gst::StreamError::Demux, ("{text}")),
        Failure::UnsupportedCodec(_) => {
            gst::element_error!(element, gst::StreamError::CodecNotFound, ("{text}"));
        }
        Failure::MissingPlugin(_) => {
            gst::element_error!(element, gst::CoreError::MissingPlugin, ("{text}"));
        }
        Failure::Internal(_) => gst::element_error!(element, gst::LibraryError::Failed, ("{text}")),
    }
}
