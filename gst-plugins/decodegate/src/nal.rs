//! What an access unit is to a decoder: a place to begin, a place to recover at, or neither; by its NAL units alone.
//!
//! Flags of buffers do not tell: a parser leaves recovery points without `DELTA_UNIT`, as if they were key frames.
//! Types of NAL units are those of ITU-T H.264 table 7-1 and H.265 table 7-1.

/// What a decoder can do with an access unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Begin here: an IDR of H.264, an IRAP of H.265.
    Key,
    /// Begin here and be right some pictures later.
    Recovery {
        /// Whether the picture becomes right piece by piece (intra refresh), not with the next pictures (open GOP).
        gradual: bool,
    },
    /// Decode it after what came before it.
    Delta,
}

/// The codec, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
}

/// How NAL units lie in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each after a start code.
    StartCodes,
    /// Each after its length, a big-endian number of this many bytes (1 to 4).
    Lengths(usize),
}

/// The most SEI bytes that are read for a recovery point.
const SEI_LIMIT: usize = 4096;
/// The payload type of a recovery point, in both codecs.
const RECOVERY_POINT: usize = 6;

/// The kind of the access unit in `data`; `None` when no picture is found in it.
pub fn kind_of(data: &[u8], codec: Codec, framing: Framing) -> Option<Kind> {
    let mut recovery = None;
    for unit in (Units { data, framing }) {
        let &first = unit.first()?;
        match codec {
            Codec::H264 => match first & 0x1f {
                5 => return Some(Kind::Key),
                1..=4 => return Some(recovery.unwrap_or(Kind::Delta)),
                6 => recovery = recovery.or(recovery_of(&unit[1..])),
                _ => {}
            },
            Codec::H265 => match first >> 1 & 0x3f {
                16..=21 => return Some(Kind::Key),
                0..=31 => return Some(recovery.unwrap_or(Kind::Delta)),
                39 => recovery = recovery.or(recovery_of(unit.get(2..)?)),
                _ => {}
            },
        }
    }
    None
}

/// The NAL units of a buffer, in order; with start codes each lasts to the end of the buffer, as far as anyone reads.
struct Units<'a> {
    data: &'a [u8],
    framing: Framing,
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self.framing {
            Framing::StartCodes => {
                let at = self.data.windows(3).position(|w| w == [0, 0, 1])?;
                self.data = &self.data[at + 3..];
                (!self.data.is_empty()).then_some(self.data)
            }
            Framing::Lengths(bytes) => loop {
                let (length, rest) = self.data.split_at_checked(bytes)?;
                let length = length
                    .iter()
                    .fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
                let length = length.min(rest.len());
                let (unit, rest) = rest.split_at(length);
                self.data = rest;
                if !unit.is_empty() {
                    return Some(unit);
                }
            },
        }
    }
}

/// The recovery point among the messages of an SEI, `payload` beginning behind the header of the NAL unit.
fn recovery_of(payload: &[u8]) -> Option<Kind> {
    let bytes = unescaped(&payload[..payload.len().min(SEI_LIMIT)]);
    let mut rest = bytes.as_slice();
    // Two bytes at least: what follows the last message is the stop bit.
    while rest.len() > 2 {
        let kind = number(&mut rest)?;
        let length = number(&mut rest)?;
        let message = rest.get(..length.min(rest.len()))?;
        if kind == RECOVERY_POINT {
            // `recovery_frame_cnt` is ue(v), `recovery_poc_cnt` is se(v): one bit says whether either is zero.
            let zero = message.first()? & 0x80 != 0;
            return Some(Kind::Recovery { gradual: !zero });
        }
        rest = &rest[message.len()..];
        if rest.starts_with(&[0, 0, 1]) || rest.starts_with(&[0, 0, 0, 1]) {
            break;
        }
    }
    None
}

/// A number in SEI spelling: 255 as often as it fits, and what is left.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let mut sum = 0;
    loop {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        sum += usize::from(byte);
        if byte != 255 {
            return Some(sum);
        }
    }
}

/// The bytes without those that keep start codes out of them.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(codec: Codec, units: &[&[u8]], expect: Option<Kind>) {
        for bytes in 1..=4 {
            let mut data = Vec::new();
            for unit in units {
                data.extend_from_slice(&(unit.len() as u32).to_be_bytes()[4 - bytes..]);
                data.extend_from_slice(unit);
            }
            let kind = kind_of(&data, codec, Framing::Lengths(bytes));
            assert_eq!(kind, expect, "{units:x?} with lengths of {bytes}");
        }
        let mut data = Vec::new();
        for unit in units {
            data.extend_from_slice(&[0, 0, 0, 1]);
            data.extend_from_slice(unit);
        }
        let kind = kind_of(&data, codec, Framing::StartCodes);
        assert_eq!(kind, expect, "{units:x?} with start codes");
    }

    #[test]
    fn pictures_of_h264() {
        let check = |units: &[&[u8]], expect| check(Codec::H264, units, expect);
        check(&[&[0x65, 1, 2]], Some(Kind::Key));
        check(
            &[&[0x09, 0xf0], &[0x67, 1], &[0x68, 1], &[0x65]],
            Some(Kind::Key),
        );
        check(&[&[0x41, 1, 2]], Some(Kind::Delta));
        check(&[&[0x01, 1, 2], &[0x01, 3]], Some(Kind::Delta));
        check(&[&[0x67, 1], &[0x68, 1]], None);
        check(&[], None);
        // Recovery at once, and after some pictures; an IDR is a key frame whatever stands before it.
        let now: &[u8] = &[0x06, 0x06, 0x01, 0xc4, 0x80];
        let later: &[u8] = &[0x06, 0x06, 0x02, 0x05, 0x84, 0x80];
        check(&[now, &[0x41]], Some(Kind::Recovery { gradual: false }));
        check(&[later, &[0x41]], Some(Kind::Recovery { gradual: true }));
        check(&[now, &[0x65]], Some(Kind::Key));
        // Behind another message.
        let second: &[u8] = &[0x06, 0x05, 0x02, 7, 7, 0x06, 0x01, 0xc4, 0x80];
        check(&[second, &[0x41]], Some(Kind::Recovery { gradual: false }));
        check(
            &[&[0x06, 0x05, 0x02, 7, 7, 0x80], &[0x41]],
            Some(Kind::Delta),
        );
    }

    #[test]
    fn pictures_of_h265() {
        let check = |units: &[&[u8]], expect| check(Codec::H265, units, expect);
        let of = |kind: u8| [kind << 1, 1, 9];
        for key in 16..=21 {
            check(&[&of(32), &of(33), &of(34), &of(key)], Some(Kind::Key));
        }
        for delta in [0, 1, 6, 7, 8, 9] {
            check(&[&of(35), &of(delta)], Some(Kind::Delta));
        }
        let sei: &[u8] = &[39 << 1, 1, 0x06, 0x01, 0xd0, 0x80];
        check(&[sei, &of(1)], Some(Kind::Recovery { gradual: false }));
        check(&[sei, &of(21)], Some(Kind::Key));
        check(&[&of(33)], None);
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..200), bytes in 1usize..=4) {
            for codec in [Codec::H264, Codec::H265] {
                let _ = kind_of(&data, codec, Framing::Lengths(bytes));
                let _ = kind_of(&data, codec, Framing::StartCodes);
            }
        }
    }
}
