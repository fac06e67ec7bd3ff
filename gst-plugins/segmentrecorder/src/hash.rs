//! BLAKE3 of a file while it is written, of which a few bytes at its beginning change at the end.
//!
//! The tree of the hash has the beginning as its leftmost leaves. So it is kept, and what follows is hashed once, in
//! ranges of which each is as long as all before it, as subtrees that are put together at the end.

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use blake3::{Hash, Hasher};

/// What can still change: four leaves of the tree, bytes.
const HEAD: usize = 4096;

/// The hash of what was written so far.
#[derive(Debug, Default)]
pub struct FileHasher {
    head: Vec<u8>,
    /// Of the ranges that are complete, and have others behind them.
    ranges: Vec<ChainingValue>,
    /// Of the range that was begun last, and its length so far.
    open: Option<(Hasher, u64)>,
}

impl FileHasher {
    /// Takes what was appended.
    pub fn update(&mut self, bytes: &[u8]) {
        let space = (HEAD - self.head.len()).min(bytes.len());
        let (head, mut rest) = bytes.split_at(space);
        self.head.extend_from_slice(head);
        while !rest.is_empty() {
            // The first range begins behind the head and is as long.
            let start = (HEAD as u64) << self.ranges.len();
            let (hasher, length) = self.open.get_or_insert_with(|| {
                let mut hasher = Hasher::new();
                hasher.set_input_offset(start);
                (hasher, 0)
            });
            if *length == start {
                self.ranges.push(hasher.finalize_non_root());
                self.open = None;
                continue;
            }
            let space = usize::try_from(start - *length).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(space.min(rest.len()));
            hasher.update(now);
            *length += now.len() as u64;
            rest = later;
        }
    }

    /// Whether bytes at a position can still change.
    pub fn can_change(&self, at: usize, length: usize) -> bool {
        at.saturating_add(length) <= self.head.len()
    }

    /// Takes note of bytes that were written over what was at the beginning.
    ///
    /// # Panics
    /// When they are not within what can change.
    pub fn change(&mut self, at: usize, bytes: &[u8]) {
        self.head[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The hash of the whole.
    pub fn finalize(&self) -> Hash {
        let Some((open, _)) = &self.open else {
            return blake3::hash(&self.head);
        };
        let head = Hasher::new().update(&self.head).finalize_non_root();
        let left = self.ranges.iter().fold(head, |left, right| {
            merge_subtrees_non_root(&left, right, Mode::Hash)
        });
        merge_subtrees_root(&left, &open.finalize_non_root(), Mode::Hash)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_the_hash_at_every_border_of_the_tree() {
        let bytes: Vec<u8> = (0..150_000_u32).map(|n| (n % 251) as u8).collect();
        let borders = (0..6).map(|n| HEAD << n);
        let lengths = borders.flat_map(|at| [at - 1, at, at + 1, at + 1023, at + 1024, at + 1025]);
        for length in [0, 1, 1023, 1024, 1025].into_iter().chain(lengths) {
            let bytes = &bytes[..length];
            for piece in [700, 1024, 4096, 5000, usize::MAX] {
                let mut hasher = FileHasher::default();
                bytes
                    .chunks(piece.min(length.max(1)))
                    .for_each(|piece| hasher.update(piece));
                assert_eq!(
                    hasher.finalize(),
                    blake3::hash(bytes),
                    "{length} by {piece}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn what_changes_at_the_beginning_counts(
            mut bytes in proptest::collection::vec(any::<u8>(), 1..40_000),
            pieces in proptest::collection::vec(1_usize..9000, 1..8),
            at in 0_usize..5000,
        ) {
            let mut hasher = FileHasher::default();
            let mut rest = &bytes[..];
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                hasher.update(now);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(hasher.finalize(), blake3::hash(&bytes));
            if hasher.can_change(at, 16) {
                hasher.change(at, &[7; 16]);
                bytes[at..at + 16].fill(7);
            }
            prop_assert_eq!(hasher.finalize(), blake3::hash(&bytes));
        }
    }
}
