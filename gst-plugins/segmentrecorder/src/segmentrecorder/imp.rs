//! Glue: properties, pads and states around [`crate::recorder`].

use std::path::PathBuf;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use nvr_contract::stats;

use super::flow::Flow;
use super::outbox::{Mail, Outbox};
use super::{Mode, Sync, caps};
use crate::recorder::{Config, Recorder, SyncPolicy};
use crate::writer::Disk;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "segmentrecorder",
        gst::DebugColorFlags::empty(),
        Some("Recorder of fragmented MP4 segments"),
    )
});

const STATS: &str = "stats";

/// The bytes of a buffer, kept mapped until they are written.
pub(super) type Data = gst::MappedBuffer<gst::buffer::Readable>;

#[derive(Debug, Clone)]
struct Settings {
    location: Option<String>,
    segment_duration: u64,
    fragment_duration: u64,
    sync: Sync,
    sync_interval: u64,
    mode: Mode,
    hash: bool,
}

const DEFAULTS: Settings = Settings {
    location: None,
    segment_duration: 60_000_000_000,
    fragment_duration: 1_000_000_000,
    sync: Sync::Segment,
    sync_interval: 5_000_000_000,
    mode: Mode::Continuous,
    hash: true,
};

impl Default for Settings {
    fn default() -> Self {
        DEFAULTS
    }
}

/// Lock order: recorder, then settings or flow or outbox; of those three none is held with another.
///
/// The recorder is the one lock that is held across file operations: it is what keeps two writers of a file
/// apart. Only the video thread takes it, besides a change of mode, a request to split and the end of a run.
#[derive(glib::Properties)]
#[properties(wrapper_type = super::SegmentRecorder)]
pub struct SegmentRecorder {
    #[property(name = "location", nick = "Location",
        blurb = "Folder for the recordings; made where it is missing, with one folder a day (UTC) in it",
        get, set, type = Option<String>, member = location, mutable_ready)]
    #[property(name = "segment-duration", nick = "Segment duration",
        blurb = "Length after which the next key frame begins a new file, in nanoseconds",
        get, set, type = u64, member = segment_duration,
        minimum = 1, default = DEFAULTS.segment_duration, mutable_playing)]
    #[property(name = "fragment-duration", nick = "Fragment duration",
        blurb = "Longest fragment, which is the most that a crash can lose, in nanoseconds",
        get, set, type = u64, member = fragment_duration,
        minimum = 1, default = DEFAULTS.fragment_duration, mutable_playing)]
    #[property(name = "sync", nick = "Sync",
        blurb = "When what is written is made to survive a power cut",
        get, set, type = Sync, member = sync, builder(DEFAULTS.sync).mutable_ready())]
    #[property(name = "sync-interval", nick = "Sync interval",
        blurb = "With sync=segment: most media time between two syncs, in nanoseconds; 0 to sync only when a segment is closed",
        get, set, type = u64, member = sync_interval,
        default = DEFAULTS.sync_interval, mutable_ready)]
    #[property(name = "mode", nick = "Mode",
        blurb = "When to record: off closes the file at once, continuous begins at the next key frame",
        get, set = Self::set_mode, type = Mode, member = mode, builder(DEFAULTS.mode).mutable_playing())]
    #[property(name = "hash", nick = "Hash",
        blurb = "Hash each file with BLAKE3 while writing",
        get, set, type = bool, member = hash, default = DEFAULTS.hash, mutable_ready)]
    settings: Mutex<Settings>,
    pub(super) flow: Mutex<Flow>,
    /// Wakes whichever of the two pads waits for the other.
    pub(super) progress: Condvar,
    recorder: Mutex<Option<Recorder<Data>>>,
    pub(super) outbox: Outbox,
    pub(super) video_pad: gst::Pad,
    pub(super) audio_pad: Mutex<Option<gst::Pad>>,
}

/// Takes a lock; a thread that panicked with it has been reported as an element error already.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SegmentRecorder {
    fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    fn set_mode(&self, mode: Mode) {
        lock(&self.settings).mode = mode;
        gst::info!(CAT, imp = self, "mode {mode:?}");
        self.apply_mode();
    }

    fn apply_mode(&self) {
        self.with_recorder(|recorder| {
            let mode = lock(&self.settings).mode;
            recorder.set_recording(mode == Mode::Continuous);
        });
    }

    fn stats(&self) -> gst::Structure {
        let counters = lock(&self.flow).counters;
        gst::Structure::builder(stats::NAME)
            .field(stats::FRAMES_IN, counters.frames_in)
            .field(stats::FRAMES_DROPPED, counters.frames_dropped)
            .field(stats::BYTES_WRITTEN, counters.bytes_written)
            .build()
    }

    /// Works with the recorder, if one runs, and posts what it has to say.
    pub(super) fn with_recorder(&self, work: impl FnOnce(&mut Recorder<Data>)) {
        let mut running = lock(&self.recorder);
        if let Some(recorder) = running.as_mut() {
            work(recorder);
            self.outbox
                .put(recorder.take_notices().into_iter().map(Mail::Notice));
            lock(&self.flow).counters = recorder.counters();
        }
        drop(running);
        self.outbox.post(|mail| self.post(mail));
    }

    /// As `with_recorder`, for the next picture: the properties that may change while playing apply.
    pub(super) fn record(&self, work: impl FnOnce(&mut Recorder<Data>)) {
        let (segment, fragment) = {
            let settings = lock(&self.settings);
            (settings.segment_duration, settings.fragment_duration)
        };
        self.with_recorder(|recorder| {
            recorder.set_durations(segment, fragment);
            work(recorder);
        });
    }

    /// A folder that cannot be made is a mistake in the configuration, so it is found at once.
    fn make_location(&self) -> Result<(), gst::StateChangeError> {
        let location = self.settings().location;
        let Some(location) = location.filter(|location| !location.is_empty()) else {
            gst::element_imp_error!(
                self,
                gst::ResourceError::NotFound,
                ["No folder to record to: set the property location"]
            );
            return Err(gst::StateChangeError);
        };
        std::fs::create_dir_all(&location).map_err(|error| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::OpenWrite,
                ["Cannot make the folder {location}: {error}; choose a location that can be written"]
            );
            gst::StateChangeError
        })
    }

    fn start(&self) {
        let settings = self.settings();
        let config = Config {
            location: PathBuf::from(settings.location.unwrap_or_default()),
            segment_ns: settings.segment_duration,
            fragment_ns: settings.fragment_duration,
            sync: match settings.sync {
                Sync::None => SyncPolicy::None,
                Sync::Segment => SyncPolicy::Segment {
                    interval_ns: settings.sync_interval,
                },
                Sync::Fragment => SyncPolicy::Fragment,
            },
            hash: settings.hash,
        };
        *lock(&self.flow) = Flow::default();
        *lock(&self.recorder) = Some(Recorder::new(config, Box::new(Disk)));
        self.apply_mode();
    }

    /// Lets no thread wait any longer.
    fn unlock_pads(&self) {
        lock(&self.flow).stopping = true;
        self.progress.notify_all();
    }

    fn stop(&self) {
        self.write_waiting_audio();
        self.with_recorder(Recorder::finish);
        *lock(&self.recorder) = None;
    }
}

#[glib::object_subclass]
impl ObjectSubclass for SegmentRecorder {
    const NAME: &'static str = "GstNvrdSegmentRecorder";
    type Type = super::SegmentRecorder;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = class.pad_template("video").expect("the class has it");
        let video_pad = gst::Pad::builder_from_template(&template)
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.video_buffer(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.video_event(pad, event))
            })
            .build();
        Self {
            settings: Mutex::default(),
            flow: Mutex::default(),
            progress: Condvar::new(),
            recorder: Mutex::default(),
            outbox: Outbox::default(),
            video_pad,
            audio_pad: Mutex::default(),
        }
    }
}

impl ObjectImpl for SegmentRecorder {
    /// The derived ones, and `stats`: a structure has no derivable property.
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb("Counters: pictures in, pictures dropped for whatever reason, bytes written")
                .read_only()
                .build();
            let mut all = SegmentRecorder::derived_properties().to_vec();
            all.push(stats);
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
            _ => self.derived_property(id, pspec),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element
            .add_pad(&self.video_pad)
            .expect("a new element has no pad of that name");
        element.set_element_flags(gst::ElementFlags::SINK);
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            let split = glib::subclass::Signal::builder("split-now")
                .action()
                .class_handler(|args| {
                    let element = args.first()?.get::<super::SegmentRecorder>().ok()?;
                    element.imp().with_recorder(Recorder::split);
                    None
                })
                .build();
            vec![split]
        });
        &SIGNALS
    }
}

impl GstObjectImpl for SegmentRecorder {}

impl ElementImpl for SegmentRecorder {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Segment Recorder",
                "Sink/Muxer",
                "Records encoded video into fragmented MP4 segments without losing a picture",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            [
                ("video", gst::PadPresence::Always, caps::video()),
                ("audio", gst::PadPresence::Request, caps::audio()),
            ]
            .map(|(name, presence, caps)| {
                gst::PadTemplate::new(name, gst::PadDirection::Sink, presence, &caps)
                    .expect("the template is well formed")
            })
            .to_vec()
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let mut slot = lock(&self.audio_pad);
        if slot.is_some() {
            gst::warning!(CAT, imp = self, "there is one audio pad already");
            return None;
        }
        let pad = gst::Pad::builder_from_template(template)
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.audio_buffer(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.audio_event(pad, event))
            })
            .build();
        *slot = Some(pad.clone());
        drop(slot);
        self.audio_linked(true);
        pad.set_active(true).ok()?;
        self.obj().add_pad(&pad).ok()?;
        Some(pad)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        lock(&self.audio_pad).take();
        if let Err(error) = pad
            .set_active(false)
            .and_then(|()| self.obj().remove_pad(pad))
        {
            gst::debug!(CAT, imp = self, "releasing the audio pad: {error}");
        }
        self.audio_linked(false);
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.make_location()?,
            gst::StateChange::ReadyToPaused => self.start(),
            gst::StateChange::PausedToReady => self.unlock_pads(),
            _ => {}
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            self.stop();
        }
        Ok(success)
    }
}
