//! Building and starting a pipeline on a thread of its own, with a deadline: one that hangs is left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gst::prelude::*;
use nvr_base::{Error, Result};
use nvr_contract::source::VideoCodec;

use super::{Input, bus, teardown};
use crate::assemble;
use crate::description::Description;
use crate::spec::CameraSpec;
use crate::tap::Tap;

/// How long building and starting may take; opening a large model takes a second or two.
pub(super) const START: Duration = Duration::from_secs(10);

/// What is to be built and started.
pub(super) struct Plan {
    pub(super) spec: CameraSpec,
    pub(super) description: Description,
    pub(super) codec: VideoCodec,
    pub(super) now_unix_us: i64,
    pub(super) tap: Arc<Tap>,
    /// Number of the pipeline.
    pub(super) number: u64,
    pub(super) outbox: SyncSender<Input>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Started,
    /// The camera does not want it any more: the thread stops what it has started.
    GivenUp,
}

/// A pipeline that is being built and started.
pub(super) struct Startup {
    pub(super) deadline: Duration,
    phase: Arc<Mutex<Phase>>,
    wanted: Arc<AtomicBool>,
}

impl Startup {
    /// Begins; [`Input::Built`] and then [`Input::Started`] say how it went, the latter also after it was given up.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn begin(plan: Plan, now: Duration) -> Result<Self> {
        let phase = Arc::new(Mutex::new(Phase::Starting));
        let wanted = Arc::new(AtomicBool::new(true));
        let this = Self {
            deadline: now + START,
            phase: Arc::clone(&phase),
            wanted: Arc::clone(&wanted),
        };
        thread::Builder::new()
            .name(format!("start-{}", plan.spec.name))
            .spawn(move || run(&plan, &phase, wanted))
            .map_err(|error| {
                Error::exhausted("no thread to start a pipeline on").with_source(error)
            })?;
        Ok(this)
    }

    /// Leaves it to its thread, which stops it as soon as it can; false when it has just started.
    pub(super) fn give_up(&self) -> bool {
        let mut phase = self.phase.lock().expect("no holder of this lock panics");
        if *phase == Phase::Starting {
            *phase = Phase::GivenUp;
        }
        if *phase == Phase::GivenUp {
            self.wanted.store(false, Ordering::Relaxed);
        }
        *phase == Phase::GivenUp
    }
}

fn run(plan: &Plan, phase: &Mutex<Phase>, wanted: Arc<AtomicBool>) {
    let built = assemble::assemble(
        &plan.spec,
        &plan.description,
        plan.codec,
        plan.now_unix_us,
        wanted,
    );
    let outcome = built.map(|assembled| {
        let given_up = || *phase.lock().expect("no holder of this lock panics") == Phase::GivenUp;
        if given_up() {
            return;
        }
        let pipeline = assembled.pipeline.clone();
        if let Some(pad) = assembled.encoded.static_pad("sink") {
            plan.tap.attach_while(&pad, Arc::clone(&assembled.wanted));
        }
        bus::connect(&pipeline, plan.number, plan.outbox.clone());
        // Before anything that the pipeline itself may say.
        say(plan, Input::Built(plan.number, Box::new(assembled)));
        // A failure has put a message on the bus, which says more than this result.
        if let Err(error) = pipeline.set_state(gst::State::Playing) {
            tracing::debug!(camera.id = %plan.spec.name, %error, "the pipeline did not start");
        }
        {
            let mut phase = phase.lock().expect("no holder of this lock panics");
            if *phase == Phase::Starting {
                *phase = Phase::Started;
            }
        }
        if given_up() {
            teardown::stop(&pipeline);
        }
    });
    say(plan, Input::Started(plan.number, outcome));
}

/// Tells the camera's thread, which may have ended.
fn say(plan: &Plan, input: Input) {
    drop(plan.outbox.send(input));
}
