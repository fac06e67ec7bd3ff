//! What a stream's parameter sets say about the order of its pictures: how many of them may overtake one.
//!
//! H.265 always says so; H.264 does in its VUI, or by what its profile and its references rule out.

/// The most that both standards allow.
const DEEPEST: u32 = 16;

/// How many pictures may overtake one, by the parameter sets in `codec_data`; `None` where they do not say.
pub fn reorder_depth(h265: bool, codec_data: &[u8]) -> Option<usize> {
    let depth = match h265 {
        true => h265_depth(&unescaped(first_h265_sps(codec_data)?)),
        false => h264_depth(&unescaped(first_h264_sps(codec_data)?)),
    }?;
    usize::try_from(depth.min(DEEPEST)).ok()
}

/// Whether the first slice of an H.264 picture of NAL units with four-byte lengths refers to two directions.
pub fn is_b_picture(mut data: &[u8]) -> bool {
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        match rest.first().map(|byte| byte & 0x1f) {
            // Both fields fit into the first bytes, emulation prevention and all.
            Some(1 | 5) => {
                let head = unescaped(rest.get(1..length.min(16)).unwrap_or_default());
                let mut bits = Bits::new(&head);
                let slice_type = bits.ue().and_then(|_first_mb| bits.ue());
                return slice_type.is_some_and(|kind| kind % 5 == 1);
            }
            _ => data = rest.get(length..).unwrap_or_default(),
        }
    }
    false
}

fn first_h264_sps(avcc: &[u8]) -> Option<&[u8]> {
    if avcc.get(5)? & 0x1f == 0 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([*avcc.get(6)?, *avcc.get(7)?]));
    // The first byte is the header of the NAL unit.
    avcc.get(8..8 + length)?.get(1..)
}

fn first_h265_sps(hvcc: &[u8]) -> Option<&[u8]> {
    let mut at = 23;
    for _ in 0..*hvcc.get(22)? {
        let kind = hvcc.get(at)? & 0x3f;
        let count = u16::from_be_bytes([*hvcc.get(at + 1)?, *hvcc.get(at + 2)?]);
        at += 3;
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes([*hvcc.get(at)?, *hvcc.get(at + 1)?]));
            let unit = hvcc.get(at + 2..at + 2 + length)?;
            if kind == 33 {
                return unit.get(2..);
            }
            at += 2 + length;
        }
    }
    None
}

fn h264_depth(sps: &[u8]) -> Option<u32> {
    let mut bits = Bits::new(sps);
    let profile = bits.u(8)?;
    let constraints = bits.u(8)?;
    bits.u(8)?;
    bits.ue()?;
    // Baseline has no B pictures, and the intra profiles have nothing else to wait for.
    let intra_only = constraints & 0x10 != 0 && matches!(profile, 44 | 100 | 110 | 122 | 244);
    if profile == 66 || intra_only {
        return Some(0);
    }
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        h264_chroma(&mut bits)?;
    }
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.u(1)?;
            bits.ue()?;
            bits.ue()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.ue()?;
            }
        }
        // Output order is decoding order.
        _ => return Some(0),
    }
    let references = bits.ue()?;
    bits.u(1)?;
    bits.ue()?;
    bits.ue()?;
    if bits.u(1)? == 0 {
        bits.u(1)?;
    }
    bits.u(1)?;
    if bits.u(1)? == 1 {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    let declared = match bits.u(1)? {
        1 => h264_vui_depth(&mut bits),
        _ => None,
    };
    // A picture between two others needs both of them.
    declared.or((references <= 1).then_some(0))
}

fn h264_chroma(bits: &mut Bits<'_>) -> Option<()> {
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.u(1)?;
    }
    bits.ue()?;
    bits.ue()?;
    bits.u(1)?;
    if bits.u(1)? == 1 {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.u(1)? == 1 {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(())
}

fn scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

fn h264_vui_depth(bits: &mut Bits<'_>) -> Option<u32> {
    if bits.u(1)? == 1 && bits.u(8)? == 255 {
        bits.u(32)?;
    }
    if bits.u(1)? == 1 {
        bits.u(1)?;
    }
    if bits.u(1)? == 1 {
        bits.u(4)?;
        if bits.u(1)? == 1 {
            bits.u(24)?;
        }
    }
    if bits.u(1)? == 1 {
        bits.ue()?;
        bits.ue()?;
    }
    if bits.u(1)? == 1 {
        bits.u(32)?;
        bits.u(32)?;
        bits.u(1)?;
    }
    let mut has_model = false;
    for _ in 0..2 {
        if bits.u(1)? == 1 {
            has_model = true;
            buffer_model(bits)?;
        }
    }
    if has_model {
        bits.u(1)?;
    }
    bits.u(1)?;
    if bits.u(1)? == 0 {
        return None;
    }
    bits.u(1)?;
    for _ in 0..4 {
        bits.ue()?;
    }
    bits.ue()
}

fn buffer_model(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.ue()?.min(31);
    bits.u(8)?;
    for _ in 0..=count {
        bits.ue()?;
        bits.ue()?;
        bits.u(1)?;
    }
    bits.u(20)?;
    Some(())
}

fn h265_depth(sps: &[u8]) -> Option<u32> {
    let mut bits = Bits::new(sps);
    bits.u(4)?;
    let sub_layers = bits.u(3)?;
    bits.u(1)?;
    // Profile and level of the whole, then of each layer that has its own.
    for _ in 0..3 {
        bits.u(32)?;
    }
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.u(1)?, bits.u(1)?));
    }
    if sub_layers > 0 {
        bits.u(2 * (8 - sub_layers))?;
    }
    for (profile, level) in present {
        if profile == 1 {
            bits.u(32)?;
            bits.u(32)?;
            bits.u(24)?;
        }
        if level == 1 {
            bits.u(8)?;
        }
    }
    bits.ue()?;
    if bits.ue()? == 3 {
        bits.u(1)?;
    }
    bits.ue()?;
    bits.ue()?;
    if bits.u(1)? == 1 {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    for _ in 0..3 {
        bits.ue()?;
    }
    let of_each = bits.u(1)? == 1;
    let mut depth = None;
    for _ in 0..if of_each { sub_layers + 1 } else { 1 } {
        bits.ue()?;
        // The last one speaks of all layers together.
        depth = Some(bits.ue()?);
        bits.ue()?;
    }
    depth
}

/// A payload without the bytes that keep start codes out of it.
fn unescaped(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut zeros = 0;
    for byte in data {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

/// Reads numbers of any width from the highest bit on; `None` past the end.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// The next `n` bits, at most 32.
    fn u(&mut self, n: u32) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..n {
            let byte = *self.data.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb number.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.u(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.u(zeros)?)
    }

    /// A signed Exp-Golomb number.
    fn se(&mut self) -> Option<i32> {
        let value = i64::from(self.ue()?);
        let signed = if value % 2 == 1 {
            (value + 1) / 2
        } else {
            -value / 2
        };
        i32::try_from(signed).ok()
    }
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;

    /// The codec data, and which pictures are B pictures, of what an encoder makes of a moving ball.
    fn encoded(chain: &str) -> Option<(Vec<u8>, Vec<bool>)> {
        gst::init().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the text is the test's own")]
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=20 pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 ! \
             {chain} ! appsink name=sink sync=false"
        ))
        .ok()?
        .downcast::<gst::Pipeline>()
        .unwrap();
        let sink = pipeline
            .by_name("sink")
            .and_downcast::<gst_app::AppSink>()
            .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut found = (Vec::new(), Vec::new());
        while let Ok(sample) = sink.pull_sample() {
            let caps = sample.caps().unwrap().structure(0).unwrap();
            let data = caps.get::<gst::Buffer>("codec_data").unwrap();
            found.0 = data.map_readable().unwrap().to_vec();
            let map = sample.buffer().unwrap().map_readable().unwrap();
            found.1.push(is_b_picture(&map));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        Some(found)
    }

    #[test]
    fn encoders_say_how_deep_they_reorder() {
        let h264 = |options: &str, profile: &str| {
            format!(
                "x264enc speed-preset=veryfast rc-lookahead=5 b-adapt=false {options} ! video/x-h264,profile={profile} ! \
                 h264parse ! video/x-h264,stream-format=avc,alignment=au"
            )
        };
        let h265 = |options: &str| {
            format!(
                "x265enc option-string=\"rc-lookahead=5:b-adapt=0:{options}\" ! h265parse ! \
                 video/x-h265,stream-format=hvc1,alignment=au"
            )
        };
        for (chain, is_h265, depth) in [
            (h264("bframes=0", "baseline"), false, 0),
            (h264("bframes=0", "main"), false, 0),
            (h264("bframes=2", "main"), false, 2),
            (h264("bframes=3 b-pyramid=true", "high"), false, 2),
            (h265("bframes=0"), true, 0),
            (h265("bframes=2:b-pyramid=0"), true, 1),
            (h265("bframes=3:b-pyramid=1"), true, 2),
        ] {
            let Some((data, b_pictures)) = encoded(&chain) else {
                println!("SKIP: no encoder for {chain}");
                continue;
            };
            assert_eq!(reorder_depth(is_h265, &data), Some(depth), "{chain}");
            if !is_h265 {
                assert_eq!(b_pictures.contains(&true), depth > 0, "{chain}");
                assert!(!b_pictures[0], "{chain}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(data in proptest::collection::vec(proptest::num::u8::ANY, 0..200), h265: bool) {
            let depth = reorder_depth(h265, &data);
            proptest::prop_assert!(depth.is_none_or(|depth| depth <= 16));
            is_b_picture(&data);
            h264_depth(&data);
            h265_depth(&data);
        }
    }
}
