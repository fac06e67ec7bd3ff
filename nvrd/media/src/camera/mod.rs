//! One camera: a thread that owns its pipeline and moves it through its states.
//!
//! The thread never touches a streaming thread: bus messages and commands come through one channel, and a
//! pipeline is stopped on a thread of its own, so that one that hangs can be left behind.

mod bus;
mod teardown;

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use nvr_base::Clock;
use nvr_contract::Message;
use nvr_contract::event::Event;
use nvr_contract::segment::{Gap, SegmentClosed, SegmentOpened};
use nvr_contract::source::{LossReason, SourceChange, SourceState, VideoCodec};

use crate::assemble::{self, Assembled};
use crate::description::{self, Description};
use crate::notice::{CameraState, CameraStatus, Notice, What};
use crate::spec::{CameraSpec, ParamValue};
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
            .and_then(|running| live_changes(&self.spec, &spec, self.level, running));
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

    fn on_message(&mut self, from: u64, message: &gst::Message) {
        use gst::MessageView;
        let current = from == self.generation && self.running.is_some();
        match message.view() {
            // What a pipeline recorded and saw counts to its end; how it ends does not concern its successor.
            MessageView::Error(_) | MessageView::Eos(_) if !current => {}
            MessageView::Error(error) => self.on_error(error),
            MessageView::Eos(_) => self.on_eos(),
            MessageView::Warning(warning) => {
                tracing::warn!(camera.id = %self.spec.name, error = %warning.error(), "a pipeline element warns");
            }
            MessageView::Element(_) => self.on_element(message),
            _ => {}
        }
    }

    fn on_element(&mut self, message: &gst::Message) {
        let parsed = typed::<Event>(message, What::Event)
            .or_else(|| typed::<SegmentOpened>(message, What::SegmentOpened))
            .or_else(|| typed::<SegmentClosed>(message, What::SegmentClosed))
            .or_else(|| typed::<Gap>(message, What::Gap))
            .or_else(|| typed::<SourceChange>(message, What::Source));
        let what = match parsed {
            None => return,
            Some(Ok(what)) => what,
            Some(Err(error)) => {
                tracing::error!(camera.id = %self.spec.name, %error, "an element's message was not understood");
                return;
            }
        };
        match &what {
            What::Source(change) => self.on_source(change),
            What::Gap(gap) => self.on_gap(gap),
            // A file that is closed is followed by the next one; it is trouble that ends a recording.
            What::SegmentOpened(_) => self.set_recording(true),
            _ => {}
        }
        self.notify(what);
    }

    /// Starting → Running (connected), Running → Degraded (lost), Degraded → Running (restored).
    fn on_source(&mut self, change: &SourceChange) {
        match change.state {
            SourceState::Connected | SourceState::Restored => {
                self.connected = true;
                self.problems.source = None;
                {
                    let mut status = self.status.lock().expect("no holder of this lock panics");
                    status.codec = change.codec.or(status.codec);
                    status.size = change.width.zip(change.height).or(status.size);
                    status.fps = change.fps.or(status.fps);
                }
                if change.codec.is_some_and(|codec| self.wrong_decoder(codec)) {
                    return self.rebuild();
                }
            }
            SourceState::Lost => {
                let reason = change.reason.unwrap_or(LossReason::Ended);
                let detail = change.detail.clone().unwrap_or_else(|| reason.to_string());
                self.problems.source = Some((reason, detail));
                self.tap.dry();
                self.set_recording(false);
            }
        }
        self.show_health();
    }

    fn on_gap(&mut self, gap: &Gap) {
        if gap.end_unix_us.is_none() {
            self.set_recording(false);
        }
        self.problems.disk = match gap.end_unix_us {
            Some(_) => None,
            None => gap.detail.clone().or_else(|| Some(gap.reason.to_string())),
        };
        self.show_health();
    }

    /// Whether the running pipeline decodes another codec than the camera sends; remembers the right one.
    fn wrong_decoder(&mut self, codec: VideoCodec) -> bool {
        let assembled = self.running.as_ref().map(|running| running.codec);
        self.codec = codec;
        assembled.is_some_and(|assembled| assembled != codec)
            && self.description().decoder.is_some()
    }

    fn on_eos(&mut self) {
        self.tear_down(false);
        if self.spec.is_live() {
            self.back_off("the stream ended");
        } else {
            // Running → Stopped: a file played once.
            self.set_state(
                CameraState::Stopped,
                Some("the end of the file is reached".to_owned()),
            );
        }
    }

    fn on_error(&mut self, error: &gst::message::Error) {
        let sentence = bus::sentence(error);
        let codec = self.running.as_ref().and_then(sent_codec);
        if codec.is_some_and(|codec| self.wrong_decoder(codec)) {
            return self.rebuild();
        }
        let element = self
            .running
            .as_ref()
            .and_then(|running| bus::top_element(error, &running.pipeline));
        let recording = [
            description::SOURCE,
            description::ENCODED,
            description::RECORDER,
            "record-queue",
        ];
        // The source says that what it sends is refused; it is not the recorder that is choosy.
        let refused = error.error().matches(gst::StreamError::Failed);
        let analysing =
            refused || element.is_some_and(|element| !recording.contains(&element.name().as_str()));
        self.tear_down(true);
        if analysing {
            self.analysis_failed(&sentence)
        } else {
            self.back_off(&sentence)
        }
    }

    /// The wanted analysis cannot run: go on with less, so that the recording does not stop.
    fn analysis_failed(&mut self, sentence: &str) {
        if self.level + 1 >= self.spec.pipelines.len() {
            return self.back_off(sentence);
        }
        let failed = self.description().name.clone();
        self.level += 1;
        let instead = self.description().name.clone();
        tracing::error!(camera.id = %self.spec.name, error = sentence, "pipeline {failed:?} cannot run, {instead:?} runs instead");
        self.problems.fallback = Some(format!(
            "pipeline {failed:?} cannot run ({sentence}), {instead:?} runs instead"
        ));
        self.start();
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

    fn show_health(&mut self) {
        let problem = None
            .or_else(|| {
                self.problems
                    .source
                    .as_ref()
                    .map(|(_, detail)| detail.clone())
            })
            .or_else(|| self.problems.disk.clone())
            .or_else(|| self.problems.fallback.clone());
        match problem {
            Some(detail) => self.set_state(CameraState::Degraded, Some(detail)),
            None if self.connected => self.set_state(CameraState::Running, None),
            None => {}
        }
    }

    fn set_recording(&mut self, recording: bool) {
        self.status
            .lock()
            .expect("no holder of this lock panics")
            .recording = recording;
    }

    fn set_state(&mut self, state: CameraState, detail: Option<String>) {
        let now = self.clock.unix_us();
        let pipeline = self.description().name.clone();
        let changed = {
            let mut status = self.status.lock().expect("no holder of this lock panics");
            let changed = status.state != state || status.detail != detail;
            if status.state != state {
                status.since_unix_us = now;
            }
            status.state = state;
            status.detail = detail;
            status.loss = self.problems.source.as_ref().map(|(reason, _)| *reason);
            status.pipeline = pipeline;
            if matches!(state, CameraState::Stopped | CameraState::Backoff) {
                status.recording = false;
            }
            changed.then(|| status.clone())
        };
        if let Some(status) = changed {
            self.notify(What::State(status));
        }
    }

    fn notify(&self, what: What) {
        // Fails only when the daemon has gone, at its very end.
        if self
            .notices
            .send(Notice {
                camera: self.spec.name.clone(),
                what,
            })
            .is_err()
        {
            tracing::debug!(camera.id = %self.spec.name, "nobody listens any more");
        }
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

fn typed<M: Message>(
    message: &gst::Message,
    wrap: impl FnOnce(M) -> What,
) -> Option<Result<What, nvr_contract::FieldError>> {
    M::from_message(message).map(|parsed| parsed.map(wrap))
}

/// The codec that the camera element sends at the moment.
fn sent_codec(running: &Assembled) -> Option<VideoCodec> {
    let caps = running.source.static_pad("video")?.current_caps()?;
    VideoCodec::from_caps(&caps)
}

/// The property changes that lead from one specification to the other without a restart, `None` when one is needed.
fn live_changes(
    old: &CameraSpec,
    new: &CameraSpec,
    level: usize,
    running: &Assembled,
) -> Option<Vec<(gst::Element, String, ParamValue)>> {
    let same = CameraSpec {
        params: old.params.clone(),
        ..new.clone()
    } == *old;
    let removed = old.params.keys().any(|key| !new.params.contains_key(key));
    if !same || removed {
        return None;
    }
    let description = &new.pipelines[level.min(new.pipelines.len() - 1)];
    let changed = new
        .params
        .iter()
        .filter(|(key, value)| old.params.get(*key) != Some(*value));
    changed
        .filter_map(|(key, value)| Some((description.params.get(key)?, value)))
        .map(|(param, value)| {
            let element = running.pipeline.by_name(&param.element)?;
            let pspec = element.find_property(&param.property)?;
            let mutable = pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING);
            mutable.then(|| (element, param.property.clone(), value.clone()))
        })
        .collect()
}
