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
fn clocks_that_jump_are_tied_anew() {
    for jump in [3_600_000, -3_600_000, -1500, 20_000] {
        let mut line = Timeline::new(Pace::Live);
        for n in 0..50 {
            line.video(picture(10_000 + n * 40, n * 40, n % 25 == 0))
                .unwrap();
        }
        let after = line
            .video(picture(12_000 + jump, 2000, true))
            .expect("a key frame");
        assert!(after.discont && after.anchored, "{jump}");
        assert!(
            (2000..2041).contains(&pts_ms(after)),
            "{jump}: {}",
            pts_ms(after)
        );
    }
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
            out.extend(line.video(picture(frame * 40, decoded * 40, at == 0)));
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

#[derive(Debug, Clone)]
enum Step {
    Video(Stamp),
    Audio(Stamp),
    Loop,
    Reconnect,
    Gap,
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
        any::<bool>(),
    )
        .prop_map(|(pts, dts, duration, arrival, key)| Stamp {
            pts,
            dts,
            duration,
            arrival,
            key,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => stamp().prop_map(Step::Video),
        3 => stamp().prop_map(Step::Audio),
        1 => Just(Step::Loop),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Gap),
    ]
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
            }
        }
    }
}
