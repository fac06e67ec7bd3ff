//! # segmentrecorder
//!
//! Writes one camera's encoded video, and its AAC audio if there is any, into fragmented MP4 files of about
//! `segment-duration` below `location`, without losing or doubling a picture where one file ends and the next
//! begins. A fragment of at most `fragment-duration` reaches its file whole by one write, so whatever kills the
//! process, everything but the open fragment is on disk and playable.
//!
//! Upstream it needs H.264 as `avc` or H.265 as `hvc1`, with DTS where there are B-frames (`h264parse` and
//! `h265parse` convert; `h264timestamper` adds DTS), and, for true wall times, the sticky event of
//! [`nvr_contract::wallclock::WallClock`]; without it the system clock at the first picture counts.
//!
//! It posts [`nvr_contract::segment`]: `SegmentOpened`, `FragmentWritten`, `SegmentClosed` and `Gap`. A disk that
//! is full or fails is a gap, never an error: the element drops data, tries again at key frames and says when
//! recording goes on. The one thread that writes is the one that brings video; there is no queue inside, so put
//! one before it where a slow disk must not hold up anything else.
//!
//! ```sh
//! gst-launch-1.0 videotestsrc num-buffers=75 ! video/x-raw,framerate=25/1 ! x264enc key-int-max=25 ! \
//!     h264parse ! segmentrecorder location=/tmp/nvrd-example-recorder segment-duration=1000000000
//! ```

use gst::glib;
use gst::prelude::*;

mod caps;

mod flow;

mod imp;

mod outbox;

glib::wrapper! {
    /// The element.
    pub struct SegmentRecorder(ObjectSubclass<imp::SegmentRecorder>) @extends gst::Element, gst::Object;
}

/// When something is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstNvrdSegmentRecorderMode")]
pub enum Mode {
    /// Everything is recorded.
    #[enum_value(name = "Record everything", nick = "continuous")]
    Continuous,
    /// Nothing is recorded.
    #[enum_value(name = "Record nothing", nick = "off")]
    Off,
}

/// When file content is made to survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstNvrdSegmentRecorderSync")]
pub enum Sync {
    /// The system decides.
    #[enum_value(name = "Never sync", nick = "none")]
    None,
    /// At each `sync-interval` and when a segment is closed.
    #[enum_value(
        name = "Sync every sync-interval and when a segment is closed",
        nick = "segment"
    )]
    Segment,
    /// After each fragment.
    #[enum_value(name = "Sync after each fragment", nick = "fragment")]
    Fragment,
}

/// Registers the element.
///
/// # Errors
/// When the name is taken.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "segmentrecorder",
        gst::Rank::NONE,
        SegmentRecorder::static_type(),
    )
}
