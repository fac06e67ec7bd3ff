//! Reading the samples of a recorded file, whole or torn, with only its headers in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use mp4_atom::{Atom, Codec};

use crate::inspect::InspectError;
use crate::track::VideoCodec;
use crate::walk::{Header, Raw, Track, Walk};

/// Samples of a file whose index is held in memory, at 40 bytes each: half a day with sound.
const MAX_HELD: usize = 4 << 20;
/// No access unit comes near this, bytes.
const MAX_SAMPLE_BYTES: u32 = 64 << 20;

/// The pictures of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoInfo {
    /// The codec.
    pub codec: VideoCodec,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// The sample entry.
    pub entry: Codec,
    /// The parameter sets as in the caps of GStreamer: an `avcC` or `hvcC` record.
    pub codec_data: Vec<u8>,
}

/// The sound of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioInfo {
    /// Samples a second, Hz.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
    /// The sample entry.
    pub entry: Codec,
    /// The decoder's configuration, as in the caps of GStreamer; empty where the codec needs none.
    pub codec_data: Vec<u8>,
}

/// One picture, or one packet of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its first byte in the file.
    pub offset: u64,
    /// Bytes.
    pub size: u32,
    /// Decode time, nanoseconds from the first picture.
    pub dts_ns: i64,
    /// Presentation time, nanoseconds from the first picture; below zero for sound that began before it.
    pub pts_ns: i64,
    /// Until the next sample in decode order, nanoseconds.
    pub duration_ns: u64,
    /// Whether decoding can start here.
    pub key: bool,
}

impl Sample {
    /// When the next one is shown if this one lasts as long as it says, nanoseconds from the first picture.
    pub fn end_ns(&self) -> i64 {
        self.pts_ns.saturating_add_unsigned(self.duration_ns)
    }
}

/// One recorded file.
#[derive(Debug)]
pub struct Reader {
    file: File,
    video: VideoInfo,
    audio: Option<AudioInfo>,
    start_unix_us: Option<i64>,
    samples: Vec<Sample>,
    audio_samples: Vec<Sample>,
}

impl Reader {
    /// Reads the headers of a file, up to the end of its last whole fragment.
    ///
    /// # Errors
    /// When the file cannot be read, is no recording, holds no whole fragment, or holds too many samples.
    pub fn open(path: &Path) -> Result<Self, InspectError> {
        let mut walk = Walk::open(path)?;
        let (mut video, mut audio): (Vec<Raw>, Vec<Raw>) = Default::default();
        let mut anchor = None;
        while let Some(fragment) = walk.next_fragment()? {
            anchor = anchor.or(fragment.anchor);
            video.extend(fragment.video);
            audio.extend(fragment.audio);
            if video.len() + audio.len() > MAX_HELD {
                return Err(InspectError::TooMany(MAX_HELD));
            }
        }
        let (file, header) = walk.into_parts()?;
        let origin = video.first().ok_or(InspectError::NoFragment)?.pts;
        let start_unix_us = anchor.map(|(media, unix_us): (i64, i64)| {
            let since = i128::from(origin) - i128::from(media);
            unix_us.saturating_add(scaled(since, header.video.timescale, 1_000_000))
        });
        let samples = samples_of(video, i128::from(origin), header.video.timescale);
        let audio_samples = header.audio.as_ref().map_or_else(Vec::new, |track| {
            samples_of(audio, audio_origin(&header, track, origin), track.timescale)
        });
        Ok(Self {
            file,
            audio: header.audio.as_ref().map(audio_info),
            video: video_info(header)?,
            start_unix_us,
            samples,
            audio_samples,
        })
    }

    /// What the pictures are.
    pub fn video(&self) -> &VideoInfo {
        &self.video
    }

    /// What the sound is, where there is a sound track.
    pub fn audio(&self) -> Option<&AudioInfo> {
        self.audio.as_ref()
    }

    /// Wall time of the first picture, microseconds since 1970-01-01 UTC; absent in files without `prft`.
    pub fn start_unix_us(&self) -> Option<i64> {
        self.start_unix_us
    }

    /// The pictures in decode order; there is at least one.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The packets of sound in order.
    pub fn audio_samples(&self) -> &[Sample] {
        &self.audio_samples
    }

    /// The place among [`samples`](Self::samples) of the last key frame that is shown at or before a time, else of
    /// the first key frame; `None` when there is none at all.
    pub fn key_before(&self, pts_ns: i64) -> Option<usize> {
        let keys = || self.samples.iter().enumerate().filter(|(_, s)| s.key);
        keys()
            .filter(|(_, sample)| sample.pts_ns <= pts_ns)
            .max_by_key(|(_, sample)| sample.pts_ns)
            .or_else(|| keys().next())
            .map(|(place, _)| place)
    }

    /// The bytes of a sample of this file.
    ///
    /// # Errors
    /// When the file cannot be read, has become shorter, or the sample is larger than any access unit.
    pub fn data(&mut self, sample: &Sample) -> io::Result<Vec<u8>> {
        if sample.size > MAX_SAMPLE_BYTES {
            let why = format!("a sample of {} bytes is none", sample.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut data = vec![0; usize::try_from(sample.size).expect("64 MiB at most")];
        self.file.read_exact_at(&mut data, sample.offset)?;
        Ok(data)
    }

    /// The open file, for copying ranges of it.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// The time of the sound track, in its units, at which the first picture is shown.
fn audio_origin(header: &Header, audio: &Track, first_pts: i64) -> i128 {
    let shown = i128::from(first_pts) - i128::from(header.video.edit);
    let ticks = shown * i128::from(audio.timescale);
    ticks / i128::from(header.video.timescale) + i128::from(audio.edit)
}

/// Ticks in another unit, rounded to the nearest.
fn scaled(ticks: i128, timescale: u32, unit: i128) -> i64 {
    let scale = i128::from(timescale);
    let value = (ticks * unit + scale / 2).div_euclid(scale);
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn samples_of(raw: Vec<Raw>, origin: i128, timescale: u32) -> Vec<Sample> {
    let ns = |ticks: i64| scaled(i128::from(ticks) - origin, timescale, 1_000_000_000);
    raw.into_iter()
        .map(|raw| Sample {
            offset: raw.offset,
            size: raw.size,
            dts_ns: ns(raw.dts),
            pts_ns: ns(raw.pts),
            duration_ns: u64::try_from(scaled(raw.duration.into(), timescale, 1_000_000_000))
                .unwrap_or(0),
            key: raw.sync,
        })
        .collect()
}

fn video_info(header: Header) -> Result<VideoInfo, InspectError> {
    let mut codec_data = Vec::new();
    let encoded = match &header.video.entry {
        Codec::Avc1(avc1) => avc1.avcc.encode_body(&mut codec_data),
        Codec::Hvc1(hvc1) => hvc1.hvcc.encode_body(&mut codec_data),
        _ => Ok(()),
    };
    encoded.map_err(|error| InspectError::NoHeader(error.to_string()))?;
    Ok(VideoInfo {
        codec: header.codec,
        width: header.size.0,
        height: header.size.1,
        entry: header.video.entry,
        codec_data,
    })
}

fn audio_info(track: &Track) -> AudioInfo {
    let codec_data = match &track.entry {
        Codec::Mp4a(mp4a) => {
            let config = mp4a.esds.es_desc.dec_config.dec_specific.as_ref();
            config.map_or_else(Vec::new, |config| config.raw.clone())
        }
        _ => Vec::new(),
    };
    AudioInfo {
        // The field of the entry has 16 bits; the recorder's time scale is the rate.
        rate: track.timescale,
        channels: track.entry.audio().map_or(0, |audio| audio.channel_count),
        entry: track.entry.clone(),
        codec_data,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inspect::inspect;
    use crate::recorded::{Recipe, on_disk};

    const FRAME_NS: i64 = 40_000_000;

    #[test]
    fn every_sample_is_found_with_its_time_and_bytes() {
        for (reorder, audio) in [(false, false), (true, true)] {
            let recipe = Recipe {
                reorder,
                audio,
                ..Recipe::default()
            };
            let (_folder, path) = on_disk(&recipe.build());
            let mut reader = Reader::open(&path).unwrap();
            assert_eq!(reader.start_unix_us(), Some(recipe.start_unix_us));
            assert_eq!(reader.video().codec, VideoCodec::H264);
            assert_eq!(reader.video().codec_data, crate::track::tests::AVCC);
            assert_eq!((reader.video().width, reader.video().height), (640, 360));
            let samples = reader.samples().to_vec();
            assert_eq!(samples.len(), 100);
            let mut shown: Vec<i64> = samples.iter().map(|s| s.pts_ns).collect();
            shown.sort_unstable();
            assert_eq!(
                shown,
                (0..100).map(|n| n * FRAME_NS).collect::<Vec<_>>(),
                "reorder {reorder}"
            );
            for (n, sample) in (0_u32..).zip(&samples) {
                assert_eq!(sample.key, n % 25 == 0);
                assert_eq!(sample.duration_ns, 40_000_000);
                assert_eq!(reader.data(sample).unwrap(), recipe.data(n, sample.size));
            }
            let delay = if reorder { 2 * FRAME_NS } else { 0 };
            assert_eq!(samples[0].dts_ns, -delay);
            assert_eq!(
                reader.audio().map(|a| (a.rate, a.channels)),
                audio.then_some((48_000, 2))
            );
            let sound = reader.audio_samples().to_vec();
            assert_eq!(sound.len(), if audio { 188 } else { 0 });
            if let Some(packet) = sound.get(1) {
                assert_eq!(packet.pts_ns, 21_333_333);
                assert_eq!(reader.data(packet).unwrap(), [0xa0; 20]);
                assert_eq!(reader.audio().unwrap().codec_data, [0x11, 0x90]);
            }
        }
    }

    #[test]
    fn the_key_frame_before_a_time_is_found() {
        let (_folder, path) = on_disk(&Recipe::default().build());
        let reader = Reader::open(&path).unwrap();
        let check =
            |ns: i64, expect: usize| assert_eq!(reader.key_before(ns), Some(expect), "{ns}");
        check(-5, 0);
        check(0, 0);
        check(999_999_999, 0);
        check(1_000_000_000, 25);
        check(i64::MAX, 75);
    }

    #[test]
    fn a_torn_file_gives_its_whole_fragments() {
        let recipe = Recipe {
            finished: false,
            audio: true,
            ..Recipe::default()
        };
        let bytes = recipe.build();
        let (_folder, path) = on_disk(&bytes[..bytes.len() - 1]);
        let reader = Reader::open(&path).unwrap();
        assert_eq!(reader.samples().len(), 75);
        assert_eq!(inspect(&path).unwrap().frames, 75);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn damage_never_panics_and_never_leads_out_of_the_file(
            flips in prop::collection::vec((0..1_usize << 20, any::<u8>()), 0..12),
            words in prop::collection::vec((0..1_usize << 20, prop::sample::select(vec![0_u32, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX])), 0..4),
            cut in prop::option::of(0..1_usize << 20),
            reorder: bool, audio: bool,
        ) {
            let recipe = Recipe { fragments: 2, reorder, audio, ..Recipe::default() };
            let mut bytes = recipe.build();
            // Damage where it may hurt: the header and the heads of fragments are less than half of the file.
            let length = bytes.len();
            for (at, value) in flips {
                bytes[at % length] = value;
            }
            for (at, value) in words {
                let at = at % (length - 4);
                bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            }
            if let Some(cut) = cut {
                bytes.truncate(cut % length);
            }
            let (_folder, path) = on_disk(&bytes);
            let report = inspect(&path);
            let Ok(mut reader) = Reader::open(&path) else {
                prop_assert!(report.is_err());
                return Ok(());
            };
            prop_assert_eq!(report.unwrap().frames, reader.samples().len() as u64);
            let all = [reader.samples(), reader.audio_samples()].concat();
            prop_assert!(all.len() <= bytes.len());
            for sample in &all {
                prop_assert!(sample.offset + u64::from(sample.size) <= bytes.len() as u64);
                prop_assert_eq!(reader.data(sample).unwrap().len() as u64, u64::from(sample.size));
                sample.end_ns();
            }
            prop_assert!(reader.key_before(0).is_none_or(|place| reader.samples()[place].key));
        }
    }
}
