//! `GObject` glue: properties, pads and state changes; times, queue and backends are in the sibling files.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use nvr_contract::source::StreamRole;
use nvr_contract::stats;

use super::settings::Settings;
use super::stream::{Counters, Line, Shared, Streamer};
use super::{Backend, Transport, analysis, pads};
use crate::backend::{self, Hung, Running};
use crate::gate::Gate;
use crate::net::Wakes;
use crate::timeline::Pace;
use crate::uri::{self, Source};

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "camerasrc",
        gst::DebugColorFlags::empty(),
        Some("A camera as one element"),
    )
});

/// How long stopping waits for a backend, which may hang in a file system.
const STOP_DEADLINE: Duration = Duration::from_millis(900);

#[derive(Default)]
enum State {
    #[default]
    Null,
    Ready(Source),
    Running {
        source: Source,
        shared: Arc<Shared>,
        backend: Option<Running>,
    },
}

impl State {
    fn is_live(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Ready(source) | Self::Running { source, .. } => source.is_live(),
        }
    }
}

/// The element's private part; neither lock is held while the other is taken.
#[derive(glib::Properties)]
#[properties(wrapper_type = super::CameraSrc)]
pub struct CameraSrc {
    #[property(name = "uri", nick = "URI", type = Option<String>, mutable_ready,
        blurb = "Camera: rtsp://host/path, file:///clip.mp4?loop=true&realtime=true, test://ball or test://visits; a user name and password in it are taken out and never shown",
        get = Self::uri, set = Self::set_uri)]
    #[property(name = "sub-uri", nick = "Second URI", type = Option<String>, mutable_ready,
        blurb = "A second, smaller stream of the same camera for the pad \"analysis\", written as uri is; both are live, or neither",
        get = Self::sub_uri, set = Self::set_sub_uri)]
    #[property(name = "user-id", nick = "User name", type = Option<String>, get, set, member = user_id, mutable_ready,
        blurb = "User name for the camera; goes before one in the URI")]
    #[property(name = "user-pw", nick = "Password", type = Option<String>, set, member = user_pw, mutable_ready,
        blurb = "Password for the camera; can be written, not read")]
    #[property(name = "transport", nick = "Transport", type = Transport, get, set, member = transport,
        mutable_ready, blurb = "How an RTSP camera's pictures travel", builder(Transport::Auto))]
    #[property(name = "backend", nick = "Backend", type = Backend, get, set, member = backend,
        mutable_ready, blurb = "Who speaks with an RTSP camera", builder(Backend::Auto))]
    #[property(name = "tls-ca", nick = "Trusted certificates", type = Option<String>, get, set, member = tls_ca, mutable_ready,
        blurb = "File of PEM certificates that are trusted for rtsps://, a camera's own one say; those of the system where there is none")]
    #[property(name = "tls-insecure", nick = "Any certificate", type = bool, get, set, member = tls_insecure, mutable_ready,
        blurb = "Whether to believe any certificate of rtsps://: whoever sits between may then see and change everything")]
    #[property(name = "timeout", nick = "Timeout", type = u64, get, set, member = timeout,
        minimum = 100_000_000, maximum = 3_600_000_000_000, default = Settings::default().timeout, mutable_ready,
        blurb = "Without a picture, or without an answer, for this long an RTSP camera is lost, in nanoseconds")]
    #[property(name = "latency", nick = "Latency", type = u64, get, set, member = latency,
        minimum = 0, maximum = 60_000_000_000, default = Settings::default().latency, mutable_ready,
        blurb = "How late pictures of a live source may be, in nanoseconds; the answer to the latency query")]
    #[property(name = "wake-interval", nick = "Wake interval", type = u64, get = Self::wake_interval,
        set = Self::set_wake_interval, minimum = 0, maximum = 1_000_000_000, default = Settings::default().wake_interval,
        mutable_playing,
        blurb = "How seldom the network thread of all RTSP cameras may look for packets, in nanoseconds: adds up to that much latency and saves a wake-up for each packet; the least of all cameras counts, cameras that send datagrams count as 0, and one camera alone is never waited with")]
    #[property(name = "retry-first", nick = "First retry", type = u64, get, set, member = retry_first,
        minimum = 10_000_000, maximum = 3_600_000_000_000, default = Settings::default().retry_first, mutable_ready,
        blurb = "How long to wait after the first failure of an RTSP camera, in nanoseconds; the wait doubles with each further one")]
    #[property(name = "retry-longest", nick = "Longest retry", type = u64, get, set, member = retry_longest,
        minimum = 10_000_000, maximum = 3_600_000_000_000, default = Settings::default().retry_longest, mutable_ready,
        blurb = "The longest wait between two attempts to reach an RTSP camera, in nanoseconds")]
    #[property(name = "start-unix-us", nick = "Start", type = i64, get, set, member = start_unix_us,
        minimum = -1, maximum = i64::MAX, default = Settings::default().start_unix_us, mutable_ready,
        blurb = "Wall time of time stamp 0 of a source that is not live, in microseconds since 1970-01-01 UTC; -1 for none")]
    settings: Mutex<Settings>,
    counters: Arc<Counters>,
    pub(super) second_counters: Arc<Counters>,
    hung: Arc<Hung>,
    state: Mutex<State>,
    video: gst::Pad,
    audio: Mutex<Option<gst::Pad>>,
    pub(super) analysis: analysis::Place,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CameraSrc {
    fn uri(&self) -> Option<String> {
        lock(&self.settings).uri.as_deref().map(uri::redact)
    }

    fn set_uri(&self, uri: Option<String>) {
        lock(&self.settings).uri = uri;
    }

    fn wake_interval(&self) -> u64 {
        lock(&self.settings).wake_interval
    }

    fn set_wake_interval(&self, interval: u64) {
        lock(&self.settings).wake_interval = interval;
        if let Some(shared) = self.shared() {
            shared.wakes.set(Duration::from_nanos(interval));
        }
        self.set_second_wakes(Duration::from_nanos(interval));
    }

    fn sub_uri(&self) -> Option<String> {
        lock(&self.settings).sub_uri.as_deref().map(uri::redact)
    }

    fn set_sub_uri(&self, uri: Option<String>) {
        lock(&self.settings).sub_uri = uri.filter(|uri| !uri.is_empty());
    }

    pub(super) fn start_unix_us(&self) -> Option<i64> {
        Some(lock(&self.settings).start_unix_us).filter(|start| *start >= 0)
    }

    /// How often the network thread looks for a source's packets.
    pub(super) fn wakes(&self, source: &Source) -> Arc<Wakes> {
        Arc::new(match source {
            Source::Rtsp(_) => Wakes::new(Duration::from_nanos(self.wake_interval())),
            // Nothing of it comes over the network.
            Source::File(_) | Source::Scene(_) => Wakes::never(),
        })
    }

    pub(super) fn second_options(&self, source: &Source, wakes: &Arc<Wakes>) -> backend::Options {
        let (wakes, hung) = (Arc::clone(wakes), Arc::clone(&self.hung));
        lock(&self.settings).second_options(&self.obj().name(), source, wakes, hung)
    }

    fn stats(&self) -> gst::Structure {
        let waiting = match &*lock(&self.state) {
            State::Running { shared, .. } => shared.queue.left_out(),
            State::Null | State::Ready(_) => 0,
        };
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        gst::Structure::builder(stats::NAME)
            .field(stats::FRAMES_IN, read(&self.counters.frames_in) + waiting)
            .field(
                stats::FRAMES_DROPPED,
                read(&self.counters.frames_dropped) + waiting,
            )
            .field(stats::RECONNECTS, read(&self.counters.reconnects))
            .field(stats::ABANDONED, self.hung.total())
            .field(stats::SUB_FRAMES_IN, read(&self.second_counters.frames_in))
            .field(
                stats::SUB_RECONNECTS,
                read(&self.second_counters.reconnects),
            )
            .build()
    }

    /// The audio pad, added now; `None` when the element goes down.
    pub(super) fn add_audio_pad(&self) -> Option<gst::Pad> {
        let template = self.obj().pad_template("audio")?;
        let pad = pads::pad(&template);
        pad.set_active(true).ok()?;
        self.obj().add_pad(&pad).ok()?;
        *lock(&self.audio) = Some(pad.clone());
        Some(pad)
    }

    /// The sources that the settings name.
    fn open(&self) -> Result<State, gst::StateChangeError> {
        let settings = lock(&self.settings).clone();
        match settings.sources() {
            Ok((source, second)) => {
                self.set_second(second);
                Ok(State::Ready(source))
            }
            Err(text) => {
                gst::element_imp_error!(self, gst::ResourceError::Settings, ("{text}"));
                Err(gst::StateChangeError)
            }
        }
    }

    fn start(&self) -> Result<(), gst::StateChangeError> {
        let source = match &*lock(&self.state) {
            State::Ready(source) | State::Running { source, .. } => source.clone(),
            State::Null => return Err(gst::StateChangeError),
        };
        let line = Line {
            role: StreamRole::Main,
            pad: self.video.clone(),
            pace: Pace::of(&source),
            start_unix_us: self.start_unix_us(),
            together: self.together(),
        };
        let wakes = self.wakes(&source);
        let shared = Arc::new(Shared {
            queue: Arc::new(backend::queue_for(&source)),
            gate: Gate::default(),
            counters: Arc::clone(&self.counters),
            wakes: Arc::clone(&wakes),
        });
        let failed = |error: String| {
            gst::element_imp_error!(self, gst::ResourceError::Failed, ("{error}"));
            gst::StateChangeError
        };
        let hung = Arc::clone(&self.hung);
        let options = lock(&self.settings).options(&self.obj().name(), &source, wakes, hung);
        let started = backend::start(source.clone(), options, Arc::clone(&shared.queue));
        let backend = started.map_err(failed)?;
        let mut streamer = Streamer::new(self, Arc::clone(&shared), line);
        *lock(&self.state) = State::Running {
            source,
            shared,
            backend: Some(backend),
        };
        if let Err(error) = self.start_second() {
            gst::element_imp_warning!(self, gst::ResourceError::Failed, ("second stream: {error}"));
        }
        self.video
            .start_task(move || streamer.iterate())
            .map_err(|_| gst::StateChangeError)
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        match &*lock(&self.state) {
            State::Running { shared, .. } => Some(Arc::clone(shared)),
            State::Null | State::Ready(_) => None,
        }
    }

    /// Wakes everything that waits, so that the pads can be shut.
    fn interrupt(&self) {
        if let Some(shared) = self.shared() {
            shared.gate.close();
            shared.queue.close();
        }
        self.interrupt_second();
    }

    /// Ends the streaming thread and the backend; the pads are shut by now.
    fn stop(&self) {
        if self.video.stop_task().is_err() {
            gst::warning!(
                CAT,
                imp = self,
                "the streaming thread was not to be stopped"
            );
        }
        let mut state = lock(&self.state);
        let backend = match std::mem::take(&mut *state) {
            State::Running {
                source,
                shared,
                backend,
            } => {
                Counters::settle(&shared);
                *state = State::Ready(source);
                backend
            }
            other => {
                *state = other;
                None
            }
        };
        drop(state);
        if backend.is_some_and(|backend| !backend.stop(STOP_DEADLINE)) {
            gst::warning!(
                CAT,
                imp = self,
                "the source does not stop and is left alone"
            );
        }
        self.stop_second(STOP_DEADLINE);
        let audio = lock(&self.audio).take();
        if let Some(audio) = audio
            && self.obj().remove_pad(&audio).is_err()
        {
            gst::warning!(CAT, imp = self, "the audio pad was gone already");
        }
    }

    pub(super) fn query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Latency(latency) = query.view_mut() {
            let live = lock(&self.state).is_live();
            let least = if live {
                lock(&self.settings).latency
            } else {
                0
            };
            latency.set(live, gst::ClockTime::from_nseconds(least), None);
            return true;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for CameraSrc {
    const NAME: &'static str = "GstNvrdCameraSrc";
    type Type = super::CameraSrc;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = class.pad_template("video").expect("declared below");
        Self {
            settings: Mutex::default(),
            counters: Arc::default(),
            second_counters: Arc::default(),
            hung: Arc::default(),
            state: Mutex::default(),
            video: pads::pad(&template),
            audio: Mutex::default(),
            analysis: analysis::Place::default(),
        }
    }
}

/// The one property that the derive does not know a type for.
const STATS: &str = "stats";

impl ObjectImpl for CameraSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb("Counters: pictures that came in, pictures left out, reconnects")
                .read_only()
                .build();
            // Derived ones first: their ids are their places in the list.
            let derived = CameraSrc::derived_properties().iter().cloned();
            derived.chain([stats]).collect()
        });
        &PROPERTIES
    }

    fn set_property(&self, id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.derived_set_property(id, value, pspec);
    }

    fn property(&self, id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            STATS => self.stats().to_value(),
            _ => self.derived_property(id, pspec),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_element_flags(gst::ElementFlags::SOURCE);
        obj.add_pad(&self.video).expect("a new element has no pads");
    }
}

impl GstObjectImpl for CameraSrc {}

impl ElementImpl for CameraSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Camera Source",
                "Source/Network/Video",
                env!("CARGO_PKG_DESCRIPTION"),
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(pads::templates);
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => {
                let ready = self.open()?;
                *lock(&self.state) = ready;
            }
            gst::StateChange::ReadyToPaused => {
                // The URI may have been set again in READY.
                let ready = self.open()?;
                *lock(&self.state) = ready;
            }
            gst::StateChange::PlayingToPaused => {
                if let Some(shared) = self.shared() {
                    shared.gate.shut();
                }
                self.gate_second(Gate::shut);
            }
            gst::StateChange::PausedToReady => self.interrupt(),
            _ => {}
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::ReadyToPaused => self.start()?,
            gst::StateChange::PausedToPlaying => {
                if let Some(shared) = self.shared() {
                    shared.gate.open();
                }
                self.gate_second(Gate::open);
            }
            gst::StateChange::PausedToReady => self.stop(),
            gst::StateChange::ReadyToNull => *lock(&self.state) = State::Null,
            _ => {}
        }
        let into_paused = matches!(
            transition,
            gst::StateChange::ReadyToPaused | gst::StateChange::PlayingToPaused
        );
        if into_paused && lock(&self.state).is_live() {
            return Ok(gst::StateChangeSuccess::NoPreroll);
        }
        Ok(success)
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        self.add_analysis_pad(template)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        self.remove_analysis_pad(pad);
    }

    fn send_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Eos {
            // The streaming thread pushes it, after the picture that is on its way.
            if let Some(shared) = self.shared() {
                shared.queue.ask_end();
                shared.gate.call_off();
                return true;
            }
        }
        self.parent_send_event(event)
    }
}
