//! Where the streaming thread waits: for the pipeline to play, and for a picture's time.

use std::sync::{Condvar, Mutex, PoisonError};

use gst::prelude::*;

/// What became of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// The gate stood open.
    AtOnce,
    /// The gate was shut, and time passed meanwhile.
    Waited,
    /// There is nothing to wait for any more.
    Closed,
}

#[derive(Debug, Default)]
struct Inner {
    open: bool,
    /// It was shut since the last one passed.
    was_shut: bool,
    closed: bool,
    alarm: Option<gst::SingleShotClockId>,
}

/// Open while the pipeline plays.
#[derive(Debug, Default)]
pub struct Gate {
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Gate {
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let alarm = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut inner);
            inner.alarm.take()
        };
        self.changed.notify_all();
        if let Some(alarm) = alarm {
            alarm.unschedule();
        }
    }

    /// The pipeline plays.
    pub fn open(&self) {
        self.change(|inner| inner.open = true);
    }

    /// The pipeline pauses.
    pub fn shut(&self) {
        self.change(|inner| (inner.open, inner.was_shut) = (false, true));
    }

    /// The pipeline stops: nobody waits here any more.
    pub fn close(&self) {
        self.change(|inner| inner.closed = true);
    }

    /// Ends a wait for a picture's time.
    pub fn call_off(&self) {
        self.change(|_| ());
    }

    /// Waits until the gate is open.
    pub fn pass(&self) -> Passed {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut passed = match std::mem::take(&mut inner.was_shut) {
            true => Passed::Waited,
            false => Passed::AtOnce,
        };
        while !inner.open && !inner.closed {
            passed = Passed::Waited;
            inner = self
                .changed
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        inner.was_shut = false;
        if inner.closed { Passed::Closed } else { passed }
    }

    /// Waits for a time of the pipeline's clock, or until the gate is shut or closed; false when it is closed.
    pub fn wait_until(&self, clock: &gst::Clock, time: gst::ClockTime) -> bool {
        let alarm = clock.new_single_shot_id(time);
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.closed || !inner.open {
                return !inner.closed;
            }
            inner.alarm = Some(alarm.clone());
        }
        // However the wait ends, by its time or by being called off, the state decides.
        let (_outcome, _jitter) = alarm.wait();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.alarm = None;
        !inner.closed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn closing_ends_every_wait() {
        gst::init().unwrap();
        let clock = gst::SystemClock::obtain();
        for wait_for_time in [true, false] {
            let gate = Arc::new(Gate::default());
            if wait_for_time {
                gate.open();
            }
            let waiter = std::thread::spawn({
                let (gate, clock) = (Arc::clone(&gate), clock.clone());
                move || match wait_for_time {
                    true => {
                        let later = clock.time() + gst::ClockTime::from_seconds(60);
                        while gate.wait_until(&clock, later) {}
                    }
                    false => assert_eq!(gate.pass(), Passed::Closed),
                }
            });
            let start = Instant::now();
            gate.close();
            waiter.join().unwrap();
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }

    #[test]
    fn opening_lets_pass() {
        let gate = Arc::new(Gate::default());
        let waiter = std::thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.pass()
        });
        gate.open();
        assert!(matches!(
            waiter.join().unwrap(),
            Passed::Waited | Passed::AtOnce
        ));
        assert_eq!(gate.pass(), Passed::AtOnce);
        gate.shut();
        gate.open();
        assert_eq!(gate.pass(), Passed::Waited);
    }
}
