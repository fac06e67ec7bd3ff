//! What RTSP cameras do wrong, one by one, by a camera that follows a script.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gst::prelude::*;
use nvr_contract::source::{LossReason, SourceState};
use nvr_contract::stats;
use support::camera::{Camera, Script, Wire};
use support::media::{Clip, Rtp, X264, X264_B, X265, X265_B};
use support::{Picture, Run, check_order, run};

mod support;

const MS: u64 = 1_000_000;

fn h264() -> &'static Clip {
    static CLIP: OnceLock<Clip> = OnceLock::new();
    CLIP.get_or_init(|| Clip::new(X264, 20, (160, 120)))
}

fn h265() -> &'static Clip {
    static CLIP: OnceLock<Clip> = OnceLock::new();
    CLIP.get_or_init(|| Clip::new(X265, 20, (160, 120)))
}

fn b_pictures(h265: bool) -> &'static Clip {
    static CLIPS: [OnceLock<Clip>; 2] = [OnceLock::new(), OnceLock::new()];
    CLIPS[usize::from(h265)].get_or_init(|| {
        let encoder = if h265 { X265_B } else { X264_B };
        Clip::new(encoder, 36, (160, 120))
    })
}

/// A run that gives up and tries again fast.
fn hasty(uri: &str) -> Run {
    let run = run(uri);
    run.source.set_property("timeout", 1500 * MS);
    run.source.set_property("retry-first", 20 * MS);
    run.source.set_property("retry-longest", 50 * MS);
    run.source.set_property_from_str("transport", "tcp");
    run
}

/// Sends the pictures `range` of a clip at 25 a second, with the time stamps that `stamp` makes of theirs.
fn send(
    wire: &mut Wire,
    rtp: &mut Rtp,
    clip: &Clip,
    range: std::ops::Range<usize>,
    stamp: impl Fn(usize, i64) -> i64,
) {
    for n in range {
        let picture = clip.at(n);
        let ticks = stamp(n, picture.ticks) as u32;
        let packets = rtp.picture(clip.h265, &picture, ticks);
        if !wire.send_all(0, &packets) {
            return;
        }
        wire.pause(40);
    }
}

/// A camera that sends a clip for long, with time stamps as `stamp` makes them.
fn stamping(
    clip: &'static Clip,
    stamp: impl Fn(usize, i64) -> i64 + Send + Sync + 'static,
) -> Camera {
    Camera::start(vec![Script::new(&clip.sdp(), move |wire| {
        send(wire, &mut Rtp::new(96), clip, 0..10_000, &stamp);
    })])
}

/// Milliseconds from picture to picture as they are shown.
fn steps(pictures: &[Picture]) -> Vec<u64> {
    let mut shown: Vec<u64> = pictures.iter().map(|picture| picture.pts).collect();
    shown.sort_unstable();
    shown
        .windows(2)
        .map(|pair| (pair[1] - pair[0] + MS / 2) / MS)
        .collect()
}

fn count(run: &Run, name: &str) -> u64 {
    let stats = run.source.property::<gst::Structure>("stats");
    stats.get(name).unwrap()
}

#[test]
fn rtp_info_is_not_believed() {
    for info in [
        None,
        Some("url=video;seq=7;rtptime=0"),
        Some("url=video;seq=65000;rtptime=4000000000"),
        Some("url=video;seq=100;rtptime=2000000"),
    ] {
        let mut script = Script::new(&h264().sdp(), |wire| {
            send(wire, &mut Rtp::new(96), h264(), 0..1000, |_, ticks| {
                1_000_000 + ticks
            });
        });
        script.rtp_info = info.map(str::to_owned);
        let camera = Camera::start(vec![script]);
        let run = hasty(&camera.uri()).play();
        let pictures = run.take(30);
        check_order(&pictures);
        assert_eq!(camera.connections(), 1, "{info:?}");
        assert!(pictures[0].key && pictures[0].discont, "{info:?}");
        assert!(steps(&pictures).iter().all(|step| *step == 40), "{info:?}");
        assert!(
            pictures[1..].iter().all(|picture| !picture.discont),
            "{info:?}"
        );
    }
}

#[test]
fn a_start_within_a_group_waits_for_its_end() {
    for clip in [h264(), h265()] {
        let camera = Camera::start(vec![Script::new(&clip.sdp(), move |wire| {
            send(wire, &mut Rtp::new(96), clip, 4..1000, |_, ticks| ticks);
        })]);
        let run = hasty(&camera.uri()).play();
        let pictures = run.take(20);
        assert!(pictures[0].key && pictures[0].discont);
        assert!(steps(&pictures).iter().all(|step| *step == 40));
        // What cannot be decoded is counted where it is known what it is: parameter sets came with the key frame.
        assert_eq!(
            count(&run, stats::FRAMES_IN) - count(&run, stats::FRAMES_DROPPED),
            20
        );
    }
}

#[test]
fn left_out_pictures_are_counted() {
    // The description has the parameter sets, so the pictures before the key frame are known for what they are.
    let clip = h264();
    let first = &clip.pictures[0].units;
    let sets: Vec<String> = first
        .iter()
        .filter(|unit| matches!(unit[0] & 0x1f, 7 | 8))
        .map(|unit| gst::glib::base64_encode(unit).to_string())
        .collect();
    let sdp = clip.sdp().replace(
        "packetization-mode=1",
        &format!(
            "packetization-mode=1;sprop-parameter-sets={}",
            sets.join(",")
        ),
    );
    let camera = Camera::start(vec![Script::new(&sdp, move |wire| {
        send(wire, &mut Rtp::new(96), clip, 4..1000, |_, ticks| ticks);
    })]);
    let run = hasty(&camera.uri()).play();
    assert!(run.next().key);
    assert_eq!(count(&run, stats::FRAMES_DROPPED), 6);
}

#[test]
fn time_stamps_wrap() {
    let camera = stamping(h264(), |_, ticks| (1_i64 << 32) - 20 * 3600 + ticks);
    let run = hasty(&camera.uri()).play();
    let pictures = run.take(50);
    check_order(&pictures);
    assert!(steps(&pictures).iter().all(|step| *step == 40));
    assert!(pictures[1..].iter().all(|picture| !picture.discont));
}

#[test]
fn time_stamps_that_are_no_distance_give_way_to_arrival() {
    for (name, jump) in [
        ("an hour ahead", 3600 * 90_000),
        ("an hour back", -3600 * 90_000),
        ("a second back", -90_000),
        ("the same again", -3600),
        ("eleven seconds ahead", 11 * 90_000),
    ] {
        let camera = stamping(h264(), move |n, ticks| match n {
            // In the middle of a group: the pictures around it are whole, so none may be lost.
            0..15 => 10_000_000 + ticks,
            _ => 10_000_000 + ticks + jump,
        });
        let run = hasty(&camera.uri()).play();
        let pictures = run.take(40);
        check_order(&pictures);
        let disconts: Vec<usize> = (0..40).filter(|n| pictures[*n].discont).collect();
        assert_eq!(disconts, [0, 15], "{name}");
        assert_eq!(count(&run, stats::FRAMES_DROPPED), 0, "{name}");
        for (n, step) in steps(&pictures).into_iter().enumerate() {
            match n {
                14 => assert!((10..=120).contains(&step), "{name}: {step} ms"),
                _ => assert_eq!(step, 40, "{name} at {n}"),
            }
        }
        assert_eq!(camera.connections(), 1);
    }
}

#[test]
fn b_pictures_have_their_decoding_times_from_the_first_on() {
    static SILENT: OnceLock<Clip> = OnceLock::new();
    let silent = SILENT.get_or_init(|| b_pictures(false).without_word());
    for clip in [b_pictures(false), b_pictures(true), silent] {
        let camera = stamping(clip, |_, ticks| 5_000_000 + ticks);
        let run = hasty(&camera.uri()).play();
        let pictures = run.take(60);
        check_order(&pictures);
        assert_eq!(count(&run, stats::FRAMES_DROPPED), 0);
        assert!(pictures[1..].iter().all(|picture| !picture.discont));
        assert!(pictures.iter().any(|picture| picture.dts < picture.pts));
        let caps = pictures[0].caps.structure(0).unwrap();
        assert_eq!((caps.get("width"), caps.get("height")), (Ok(160), Ok(120)));
        let decoding: Vec<u64> = pictures
            .windows(2)
            .map(|pair| (pair[1].dts - pair[0].dts + MS / 2) / MS)
            .collect();
        assert!(decoding.iter().all(|step| *step == 40), "{decoding:?}");
        let shown = steps(&pictures);
        assert!(
            shown[..shown.len() - 3].iter().all(|step| *step == 40),
            "{shown:?}"
        );
    }
}

#[test]
fn one_picture_a_second_is_enough() {
    let camera = Camera::start(vec![Script::new(&h264().sdp(), |wire| {
        let mut rtp = Rtp::new(96);
        for n in 0..100 {
            let packets = rtp.picture(false, &h264().at(n), n as u32 * 90_000);
            wire.send_all(0, &packets);
            wire.pause(1000);
        }
    })]);
    let run = hasty(&camera.uri()).play();
    let pictures = run.take(4);
    assert_eq!(steps(&pictures), [1000, 1000, 1000]);
    assert!(pictures[1..].iter().all(|picture| !picture.discont));
}

#[test]
fn refusals_have_their_reasons() {
    for (word, code, reason, part) in [
        (
            "DESCRIBE",
            401,
            LossReason::Unauthorized,
            "refuses the user name",
        ),
        (
            "DESCRIBE",
            403,
            LossReason::Unauthorized,
            "refuses the user name",
        ),
        ("DESCRIBE", 404, LossReason::NotFound, "no such stream"),
        ("DESCRIBE", 503, LossReason::Unreachable, "503"),
        ("SETUP", 453, LossReason::Unreachable, "453"),
        ("PLAY", 455, LossReason::Protocol, "455"),
    ] {
        let script = Script::new(&h264().sdp(), |_| ()).refusing(word, code);
        let camera = Camera::start(vec![script]);
        let uri = camera.uri().replace("rtsp://", "rtsp://user:secret@");
        let run = hasty(&uri).play();
        for attempts in 1..4 {
            let lost = run.change();
            assert_eq!(lost.state, SourceState::Lost);
            assert_eq!(
                (lost.reason, lost.attempts),
                (Some(reason), attempts),
                "{code}"
            );
            let detail = lost.detail.unwrap();
            assert!(detail.contains(part), "{code}: {detail}");
            assert!(!detail.contains("secret") && detail.len() < 260, "{detail}");
        }
    }
}

#[test]
fn wrong_credentials_are_not_hammered() {
    let mut script = Script::new(&h264().sdp(), |_| ()).refusing("DESCRIBE", 401);
    script.challenge = "WWW-Authenticate: Digest realm=\"cam\", nonce=\"0\"\r\n";
    let camera = Camera::start(vec![script]);
    let run = hasty(&camera.uri().replace("rtsp://", "rtsp://user:secret@"));
    run.source.set_property("retry-longest", 600_000 * MS);
    let run = run.play();
    for _ in 0..2 {
        assert_eq!(run.change().reason, Some(LossReason::Unauthorized));
    }
    // One more soon, for a stale nonce looks the same; then a long time nothing.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(camera.connections(), 2);
}

#[test]
fn a_stale_nonce_is_got_over() {
    let good = Script::new(&h264().sdp(), |wire| {
        send(wire, &mut Rtp::new(96), h264(), 0..1000, |_, ticks| ticks);
    });
    let mut stale = good.clone().refusing("DESCRIBE", 401);
    stale.challenge = "WWW-Authenticate: Digest realm=\"cam\", nonce=\"0\", stale=true\r\n";
    let camera = Camera::start(vec![stale, good]);
    let run = hasty(&camera.uri().replace("rtsp://", "rtsp://user:secret@")).play();
    assert_eq!(run.change().reason, Some(LossReason::Unauthorized));
    assert_eq!(run.change().state, SourceState::Connected);
}

#[test]
fn silence_at_any_point_is_noticed() {
    for (mute, reason, part) in [
        ("DESCRIBE", LossReason::Unreachable, "does not answer"),
        ("SETUP", LossReason::Silent, "does not answer"),
        ("PLAY", LossReason::Silent, "does not answer"),
        ("nothing", LossReason::Silent, "no picture"),
    ] {
        let script = Script::new(&h264().sdp(), |_| ()).muting(mute);
        let camera = Camera::start(vec![script]);
        let run = hasty(&camera.uri());
        run.source.set_property("timeout", 300 * MS);
        let start = Instant::now();
        let run = run.play();
        let lost = run.change();
        assert_eq!(lost.reason, Some(reason), "{mute}");
        assert!(lost.detail.unwrap().contains(part), "{mute}");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{mute}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn a_camera_that_falls_silent_and_never_says_goodbye_comes_back() {
    // It stays connected, answers nothing any more, TEARDOWN neither; the next connection is fine again.
    let script = |from: usize, to: usize| {
        Script::new(&h264().sdp(), move |wire| {
            send(wire, &mut Rtp::new(96), h264(), from..to, |_, ticks| ticks);
        })
    };
    let camera = Camera::start(vec![
        script(0, 15).muting("TEARDOWN").muting("OPTIONS"),
        script(0, 1000),
    ]);
    let run = hasty(&camera.uri());
    run.source.set_property("timeout", 500 * MS);
    let run = run.play();
    assert_eq!(run.change().state, SourceState::Connected);
    let silent = Instant::now();
    let lost = run.change();
    assert_eq!((lost.reason, lost.attempts), (Some(LossReason::Silent), 1));
    assert_eq!(run.change().state, SourceState::Restored);
    assert!(
        silent.elapsed() < Duration::from_secs(5),
        "{:?}",
        silent.elapsed()
    );
    let pictures = run.take(30);
    check_order(&pictures);
    let again: Vec<&Picture> = pictures[1..]
        .iter()
        .filter(|picture| picture.discont)
        .collect();
    assert_eq!(again.len(), 1);
    assert!(again[0].key);
}

#[test]
fn a_reboot_is_a_loss_and_a_return() {
    let camera = Camera::start(vec![
        Script::new(&h264().sdp(), |wire| {
            send(wire, &mut Rtp::new(96), h264(), 0..12, |_, ticks| ticks);
            wire.close();
        }),
        Script {
            slam: true,
            ..Script::new("", |_| ())
        },
        Script::new("", |_| ()).refusing("DESCRIBE", 404),
        Script::new(&h264().sdp(), |wire| {
            send(wire, &mut Rtp::new(96), h264(), 3..1000, |_, ticks| {
                7_000_000 + ticks
            });
        }),
    ]);
    let run = hasty(&camera.uri()).play();
    let mut seen = Vec::new();
    while seen.last() != Some(&(SourceState::Restored, None)) {
        let change = run.change();
        seen.push((change.state, change.reason));
    }
    assert_eq!(
        seen,
        [
            (SourceState::Connected, None),
            (SourceState::Lost, Some(LossReason::Ended)),
            (SourceState::Lost, Some(LossReason::Ended)),
            (SourceState::Lost, Some(LossReason::NotFound)),
            (SourceState::Restored, None),
        ]
    );
    check_order(&run.take(20));
    assert_eq!(count(&run, stats::RECONNECTS), 1);
}
