//! Synthetic scenes, drawn picture by picture: a bouncing ball, and a room that a person crosses now and then.

use std::ops::Range;

use crate::backoff::SplitMix;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// A bright ball that bounces in a dark room.
    Ball,
    /// A still, textured room; a person-sized figure crosses it at the end of every period.
    Visits,
}

/// Everything that decides what a scene looks like: equal options give equal pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SceneOptions {
    /// What is drawn.
    pub pattern: Pattern,
    /// Width in pixels, even.
    pub width: usize,
    /// Height in pixels, even.
    pub height: usize,
    /// Pictures per second.
    pub fps: u64,
    /// From the start of one empty stretch to the next, milliseconds.
    pub period_ms: u64,
    /// How long a figure is in the picture, milliseconds, at the end of each period.
    pub visit_ms: u64,
    /// Seed of texture, noise and direction.
    pub seed: u64,
    /// Pictures until the end, 0 for no end.
    pub frames: u64,
    /// Come at the pace of the clock.
    pub realtime: bool,
}

impl SceneOptions {
    /// The defaults of a scene.
    pub fn of(pattern: Pattern) -> Self {
        Self {
            pattern,
            width: 640,
            height: 360,
            fps: 15,
            period_ms: 10_000,
            visit_ms: 4_000,
            seed: 1,
            frames: 0,
            realtime: true,
        }
    }

    /// PTS of picture `n`, nanoseconds from the start.
    pub fn pts_ns(&self, n: u64) -> u64 {
        let ns = u128::from(n) * 1_000_000_000 / u128::from(self.fps.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// Bytes of one I420 picture without padding.
    pub fn picture_len(&self) -> usize {
        self.width * self.height * 3 / 2
    }
}

/// The numbers of the pictures in which something moves, below picture `until`.
///
/// The first `period - visit` seconds are empty; a ball never rests.
pub fn visits(options: &SceneOptions, until: u64) -> Vec<Range<u64>> {
    match options.pattern {
        Pattern::Ball => vec![Range {
            start: 0,
            end: until,
        }],
        Pattern::Visits => (0..)
            .map(|k| visit(options, k))
            .take_while(|range| range.start < until)
            .map(|range| range.start..range.end.min(until))
            .filter(|range| !range.is_empty())
            .collect(),
    }
}

/// The pictures of visit `k`.
fn visit(options: &SceneOptions, k: u64) -> Range<u64> {
    let frame_at = |ms: u64| ms.saturating_mul(options.fps).div_ceil(1000);
    let end = (k + 1).saturating_mul(options.period_ms);
    frame_at(end - options.visit_ms)..frame_at(end)
}

/// A whole number of rows of noise; odd, so that shifted rows do not line up from picture to picture.
const NOISE_LEN: usize = 65_521;

/// Draws the pictures of one scene in order.
#[derive(Debug)]
pub struct Painter {
    options: SceneOptions,
    background: Vec<u8>,
    figure: Vec<u8>,
    figure_width: usize,
    figure_height: usize,
    noise: Vec<u8>,
    random: SplitMix,
}

impl Painter {
    /// Prepares background, figure and noise.
    pub fn new(options: &SceneOptions) -> Self {
        let mut random = SplitMix(options.seed);
        let (figure_width, figure_height) = match options.pattern {
            Pattern::Ball => (options.height / 5, options.height / 5),
            // A person in the middle distance: half the picture high, a little over a third as wide.
            Pattern::Visits => (options.height / 5, options.height / 2),
        };
        let background = background(options, &mut random);
        let figure = texture(figure_width, figure_height, 6, 30, 90, &mut random);
        let noise = (0..NOISE_LEN)
            // The sum of two dice is closer to a sensor's noise than one die is: -2..=2, mostly 0 and ±1.
            .map(|_| {
                let bits = random.next();
                u8::try_from(bits % 3 + (bits >> 32) % 3).expect("at most 4")
            })
            .collect();
        Self {
            options: options.clone(),
            background,
            figure,
            figure_width,
            figure_height,
            noise,
            random,
        }
    }

    /// Draws picture `n` as I420 without padding.
    ///
    /// # Panics
    /// When `out` is not exactly [`SceneOptions::picture_len`] bytes long.
    pub fn draw(&mut self, n: u64, out: &mut [u8]) {
        assert_eq!(out.len(), self.options.picture_len(), "one I420 picture");
        let (width, height) = (self.options.width, self.options.height);
        let (luma, chroma) = out.split_at_mut(width * height);
        luma.copy_from_slice(&self.background);
        chroma.fill(128);
        match self.options.pattern {
            Pattern::Ball => {
                let (x, y) = self.ball_position(n);
                self.stamp_ball(luma, x, y);
            }
            Pattern::Visits => {
                if let Some((x, y)) = self.visitor_position(n) {
                    self.stamp_visitor(luma, chroma, x, y);
                }
                self.add_noise(luma);
            }
        }
    }

    fn add_noise(&mut self, luma: &mut [u8]) {
        for row in luma.chunks_mut(self.options.width) {
            let spare = (NOISE_LEN - row.len()) as u64;
            let at = usize::try_from(self.random.next() % spare).expect("below the table's length");
            for (pixel, noise) in row.iter_mut().zip(&self.noise[at..]) {
                *pixel = pixel.wrapping_add(*noise).wrapping_sub(2);
            }
        }
    }

    /// Left upper corner of the visitor, who enters and leaves by the sides.
    fn visitor_position(&self, n: u64) -> Option<(i64, i64)> {
        let ms = n * 1000 / self.options.fps;
        // Rounding up at the edges of a visit can put a picture into the neighbouring period.
        let k = ms / self.options.period_ms;
        let (k, range) = [k, k.saturating_sub(1)]
            .into_iter()
            .map(|k| (k, visit(&self.options, k)))
            .find(|(_, range)| range.contains(&n))?;
        let steps = signed(usize::try_from(range.end - range.start).ok()?);
        let step = signed(usize::try_from(n - range.start).ok()?);
        let width = signed(self.options.width);
        let figure = signed(self.figure_width);
        // A quarter of the figure is in the picture from the first to the last picture of the visit.
        let from = figure / 4 - figure;
        let to = width - figure / 4;
        let way = from + (to - from) * step / (steps - 1).max(1);
        let leftward = SplitMix(self.options.seed ^ k).next() & 1 == 1;
        let x = if leftward { width - figure - way } else { way };
        let bob = (step * 8 / signed(usize::try_from(self.options.fps).ok()?)) % 2;
        let y = signed(self.options.height - self.figure_height) * 3 / 4 + bob;
        Some((x, y))
    }

    /// Left upper corner of the ball: both coordinates go to and fro.
    fn ball_position(&self, n: u64) -> (i64, i64) {
        let bounce = |room: usize, seconds: u64| {
            let room = room as u64;
            let way = n * room * 2 / (self.options.fps * seconds).max(1) % (room * 2).max(1);
            i64::try_from(way.min(room * 2 - way)).unwrap_or(0)
        };
        (
            bounce(self.options.width - self.figure_width, 4),
            bounce(self.options.height - self.figure_height, 3),
        )
    }

    fn stamp_ball(&self, luma: &mut [u8], x: i64, y: i64) {
        let radius = signed(self.figure_width) / 2;
        self.stamp(x, y, |at, column, row| {
            let (dx, dy) = (signed(column) - radius, signed(row) - radius);
            if dx * dx + dy * dy <= radius * radius {
                luma[at] = 220;
            }
        });
    }

    fn stamp_visitor(&self, luma: &mut [u8], chroma: &mut [u8], x: i64, y: i64) {
        let (width, height) = (self.options.width, self.options.height);
        self.stamp(x, y, |at, column, row| {
            luma[at] = self.figure[row * self.figure_width + column];
            // A bluish coat: one chroma sample for four pixels.
            let (px, py) = (at % width, at / width);
            if row > self.figure_height / 6 && px % 2 == 0 && py % 2 == 0 {
                let sample = py / 2 * (width / 2) + px / 2;
                chroma[sample] = 150;
                chroma[width * height / 4 + sample] = 112;
            }
        });
    }

    /// Calls `paint(index, column, row)` for each pixel of the figure's box that lies in the picture.
    fn stamp(&self, x: i64, y: i64, mut paint: impl FnMut(usize, usize, usize)) {
        for row in 0..self.figure_height {
            let Some(py) = inside(y + signed(row), self.options.height) else {
                continue;
            };
            for column in 0..self.figure_width {
                if let Some(px) = inside(x + signed(column), self.options.width) {
                    paint(py * self.options.width + px, column, row);
                }
            }
        }
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).expect("picture sizes are small")
}

fn inside(n: i64, limit: usize) -> Option<usize> {
    usize::try_from(n).ok().filter(|n| *n < limit)
}

fn background(options: &SceneOptions, random: &mut SplitMix) -> Vec<u8> {
    match options.pattern {
        Pattern::Ball => vec![32; options.width * options.height],
        Pattern::Visits => texture(options.width, options.height, 16, 110, 190, random),
    }
}

/// Blocks of random grey between `low` and `high`, with a fine grain inside them.
fn texture(
    width: usize,
    height: usize,
    block: usize,
    low: u64,
    high: u64,
    random: &mut SplitMix,
) -> Vec<u8> {
    let columns = width.div_ceil(block).max(1);
    let blocks: Vec<u64> = (0..columns * height.div_ceil(block).max(1))
        .map(|_| low + random.next() % (high - low))
        .collect();
    (0..width * height)
        .map(|at| {
            let (x, y) = (at % width, at / width);
            let grain = random.next() % 9;
            u8::try_from(blocks[y / block * columns + x / block] + grain).expect("below 200")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(pattern: Pattern) -> SceneOptions {
        SceneOptions {
            width: 160,
            height: 96,
            fps: 10,
            period_ms: 3000,
            visit_ms: 1000,
            ..SceneOptions::of(pattern)
        }
    }

    /// Pixels that differ by more than the noise can.
    fn changed(a: &[u8], b: &[u8]) -> usize {
        a.iter().zip(b).filter(|(a, b)| a.abs_diff(**b) > 8).count()
    }

    #[test]
    fn visits_follow_from_the_parameters() {
        let options = small(Pattern::Visits);
        assert_eq!(visits(&options, 65), vec![20..30, 50..60]);
        assert_eq!(visits(&options, 25), vec![Range { start: 20, end: 25 }]);
        assert_eq!(visits(&options, 20), Vec::<Range<u64>>::new());
        let defaults = SceneOptions::of(Pattern::Visits);
        assert_eq!(visits(&defaults, 400), vec![90..150, 240..300, 390..400]);
    }

    #[test]
    fn only_visits_move() {
        for seed in 1..6 {
            let options = SceneOptions {
                seed,
                ..small(Pattern::Visits)
            };
            let moving = visits(&options, 65);
            let mut painter = Painter::new(&options);
            let mut empty = vec![0; options.picture_len()];
            painter.draw(0, &mut empty);
            let mut picture = vec![0; options.picture_len()];
            for n in 1..65 {
                painter.draw(n, &mut picture);
                let inside = moving.iter().any(|range| range.contains(&n));
                let pixels = changed(&empty, &picture);
                assert_eq!(
                    pixels > 100,
                    inside,
                    "picture {n}, seed {seed}: {pixels} pixels"
                );
                assert!(inside || pixels == 0, "picture {n}: {pixels} pixels");
            }
        }
    }

    #[test]
    fn equal_seeds_draw_equal_pictures() {
        let draw = |seed| {
            let options = SceneOptions {
                seed,
                ..small(Pattern::Visits)
            };
            let mut picture = vec![0; options.picture_len()];
            Painter::new(&options).draw(25, &mut picture);
            picture
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn balls_never_rest() {
        let options = small(Pattern::Ball);
        assert_eq!(visits(&options, 9), vec![Range { start: 0, end: 9 }]);
        let mut painter = Painter::new(&options);
        let mut last = vec![0; options.picture_len()];
        let mut picture = last.clone();
        for n in 0..200 {
            painter.draw(n, &mut picture);
            assert!(changed(&last, &picture) > 0, "picture {n}");
            std::mem::swap(&mut last, &mut picture);
        }
    }

    proptest::proptest! {
        #[test]
        fn odd_options_draw(
            width in 32_usize..100, height in 32_usize..100, fps in 1_u64..120, period in 100_u64..5000,
            share in 1_u64..=100, n in 0_u64..2000,
        ) {
            let options = SceneOptions {
                width: width * 2,
                height: height * 2,
                fps,
                period_ms: period,
                visit_ms: (period * share / 100).max(1),
                ..SceneOptions::of(Pattern::Visits)
            };
            let mut picture = vec![0; options.picture_len()];
            Painter::new(&options).draw(n, &mut picture);
        }
    }
}
