//! Whether anything moves, by pictures seconds apart: key frames that come alone while a decoder sleeps.
//!
//! Each block of the picture has a mean and a variance; a picture whose blocks stray far from both shows motion.
//! The light of the whole picture is taken out first, and a block may look like its neighbours, so that neither a
//! cloud nor a shaking camera counts.
//! At a key frame every 2 to 4 s it missed none of 96 events, and saw something on none of 879 quiet key frames.

use super::detector::Config;
use super::grid::Luma;

/// Blocks along the longer side; they overlap by half.
const COLUMNS: usize = 80;
/// Share of a difference that the background takes over with a key frame: it knows the last dozen.
const FOLLOW: f32 = 1.0 / 12.0;
/// The same with a picture among many, of a scene that is known to be quiet: what came to stay is soon part of it.
const ADOPT: f32 = 1.0 / 4.0;
/// Pictures that are learned from before anything is said.
const LESSONS: u32 = 12;
/// Grey levels by which a block must differ, at the middle sensitivity.
const LEAST: f32 = 4.0;
/// The same in standard deviations of its noise.
const SIGMAS: f32 = 5.0;
/// Variance that a block has at least: encoders add noise of their own.
const MIN_VARIANCE: f32 = 0.15;
/// A difference counts into the variance by this many variances at most, so that what came to stay is no noise.
const OUTLIER: f32 = 16.0;
/// Share of the way to its neighbours' darkest and brightest that a block may go.
const NEIGHBOURS: f32 = 0.5;
/// Blocks that must differ.
const HITS: usize = 2;

/// What a scene looks like when nothing moves in it.
#[derive(Debug)]
pub struct KeyModel {
    size: (usize, usize),
    layout: Layout,
    mean: Vec<f32>,
    variance: Vec<f32>,
    /// The picture that was learned last.
    last: Vec<f32>,
    /// False for blocks that a mask hides, or that lie in no zone where only zones count.
    counts: Vec<bool>,
    lessons: u32,
}

/// Where the blocks lie.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Side of a cell, half that of a block, in pixels.
    cell: usize,
    cols: usize,
    rows: usize,
}

/// The gain and offset that make one picture of another.
#[derive(Debug, Clone, Copy)]
struct Light {
    gain: f32,
    offset: f32,
}

impl KeyModel {
    /// Begins to learn with a first picture.
    pub fn new(luma: Luma<'_>, config: &Config) -> Self {
        let side = luma.width.max(luma.height);
        let cell = side
            .div_ceil(COLUMNS)
            .clamp(2, luma.width.min(luma.height) / 2);
        let layout = Layout {
            cell,
            cols: luma.width / cell - 1,
            rows: luma.height / cell - 1,
        };
        let mean = layout.blocks(luma);
        let mut model = Self {
            size: (luma.width, luma.height),
            layout,
            variance: vec![1.0; mean.len()],
            counts: Vec::new(),
            last: mean.clone(),
            mean,
            lessons: 1,
        };
        model.redraw(config);
        model
    }

    /// Whether a picture has the size that was learned.
    pub fn fits(&self, luma: Luma<'_>) -> bool {
        self.size == (luma.width, luma.height)
    }

    /// Lays masks and zones over the blocks again.
    pub fn redraw(&mut self, config: &Config) {
        let Layout { cell, cols, rows } = self.layout;
        let share = |cells: usize, side: usize| (cells * cell) as f64 / side as f64;
        let zones = config.zones_only && !config.zones.is_empty();
        self.counts = (0..cols * rows)
            .map(|k| {
                let x = share(k % cols + 1, self.size.0);
                let y = share(k / cols + 1, self.size.1);
                let hidden = config.masks.iter().any(|mask| mask.contains(x, y));
                let wanted = !zones || config.zones.iter().any(|z| z.polygon.contains(x, y));
                !hidden && wanted
            })
            .collect();
    }

    /// Whether it has seen enough pictures to say anything.
    pub fn is_ready(&self) -> bool {
        self.lessons >= LESSONS
    }

    /// Whether something moves in a picture; the background follows it as far as nothing does.
    pub fn look(&mut self, luma: Luma<'_>, sensitivity: f64) -> bool {
        let blocks = self.layout.blocks(luma);
        let light = self.light(&blocks);
        let least = LEAST * f64::exp2(1.0 - 2.0 * sensitivity.clamp(0.0, 1.0)) as f32;
        let hits = (0..blocks.len())
            .filter(|&k| {
                self.counts[k] && self.strays(k, light.of(self.mean[k]), blocks[k], light, least)
            })
            .count();
        let moves = hits >= HITS;
        if !moves {
            self.follow(&blocks, FOLLOW);
        }
        moves
    }

    /// Follows a picture in which nothing moves: what is there now belongs there.
    pub fn learn(&mut self, luma: Luma<'_>) {
        let blocks = self.layout.blocks(luma);
        let pairs = blocks.iter().zip(&self.last);
        for (mean, (&now, &last)) in self.mean.iter_mut().zip(pairs) {
            // Other than usual, twice alike, and nothing moves: it was put there, or the light is another one.
            if (now - *mean).abs() > LEAST && (now - last).abs() < LEAST / 2.0 {
                *mean = (now + last) / 2.0;
            }
        }
        let share = (1.0 / (self.lessons as f32 + 1.0)).max(ADOPT);
        self.follow(&blocks, share);
        self.lessons = self.lessons.saturating_add(1);
        self.last = blocks;
    }

    fn strays(&self, k: usize, usual: f32, now: f32, light: Light, least: f32) -> bool {
        let away = now - usual;
        let sigma = self.variance[k].max(MIN_VARIANCE).sqrt();
        if away.abs() <= least.max(SIGMAS * sigma) {
            return false;
        }
        let (low, high) = self.neighbourhood(k);
        let (low, high) = (light.of(low), light.of(high));
        let allowed = match away > 0.0 {
            true => NEIGHBOURS * (high - usual),
            false => NEIGHBOURS * (usual - low),
        };
        away.abs() - allowed > least.max(SIGMAS * sigma)
    }

    /// The darkest and the brightest of a block and those around it.
    fn neighbourhood(&self, k: usize) -> (f32, f32) {
        let Layout { cols, rows, .. } = self.layout;
        let (col, row) = (k % cols, k / cols);
        let mut ends = (self.mean[k], self.mean[k]);
        for row in row.saturating_sub(1)..(row + 2).min(rows) {
            for col in col.saturating_sub(1)..(col + 2).min(cols) {
                let mean = self.mean[row * cols + col];
                ends = (ends.0.min(mean), ends.1.max(mean));
            }
        }
        ends
    }

    fn follow(&mut self, blocks: &[f32], share: f32) {
        for ((mean, variance), &now) in self.mean.iter_mut().zip(&mut self.variance).zip(blocks) {
            let away = now - *mean;
            let squared = (away * away).min(OUTLIER * variance.max(MIN_VARIANCE));
            *mean += share * away;
            *variance += FOLLOW * (squared - *variance);
        }
    }

    /// The light by which the background becomes the picture: a line through all blocks, and again through those that
    /// are near it.
    fn light(&self, blocks: &[f32]) -> Light {
        let mut light = Light {
            gain: 1.0,
            offset: 0.0,
        };
        // Half the blocks may show something else.
        for limit in [f32::MAX, 24.0, 8.0] {
            let near = self
                .mean
                .iter()
                .zip(blocks)
                .filter(|(mean, now)| (**now - light.of(**mean)).abs() <= limit);
            light = Light::through(near).unwrap_or(light);
        }
        light
    }
}

impl Light {
    fn of(self, mean: f32) -> f32 {
        self.gain * mean + self.offset
    }

    /// The line of least squares; with too few points, or no contrast, an offset alone.
    fn through<'a>(points: impl Iterator<Item = (&'a f32, &'a f32)>) -> Option<Self> {
        let (mut n, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (&mean, &now) in points {
            let (mean, now) = (f64::from(mean), f64::from(now));
            n += 1.0;
            x += mean;
            y += now;
            xx += mean * mean;
            xy += mean * now;
        }
        if n < 4.0 {
            return None;
        }
        let spread = xx / n - (x / n) * (x / n);
        let gain = match spread > 4.0 {
            true => ((xy / n - x / n * (y / n)) / spread).clamp(0.5, 2.0),
            false => 1.0,
        };
        Some(Self {
            gain: gain as f32,
            offset: ((y - gain * x) / n) as f32,
        })
    }
}

impl Layout {
    /// The means of all blocks, row by row, grey levels.
    fn blocks(self, luma: Luma<'_>) -> Vec<f32> {
        let Self { cell, cols, rows } = self;
        let mut sums = vec![0u32; (cols + 1) * (rows + 1)];
        for (row, sums) in sums.chunks_exact_mut(cols + 1).enumerate() {
            for y in row * cell..(row + 1) * cell {
                let line = &luma.data[y * luma.stride..][..(cols + 1) * cell];
                for (sum, pixels) in sums.iter_mut().zip(line.chunks_exact(cell)) {
                    *sum += pixels.iter().map(|&p| u32::from(p)).sum::<u32>();
                }
            }
        }
        let scale = 1.0 / (4 * cell * cell) as f32;
        let at = |col: usize, row: usize| sums[row * (cols + 1) + col];
        (0..cols * rows)
            .map(|k| {
                let (col, row) = (k % cols, k / cols);
                let sum = at(col, row) + at(col + 1, row) + at(col, row + 1) + at(col + 1, row + 1);
                sum as f32 * scale
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 320;
    const HEIGHT: usize = 180;

    /// A textured scene with noise by `seed`, its light by gain and offset, and a square at (x, y) of some side.
    fn picture(seed: u32, gain: f32, offset: f32, thing: Option<(usize, usize, usize)>) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        (0..WIDTH * HEIGHT)
            .map(|n| {
                let (x, y) = (n % WIDTH, n / WIDTH);
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let noise = (state % 9) as f32 - 4.0;
                let scene = 90.0 + ((x / 20 * 37 + y / 15 * 53) % 60) as f32;
                let inside = thing.is_some_and(|(left, top, side)| {
                    (left..left + side).contains(&x) && (top..top + side).contains(&y)
                });
                let value = if inside { 200.0 } else { scene };
                (value * gain + offset + noise).clamp(0.0, 255.0) as u8
            })
            .collect()
    }

    fn luma(data: &[u8]) -> Luma<'_> {
        Luma::new(data, WIDTH, WIDTH, HEIGHT).unwrap()
    }

    fn learned(config: &Config) -> KeyModel {
        let mut model = KeyModel::new(luma(&picture(1, 1.0, 0.0, None)), config);
        for seed in 2..=LESSONS {
            assert!(!model.is_ready());
            model.learn(luma(&picture(seed, 1.0, 0.0, None)));
        }
        assert!(model.is_ready());
        model
    }

    #[test]
    fn things_are_seen_and_light_is_not() {
        let check = |gain: f32, offset: f32, thing, expect: bool| {
            let mut model = learned(&Config::default());
            let data = picture(99, gain, offset, thing);
            assert_eq!(
                model.look(luma(&data), 0.5),
                expect,
                "{gain} {offset} {thing:?}"
            );
        };
        for seed in 100..140 {
            let mut model = learned(&Config::default());
            assert!(
                !model.look(luma(&picture(seed, 1.0, 0.0, None)), 0.5),
                "{seed}"
            );
        }
        check(1.0, 0.0, Some((100, 60, 16)), true);
        check(1.0, 0.0, Some((2, 2, 12)), true);
        check(1.15, -6.0, None, false);
        check(0.8, 20.0, None, false);
        check(1.15, -6.0, Some((200, 100, 20)), true);
        check(1.0, 0.0, Some((0, 0, 170)), true);
    }

    #[test]
    fn masks_and_zones_say_where() {
        let mut config = Config {
            masks: nvr_contract::polygon::parse_masks("0,0 0.5,0 0.5,1 0,1").unwrap(),
            ..Config::default()
        };
        let check = |config: &Config, x: usize, expect: bool| {
            let mut model = learned(config);
            let data = picture(99, 1.0, 0.0, Some((x, 60, 20)));
            assert_eq!(model.look(luma(&data), 0.5), expect, "{x}");
        };
        check(&config, 60, false);
        check(&config, 240, true);
        config.masks.clear();
        config.zones = nvr_contract::polygon::parse_zones("a=0,0 0.5,0 0.5,1 0,1").unwrap();
        check(&config, 240, true);
        config.zones_only = true;
        check(&config, 240, false);
        check(&config, 60, true);
    }

    #[test]
    fn what_stays_becomes_part_of_the_scene() {
        let mut model = learned(&Config::default());
        let thing = Some((100, 60, 24));
        assert!(model.look(luma(&picture(50, 1.0, 0.0, thing)), 0.5));
        for seed in 51..53 {
            model.learn(luma(&picture(seed, 1.0, 0.0, thing)));
        }
        assert!(!model.look(luma(&picture(52, 1.0, 0.0, thing)), 0.5));
        // And is seen when it leaves, at once.
        assert!(model.look(luma(&picture(53, 1.0, 0.0, None)), 0.5));
    }

    #[test]
    fn any_size_that_the_element_takes() {
        for (width, height) in [(16, 16), (17, 4001), (1920, 16), (33, 20)] {
            let data = vec![100; width * height];
            let luma = Luma::new(&data, width, width, height).unwrap();
            let mut model = KeyModel::new(luma, &Config::default());
            assert!(!model.look(luma, 0.5), "{width}x{height}");
        }
    }
}
