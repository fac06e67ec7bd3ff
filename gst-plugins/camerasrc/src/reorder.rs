//! Decoding times for pictures that come in decoding order with presentation times only.
//!
//! Without B pictures both are the same. With them a picture is decoded when the n-th earlier one is shown, n being
//! how many pictures overtake. Most streams say n; where they do not, it is learnt from their pictures.

/// More pictures than this never overtake one: H.264 and H.265 allow 16.
const DEEPEST: usize = 16;

/// What is known about a picture's decoding time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It is decoded then.
    Decode(i64),
    /// It is shown before the picture at which decoding began, and cannot be decoded.
    Leading,
    /// It was overtaken by more pictures than any before: decoding times given out were too late.
    TooDeep,
}

/// The presentation times that are on their way.
#[derive(Debug, Default)]
pub struct Reorder {
    depth: usize,
    /// The depth is the stream's own word and not learnt.
    declared: bool,
    /// Sorted; at most `depth` of them wait for their turn.
    waiting: Vec<i64>,
    /// The last presentation times in the order they came.
    recent: Vec<i64>,
    start: Option<i64>,
    leading: bool,
    count: usize,
    last: Option<i64>,
}

impl Reorder {
    /// Decoding begins anew at the next picture; what was learnt about the depth stays.
    pub fn restart(&mut self) {
        *self = Self {
            depth: self.depth,
            declared: self.declared,
            ..Self::default()
        };
    }

    /// Takes the stream's word for the depth, `None` where it gives none; decoding begins anew where it is another.
    pub fn declare(&mut self, depth: Option<usize>) {
        let new = match depth {
            Some(depth) => depth.min(DEEPEST),
            // What was learnt still holds, a word that is withdrawn does not.
            None if self.declared => 0,
            None => self.depth,
        };
        if new != self.depth {
            self.restart();
        }
        (self.depth, self.declared) = (new, depth.is_some());
    }

    /// Learns the depth from pictures that come next.
    pub fn foresee(&mut self, pts: impl Iterator<Item = i64>) {
        let mut ahead = Self::default();
        pts.for_each(|pts| ahead.learn(pts));
        if !self.declared && ahead.depth > self.depth {
            self.depth = ahead.depth;
            self.restart();
        }
    }

    /// Whether one of the last pictures has this presentation time.
    pub fn has_seen(&self, pts: i64) -> bool {
        self.recent.contains(&pts)
    }

    /// How many pictures overtake one, as far as is known.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Looks at a picture that is not sent, to learn the depth.
    pub fn learn(&mut self, pts: i64) {
        if !self.declared {
            self.depth = self.depth.max(self.overtaken(pts));
        }
        if self.recent.len() == DEEPEST {
            self.recent.remove(0);
        }
        self.recent.push(pts);
    }

    fn overtaken(&self, pts: i64) -> usize {
        self.recent.iter().filter(|other| **other > pts).count()
    }

    /// The decoding time of the next picture; `nominal` is what a picture lasts.
    pub fn order(&mut self, pts: i64, nominal: i64) -> Order {
        let start = *self.start.get_or_insert_with(|| {
            self.leading = true;
            pts
        });
        if self.leading && pts < start {
            // Leading pictures follow the key frame at once, so the first later picture ends them.
            return Order::Leading;
        }
        self.leading &= pts <= start;
        self.learn(pts);
        let at = self.waiting.partition_point(|other| *other <= pts);
        self.waiting.insert(at, pts);
        self.count += 1;
        let dts = if self.waiting.len() > self.depth {
            self.waiting.remove(0)
        } else {
            let missing = i64::try_from(self.depth + 1 - self.count.min(self.depth))
                .expect("at most sixteen");
            start - missing * nominal
        };
        if dts > pts || self.last.is_some_and(|last| pts < last) {
            // Whatever the stream says of itself, this is what it does.
            self.declared = false;
            self.depth = self.depth.max(self.overtaken(pts));
            return Order::TooDeep;
        }
        self.last = Some(dts);
        Order::Decode(dts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: i64 = 40;

    fn run(reorder: &mut Reorder, pts: &[i64]) -> Vec<Order> {
        pts.iter().map(|pts| reorder.order(pts * F, F)).collect()
    }

    #[test]
    fn without_b_pictures_both_times_are_the_same() {
        let orders = run(&mut Reorder::default(), &[0, 1, 2, 3]);
        assert_eq!(orders, [0, 1, 2, 3].map(|n| Order::Decode(n * F)));
    }

    #[test]
    fn the_depth_is_learnt_and_used_from_the_next_start() {
        let mut reorder = Reorder::default();
        let group = [0, 4, 2, 1, 3, 8, 6, 5, 7];
        assert!(run(&mut reorder, &group).contains(&Order::TooDeep));
        for pts in group {
            reorder.learn((pts + 9) * F);
        }
        reorder.restart();
        let orders = run(&mut reorder, &group);
        let expected = [-2, -1, 0, 1, 2, 3, 4, 5, 6].map(|n| Order::Decode(n * F));
        assert_eq!(orders, expected);
    }

    #[test]
    fn a_declared_depth_holds_from_the_first_picture_on() {
        let mut reorder = Reorder::default();
        reorder.declare(Some(2));
        let orders = run(&mut reorder, &[0, 4, 2, 1, 3, 8, 6, 5, 7]);
        let expected = [-2, -1, 0, 1, 2, 3, 4, 5, 6].map(|n| Order::Decode(n * F));
        assert_eq!(orders, expected);
    }

    #[test]
    fn what_comes_next_tells_the_depth_too() {
        let group = [0, 4, 2, 1, 3, 8, 6, 5, 7];
        let mut reorder = Reorder::default();
        reorder.declare(None);
        reorder.foresee(group.iter().take(4).map(|pts| pts * F));
        let orders = run(&mut reorder, &group);
        let expected = [-2, -1, 0, 1, 2, 3, 4, 5, 6].map(|n| Order::Decode(n * F));
        assert_eq!(orders, expected);
        // Another connection of the same stream does not have to learn it again.
        reorder.declare(None);
        assert_eq!(reorder.depth(), 2);
    }

    #[test]
    fn a_false_word_is_not_believed_twice() {
        let mut reorder = Reorder::default();
        reorder.declare(Some(0));
        let group = [0, 3, 1, 2, 6, 4, 5];
        assert!(run(&mut reorder, &group).contains(&Order::TooDeep));
        reorder.restart();
        assert!(!run(&mut reorder, &group).contains(&Order::TooDeep));
    }

    #[test]
    fn pictures_before_the_first_key_frame_are_leading() {
        let orders = run(&mut Reorder::default(), &[4, 2, 3, 5]);
        assert_eq!(
            orders,
            [
                Order::Decode(4 * F),
                Order::Leading,
                Order::Leading,
                Order::Decode(5 * F)
            ]
        );
    }
}
