//! Recorded files for the tests of this crate: made by the recorder's own boxes, with data that can be told apart.

use crate::fmp4::{self, Entry, Run};
use crate::track::{AudioTrack, VideoCodec, VideoTrack, tests::AVCC};

/// Ticks of a picture: 25 a second.
pub(crate) const PICTURE: u32 = 3600;
/// Ticks of a packet of sound at 48 kHz.
pub(crate) const PACKET: u32 = 1024;

/// What a file shall hold.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub start_unix_us: i64,
    /// Fragments of 25 pictures each.
    pub fragments: u32,
    /// Pictures from one key frame to the next.
    pub gop: u32,
    /// Whether every picture but the key frames is shown two places later than it is decoded, in pairs.
    pub reorder: bool,
    pub audio: bool,
    pub finished: bool,
    /// What the data begins with.
    pub mark: u8,
    /// The profile in the parameter sets, so that two recipes may differ there.
    pub profile: u8,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            start_unix_us: 1_800_000_000_000_000,
            fragments: 4,
            gop: 25,
            reorder: false,
            audio: false,
            finished: true,
            mark: 1,
            profile: 0x42,
        }
    }
}

impl Recipe {
    /// The bytes of the file.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut avcc = AVCC.to_vec();
        avcc[1] = self.profile;
        let video = VideoTrack::new(VideoCodec::H264, &avcc, 640, 360).unwrap();
        let audio = self
            .audio
            .then(|| AudioTrack::aac(&[0x11, 0x90], 48_000, 2).unwrap());
        let delay = if self.reorder { 2 * PICTURE } else { 0 };
        let mut file =
            fmp4::header(&video, audio.as_ref(), delay.into(), self.start_unix_us).unwrap();
        let mut index = Vec::new();
        let mut packets = 0;
        for fragment in 0..self.fragments {
            let run = self.pictures(fragment, delay);
            let sound = self.packets(fragment, &mut packets);
            let wall = self.start_unix_us + i64::from(fragment) * 1_000_000;
            let head = fmp4::fragment_head(fragment + 1, wall, &run, &sound).unwrap();
            index.push(fmp4::IndexEntry {
                time: run.decode_time + u64::from(delay),
                moof: file.len() as u64 + head.moof,
                sample: 1,
            });
            file.extend(head.bytes);
            for (number, entry) in (fragment * 25..).zip(&run.entries) {
                file.extend(self.data(number, entry.size));
            }
            for entry in &sound.entries {
                file.extend(std::iter::repeat_n(
                    0xa0,
                    usize::try_from(entry.size).unwrap(),
                ));
            }
        }
        if self.finished {
            file.extend(fmp4::index(&index).unwrap());
        }
        file
    }

    /// What picture number `n` holds.
    pub(crate) fn data(&self, n: u32, size: u32) -> Vec<u8> {
        let mut data = vec![self.mark; usize::try_from(size).unwrap()];
        data[1..5].copy_from_slice(&n.to_be_bytes());
        data
    }

    fn pictures(&self, fragment: u32, delay: u32) -> Run {
        let entries = (fragment * 25..fragment * 25 + 25).map(|n| {
            let place = n % self.gop;
            let shift = match place % 2 {
                _ if !self.reorder || place == 0 => 0,
                0 => -1,
                _ if place + 1 < self.gop => 1,
                _ => 0,
            };
            Entry {
                duration: PICTURE,
                size: 100 + n % 7,
                sync: place == 0,
                composition_offset: i32::try_from(delay).unwrap()
                    + shift * i32::try_from(PICTURE).unwrap(),
            }
        });
        Run {
            decode_time: u64::from(fragment * 25 * PICTURE),
            entries: entries.collect(),
        }
    }

    fn packets(&self, fragment: u32, packets: &mut u32) -> Run {
        let first = *packets;
        let end = (fragment + 1) * 48_000;
        while self.audio && *packets * PACKET < end {
            *packets += 1;
        }
        Run {
            decode_time: u64::from(first * PACKET),
            entries: (first..*packets)
                .map(|_| Entry {
                    duration: PACKET,
                    size: 20,
                    sync: true,
                    composition_offset: 0,
                })
                .collect(),
        }
    }
}

/// The file on disk, in a folder that goes with the first value.
pub(crate) fn on_disk(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}
