//! A camera that comes and goes beside cameras that do not: the others notice nothing, and it is back at once.

use std::sync::Arc;
use std::time::Duration;

use nvr_base::{Clock, RealClock};
use support::daemon::{Config, Daemon};
use support::load::{self, Clip, LoadCamera};
use support::process::size;
use support::random::{Random, number_from_env};
use support::wait_for;

use crate::load::{files, recorded};

/// How soon nineteen of twenty returns have to be recorded, seconds.
const RESUME_S: f64 = 5.0;

#[test]
fn a_camera_that_flaps_costs_the_others_nothing() {
    let clip = Arc::new(Clip::encode(320, 180, 30, 400, 4));
    let mut flapping = LoadCamera::start(&clip);
    let steady: Vec<LoadCamera> = (0..3).map(|_| LoadCamera::start(&clip)).collect();
    let params = "segment-duration = 5000000000";
    let mut config = Config::new().camera("flap", &flapping.uri(), "record", params);
    for (number, camera) in steady.iter().enumerate() {
        let name = format!("steady{number}");
        config = config.camera(&name, &camera.uri(), "record", params);
    }
    let mut daemon = Daemon::start(&config);
    for number in 0..steady.len() {
        daemon.wait_segments(&format!("steady{number}"), 1, Duration::from_secs(60));
    }
    let clock = RealClock::new();
    let mut random = Random::from_env(7);
    let (mut sizes, mut returns) = (Vec::new(), Vec::new());
    let until = clock.monotonic() + Duration::from_secs(number_from_env("NVRD_FLAP_SECONDS", 45));
    while clock.monotonic() < until {
        flapping.down();
        std::thread::sleep(Duration::from_secs_f64(random.between(3.0, 15.0)));
        let back_us = u64::try_from(clock.unix_us()).unwrap();
        flapping.up();
        let first = wait_for("it is recorded again", Duration::from_secs(60), || {
            let file = files(&config, "flap").pop()?;
            let stamps = load::stamps(&file);
            stamps
                .iter()
                .find(|stamp| stamp.sent_us >= back_us)
                .copied()
        });
        returns.push((first.sent_us - back_us) as f64 / 1e6);
        sizes.push(size(daemon.pid()));
        std::thread::sleep(Duration::from_secs_f64(random.between(3.0, 15.0)));
    }
    assert!(daemon.terminate(Duration::from_secs(10)).success());

    for number in 0..steady.len() {
        let stamps = recorded(&config, &format!("steady{number}"));
        assert_eq!(load::faults(&stamps), (0, 0), "lost, twice: steady{number}");
    }
    // The first round fills caches and pools.
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    assert!(last.threads <= first.threads + 2, "threads: {sizes:?}");
    assert!(last.files <= first.files + 2, "open files: {sizes:?}");
    returns.sort_by(f64::total_cmp);
    println!("{} returns, recorded after {returns:.2?} s", returns.len());
    let p95 = returns[(returns.len() * 95 / 100).min(returns.len() - 1)];
    assert!(p95 < RESUME_S, "recorded again after {returns:.2?} s");
}
