//! Reading back a recorded file, whole or torn, without trusting anything in it.
//!
//! Only the headers are read: memory stays below a few megabytes whatever the file claims.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use mp4_atom::{Atom, Codec, FourCC, Mfra, Moof, Moov, Prft, Traf};

use crate::fmp4::{NON_SYNC_BIT, unix_us};

/// No header box of ours comes near this, bytes.
const MAX_BOX: u64 = 4 << 20;
/// Nor any file to this many pictures: 25 a second for a week.
const MAX_PICTURES: u64 = 16 << 20;
/// Nor any fragment this many samples.
const MAX_SAMPLES: usize = 100_000;

/// Why a file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file could not be read.
    #[error("could not read the file: {0}")]
    Io(#[from] io::Error),
    /// There is no movie header with a video track at the front.
    #[error("no MP4 header with an H.264 or H.265 track: {0}")]
    NoHeader(String),
    /// There is no whole fragment.
    #[error("the file holds no whole fragment")]
    NoFragment,
}

/// A key frame of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyframe {
    /// Time from the start of the file, nanoseconds.
    pub offset_ns: u64,
    /// Position of its fragment (`moof`) in the file, bytes.
    pub byte: u64,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC; absent in files without `prft`.
    pub start_unix_us: Option<i64>,
    /// Wall time of the end of the last picture, microseconds since 1970-01-01 UTC.
    pub end_unix_us: Option<i64>,
    /// From the first picture to the end of the last, nanoseconds.
    pub duration_ns: u64,
    /// Pictures in whole fragments.
    pub frames: u64,
    /// `h264` or `h265`.
    pub codec: String,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Whether there is an audio track.
    pub has_audio: bool,
    /// Key frames, in order.
    pub keyframes: Vec<Keyframe>,
    /// End of the last whole fragment, or of the index that ends a finished file, bytes.
    pub valid_bytes: u64,
    /// Length of the file, bytes.
    pub file_bytes: u64,
    /// Whether the file was closed properly: it ends with its index.
    pub finalised: bool,
}

/// Reads what a file holds up to the end of its last whole fragment.
///
/// # Errors
/// When the file cannot be read, is no recording, or holds no whole fragment.
pub fn inspect(path: &Path) -> Result<Inspected, InspectError> {
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    Walk::new(file, file_bytes).run()
}

/// Cuts a torn end off, so that the file ends with its last whole fragment, and syncs it.
///
/// # Errors
/// As `inspect`, or when the file cannot be changed.
pub fn repair(path: &Path) -> Result<Inspected, InspectError> {
    let mut found = inspect(path)?;
    if found.valid_bytes < found.file_bytes {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(found.valid_bytes)?;
        file.sync_all()?;
        found.file_bytes = found.valid_bytes;
    }
    Ok(found)
}

/// BLAKE3 of a whole file, 64 hex digits, as in `SegmentClosed`.
///
/// # Errors
/// When the file cannot be read.
pub fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

struct BoxAt {
    kind: FourCC,
    start: u64,
    body: u64,
    end: u64,
}

/// The video track of the header.
struct Header {
    track: u32,
    timescale: u64,
    codec: &'static str,
    width: u32,
    height: u32,
    has_audio: bool,
    /// Defaults for samples that do not say it: duration and flags.
    defaults: (u32, u32),
}

/// A fragment whose `mdat` has not been seen yet.
#[derive(Default)]
struct Pending {
    pictures: Vec<Sample>,
    bytes: u64,
    moof: u64,
}

struct Sample {
    pts: i64,
    end: i64,
    sync: bool,
}

struct Walk {
    file: File,
    file_bytes: u64,
    header: Option<Header>,
    first_pts: Option<i64>,
    end_pts: i64,
    /// A presentation time of the track and its wall time.
    anchor: Option<(i64, i64)>,
    prft: Option<Prft>,
    frames: u64,
    keyframes: Vec<(i64, u64)>,
    valid: u64,
    finalised: bool,
}

impl Walk {
    fn new(file: File, file_bytes: u64) -> Self {
        Self {
            file,
            file_bytes,
            header: None,
            first_pts: None,
            end_pts: 0,
            anchor: None,
            prft: None,
            frames: 0,
            keyframes: Vec::new(),
            valid: 0,
            finalised: false,
        }
    }

    fn run(mut self) -> Result<Inspected, InspectError> {
        let mut pending: Option<Pending> = None;
        let mut at = 0;
        while let Some(found) = self.next_box(at)? {
            at = found.end;
            let kind = found.kind;
            if kind == Moov::KIND && self.header.is_none() {
                self.header = Some(self.read_header(&found)?);
            } else if kind == Prft::KIND {
                self.prft = self.parse(&found)?;
            } else if kind == Moof::KIND {
                let Some(moof) = self.parse::<Moof>(&found)? else {
                    break;
                };
                pending = self.pictures(&moof, found.start);
                if pending.is_none() {
                    break;
                }
            } else if kind == FourCC::new(b"mdat") {
                let Some(fragment) = pending.take().filter(|p| p.bytes <= found.end - found.body)
                else {
                    break;
                };
                self.take(fragment, found.end);
            } else if kind == Mfra::KIND {
                self.finalised = self.frames > 0
                    && pending.is_none()
                    && found.end == self.file_bytes
                    && self.parse::<Mfra>(&found)?.is_some();
                if self.finalised {
                    self.valid = found.end;
                }
                break;
            }
        }
        self.report()
    }

    /// The box at a position, `None` where no whole box is.
    fn next_box(&mut self, start: u64) -> io::Result<Option<BoxAt>> {
        let Some(left) = self.file_bytes.checked_sub(start).filter(|&left| left >= 8) else {
            return Ok(None);
        };
        let mut head = [0; 16];
        let length = left.min(16);
        let head = &mut head[..usize::try_from(length).expect("16 at most")];
        self.file.seek(SeekFrom::Start(start))?;
        self.file.read_exact(head)?;
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

    fn body(&mut self, found: &BoxAt) -> io::Result<Option<Vec<u8>>> {
        let size = found.end - found.body;
        if size > MAX_BOX {
            return Ok(None);
        }
        let mut body = vec![0; usize::try_from(size).expect("a few megabytes")];
        self.file.seek(SeekFrom::Start(found.body))?;
        self.file.read_exact(&mut body)?;
        Ok(Some(body))
    }

    fn parse<T: Atom>(&mut self, found: &BoxAt) -> io::Result<Option<T>> {
        let body = self.body(found)?;
        Ok(body.and_then(|body| T::decode_body(&mut &body[..]).ok()))
    }

    fn read_header(&mut self, found: &BoxAt) -> Result<Header, InspectError> {
        let none = |why: &str| InspectError::NoHeader(why.to_owned());
        let moov: Moov = self
            .parse(found)?
            .ok_or_else(|| none("it does not parse"))?;
        let is = |trak: &mp4_atom::Trak, kind| trak.mdia.hdlr.handler == FourCC::new(kind);
        let video = moov.trak.iter().find(|trak| is(trak, b"vide"));
        let video = video.ok_or_else(|| none("no video track"))?;
        let (codec, visual) = match video.mdia.minf.stbl.stsd.codecs.first() {
            Some(Codec::Avc1(avc1)) => ("h264", &avc1.visual),
            Some(Codec::Hvc1(hvc1)) => ("h265", &hvc1.visual),
            _ => return Err(none("another codec")),
        };
        let timescale = u64::from(video.mdia.mdhd.timescale);
        if timescale == 0 {
            return Err(none("its time scale is zero"));
        }
        let track = video.tkhd.track_id;
        let extends = moov.mvex.iter().flat_map(|mvex| &mvex.trex);
        let defaults = extends.into_iter().find(|trex| trex.track_id == track);
        Ok(Header {
            track,
            timescale,
            codec,
            width: u32::from(visual.width),
            height: u32::from(visual.height),
            has_audio: moov.trak.iter().any(|trak| is(trak, b"soun")),
            defaults: defaults.map_or((0, 0), |trex| {
                (trex.default_sample_duration, trex.default_sample_flags)
            }),
        })
    }

    /// The pictures a fragment describes, `None` when it cannot be ours.
    fn pictures(&self, moof: &Moof, start: u64) -> Option<Pending> {
        let header = self.header.as_ref()?;
        let mut pending = Pending {
            moof: start,
            ..Pending::default()
        };
        for traf in &moof.traf {
            let video = traf.tfhd.track_id == header.track;
            read_track(traf, header, video, self.frames, &mut pending)?;
        }
        (!pending.pictures.is_empty()).then_some(pending)
    }

    fn take(&mut self, fragment: Pending, end: u64) {
        let track = self.header.as_ref().map_or(0, |header| header.track);
        let prft = self
            .prft
            .take()
            .filter(|prft| prft.reference_track_id == track);
        if self.anchor.is_none()
            && let Some(prft) = prft
            && let Ok(media_time) = i64::try_from(prft.media_time)
        {
            self.anchor = Some((media_time, unix_us(prft.ntp_timestamp)));
        }
        for picture in &fragment.pictures {
            let first = *self.first_pts.get_or_insert(picture.pts);
            self.end_pts = self.end_pts.max(picture.end).max(first);
            self.frames += 1;
            if picture.sync {
                let offset = picture.pts.saturating_sub(first);
                self.keyframes.push((offset, fragment.moof));
            }
        }
        self.valid = end;
    }

    fn report(self) -> Result<Inspected, InspectError> {
        let header = self
            .header
            .ok_or_else(|| InspectError::NoHeader("none is there".to_owned()))?;
        let first = self.first_pts.ok_or(InspectError::NoFragment)?;
        let scaled = |ticks: i64, unit: i128| {
            let scaled = i128::from(ticks) * unit / i128::from(header.timescale);
            i64::try_from(scaled).unwrap_or(i64::MAX)
        };
        let wall = |pts: i64| {
            self.anchor.map(|(media, unix_us)| {
                unix_us.saturating_add(scaled(pts.saturating_sub(media), 1_000_000))
            })
        };
        let ns = |ticks| u64::try_from(scaled(ticks, 1_000_000_000)).unwrap_or(0);
        Ok(Inspected {
            start_unix_us: wall(first),
            end_unix_us: wall(self.end_pts),
            duration_ns: ns(self.end_pts.saturating_sub(first)),
            frames: self.frames,
            codec: header.codec.to_owned(),
            width: header.width,
            height: header.height,
            has_audio: header.has_audio,
            keyframes: self
                .keyframes
                .iter()
                .map(|&(offset, byte)| Keyframe {
                    offset_ns: ns(offset),
                    byte,
                })
                .collect(),
            valid_bytes: self.valid,
            file_bytes: self.file_bytes,
            finalised: self.finalised,
        })
    }
}

/// Adds the samples of one track of a fragment; `None` when the numbers make no sense.
fn read_track(
    traf: &Traf,
    header: &Header,
    video: bool,
    frames: u64,
    pending: &mut Pending,
) -> Option<()> {
    let tfhd = &traf.tfhd;
    let mut dts = i64::try_from(traf.tfdt.as_ref()?.base_media_decode_time).ok()?;
    let duration = tfhd.default_sample_duration.unwrap_or(header.defaults.0);
    let flags = tfhd.default_sample_flags.unwrap_or(header.defaults.1);
    for run in &traf.trun {
        let pictures = pending.pictures.len();
        if pictures + run.samples.len() > MAX_SAMPLES || frames + pictures as u64 > MAX_PICTURES {
            return None;
        }
        for sample in run.samples.iter() {
            let size = sample.size.or(tfhd.default_sample_size)?;
            pending.bytes = pending.bytes.checked_add(u64::from(size))?;
            let end = dts.checked_add(i64::from(sample.duration.unwrap_or(duration)))?;
            if video {
                let offset = sample.cts.unwrap_or(0);
                pending.pictures.push(Sample {
                    pts: dts.checked_add(offset)?,
                    end: end.checked_add(offset)?,
                    sync: sample.flags.unwrap_or(flags) & NON_SYNC_BIT == 0,
                });
            }
            dts = end;
        }
    }
    Some(())
}
