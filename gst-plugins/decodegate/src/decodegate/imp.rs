//! Glue: properties, signals, pads and states around [`crate::gate`].

use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use nvr_contract::gate::{GateMode, OpenReason};
use nvr_contract::stats;
use nvr_contract::wallclock::WallClock;

use super::Mode;
use super::shield::Shield;
use crate::gate::{Config, Gate};
use crate::nal::{Codec, Framing};
use crate::schedule::Schedule;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "decodegate",
        gst::DebugColorFlags::empty(),
        Some("What a decoder need not decode"),
    )
});

const STATS: &str = "stats";
const BYPASS: &str = "bypass";

/// The longest time that a property takes, nanoseconds.
const MAX_TIME: u64 = 3_600_000_000_000;

const DEFAULTS: Config = Config {
    mode: GateMode::Adaptive,
    // People pause for up to three seconds: with 2 s the gate opened again for those who left, with 8 s it decoded half
    // as much again.
    hold_ns: 4_000_000_000,
    // Three groups of 2 s are 3 MB at 4 Mbit/s.
    ring_bytes: 8 << 20,
    ring_ns: 15_000_000_000,
    keyframe_limit_ns: 5_000_000_000,
};

/// Everything that the threads share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) gate: Gate<gst::Buffer>,
    /// Known once caps came.
    pub(super) stream: Option<(Codec, Framing)>,
    pub(super) wall: Option<WallClock>,
    pub(super) schedule: Schedule,
    schedule_text: String,
    /// No thread may wait.
    pub(super) flushing: bool,
}

impl Default for Core {
    fn default() -> Self {
        Self {
            gate: Gate::new(DEFAULTS),
            stream: None,
            wall: None,
            schedule: Schedule::default(),
            schedule_text: String::new(),
            flushing: false,
        }
    }
}

/// One lock, which is not held while anything is pushed or posted.
#[derive(Debug, glib::Properties)]
#[properties(wrapper_type = super::DecodeGate)]
pub struct DecodeGate {
    #[property(name = "mode", nick = "Mode", type = Mode,
        get = |s: &Self| Mode::from(s.core().gate.config().mode), set = |s: &Self, v: Mode| s.turn(|c| c.mode = v.into()),
        blurb = "What is let through; with adaptive everything until a detector says that the scene is quiet",
        builder(Mode::from(DEFAULTS.mode)).mutable_playing())]
    #[property(name = "hold", nick = "Hold", type = u64,
        get = |s: &Self| s.core().gate.config().hold_ns, set = |s: &Self, v| s.turn(|c| c.hold_ns = v),
        maximum = MAX_TIME, default = DEFAULTS.hold_ns, mutable_playing,
        blurb = "For how long after the last motion everything is let through (ns of media time)")]
    #[property(name = "ring-bytes", nick = "Ring bytes", type = u64,
        get = |s: &Self| s.core().gate.config().ring_bytes as u64,
        set = |s: &Self, v: u64| s.turn(|c| c.ring_bytes = usize::try_from(v).unwrap_or(usize::MAX)),
        default = DEFAULTS.ring_bytes as u64, mutable_playing,
        blurb = "The most that is kept in memory for when something moves, in bytes; should hold two groups of pictures")]
    #[property(name = "ring-time", nick = "Ring time", type = u64,
        get = |s: &Self| s.core().gate.config().ring_ns, set = |s: &Self, v| s.turn(|c| c.ring_ns = v),
        maximum = MAX_TIME, default = DEFAULTS.ring_ns, mutable_playing,
        blurb = "The longest time that is kept in memory for when something moves (ns)")]
    #[property(name = "keyframe-limit", nick = "Key frame limit", type = u64,
        get = |s: &Self| s.core().gate.config().keyframe_limit_ns, set = |s: &Self, v| s.turn(|c| c.keyframe_limit_ns = v),
        maximum = MAX_TIME, default = DEFAULTS.keyframe_limit_ns, mutable_playing,
        blurb = "Without a key frame for this long everything is let through (ns)")]
    #[property(name = "schedule", nick = "Schedule", type = String,
        get = |s: &Self| s.core().schedule_text.clone(), set = Self::set_schedule, mutable_playing,
        blurb = "Times of the week (UTC) at which everything is let through: 'mon-fri 08:00-18:00; sat,sun 22:00-06:00'")]
    core: Mutex<Core>,
    /// Wakes the streaming thread, which waits for the detector's word or is to end.
    pub(super) heard: Condvar,
    pub(super) shield: Shield,
    pub(super) sink: gst::Pad,
    pub(super) src: gst::Pad,
}

impl DecodeGate {
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, change: impl FnOnce(&mut Config)) {
        self.core().gate.configure(change);
    }

    /// A text that is no schedule changes nothing.
    fn set_schedule(&self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        match Schedule::parse(text) {
            Ok(schedule) => {
                let mut core = self.core();
                core.schedule = schedule;
                text.clone_into(&mut core.schedule_text);
            }
            Err(error) => gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("Property schedule: {error}; correct the text.")
            ),
        }
    }

    fn stats(&self) -> gst::Structure {
        let core = self.core();
        let counters = core.gate.counters();
        let share = counters.sent as f64 / counters.frames_in.max(1) as f64;
        gst::Structure::builder(stats::NAME)
            .field(stats::FRAMES_IN, counters.frames_in)
            .field(stats::FRAMES_PASSED, counters.passed)
            .field(stats::FRAMES_DROPPED, counters.frames_in - counters.passed)
            .field(stats::FRAMES_REPLAYED, counters.replayed)
            .field(stats::SHARE_DECODED, share)
            .field(stats::OPENED, counters.opened)
            .field(stats::OPEN, core.gate.open().is_some())
            .field(stats::RING_BYTES, core.gate.ring_bytes() as u64)
            .field_if_some(stats::REASON, core.gate.open().map(OpenReason::as_str))
            .field_if_some(stats::BYPASS, core.gate.bypass().map(|b| b.as_str()))
            .field_if_some(stats::KEYFRAME_INTERVAL_NS, core.gate.keyframe_interval())
            .build()
    }

    fn bypass(&self) -> Option<String> {
        self.core().gate.bypass().map(|b| b.as_str().to_owned())
    }

    /// Lets no thread wait any longer, or lets them wait again.
    pub(super) fn set_flushing(&self, flushing: bool) {
        self.core().flushing = flushing;
        self.heard.notify_all();
    }

    fn start(&self) {
        let mut core = self.core();
        let config = core.gate.config().clone();
        core.gate = Gate::new(config);
        (core.stream, core.wall, core.flushing) = (None, None, false);
    }

    fn stop(&self) {
        self.shield.leave();
        self.core().gate.restart();
    }
}

#[glib::object_subclass]
impl ObjectSubclass for DecodeGate {
    const NAME: &'static str = "GstNvrdDecodeGate";
    type Type = super::DecodeGate;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name: &str| class.pad_template(name).expect("the class has it");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_event(pad, event))
            })
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.src_event(pad, event))
            })
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        Self {
            core: Mutex::default(),
            heard: Condvar::new(),
            shield: Shield::default(),
            sink,
            src,
        }
    }
}

impl ObjectImpl for DecodeGate {
    /// The derived ones, and two that can only be read.
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb("Counters: pictures in, passed, dropped and replayed, their share that is decoded, times opened; whether and why everything is let through now, bytes in the ring, time between key frames (ns)")
                .read_only()
                .build();
            let bypass = glib::ParamSpecString::builder(BYPASS)
                .nick("Bypass")
                .blurb("Why the stream cannot be decoded by key frames alone and is let through whole; null when it can")
                .read_only()
                .build();
            let mut all = DecodeGate::derived_properties().to_vec();
            all.extend([stats, bypass]);
            all
        });
        &PROPERTIES
    }

    fn set_property(&self, id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.derived_set_property(id, value, pspec);
    }

    fn property(&self, id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            STATS => self.stats().to_value(),
            BYPASS => self.bypass().to_value(),
            _ => self.derived_property(id, pspec),
        }
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                // Lets everything through for somebody: a name, and nanoseconds of media time or 0 for until `close`.
                glib::subclass::Signal::builder("open")
                    .action()
                    .param_types([String::static_type(), u64::static_type()])
                    .class_handler(|args| {
                        let element = args[0].get::<super::DecodeGate>().ok()?;
                        let who = args[1].get::<Option<String>>().ok()?.unwrap_or_default();
                        let duration = args[2].get::<u64>().ok()?;
                        element.imp().core().gate.request(&who, duration);
                        None
                    })
                    .build(),
                // Ends what `open` began for that name; for all, with an empty one.
                glib::subclass::Signal::builder("close")
                    .action()
                    .param_types([String::static_type()])
                    .class_handler(|args| {
                        let element = args[0].get::<super::DecodeGate>().ok()?;
                        let who = args[1].get::<Option<String>>().ok()?.unwrap_or_default();
                        element.imp().core().gate.release(&who);
                        None
                    })
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.sink, &self.src] {
            self.obj()
                .add_pad(pad)
                .expect("a new element has no pad of that name");
        }
    }
}

impl GstObjectImpl for DecodeGate {}

impl ElementImpl for DecodeGate {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Decode Gate",
                "Filter/Video",
                "Lets only key frames to a decoder while nothing happens, and everything from its beginning when something does",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let codec = |name: &str, formats: [&str; 3]| {
                gst::Structure::builder(name)
                    .field("stream-format", gst::List::new(formats))
                    .field("alignment", "au")
                    .build()
            };
            let caps = gst::Caps::builder_full()
                .structure(codec("video/x-h264", ["avc", "avc3", "byte-stream"]))
                .structure(codec("video/x-h265", ["hvc1", "hev1", "byte-stream"]))
                .build();
            [
                ("sink", gst::PadDirection::Sink),
                ("src", gst::PadDirection::Src),
            ]
            .map(|(name, direction)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                    .expect("name, direction and caps are valid")
            })
            .into()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.start(),
            gst::StateChange::PausedToReady => self.set_flushing(true),
            _ => {}
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            self.stop();
        }
        Ok(success)
    }
}
