//! A constant-velocity filter of a box: where it will be after some time, and how a new sighting corrects that.
//!
//! Centre and size are four independent axes of position and velocity, which is what the block-diagonal filters
//! of the usual trackers come to. All rates are per second of media time, so that the picture rate may change.

use nvr_contract::BBox;

/// Standard deviation of a measured edge, in sizes of the object.
const MEASURED: f64 = 0.05;
/// How fast an object may turn out to be when first seen, in its own sizes per second.
const FIRST_SPEED: f64 = 2.0;
/// How much the speed of the centre changes, in sizes per second and root second.
const CENTRE_DRIFT: f64 = 1.0;
/// How much the speed of growing changes; perspective is slow.
const SIZE_DRIFT: f64 = 0.3;

/// One coordinate: position, velocity and their covariance.
#[derive(Debug, Clone, Copy)]
struct Axis {
    position: f64,
    velocity: f64,
    /// Variance of the position, covariance, variance of the velocity.
    p: [f64; 3],
}

impl Axis {
    fn new(position: f64, size: f64) -> Self {
        Self {
            position,
            velocity: 0.0,
            p: [(MEASURED * size).powi(2), 0.0, (FIRST_SPEED * size).powi(2)],
        }
    }

    /// White noise on the acceleration, integrated exactly: two short steps make one long one.
    fn predict(&mut self, dt: f64, drift: f64) {
        let q = drift * drift;
        let [pp, pv, vv] = self.p;
        self.position += self.velocity * dt;
        self.p = [
            pp + dt * (2.0 * pv + dt * vv) + q * dt.powi(3) / 3.0,
            pv + dt * vv + q * dt * dt / 2.0,
            vv + q * dt,
        ];
    }

    fn correct(&mut self, measured: f64, noise: f64) {
        let [pp, pv, vv] = self.p;
        let spread = pp + noise * noise;
        if spread <= 0.0 {
            self.position = measured;
            return;
        }
        let (gain_p, gain_v) = (pp / spread, pv / spread);
        let error = measured - self.position;
        self.position += gain_p * error;
        self.velocity += gain_v * error;
        self.p = [pp * (1.0 - gain_p), pv * (1.0 - gain_p), vv - gain_v * pv];
    }
}

/// The filter of one object's box.
#[derive(Debug, Clone)]
pub struct Kalman {
    x: Axis,
    y: Axis,
    w: Axis,
    h: Axis,
    /// Picture width over height: shares of the two axes are not equally long.
    aspect: f64,
}

/// The longer side of a box as a share of the width and as a share of the height.
fn sizes(bbox: BBox, aspect: f64) -> (f64, f64) {
    let size = bbox.h.max(bbox.w * aspect).max(1e-4);
    (size / aspect, size)
}

impl Kalman {
    /// A filter that starts with one sighting; `aspect` is picture width over height.
    pub fn new(bbox: BBox, aspect: f64) -> Self {
        let (sx, sy) = sizes(bbox, aspect);
        let (cx, cy) = bbox.center();
        Self {
            x: Axis::new(cx, sx),
            y: Axis::new(cy, sy),
            w: Axis::new(bbox.w, sx),
            h: Axis::new(bbox.h, sy),
            aspect,
        }
    }

    /// Moves on by `dt` seconds; `coasting` objects, which nobody sees, keep their size.
    pub fn predict(&mut self, dt: f64, coasting: bool) {
        if dt <= 0.0 {
            return;
        }
        if coasting {
            self.w.velocity = 0.0;
            self.h.velocity = 0.0;
        }
        let (sx, sy) = sizes(self.bbox(), self.aspect);
        self.x.predict(dt, CENTRE_DRIFT * sx);
        self.y.predict(dt, CENTRE_DRIFT * sy);
        self.w.predict(dt, SIZE_DRIFT * sx);
        self.h.predict(dt, SIZE_DRIFT * sy);
    }

    /// Takes in a sighting at the time of the last prediction.
    pub fn correct(&mut self, bbox: BBox) {
        let (sx, sy) = sizes(bbox, self.aspect);
        let (cx, cy) = bbox.center();
        self.x.correct(cx, MEASURED * sx);
        self.y.correct(cy, MEASURED * sy);
        self.w.correct(bbox.w, MEASURED * sx);
        self.h.correct(bbox.h, MEASURED * sy);
    }

    /// The box as the filter sees it now; it may reach beyond the picture.
    pub fn bbox(&self) -> BBox {
        let (w, h) = (self.w.position.max(1e-4), self.h.position.max(1e-4));
        BBox {
            x: self.x.position - w / 2.0,
            y: self.y.position - h / 2.0,
            w,
            h,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(x: f64) -> BBox {
        BBox {
            x,
            y: 0.4,
            w: 0.05,
            h: 0.2,
        }
    }

    #[test]
    fn learns_the_velocity_whatever_the_picture_rate() {
        for rate in [5.0, 10.0, 30.0] {
            let mut filter = Kalman::new(at(0.1), 16.0 / 9.0);
            for step in 1..=(rate as i32) {
                filter.predict(1.0 / rate, false);
                filter.correct(at(0.1 + 0.2 * f64::from(step) / rate));
            }
            filter.predict(0.5, false);
            let x = filter.bbox().x;
            assert!((x - 0.4).abs() < 0.01, "{rate} per second: {x}");
        }
    }

    #[test]
    fn a_coasting_object_keeps_its_size() {
        let mut filter = Kalman::new(at(0.1), 1.0);
        for step in 1..10 {
            filter.predict(0.1, false);
            filter.correct(BBox {
                h: 0.2 + 0.01 * f64::from(step),
                ..at(0.1)
            });
        }
        let before = filter.bbox();
        filter.predict(1.0, true);
        assert!((filter.bbox().h - before.h).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn two_short_steps_make_one_long_one(a in 0.001f64..1.0, b in 0.001f64..1.0, v in -1f64..1.0, size in 0.01f64..0.5) {
            let mut once = Axis { velocity: v, ..Axis::new(0.5, size) };
            let mut twice = once;
            once.predict(a + b, size);
            twice.predict(a, size);
            twice.predict(b, size);
            prop_assert!((once.position - twice.position).abs() < 1e-9);
            for (p, q) in once.p.iter().zip(twice.p) {
                prop_assert!((p - q).abs() < 1e-9);
            }
        }

        #[test]
        fn covariances_stay_positive(steps in prop::collection::vec((0f64..2.0, -0.5f64..1.5, 0f64..1.0), 1..60)) {
            let mut filter = Kalman::new(at(0.3), 1.5);
            for (dt, x, h) in steps {
                filter.predict(dt, false);
                filter.correct(BBox { x, y: 0.1, w: 0.1, h });
                for axis in [filter.x, filter.y, filter.w, filter.h] {
                    prop_assert!(axis.position.is_finite() && axis.velocity.is_finite());
                    prop_assert!(axis.p[0] >= 0.0 && axis.p[2] >= -1e-12);
                }
            }
        }
    }
}
