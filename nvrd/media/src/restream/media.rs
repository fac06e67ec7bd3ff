//! What a viewer of a camera is fed by: a media of the RTSP server, made on demand from the camera's tap.

use std::sync::{Arc, Mutex};

use gst::glib;
use gst::prelude::*;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use nvr_base::{Error, Result};
use nvr_contract::source::VideoCodec;

use crate::tap::{Tap, Viewer};

/// Bytes that wait for a slow viewer; then the oldest go.
const MAX_QUEUED_BYTES: u64 = 8 << 20;
/// The pictures since the last key frame go out this many times faster than they came, so that a viewer is
/// at the present soon, and no burst overruns a UDP socket.
const CATCH_UP: u64 = 8;
/// Pictures are at least so far apart on the wire.
const MIN_STEP: u64 = 1_000_000;
/// A jump of the camera's time by more than this is a new time line.
const JUMP: u64 = 5_000_000_000;

/// Stamps pictures with the time of the viewer's pipeline; all in nanoseconds.
#[derive(Debug, Default)]
struct Restamp {
    /// What to add to the camera's time.
    offset: Option<i128>,
    /// The last decoding time stamp: the camera's and ours.
    last: Option<(u64, u64)>,
}

impl Restamp {
    /// Decoding time for the viewer, given the camera's and, where it is known, the viewer's present.
    fn dts(&mut self, dts: u64, present: Option<u64>) -> u64 {
        if self.last.is_some_and(|(last, _)| dts.abs_diff(last) > JUMP) {
            self.offset = None;
        }
        let Some((last_in, last_out)) = self.last else {
            let first = present.unwrap_or(0);
            self.last = Some((dts, first));
            return first;
        };
        let step = (dts.saturating_sub(last_in) / CATCH_UP).max(MIN_STEP);
        let wanted = self
            .offset
            .map(|offset| i128::from(dts) + offset)
            .and_then(|t| u64::try_from(t).ok());
        let out = wanted.unwrap_or(0).max(last_out + step);
        self.last = Some((dts, out));
        out
    }

    /// The newest picture of the camera is the viewer's present.
    fn anchor(&mut self, dts: u64, present: u64) {
        if self.offset.is_none() {
            self.offset = Some(i128::from(present) - i128::from(dts));
        }
    }
}

/// A viewer that is a media of the RTSP server.
struct Media {
    appsrc: glib::WeakRef<gst_app::AppSrc>,
    restamp: Restamp,
    /// Whether the pictures that came before the viewer have been sent.
    caught_up: bool,
}

impl Viewer for Media {
    fn push(&mut self, caps: &gst::Caps, buffer: &gst::Buffer) -> bool {
        let Some(appsrc) = self.appsrc.upgrade() else {
            return false;
        };
        if appsrc.caps().as_ref() != Some(caps) {
            appsrc.set_caps(Some(caps));
        }
        let Some(pts) = buffer.pts().map(gst::ClockTime::nseconds) else {
            return true;
        };
        let dts = buffer.dts().map_or(pts, gst::ClockTime::nseconds);
        let present = appsrc.current_running_time().map(gst::ClockTime::nseconds);
        if let (true, Some(present)) = (self.caught_up, present) {
            self.restamp.anchor(dts, present);
        }
        let out = self.restamp.dts(dts, present);
        let mut copy = buffer.copy();
        {
            let copy = copy.get_mut().expect("a fresh copy has one owner");
            copy.set_dts(gst::ClockTime::from_nseconds(out));
            copy.set_pts(gst::ClockTime::from_nseconds(out + pts.saturating_sub(dts)));
        }
        appsrc.push_buffer(copy).is_ok()
    }

    fn caught_up(&mut self) {
        self.caught_up = true;
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        if let Some(appsrc) = self.appsrc.upgrade() {
            // The camera has gone; the viewer sees the end of the stream.
            if let Err(error) = appsrc.end_of_stream() {
                tracing::debug!(%error, "a viewer had gone already");
            }
        }
    }
}

mod factory {
    //! The `GObject` that makes a media per camera on demand.

    use super::*;

    #[derive(Default)]
    pub struct CameraFactory {
        pub(super) tap: Mutex<Option<Arc<Tap>>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for CameraFactory {
        const NAME: &'static str = "NvrdCameraFactory";
        type Type = super::CameraFactory;
        type ParentType = gst_rtsp_server::RTSPMediaFactory;
    }

    impl ObjectImpl for CameraFactory {}

    impl RTSPMediaFactoryImpl for CameraFactory {
        fn construct(
            &self,
            url: &gst_rtsp_server::gst_rtsp::RTSPUrl,
        ) -> Option<gst_rtsp_server::RTSPMedia> {
            // Without a picture there is no format to describe; the server takes a missing element for a bug.
            let tap = self.tap.lock().ok()?.clone()?;
            tap.is_flowing().then_some(())?;
            self.parent_construct(url)
        }

        fn create_element(
            &self,
            _url: &gst_rtsp_server::gst_rtsp::RTSPUrl,
        ) -> Option<gst::Element> {
            let tap = self.tap.lock().ok()?.clone()?;
            match super::media_bin(&tap) {
                Ok(bin) => Some(bin.upcast()),
                Err(error) => {
                    tracing::warn!(%error, "a viewer came and there is nothing to show");
                    None
                }
            }
        }
    }
}

glib::wrapper! {
    /// Makes the media of one camera.
    pub struct CameraFactory(ObjectSubclass<factory::CameraFactory>) @extends gst_rtsp_server::RTSPMediaFactory;
}

impl CameraFactory {
    /// The factory of the camera that a tap belongs to.
    pub(super) fn of(tap: Arc<Tap>) -> Self {
        let factory: Self = glib::Object::new();
        *factory
            .imp()
            .tap
            .lock()
            .expect("no holder of this lock panics") = Some(tap);
        factory.set_shared(true);
        factory.set_latency(0);
        factory
    }
}

fn media_bin(tap: &Arc<Tap>) -> Result<gst::Bin> {
    let caps = tap
        .caps()
        .ok_or_else(|| Error::unavailable("the camera has sent no picture yet"))?;
    let payloader = match VideoCodec::from_caps(&caps) {
        Some(VideoCodec::H264) => "rtph264pay",
        Some(VideoCodec::H265) => "rtph265pay",
        None => {
            return Err(Error::precondition(format!(
                "no RTP payload is known for {caps}"
            )));
        }
    };
    let missing = |error: glib::BoolError| Error::precondition(error.to_string());
    let appsrc = gst_app::AppSrc::builder()
        .caps(&caps)
        .format(gst::Format::Time)
        .is_live(true)
        .block(false)
        .max_bytes(MAX_QUEUED_BYTES)
        .leaky_type(gst_app::AppLeakyType::Downstream)
        .build();
    let pay = gst::ElementFactory::make(payloader)
        .name("pay0")
        .property("pt", 96u32)
        .property("config-interval", -1i32)
        .build()
        .map_err(missing)?;
    if pay.has_property("aggregate-mode") {
        pay.set_property_from_str("aggregate-mode", "zero-latency");
    }
    let bin = gst::Bin::new();
    bin.add_many([appsrc.upcast_ref(), &pay]).map_err(missing)?;
    appsrc.link(&pay).map_err(missing)?;
    let tap = Arc::clone(tap);
    let weak = appsrc.downgrade();
    // Subscribing as soon as data is asked for: the caps of the payloader, and so the SDP, need a picture.
    let once = Mutex::new(Some((tap, weak)));
    appsrc.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .need_data(move |_, _| {
                let taken = once.lock().ok().and_then(|mut once| once.take());
                if let Some((tap, appsrc)) = taken {
                    tap.subscribe(Box::new(Media {
                        appsrc,
                        restamp: Restamp::default(),
                        caught_up: false,
                    }));
                }
            })
            .build(),
    );
    Ok(bin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn catches_up_and_then_follows_the_camera() {
        let mut restamp = Restamp::default();
        // 1 s of pictures at 25 a second, all at once, before the viewer's clock runs.
        let burst: Vec<u64> = (0..25)
            .map(|i| restamp.dts(1000 * MS + i * 40 * MS, None))
            .collect();
        assert_eq!(burst[0], 0);
        assert_eq!(burst[24], 24 * 5 * MS);
        restamp.anchor(2000 * MS, 130 * MS);
        assert_eq!(restamp.dts(2000 * MS, Some(130 * MS)), 130 * MS);
        assert_eq!(restamp.dts(2040 * MS, Some(171 * MS)), 170 * MS);
    }

    #[test]
    fn never_goes_back() {
        let mut restamp = Restamp::default();
        let mut last = 0;
        for (dts, present) in [
            (9000, 0),
            (9040, 10),
            (9040, 20),
            (100, 30),
            (140, 70),
            (9_000_000, 80),
        ] {
            restamp.anchor(dts * MS, present * MS);
            let out = restamp.dts(dts * MS, Some(present * MS));
            assert!(out > last || last == 0, "{dts}: {out} after {last}");
            last = out;
        }
    }
}
