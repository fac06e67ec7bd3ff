//! A JPEG of what a camera shows now, decoded from the pictures since its last key frame.

use std::time::Duration;

use nvr_base::{Error, Result};

use crate::stills::{Shape, Size, bytes_of, decode};
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
    let undecodable = || Error::data_loss("the camera's pictures could not be decoded");
    let newest = gop.buffers.iter().filter_map(|buffer| buffer.pts()).max();
    let newest = newest.ok_or_else(undecodable)?;
    let shape = Shape::Jpeg(size(&gop.caps, max_width));
    let buffers = gop.buffers.iter().cloned().map(Ok);
    let mut jpeg = None;
    decode(&gop.caps, buffers, &[newest], shape, DEADLINE, |sample| {
        jpeg = Some(bytes_of(&sample)?);
        Ok(())
    })?;
    jpeg.ok_or_else(undecodable)
}

/// Never larger than the picture is.
fn size(caps: &gst::Caps, max_width: Option<i32>) -> Size {
    let width = caps
        .structure(0)
        .and_then(|structure| structure.get::<i32>("width").ok());
    match (max_width.and_then(|max| u32::try_from(max).ok()), width) {
        (Some(max), Some(width)) if i64::from(max) < i64::from(width) => Size::Width(max),
        _ => Size::Own,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gst::prelude::*;

    use super::*;
    use crate::tap::Tap;

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
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Eos])
            .unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
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
