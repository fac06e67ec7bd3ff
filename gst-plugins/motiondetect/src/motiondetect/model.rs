//! The detector for one picture size: each step of it in order, and the memory that they share.

use std::collections::VecDeque;

use super::background::{Background, Look, Marks, Pace, Scene, Sight};
use super::camera::Camera;
use super::components::Components;
use super::confirm::{Beat, Confirm, Deed, MIN_ACTIVE, Shape};
use super::detector::{Config, Outcome, Thresholds, View};
use super::grid::{Grid, LANES, Luma};
use super::pace::Tick;
use super::regions::{self, Thing, fitted_box, is_solid, parted};
use super::shade::{Shaded, is_shade};
use super::simd::Level;
use super::upheaval::{Upheaval, Verdict};
use super::zones::{Raster, ZoneSet};

/// Pictures at most this close together, in nanoseconds, are too alike to tell activity by.
const MIN_AGE: u64 = 48_000_000;
/// Earlier pictures kept at most: enough for 60 a second.
const KEPT: usize = 4;
/// Nanoseconds between the pictures by which slow motion is told.
const SLOW_INTERVAL: u64 = 295_000_000;
/// The slowest pictures for which the learning time holds as it is; slower ones are learned from for longer.
const LEARN_STEP: f32 = 4.0 / 45.0;
/// Clearly foreground cells that a region needs.
const MIN_STRONG: usize = 3;
/// Foreground cells that a region needs.
const MIN_WEAK: usize = 4;
/// Above this share of foreground the background does not follow the light.
const LEAK_BELOW: f32 = 0.04;
/// Above this share of clear foreground it is another scene, not a thing in it.
const OTHER_SCENE: f32 = 0.75;
/// Seconds of another scene after which it is learned: what comes at once and then keeps still is taken over earlier.
const RELEARN_AFTER: f32 = 1.5;
/// With more cells than this that look as they did before, a lamp goes out, and pieces among them are part of it.
const MUCH_EXPLAINED: usize = 48;
/// Absorb times for which a thing that stands still is told from what blinks: its cells do not all fall quiet at once.
const REMEMBERED: f32 = 1.5;
/// Cells around what moves that keep their background.
const GUARD: usize = 2;

/// Everything that is known of the pictures of one size.
#[derive(Debug)]
pub struct Model {
    size: (usize, usize),
    grid: Grid,
    raster: Raster,
    camera: Camera,
    background: Background,
    components: Components,
    confirm: Confirm,
    weak: Vec<u8>,
    list: Vec<u32>,
    /// Cells that look as they did before something was absorbed there.
    explained: Vec<u32>,
    frozen: Vec<u8>,
    last_active: Vec<u64>,
    history: VecDeque<(u64, Sight)>,
    slow: Option<(u64, Sight)>,
    spare: Sight,
    /// Seconds learned so far, and pictures.
    learned: (f32, u32),
    upheaval: Upheaval,
    shaded: Shaded,
    /// Seconds, and pictures, of another scene so far.
    other_scene: (f32, u32),
}

/// One picture while it is worked on.
#[derive(Clone, Copy)]
struct Moment<'a> {
    tick: Tick,
    look: Look,
    limits: Thresholds,
    config: &'a Config,
    learning: bool,
    /// Whether this picture makes the slow comparison.
    slow: bool,
}

/// A group of foreground cells, measured.
#[derive(Debug, Default)]
struct Measure {
    weak: usize,
    strong: usize,
    active: usize,
    slow: usize,
    peak: f32,
    /// Sums of columns and rows of the foreground.
    place: (usize, usize),
    last_active: u64,
    zones: ZoneSet,
}

impl Measure {
    fn shape(&self) -> Shape {
        let mean = |sum: usize| sum as f32 / self.weak.max(1) as f32;
        Shape {
            center: (mean(self.place.0), mean(self.place.1)),
            cells: self.weak,
        }
    }
}

impl Model {
    /// Begins to learn with a first picture.
    pub fn new(luma: Luma<'_>, config: &Config, level: Level) -> Self {
        let grid = Grid::for_picture(luma.width, luma.height);
        let mut camera = Camera::new(grid, level);
        camera.see(luma);
        Self {
            size: (luma.width, luma.height),
            grid,
            raster: Raster::new(
                grid,
                (luma.width, luma.height),
                &config.masks,
                &config.zones,
            ),
            background: Background::new(grid, camera.still(), level),
            camera,
            components: Components::new(grid),
            confirm: Confirm::new(grid),
            weak: vec![0; grid.padded_len()],
            list: Vec::new(),
            explained: Vec::new(),
            frozen: vec![0; grid.padded_len()],
            last_active: vec![0; grid.len()],
            history: VecDeque::with_capacity(KEPT + 1),
            slow: None,
            spare: Sight::default(),
            learned: (0.0, 1),
            upheaval: Upheaval::default(),
            shaded: Shaded::default(),
            other_scene: (0.0, 0),
        }
    }

    /// Every bit of what was learned, for tests.
    #[cfg(test)]
    pub fn learned_bits(&self) -> Vec<u32> {
        self.background.bits()
    }

    /// What was seen in the last picture.
    pub fn view<'a>(&'a self, config: &'a Config) -> View<'a> {
        View {
            grid: self.grid,
            weak: &self.weak,
            frozen: &self.frozen,
            base: self.background.all(),
            masks: &config.masks,
            zones: &config.zones,
        }
    }

    /// Whether a picture has the size that was learned.
    pub fn fits(&self, luma: Luma<'_>) -> bool {
        self.size == (luma.width, luma.height)
    }

    /// Lays masks and zones over the grid again.
    pub fn redraw(&mut self, config: &Config) {
        self.raster = Raster::new(self.grid, self.size, &config.masks, &config.zones);
    }

    /// Forgets the last pictures, keeps the background.
    pub fn interrupt(&mut self) {
        self.history.clear();
        self.slow = None;
        self.confirm.clear();
        self.upheaval.clear();
        self.shaded.clear();
        self.other_scene = (0.0, 0);
    }

    /// Takes in the next picture.
    pub fn process(&mut self, luma: Luma<'_>, tick: Tick, config: &Config) -> Outcome {
        let limits = Thresholds::of(config.sensitivity);
        self.camera.see(luma);
        let look = self.camera.look(luma, &self.background);
        let mut sight = std::mem::take(&mut self.spare);
        self.compare(&mut sight, look, limits);
        let moment = Moment {
            tick,
            look,
            limits,
            config,
            learning: self.learned.0 < config.learn_ns as f32 / 1e9,
            slow: self
                .slow
                .as_ref()
                .is_none_or(|(at, _)| tick.now - at >= SLOW_INTERVAL),
        };
        let strong = self.count_strong(&sight, moment);
        let verdict = if moment.learning {
            Verdict::Go
        } else {
            self.heave(&sight, strong, moment)
        };
        let outcome = match verdict {
            Verdict::Adopt => {
                self.background.take_over(self.camera.still(), &self.list);
                self.camera.forget_light();
                self.interrupt();
                // What was seen before lies on another background.
                return Outcome::default();
            }
            Verdict::Go if moment.learning || strong <= OTHER_SCENE => {
                self.other_scene = (0.0, 0);
                let outcome = self.judge(&sight, moment);
                self.update(&sight, moment, strong);
                outcome
            }
            Verdict::Go | Verdict::Wait => {
                self.other_scene = (self.other_scene.0 + tick.dt, self.other_scene.1 + 1);
                if strong > OTHER_SCENE
                    && self.other_scene.0 > RELEARN_AFTER
                    && self.other_scene.1 > 2
                {
                    *self = Self::new(luma, config, self.camera.level());
                    return Outcome {
                        learning: true,
                        ..Outcome::default()
                    };
                }
                Outcome::default()
            }
        };
        self.remember(sight, moment);
        outcome
    }

    /// Fills `sight`, marks and lists the foreground.
    fn compare(&mut self, sight: &mut Sight, look: Look, limits: Thresholds) {
        let (still, shifted) = (self.camera.still(), self.camera.shifted(look));
        let marks = Marks {
            visible: self.raster.visible(),
            threshold: limits.weak,
            weak: &mut self.weak,
        };
        self.background.compare(still, shifted, look, sight, marks);
        self.camera
            .clear_outside(&mut sight.residual, &mut self.weak);
        self.list.clear();
        for (group, weak) in self.weak.as_chunks::<LANES>().0.iter().enumerate() {
            // Nearly all groups are empty.
            if u64::from_ne_bytes(*weak) != 0 {
                let cells = (0..LANES).filter(|&l| weak[l] != 0);
                self.list.extend(cells.map(|l| (group * LANES + l) as u32));
            }
        }
        let (background, weak) = (&mut self.background, &mut self.weak);
        let explained = &mut self.explained;
        explained.clear();
        self.list.retain(|&index| {
            let k = index as usize;
            let known = background.explain(k, [still[k], shifted[k]], look, sight, limits.weak)
                && background.excess(k, sight.residual[k], look.tolerance) <= limits.weak;
            if known {
                explained.push(index);
            }
            weak[k] = u8::from(!known);
            !known
        });
    }

    /// Share of the cells that nothing hides which are clearly foreground.
    fn count_strong(&self, sight: &Sight, moment: Moment<'_>) -> f32 {
        let visible = self.grid.len() - self.raster.hidden().len();
        let strong = self.list.iter().filter(|&&index| {
            let residual = sight.residual[index as usize];
            self.background
                .excess(index as usize, residual, moment.look.tolerance)
                > moment.limits.strong
        });
        strong.count() as f32 / visible.max(1) as f32
    }

    /// Whether the whole picture changes at once.
    fn heave(&mut self, sight: &Sight, strong: f32, moment: Moment<'_>) -> Verdict {
        let past = earlier(&self.history, moment.tick.now);
        let (background, list) = (&self.background, &self.list);
        let active = || {
            let (threshold, tolerance) = (moment.limits.active, moment.look.tolerance);
            let changed = |&&index: &&u32| {
                past.is_none_or(|past| {
                    background.changed(index as usize, sight, past, threshold, tolerance)
                })
            };
            list.iter().filter(changed).count() as f32 / list.len().max(1) as f32
        };
        self.upheaval
            .see(self.grid, list, strong, active, moment.tick.dt)
    }

    /// Finds what moves; marks the cells around it as frozen.
    fn judge(&mut self, sight: &Sight, moment: Moment<'_>) -> Outcome {
        let Moment { tick, config, .. } = moment;
        let mut components = std::mem::take(&mut self.components);
        components.find(&self.list);
        self.frozen.fill(0);
        let beat = Beat {
            dt: tick.dt,
            confirm: (config.confirm_ns as f32 / 1e9).max(1e-3),
            shaking: moment.look.shaking,
        };
        let min_weak = MIN_WEAK.max((config.min_area * self.grid.len() as f64).ceil() as usize);
        if self.explained.len() > MUCH_EXPLAINED {
            self.shaded.add(self.grid, &self.explained, tick.now);
        }
        let mut found = Vec::new();
        let max_weak = (config.max_area * self.grid.len() as f64).floor() as usize;
        let mut moving = 0;
        let mut in_zones = vec![0u32; self.raster.zone_sizes().len()];
        for cells in components.groups() {
            let mut measure = self.measure(cells, sight, moment);
            let counts = measure.strong >= MIN_STRONG
                && measure.weak >= min_weak
                && measure.peak >= moment.limits.peak;
            if !counts {
                continue;
            }
            // A large group has a long rim: two cells of it change by chance.
            let enough = MIN_ACTIVE.max(measure.weak / 100);
            if measure.active < enough {
                measure.active = 0;
            }
            if !self.confirm.knows(cells) && self.take_shade(cells, sight, moment, &measure) {
                continue;
            }
            let deed = Deed {
                active: measure.active,
                slow: moment.slow.then_some(measure.slow),
            };
            let mut verdict = self.confirm.judge(cells, measure.shape(), deed, beat);
            if verdict.slow && measure.slow >= MIN_ACTIVE {
                self.touch_slow(cells, sight, moment);
                measure.last_active = tick.now;
            }
            if verdict.confirmed && tick.now - measure.last_active > config.hold_ns {
                self.confirm
                    .expire(REMEMBERED * config.absorb_ns as f32 / 1e9);
                (verdict.confirmed, verdict.standing) = (false, true);
            }
            if verdict.confirmed || verdict.standing || measure.active >= MIN_ACTIVE {
                self.freeze(&components, cells);
            }
            let left_out = measure.weak > max_weak
                || config.zones_only && !config.zones.is_empty() && measure.zones.is_empty();
            if verdict.confirmed && !moment.learning && !left_out {
                moving += measure.weak;
                self.count_zones(cells, measure.zones, &mut in_zones);
                found.extend(self.draw(cells, sight, &measure));
            }
        }
        self.confirm.turn();
        self.components = components;
        Outcome {
            learning: moment.learning,
            regions: regions::joined(found, self.grid, self.size, moment.limits.peak),
            level: moving as f64 / self.grid.len() as f64,
            zone_levels: in_zones
                .into_iter()
                .zip(self.raster.zone_sizes())
                .map(|(moving, &all)| f64::from(moving) / f64::from(all.max(1)))
                .collect(),
        }
    }

    fn measure(&mut self, cells: &[u32], sight: &Sight, moment: Moment<'_>) -> Measure {
        let Moment {
            tick, look, limits, ..
        } = moment;
        let mut measure = Measure::default();
        let mut active_at = Vec::new();
        let past = earlier(&self.history, tick.now);
        let slow = self.slow.as_ref().filter(|_| moment.slow);
        let changed = |k: usize, past: &Sight| {
            self.background
                .changed(k, sight, past, limits.active, look.tolerance)
        };
        for &index in cells {
            let k = index as usize;
            let active = past.is_some_and(|past| changed(k, past));
            measure.active += usize::from(active);
            if self.weak[k] == 0 {
                continue;
            }
            let excess = self.background.excess(k, sight.residual[k], look.tolerance);
            let (col, row) = self.grid.position(k);
            measure.place = (measure.place.0 + col, measure.place.1 + row);
            measure.weak += 1;
            measure.strong += usize::from(excess > limits.strong);
            measure.peak = measure.peak.max(excess);
            measure.zones = measure.zones.with(self.raster.zones_at(k));
            measure.slow += usize::from(slow.is_some_and(|(_, past)| changed(k, past)));
            if active {
                active_at.push(k);
            }
            measure.last_active = measure.last_active.max(self.last_active[k]);
        }
        if !active_at.is_empty() {
            measure.last_active = tick.now;
        }
        for k in active_at {
            self.last_active[k] = tick.now;
        }
        measure
    }

    /// Whether a group is light or shade on the background, in which case the background takes it in once it is still.
    fn take_shade(
        &mut self,
        cells: &[u32],
        sight: &Sight,
        moment: Moment<'_>,
        measure: &Measure,
    ) -> bool {
        let (grid, now) = (self.grid, moment.tick.now);
        let (background, light) = (&self.background, moment.look.change);
        let shade = is_shade(grid, cells, &self.weak, |k| {
            let base = background.base(k);
            (base, light.lit(base) + sight.residual[k])
        });
        if shade {
            self.shaded.add(grid, cells, now);
        } else if !self.shaded.holds(grid, cells, now) {
            return false;
        }
        if measure.active == 0 {
            self.background.absorb_all(cells, &self.weak, sight);
        }
        true
    }

    /// Adds the foreground cells of a group to the zones that it touches.
    fn count_zones(&self, cells: &[u32], touched: ZoneSet, counts: &mut [u32]) {
        if touched.is_empty() {
            return;
        }
        for &index in cells
            .iter()
            .filter(|&&index| self.weak[index as usize] != 0)
        {
            for place in self.raster.zones_at(index as usize).places() {
                counts[place] += 1;
            }
        }
    }

    /// Counts the slowly changing cells of a group as active now.
    fn touch_slow(&mut self, cells: &[u32], sight: &Sight, moment: Moment<'_>) {
        let Some((_, past)) = &self.slow else { return };
        for &index in cells {
            let k = index as usize;
            let (active, tolerance) = (moment.limits.active, moment.look.tolerance);
            if self.weak[k] != 0 && self.background.changed(k, sight, past, active, tolerance) {
                self.last_active[k] = moment.tick.now;
            }
        }
    }

    fn freeze(&mut self, components: &Components, cells: &[u32]) {
        for &index in cells {
            let k = index as usize;
            // What lies around an inner cell lies around the rim too, or is in the group itself.
            if components.is_inner(k) {
                self.frozen[k] = 1;
                continue;
            }
            for range in self.grid.around(k, GUARD) {
                self.frozen[range].fill(1);
            }
        }
    }

    /// The boxes of a group.
    fn draw(&self, cells: &[u32], sight: &Sight, measure: &Measure) -> Vec<Thing> {
        let foreground = cells
            .iter()
            .filter(|&&index| self.weak[index as usize] != 0);
        let strengths = foreground.map(|&index| {
            let (col, row) = self.grid.position(index as usize);
            (col, row, sight.residual[index as usize].abs())
        });
        let thing = |part: Vec<(usize, usize, f32)>| {
            Some(Thing {
                at: fitted_box(part.iter().copied())?,
                peak: measure.peak,
                zones: measure.zones,
                solid: is_solid(&part),
            })
        };
        parted(strengths.collect())
            .into_iter()
            .filter_map(thing)
            .collect()
    }

    fn update(&mut self, sight: &Sight, moment: Moment<'_>, strong: f32) {
        let Moment {
            tick,
            look,
            limits,
            learning,
            ..
        } = moment;
        let scene = Scene {
            sight,
            past: earlier(&self.history, tick.now),
            weak: &self.weak,
            list: &self.list,
            frozen: &self.frozen,
            visible: self.raster.visible(),
        };
        let pace = Pace {
            dt: tick.dt,
            learned: learning.then_some(self.learned.1),
            leak: learning || strong < LEAK_BELOW,
            absorb: moment.config.absorb_ns as f32 / 1e9,
        };
        let leaked = self.background.update(scene, look, pace, limits.active);
        self.background
            .adopt(self.raster.hidden(), self.camera.still(), look.change);
        self.camera.leaked(leaked);
        if learning {
            let step = tick.dt.min(LEARN_STEP).max(tick.dt / 8.0);
            self.learned = (self.learned.0 + step, self.learned.1.saturating_add(1));
        }
    }

    /// Keeps the picture for those that come, and its memory for the next one.
    fn remember(&mut self, sight: Sight, moment: Moment<'_>) {
        let now = moment.tick.now;
        if moment.slow {
            let (_, mut kept) = self.slow.take().unwrap_or_default();
            kept.clone_from(&sight);
            self.slow = Some((now, kept));
        }
        self.history.push_back((now, sight));
        // Only the latest that is old enough by the next picture is looked at.
        let spent = |history: &VecDeque<(u64, Sight)>| {
            let next = now + (0.8e9 * moment.tick.dt) as u64;
            history.len() > KEPT || history.get(1).is_some_and(|(at, _)| next - at >= MIN_AGE)
        };
        while spent(&self.history) {
            self.spare = self
                .history
                .pop_front()
                .map(|(_, sight)| sight)
                .unwrap_or_default();
        }
    }
}

/// The earlier picture by which activity is told: the latest that is not too recent.
fn earlier(history: &VecDeque<(u64, Sight)>, now: u64) -> Option<&Sight> {
    let old_enough = history.iter().rev().find(|(at, _)| now - at >= MIN_AGE);
    old_enough.or(history.front()).map(|(_, sight)| sight)
}
