//! What a track is made of: codec, parameter sets and picture size, and its sample entry in the file.

use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig};
use mp4_atom::{Atom, Audio, Avc1, Avcc, Codec, Dops, Esds, Hvc1, Hvcc, Mp4a, Opus, Visual};

/// Why caps cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrackError {
    /// The parameter sets in `codec_data` do not parse.
    #[error("the codec_data of the {codec} caps does not parse: {reason}")]
    CodecData {
        /// The codec's name.
        codec: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// A size, rate or channel count that the file format cannot hold.
    #[error("{what} {value} does not fit into an MP4 track")]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// Its value.
        value: i64,
    },
}

/// The video codecs that can be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// `video/x-h264, stream-format=avc`.
    H264,
    /// `video/x-h265, stream-format=hvc1`.
    H265,
}

impl VideoCodec {
    /// The name in messages: `h264` or `h265`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
        }
    }
}

/// A video track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoTrack {
    codec: VideoCodec,
    entry: Codec,
    width: u16,
    height: u16,
    length_size: usize,
}

impl VideoTrack {
    /// The track of these caps; `codec_data` is an `avcC` or `hvcC` record.
    ///
    /// # Errors
    /// When the record does not parse, or the size is not within 1 to 65535 pixels.
    pub fn new(
        codec: VideoCodec,
        codec_data: &[u8],
        width: i32,
        height: i32,
    ) -> Result<Self, TrackError> {
        let visual = Visual {
            data_reference_index: 1,
            width: in_range("picture width", width)?,
            height: in_range("picture height", height)?,
            ..Visual::default()
        };
        let (width, height) = (visual.width, visual.height);
        let bad = |error: mp4_atom::Error| TrackError::CodecData {
            codec: codec.name(),
            reason: error.to_string(),
        };
        let mut body = codec_data;
        let (entry, length_size) = match codec {
            VideoCodec::H264 => {
                let avcc = Avcc::decode_body(&mut body).map_err(bad)?;
                let length_size = usize::from(avcc.length_size);
                let avc1 = Avc1 {
                    visual,
                    avcc,
                    ..Avc1::default()
                };
                (Codec::Avc1(avc1), length_size)
            }
            VideoCodec::H265 => {
                let hvcc = Hvcc::decode_body(&mut body).map_err(bad)?;
                let length_size = usize::from(hvcc.length_size_minus_one) + 1;
                let hvc1 = Hvc1 {
                    visual,
                    hvcc,
                    ..Hvc1::default()
                };
                (Codec::Hvc1(hvc1), length_size)
            }
        };
        Ok(Self {
            codec,
            entry,
            width,
            height,
            length_size,
        })
    }

    /// The codec.
    pub fn codec(&self) -> VideoCodec {
        self.codec
    }

    /// Picture width in pixels.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Picture height in pixels.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// The sample entry.
    pub fn entry(&self) -> Codec {
        self.entry.clone()
    }

    /// Whether decoding can start at this access unit with nothing missing after it (IDR or BLA).
    ///
    /// The other key frames (recovery point, CRA) may be followed by pictures that refer to what came before.
    pub fn is_clean_start(&self, access_unit: &[u8]) -> bool {
        let mut rest = access_unit;
        while let Some((prefix, after)) = rest.split_at_checked(self.length_size) {
            let length = prefix
                .iter()
                .fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
            let Some((nal, after)) = after.split_at_checked(length) else {
                return false;
            };
            let Some(&first) = nal.first() else {
                rest = after;
                continue;
            };
            match self.codec {
                VideoCodec::H264 => match first & 0x1f {
                    5 => return true,
                    1..=4 => return false,
                    _ => {}
                },
                VideoCodec::H265 => match (first >> 1) & 0x3f {
                    16..=20 => return true,
                    0..=31 => return false,
                    _ => {}
                },
            }
            rest = after;
        }
        false
    }
}

/// Samples a second of every Opus track, whatever was encoded.
const OPUS_RATE: u32 = 48_000;
/// What encoders put before the first sample when they do not say it: 6.5 ms.
const OPUS_PRE_SKIP: u16 = 312;
/// Samples of an AAC packet.
const AAC_SAMPLES: u32 = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Sound {
    Aac { config: Vec<u8> },
    Opus { head: Dops },
}

/// An audio track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioTrack {
    sound: Sound,
    rate: u32,
    channels: u16,
}

impl AudioTrack {
    /// The track of AAC caps; `codec_data` is an `AudioSpecificConfig`, `rate` is in Hz.
    ///
    /// # Errors
    /// When the configuration is shorter than its two mandatory bytes, or rate or channels are out of range.
    pub fn aac(codec_data: &[u8], rate: i32, channels: i32) -> Result<Self, TrackError> {
        if codec_data.len() < 2 {
            return Err(TrackError::CodecData {
                codec: "aac",
                reason: "it is shorter than two bytes".to_owned(),
            });
        }
        let rate = u32::try_from(rate)
            .ok()
            .filter(|rate| (1..=192_000).contains(rate))
            .ok_or(TrackError::OutOfRange {
                what: "sample rate",
                value: i64::from(rate),
            })?;
        Ok(Self {
            sound: Sound::Aac {
                config: codec_data.to_vec(),
            },
            rate,
            channels: in_range("channel count", channels)?,
        })
    }

    /// The track of Opus caps with one or two channels; `head` is the `OpusHead` packet, where the stream has one.
    ///
    /// # Errors
    /// When the head is none, or there are more than two channels.
    pub fn opus(head: Option<&[u8]>, channels: i32) -> Result<Self, TrackError> {
        let head = head.map_or(Ok(None), |head| opus_head(head).map(Some))?;
        let given = i32::from(head.as_ref().map_or(0, |head| head.output_channel_count));
        let channels = if given > 0 { given } else { channels };
        let stereo = u8::try_from(channels)
            .ok()
            .filter(|channels| (1..=2).contains(channels))
            .ok_or(TrackError::OutOfRange {
                what: "Opus channel count",
                value: i64::from(channels),
            })?;
        let head = head.unwrap_or(Dops {
            output_channel_count: stereo,
            pre_skip: OPUS_PRE_SKIP,
            input_sample_rate: OPUS_RATE,
            output_gain: 0,
            channel_mapping: None,
        });
        Ok(Self {
            sound: Sound::Opus { head },
            rate: OPUS_RATE,
            channels: u16::from(stereo),
        })
    }

    /// The codec in one word: `aac` or `opus`.
    pub const fn name(&self) -> &'static str {
        match self.sound {
            Sound::Aac { .. } => "aac",
            Sound::Opus { .. } => "opus",
        }
    }

    /// How much of the first packet's sound comes before the moment of its time stamp, in samples.
    pub const fn pre_skip(&self) -> u16 {
        match &self.sound {
            Sound::Aac { .. } => 0,
            Sound::Opus { head } => head.pre_skip,
        }
    }

    /// How long a packet lasts by what it says itself, in samples.
    pub fn samples(&self, packet: &[u8]) -> u32 {
        match self.sound {
            Sound::Aac { .. } => AAC_SAMPLES,
            Sound::Opus { .. } => opus_samples(packet),
        }
    }

    /// Samples a second, which is the time scale of the track.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The sample entry.
    pub fn entry(&self) -> Codec {
        let audio = Audio {
            data_reference_index: 1,
            channel_count: self.channels,
            sample_size: 16,
            // The field has 16 bits; 0 sends readers to the time scale and the decoder configuration.
            sample_rate: u16::try_from(self.rate).unwrap_or(0).into(),
        };
        match &self.sound {
            Sound::Aac { config } => Codec::Mp4a(Mp4a {
                audio,
                esds: aac_descriptor(config.clone()),
                btrt: None,
                taic: None,
            }),
            Sound::Opus { head } => Codec::Opus(Opus {
                audio,
                dops: head.clone(),
                btrt: None,
            }),
        }
    }
}

fn aac_descriptor(config: Vec<u8>) -> Esds {
    Esds {
        es_desc: EsDescriptor {
            dec_config: DecoderConfig {
                object_type_indication: 0x40, // MPEG-4 audio
                stream_type: 5,               // audio stream
                dec_specific: Some(DecoderSpecific {
                    raw: config,
                    ..DecoderSpecific::default()
                }),
                ..DecoderConfig::default()
            },
            sl_config: SLConfig::default(),
            ..EsDescriptor::default()
        },
    }
}

/// The fields of an `OpusHead` packet (RFC 7845, 5.1) of mapping family 0.
fn opus_head(head: &[u8]) -> Result<Dops, TrackError> {
    let bad = |reason: &str| TrackError::CodecData {
        codec: "opus",
        reason: reason.to_owned(),
    };
    let fields = head
        .strip_prefix(b"OpusHead")
        .and_then(|fields| fields.first_chunk::<11>())
        .ok_or_else(|| bad("it is no OpusHead"))?;
    let &[
        version,
        channels,
        skip_low,
        skip_high,
        r0,
        r1,
        r2,
        r3,
        gain_low,
        gain_high,
        family,
    ] = fields;
    if version >> 4 != 0 {
        return Err(bad("it is of a version that is not known"));
    }
    if family != 0 {
        return Err(bad(
            "its channels are mapped; only mono and stereo are recorded",
        ));
    }
    Ok(Dops {
        output_channel_count: channels,
        pre_skip: u16::from_le_bytes([skip_low, skip_high]),
        input_sample_rate: u32::from_le_bytes([r0, r1, r2, r3]),
        output_gain: i16::from_le_bytes([gain_low, gain_high]),
        channel_mapping: None,
    })
}

/// Samples of an Opus packet at 48 kHz (RFC 6716, 3.1).
fn opus_samples(packet: &[u8]) -> u32 {
    let Some(&first) = packet.first() else {
        return 0;
    };
    let config = first >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)],
        12..=15 => [480, 960][usize::from(config % 2)],
        _ => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1).map_or(0, |second| second & 0x3f)),
    };
    // No packet lasts longer than 120 ms.
    (frame * frames).min(OPUS_RATE / 1000 * 120)
}

fn in_range(what: &'static str, value: i32) -> Result<u16, TrackError> {
    u16::try_from(value)
        .ok()
        .filter(|&value| value > 0)
        .ok_or(TrackError::OutOfRange {
            what,
            value: i64::from(value),
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const AVCC: &[u8] = &[
        1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 4, 0x68, 0xce, 0x3c,
        0x80,
    ];

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(VideoTrack::new(VideoCodec::H264, AVCC, 640, 480).is_ok());
        assert!(VideoTrack::new(VideoCodec::H264, AVCC, 0, 480).is_err());
        assert!(VideoTrack::new(VideoCodec::H264, AVCC, 640, 70_000).is_err());
        assert!(VideoTrack::new(VideoCodec::H264, &AVCC[..9], 640, 480).is_err());
        assert!(VideoTrack::new(VideoCodec::H265, AVCC, 640, 480).is_err());
        assert!(AudioTrack::aac(&[0x12], 48_000, 2).is_err());
        assert!(AudioTrack::aac(&[0x11, 0x90], 48_000, 2).is_ok());
        assert!(AudioTrack::aac(&[0x11, 0x90], 0, 2).is_err());
    }

    #[test]
    fn opus_comes_with_or_without_its_head() {
        const HEAD: &[u8] = b"OpusHead\x01\x01\x38\x01\x40\x1f\0\0\0\0\0";
        let plain = AudioTrack::opus(None, 2).unwrap();
        assert_eq!(
            (plain.rate(), plain.pre_skip(), plain.name()),
            (48_000, 312, "opus")
        );
        let track = AudioTrack::opus(Some(HEAD), 2).unwrap();
        let Codec::Opus(entry) = track.entry() else {
            panic!("it is Opus");
        };
        assert_eq!(entry.audio.channel_count, 1, "the head knows better");
        assert_eq!(
            (entry.dops.pre_skip, entry.dops.input_sample_rate),
            (312, 8000)
        );
        let mapped = [&HEAD[..18], &[1]].concat();
        for (head, channels) in [
            (Some(&HEAD[..18]), 1),
            (Some(&mapped), 1),
            (None, 0),
            (None, 6),
        ] {
            assert!(AudioTrack::opus(head, channels).is_err(), "{head:?}");
        }
    }

    #[test]
    fn an_opus_packet_says_how_long_it_lasts() {
        let track = AudioTrack::opus(None, 1).unwrap();
        for (packet, samples) in [
            (&[0x08][..], 960),
            (&[0x18], 2880),
            (&[0x78], 960),
            (&[0x80], 120),
            (&[0xf9], 1920),
            (&[0xfb, 0x03], 2880),
            (&[0x1b, 0x3f], 5760),
            (&[0xfb], 0),
            (&[], 0),
        ] {
            assert_eq!(track.samples(packet), samples, "{packet:?}");
        }
        let aac = AudioTrack::aac(&[0x11, 0x90], 48_000, 2).unwrap();
        assert_eq!(aac.samples(&[]), 1024);
    }

    #[test]
    fn an_idr_is_a_clean_start_and_broken_units_are_not() {
        let track = VideoTrack::new(VideoCodec::H264, AVCC, 640, 480).unwrap();
        for (unit, expected) in [
            (&[0, 0, 0, 1, 0x65][..], true),
            (&[0, 0, 0, 2, 0x09, 0x10, 0, 0, 0, 1, 0x65], true),
            (&[0, 0, 0, 1, 0x41], false),
            (&[0, 0, 0, 0, 0, 0, 0, 1, 0x65], true),
            (&[0, 0, 0, 9, 0x65], false),
            (&[0xff, 0xff, 0xff, 0xff], false),
            (&[], false),
        ] {
            assert_eq!(track.is_clean_start(unit), expected, "{unit:?}");
        }
    }
}
