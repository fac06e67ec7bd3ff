//! The API under load: pages of a million events, thousands of new ones a second, a thousand who listen.

use std::collections::HashSet;
use std::io::BufRead as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nvr_base::{Clock, RealClock};
use nvr_store::{EventRow, EventState, Store};
use serde_json::{Value, json};
use support::daemon::{Config, Daemon};
use support::random::number_from_env;
use support::wait_for;
use support::wire::{self, Wire};

const PATIENCE: Duration = Duration::from_secs(60);

fn host(daemon: &Daemon) -> &str {
    let address = daemon.api.strip_prefix("http://").unwrap();
    address.split('/').next().unwrap()
}

/// The time that a share of the sorted times stays below.
fn share(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let last = times.len() - 1;
    times[((times.len() as f64 * share) as usize).min(last)]
}

/// Puts events of four cameras into the database of a daemon that is yet to start, a second apart.
fn fill(config: &Config, count: u64) {
    std::fs::create_dir_all(config.data()).unwrap();
    let clock = std::sync::Arc::new(RealClock::new());
    let end_us = clock.unix_us();
    let store = Store::open(&config.data().join("nvrd.db"), clock).unwrap();
    let event = |number: u64| EventRow {
        id: format!("019a0000-0000-7000-8000-{number:012x}"),
        camera: format!("c{}", number % 4),
        kind: "object".to_owned(),
        label: Some(["person", "car", "dog"][number as usize % 3].to_owned()),
        state: EventState::Closed,
        start_us: end_us - (count - number) as i64 * 1_000_000,
        end_us: Some(end_us - (count - number) as i64 * 1_000_000 + 500_000),
        start_ns: 0,
        end_ns: Some(500_000_000),
        score: Some(0.8),
        bbox: Some([0.1, 0.1, 0.2, 0.4]),
        zones: vec!["porch".to_owned()],
        track_id: Some(number),
        identity: None,
        similarity: None,
        frames: 5,
        model: None,
        pipeline: None,
        interrupted: false,
    };
    let numbers: Vec<u64> = (0..count).collect();
    for part in numbers.chunks(10_000) {
        let rows: Vec<_> = part.iter().map(|number| (event(*number), None)).collect();
        store.add_events(&rows).unwrap();
    }
}

#[test]
fn a_page_of_a_million_events_comes_at_once_however_far_back() {
    let events = number_from_env("NVRD_EVENTS", 1_000_000);
    let seconds = number_from_env("NVRD_SECONDS", 10);
    let config = Config::new();
    let filling = Instant::now();
    fill(&config, events);
    println!("{events} events written in {:?}", filling.elapsed());
    let daemon = Daemon::start(&config);

    // 500 requests a second, sent when their time has come and not when the last answer was there.
    let start = Instant::now();
    let times = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for lane in 0..10_u32 {
            let (times, daemon) = (&times, &daemon);
            scope.spawn(move || {
                let mut wire = Wire::connect(host(daemon));
                let mut own = Vec::new();
                for turn in 0..(seconds * 50) as u32 {
                    let due =
                        start + Duration::from_millis(20) * turn + Duration::from_millis(2) * lane;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let (status, _) = wire.ask("GET", "/api/v1/events?limit=20", "").unwrap();
                    assert_eq!(status, 200);
                    own.push(due.elapsed());
                }
                times.lock().unwrap().extend(own);
            });
        }
    });
    let mut times = times.into_inner().unwrap();
    let (half, p99) = (share(&mut times, 0.5), share(&mut times, 0.99));
    println!(
        "{} requests at 500 a second: p50 {half:?}, p99 {p99:?}",
        times.len()
    );

    // The first page and one far back, in turn.
    let mut wire = Wire::connect(host(&daemon));
    let deep = (events / 20).min(10_000);
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..200 {
        for (page, took) in [1, deep].iter().zip(&mut took) {
            let asked = Instant::now();
            let path = format!("/api/v1/events?limit=20&page={page}");
            let (status, body) = wire.ask("GET", &path, "").unwrap();
            took.push(asked.elapsed());
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((status, body["total"].as_u64()), (200, Some(events)));
            assert_eq!(body["items"].as_array().unwrap().len(), 20);
        }
    }
    let [near, far] = took.map(|mut took| share(&mut took, 0.5));
    println!("page 1 {near:?}, page {deep} {far:?}");
    assert!(p99 < Duration::from_millis(20), "{p99:?}");
    assert!(far <= near * 2, "page 1 {near:?}, page {deep} {far:?}");
}

/// A batch of events of somebody else's detector, and the words by which they are known again.
fn batch(number: usize, size: usize) -> (Vec<String>, String) {
    let words: Vec<String> = (0..size).map(|at| format!("seen {number}.{at}.")).collect();
    let events: Vec<Value> = words
        .iter()
        .map(|words| {
            json!({
                "camera_id": "c0", "timestamp": "2026-01-02T03:04:05Z", "description": words,
                "confidence": 80, "objects_detected": ["person"],
            })
        })
        .collect();
    (words, Value::from(events).to_string())
}

#[test]
fn thousands_of_events_a_second_are_kept_beside_recording_and_through_a_kill() {
    const SIZE: usize = 250;
    const LANES: usize = 2;
    const EVERY: Duration = Duration::from_millis(100);
    let seconds = number_from_env("NVRD_SECONDS", 6);
    let mut config = Config::new();
    for number in 0..4 {
        let params = "segment-duration = 2000000000";
        config = config.camera(&format!("c{number}"), "test://ball", "record", params);
    }
    let mut daemon = Daemon::start(&config);
    for number in 0..4 {
        daemon.wait_segments(&format!("c{number}"), 1, PATIENCE);
    }
    let batches = (seconds * 20) as usize;
    let told = Mutex::new((HashSet::new(), Vec::new()));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (told, daemon) = (&told, &daemon);
            scope.spawn(move || {
                let mut wire = Wire::connect(host(daemon));
                for number in (lane..batches).step_by(LANES) {
                    let (words, body) = batch(number, SIZE);
                    let due = start + EVERY * number as u32 / LANES as u32;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let sent = Instant::now();
                    let (status, answer) = wire.ask("POST", "/api/v1/events", &body).unwrap();
                    let took = sent.elapsed();
                    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
                    let mut told = told.lock().unwrap();
                    told.0.extend(words);
                    told.1.push(took);
                }
            });
        }
    });
    let (kept, mut times) = told.into_inner().unwrap();
    let mut wire = Wire::connect(host(&daemon));
    let rate = (batches * SIZE) as f64 / start.elapsed().as_secs_f64();
    let [half, p95, worst] = [0.5, 0.95, 1.0].map(|part| share(&mut times, part));
    println!(
        "{rate:.0} events a second; a batch of {SIZE} is on disk after {half:?}, p95 {p95:?}, at the most {worst:?}"
    );

    // One more is on its way while the daemon is killed: it is there whole or not at all.
    let (doubtful, body) = batch(batches, SIZE);
    std::thread::scope(|scope| {
        scope.spawn(move || wire.ask("POST", "/api/v1/events", &body));
        daemon.kill();
    });
    drop(daemon);
    let daemon = Daemon::start(&config);
    let mut found = HashSet::new();
    let mut wire = Wire::connect(host(&daemon));
    for page in 1.. {
        let path = format!("/api/v1/events?kind=object&limit=500&page={page}");
        let (status, body) = wire.ask("GET", &path, "").unwrap();
        assert_eq!(status, 200);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let items = body["items"].as_array().unwrap();
        if items.is_empty() {
            break;
        }
        let words = items.iter().filter_map(|item| item["description"].as_str());
        found.extend(words.map(str::to_owned));
    }
    let lost = kept.difference(&found).count();
    assert_eq!(lost, 0, "events that were acknowledged");
    let half_done = doubtful.iter().filter(|words| found.contains(*words));
    let half_done = half_done.count();
    assert!(half_done == 0 || half_done == SIZE, "{half_done} of {SIZE}");
    for number in 0..4 {
        let name = format!("c{number}");
        wait_for("recording goes on", PATIENCE, || {
            let coverage = daemon.coverage(&name);
            coverage["first_unix"].is_number().then_some(())
        });
    }
    // The time that the last batch took is in it.
    assert!(rate > 4750.0, "{rate:.0} events a second");
    assert!(p95 <= Duration::from_millis(100), "{p95:?}");
}

#[test]
fn a_thousand_listeners_hear_of_every_event_at_once() {
    const EVENTS: usize = 20;
    let listeners = number_from_env("NVRD_LISTENERS", 1000) as usize;
    let limits = format!(
        "[live]\nlisteners = {listeners}\n[api]\nconnections = 4096\nconnections_per_address = 4096"
    );
    let config = Config::new()
        .replace("[api]", &limits)
        .camera("c0", "test://ball", "record", "");
    let daemon = Daemon::start(&config);
    let host = host(&daemon);
    let (ready, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let sent: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
    let heard: Mutex<Vec<(usize, Instant)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..listeners {
            let (ready, stop, heard) = (&ready, &stop, &heard);
            let listen = move || {
                let wire = Wire::connect(host);
                let is_socket = number % 2 == 0;
                let mut reader = match is_socket {
                    true => wire.socket("/ws"),
                    false => wire.stream("/api/v1/stream"),
                };
                let short = Some(Duration::from_millis(500));
                reader.get_ref().set_read_timeout(short).unwrap();
                ready.fetch_add(1, Ordering::SeqCst);
                let (mut own, mut line) = (Vec::new(), String::new());
                while own.len() < EVENTS && !stop.load(Ordering::SeqCst) {
                    let got = match is_socket {
                        true => wire::frame(&mut reader).map(|frame| line = frame),
                        false => {
                            line.clear();
                            reader.read_line(&mut line).map(|_| ())
                        }
                    };
                    let is_event = match is_socket {
                        true => line.contains("\"event.created\""),
                        false => line.trim_end() == "event: event.created",
                    };
                    if got.is_ok() && is_event {
                        own.push((own.len(), Instant::now()));
                    }
                }
                heard.lock().unwrap().extend(own);
            };
            std::thread::Builder::new()
                .stack_size(256 << 10)
                .spawn_scoped(scope, listen)
                .unwrap();
        }
        wait_for("everybody listens", PATIENCE, || {
            (ready.load(Ordering::SeqCst) == listeners).then_some(())
        });
        let mut wire = Wire::connect(host);
        for number in 0..EVENTS {
            let (_, body) = batch(number, 1);
            sent.lock().unwrap().push(Instant::now());
            assert_eq!(wire.ask("POST", "/api/v1/events", &body).unwrap().0, 201);
            std::thread::sleep(Duration::from_millis(500));
        }
        // Whoever has not heard of all by now never will.
        std::thread::sleep(Duration::from_secs(2));
        stop.store(true, Ordering::SeqCst);
    });
    let (sent, heard) = (sent.into_inner().unwrap(), heard.into_inner().unwrap());
    assert_eq!(
        heard.len(),
        listeners * EVENTS,
        "of what everybody should hear"
    );
    let mut times: Vec<Duration> = heard
        .iter()
        .map(|(number, at)| at.duration_since(sent[*number]))
        .collect();
    let (half, p99) = (share(&mut times, 0.5), share(&mut times, 0.99));
    println!("{listeners} listeners, {EVENTS} events: p50 {half:?}, p99 {p99:?}");
    assert!(p99 <= Duration::from_millis(250), "{p99:?}");
}
