//! The words between a detector and `decodegate`, and what the gate says of itself.
//!
//! Upstream goes "the scene moves" and "the scene is quiet", downstream "key frames only" and "everything".

use crate::fields::{self, FieldError, Message, words};

words! {
    /// What the gate lets through.
    pub enum GateMode {
        /// Every picture.
        All = "all",
        /// Key frames only.
        Keyframes = "keyframes",
        /// Key frames while the scene is quiet, everything while it moves.
        Adaptive = "adaptive",
    }
}

const NAME: &str = "nvrd-scene";
const MOVING: &str = "moving";
const PTS_NS: &str = "pts-ns";

/// The upstream event by which a detector opens and closes the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SceneChange {
    /// Whether the scene moves.
    pub moving: bool,
    /// PTS of the picture that says so, nanoseconds.
    pub pts_ns: u64,
}

impl SceneChange {
    /// The upstream event.
    pub fn to_event(self) -> gst::Event {
        gst::event::CustomUpstream::builder(
            gst::Structure::builder(NAME)
                .field(MOVING, self.moving)
                .field(PTS_NS, self.pts_ns)
                .build(),
        )
        .build()
    }

    /// The change in an event, `None` when it is some other event.
    pub fn from_event(event: &gst::EventRef) -> Option<Self> {
        if event.type_() != gst::EventType::CustomUpstream {
            return None;
        }
        let structure = event.structure().filter(|s| s.name() == NAME)?;
        Some(Self {
            moving: structure.get(MOVING).ok()?,
            pts_ns: structure.get(PTS_NS).ok()?,
        })
    }
}

const STATE_NAME: &str = "nvrd-gate-state";
const KEYS_ONLY: &str = "keys-only";
const REPLAYS: &str = "replays";

/// The sticky downstream event by which `decodegate` says which pictures come from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateState {
    /// Whether key frames come alone.
    pub keys_only: bool,
    /// Whether the gate waits for a word on every key frame that comes alone, and sends what it kept back, in order and
    /// that key frame included, when the word is that something moves.
    pub replays: bool,
}

impl GateState {
    /// The serialised, sticky downstream event.
    pub fn to_event(self) -> gst::Event {
        gst::event::CustomDownstreamSticky::builder(
            gst::Structure::builder(STATE_NAME)
                .field(KEYS_ONLY, self.keys_only)
                .field(REPLAYS, self.replays)
                .build(),
        )
        .build()
    }

    /// The state in an event, `None` when it is some other event.
    pub fn from_event(event: &gst::EventRef) -> Option<Self> {
        if event.type_() != gst::EventType::CustomDownstreamSticky {
            return None;
        }
        let structure = event.structure().filter(|s| s.name() == STATE_NAME)?;
        Some(Self {
            keys_only: structure.get(KEYS_ONLY).ok()?,
            replays: structure.get(REPLAYS).ok()?,
        })
    }
}

words! {
    /// Why everything is decoded.
    pub enum OpenReason {
        /// `mode=all`.
        Mode = "mode",
        /// The detector learns the scene.
        Learning = "learning",
        /// Something moves, or moved not long ago.
        Motion = "motion",
        /// Somebody asked for it.
        Request = "request",
        /// It is the time for it.
        Schedule = "schedule",
        /// The detector says nothing any more.
        Unanswered = "unanswered",
        /// The stream does not allow anything else.
        Bypass = "bypass",
    }
}

words! {
    /// Why a stream cannot be decoded by its key frames alone.
    pub enum Bypass {
        /// None comes for a long time.
        NoKeyframes = "no-keyframes",
        /// Pictures become right piece by piece instead.
        IntraRefresh = "intra-refresh",
        /// What could be decoded alone is followed by pictures that need what was before it (H.264).
        OpenGop = "open-gop",
        /// Pictures have no time.
        NoTimestamps = "no-timestamps",
    }
}

/// Posted by `decodegate` when it begins to let everything through, or to hold back what is no key frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateChange {
    /// Why everything is let through; `None` when it is not any more.
    pub open: Option<OpenReason>,
    /// What the stream lacks, when that is the reason.
    pub bypass: Option<Bypass>,
    /// Who asked, when somebody did.
    pub request: Option<String>,
    /// PTS of the picture at which it happened, nanoseconds.
    pub pts_ns: u64,
    /// Pictures sent again for it.
    pub replayed: u64,
}

const OPEN: &str = "open";
const REASON: &str = "reason";
const BYPASS: &str = "bypass";
const REQUEST: &str = "request";
const PTS: &str = "pts";
const REPLAYED: &str = "replayed";

impl Message for GateChange {
    const NAME: &'static str = "nvrd-gate";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(OPEN, self.open.is_some())
            .field_if_some(REASON, self.open.map(OpenReason::as_str))
            .field_if_some(BYPASS, self.bypass.map(Bypass::as_str))
            .field_if_some(REQUEST, self.request.as_deref())
            .field(PTS, self.pts_ns)
            .field(REPLAYED, self.replayed)
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        let open: bool = fields::required(s, Self::NAME, OPEN)?;
        let bypass = s.has_field(BYPASS);
        Ok(Self {
            open: open
                .then(|| fields::word(s, Self::NAME, REASON, OpenReason::from_word))
                .transpose()?,
            bypass: bypass
                .then(|| fields::word(s, Self::NAME, BYPASS, Bypass::from_word))
                .transpose()?,
            request: s.get(REQUEST).ok(),
            pts_ns: fields::required(s, Self::NAME, PTS)?,
            replayed: fields::required(s, Self::NAME, REPLAYED)?,
        })
    }
}
