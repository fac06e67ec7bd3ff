//! Generated scenes: the street with noise, a clock, flicker, gusts, a swaying tree, things that cross it, and worse.

use std::f64::consts::TAU;

use super::Random;
use super::scenery::{self, Canvas, MARGIN, Noise};
use super::score::Truth;

/// Seconds of the street alone before anything is scored.
pub const WARM_UP: f64 = 10.0;

/// What a scene shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The noise of a sensor.
    Static,
    /// Dark, with strong noise.
    Night,
    /// A clock in the picture.
    Clock,
    /// Mains beat, slow drift, two steps of the light, a clock.
    Flicker,
    /// Gusts that shake the camera, a clock.
    Shake,
    /// A tree in the wind.
    Sway,
    /// Things of clear contrast.
    Objects,
    /// Things of faint contrast.
    Faint,
    /// Things at night, with all of the above.
    Mixed,
    /// A lamp that lights a part of the picture goes on and off, at once or slowly.
    Lamp,
    /// Lightning, and a camera that sets its exposure anew.
    Storm,
    /// The camera goes over to infrared and back.
    Infrared,
    /// A road on which there is nearly always something.
    Traffic,
}

impl Kind {
    /// Whether something moves in it.
    pub fn has_things(self) -> bool {
        matches!(
            self,
            Self::Objects | Self::Faint | Self::Mixed | Self::Traffic
        )
    }

    fn dark(self) -> bool {
        matches!(self, Self::Night | Self::Mixed)
    }

    fn sways(self) -> bool {
        matches!(self, Self::Sway | Self::Mixed)
    }

    fn shakes(self) -> bool {
        matches!(self, Self::Shake | Self::Mixed)
    }

    fn flickers(self) -> bool {
        matches!(self, Self::Flicker | Self::Mixed)
    }

    fn has_clock(self) -> bool {
        matches!(
            self,
            Self::Clock | Self::Flicker | Self::Shake | Self::Mixed
        )
    }

    /// Standard deviation of the noise, grey levels.
    fn noise(self) -> f32 {
        match self {
            Self::Night => 7.0,
            Self::Mixed => 5.0,
            _ => 3.0,
        }
    }
}

/// A scene to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What it shows.
    pub kind: Kind,
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Pictures a second.
    pub fps: f64,
    /// Seconds that are scored, after [`WARM_UP`].
    pub seconds: f64,
    /// Another seed gives another street and other things.
    pub seed: u64,
}

/// A thing that crosses the picture.
#[derive(Debug)]
struct Thing {
    start: f64,
    size: (f64, f64),
    /// Seconds to cross, without the stop.
    cross: f64,
    /// Share of the way after which it stops, and seconds for which it does.
    stop: (f64, f64),
    top: f64,
    descent: f64,
    to_right: bool,
    contrast: f64,
    texture: Vec<f32>,
}

impl Thing {
    fn new(random: &mut Random, start: f64, kind: Kind, (_, height): (usize, usize)) -> Self {
        let high = height as f64;
        let h = high * random.pick(&[0.07, 0.10, 0.14, 0.20, 0.28]);
        let w = h * random.pick(&[0.45, 0.7, 1.6]);
        let strength = match kind {
            Kind::Faint => random.between(10.0, 22.0),
            _ => random.between(28.0, 95.0),
        };
        let top = (high * random.between(0.38, 0.92) - h).clamp(high * 0.12, high * 0.96 - h);
        let texture = scenery::texture(random, (w as usize, h as usize), (h as usize / 10).max(2));
        Self {
            start,
            size: (w, h),
            cross: random.between(3.0, 9.0),
            stop: (
                random.between(0.35, 0.65),
                if random.chance(0.3) {
                    random.between(1.5, 3.0)
                } else {
                    0.0
                },
            ),
            top,
            descent: high * random.between(-0.12, 0.12),
            to_right: random.chance(0.5),
            contrast: strength * random.pick(&[-1.0, 1.0]),
            texture,
        }
    }

    fn end(&self) -> f64 {
        self.start + self.cross + self.stop.1
    }

    /// Its left upper corner at a time, and whether it moves.
    fn at(&self, t: f64, width: f64) -> Option<((f64, f64), bool)> {
        let since = t - self.start;
        if since < 0.0 || t > self.end() {
            return None;
        }
        let stops_at = self.stop.0 * self.cross;
        let stands = self.stop.1 > 0.0 && (stops_at..=stops_at + self.stop.1).contains(&since);
        let way = if since > stops_at {
            (since - self.stop.1).max(stops_at)
        } else {
            since
        };
        let share = way / self.cross;
        let ahead = -self.size.0 + share * (width + self.size.0);
        let x = if self.to_right {
            ahead
        } else {
            width - self.size.0 - ahead
        };
        Some(((x, self.top + share * self.descent), !stands))
    }

    /// Lays it over the street: opaque, but for a quarter of what it covers.
    fn paint(&self, canvas: &mut Canvas, (x, y): (f64, f64)) {
        let (columns, rows) = (self.size.0 as usize, self.size.1 as usize);
        let at = (x + MARGIN as f64, y + MARGIN as f64);
        let (mut sum, mut count) = (0.0, 0);
        let size = (columns as f64, rows as f64);
        canvas.each(at, size, |_, _, value| {
            sum += *value;
            count += 1;
        });
        let mean = sum / count.max(1) as f32;
        let contrast = self.contrast as f32;
        canvas.each(at, size, |column, row, value| {
            let texture =
                0.22 * self.texture[row.min(rows - 1) * columns + column.min(columns - 1)];
            let grey = 0.25 * *value + 0.75 * mean + contrast * (1.0 + texture);
            *value = grey.clamp(16.0, 235.0);
        });
    }
}

/// A scene, picture by picture.
#[derive(Debug)]
pub struct Scene {
    plan: Plan,
    random: Random,
    street: Canvas,
    canvas: Canvas,
    noise: Noise,
    things: Vec<Thing>,
    /// Until when a gust blows, and how far it shifts the picture, pixels.
    gust: (f64, f64),
    next: usize,
    picture: Vec<u8>,
}

impl Scene {
    /// Sets the stage.
    pub fn new(plan: Plan) -> Self {
        let mut random = Random::new(plan.seed);
        let mut street = scenery::street(&mut random, plan.size);
        let mut random = Random::new(plan.seed ^ (plan.kind as u64 + 1) << 32);
        if plan.kind.dark() {
            let dim = |value: &mut f32| *value = 16.0 + (*value - 16.0) * 0.45;
            street.grey.iter_mut().for_each(dim);
        }
        let things = if plan.kind.has_things() {
            things(&mut random, plan)
        } else {
            Vec::new()
        };
        Self {
            canvas: street.clone(),
            noise: Noise::new(&mut random, plan.size, plan.kind.noise()),
            street,
            things,
            random,
            gust: (0.0, 0.0),
            next: 0,
            picture: vec![0; plan.size.0 * plan.size.1],
            plan,
        }
    }

    /// The next picture: its time in seconds, its grey levels row by row, and what is true of it.
    pub fn next(&mut self) -> Option<(f64, &[u8], Vec<Truth>)> {
        let Plan {
            kind, size, fps, ..
        } = self.plan;
        let t = self.next as f64 / fps;
        if t >= WARM_UP + self.plan.seconds {
            return None;
        }
        self.next += 1;
        self.canvas.grey.copy_from_slice(&self.street.grey);
        if kind.sways() {
            self.sway(t);
        }
        let mut truth = Vec::new();
        for thing in &self.things {
            if let Some((at, moving)) = thing.at(t, size.0 as f64) {
                thing.paint(&mut self.canvas, at);
                truth.extend(visible(at, thing.size, size, moving));
            }
        }
        let shift = self.blow(t);
        self.expose(t, shift);
        if kind.has_clock() {
            clock(&mut self.picture, size, t as usize);
        }
        Some((t, &self.picture, truth))
    }

    /// Bends the tree.
    fn sway(&mut self, t: f64) {
        let [left, top, wide, high] = scenery::tree(self.plan.size);
        let force = self.plan.size.1 as f64 / 240.0 * (1.0 + 0.6 * (t * 0.7).sin());
        for row in 0..high {
            let share = row as f64 / high as f64;
            let bend = force * (TAU * 0.45 * t + share * 3.0).sin() * (1.0 - share);
            let start = (MARGIN + top + row) * self.street.width + MARGIN + left;
            let still = &self.street.grey[start..start + wide];
            for (column, out) in self.canvas.grey[start..start + wide].iter_mut().enumerate() {
                let x = (column as f64 + bend).clamp(0.0, (wide - 1) as f64);
                let (first, share) = (x as usize, x.fract() as f32);
                let second = still[(first + 1).min(wide - 1)];
                *out = still[first] * (1.0 - share) + second * share;
            }
        }
    }

    /// By how much the picture is shifted now, pixels.
    fn blow(&mut self, t: f64) -> (f64, f64) {
        let Plan {
            kind, size, fps, ..
        } = self.plan;
        if !kind.shakes() {
            return (0.0, 0.0);
        }
        // A gust about every six seconds.
        if t >= self.gust.0 && self.random.chance(1.0 / (6.0 * fps)) {
            let force = size.1 as f64 / 720.0 * self.random.between(1.2, 3.5);
            self.gust = (t + self.random.between(0.6, 1.5), force);
        }
        let (until, force) = self.gust;
        if t >= until {
            return (0.0, 0.0);
        }
        (
            force * (TAU * 4.1 * t).sin(),
            0.6 * force * (TAU * 5.3 * t + 1.0).sin(),
        )
    }

    /// Light of the whole picture at a time, 1 is normal.
    fn light(&self, t: f64) -> f64 {
        let since = t - WARM_UP;
        let mut light = 1.0;
        if self.plan.kind.flickers() {
            light += 0.025 * (TAU * 1.7 * t).sin() + 0.05 * (TAU * t / 23.0).sin();
        }
        match self.plan.kind {
            Kind::Flicker if (0.3..0.6).contains(&(since / self.plan.seconds)) => light * 0.72,
            Kind::Storm => {
                // A flash of two pictures, an echo, and every other time the exposure falls and comes back slowly.
                let (round, phase) = ((since / 6.0).floor(), since.rem_euclid(6.0));
                let flash = match phase {
                    1.0..1.14 => 1.7,
                    1.3..1.37 => 1.35,
                    _ => 1.0,
                };
                let falls = round.rem_euclid(2.0) > 0.5 && phase > 1.4;
                let exposure = if falls {
                    1.0 - 0.3 * (-(phase - 1.4) / 0.6).exp()
                } else {
                    1.0
                };
                if since < 0.0 { 1.0 } else { flash * exposure }
            }
            _ => light,
        }
    }

    /// By how much a lamp brightens a pixel: a soft spot on the ground.
    fn lamp(&self, t: f64) -> Option<(f64, f64, f64)> {
        let since = t - WARM_UP;
        if self.plan.kind != Kind::Lamp || since < 0.0 {
            return None;
        }
        let (round, phase) = ((since / 10.0).floor(), since.rem_euclid(10.0));
        // At once, and every other time within half a second.
        let ramp = if round.rem_euclid(2.0) < 0.5 {
            0.01
        } else {
            0.5
        };
        let on =
            ((phase - 1.0) / ramp).clamp(0.0, 1.0) * (1.0 - ((phase - 6.0) / ramp).clamp(0.0, 1.0));
        let (w, h) = (self.plan.size.0 as f64, self.plan.size.1 as f64);
        (on > 0.0).then_some((on * 0.6, 0.35 * w, 0.75 * h))
    }

    /// What the sensor makes of the canvas, seen from beside by `shift`.
    fn expose(&mut self, t: f64, (dx, dy): (f64, f64)) {
        let (width, height) = self.plan.size;
        let light = self.light(t) as f32;
        let place = self.noise.place(&mut self.random);
        let (whole_x, whole_y) = ((-dx).floor(), (-dy).floor());
        let (fx, fy) = ((-dx - whole_x) as f32, (-dy - whole_y) as f32);
        let from = |at: usize, whole: f64| (at as f64 + whole) as usize;
        let lamp = self.lamp(t);
        let infrared = self.plan.kind == Kind::Infrared
            && t >= WARM_UP
            && (0.3..0.6).contains(&((t - WARM_UP) / self.plan.seconds));
        let stride = self.canvas.width;
        let mut line = vec![0.0f32; width];
        for row in 0..height {
            let start = from(MARGIN + row, whole_y) * stride + from(MARGIN, whole_x);
            let upper = &self.canvas.grey[start..=start + width];
            if fx == 0.0 && fy == 0.0 {
                line.copy_from_slice(&upper[..width]);
            } else {
                let lower = &self.canvas.grey[start + stride..=start + stride + width];
                for (x, out) in line.iter_mut().enumerate() {
                    let a = upper[x] * (1.0 - fx) + upper[x + 1] * fx;
                    let b = lower[x] * (1.0 - fx) + lower[x + 1] * fx;
                    *out = a * (1.0 - fy) + b * fy;
                }
            }
            if let Some((strength, cx, cy)) = lamp {
                let y = (row as f64 - cy) / (0.2 * height as f64);
                for (x, out) in line.iter_mut().enumerate() {
                    let x = (x as f64 - cx) / (0.15 * width as f64);
                    *out *= 1.0 + (strength * (-(x * x + y * y)).exp()) as f32;
                }
            }
            if infrared {
                // Another spectrum: what was dark is not, and the contrast is another one.
                line.iter_mut()
                    .for_each(|v| *v = 40.0 + 0.55 * (*v - 128.0).abs() + 0.25 * *v);
            }
            let noise = self.noise.row(place, row, width);
            let out = &mut self.picture[row * width..][..width];
            for ((out, &value), &noise) in out.iter_mut().zip(&line).zip(noise) {
                *out = (16.0 + (value - 16.0) * light + noise).clamp(16.0, 235.0) as u8;
            }
        }
    }
}

/// The things of a scene: one or two at once, then a pause; on a road hardly any pause.
fn things(random: &mut Random, plan: Plan) -> Vec<Thing> {
    let mut things: Vec<Thing> = Vec::new();
    let mut t = WARM_UP + 2.0;
    let last = WARM_UP + plan.seconds - 4.0;
    while t < last {
        things.push(Thing::new(random, t, plan.kind, plan.size));
        if plan.kind == Kind::Traffic {
            t += random.between(1.5, 3.0);
            continue;
        }
        if random.chance(0.35) {
            let start = t + random.between(0.5, 2.0);
            things.push(Thing::new(random, start, plan.kind, plan.size));
        }
        t = things.iter().map(Thing::end).fold(0.0, f64::max) + random.between(2.5, 5.0);
    }
    things
}

/// What of a thing is in the picture.
fn visible(
    (x, y): (f64, f64),
    (w, h): (f64, f64),
    size: (usize, usize),
    moving: bool,
) -> Option<Truth> {
    let (x0, y0) = (x.max(0.0), y.max(0.0));
    let (x1, y1) = ((x + w).min(size.0 as f64), (y + h).min(size.1 as f64));
    (x1 > x0 && y1 > y0).then(|| Truth {
        at: [x0, y0, x1 - x0, y1 - y0],
        moving,
        visible: (x1 - x0) * (y1 - y0) / (w * h),
    })
}

/// Segments of the digits 0 to 9: top, upper left, upper right, middle, lower left, lower right, bottom.
const SEGMENTS: [u8; 10] = [
    0b111_0111, 0b001_0010, 0b101_1101, 0b101_1011, 0b011_1010, 0b110_1011, 0b110_1111, 0b101_0010,
    0b111_1111, 0b111_1011,
];

/// Burns the time into the upper left corner: light digits with a dark rim.
fn clock(picture: &mut [u8], (width, height): (usize, usize), seconds: usize) {
    let unit = (height as f64 / 360.0).max(1.0);
    let px = |v: f64| (v * unit).round() as usize;
    let mut fill = |x: f64, y: f64, w: f64, h: f64, grey: u8| {
        for row in px(y)..px(y + h).min(height) {
            let end = px(x + w).min(width);
            picture[row * width..][px(x).min(end)..end].fill(grey);
        }
    };
    let text = [
        2,
        0,
        2,
        6,
        0,
        1,
        0,
        5,
        0,
        8,
        seconds / 600 % 6,
        seconds / 60 % 10,
        seconds / 10 % 6,
        seconds % 10,
    ];
    for (rim, grey) in [(1.0, 16), (0.0, 235)] {
        for (i, &digit) in text.iter().enumerate() {
            let left = 10.0 + 11.0 * i as f64 + if i > 7 { 6.0 } else { 0.0 };
            let bars = [
                (0.0, 0.0, 7.0, 1.4),
                (0.0, 0.0, 1.4, 7.0),
                (5.6, 0.0, 1.4, 7.0),
                (0.0, 5.6, 7.0, 1.4),
                (0.0, 5.6, 1.4, 7.0),
                (5.6, 5.6, 1.4, 7.0),
                (0.0, 11.2, 7.0, 1.4),
            ];
            for (s, (x, y, w, h)) in bars.into_iter().enumerate() {
                if SEGMENTS[digit] >> (6 - s) & 1 == 1 {
                    fill(
                        left + x - rim,
                        10.0 + y - rim,
                        w + 2.0 * rim,
                        h + 2.0 * rim,
                        grey,
                    );
                }
            }
        }
    }
}
