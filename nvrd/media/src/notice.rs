//! What cameras tell the rest of the daemon.

use nvr_base::Slug;
use nvr_contract::event::Event;
use nvr_contract::face::FaceSeen;
use nvr_contract::gate::{Bypass, OpenReason};
use nvr_contract::segment::{FragmentWritten, Gap, SegmentClosed, SegmentOpened};
use nvr_contract::source::{LossReason, SourceChange, VideoCodec};

/// Something a camera did.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Which camera.
    pub camera: Slug,
    /// What.
    pub what: What,
}

/// What a camera did.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// An event changed.
    Event(Event),
    /// Somebody was met.
    Face(FaceSeen),
    /// A file was begun.
    SegmentOpened(SegmentOpened),
    /// More of it is on disk.
    FragmentWritten(FragmentWritten),
    /// A file is complete.
    SegmentClosed(SegmentClosed),
    /// Time is missing from the recording.
    Gap(Gap),
    /// Whether anything is asked to be recorded: always, but for a camera that records on events.
    Wanted(bool),
    /// The connection to the camera changed.
    Source(SourceChange),
    /// Its state changed.
    State(CameraStatus),
}

/// Where a camera is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CameraState {
    /// Not wanted, or at the end of its file.
    Stopped,
    /// The pipeline is being built and waits for the first picture.
    Starting,
    /// Pictures come and every wanted element works.
    Running,
    /// The pipeline stands, but not all is well: the detail says what.
    Degraded,
    /// The pipeline failed; it will be built anew.
    Backoff,
}

impl CameraState {
    /// The word for the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Backoff => "backoff",
        }
    }
}

/// The actual state of a camera.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraStatus {
    /// Where it is in its life.
    pub state: CameraState,
    /// Since when, microseconds since 1970-01-01 UTC.
    pub since_unix_us: i64,
    /// One sentence for people, when not all is well.
    pub detail: Option<String>,
    /// Why no pictures come, when that is so.
    pub loss: Option<LossReason>,
    /// The description that runs, which may be a fallback.
    pub pipeline: String,
    /// Whether a file is open.
    pub recording: bool,
    /// The codec, once known.
    pub codec: Option<VideoCodec>,
    /// Picture size in pixels, once known.
    pub size: Option<(i32, i32)>,
    /// Pictures per second as the stream declares it, once known.
    pub fps: Option<f64>,
    /// How often the pipeline was built anew after a failure.
    pub restarts: u32,
    /// How many pipelines hung while they started or stopped, and were left behind.
    pub abandoned: u32,
    /// What is decoded for the analysis, as of the last second that was recorded; `None` without a gate.
    pub decoding: Option<Decoding>,
}

/// How much of a camera's pictures is decoded, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoding {
    /// Whether every picture is decoded at the moment, not the key frames alone.
    pub all: bool,
    /// Why it is.
    pub reason: Option<OpenReason>,
    /// What the stream lacks, so that it must be.
    pub bypass: Option<Bypass>,
    /// Pictures decoded by pictures that came, since the pipeline was built.
    pub share: f64,
    /// How often it went over to every picture.
    pub opened: u64,
    /// The latest time between two key frames, nanoseconds.
    pub keyframe_interval_ns: Option<u64>,
}

/// What a person should know of a stream that cannot be decoded by its key frames alone.
pub fn advice_on(bypass: Bypass) -> &'static str {
    match bypass {
        Bypass::NoKeyframes => {
            "every picture is decoded, which costs up to ten times as much, because key frames are too rare: set the camera's key frame interval (I-frame interval, GOP) to 2 s"
        }
        Bypass::IntraRefresh => {
            "every picture is decoded, which costs up to ten times as much, because the camera sends no key frames: switch its intra refresh off"
        }
        Bypass::OpenGop => {
            "every picture is decoded, which costs up to ten times as much, because the camera's groups of pictures are open: let it send IDR frames"
        }
        Bypass::NoTimestamps => {
            "every picture is decoded, which costs up to ten times as much, because the camera's pictures have no time stamps"
        }
    }
}
