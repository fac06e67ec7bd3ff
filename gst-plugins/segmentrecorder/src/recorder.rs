//! The recorder without any element: pictures and packets in, files and messages out.
//!
//! Nothing here waits or starts a thread; all it needs from outside comes in as arguments.

mod disk;

mod picture;

mod wanted;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use nvr_contract::segment::{FragmentWritten, Gap, GapReason, SegmentClosed, SegmentOpened};
use nvr_contract::wallclock::WallClock;

use crate::demand::{Demand, MediaClock, Mode};
use crate::fragment::{Fragment, Packet};
use crate::gaps::Gaps;
use crate::identity::Identity;
use crate::retry::{Pace, Retry};
use crate::ring::Ring;
use crate::rotation::{Limits, Rotation};
use crate::segment::Segment;
use crate::timeline::Timeline;
use crate::wall::Wall;
use crate::writer::Storage;
use nvr_mp4::track::{AudioTrack, VideoTrack};

/// Audio that waits for its pictures is dropped from here on, oldest first, bytes and packets.
const MAX_AUDIO: (usize, usize) = (8 << 20, 16_384);
/// Sound this far from the pictures after a jump belongs to no picture that comes, nanoseconds.
const SOUND_REACH_NS: u64 = 10_000_000_000;

/// When the content of files is made to survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Never: the system decides.
    None,
    /// When a segment is closed, and in between at most this much media time apart, nanoseconds.
    Segment {
        /// Zero: only when it is closed.
        interval_ns: u64,
    },
    /// After each fragment.
    Fragment,
}

/// What a recorder is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder; another one holds from the next file on.
    pub location: PathBuf,
    /// What must be at the folder before a file is created.
    pub identity: Option<Identity>,
    /// What a file may reach before the next key frame begins another one.
    pub limits: Limits,
    /// A file of this size ends even where no key frame comes, bytes.
    pub most_bytes: u64,
    /// Length of a fragment, nanoseconds.
    pub fragment_ns: u64,
    /// When to sync.
    pub sync: SyncPolicy,
    /// Whether to hash each file with BLAKE3.
    pub hash: bool,
    /// When to record.
    pub mode: Mode,
    /// What is recorded before an event, nanoseconds.
    pub pre_roll_ns: u64,
    /// What is recorded after an event, nanoseconds.
    pub post_roll_ns: u64,
    /// The most that is held in memory for the pre-roll, bytes.
    pub ring_bytes: usize,
}

impl Config {
    /// The defaults of the element.
    pub fn new(location: PathBuf) -> Self {
        Self {
            location,
            identity: None,
            limits: Limits {
                duration_ns: 60_000_000_000,
                bytes: 0,
                boundary_ns: 0,
            },
            most_bytes: 64 << 30,
            fragment_ns: 1_000_000_000,
            sync: SyncPolicy::Segment {
                interval_ns: 5_000_000_000,
            },
            hash: true,
            mode: Mode::Continuous,
            pre_roll_ns: 5_000_000_000,
            post_roll_ns: 10_000_000_000,
            ring_bytes: 32 << 20,
        }
    }
}

/// What the recorder says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The first fragment of a file is on disk.
    Opened(SegmentOpened),
    /// A fragment is on disk.
    Fragment(FragmentWritten),
    /// A file is complete.
    Closed(SegmentClosed),
    /// Something is not recorded.
    Gap(Gap),
}

/// What the recorder has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pictures that came in.
    pub frames_in: u64,
    /// Pictures that did not reach a file, for whatever reason.
    pub frames_dropped: u64,
    /// Bytes that reached a file.
    pub bytes_written: u64,
    /// Bytes that are held for the pre-roll now.
    pub ring_bytes: u64,
    /// Files that were closed.
    pub segments: u64,
    /// Gaps that were opened.
    pub gaps: u64,
    /// Operations on the storage that failed.
    pub write_errors: u64,
    /// The longest that one write took, nanoseconds.
    pub slowest_write_ns: u64,
}

/// Writes the pictures and packets `D` of one camera.
pub struct Recorder<D> {
    config: Config,
    storage: Box<dyn Storage>,
    video: Option<Arc<VideoTrack>>,
    audio: Option<Arc<AudioTrack>>,
    /// Sound that waits for its pictures, with the track it is of.
    packets: VecDeque<(Arc<AudioTrack>, Packet<D>)>,
    packet_bytes: usize,
    timeline: Timeline,
    clock: MediaClock,
    wall: Wall,
    /// Whether an anchor came since the last picture.
    anchored: bool,
    /// By how much wall time has jumped since the last file began, microseconds.
    stepped_us: i64,
    /// Wall time of the end of the latest picture, microseconds since 1970.
    seen_unix_us: Option<i64>,
    demand: Demand,
    ring: Ring<D>,
    /// Whether the open file waits for an event to go on with; what would follow is in the ring.
    lingering: bool,
    rotation: Rotation,
    gaps: Gaps,
    segment: Option<Segment>,
    /// A file that a failed write has left, until the next attempt.
    torn: Option<Segment>,
    fragment: Fragment<D>,
    /// Whether the next segment does not follow on.
    discont: bool,
    retry: Retry,
    /// Where the picture is that is being recorded, nanoseconds of the media clock.
    at_ns: u64,
    pace: Pace,
    counters: Counters,
    notices: Vec<Notice>,
}

impl<D: AsRef<[u8]>> Recorder<D> {
    /// A recorder that has seen nothing.
    pub fn new(config: Config, storage: Box<dyn Storage>) -> Self {
        Self {
            config,
            storage,
            video: None,
            audio: None,
            packets: VecDeque::new(),
            packet_bytes: 0,
            timeline: Timeline::default(),
            clock: MediaClock::default(),
            wall: Wall::default(),
            anchored: false,
            stepped_us: 0,
            seen_unix_us: None,
            demand: Demand::default(),
            ring: Ring::default(),
            lingering: false,
            rotation: Rotation::default(),
            gaps: Gaps::default(),
            segment: None,
            torn: None,
            fragment: Fragment::default(),
            discont: true,
            retry: Retry::default(),
            at_ns: 0,
            pace: Pace::default(),
            counters: Counters::default(),
            notices: Vec::new(),
        }
    }

    /// What there is to say since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        Counters {
            ring_bytes: self.ring.bytes() as u64,
            slowest_write_ns: self.pace.slowest_ns(),
            ..self.counters
        }
    }

    /// Tells the recorder something else: another mode at once, all the rest from the next picture or file on.
    pub fn configure(&mut self, config: Config) {
        let moved =
            config.location != self.config.location || config.identity != self.config.identity;
        let before = std::mem::replace(&mut self.config, config);
        if moved {
            self.retry.reset();
        }
        if before.mode != self.config.mode && self.config.mode == Mode::Off {
            self.switch_off();
        }
    }

    /// Begins a new file at the next key frame.
    pub fn split(&mut self) {
        self.rotation.ask();
    }

    /// Records until `stop`, in the mode `event`.
    pub fn start(&mut self) {
        self.demand.start(self.clock.now_ns());
    }

    /// Lets the post-roll run out.
    pub fn stop(&mut self) {
        self.demand.stop(self.clock.now_ns());
    }

    /// Records for the post-roll, in the mode `event`.
    pub fn trigger(&mut self) {
        self.demand.trigger(self.clock.now_ns());
    }

    /// Sets the video track. Another one than before closes the file.
    pub fn set_video(&mut self, video: VideoTrack) {
        if self.video.as_deref() != Some(&video) {
            self.end_lingering();
            self.close(None);
            self.ring.interrupt(false);
            self.video = Some(Arc::new(video));
        }
    }

    /// Sets the audio track, `None` for none. Another one than before begins a new file at the next key frame.
    pub fn set_audio(&mut self, audio: Option<AudioTrack>) {
        if self.audio.as_deref() != audio.as_ref() {
            self.audio = audio.map(Arc::new);
            if self.segment.is_some() {
                self.rotation.ask();
            }
        }
    }

    /// Takes an anchor of wall time. One that jumps begins a new file at the next key frame, so that no picture is
    /// lost and none has a time of its own.
    pub fn set_anchor(&mut self, anchor: WallClock) {
        let step = self.wall.set_anchor(anchor);
        if step != 0 {
            self.rotation.ask();
            self.ring.part();
        }
        self.stepped_us = self.stepped_us.saturating_add(step);
        self.anchored = true;
    }

    /// Takes a packet of audio. Packets should come before the pictures they belong to.
    pub fn push_audio(&mut self, packet: Packet<D>) {
        let Some(track) = self.audio.clone().filter(|_| self.config.mode != Mode::Off) else {
            return;
        };
        let size = packet.data.as_ref().len();
        if size == 0 {
            return;
        }
        self.packet_bytes += size;
        self.packets.push_back((track, packet));
        while self.packet_bytes > MAX_AUDIO.0 || self.packets.len() > MAX_AUDIO.1 {
            self.drop_packet();
        }
    }

    fn drop_packet(&mut self) -> Option<(Arc<AudioTrack>, Packet<D>)> {
        let (track, packet) = self.packets.pop_front()?;
        self.packet_bytes -= packet.data.as_ref().len();
        Some((track, packet))
    }

    fn has_packet_before(&self, pts_ns: u64) -> bool {
        let first = self.packets.front();
        first.is_some_and(|(_, packet)| packet.pts_ns < pts_ns)
    }

    fn drop_packets_before(&mut self, pts_ns: u64) {
        while self.has_packet_before(pts_ns) {
            self.drop_packet();
        }
    }

    /// Writes the open fragment now instead of waiting for the picture that ends it.
    pub fn flush(&mut self) {
        if self.demand.is_pending() {
            self.replay();
        }
        self.write(None, false);
    }

    /// Closes the file; the next picture begins another run.
    pub fn finish(&mut self) {
        if self.demand.is_pending() && self.config.mode == Mode::Event {
            self.replay();
        }
        self.end_lingering();
        self.close(None);
        self.settle_torn();
        self.let_go_of_ring();
        self.discont = true;
        self.retry.reset();
        self.timeline.reset();
    }

    fn miss(&mut self, reason: GapReason, start_unix_us: i64, detail: Option<String>) {
        let said = self.gaps.open(reason, start_unix_us, detail);
        let opened = said.iter().filter(|gap| gap.end_unix_us.is_none());
        self.counters.gaps += opened.count() as u64;
        self.notices.extend(said.into_iter().map(Notice::Gap));
    }
}
