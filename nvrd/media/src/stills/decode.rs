//! One small pipeline that decodes a few encoded pictures and hands out those that are wanted, within a deadline.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use nvr_base::{Error, Result};
use nvr_contract::source::VideoCodec;

use super::bounded::Bounded;

/// How long the next wanted picture may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// Encoded bytes that wait for the decoder; one picture may be larger.
const MAX_WAITING_BYTES: u64 = 8 << 20;
/// JPEG quality: at 85 no blocks are seen on faces and plates, and a 1080p picture has 200 to 400 kB.
const QUALITY: i32 = 85;
/// How long an answer is waited for before looking whether an element failed.
const STEP: Duration = Duration::from_millis(20);

/// What a failure is called.
const FAILED: &str = "the pictures could not be decoded";

/// A picture that the decoder gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    /// When it is shown.
    pub(crate) pts: gst::ClockTime,
    /// Whether the decoder had to make up parts of it.
    pub(crate) damaged: bool,
}

/// What comes out of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// JPEGs with square pixels, in the given size or their own.
    Jpeg(Size),
    /// RGB in exactly this width and height, with black beside a picture of another shape.
    Rgb(u32, u32),
    /// As the decoder gives them.
    Raw,
}

/// How large a picture becomes; its shape stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// As it is.
    Own,
    /// Of this width in pixels.
    Width(u32),
    /// Of this height in pixels.
    Height(u32),
}

/// Decodes `buffers`, which begin with a key frame and come in the order of decoding, and gives `each` the pictures
/// whose PTS is in `wanted`, in the order of presentation. It ends early once all of these have come.
///
/// # Errors
/// When no decoder is there, the pictures cannot be decoded, the next wanted one takes longer than `limit`, or
/// `buffers` or `each` fail. A wanted picture that the decoder does not give is no error.
///
/// Returns every picture that the decoder gave, wanted or not.
pub(crate) fn decode(
    caps: &gst::Caps,
    buffers: impl Iterator<Item = Result<gst::Buffer>>,
    wanted: &[gst::ClockTime],
    shape: Shape,
    limit: Duration,
    each: impl FnMut(gst::Sample) -> Result<()>,
) -> Result<Vec<Given>> {
    run(decoder_of(caps)?, caps, buffers, wanted, shape, limit, each)
}

/// The decoder of a codec; a table, so that the same one decodes the same recording everywhere.
fn decoder_of(caps: &gst::Caps) -> Result<gst::Element> {
    let factory = match VideoCodec::from_caps(caps) {
        Some(VideoCodec::H264) => "avdec_h264",
        Some(VideoCodec::H265) => "avdec_h265",
        None => {
            return Err(Error::precondition(format!(
                "no decoder is known for {}",
                caps.structure(0)
                    .map_or("nothing", |structure| structure.name().as_str())
            )));
        }
    };
    element(factory)
}

fn element(factory: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(factory)
        .build()
        .map_err(|_| Error::precondition(format!("element {factory:?} is not installed")))
}

fn run(
    decoder: gst::Element,
    caps: &gst::Caps,
    mut buffers: impl Iterator<Item = Result<gst::Buffer>>,
    wanted: &[gst::ClockTime],
    shape: Shape,
    limit: Duration,
    mut each: impl FnMut(gst::Sample) -> Result<()>,
) -> Result<Vec<Given>> {
    let running = Running::start(decoder, caps, wanted.to_vec(), shape)?;
    let (mut ended, mut left) = (false, wanted.len());
    let mut last = Instant::now();
    while left > 0 {
        while !ended && running.source.current_level_bytes() < MAX_WAITING_BYTES {
            ended = running.feed(buffers.next().transpose()?)?;
        }
        let step = gst::ClockTime::from_nseconds(STEP.as_nanos() as u64);
        if let Some(sample) = running.sink.try_pull_sample(step) {
            each(sample)?;
            left -= 1;
            last = Instant::now();
        } else if running.sink.is_eos() {
            break;
        } else {
            running.bounded.failure(FAILED)?;
            if last.elapsed() > limit {
                return Err(Error::unavailable("decoding took too long"));
            }
        }
    }
    let mut given = running.given.lock().expect("no holder of this lock panics");
    Ok(std::mem::take(&mut *given))
}

/// The pipeline with its two ends.
struct Running {
    bounded: Bounded,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
    given: Arc<Mutex<Vec<Given>>>,
}

impl Running {
    fn start(
        decoder: gst::Element,
        caps: &gst::Caps,
        wanted: Vec<gst::ClockTime>,
        shape: Shape,
    ) -> Result<Self> {
        let source = gst_app::AppSrc::builder()
            .caps(caps)
            .format(gst::Format::Time)
            .build();
        // A minute of raw pictures must not pile up before somebody takes them.
        let sink = gst_app::AppSink::builder()
            .sync(false)
            .max_buffers(2)
            .build();
        sink.set_wait_on_eos(false);
        let given = keep_only(&decoder, wanted)?;
        let mut chain = vec![source.clone().upcast(), decoder];
        chain.extend(shaping(shape)?);
        chain.push(sink.clone().upcast());
        Ok(Self {
            bounded: Bounded::play(&chain)?,
            source,
            sink,
            given,
        })
    }

    /// Gives the decoder a picture, or the end; whether that was the end.
    fn feed(&self, buffer: Option<gst::Buffer>) -> Result<bool> {
        let end = buffer.is_none();
        let flow = match buffer {
            Some(buffer) => self.source.push_buffer(buffer),
            None => self.source.end_of_stream(),
        };
        flow.map(|_| end).or_else(|error| {
            // The bus knows better why.
            self.bounded.failure(FAILED)?;
            Err(Error::data_loss(FAILED).with_source(error))
        })
    }
}

/// Drops, behind the decoder, every picture that is not wanted, so that nothing else is scaled or encoded, and notes
/// them all.
fn keep_only(
    decoder: &gst::Element,
    wanted: Vec<gst::ClockTime>,
) -> Result<Arc<Mutex<Vec<Given>>>> {
    let pad = decoder
        .static_pad("src")
        .ok_or_else(|| Error::internal("a decoder without an output"))?;
    let given = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&given);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some((buffer, pts)) = info.buffer().and_then(|b| Some((b, b.pts()?))) else {
            return gst::PadProbeReturn::Drop;
        };
        let damaged = buffer.flags().contains(gst::BufferFlags::CORRUPTED);
        noted
            .lock()
            .expect("no holder of this lock panics")
            .push(Given { pts, damaged });
        match wanted.contains(&pts) {
            true => gst::PadProbeReturn::Ok,
            false => gst::PadProbeReturn::Drop,
        }
    });
    Ok(given)
}

/// The elements between the decoder and the sink.
fn shaping(shape: Shape) -> Result<Vec<gst::Element>> {
    let raw = |format| {
        gst::Caps::builder("video/x-raw")
            .field("format", format)
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
    };
    let caps = match shape {
        Shape::Raw => return Ok(Vec::new()),
        Shape::Rgb(width, height) => raw("RGB")
            .field("width", pixels(width))
            .field("height", pixels(height)),
        Shape::Jpeg(Size::Own) => raw("BGRx"),
        Shape::Jpeg(Size::Width(width)) => raw("BGRx").field("width", pixels(width)),
        Shape::Jpeg(Size::Height(height)) => raw("BGRx").field("height", pixels(height)),
    };
    let scale = element("videoconvertscale")?;
    // With more than two taps: a tenth of the size would flicker otherwise.
    scale.set_property_from_str("method", "bilinear2");
    let mut chain = vec![scale, filter(&caps.build())?];
    if matches!(shape, Shape::Jpeg(_)) {
        // A JPEG has the full range and the matrix of BT.601, and the encoder takes what it gets for that. By way of
        // RGB, because GStreamer 1.22 does not widen the range between two formats of one matrix: such pictures are
        // pale.
        let full = raw("I420").field("colorimetry", "1:4:0:0").build();
        let encoder = element("jpegenc")?;
        encoder.set_property("quality", QUALITY);
        chain.extend([element("videoconvert")?, filter(&full)?, encoder]);
    }
    Ok(chain)
}

fn filter(caps: &gst::Caps) -> Result<gst::Element> {
    let filter = element("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

fn pixels(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The bytes of a sample.
pub(crate) fn bytes_of(sample: &gst::Sample) -> Result<Vec<u8>> {
    let buffer = sample
        .buffer()
        .ok_or_else(|| Error::internal("a picture without content"))?;
    let map = buffer
        .map_readable()
        .map_err(|error| Error::internal("the picture cannot be read").with_source(error))?;
    Ok(map.to_vec())
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
