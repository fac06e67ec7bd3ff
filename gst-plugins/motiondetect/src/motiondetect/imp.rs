//! `GObject` and GStreamer glue of `motiondetect`; what motion is stands in the files beside this one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use nvr_contract::Message;
use nvr_contract::gate::{GateState, SceneChange};
use nvr_contract::motion::{MotionChange, MotionState};
use nvr_contract::wallclock::WallClock;

use super::detector::Config;
use super::settings::{Area, Settings};
use super::state::{State, Trouble};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "motiondetect",
        gst::DebugColorFlags::empty(),
        Some("Motion by a background model"),
    )
});

/// The longest time that a property takes, nanoseconds.
const MAX_TIME: u64 = 600_000_000_000;
/// The longest time for which a thing that stands still may wait to be forgotten: a day.
const MAX_ABSORB: u64 = 86_400_000_000_000;

/// Lock order: `settings` before `state`; neither is held while anything is pushed or posted.
#[derive(Debug, Default, glib::Properties)]
#[properties(wrapper_type = super::MotionDetect)]
pub struct MotionDetect {
    #[property(name = "enabled", type = bool, get = |m: &Self| m.settings().enabled, set = |m: &Self, v| m.settings().enabled = v,
        nick = "Enabled", blurb = "Look for motion; when off, pictures pass untouched and the background is forgotten",
        default = Settings::default().enabled, mutable_playing)]
    #[property(name = "sensitivity", type = f64, get = |m: &Self| m.settings().config.sensitivity,
        set = |m: &Self, v| m.settings().config.sensitivity = v,
        nick = "Sensitivity", blurb = "From 0 (strong contrasts only) to 1 (faint ones too)",
        minimum = 0.0, maximum = 1.0, default = Config::default().sensitivity, mutable_playing)]
    #[property(name = "min-area", type = f64, get = |m: &Self| m.settings().config.min_area,
        set = |m: &Self, v| m.settings().config.min_area = v,
        nick = "Smallest area", blurb = "Smallest moving region, as the share of the picture that its moving cells cover (0 = four cells)",
        minimum = 0.0, maximum = 1.0, default = Config::default().min_area, mutable_playing)]
    #[property(name = "max-area", type = f64, get = |m: &Self| m.settings().config.max_area,
        set = |m: &Self, v| m.settings().config.max_area = v,
        nick = "Largest area", blurb = "Largest moving region, as the share of the picture that its moving cells cover",
        minimum = 0.0, maximum = 1.0, default = Config::default().max_area, mutable_playing)]
    #[property(name = "masks", type = String, get = |m: &Self| m.settings().masks.clone(), set = |m: &Self, v: Option<&str>| m.set_area(Area::Masks, v),
        nick = "Masks", blurb = "Parts that are not looked at: polygons in shares of the picture, '0,0 0.3,0 0.3,0.1; ...'",
        default = Some(Settings::default().masks.as_str()), mutable_playing)]
    #[property(name = "zones", type = String, get = |m: &Self| m.settings().zones.clone(), set = |m: &Self, v: Option<&str>| m.set_area(Area::Zones, v),
        nick = "Zones", blurb = "Named parts: polygons in shares of the picture, 'door=0.1,0.2 0.5,0.2 0.5,0.9; ...'",
        default = Some(Settings::default().zones.as_str()), mutable_playing)]
    #[property(name = "zones-only", type = bool, get = |m: &Self| m.settings().config.zones_only,
        set = |m: &Self, v| m.settings().config.zones_only = v,
        nick = "Zones only", blurb = "Leave out motion that touches no zone; without zones nothing is left out",
        default = Config::default().zones_only, mutable_playing)]
    #[property(name = "confirm", type = u64, get = |m: &Self| m.settings().config.confirm_ns,
        set = |m: &Self, v| m.settings().config.confirm_ns = v,
        nick = "Confirm time", blurb = "Activity after which a region counts as moving, at least two pictures (ns)",
        maximum = MAX_TIME, default = Config::default().confirm_ns, mutable_playing)]
    #[property(name = "hold-time", type = u64, get = |m: &Self| m.settings().config.hold_ns,
        set = |m: &Self, v| m.settings().config.hold_ns = v,
        nick = "Hold time", blurb = "Time for which a region that stands still, and motion as a whole, go on to count (ns)",
        maximum = MAX_TIME, default = Config::default().hold_ns, mutable_playing)]
    #[property(name = "learn-time", type = u64, get = |m: &Self| m.settings().config.learn_ns,
        set = |m: &Self, v| m.settings().config.learn_ns = v,
        nick = "Learning time", blurb = "Time at the start for which the background is learned and nothing reported, longer below 11 pictures a second (ns)",
        maximum = MAX_TIME, default = Config::default().learn_ns, mutable_playing)]
    #[property(name = "absorb-time", type = u64, get = |m: &Self| m.settings().config.absorb_ns,
        set = |m: &Self, v| m.settings().config.absorb_ns = v,
        nick = "Absorb time", blurb = "Time for which something that came to stay must stand still before it belongs to the background (ns)",
        maximum = MAX_ABSORB, default = Config::default().absorb_ns, mutable_playing)]
    #[property(name = "debug-overlay", type = bool, get = |m: &Self| m.settings().debug_overlay, set = |m: &Self, v| m.settings().debug_overlay = v,
        nick = "Debug overlay", blurb = "Draw cells, background, masks, zones and regions into the luma plane; a picture that others hold too is copied for it",
        default = Settings::default().debug_overlay, mutable_playing)]
    settings: Mutex<Settings>,
    state: Mutex<State>,
    reset: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for MotionDetect {
    const NAME: &'static str = "GstNvrdMotionDetect";
    type Type = super::MotionDetect;
    type ParentType = gst_base::BaseTransform;
}

/// The one property that the derive does not know a type for.
const STATS: &str = "stats";

impl ObjectImpl for MotionDetect {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb("Pictures that came in and were looked at, and the time that one takes (ns)")
                .read_only()
                .build();
            // Derived ones first: their ids are their places in the list.
            let derived = MotionDetect::derived_properties().iter().cloned();
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

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                // Forgets the background: the next picture begins to learn a new one.
                glib::subclass::Signal::builder("reset-background")
                    .action()
                    .class_handler(|args| {
                        let element = args[0].get::<super::MotionDetect>().ok()?;
                        element.imp().reset.store(true, Ordering::Relaxed);
                        None
                    })
                    .build(),
            ]
        });
        &SIGNALS
    }
}

impl GstObjectImpl for MotionDetect {}

impl ElementImpl for MotionDetect {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Motion Detector",
                "Filter/Analyzer/Video",
                "Tells what moves in raw video by an adaptive background model",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            use gst_video::VideoFormat::{Gray8, I420, Nv12};
            let caps = gst_video::VideoCapsBuilder::new()
                .format_list([Gray8, I420, Nv12])
                .width_range(16..)
                .height_range(16..)
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
}

impl BaseTransformImpl for MotionDetect {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        if let Some((_, message)) = self.settings().refused.first() {
            return Err(gst::error_msg!(gst::LibraryError::Settings, ("{message}")));
        }
        *self.state() = State::default();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.finish();
        *self.state() = State::default();
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "{incaps} is no raw video"))?;
        self.state().info = Some(info);
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Eos(_) => self.finish(),
            gst::EventView::FlushStop(_) => self.state().interrupt(),
            _ => {}
        }
        if let Some(gate) = GateState::from_event(&event) {
            self.state().watch.hear(gate);
        }
        self.parent_sink_event(event)
    }

    fn transform_ip(
        &self,
        buffer: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let enabled = self.take_settings();
        if !enabled || buffer.flags().contains(gst::BufferFlags::GAP) {
            self.pass(enabled);
            return Ok(gst::FlowSuccess::Ok);
        }
        let looked = self.state().look(buffer);
        self.tell_gate();
        match looked {
            Ok(Some(changes)) => self.announce(changes, buffer.pts()),
            Ok(None) => return Ok(gst_base::BASE_TRANSFORM_FLOW_DROPPED),
            Err(Trouble::NotNegotiated) => return Err(gst::FlowError::NotNegotiated),
            Err(Trouble::Short) => {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Format,
                    ("The picture is shorter than its caps say; check the element upstream.")
                );
                return Err(gst::FlowError::Error);
            }
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

impl MotionDetect {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in force what properties and signals asked for since the last picture; whether pictures are looked at.
    fn take_settings(&self) -> bool {
        let settings = self.settings();
        let mut state = self.state();
        if *state.config() != settings.config {
            state.set_config(settings.config.clone());
        }
        if self.reset.swap(false, Ordering::Relaxed) {
            state.reset();
        }
        state.overlay = settings.debug_overlay;
        settings.enabled
    }

    fn set_area(&self, area: Area, text: Option<&str>) {
        let running = self.obj().current_state() > gst::State::Ready;
        let refused = {
            let mut settings = self.settings();
            let refused = settings.set_area(area, text.unwrap_or_default()).err();
            if running {
                // The old value works on; a later start is none of this text's business.
                settings.refused.clear();
            }
            refused
        };
        if let Some(message) = refused {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{message}"));
        }
    }

    fn stats(&self) -> gst::Structure {
        self.state().stats()
    }

    /// Lets a picture pass that is not looked at.
    fn pass(&self, enabled: bool) {
        self.state().pass();
        if !enabled {
            self.finish();
            self.state().reset();
        }
    }

    /// Ends motion that is open.
    fn finish(&self) {
        let change = self.state().finish();
        self.announce(change, None);
    }

    /// Tells the bus and upstream that motion started or is over.
    fn announce(
        &self,
        changes: impl IntoIterator<Item = MotionChange>,
        seen_at: Option<gst::ClockTime>,
    ) {
        for mut change in changes {
            let anchor = WallClock::of_pad(self.obj().sink_pad());
            change.unix_us = anchor.map(|anchor| anchor.unix_us_of(change.pts_ns));
            gst::info!(CAT, imp = self, "{change:?}");
            let message = gst::message::Element::builder(change.to_structure())
                .src(&*self.obj())
                .build();
            if self.obj().post_message(message).is_err() {
                gst::debug!(CAT, imp = self, "No bus for {change:?}");
            }
            if self.state().watch.is_on() {
                continue;
            }
            let scene = SceneChange {
                moving: change.state == MotionState::Started,
                pts_ns: seen_at.map_or(change.pts_ns, gst::ClockTime::nseconds),
            };
            self.push_scene(scene);
        }
    }

    /// Gives a gate upstream the word that it waits for.
    fn tell_gate(&self) {
        let news = self.state().watch.take_news();
        for scene in news {
            self.push_scene(scene);
        }
    }

    fn push_scene(&self, scene: SceneChange) {
        if !self.obj().sink_pad().push_event(scene.to_event()) {
            gst::log!(CAT, imp = self, "Nobody upstream wants {scene:?}");
        }
    }
}
