//! The parameter sets of a stream by kind and number: what a decoder has to know before the first picture.

use super::Codec;

/// More sets than this no camera needs.
const MOST: usize = 16;
/// A set is a few dozen bytes; this is far beyond all that are known.
const LONGEST: usize = 4096;

/// Parameter sets as NAL units with their headers, in the order they first came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterSets {
    units: Vec<(u8, u32, Vec<u8>)>,
}

impl ParameterSets {
    /// Takes a NAL unit; true when it says something new.
    pub fn put(&mut self, codec: Codec, unit: &[u8]) -> bool {
        if unit.len() > LONGEST || unit.len() <= codec.header() {
            return false;
        }
        let (kind, number) = (codec.kind(unit), number(codec, unit));
        let full = self.units.len() >= MOST;
        match self
            .units
            .iter_mut()
            .find(|(k, n, _)| (*k, *n) == (kind, number))
        {
            Some((_, _, old)) if old == unit => false,
            Some((_, _, old)) => {
                unit.clone_into(old);
                true
            }
            None if full => false,
            None => {
                self.units.push((kind, number, unit.to_vec()));
                true
            }
        }
    }

    /// The sets of one kind.
    pub fn of(&self, kind: u8) -> impl Iterator<Item = &[u8]> {
        self.units
            .iter()
            .filter(move |(k, ..)| *k == kind)
            .map(|(.., unit)| unit.as_slice())
    }

    /// Whether pictures after `self` can be decoded with `other` alone only from a key frame on: more than the
    /// picture parameter sets differ.
    pub fn differs_in_sequence(&self, other: &Self, codec: Codec) -> bool {
        let picture_sets = codec.sets().last();
        codec
            .sets()
            .iter()
            .filter(|kind| Some(*kind) != picture_sets)
            .any(|kind| !self.of(*kind).eq(other.of(*kind)))
    }
}

/// The number that a set is referred to by, where it is easy to find; sequence sets of H.265 count as one.
fn number(codec: Codec, unit: &[u8]) -> u32 {
    let body = match (codec, codec.kind(unit)) {
        (Codec::H264, 7) => unit.get(4..),
        (Codec::H264, _) => unit.get(1..),
        (Codec::H265, 34) => unit.get(2..),
        (Codec::H265, _) => None,
    };
    let Some(head) = body.and_then(|body| body.first()) else {
        return 0;
    };
    // An Exp-Golomb number; those that do not fit into a byte are not in use.
    let zeros = head.leading_zeros();
    match zeros {
        0..=3 => u32::from(head >> (7 - 2 * zeros)) - 1,
        _ => 255,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_kept_by_kind_and_number() {
        let mut sets = ParameterSets::default();
        let h264 = Codec::H264;
        // Numbers 0 and 1 are the bits 1 and 010.
        assert!(sets.put(h264, &[0x67, 100, 0, 31, 0b1000_0000, 1]));
        assert!(sets.put(h264, &[0x68, 0b1000_0000]));
        assert!(sets.put(h264, &[0x68, 0b0100_0000]));
        for unit in [
            &[0x67, 100, 0, 31, 0b1000_0000, 1][..],
            &[0x68, 0b1000_0000],
            &[0x68, 0b0100_0000],
            &[0x68],
            &[],
        ] {
            assert!(!sets.put(h264, unit), "{unit:?}");
        }
        let before = sets.clone();
        assert!(sets.put(h264, &[0x68, 0b0100_0001]));
        assert_eq!(sets.of(8).count(), 2);
        assert!(!sets.differs_in_sequence(&before, h264));
        assert!(sets.put(h264, &[0x67, 100, 0, 31, 0b1000_0000, 2]));
        assert!(sets.differs_in_sequence(&before, h264));
        assert_eq!(sets.of(7).count(), 1);
    }

    #[test]
    fn their_number_and_length_are_bounded() {
        let mut sets = ParameterSets::default();
        assert!(!sets.put(Codec::H264, &[0x68; LONGEST + 1]));
        for first in 0..=255 {
            for kind in 0..32 {
                sets.put(Codec::H264, &[kind, first, 0, 0, first]);
            }
        }
        assert_eq!(sets.units.len(), MOST);
    }
}
