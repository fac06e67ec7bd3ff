//! One recorded file, whole, torn or still being written, as a source of pictures.

use std::path::Path;

use nvr_base::{Error, Result};
use nvr_mp4::inspect::InspectError;
use nvr_mp4::read::{Reader, Sample};
use nvr_mp4::track::VideoCodec;

use super::decode::{DEADLINE, Given, Shape, Size, bytes_of, decode};
use super::sheet::rgb_of;

/// Added to every PTS: sound may let a file begin below zero, and GStreamer's time does not go there.
const ORIGIN: gst::ClockTime = gst::ClockTime::from_seconds(3600);

/// A picture of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// When it is shown, nanoseconds from the first picture of the file.
    pub offset_ns: i64,
    /// The picture.
    pub jpeg: Vec<u8>,
    /// Whether the decoder had to make up parts of it, or of one that it rests on.
    pub damaged: bool,
}

/// A decoded picture, for a film.
#[derive(Debug)]
pub struct Picture(pub(super) gst::Sample);

/// A recorded file.
#[derive(Debug)]
pub struct Recording {
    reader: Reader,
    caps: gst::Caps,
}

/// Which samples give the picture that is shown at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    /// Place of the key frame that decoding begins with.
    key: usize,
    /// Place of the picture; everything between the two is needed too.
    picture: usize,
}

impl Recording {
    /// Reads the headers of a file up to its last whole fragment.
    ///
    /// # Errors
    /// `NotFound` when the file has gone, `DataLoss` when it holds no whole fragment.
    pub fn open(path: &Path) -> Result<Self> {
        let reader = Reader::open(path).map_err(|error| match error {
            InspectError::Io(error) => Error::io(path, error),
            other => Error::data_loss(format!("{}: {other}", path.display())),
        })?;
        let video = reader.video();
        let (media, format) = match video.codec {
            VideoCodec::H264 => ("video/x-h264", "avc"),
            VideoCodec::H265 => ("video/x-h265", "hvc1"),
        };
        let pixels = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder(media)
            .field("stream-format", format)
            .field("alignment", "au")
            .field("width", pixels(video.width))
            .field("height", pixels(video.height))
            .field(
                "codec_data",
                gst::Buffer::from_slice(video.codec_data.clone()),
            )
            .build();
        Ok(Self { reader, caps })
    }

    /// Wall time of the first picture, microseconds since 1970-01-01 UTC, where the file says it.
    pub fn start_unix_us(&self) -> Option<i64> {
        self.reader.start_unix_us()
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.reader.video().width, self.reader.video().height)
    }

    /// The end of the last picture, nanoseconds from the first one.
    pub fn end_ns(&self) -> i64 {
        self.reader
            .samples()
            .iter()
            .map(Sample::end_ns)
            .max()
            .unwrap_or(0)
    }

    /// When its key frames are shown, nanoseconds from the first picture, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = i64> {
        let samples = self.reader.samples().iter();
        samples
            .filter(|sample| sample.key)
            .map(|sample| sample.pts_ns)
    }

    /// The picture that is shown at a time, nanoseconds from the first picture of the file, or the key frame before
    /// it, which costs one decoded picture instead of a group. It is never enlarged.
    ///
    /// # Errors
    /// `DataLoss` when the file cannot be read there or its pictures cannot be decoded, `Unavailable` when that takes
    /// too long, `FailedPrecondition` without a decoder.
    pub fn still(&mut self, at_ns: i64, exact: bool, height: Option<u32>) -> Result<Still> {
        let group = group(self.reader.samples(), at_ns);
        let mut group = group.ok_or_else(|| Error::data_loss("the recording has no picture"))?;
        if !exact {
            group.picture = group.key;
        }
        let target = self.reader.samples()[group.picture];
        let size = match height {
            Some(height) if height < self.reader.video().height => Size::Height(height),
            _ => Size::Own,
        };
        let places: Vec<usize> = (group.key..=group.picture).collect();
        let mut jpeg = None;
        let shape = Shape::Jpeg(size);
        let given = self.decode(&places, &[target.pts_ns], shape, |sample| {
            jpeg = Some(bytes_of(&sample)?);
            Ok(())
        })?;
        let jpeg = jpeg.ok_or_else(|| {
            Error::data_loss(
                "the recording is damaged at this moment: its picture could not be decoded",
            )
        })?;
        Ok(Still {
            offset_ns: target.pts_ns,
            jpeg,
            damaged: !self.is_sound(group, &given),
        })
    }

    /// Whether every picture from the key frame on was given whole: each rests on those before it.
    fn is_sound(&self, group: Group, given: &[Given]) -> bool {
        let samples = &self.reader.samples()[group.key..=group.picture];
        let (Some(key), Some(target)) = (samples.first(), samples.last()) else {
            return false;
        };
        // What is shown before the key frame rests on the group before it, and nothing on that.
        samples
            .iter()
            .filter(|sample| (key.pts_ns..=target.pts_ns).contains(&sample.pts_ns))
            .all(|sample| {
                let pts = moment(sample.pts_ns);
                given.iter().any(|given| given.pts == pts && !given.damaged)
            })
    }

    /// The key frames at these times, exactly, in exactly this size as RGB; `each` gets the time and the pixels, row by
    /// row without padding. One that is not there or cannot be decoded is left out.
    ///
    /// # Errors
    /// As [`still`](Self::still), as long as it says nothing of one picture alone.
    pub fn small_keys(
        &mut self,
        at_ns: &[i64],
        (width, height): (u32, u32),
        mut each: impl FnMut(i64, Vec<u8>),
    ) -> Result<()> {
        self.key_frames(at_ns, Shape::Rgb(width, height), |offset_ns, sample| {
            each(offset_ns, rgb_of(&sample)?);
            Ok(())
        })
    }

    /// The key frames at these times, exactly, as the decoder gives them; see [`small_keys`](Self::small_keys).
    ///
    /// # Errors
    /// As [`still`](Self::still), and those of `each`.
    pub fn whole_keys(
        &mut self,
        at_ns: &[i64],
        mut each: impl FnMut(i64, Picture) -> Result<()>,
    ) -> Result<()> {
        self.key_frames(at_ns, Shape::Raw, |offset_ns, sample| {
            each(offset_ns, Picture(sample))
        })
    }

    fn key_frames(
        &mut self,
        at_ns: &[i64],
        shape: Shape,
        mut each: impl FnMut(i64, gst::Sample) -> Result<()>,
    ) -> Result<()> {
        let wanted = |(_, sample): &(usize, &Sample)| sample.key && at_ns.contains(&sample.pts_ns);
        let samples = self.reader.samples().iter().enumerate();
        let places: Vec<usize> = samples.filter(wanted).map(|(place, _)| place).collect();
        let times: Vec<i64> = places
            .iter()
            .map(|&place| self.reader.samples()[place].pts_ns)
            .collect();
        self.decode(&places, &times, shape, |sample| {
            let pts = sample.buffer().and_then(gst::BufferRef::pts);
            let offset_ns = pts.map_or(0, offset_of);
            each(offset_ns, sample)
        })
        .map(drop)
    }

    fn decode(
        &mut self,
        places: &[usize],
        wanted: &[i64],
        shape: Shape,
        each: impl FnMut(gst::Sample) -> Result<()>,
    ) -> Result<Vec<Given>> {
        let wanted: Vec<gst::ClockTime> = wanted.iter().map(|&ns| moment(ns)).collect();
        let (caps, reader) = (&self.caps, &mut self.reader);
        let buffers = places.iter().map(|&place| {
            let sample = reader.samples()[place];
            let data = reader.data(&sample).map_err(|error| {
                Error::data_loss("the recording cannot be read at this moment").with_source(error)
            })?;
            let mut buffer = gst::Buffer::from_mut_slice(data);
            let changed = buffer.get_mut().expect("nobody else has it yet");
            changed.set_pts(moment(sample.pts_ns));
            changed.set_dts(moment(sample.dts_ns));
            if !sample.key {
                changed.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
            Ok(buffer)
        });
        decode(caps, buffers, &wanted, shape, DEADLINE, each)
    }
}

/// A time of the file as GStreamer's.
fn moment(ns: i64) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(ORIGIN.nseconds().saturating_add_signed(ns))
}

/// The other way round.
fn offset_of(pts: gst::ClockTime) -> i64 {
    pts.nseconds()
        .cast_signed()
        .saturating_sub(ORIGIN.nseconds().cast_signed())
}

/// What to decode for the picture that is shown at a time; `None` without a key frame.
fn group(samples: &[Sample], at_ns: i64) -> Option<Group> {
    let shown = samples
        .iter()
        .enumerate()
        .filter(|(_, sample)| sample.pts_ns <= at_ns);
    let picture = shown
        .max_by_key(|(_, sample)| sample.pts_ns)
        .map_or(0, |(place, _)| place);
    let pts_ns = samples.get(picture)?.pts_ns;
    // A picture that is decoded behind a key frame and shown before it refers to the group before.
    let keys = || samples.iter().enumerate().filter(|(_, sample)| sample.key);
    let key = keys()
        .take_while(|&(place, _)| place <= picture)
        .filter(|(_, sample)| sample.pts_ns <= pts_ns)
        .last()
        .or_else(|| keys().next());
    let (key, _) = key?;
    Some(Group {
        key,
        picture: picture.max(key),
    })
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
