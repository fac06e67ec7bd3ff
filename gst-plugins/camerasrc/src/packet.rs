//! What a backend hands to the streaming thread.

use std::time::Instant;

use nvr_contract::source::LossReason;

/// The stream a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// One encoded picture or piece of sound, with the source's own time stamps in nanoseconds.
#[derive(Debug)]
pub struct Packet {
    /// The stream it belongs to.
    pub stream: Stream,
    /// The encoded data; its time stamps mean nothing.
    pub data: gst::Buffer,
    /// The format from this packet on, when it is another one than before.
    pub caps: Option<gst::Caps>,
    /// When it is shown.
    pub pts: Option<i64>,
    /// When it is decoded, where the source knows.
    pub dts: Option<i64>,
    /// How long it lasts, where the source knows.
    pub duration: Option<i64>,
    /// Whether decoding can begin here.
    pub key: bool,
    /// It is a picture that refers to a later one, so it comes out of order.
    pub reordered: bool,
    /// Parts of it were lost on the way.
    pub corrupted: bool,
    /// When it came from the network, `None` when it lay ready.
    pub arrival: Option<Instant>,
}

/// Why pictures stopped coming for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The reason in one word.
    pub reason: LossReason,
    /// One sentence without credentials.
    pub detail: String,
    /// Failed attempts in a row.
    pub attempts: u32,
}

/// Why there will be no more pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The file does not exist.
    NotFound(String),
    /// The file cannot be opened or read.
    Unreadable(String),
    /// The file is no video that is known.
    UnknownType(String),
    /// The file is damaged.
    Damaged(String),
    /// The file's codec is not in the table.
    UnsupportedCodec(String),
    /// An element that is needed is not installed.
    MissingPlugin(String),
    /// Something that should not happen.
    Internal(String),
}

impl Failure {
    /// The reason in one word.
    pub fn reason(&self) -> LossReason {
        match self {
            Self::NotFound(_) => LossReason::NotFound,
            Self::UnknownType(_) | Self::UnsupportedCodec(_) | Self::MissingPlugin(_) => {
                LossReason::UnsupportedCodec
            }
            Self::Unreadable(_) | Self::Damaged(_) | Self::Internal(_) => LossReason::Damaged,
        }
    }

    /// The sentence.
    pub fn text(&self) -> &str {
        match self {
            Self::NotFound(text)
            | Self::Unreadable(text)
            | Self::UnknownType(text)
            | Self::Damaged(text)
            | Self::UnsupportedCodec(text)
            | Self::MissingPlugin(text)
            | Self::Internal(text) => text,
        }
    }
}

/// What waits between a backend and the streaming thread.
#[derive(Debug)]
pub enum Item {
    /// A packet.
    Packet(Packet),
    /// A word to whoever set the camera up; nothing is lost by it.
    Note(String),
    /// Packets were left out for want of space; the next one of video is a key frame.
    Gap,
    /// The file begins again from its first picture.
    Looped,
    /// Pictures stopped; the backend tries again by itself.
    Lost(Loss),
    /// The backend gave up.
    Failed(Failure),
    /// The source is at its end.
    End,
}
