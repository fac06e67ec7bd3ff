//! What a camera sends, found by connecting to it for a few seconds, without recording anything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use nvr_base::{Clock, Error, Result};
use nvr_contract::Message;
use nvr_contract::source::{LossReason, SourceChange, SourceState, StreamRole, VideoCodec};

use crate::assemble;
use crate::snapshot;
use crate::spec::{CameraSpec, Credentials, ParamValue};
use crate::tap::Tap;

/// What was found.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The video codec.
    pub codec: VideoCodec,
    /// Width in pixels.
    pub width: i32,
    /// Height in pixels.
    pub height: i32,
    /// Pictures per second as the stream declares it.
    pub declared_fps: Option<f64>,
    /// Pictures per second of stream time, as measured.
    pub fps: Option<f64>,
    /// Seconds between key frames, as measured; absent when only one came.
    pub keyframe_interval_s: Option<f64>,
    /// What to change at the camera so that an idle one costs little, when there is something.
    pub advice: Option<String>,
    /// Bits per second of stream time, as measured.
    pub bitrate: Option<f64>,
    /// Whether there is an audio stream.
    pub audio: bool,
    /// A JPEG of the last picture, when it could be decoded.
    pub thumbnail: Option<Vec<u8>>,
}

/// The stream to look at.
#[derive(Debug)]
pub struct Stream<'a> {
    uri: &'a str,
    credentials: Option<&'a Credentials>,
    knobs: Vec<(String, ParamValue)>,
}

impl<'a> Stream<'a> {
    /// A stream by its URI.
    pub fn new(uri: &'a str, credentials: Option<&'a Credentials>) -> Self {
        Self {
            uri,
            credentials,
            knobs: Vec::new(),
        }
    }

    /// A stream of a camera, `None` when it has none of that role.
    pub fn of(spec: &'a CameraSpec, role: StreamRole) -> Option<Self> {
        let uri = match role {
            StreamRole::Main => &spec.uri,
            StreamRole::Sub => spec.sub_uri.as_ref()?,
        };
        Some(Self {
            uri,
            credentials: spec.credentials.as_ref(),
            knobs: assemble::source_knobs(spec),
        })
    }
}

/// What passed the pad.
#[derive(Debug, Default)]
struct Count {
    pictures: u64,
    bytes: u64,
    first: Option<gst::ClockTime>,
    last: Option<gst::ClockTime>,
    keys: Vec<gst::ClockTime>,
}

/// Connects to a camera and measures for `measure`; gives up when no picture came within `patience`.
///
/// Blocks: call it where blocking is allowed.
///
/// # Errors
/// One sentence on why no picture came.
pub fn probe(
    clock: &dyn Clock,
    stream: &Stream<'_>,
    patience: Duration,
    measure: Duration,
) -> Result<Probe> {
    let source = gst::ElementFactory::make("camerasrc")
        .build()
        .map_err(|_| Error::internal("element camerasrc is not registered"))?;
    assemble::set(&source, "uri", &ParamValue::Text(stream.uri.to_owned()))?;
    for (property, value) in &stream.knobs {
        assemble::set(&source, property, value)?;
    }
    if let Some(credentials) = stream.credentials {
        assemble::set(
            &source,
            "user-id",
            &ParamValue::Text(credentials.user.clone()),
        )?;
        assemble::set(
            &source,
            "user-pw",
            &ParamValue::Text(credentials.password.expose().to_owned()),
        )?;
    }
    let pipeline = Running::start(source)?;
    let change = pipeline.first_change(clock, patience)?;
    pipeline.measure(clock, measure);
    let count = pipeline
        .count
        .lock()
        .expect("no holder of this lock panics");
    let span = count
        .first
        .zip(count.last)
        .map(|(first, last)| last.saturating_sub(first).nseconds() as f64 / 1e9);
    let per_second = |amount: f64| span.filter(|span| *span > 0.0).map(|span| amount / span);
    let keys = count.keys.len();
    let interval = count
        .keys
        .first()
        .zip(count.keys.last())
        .filter(|_| keys > 1);
    let keyframe_interval_s = interval.map(|(first, last)| {
        last.saturating_sub(*first).nseconds() as f64 / 1e9 / (keys - 1) as f64
    });
    Ok(Probe {
        advice: advice(keyframe_interval_s, span),
        codec: change
            .codec
            .ok_or_else(|| Error::precondition("the camera sends no video that is known"))?,
        width: change.width.unwrap_or_default(),
        height: change.height.unwrap_or_default(),
        declared_fps: change.fps,
        fps: per_second(count.pictures.saturating_sub(1) as f64),
        keyframe_interval_s,
        bitrate: per_second(count.bytes as f64 * 8.0),
        audio: pipeline.source.static_pad("audio").is_some(),
        thumbnail: pipeline
            .tap
            .gop()
            .and_then(|gop| snapshot::jpeg(&gop, Some(640)).ok()),
    })
}

/// Seconds between key frames from which on key frames alone cannot carry the analysis.
const RARE_S: f64 = 5.0;
/// Seconds between key frames below which decoding them alone saves little.
const FREQUENT_S: f64 = 0.7;

/// What the time between key frames, seconds, means for a camera whose scene is quiet; `span` is how long was measured.
fn advice(interval: Option<f64>, span: Option<f64>) -> Option<String> {
    let least = interval.or(span.filter(|span| *span > RARE_S))?;
    let better = "set the camera's key frame interval (I-frame interval, GOP) to 2 s";
    if least > RARE_S {
        return Some(format!(
            "key frames are {least:.1} s apart or more, so every picture is decoded also while nothing moves: {better}"
        ));
    }
    (least < FREQUENT_S).then(|| {
        format!("key frames are {least:.1} s apart, so decoding them alone while nothing moves saves little: {better}")
    })
}

/// The probe's own pipeline, stopped when it goes.
struct Running {
    pipeline: gst::Pipeline,
    source: gst::Element,
    tap: Arc<Tap>,
    count: Arc<Mutex<Count>>,
}

impl Running {
    fn start(source: gst::Element) -> Result<Self> {
        let failed = |error: gst::glib::BoolError| {
            Error::internal("the probe's pipeline").with_source(error)
        };
        let sink = gst::ElementFactory::make("fakesink")
            .property("sync", false)
            .property("async", false)
            .build()
            .map_err(failed)?;
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&source, &sink]).map_err(failed)?;
        source
            .link_pads(Some("video"), &sink, None)
            .map_err(failed)?;
        let tap = Arc::new(Tap::default());
        let count = Arc::new(Mutex::new(Count::default()));
        if let Some(pad) = sink.static_pad("sink") {
            tap.attach(&pad);
            let count = Arc::clone(&count);
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
                    count
                        .lock()
                        .expect("no holder of this lock panics")
                        .add(buffer);
                }
                gst::PadProbeReturn::Ok
            });
        }
        // A failure has put a message on the bus, which says more than this result.
        if let Err(error) = pipeline.set_state(gst::State::Playing) {
            tracing::debug!(%error, "the probe's pipeline did not start");
        }
        Ok(Self {
            pipeline,
            source,
            tap,
            count,
        })
    }

    /// Waits for the source to connect or to fail.
    fn first_change(&self, clock: &dyn Clock, patience: Duration) -> Result<SourceChange> {
        let deadline = clock.monotonic() + patience;
        let types = [gst::MessageType::Element, gst::MessageType::Error];
        let bus = self
            .pipeline
            .bus()
            .ok_or_else(|| Error::internal("a pipeline without a bus"))?;
        loop {
            let left = deadline.saturating_sub(clock.monotonic());
            let wait = gst::ClockTime::from_nseconds(left.as_nanos() as u64);
            let message = bus.timed_pop_filtered(wait, &types).ok_or_else(|| {
                Error::unavailable(format!("no picture came within {} s", patience.as_secs()))
            })?;
            if let gst::MessageView::Error(error) = message.view() {
                return Err(Error::unavailable(
                    error.error().message().trim().to_owned(),
                ));
            }
            match SourceChange::from_message(&message) {
                Some(Ok(change)) if change.state == SourceState::Lost => return Err(lost(&change)),
                Some(Ok(change)) => return Ok(change),
                _ => {}
            }
        }
    }

    /// Lets pictures come until the time is over or the stream ends.
    fn measure(&self, clock: &dyn Clock, measure: Duration) {
        let deadline = clock.monotonic() + measure;
        let Some(bus) = self.pipeline.bus() else {
            return;
        };
        let left = deadline.saturating_sub(clock.monotonic());
        let wait = gst::ClockTime::from_nseconds(left.as_nanos() as u64);
        // Whether the stream ended early or not, what came is what was measured.
        drop(bus.timed_pop_filtered(wait, &[gst::MessageType::Eos, gst::MessageType::Error]));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::debug!(%error, "a probe's pipeline did not stop");
        }
    }
}

impl Count {
    /// Most key frames that are remembered.
    const MAX_KEYS: usize = 1000;

    fn add(&mut self, buffer: &gst::Buffer) {
        self.pictures += 1;
        self.bytes += buffer.size() as u64;
        let time = buffer.dts_or_pts();
        self.first = self.first.or(time);
        self.last = time.or(self.last);
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        if key && self.keys.len() < Self::MAX_KEYS {
            self.keys.extend(time);
        }
    }
}

fn lost(change: &SourceChange) -> Error {
    let detail = change
        .detail
        .clone()
        .unwrap_or_else(|| "the camera cannot be reached".to_owned());
    match change.reason {
        Some(LossReason::NotFound) => Error::not_found(detail),
        Some(LossReason::UnsupportedCodec | LossReason::Damaged | LossReason::Unauthorized) => {
            Error::precondition(detail)
        }
        _ => Error::unavailable(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_that_are_too_rare_or_too_frequent_are_told() {
        let check = |interval: Option<f64>, span: f64, expect: Option<&str>| {
            let advice = advice(interval, Some(span));
            let begins = advice
                .as_deref()
                .map(|text| text.split(',').next().unwrap());
            assert_eq!(begins, expect, "{interval:?} {span}");
        };
        check(Some(2.0), 6.0, None);
        check(Some(5.0), 11.0, None);
        check(
            Some(10.0),
            21.0,
            Some("key frames are 10.0 s apart or more"),
        );
        check(Some(0.04), 6.0, Some("key frames are 0.0 s apart"));
        // One key frame alone says something only when one more was due.
        check(None, 3.0, None);
        check(None, 8.0, Some("key frames are 8.0 s apart or more"));
    }
}
