//! Tests of the timeline: what goes out never goes backwards, whatever comes in.

use proptest::prelude::*;

use super::*;

const MS: i64 = 1_000_000;

fn picture(pts_ms: i64, arrival_ms: i64, key: bool) -> Stamp {
    Stamp {
        pts: Some(pts_ms * MS),
        arrival: arrival_ms * MS,
        key,
        ..Stamp::default()
    }
}

fn pts_ms(mapped: Mapped) -> i64 {
    i64::try_from(mapped.pts).unwrap() / MS
}

#[test]
fn live_time_begins_at_the_arrival_of_the_first_key_frame() {
    let mut line = Timeline::new(Pace::Live);
    assert_eq!(line.video(picture(900, 4900, false)), None);
    let first = line.video(picture(1000, 5000, true)).unwrap();
    assert_eq!(
        (pts_ms(first), first.discont, first.anchored),
        (5000, true, true)
    );
    let second = line.video(picture(1040, 5055, false)).unwrap();
    assert_eq!(
        (pts_ms(second), second.discont, second.anchored),
        (5040, false, false)
    );
}

#[test]
fn a_new_connection_goes_on_from_now() {
    let mut line = Timeline::new(Pace::Live);
    line.video(picture(77_000, 1000, true)).unwrap();
    line.reconnected();
    assert_eq!(line.video(picture(50, 9000, false)), None);
    let again = line.video(picture(90, 9040, true)).unwrap();
    assert_eq!(
        (pts_ms(again), again.discont, again.anchored),
        (9040, true, true)
    );
}

#[test]
fn left_out_pictures_do_not_move_time() {
    let mut line = Timeline::new(Pace::Live);
    line.video(picture(0, 0, true)).unwrap();
    line.gap();
    assert_eq!(line.video(picture(500, 500, false)), None);
    let next = line.video(picture(1000, 1010, true)).unwrap();
    assert_eq!(
        (pts_ms(next), next.discont, next.anchored),
        (1000, true, false)
    );
}

#[test]
fn loops_go_on_at_the_end_of_the_last_picture() {
    let mut line = Timeline::new(Pace::Free);
    let mut all = Vec::new();
    for _ in 0..3 {
        for n in 0..4 {
            let mut stamp = picture(2000 + n * 100, 0, n == 0);
            stamp.duration = Some(100 * MS);
            all.push(line.video(stamp).unwrap());
        }
        line.looped();
    }
    let times: Vec<i64> = all.iter().map(|mapped| pts_ms(*mapped)).collect();
    assert_eq!(times, (0..12).map(|n| n * 100).collect::<Vec<_>>());
    assert_eq!(all.iter().filter(|mapped| mapped.discont).count(), 1);
    assert_eq!(all.iter().filter(|mapped| mapped.anchored).count(), 1);
}

#[test]
fn stamps_that_are_no_distance_are_placed_by_arrival() {
    // Far ahead, far back, a little back, the same again, and more ahead of its arrival than a clock may drift.
    for (jump, key) in [
        (3_600_000, true),
        (3_600_000, false),
        (-3_600_000, false),
        (-1500, true),
        (-80, false),
        (-40, false),
        (20_000, false),
        (5000, false),
    ] {
        let mut line = Timeline::new(Pace::Live);
        line.declare_depth(Some(0));
        for n in 0..50 {
            line.video(picture(10_000 + n * 40, n * 40, n % 25 == 0))
                .unwrap();
        }
        let after = line.video(picture(12_000 + jump, 2005, key)).unwrap();
        assert!(after.discont, "{jump}");
        assert_eq!(pts_ms(after), 2005, "{jump}");
        // The pictures after it count from it.
        let next = line.video(picture(12_040 + jump, 2050, false)).unwrap();
        assert_eq!((pts_ms(next), next.discont), (2045, false), "{jump}");
    }
}

#[test]
fn reordered_pictures_may_jump_too() {
    let mut line = Timeline::new(Pace::Live);
    line.declare_rate(25, 1);
    line.declare_depth(Some(1));
    let mut out = Vec::new();
    let mut jump = 0;
    for group in 0..20_i64 {
        for (at, n) in [0, 3, 1, 2].into_iter().enumerate() {
            if group == 10 && at == 0 {
                jump = 3_600_000;
            }
            let decoded = group * 4 + i64::try_from(at).unwrap();
            let mut stamp = picture(
                (group * 4 + n) * 40 + jump,
                decoded * 40,
                group == 0 && at == 0,
            );
            stamp.reordered = n == 1 || n == 2;
            out.push(line.video(stamp).expect("every picture"));
        }
    }
    assert!(out.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    assert_eq!(out.iter().filter(|mapped| mapped.discont).count(), 2);
    let mut shown: Vec<u64> = out.iter().map(|mapped| mapped.pts).collect();
    shown.sort_unstable();
    let apart = |pair: &[u64]| (pair[1] - pair[0]) / 1_000_000;
    assert!(
        shown
            .windows(2)
            .all(|pair| (20..=80).contains(&apart(pair))),
        "{shown:?}"
    );
}

#[test]
fn missing_time_stamps_follow_the_arrival() {
    let mut line = Timeline::new(Pace::Live);
    let bare = |arrival_ms: i64| Stamp {
        arrival: arrival_ms * MS,
        key: true,
        ..Stamp::default()
    };
    let times: Vec<i64> = [100, 145, 180, 300]
        .map(|ms| pts_ms(line.video(bare(ms)).unwrap()))
        .to_vec();
    assert_eq!(times, [100, 145, 180, 300]);
}

#[test]
fn a_paced_source_that_falls_behind_goes_on_from_now() {
    let mut line = Timeline::new(Pace::Paced);
    line.video(picture(0, 1000, true)).unwrap();
    let near = line.video(picture(40, 2900, false)).unwrap();
    assert_eq!((pts_ms(near), near.anchored), (1040, false));
    let far = line.video(picture(80, 9000, false)).unwrap();
    assert_eq!((pts_ms(far), far.anchored, far.discont), (9000, true, true));
}

#[test]
fn a_slow_clock_is_followed() {
    let mut line = Timeline::new(Pace::Live);
    let mut worst = 0;
    // 25 pictures a second for an hour, by a clock that is 300 millionths slow, and a network that jitters.
    for n in 0..90_000_i64 {
        let arrival = n * 40 * MS;
        let mapped = line
            .video(Stamp {
                pts: Some(arrival - arrival * 3 / 10_000),
                arrival: arrival + (n * 7919 % 30) * MS,
                key: n % 50 == 0,
                ..Stamp::default()
            })
            .unwrap();
        worst = worst.max((i64::try_from(mapped.pts).unwrap() - arrival).abs());
        assert!(n == 0 || !mapped.discont);
    }
    assert!(worst < 40 * MS, "{} ms", worst / MS);
}

#[test]
fn reordered_pictures_get_decoding_times() {
    let mut line = Timeline::new(Pace::Live);
    line.declare_rate(25, 1);
    let mut out = Vec::new();
    for group in 0..4 {
        for (at, n) in [0, 3, 1, 2, 6, 4, 5].into_iter().enumerate() {
            let frame = group * 7 + n;
            let decoded = group * 7 + i64::try_from(at).unwrap();
            let mut stamp = picture(frame * 40, decoded * 40, at == 0);
            stamp.reordered = [1, 2, 4, 5].contains(&n);
            out.extend(line.video(stamp));
        }
    }
    // One group teaches the depth, all later ones are whole.
    assert!(out.len() >= 21, "{}", out.len());
    for pair in out.windows(2) {
        assert!(pair[0].dts < pair[1].dts);
    }
    let whole = &out[out.len() - 21..];
    let mut shown: Vec<u64> = whole.iter().map(|mapped| mapped.pts).collect();
    shown.sort_unstable();
    assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == 40_000_000));
}

#[test]
fn sound_keeps_its_distance_to_the_pictures() {
    let mut line = Timeline::new(Pace::Live);
    let sound = |ms: i64| Stamp {
        pts: Some(ms * MS),
        duration: Some(20 * MS),
        arrival: (ms + 4090) * MS,
        ..Stamp::default()
    };
    assert_eq!(line.audio(sound(990)), None);
    line.video(picture(1000, 5000, true)).unwrap();
    let first = line.audio(sound(1010)).unwrap();
    assert_eq!((pts_ms(first), first.discont), (5010, true));
    assert_eq!(line.audio(sound(1012)), None);
    let next = line.audio(sound(1030)).unwrap();
    assert_eq!((pts_ms(next), next.discont), (5030, false));
    assert!(line.audio(sound(1300)).unwrap().discont);
}

#[test]
fn sound_out_of_step_is_tied_by_its_own_arrival() {
    // Its zero is its own first packet: it came three seconds after the pictures.
    let mut line = Timeline::new(Pace::Live);
    for n in 0..100 {
        line.video(picture(n * 40, 1000 + n * 40, n == 0)).unwrap();
    }
    let sound = |ms: i64, arrival: i64| Stamp {
        pts: Some(ms * MS),
        duration: Some(20 * MS),
        arrival: arrival * MS,
        ..Stamp::default()
    };
    let first = line.audio(sound(0, 4000)).unwrap();
    assert_eq!((pts_ms(first), first.discont), (4000, true));
    let next = line.audio(sound(20, 4033)).unwrap();
    assert_eq!((pts_ms(next), next.discont), (4020, false));
    // Its stamps go back, repeat and leap: each time arrival decides once.
    for (stamp, arrival) in [(-50_000, 4100), (-50_000, 4200), (3_600_000, 4300)] {
        let placed = line.audio(sound(stamp, arrival)).unwrap();
        assert_eq!((pts_ms(placed), placed.discont), (arrival, true));
    }
}

#[test]
fn sound_that_stops_is_waited_for_in_vain_for_two_seconds_only() {
    let mut line = Timeline::new(Pace::Live);
    let sound = |ms: i64| Stamp {
        pts: Some(ms * MS),
        duration: Some(20 * MS),
        arrival: (ms + 1000) * MS,
        ..Stamp::default()
    };
    let mut missing = Vec::new();
    for n in 0..200 {
        line.video(picture(n * 40, 1000 + n * 40, n == 0)).unwrap();
        if n == 0 {
            assert_eq!(line.missing_sound(), None, "there is no sound yet");
            line.audio(sound(0)).unwrap();
        }
        missing.extend(line.missing_sound());
    }
    // Gaps lie end to end and keep a second behind the pictures.
    assert_eq!(missing[0].0, 1_020_000_000);
    for pair in missing.windows(2) {
        assert_eq!(pair[0].0 + pair[0].1, pair[1].0);
    }
    let end = missing
        .last()
        .map(|(start, length)| start + length)
        .unwrap();
    assert!((6_900_000_000..=8_000_000_000).contains(&end), "{end}");
    let back = line.audio(sound(7960)).unwrap();
    assert_eq!((pts_ms(back), back.discont), (8960, true));
}

#[derive(Debug, Clone)]
enum Step {
    Video(Stamp),
    Audio(Stamp),
    Loop,
    Reconnect,
    Gap,
    MissingSound,
    Depth(Option<usize>),
}

fn stamp() -> impl Strategy<Value = Stamp> {
    let time = prop_oneof![
        4 => proptest::option::of(0..10_000_000_000_i64),
        1 => proptest::option::of(any::<i64>().prop_map(|n| n / 4)),
    ];
    (
        time.clone(),
        prop_oneof![3 => Just(None), 1 => time],
        proptest::option::of(any::<i32>().prop_map(i64::from)),
        0..100_000_000_000_i64,
        any::<[bool; 2]>(),
    )
        .prop_map(|(pts, dts, duration, arrival, [key, reordered])| Stamp {
            pts,
            dts,
            duration,
            arrival,
            key,
            reordered,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => stamp().prop_map(Step::Video),
        3 => stamp().prop_map(Step::Audio),
        1 => Just(Step::Loop),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Gap),
        1 => Just(Step::MissingSound),
        1 => proptest::option::of(0..20_usize).prop_map(Step::Depth),
    ]
}

#[test]
fn a_clock_that_runs_fast_for_long_does_not_run_away() {
    for step in [45, 371, 2000, 9000] {
        let mut line = Timeline::new(Pace::Live);
        line.declare_depth(Some(0));
        let mut most = 0;
        for n in 0..500 {
            let arrival = 500 + n * 40;
            let mapped = line
                .video(picture(1_000_000 + n * step, arrival, n == 0))
                .unwrap();
            most = most.max(pts_ms(mapped) - arrival);
        }
        assert!(most <= 3_500, "{most} ms ahead with steps of {step} ms");
    }
}

proptest! {
    #[test]
    fn output_never_goes_backwards(
        pace in prop_oneof![Just(Pace::Live), Just(Pace::Paced), Just(Pace::Free)],
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut line = Timeline::new(pace);
        let (mut dts, mut sound, mut latest) = (None, None, 0);
        for step in steps {
            match step {
                Step::Video(stamp) => {
                    let Some(mapped) = line.video(stamp) else { continue };
                    prop_assert!(mapped.dts <= mapped.pts);
                    prop_assert!(dts.is_none_or(|last| mapped.dts > last));
                    if mapped.anchored {
                        prop_assert!(mapped.pts >= latest, "{} after {latest}", mapped.pts);
                    }
                    dts = Some(mapped.dts);
                    latest = latest.max(mapped.pts);
                }
                Step::Audio(stamp) => {
                    let Some(mapped) = line.audio(stamp) else { continue };
                    prop_assert!(sound.is_none_or(|last| mapped.pts > last));
                    sound = Some(mapped.pts);
                }
                Step::Loop => line.looped(),
                Step::Reconnect => line.reconnected(),
                Step::Gap => line.gap(),
                Step::Depth(depth) => line.declare_depth(depth),
                Step::MissingSound => {
                    let Some((start, length)) = line.missing_sound() else { continue };
                    prop_assert!(sound.is_some_and(|last| start >= last));
                    sound = Some(start + length - 1);
                }
            }
        }
    }

    /// Whatever the clock of a camera does, its pictures stand where they came.
    #[test]
    fn live_pictures_stay_near_their_arrival(
        steps in proptest::collection::vec(
            prop_oneof![20 => Just(40_i64), 1 => Just(0), 1 => -5000..5000_i64, 1 => any::<i32>().prop_map(i64::from)],
            1..200),
        jitter in 0..30_i64,
    ) {
        let mut line = Timeline::new(Pace::Live);
        line.declare_depth(Some(0));
        let mut stamp = 1_000_000;
        for (n, step) in (0..).zip(steps) {
            let arrival = 500 + n * 40 + n * 7919 % (jitter + 1);
            let mapped = line.video(picture(stamp, arrival, n == 0)).expect("no picture is left out");
            let off = pts_ms(mapped) - arrival;
            prop_assert!((-10_000..=3500).contains(&off), "{off} ms at {n}");
            stamp += step;
        }
    }
}
