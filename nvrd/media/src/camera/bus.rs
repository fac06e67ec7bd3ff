//! From the bus of a pipeline to the thread of its camera, and from an error message to a sentence.

use std::sync::mpsc::SyncSender;

use gst::prelude::*;

use super::Input;

/// Forwards what a camera acts on, and drops the rest where it arises.
///
/// The sender blocks when the camera's thread is behind: opened and closed events are never lost.
pub(super) fn connect(pipeline: &gst::Pipeline, generation: u64, outbox: SyncSender<Input>) {
    let Some(bus) = pipeline.bus() else { return };
    let wanted = |message: &gst::Message| {
        use gst::MessageType::{Element, Eos, Error, Warning};
        matches!(message.type_(), Error | Warning | Eos | Element)
    };
    bus.set_sync_handler(move |_, message| {
        if wanted(message)
            && outbox
                .send(Input::Bus(generation, message.clone()))
                .is_err()
        {
            gst::debug!(gst::CAT_DEFAULT, "the camera's thread has ended");
        }
        gst::BusSyncReply::Drop
    });
}

/// The element directly in the pipeline in which an error arose.
pub(super) fn top_element(
    error: &gst::message::Error,
    pipeline: &gst::Pipeline,
) -> Option<gst::Element> {
    let mut object = error.src()?.clone();
    loop {
        let parent = object.parent()?;
        if &parent == pipeline.upcast_ref::<gst::Object>() {
            return object.downcast().ok();
        }
        object = parent;
    }
}

/// An error as one sentence: what the element says, and which element it is.
pub(super) fn sentence(error: &gst::message::Error) -> String {
    let text = error
        .error()
        .message()
        .trim()
        .trim_end_matches('.')
        .to_owned();
    match error.src() {
        Some(source) => format!("{}: {text}", source.name()),
        None => text,
    }
}
