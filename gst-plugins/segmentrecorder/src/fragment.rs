//! Grouping samples into fragments: when a fragment ends, and the runs that describe it.

use crate::timeline::Stamp;
use nvr_mp4::fmp4::{self, Entry, Run, VIDEO_TIMESCALE};

/// A fragment never grows beyond this, whatever its duration: it bounds the memory of a stream, bytes.
const MAX_BYTES: usize = 32 << 20;
/// Nor beyond this many pictures.
const MAX_PICTURES: usize = 2000;

/// A picture, in decode order.
#[derive(Debug, Clone)]
pub struct Picture<D> {
    /// Its time stamps.
    pub stamp: Stamp,
    /// Whether decoding can start here.
    pub key: bool,
    /// The access unit.
    pub data: D,
}

/// A packet of audio.
#[derive(Debug, Clone)]
pub struct Packet<D> {
    /// Presentation time, nanoseconds.
    pub pts_ns: u64,
    /// Duration, nanoseconds.
    pub duration_ns: u64,
    /// The frame.
    pub data: D,
}

/// The samples that will reach the file together.
#[derive(Debug)]
pub struct Fragment<D> {
    /// Pictures in decode order.
    pub video: Vec<Picture<D>>,
    /// Packets in order.
    pub audio: Vec<Packet<D>>,
    bytes: usize,
}

impl<D> Default for Fragment<D> {
    fn default() -> Self {
        Self {
            video: Vec::new(),
            audio: Vec::new(),
            bytes: 0,
        }
    }
}

impl<D: AsRef<[u8]>> Fragment<D> {
    /// Adds a picture.
    pub fn push(&mut self, picture: Picture<D>) {
        self.bytes += picture.data.as_ref().len();
        self.video.push(picture);
    }

    /// Bytes of the pictures.
    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Whether the fragment should end before a picture with these properties.
    ///
    /// It ends where the next picture would make it longer than `limit_ns`. It ends at a key frame when it does
    /// not begin with one, or is half full: so fragments stay aligned with groups of pictures that last about
    /// as long as a fragment, and groups of one picture do not make fragments of one picture.
    pub fn ends_before(&self, next: &Stamp, key: bool, size: usize, limit_ns: u64) -> bool {
        let Some(first) = self.video.first() else {
            return false;
        };
        let elapsed = next.dts_ns.saturating_sub(first.stamp.dts_ns);
        elapsed >= limit_ns
            || (key && (!first.key || elapsed >= limit_ns / 2))
            || self.bytes + size > MAX_BYTES
            || self.video.len() >= MAX_PICTURES
    }

    /// End of the last picture in presentation order, nanoseconds.
    pub fn end_pts_ns(&self) -> u64 {
        self.video
            .iter()
            .map(|picture| {
                picture
                    .stamp
                    .pts_ns
                    .saturating_add(picture.stamp.duration_ns)
            })
            .max()
            .unwrap_or(0)
    }

    /// The run of the pictures, in a file whose decode times begin at `origin_ns`.
    ///
    /// `next_dts_ns` is the decode time of the picture that follows, which is where the last one ends.
    pub fn video_run(&self, origin_ns: u64, next_dts_ns: Option<u64>) -> Run {
        let at = |ns: u64| {
            let since = i128::from(ns) - i128::from(origin_ns);
            fmp4::ticks(since, VIDEO_TIMESCALE)
        };
        let ends = self
            .video
            .iter()
            .skip(1)
            .map(|picture| picture.stamp.dts_ns)
            .chain(next_dts_ns.or_else(|| {
                let last = self.video.last()?;
                Some(last.stamp.dts_ns.saturating_add(last.stamp.duration_ns))
            }));
        let entries = self
            .video
            .iter()
            .zip(ends)
            .map(|(picture, end)| {
                let dts = at(picture.stamp.dts_ns);
                let offset = at(picture.stamp.pts_ns) - dts;
                Entry {
                    duration: u32::try_from(at(end) - dts).unwrap_or(0),
                    size: u32::try_from(picture.data.as_ref().len()).unwrap_or(u32::MAX),
                    sync: picture.key,
                    composition_offset: i32::try_from(offset).unwrap_or(0),
                }
            })
            .collect();
        let first = self.video.first().map_or(0, |p| at(p.stamp.dts_ns));
        Run {
            decode_time: u64::try_from(first).unwrap_or(0),
            entries,
        }
    }

    /// The run of the packets, in a file whose first picture is presented at `origin_ns`.
    ///
    /// `expected` is where the run before ended: packets that follow on within half a packet are put there, so
    /// that jitter in the time stamps makes no holes.
    pub fn audio_run(&self, origin_ns: u64, rate: u32, expected: u64) -> Run {
        let Some(first) = self.audio.first() else {
            return Run::default();
        };
        let length = |packet: &Packet<D>| {
            u32::try_from(fmp4::ticks(i128::from(packet.duration_ns), rate)).unwrap_or(0)
        };
        let since = i128::from(first.pts_ns) - i128::from(origin_ns);
        let stamped = u64::try_from(fmp4::ticks(since, rate)).unwrap_or(0);
        let near = stamped.abs_diff(expected) <= u64::from(length(first) / 2);
        let mut run = Run {
            // A run must not reach back into the one before.
            decode_time: if near {
                expected
            } else {
                stamped.max(expected)
            },
            entries: Vec::with_capacity(self.audio.len()),
        };
        for packet in &self.audio {
            run.entries.push(Entry {
                duration: length(packet),
                size: u32::try_from(packet.data.as_ref().len()).unwrap_or(u32::MAX),
                sync: true,
                composition_offset: 0,
            });
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn picture(dts_ms: u64, pts_ms: u64, key: bool) -> Picture<Vec<u8>> {
        Picture {
            stamp: Stamp {
                pts_ns: pts_ms * MS,
                dts_ns: dts_ms * MS,
                duration_ns: 40 * MS,
                jump: false,
            },
            key,
            data: vec![0; 10],
        }
    }

    /// Where fragments begin, in pictures of 40 ms, when every `gop`-th is a key frame.
    fn cuts(pictures: u64, gop: u64, limit_ms: u64) -> Vec<u64> {
        let mut fragment = Fragment::default();
        let mut begins = vec![0];
        for n in 0..pictures {
            let next = picture(n * 40, n * 40, n % gop == 0);
            if fragment.ends_before(&next.stamp, next.key, 10, limit_ms * MS) {
                fragment = Fragment::default();
                begins.push(n);
            }
            fragment.push(next);
        }
        begins
    }

    #[test]
    fn cuts_at_key_frames_where_it_can() {
        assert_eq!(cuts(100, 25, 1000), [0, 25, 50, 75]);
        assert_eq!(cuts(100, 50, 1000), [0, 25, 50, 75], "inside a long group");
        assert_eq!(
            cuts(100, 26, 1000),
            [0, 25, 26, 51, 52, 77, 78],
            "aligned again at once"
        );
        assert_eq!(cuts(60, 15, 1000), [0, 15, 30, 45]);
        assert_eq!(cuts(60, 1, 1000), [0, 13, 26, 39, 52], "all key frames");
        assert_eq!(cuts(4, 1, 0), [0, 1, 2, 3], "tiny");
    }

    #[test]
    fn size_bounds_a_fragment() {
        let mut fragment = Fragment::default();
        fragment.push(picture(0, 0, true));
        let next = picture(40, 40, false).stamp;
        assert!(!fragment.ends_before(&next, false, 1000, u64::MAX));
        assert!(fragment.ends_before(&next, false, MAX_BYTES, u64::MAX));
    }

    #[test]
    fn audio_follows_on_through_jitter() {
        let packet = |pts_ns| Packet {
            pts_ns,
            duration_ns: 21_333_333,
            data: vec![0],
        };
        let mut fragment: Fragment<Vec<u8>> = Fragment::default();
        fragment.audio.push(packet(1_000_400_000));
        assert_eq!(fragment.audio_run(0, 48_000, 48_000).decode_time, 48_000);
        assert_eq!(fragment.audio_run(0, 48_000, 24_000).decode_time, 48_019);
        assert_eq!(fragment.audio_run(0, 48_000, 50_000).decode_time, 50_000);
        assert_eq!(fragment.audio_run(0, 48_000, 0).entries[0].duration, 1024);
    }

    proptest! {
        #[test]
        fn runs_meet_without_hole_or_overlap(steps in proptest::collection::vec(1_u64..90_000_000, 2..80), at in 1_usize..79) {
            let mut dts = 7_u64;
            let all: Vec<_> = steps.iter().map(|step| { dts += step; dts }).collect();
            let at = at.min(all.len() - 1);
            let build = |stamps: &[u64]| {
                let mut fragment = Fragment::default();
                for &dts_ns in stamps {
                    let stamp = Stamp { pts_ns: dts_ns, dts_ns, duration_ns: MS, jump: false };
                    fragment.push(Picture { stamp, key: true, data: [0_u8; 1] });
                }
                fragment
            };
            let first = build(&all[..at]).video_run(all[0], Some(all[at]));
            let second = build(&all[at..]).video_run(all[0], None);
            let length: u64 = first.entries.iter().map(|e| u64::from(e.duration)).sum();
            prop_assert_eq!(first.decode_time, 0);
            prop_assert_eq!(length, second.decode_time);
        }
    }
}
