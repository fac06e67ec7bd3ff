//! Cameras whose elements hang or refuse: the thread of the camera never waits for them.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nvr_base::{Clock, RealClock, Slug};
use nvr_media::tap::Taps;
use nvr_media::{CameraSpec, CameraState, CameraStatus, Description, Supervisor};
use stuck::Trouble;

/// An element that passes pictures on, and whose state changes do what the test says.
mod stuck {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};

    use gst::glib;
    use gst::subclass::prelude::*;
    use gst_base::subclass::prelude::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Trouble {
        None,
        HangsUp,
        HangsDown,
        Refuses,
    }

    static NOW: Mutex<Trouble> = Mutex::new(Trouble::None);
    static CHANGED: Condvar = Condvar::new();
    /// State changes that hang at the moment.
    pub static HANGING: AtomicUsize = AtomicUsize::new(0);

    pub fn set(trouble: Trouble) {
        *NOW.lock().unwrap() = trouble;
        CHANGED.notify_all();
    }

    #[derive(Default)]
    pub struct Stuck;

    #[glib::object_subclass]
    impl ObjectSubclass for Stuck {
        const NAME: &'static str = "NvrTestStuck";
        type Type = super::StuckElement;
        type ParentType = gst_base::BaseTransform;
    }

    impl ObjectImpl for Stuck {}
    impl GstObjectImpl for Stuck {}

    impl ElementImpl for Stuck {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: std::sync::LazyLock<gst::subclass::ElementMetadata> =
                std::sync::LazyLock::new(|| {
                    gst::subclass::ElementMetadata::new("Stuck", "Generic", "Hangs", "tests")
                });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: std::sync::LazyLock<Vec<gst::PadTemplate>> =
                std::sync::LazyLock::new(|| {
                    [
                        ("src", gst::PadDirection::Src),
                        ("sink", gst::PadDirection::Sink),
                    ]
                    .map(|(name, direction)| {
                        let caps = gst::Caps::new_any();
                        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                            .unwrap()
                    })
                    .to_vec()
                });
            &TEMPLATES
        }

        fn change_state(
            &self,
            transition: gst::StateChange,
        ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            let hangs = match transition {
                gst::StateChange::ReadyToPaused => Trouble::HangsUp,
                gst::StateChange::PausedToReady => Trouble::HangsDown,
                _ => Trouble::None,
            };
            let mut now = NOW.lock().unwrap();
            HANGING.fetch_add(1, Ordering::SeqCst);
            while hangs != Trouble::None && *now == hangs {
                now = CHANGED.wait(now).unwrap();
            }
            HANGING.fetch_sub(1, Ordering::SeqCst);
            if transition == gst::StateChange::NullToReady && *now == Trouble::Refuses {
                gst::element_imp_error!(self, gst::ResourceError::NotFound, ("no model"));
                return Err(gst::StateChangeError);
            }
            drop(now);
            self.parent_change_state(transition)
        }
    }

    impl BaseTransformImpl for Stuck {
        const MODE: gst_base::subclass::BaseTransformMode =
            gst_base::subclass::BaseTransformMode::AlwaysInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = true;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn transform_ip(
            &self,
            _buffer: &mut gst::BufferRef,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            Ok(gst::FlowSuccess::Ok)
        }
    }
}

gst::glib::wrapper! {
    pub struct StuckElement(ObjectSubclass<stuck::Stuck>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// The system's clock, and what was added to its monotonic time.
#[derive(Debug)]
struct Shifted {
    real: RealClock,
    by: Mutex<Duration>,
}

impl Clock for Shifted {
    fn unix_us(&self) -> i64 {
        self.real.unix_us()
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic() + *self.by.lock().unwrap()
    }
}

struct World {
    supervisor: Supervisor,
    clock: Arc<Shifted>,
    spec: CameraSpec,
    name: Slug,
    _folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

const ANALYSING: &str = "description = \"\"\nfallback = \"record\"\nlaunch = \"\"\"camerasrc name=source source.video ! tee name=encoded \
     encoded. ! queue name=record-queue ! segmentrecorder name=recorder \
     source.analysis ! queue leaky=downstream ! nvrteststuck name=stuck ! fakesink async=false sync=false\"\"\"";
const RECORD: &str = "description = \"\"\nlaunch = \"\"\"camerasrc name=source source.video ! tee name=encoded \
     encoded. ! queue name=record-queue ! segmentrecorder name=recorder\"\"\"";

impl World {
    fn new() -> Self {
        // The trouble is the process's: one test at a time.
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        stuck::set(Trouble::None);
        gst::init().unwrap();
        gstcamerasrc::register_static().unwrap();
        gstsegmentrecorder::register_static().unwrap();
        let kind = <StuckElement as gst::prelude::StaticType>::static_type();
        gst::Element::register(None, "nvrteststuck", gst::Rank::NONE, kind).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (send, notices) = sync_channel(100);
        std::thread::spawn(move || while notices.recv().is_ok() {});
        let clock = Arc::new(Shifted {
            real: RealClock::new(),
            by: Mutex::default(),
        });
        let name: Slug = "cam".parse().unwrap();
        let spec = CameraSpec {
            name: name.clone(),
            uri: "test://ball?width=64&height=64".to_owned(),
            sub_uri: None,
            credentials: None,
            storage: None,
            pipelines: vec![
                Description::parse("analysing", ANALYSING).unwrap(),
                Description::parse("record", RECORD).unwrap(),
            ],
            params: BTreeMap::new(),
            recordings: folder.path().join("recordings"),
            thumbnails: folder.path().join("thumbnails"),
            enabled: true,
        };
        Self {
            supervisor: Supervisor::new(clock.clone(), send, Taps::default()),
            clock,
            spec,
            name,
            _folder: folder,
            _alone: alone,
        }
    }

    /// Hands the camera over, which also wakes its thread.
    fn apply(&self, enabled: bool) {
        let spec = CameraSpec {
            enabled,
            ..self.spec.clone()
        };
        self.supervisor.apply(vec![spec]).unwrap();
    }

    fn shift(&self, by: Duration) {
        *self.clock.by.lock().unwrap() += by;
        self.apply(true);
    }

    fn status(&self) -> CameraStatus {
        self.supervisor.status(&self.name).unwrap()
    }

    #[track_caller]
    fn wait(&self, what: &str, right: impl Fn(&CameraStatus) -> bool) -> CameraStatus {
        let start = Instant::now();
        loop {
            let status = self.status();
            if right(&status) {
                return status;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{what}: {status:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn wait_state(&self, state: CameraState) -> CameraStatus {
        self.wait(state.as_str(), |status| status.state == state)
    }
}

#[test]
fn a_start_that_hangs_is_left_behind_and_tried_anew() {
    let world = World::new();
    stuck::set(Trouble::HangsUp);
    world.apply(true);
    world.wait_state(CameraState::Starting);
    assert_eq!(world.status().abandoned, 0);
    world.shift(Duration::from_secs(11));
    let status = world.wait_state(CameraState::Backoff);
    assert_eq!(status.abandoned, 1, "{status:?}");
    let detail = status.detail.unwrap();
    assert!(detail.contains("did not start within 10 s"), "{detail}");
    stuck::set(Trouble::None);
    let status = world.wait_state(CameraState::Running);
    assert_eq!(
        (status.abandoned, status.pipeline.as_str()),
        (1, "analysing")
    );
    world.supervisor.stop();
}

#[test]
fn commands_are_honoured_while_a_start_hangs() {
    let world = World::new();
    stuck::set(Trouble::HangsUp);
    world.apply(true);
    world.wait_state(CameraState::Starting);
    let start = Instant::now();
    world.apply(false);
    let status = world.wait_state(CameraState::Stopped);
    assert!(start.elapsed() < Duration::from_secs(4), "{status:?}");
    assert_eq!(status.abandoned, 1, "{status:?}");
    world.apply(true);
    world.wait_state(CameraState::Starting);
    let start = Instant::now();
    world.supervisor.stop();
    assert!(start.elapsed() < Duration::from_secs(4));
    stuck::set(Trouble::None);
}

#[test]
fn many_that_hang_are_enough() {
    let world = World::new();
    stuck::set(Trouble::HangsUp);
    world.apply(true);
    for abandoned in 1..=4 {
        let hanging = || stuck::HANGING.load(std::sync::atomic::Ordering::SeqCst);
        world.wait("one more hangs", |_| hanging() == abandoned as usize);
        world.shift(Duration::from_secs(11));
        world.wait("one more is left behind", |s| s.abandoned == abandoned);
        world.shift(Duration::from_secs(31));
    }
    let hangs = |status: &CameraStatus| {
        let detail = status.detail.as_deref().unwrap_or_default();
        detail.contains("4 pipelines hang")
    };
    let status = world.wait("no fifth is built", hangs);
    assert_eq!((status.state, status.abandoned), (CameraState::Backoff, 4));
    stuck::set(Trouble::None);
    world.wait("they end", |status| {
        // The next attempt after that runs.
        world.shift(Duration::from_secs(31));
        status.state == CameraState::Running
    });
    world.supervisor.stop();
}

#[test]
fn a_stop_that_hangs_is_left_behind_and_counted() {
    let world = World::new();
    world.apply(true);
    world.wait_state(CameraState::Running);
    stuck::set(Trouble::HangsDown);
    world.apply(false);
    let status = world.wait_state(CameraState::Stopped);
    assert_eq!(status.abandoned, 1, "{status:?}");
    stuck::set(Trouble::None);
    world.apply(true);
    world.wait_state(CameraState::Running);
    world.supervisor.stop();
}

#[test]
fn a_camera_comes_back_from_its_fallback_when_what_it_lacked_is_there() {
    let world = World::new();
    stuck::set(Trouble::Refuses);
    world.apply(true);
    let status = world.wait("it records on the fallback", |status| {
        status.recording && status.pipeline == "record"
    });
    assert_eq!(status.state, CameraState::Degraded, "{status:?}");
    assert!(
        status.detail.as_ref().unwrap().contains("no model"),
        "{status:?}"
    );
    // Still not there: nothing of what runs changes.
    let since = status.since_unix_us;
    world.shift(Duration::from_secs(61));
    std::thread::sleep(Duration::from_millis(300));
    let status = world.status();
    assert_eq!(
        (status.since_unix_us, status.recording, status.state),
        (since, true, CameraState::Degraded)
    );
    stuck::set(Trouble::None);
    world.shift(Duration::from_secs(121));
    let status = world.wait_state(CameraState::Running);
    assert_eq!(
        (status.pipeline.as_str(), status.restarts),
        ("analysing", 0)
    );
    assert_eq!(status.detail, None);
    world.supervisor.stop();
}
