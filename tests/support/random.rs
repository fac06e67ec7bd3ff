//! Numbers that look random and are the same for the same seed.

/// A generator (`SplitMix64`, Steele, Lea and Flood 2014).
pub struct Random(u64);

impl Random {
    /// A generator for a seed from the variable `NVRD_SEED`, or `default`; says which, so that a failure can be had again.
    pub fn from_env(default: u64) -> Self {
        let seed = std::env::var("NVRD_SEED").ok();
        let seed = seed.map_or(default, |text| text.parse().expect("NVRD_SEED is a number"));
        println!("NVRD_SEED={seed}");
        Self(seed)
    }

    /// A number from `low` to below `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        low + unit * (high - low)
    }
}

/// A number from the environment, such as how long a test that is short by default shall run.
pub fn number_from_env(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}
