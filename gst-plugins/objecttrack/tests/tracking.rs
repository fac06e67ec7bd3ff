//! The tracker on made-up scenes and on real ground truth, without GStreamer.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "allow-…-in-tests does not reach helpers of integration tests; a skipped test says so"
)]

use std::collections::{BTreeMap, HashMap};

use gstobjecttrack::tracker::{Config, MAX_TRACKS, Sighting, Tracker};
use nvr_contract::BBox;
use nvr_contract::polygon::parse_zones;
use nvr_contract::track::Tracking;

const MS: u64 = 1_000_000;

fn config() -> Config {
    Config {
        high_threshold: 0.5,
        low_threshold: 0.1,
        match_iou: 0.2,
        max_age: 2000 * MS,
        min_hits: 2,
        stationary_time: 3000 * MS,
        zones: Vec::new(),
    }
}

fn seen(label: &str, score: f64, x: f64, y: f64) -> Sighting {
    Sighting {
        label: label.to_owned(),
        score,
        bbox: BBox {
            x,
            y,
            w: 0.05,
            h: 0.2,
        },
    }
}

/// `-` unclaimed, `?7` tentative, `7` tracked.
fn words(verdicts: &[Tracking]) -> String {
    let words: Vec<String> = verdicts
        .iter()
        .map(|verdict| match verdict {
            Tracking::Unclaimed => "-".to_owned(),
            Tracking::Tentative(id) => format!("?{id}"),
            Tracking::Tracked(track) if track.stationary => format!("{}s", track.id),
            Tracking::Tracked(track) => track.id.to_string(),
        })
        .collect();
    words.join(" ")
}

/// Each row: milliseconds, sightings (`None` when no model looked), what is said of them.
#[track_caller]
fn check(config: &Config, rows: &[(u64, Option<&[Sighting]>, &str)]) {
    let mut tracker = Tracker::default();
    for (ms, sightings, expected) in rows {
        let said = match sightings {
            Some(sightings) => words(&tracker.look(config, 1.0, ms * MS, sightings)),
            None => {
                tracker.pass(ms * MS);
                String::new()
            }
        };
        assert_eq!(said, *expected, "at {ms} ms");
    }
}

fn person(x: f64) -> Sighting {
    seen("person", 0.9, x, 0.4)
}

#[test]
fn a_track_is_confirmed_by_the_second_sighting() {
    let one = [person(0.1)];
    check(
        &config(),
        &[
            (0, Some(&one), "?1"),
            (100, Some(&one), "1"),
            (200, Some(&[]), ""),
            (300, Some(&one), "1"),
        ],
    );
    check(
        &Config {
            min_hits: 1,
            ..config()
        },
        &[(0, Some(&one), "1")],
    );
    // What is not seen again was nothing.
    check(
        &config(),
        &[
            (0, Some(&one), "?1"),
            (100, Some(&[]), ""),
            (200, Some(&one), "?2"),
        ],
    );
}

#[test]
fn an_unsure_detection_continues_a_track_and_begins_none() {
    let unsure = [seen("person", 0.2, 0.1, 0.4)];
    let sure = [person(0.1)];
    let noise = [seen("person", 0.05, 0.1, 0.4)];
    check(
        &config(),
        &[
            (0, Some(&unsure), "-"),
            (100, Some(&sure), "?1"),
            (200, Some(&sure), "1"),
            (300, Some(&unsure), "1"),
            (400, Some(&noise), "-"),
        ],
    );
}

#[test]
fn labels_do_not_mix() {
    let both = [person(0.1), seen("dog", 0.9, 0.1, 0.4)];
    let turned = [both[1].clone(), both[0].clone()];
    check(
        &config(),
        &[
            (0, Some(&both), "?1 ?2"),
            (100, Some(&turned), "2 1"),
            (200, Some(&both), "1 2"),
        ],
    );
}

#[test]
fn two_people_who_cross_keep_their_ids() {
    let mut tracker = Tracker::default();
    let mut last = Vec::new();
    for step in 0..40u32 {
        let share = f64::from(step) / 39.0;
        // Two lanes, half a body apart; while they overlap the one behind is not detected.
        let (a, b) = (0.1 + 0.7 * share, 0.8 - 0.7 * share);
        let mut sightings = vec![seen("person", 0.9, a, 0.45)];
        if (a - b).abs() > 0.03 {
            sightings.push(seen("person", 0.9, b, 0.35));
        }
        last = tracker.look(&config(), 1.0, u64::from(step) * 100 * MS, &sightings);
    }
    assert_eq!(words(&last), "1 2");
}

#[test]
fn a_hidden_object_is_found_again_where_it_must_be() {
    let mut tracker = Tracker::default();
    let at = |step: u64| person(0.1 + 0.01 * step as f64);
    let mut said = Vec::new();
    for step in 0..50 {
        let hidden = (20..32).contains(&step);
        let sightings: Vec<Sighting> = (!hidden).then(|| at(step)).into_iter().collect();
        said = tracker.look(&config(), 1.0, step * 100 * MS, &sightings);
    }
    assert_eq!(words(&said), "1");
}

#[test]
fn a_track_ages_only_while_it_is_looked_for() {
    let one = [person(0.1)];
    let mut rows: Vec<(u64, Option<&[Sighting]>, &str)> =
        vec![(0, Some(&one), "?1"), (100, Some(&one), "1")];
    // Twenty seconds in which the model does not run.
    rows.extend((2..200).map(|i| (i * 100, None, "")));
    // It is the same one, and has stood there for all that time.
    rows.push((20_000, Some(&one), "-"));
    // Two seconds in which it runs and finds nothing.
    rows.extend((201..223).map(|i| (i * 100, Some(&[] as &[Sighting]), "")));
    rows.push((22_300, Some(&one), "-"));
    check(&config(), &rows);
    // Who did move is forgotten.
    let steps: Vec<[Sighting; 1]> = (0..10)
        .map(|i| [person(0.1 + 0.02 * f64::from(i))])
        .collect();
    let mut rows: Vec<(u64, Option<&[Sighting]>, &str)> = steps
        .iter()
        .zip(0..)
        .map(|(s, i)| (i * 100, Some(&s[..]), if i == 0 { "?1" } else { "1" }))
        .collect();
    rows.extend((10..33).map(|i| (i * 100, Some(&[] as &[Sighting]), "")));
    rows.push((3300, Some(&one), "?2"));
    check(&config(), &rows);
}

#[test]
fn time_may_stand_still_run_back_or_jump() {
    let one = [person(0.1)];
    check(
        &config(),
        &[
            (1000, Some(&one), "?1"),
            (1100, Some(&one), "1"),
            // Twice the same time, then a little back: still the same scene.
            (1100, Some(&one), "1"),
            (1040, Some(&one), "1"),
            (1200, Some(&one), "1"),
            // The clip begins again.
            (0, Some(&one), "?2"),
            (100, Some(&one), "2"),
            // Nothing for a minute.
            (60_100, Some(&one), "?3"),
        ],
    );
}

#[test]
fn who_stands_is_stationary_until_it_walks() {
    // Walks in, stands, walks on; and one that has stood there ever since it was first seen.
    let walks = |step: u64| match step {
        0..20 => 0.1 + 0.01 * step as f64,
        20..70 => 0.3 + 0.002 * (step % 3) as f64,
        _ => 0.3 + 0.01 * (step - 70) as f64,
    };
    let stood = |step: u64| {
        0.3 + if step < 100 {
            0.0
        } else {
            0.01 * (step - 100) as f64
        }
    };
    let told = |x: &dyn Fn(u64) -> f64| {
        let mut tracker = Tracker::default();
        let mut said = String::new();
        for step in 0..140 {
            let word = words(&tracker.look(&config(), 1.0, step * 100 * MS, &[person(x(step))]));
            if !said.ends_with(&format!(" {word}")) {
                said += &format!(" {word}");
            }
        }
        said
    };
    assert_eq!(told(&walks), " ?1 1 1s 1");
    assert_eq!(told(&stood), " ?1 1 1s - 1");
}

#[test]
fn scenery_that_flickers_is_no_news() {
    let mut tracker = Tracker::default();
    let mut told = 0;
    for step in 0..3000_u64 {
        // Seen for six seconds, hidden for four, over and over; sometimes only its upper half.
        let mut post = person(0.5);
        if step % 7 == 0 {
            post.bbox.h /= 2.0;
        }
        let seen: Vec<Sighting> = (step % 100 < 60).then_some(post).into_iter().collect();
        let said = tracker.look(&config(), 1.0, step * 100 * MS, &seen);
        told += u64::from(matches!(said.first(), Some(Tracking::Tracked(_))));
    }
    assert!(told <= 110, "{told}");
    assert_eq!(tracker.confirmed(), 1);
}

#[test]
fn zones_are_told_by_the_foot() {
    let config = Config {
        zones: parse_zones("low=0,0.5 1,0.5 1,1 0,1; all=0,0 1,0 1,1 0,1").unwrap(),
        min_hits: 1,
        ..config()
    };
    let zones =
        |y: f64| match &Tracker::default().look(&config, 1.0, 0, &[seen("person", 0.9, 0.3, y)])[0]
        {
            Tracking::Tracked(track) => track.zones.join(" "),
            other => panic!("{other:?}"),
        };
    assert_eq!(zones(0.1), "all");
    assert_eq!(zones(0.31), "all low");
    // The foot on the lower edge of the picture is still in the picture.
    assert_eq!(zones(0.8), "all low");
}

#[test]
fn a_full_picture_stays_bounded() {
    let mut tracker = Tracker::default();
    for step in 0..4u64 {
        let sightings: Vec<Sighting> = (0..512)
            .map(|i| {
                // Each picture elsewhere, so that every one begins new tracks.
                let x = f64::from(i % 32) / 32.0 + 0.3 * (step % 2) as f64;
                seen("person", 0.9, x, f64::from(i / 32) / 16.0)
            })
            .collect();
        let said = tracker.look(&config(), 1.0, step * 100 * MS, &sightings);
        assert_eq!(said.len(), 512);
        assert!(tracker.len() <= MAX_TRACKS);
    }
}

/// A small generator: tests must not differ from run to run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Roughly normal, standard deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

#[derive(Debug, Default)]
struct Figures {
    truth: u64,
    misses: u64,
    false_positives: u64,
    switches: u64,
    tracks: usize,
}

impl Figures {
    fn mota(&self) -> f64 {
        1.0 - (self.misses + self.false_positives + self.switches) as f64 / self.truth as f64
    }
}

type Scene = BTreeMap<u64, Vec<(u32, BBox)>>;

fn ground_truth(name: &str, width: f64, height: f64) -> Option<Scene> {
    let shared = std::env::var("NVRD_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").to_owned());
    let path = format!("{shared}/media/gt/{name}");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIP: no ground truth at {path}");
        return None;
    };
    let mut scene = Scene::new();
    for line in text.lines() {
        let v: Vec<f64> = line.split(',').filter_map(|f| f.parse().ok()).collect();
        let bbox = BBox::clamped(v[2] / width, v[3] / height, v[4] / width, v[5] / height);
        scene
            .entry(v[0] as u64)
            .or_default()
            .push((v[1] as u32, bbox));
    }
    Some(scene)
}

/// Feeds the ground truth as a detector would see it: one in `dropout` missed, some unsure, edges that shake by
/// a share `jitter` of the size, and a false alarm on every tenth picture.
fn run(scene: &Scene, step_ns: u64, aspect: f64, dropout: f64, jitter: f64, every: u64) -> Figures {
    let mut noise = Noise(7);
    let mut tracker = Tracker::default();
    let mut figures = Figures::default();
    let mut last: HashMap<u32, u64> = HashMap::new();
    let mut ids = std::collections::HashSet::new();
    for (&frame, truth) in scene.iter().filter(|(frame, _)| *frame % every == 0) {
        let mut origin = Vec::new();
        let mut sightings = Vec::new();
        for &(id, b) in truth {
            figures.truth += 1;
            if noise.next() < dropout {
                continue;
            }
            let score = if noise.next() < 0.15 { 0.3 } else { 0.8 };
            let mut shake = |size: f64| noise.normal() * jitter * size;
            let bbox = BBox {
                x: b.x + shake(b.w),
                y: b.y + shake(b.h),
                w: (b.w + shake(b.w)).max(0.01),
                h: (b.h + shake(b.h)).max(0.01),
            };
            origin.push(Some(id));
            sightings.push(Sighting {
                label: "person".to_owned(),
                score,
                bbox,
            });
        }
        if frame % 10 == 0 {
            origin.push(None);
            let (x, y) = (noise.next() * 0.9, noise.next() * 0.8);
            sightings.push(seen("person", 0.6, x, y));
        }
        let said = tracker.look(&config(), aspect, frame * step_ns, &sightings);
        figures.misses += truth.len() as u64;
        for (verdict, origin) in said.iter().zip(&origin) {
            let Tracking::Tracked(track) = verdict else {
                continue;
            };
            ids.insert(track.id);
            match origin {
                None => figures.false_positives += 1,
                Some(id) => {
                    figures.misses -= 1;
                    if last.insert(*id, track.id).is_some_and(|l| l != track.id) {
                        figures.switches += 1;
                    }
                }
            }
        }
    }
    figures.tracks = ids.len();
    figures
}

#[test]
fn pets_pedestrians_keep_their_ids() {
    let Some(scene) = ground_truth("PETS09-S2L1.gt.txt", 768.0, 576.0) else {
        return;
    };
    // (missed share, jitter share, every n-th picture, most switches, least MOTA)
    for (dropout, jitter, every, switches, mota) in [
        (0.0, 0.0, 1, 4, 0.98),
        (0.1, 0.05, 1, 14, 0.86),
        (0.2, 0.08, 1, 35, 0.72),
        (0.1, 0.05, 2, 14, 0.84),
        (0.1, 0.05, 5, 60, 0.65),
    ] {
        let figures = run(&scene, 100 * MS, 768.0 / 576.0, dropout, jitter, every);
        println!(
            "PETS dropout {dropout} jitter {jitter} every {every}: MOTA {:.3} {figures:?}",
            figures.mota()
        );
        assert!(figures.switches <= switches, "{figures:?}");
        assert!(figures.mota() >= mota, "{} {figures:?}", figures.mota());
    }
}

#[test]
fn tud_pedestrians_keep_their_ids() {
    let Some(scene) = ground_truth("TUD-Campus.gt.txt", 640.0, 480.0) else {
        return;
    };
    let figures = run(&scene, 40 * MS, 640.0 / 480.0, 0.1, 0.05, 1);
    println!("TUD: MOTA {:.3} {figures:?}", figures.mota());
    assert!(figures.switches <= 8, "{figures:?}");
    assert!(figures.mota() >= 0.75, "{} {figures:?}", figures.mota());
}
