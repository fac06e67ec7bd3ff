//! From the five landmarks of a face to an upright picture of it: the similarity transform, and the pixels under it.
//!
//! The transform is the least-squares one of Umeyama, "Least-Squares Estimation of Transformation Parameters
//! Between Two Point Patterns", IEEE PAMI 13(4), 1991, in two dimensions, where it has a closed form.

/// Side of the aligned picture, pixels; what models of the `ArcFace` and `MobileFaceNet` kind are trained on.
pub const SIDE: usize = 112;

/// Where the landmarks lie on an aligned picture: right eye, left eye, nose, right and left mouth corner, pixels.
pub const TEMPLATE: Points = [
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
];

/// Five points (x, y).
pub type Points = [(f64, f64); 5];

/// Samples along each axis of one output pixel, at most: a face of a thousand pixels costs no more than that.
const MAX_SAMPLES: usize = 6;

/// A rotation, a scale and a shift: `(x, y)` goes to `(a x - b y + tx, b x + a y + ty)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Scale times cosine.
    pub a: f64,
    /// Scale times sine.
    pub b: f64,
    /// Shift to the right.
    pub tx: f64,
    /// Shift down.
    pub ty: f64,
}

impl Similarity {
    /// The transform that takes `from` nearest to `to`, `None` where the points are one point or no numbers.
    pub fn between(from: &Points, to: &Points) -> Option<Self> {
        let mean = |points: &Points| {
            let (x, y) = points
                .iter()
                .fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
            (x / 5.0, y / 5.0)
        };
        let ((fx, fy), (gx, gy)) = (mean(from), mean(to));
        let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py, qx, qy) = (p.0 - fx, p.1 - fy, q.0 - gx, q.1 - gy);
            dot += px * qx + py * qy;
            cross += px * qy - py * qx;
            spread += px * px + py * py;
        }
        let (a, b) = (dot / spread, cross / spread);
        let fit = Self {
            a,
            b,
            tx: gx - (a * fx - b * fy),
            ty: gy - (b * fx + a * fy),
        };
        let sane = [fit.a, fit.b, fit.tx, fit.ty].iter().all(|v| v.is_finite());
        (sane && fit.scale() > 1e-9).then_some(fit)
    }

    /// Where a point goes.
    pub fn apply(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (
            self.a * x - self.b * y + self.tx,
            self.b * x + self.a * y + self.ty,
        )
    }

    /// How much longer a line becomes.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// By how much it turns, degrees, clockwise on a picture whose second axis points down.
    pub fn turn_degrees(&self) -> f64 {
        self.b.atan2(self.a).to_degrees()
    }

    /// The way back; the scale is never zero.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self {
            a,
            b,
            tx: -(a * self.tx - b * self.ty),
            ty: -(b * self.tx + a * self.ty),
        }
    }
}

/// A picture that gives colours at any place.
pub trait Colours {
    /// Width, pixels.
    fn width(&self) -> usize;
    /// Height, pixels.
    fn height(&self) -> usize;
    /// Red, green and blue, 0..255, at a place inside the picture, interpolated; `x` and `y` count pixel centres.
    fn at(&self, x: f32, y: f32) -> [f32; 3];
}

/// An aligned face: [`SIDE`] by [`SIDE`] pixels, red, green, blue planes one after the other, values 0..255.
#[derive(Debug, Clone, PartialEq)]
pub struct Chip {
    /// The values.
    pub planes: Vec<f32>,
    /// Pixels of the original picture along one pixel of this one; below 1 the face was enlarged.
    pub reduction: f64,
}

/// Cuts the face with these landmarks (pixels of the picture) out, upright; black where the picture ends.
///
/// A pixel of the result is the mean over the pixels of the original that it covers, so that a large face does
/// not become noise.
pub fn cut(picture: &dyn Colours, landmarks: &Points) -> Option<Chip> {
    let back = Similarity::between(landmarks, &TEMPLATE)?.inverse();
    let (width, height) = (picture.width() as f64, picture.height() as f64);
    if width < 1.0 || height < 1.0 {
        return None;
    }
    let reduction = back.scale();
    let samples = (reduction.ceil() as usize).clamp(1, MAX_SAMPLES);
    let share = 1.0 / samples as f64;
    let mut planes = vec![0.0_f32; 3 * SIDE * SIDE];
    let (red, rest) = planes.split_at_mut(SIDE * SIDE);
    let (green, blue) = rest.split_at_mut(SIDE * SIDE);
    let weight = 1.0 / (samples * samples) as f32;
    for row in 0..SIDE {
        for column in 0..SIDE {
            let mut sum = [0.0_f32; 3];
            for i in 0..samples {
                for j in 0..samples {
                    let inside = |k: usize| (k as f64 + 0.5) * share - 0.5;
                    let place = (column as f64 + inside(j), row as f64 + inside(i));
                    let (x, y) = back.apply(place);
                    // Up to half a pixel beside the outermost centre is still the picture.
                    if x >= -0.5 && y >= -0.5 && x <= width - 0.5 && y <= height - 0.5 {
                        let x = x.clamp(0.0, width - 1.0) as f32;
                        let y = y.clamp(0.0, height - 1.0) as f32;
                        let [r, g, b] = picture.at(x, y);
                        sum = [sum[0] + r, sum[1] + g, sum[2] + b];
                    }
                }
            }
            let at = row * SIDE + column;
            red[at] = sum[0] * weight;
            green[at] = sum[1] * weight;
            blue[at] = sum[2] * weight;
        }
    }
    Some(Chip { planes, reduction })
}

impl Chip {
    /// The brightness of each pixel, 0..255.
    pub fn luma(&self) -> Vec<f32> {
        let size = SIDE * SIDE;
        let (red, rest) = self.planes.split_at(size);
        let (green, blue) = rest.split_at(size);
        red.iter()
            .zip(green)
            .zip(blue)
            .map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_moved_template_is_moved_back(
            a in -3.0_f64..3.0, b in -3.0_f64..3.0, tx in -500.0_f64..500.0, ty in -500.0_f64..500.0,
        ) {
            let moved = Similarity { a, b, tx, ty };
            prop_assume!(moved.scale() > 0.05);
            let points = TEMPLATE.map(|p| moved.apply(p));
            let back = Similarity::between(&points, &TEMPLATE).unwrap();
            for (p, q) in points.iter().zip(TEMPLATE) {
                let (x, y) = back.apply(*p);
                prop_assert!((x - q.0).abs() < 1e-6 && (y - q.1).abs() < 1e-6);
                let (x, y) = back.inverse().apply(q);
                prop_assert!((x - p.0).abs() < 1e-6 && (y - p.1).abs() < 1e-6);
            }
            prop_assert!((back.scale() * moved.scale() - 1.0).abs() < 1e-9);
        }

        #[test]
        fn no_fit_is_nearer_than_the_fit(
            noise in prop::array::uniform10(-8.0_f64..8.0), nudge in prop::array::uniform4(-0.05_f64..0.05),
        ) {
            let points: Points =
                std::array::from_fn(|i| (TEMPLATE[i].0 + noise[2 * i], TEMPLATE[i].1 + noise[2 * i + 1]));
            let fit = Similarity::between(&points, &TEMPLATE).unwrap();
            let other = Similarity {
                a: fit.a + nudge[0], b: fit.b + nudge[1], tx: fit.tx + nudge[2], ty: fit.ty + nudge[3],
            };
            let error = |s: &Similarity| -> f64 {
                points.iter().zip(TEMPLATE).map(|(p, q)| {
                    let (x, y) = s.apply(*p);
                    (x - q.0).powi(2) + (y - q.1).powi(2)
                }).sum()
            };
            prop_assert!(error(&fit) <= error(&other) + 1e-9);
        }
    }

    #[test]
    fn points_that_are_no_face_give_nothing() {
        assert_eq!(Similarity::between(&[(3.0, 3.0); 5], &TEMPLATE), None);
        assert_eq!(Similarity::between(&[(f64::NAN, 0.0); 5], &TEMPLATE), None);
    }

    /// A picture whose red is x and whose green is y, so that a place can be read off its colour.
    struct Ramp(usize, usize);

    impl Colours for Ramp {
        fn width(&self) -> usize {
            self.0
        }
        fn height(&self) -> usize {
            self.1
        }
        fn at(&self, x: f32, y: f32) -> [f32; 3] {
            [x, y, 7.0]
        }
    }

    #[test]
    fn every_pixel_comes_from_its_place() {
        // Twice as large, turned by a quarter, somewhere in the picture.
        let there = Similarity {
            a: 0.0,
            b: 2.0,
            tx: 400.0,
            ty: 100.0,
        };
        let chip = cut(&Ramp(1000, 1000), &TEMPLATE.map(|p| there.apply(p))).unwrap();
        assert!((chip.reduction - 2.0).abs() < 1e-9);
        for (column, row) in [(0, 0), (111, 0), (50, 60), (111, 111)] {
            let (x, y) = there.apply((column as f64, row as f64));
            let at = row * SIDE + column;
            assert!(
                (f64::from(chip.planes[at]) - x).abs() < 1e-2,
                "{column} {row}"
            );
            assert!((f64::from(chip.planes[SIDE * SIDE + at]) - y).abs() < 1e-2);
        }
    }

    #[test]
    fn beside_the_picture_it_is_black() {
        let there = Similarity {
            a: 1.0,
            b: 0.0,
            tx: -56.0,
            ty: 0.0,
        };
        let chip = cut(&Ramp(112, 112), &TEMPLATE.map(|p| there.apply(p))).unwrap();
        assert_eq!(chip.planes[2 * SIDE * SIDE], 0.0);
        assert_eq!(chip.planes[2 * SIDE * SIDE + 60], 7.0);
        assert_eq!(chip.luma().len(), SIDE * SIDE);
    }
}
