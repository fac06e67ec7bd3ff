//! What files and scenes share: a private pipeline that ends in the queue, and the encoder for what is not encoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;

use crate::packet::{Failure, Packet, Stream};
use crate::queue::Queue;

/// How soon a private pipeline notices that it is not wanted any more.
const POLL: Duration = Duration::from_millis(50);

/// How a private pipeline ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything was delivered.
    End,
    /// The queue was closed.
    Closed,
    /// An element failed.
    Error(gst::glib::Error),
}

/// An element by name.
///
/// # Errors
/// When its plugin is not installed; the text names the Debian package.
pub fn make(name: &str) -> Result<gst::Element, Failure> {
    gst::ElementFactory::make(name).build().map_err(|_| {
        let package = match name {
            "x264enc" => "gstreamer1.0-plugins-ugly",
            "h264parse" | "h265parse" | "h264timestamper" | "h265timestamper" | "openh264enc"
            | "tsdemux" | "mpeg4videoparse" | "mpegvideoparse" => "gstreamer1.0-plugins-bad",
            "rtspsrc" | "aacparse" => "gstreamer1.0-plugins-good",
            "videoconvert" | "videoscale" | "appsink" | "appsrc" => "gstreamer1.0-plugins-base",
            name if name.starts_with("avdec_") => "gstreamer1.0-libav",
            _ => "gstreamer1.0-plugins-good",
        };
        Failure::MissingPlugin(format!(
            "element {name} is not installed: install the Debian package {package}"
        ))
    })
}

/// An H.264 encoder without delay and without B pictures, one key frame a second.
///
/// # Errors
/// When none is installed.
pub fn encoder(fps: u64) -> Result<gst::Element, Failure> {
    let fps = u32::try_from(fps.clamp(1, 120)).expect("at most 120");
    if let Ok(encoder) = gst::ElementFactory::make("x264enc").build() {
        encoder.set_property_from_str("tune", "zerolatency");
        encoder.set_property_from_str("speed-preset", "ultrafast");
        encoder.set_property("key-int-max", fps);
        encoder.set_property("bframes", 0_u32);
        // One thread: the same pictures give the same bytes, and a camera's stream is small.
        encoder.set_property("threads", 1_u32);
        return Ok(encoder);
    }
    if let Ok(encoder) = gst::ElementFactory::make("openh264enc").build() {
        encoder.set_property("gop-size", fps);
        return Ok(encoder);
    }
    Err(Failure::MissingPlugin(
        "no H.264 encoder is installed (x264enc or openh264enc): \
         install the Debian package gstreamer1.0-plugins-ugly"
            .to_owned(),
    ))
}

/// Adds elements to a pipeline and links them in order.
///
/// # Errors
/// When two of them do not fit.
pub fn chain(pipeline: &gst::Pipeline, elements: &[gst::Element]) -> Result<(), Failure> {
    let internal = |error: gst::glib::BoolError| Failure::Internal(error.message.to_string());
    pipeline.add_many(elements).map_err(internal)?;
    gst::Element::link_many(elements).map_err(internal)
}

/// The end of a private pipeline: what arrives goes into the queue, and the pipeline waits while that is full.
pub fn sink(stream: Stream, queue: &Arc<Queue>, count: &Arc<AtomicU64>) -> gst_app::AppSink {
    let (queue, count) = (Arc::clone(queue), Arc::clone(count));
    sink_into(stream, move |packet| {
        if stream == Stream::Video {
            count.fetch_add(1, Ordering::Relaxed);
        }
        queue
            .push_wait(packet)
            .map_err(|_| gst::FlowError::Flushing)
    })
}

/// The end of a private pipeline, with somebody who takes what arrives.
pub fn sink_into(
    stream: Stream,
    mut deliver: impl FnMut(Packet) -> Result<(), gst::FlowError> + Send + 'static,
) -> gst_app::AppSink {
    let sink = gst_app::AppSink::builder()
        .caps(&caps(stream))
        .sync(false)
        // One thread feeds both sinks: neither may wait for the other before it plays.
        .async_(false)
        .enable_last_sample(false)
        .max_buffers(1)
        .build();
    let mut last_caps = None;
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                if let Some(packet) = packet(stream, &sample, &mut last_caps) {
                    deliver(packet)?;
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    sink
}

/// What a private pipeline ends in.
fn caps(stream: Stream) -> gst::Caps {
    let of = |name: &str, format: &str| {
        gst::Structure::builder(name)
            .field("stream-format", format)
            .field("alignment", "au")
            .build()
    };
    match stream {
        Stream::Video => gst::Caps::builder_full()
            .structure(of("video/x-h264", "avc"))
            .structure(of("video/x-h265", "hvc1"))
            .build(),
        Stream::Audio => gst::Caps::builder_full()
            .structure(
                gst::Structure::builder("audio/mpeg")
                    .field("mpegversion", 4)
                    .field("stream-format", "raw")
                    .field("framed", true)
                    .build(),
            )
            .structure(gst::Structure::new_empty("audio/x-mulaw"))
            .structure(gst::Structure::new_empty("audio/x-alaw"))
            .structure(gst::Structure::new_empty("audio/x-opus"))
            .build(),
    }
}

fn packet(
    stream: Stream,
    sample: &gst::Sample,
    last_caps: &mut Option<gst::Caps>,
) -> Option<Packet> {
    let data = sample.buffer_owned()?;
    let caps = sample.caps_owned();
    let new_caps = (caps != *last_caps).then(|| caps.clone()).flatten();
    *last_caps = caps;
    // Running time, not the time stamps: an edit list moves the segment, and decoding may begin before zero.
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let nanoseconds = |time: Option<gst::ClockTime>| -> Option<i64> {
        match segment.to_running_time_full(time?)? {
            gst::Signed::Positive(time) => i64::try_from(time.nseconds()).ok(),
            gst::Signed::Negative(time) => i64::try_from(time.nseconds()).ok().map(|ns| -ns),
        }
    };
    Some(Packet {
        stream,
        caps: new_caps,
        pts: nanoseconds(data.pts()),
        dts: nanoseconds(data.dts()),
        duration: data
            .duration()
            .and_then(|time| i64::try_from(time.nseconds()).ok()),
        key: !data.flags().contains(gst::BufferFlags::DELTA_UNIT),
        reordered: false,
        corrupted: data.flags().contains(gst::BufferFlags::CORRUPTED),
        arrival: None,
        data,
    })
}

/// Plays a private pipeline to its end and takes it down; `failed` is asked now and then whether to give up.
pub fn play(pipeline: &gst::Pipeline, queue: &Queue, failed: impl Fn() -> bool) -> Outcome {
    let outcome = match pipeline.set_state(gst::State::Playing) {
        Ok(_) => wait(pipeline, queue, &failed),
        Err(_) => first_error(pipeline).map_or(Outcome::End, Outcome::Error),
    };
    // Close the pipeline whatever happened; a private one always can go to NULL.
    if pipeline.set_state(gst::State::Null).is_err() {
        return Outcome::Error(gst::glib::Error::new(
            gst::CoreError::StateChange,
            "the file's pipeline does not stop",
        ));
    }
    outcome
}

fn first_error(pipeline: &gst::Pipeline) -> Option<gst::glib::Error> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(error.error()),
        _ => None,
    }
}

fn wait(pipeline: &gst::Pipeline, queue: &Queue, failed: &impl Fn() -> bool) -> Outcome {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    loop {
        let message = bus.timed_pop_filtered(
            gst::ClockTime::from_nseconds(POLL.as_nanos() as u64),
            &kinds,
        );
        if queue.is_closed() {
            return Outcome::Closed;
        }
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => return Outcome::End,
            Some(gst::MessageView::Error(error)) => return Outcome::Error(error.error()),
            _ if failed() => return Outcome::End,
            _ => {}
        }
    }
}
