//! Clips encoded in the test, and runs of them through a gate, a decoder and a detector.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it, and may fail loudly"
)]

use std::sync::{Arc, Mutex, Once};

use gst::prelude::*;
use nvr_contract::Message;
use nvr_contract::gate::GateChange;
use nvr_contract::motion::{MotionChange, MotionState};

pub const MS: u64 = 1_000_000;

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstdecodegate::register_static().unwrap();
        gstmotiondetect::register_static().unwrap();
    });
}

/// An encoded clip.
pub struct Clip {
    pub caps: gst::Caps,
    pub buffers: Vec<gst::Buffer>,
}

/// What moves when: from the first to the last picture a square crosses the scene.
pub struct Scene {
    pub size: (usize, usize),
    pub fps: i32,
    pub pictures: usize,
    pub visits: Vec<(usize, usize)>,
    pub noise: u32,
}

impl Scene {
    pub fn new(pictures: usize, visits: &[(usize, usize)]) -> Self {
        Self {
            size: (320, 180),
            fps: 15,
            pictures,
            visits: visits.to_vec(),
            noise: 7,
        }
    }

    /// Picture `n` as I420.
    fn picture(&self, n: usize) -> Vec<u8> {
        let (width, height) = self.size;
        let mut state = (n as u32 + 1).wrapping_mul(2_654_435_761) | 1;
        let visit = self
            .visits
            .iter()
            .find(|(from, to)| (*from..=*to).contains(&n));
        let thing = visit.map(|(from, to)| {
            let x = (width - 24) * (n - from) / (to - from).max(1);
            (x, height / 3)
        });
        let mut data = vec![128; width * height * 3 / 2];
        for (y, line) in data[..width * height].chunks_exact_mut(width).enumerate() {
            for (x, pixel) in line.iter_mut().enumerate() {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let noise = (state % self.noise) as i32 - self.noise as i32 / 2;
                let scene = 80 + ((x / 20 * 37 + y / 15 * 53) % 60) as i32;
                let inside = thing.is_some_and(|(left, top)| {
                    (left..left + 24).contains(&x) && (top..top + 36).contains(&y)
                });
                *pixel = (if inside { 205 } else { scene } + noise).clamp(0, 255) as u8;
            }
        }
        data
    }

    /// The scene, encoded by a launch line from raw to encoded video; `None` where an element is missing.
    pub fn encode(&self, encoder: &str) -> Option<Clip> {
        init();
        let (width, height) = self.size;
        let line = format!(
            "appsrc name=in format=time max-bytes=0 caps=video/x-raw,format=I420,width={width},height={height},framerate={}/1 \
             ! {encoder} ! appsink name=out sync=false",
            self.fps
        );
        #[expect(clippy::disallowed_methods, reason = "the text stands in the tests")]
        let pipeline = gst::parse::launch(&line)
            .ok()?
            .downcast::<gst::Pipeline>()
            .unwrap();
        let source = pipeline
            .by_name("in")
            .unwrap()
            .downcast::<gst_app::AppSrc>()
            .unwrap();
        let sink = pipeline
            .by_name("out")
            .unwrap()
            .downcast::<gst_app::AppSink>()
            .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let step = 1_000_000_000 / self.fps as u64;
        for n in 0..self.pictures {
            let mut buffer = gst::Buffer::from_mut_slice(self.picture(n));
            let edit = buffer.get_mut().unwrap();
            edit.set_pts(gst::ClockTime::from_nseconds(n as u64 * step));
            edit.set_duration(gst::ClockTime::from_nseconds(step));
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
        let (mut buffers, mut caps) = (Vec::new(), None);
        while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(60)) {
            caps = sample.caps_owned();
            buffers.push(sample.buffer_owned().unwrap());
        }
        pipeline.set_state(gst::State::Null).unwrap();
        // Encoders begin at an hour, so that nothing is negative.
        let base = buffers.iter().filter_map(|b| b.pts()).min().unwrap();
        for buffer in &mut buffers {
            let (pts, dts) = (buffer.pts(), buffer.dts());
            let edit = buffer.make_mut();
            edit.set_pts(pts.map(|pts| pts - base));
            edit.set_dts(dts.map(|dts| dts.saturating_sub(base)));
        }
        Some(Clip {
            caps: caps?,
            buffers,
        })
    }
}

/// What a run of a clip showed.
#[derive(Default)]
pub struct Run {
    /// PTS in milliseconds and a checksum of every picture at the end.
    pub pictures: Vec<(u64, u64)>,
    /// PTS of every picture behind the decoder.
    pub decoded: Vec<u64>,
    /// Starts and ends of motion, milliseconds.
    pub motion: Vec<(bool, u64)>,
    pub gate: Vec<GateChange>,
    pub stats: Option<gst::Structure>,
    /// Flushes that came through to the end.
    pub flushes: usize,
}

impl Run {
    pub fn starts(&self) -> Vec<u64> {
        let starts = self.motion.iter().filter(|(started, _)| *started);
        starts.map(|(_, at)| *at).collect()
    }

    pub fn stat(&self, name: &str) -> u64 {
        self.stats.as_ref().unwrap().get(name).unwrap()
    }

    pub fn share(&self) -> f64 {
        self.stats.as_ref().unwrap().get("share-decoded").unwrap()
    }
}

/// Notes what comes out of the decoder and at the end.
fn watch(pipeline: &gst::Pipeline) -> Arc<Mutex<Run>> {
    let run = Arc::new(Mutex::new(Run::default()));
    let seen = Arc::clone(&run);
    let sink = pipeline.by_name("out").unwrap();
    sink.connect("handoff", false, move |args| {
        let buffer = args[1].get::<gst::Buffer>().unwrap();
        let map = buffer.map_readable().unwrap();
        let sum = map
            .iter()
            .fold(0u64, |sum, &b| sum.wrapping_mul(31).wrapping_add(b.into()));
        seen.lock()
            .unwrap()
            .pictures
            .push((buffer.pts().unwrap().mseconds(), sum));
        None
    });
    let seen = Arc::clone(&run);
    let behind = pipeline
        .by_name("decoder")
        .unwrap()
        .static_pad("src")
        .unwrap();
    behind.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let pts = info.buffer().unwrap().pts().unwrap();
        seen.lock().unwrap().decoded.push(pts.mseconds());
        gst::PadProbeReturn::Ok
    });
    let seen = Arc::clone(&run);
    let end = sink.static_pad("sink").unwrap();
    end.add_probe(gst::PadProbeType::EVENT_FLUSH, move |_, _| {
        seen.lock().unwrap().flushes += 1;
        gst::PadProbeReturn::Ok
    });
    run
}

/// Runs a clip through `gate ! decoder ! rest`; `each` sees the gate before every picture.
pub fn run_with(clip: &Clip, line: &str, mut each: impl FnMut(usize, &gst::Element)) -> Run {
    init();
    let decoder = match clip.caps.structure(0).unwrap().name().as_str() {
        "video/x-h265" => "avdec_h265",
        _ => "avdec_h264",
    };
    let line = format!(
        "appsrc name=in format=time block=true max-bytes=200000 ! {} ! fakesink name=out sync=false signal-handoffs=true",
        line.replace("DECODER", &format!("{decoder} name=decoder"))
    );
    #[expect(clippy::disallowed_methods, reason = "the text stands in the tests")]
    let pipeline = gst::parse::launch(&line)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let source = pipeline
        .by_name("in")
        .unwrap()
        .downcast::<gst_app::AppSrc>()
        .unwrap();
    source.set_caps(Some(&clip.caps));
    let run = watch(&pipeline);
    let gate = pipeline.by_name("gate").unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for (n, buffer) in clip.buffers.iter().enumerate() {
        each(n, &gate);
        source.push_buffer(buffer.clone()).unwrap();
    }
    source.end_of_stream().unwrap();
    let bus = pipeline.bus().unwrap();
    while let Some(message) = bus.timed_pop(gst::ClockTime::from_seconds(120)) {
        if let Some(Ok(change)) = MotionChange::from_message(&message) {
            let started = change.state == MotionState::Started;
            run.lock()
                .unwrap()
                .motion
                .push((started, change.pts_ns / MS));
        }
        if let Some(Ok(change)) = GateChange::from_message(&message) {
            run.lock().unwrap().gate.push(change);
        }
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            _ => {}
        }
    }
    let stats = gate.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).unwrap();
    let mut run = std::mem::take(&mut *run.lock().unwrap());
    run.stats = Some(stats);
    run
}

pub fn run(clip: &Clip, line: &str) -> Run {
    run_with(clip, line, |_, _| {})
}

/// Gate, decoder and detector, in one thread.
pub fn watched(mode: &str) -> String {
    format!("decodegate name=gate mode={mode} ! DECODER max-threads=1 ! motiondetect")
}
