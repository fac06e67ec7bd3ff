//! `GObject` glue of `facematch`: properties, states, metas and messages around [`crate::recogniser`].

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use nvr_contract::Message as _;
use nvr_contract::face::{FaceSeen, Identity};
use nvr_contract::stats;

use super::frame;
use super::settings::Settings;
use crate::embedder::{Embedder, EmbedderError, OpenOptions};
use crate::enrol::{Enrolment, Refusal};
use crate::file;
use crate::gallery;
use crate::known::{Known, Source};
use crate::picture::Matrix;
use crate::recogniser::{News, Outcome, Recogniser};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "facematch",
        gst::DebugColorFlags::empty(),
        Some("Whose the faces are"),
    )
});

const STATS: &str = "stats";

/// What is there between start and stop.
#[derive(Debug)]
struct Stream {
    embedder: Arc<Embedder>,
    /// The property that `recogniser` was made for.
    gallery: String,
    recogniser: Recogniser,
    caps: Option<(gst_video::VideoInfo, Matrix)>,
    enrolment: Enrolment,
    now_ns: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counters {
    frames_in: u64,
    embedded: u64,
    refused: u64,
    people: u64,
    strangers: u64,
}

/// No two of these locks are ever held together, and none while the model runs or a message is posted.
#[derive(Default, glib::Properties)]
#[properties(wrapper_type = super::FaceMatch)]
pub struct FaceMatch {
    #[property(name = "model", nick = "Model", blurb = "Path of the ONNX file that turns a face into a vector", get, set, type = Option<String>, member = model, mutable_ready)]
    #[property(name = "ort-library", nick = "ONNX Runtime library", blurb = "Path of libonnxruntime.so; empty for $ORT_DYLIB_PATH and the usual places", get, set, type = Option<String>, member = ort_library, mutable_ready)]
    #[property(name = "threads", nick = "Threads", blurb = "Threads that one run of the model may use", get, set, type = u32, member = threads, minimum = 1, maximum = 256, default = Settings::default().threads, mutable_ready)]
    #[property(name = "gallery", nick = "Gallery", blurb = "Path of the TOML with the people, read anew when it changes; empty for nobody; shared:NAME for one that the program fills", get, set, type = Option<String>, member = gallery, mutable_playing)]
    #[property(name = "enroll", nick = "Enrol", blurb = "Id of a person to whom the one face of each picture is added, in the gallery's file; empty for nobody", get, set, type = Option<String>, member = enroll, mutable_playing)]
    #[property(name = "threshold", nick = "Threshold", blurb = "Least cosine similarity (-1..1) to a face of a person", get, set, type = f64, member = threshold, minimum = -1.0, maximum = 1.0, default = Settings::default().threshold, mutable_playing)]
    #[property(name = "margin", nick = "Margin", blurb = "By how much cosine similarity (0..1) the person must be nearer than the next one", get, set, type = f64, member = margin, minimum = 0.0, maximum = 1.0, default = Settings::default().margin, mutable_playing)]
    #[property(name = "min-size", nick = "Minimum size", blurb = "Least distance between the eyes, pixels", get, set, type = f64, member = min_size, minimum = 0.0, maximum = 10000.0, default = Settings::default().min_size, mutable_playing)]
    #[property(name = "min-sharpness", nick = "Minimum sharpness", blurb = "Least local contrast of a face (0 flat, about 0.3 sharp)", get, set, type = f64, member = min_sharpness, minimum = 0.0, maximum = 10.0, default = Settings::default().min_sharpness, mutable_playing)]
    #[property(name = "max-angle", nick = "Maximum angle", blurb = "Farthest that a face may be turned or nodded, degrees, as its landmarks tell", get, set, type = f64, member = max_angle, minimum = 0.0, maximum = 90.0, default = Settings::default().max_angle, mutable_playing)]
    #[property(name = "strangers", nick = "Strangers", blurb = "Whether faces of nobody in the gallery get an id of their own, the same when they come again", get, set, type = bool, member = strangers, default = Settings::default().strangers, mutable_playing)]
    #[property(name = "max-faces", nick = "Maximum faces", blurb = "The most faces that the model looks at on one picture, the best first", get, set, type = u32, member = max_faces, minimum = 1, maximum = 64, default = Settings::default().max_faces, mutable_playing)]
    settings: Mutex<Settings>,
    counters: Mutex<Counters>,
    /// The open model and what it was opened with, from READY on.
    opened: Mutex<Option<(OpenOptions, Arc<Embedder>)>>,
    /// `None` outside start..stop and while a picture is being looked at.
    stream: Mutex<Option<Stream>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The message to post; its text says what to change.
fn failure(error: &EmbedderError) -> gst::ErrorMessage {
    use nvr_onnx::session::SessionError;
    match error {
        EmbedderError::Session(SessionError::Library(_)) => {
            gst::error_msg!(gst::LibraryError::Init, ("{error}"))
        }
        EmbedderError::Session(SessionError::Missing(_)) => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{error}"))
        }
        EmbedderError::Session(SessionError::Unreadable { .. }) => {
            gst::error_msg!(gst::ResourceError::OpenRead, ("{error}"))
        }
        EmbedderError::Facts { .. } => gst::error_msg!(gst::ResourceError::Settings, ("{error}")),
        _ => gst::error_msg!(gst::StreamError::WrongType, ("{error}")),
    }
}

impl FaceMatch {
    fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// The model of the settings, opened unless it is already.
    fn open(&self) -> Result<Arc<Embedder>, gst::ErrorMessage> {
        let Some(options) = self.settings().open_options() else {
            return Err(gst::error_msg!(
                gst::ResourceError::NotFound,
                ("No model: set the property `model` to an ONNX file")
            ));
        };
        if let Some((opened, embedder)) = lock(&self.opened).as_ref()
            && *opened == options
        {
            return Ok(Arc::clone(embedder));
        }
        let embedder = Arc::new(Embedder::open(&options).map_err(|e| failure(&e))?);
        gst::info!(
            CAT,
            imp = self,
            "Opened {} ({}): vectors of {} numbers",
            options.model.display(),
            embedder.hash(),
            embedder.dims()
        );
        *lock(&self.opened) = Some((options, Arc::clone(&embedder)));
        Ok(embedder)
    }

    /// The people of the gallery that is set; a file is read.
    fn recogniser(
        &self,
        settings: &Settings,
        embedder: &Embedder,
    ) -> Result<Recogniser, file::GalleryError> {
        let source = Source::of(settings.gallery.as_deref().unwrap_or_default());
        let known = Known::open(source, embedder.hash(), embedder.dims());
        if let Some(loaded) = known.load(settings.enroll().is_none())? {
            self.tell_loaded(loaded);
        }
        Ok(Recogniser::new(known))
    }

    fn tell_loaded(&self, loaded: crate::known::Loaded) {
        gst::info!(CAT, imp = self, "The gallery: {loaded:?}");
        if loaded.foreign > 0 {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                (
                    "{} faces of the gallery were made by another model than this one and do not count: enrol them anew",
                    loaded.foreign
                )
            );
        }
    }

    /// Follows the property and the file.
    fn follow_gallery(&self, stream: &mut Stream, settings: &Settings) {
        let wanted = settings.gallery.clone().unwrap_or_default();
        if wanted != stream.gallery {
            stream.gallery = wanted;
            match self.recogniser(settings, &stream.embedder) {
                Ok(recogniser) => stream.recogniser = recogniser,
                Err(error) => {
                    gst::element_imp_warning!(
                        self,
                        gst::ResourceError::Read,
                        ("{error}; the gallery stays as it was")
                    );
                }
            }
            return;
        }
        match stream.recogniser.known().refresh() {
            None => {}
            Some(Ok(loaded)) => {
                self.tell_loaded(loaded);
                stream.recogniser.gallery_changed();
            }
            Some(Err(error)) => {
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Read,
                    ("{error}; the gallery stays as it was")
                );
            }
        }
    }

    fn look(&self, stream: &mut Stream, buffer: &mut gst::BufferRef) -> Result<(), gst::FlowError> {
        lock(&self.counters).frames_in += 1;
        // Without a time stamp, as with a still picture, it is the time of the picture before.
        stream.now_ns = buffer.pts().map_or(stream.now_ns, gst::ClockTime::nseconds);
        let Some((info, matrix)) = stream.caps.clone() else {
            return Err(gst::FlowError::NotNegotiated);
        };
        let settings = self.settings();
        let faces = frame::faces(buffer, info.width(), info.height());
        if faces.is_empty() && settings.enroll().is_none() {
            return Ok(());
        }
        self.follow_gallery(stream, &settings);
        let (ids, found): (Vec<i32>, Vec<_>) = faces.into_iter().unzip();
        let readable = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok();
        let picture = readable.as_ref().and_then(|f| frame::picture_of(f, matrix));
        let Some(picture) = picture else {
            gst::warning!(CAT, imp = self, "The buffer is too short for its caps");
            return Ok(());
        };
        if let Some(person) = settings.enroll() {
            let known = stream.recogniser.known();
            let gate = settings.config().gate;
            let tried =
                crate::enrol::one(known, &*stream.embedder, &gate, person, &picture, &found);
            self.tell_enrolled(&mut stream.enrolment, person, tried);
            return Ok(());
        }
        let outcome = stream
            .recogniser
            .look(
                &settings.config(),
                &*stream.embedder,
                &picture,
                &found,
                stream.now_ns,
            )
            .map_err(|e| {
                gst::element_imp_error!(
                    self,
                    gst::LibraryError::Failed,
                    ("Faces cannot be compared: {e}; check the model")
                );
                gst::FlowError::Error
            })?;
        drop(readable);
        self.conclude(stream, buffer, &ids, outcome);
        Ok(())
    }

    fn conclude(
        &self,
        stream: &Stream,
        buffer: &mut gst::BufferRef,
        ids: &[i32],
        outcome: Outcome,
    ) {
        let known = stream.recogniser.known();
        let counted = (known.people().people(), known.strangers().len());
        {
            let mut counters = lock(&self.counters);
            counters.embedded += outcome.embedded;
            counters.refused += outcome.refused;
            (counters.people, counters.strangers) = (counted.0 as u64, counted.1 as u64);
        }
        let named = ids.iter().zip(outcome.whose).filter_map(|(id, whose)| {
            let whose = whose?;
            Some((
                *id,
                Identity {
                    person: whose.id,
                    similarity: f64::from(whose.similarity),
                },
            ))
        });
        frame::name(buffer, named.collect());
        for news in outcome.news {
            self.tell_met(news, stream);
        }
    }

    fn tell_met(&self, news: News, stream: &Stream) {
        let seen = FaceSeen {
            person: news.whose.id,
            stranger: news.whose.stranger,
            new: news.new,
            similarity: f64::from(news.whose.similarity),
            pts_ns: stream.now_ns,
            track_id: news.track,
            model: stream.embedder.hash().to_owned(),
            embedding: news.sample.map(|sample| file::encode(&sample)),
        };
        let message = gst::message::Element::builder(seen.to_structure())
            .src(&*self.obj())
            .build();
        if self.obj().post_message(message).is_err() {
            gst::debug!(CAT, imp = self, "No bus takes the message");
        }
    }

    fn tell_enrolled(&self, enrolment: &mut Enrolment, person: &str, tried: Result<(), Refusal>) {
        if tried.is_ok() {
            gst::info!(CAT, imp = self, "Enrolled a face of {person}");
        }
        // The same reason again, as with every picture of a stream, is no news.
        if let Some(why) = enrolment.note(tried) {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Failed,
                ("This picture of {person:?} is not enrolled: {why}")
            );
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FaceMatch {
    const NAME: &'static str = "GstNvrdFaceMatch";
    type Type = super::FaceMatch;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for FaceMatch {
    /// The derived ones, and `stats`: a structure has no derivable property.
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb("Pictures in, faces embedded and refused, people in the gallery, strangers remembered")
                .read_only()
                .build();
            let derived = FaceMatch::derived_properties().iter().cloned();
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
                let counters = *lock(&self.counters);
                gst::Structure::builder(stats::NAME)
                    .field(stats::FRAMES_IN, counters.frames_in)
                    .field(stats::FACES_EMBEDDED, counters.embedded)
                    .field(stats::FACES_REFUSED, counters.refused)
                    .field(stats::PEOPLE, counters.people)
                    .field(stats::STRANGERS, counters.strangers)
                    .build()
                    .to_value()
            }
            _ => self.derived_property(id, pspec),
        }
    }
}

impl GstObjectImpl for FaceMatch {}

impl ElementImpl for FaceMatch {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Face Matcher",
                "Filter/Analyzer/Video",
                "Says whose the faces on the pictures are, by an ONNX model and a gallery",
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

impl BaseTransformImpl for FaceMatch {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        // Again, because `model` may have changed in READY.
        let embedder = self.open()?;
        let settings = self.settings();
        if let Some(id) = settings.enroll()
            && !gallery::is_id(id)
        {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                ("enroll: {id:?} is no id: use 1 to 64 letters, digits, `_` and `-`")
            ));
        }
        let recogniser = self.recogniser(&settings, &embedder).map_err(|error| {
            gst::error_msg!(
                gst::ResourceError::OpenRead,
                ("{error}: set the property `gallery` to a file, or `enroll` to make one")
            )
        })?;
        *lock(&self.counters) = Counters::default();
        *lock(&self.stream) = Some(Stream {
            embedder,
            gallery: settings.gallery.unwrap_or_default(),
            recogniser,
            caps: None,
            enrolment: Enrolment::default(),
            now_ns: 0,
        });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let stream = lock(&self.stream).take();
        drop(stream);
        gst::info!(CAT, imp = self, "Stopped");
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "No raw video: {incaps}"))?;
        if let Some(stream) = lock(&self.stream).as_mut() {
            let matrix = frame::matrix_of(&info);
            stream.caps = Some((info, matrix));
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
        match event.view() {
            gst::EventView::FlushStop(_) => {
                if let Some(stream) = lock(&self.stream).as_mut() {
                    stream.recogniser.reset();
                }
            }
            gst::EventView::Eos(_) if self.settings().enroll().is_some() => {
                let why = lock(&self.stream)
                    .as_mut()
                    .and_then(|stream| stream.enrolment.nobody());
                if let Some(why) = why {
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::Failed,
                        ("Nobody was enrolled: {why}")
                    );
                }
            }
            _ => {}
        }
        self.parent_sink_event(event)
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
