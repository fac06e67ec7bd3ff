//! Pictures, sound and parameters of an RTSP camera as packets and caps.

use std::num::NonZeroU32;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use retina::codec::h26x::Framing;
use retina::codec::{
    AudioParameters, Depacketizer, FrameFormat, ParametersRef, VideoParameters,
    VideoParametersCodec, h264,
};

use crate::depacketize::{Codec, ParameterSets, Picture};
use crate::order_hint;
use crate::packet::{Packet, Stream};

/// Sound that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// AAC.
    Aac,
    /// G.711 with the A law.
    ALaw,
    /// G.711 with the µ law.
    MuLaw,
    /// Opus.
    Opus,
}

impl Sound {
    /// What a stream of a description is, `None` when it is not taken.
    pub fn of(media: &str, encoding_name: &str) -> Option<Self> {
        match (media, encoding_name) {
            ("audio", "mpeg4-generic") => Some(Self::Aac),
            ("audio", "pcma") => Some(Self::ALaw),
            ("audio", "pcmu") => Some(Self::MuLaw),
            ("audio", "opus") => Some(Self::Opus),
            _ => None,
        }
    }
}

/// A picture as a packet; its bytes are moved, not copied.
pub fn video_packet(
    picture: Picture,
    codec: Codec,
    clock_rate: u32,
    caps: Option<gst::Caps>,
) -> Packet {
    Packet {
        stream: Stream::Video,
        caps,
        pts: ticks_to_ns(picture.ticks, clock_rate),
        dts: None,
        duration: None,
        key: picture.key,
        reordered: codec == Codec::H264 && order_hint::is_b_picture(&picture.data),
        corrupted: picture.damaged,
        arrival: Some(picture.received),
        data: gst::Buffer::from_mut_slice(picture.data),
    }
}

/// A piece of sound as a packet.
pub fn audio_packet(
    data: &[u8],
    (ticks, length): (i64, i64),
    clock_rate: u32,
    received: Instant,
    damaged: bool,
) -> Packet {
    Packet {
        stream: Stream::Audio,
        caps: None,
        pts: ticks_to_ns(ticks, clock_rate),
        dts: None,
        duration: ticks_to_ns(length, clock_rate),
        key: true,
        reordered: false,
        corrupted: damaged,
        arrival: Some(received),
        data: gst::Buffer::from_slice(data.to_vec()),
    }
}

fn ticks_to_ns(ticks: i64, clock_rate: u32) -> Option<i64> {
    let rate = NonZeroU32::new(clock_rate)?;
    i64::try_from(i128::from(ticks) * 1_000_000_000 / i128::from(rate.get())).ok()
}

/// The parameter sets that a camera's description gives.
pub fn described_sets(parameters: Option<ParametersRef<'_>>) -> ParameterSets {
    let mut sets = ParameterSets::default();
    let (codec, units) = match parameters {
        Some(ParametersRef::Video(parameters)) => match parameters.codec_params() {
            VideoParametersCodec::H264 { sps, pps } => (Codec::H264, vec![sps, pps]),
            VideoParametersCodec::H265 { vps, sps, pps } => (Codec::H265, vec![vps, sps, pps]),
            _ => return sets,
        },
        _ => return sets,
    };
    for unit in units {
        sets.put(codec, unit);
    }
    sets
}

/// The format of pictures by their parameter sets, `None` while sets are missing or cannot be read.
pub fn video_caps(codec: Codec, sets: &ParameterSets) -> Option<gst::Caps> {
    match codec {
        Codec::H264 => {
            let (sps, pps) = (sets.of(7).next()?, sets.of(8).next()?);
            let parameters =
                h264::parameters_from_sps_and_pps(sps, pps, Framing::FourByteLength).ok()?;
            let more: Vec<&[u8]> = sets.of(8).skip(1).collect();
            let data = with_more_picture_sets(parameters.extra_data(), &more);
            Some(caps_of(codec, &parameters, data))
        }
        Codec::H265 => {
            let unit = |kind| sets.of(kind).next().map(|unit| BASE64.encode(unit));
            let description = format!(
                "sprop-vps={};sprop-sps={};sprop-pps={}",
                unit(32)?,
                unit(33)?,
                unit(34)?
            );
            let mut reader =
                Depacketizer::new("video", "h265", 90_000, None, Some(&description)).ok()?;
            reader.set_frame_format(FrameFormat::MP4);
            match reader.parameters()? {
                ParametersRef::Video(parameters) => {
                    let data = parameters.extra_data().to_vec();
                    Some(caps_of(codec, parameters, data))
                }
                _ => None,
            }
        }
    }
}

/// The configuration record of H.264 with more sets than its one; pictures refer to them by number.
fn with_more_picture_sets(record: &[u8], more: &[&[u8]]) -> Vec<u8> {
    let mut record = record.to_vec();
    let Some(at) = picture_sets_at(&record).filter(|_| !more.is_empty()) else {
        return record;
    };
    let mut end = at + 1;
    for _ in 0..record[at] {
        let Some(length) = record.get(end..end + 2) else {
            return record;
        };
        end += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    if end > record.len() {
        return record;
    }
    let mut tail = record.split_off(end);
    for unit in more {
        if let Ok(length) = u16::try_from(unit.len()) {
            record[at] += 1;
            record.extend_from_slice(&length.to_be_bytes());
            record.extend_from_slice(unit);
        }
    }
    record.append(&mut tail);
    record
}

/// Where the number of picture parameter sets stands.
fn picture_sets_at(record: &[u8]) -> Option<usize> {
    let mut at = 6;
    for _ in 0..record.get(5)? & 0x1f {
        let length = u16::from_be_bytes([*record.get(at)?, *record.get(at + 1)?]);
        at += 2 + usize::from(length);
    }
    record.get(at).map(|_| at)
}

fn caps_of(codec: Codec, parameters: &VideoParameters, codec_data: Vec<u8>) -> gst::Caps {
    let (name, format) = match codec {
        Codec::H265 => ("video/x-h265", "hvc1"),
        Codec::H264 => ("video/x-h264", "avc"),
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
        .field("codec_data", gst::Buffer::from_slice(codec_data))
        .build()
}

/// The format of sound; `rate` and `channels` are those of the description.
pub fn audio_caps(
    sound: Sound,
    rate: u32,
    channels: u16,
    parameters: Option<&AudioParameters>,
) -> Option<gst::Caps> {
    let rate = i32::try_from(rate).ok().filter(|rate| *rate > 0)?;
    let plain = |name: &str| {
        gst::Caps::builder(name)
            .field("rate", rate)
            .field("channels", i32::from(channels.max(1)))
    };
    Some(match sound {
        Sound::ALaw => plain("audio/x-alaw").build(),
        Sound::MuLaw => plain("audio/x-mulaw").build(),
        // Its packets tell the decoder all there is to know for one or two channels.
        Sound::Opus => plain("audio/x-opus")
            .field("channel-mapping-family", 0)
            .build(),
        Sound::Aac => {
            let parameters = parameters?;
            gst::Caps::builder("audio/mpeg")
                .field("mpegversion", 4)
                .field("stream-format", "raw")
                .field("framed", true)
                .field("rate", rate)
                .field("channels", i32::from(parameters.channels().get()))
                .field(
                    "codec_data",
                    gst::Buffer::from_slice(parameters.extra_data().to_vec()),
                )
                .build()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        assert_eq!(ticks_to_ns(90_000, 90_000), Some(1_000_000_000));
        assert_eq!(ticks_to_ns(-45_000, 90_000), Some(-500_000_000));
        assert_eq!(ticks_to_ns(i64::MAX, 1), None);
        assert_eq!(ticks_to_ns(1, 0), None);
    }

    #[test]
    fn all_picture_parameter_sets_reach_the_decoder() {
        let record = [
            1, 100, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 1, 0x68, 0xfd, 0xf8,
        ];
        assert_eq!(with_more_picture_sets(&record, &[]), record);
        assert_eq!(
            with_more_picture_sets(&record, &[&[0x68, 7]]),
            [
                1, 100, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 2, 0, 1, 0x68, 0, 2, 0x68, 7, 0xfd, 0xf8
            ]
        );
        for length in 0..record.len() {
            with_more_picture_sets(&record[..length], &[&[0x68, 7]]);
        }
    }

    #[test]
    fn sets_that_cannot_be_read_give_no_format() {
        gst::init().unwrap();
        let mut sets = ParameterSets::default();
        assert_eq!(video_caps(Codec::H264, &sets), None);
        sets.put(Codec::H264, &[0x67, 1, 2, 3]);
        sets.put(Codec::H264, &[0x68, 1]);
        assert_eq!(video_caps(Codec::H264, &sets), None);
        let mut sets = ParameterSets::default();
        for kind in [32_u8, 33, 34] {
            sets.put(Codec::H265, &[kind << 1, 1, 0xff]);
        }
        assert_eq!(video_caps(Codec::H265, &sets), None);
    }

    #[test]
    fn only_what_can_be_recorded_is_taken_of_the_sound() {
        for (name, expected) in [
            ("mpeg4-generic", Some(Sound::Aac)),
            ("pcma", Some(Sound::ALaw)),
            ("pcmu", Some(Sound::MuLaw)),
            ("opus", Some(Sound::Opus)),
            ("speex", None),
            ("g726-32", None),
        ] {
            assert_eq!(Sound::of("audio", name), expected, "{name}");
        }
        assert_eq!(Sound::of("video", "pcma"), None);
    }
}
