//! What a camera source says of itself on the bus: connected, lost (and why), restored.

use crate::fields::{self, FieldError, Message, words};

words! {
    /// Whether pictures come.
    pub enum SourceState {
        /// The first connection delivers pictures.
        Connected = "connected",
        /// Pictures stopped; the source tries again by itself.
        Lost = "lost",
        /// Pictures come again.
        Restored = "restored",
    }
}

words! {
    /// Which of a camera's streams.
    pub enum StreamRole {
        /// The one that is recorded.
        Main = "main",
        /// The second one, which is analysed instead.
        Sub = "sub",
    }
}

words! {
    /// Why pictures do not come.
    pub enum LossReason {
        /// The host is unreachable or refuses the connection.
        Unreachable = "unreachable",
        /// The camera wants other credentials.
        Unauthorized = "unauthorized",
        /// The camera has no such stream.
        NotFound = "not_found",
        /// The stream offers no codec that is in the table.
        UnsupportedCodec = "unsupported_codec",
        /// Connected, but no picture came within the watchdog's time.
        Silent = "silent",
        /// The camera ended the stream or the connection broke.
        Ended = "ended",
        /// The camera broke the protocol.
        Protocol = "protocol",
        /// The file or device is damaged.
        Damaged = "damaged",
    }
}

words! {
    /// Video codecs that cameras send and we record.
    pub enum VideoCodec {
        /// H.264, also called AVC.
        H264 = "h264",
        /// H.265, also called HEVC.
        H265 = "h265",
    }
}

impl VideoCodec {
    /// The codec of encoded video caps.
    pub fn from_caps(caps: &gst::CapsRef) -> Option<Self> {
        match caps.structure(0)?.name().as_str() {
            "video/x-h264" => Some(Self::H264),
            "video/x-h265" => Some(Self::H265),
            _ => None,
        }
    }

    /// The caps name of the codec.
    pub fn caps_name(self) -> &'static str {
        match self {
            Self::H264 => "video/x-h264",
            Self::H265 => "video/x-h265",
        }
    }
}

/// Posted by `camerasrc` when its connection changes.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceChange {
    /// Which stream it happened to.
    pub stream: StreamRole,
    /// What happened.
    pub state: SourceState,
    /// Why, when lost.
    pub reason: Option<LossReason>,
    /// One sentence for people, without credentials.
    pub detail: Option<String>,
    /// Running time of the change, nanoseconds.
    pub running_time_ns: u64,
    /// Wall time of the change, microseconds since 1970-01-01 UTC.
    pub unix_us: i64,
    /// The codec, once known.
    pub codec: Option<VideoCodec>,
    /// Picture width in pixels, once known.
    pub width: Option<i32>,
    /// Picture height in pixels, once known.
    pub height: Option<i32>,
    /// Pictures per second as the stream declares it, once known.
    pub fps: Option<f64>,
    /// Consecutive failed attempts so far, when lost.
    pub attempts: u32,
}

const STREAM: &str = "stream";
const STATE: &str = "state";
const REASON: &str = "reason";
const DETAIL: &str = "detail";
const RUNNING_TIME: &str = "running-time";
const UNIX_US: &str = "unix-us";
const CODEC: &str = "codec";
const WIDTH: &str = "width";
const HEIGHT: &str = "height";
const FPS: &str = "fps";
const ATTEMPTS: &str = "attempts";

impl Message for SourceChange {
    const NAME: &'static str = "nvrd-source";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(STREAM, self.stream.as_str())
            .field(STATE, self.state.as_str())
            .field_if_some(REASON, self.reason.map(LossReason::as_str))
            .field_if_some(DETAIL, self.detail.as_deref())
            .field(RUNNING_TIME, self.running_time_ns)
            .field(UNIX_US, self.unix_us)
            .field_if_some(CODEC, self.codec.map(VideoCodec::as_str))
            .field_if_some(WIDTH, self.width)
            .field_if_some(HEIGHT, self.height)
            .field_if_some(FPS, self.fps)
            .field(ATTEMPTS, self.attempts)
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        Ok(Self {
            stream: fields::word(s, Self::NAME, STREAM, StreamRole::from_word)?,
            state: fields::word(s, Self::NAME, STATE, SourceState::from_word)?,
            reason: match s.has_field(REASON) {
                true => Some(fields::word(s, Self::NAME, REASON, LossReason::from_word)?),
                false => None,
            },
            detail: s.get(DETAIL).ok(),
            running_time_ns: fields::required(s, Self::NAME, RUNNING_TIME)?,
            unix_us: fields::required(s, Self::NAME, UNIX_US)?,
            codec: s.get::<&str>(CODEC).ok().and_then(VideoCodec::from_word),
            width: s.get(WIDTH).ok(),
            height: s.get(HEIGHT).ok(),
            fps: s.get(FPS).ok(),
            attempts: fields::required(s, Self::NAME, ATTEMPTS)?,
        })
    }
}
