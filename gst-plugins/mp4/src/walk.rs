//! The one way through a recorded file, from box to box, which trusts nothing that stands in it.
//!
//! What is made of the fragments (a report, an index of samples) is the business of its callers.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use mp4_atom::{Atom, Codec, FourCC, Mfra, Moof, Moov, Prft, Traf, Trak, Trex};

use crate::fmp4::{NON_SYNC_BIT, unix_us};
use crate::inspect::InspectError;
use crate::track::VideoCodec;

/// No header box of ours comes near this, bytes.
const MAX_BOX: u64 = 4 << 20;
/// Nor any file to this many samples: 25 pictures and 50 packets of sound a second for two days.
const MAX_FILE_SAMPLES: u64 = 16 << 20;
/// Nor any fragment to this many.
const MAX_SAMPLES: usize = 100_000;

struct BoxAt {
    kind: FourCC,
    start: u64,
    body: u64,
    end: u64,
}

/// A track of the header.
pub(crate) struct Track {
    number: u32,
    /// Units a second; never zero.
    pub timescale: u32,
    /// The sample entry.
    pub entry: Codec,
    /// The media time that is shown first, and how long nothing is shown before it, both in units of the track.
    pub edit: i64,
    /// Defaults for samples that do not say it: duration, size and flags.
    defaults: (u32, u32, u32),
}

/// What the header says.
pub(crate) struct Header {
    /// The pictures.
    pub video: Track,
    /// Their codec.
    pub codec: VideoCodec,
    /// Their size in pixels.
    pub size: (u32, u32),
    /// The sound, where there is one that can be read.
    pub audio: Option<Track>,
    /// Whether there is a sound track of any kind.
    pub has_audio: bool,
}

/// A sample, in units of its track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw {
    pub offset: u64,
    pub size: u32,
    pub dts: i64,
    pub pts: i64,
    pub duration: u32,
    pub sync: bool,
}

/// A fragment that is whole: all its samples lie within the file.
#[derive(Default)]
pub(crate) struct Fragment {
    /// Where its `moof` begins.
    pub moof: u64,
    /// Where its `mdat` ends.
    pub end: u64,
    /// Pictures in decode order, at least one.
    pub video: Vec<Raw>,
    /// Packets of sound in order.
    pub audio: Vec<Raw>,
    /// A presentation time in units of the video track and its wall time, microseconds.
    pub anchor: Option<(i64, i64)>,
    /// All samples, those of other tracks too.
    samples: usize,
    bytes: u64,
    /// First and last byte that any sample takes.
    first_byte: Option<u64>,
    last_byte: u64,
}

/// A walk through a file; ends where the first thing is that is not whole.
pub(crate) struct Walk {
    file: File,
    file_bytes: u64,
    at: u64,
    header: Option<Header>,
    prft: Option<Prft>,
    samples: u64,
    valid: u64,
    finalised: bool,
    done: bool,
}

impl Walk {
    pub(crate) fn open(path: &Path) -> Result<Self, InspectError> {
        let file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        Ok(Self {
            file,
            file_bytes,
            at: 0,
            header: None,
            prft: None,
            samples: 0,
            valid: 0,
            finalised: false,
            done: false,
        })
    }

    /// Length of the file, bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// End of the last whole fragment so far, or of the index that ends a finished file, bytes.
    pub(crate) fn valid_bytes(&self) -> u64 {
        self.valid
    }

    /// Whether the file turned out to end with its index.
    pub(crate) fn finalised(&self) -> bool {
        self.finalised
    }

    /// The file and what its header says.
    pub(crate) fn into_parts(self) -> Result<(File, Header), InspectError> {
        let header = self
            .header
            .ok_or_else(|| InspectError::NoHeader("none is there".to_owned()))?;
        Ok((self.file, header))
    }

    /// The next whole fragment, `None` at the end of what is whole.
    pub(crate) fn next_fragment(&mut self) -> Result<Option<Fragment>, InspectError> {
        if self.done {
            return Ok(None);
        }
        let fragment = self.find_fragment()?;
        self.done = fragment.is_none();
        Ok(fragment)
    }

    fn find_fragment(&mut self) -> Result<Option<Fragment>, InspectError> {
        let mut pending: Option<Fragment> = None;
        while let Some(found) = self.next_box()? {
            self.at = found.end;
            let kind = found.kind;
            if kind == Moov::KIND && self.header.is_none() {
                self.header = Some(self.read_header(&found)?);
            } else if kind == Prft::KIND {
                self.prft = self.parse(&found)?;
            } else if kind == Moof::KIND {
                let Some(moof) = self.parse::<Moof>(&found)? else {
                    return Ok(None);
                };
                pending = self.samples_of(&moof, found.start);
                if pending.is_none() {
                    return Ok(None);
                }
            } else if kind == FourCC::new(b"mdat") {
                let whole = pending.take().filter(|fragment| fragment.lies_in(&found));
                return Ok(whole.map(|fragment| self.take(fragment, found.end)));
            } else if kind == Mfra::KIND {
                self.finalised = self.valid > 0
                    && pending.is_none()
                    && found.end == self.file_bytes
                    && self.parse::<Mfra>(&found)?.is_some();
                if self.finalised {
                    self.valid = found.end;
                }
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The box at the present position, `None` where no whole box is.
    fn next_box(&self) -> io::Result<Option<BoxAt>> {
        let start = self.at;
        let Some(left) = self.file_bytes.checked_sub(start).filter(|&left| left >= 8) else {
            return Ok(None);
        };
        let mut head = [0; 16];
        let length = left.min(16);
        let head = &mut head[..usize::try_from(length).expect("16 at most")];
        self.file.read_exact_at(head, start)?;
        let word = |at: usize| {
            head.get(at..at + 4)
                .map(|w| <[u8; 4]>::try_from(w).expect("four"))
        };
        let short = word(0).map_or(0, u32::from_be_bytes);
        let kind = FourCC::from(word(4).unwrap_or_default());
        let (size, header) = match (short, word(8), word(12)) {
            (1, Some(high), Some(low)) => {
                let high = u64::from(u32::from_be_bytes(high));
                ((high << 32) | u64::from(u32::from_be_bytes(low)), 16)
            }
            (size, ..) => (u64::from(size), 8),
        };
        Ok((size >= header && size <= left).then(|| BoxAt {
            kind,
            start,
            body: start + header,
            end: start + size,
        }))
    }

    fn parse<T: Atom>(&self, found: &BoxAt) -> io::Result<Option<T>> {
        let size = found.end - found.body;
        if size > MAX_BOX {
            return Ok(None);
        }
        let mut body = vec![0; usize::try_from(size).expect("a few megabytes")];
        self.file.read_exact_at(&mut body, found.body)?;
        Ok(T::decode_body(&mut &body[..]).ok())
    }

    fn read_header(&self, found: &BoxAt) -> Result<Header, InspectError> {
        let none = |why: &str| InspectError::NoHeader(why.to_owned());
        let moov: Moov = self
            .parse(found)?
            .ok_or_else(|| none("it does not parse"))?;
        let of_kind = |kind: &'static [u8; 4]| {
            let is = move |trak: &&Trak| trak.mdia.hdlr.handler == FourCC::new(kind);
            moov.trak.iter().find(is)
        };
        let video = of_kind(b"vide").ok_or_else(|| none("no video track"))?;
        let (codec, visual) = match video.mdia.minf.stbl.stsd.codecs.first() {
            Some(Codec::Avc1(avc1)) => (VideoCodec::H264, &avc1.visual),
            Some(Codec::Hvc1(hvc1)) => (VideoCodec::H265, &hvc1.visual),
            _ => return Err(none("another codec")),
        };
        let audio = of_kind(b"soun");
        Ok(Header {
            video: track_of(&moov, video).ok_or_else(|| none("its time scale is zero"))?,
            codec,
            size: (u32::from(visual.width), u32::from(visual.height)),
            audio: audio.and_then(|trak| track_of(&moov, trak)),
            has_audio: audio.is_some(),
        })
    }

    /// The samples a fragment describes, `None` when it cannot be ours.
    fn samples_of(&self, moof: &Moof, start: u64) -> Option<Fragment> {
        let header = self.header.as_ref()?;
        let mut fragment = Fragment {
            moof: start,
            ..Fragment::default()
        };
        for traf in &moof.traf {
            let number = traf.tfhd.track_id;
            let tracks = [Some(&header.video), header.audio.as_ref()];
            let track = tracks.into_iter().flatten().find(|t| t.number == number);
            let mut samples = Vec::new();
            read_track(traf, track, self.samples, &mut fragment, &mut samples)?;
            if number == header.video.number {
                fragment.video.append(&mut samples);
            } else if track.is_some() {
                fragment.audio.append(&mut samples);
            }
        }
        (!fragment.video.is_empty()).then_some(fragment)
    }

    fn take(&mut self, mut fragment: Fragment, end: u64) -> Fragment {
        let track = self.header.as_ref().map_or(0, |header| header.video.number);
        let prft = self.prft.take();
        fragment.anchor = prft
            .filter(|prft| prft.reference_track_id == track)
            .and_then(|prft| {
                let media_time = i64::try_from(prft.media_time).ok()?;
                Some((media_time, unix_us(prft.ntp_timestamp)))
            });
        fragment.end = end;
        self.samples += fragment.samples as u64;
        self.valid = end;
        fragment
    }
}

impl Fragment {
    /// Whether all samples lie in a box, and do not claim its bytes more than once.
    fn lies_in(&self, mdat: &BoxAt) -> bool {
        self.bytes <= mdat.end - mdat.body
            && self.first_byte.is_none_or(|first| first >= mdat.body)
            && self.last_byte <= mdat.end
    }
}

/// A track as the samples need it; `None` where its time scale is zero.
fn track_of(moov: &Moov, trak: &Trak) -> Option<Track> {
    let number = trak.tkhd.track_id;
    let timescale = Some(trak.mdia.mdhd.timescale).filter(|&scale| scale > 0)?;
    let extends = moov.mvex.iter().flat_map(|mvex| &mvex.trex);
    let defaults = |trex: &Trex| {
        (
            trex.default_sample_duration,
            trex.default_sample_size,
            trex.default_sample_flags,
        )
    };
    Some(Track {
        number,
        timescale,
        entry: trak.mdia.minf.stbl.stsd.codecs.first()?.clone(),
        edit: edit_of(moov, trak, timescale),
        defaults: extends
            .into_iter()
            .find(|trex| trex.track_id == number)
            .map_or((0, 0, 0), defaults),
    })
}

/// The media time that the first edit shows at time 0; below zero where nothing is shown before the track begins.
fn edit_of(moov: &Moov, trak: &Trak, timescale: u32) -> i64 {
    let mut empty = 0_i128;
    let edits = trak.edts.iter().flat_map(|edts| &edts.elst);
    for entry in edits.flat_map(|elst| &elst.entries) {
        if let Some(media_time) = entry.media_time {
            let edit = i128::from(media_time) - empty;
            return i64::try_from(edit).unwrap_or(0);
        }
        let movie = i128::from(moov.mvhd.timescale.max(1));
        empty += i128::from(entry.segment_duration) * i128::from(timescale) / movie;
    }
    0
}

/// Adds the samples of one track of a fragment; `None` when the numbers make no sense.
fn read_track(
    traf: &Traf,
    track: Option<&Track>,
    before: u64,
    fragment: &mut Fragment,
    into: &mut Vec<Raw>,
) -> Option<()> {
    let tfhd = &traf.tfhd;
    let defaults = track.map_or((0, 0, 0), |track| track.defaults);
    let mut dts = i64::try_from(traf.tfdt.as_ref()?.base_media_decode_time).ok()?;
    let duration = tfhd.default_sample_duration.unwrap_or(defaults.0);
    let size = tfhd.default_sample_size.unwrap_or(defaults.1);
    let flags = tfhd.default_sample_flags.unwrap_or(defaults.2);
    let base = tfhd.base_data_offset.unwrap_or(fragment.moof);
    let mut at = base;
    for run in &traf.trun {
        fragment.samples = fragment.samples.checked_add(run.samples.len())?;
        if fragment.samples > MAX_SAMPLES || before + fragment.samples as u64 > MAX_FILE_SAMPLES {
            return None;
        }
        if let Some(offset) = run.data_offset {
            at = base.checked_add_signed(i64::from(offset))?;
        }
        if !run.samples.is_empty() {
            let first = fragment.first_byte.unwrap_or(at);
            fragment.first_byte = Some(first.min(at));
        }
        for sample in run.samples.iter() {
            // A sample without a byte is none of ours; so there are never more samples than bytes.
            let size = sample.size.unwrap_or(size);
            let duration = sample.duration.unwrap_or(duration);
            let pts = dts.checked_add(sample.cts.unwrap_or(0))?;
            let end = dts.checked_add(i64::from(duration))?;
            pts.checked_add(i64::from(duration))?;
            if size == 0 {
                return None;
            }
            if track.is_some() {
                into.push(Raw {
                    offset: at,
                    size,
                    dts,
                    pts,
                    duration,
                    sync: sample.flags.unwrap_or(flags) & NON_SYNC_BIT == 0,
                });
            }
            fragment.bytes = fragment.bytes.checked_add(u64::from(size))?;
            at = at.checked_add(u64::from(size))?;
            dts = end;
        }
        fragment.last_byte = fragment.last_byte.max(at);
    }
    Some(())
}
