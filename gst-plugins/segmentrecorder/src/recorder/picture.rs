//! A picture on its way to a file: what is missing before it, and whether the file or the fragment ends.

use nvr_contract::segment::GapReason;

use super::{Recorder, SOUND_REACH_NS};
use crate::demand::Mode;
use crate::fragment::Picture;
use crate::ring::Arrival;
use crate::rotation::Reached;
use crate::segment::{Facts, Segment};
use crate::timeline::{Raw, Stamp};

/// A larger access unit cannot be described in a file, and an empty one is none; bytes.
const MAX_PICTURE: usize = 1 << 30;
/// A hole shorter than this is the length of a picture that nobody knows exactly, microseconds.
const HOLE_US: i64 = 50_000;

impl<D: AsRef<[u8]>> Recorder<D> {
    /// Takes a picture in decode order; `now` is asked for the wall time when no anchor has come.
    pub fn push_video(&mut self, raw: Raw, key: bool, data: D, now: impl FnOnce() -> i64) {
        self.counters.frames_in += 1;
        let clean = key
            && self
                .video
                .as_ref()
                .is_some_and(|video| video.is_clean_start(data.as_ref()));
        let stamp = self.timeline.stamp(raw);
        let anchored = std::mem::take(&mut self.anchored);
        if stamp.jump {
            self.interrupted(&stamp);
        }
        let unix_us = self.wall.at(stamp.pts_ns, now);
        let away_us = self
            .seen_unix_us
            .map_or(0, |seen| unix_us.saturating_sub(seen));
        let away_ns = u64::try_from(away_us).unwrap_or(0).saturating_mul(1000);
        if stamp.jump && !anchored && self.config.mode != Mode::Off {
            self.note_hole(unix_us);
        }
        let at_ns = self.clock.at(&stamp, away_ns);
        let length_us = i64::try_from(stamp.duration_ns / 1000).unwrap_or(i64::MAX);
        let end = unix_us.saturating_add(length_us);
        self.seen_unix_us = match self.stepped_us {
            0 => self.seen_unix_us.max(Some(end)),
            _ => Some(end),
        };
        let fits = (1..=MAX_PICTURE).contains(&data.as_ref().len());
        let picture = Picture { stamp, key, data };
        let arrival = Arrival {
            picture,
            at_ns,
            unix_us,
            clean,
        };
        if fits {
            self.sort(arrival);
        } else {
            self.counters.frames_dropped += 1;
        }
    }

    /// Time stamps jump before this picture.
    fn interrupted(&mut self, stamp: &Stamp) {
        self.end_lingering();
        self.close(None);
        self.ring.interrupt(true);
        self.discont = true;
        self.retry.reset();
        self.wall.media_jumped();
        self.packets
            .retain(|(_, packet)| packet.pts_ns.abs_diff(stamp.pts_ns) < SOUND_REACH_NS);
        let sizes = self
            .packets
            .iter()
            .map(|(_, packet)| packet.data.as_ref().len());
        self.packet_bytes = sizes.sum();
    }

    /// Says what is missing between the file that just ended and this picture, where only the recorder can know.
    ///
    /// A source that was away sends an anchor before its next picture, and says itself why it was.
    fn note_hole(&mut self, unix_us: i64) {
        let Some(end) = self.wall.last_end() else {
            return;
        };
        let missing_us = unix_us.saturating_sub(end);
        if self.segment.is_some() || self.gaps.is_open() || missing_us < HOLE_US {
            return;
        }
        let owed_us = i64::try_from(self.pace.owed_ns() / 1000).unwrap_or(i64::MAX);
        let (reason, detail) = if owed_us >= missing_us / 2 {
            let behind_ms = owed_us / 1000;
            let detail = format!(
                "writing was {behind_ms} ms behind, so pictures were left out; use a faster disk"
            );
            (GapReason::DiskSlow, detail)
        } else {
            let detail = "pictures were left out before they reached the recorder; it or the machine had too much to do";
            (GapReason::Overload, detail.to_owned())
        };
        self.miss(reason, end, Some(detail));
    }

    /// Puts a picture that is wanted into the file.
    pub(super) fn admit(&mut self, mut arrival: Arrival<D>) {
        self.at_ns = arrival.at_ns;
        if self.makes_room(&mut arrival) {
            self.fragment.push(arrival.picture);
        } else {
            self.counters.frames_dropped += 1;
        }
    }

    /// Ends what has to end before this picture. Says whether it is recorded.
    fn makes_room(&mut self, arrival: &mut Arrival<D>) -> bool {
        let stamp = arrival.picture.stamp;
        let mut key = arrival.picture.key;
        if let Some(segment) = &self.segment {
            if segment.is_full() {
                self.rotation.ask();
            }
            let start = segment.facts();
            let bytes = segment.len() + self.fragment.bytes();
            let reached = Reached {
                elapsed_ns: stamp.dts_ns.saturating_sub(start.start.dts_ns),
                bytes,
                unix_us: (start.start_unix_us, arrival.unix_us),
            };
            let most = self.config.most_bytes;
            let due = bytes >= most || self.config.limits.are_met(&reached);
            // A stream that refreshes its pictures bit by bit may never send a key frame again. Then the file ends
            // somewhere: the next one shows its pictures once the refresh is through.
            let anywhere = !key && bytes >= most.saturating_add(most / 4);
            if anywhere || (key && self.rotation.at_key(due, arrival.clean)) {
                self.close(Some((&stamp, arrival.unix_us)));
                key = true;
                arrival.picture.key = true;
            } else {
                let size = arrival.picture.data.as_ref().len();
                let limit = self.config.fragment_ns;
                if self.fragment.ends_before(&stamp, key, size, limit) {
                    self.write(Some(&stamp), key);
                }
                return self.segment.is_some();
            }
        }
        if !self.retry.is_due(arrival.at_ns) {
            return false;
        }
        if !key {
            self.miss(GapReason::NoKeyframe, arrival.unix_us, None);
            self.discont = true;
            return false;
        }
        self.begin(stamp, arrival.unix_us)
    }

    fn begin(&mut self, start: Stamp, unix_us: i64) -> bool {
        let Some(video) = self.video.clone() else {
            return false;
        };
        let stepped_us = std::mem::take(&mut self.stepped_us);
        self.discont |= stepped_us != 0;
        if stepped_us > 0
            && !self.gaps.is_open()
            && let Some(end) = self.wall.last_end()
            && unix_us.saturating_sub(end) >= HOLE_US
        {
            let detail = "the wall clock was set forward; no picture is missing".to_owned();
            self.miss(GapReason::ClockStep, end, Some(detail));
        }
        let facts = Facts {
            start,
            start_unix_us: self.wall.segment_start(unix_us, self.discont),
            discont: self.discont,
            video,
            audio: self.audio.clone(),
        };
        self.drop_packets_before(start.pts_ns);
        self.segment = Some(Segment::begin(facts, self.config.hash));
        self.discont = false;
        self.rotation.begun();
        true
    }
}
