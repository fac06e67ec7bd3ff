//! Opus (RFC 6716, RFC 7587): a packet is a payload, and its first bytes say how long it lasts.

/// A packet lasts at most 120 ms.
const LONGEST: i64 = 5760;

/// How long a packet lasts, in the 48 kHz that Opus counts in; `None` when it is no Opus.
pub fn opus_length(packet: &[u8]) -> Option<i64> {
    let head = packet.first()?;
    let frame = match head >> 3 {
        kind @ 0..=11 => [480, 960, 1920, 2880][usize::from(kind % 4)],
        kind @ 12..=15 => [480, 960][usize::from(kind % 2)],
        kind => [120, 240, 480, 960][usize::from(kind % 4)],
    };
    let frames = match head & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => i64::from(packet.get(1)? & 0x3f),
    };
    let length = frame * frames;
    (1..=LONGEST).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_length() {
        for (packet, expected) in [
            // 20 ms of each of the three kinds, one frame.
            (&[1 << 3, 0][..], Some(960)),
            (&[13 << 3, 0], Some(960)),
            (&[31 << 3, 0], Some(960)),
            (&[0, 0], Some(480)),
            (&[3 << 3, 0], Some(2880)),
            (&[16 << 3, 0], Some(120)),
            // Two frames, three frames, none, and more than fit.
            (&[31 << 3 | 1, 0], Some(1920)),
            (&[31 << 3 | 3, 3], Some(2880)),
            (&[31 << 3 | 3, 0], None),
            (&[3 << 3 | 3, 3], None),
            (&[31 << 3 | 3], None),
            (&[], None),
        ] {
            assert_eq!(opus_length(packet), expected, "{packet:?}");
        }
    }
}
