//! Encoded clips to record, and the means to decode what was recorded.

use std::path::{Path, PathBuf};
use std::sync::Once;

use gst::prelude::*;
use gst_video::prelude::*;
use nvr_contract::Message;
use nvr_contract::segment::SegmentClosed;

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstsegmentrecorder::register_static().unwrap();
    });
}

/// Whether all elements are there; says so when not.
pub fn have(elements: &[&str]) -> bool {
    init();
    let missing = elements
        .iter()
        .find(|name| gst::ElementFactory::find(name).is_none());
    if let Some(missing) = missing {
        println!("SKIP: there is no element {missing}");
    }
    missing.is_none()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test builds its pipelines from text"
)]
pub fn launch(text: &str) -> gst::Pipeline {
    gst::parse::launch(text).unwrap().downcast().unwrap()
}

/// Runs a pipeline to its end and returns the messages of its elements.
pub fn run(pipeline: &gst::Pipeline) -> Vec<gst::Message> {
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut seen = Vec::new();
    loop {
        let message = bus
            .timed_pop(gst::ClockTime::from_seconds(60))
            .expect("the pipeline ends within a minute");
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            gst::MessageView::Element(_) => seen.push(message),
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    seen
}

pub fn closed(messages: &[gst::Message]) -> Vec<SegmentClosed> {
    let closed = messages
        .iter()
        .filter_map(|m| SegmentClosed::from_message(m));
    closed.map(Result::unwrap).collect()
}

pub fn paths(closed: &[SegmentClosed]) -> Vec<PathBuf> {
    closed.iter().map(|c| PathBuf::from(&c.location)).collect()
}

/// An encoded stream.
pub struct Clip {
    pub caps: gst::Caps,
    pub buffers: Vec<gst::Buffer>,
}

/// Encodes `count` pictures of noise, no two alike, at 25 a second.
pub fn encode(count: u32, size: &str, encoder: &str) -> Clip {
    let pipeline = launch(&format!(
        "videotestsrc num-buffers={count} pattern=snow ! video/x-raw,format=I420,framerate=25/1,{size} ! \
         {encoder} ! appsink name=out sync=false"
    ));
    let buffers = pull(&pipeline);
    let caps = buffers.first().unwrap().caps().unwrap().to_owned();
    let buffers = buffers
        .iter()
        .map(|sample| sample.buffer_owned().unwrap())
        .collect();
    Clip { caps, buffers }
}

pub const H264: &str = "x264enc key-int-max=12 bframes=0 option-string=scenecut=0 ! h264parse ! video/x-h264,stream-format=avc,alignment=au";
pub const H264_B: &str = "x264enc key-int-max=12 bframes=2 b-adapt=false option-string=scenecut=0 ! h264parse ! video/x-h264,stream-format=avc,alignment=au";
pub const H265: &str = "x265enc key-int-max=12 option-string=bframes=2:open-gop=0:scenecut=0:log-level=none ! h265parse ! video/x-h265,stream-format=hvc1,alignment=au";

pub fn pull(pipeline: &gst::Pipeline) -> Vec<gst::Sample> {
    let sink: gst_app::AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut samples = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        samples.push(sample);
    }
    pipeline.set_state(gst::State::Null).unwrap();
    samples
}

fn decoder(h265: bool) -> &'static str {
    if h265 {
        "h265parse ! avdec_h265"
    } else {
        "h264parse ! avdec_h264"
    }
}

/// A checksum per picture, without the padding of its rows.
fn checksums(samples: &[gst::Sample]) -> Vec<blake3::Hash> {
    let sums = samples.iter().map(|sample| {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer().unwrap();
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
        let mut hasher = blake3::Hasher::new();
        for plane in 0..3 {
            let stride = usize::try_from(frame.plane_stride()[plane as usize]).unwrap();
            let width = frame.comp_width(plane) as usize;
            let rows = frame.plane_data(plane).unwrap().chunks(stride);
            for row in rows.take(frame.comp_height(plane) as usize) {
                hasher.update(&row[..width]);
            }
        }
        hasher.finalize()
    });
    sums.collect()
}

/// What the pictures of a file look like.
pub fn decode_file(path: &Path, h265: bool) -> Vec<blake3::Hash> {
    let pipeline = launch(&format!(
        "filesrc location={} ! qtdemux ! {} ! appsink name=out sync=false",
        path.display(),
        decoder(h265),
    ));
    checksums(&pull(&pipeline))
}

/// What the pictures of a clip look like.
pub fn decode_clip(clip: &Clip, h265: bool) -> Vec<blake3::Hash> {
    let pipeline = launch(&format!(
        "appsrc name=in format=time max-bytes=0 ! {} ! appsink name=out sync=false",
        decoder(h265),
    ));
    let source: gst_app::AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
    source.set_caps(Some(&clip.caps));
    for buffer in &clip.buffers {
        source.push_buffer(buffer.clone()).unwrap();
    }
    source.end_of_stream().unwrap();
    checksums(&pull(&pipeline))
}

/// A recorder with its own bus, fed by hand.
pub struct Rig {
    pub folder: tempfile::TempDir,
    pub element: gst::Element,
    pub harness: gst_check::Harness,
    bus: gst::Bus,
}

impl Rig {
    pub fn new(properties: &[(&str, u64)]) -> Self {
        init();
        let folder = tempfile::tempdir().unwrap();
        let element = gst::ElementFactory::make("segmentrecorder")
            .property("location", folder.path().to_str().unwrap())
            .build()
            .unwrap();
        for (name, value) in properties {
            element.set_property(name, value);
        }
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&element, Some("video"), None);
        harness.play();
        Self {
            folder,
            element,
            harness,
            bus,
        }
    }

    pub fn push(&mut self, clip: &Clip) {
        self.harness.set_src_caps(clip.caps.clone());
        for buffer in &clip.buffers {
            self.harness.push(buffer.clone()).unwrap();
        }
    }

    pub fn messages(&self) -> Vec<gst::Message> {
        std::iter::from_fn(|| self.bus.pop()).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.element.set_state(gst::State::Null).ok();
    }
}

/// The output of a program, `None` with a visible line when it is not installed.
pub fn program(name: &str, arguments: &[&str]) -> Option<String> {
    let Ok(output) = std::process::Command::new(name).args(arguments).output() else {
        println!("SKIP: {name} is not installed");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8(text).unwrap())
}
