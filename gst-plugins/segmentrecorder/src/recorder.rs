//! The recorder without any element: pictures and packets in, files and messages out.
//!
//! Nothing here waits, starts a thread or reads a clock; all it needs from outside comes in as arguments.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use nvr_contract::segment::{FragmentWritten, Gap, GapReason, SegmentClosed, SegmentOpened};
use nvr_contract::wallclock::WallClock;

use crate::fragment::{Fragment, Packet, Picture};
use crate::gaps::Gaps;
use crate::rotation::Rotation;
use crate::segment::{Facts, Segment, WriteError};
use crate::timeline::{Raw, Stamp, Timeline};
use crate::wall::Wall;
use crate::writer::Storage;
use nvr_mp4::track::{AudioTrack, VideoTrack};

/// After a failed write the next attempt is at the first key frame that comes at least this much later.
const RETRY_NS: u64 = 1_000_000_000;
/// A larger access unit is no picture of a camera, bytes.
const MAX_PICTURE: usize = 64 << 20;
/// Audio that waits for its pictures is dropped from here on, oldest first, bytes and packets.
const MAX_AUDIO: (usize, usize) = (8 << 20, 4096);

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

/// How much longer than its pictures the audio of a file may be, nanoseconds.
const AUDIO_TAIL_NS: u64 = 500_000_000;

/// What a recorder is told once.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder.
    pub location: PathBuf,
    /// Length of a file, nanoseconds.
    pub segment_ns: u64,
    /// Length of a fragment, nanoseconds.
    pub fragment_ns: u64,
    /// When to sync.
    pub sync: SyncPolicy,
    /// Whether to hash each file with BLAKE3.
    pub hash: bool,
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
}

/// Writes the pictures and packets `D` of one camera.
pub struct Recorder<D> {
    config: Config,
    storage: Box<dyn Storage>,
    video: Option<VideoTrack>,
    audio: Option<AudioTrack>,
    packets: VecDeque<Packet<D>>,
    packet_bytes: usize,
    timeline: Timeline,
    wall: Wall,
    rotation: Rotation,
    gaps: Gaps,
    segment: Option<Segment>,
    fragment: Fragment<D>,
    recording: bool,
    /// Whether the next segment does not follow on.
    discont: bool,
    /// Decode time of the picture at which writing failed.
    failed_ns: Option<u64>,
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
            wall: Wall::default(),
            rotation: Rotation::default(),
            gaps: Gaps::default(),
            segment: None,
            fragment: Fragment::default(),
            recording: true,
            discont: true,
            failed_ns: None,
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
        self.counters
    }

    /// Changes the lengths of files and fragments, nanoseconds, from the next picture on.
    pub fn set_durations(&mut self, segment_ns: u64, fragment_ns: u64) {
        self.config.segment_ns = segment_ns;
        self.config.fragment_ns = fragment_ns;
    }

    /// Begins a new file at the next key frame.
    pub fn split(&mut self) {
        self.rotation.ask();
    }

    /// Sets the video track. Another one than before closes the file.
    pub fn set_video(&mut self, video: VideoTrack) {
        if self.video.as_ref() != Some(&video) {
            self.close(None);
            self.video = Some(video);
        }
    }

    /// Sets the audio track, `None` for none. Another one than before begins a new file at the next key frame.
    pub fn set_audio(&mut self, audio: Option<AudioTrack>) {
        if self.audio != audio {
            self.audio = audio;
            self.packets.clear();
            self.packet_bytes = 0;
            if self.segment.is_some() {
                self.rotation.ask();
            }
        }
    }

    /// Takes an anchor of wall time. One that jumps closes the file.
    pub fn set_anchor(&mut self, anchor: WallClock) {
        if self.wall.set_anchor(anchor) {
            self.close(None);
            self.discont = true;
        }
    }

    /// Switches recording on or off; off closes the file at once, on begins at the next key frame.
    pub fn set_recording(&mut self, recording: bool) {
        if std::mem::replace(&mut self.recording, recording) == recording || recording {
            return;
        }
        self.close(None);
        self.discont = true;
        self.failed_ns = None;
        if let Some(end) = self.wall.last_end() {
            self.miss(GapReason::Paused, end, None);
        }
    }

    /// Takes a packet of audio. Packets should come before the pictures they belong to.
    pub fn push_audio(&mut self, packet: Packet<D>) {
        if self.audio.is_none() || !self.recording {
            return;
        }
        self.packet_bytes += packet.data.as_ref().len();
        self.packets.push_back(packet);
        while self.packet_bytes > MAX_AUDIO.0 || self.packets.len() > MAX_AUDIO.1 {
            self.drop_packet();
        }
    }

    fn drop_packet(&mut self) -> Option<Packet<D>> {
        let packet = self.packets.pop_front()?;
        self.packet_bytes -= packet.data.as_ref().len();
        Some(packet)
    }

    /// Takes a picture in decode order; `now` is asked for the wall time when no anchor has come.
    pub fn push_video(&mut self, raw: Raw, key: bool, data: D, now: impl FnOnce() -> i64) {
        self.counters.frames_in += 1;
        let clean = key
            && self
                .video
                .as_ref()
                .is_some_and(|video| video.is_clean_start(data.as_ref()));
        let stamp = self.timeline.stamp(raw);
        if stamp.jump {
            self.close(None);
            self.discont = true;
            self.failed_ns = None;
            self.wall.media_jumped();
        }
        let unix_us = self.wall.at(stamp.pts_ns, now);
        let size = data.as_ref().len();
        if size <= MAX_PICTURE && self.makes_room(&stamp, key, clean, size, unix_us) {
            self.fragment.push(Picture { stamp, key, data });
        } else {
            self.counters.frames_dropped += 1;
        }
    }

    /// Ends what has to end before this picture. Says whether it is recorded.
    fn makes_room(
        &mut self,
        stamp: &Stamp,
        key: bool,
        clean: bool,
        size: usize,
        unix_us: i64,
    ) -> bool {
        if !self.recording {
            if !self.gaps.is_open() {
                self.miss(GapReason::Paused, unix_us, None);
            }
            return false;
        }
        if let Some(failed) = self.failed_ns {
            if !key || stamp.dts_ns.saturating_sub(failed) < RETRY_NS {
                return false;
            }
            self.failed_ns = None;
        }
        if let Some(segment) = &self.segment {
            if segment.is_full() {
                self.rotation.ask();
            }
            let elapsed = stamp.dts_ns.saturating_sub(segment.facts().start.dts_ns);
            if key && self.rotation.at_key(elapsed, self.config.segment_ns, clean) {
                self.close(Some(stamp));
            } else {
                let limit = self.config.fragment_ns;
                if self.fragment.ends_before(stamp, key, size, limit) {
                    self.write(Some(stamp), key);
                }
                return self.segment.is_some();
            }
        }
        if self.failed_ns.is_some() {
            return false;
        }
        if !key {
            self.miss(GapReason::NoKeyframe, unix_us, None);
            self.discont = true;
            return false;
        }
        self.begin(*stamp, unix_us)
    }

    fn begin(&mut self, start: Stamp, unix_us: i64) -> bool {
        let Some(video) = self.video.clone() else {
            return false;
        };
        let facts = Facts {
            start,
            start_unix_us: self.wall.segment_start(unix_us, self.discont),
            discont: self.discont,
            video,
            audio: self.audio.clone(),
        };
        while self
            .packets
            .front()
            .is_some_and(|p| p.pts_ns < start.pts_ns)
        {
            self.drop_packet();
        }
        self.segment = Some(Segment::begin(facts, self.config.hash));
        self.discont = false;
        self.rotation.begun();
        true
    }

    /// Writes the open fragment now instead of waiting for the picture that ends it.
    pub fn flush(&mut self) {
        self.write(None, false);
    }

    /// Closes the file; the next picture begins another run.
    pub fn finish(&mut self) {
        self.close(None);
        self.discont = true;
        self.failed_ns = None;
        self.timeline.reset();
    }

    /// Writes the open fragment; `next` is the picture that follows it.
    fn write(&mut self, next: Option<&Stamp>, next_key: bool) {
        if self.fragment.video.is_empty() {
            return;
        }
        let Some(segment) = &mut self.segment else {
            return;
        };
        let mut fragment = std::mem::take(&mut self.fragment);
        // Without a picture that follows, audio may last a little longer than the pictures.
        let until = next.map_or(
            fragment.end_pts_ns().saturating_add(AUDIO_TAIL_NS),
            |next| next.pts_ns,
        );
        while self.packets.front().is_some_and(|p| p.pts_ns < until) {
            let packet = self.packets.pop_front().expect("there is a front");
            self.packet_bytes -= packet.data.as_ref().len();
            fragment.audio.push(packet);
        }
        let storage = self.storage.as_mut();
        let location = &self.config.location;
        let (first, before) = (!segment.has_fragments(), segment.len());
        let written = segment.write(storage, location, &fragment, next, next_key);
        let synced = written.and_then(|()| {
            let due = match self.config.sync {
                SyncPolicy::None => false,
                SyncPolicy::Segment { interval_ns } => {
                    interval_ns > 0 && segment.unsynced_ns() >= interval_ns
                }
                SyncPolicy::Fragment => true,
            };
            if due {
                segment.sync(storage, location)?;
            }
            Ok(due)
        });
        self.counters.bytes_written += segment.len() - before;
        if segment.len() == before {
            self.counters.frames_dropped += fragment.video.len() as u64;
        }
        if first && segment.has_fragments() {
            let start = segment.facts().start_unix_us;
            self.notices.push(Notice::Opened(segment.opened()));
            self.notices.extend(self.gaps.close(start).map(Notice::Gap));
        }
        match synced {
            Ok(synced) => {
                let notice = segment.fragment_written(synced);
                self.notices.push(Notice::Fragment(notice));
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Closes the file; `next` is the key frame that follows on, if one does.
    fn close(&mut self, next: Option<&Stamp>) {
        self.write(next, true);
        let Some(mut segment) = self.segment.take() else {
            return;
        };
        if !segment.has_fragments() {
            return;
        }
        let before = segment.len();
        let ended = segment.write_index().and_then(|()| match self.config.sync {
            SyncPolicy::None => Ok(()),
            _ => segment.sync(self.storage.as_mut(), &self.config.location),
        });
        self.counters.bytes_written += segment.len() - before;
        self.wall.segment_ended(segment.end_unix_us());
        if let Err(error) = ended {
            self.segment = Some(segment);
            self.fail(&error);
        } else {
            self.notices.push(Notice::Closed(segment.closed()));
        }
    }

    /// Gives up the file after a failed write, and says from when on something is missing.
    fn fail(&mut self, error: &WriteError) {
        let Some(segment) = self.segment.take() else {
            return;
        };
        let end = segment.end_unix_us();
        let end_ns = self.timeline.last_dts_ns();
        if let Some(closed) = segment.abandon(self.storage.as_mut()) {
            self.wall.segment_ended(end);
            self.notices.push(Notice::Closed(closed));
        }
        let (reason, advice) = match error.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                GapReason::DiskFull,
                "free space there, or let retention keep less",
            ),
            _ => (
                GapReason::DiskError,
                "check the disk, its mount and the permissions of the folder",
            ),
        };
        self.miss(reason, end, Some(format!("{error}; {advice}")));
        self.failed_ns = end_ns;
        self.discont = true;
    }

    fn miss(&mut self, reason: GapReason, start_unix_us: i64, detail: Option<String>) {
        let said = self.gaps.open(reason, start_unix_us, detail);
        self.notices.extend(said.into_iter().map(Notice::Gap));
    }
}
