//! The last groups of pictures, encoded: what can be decoded once it turns out that something happened.

use std::collections::VecDeque;

use crate::gate::Unit;
use crate::nal::Kind;

/// Groups of pictures that are kept, the running one included: something is seen on a key frame, it began in the
/// group before, and the next key frame may have come meanwhile.
const GROUPS: usize = 3;

/// How a picture was sent, if it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was not.
    No,
    /// As a key frame on its own, on which the detector says what it thinks.
    Alone,
    /// With all the others.
    Along,
}

#[derive(Debug, Clone)]
pub struct Entry<T> {
    pub unit: Unit,
    pub item: T,
    pub sent: Sent,
}

/// Whole groups of pictures, each from its key frame on, bounded in bytes, time and number.
#[derive(Debug)]
pub struct Ring<T> {
    entries: VecDeque<Entry<T>>,
    bytes: usize,
    groups: usize,
    /// Whether the next picture continues the last group: nothing was lost and the group did not become too large.
    whole: bool,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            groups: 0,
            whole: false,
        }
    }
}

impl<T> Ring<T> {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the picture that was pushed last can be decoded with what is held.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// A picture is missing: those that follow cannot be decoded, up to the next key frame.
    pub fn tear(&mut self) {
        self.whole = false;
    }

    /// Keeps a picture, and forgets the oldest groups beyond `max_bytes`, `max_ns` or the number that is useful.
    pub fn push(&mut self, unit: Unit, item: T, max_bytes: usize, max_ns: u64) {
        if unit.kind == Kind::Key {
            self.whole = true;
            self.groups += 1;
        } else if !self.whole {
            return;
        }
        self.bytes += unit.bytes;
        self.entries.push_back(Entry {
            unit,
            item,
            sent: Sent::No,
        });
        while self.groups > 0
            && (self.groups > GROUPS || self.bytes > max_bytes || self.span_ns() > max_ns)
        {
            self.drop_group();
        }
    }

    /// PTS from the oldest key frame to the newest picture, nanoseconds.
    fn span_ns(&self) -> u64 {
        let ends = self.entries.front().zip(self.entries.back());
        let ends = ends.and_then(|(first, last)| first.unit.pts_ns.zip(last.unit.pts_ns));
        ends.map_or(0, |(first, last)| last.saturating_sub(first))
    }

    fn drop_group(&mut self) {
        self.groups -= 1;
        // What the running group still gets is useless without its beginning.
        self.whole &= self.groups > 0;
        while let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.unit.bytes;
            if self
                .entries
                .front()
                .is_none_or(|next| next.unit.kind == Kind::Key)
            {
                break;
            }
        }
    }

    /// Where the group begins whose key frame `wanted` accepts, the latest such one.
    pub fn group_by(&self, wanted: impl Fn(&Unit) -> bool) -> Option<usize> {
        self.entries
            .iter()
            .rposition(|entry| entry.unit.kind == Kind::Key && wanted(&entry.unit))
    }

    /// The pictures from a place on.
    pub fn from(&mut self, start: usize) -> impl Iterator<Item = &mut Entry<T>> {
        self.entries.range_mut(start..)
    }

    /// All pictures, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry<T>> {
        self.entries.iter()
    }

    /// Notes how the newest picture was sent.
    pub fn mark_last(&mut self, sent: Sent) {
        if let Some(last) = self.entries.back_mut().filter(|_| self.whole) {
            last.sent = sent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(key: bool, n: u64, bytes: usize) -> Unit {
        Unit {
            kind: if key { Kind::Key } else { Kind::Delta },
            pts_ns: Some(n * 100),
            bytes,
            torn: false,
        }
    }

    /// What is left of pictures `k` and `d` of ten bytes each, 100 ns apart.
    fn check(pictures: &str, max_bytes: usize, max_ns: u64, expect: &str) {
        let mut ring = Ring::default();
        for (n, word) in pictures.chars().enumerate() {
            match word {
                'x' => ring.tear(),
                _ => ring.push(unit(word == 'k', n as u64, 10), n, max_bytes, max_ns),
            }
        }
        let left: Vec<String> = ring.iter().map(|entry| entry.item.to_string()).collect();
        assert_eq!(left.join(" "), expect, "{pictures}");
        assert_eq!(ring.bytes(), left.len() * 10);
    }

    #[test]
    fn whole_groups_stay() {
        check("ddkdd", 1000, 10_000, "2 3 4");
        check("kdkdkdkd", 1000, 10_000, "2 3 4 5 6 7");
        check("kddkdd", 50, 10_000, "3 4 5");
        check("kddkdd", 1000, 400, "3 4 5");
        // A group that is too large is of no use, nor is what follows it.
        check("kdddddd", 50, 10_000, "");
        check("kddddddkd", 50, 10_000, "7 8");
        check("kdxddkd", 1000, 10_000, "0 1 5 6");
    }

    proptest! {
        #[test]
        fn bounded_and_beginning_with_a_key(
            pictures in prop::collection::vec((prop::bool::weighted(0.2), 0usize..50, prop::bool::weighted(0.05)), 0..200),
            max_bytes in 1usize..400, max_ns in 1u64..3000,
        ) {
            let mut ring = Ring::default();
            for (n, (key, bytes, torn)) in pictures.into_iter().enumerate() {
                if torn {
                    ring.tear();
                }
                ring.push(unit(key, n as u64, bytes), n, max_bytes, max_ns);
                prop_assert!(ring.bytes() <= max_bytes);
                prop_assert!(ring.span_ns() <= max_ns);
                prop_assert!(ring.iter().next().is_none_or(|first| first.unit.kind == Kind::Key));
                prop_assert_eq!(ring.bytes(), ring.iter().map(|e| e.unit.bytes).sum::<usize>());
            }
        }
    }
}
