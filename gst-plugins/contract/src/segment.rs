//! What the recorder says on the bus: segment opened, fragment written, segment closed, gap.

use crate::fields::{self, FieldError, Message, words};

words! {
    /// Why a stretch of time is not on disk.
    pub enum GapReason {
        /// The camera delivered nothing.
        SourceLost = "source_lost",
        /// Recording was switched off.
        Paused = "paused",
        /// Pictures came, but no key frame to start with.
        NoKeyframe = "no_keyframe",
        /// No space left on the storage.
        DiskFull = "disk_full",
        /// The storage failed or refused to write.
        DiskError = "disk_error",
        /// The storage is not there, or another one is in its place.
        DiskGone = "disk_gone",
        /// The storage was too slow.
        DiskSlow = "disk_slow",
        /// The machine was too slow.
        Overload = "overload",
        /// The daemon did not run.
        DaemonDown = "daemon_down",
        /// Recorded on events, and there was none.
        NoEvent = "no_event",
        /// It was recorded, and the retention policy or a person deleted it.
        Deleted = "deleted",
        /// It was recorded, and the file is missing or damaged.
        Damaged = "damaged",
        /// The wall clock was set forward; nothing is missing from the pictures.
        ClockStep = "clock_step",
        /// Nobody noted why.
        Unknown = "unknown",
    }
}

/// Posted when the first fragment of a new file is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentOpened {
    /// The file.
    pub location: String,
    /// PTS of the first picture, nanoseconds.
    pub start_ns: u64,
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC.
    pub start_unix_us: i64,
}

/// Posted each time a fragment is whole in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentWritten {
    /// The file.
    pub location: String,
    /// Length of the file after the fragment, bytes.
    pub bytes: u64,
    /// PTS of the end of the fragment, nanoseconds.
    pub end_ns: u64,
    /// Wall time of the end of the fragment, microseconds since 1970-01-01 UTC.
    pub end_unix_us: i64,
    /// Whether the fragment survives a power cut (file data synced).
    pub synced: bool,
}

/// A key frame of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyframe {
    /// Time from the start of the segment, nanoseconds.
    pub offset_ns: u64,
    /// Position of its fragment (`moof`) in the file, bytes.
    pub byte: u64,
}

/// Posted when a file is complete and, by policy, synced together with its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentClosed {
    /// The file.
    pub location: String,
    /// PTS of the first picture, nanoseconds.
    pub start_ns: u64,
    /// PTS of the end of the last picture, nanoseconds.
    pub end_ns: u64,
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC.
    pub start_unix_us: i64,
    /// Wall time of the end of the last picture, microseconds since 1970-01-01 UTC.
    pub end_unix_us: i64,
    /// Pictures in the file.
    pub frames: u64,
    /// Length of the file, bytes.
    pub bytes: u64,
    /// The codec, as in the caps name (`h264`, `h265`).
    pub codec: String,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Key frames, in order.
    pub keyframes: Vec<Keyframe>,
    /// BLAKE3 of the whole file, 64 hex digits; empty when the `hash` property is off.
    pub blake3: String,
    /// Whether the first picture does not follow on from the segment before.
    pub discont: bool,
    /// The codec of the sound in the file (`aac`, `opus`), absent without sound.
    pub audio: Option<String>,
}

/// Posted when a stretch that should be on disk is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Wall time of the first missing moment, microseconds since 1970-01-01 UTC.
    pub start_unix_us: i64,
    /// Wall time at which recording goes on, absent while it has not.
    pub end_unix_us: Option<i64>,
    /// Why.
    pub reason: GapReason,
    /// One sentence for people: what to change.
    pub detail: Option<String>,
}

const LOCATION: &str = "location";
const START: &str = "start";
const END: &str = "end";
const START_UNIX: &str = "start-unix-us";
const END_UNIX: &str = "end-unix-us";
const FRAMES: &str = "frames";
const BYTES: &str = "bytes";
const SYNCED: &str = "synced";
const CODEC: &str = "codec";
const WIDTH: &str = "width";
const HEIGHT: &str = "height";
const KEYFRAME_OFFSETS: &str = "keyframe-offsets";
const KEYFRAME_BYTES: &str = "keyframe-bytes";
const BLAKE3: &str = "blake3";
const DISCONT: &str = "discont";
const AUDIO: &str = "audio";
const REASON: &str = "reason";
const DETAIL: &str = "detail";

impl Message for SegmentOpened {
    const NAME: &'static str = "nvrd-segment-opened";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(LOCATION, &self.location)
            .field(START, self.start_ns)
            .field(START_UNIX, self.start_unix_us)
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        Ok(Self {
            location: fields::required(s, Self::NAME, LOCATION)?,
            start_ns: fields::required(s, Self::NAME, START)?,
            start_unix_us: fields::required(s, Self::NAME, START_UNIX)?,
        })
    }
}

impl Message for FragmentWritten {
    const NAME: &'static str = "nvrd-fragment-written";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(LOCATION, &self.location)
            .field(BYTES, self.bytes)
            .field(END, self.end_ns)
            .field(END_UNIX, self.end_unix_us)
            .field(SYNCED, self.synced)
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        Ok(Self {
            location: fields::required(s, Self::NAME, LOCATION)?,
            bytes: fields::required(s, Self::NAME, BYTES)?,
            end_ns: fields::required(s, Self::NAME, END)?,
            end_unix_us: fields::required(s, Self::NAME, END_UNIX)?,
            synced: fields::required(s, Self::NAME, SYNCED)?,
        })
    }
}

fn u64_array(values: impl Iterator<Item = u64>) -> gst::Array {
    gst::Array::new(values)
}

fn u64s(
    s: &gst::StructureRef,
    name: &'static str,
    field: &'static str,
) -> Result<Vec<u64>, FieldError> {
    let array: gst::Array = fields::required(s, name, field)?;
    array
        .iter()
        .map(|value| {
            value.get::<u64>().map_err(|_| FieldError::Field {
                structure: name,
                field,
            })
        })
        .collect()
}

impl Message for SegmentClosed {
    const NAME: &'static str = "nvrd-segment-closed";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(LOCATION, &self.location)
            .field(START, self.start_ns)
            .field(END, self.end_ns)
            .field(START_UNIX, self.start_unix_us)
            .field(END_UNIX, self.end_unix_us)
            .field(FRAMES, self.frames)
            .field(BYTES, self.bytes)
            .field(CODEC, &self.codec)
            .field(WIDTH, self.width)
            .field(HEIGHT, self.height)
            .field(
                KEYFRAME_OFFSETS,
                u64_array(self.keyframes.iter().map(|k| k.offset_ns)),
            )
            .field(
                KEYFRAME_BYTES,
                u64_array(self.keyframes.iter().map(|k| k.byte)),
            )
            .field(BLAKE3, &self.blake3)
            .field(DISCONT, self.discont)
            .field_if_some(AUDIO, self.audio.as_deref())
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        let offsets = u64s(s, Self::NAME, KEYFRAME_OFFSETS)?;
        let bytes = u64s(s, Self::NAME, KEYFRAME_BYTES)?;
        if offsets.len() != bytes.len() {
            return Err(FieldError::Field {
                structure: Self::NAME,
                field: KEYFRAME_BYTES,
            });
        }
        Ok(Self {
            location: fields::required(s, Self::NAME, LOCATION)?,
            start_ns: fields::required(s, Self::NAME, START)?,
            end_ns: fields::required(s, Self::NAME, END)?,
            start_unix_us: fields::required(s, Self::NAME, START_UNIX)?,
            end_unix_us: fields::required(s, Self::NAME, END_UNIX)?,
            frames: fields::required(s, Self::NAME, FRAMES)?,
            bytes: fields::required(s, Self::NAME, BYTES)?,
            codec: fields::required(s, Self::NAME, CODEC)?,
            width: fields::required(s, Self::NAME, WIDTH)?,
            height: fields::required(s, Self::NAME, HEIGHT)?,
            keyframes: offsets
                .into_iter()
                .zip(bytes)
                .map(|(offset_ns, byte)| Keyframe { offset_ns, byte })
                .collect(),
            blake3: fields::required(s, Self::NAME, BLAKE3)?,
            discont: fields::required(s, Self::NAME, DISCONT)?,
            audio: s.get(AUDIO).ok(),
        })
    }
}

impl Message for Gap {
    const NAME: &'static str = "nvrd-gap";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(START_UNIX, self.start_unix_us)
            .field_if_some(END_UNIX, self.end_unix_us)
            .field(REASON, self.reason.as_str())
            .field_if_some(DETAIL, self.detail.as_deref())
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        Ok(Self {
            start_unix_us: fields::required(s, Self::NAME, START_UNIX)?,
            end_unix_us: s.get(END_UNIX).ok(),
            reason: fields::word(s, Self::NAME, REASON, GapReason::from_word)?,
            detail: s.get(DETAIL).ok(),
        })
    }
}
