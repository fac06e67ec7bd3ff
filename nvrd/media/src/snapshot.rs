//! A JPEG of what a camera shows now, decoded from the pictures since its last key frame.

use std::time::Duration;

use gst::prelude::*;
use nvr_base::{Error, Result};
use nvr_contract::source::VideoCodec;

use crate::tap::Gop;

/// How long decoding and encoding may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The newest picture of a group as a JPEG, scaled to at most `max_width` pixels wide.
///
/// Blocks for the time it takes to decode the group: call it where blocking is allowed.
///
/// # Errors
/// When the group cannot be decoded in time.
pub fn jpeg(gop: &Gop, max_width: Option<i32>) -> Result<Vec<u8>> {
    let picture = newest_picture(gop)?;
    let caps = jpeg_caps(&picture, max_width);
    let deadline = gst::ClockTime::from_nseconds(DEADLINE.as_nanos() as u64);
    let encoded = gst_video::convert_sample(&picture, &caps, Some(deadline)).map_err(|error| {
        Error::internal("the picture could not be made a JPEG").with_source(error)
    })?;
    let buffer = encoded
        .buffer()
        .ok_or_else(|| Error::internal("the JPEG is empty"))?;
    let map = buffer
        .map_readable()
        .map_err(|error| Error::internal("the JPEG cannot be read").with_source(error))?;
    Ok(map.to_vec())
}

fn jpeg_caps(picture: &gst::Sample, max_width: Option<i32>) -> gst::Caps {
    let size = picture.caps().and_then(|caps| {
        let s = caps.structure(0)?;
        Some((s.get::<i32>("width").ok()?, s.get::<i32>("height").ok()?))
    });
    let builder = gst::Caps::builder("image/jpeg");
    match (size, max_width) {
        (Some((width, height)), Some(max)) if max < width => {
            let scaled = (i64::from(height) * i64::from(max) / i64::from(width.max(1))).max(1);
            builder
                .field("width", max)
                .field("height", i32::try_from(scaled).unwrap_or(height))
                .build()
        }
        _ => builder.build(),
    }
}

/// Stops the pipeline whichever way the function is left.
struct Stop(gst::Pipeline);

impl Drop for Stop {
    fn drop(&mut self) {
        if let Err(error) = self.0.set_state(gst::State::Null) {
            tracing::debug!(%error, "a snapshot's pipeline did not stop");
        }
    }
}

fn newest_picture(gop: &Gop) -> Result<gst::Sample> {
    let factory = match VideoCodec::from_caps(&gop.caps) {
        Some(VideoCodec::H264) => "avdec_h264",
        Some(VideoCodec::H265) => "avdec_h265",
        None => {
            return Err(Error::precondition(format!(
                "no decoder is known for {}",
                gop.caps
            )));
        }
    };
    let failed =
        |error: gst::glib::BoolError| Error::internal("the snapshot's pipeline").with_source(error);
    let source = gst_app::AppSrc::builder()
        .caps(&gop.caps)
        .format(gst::Format::Time)
        .build();
    let decoder = gst::ElementFactory::make(factory)
        .build()
        .map_err(|_| Error::precondition(format!("element {factory:?} is not installed")))?;
    let sink = gst_app::AppSink::builder().sync(false).build();
    // Of all pictures only the last is wanted.
    sink.set_drop(true);
    sink.set_max_buffers(1);
    // Or the end of the stream would wait until somebody takes that one.
    sink.set_wait_on_eos(false);
    let stop = Stop(gst::Pipeline::new());
    stop.0
        .add_many([source.upcast_ref(), &decoder, sink.upcast_ref()])
        .map_err(failed)?;
    gst::Element::link_many([source.upcast_ref(), &decoder, sink.upcast_ref()]).map_err(failed)?;
    stop.0.set_state(gst::State::Playing).map_err(|error| {
        Error::internal("the snapshot's pipeline does not start").with_source(error)
    })?;
    for buffer in &gop.buffers {
        source
            .push_buffer(buffer.clone())
            .map_err(|error| Error::internal("the decoder takes no picture").with_source(error))?;
    }
    source
        .end_of_stream()
        .map_err(|error| Error::internal("the decoder does not end").with_source(error))?;
    let bus = stop
        .0
        .bus()
        .ok_or_else(|| Error::internal("a pipeline without a bus"))?;
    let deadline = gst::ClockTime::from_nseconds(DEADLINE.as_nanos() as u64);
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    match bus
        .timed_pop_filtered(deadline, &types)
        .map(|message| message.type_())
    {
        Some(gst::MessageType::Eos) => {}
        Some(_) => {
            return Err(Error::data_loss(
                "the camera's pictures could not be decoded",
            ));
        }
        None => return Err(Error::unavailable("decoding took too long")),
    }
    sink.try_pull_sample(gst::ClockTime::ZERO)
        .ok_or_else(|| Error::data_loss("the camera's pictures could not be decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::Tap;
    use std::sync::Arc;

    #[test]
    fn a_group_becomes_a_jpeg_of_the_right_size() {
        gst::init().unwrap();
        if gst::ElementFactory::find("x264enc").is_none()
            || gst::ElementFactory::find("avdec_h264").is_none()
        {
            println!("SKIP: x264enc or avdec_h264 is not installed");
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "a test's own graph")]
        let pipeline = gst::parse::launch(
            "videotestsrc num-buffers=12 ! video/x-raw,width=320,height=180 ! x264enc key-int-max=10 bframes=0 ! h264parse ! identity name=out ! fakesink",
        )
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        let tap = Arc::new(Tap::default());
        tap.attach(&pipeline.by_name("out").unwrap().static_pad("sink").unwrap());
        let stop = Stop(pipeline);
        stop.0.set_state(gst::State::Playing).unwrap();
        let bus = stop.0.bus().unwrap();
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Eos])
            .unwrap();
        let gop = tap.gop().unwrap();
        assert_eq!(
            gop.buffers.len(),
            2,
            "the group begins at the second key frame"
        );
        let whole = jpeg(&gop, None).unwrap();
        assert!(whole.starts_with(&[0xff, 0xd8]) && whole.ends_with(&[0xff, 0xd9]));
        assert!(jpeg(&gop, Some(80)).unwrap().len() < whole.len());

        let mut broken = gop.clone();
        broken.buffers = vec![gst::Buffer::from_slice([0u8; 64])];
        assert!(jpeg(&broken, None).is_err());
    }
}
