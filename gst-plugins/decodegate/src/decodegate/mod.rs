//! `decodegate` stands before a decoder and keeps it asleep while nothing happens.
//! With `mode=adaptive` only key frames pass while the scene is quiet. When the detector behind the decoder sees
//! something on one, the decoder is wound back to the key frame before, and every picture since then follows, so
//! that the first moving picture is looked at too; what was shown already is not shown again.
//!
//! **Needs upstream**: parsed H.264 or H.265, one picture a buffer, with time stamps. **Needs downstream**, for
//! `adaptive`: a detector that speaks with it, `motiondetect`; as long as none says that the scene is quiet,
//! everything is decoded. Streams that cannot be decoded by key frames alone (none for 5 s, intra refresh, open GOP
//! of H.264, no time stamps) are let through whole, and `bypass` says so. What follows a loss waits for a key frame.
//!
//! The flush that winds the decoder back ends behind the decoder: what lies behind sees pictures in order.
//!
//! **Sends**: `nvrd-gate-state` downstream. **Posts**: `nvrd-gate` when it opens and closes. The signals
//! `open` (who, nanoseconds or 0) and `close` (who) let everything through for somebody.
//!
//! ```sh
//! gst-launch-1.0 -m videotestsrc num-buffers=300 pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=15/1 \
//!     ! x264enc key-int-max=30 bframes=0 ! h264parse ! decodegate mode=adaptive ! avdec_h264 ! motiondetect ! fakesink
//! ```

use gst::glib;
use gst::prelude::*;
use nvr_contract::gate::GateMode;

mod flow;

mod imp;

mod shield;

glib::wrapper! {
    /// The element.
    pub struct DecodeGate(ObjectSubclass<imp::DecodeGate>) @extends gst::Element, gst::Object;
}

/// What is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstNvrdDecodeGateMode")]
pub enum Mode {
    /// Every picture.
    #[enum_value(name = "Every picture", nick = "all")]
    All,
    /// Key frames only.
    #[enum_value(name = "Key frames only", nick = "keyframes")]
    Keyframes,
    /// Key frames while the scene is quiet, everything while it moves.
    #[enum_value(
        name = "Key frames while the scene is quiet, everything while it moves",
        nick = "adaptive"
    )]
    Adaptive,
}

impl From<Mode> for GateMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::All => Self::All,
            Mode::Keyframes => Self::Keyframes,
            Mode::Adaptive => Self::Adaptive,
        }
    }
}

impl From<GateMode> for Mode {
    fn from(mode: GateMode) -> Self {
        match mode {
            GateMode::All => Self::All,
            GateMode::Keyframes => Self::Keyframes,
            GateMode::Adaptive => Self::Adaptive,
        }
    }
}

/// Registers the element with a plugin.
///
/// # Errors
/// When GStreamer refuses the type.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "decodegate",
        gst::Rank::NONE,
        DecodeGate::static_type(),
    )
}
