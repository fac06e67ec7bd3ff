//! Glue: properties, events and buffers around [`crate::events`].

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::glib::Properties;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use nvr_contract::wallclock::WallClock;
use nvr_contract::{Message, stats};

use super::gather;
use crate::events::{Config, Events, Told};
use crate::outlet::Outlet;
use crate::thumbnail::Thumbnail;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "eventsink",
        gst::DebugColorFlags::empty(),
        Some("Detections over time into events"),
    )
});

const STATS: &str = "stats";

#[derive(Debug, Clone)]
struct Settings {
    location: Option<String>,
    truncate: bool,
    thumbnails: Option<String>,
    thumbnail_width: u32,
    config: Config,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            location: None,
            truncate: false,
            thumbnails: None,
            thumbnail_width: 480,
            config: Config {
                motion: true,
                // The detector holds motion by itself already: visits 2.4 s apart are two with 0.5 to 1.5 s, and
                // one with 2 s.
                motion_gap: 1_000_000_000,
                motion_limit: 300_000_000_000,
                object_gap: 3_000_000_000,
                min_frames: 2,
                open_score: 0.6,
                min_score: 0.0,
                labels: Vec::new(),
                pipeline: None,
                id_seed: String::new(),
            },
        }
    }
}

#[derive(Debug, Default)]
struct State {
    events: Events<Arc<Thumbnail>>,
    wall: Option<WallClock>,
    /// `None` before caps, and with caps that no thumbnail can be made of.
    info: Option<gst_video::VideoInfo>,
    frames_in: u64,
    bytes_written: u64,
    thumbnails_dropped: u64,
}

/// Lock order: state, settings, outlet; none is held while another is waited for. The outlet is taken out of its
/// lock while it works: only the streaming thread uses it, and `stop` after that thread has ended.
#[derive(Debug, Default, Properties)]
#[properties(wrapper_type = super::EventSink)]
pub struct EventSink {
    #[property(name = "location", nick = "Location", type = Option<String>,
        get = |s: &Self| s.settings().location, set = |s: &Self, v: Option<String>| s.turn(|c| c.location = filled(v)), mutable_ready,
        blurb = "File that gets one JSON object a line for each change of an event; - for standard output, empty for none")]
    #[property(name = "truncate", nick = "Truncate", type = bool,
        get = |s: &Self| s.settings().truncate, set = |s: &Self, v| s.turn(|c| c.truncate = v),
        default = Settings::default().truncate, mutable_ready,
        blurb = "Whether the file at location is emptied at the start; else lines are appended")]
    #[property(name = "thumbnails", nick = "Thumbnails", type = Option<String>,
        get = |s: &Self| s.settings().thumbnails, set = |s: &Self, v: Option<String>| s.turn(|c| c.thumbnails = filled(v)), mutable_ready,
        blurb = "Folder that gets a JPEG <id>.jpg of the best picture of each event (I420, NV12, RGB and GRAY8 video); empty for none")]
    #[property(name = "thumbnail-width", nick = "Thumbnail width", type = u32,
        get = |s: &Self| s.settings().thumbnail_width, set = |s: &Self, v| s.turn(|c| c.thumbnail_width = v),
        minimum = 16, maximum = 1920, default = Settings::default().thumbnail_width, mutable_playing,
        blurb = "Greatest width of a thumbnail, pixels")]
    #[property(name = "motion", nick = "Motion", type = bool,
        get = |s: &Self| s.settings().config.motion, set = |s: &Self, v| s.turn(|c| c.config.motion = v),
        default = Settings::default().config.motion, mutable_playing,
        blurb = "Whether motion makes events")]
    #[property(name = "motion-gap", nick = "Motion gap", type = u64,
        get = |s: &Self| s.settings().config.motion_gap, set = |s: &Self, v| s.turn(|c| c.config.motion_gap = v),
        default = Settings::default().config.motion_gap, mutable_playing,
        blurb = "For how long it must be quiet for a motion event to close, nanoseconds of media time")]
    #[property(name = "motion-limit", nick = "Motion limit", type = u64,
        get = |s: &Self| s.settings().config.motion_limit, set = |s: &Self, v| s.turn(|c| c.config.motion_limit = v),
        default = Settings::default().config.motion_limit, mutable_playing,
        blurb = "A motion event this long is closed and goes on as a new one, nanoseconds of media time; 0 for no limit")]
    #[property(name = "object-gap", nick = "Object gap", type = u64,
        get = |s: &Self| s.settings().config.object_gap, set = |s: &Self, v| s.turn(|c| c.config.object_gap = v),
        default = Settings::default().config.object_gap, mutable_playing,
        blurb = "For how long an object must be gone for its event to close, nanoseconds of media time")]
    #[property(name = "min-frames", nick = "Minimum frames", type = u64,
        get = |s: &Self| s.settings().config.min_frames, set = |s: &Self, v| s.turn(|c| c.config.min_frames = v),
        minimum = 1, default = Settings::default().config.min_frames, mutable_playing,
        blurb = "Pictures that must show an object before its event opens; a stream of fewer pictures counts what all of them show")]
    #[property(name = "open-score", nick = "Opening score", type = f64,
        get = |s: &Self| s.settings().config.open_score, set = |s: &Self, v| s.turn(|c| c.config.open_score = v),
        minimum = 0.0, maximum = 1.0, default = Settings::default().config.open_score, mutable_playing,
        blurb = "Score (0..1) that an object must reach on one picture before its event opens; one seen on ten times min-frames pictures needs none")]
    #[property(name = "min-score", nick = "Minimum score", type = f64,
        get = |s: &Self| s.settings().config.min_score, set = |s: &Self, v| s.turn(|c| c.config.min_score = v),
        minimum = 0.0, maximum = 1.0, default = Settings::default().config.min_score, mutable_playing,
        blurb = "Score (0..1) below which a detection is not looked at")]
    #[property(name = "labels", nick = "Labels", type = String,
        get = |s: &Self| s.settings().config.labels.join(","), set = |s: &Self, v: Option<String>| s.turn(|c| c.config.labels = listed(v)), mutable_playing,
        blurb = "Labels that make events, parted by commas; empty for all")]
    #[property(name = "pipeline", nick = "Pipeline", type = Option<String>,
        get = |s: &Self| s.settings().config.pipeline, set = |s: &Self, v: Option<String>| s.turn(|c| c.config.pipeline = filled(v)), mutable_ready,
        blurb = "Hash of the pipeline description, stamped on each event")]
    #[property(name = "id-seed", nick = "Id seed", type = String,
        get = |s: &Self| s.settings().config.id_seed, set = |s: &Self, v: Option<String>| s.turn(|c| c.config.id_seed = v.unwrap_or_default()), mutable_ready,
        blurb = "Text that goes into the ids of events, the camera's name say, so that two streams never share an id")]
    settings: Mutex<Settings>,
    state: Mutex<State>,
    outlet: Mutex<Option<Outlet>>,
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn listed(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    let labels = text.split(',').map(str::trim).filter(|l| !l.is_empty());
    labels.map(str::to_owned).collect()
}

impl EventSink {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> Settings {
        self.settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn turn(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn outlet(&self) -> MutexGuard<'_, Option<Outlet>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> gst::Structure {
        let state = self.state();
        gst::Structure::builder(stats::NAME)
            .field(stats::FRAMES_IN, state.frames_in)
            .field(stats::EVENTS_OPENED, state.events.opened())
            .field(stats::EVENTS_CLOSED, state.events.closed())
            .field(stats::BYTES_WRITTEN, state.bytes_written)
            .field(stats::FRAMES_DROPPED, state.thumbnails_dropped)
            .build()
    }

    fn open_outlet(&self, settings: &Settings) -> Result<Outlet, gst::ErrorMessage> {
        let element = self.obj().downgrade();
        let report = move |text: String| {
            if let Some(element) = element.upgrade() {
                gst::element_warning!(element, gst::ResourceError::Write, ("{text}"));
            }
        };
        Outlet::open(
            settings.location.as_deref(),
            settings.truncate,
            settings.thumbnails.as_deref(),
            report,
        )
        .map_err(|error| gst::error_msg!(gst::ResourceError::OpenWrite, ("{error}")))
    }

    /// Thumbnails, lines, then messages: who hears the message finds the line.
    fn tell(&self, told: &[Told<Arc<Thumbnail>>]) {
        if told.is_empty() {
            return;
        }
        let outlet = self.outlet().take();
        if let Some(mut outlet) = outlet {
            let written = outlet.write(told);
            *self.outlet() = Some(outlet);
            let mut state = self.state();
            state.bytes_written += written.bytes;
            state.thumbnails_dropped += written.dropped;
            drop(state);
            if let Some(error) = written.first_error {
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Write,
                    ("Cannot write an event, going on without: {error}")
                );
            }
        }
        let obj = self.obj();
        for Told { event, .. } in told {
            gst::debug!(
                CAT,
                imp = self,
                "{} {} {}",
                event.kind,
                event.change,
                event.id
            );
            let message = gst::message::Element::builder(event.to_structure())
                .src(&*obj)
                .build();
            if let Err(error) = obj.post_message(message) {
                // Without a bus there is nobody to tell; the lines are written all the same.
                gst::debug!(CAT, imp = self, "no bus: {error}");
            }
        }
    }

    /// Closes every open event.
    fn finish(&self) {
        let config = self.settings().config;
        let told = self.state().events.finish(&config);
        self.tell(&told);
    }
}

#[glib::object_subclass]
impl ObjectSubclass for EventSink {
    const NAME: &'static str = "GstNvrdEventSink";
    type Type = super::EventSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for EventSink {
    /// The derived ones, and `stats`: a structure has no derivable property.
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb("Counters: pictures in, events opened and closed, bytes of lines written, thumbnails dropped for want of time")
                .read_only()
                .build();
            let mut all = EventSink::derived_properties().to_vec();
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
        let obj = self.obj();
        // Events carry their time: nothing waits for a clock, no picture is kept for preroll or as the last one.
        obj.set_sync(false);
        obj.set_async(false);
        obj.set_enable_last_sample(false);
    }
}

impl GstObjectImpl for EventSink {}

impl ElementImpl for EventSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Event Sink",
                "Sink/Metadata",
                "Turns motion, detections and tracks over time into events",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder("video/x-raw").any_features().build();
            vec![
                gst::PadTemplate::new(
                    "sink",
                    gst::PadDirection::Sink,
                    gst::PadPresence::Always,
                    &caps,
                )
                .expect("name, direction and caps are valid"),
            ]
        });
        TEMPLATES.as_ref()
    }
}

impl BaseSinkImpl for EventSink {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let outlet = self.open_outlet(&self.settings())?;
        *self.state() = State::default();
        *self.outlet() = Some(outlet);
        gst::info!(CAT, imp = self, "started");
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.finish();
        // Dropping the outlet waits for the last thumbnails, outside the lock.
        drop(self.outlet().take());
        gst::info!(CAT, imp = self, "stopped");
        Ok(())
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(caps)
            .ok()
            .filter(|info| gather::layout(info.format()).is_some());
        if info.is_none() && self.settings().thumbnails.is_some() {
            gst::warning!(CAT, imp = self, "no thumbnails of {caps}");
        }
        self.state().info = info;
        Ok(())
    }

    fn event(&self, event: gst::Event) -> bool {
        if let Some(wall) = WallClock::from_event(&event) {
            self.state().wall = Some(wall);
        }
        match event.view() {
            gst::EventView::Eos(_) => {
                self.finish();
                let outlet = self.outlet().take();
                if let Some(outlet) = outlet {
                    outlet.settle();
                    *self.outlet() = Some(outlet);
                }
            }
            gst::EventView::FlushStop(_) => self.finish(),
            // A gap without an end: the source is gone, and nobody knows for how long.
            gst::EventView::Gap(gap) if gap.get().1.is_none() => self.finish(),
            _ => {}
        }
        self.parent_event(event)
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = self.settings();
        let mut state = self.state();
        state.frames_in += 1;
        // Without a time stamp, as with a still picture, it is the time of the picture before.
        let pts = buffer.pts().map(gst::ClockTime::nseconds);
        let pts = pts.or(state.events.now()).unwrap_or(0);
        let picture = gather::picture(buffer, pts, state.wall);
        let info = state.info.clone().filter(|_| settings.thumbnails.is_some());
        let mut shoot = || {
            let info = info.as_ref()?;
            gather::thumbnail(buffer, info, settings.thumbnail_width).map(Arc::new)
        };
        let told = state.events.step(&settings.config, &picture, &mut shoot);
        drop(state);
        self.tell(&told);
        Ok(gst::FlowSuccess::Ok)
    }
}
