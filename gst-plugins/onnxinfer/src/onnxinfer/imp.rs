//! `GObject` glue of `onnxinfer`: properties, states, caps, and one picture at a time to the stream.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use nvr_contract::Message;
use nvr_contract::detection::{InferenceFrame, ModelChanged, ROI_LIST_LIMIT};
use nvr_contract::motion::MotionFrame;
use nvr_contract::{polygon, stats};
use nvr_onnx::facts::Task;
use nvr_onnx::model::{Model, OpenOptions};
use nvr_onnx::provider::Provider;

use super::counters::{Counters, nanoseconds};
use super::failure;
use super::settings::{Live, Look, Settings, Trigger};
use super::stream::{Outcome, Stream};
use super::{attach, second};
use crate::filter;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "onnxinfer",
        gst::DebugColorFlags::empty(),
        Some("Objects by an ONNX model"),
    )
});

/// Reported latency grows in steps of this many nanoseconds, so that the pipeline is not reconfigured often.
const LATENCY_STEP_NS: u64 = 10_000_000;

/// The property that reads as a structure.
const STATS: &str = "stats";

/// No two of these locks are ever held together, and none while a picture is analysed or a message posted.
#[derive(Default, glib::Properties)]
#[properties(wrapper_type = super::OnnxInfer)]
pub struct OnnxInfer {
    #[property(name = "model", nick = "Model", blurb = "Path of the ONNX file", get, set, type = Option<String>, member = model, mutable_ready)]
    #[property(name = "model-facts", nick = "Model facts", blurb = "Path of the TOML with the model's facts; empty for the one beside the model", get, set, type = Option<String>, member = model_facts, mutable_ready)]
    #[property(name = "ort-library", nick = "ONNX Runtime library", blurb = "Path of libonnxruntime.so; empty for $ORT_DYLIB_PATH and the usual places", get, set, type = Option<String>, member = ort_library, mutable_ready)]
    #[property(name = "provider", nick = "Execution providers", blurb = "Comma list of the hardware to run on, the first that works counts and the processor is always the last: cpu, cuda, tensorrt, openvino, coreml; `stats` tells which it is", type = String, get = |s: &Self| s.settings().provider, set = Self::set_provider, mutable_ready)]
    #[property(name = "workers", nick = "Workers", blurb = "Runs of the model at a time, of all elements that share it; 0 for as many as the processor has room for", get, set, type = u32, member = workers, maximum = 64, default = Settings::default().workers, mutable_ready)]
    #[property(name = "inference-region", nick = "Inference region", blurb = "What the model looks at: the whole picture; or parts of it, moving ones for a detector and detected ones for any other model", get, set, type = Look, member = look, mutable_playing, builder(Settings::default().look))]
    #[property(name = "threads", nick = "Threads", blurb = "Threads that one run of the model may use", get, set, type = u32, member = threads, minimum = 1, maximum = 256, default = Settings::default().threads, mutable_ready)]
    #[property(name = "live", nick = "Live", blurb = "Whether pictures may wait for the model no longer than the budget", get, set, type = Live, member = live, mutable_ready, builder(Settings::default().live))]
    #[property(name = "threshold", nick = "Threshold", blurb = "Least confidence of an object, 0..1", get = |s: &Self| s.settings().wish.threshold, set = |s: &Self, v| lock(&s.settings).wish.threshold = v, type = f64, minimum = 0.0, maximum = 1.0, default = Settings::default().wish.threshold, mutable_playing)]
    #[property(name = "thresholds", nick = "Thresholds by label", blurb = "Least confidence of some labels, label=score parted by commas; the others have `threshold`", type = String, get = |s: &Self| s.settings().wish.thresholds, set = Self::set_thresholds, mutable_playing)]
    #[property(name = "labels", nick = "Labels", blurb = "Comma list of the labels to look for; empty for all", type = Option<String>, get = |s: &Self| Some(s.settings().wish.labels), set = |s: &Self, v: Option<String>| lock(&s.settings).wish.labels = v.unwrap_or_default(), mutable_playing)]
    #[property(name = "min-area", nick = "Minimum area", blurb = "Least area of an object as a share (0..1) of the picture", type = f64, get = |s: &Self| s.settings().wish.min_area, set = |s: &Self, v| lock(&s.settings).wish.min_area = v, minimum = 0.0, maximum = 1.0, default = Settings::default().wish.min_area, mutable_playing)]
    #[property(name = "max-area", nick = "Maximum area", blurb = "Greatest area of an object as a share (0..1) of the picture", type = f64, get = |s: &Self| s.settings().wish.max_area, set = |s: &Self, v| lock(&s.settings).wish.max_area = v, minimum = 0.0, maximum = 1.0, default = Settings::default().wish.max_area, mutable_playing)]
    #[property(name = "zones", nick = "Zones", blurb = "Only objects whose lower edge's middle stands in one of these polygons: name=x,y x,y x,y; name=… in shares (0..1) of the picture; empty for everywhere", type = String, get = |s: &Self| s.settings().zones, set = Self::set_zones, mutable_playing)]
    #[property(name = "max-detections", nick = "Maximum detections", blurb = "The most objects attached to one picture, the surest first", get, set, type = u32, member = max_detections, minimum = 1, maximum = ROI_LIST_LIMIT as u32, default = Settings::default().max_detections, mutable_playing)]
    #[property(name = "trigger", nick = "Trigger", blurb = "Which pictures the model looks at", get, set, type = Trigger, member = trigger, mutable_playing, builder(Settings::default().trigger))]
    #[property(name = "interval", nick = "Interval", blurb = "Analyse every n-th picture", get, set, type = u32, member = interval, minimum = 1, default = Settings::default().interval, mutable_playing)]
    #[property(name = "max-fps", nick = "Maximum rate", blurb = "Analyse at most so many pictures a second, by PTS; 0 for no limit", get, set, type = f64, member = max_fps, minimum = 0.0, maximum = 1000.0, default = Settings::default().max_fps, mutable_playing)]
    #[property(name = "budget", nick = "Budget", blurb = "The longest that analysis may hold a live picture, nanoseconds; 0 for no limit", get, set, type = u64, member = budget, default = Settings::default().budget, mutable_playing)]
    settings: Mutex<Settings>,
    counters: Mutex<Counters>,
    /// The open model and what it was opened with, from READY on.
    opened: Mutex<Option<(OpenOptions, Arc<Model>)>>,
    /// `None` outside start..stop and while a picture is being looked at.
    stream: Mutex<Option<Stream>>,
    /// What the latency query adds, nanoseconds.
    latency_ns: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OnnxInfer {
    fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// A text that is no list of providers changes nothing; the log says what is wrong with it.
    fn set_provider(&self, text: Option<String>) {
        let text = text.unwrap_or_default();
        match Provider::parse(&text) {
            Ok(_) => lock(&self.settings).provider = text,
            Err(error) => gst::warning!(CAT, imp = self, "provider stays as it was: {error}"),
        }
    }

    /// The same for thresholds.
    fn set_thresholds(&self, text: Option<String>) {
        let text = text.unwrap_or_default();
        match filter::parse_thresholds(&text) {
            Ok(_) => lock(&self.settings).wish.thresholds = text,
            Err(error) => gst::warning!(CAT, imp = self, "thresholds stay as they were: {error}"),
        }
    }

    /// The same for zones.
    fn set_zones(&self, text: Option<String>) {
        let text = text.unwrap_or_default();
        match polygon::parse_zones(&text) {
            Ok(zones) => {
                let mut settings = lock(&self.settings);
                settings.wish.zones = zones;
                settings.zones = text;
            }
            Err(error) => gst::warning!(CAT, imp = self, "zones stay as they were: {error}"),
        }
    }

    /// The model of the settings, opened unless it is already.
    fn open(&self) -> Result<Arc<Model>, gst::ErrorMessage> {
        let Some(options) = self.settings().open_options() else {
            return Err(gst::error_msg!(
                gst::ResourceError::NotFound,
                ("No model: set the property `model` to an ONNX file")
            ));
        };
        if let Some((opened, model)) = lock(&self.opened).as_ref()
            && *opened == options
        {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new(Model::open(&options).map_err(|e| failure::message(&e))?);
        let facts = model.facts();
        gst::info!(
            CAT,
            imp = self,
            "Opened {} ({}) on {}: {:?}, {} labels, input {}x{}; told by nobody: {}",
            options.model.display(),
            model.hash(),
            model.session().provider(),
            facts.family,
            facts.labels.len(),
            facts.input.width,
            facts.input.height,
            facts.inferred.join("; ")
        );
        let wanted = options.providers.first().copied().unwrap_or(Provider::Cpu);
        let used = model.session().provider();
        if used != wanted {
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("The model runs on {used}, because {wanted} of the property `provider` does not work here")
            );
        }
        *lock(&self.opened) = Some((options, Arc::clone(&model)));
        Ok(model)
    }

    fn is_live(&self, settings: &Settings) -> bool {
        match settings.live {
            Live::Yes => true,
            Live::No => false,
            Live::Auto => {
                let mut query = gst::query::Latency::new();
                self.obj().sink_pad().peer_query(&mut query) && query.result().0
            }
        }
    }

    /// What depends on the pipeline rather than on a picture: once, before the first picture after a start.
    fn first_picture(
        &self,
        stream: &mut Stream,
        settings: &Settings,
    ) -> Result<(), gst::FlowError> {
        let live = self.is_live(settings);
        gst::debug!(
            CAT,
            imp = self,
            "The stream is {}live",
            if live { "" } else { "not " }
        );
        if live {
            stream.make_live().map_err(|e| {
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Failed,
                    ("Cannot start the analysis thread: {e}")
                );
                gst::FlowError::Error
            })?;
        }
        Ok(())
    }

    fn look(&self, stream: &mut Stream, buffer: &mut gst::BufferRef) -> Result<(), gst::FlowError> {
        let settings = self.settings();
        let first = lock(&self.counters).came_in();
        if first {
            self.first_picture(stream, &settings)?;
        }
        self.watch_model(stream);
        let task = stream.model().facts().task;
        let detects = matches!(task, Task::Detection | Task::FaceDetection);
        let whole = settings.look == Look::FullFrame && task == Task::Classification;
        if !detects && !whole {
            return self.look_twice(stream, buffer, &settings);
        }
        let unknown = stream.set_wish(&settings.wish);
        if !unknown.is_empty() {
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("The model does not know the labels {unknown:?} of the properties `labels` and `thresholds`")
            );
        }
        let gap = buffer.flags().contains(gst::BufferFlags::GAP);
        let (outcome, held) = if gap {
            (Outcome::NotDue, Duration::ZERO)
        } else {
            let moving = MotionFrame::of_buffer(buffer).is_none_or(|m| m.moving);
            stream.look(buffer, &settings, moving).map_err(|e| {
                gst::element_imp_error!(
                    self,
                    gst::LibraryError::Failed,
                    ("Analysis failed: {e}; check the model and its facts")
                );
                gst::FlowError::Error
            })?
        };
        let ran = self.conclude(stream, buffer, &outcome, &settings);
        InferenceFrame {
            ran,
            model: stream.model().hash().to_owned(),
        }
        .attach(buffer);
        if stream.is_live() {
            self.grow_latency(held);
        }
        Ok(())
    }

    /// Tells once when the model's file was changed.
    fn watch_model(&self, stream: &Stream) {
        let session = stream.model().session();
        let Some(found) = session.changed() else {
            return;
        };
        let running = session.hash().to_owned();
        gst::warning!(
            CAT,
            imp = self,
            "The model's file is now {found}; {running} runs on"
        );
        let changed = ModelChanged {
            path: self.settings().model.unwrap_or_default(),
            running,
            found,
        };
        let message = gst::message::Element::builder(changed.to_structure())
            .src(&*self.obj())
            .build();
        if self.obj().post_message(message).is_err() {
            gst::debug!(CAT, imp = self, "No bus takes the message");
        }
    }

    /// Asks a second model about every region that another element found.
    fn look_twice(
        &self,
        stream: &mut Stream,
        buffer: &mut gst::BufferRef,
        settings: &Settings,
    ) -> Result<(), gst::FlowError> {
        let start = std::time::Instant::now();
        let limit = settings.max_detections as usize;
        let asked = second::look(stream, buffer, &settings.wish, limit).map_err(|e| {
            gst::element_imp_error!(
                self,
                gst::LibraryError::Failed,
                ("Analysis failed: {e}; check the model and its facts")
            );
            gst::FlowError::Error
        })?;
        if asked > 0 {
            lock(&self.counters).ran(start.elapsed());
        }
        Ok(())
    }

    /// Attaches and counts what became of the picture; whether the model looked at it.
    fn conclude(
        &self,
        stream: &mut Stream,
        buffer: &mut gst::BufferRef,
        outcome: &Outcome,
        settings: &Settings,
    ) -> bool {
        match outcome {
            Outcome::NotDue => return false,
            Outcome::Ran { found, took } => {
                attach::objects(buffer, found, stream.size());
                gst::log!(CAT, imp = self, "{} objects in {took:?}", found.len());
                lock(&self.counters).ran(*took);
                return true;
            }
            Outcome::NoTime => gst::log!(CAT, imp = self, "No time to analyse this picture"),
            Outcome::TooLate => self.warn_too_late(stream, settings),
            Outcome::Nonsense(error) => {
                gst::debug!(CAT, imp = self, "{error}");
                if stream.first_nonsense() {
                    gst::element_imp_warning!(
                        self,
                        gst::StreamError::Failed,
                        ("The model's answer makes no sense for some pictures, which pass without: {error}")
                    );
                }
            }
            Outcome::Unreadable => {
                gst::warning!(
                    CAT,
                    imp = self,
                    "The buffer is too short for its caps: not analysed"
                );
            }
        }
        lock(&self.counters).dropped();
        false
    }

    /// Tells once a stream that the budget is too small: without it, finding nothing would look like nobody there.
    fn warn_too_late(&self, stream: &mut Stream, settings: &Settings) {
        gst::debug!(
            CAT,
            imp = self,
            "The model did not answer within the budget"
        );
        if stream.first_time_late() {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Busy,
                (
                    "The model takes longer than {} ms on this machine: raise `budget`, or take a smaller model",
                    settings.budget / 1_000_000
                )
            );
        }
    }

    fn grow_latency(&self, held: Duration) {
        let held = nanoseconds(held);
        if held > self.latency_ns.load(Ordering::Relaxed) {
            let latency = held
                .div_ceil(LATENCY_STEP_NS)
                .saturating_mul(LATENCY_STEP_NS);
            self.latency_ns.store(latency, Ordering::Relaxed);
            gst::debug!(CAT, imp = self, "Latency grows to {latency} ns");
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            if self.obj().post_message(message).is_err() {
                gst::debug!(CAT, imp = self, "No bus takes the latency message");
            }
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for OnnxInfer {
    const NAME: &'static str = "GstNvrdOnnxInfer";
    type Type = super::OnnxInfer;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for OnnxInfer {
    // The derive macro cannot express a structure, so that `stats` joins the derived properties by hand.
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb("Pictures in, analysed and dropped from analysis; last and mean time of the model, nanoseconds; the hardware it runs on")
                .read_only()
                .build();
            let derived = OnnxInfer::derived_properties().iter().cloned();
            derived.chain([stats]).collect()
        });
        &PROPERTIES
    }

    fn set_property(&self, id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.derived_set_property(id, value, pspec);
    }

    fn property(&self, id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            STATS => {
                let mut structure = lock(&self.counters).to_structure();
                if let Some((_, model)) = lock(&self.opened).as_ref() {
                    structure.set(stats::PROVIDER, model.session().provider().as_str());
                }
                structure.to_value()
            }
            _ => self.derived_property(id, pspec),
        }
    }
}

impl GstObjectImpl for OnnxInfer {}

impl ElementImpl for OnnxInfer {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "ONNX Inference",
                "Filter/Analyzer/Video",
                "Finds objects in raw video by an ONNX model and attaches them to the pictures",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_video::VideoCapsBuilder::new()
                .format_list([
                    gst_video::VideoFormat::I420,
                    gst_video::VideoFormat::Nv12,
                    gst_video::VideoFormat::Rgb,
                ])
                .build();
            [
                ("src", gst::PadDirection::Src),
                ("sink", gst::PadDirection::Sink),
            ]
            .into_iter()
            .map(|(name, direction)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                    .expect("a name, a direction and caps make a template")
            })
            .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady
            && let Err(message) = self.open()
        {
            self.post_error_message(message);
            return Err(gst::StateChangeError);
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::ReadyToNull {
            lock(&self.opened).take();
        }
        Ok(success)
    }
}

impl BaseTransformImpl for OnnxInfer {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        // Again, because `model` may have changed in READY.
        let model = self.open()?;
        *lock(&self.counters) = Counters::default();
        self.latency_ns.store(0, Ordering::Relaxed);
        *lock(&self.stream) = Some(Stream::new(model));
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        // Taken out first: ending the thread of a live stream may take as long as one picture.
        let stream = lock(&self.stream).take();
        drop(stream);
        gst::info!(CAT, imp = self, "Stopped");
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "No raw video: {incaps}"))?;
        gst::debug!(CAT, imp = self, "Pictures are now {incaps}");
        if let Some(stream) = lock(&self.stream).as_mut() {
            stream.set_info(info);
        }
        Ok(())
    }

    // The pictures go through as they are, so that downstream alone says how their memory may look.
    fn propose_allocation(
        &self,
        _decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.parent_propose_allocation(None, query)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::FlushStop
            && let Some(stream) = lock(&self.stream).as_mut()
        {
            stream.reset();
        }
        self.parent_sink_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        let answered = BaseTransformImplExt::parent_query(self, direction, query);
        if answered
            && direction == gst::PadDirection::Src
            && let gst::QueryViewMut::Latency(query) = query.view_mut()
        {
            let (live, min, max) = query.result();
            let ours = gst::ClockTime::from_nseconds(self.latency_ns.load(Ordering::Relaxed));
            query.set(live, min + ours, max.map(|max| max + ours));
        }
        answered
    }

    fn transform_ip(
        &self,
        buffer: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        // Taken out, so that the lock is free while the model runs; only the streaming thread comes here.
        let Some(mut stream) = lock(&self.stream).take() else {
            return Err(gst::FlowError::Flushing);
        };
        let looked = self.look(&mut stream, buffer);
        *lock(&self.stream) = Some(stream);
        looked.map(|()| gst::FlowSuccess::Ok)
    }
}
