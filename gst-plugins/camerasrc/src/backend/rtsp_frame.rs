//! Frames and parameters of the RTSP library as packets and caps.

use std::num::NonZeroU32;

use retina::codec::{AudioFrame, AudioParameters, VideoFrame, VideoParameters};

use crate::packet::{Packet, Stream};

/// A picture as a packet.
pub fn video_packet(frame: VideoFrame, h265: bool, caps: Option<gst::Caps>) -> Packet {
    Packet {
        stream: Stream::Video,
        caps,
        pts: nanoseconds(frame.timestamp()),
        dts: None,
        duration: None,
        key: match h265 {
            true => begins_h265(frame.data()),
            false => frame.is_random_access_point(),
        },
        corrupted: frame.loss() > 0,
        arrival: Some(frame.start_ctx().received()),
        data: gst::Buffer::from_mut_slice(frame.into_data()),
    }
}

/// A piece of sound as a packet.
pub fn audio_packet(frame: &AudioFrame, caps: Option<gst::Caps>) -> Packet {
    let timestamp = frame.timestamp();
    Packet {
        stream: Stream::Audio,
        caps,
        pts: nanoseconds(timestamp),
        dts: None,
        duration: ticks_to_ns(
            i64::from(frame.frame_length().get()),
            timestamp.clock_rate(),
        ),
        key: true,
        corrupted: frame.loss() > 0,
        arrival: Some(frame.ctx().received()),
        data: gst::Buffer::from_slice(frame.data().to_vec()),
    }
}

fn nanoseconds(timestamp: retina::Timestamp) -> Option<i64> {
    ticks_to_ns(timestamp.elapsed(), timestamp.clock_rate())
}

fn ticks_to_ns(ticks: i64, clock_rate: NonZeroU32) -> Option<i64> {
    let ns = i128::from(ticks) * 1_000_000_000 / i128::from(clock_rate.get());
    i64::try_from(ns).ok()
}

/// The format of pictures.
pub fn video_caps(parameters: &VideoParameters) -> gst::Caps {
    use retina::codec::VideoParametersCodec;
    let (name, format) = match parameters.codec_params() {
        VideoParametersCodec::H265 { .. } => ("video/x-h265", "hvc1"),
        _ => ("video/x-h264", "avc"),
    };
    let (width, height) = parameters.pixel_dimensions();
    let fraction = |numer: u32, denom: u32| {
        let (numer, denom) = (i32::try_from(numer).ok()?, i32::try_from(denom).ok()?);
        (numer > 0 && denom > 0).then(|| gst::Fraction::new(numer, denom))
    };
    // Retina says how long a picture lasts, caps say how many come in a second.
    let rate = parameters
        .frame_rate()
        .and_then(|(units, scale)| fraction(scale, units));
    let aspect = parameters
        .pixel_aspect_ratio()
        .and_then(|(width, height)| fraction(width, height));
    gst::Caps::builder(name)
        .field("stream-format", format)
        .field("alignment", "au")
        .field("parsed", true)
        .field("width", i32::try_from(width).unwrap_or(i32::MAX))
        .field("height", i32::try_from(height).unwrap_or(i32::MAX))
        .field_if_some("framerate", rate)
        .field_if_some("pixel-aspect-ratio", aspect)
        .field(
            "codec_data",
            gst::Buffer::from_slice(parameters.extra_data().to_vec()),
        )
        .build()
}

/// The format of sound.
pub fn audio_caps(parameters: &AudioParameters) -> gst::Caps {
    gst::Caps::builder("audio/mpeg")
        .field("mpegversion", 4)
        .field("stream-format", "raw")
        .field("framed", true)
        .field("rate", i32::try_from(parameters.clock_rate()).unwrap_or(0))
        .field("channels", i32::from(parameters.channels().get()))
        .field(
            "codec_data",
            gst::Buffer::from_slice(parameters.extra_data().to_vec()),
        )
        .build()
}

/// Whether decoding can begin at an H.265 picture of NAL units with four-byte lengths.
///
/// The library counts IDR pictures only; encoders with open groups of pictures send one, and CRA pictures from then on.
fn begins_h265(mut data: &[u8]) -> bool {
    let mut begins = false;
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        match rest.first().map(|byte| byte >> 1 & 0x3f) {
            Some(16..=23) => begins = true,
            Some(0..=31) => return false,
            _ => {}
        }
        data = rest.get(length..).unwrap_or_default();
    }
    begins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        let rate = NonZeroU32::new(90_000).unwrap();
        assert_eq!(ticks_to_ns(90_000, rate), Some(1_000_000_000));
        assert_eq!(ticks_to_ns(-45_000, rate), Some(-500_000_000));
        assert_eq!(ticks_to_ns(i64::MAX, NonZeroU32::MIN), None);
    }

    #[test]
    fn every_random_access_picture_of_h265_begins() {
        let unit = |kind: u8| [0, 0, 0, 3, kind << 1, 1, 0xaa];
        for (kinds, begins) in [
            (vec![39, 20], true),
            (vec![19, 19], true),
            (vec![21], true),
            (vec![16], true),
            (vec![1], false),
            (vec![8], false),
            (vec![21, 1], false),
            (vec![39], false),
            (vec![], false),
        ] {
            let data: Vec<u8> = kinds.iter().flat_map(|kind| unit(*kind)).collect();
            assert_eq!(begins_h265(&data), begins, "{kinds:?}");
        }
        assert!(!begins_h265(&[0xff; 5]));
        assert!(!begins_h265(&[0, 0, 0, 0, 0, 0, 0]));
    }
}
