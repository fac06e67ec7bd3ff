//! The whole daemon as a recorder beside `ffmpeg -c copy`: processor time, memory and lost pictures of many cameras.
//!
//! `cargo build --release -p nvrd && cargo bench --bench daemon`. `NVRD_STREAMS` (16) and `NVRD_SECONDS` (60) set how
//! much. Both record from the same cameras at the same time, so that they suffer the same noise: read the ratio.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail loudly")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use support::daemon::{Config, Daemon};
use support::load::{self, Clip, LoadCamera};
use support::process::{cpu_seconds, size};
use support::random::number_from_env;
use support::{has_program, wait_for};

/// What both have been through before anything is measured: connections, first key frames, the first files.
const WARM_UP: Duration = Duration::from_secs(12);

/// Recorders of one kind, and the processor time they had at the start.
struct Measured {
    pids: Vec<u32>,
    before: f64,
}

impl Measured {
    fn begin(pids: Vec<u32>) -> Self {
        let before = pids.iter().copied().map(cpu_seconds).sum();
        Self { pids, before }
    }

    /// Seconds of processor time for a stream's minute, and MiB of memory at the most.
    fn end(&self, streams: f64, seconds: f64) -> (f64, f64) {
        let now: f64 = self.pids.iter().copied().map(cpu_seconds).sum();
        let peak: u64 = self.pids.iter().map(|pid| size(*pid).peak_kib).sum();
        let cpu = (now - self.before) / seconds * 60.0 / streams;
        (cpu, peak as f64 / 1024.0)
    }
}

fn main() {
    if !support::built().join("nvrd").exists() {
        println!("SKIP: there is no nvrd: cargo build --release -p nvrd");
        return;
    }
    let streams = usize::try_from(number_from_env("NVRD_STREAMS", 16)).unwrap();
    let seconds = number_from_env("NVRD_SECONDS", 60);
    let clip = Arc::new(Clip::encode(1920, 1080, 30, 4000, 4));
    let rate = clip.bytes() as f64 * 8.0 / 4e6;
    let cameras: Vec<LoadCamera> = (0..streams).map(|_| LoadCamera::start(&clip)).collect();
    let mut config = Config::new();
    for (number, camera) in cameras.iter().enumerate() {
        let params = "segment-duration = 10000000000";
        config = config.camera(&format!("c{number}"), &camera.uri(), "record", params);
    }
    let mut daemon = Daemon::start(&config);
    let folder = tempfile::tempdir().unwrap();
    let mut peers = ffmpeg(&cameras, folder.path());
    std::thread::sleep(WARM_UP);

    let ours = Measured::begin(vec![daemon.pid()]);
    let theirs = Measured::begin(peers.iter().map(Child::id).collect());
    std::thread::sleep(Duration::from_secs(seconds));
    let (cpu, memory) = ours.end(streams as f64, seconds as f64);
    let (their_cpu, their_memory) = theirs.end(streams as f64, seconds as f64);
    for peer in &mut peers {
        // It may have ended for want of something.
        drop(peer.kill());
        peer.wait().unwrap();
    }
    assert!(daemon.terminate(Duration::from_secs(20)).success());

    let what = format!("{streams} streams 1080p30 {rate:.1} Mbit/s");
    println!("daemon/cpu       {cpu:.3} s a stream-minute ({what})");
    println!("daemon/memory    {memory:.0} MiB");
    if !peers.is_empty() {
        println!("ffmpeg/cpu       {their_cpu:.3} s a stream-minute");
        println!("ffmpeg/memory    {their_memory:.0} MiB");
        println!("daemon : ffmpeg  {:.2}", cpu / their_cpu);
    }
    let (mut pictures, mut lost, mut twice) = (0, 0, 0);
    for number in 0..streams {
        let stamps = recorded(&config, number);
        let (missing, double) = load::faults(&stamps);
        pictures += stamps.len();
        lost += missing;
        twice += double;
    }
    println!("daemon/pictures  {pictures} recorded, {lost} lost, {twice} twice");
}

fn recorded(config: &Config, number: usize) -> Vec<load::Stamp> {
    let folder = config.data().join("recordings").join(format!("c{number}"));
    let days = std::fs::read_dir(folder).unwrap();
    let files = days.flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap());
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| load::stamps(file)).collect()
}

/// One process a camera, as people run it; none where it is not installed.
fn ffmpeg(cameras: &[LoadCamera], folder: &std::path::Path) -> Vec<Child> {
    if !has_program("ffmpeg") {
        println!("SKIP: ffmpeg is not installed, so there is nothing to compare with");
        return Vec::new();
    }
    let mut started = Vec::new();
    for (number, camera) in cameras.iter().enumerate() {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-rtsp_transport", "tcp", "-i"]);
        command.arg(camera.uri());
        command.args(["-map", "0:v", "-c", "copy", "-f", "segment"]);
        command.args(["-segment_time", "10", "-segment_format", "mp4"]);
        command.args(["-reset_timestamps", "1"]);
        command.arg(folder.join(format!("s{number:02}-%04d.mp4")));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        started.push(command.spawn().unwrap());
    }
    wait_for(
        "ffmpeg has begun its files",
        Duration::from_secs(30),
        || (std::fs::read_dir(folder).unwrap().count() >= cameras.len()).then_some(()),
    );
    started
}
