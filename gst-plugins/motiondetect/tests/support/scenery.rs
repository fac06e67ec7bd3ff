//! What stands still in a generated scene: sky, ground, houses with windows, a tree, texture; and the noise of the sensor.

use super::Random;

/// Pixels around the picture, for a camera that shakes.
pub const MARGIN: usize = 16;

/// A picture of grey levels, [`MARGIN`] wider than what the camera shows on each side.
#[derive(Debug, Clone)]
pub struct Canvas {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// The grey levels, row by row.
    pub grey: Vec<f32>,
}

impl Canvas {
    /// The rectangle from `(x, y)`, what lies outside left out: its pixels with their place in it.
    pub fn each(
        &mut self,
        (x, y): (f64, f64),
        (w, h): (f64, f64),
        mut paint: impl FnMut(usize, usize, &mut f32),
    ) {
        let span = |at: f64, size: f64, most: usize| {
            let first = at.round().clamp(0.0, most as f64) as usize;
            (
                first,
                (at + size).round().clamp(first as f64, most as f64) as usize,
            )
        };
        let ((x0, x1), (y0, y1)) = (span(x, w, self.width), span(y, h, self.height));
        for row in y0..y1 {
            let line = &mut self.grey[row * self.width..][x0..x1];
            for (column, value) in line.iter_mut().enumerate() {
                let (left, top) = (x.round(), y.round());
                let place = ((x0 + column) as f64 - left, row as f64 - top);
                paint(place.0 as usize, place.1 as usize, value);
            }
        }
    }

    fn fill(&mut self, at: (f64, f64), size: (f64, f64), grey: f64) {
        self.each(at, size, |_, _, value| *value = grey as f32);
    }
}

/// Smooth texture: random values on a raster of `step` pixels, joined by straight lines.
pub fn texture(random: &mut Random, (width, height): (usize, usize), step: usize) -> Vec<f32> {
    let columns = width / step + 2;
    let knots: Vec<f32> = (0..columns * (height / step + 2))
        .map(|_| random.normal())
        .collect();
    let mut out = Vec::with_capacity(width * height);
    for y in 0..height {
        let (row, fy) = (y / step, (y % step) as f32 / step as f32);
        for x in 0..width {
            let (column, fx) = (x / step, (x % step) as f32 / step as f32);
            let at = |dx: usize, dy: usize| knots[(row + dy) * columns + column + dx];
            let upper = at(0, 0) * (1.0 - fx) + at(1, 0) * fx;
            let lower = at(0, 1) * (1.0 - fx) + at(1, 1) * fx;
            out.push(upper * (1.0 - fy) + lower * fy);
        }
    }
    out
}

/// A street as a camera on a house sees it, for a picture of `width` by `height`.
pub fn street(random: &mut Random, (width, height): (usize, usize)) -> Canvas {
    let size = (width + 2 * MARGIN, height + 2 * MARGIN);
    let (w, h) = (size.0 as f64, size.1 as f64);
    let mut canvas = Canvas {
        width: size.0,
        height: size.1,
        grey: vec![0.0; size.0 * size.1],
    };
    for (k, value) in canvas.grey.iter_mut().enumerate() {
        let y = (k / size.0) as f32 / size.1 as f32;
        *value = if y < 0.35 {
            190.0 - 60.0 * y
        } else {
            95.0 + 35.0 * y
        };
    }
    for house in 0..7 {
        let (wide, high) = (
            w * random.between(0.08, 0.16),
            h * random.between(0.2, 0.38),
        );
        let (left, top) = (house as f64 * w / 7.0, (h * 0.42 - high).max(0.0));
        let grey = random.between(70.0, 165.0);
        canvas.fill((left, top), (wide, high), grey);
        let (across, down) = ((w / 60.0).max(16.0), (h / 30.0).max(14.0));
        let mut y = top + 8.0;
        while y < top + high - 12.0 {
            let mut x = left + 8.0;
            while x < left + wide - 10.0 {
                let pane = grey * random.pick(&[0.45, 0.6, 1.35]);
                canvas.fill((x, y), ((w / 120.0).floor(), (h / 60.0).floor()), pane);
                x += across;
            }
            y += down;
        }
    }
    for (from, to, grey) in [(0.55, 0.6, 150.0), (0.9, 0.8, 165.0)] {
        for x in 0..size.0 {
            let y = h * (from + (to - from) * x as f64 / w);
            canvas.fill((x as f64, y), (1.0, (h / 120.0).max(2.0)), grey);
        }
    }
    for (step, strength) in [(4, 4.0), (16, 7.0), (64, 9.0)] {
        let texture = texture(random, size, step);
        for (value, t) in canvas.grey.iter_mut().zip(texture) {
            *value += strength * t;
        }
    }
    plant(&mut canvas, random, (width, height));
    for value in &mut canvas.grey {
        *value = value.clamp(16.0, 235.0);
    }
    canvas
}

/// Where the tree stands in the picture: left, top, width and height in pixels.
pub fn tree((width, height): (usize, usize)) -> [usize; 4] {
    let part = |size: usize, share: f64| (size as f64 * share) as usize;
    [
        part(width, 0.80),
        part(height, 0.18),
        part(width, 0.17),
        part(height, 0.42),
    ]
}

fn plant(canvas: &mut Canvas, random: &mut Random, size: (usize, usize)) {
    let [left, top, wide, high] = tree(size).map(|v| v as f64);
    for _ in 0..260 {
        let x = MARGIN as f64 + left + wide * random.between(0.12, 0.88);
        let y = MARGIN as f64 + top + high * random.between(0.05, 0.9);
        let radius = (size.1 as f64 * random.between(0.006, 0.02)).max(1.5);
        let grey = random.between(35.0, 120.0) as f32;
        let side = 2.0 * radius;
        canvas.each(
            (x - radius, y - radius),
            (side, side),
            |column, row, value| {
                let (dx, dy) = (column as f64 - radius, row as f64 - radius);
                if dx * dx + dy * dy <= radius * radius {
                    *value = grey;
                }
            },
        );
    }
}

/// The noise of a sensor, larger than a picture, so that every picture can take another part of it.
#[derive(Debug)]
pub struct Noise {
    width: usize,
    values: Vec<f32>,
}

/// By how many columns and rows the noise is larger than a picture.
const SPARE: (usize, usize) = (131, 97);

impl Noise {
    /// Noise of a standard deviation for pictures of a size.
    pub fn new(random: &mut Random, (width, height): (usize, usize), deviation: f32) -> Self {
        let (width, height) = (width + SPARE.0, height + SPARE.1);
        let values = (0..width * height).map(|_| deviation * random.normal());
        Self {
            width,
            values: values.collect(),
        }
    }

    /// A place for the next picture.
    pub fn place(&self, random: &mut Random) -> (usize, usize) {
        let bits = random.bits() as usize;
        (bits % SPARE.0, bits / SPARE.0 % SPARE.1)
    }

    /// The noise of one row of a picture.
    pub fn row(&self, (left, top): (usize, usize), row: usize, width: usize) -> &[f32] {
        &self.values[(top + row) * self.width + left..][..width]
    }
}
