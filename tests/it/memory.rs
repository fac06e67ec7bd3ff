//! Memory over time: eight cameras that record on and on need no more of it than at the beginning.

use std::sync::Arc;
use std::time::Duration;

use support::daemon::{Config, Daemon};
use support::load::{Clip, LoadCamera};
use support::process::size;
use support::random::number_from_env;

/// From so many seconds on the slope means something, and is what is judged.
const LONG: u64 = 1200;
/// What a short run may grow by, KiB: caches and pools still fill.
const SHORT_GROWTH_KIB: f64 = 8192.0;
/// The most that memory may rise by in an hour, beyond the noise, KiB.
const SLOPE_KIB: f64 = 1024.0;

/// The median of the slopes between all pairs (Theil 1950, Sen 1968), and the spread of what is left, both in KiB.
///
/// The spread is that of the slope: what noise of the size of the residuals alone would make of it over the whole run.
fn theil_sen(samples: &[(f64, f64)]) -> (f64, f64) {
    let mut slopes = Vec::new();
    for (index, (x, y)) in samples.iter().enumerate() {
        let later = &samples[index + 1..];
        slopes.extend(later.iter().map(|(x2, y2)| (y2 - y) / (x2 - x)));
    }
    let slope = median(&mut slopes);
    let mut left: Vec<f64> = samples.iter().map(|(x, y)| y - slope * x).collect();
    let middle = median(&mut left.clone());
    left.iter_mut()
        .for_each(|value| *value = (*value - middle).abs());
    let span = samples[samples.len() - 1].0 - samples[0].0;
    (slope, 1.4826 * median(&mut left) / span)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn recording_on_and_on_takes_no_more_memory() {
    let clip = Arc::new(Clip::encode(320, 180, 30, 400, 4));
    let cameras: Vec<LoadCamera> = (0..8).map(|_| LoadCamera::start(&clip)).collect();
    let mut config = Config::new();
    for (number, camera) in cameras.iter().enumerate() {
        let params = "segment-duration = 2000000000";
        config = config.camera(&format!("c{number}"), &camera.uri(), "record", params);
    }
    let mut daemon = Daemon::start(&config);
    let seconds = number_from_env("NVRD_MEMORY_SECONDS", 30);
    let every = (seconds / 300).max(1);
    daemon.wait_segments("c0", 3, Duration::from_secs(60));
    // What the allocator and the caches of the database take at first comes in steps over the first half hour.
    let warm_up = if seconds >= LONG {
        seconds
    } else {
        seconds / 6
    };
    std::thread::sleep(Duration::from_secs(warm_up));
    let mut samples = Vec::new();
    for second in (0..seconds).step_by(usize::try_from(every).unwrap()) {
        samples.push((second as f64, size(daemon.pid()).memory_kib as f64));
        std::thread::sleep(Duration::from_secs(every));
    }
    assert!(daemon.terminate(Duration::from_secs(10)).success());

    let (slope, noise) = theil_sen(&samples);
    let (slope, noise) = (slope * 3600.0, noise * 3600.0);
    println!("{seconds} s: {slope:.0} KiB an hour, noise {noise:.0} KiB an hour");
    let growth = samples[samples.len() - 1].1 - samples[0].1;
    if seconds >= LONG {
        assert!(
            slope - noise <= SLOPE_KIB,
            "{slope:.0} KiB an hour: {samples:?}"
        );
    } else {
        assert!(growth <= SHORT_GROWTH_KIB, "{growth:.0} KiB: {samples:?}");
    }
}
