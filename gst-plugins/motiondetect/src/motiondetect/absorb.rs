//! How the background takes in what came to stay, keeps what it hid, and gets used to what blinks.

use super::background::{Background, Look, Pace, Scene, Sight};

/// Seconds of being foreground after which a cell's envelope widens: it blinks, it does not pass.
const BLINK_AFTER: f32 = 1.0;

/// `second_hits` of a cell without a second value.
pub const NO_SECOND: u8 = u8::MAX;

impl Background {
    /// Explains a foreground cell by its second value, where that fits; two pictures in a row make it the first.
    ///
    /// `pictures` are the still and the shifted means. Whether the cell is explained.
    pub fn explain(
        &mut self,
        index: usize,
        pictures: [f32; 2],
        look: Look,
        sight: &mut Sight,
        threshold: f32,
    ) -> bool {
        if self.second_hits[index] == NO_SECOND {
            return false;
        }
        let lit = look.change.lit(self.second[index]);
        let bent = look.change.dx * self.slope_x[index] + look.change.dy * self.slope_y[index];
        let (still, moved) = (pictures[0] - lit, pictures[1] - lit + bent);
        let other = if moved.abs() < still.abs() {
            moved
        } else {
            still
        };
        let usual = self.low[index] - threshold..self.high[index] + threshold;
        if other.abs() >= 0.4 * sight.residual[index].abs() || !usual.contains(&other) {
            self.second_hits[index] = 0;
            return false;
        }
        sight.residual[index] = other;
        self.second_hits[index] += 1;
        if self.second_hits[index] >= 2 {
            self.second_hits[index] = 0;
            std::mem::swap(&mut self.base[index], &mut self.second[index]);
            self.quiet[index] = 0.0;
        }
        true
    }

    /// Lets the counters of cells that are foreground no more run down.
    pub(super) fn calm(&mut self, scene: &Scene<'_>, dt: f32) {
        let (quiet, busy) = (&mut self.quiet, &mut self.busy);
        self.lively.retain(|&index| {
            let k = index as usize;
            if scene.weak[k] == 0 {
                quiet[k] = if scene.frozen[k] == 0 {
                    (quiet[k] - dt).max(0.0)
                } else {
                    0.0
                };
                if scene.frozen[k] == 0 {
                    busy[k] = (busy[k] - 0.1 * dt).max(0.0);
                }
            }
            quiet[k] > 0.0 || busy[k] > 0.0
        });
    }

    pub(super) fn foreground(
        &mut self,
        k: usize,
        scene: &Scene<'_>,
        pace: Pace,
        threshold: f32,
        widen: f32,
    ) {
        let dt = pace.dt;
        // A cell enters the list once: `calm` has just dropped those whose counters are both zero.
        let idle = self.quiet[k] == 0.0 && self.busy[k] == 0.0;
        let r = scene.sight.residual[k];
        if let Some(past) = scene.past {
            let still = (r - past.residual[k]).abs() < threshold + self.span(k) / 2.0;
            self.quiet[k] = if still {
                self.quiet[k] + dt
            } else {
                (self.quiet[k] - 1.0).max(0.0)
            };
        }
        if scene.frozen[k] == 0 {
            self.busy[k] += dt;
        }
        if self.quiet[k] > pace.absorb {
            self.absorb(k, r);
        } else if scene.frozen[k] == 0 && self.busy[k] > BLINK_AFTER {
            if r > self.high[k] {
                self.high[k] += widen * (r - self.high[k]);
            } else if r < self.low[k] {
                self.low[k] += widen * (r - self.low[k]);
            }
        }
        if idle && (self.quiet[k] > 0.0 || self.busy[k] > 0.0) {
            self.lively.push(k as u32);
        }
    }

    /// Takes in the foreground cells of a group at once: light that fell on them.
    pub fn absorb_all(&mut self, cells: &[u32], weak: &[u8], sight: &Sight) {
        for &cell in cells {
            let (k, residual) = (cell as usize, sight.residual[cell as usize]);
            if weak[k] == 0 {
                continue;
            }
            // Light that grows further: what was there before all of it is what comes back.
            let further = (self.base[k] - self.second[k]) * residual > 0.0;
            if self.second_hits[k] != NO_SECOND && further {
                self.base[k] += residual;
            } else {
                self.absorb(k, residual);
            }
        }
    }

    /// Takes a whole picture for the background; what `changed` keeps the old value as its second.
    pub fn take_over(&mut self, picture: &[f32], changed: &[u32]) {
        for &cell in changed {
            self.absorb(cell as usize, 0.0);
        }
        self.base.copy_from_slice(picture);
        for row in 0..self.rows() {
            self.refresh_slopes(row);
        }
    }

    fn absorb(&mut self, k: usize, residual: f32) {
        if self.second_hits[k] == NO_SECOND {
            self.seconds.push(k as u32);
        }
        self.second_hits[k] = 0;
        self.second[k] = self.base[k];
        self.base[k] += residual;
        self.quiet[k] = 0.0;
    }
}
