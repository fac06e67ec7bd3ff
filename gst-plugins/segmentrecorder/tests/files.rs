//! What is in the files, as `ffprobe` reads them: each picture at its time, key frames where they were said to be.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]
#![allow(dead_code, reason = "the media of several test binaries")]

mod media;

use media::{Clip, H264, H264_B, H265, Rig};
use nvr_contract::segment::SegmentClosed;

const S: u64 = 1_000_000_000;

fn have(h265: bool) -> bool {
    media::have(if h265 {
        &["x265enc", "h265parse"]
    } else {
        &["x264enc", "h264parse"]
    })
}

/// The fields of each line of `ffprobe` about the pictures of a file.
fn probe(path: &str, what: &str) -> Option<Vec<Vec<String>>> {
    let arguments = [
        "-v",
        "quiet",
        "-select_streams",
        "v",
        "-show_entries",
        what,
        "-of",
        "csv=p=0",
        path,
    ];
    let text = media::program("ffprobe", &arguments)?;
    let lines = text.lines().filter(|line| !line.is_empty());
    Some(
        lines
            .map(|line| {
                line.trim_end_matches(',')
                    .split(',')
                    .map(str::to_owned)
                    .collect()
            })
            .collect(),
    )
}

/// A time stamp in units of the video track, counted from the first picture of a file.
fn ticks(ns: u64, from_ns: u64) -> i64 {
    let since = i128::from(ns) - i128::from(from_ns);
    i64::try_from((since * 90_000 + 500_000_000).div_euclid(1_000_000_000)).unwrap()
}

/// Compares a file with the pictures that went into it.
fn compare(closed: &SegmentClosed, sent: &[gst::Buffer], tag: &str, damaged: bool) {
    let Some(streams) = probe(&closed.location, "stream=codec_tag_string,duration_ts") else {
        return;
    };
    let duration = ticks(closed.end_ns, closed.start_ns);
    assert_eq!(streams[0][0], tag);
    let said: i64 = streams[0][1].parse().unwrap();
    assert!((said - duration).abs() <= 1, "{said} is not {duration}");
    let bytes = std::fs::read(&closed.location).unwrap();
    let mut keys = Vec::new();
    let packets = probe(&closed.location, "packet=pts,size,pos,flags").unwrap();
    assert_eq!(packets.len(), sent.len());
    for (packet, buffer) in packets.iter().zip(sent) {
        let [pts, size, pos, flags] = &packet[..] else {
            panic!("{packet:?}");
        };
        let expected = ticks(buffer.pts().unwrap().nseconds(), closed.start_ns);
        let pts: i64 = pts.parse().unwrap();
        assert!((pts - expected).abs() <= 1, "{pts} is not {expected}");
        let (size, pos): (usize, usize) = (size.parse().unwrap(), pos.parse().unwrap());
        let map = buffer.map_readable().unwrap();
        assert_eq!(&bytes[pos..pos + size], &map[..], "the bytes as they came");
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        // Of damaged pictures `ffprobe` believes its own eyes.
        assert!(flags.starts_with('K') == key || damaged);
        if key {
            keys.push((buffer.pts().unwrap().nseconds() - closed.start_ns, pos));
        }
    }
    assert_eq!(closed.keyframes.len(), keys.len());
    for (said, (offset, pos)) in closed.keyframes.iter().zip(keys) {
        assert_eq!(said.offset_ns, offset);
        let moof = usize::try_from(said.byte).unwrap();
        assert_eq!(&bytes[moof + 4..moof + 8], b"moof");
        let length = u32::from_be_bytes(bytes[moof..moof + 4].try_into().unwrap()) as usize;
        let mdat = moof + length;
        assert_eq!(&bytes[mdat + 4..mdat + 8], b"mdat");
        let end = mdat + u32::from_be_bytes(bytes[mdat..mdat + 4].try_into().unwrap()) as usize;
        assert!(
            (mdat..end).contains(&pos),
            "the key frame is in the fragment that is named"
        );
    }
}

#[test]
fn every_picture_is_in_its_file_at_its_time_and_place() {
    for (encoder, h265, tag) in [
        (H264, false, "avc1"),
        (H264_B, false, "avc1"),
        (H265, true, "hvc1"),
    ] {
        if !have(h265) {
            continue;
        }
        let clip = media::encode(150, "width=160,height=120", encoder);
        let mut rig = Rig::new(&[("segment-duration", 2 * S), ("fragment-duration", S / 5)]);
        rig.push(&clip);
        rig.harness.push_event(gst::event::Eos::new());
        let mut sent = &clip.buffers[..];
        for closed in media::closed(&rig.messages()) {
            let (here, rest) = sent.split_at(usize::try_from(closed.frames).unwrap());
            compare(&closed, here, tag, false);
            sent = rest;
        }
        assert!(sent.is_empty());
    }
}

#[test]
fn damaged_pictures_are_recorded_as_they_come() {
    if !have(false) {
        return;
    }
    let clip = media::encode(150, "width=160,height=120", H264_B);
    for every in [100_000, 10_000, 1000] {
        let mut seed = 1_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap()
        };
        let buffers = clip.buffers.iter().map(|buffer| {
            let mut bytes = buffer.map_readable().unwrap().to_vec();
            let mut at = random() % every;
            while at < bytes.len() * 8 {
                bytes[at / 8] ^= 1 << (at % 8);
                at += 1 + random() % (2 * every);
            }
            let mut damaged = gst::Buffer::from_mut_slice(bytes);
            let changed = damaged.get_mut().unwrap();
            changed.set_pts(buffer.pts());
            changed.set_dts(buffer.dts());
            changed.set_flags(buffer.flags());
            damaged
        });
        let damaged = Clip {
            caps: clip.caps.clone(),
            buffers: buffers.collect(),
        };
        let mut rig = Rig::new(&[("segment-duration", 2 * S)]);
        rig.push(&damaged);
        rig.harness.push_event(gst::event::Eos::new());
        let messages = rig.messages();
        let closed = media::closed(&messages);
        assert_eq!(closed.iter().map(|c| c.frames).sum::<u64>(), 150);
        assert!(closed.len() >= 3, "files end on time");
        assert!(
            messages
                .iter()
                .all(|m| m.type_() != gst::MessageType::Error)
        );
        let mut sent = &damaged.buffers[..];
        for closed in &closed {
            let (here, rest) = sent.split_at(usize::try_from(closed.frames).unwrap());
            compare(closed, here, "avc1", true);
            sent = rest;
        }
    }
}
