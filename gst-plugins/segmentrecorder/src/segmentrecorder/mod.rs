//! # segmentrecorder
//!
//! Writes one camera's encoded video, and its audio if there is any, into fragmented MP4 files of about
//! `segment-duration` below `location`, without losing or doubling a picture where one file ends and the next
//! begins. A fragment of at most `fragment-duration` reaches its file whole by one write, so whatever kills the
//! process, everything but the open fragment is on disk and playable.
//!
//! Upstream it needs H.264 as `avc` or H.265 as `hvc1`, with DTS where there are B-frames (`h264parse` and
//! `h265parse` convert; `h264timestamper` adds DTS), and, for true wall times, the sticky event of
//! [`nvr_contract::wallclock::WallClock`]; without it the system clock at the first picture counts.
//!
//! Audio is recorded as it is where it is AAC or Opus (mono or stereo). G.711 (`audio/x-mulaw`, `audio/x-alaw`) is
//! made into Opus by the thread that brings it, because players do not find it in MP4 files; that needs `mulawdec`
//! or `alawdec` (plugins-good), `audioconvert`, `audioresample` and `opusenc` (plugins-base). Without them, or with
//! other audio, there is one warning, and video is recorded alone. Audio that comes or changes while a file is open
//! begins another at the next key frame. A picture waits for its audio for half a second at most, and not at all
//! for audio that stays behind.
//!
//! In the mode `event` it writes only what the action signals ask for: `start` until `stop`, or a `trigger`, with
//! `pre-roll` before and `post-roll` after, outwards to key frames. The last groups of pictures are kept in memory
//! for that, as references, bounded by time and `ring-bytes`. An event whose pre-roll reaches back to the post-roll
//! of the one before goes on in the same file, so a file is closed when no pre-roll can reach its end any more.
//!
//! A file ends at the first key frame after `segment-duration`, `segment-bytes`, a multiple of
//! `wall-clock-boundary`, or `split-now`. It grows for as long as no key frame comes; one of 64 GiB ends all the
//! same, and the next begins with whatever picture follows, which players show once the stream has refreshed it.
//!
//! With `identity-file` and `identity` nothing is created, not even a folder, while that file does not hold the
//! identity. `location` and both of these may change while playing, and hold from the next file on.
//!
//! It posts [`nvr_contract::segment`]: `SegmentOpened`, `FragmentWritten`, `SegmentClosed` and `Gap`. A disk that
//! is full, fails or is gone is a gap, never an error: the element drops data, cuts the file back to its last whole
//! fragment, tries again at the next key frame and then at most every two seconds, and says when recording goes on.
//! Pictures that were left out before they came here are the gap `disk_slow` where writing took longer than the
//! pictures lasted, else `overload`. The one thread that writes is the one that brings video; there is no queue inside, so put
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

mod settings;

mod sound;

mod transcode;

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
    /// What is asked for by the signals is recorded, with the pre-roll before it and the post-roll after it.
    #[enum_value(name = "Record on start, stop and trigger", nick = "event")]
    Event,
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
