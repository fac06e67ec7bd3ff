//! Work that may hang: done on a thread of its own, left behind after a deadline, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How soon waiting ends when the result is not wanted any more.
const POLL: Duration = Duration::from_millis(50);
/// Pieces of work of one camera that may hang at a time; with so many nothing new is begun.
const MAX_HANGING: u64 = 4;

const RUNNING: u8 = 0;
const DONE: u8 = 1;
const LATE: u8 = 2;

/// Counts what hangs.
#[derive(Debug, Default)]
pub struct Hung {
    total: AtomicU64,
    now: AtomicU64,
}

impl Hung {
    /// Pieces of work that were left behind so far.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether so much hangs that nothing new is to be begun.
    pub fn is_enough(&self) -> bool {
        self.now.load(Ordering::SeqCst) >= MAX_HANGING
    }

    /// Does `work` on another thread; `None` when it was not done in time and is left behind, or is not `wanted`.
    pub fn within<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Duration,
        wanted: impl Fn() -> bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (send, result) = mpsc::channel();
        let state = Arc::new(AtomicU8::new(RUNNING));
        let (this, worker) = (Arc::clone(self), Arc::clone(&state));
        std::thread::Builder::new()
            .name("camerasrc-state".to_owned())
            .spawn(move || {
                let outcome = work();
                if worker.swap(DONE, Ordering::SeqCst) == LATE {
                    this.now.fetch_sub(1, Ordering::SeqCst);
                }
                // Nobody may wait any more.
                send.send(outcome).ok();
            })
            .ok()?;
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match result.recv_timeout(left.min(POLL)) {
                Ok(outcome) => return Some(outcome),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() && wanted() => {}
                Err(_) => break,
            }
        }
        // Counted before it can be taken back.
        self.now.fetch_add(1, Ordering::SeqCst);
        let late = state.compare_exchange(RUNNING, LATE, Ordering::SeqCst, Ordering::SeqCst);
        match late {
            Ok(_) => {
                self.total.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(_) => {
                self.now.fetch_sub(1, Ordering::SeqCst);
                result.recv().ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_counted_until_it_ends() {
        let hung = Arc::new(Hung::default());
        assert_eq!(hung.within(Duration::from_secs(60), || true, || 7), Some(7));
        let mut ends = Vec::new();
        for n in 1..=MAX_HANGING {
            assert!(!hung.is_enough());
            let (end, wait) = mpsc::channel::<()>();
            ends.push(end);
            let work = move || wait.recv().is_ok();
            assert_eq!(hung.within(Duration::ZERO, || true, work), None);
            assert_eq!(hung.total(), n);
        }
        assert!(hung.is_enough());
        drop(ends);
        let start = Instant::now();
        while hung.now.load(Ordering::SeqCst) > 0 {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        assert_eq!(hung.total(), MAX_HANGING);
    }

    #[test]
    fn nobody_waits_for_what_is_not_wanted() {
        let hung = Arc::new(Hung::default());
        let (_end, wait) = mpsc::channel::<()>();
        let start = Instant::now();
        let work = move || wait.recv().is_ok();
        assert_eq!(hung.within(Duration::from_secs(60), || false, work), None);
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
