//! What the gate saves and what it costs: decoding and motion detection, beside the same with everything decoded.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on must fail, and its figures are its output"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_app::{AppSink, AppSrc};

/// `USER_HZ`, which is 100 on every Linux that GStreamer runs on.
const TICKS_A_SECOND: f64 = 100.0;
/// Distinct noise that is laid over the scene, in turn.
const NOISE: usize = 7;
/// Seconds between key frames.
const GROUP_S: usize = 2;
/// Seconds of the quiet clip, and of the one with a thing that crosses the scene in its middle.
const QUIET_S: usize = 8;
const EVENT_S: usize = 8;
/// Seconds that the thing needs.
const CROSSING_S: usize = 4;
/// Repetitions of the quiet clip before anything is measured, and around the event: 4 s of 80 are 5 %.
const WARM_UP: usize = 4;
const AROUND: usize = 9;
/// Events whose delay is measured.
const EVENTS: usize = 24;

#[derive(Clone, Copy)]
struct Size {
    width: usize,
    height: usize,
    fps: usize,
}

struct Clip {
    caps: gst::Caps,
    buffers: Vec<gst::Buffer>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement builds its pipelines from text"
)]
fn launch(text: &str) -> gst::Pipeline {
    gst::parse::launch(text).unwrap().downcast().unwrap()
}

/// User and system time of this process, seconds.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let fields = after_name.split(' ').skip(11).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / TICKS_A_SECOND
}

/// The scene, `seconds` of it; things cross it from the seconds in `visits` on.
fn encode(size: Size, seconds: usize, visits: &[f64]) -> Clip {
    let Size { width, height, fps } = size;
    let pipeline = launch(&format!(
        "appsrc name=in format=time block=true max-bytes=20000000 \
         caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! \
         x264enc speed-preset=superfast key-int-max={} bframes=0 option-string=scenecut=0 ! \
         h264parse ! video/x-h264,stream-format=avc,alignment=au ! appsink name=out sync=false",
        fps * GROUP_S
    ));
    let source: AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
    let sink: AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let visits = visits.to_vec();
    let feeder = std::thread::spawn(move || {
        let walls: Vec<Vec<u8>> = (0..NOISE).map(|seed| wall(width, height, seed)).collect();
        for n in 0..seconds * fps {
            let mut picture = walls[n % NOISE].clone();
            let now = n as f64 / fps as f64;
            let begun = visits
                .iter()
                .find(|&&v| (v..v + CROSSING_S as f64).contains(&now));
            if let Some(begun) = begun {
                let share = (now - begun) / CROSSING_S as f64;
                let (w, h) = (width / 12, height / 4);
                let left = (share * (width - w) as f64) as usize;
                for line in picture[..width * height]
                    .chunks_exact_mut(width)
                    .skip(h)
                    .take(h)
                {
                    line[left..left + w].fill(205);
                }
            }
            let mut buffer = gst::Buffer::from_mut_slice(picture);
            let step = gst::ClockTime::SECOND / fps as u64;
            buffer.get_mut().unwrap().set_pts(step * n as u64);
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
    });
    let (mut caps, mut buffers) = (None, Vec::new());
    while let Ok(sample) = sink.pull_sample() {
        caps = caps.or_else(|| sample.caps_owned());
        buffers.push(sample.buffer_owned().unwrap());
    }
    feeder.join().unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    Clip {
        caps: caps.unwrap(),
        buffers,
    }
}

fn wall(width: usize, height: usize, seed: usize) -> Vec<u8> {
    let mut random = 0x5eed_u64 + seed as u64 * 977;
    let mut picture = vec![128; width * height * 3 / 2];
    for (k, value) in picture[..width * height].iter_mut().enumerate() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (x, y) = ((k % width) as f32, (k / width) as f32);
        let wall = 110.0 + 35.0 * (x / 41.0).sin() + 25.0 * (y / 29.0).cos();
        *value = wall as u8 + (random >> 61) as u8;
    }
    picture
}

/// Motion that was told: its start, and the picture that had come in by then; nanoseconds.
type Told = Arc<Mutex<Vec<(u64, u64)>>>;

/// A camera's analysis as the descriptions build it, without the queues, fed as fast as it takes.
struct Analysis {
    pipeline: gst::Pipeline,
    source: AppSrc,
    step_ns: u64,
    sent: u64,
    told: Told,
}

impl Analysis {
    fn new(mode: &str, size: Size, caps: &gst::Caps) -> Self {
        let pipeline = launch(&format!(
            "appsrc name=in format=time block=true max-buffers=1 max-bytes=0 ! decodegate name=gate mode={mode} ! \
             avdec_h264 max-threads=1 ! videoconvert ! motiondetect ! fakesink sync=false"
        ));
        let source: AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
        source.set_caps(Some(caps));
        let told = Told::default();
        let (list, latest) = (Arc::clone(&told), Arc::new(Mutex::new(0)));
        let seen = Arc::clone(&latest);
        let gate = pipeline.by_name("gate").unwrap();
        let pad = gate.static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            *seen.lock().unwrap() = info.buffer().unwrap().pts().unwrap().nseconds();
            gst::PadProbeReturn::Ok
        });
        pipeline.bus().unwrap().set_sync_handler(move |_, message| {
            let change = message.structure().filter(|s| s.name() == "nvrd-motion");
            if let Some(change) = change.filter(|s| s.get("state") == Ok("started")) {
                let start = change.get::<u64>("pts").unwrap();
                list.lock().unwrap().push((start, *latest.lock().unwrap()));
            }
            gst::BusSyncReply::Pass
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            source,
            step_ns: 1_000_000_000 / size.fps as u64,
            sent: 0,
            told,
        }
    }

    /// Appends a clip, as if it went on from the one before.
    fn feed(&mut self, clip: &Clip) {
        for buffer in &clip.buffers {
            let mut buffer = buffer.copy();
            let time = gst::ClockTime::from_nseconds(self.sent * self.step_ns);
            let changed = buffer.get_mut().unwrap();
            changed.set_pts(time);
            changed.set_dts(time);
            changed.unset_flags(gst::BufferFlags::DISCONT);
            self.source.push_buffer(buffer).unwrap();
            self.sent += 1;
        }
    }

    fn stats(&self) -> gst::Structure {
        self.pipeline.by_name("gate").unwrap().property("stats")
    }

    fn end(&self) -> Vec<(u64, u64)> {
        self.source.end_of_stream().unwrap();
        let bus = self.pipeline.bus().unwrap();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(600), &ends);
        assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
        self.pipeline.set_state(gst::State::Null).unwrap();
        self.told.lock().unwrap().clone()
    }
}

/// Processor seconds of 80 s with 4 s of motion, those of 64 quiet seconds, and where motion began.
fn cost(mode: &str, size: Size, quiet: &Clip, event: &Clip) -> (f64, f64, Vec<u64>, f64) {
    let mut analysis = Analysis::new(mode, size, &quiet.caps);
    (0..WARM_UP).for_each(|_| analysis.feed(quiet));
    let began = cpu_s();
    (0..AROUND - 1).for_each(|_| analysis.feed(quiet));
    let still = cpu_s() - began;
    analysis.feed(event);
    analysis.feed(quiet);
    let whole = cpu_s() - began;
    let share = analysis.stats().get("share-decoded").unwrap();
    let starts = analysis.end().iter().map(|(start, _)| *start).collect();
    (whole, still, starts, share)
}

fn costs(name: &str, size: Size) {
    let quiet = encode(size, QUIET_S, &[]);
    let event = encode(size, EVENT_S, &[2.3]);
    let (all, all_still, all_starts, _) = cost("all", size, &quiet, &event);
    let (gated, still, starts, share) = cost("adaptive", size, &quiet, &event);
    println!(
        "{name}, 5 % motion: {gated:.2} CPU s beside {all:.2} with everything decoded: ratio {:.2}; {:.1} % of pictures decoded, the learning included",
        gated / all,
        share * 100.0
    );
    let quiet_s = (QUIET_S * (AROUND - 1)) as f64;
    println!(
        "{name}, quiet: {:.1} ms a second beside {:.1}: ratio {:.2}; by processor time {:.0} cameras on two cores beside {:.0}",
        still / quiet_s * 1e3,
        all_still / quiet_s * 1e3,
        still / all_still,
        2.0 * quiet_s / still,
        2.0 * quiet_s / all_still
    );
    println!("{name}, motion began: {starts:?} ns beside {all_starts:?}");
}

/// How long after the first moving picture motion is told.
fn delays() {
    let size = Size {
        width: 640,
        height: 360,
        fps: 15,
    };
    // Every 14.27 s: the events meet the key frames at every phase.
    let visits: Vec<f64> = (0..EVENTS).map(|n| 30.0 + n as f64 * 14.27).collect();
    let clip = encode(size, 40 + EVENTS * 15, &visits);
    let run = |mode: &str| {
        let mut analysis = Analysis::new(mode, size, &clip.caps);
        let began = Instant::now();
        analysis.feed(&clip);
        (analysis.end(), analysis.stats(), began.elapsed())
    };
    let (all, _, took_all): (_, _, Duration) = run("all");
    let (gated, stats, took) = run("adaptive");
    let same = gated
        .iter()
        .zip(&all)
        .filter(|(a, b)| a.0.abs_diff(b.0) <= 1_000_000_000 / 15);
    println!(
        "640x360@15, {EVENTS} events: {} found beside {}, {} of them begin within a picture; {:.1} s beside {:.1} s",
        gated.len(),
        all.len(),
        same.count(),
        took.as_secs_f64(),
        took_all.as_secs_f64()
    );
    let late = |told: &[(u64, u64)]| {
        let mut late: Vec<f64> = told
            .iter()
            .map(|(s, at)| (at - s.min(at)) as f64 / 1e9)
            .collect();
        late.sort_by(f64::total_cmp);
        let at = |share: f64| late[((late.len() - 1) as f64 * share).round() as usize];
        (at(0.5), at(0.95))
    };
    println!(
        "640x360@15, told after the first moving picture, media time: p50 {:.2} s, p95 {:.2} s beside {:.2} and {:.2}",
        late(&gated).0,
        late(&gated).1,
        late(&all).0,
        late(&all).1
    );
    println!("640x360@15, {stats:?}");
}

fn main() {
    gst::init().unwrap();
    gstdecodegate::register_static().unwrap();
    gstmotiondetect::register_static().unwrap();
    for (name, width, height, fps) in [
        ("1280x720@15", 1280, 720, 15),
        ("1920x1080@30", 1920, 1080, 30),
        ("1920x1080@15", 1920, 1080, 15),
    ] {
        costs(name, Size { width, height, fps });
    }
    delays();
}
