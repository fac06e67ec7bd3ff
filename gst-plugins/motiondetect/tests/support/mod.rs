//! Generated surveillance scenes with known truth, and the rules by which a motion detector is scored on them.

pub mod scene;
pub mod scenery;
pub mod score;

/// A generator of reproducible numbers (`SplitMix64`, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to below `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (self.bits() >> 11) as f64 / (1u64 << 53) as f64 * (high - low)
    }

    /// One of some numbers.
    pub fn pick(&mut self, choices: &[f64]) -> f64 {
        choices[(self.bits() % choices.len() as u64) as usize]
    }

    /// Whether something of this chance happens.
    pub fn chance(&mut self, share: f64) -> bool {
        self.between(0.0, 1.0) < share
    }

    /// A nearly normal number of standard deviation 1: the sum of eight bytes.
    pub fn normal(&mut self) -> f32 {
        let bytes = self.bits().to_le_bytes();
        let sum: u32 = bytes.iter().map(|&b| u32::from(b)).sum();
        (sum as f32 - 1020.0) / 209.0
    }
}
