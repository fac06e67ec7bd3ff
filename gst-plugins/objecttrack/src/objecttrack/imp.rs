//! Glue: properties, caps and metas around [`crate::tracker`].

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::glib::Properties;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use nvr_contract::detection::{Detection, InferenceFrame};
use nvr_contract::polygon;
use nvr_contract::stats;
use nvr_contract::track::Tracking;

use crate::tracker::{Config, Sighting, Tracker};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "objecttrack",
        gst::DebugColorFlags::empty(),
        Some("Stable ids for detected objects"),
    )
});

const STATS: &str = "stats";

#[derive(Debug, Clone, Default)]
struct Settings {
    /// As the user wrote them; the parsed ones are in `config`.
    zones: String,
    config: Config,
}

#[derive(Debug, Default)]
struct State {
    tracker: Tracker,
    /// Picture width over height, once caps are known.
    aspect: Option<f64>,
    frames_in: u64,
    frames_looked: u64,
}

/// Lock order: state, then settings; neither is held while the other is waited for.
#[derive(Debug, Default, Properties)]
#[properties(wrapper_type = super::ObjectTrack)]
pub struct ObjectTrack {
    #[property(name = "zones", nick = "Zones", type = String,
        get = |s: &Self| s.settings().zones, set = Self::set_zones, mutable_playing,
        blurb = "Named polygons, name=x,y x,y x,y; name=… in shares (0..1) of the picture; an object is in a zone by the middle of its lower edge")]
    #[property(name = "high-threshold", nick = "High threshold", type = f64,
        get = |s: &Self| s.settings().config.high_threshold, set = |s: &Self, v| s.turn(|c| c.high_threshold = v),
        minimum = 0.0, maximum = 1.0, default = Settings::default().config.high_threshold, mutable_playing,
        blurb = "Score (0..1) from which on a detection may begin a track")]
    #[property(name = "low-threshold", nick = "Low threshold", type = f64,
        get = |s: &Self| s.settings().config.low_threshold, set = |s: &Self, v| s.turn(|c| c.low_threshold = v),
        minimum = 0.0, maximum = 1.0, default = Settings::default().config.low_threshold, mutable_playing,
        blurb = "Score (0..1) from which on a detection may continue a track")]
    #[property(name = "match-iou", nick = "Match IoU", type = f64,
        get = |s: &Self| s.settings().config.match_iou, set = |s: &Self, v| s.turn(|c| c.match_iou = v),
        minimum = 0.0, maximum = 1.0, default = Settings::default().config.match_iou, mutable_playing,
        blurb = "Least overlap (intersection over union, 0..1) of a detection with the place where its track is expected")]
    #[property(name = "max-age", nick = "Maximum age", type = u64,
        get = |s: &Self| s.settings().config.max_age, set = |s: &Self, v| s.turn(|c| c.max_age = v),
        default = Settings::default().config.max_age, mutable_playing,
        blurb = "For how long a track that the model looks for and does not find is kept, nanoseconds of media time")]
    #[property(name = "min-hits", nick = "Minimum hits", type = u32,
        get = |s: &Self| s.settings().config.min_hits, set = |s: &Self, v| s.turn(|c| c.min_hits = v),
        minimum = 1, default = Settings::default().config.min_hits, mutable_playing,
        blurb = "Sightings after which a track is confirmed and its id is given out")]
    #[property(name = "stationary-time", nick = "Stationary time", type = u64,
        get = |s: &Self| s.settings().config.stationary_time, set = |s: &Self, v| s.turn(|c| c.stationary_time = v),
        default = Settings::default().config.stationary_time, mutable_playing,
        blurb = "After standing in one place this long an object is stationary, nanoseconds of media time")]
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

impl ObjectTrack {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> Settings {
        self.settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn turn(&self, change: impl FnOnce(&mut Config)) {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut settings.config);
    }

    /// A text that is no list of zones changes nothing; the log says what is wrong with it.
    fn set_zones(&self, text: Option<String>) {
        let text = text.unwrap_or_default();
        match polygon::parse_zones(&text) {
            Ok(zones) => {
                let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
                settings.config.zones = zones;
                settings.zones = text;
            }
            Err(error) => gst::warning!(CAT, imp = self, "zones stay as they were: {error}"),
        }
    }

    fn stats(&self) -> gst::Structure {
        let state = self.state();
        gst::Structure::builder(stats::NAME)
            .field(stats::FRAMES_IN, state.frames_in)
            .field(stats::FRAMES_PROCESSED, state.frames_looked)
            .field(stats::TRACKS_CONFIRMED, state.tracker.confirmed())
            .field(stats::TRACKS_LIVE, state.tracker.len() as u64)
            .build()
    }

    fn track(&self, buffer: &mut gst::BufferRef) {
        let config = self.settings().config;
        // Without a time stamp, as with a still picture, it is the time of the picture before.
        let pts = buffer.pts().map(gst::ClockTime::nseconds);
        let found = Detection::all_of_buffer(buffer);
        let looked = InferenceFrame::of_buffer(buffer).map_or(!found.is_empty(), |f| f.ran);
        let fresh: Vec<_> = found.into_iter().filter(|f| f.track.is_none()).collect();
        let sightings: Vec<Sighting> = fresh
            .iter()
            .map(|found| Sighting {
                label: found.detection.label.clone(),
                score: found.detection.score,
                bbox: found.detection.bbox,
            })
            .collect();

        let mut state = self.state();
        state.frames_in += 1;
        let pts = pts.or(state.tracker.now()).unwrap_or(0);
        if !looked {
            state.tracker.pass(pts);
            return;
        }
        state.frames_looked += 1;
        let aspect = state.aspect.unwrap_or(1.0);
        let verdicts = state.tracker.look(&config, aspect, pts, &sightings);
        drop(state);

        gst::trace!(CAT, imp = self, "{} detections at {pts}", sightings.len());
        let mut pending: Vec<(i32, Tracking)> =
            fresh.iter().map(|f| f.roi_id).zip(verdicts).collect();
        for mut meta in buffer.iter_meta_mut::<gst_video::VideoRegionOfInterestMeta>() {
            // Ids of other detectors may repeat; each verdict is used once, in order.
            if Detection::is_on(&meta)
                && Tracking::of_meta(&meta).is_none()
                && let Some(at) = pending.iter().position(|(id, _)| *id == meta.id())
            {
                pending.remove(at).1.add_to_meta(&mut meta);
            }
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for ObjectTrack {
    const NAME: &'static str = "GstNvrdObjectTrack";
    type Type = super::ObjectTrack;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for ObjectTrack {
    /// The derived ones, and `stats`: a structure has no derivable property.
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb(
                    "Counters: pictures in, pictures tracked on, tracks confirmed, tracks kept now",
                )
                .read_only()
                .build();
            let mut all = ObjectTrack::derived_properties().to_vec();
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
}

impl GstObjectImpl for ObjectTrack {}

impl ElementImpl for ObjectTrack {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Object Tracker",
                "Filter/Analyzer/Video",
                "Gives detected objects ids that stay the same from picture to picture",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder("video/x-raw").any_features().build();
            [
                ("sink", gst::PadDirection::Sink),
                ("src", gst::PadDirection::Src),
            ]
            .into_iter()
            .map(|(name, direction)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                    .expect("name, direction and caps are valid")
            })
            .collect()
        });
        TEMPLATES.as_ref()
    }
}

impl BaseTransformImpl for ObjectTrack {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *self.state() = State::default();
        gst::info!(CAT, imp = self, "started");
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.state().tracker.reset();
        gst::info!(CAT, imp = self, "stopped");
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let structure = incaps
            .structure(0)
            .ok_or_else(|| gst::loggable_error!(CAT, "caps without a structure"))?;
        let size = structure
            .get::<i32>("width")
            .and_then(|width| structure.get::<i32>("height").map(|height| (width, height)));
        if let Ok((width, height)) = size {
            let aspect = f64::from(width.max(1)) / f64::from(height.max(1));
            let mut state = self.state();
            // Another shape of picture shows another part of the scene; the same shape is the same scene, scaled.
            if state
                .aspect
                .is_some_and(|a| (a / aspect - 1.0).abs() > 0.02)
            {
                state.tracker.reset();
            }
            state.aspect = Some(aspect);
        }
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if matches!(event.view(), gst::EventView::FlushStop(_)) {
            self.state().tracker.reset();
        }
        self.parent_sink_event(event)
    }

    fn transform_ip(
        &self,
        buffer: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.track(buffer);
        Ok(gst::FlowSuccess::Ok)
    }
}
