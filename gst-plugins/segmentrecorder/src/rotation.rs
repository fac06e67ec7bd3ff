//! When a file has lasted long enough, and at which key frame the next one begins.

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

    /// Whether the file that has lasted `elapsed_ns` ends before this key frame.
    ///
    /// A `clean` key frame (IDR) is preferred: pictures after another kind may refer to pictures before it, and
    /// would not decode in a file of their own. One such key frame is let pass; a stream that has no clean
    /// ones is split at the next.
    pub fn at_key(&mut self, elapsed_ns: u64, limit_ns: u64, clean: bool) -> bool {
        if !self.asked && elapsed_ns < limit_ns {
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
    fn waits_for_duration_or_request() {
        let mut rotation = Rotation::default();
        assert!(!rotation.at_key(9, 10, true));
        assert!(rotation.at_key(10, 10, true));
        rotation.begun();
        rotation.ask();
        assert!(rotation.at_key(1, 10, true));
        rotation.begun();
        assert!(!rotation.at_key(1, 10, true));
    }

    #[test]
    fn lets_one_open_key_frame_pass() {
        let mut rotation = Rotation::default();
        assert!(!rotation.at_key(10, 10, false));
        assert!(rotation.at_key(12, 10, false));
        rotation.begun();
        assert!(!rotation.at_key(10, 10, false));
        assert!(rotation.at_key(12, 10, true));
    }
}
