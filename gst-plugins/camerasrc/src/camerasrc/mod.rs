//! A camera as one element: it connects, connects again, and delivers parsed, encoded video with times that never go
//! backwards.
//! Everything that cameras do wrong ends here, so that downstream is always the same.
//!
//! Upstream it needs nothing: `uri` is `rtsp://host/path`, `rtsps://host/path`, `file:///clip.mp4?loop=true&realtime=true`, `test://ball`
//! or `test://visits?width=640&height=360&fps=15&period=10&visit=4&seed=1&frames=0&realtime=true`.
//!
//! The request pad `analysis` carries what to analyse: the stream of `sub-uri` where that is set, otherwise the
//! pictures of `video` by reference, as a tee would.
//! Both streams run on one clock; the loss of the second one never touches the first.
//!
//! It adds the sticky event `nvr_contract::wallclock::WallClock` before the first picture, after each reconnect, and
//! when wall time has moved against the pipeline's.
//! It posts `nvr_contract::source::SourceChange`: connected, lost with the reason, restored, each for the stream it
//! happened to; and an info message, once, on what whoever set the camera up may want to know: sound that is left
//! out, key frames that do not come.
//! Files and scenes live in a private pipeline with one thread of its own; all RTSP cameras share one network thread.
//!
//! Of an RTSP camera it takes H.264 or H.265, and sound that is AAC, Opus or G.711 (`audio/x-alaw`, `audio/x-mulaw`); the
//! pad `audio` comes with the first piece of sound. Sound that stays away for two seconds is filled with gap events.
//! Pictures begin with a key frame; decoding times come from what the parameter sets say about reordering, or from the
//! first pictures of a stream whose sets say nothing.
//! A time stamp that repeats, goes back or leaps gives way to the arrival of its picture, which then is `DISCONT`; a
//! picture before which something was lost is `CORRUPTED`.
//! Memory is bounded: 16 MB for a picture, 400 packets or 16 MB while downstream is stuck.
//!
//! | property | what for |
//! |---|---|
//! | `timeout` | a camera without a picture, or without an answer, for this long is lost |
//! | `transport` | `auto` begins with TCP, tries the other way in the same attempt when nothing arrives, and remembers what worked |
//! | `retry-first`, `retry-longest` | the wait between attempts doubles from the one to the other, with a quarter of jitter; refused credentials are tried once more soon, then only at the longest; pictures for five seconds make it start over |
//! | `wake-interval` | how seldom the network thread looks for packets: 20 ms suit recording and halve the cost of 16 cameras (1920x1080, 30 pictures a second: 0.21 and 0.10 CPU s per stream and minute), 0 suits somebody who watches live; it may be set while the camera plays |
//! | `latency` | the answer to the latency query of a live source |
//!
//! ```sh
//! gst-launch-1.0 camerasrc uri="test://visits?frames=60&realtime=false" name=cam cam.video ! h264parse ! fakesink
//! ```

use gst::glib;
use gst::prelude::*;

mod imp;
mod analysis;
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
    /// TCP first, the other one in the same attempt when nothing comes, and then what worked.
    #[default]
    #[enum_value(name = "TCP, and UDP after a failure", nick = "auto")]
    Auto,
    /// Inside the RTSP connection.
    #[enum_value(name = "Inside the RTSP connection", nick = "tcp")]
    Tcp,
    /// In datagrams.
    #[enum_value(name = "In datagrams", nick = "udp")]
    Udp,
    /// Inside HTTP, for a way that lets nothing else through.
    #[enum_value(name = "Inside HTTP", nick = "http")]
    Http,
}

/// Who speaks with an RTSP camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstNvrdCameraSrcBackend")]
pub enum Backend {
    /// The library, and `rtspsrc` for what it does not speak.
    #[default]
    #[enum_value(name = "The library, and rtspsrc for TLS and HTTP", nick = "auto")]
    Auto,
    /// The library.
    #[enum_value(name = "The library retina", nick = "retina")]
    Retina,
    /// The element.
    #[enum_value(name = "The element rtspsrc", nick = "rtspsrc")]
    Rtspsrc,
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
