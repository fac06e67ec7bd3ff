//! The words between a detector and `decodegate`: upstream, "the scene moves" and "the scene is quiet".

use crate::fields::words;

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
