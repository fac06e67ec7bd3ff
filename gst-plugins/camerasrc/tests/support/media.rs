//! Small real streams, made by an encoder when they are first asked for, and their RTP packets.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test binary uses a part of it, builds pipelines from its own text, and may fail loudly"
)]

use gst::prelude::*;

use super::init;

/// One picture as its NAL units, parameter sets included.
#[derive(Debug, Clone)]
pub struct Picture {
    pub units: Vec<Vec<u8>>,
    /// When it is shown, in the 90 kHz of video.
    pub ticks: i64,
    pub key: bool,
}

/// A stream in decoding order.
#[derive(Debug, Clone)]
pub struct Clip {
    pub h265: bool,
    pub pictures: Vec<Picture>,
}

/// An encoder without reordering, a key frame every ten pictures.
pub const X264: &str =
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! h264parse config-interval=-1";
pub const X265: &str =
    "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! h265parse config-interval=-1";
/// The same with two B pictures between others.
pub const X264_B: &str = "x264enc speed-preset=veryfast bframes=2 b-adapt=false rc-lookahead=5 key-int-max=12 ! \
     video/x-h264,profile=main ! h264parse config-interval=-1";
pub const X265_B: &str = "x265enc option-string=\"bframes=2:b-adapt=0:rc-lookahead=5:keyint=12:min-keyint=12\" ! h265parse config-interval=-1";

impl Clip {
    /// `count` pictures of a moving ball, 25 a second.
    pub fn new(encoder: &str, count: usize, size: (u32, u32)) -> Self {
        init();
        let h265 = encoder.starts_with("x265enc");
        let name = if h265 { "h265" } else { "h264" };
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers={count} pattern=ball ! \
             video/x-raw,format=I420,width={},height={},framerate=25/1 ! {encoder} ! \
             video/x-{name},stream-format=byte-stream,alignment=au ! appsink name=sink sync=false",
            size.0, size.1
        ))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        let sink = pipeline
            .by_name("sink")
            .and_downcast::<gst_app::AppSink>()
            .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut pictures = Vec::new();
        let mut first = None;
        while let Ok(sample) = sink.pull_sample() {
            let buffer = sample.buffer().unwrap();
            let pts = buffer.pts().unwrap().nseconds();
            let first = *first.get_or_insert(pts);
            let map = buffer.map_readable().unwrap();
            pictures.push(Picture {
                units: units(&map),
                ticks: (pts as i64 - first as i64) * 9 / 100_000,
                key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            });
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(pictures.len(), count);
        Self { h265, pictures }
    }

    /// The same pictures of H.264 with parameter sets that say nothing of how they are reordered.
    pub fn without_word(&self) -> Self {
        let mut clip = self.clone();
        for unit in clip
            .pictures
            .iter_mut()
            .flat_map(|picture| &mut picture.units)
        {
            if unit[0] & 0x1f == 7 {
                *unit = without_vui(unit);
            }
        }
        clip
    }

    /// The description of this stream alone; parameter sets come with the pictures.
    pub fn sdp(&self) -> String {
        sdp(&[self.media()])
    }

    pub fn media(&self) -> &'static str {
        match self.h265 {
            true => "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\na=control:video\r\n",
            false => {
                "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:video\r\n"
            }
        }
    }

    /// The n-th picture of a stream that repeats this one for ever, its time going on.
    pub fn at(&self, n: usize) -> Picture {
        let length = self.pictures.len();
        let mut picture = self.pictures[n % length].clone();
        picture.ticks += i64::try_from(n / length * length).unwrap() * 3600;
        picture
    }
}

pub const PCMU: &str = "m=audio 0 RTP/AVP 0\r\na=control:audio\r\n";
pub const PCMA: &str = "m=audio 0 RTP/AVP 8\r\na=control:audio\r\n";

pub fn sdp(media: &[&str]) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n{}",
        media.concat()
    )
}

fn units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut starts = Vec::new();
    for at in 0..stream.len().saturating_sub(2) {
        if stream[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
        }
    }
    let ends = starts
        .iter()
        .skip(1)
        .map(|start| start - 3)
        .chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let mut unit = stream[*start..end].to_vec();
            while unit.last() == Some(&0) {
                unit.pop();
            }
            unit
        })
        .collect()
}

/// A sequence parameter set of the main profile that ends before what it may say of its use.
fn without_vui(sps: &[u8]) -> Vec<u8> {
    assert_eq!(sps[1], 77);
    let bit = |at: usize| sps[at / 8] >> (7 - at % 8) & 1;
    let mut at = 32;
    let mut skip = |numbers: usize, flags: usize| {
        for _ in 0..numbers {
            let zeros = (0..).take_while(|n| bit(at + n) == 0).count();
            at += 2 * zeros + 1;
        }
        at += flags;
        bit(at - flags.min(1))
    };
    // Its number, frame numbers, order by count (0), counts, references; gaps; width and height.
    skip(5, 1);
    let frames_only = skip(2, 1);
    skip(0, if frames_only == 1 { 1 } else { 2 });
    if skip(0, 1) == 1 {
        skip(4, 0);
    }
    let bits: Vec<u8> = (0..at).map(bit).chain([0, 1]).collect();
    bits.chunks(8)
        .map(|byte| (0..8).fold(0, |value, n| value << 1 | byte.get(n).unwrap_or(&0)))
        .collect()
}

/// The packets of one stream, numbered.
#[derive(Debug, Clone)]
pub struct Rtp {
    pub payload_type: u8,
    pub ssrc: u32,
    pub seq: u16,
    /// The longest payload.
    pub mtu: usize,
}

impl Rtp {
    pub fn new(payload_type: u8) -> Self {
        Self {
            payload_type,
            ssrc: 0x1234_5678,
            seq: 100,
            mtu: 500,
        }
    }

    pub fn packet(&mut self, ticks: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, self.payload_type | u8::from(marker) << 7];
        packet.extend_from_slice(&self.seq.to_be_bytes());
        packet.extend_from_slice(&ticks.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        self.seq = self.seq.wrapping_add(1);
        packet
    }

    /// A picture at a time stamp of its own.
    pub fn picture(&mut self, h265: bool, picture: &Picture, ticks: u32) -> Vec<Vec<u8>> {
        let last = picture.units.len() - 1;
        let mut packets = Vec::new();
        for (n, unit) in picture.units.iter().enumerate() {
            let payloads = match unit.len() <= self.mtu {
                true => vec![unit.clone()],
                false => fragments(h265, unit, self.mtu),
            };
            let end = payloads.len() - 1;
            for (m, payload) in payloads.iter().enumerate() {
                packets.push(self.packet(ticks, n == last && m == end, payload));
            }
        }
        packets
    }
}

fn fragments(h265: bool, unit: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let (head, body) = unit.split_at(if h265 { 2 } else { 1 });
    let last = body.len().div_ceil(mtu) - 1;
    body.chunks(mtu)
        .enumerate()
        .map(|(n, chunk)| {
            let flags = u8::from(n == 0) << 7 | u8::from(n == last) << 6;
            let mut payload = match h265 {
                true => vec![
                    head[0] & 0x81 | 49 << 1,
                    head[1],
                    flags | head[0] >> 1 & 0x3f,
                ],
                false => vec![head[0] & 0xe0 | 28, flags | head[0] & 0x1f],
            };
            payload.extend_from_slice(chunk);
            payload
        })
        .collect()
}
