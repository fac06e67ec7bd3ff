//! Fragments and files on their way to the disk, and what happens when it does not take them.

use super::{Notice, Recorder, SyncPolicy};
use crate::retry::ABSENT_NS;
use crate::segment::{Segment, Target, WriteError};
use crate::timeline::Stamp;
use nvr_contract::segment::GapReason;

/// How much longer than its pictures the audio of a file may be, nanoseconds.
const AUDIO_TAIL_NS: u64 = 500_000_000;

impl<D: AsRef<[u8]>> Recorder<D> {
    /// Writes the open fragment; `next` is the picture that follows it.
    pub(super) fn write(&mut self, next: Option<&Stamp>, next_key: bool) {
        if self.fragment.video.is_empty() {
            return;
        }
        let Some(mut segment) = self.segment.take() else {
            return;
        };
        let mut fragment = std::mem::take(&mut self.fragment);
        // Without a picture that follows, audio may last a little longer than the pictures.
        let until = next.map_or(
            fragment.end_pts_ns().saturating_add(AUDIO_TAIL_NS),
            |next| next.pts_ns,
        );
        while self.has_packet_before(until) {
            let packet = self.drop_packet();
            // Sound of another kind waits for a file of its own, and the file for a key frame.
            let heard = packet.filter(|(track, _)| segment.facts().audio.as_ref() == Some(track));
            fragment.audio.extend(heard.map(|(_, packet)| packet));
        }
        let (first, before) = (!segment.has_fragments(), segment.len());
        let target = Target {
            location: &self.config.location,
            identity: self.config.identity.as_ref(),
        };
        let storage = self.storage.as_mut();
        let begun = storage.now();
        let written = segment.write(storage, target, &fragment, next, next_key);
        let due = match self.config.sync {
            SyncPolicy::None => false,
            SyncPolicy::Segment { interval_ns } => {
                interval_ns > 0 && segment.unsynced_ns() >= interval_ns
            }
            SyncPolicy::Fragment => true,
        };
        let done = written.and_then(|()| if due { segment.sync(storage) } else { Ok(()) });
        self.measure(begun);
        self.counters.bytes_written += segment.len() - before;
        if segment.len() == before {
            self.counters.frames_dropped += fragment.video.len() as u64;
        }
        if first && segment.has_fragments() {
            // Writing works again.
            self.settle_torn();
            let start = segment.facts().start_unix_us;
            self.notices.push(Notice::Opened(segment.opened()));
            self.notices.extend(self.gaps.close(start).map(Notice::Gap));
        }
        if done.is_ok() {
            self.retry.reset();
            let notice = segment.fragment_written(due);
            self.notices.push(Notice::Fragment(notice));
        }
        self.segment = Some(segment);
        if let Err(error) = done {
            self.fail(&error);
        }
    }

    fn measure(&mut self, begun: std::time::Duration) {
        let took = self.storage.now().saturating_sub(begun);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.pace
            .wrote(took_ns, self.clock.now_ns().unwrap_or_default());
    }

    /// Closes the file; `next` is the key frame that follows on, if one does, and its wall time.
    pub(super) fn close(&mut self, next: Option<(&Stamp, i64)>) {
        self.write(next.map(|(stamp, _)| stamp), true);
        let Some(mut segment) = self.segment.take() else {
            return;
        };
        self.lingering = false;
        if !segment.has_fragments() {
            return;
        }
        if let Some((_, unix_us)) = next {
            segment.ends_at(unix_us);
        }
        let (before, begun) = (segment.len(), self.storage.now());
        let ended = segment.write_index().and_then(|()| match self.config.sync {
            SyncPolicy::None => Ok(()),
            _ => segment.sync(self.storage.as_mut()),
        });
        self.measure(begun);
        self.counters.bytes_written += segment.len() - before;
        if let Err(error) = ended {
            self.segment = Some(segment);
            self.fail(&error);
        } else {
            self.say_closed(&segment);
        }
    }

    fn say_closed(&mut self, segment: &Segment) {
        self.counters.segments += 1;
        self.wall.segment_ended(segment.end_unix_us());
        self.notices.push(Notice::Closed(segment.closed()));
    }

    /// Gives up the file after a failed operation, and says from when on something is missing.
    pub(super) fn fail(&mut self, error: &WriteError) {
        let Some(mut segment) = self.segment.take() else {
            return;
        };
        self.counters.write_errors += 1;
        self.lingering = false;
        let end = segment.end_unix_us();
        if segment.has_fragments() {
            if segment.mend(self.storage.as_mut(), self.config.sync != SyncPolicy::None) {
                self.say_closed(&segment);
            } else {
                self.wall.segment_ended(end);
                self.torn = Some(segment);
            }
        } else {
            segment.discard(self.storage.as_mut());
        }
        let (reason, advice) = error.reason();
        self.miss(reason, end, Some(format!("{error}{advice}")));
        let absent = reason == GapReason::DiskGone;
        let least_ns = if absent { ABSENT_NS } else { 0 };
        self.retry.failed(self.at_ns, least_ns);
        self.discont = true;
    }

    /// Tries once more to put a file right that a failed operation has left, and says what came of it.
    pub(super) fn settle_torn(&mut self) {
        if let Some(mut segment) = self.torn.take() {
            segment.mend(self.storage.as_mut(), self.config.sync != SyncPolicy::None);
            self.say_closed(&segment);
        }
    }
}
