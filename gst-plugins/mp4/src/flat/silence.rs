//! Packets that hold no sound, for the holes in the sound of an export.
//!
//! Chromium plays the packets of a track one after the other and does not wait where a time stamp says so: after a hole,
//! sound would run ahead of the pictures.

use mp4_atom::{Codec, Mp4a};

/// AAC-LC, one channel: every coefficient is zero.
const MONO: &[u8] = &[0x00, 0xc8, 0x00, 0x80, 0x23, 0x80];
/// AAC-LC, two channels.
const STEREO: &[u8] = &[0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80];

/// Opus: 20 ms, one channel, of which the coder says that it has nothing to say.
const OPUS: Silence = Silence {
    packet: &[0xf8, 0xff, 0xfe],
    length_ns: Some(20_000_000),
};

/// A packet without sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silence {
    pub packet: &'static [u8],
    /// How long it lasts, nanoseconds; as long as the packets beside it where absent.
    pub length_ns: Option<i64>,
}

/// The silence for a sample entry; `None` for other codecs and kinds of AAC, whose last packet lasts over the hole.
pub(super) fn of(entry: &Codec) -> Option<Silence> {
    match entry {
        Codec::Opus(_) => Some(OPUS),
        Codec::Mp4a(mp4a) => aac(mp4a).map(|packet| Silence {
            packet,
            length_ns: None,
        }),
        _ => None,
    }
}

fn aac(mp4a: &Mp4a) -> Option<&'static [u8]> {
    let config = &mp4a.esds.es_desc.dec_config;
    let raw = &config.dec_specific.as_ref()?.raw;
    let (first, second) = (*raw.first()?, *raw.get(1)?);
    let (object_type, rate_index) = (first >> 3, ((first & 7) << 1) | (second >> 7));
    // The last of the bits says whether packets have 960 samples instead of 1024.
    let (channels, short) = ((second >> 3) & 0xf, second & 4 != 0);
    if config.object_type_indication != 0x40 || object_type != 2 || rate_index == 15 || short {
        return None;
    }
    match channels {
        1 => Some(MONO),
        2 => Some(STEREO),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::AudioTrack;

    #[test]
    fn opus_and_plain_aac_have_a_known_silence() {
        let check = |config: &[u8], expect: Option<&[u8]>| {
            let track = AudioTrack::aac(config, 48_000, 2).unwrap();
            let got = of(&track.entry()).map(|silence| silence.packet);
            assert_eq!(got, expect, "{config:02x?}");
        };
        check(&[0x11, 0x90], Some(STEREO));
        check(&[0x11, 0x88], Some(MONO));
        check(&[0x11, 0x94], None);
        check(&[0x2b, 0x92, 0x08, 0x00], None);
        check(&[0x11, 0xb0], None);
        check(&[0x17, 0x80, 0x5d, 0xc0, 0x10], None);
        let opus = AudioTrack::opus(None, 2).unwrap();
        assert_eq!(of(&opus.entry()), Some(OPUS));
    }
}
