//! Whether a live stream keeps up: how far it is behind the pictures that wait before it.
//!
//! A stream that had to wait for its picture has nothing before it, and is not behind, however unsteady its camera
//! sends. One that gets its next picture at once has some waiting: from then on it is behind by as much as time went
//! on faster than the pictures' time stamps. It may be behind by as long as the model takes, which keeps the model
//! busy; beyond that, pictures pass without a look until the stream has caught up.

use std::time::Duration;

/// A picture that came this soon after the one before had been waiting.
const AT_ONCE: Duration = Duration::from_millis(1);

/// What is known of a live stream's pace. Times are of a clock that never jumps, whatever its beginning.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// When the stream last was not behind, and the PTS then, nanoseconds.
    anchor: Option<(Duration, u64)>,
    /// When the element was last done with a picture.
    done: Option<Duration>,
    /// How long the model takes for a picture, not counting the wait for it; an average.
    run: Duration,
}

impl Pace {
    /// A picture came in; by how much the stream is behind.
    pub fn came_in(&mut self, now: Duration, pts: Option<u64>) -> Duration {
        let Some(pts) = pts else {
            return Duration::ZERO;
        };
        let waited = self
            .done
            .is_none_or(|done| now.saturating_sub(done) >= AT_ONCE);
        match self.anchor {
            Some((since, from)) if !waited && pts >= from => {
                let media = Duration::from_nanos(pts - from);
                now.saturating_sub(since).saturating_sub(media)
            }
            _ => {
                self.anchor = Some((now, pts));
                Duration::ZERO
            }
        }
    }

    /// The element is done with the picture, after a look or without one.
    pub fn done(&mut self, now: Duration) {
        self.done = Some(now);
    }

    /// The model took so long.
    pub fn ran(&mut self, took: Duration) {
        self.run = if self.run.is_zero() {
            took
        } else {
            (self.run * 7 + took) / 8
        };
    }

    /// Whether a stream that is behind by so much may wait for another look.
    pub fn has_time(&self, behind: Duration) -> bool {
        behind <= self.run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Plays `count` pictures, `step` ms apart and shaken by up to `jitter` ms, through a model that takes `run` ms;
    /// numbers of those looked at. The queue before the element keeps everything.
    fn play(count: u32, step: u32, jitter: u32, run: u32) -> (Vec<u32>, Duration) {
        let mut pace = Pace::default();
        let (mut now, mut looks, mut most) = (Duration::ZERO, Vec::new(), Duration::ZERO);
        for i in 0..count {
            let shaken = i * 7919 % (jitter + 1);
            now = now.max(MS * (i * step + shaken));
            let pts = u64::from(i * step) * 1_000_000;
            let behind = pace.came_in(now, Some(pts));
            most = most.max(now.saturating_sub(MS * (i * step)));
            if pace.has_time(behind) {
                now += MS * run;
                pace.ran(MS * run);
                looks.push(i);
            }
            pace.done(now);
        }
        (looks, most)
    }

    #[test]
    fn a_fast_model_sees_every_picture_however_unsteady_they_come() {
        for jitter in [0, 30, 200] {
            assert_eq!(play(100, 66, jitter, 20).0.len(), 100, "{jitter}");
        }
    }

    #[test]
    fn a_slow_model_is_always_busy_and_the_stream_never_far_behind() {
        for (step, run) in [(66, 80), (66, 200), (40, 1000), (33, 35)] {
            let (looks, most) = play(600, step, 0, run);
            let busy = looks.len() as f64 * f64::from(run) / f64::from(600 * step);
            assert!(busy > 0.97, "{step} {run}: {busy}");
            assert!(most <= MS * (2 * run + step), "{step} {run}: {most:?}");
        }
    }

    #[test]
    fn without_time_stamps_nothing_is_behind() {
        let mut pace = Pace::default();
        pace.ran(MS);
        for i in 0..5 {
            assert_eq!(pace.came_in(MS * 1000 * i, None), Duration::ZERO);
            pace.done(MS * 1000 * i);
        }
        // Time that runs back begins anew.
        assert_eq!(pace.came_in(MS * 5000, Some(7)), Duration::ZERO);
        pace.done(MS * 5000);
        assert_eq!(pace.came_in(MS * 5000, Some(3)), Duration::ZERO);
    }
}
