//! The last groups of pictures, kept for an event that may come: references, bounded in time and bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use nvr_mp4::track::VideoTrack;

use crate::fragment::Picture;

/// What a picture costs beside its data, bytes.
const OVERHEAD: usize = 256;

/// A picture with what was known when it came.
#[derive(Debug)]
pub struct Arrival<D> {
    /// The picture.
    pub picture: Picture<D>,
    /// Time of the media clock, nanoseconds.
    pub at_ns: u64,
    /// Wall time, microseconds since 1970.
    pub unix_us: i64,
    /// Whether decoding can start here with nothing missing after it.
    pub clean: bool,
}

/// A key frame and what follows it.
#[derive(Debug)]
pub struct Group<D> {
    /// The parameter sets it was coded with.
    pub video: Arc<VideoTrack>,
    /// Whether it does not follow on from the group before.
    pub anew: bool,
    /// In decode order; the first is a key frame.
    pub pictures: Vec<Arrival<D>>,
    bytes: usize,
    end_ns: u64,
}

/// The groups that are held, oldest first.
#[derive(Debug)]
pub struct Ring<D> {
    groups: VecDeque<Group<D>>,
    bytes: usize,
    /// Whether pictures that are no key frames have a group to go to.
    open: bool,
    /// Whether what comes up to the next key frame belongs to a group that was too large.
    overflown: bool,
    anew: bool,
    lost_ns: u64,
}

impl<D> Default for Ring<D> {
    fn default() -> Self {
        Self {
            groups: VecDeque::new(),
            bytes: 0,
            open: false,
            overflown: false,
            anew: false,
            lost_ns: 0,
        }
    }
}

impl<D: AsRef<[u8]>> Ring<D> {
    /// Adds a picture; says whether there was a group for it.
    pub fn push(&mut self, arrival: Arrival<D>, video: &Arc<VideoTrack>) -> bool {
        if arrival.picture.key {
            self.open = true;
            self.overflown = false;
            self.groups.push_back(Group {
                video: Arc::clone(video),
                anew: std::mem::take(&mut self.anew),
                pictures: Vec::new(),
                bytes: 0,
                end_ns: 0,
            });
        }
        let size = arrival.picture.data.as_ref().len() + OVERHEAD;
        let length_ns = arrival.picture.stamp.duration_ns;
        let end_ns = arrival.at_ns.saturating_add(length_ns);
        let Some(group) = self.groups.back_mut().filter(|_| self.open) else {
            if self.overflown {
                self.lost_ns = self.lost_ns.max(end_ns);
            }
            return false;
        };
        (self.bytes, group.bytes) = (self.bytes + size, group.bytes + size);
        group.end_ns = group.end_ns.max(end_ns);
        group.pictures.push(arrival);
        true
    }

    /// Lets go what is older than `pre_ns` or more than `limit` bytes; says how many pictures.
    ///
    /// The group in which the pre-roll would begin stays. A group that alone is too large goes, and what follows
    /// it up to the next key frame has no group.
    pub fn trim(&mut self, now_ns: u64, pre_ns: u64, limit: usize) -> u64 {
        let from_ns = now_ns.saturating_sub(pre_ns);
        let mut gone = 0;
        while let Some(first) = self.groups.front() {
            let next = self.groups.get(1).and_then(|group| group.pictures.first());
            let old = next.is_some_and(|next| next.at_ns <= from_ns || first.end_ns <= from_ns);
            let large = self.bytes > limit;
            if !old && !large {
                break;
            }
            let group = self.groups.pop_front().expect("there is a front");
            self.bytes -= group.bytes;
            gone += group.pictures.len() as u64;
            if !old {
                self.lost_ns = self.lost_ns.max(group.end_ns);
            }
            if self.groups.is_empty() {
                (self.open, self.overflown) = (false, true);
            }
        }
        gone
    }

    /// The next group does not follow on: time stamps jumped (`anew`), or other parameter sets hold.
    pub fn interrupt(&mut self, anew: bool) {
        (self.open, self.overflown) = (false, false);
        self.anew |= anew;
    }

    /// The next group has another wall time than the one before says.
    pub fn part(&mut self) {
        self.anew = true;
    }

    /// Takes everything out.
    pub fn take(&mut self) -> VecDeque<Group<D>> {
        self.open = false;
        self.bytes = 0;
        std::mem::take(&mut self.groups)
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// What is held, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Presentation time of the oldest picture, nanoseconds.
    pub fn start_pts_ns(&self) -> Option<u64> {
        let first = self.groups.front()?.pictures.first()?;
        Some(first.picture.stamp.pts_ns)
    }

    /// End of the latest picture that had to go for want of space, nanoseconds of the media clock.
    pub fn lost_ns(&self) -> u64 {
        self.lost_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Stamp;
    use nvr_mp4::track::VideoCodec;

    const AVCC: &[u8] = &[
        1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 4, 0x68, 0xce, 0x3c,
        0x80,
    ];

    fn arrival(at_ns: u64, key: bool, size: usize) -> Arrival<Vec<u8>> {
        let stamp = Stamp {
            pts_ns: at_ns,
            dts_ns: at_ns,
            duration_ns: 1,
            jump: false,
        };
        Arrival {
            picture: Picture {
                stamp,
                key,
                data: vec![0; size],
            },
            at_ns,
            unix_us: 0,
            clean: key,
        }
    }

    fn filled(count: u64, group: u64, size: usize) -> (Ring<Vec<u8>>, Arc<VideoTrack>) {
        let track = Arc::new(VideoTrack::new(VideoCodec::H264, AVCC, 640, 360).unwrap());
        let mut ring = Ring::default();
        for at in 0..count {
            ring.push(arrival(at, at % group == 0, size), &track);
        }
        (ring, track)
    }

    #[test]
    fn keeps_the_group_in_which_the_pre_roll_begins() {
        for (now, pre, start) in [
            (99, 10, 80),
            (99, 19, 80),
            (99, 20, 70),
            (99, 0, 90),
            (99, 500, 0),
        ] {
            let (mut ring, _) = filled(100, 10, 1);
            assert_eq!(ring.trim(now, pre, usize::MAX), start);
            assert_eq!(ring.start_pts_ns(), Some(start), "{pre}");
            assert_eq!(ring.lost_ns(), 0);
        }
    }

    #[test]
    fn bytes_bound_it_and_a_group_too_large_goes_whole() {
        let (mut ring, track) = filled(95, 10, 744);
        assert_eq!(
            ring.trim(94, 90, 20_000),
            80,
            "two groups, one of them begun"
        );
        assert_eq!((ring.start_pts_ns(), ring.lost_ns()), (Some(80), 80));
        assert!(ring.bytes() <= 20_000);
        ring.trim(94, 90, 1000);
        assert!(ring.is_empty() && ring.bytes() == 0);
        assert!(
            !ring.push(arrival(95, false, 1), &track),
            "its group is gone"
        );
        assert!(ring.push(arrival(96, true, 1), &track));
        assert_eq!(ring.lost_ns(), 96);
    }

    #[test]
    fn after_an_interruption_a_key_frame_must_come() {
        let (mut ring, track) = filled(15, 10, 1);
        ring.interrupt(true);
        assert!(!ring.push(arrival(15, false, 1), &track));
        ring.push(arrival(16, true, 1), &track);
        let anew: Vec<_> = ring.take().iter().map(|group| group.anew).collect();
        assert_eq!(anew, [false, false, true]);
        assert!(ring.is_empty() && ring.bytes() == 0);
    }
}
