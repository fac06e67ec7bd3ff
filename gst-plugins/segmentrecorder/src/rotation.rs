//! When a file has lasted long enough, and at which key frame the next one begins.

/// What a file may reach.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Length, nanoseconds.
    pub duration_ns: u64,
    /// Size, bytes; 0 for any.
    pub bytes: u64,
    /// Files begin at multiples of this wall time since 1970-01-01 UTC, nanoseconds; 0 for anywhere.
    pub boundary_ns: u64,
}

/// What a file has reached at a picture.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    /// Length, nanoseconds.
    pub elapsed_ns: u64,
    /// Size, bytes.
    pub bytes: u64,
    /// Wall time of the file's first picture and of this one, microseconds since 1970.
    pub unix_us: (i64, i64),
}

impl Limits {
    /// Whether the file should end at the next key frame.
    pub fn are_met(&self, reached: &Reached) -> bool {
        let boundary_us = i64::try_from(self.boundary_ns / 1000).unwrap_or(i64::MAX);
        let (start, now) = reached.unix_us;
        reached.elapsed_ns >= self.duration_ns
            || (self.bytes > 0 && reached.bytes >= self.bytes)
            || (boundary_us > 0 && start.div_euclid(boundary_us) < now.div_euclid(boundary_us))
    }
}

/// Decides at each key frame whether it begins a new file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rotation {
    asked: bool,
    passed: bool,
}

impl Rotation {
    /// Ends the file at the next key frame, however short it is.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// A new file has begun.
    pub fn begun(&mut self) {
        *self = Self::default();
    }

    /// Whether the file ends before this key frame; `due` when it has reached a limit.
    ///
    /// A `clean` key frame (IDR) is preferred: pictures after another kind may refer to pictures before it, and
    /// would not decode in a file of their own. One such key frame is let pass; a stream that has no clean
    /// ones is split at the next.
    pub fn at_key(&mut self, due: bool, clean: bool) -> bool {
        if !self.asked && !due {
            return false;
        }
        let now = clean || self.passed;
        self.passed = true;
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_by_length_size_or_wall_time() {
        const HOUR_US: i64 = 3_600_000_000;
        let limits = Limits {
            duration_ns: 10,
            bytes: 100,
            boundary_ns: 600_000_000_000,
        };
        let open = Limits {
            bytes: 0,
            boundary_ns: 0,
            ..limits
        };
        for (elapsed_ns, bytes, from, to, closed, opened) in [
            (9, 99, 0, 1, false, false),
            (10, 0, 0, 1, true, true),
            (0, 100, 0, 1, true, false),
            (0, 0, HOUR_US - 1, HOUR_US, true, false),
            (0, 0, HOUR_US, HOUR_US + 599_999_999, false, false),
            (0, 0, HOUR_US, HOUR_US + 600_000_000, true, false),
            (0, 0, -1, 0, true, false),
        ] {
            let reached = Reached {
                elapsed_ns,
                bytes,
                unix_us: (from, to),
            };
            assert_eq!(limits.are_met(&reached), closed, "{reached:?}");
            assert_eq!(open.are_met(&reached), opened, "{reached:?}");
        }
    }

    #[test]
    fn waits_for_a_limit_or_a_request() {
        let mut rotation = Rotation::default();
        assert!(!rotation.at_key(false, true));
        assert!(rotation.at_key(true, true));
        rotation.begun();
        rotation.ask();
        assert!(rotation.at_key(false, true));
        rotation.begun();
        assert!(!rotation.at_key(false, true));
    }

    #[test]
    fn lets_one_open_key_frame_pass() {
        let mut rotation = Rotation::default();
        assert!(!rotation.at_key(true, false));
        assert!(rotation.at_key(true, false));
        rotation.begun();
        assert!(!rotation.at_key(true, false));
        assert!(rotation.at_key(true, true));
    }
}
