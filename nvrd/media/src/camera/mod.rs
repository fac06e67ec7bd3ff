//! One camera: a thread that owns its pipeline and moves it through its states.
//!
//! The thread never touches a streaming thread: bus messages and commands come through one channel, and a
//! pipeline is built, started and stopped on a thread of its own, so that one that hangs can be left behind.

mod bus;
mod react;
mod status;
mod change;
mod decode;
mod demand;
mod startup;
mod teardown;
mod comeback;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nvr_base::{Clock, Result};
use nvr_contract::segment::GapReason;
use nvr_contract::source::{LossReason, VideoCodec};

use crate::assemble::{self, Assembled};
use crate::description::Description;
use crate::notice::{CameraState, CameraStatus, Notice};
use crate::spec::CameraSpec;
use crate::tap::Tap;
use comeback::Comeback;
use demand::Demand;
pub use demand::Triggered;
use startup::Startup;
use teardown::Teardown;

/// First wait after a failure; doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// Longest wait after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long one that has not started yet may take to stop.
const UNSTARTED: Duration = Duration::from_secs(1);
/// Pipelines of one camera that may hang at a time; with so many none is built.
const MAX_HANGING: usize = 4;
/// A pipeline that ran so long is taken for sound: the next wait is short again.
const SOUND_AFTER: Duration = Duration::from_secs(60);

/// What reaches a camera's thread.
pub(super) enum Input {
    Command(Command),
    /// From the pipeline of that number.
    Bus(u64, gst::Message),
    /// The pipeline of that number has been built, and is about to be started.
    Built(u64, Box<Assembled>),
    /// Starting the pipeline of that number is over; the error is that of building it.
    Started(u64, Result<()>),
    /// The pipeline of that number has stopped.
    TornDown(u64),
    /// The description of that level could run, `None` when none that is wanted more can.
    Rehearsed(u64, Option<usize>),
}

/// What the supervisor asks of a camera.
pub(super) enum Command {
    /// Become this.
    Update(Box<CameraSpec>),
    /// Record the next seconds for a person, as an event with that id if none is open.
    Trigger {
        id: String,
        seconds: u32,
        reply: SyncSender<Result<Triggered>>,
    },
    /// Stop in order, and end the thread; `removed` when the camera goes and the daemon stays.
    Quit { removed: bool },
}

/// For a thread that nobody can reach any more.
const END: Command = Command::Quit { removed: false };
/// Why nothing is recorded of a camera that is disabled.
const SWITCHED_OFF: &str = "the camera is switched off";

/// What is wrong while the pipeline stands.
#[derive(Default)]
struct Problems {
    fallback: Option<String>,
    source: Option<(LossReason, String)>,
    disk: Option<String>,
    /// What is wrong with the second stream.
    sub: Option<String>,
}

/// Why the thread woke.
enum Wake {
    Input(Input),
    /// One of the camera's own deadlines is here.
    Time,
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
    /// While a pipeline is being built and started.
    startup: Option<Startup>,
    /// Numbers of the pipelines that hang, and of threads with them.
    left_behind: HashSet<u64>,
    comeback: Comeback,
    demand: Demand,
    /// Number of the latest pipeline: one that was left behind may still speak.
    generation: u64,
    started: Duration,
    connected: bool,
    retry_at: Option<Duration>,
    failures: u32,
    /// Index into the chain of descriptions.
    level: usize,
    /// Codec of the stream that is analysed.
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
            startup: None,
            left_behind: HashSet::new(),
            comeback: Comeback::default(),
            demand: Demand::default(),
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
        } else {
            self.misses(GapReason::Paused, self.clock.unix_us(), SWITCHED_OFF);
        }
        let removed = loop {
            let wake = match self.deferred.pop_front() {
                Some(command) => Wake::Input(Input::Command(command)),
                None => self.wait(),
            };
            match wake {
                Wake::Input(Input::Command(Command::Quit { removed })) => break removed,
                Wake::Input(Input::Command(Command::Update(spec))) => self.update(*spec),
                Wake::Input(Input::Command(Command::Trigger { id, seconds, reply })) => {
                    // Whoever asked may have given up.
                    drop(reply.send(self.trigger(id, seconds)));
                }
                Wake::Input(Input::Bus(from, message)) => self.on_message(from, &message),
                Wake::Input(Input::Built(number, built)) => self.on_built(number, *built),
                Wake::Input(Input::Started(number, outcome)) => self.on_started(number, outcome),
                Wake::Input(Input::TornDown(number)) => self.on_late_end(number),
                Wake::Input(Input::Rehearsed(number, level)) => self.on_rehearsed(number, level),
                Wake::Time => self.on_time(),
            }
        };
        let since_us = self.clock.unix_us();
        self.end_manual();
        self.tear_down(true);
        if removed && self.spec.enabled {
            self.misses(GapReason::Paused, since_us, "the camera was removed");
        }
        self.set_state(CameraState::Stopped, None);
    }

    fn wait(&mut self) -> Wake {
        let startup = self.startup.as_ref().map(|startup| startup.deadline);
        let deadlines = [self.retry_at, startup, self.comeback.at(), self.demand.at()];
        let Some(at) = deadlines.into_iter().flatten().min() else {
            // The camera holds a sender itself, so the channel never closes.
            return Wake::Input(self.inbox.recv().unwrap_or(Input::Command(END)));
        };
        match self
            .inbox
            .recv_timeout(at.saturating_sub(self.clock.monotonic()))
        {
            Ok(input) => Wake::Input(input),
            Err(RecvTimeoutError::Disconnected) => Wake::Input(Input::Command(END)),
            Err(RecvTimeoutError::Timeout) => Wake::Time,
        }
    }

    fn on_time(&mut self) {
        let now = self.clock.monotonic();
        let over = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        if over(self.startup.as_ref().map(|startup| startup.deadline)) {
            self.start_hangs();
        } else if over(self.retry_at) {
            // What the analysis lacked may be there by now.
            (self.level, self.problems.fallback) = (0, None);
            self.start();
        } else if over(self.demand.at()) {
            self.end_manual();
        } else if over(self.comeback.at()) {
            self.rehearse();
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
        self.problems.sub = None;
        self.started = self.clock.monotonic();
        if self.left_behind.len() >= MAX_HANGING {
            return self.back_off(
                GapReason::Overload,
                &format!("{MAX_HANGING} pipelines hang: none is built before one of them ends"),
            );
        }
        self.set_state(CameraState::Starting, None);
        self.generation += 1;
        let plan = startup::Plan {
            spec: self.spec.clone(),
            description: self.description().clone(),
            codec: self.codec,
            now_unix_us: self.clock.unix_us(),
            tap: Arc::clone(&self.tap),
            number: self.generation,
            outbox: self.outbox.clone(),
        };
        match Startup::begin(plan, self.started) {
            Ok(startup) => self.startup = Some(startup),
            Err(error) => self.back_off(GapReason::Overload, &error.to_string()),
        }
    }

    fn on_built(&mut self, number: u64, built: Assembled) {
        if number == self.generation && self.startup.is_some() {
            self.running = Some(built);
            self.demand_anew();
        }
    }

    fn on_started(&mut self, number: u64, outcome: Result<()>) {
        if number != self.generation || self.startup.take().is_none() {
            return self.on_late_end(number);
        }
        if let Err(error) = outcome {
            self.analysis_failed(&error.to_string());
        }
    }

    /// A pipeline that was left behind may have ended after all.
    fn on_late_end(&mut self, number: u64) {
        if self.left_behind.remove(&number) {
            tracing::info!(camera.id = %self.spec.name, "a pipeline that was left behind has ended");
        }
    }

    /// Starting → Backoff: leave the pipeline behind.
    fn start_hangs(&mut self) {
        let Some(startup) = &mut self.startup else {
            return;
        };
        if !startup.give_up() {
            // It has started this moment: the message is on its way.
            startup.deadline = Duration::MAX;
            return;
        }
        (self.startup, self.running) = (None, None);
        self.leave_behind("start");
        self.tap.dry();
        self.back_off(
            GapReason::SourceLost,
            &format!(
                "the pipeline did not start within {} s and was left behind",
                startup::START.as_secs()
            ),
        );
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
        let before = std::mem::replace(&mut self.spec, spec);
        if let Some(changes) = live {
            for (element, property, value) in changes {
                if let Err(error) = assemble::set(&element, &property, &value) {
                    tracing::warn!(camera.id = %self.spec.name, %error, "a parameter was refused");
                }
            }
            self.demand_changed();
            return;
        }
        let since_us = self.clock.unix_us();
        if !self.spec.enabled {
            self.end_manual();
        }
        self.tear_down(true);
        (self.level, self.failures, self.problems) = (0, 0, Problems::default());
        (self.retry_at, self.comeback) = (None, Comeback::default());
        match (before.enabled, self.spec.enabled) {
            (true, true) => self.misses(GapReason::Paused, since_us, "the camera was changed"),
            (true, false) => self.misses(GapReason::Paused, since_us, SWITCHED_OFF),
            (false, _) => {}
        }
        if self.spec.enabled {
            self.start();
        } else {
            self.set_state(CameraState::Stopped, None);
        }
    }

    /// Builds the pipeline anew; what that costs of a recording that ran has a reason.
    fn rebuild(&mut self, reason: GapReason, why: &str) {
        let since_us = self.clock.unix_us();
        let recorded = self.is_recording();
        self.tear_down(true);
        if recorded {
            self.misses(reason, since_us, why);
        }
        self.start();
    }

    /// Any → Backoff: wait, longer each time, and build anew.
    fn back_off(&mut self, reason: GapReason, sentence: &str) {
        self.misses(reason, self.clock.unix_us(), sentence);
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
        let startup = self.startup.take();
        let running = self.running.take();
        if startup.is_some_and(|startup| startup.give_up()) {
            // Whoever starts it also stops it.
            if !self.ends_soon() {
                self.leave_behind("start");
            }
        } else if let Some(assembled) = running {
            self.stop_pipeline(assembled, graceful);
        }
        self.tap.dry();
    }

    /// Waits a moment for a pipeline that was given up before it had started.
    fn ends_soon(&mut self) -> bool {
        let deadline = self.clock.monotonic() + UNSTARTED;
        loop {
            let left = deadline.saturating_sub(self.clock.monotonic());
            match self.inbox.recv_timeout(left) {
                Ok(Input::Started(number, _)) if number == self.generation => return true,
                Ok(Input::Bus(_, message)) => self.on_element(&message),
                Ok(input) => self.while_stopping(input),
                Err(_) => return false,
            }
        }
    }

    fn stop_pipeline(&mut self, assembled: Assembled, graceful: bool) {
        let wanted = Arc::clone(&assembled.wanted);
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
                Ok(input) => self.while_stopping(input),
                Err(RecvTimeoutError::Timeout) => teardown.flushed(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        wanted.store(false, Ordering::Relaxed);
        self.leave_behind("stop");
    }

    /// What comes while a pipeline is being stopped, and is not about that.
    fn while_stopping(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.deferred.push_back(command),
            Input::Started(number, _) | Input::TornDown(number) => self.on_late_end(number),
            Input::Rehearsed(..) => self.comeback.rehearsed(),
            Input::Built(..) | Input::Bus(..) => {}
        }
    }
}
