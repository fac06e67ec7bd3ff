//! AAC in its high bit rate mode (RFC 3640): access units by their headers, whole or in fragments.

use super::{Fault, Payload};

/// An access unit is at most 6144 bits a channel, and there are at most eight channels.
const LARGEST: usize = 8192;
/// Bits of the header of an access unit: 13 of its size, 3 of its index.
const HEADER_BITS: usize = 16;

/// Takes the access units of one stream apart.
#[derive(Debug, Default)]
pub struct AacUnits {
    /// The access unit whose end has not come yet, its time stamp and its size.
    open: Option<(i64, usize, Vec<u8>)>,
}

impl AacUnits {
    /// Hands each access unit that is whole to `out`, with its place among those of the packet's time stamp.
    ///
    /// # Errors
    /// When the packet had to be dropped.
    pub fn push(
        &mut self,
        payload: &Payload<'_>,
        mut out: impl FnMut(u32, &[u8]),
    ) -> Result<(), Fault> {
        let malformed = Err(Fault::Malformed("an access unit that breaks off"));
        let Some((bits, rest)) = payload.data.split_first_chunk::<2>() else {
            return malformed;
        };
        let bits = usize::from(u16::from_be_bytes(*bits));
        let Some((headers, mut data)) = rest.split_at_checked(bits.div_ceil(8)) else {
            return malformed;
        };
        if bits < HEADER_BITS || bits % HEADER_BITS != 0 {
            return Err(Fault::Malformed("headers of an unknown size"));
        }
        let sizes = headers
            .chunks_exact(2)
            .map(|header| usize::from(u16::from_be_bytes([header[0], header[1]]) >> 3));
        let only = bits == HEADER_BITS;
        if payload.lost {
            self.open = None;
        }
        for (place, size) in (0..).zip(sizes) {
            if only && size > data.len() {
                return self.fragment(payload, size, data, out);
            }
            self.open = None;
            let Some((unit, after)) = data.split_at_checked(size) else {
                return malformed;
            };
            if !unit.is_empty() {
                out(place, unit);
            }
            data = after;
        }
        Ok(())
    }

    fn fragment(
        &mut self,
        payload: &Payload<'_>,
        size: usize,
        data: &[u8],
        mut out: impl FnMut(u32, &[u8]),
    ) -> Result<(), Fault> {
        if size > LARGEST {
            self.open = None;
            return Err(Fault::TooLarge);
        }
        let (ticks, expected, mut unit) = match self.open.take() {
            Some(open) if open.0 == payload.ticks && open.1 == size => open,
            _ => (payload.ticks, size, Vec::with_capacity(size)),
        };
        unit.extend_from_slice(data);
        if unit.len() == expected {
            out(0, &unit);
        } else if unit.len() < expected && !payload.marker {
            self.open = Some((ticks, expected, unit));
        } else {
            return Err(Fault::Malformed("an access unit that breaks off"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn push(units: &mut AacUnits, data: &[u8], marker: bool) -> (Vec<(u32, Vec<u8>)>, bool) {
        let mut out = Vec::new();
        let payload = Payload {
            data,
            ticks: 7,
            marker,
            lost: false,
            received: Instant::now(),
        };
        let fine = units
            .push(&payload, |place, unit| out.push((place, unit.to_vec())))
            .is_ok();
        (out, fine)
    }

    #[test]
    fn units_come_apart() {
        let header = |size: u16| (size << 3).to_be_bytes();
        let two = [&[0, 32][..], &header(2), &header(3), &[1, 2, 3, 4, 5]].concat();
        let mut units = AacUnits::default();
        assert_eq!(
            push(&mut units, &two, true),
            (vec![(0, vec![1, 2]), (1, vec![3, 4, 5])], true)
        );
        let part = |data: &[u8]| [&[0, 16][..], &header(4), data].concat();
        assert_eq!(push(&mut units, &part(&[1, 2]), false), (vec![], true));
        assert_eq!(
            push(&mut units, &part(&[3, 4]), true),
            (vec![(0, vec![1, 2, 3, 4])], true)
        );
        // The end is missing, and it does not spoil the next one.
        assert_eq!(push(&mut units, &part(&[1, 2]), true), (vec![], false));
        assert_eq!(push(&mut units, &two, true).0.len(), 2);
        for bad in [&[][..], &[0], &[0, 16], &[0, 15, 1, 1], &[255, 255, 0]] {
            assert_eq!(push(&mut units, bad, true), (vec![], false), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_memory_is_bounded(
            packets in proptest::collection::vec(
                (proptest::collection::vec(proptest::num::u8::ANY, 0..80), proptest::bool::ANY), 0..20),
        ) {
            let mut units = AacUnits::default();
            for (data, marker) in packets {
                push(&mut units, &data, marker);
                proptest::prop_assert!(units.open.as_ref().is_none_or(|open| open.2.len() <= LARGEST));
            }
        }
    }
}
