//! A box in a picture, in shares of the picture, so that it means the same at every size.

/// An axis-aligned box; all values are shares (0..1) of the picture's width or height, origin at the top left.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BBox {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl BBox {
    /// A box cut to the picture; what lies outside is dropped, non-finite values become an empty box.
    pub fn clamped(x: f64, y: f64, w: f64, h: f64) -> Self {
        if ![x, y, w, h].iter().all(|v| v.is_finite()) {
            return Self::default();
        }
        let (x0, y0) = (x.clamp(0.0, 1.0), y.clamp(0.0, 1.0));
        let (x1, y1) = ((x + w).clamp(x0, 1.0), (y + h).clamp(y0, 1.0));
        Self {
            x: x0,
            y: y0,
            w: x1 - x0,
            h: y1 - y0,
        }
    }

    /// A box given in pixels of a picture of `width` by `height` pixels.
    pub fn from_pixels((x, y, w, h): (u32, u32, u32, u32), width: u32, height: u32) -> Self {
        let (pw, ph) = (f64::from(width.max(1)), f64::from(height.max(1)));
        Self::clamped(
            f64::from(x) / pw,
            f64::from(y) / ph,
            f64::from(w) / pw,
            f64::from(h) / ph,
        )
    }

    /// The smallest pixel rectangle (x, y, w, h) that covers the box, inside the picture.
    pub fn to_pixels(self, width: u32, height: u32) -> (u32, u32, u32, u32) {
        let edge = |share: f64, size: u32, up: bool| {
            let v = share * f64::from(size);
            // Half a thousandth of a pixel: what a round trip through f64 may add.
            let v = if up {
                (v - 5e-4).ceil()
            } else {
                (v + 5e-4).floor()
            };
            v.clamp(0.0, f64::from(size)) as u32
        };
        let (x0, y0) = (edge(self.x, width, false), edge(self.y, height, false));
        let (x1, y1) = (
            edge(self.x + self.w, width, true),
            edge(self.y + self.h, height, true),
        );
        (x0, y0, x1.saturating_sub(x0), y1.saturating_sub(y0))
    }

    /// Area, as a share of the picture.
    pub fn area(self) -> f64 {
        self.w * self.h
    }

    /// The centre (x, y).
    pub fn center(self) -> (f64, f64) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    /// The middle of the lower edge: where an upright object touches the ground.
    pub fn foot(self) -> (f64, f64) {
        (self.x + self.w / 2.0, self.y + self.h)
    }

    /// Area common to both boxes.
    pub fn intersection(self, other: Self) -> f64 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union, 0..1; 0 for two empty boxes.
    pub fn iou(self, other: Self) -> f64 {
        let inter = self.intersection(other);
        let union = self.area() + other.area() - inter;
        if union > 0.0 { inter / union } else { 0.0 }
    }

    /// The smallest box that covers both.
    pub fn union(self, other: Self) -> Self {
        let (x0, y0) = (self.x.min(other.x), self.y.min(other.y));
        let (x1, y1) = (
            (self.x + self.w).max(other.x + other.w),
            (self.y + self.h).max(other.y + other.h),
        );
        Self {
            x: x0,
            y: y0,
            w: x1 - x0,
            h: y1 - y0,
        }
    }

    /// `[x, y, w, h]`, the form of JSON and of the bus.
    pub fn to_array(self) -> [f64; 4] {
        [self.x, self.y, self.w, self.h]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pixels_survive_the_round_trip(w in 1u32..5000, h in 1u32..5000, a in 0f64..1.0, b in 0f64..1.0, c in 0f64..1.0, d in 0f64..1.0) {
            let x = (a * f64::from(w)) as u32;
            let y = (b * f64::from(h)) as u32;
            let rect = (x, y, (c * f64::from(w - x)) as u32, (d * f64::from(h - y)) as u32);
            prop_assert_eq!(BBox::from_pixels(rect, w, h).to_pixels(w, h), rect);
        }

        #[test]
        fn clamped_lies_in_the_picture(x in -1e9f64..1e9, y in -2f64..2.0, w in -2f64..1e9, h in -2f64..2.0) {
            let b = BBox::clamped(x, y, w, h);
            prop_assert!(b.x >= 0.0 && b.y >= 0.0 && b.w >= 0.0 && b.h >= 0.0);
            prop_assert!(b.x + b.w <= 1.0 + 1e-12 && b.y + b.h <= 1.0 + 1e-12);
        }

        #[test]
        fn iou_is_symmetric_and_bounded(a in prop::array::uniform4(0f64..1.0), b in prop::array::uniform4(0f64..1.0)) {
            let (p, q) = (BBox::clamped(a[0], a[1], a[2], a[3]), BBox::clamped(b[0], b[1], b[2], b[3]));
            prop_assert!((p.iou(q) - q.iou(p)).abs() < 1e-12);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&p.iou(q)));
        }
    }

    #[test]
    fn not_a_number_is_an_empty_box() {
        assert_eq!(BBox::clamped(f64::NAN, 0.0, 1.0, 1.0), BBox::default());
    }
}
