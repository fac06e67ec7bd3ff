//! The rules by which a detector is scored: pictures that move, boxes that meet, and events where nothing is.

/// A box counts once this share of the thing is in the picture.
const VISIBLE: f64 = 0.5;
/// Seconds at each edge of motion that are not scored: three pictures of fifteen a second.
const GRACE: f64 = 0.2;
/// Pictures with motion closer than this, in seconds, are one event.
const EVENT_GAP: f64 = 1.0;
/// Two boxes meet when they share at least this part of what they cover together.
const MEET: f64 = 0.3;

/// Left, top, width and height.
pub type Rect = [f64; 4];

/// A thing in a picture.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    /// The part of it that is in the picture.
    pub at: Rect,
    /// Whether it moves, or has stopped for a while.
    pub moving: bool,
    /// Share of it that is in the picture.
    pub visible: f64,
}

impl Truth {
    fn counts(&self) -> bool {
        self.moving && self.visible >= VISIBLE
    }
}

/// What is true of a picture, and what was found in it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The things.
    pub truth: Vec<Truth>,
    /// The boxes of the detector.
    pub found: Vec<Rect>,
}

/// What was counted on a scene, or on several.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    /// Pictures that move and were found so, that do not and were, that do and were not.
    pub pictures: [usize; 3],
    /// Things, and those that a box meets.
    pub things: (usize, usize),
    /// Boxes, and those that meet a thing.
    pub boxes: (usize, usize),
    /// Events that touch no picture with a thing.
    pub false_events: usize,
    /// Stretches of pictures with things, and those that an event touches.
    pub passes: (usize, usize),
    /// Seconds that were scored.
    pub seconds: f64,
}

impl Score {
    /// F1 of the pictures that move; 1 where there is nothing to find.
    pub fn f1(&self) -> f64 {
        let [hit, wrong, missed] = self.pictures;
        share(2 * hit, 2 * hit + wrong + missed)
    }

    /// Share of the things that a box meets.
    pub fn recall(&self) -> f64 {
        share(self.things.1, self.things.0)
    }

    /// Share of the boxes that meet a thing.
    pub fn precision(&self) -> f64 {
        share(self.boxes.1, self.boxes.0)
    }

    /// False events in an hour of such scenes.
    pub fn false_events_an_hour(&self) -> f64 {
        self.false_events as f64 / self.seconds * 3600.0
    }

    /// Adds what was counted on another scene.
    pub fn add(&mut self, other: Self) {
        let both = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
        for (sum, count) in self.pictures.iter_mut().zip(other.pictures) {
            *sum += count;
        }
        self.things = both(self.things, other.things);
        self.boxes = both(self.boxes, other.boxes);
        self.passes = both(self.passes, other.passes);
        self.false_events += other.false_events;
        self.seconds += other.seconds;
    }
}

fn share(part: usize, of: usize) -> f64 {
    if of == 0 {
        1.0
    } else {
        part as f64 / of as f64
    }
}

/// Share of what two rectangles cover together that both cover.
pub fn overlap(a: Rect, b: Rect) -> f64 {
    let side = |i: usize| (a[i] + a[i + 2]).min(b[i] + b[i + 2]) - a[i].max(b[i]);
    let (w, h) = (side(0), side(1));
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    w * h / (a[2] * a[3] + b[2] * b[3] - w * h)
}

/// First and last of each run of set flags, joined over gaps of up to `gap`.
fn runs(flags: impl Iterator<Item = bool>, gap: usize) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (n, _) in flags.enumerate().filter(|(_, set)| *set) {
        match runs.last_mut() {
            Some((_, last)) if n - *last <= gap => *last = n,
            _ => runs.push((n, n)),
        }
    }
    runs
}

/// Scores the pictures of a scene at `fps` a second.
pub fn score(seen: &[Seen], fps: f64) -> Score {
    let (grace, gap) = ((GRACE * fps).round() as usize, (EVENT_GAP * fps) as usize);
    let near = |first: usize, last: usize| {
        let end = (last + grace + 1).min(seen.len());
        seen[first.saturating_sub(grace)..end]
            .iter()
            .any(|s| !s.truth.is_empty())
    };
    let (mut hit, mut wrong, mut missed) = (0, 0, 0);
    let (mut things, mut met, mut boxes, mut good) = (0, 0, 0, 0);
    for (n, Seen { truth, found }) in seen.iter().enumerate() {
        let moves = truth.iter().any(Truth::counts);
        // Things that enter, leave or have stopped are neither right nor wrong.
        if !moves && near(n, n) {
            continue;
        }
        match (moves, !found.is_empty()) {
            (true, true) => hit += 1,
            (true, false) => missed += 1,
            (false, true) => wrong += 1,
            (false, false) => {}
        }
        let meets = |a: Rect, b: Rect| overlap(a, b) >= MEET;
        for thing in truth.iter().filter(|thing| thing.counts()) {
            things += 1;
            met += usize::from(found.iter().any(|&at| meets(thing.at, at)));
        }
        boxes += found.len();
        good += found
            .iter()
            .filter(|&&at| truth.iter().any(|thing| meets(thing.at, at)))
            .count();
    }
    let events = runs(seen.iter().map(|s| !s.found.is_empty()), gap);
    let passes = runs(seen.iter().map(|s| !s.truth.is_empty()), gap);
    let touched = |&(first, last): &(usize, usize)| {
        events.iter().any(|&(from, to)| from <= last && to >= first)
    };
    Score {
        pictures: [hit, wrong, missed],
        things: (things, met),
        boxes: (boxes, good),
        false_events: events.iter().filter(|&&(a, b)| !near(a, b)).count(),
        passes: (
            passes.len(),
            passes.iter().filter(|pass| touched(pass)).count(),
        ),
        seconds: seen.len() as f64 / fps,
    }
}

#[test]
fn boxes_meet_by_what_they_share() {
    let a = [0.0, 0.0, 10.0, 10.0];
    assert_eq!(overlap(a, a), 1.0);
    assert_eq!(overlap(a, [10.0, 0.0, 5.0, 5.0]), 0.0);
    assert_eq!(overlap(a, [5.0, 0.0, 10.0, 10.0]), 50.0 / 150.0);
}

#[test]
fn each_kind_of_mistake_is_counted() {
    let thing = |x: f64, moving: bool, visible: f64| Truth {
        at: [x, 0.0, 10.0, 10.0],
        moving,
        visible,
    };
    let at = |x: f64| [x, 0.0, 10.0, 10.0];
    let empty = || Seen::default();
    let mut seen: Vec<Seen> = (0..100).map(|_| empty()).collect();
    // Entering: not scored. Then ten pictures, of which one is missed and one has a second, wrong box.
    seen[20].truth.push(thing(0.0, true, 0.2));
    for picture in &mut seen[21..31] {
        picture.truth.push(thing(0.0, true, 1.0));
        picture.found.push(at(1.0));
    }
    seen[25].found.clear();
    seen[26].found.push(at(50.0));
    // One that stands still: found or not is all the same, its box is right.
    seen[31].truth.push(thing(0.0, false, 1.0));
    seen[31].found.push(at(0.0));
    // Two false pictures far from it, one event; one beside it belongs to it.
    seen[33].found.push(at(0.0));
    for n in [70, 75] {
        seen[n].found.push(at(0.0));
    }
    let score = score(&seen, 15.0);
    assert_eq!(score.recall(), 0.9);
    assert_eq!(score.precision(), 9.0 / 12.0);
    assert_eq!(score.f1(), 18.0 / 21.0);
    assert_eq!((score.false_events, score.passes), (1, (1, 1)));
}
