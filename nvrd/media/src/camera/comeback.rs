//! The way back from a fallback: now and then the wanted analysis is tried beside the pipeline that runs.
//!
//! Only the analysing elements are tried, and only up to the state in which they open what they need, a model
//! say: the recording goes on meanwhile, and is interrupted once when the wanted pipeline can run again.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gst::prelude::*;
use nvr_base::{Error, Result};
use nvr_contract::segment::GapReason;
use nvr_contract::source::VideoCodec;

use super::{Camera, Input};
use crate::assemble;
use crate::description::{self, Description};
use crate::spec::CameraSpec;

/// The first wait after a fallback; doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(60);
/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(600);

/// When the wanted analysis is tried next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comeback {
    at: Option<Duration>,
    wait: Duration,
    rehearsing: bool,
}

impl Default for Comeback {
    fn default() -> Self {
        Self {
            at: None,
            wait: FIRST,
            rehearsing: false,
        }
    }
}

impl Comeback {
    /// Monotonic time of the next attempt.
    pub(super) fn at(&self) -> Option<Duration> {
        self.at
    }

    /// The analysis failed at `now` after it `ran` for so long: try again later, and later each time.
    pub(super) fn later(&mut self, now: Duration, ran: Duration) {
        if ran > LONGEST {
            self.wait = FIRST;
        }
        // One failure may lead down more than one step.
        if self.at.is_none() {
            self.at = Some(now + self.wait);
            self.wait = (self.wait * 2).min(LONGEST);
        }
    }

    /// An attempt is over.
    pub(super) fn rehearsed(&mut self) {
        self.rehearsing = false;
    }
}

impl Camera {
    /// Tries what is wanted more than what runs, on a thread of its own.
    pub(super) fn rehearse(&mut self) {
        self.comeback.at = None;
        let now = self.clock.monotonic();
        if self.level == 0 || self.comeback.rehearsing {
            return;
        }
        if self.startup.is_some() || self.running.is_none() {
            return self.comeback.later(now, Duration::ZERO);
        }
        let (spec, codec, number) = (self.spec.clone(), self.codec, self.generation);
        let (level, outbox) = (self.level, self.outbox.clone());
        let work = move || {
            let found = (0..level).find(|level| {
                let description = &spec.pipelines[*level];
                let outcome = rehearsal(&spec, description, codec);
                if let Err(error) = &outcome {
                    tracing::info!(camera.id = %spec.name, %error, "pipeline {:?} still cannot run", description.name);
                }
                outcome.is_ok()
            });
            // The camera's thread may have ended.
            drop(outbox.send(Input::Rehearsed(number, found)));
        };
        match std::thread::Builder::new()
            .name("rehearsal".to_owned())
            .spawn(work)
        {
            Ok(_) => self.comeback.rehearsing = true,
            Err(error) => {
                tracing::warn!(%error, "no thread to try the wanted pipeline on");
                self.comeback.later(now, Duration::ZERO);
            }
        }
    }

    /// Degraded → Starting: goes back up to what can run again.
    pub(super) fn on_rehearsed(&mut self, number: u64, level: Option<usize>) {
        self.comeback.rehearsed();
        let current = number == self.generation && self.running.is_some();
        let Some(level) = level.filter(|level| current && *level < self.level) else {
            let now = self.clock.monotonic();
            return self.comeback.later(now, Duration::ZERO);
        };
        tracing::info!(camera.id = %self.spec.name, "pipeline {:?} can run again", self.spec.pipelines[level].name);
        let since_us = self.clock.unix_us();
        let recorded = self.is_recording();
        self.tear_down(true);
        if recorded {
            let why = "the analysis can run again, and the pipeline is built anew with it";
            self.misses(GapReason::Paused, since_us, why);
        }
        self.level = level;
        if level == 0 {
            self.problems.fallback = None;
        } else {
            self.comeback.later(self.clock.monotonic(), Duration::ZERO);
        }
        self.start();
    }
}

/// Builds a pipeline and lets its analysing elements open what they need.
fn rehearsal(spec: &CameraSpec, description: &Description, codec: VideoCodec) -> Result<()> {
    let unwanted = Arc::new(AtomicBool::new(false));
    let assembled = assemble::assemble(spec, description, codec, 0, unwanted)?;
    let elements = assembled.pipeline.children();
    let mut analysing = elements
        .iter()
        .filter(|element| !description::RECORDING.contains(&element.name().as_str()));
    let failed = analysing.find(|element| element.set_state(gst::State::Ready).is_err());
    let name = failed.map(gst::Element::name);
    for element in &elements {
        if let Err(error) = element.set_state(gst::State::Null) {
            gst::warning!(gst::CAT_DEFAULT, "after a rehearsal: {error}");
        }
    }
    match name {
        None => Ok(()),
        Some(name) => Err(Error::precondition(format!(
            "{name} cannot open what it needs"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_and_a_sound_run_makes_them_frequent_again() {
        let mut comeback = Comeback::default();
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..6 {
            comeback.later(now, Duration::from_secs(1));
            // The next step down does not count.
            comeback.later(now, Duration::from_secs(1));
            let at = comeback.at.take().unwrap();
            waits.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
        comeback.later(now, Duration::from_secs(601));
        assert_eq!(comeback.at, Some(now + FIRST));
    }
}
