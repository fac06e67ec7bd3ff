//! Whether a face can be told apart at all: how large, how sharp and how frontal it is.
//!
//! The angles come from the five landmarks under the assumption of an ordinary head and are good to about ten
//! degrees; that is enough to turn away a profile.

use crate::align::{Points, SIDE, Similarity, TEMPLATE};

/// How far the tip of the nose stands out, in distances between the eyes.
const NOSE: f64 = 0.6;
/// Share of the way from the eyes down to the mouth at which the nose of a frontal face lies.
const NOSE_HEIGHT: f64 = 0.495;
/// How much that share changes with the tangent of the pitch.
const NOSE_RISE: f64 = 0.55;
/// Sharpness from which on more is no better.
const SHARP: f64 = 0.25;
/// Distance between the eyes from which on more is no better, pixels.
const LARGE_PX: f64 = 40.0;

/// What can be said of a face before it is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Distance between the eyes as if the head were frontal, pixels of the picture.
    pub eyes_px: f64,
    /// Local contrast, 0 (flat) to about 1.
    pub sharpness: f64,
    /// Turned to a side, degrees, 0..90.
    pub yaw: f64,
    /// Nodded, degrees, 0..90.
    pub pitch: f64,
    /// Tilted, degrees, 0..180; alignment takes it out, so that it only tells of upside-down finds.
    pub roll: f64,
}

/// What is asked of a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Least distance between the eyes, pixels.
    pub min_eyes_px: f64,
    /// Least sharpness.
    pub min_sharpness: f64,
    /// Most yaw or pitch, degrees.
    pub max_angle: f64,
}

/// Why a face is not compared.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Too few pixels.
    #[error("the face is too small: {0:.0} pixels between the eyes, {1:.0} are needed")]
    Small(f64, f64),
    /// Too blurred.
    #[error("the face is too blurred: sharpness {0:.3}, {1:.3} is needed")]
    Blurred(f64, f64),
    /// Too far from frontal.
    #[error("the face is turned away too far: {0:.0} degrees, at most {1:.0} are allowed")]
    Turned(f64, f64),
}

impl Refused {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Small(..) => "small",
            Self::Blurred(..) => "blurred",
            Self::Turned(..) => "turned",
        }
    }
}

impl Quality {
    /// Of a face with these landmarks, pixels, whose aligned brightness is `luma`.
    pub fn of(landmarks: &Points, luma: &[f32], reduction: f64) -> Option<Self> {
        let fit = Similarity::between(landmarks, &TEMPLATE)?;
        let [right_eye, left_eye, nose, right_mouth, left_mouth] =
            landmarks.map(|point| fit.apply(point));
        let middle = |p: (f64, f64), q: (f64, f64)| ((p.0 + q.0) / 2.0, (p.1 + q.1) / 2.0);
        let (eyes, mouth) = (middle(right_eye, left_eye), middle(right_mouth, left_mouth));
        let apart = (left_eye.0 - right_eye.0).hypot(left_eye.1 - right_eye.1);
        let (down, length) = {
            let (x, y) = (mouth.0 - eyes.0, mouth.1 - eyes.1);
            let length = x.hypot(y);
            ((x / length, y / length), length)
        };
        // Along the face, and across it.
        let along = (nose.0 - eyes.0) * down.0 + (nose.1 - eyes.1) * down.1;
        let across = (nose.0 - eyes.0) * down.1 - (nose.1 - eyes.1) * down.0;
        let degrees = |tangent: f64| tangent.abs().atan().to_degrees();
        let yaw = degrees(across / (NOSE * apart));
        let pitch = degrees((along / length - NOSE_HEIGHT) / NOSE_RISE);
        let template_eyes = TEMPLATE[1].0 - TEMPLATE[0].0;
        let quality = Self {
            eyes_px: template_eyes * reduction,
            sharpness: sharpness(luma),
            yaw,
            pitch,
            roll: fit.turn_degrees().abs(),
        };
        [quality.eyes_px, yaw, pitch]
            .iter()
            .all(|v| v.is_finite())
            .then_some(quality)
    }

    /// Whether it passes, or why not.
    ///
    /// # Errors
    /// The first of size, angle and sharpness that does not suffice.
    pub fn pass(&self, gate: &Gate) -> Result<(), Refused> {
        if self.eyes_px < gate.min_eyes_px {
            return Err(Refused::Small(self.eyes_px, gate.min_eyes_px));
        }
        let angle = self.yaw.max(self.pitch);
        if angle > gate.max_angle {
            return Err(Refused::Turned(angle, gate.max_angle));
        }
        if self.sharpness < gate.min_sharpness {
            return Err(Refused::Blurred(self.sharpness, gate.min_sharpness));
        }
        Ok(())
    }

    /// One number to choose the best of several by, 0..1.
    pub fn score(&self) -> f64 {
        let size = (self.eyes_px / LARGE_PX).min(1.0);
        let sharp = (self.sharpness / SHARP).min(1.0);
        let frontal = self.yaw.to_radians().cos() * self.pitch.to_radians().cos();
        size.sqrt() * sharp.sqrt() * frontal.max(0.0).powi(2)
    }
}

/// Mean absolute Laplacian over the contrast, within the face: the same for a dark and a bright picture.
fn sharpness(luma: &[f32]) -> f64 {
    if luma.len() != SIDE * SIDE {
        return 0.0;
    }
    // The oval of the face; what is behind it tells nothing.
    let (from, to) = (SIDE / 5, SIDE - SIDE / 5);
    let (mut laplacian, mut sum, mut square, mut count) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for y in from..to {
        for x in from..to {
            let at = y * SIDE + x;
            let v = f64::from(luma[at]);
            let around = luma[at - 1] + luma[at + 1] + luma[at - SIDE] + luma[at + SIDE];
            laplacian += (4.0 * v - f64::from(around)).abs();
            sum += v;
            square += v * v;
            count += 1.0;
        }
    }
    let mean = sum / count;
    // A flat face has no contrast to measure by.
    let spread = (square / count - mean * mean).max(0.0).sqrt().max(4.0);
    laplacian / count / spread
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head of which the nose stands out, turned by `yaw` and `pitch` degrees, seen from far.
    fn head(yaw: f64, pitch: f64, roll: f64) -> Points {
        let (yaw, pitch) = (yaw.to_radians(), pitch.to_radians());
        let eye = 17.6;
        let solid = [
            (-eye, -20.2, 0.0),
            (eye, -20.2, 0.0),
            (0.0, 0.0, NOSE * 2.0 * eye),
            (-14.6, 20.6, 3.0),
            (14.6, 20.6, 3.0),
        ];
        let turn = Similarity {
            a: roll.to_radians().cos(),
            b: roll.to_radians().sin(),
            tx: 200.0,
            ty: 100.0,
        };
        solid.map(|(x, y, z)| {
            let (x, z) = (x * yaw.cos() + z * yaw.sin(), z * yaw.cos() - x * yaw.sin());
            turn.apply((x, y * pitch.cos() + z * pitch.sin()))
        })
    }

    fn of(points: &Points) -> Quality {
        Quality::of(points, &[100.0; SIDE * SIDE], 1.0).unwrap()
    }

    #[test]
    fn angles_are_read_off_the_landmarks() {
        let front = of(&head(0.0, 0.0, 30.0));
        assert!(front.yaw < 3.0 && front.pitch < 6.0, "{front:?}");
        assert!((front.roll - 30.0).abs() < 3.0, "{front:?}");
        for (told, least, most) in [(20.0, 12.0, 30.0), (45.0, 33.0, 55.0), (-45.0, 33.0, 55.0)] {
            let yaw = of(&head(told, 0.0, 0.0)).yaw;
            assert!((least..most).contains(&yaw), "{told}: {yaw}");
        }
        assert!(of(&head(0.0, 30.0, 0.0)).pitch > 15.0);
    }

    #[test]
    fn each_gate_says_what_is_wrong() {
        let gate = Gate {
            min_eyes_px: 12.0,
            min_sharpness: 0.05,
            max_angle: 40.0,
        };
        let fine = Quality {
            eyes_px: 30.0,
            sharpness: 0.2,
            yaw: 10.0,
            pitch: 5.0,
            roll: 0.0,
        };
        assert_eq!(fine.pass(&gate), Ok(()));
        let word = |q: Quality| q.pass(&gate).map_err(|r| r.word());
        assert_eq!(
            word(Quality {
                eyes_px: 8.0,
                ..fine
            }),
            Err("small")
        );
        assert_eq!(word(Quality { yaw: 60.0, ..fine }), Err("turned"));
        assert_eq!(
            word(Quality {
                pitch: 60.0,
                ..fine
            }),
            Err("turned")
        );
        assert_eq!(
            word(Quality {
                sharpness: 0.01,
                ..fine
            }),
            Err("blurred")
        );
        for worse in [
            Quality {
                eyes_px: 13.0,
                ..fine
            },
            Quality { yaw: 35.0, ..fine },
            Quality {
                sharpness: 0.06,
                ..fine
            },
        ] {
            assert!(worse.score() < fine.score(), "{worse:?}");
        }
    }

    #[test]
    fn blur_lowers_the_sharpness_and_brightness_does_not_matter() {
        let pattern = |gain: f32| -> Vec<f32> {
            (0..SIDE * SIDE)
                .map(|i| {
                    let (x, y) = (i % SIDE, i / SIDE);
                    20.0 + gain
                        * if (x / 4 + y / 4) % 2 == 0 {
                            100.0
                        } else {
                            20.0
                        }
                })
                .collect()
        };
        let mut soft = pattern(1.0);
        for _ in 0..12 {
            let before = soft.clone();
            for y in 1..SIDE - 1 {
                for x in 1..SIDE - 1 {
                    let at = y * SIDE + x;
                    soft[at] = (before[at - 1]
                        + before[at + 1]
                        + before[at - SIDE]
                        + before[at + SIDE]
                        + 4.0 * before[at])
                        / 8.0;
                }
            }
        }
        let (sharp, dim) = (sharpness(&pattern(1.0)), sharpness(&pattern(0.5)));
        assert!((sharp / dim - 1.0).abs() < 0.05, "{sharp} {dim}");
        assert!(
            sharpness(&soft) < sharp * 0.6,
            "{} {sharp}",
            sharpness(&soft)
        );
        assert_eq!(sharpness(&[]), 0.0);
    }
}
