//! A camera as one element: it connects, connects again, and delivers parsed, encoded video with times that never go
//! backwards.
//! Everything that cameras do wrong ends here, so that downstream is always the same.
//!
//! Upstream it needs nothing: `uri` is `rtsp://host/path`, `file:///clip.mp4?loop=true&realtime=true`, `test://ball`
//! or `test://visits?width=640&height=360&fps=15&period=10&visit=4&seed=1&frames=0&realtime=true`.
//!
//! It adds the sticky event `nvr_contract::wallclock::WallClock` before the first picture and after each reconnect.
//! It posts `nvr_contract::source::SourceChange`: connected, lost with the reason, restored.
//! Files and scenes live in a private pipeline with one thread of its own; all RTSP cameras share one network thread.
//!
//! ```sh
//! gst-launch-1.0 camerasrc uri="test://visits?frames=60&realtime=false" name=cam cam.video ! h264parse ! fakesink
//! ```

use gst::glib;
use gst::prelude::*;

mod imp;
mod pads;
mod report;
mod settings;
mod stream;

glib::wrapper! {
    /// The element.
    pub struct CameraSrc(ObjectSubclass<imp::CameraSrc>) @extends gst::Element, gst::Object;
}

/// How an RTSP camera's pictures travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstNvrdCameraSrcTransport")]
pub enum Transport {
    /// TCP, and UDP after a failure that TCP may be to blame for.
    #[default]
    #[enum_value(name = "TCP, and UDP after a failure", nick = "auto")]
    Auto,
    /// Inside the RTSP connection.
    #[enum_value(name = "Inside the RTSP connection", nick = "tcp")]
    Tcp,
    /// In datagrams.
    #[enum_value(name = "In datagrams", nick = "udp")]
    Udp,
}

/// Registers the element.
///
/// # Errors
/// When the name is taken.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "camerasrc",
        gst::Rank::NONE,
        CameraSrc::static_type(),
    )
}
