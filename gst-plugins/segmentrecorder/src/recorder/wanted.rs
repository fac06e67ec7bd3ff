//! Which pictures are wanted: by mode and demand, into the file, into the ring or away.

use std::sync::Arc;

use nvr_contract::segment::GapReason;

use super::{Recorder, SyncPolicy};
use crate::demand::Mode;
use crate::ring::Arrival;

impl<D: AsRef<[u8]>> Recorder<D> {
    /// Sends a picture where it belongs.
    pub(super) fn sort(&mut self, arrival: Arrival<D>) {
        let asked = self.demand.wants(arrival.at_ns, self.config.post_roll_ns);
        match self.config.mode {
            Mode::Continuous => {
                self.replay();
                self.admit(arrival);
            }
            Mode::Off => {
                self.miss(GapReason::Paused, arrival.unix_us, None);
                self.counters.frames_dropped += 1;
            }
            Mode::Event if asked => {
                if self.segment.is_none() || self.lingering {
                    self.note_overload(&arrival);
                    self.replay();
                }
                self.admit(arrival);
            }
            // Files end at a key frame.
            Mode::Event if self.segment.is_some() && !self.lingering && !arrival.picture.key => {
                self.admit(arrival);
            }
            Mode::Event => self.hold(arrival),
        }
    }

    /// Keeps a picture that nobody has asked for yet.
    fn hold(&mut self, arrival: Arrival<D>) {
        if self.segment.is_some() && !self.lingering {
            self.linger(&arrival);
        }
        let Some(video) = self.video.clone() else {
            self.counters.frames_dropped += 1;
            return;
        };
        let (at_ns, unix_us) = (arrival.at_ns, arrival.unix_us);
        let pts_ns = arrival.picture.stamp.pts_ns;
        if !self.ring.push(arrival, &video) {
            self.counters.frames_dropped += 1;
        }
        let limit = self.config.ring_bytes.saturating_sub(self.packet_bytes);
        let gone = self.ring.trim(at_ns, self.config.pre_roll_ns, limit);
        self.counters.frames_dropped += gone;
        self.drop_packets_before(self.ring.start_pts_ns().unwrap_or(pts_ns));
        if gone > 0 || self.ring.is_empty() {
            self.end_lingering();
        }
        if !self.lingering {
            self.retry.reset();
            let since = match self.gaps.is_open() {
                true => unix_us,
                false => self.wall.last_end().unwrap_or(unix_us).min(unix_us),
            };
            self.miss(GapReason::NoEvent, since, None);
        }
    }

    /// The post-roll is over: all of it reaches the disk, and the file stays open for an event that follows soon.
    fn linger(&mut self, next: &Arrival<D>) {
        let stamp = next.picture.stamp;
        self.write(Some(&stamp), true);
        let durable = self.config.sync != SyncPolicy::None;
        let Some(segment) = &mut self.segment else {
            return;
        };
        segment.ends_at(next.unix_us);
        if durable && let Err(error) = segment.sync(self.storage.as_mut()) {
            self.fail(&error);
        }
        self.lingering = self.segment.is_some();
    }

    /// Closes the file that waits for an event, if one does: from its end on nothing was asked for.
    pub(super) fn end_lingering(&mut self) {
        if std::mem::take(&mut self.lingering) {
            self.close(None);
            if !self.gaps.is_open()
                && let Some(end) = self.wall.last_end()
            {
                self.miss(GapReason::NoEvent, end, None);
            }
        }
    }

    /// Writes what the ring holds.
    pub(super) fn replay(&mut self) {
        if self.ring.is_empty() {
            self.lingering = false;
            return;
        }
        if !std::mem::take(&mut self.lingering) {
            self.discont = true;
        }
        let latest = self.video.clone();
        for group in self.ring.take() {
            let other = self.segment.as_ref().is_some_and(|segment| {
                !Arc::ptr_eq(&segment.facts().video, &group.video)
                    && segment.facts().video != group.video
            });
            if group.anew || other {
                self.close(None);
                self.discont |= group.anew;
            }
            self.video = Some(group.video);
            for arrival in group.pictures {
                self.admit(arrival);
            }
        }
        self.video = latest;
    }

    /// Says so when the ring could not hold what an event needs.
    fn note_overload(&mut self, now: &Arrival<D>) {
        let from_ns = self.demand.from_ns(self.config.pre_roll_ns);
        if self.ring.lost_ns() <= from_ns || !self.gaps.is(GapReason::NoEvent) {
            return;
        }
        let before_us = i64::try_from(now.at_ns.saturating_sub(from_ns) / 1000).unwrap_or(0);
        let start = now.unix_us.saturating_sub(before_us);
        let bytes = self.config.ring_bytes;
        let detail = format!(
            "{bytes} bytes do not hold the pictures before an event; raise ring-bytes, or lower pre-roll or the \
             camera's key frame interval"
        );
        self.miss(GapReason::Overload, start, Some(detail));
    }

    pub(super) fn let_go_of_ring(&mut self) {
        let groups = self.ring.take();
        let pictures = groups.iter().map(|group| group.pictures.len() as u64);
        self.counters.frames_dropped += pictures.sum::<u64>();
    }

    /// Nothing is wanted any more, from the end of the latest picture on.
    pub(super) fn switch_off(&mut self) {
        self.end_lingering();
        self.close(None);
        self.settle_torn();
        self.let_go_of_ring();
        self.discont = true;
        self.retry.reset();
        let end = match self.gaps.is_open() {
            true => self.seen_unix_us,
            false => self.wall.last_end(),
        };
        if let Some(end) = end {
            self.miss(GapReason::Paused, end, None);
        }
    }
}
