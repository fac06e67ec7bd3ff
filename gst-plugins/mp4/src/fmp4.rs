//! The boxes of a fragmented MP4 file: header, fragment head, random access index, NTP time.

use mp4_atom::{
    Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode, FourCC, FragmentInfo, Ftyp, Hdlr, Mdhd,
    Mdia, Mehd, Mfhd, Mfra, Mfro, Minf, Moof, Moov, Mvex, Mvhd, Prft, ReferenceTime, Smhd, Stbl,
    Stco, Stsd, Tfdt, Tfhd, Tfra, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, Url, Vmhd,
};

use crate::track::{AudioTrack, VideoTrack};

/// Units a second of the video track.
pub const VIDEO_TIMESCALE: u32 = 90_000;
/// Number of the video track.
pub const VIDEO_TRACK: u32 = 1;
/// Number of the audio track.
pub const AUDIO_TRACK: u32 = 2;

/// Sample flags of a picture that depends on no other.
const SYNC: u32 = 0x0200_0000;
/// Sample flags of a picture that depends on others and is no sync sample.
const NON_SYNC: u32 = 0x0101_0000;
/// The bit by which a reader tells the two apart.
pub const NON_SYNC_BIT: u32 = 0x0001_0000;

/// Seconds from 1900-01-01, where NTP counts from, to 1970-01-01.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;
/// Seconds from 1904-01-01, where MP4 counts from, to 1970-01-01.
const MP4_TO_UNIX_S: i64 = 2_082_844_800;

/// A stretch of nanoseconds in units of a time scale, rounded to the nearest.
pub fn ticks(ns: i128, timescale: u32) -> i64 {
    let scaled = ns * i128::from(timescale);
    let rounded = (scaled + 500_000_000).div_euclid(1_000_000_000);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

/// The 64-bit NTP time stamp of a wall time in microseconds since 1970.
pub fn ntp(unix_us: i64) -> u64 {
    let seconds = unix_us.div_euclid(1_000_000) + NTP_TO_UNIX_S;
    let micros = unix_us.rem_euclid(1_000_000);
    let fraction = ((i128::from(micros) << 32) + 500_000) / 1_000_000;
    // The seconds wrap in 2036; the reader below takes the era from the top bit.
    let seconds = u64::try_from(seconds.rem_euclid(1 << 32)).expect("a remainder is not negative");
    (seconds << 32) | u64::try_from(fraction).expect("a fraction is below one second")
}

/// The wall time, in microseconds since 1970, of an NTP time stamp between 1968 and 2104.
pub fn unix_us(ntp: u64) -> i64 {
    let seconds = i64::try_from(ntp >> 32).expect("32 bits fit");
    let era = if seconds < 1 << 31 { 1 << 32 } else { 0 };
    let fraction = i64::try_from(((ntp & 0xffff_ffff) * 1_000_000 + (1 << 31)) >> 32)
        .expect("a fraction is below one second");
    (seconds + era - NTP_TO_UNIX_S) * 1_000_000 + fraction
}

/// A wall time in microseconds since 1970 as the headers of MP4 hold it: seconds since 1904.
pub(crate) fn mp4_seconds(unix_us: i64) -> u64 {
    u64::try_from(unix_us.div_euclid(1_000_000) + MP4_TO_UNIX_S).unwrap_or(0)
}

/// One sample of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Time to the next sample in decode order, in units of the track.
    pub duration: u32,
    /// Bytes.
    pub size: u32,
    /// Whether decoding can start here.
    pub sync: bool,
    /// Presentation time less decode time, in units of the track.
    pub composition_offset: i32,
}

/// The samples of one track in one fragment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Decode time of the first sample, in units of the track, from 0 in each file.
    pub decode_time: u64,
    /// The samples in decode order.
    pub entries: Vec<Entry>,
}

impl Run {
    fn bytes(&self) -> u64 {
        self.entries.iter().map(|e| u64::from(e.size)).sum()
    }
}

/// `ftyp` and `moov` of a file.
///
/// `first_offset` is the presentation time of the first picture in units of the video track; an edit list
/// makes it the start of the presentation. `start_unix_us` is noted as the creation time.
///
/// # Errors
/// When a field does not fit into its box.
pub fn header(
    video: &VideoTrack,
    audio: Option<&AudioTrack>,
    first_offset: u64,
    start_unix_us: i64,
) -> Result<Vec<u8>, mp4_atom::Error> {
    encode_header(video, audio, first_offset, start_unix_us, None)
}

/// As `header`, with room for the length of the presentation, which is known only at the end, and where it is.
///
/// # Errors
/// When a field does not fit into its box.
pub fn header_with_room(
    video: &VideoTrack,
    audio: Option<&AudioTrack>,
    first_offset: u64,
    start_unix_us: i64,
) -> Result<(Vec<u8>, Room), mp4_atom::Error> {
    let encode = |length| encode_header(video, audio, first_offset, start_unix_us, Some(length));
    let (mut bytes, other) = (encode(0)?, encode(1)?);
    let differs = bytes.iter().zip(&other).position(|(one, two)| one != two);
    let end = differs.map_or(0, |last| last + 1);
    let at = end.saturating_sub(DURATION_BOX - 4);
    // A length of zero would be believed: until it is known the box is empty space.
    bytes[at..end].fill(0);
    bytes[at..at + 4].copy_from_slice(b"free");
    Ok((bytes, Room { at }))
}

/// Bytes of the box with the length of the presentation.
const DURATION_BOX: usize = 20;

/// Where in a header the length of the presentation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Position in the file, bytes.
    pub at: usize,
}

impl Room {
    /// What is written there at the end.
    pub fn duration(duration_ns: u64) -> [u8; DURATION_BOX - 4] {
        let length = (duration_ns + 500_000) / 1_000_000;
        let mut bytes = [0; DURATION_BOX - 4];
        bytes[..4].copy_from_slice(b"mehd");
        bytes[4] = 1;
        bytes[8..].copy_from_slice(&length.to_be_bytes());
        bytes
    }
}

fn encode_header(
    video: &VideoTrack,
    audio: Option<&AudioTrack>,
    first_offset: u64,
    start_unix_us: i64,
    length_ms: Option<u64>,
) -> Result<Vec<u8>, mp4_atom::Error> {
    let created = mp4_seconds(start_unix_us);
    let mut tracks = vec![video_trak(video, first_offset, created)];
    tracks.extend(audio.map(|audio| audio_trak(audio, created)));
    let trex = tracks
        .iter()
        .map(|track| Trex {
            track_id: track.tkhd.track_id,
            default_sample_description_index: 1,
            ..Trex::default()
        })
        .collect();
    let mut out = Vec::with_capacity(1024);
    Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands: [b"iso6", b"iso5", b"mp41"].map(FourCC::new).to_vec(),
    }
    .encode(&mut out)?;
    Moov {
        mvhd: Mvhd {
            creation_time: created,
            modification_time: created,
            timescale: 1000,
            next_track_id: AUDIO_TRACK + 1,
            rate: 1.into(),
            volume: 1.into(),
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            mehd: length_ms.map(|fragment_duration| Mehd { fragment_duration }),
            trex,
        }),
        trak: tracks,
        ..Moov::default()
    }
    .encode(&mut out)?;
    Ok(out)
}

/// An edit list by which the presentation starts at `media_time` of the track; none where that is its start.
fn begins_at(media_time: u64) -> Option<Edts> {
    let edit = ElstEntry {
        // Zero means: to the end, which is not known yet.
        segment_duration: 0,
        media_time: Some(media_time),
        media_rate: 1.into(),
    };
    (media_time > 0).then(|| Edts {
        elst: Some(Elst {
            entries: vec![edit],
        }),
    })
}

fn video_trak(video: &VideoTrack, first_offset: u64, created: u64) -> Trak {
    Trak {
        tkhd: Tkhd {
            track_id: VIDEO_TRACK,
            width: video.width().into(),
            height: video.height().into(),
            ..track_header(created)
        },
        edts: begins_at(first_offset),
        mdia: Mdia {
            mdhd: media_header(created, VIDEO_TIMESCALE),
            hdlr: Hdlr {
                handler: FourCC::new(b"vide"),
                name: "video".to_owned(),
            },
            minf: Minf {
                vmhd: Some(Vmhd::default()),
                ..media_information(video.entry())
            },
        },
        ..Trak::default()
    }
}

fn audio_trak(audio: &AudioTrack, created: u64) -> Trak {
    Trak {
        tkhd: Tkhd {
            track_id: AUDIO_TRACK,
            alternate_group: 1,
            volume: 1.into(),
            ..track_header(created)
        },
        edts: begins_at(u64::from(audio.pre_skip())),
        mdia: Mdia {
            mdhd: media_header(created, audio.rate()),
            hdlr: Hdlr {
                handler: FourCC::new(b"soun"),
                name: "audio".to_owned(),
            },
            minf: Minf {
                smhd: Some(Smhd::default()),
                ..media_information(audio.entry())
            },
        },
        ..Trak::default()
    }
}

fn track_header(created: u64) -> Tkhd {
    Tkhd {
        creation_time: created,
        modification_time: created,
        enabled: true,
        in_movie: true,
        ..Tkhd::default()
    }
}

fn media_header(created: u64, timescale: u32) -> Mdhd {
    Mdhd {
        creation_time: created,
        modification_time: created,
        timescale,
        duration: 0,
        language: "und".to_owned(),
    }
}

fn media_information(entry: mp4_atom::Codec) -> Minf {
    Minf {
        dinf: Dinf {
            dref: Dref {
                entries: vec![DrefEntry::Url(Url::default())],
            },
        },
        stbl: Stbl {
            stsd: Stsd {
                codecs: vec![entry],
            },
            stco: Some(Stco::default()),
            ..Stbl::default()
        },
        ..Minf::default()
    }
}

/// Everything of a fragment that comes before its samples: `prft`, `moof` and the head of `mdat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentHead {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where in them `moof` begins.
    pub moof: u64,
}

/// The head of a fragment whose `mdat` holds first the samples of `video`, then those of `audio`.
///
/// `unix_us` is the wall time of the first video sample.
///
/// # Errors
/// When the samples are larger than 4 GiB together.
pub fn fragment_head(
    sequence: u32,
    unix_us: i64,
    video: &Run,
    audio: &Run,
) -> Result<FragmentHead, mp4_atom::Error> {
    let first = video.entries.first();
    let offset = first.map_or(0, |entry| i64::from(entry.composition_offset));
    let mut bytes = Vec::with_capacity(256 + 16 * (video.entries.len() + audio.entries.len()));
    Prft {
        reference_track_id: VIDEO_TRACK,
        ntp_timestamp: ntp(unix_us),
        media_time: video.decode_time.saturating_add_signed(offset),
        utc_time_semantics: ReferenceTime::Input,
    }
    .encode(&mut bytes)?;
    let moof = bytes.len();

    let too_large = |_| mp4_atom::Error::TooLarge(FourCC::new(b"mdat"));
    let video_bytes = i32::try_from(video.bytes()).map_err(too_large)?;
    let total = u32::try_from(video.bytes() + audio.bytes() + 8).map_err(too_large)?;
    // The offsets count from the start of `moof`, whose size does not depend on them.
    let mut sized = Vec::new();
    movie_fragment(sequence, video, audio, 0, 0).encode(&mut sized)?;
    let data = i32::try_from(sized.len() + 8).map_err(too_large)?;
    let audio_data = data.checked_add(video_bytes);
    let audio_data = audio_data.ok_or(mp4_atom::Error::TooLarge(FourCC::new(b"mdat")))?;
    movie_fragment(sequence, video, audio, data, audio_data).encode(&mut bytes)?;
    bytes.extend_from_slice(&total.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    Ok(FragmentHead {
        bytes,
        moof: moof as u64,
    })
}

fn movie_fragment(sequence: u32, video: &Run, audio: &Run, video_at: i32, audio_at: i32) -> Moof {
    let mut traf = vec![track_fragment(VIDEO_TRACK, video, video_at)];
    if !audio.entries.is_empty() {
        traf.push(track_fragment(AUDIO_TRACK, audio, audio_at));
    }
    Moof {
        mfhd: Mfhd {
            sequence_number: sequence,
        },
        traf,
    }
}

fn track_fragment(track_id: u32, run: &Run, data_offset: i32) -> Traf {
    let entries: Vec<TrunEntry> = run
        .entries
        .iter()
        .map(|entry| TrunEntry {
            duration: Some(entry.duration),
            size: Some(entry.size),
            flags: Some(if entry.sync { SYNC } else { NON_SYNC }),
            cts: Some(i64::from(entry.composition_offset)),
        })
        .collect();
    Traf {
        tfhd: Tfhd {
            track_id,
            default_base_is_moof: true,
            ..Tfhd::default()
        },
        tfdt: Some(Tfdt {
            base_media_decode_time: run.decode_time,
        }),
        trun: vec![Trun {
            data_offset: Some(data_offset),
            samples: entries.into(),
        }],
        ..Traf::default()
    }
}

/// A key frame in the random access index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Presentation time in units of the video track.
    pub time: u64,
    /// Where its `moof` begins in the file.
    pub moof: u64,
    /// Number of the sample in the fragment, from 1.
    pub sample: u32,
}

/// The `mfra` box that ends a finished file.
///
/// # Errors
/// When there are more entries than its count can hold.
pub fn index(entries: &[IndexEntry]) -> Result<Vec<u8>, mp4_atom::Error> {
    let tfra = Tfra {
        track_id: VIDEO_TRACK,
        entries: entries
            .iter()
            .map(|entry| FragmentInfo {
                time: entry.time,
                moof_offset: entry.moof,
                traf_number: 1,
                trun_number: 1,
                sample_delta: entry.sample,
            })
            .collect(),
    };
    let mut mfra = Mfra {
        tfra: vec![tfra],
        mfro: Mfro::default(),
    };
    let mut out = Vec::new();
    mfra.encode(&mut out)?;
    let size = u32::try_from(out.len());
    mfra.mfro.parent_size = size.map_err(|_| mp4_atom::Error::TooLarge(FourCC::new(b"mfra")))?;
    out.clear();
    mfra.encode(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Atom, Decode};
    use proptest::prelude::*;

    use super::*;
    use crate::track::{VideoCodec, tests::AVCC};

    #[test]
    fn header_reads_back() {
        let video = VideoTrack::new(VideoCodec::H264, AVCC, 640, 360).unwrap();
        let audio = AudioTrack::aac(&[0x11, 0x90], 48_000, 2).unwrap();
        let bytes = header(&video, Some(&audio), 7200, 1_700_000_000_000_000).unwrap();
        let mut rest = &bytes[..];
        Ftyp::decode(&mut rest).unwrap();
        let moov = Moov::decode(&mut rest).unwrap();
        assert!(rest.is_empty());
        assert_eq!(moov.trak.len(), 2);
        assert_eq!(moov.trak[0].mdia.minf.stbl.stsd.codecs, [video.entry()]);
        assert_eq!(moov.mvex.unwrap().trex.len(), 2);

        let audio = AudioTrack::opus(None, 2).unwrap();
        let bytes = header(&video, Some(&audio), 0, 0).unwrap();
        let mut rest = &bytes[..];
        Ftyp::decode(&mut rest).unwrap();
        let moov = Moov::decode(&mut rest).unwrap();
        assert!(moov.trak[0].edts.is_none());
        let edit = &moov.trak[1]
            .edts
            .as_ref()
            .unwrap()
            .elst
            .as_ref()
            .unwrap()
            .entries[0];
        assert_eq!(edit.media_time, Some(312));
        assert_eq!(moov.trak[1].mdia.minf.stbl.stsd.codecs, [audio.entry()]);
    }

    #[test]
    fn the_length_comes_at_the_end() {
        let video = VideoTrack::new(VideoCodec::H264, AVCC, 640, 360).unwrap();
        let audio = AudioTrack::opus(None, 2).unwrap();
        let (mut bytes, room) = header_with_room(&video, Some(&audio), 7200, 0).unwrap();
        let moov = |bytes: &[u8]| {
            let mut rest = bytes;
            Ftyp::decode(&mut rest).unwrap();
            Moov::decode(&mut rest).unwrap()
        };
        assert_eq!(bytes[room.at - 4..room.at + 4], *b"\0\0\0\x14free");
        let before = moov(&bytes);
        assert_eq!(before.mvex.as_ref().unwrap().mehd, None);
        let length = Room::duration(6_000_400_000);
        bytes[room.at..room.at + length.len()].copy_from_slice(&length);
        let mut after = moov(&bytes);
        let mehd = after.mvex.as_mut().unwrap().mehd.take().unwrap();
        assert_eq!(mehd.fragment_duration, 6000);
        assert_eq!(after, before);
    }

    #[test]
    fn data_offset_points_behind_the_head() {
        let entry = Entry {
            duration: 3600,
            size: 10,
            sync: true,
            composition_offset: 7200,
        };
        let video = Run {
            decode_time: 90_000,
            entries: vec![
                entry,
                Entry {
                    sync: false,
                    ..entry
                },
            ],
        };
        let head = fragment_head(3, 5_000_000, &video, &Run::default()).unwrap();
        let moof_at = usize::try_from(head.moof).unwrap();
        let prft = Prft::decode(&mut &head.bytes[..moof_at]).unwrap();
        assert_eq!(prft.media_time, 97_200);
        assert_eq!(unix_us(prft.ntp_timestamp), 5_000_000);
        let moof = Moof::decode(&mut &head.bytes[moof_at..]).unwrap();
        let offset = usize::try_from(moof.traf[0].trun[0].data_offset.unwrap()).unwrap();
        assert_eq!(moof_at + offset, head.bytes.len());
        assert_eq!(&head.bytes[head.bytes.len() - 4..], b"mdat");
    }

    #[test]
    fn index_says_its_own_size() {
        let bytes = index(&[IndexEntry {
            time: 0,
            moof: 900,
            sample: 1,
        }])
        .unwrap();
        let end = bytes.len() - 4;
        assert_eq!(
            bytes[end..],
            u32::try_from(bytes.len()).unwrap().to_be_bytes()
        );
        let mfra = Mfra::decode(&mut &bytes[..]).unwrap();
        assert_eq!(Mfra::KIND, FourCC::new(b"mfra"));
        assert_eq!(mfra.tfra[0].entries[0].moof_offset, 900);
    }

    proptest! {
        #[test]
        fn ntp_keeps_every_microsecond(us in -60_000_000_000_000_i64..4_200_000_000_000_000) {
            prop_assert_eq!(unix_us(ntp(us)), us);
        }

        #[test]
        fn ticks_are_near_and_in_order(a in 0_i128..1 << 60, b in 0_i128..1 << 60) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(ticks(low, 90_000) <= ticks(high, 90_000));
            prop_assert!((i128::from(ticks(a, 90_000)) * 1_000_000_000 / 90_000 - a).abs() <= 5_556);
        }
    }
}
