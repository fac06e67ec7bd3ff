//! Holds the first pictures of a stream back that does not say how it reorders, until they show it.
//!
//! Without that the first group of pictures would teach the depth and be lost.

/// Pictures in which the first B picture must be, where there are any: key frame, the picture it refers to, itself.
const SHOWING: usize = 3;
/// Pictures that show the depth of every usual pattern.
const TELLING: usize = 8;

/// The first pictures; `T` is a picture.
#[derive(Debug)]
pub struct Lookahead<T> {
    held: Vec<T>,
    any_reordered: bool,
    done: bool,
}

impl<T> Default for Lookahead<T> {
    fn default() -> Self {
        Self {
            held: Vec::new(),
            any_reordered: false,
            done: true,
        }
    }
}

impl<T> Lookahead<T> {
    /// Pictures from the next key frame on are held back.
    pub fn begin(&mut self) {
        (self.any_reordered, self.done) = (false, false);
    }

    /// Whether a picture is to be held back.
    pub fn wants(&self, key: bool) -> bool {
        !self.done && (key || !self.held.is_empty())
    }

    /// Holds a picture back; true when enough of them are held.
    pub fn hold(&mut self, picture: T, reordered: bool) -> bool {
        self.any_reordered |= reordered;
        self.held.push(picture);
        self.held.len()
            >= match self.any_reordered {
                true => TELLING,
                false => SHOWING,
            }
    }

    /// Lets go of what is held; nothing is held back from here on.
    pub fn release(&mut self) -> Vec<T> {
        self.done = true;
        std::mem::take(&mut self.held)
    }

    /// Whether anything is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_held_until_they_tell() {
        let mut plain = Lookahead::default();
        assert!(!plain.wants(true), "nothing is held unless asked for");
        plain.begin();
        assert!(!plain.wants(false) && plain.wants(true));
        assert!(!plain.hold(0, false) && plain.wants(false));
        assert!(!plain.hold(1, false) && plain.hold(2, false));
        assert_eq!(plain.release(), [0, 1, 2]);
        assert!(plain.is_empty() && !plain.wants(true));
        plain.begin();
        let full = (0..20).find(|n| plain.hold(*n, *n == 2)).unwrap();
        assert_eq!(full + 1, 8);
    }
}
