//! Writing a range of time out of recorded files as one ordinary MP4 file, without transcoding.
//!
//! The header stands at the front, so that the file plays while it comes; what is copied never passes through memory
//! of ours. What is shown is exactly the range, from the picture that stood at its start: an edit list hides what
//! decoding needs before it, and the last picture before a hole stands still until the next one, or the end. Holes in the
//! sound are filled with silence. A range that begins with a hole begins with the first picture behind it.
//!
//! `qtdemux` of GStreamer 1.22 compares media time with the length of the movie, and stops at the first key frame behind
//! it: the tail would lack as much as is hidden at the front. So the key frames there are not listed as such.

mod boxes;
mod silence;
mod table;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mp4_atom::Codec;

use crate::inspect::InspectError;
use crate::read::{Reader, Sample};
use crate::track::VideoCodec;
use silence::Silence;
use table::{Entry, Table};

/// Samples of an export at most, at some 20 bytes of memory each: two days with sound.
const MAX_SAMPLES: usize = 16 << 20;
/// Sets of parameters at most; a camera that changes them has two or three.
const MAX_DESCRIPTIONS: usize = 200;
/// Bytes that are copied between two looks at whether to go on.
const SLICE: u64 = 4 << 20;
/// Bytes of silence that are written at once.
const BUFFER: usize = 64 << 10;
/// Hours from which on times are coarser: a hole in it could take more ticks than players count, 2^31.
const FINE_HOURS: i64 = 6;
const HOUR_US: i64 = 3_600_000_000;

/// Why an export cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FlatError {
    /// A file of the range cannot be read.
    #[error("{}: {source}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InspectError,
    },
    /// A file of the range has gone, or become shorter, since it was planned with.
    #[error("{}: could not copy from the recording: {source}", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The export cannot be written.
    #[error("could not write the export: {0}")]
    Write(io::Error),
    /// One track cannot hold two codecs.
    #[error("{}: the codec changes here from {} to {}: export the two parts apart", path.display(), was.name(), is.name())]
    OtherCodec {
        /// The file with the other codec.
        path: PathBuf,
        /// The codec of the files before.
        was: VideoCodec,
        /// The codec of this one.
        is: VideoCodec,
    },
    /// There is too much for one file.
    #[error("the range holds too much for one file: export it in parts")]
    TooMuch,
    /// No file has a picture in the range.
    #[error("nothing is recorded in the range")]
    Nothing,
    /// A value does not fit its box.
    #[error("could not describe the export: {0}")]
    Describe(#[from] mp4_atom::Error),
}

/// An export while its files are gathered.
#[derive(Debug)]
pub struct Flat {
    /// Nanoseconds since 1970; moves to the start of the picture that is shown there.
    start_ns: i128,
    end_us: i64,
    codec: Option<VideoCodec>,
    /// The largest picture, pixels.
    size: (u32, u32),
    video: Table,
    audio: Option<Table>,
    sources: Vec<PathBuf>,
    pieces: Vec<Piece>,
    bytes: u64,
}

/// What comes next in the file.
#[derive(Debug, Clone, Copy)]
enum Piece {
    /// A stretch of a source, as it is.
    Copy {
        source: usize,
        offset: u64,
        bytes: u64,
    },
    /// The same packet, a number of times.
    Silence { packet: &'static [u8], count: u32 },
}

/// What a file's packets of sound have in common.
#[derive(Debug, Clone, Copy, Default)]
struct Sound {
    description: u32,
    /// A packet to fill holes with.
    silence: Option<Silence>,
}

/// An export that is ready to be written.
#[derive(Debug)]
pub struct Plan {
    head: Vec<u8>,
    sources: Vec<PathBuf>,
    pieces: Vec<Piece>,
    bytes: u64,
    start_unix_us: i64,
    pictures: usize,
}

impl Flat {
    /// An export of a range of wall time, microseconds since 1970-01-01 UTC; the end is not part of it.
    pub fn new(start_unix_us: i64, end_unix_us: i64) -> Self {
        let fine = end_unix_us.saturating_sub(start_unix_us) <= FINE_HOURS * HOUR_US;
        Self {
            start_ns: i128::from(start_unix_us) * 1000,
            end_us: end_unix_us,
            codec: None,
            size: (0, 0),
            video: Table::new(if fine { 90_000 } else { 9_000 }),
            audio: None,
            sources: Vec::new(),
            pieces: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds the next file in the order of time.
    ///
    /// `start_unix_us` is the wall time of its first picture, as history has it. Its pictures are taken up to
    /// `until_unix_us`, which is where the next file begins. `false` when it has none in the range.
    ///
    /// # Errors
    /// When the file cannot be read, has another codec than those before, or there is too much for one export.
    pub fn add(
        &mut self,
        path: &Path,
        start_unix_us: i64,
        until_unix_us: i64,
    ) -> Result<bool, FlatError> {
        let reader = Reader::open(path).map_err(|source| FlatError::Source {
            path: path.to_owned(),
            source,
        })?;
        self.take(path, &reader, start_unix_us, until_unix_us)
    }

    fn take(
        &mut self,
        path: &Path,
        reader: &Reader,
        start_us: i64,
        until_us: i64,
    ) -> Result<bool, FlatError> {
        // From the file's first picture to the range's ends, nanoseconds.
        let since = |ns: i128| {
            let ns = ns - i128::from(start_us) * 1000;
            i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
        };
        let mut from = since(self.start_ns);
        let until = since(i128::from(until_us.min(self.end_us)) * 1000);
        let video = pictures(reader, from, until);
        if video.is_empty() {
            return Ok(false);
        }
        if self.video.len() == 0 {
            from = shown_at(video, from);
            self.start_ns = i128::from(start_us) * 1000 + i128::from(from);
        }
        self.note_codec(path, reader)?;
        let audio = packets(reader, from, until);
        if self.video.len() + self.audio.as_ref().map_or(0, Table::len) + video.len() + audio.len()
            > MAX_SAMPLES
        {
            return Err(FlatError::TooMuch);
        }
        let shift = i128::from(start_us) * 1000 - self.start_ns;
        let description = self.video.description(&reader.video().entry);
        let sound = self.sound_description(reader);
        if self.video.descriptions() > MAX_DESCRIPTIONS
            || self.audio.as_ref().map_or(0, Table::descriptions) > MAX_DESCRIPTIONS
        {
            return Err(FlatError::TooMuch);
        }
        self.sources.push(path.to_owned());
        let (audio, sound) = match sound {
            Some(sound) => (audio, sound),
            None => (&[][..], Sound::default()),
        };
        // In the order of the file, so that the copy runs through it once.
        let (mut next_video, mut next_audio) = (video.iter().peekable(), audio.iter().peekable());
        loop {
            let sound_first = match (next_video.peek(), next_audio.peek()) {
                (None, None) => return Ok(true),
                (Some(picture), Some(packet)) => packet.offset < picture.offset,
                (picture, _) => picture.is_none(),
            };
            if !sound_first && let Some(picture) = next_video.next() {
                self.push_picture(picture, shift, description);
            } else if let Some(packet) = next_audio.next() {
                self.push_packet(packet, shift, sound)?;
            }
        }
    }

    fn note_codec(&mut self, path: &Path, reader: &Reader) -> Result<(), FlatError> {
        let video = reader.video();
        let was = *self.codec.get_or_insert(video.codec);
        if was != video.codec {
            return Err(FlatError::OtherCodec {
                path: path.to_owned(),
                was,
                is: video.codec,
            });
        }
        let (width, height) = self.size;
        self.size = (width.max(video.width), height.max(video.height));
        Ok(())
    }

    /// The description of a file's sound, `None` where it has none that could be written again.
    fn sound_description(&mut self, reader: &Reader) -> Option<Sound> {
        let info = reader.audio()?;
        if matches!(info.entry, Codec::Unknown(..)) || reader.audio_samples().is_empty() {
            return None;
        }
        let fine = self.video.timescale() == 90_000;
        let coarse = [16, 4].into_iter().find(|by| info.rate.is_multiple_of(*by));
        let scale = info.rate / if fine { 1 } else { coarse.unwrap_or(1) };
        let table = self.audio.get_or_insert_with(|| Table::new(scale.max(1)));
        Some(Sound {
            description: table.description(&info.entry),
            silence: silence::of(&info.entry),
        })
    }

    fn push_picture(&mut self, sample: &Sample, shift: i128, description: u32) {
        let at = self.copy(sample);
        let table = &mut self.video;
        let entry = Entry {
            dts: table.ticks(shift + i128::from(sample.dts_ns)),
            pts: table.ticks(shift + i128::from(sample.pts_ns)),
            duration: table.ticks(sample.duration_ns.into()),
            size: sample.size,
            key: sample.key,
            description,
            at,
        };
        table.push(entry);
    }

    fn push_packet(&mut self, sample: &Sample, shift: i128, sound: Sound) -> Result<(), FlatError> {
        let Some(table) = &self.audio else {
            return Ok(());
        };
        let mut dts = table.ticks(shift + i128::from(sample.dts_ns));
        let duration = table.ticks(sample.duration_ns.into()).max(1);
        // Sound follows on what there was, or on the first picture.
        let expected = if table.len() > 0 { table.end() } else { 0 };
        if table.len() > 0 && expected.abs_diff(dts) <= duration.unsigned_abs() / 2 {
            // Jitter of the time stamps shall make neither holes nor overlaps of a few samples.
            dts = expected;
        } else if table.len() > 0 && dts < expected {
            return Ok(());
        }
        if let Some(silence) = sound.silence {
            let length = silence
                .length_ns
                .map_or(duration, |ns| table.ticks(ns.into()).max(1));
            if let Ok(count @ 1..) = u32::try_from((dts - expected) / length) {
                self.push_silence(silence.packet, count, length, sound.description)?;
            }
        }
        let at = self.copy(sample);
        if let Some(table) = &mut self.audio {
            table.push(Entry {
                dts,
                pts: dts,
                duration,
                size: sample.size,
                key: true,
                description: sound.description,
                at,
            });
        }
        Ok(())
    }

    fn push_silence(
        &mut self,
        packet: &'static [u8],
        count: u32,
        duration: i64,
        description: u32,
    ) -> Result<(), FlatError> {
        let Some(table) = &mut self.audio else {
            return Ok(());
        };
        if table
            .len()
            .saturating_add(usize::try_from(count).unwrap_or(usize::MAX))
            > MAX_SAMPLES
        {
            return Err(FlatError::TooMuch);
        }
        let size = u32::try_from(packet.len()).unwrap_or(0);
        for _ in 0..count {
            let dts = if table.len() > 0 { table.end() } else { 0 };
            table.push(Entry {
                dts,
                pts: dts,
                duration,
                size,
                key: true,
                description,
                at: self.bytes,
            });
            self.bytes += u64::from(size);
        }
        self.pieces.push(Piece::Silence { packet, count });
        Ok(())
    }

    /// Plans a sample's bytes, and says where they come to lie.
    fn copy(&mut self, sample: &Sample) -> u64 {
        let here = self.sources.len() - 1;
        let size = u64::from(sample.size);
        match self.pieces.last_mut() {
            Some(Piece::Copy {
                source,
                offset,
                bytes,
            }) if *source == here && *offset + *bytes == sample.offset => {
                *bytes += size;
            }
            _ => self.pieces.push(Piece::Copy {
                source: here,
                offset: sample.offset,
                bytes: size,
            }),
        }
        let at = self.bytes;
        self.bytes += size;
        at
    }

    /// Closes the tables.
    ///
    /// # Errors
    /// When no file had a picture in the range, or a value does not fit its box.
    pub fn finish(mut self) -> Result<Plan, FlatError> {
        if self.video.len() == 0 {
            return Err(FlatError::Nothing);
        }
        let end = self
            .video
            .ticks(i128::from(self.end_us) * 1000 - self.start_ns);
        let start_unix_us = i64::try_from(self.start_ns.div_euclid(1000)).unwrap_or(0);
        self.video.stretch_to(end);
        self.video.forget_keys_behind(end);
        self.video.close();
        if let Some(audio) = &mut self.audio {
            audio.close();
        }
        let audio = self.audio.as_ref().filter(|audio| audio.len() > 0);
        let head = boxes::head(&boxes::Movie {
            start_unix_us,
            end,
            size: self.size,
            video: &self.video,
            audio,
            data_bytes: self.bytes,
        })?;
        Ok(Plan {
            bytes: head.len() as u64 + self.bytes,
            head,
            start_unix_us,
            pictures: self.video.len(),
            sources: self.sources,
            pieces: self.pieces,
        })
    }
}

impl Plan {
    /// Length of the file, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Wall time at which the export begins, microseconds since 1970-01-01 UTC: where the picture began that was shown
    /// at the start of the range.
    pub fn start_unix_us(&self) -> i64 {
        self.start_unix_us
    }

    /// Pictures in the file, those included that are only decoded.
    pub fn pictures(&self) -> usize {
        self.pictures
    }

    /// Writes the file.
    ///
    /// `step` is told how many bytes are written after every few megabytes, and may stop the work; then the answer is
    /// `Break` and the file is worth nothing.
    ///
    /// # Errors
    /// When a source cannot be read any more or the file cannot be written.
    pub fn write(
        &self,
        mut out: &File,
        step: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FlatError> {
        out.write_all(&self.head).map_err(FlatError::Write)?;
        let mut done = self.head.len() as u64;
        let mut open: Option<(usize, File)> = None;
        let mut buffer = Vec::new();
        for piece in &self.pieces {
            let flow = match *piece {
                Piece::Copy {
                    source,
                    offset,
                    bytes,
                } => {
                    let path = &self.sources[source];
                    let lost = |source: io::Error| FlatError::Copy {
                        path: path.clone(),
                        source,
                    };
                    let file = match open.take() {
                        Some((known, file)) if known == source => file,
                        _ => File::open(path).map_err(lost)?,
                    };
                    let (_, file) = open.insert((source, file));
                    file.seek(SeekFrom::Start(offset)).map_err(lost)?;
                    copy_slices(file, bytes, out, &lost, &mut |slice| {
                        done += slice;
                        step(done)
                    })?
                }
                Piece::Silence { packet, count } => {
                    for _ in 0..count {
                        buffer.extend_from_slice(packet);
                        if buffer.len() >= BUFFER {
                            out.write_all(&buffer).map_err(FlatError::Write)?;
                            buffer.clear();
                        }
                    }
                    out.write_all(&buffer).map_err(FlatError::Write)?;
                    buffer.clear();
                    done += u64::from(count) * packet.len() as u64;
                    step(done)
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Copies the next bytes of a file; from file to file this is the system's own copy, without a buffer of ours.
fn copy_slices(
    file: &File,
    bytes: u64,
    mut out: &File,
    lost: &dyn Fn(io::Error) -> FlatError,
    step: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, FlatError> {
    let mut left = bytes;
    while left > 0 {
        let slice = left.min(SLICE);
        let copied = io::copy(&mut file.take(slice), &mut out).map_err(FlatError::Write)?;
        if copied < slice {
            return Err(lost(io::ErrorKind::UnexpectedEof.into()));
        }
        left -= slice;
        if step(slice).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The pictures that showing `from..until` needs, in decode order; nanoseconds from the first picture of the file.
fn pictures(reader: &Reader, from: i64, until: i64) -> &[Sample] {
    let samples = reader.samples();
    let Some(first) = reader.key_before(from) else {
        return &[];
    };
    let shown = |sample: &Sample| sample.pts_ns < until;
    let end = samples.iter().rposition(shown).map_or(0, |last| last + 1);
    // Where even the last picture is over before the range begins, there is nothing of it to show.
    let over = |sample: &&Sample| sample.end_ns() > from;
    let some = samples.iter().rfind(over).is_some();
    samples.get(first..end).filter(|_| some).unwrap_or(&[])
}

/// Where the picture began that stood at a moment, or the first one behind it.
fn shown_at(video: &[Sample], moment: i64) -> i64 {
    let times = || video.iter().map(|sample| sample.pts_ns);
    let before = times().filter(|&pts| pts <= moment).max();
    before.or_else(|| times().next()).unwrap_or(moment)
}

/// The packets of sound for a range, and the one before, which a decoder needs to start cleanly.
fn packets(reader: &Reader, from: i64, until: i64) -> &[Sample] {
    let samples = reader.audio_samples();
    let first = samples.partition_point(|sample| sample.end_ns() <= from);
    let end = samples.partition_point(|sample| sample.pts_ns < until);
    samples
        .get(first.saturating_sub(1)..end)
        .filter(|_| first < end)
        .unwrap_or(&[])
}

#[cfg(test)]
mod tests;
