//! One camera: a thread that owns its pipeline and moves it through its states.
//!
//! The thread never touches a streaming thread: bus messages and commands come through one channel, and a
//! pipeline is stopped on a thread of its own, so that one that hangs can be left behind.

mod bus;
mod react;
mod status;
mod change;
mod teardown;

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use nvr_base::Clock;
use nvr_contract::source::{LossReason, VideoCodec};

use crate::assemble::{self, Assembled};
use crate::description::Description;
use crate::notice::{CameraState, CameraStatus, Notice};
use crate::spec::CameraSpec;
use crate::tap::Tap;
use teardown::Teardown;

/// First wait after a failure; doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// Longest wait after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A pipeline that ran so long is taken for sound: the next wait is short again.
const SOUND_AFTER: Duration = Duration::from_secs(60);

/// What reaches a camera's thread.
pub(super) enum Input {
    Command(Command),
    /// From the pipeline of that number.
    Bus(u64, gst::Message),
    /// The pipeline of that number has stopped.
    TornDown(u64),
}

/// What the supervisor asks of a camera.
pub(super) enum Command {
    /// Become this.
    Update(Box<CameraSpec>),
    /// Stop in order, and end the thread.
    Quit,
}

/// What is wrong while the pipeline stands.
#[derive(Default)]
struct Problems {
    fallback: Option<String>,
    source: Option<(LossReason, String)>,
    disk: Option<String>,
}

/// Why the thread woke.
enum Wake {
    Input(Input),
    BackoffOver,
}

pub(super) struct Camera {
    spec: CameraSpec,
    clock: Arc<dyn Clock>,
    notices: SyncSender<Notice>,
    status: Arc<Mutex<CameraStatus>>,
    tap: Arc<Tap>,
    inbox: Receiver<Input>,
    outbox: SyncSender<Input>,
    running: Option<Assembled>,
    /// Number of the latest pipeline: one that was left behind may still speak.
    generation: u64,
    started: Duration,
    connected: bool,
    retry_at: Option<Duration>,
    failures: u32,
    /// Index into the chain of descriptions.
    level: usize,
    codec: VideoCodec,
    problems: Problems,
    /// Commands that came while a pipeline was being stopped.
    deferred: std::collections::VecDeque<Command>,
}

pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notices: SyncSender<Notice>,
    pub(super) status: Arc<Mutex<CameraStatus>>,
    pub(super) tap: Arc<Tap>,
}

impl Camera {
    pub(super) fn new(
        spec: CameraSpec,
        context: Context,
        inbox: Receiver<Input>,
        outbox: SyncSender<Input>,
    ) -> Self {
        Self {
            spec,
            clock: context.clock,
            notices: context.notices,
            status: context.status,
            tap: context.tap,
            inbox,
            outbox,
            running: None,
            generation: 0,
            started: Duration::ZERO,
            connected: false,
            retry_at: None,
            failures: 0,
            level: 0,
            codec: VideoCodec::H264,
            problems: Problems::default(),
            deferred: std::collections::VecDeque::new(),
        }
    }

    /// The life of the camera; returns after [`Command::Quit`].
    pub(super) fn run(mut self) {
        if self.spec.enabled {
            self.start();
        }
        loop {
            let wake = match self.deferred.pop_front() {
                Some(command) => Wake::Input(Input::Command(command)),
                None => self.wait(),
            };
            match wake {
                Wake::Input(Input::Command(Command::Quit)) => break,
                Wake::Input(Input::Command(Command::Update(spec))) => self.update(*spec),
                Wake::Input(Input::Bus(from, message)) => self.on_message(from, &message),
                // A pipeline that was left behind has ended after all.
                Wake::Input(Input::TornDown(_)) => {}
                Wake::BackoffOver => {
                    // What the analysis lacked may be there by now.
                    (self.level, self.problems.fallback) = (0, None);
                    self.start();
                }
            }
        }
        self.tear_down(true);
        self.set_state(CameraState::Stopped, None);
    }

    fn wait(&mut self) -> Wake {
        let Some(at) = self.retry_at else {
            // The camera holds a sender itself, so the channel never closes.
            return Wake::Input(self.inbox.recv().unwrap_or(Input::Command(Command::Quit)));
        };
        match self
            .inbox
            .recv_timeout(at.saturating_sub(self.clock.monotonic()))
        {
            Ok(input) => Wake::Input(input),
            Err(RecvTimeoutError::Disconnected) => Wake::Input(Input::Command(Command::Quit)),
            Err(RecvTimeoutError::Timeout) => {
                self.retry_at = None;
                Wake::BackoffOver
            }
        }
    }

    fn description(&self) -> &Description {
        &self.spec.pipelines[self.level.min(self.spec.pipelines.len() - 1)]
    }

    /// Stopped, Backoff → Starting: build the pipeline and let it run.
    fn start(&mut self) {
        self.retry_at = None;
        self.connected = false;
        self.problems.source = None;
        self.problems.disk = None;
        self.started = self.clock.monotonic();
        self.set_state(CameraState::Starting, None);
        let now = self.clock.unix_us();
        match assemble::assemble(&self.spec, self.description(), self.codec, now) {
            Ok(assembled) => self.play(assembled),
            Err(error) => self.analysis_failed(&error.to_string()),
        }
    }

    fn play(&mut self, assembled: Assembled) {
        if let Some(pad) = assembled.encoded.static_pad("sink") {
            self.tap.attach(&pad);
        }
        self.generation += 1;
        bus::connect(&assembled.pipeline, self.generation, self.outbox.clone());
        let pipeline = assembled.pipeline.clone();
        self.running = Some(assembled);
        // A failure has put a message on the bus, which says more than this result.
        if let Err(error) = pipeline.set_state(gst::State::Playing) {
            tracing::debug!(camera.id = %self.spec.name, %error, "the pipeline did not start");
        }
    }

    /// Any → the state that a new specification asks for.
    fn update(&mut self, spec: CameraSpec) {
        if spec == self.spec {
            return;
        }
        let live = self
            .running
            .as_ref()
            .and_then(|running| change::live_changes(&self.spec, &spec, self.level, running));
        self.spec = spec;
        if let Some(changes) = live {
            for (element, property, value) in changes {
                if let Err(error) = assemble::set(&element, &property, &value) {
                    tracing::warn!(camera.id = %self.spec.name, %error, "a parameter was refused");
                }
            }
            return;
        }
        self.tear_down(true);
        (self.level, self.failures, self.problems) = (0, 0, Problems::default());
        self.retry_at = None;
        if self.spec.enabled {
            self.start();
        } else {
            self.set_state(CameraState::Stopped, None);
        }
    }
    fn rebuild(&mut self) {
        self.tear_down(true);
        self.start();
    }

    /// Any → Backoff: wait, longer each time, and build anew.
    fn back_off(&mut self, sentence: &str) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.started) > SOUND_AFTER {
            self.failures = 0;
        }
        let wait = MIN_BACKOFF
            .saturating_mul(1 << self.failures.min(5))
            .min(MAX_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + wait);
        tracing::error!(camera.id = %self.spec.name, error = sentence, retry_ms = wait.as_millis() as u64, "the camera failed");
        {
            let mut status = self.status.lock().expect("no holder of this lock panics");
            status.restarts = status.restarts.saturating_add(1);
        }
        self.set_state(CameraState::Backoff, Some(sentence.to_owned()));
    }

    /// Stops the pipeline; what it still says on the way is handled as ever.
    fn tear_down(&mut self, graceful: bool) {
        let Some(assembled) = self.running.take() else {
            return;
        };
        self.stop_pipeline(assembled, graceful);
        self.tap.dry();
    }

    fn stop_pipeline(&mut self, assembled: Assembled, graceful: bool) {
        let mut teardown = Teardown::begin(
            assembled,
            graceful && self.connected,
            self.generation,
            self.outbox.clone(),
        );
        while let Some(wait) = teardown.remaining(self.clock.monotonic()) {
            match self.inbox.recv_timeout(wait) {
                Ok(Input::Bus(_, message)) => {
                    match message.view() {
                        gst::MessageView::Eos(_) | gst::MessageView::Error(_) => teardown.flushed(),
                        _ => self.on_element(&message),
                    };
                }
                Ok(Input::TornDown(number)) if number == self.generation => return,
                Ok(Input::TornDown(_)) => {}
                Ok(Input::Command(command)) => self.deferred.push_back(command),
                Err(RecvTimeoutError::Timeout) => teardown.flushed(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        tracing::error!(camera.id = %self.spec.name, "a pipeline did not stop in time and is left behind");
    }
}
