//! Glue: properties, pads and states around [`crate::recorder`].

use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, TryLockError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use nvr_contract::stats;

use super::flow::Flow;
use super::outbox::{Mail, Outbox};
use super::settings::{DEFAULTS, Settings, Wish};
use super::transcode::Transcoder;
use super::{Mode, Sync, caps};
use crate::recorder::Recorder;
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

/// Lock order: recorder, then settings or flow or outbox; of those three none is held with another.
///
/// The recorder is the one lock that is held across file operations: it is what keeps two writers of a file
/// apart. Only the video thread takes it, and the end of a run; properties and signals that find it taken leave
/// what they want to the next picture, so that no caller waits for a disk.
#[derive(glib::Properties)]
#[properties(wrapper_type = super::SegmentRecorder)]
pub struct SegmentRecorder {
    #[property(name = "location", nick = "Location",
        blurb = "Folder for the recordings; made where it is missing, with one folder a day (UTC) in it; another one holds from the next file on",
        get, set, type = Option<String>, member = location, mutable_playing)]
    #[property(name = "identity-file", nick = "Identity file",
        blurb = "File that says which storage this is; read before a file is created, where identity is set",
        get, set, type = Option<String>, member = identity_file, mutable_playing)]
    #[property(name = "identity", nick = "Identity",
        blurb = "What identity-file must say, as its first line or in a line id = \"...\"; otherwise nothing is created",
        get, set, type = Option<String>, member = identity, mutable_playing)]
    #[property(name = "segment-duration", nick = "Segment duration",
        blurb = "Length after which the next key frame begins a new file, in nanoseconds",
        get, set, type = u64, member = segment_duration,
        minimum = 1, default = DEFAULTS.segment_duration, mutable_playing)]
    #[property(name = "segment-bytes", nick = "Segment bytes",
        blurb = "Size after which the next key frame begins a new file, in bytes; 0 for any",
        get, set, type = u64, member = segment_bytes,
        default = DEFAULTS.segment_bytes, mutable_playing)]
    #[property(name = "wall-clock-boundary", nick = "Wall clock boundary",
        blurb = "Files begin at multiples of this wall time (UTC) too, in nanoseconds; 0 for anywhere",
        get, set, type = u64, member = wall_clock_boundary,
        default = DEFAULTS.wall_clock_boundary, mutable_playing)]
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
        blurb = "When to record: off closes the file at once, continuous begins at the next key frame, event records what the signals start, stop and trigger ask for",
        get, set, type = Mode, member = mode, builder(DEFAULTS.mode).mutable_playing())]
    #[property(name = "pre-roll", nick = "Pre-roll",
        blurb = "With mode=event: what is recorded before a trigger, in nanoseconds",
        get, set, type = u64, member = pre_roll, default = DEFAULTS.pre_roll, mutable_playing)]
    #[property(name = "post-roll", nick = "Post-roll",
        blurb = "With mode=event: what is recorded after the last trigger or a stop, in nanoseconds",
        get, set, type = u64, member = post_roll, default = DEFAULTS.post_roll, mutable_playing)]
    #[property(name = "ring-bytes", nick = "Ring bytes",
        blurb = "With mode=event: the most that is kept in memory for the pre-roll, in bytes",
        get, set, type = u64, member = ring_bytes, default = DEFAULTS.ring_bytes, mutable_playing)]
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
    pub(super) transcoder: Mutex<Option<Arc<Transcoder>>>,
}

/// Takes a lock; a thread that panicked with it has been reported as an element error already.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SegmentRecorder {
    /// Tells the recorder at once what is new, unless it is at work: then the next picture does.
    fn tell_if_free(&self) {
        let running = match self.recorder.try_lock() {
            Ok(running) => running,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.work(running, |recorder| self.tell(recorder));
    }

    fn tell(&self, recorder: &mut Recorder<Data>) {
        let news = lock(&self.settings).take_news();
        if let Some(news) = news {
            news.tell(recorder);
        }
    }

    fn wish(&self, wish: Wish) {
        gst::info!(CAT, imp = self, "asked to {wish:?}");
        lock(&self.settings).wish(wish);
        self.tell_if_free();
    }

    fn stats(&self) -> gst::Structure {
        let counters = lock(&self.flow).counters;
        gst::Structure::builder(stats::NAME)
            .field(stats::FRAMES_IN, counters.frames_in)
            .field(stats::FRAMES_DROPPED, counters.frames_dropped)
            .field(stats::BYTES_WRITTEN, counters.bytes_written)
            .field(stats::RING_BYTES, counters.ring_bytes)
            .field(stats::SEGMENTS, counters.segments)
            .field(stats::GAPS, counters.gaps)
            .field(stats::WRITE_ERRORS, counters.write_errors)
            .field(stats::SLOWEST_WRITE_NS, counters.slowest_write_ns)
            .build()
    }

    /// Works with the recorder, if one runs, and posts what it has to say.
    pub(super) fn with_recorder(&self, work: impl FnOnce(&mut Recorder<Data>)) {
        self.work(lock(&self.recorder), work);
    }

    fn work(
        &self,
        mut running: MutexGuard<'_, Option<Recorder<Data>>>,
        work: impl FnOnce(&mut Recorder<Data>),
    ) {
        if let Some(recorder) = running.as_mut() {
            work(recorder);
            self.outbox
                .put(recorder.take_notices().into_iter().map(Mail::Notice));
            lock(&self.flow).counters = recorder.counters();
        }
        drop(running);
        self.outbox.post(|mail| self.post(mail));
    }

    /// As `with_recorder`, for the next picture: what the properties and signals want applies.
    pub(super) fn record(&self, work: impl FnOnce(&mut Recorder<Data>)) {
        self.with_recorder(|recorder| {
            self.tell(recorder);
            work(recorder);
        });
    }

    /// A folder that cannot be made is a mistake in the configuration, so it is found at once.
    fn make_location(&self) -> Result<(), gst::StateChangeError> {
        let settings = lock(&self.settings).clone();
        let Some(location) = settings.location.clone().filter(|text| !text.is_empty()) else {
            gst::element_imp_error!(
                self,
                gst::ResourceError::NotFound,
                ["No folder to record to: set the property location"]
            );
            return Err(gst::StateChangeError);
        };
        if settings.has_identity() {
            // The disk may come later, and a mount point must stay empty until it does.
            return Ok(());
        }
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
        let mut settings = lock(&self.settings);
        let mut recorder = Recorder::new(settings.config(), Box::new(Disk));
        settings.changed = false;
        if settings.held {
            recorder.start();
        }
        settings.wishes.retain(|&wish| wish == Wish::Trigger);
        let news = settings.take_news();
        drop(settings);
        if let Some(news) = news {
            news.tell(&mut recorder);
        }
        *lock(&self.flow) = Flow::default();
        *lock(&self.recorder) = Some(recorder);
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
        *lock(&self.transcoder) = None;
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
            transcoder: Mutex::default(),
        }
    }
}

impl ObjectImpl for SegmentRecorder {
    /// The derived ones, and `stats`: a structure has no derivable property.
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb("Counters: pictures in, pictures dropped for whatever reason, bytes written, bytes in the ring, segments, gaps, write errors, slowest write in nanoseconds")
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
        lock(&self.settings).changed = true;
        self.tell_if_free();
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
            let signal = |name: &str, wish: Wish| {
                glib::subclass::Signal::builder(name)
                    .action()
                    .class_handler(move |args| {
                        let element = args.first()?.get::<super::SegmentRecorder>().ok()?;
                        element.imp().wish(wish);
                        None
                    })
                    .build()
            };
            vec![
                signal("split-now", Wish::Split),
                signal("start", Wish::Start),
                signal("stop", Wish::Stop),
                signal("trigger", Wish::Trigger),
            ]
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
