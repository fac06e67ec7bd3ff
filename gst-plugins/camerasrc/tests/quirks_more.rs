//! What RTSP cameras do wrong with their packets, their descriptions and their sound, by a camera that follows a script.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gst::prelude::*;
use nvr_contract::source::{LossReason, SourceState, VideoCodec};
use nvr_contract::stats;
use support::camera::{Camera, Script, Wire};
use support::media::{Clip, PCMA, PCMU, Rtp, X264, X265, sdp};
use support::{Run, check_order, run};

mod support;

const MS: u64 = 1_000_000;

fn clip(kind: usize) -> &'static Clip {
    static CLIPS: [OnceLock<Clip>; 3] = [const { OnceLock::new() }; 3];
    CLIPS[kind].get_or_init(|| match kind {
        0 => Clip::new(X264, 20, (160, 120)),
        1 => Clip::new(X264, 20, (320, 240)),
        _ => Clip::new(X265, 20, (160, 120)),
    })
}

fn hasty(uri: &str) -> Run {
    let run = run(uri);
    run.source.set_property("timeout", 1500 * MS);
    run.source.set_property("retry-first", 20 * MS);
    run.source.set_property("retry-longest", 50 * MS);
    run.source.set_property_from_str("transport", "tcp");
    run
}

/// Sends pictures of a clip at 25 a second; false when nobody listens any more.
fn send(wire: &mut Wire, rtp: &mut Rtp, clip: &Clip, range: std::ops::Range<usize>) -> bool {
    for n in range {
        let picture = clip.at(n);
        if !wire.send_all(0, &rtp.picture(clip.h265, &picture, picture.ticks as u32)) {
            return false;
        }
        wire.pause(40);
    }
    true
}

fn count(run: &Run, name: &str) -> u64 {
    let stats = run.source.property::<gst::Structure>("stats");
    stats.get(name).unwrap()
}

fn width(caps: &gst::Caps) -> i32 {
    caps.structure(0).unwrap().get("width").unwrap()
}

/// A line of `/proc/self/status`, its number.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64
}

/// The info messages so far.
fn notes(run: &Run) -> Vec<String> {
    let bus = run.pipeline.bus().unwrap();
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Info]))
        .filter_map(|message| match message.view() {
            gst::MessageView::Info(info) => Some(info.error().to_string()),
            _ => None,
        })
        .collect()
}

#[test]
fn the_transport_that_works_is_found_in_one_attempt_and_remembered() {
    // Phase 0: TCP is refused. 1: nothing arrives by TCP. 2: nothing arrives by UDP any more.
    for first in [0, 1] {
        static PHASE: AtomicUsize = AtomicUsize::new(0);
        PHASE.store(first, Ordering::SeqCst);
        let mut script = Script::new(&clip(0).sdp(), |wire| {
            let udp = wire.is_udp();
            let works = (PHASE.load(Ordering::SeqCst) < 2) == udp;
            while works && (PHASE.load(Ordering::SeqCst) < 2) == udp && !wire.stopped() {
                send(wire, &mut Rtp::new(96), clip(0), 0..20);
            }
        });
        if first == 0 {
            script = script.refusing("interleaved", 461);
        }
        let camera = Camera::start(vec![script]);
        let run = hasty(&camera.uri());
        run.source.set_property_from_str("transport", "auto");
        let start = Instant::now();
        let run = run.play();
        let change = run.change();
        assert_eq!(change.state, SourceState::Connected, "{first}: {change:?}");
        assert!(
            start.elapsed() < Duration::from_millis(4000),
            "{:?}",
            start.elapsed()
        );
        check_order(&run.take(20));
        if first == 0 {
            continue;
        }
        PHASE.store(2, Ordering::SeqCst);
        let setups = || -> Vec<bool> {
            let requests = camera.requests();
            let setups = requests.iter().filter(|request| request.method == "SETUP");
            setups
                .map(|request| request.transport.contains("client_port"))
                .collect()
        };
        assert_eq!(setups(), [false, true]);
        assert_eq!(run.change().reason, Some(LossReason::Silent));
        let change = run.change();
        assert_eq!(change.state, SourceState::Restored, "{change:?}");
        // First what worked last, then the other.
        assert_eq!(setups(), [false, true, true, false]);
    }
}

#[test]
fn keepalives_are_what_servers_want() {
    let mut script = Script::new(&clip(0).sdp(), |wire| {
        send(wire, &mut Rtp::new(96), clip(0), 0..1000);
    });
    script.session_timeout = 2;
    let camera = Camera::start(vec![script]);
    let run = hasty(&camera.uri()).play();
    let pictures = run.take(100);
    assert!(pictures[1..].iter().all(|picture| !picture.discont));
    let methods: Vec<String> = camera
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert!(methods.contains(&"OPTIONS".to_owned()), "{methods:?}");
    assert!(methods.contains(&"GET_PARAMETER".to_owned()), "{methods:?}");
    drop(run);
    // And the goodbye is said.
    let start = Instant::now();
    while camera.requests().last().unwrap().method != "TEARDOWN" {
        assert!(start.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn another_size_in_mid_stream_comes_with_its_own_caps() {
    let camera = Camera::start(vec![Script::new(&clip(0).sdp(), |wire| {
        let mut rtp = Rtp::new(96);
        send(wire, &mut rtp, clip(0), 0..15);
        let change = |n: usize, wire: &mut Wire, rtp: &mut Rtp| {
            let mut picture = clip(1).at(n);
            if n == 2 {
                // The parameter sets come within a group, with a picture that refers to another size.
                let sets = clip(1).pictures[0].units.clone();
                let sets = sets
                    .into_iter()
                    .filter(|unit| matches!(unit[0] & 0x1f, 7 | 8));
                picture.units = sets.chain(picture.units).collect();
            }
            wire.send_all(
                0,
                &rtp.picture(false, &picture, picture.ticks as u32 + 15 * 3600),
            );
            wire.pause(40);
        };
        for n in 2..1000 {
            change(n, wire, &mut rtp);
        }
    })]);
    let run = hasty(&camera.uri()).play();
    let pictures = run.take(40);
    check_order(&pictures);
    let at = pictures
        .iter()
        .position(|picture| width(&picture.caps) == 320)
        .unwrap();
    assert_eq!(at, 15);
    assert!(pictures[at].key && pictures[at].discont);
    assert!(
        pictures[at..]
            .iter()
            .all(|picture| width(&picture.caps) == 320)
    );
    assert!(pictures[at + 1..].iter().all(|picture| !picture.discont));
    let data = |n: usize| {
        let caps = pictures[n].caps.structure(0).unwrap();
        caps.get::<gst::Buffer>("codec_data")
            .unwrap()
            .map_readable()
            .unwrap()
            .to_vec()
    };
    assert_ne!(data(0), data(at));
}

#[test]
fn another_codec_comes_with_another_connection() {
    let camera = Camera::start(vec![
        Script::new(&clip(0).sdp(), |wire| {
            send(wire, &mut Rtp::new(96), clip(0), 0..12);
            wire.close();
        }),
        Script::new(&clip(2).sdp(), |wire| {
            send(wire, &mut Rtp::new(96), clip(2), 0..1000);
        }),
    ]);
    let run = hasty(&camera.uri()).play();
    assert_eq!(run.change().codec, Some(VideoCodec::H264));
    assert_eq!(run.change().state, SourceState::Lost);
    let restored = run.change();
    assert_eq!(
        (restored.state, restored.codec),
        (SourceState::Restored, Some(VideoCodec::H265))
    );
    let pictures = run.take(30);
    check_order(&pictures);
    let h265 =
        |picture: &&support::Picture| picture.caps.structure(0).unwrap().name() == "video/x-h265";
    let first = pictures.iter().find(h265).unwrap();
    assert!(first.key && first.discont);
}

#[test]
fn what_is_offered_is_told_when_nothing_can_be_taken() {
    let video = |encoding: &str| {
        format!("m=video 0 RTP/AVP 97\r\na=rtpmap:97 {encoding}/90000\r\na=control:video\r\n")
    };
    for (media, part) in [
        (video("X-QDM"), "video/x-qdm"),
        (video("MP4V-ES"), "video/mp4v-es"),
        (video("raw"), "video/raw"),
        (video("JPEG"), "video/jpeg"),
        (PCMU.to_owned(), "audio/pcmu"),
        (video("VP8") + PCMA, "video/vp8, audio/pcma"),
        (video("AV1").repeat(30), "others"),
    ] {
        let camera = Camera::start(vec![Script::new(&sdp(&[&media]), |_| ())]);
        let run = hasty(&camera.uri()).play();
        let lost = run.change();
        assert_eq!(lost.reason, Some(LossReason::UnsupportedCodec), "{part}");
        let detail = lost.detail.unwrap();
        assert!(detail.contains(part), "{detail}");
    }
}

#[test]
fn broken_descriptions_are_refused_in_a_sentence() {
    let giant = clip(0).sdp() + &"a=x:0123456789abcdef\r\n".repeat(50_000);
    for text in [
        String::new(),
        "\0\u{1b}[31m\u{ff}".repeat(100),
        "v=0\r\nm=video\r\n".to_owned(),
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96\r\n"
            .to_owned(),
        clip(0).sdp().replace("90000", "0"),
        giant,
    ] {
        let camera = Camera::start(vec![Script::new(&text, |_| ())]);
        let run = hasty(&camera.uri()).play();
        let lost = run.change();
        assert!(
            matches!(
                lost.reason,
                Some(LossReason::Protocol | LossReason::UnsupportedCodec | LossReason::Silent)
            ),
            "{lost:?}"
        );
        let detail = lost.detail.unwrap();
        assert!(
            detail.len() < 260 && !detail.chars().any(char::is_control),
            "{detail}"
        );
        println!("{detail}");
    }
}

#[test]
fn pictures_without_parameter_sets_are_a_loss_with_a_reason() {
    let camera = Camera::start(vec![Script::new(&clip(0).sdp(), |wire| {
        let mut rtp = Rtp::new(96);
        for n in 0..1000 {
            let mut picture = clip(0).at(n);
            picture
                .units
                .retain(|unit| !matches!(unit[0] & 0x1f, 7 | 8));
            wire.send_all(0, &rtp.picture(false, &picture, picture.ticks as u32));
            wire.pause(40);
        }
    })]);
    let run = hasty(&camera.uri()).play();
    let lost = run.change();
    assert_eq!(lost.reason, Some(LossReason::Protocol));
    assert!(lost.detail.unwrap().contains("parameter sets"));
}

#[test]
fn noise_between_pictures_costs_pictures_and_nothing_else() {
    let camera = Camera::start(vec![Script::new(&clip(0).sdp(), |wire| {
        let mut rtp = Rtp::new(96);
        let mut noise = 1_u32;
        for n in 0..1000 {
            let picture = clip(0).at(n);
            let mut packets = rtp.picture(false, &picture, picture.ticks as u32);
            let mut random = || {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                noise >> 8
            };
            match n {
                // A packet is lost; a fragment breaks off; the first packet of a picture is lost.
                12 => drop(packets.remove(packets.len() - 1)),
                25 => packets[0].truncate(14),
                34 => drop(packets.remove(0)),
                // Noise as RTP of the right stream, as no RTP, and on a channel that is nobody's.
                15 => {
                    for _ in 0..20 {
                        let bytes: Vec<u8> = (0..random() % 60).map(|_| random() as u8).collect();
                        packets.push(rtp.packet(
                            picture.ticks as u32 + 1,
                            random() % 2 == 0,
                            &bytes,
                        ));
                    }
                }
                18 => packets.extend((0..20).map(|n| vec![0xff; n])),
                21 => {
                    wire.raw(&[b'$', 9, 0, 3, 1, 2, 3]);
                }
                // Somebody else's packets.
                28 => packets.extend((0..20).map(|_| {
                    let mut other = rtp.packet(7, true, &[0x41, 0x9a, 1]);
                    rtp.seq -= 1;
                    other[11] = 99;
                    other
                })),
                _ => {}
            }
            if !wire.send_all(0, &packets) {
                return;
            }
            wire.pause(40);
        }
    })]);
    let run = hasty(&camera.uri()).play();
    let pictures = run.take(60);
    check_order(&pictures);
    assert_eq!(camera.connections(), 1);
    let corrupted = pictures.iter().filter(|picture| picture.corrupted).count();
    assert!((3..=6).contains(&corrupted), "{corrupted}");
    assert!(
        pictures
            .iter()
            .filter(|picture| picture.corrupted)
            .all(|picture| picture.discont)
    );
    let last = &pictures[45..];
    assert!(
        last.iter()
            .all(|picture| !picture.corrupted && !picture.discont)
    );
}

#[test]
fn a_picture_of_a_hundred_megabytes_is_left_out() {
    let camera = Camera::start(vec![Script::new(&clip(0).sdp(), |wire| {
        let mut rtp = Rtp::new(96);
        send(wire, &mut rtp, clip(0), 0..13);
        let body = vec![0xaa; 60_000];
        let ticks = clip(0).at(13).ticks as u32;
        for n in 0..1700 {
            let head = [0x7c, if n == 0 { 0x85 } else { 0x05 }];
            if !wire.send(0, &rtp.packet(ticks, false, &[&head[..], &body].concat())) {
                return;
            }
        }
        let end = rtp.packet(ticks, true, &[0x7c, 0x45, 1]);
        wire.send(0, &end);
        send(wire, &mut rtp, clip(0), 14..2000);
    })]);
    let run = hasty(&camera.uri());
    run.source.set_property("timeout", 20_000 * MS);
    let run = run.play();
    run.take(13);
    let before = status("VmRSS:");
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let pictures = run.take(20);
    let peak = status("VmHWM:");
    assert!(peak < before + (64 << 10), "{before} kB, then {peak} kB");
    check_order(&pictures);
    // It goes on with the next key frame, in the same connection.
    assert!(pictures[0].key && pictures[0].discont);
    assert_eq!(camera.connections(), 1);
    // The picture itself, and those up to the key frame.
    assert_eq!(count(&run, stats::FRAMES_DROPPED), 7);
}

#[test]
fn flapping_leaves_nothing_behind() {
    for (transport, flaps) in [("tcp", 50), ("udp", 20)] {
        let short = Script::new(&clip(0).sdp(), |wire| {
            let picture = &clip(0).pictures[0];
            wire.send_all(0, &Rtp::new(96).picture(false, picture, 0));
            wire.pause(10);
            wire.close();
        });
        let long = |pictures| {
            Script::new(&clip(0).sdp(), move |wire: &mut Wire| {
                send(wire, &mut Rtp::new(96), clip(0), 0..pictures);
                // What is open now is what is compared with, so the first connection is still there then.
                wire.pause(1000);
                wire.close();
            })
        };
        let slam = Script {
            slam: true,
            ..short.clone()
        };
        let mut scripts = vec![long(25)];
        for n in 0..flaps {
            scripts.push(match n % 5 {
                3 => slam.clone(),
                4 => short.clone().refusing("PLAY", 500),
                _ => short.clone(),
            });
        }
        scripts.push(long(100_000));
        let camera = Camera::start(scripts);
        let run = hasty(&camera.uri());
        run.source.set_property("retry-first", 10 * MS);
        run.source.set_property("retry-longest", 10 * MS);
        run.source.set_property_from_str("transport", transport);
        let run = run.play();
        run.take(10);
        let (threads, files) = (status("Threads:"), descriptors());
        let start = Instant::now();
        let near = |now: u64, then: u64| now <= then + 2;
        while camera.connections() <= flaps
            || !near(status("Threads:"), threads)
            || !near(descriptors(), files)
        {
            assert!(
                start.elapsed() < Duration::from_secs(40),
                "{transport}: {} connections, threads {threads}, then {}, files {files}, then {}",
                camera.connections(),
                status("Threads:"),
                descriptors()
            );
            camera.forget_closed();
            std::thread::sleep(Duration::from_millis(50));
        }
        check_order(&run.take(10));
        println!("{transport}: {:?}", start.elapsed());
    }
}

#[test]
fn stopping_does_not_wait_for_a_dead_camera() {
    let script = Script::new(&clip(0).sdp(), |wire| {
        send(wire, &mut Rtp::new(96), clip(0), 0..1000);
    });
    let camera = Camera::start(vec![script.muting("TEARDOWN")]);
    for transport in ["tcp", "udp"] {
        let run = hasty(&camera.uri());
        run.source.set_property_from_str("transport", transport);
        let run = run.play();
        run.take(5);
        let start = Instant::now();
        run.pipeline.set_state(gst::State::Null).unwrap();
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
    }
}

/// What came out of the pad of the sound.
#[derive(Debug)]
enum Heard {
    Caps(gst::Caps),
    /// From and to, nanoseconds.
    Gap(u64, u64),
    Sound(u64, bool),
}

fn listen(run: &Run) -> Receiver<Heard> {
    let (send, heard) = channel();
    let pipeline = run.pipeline.downgrade();
    run.source.connect_pad_added(move |_, pad| {
        let pipeline = pipeline.upgrade().unwrap();
        let sink = gst::ElementFactory::make("fakesink")
            .property("async", false)
            .build()
            .unwrap();
        pipeline.add(&sink).unwrap();
        sink.sync_state_with_parent().unwrap();
        let send = send.clone();
        let all = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
        pad.add_probe(all, move |_, info| {
            let heard = match &info.data {
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Caps(caps) => Some(Heard::Caps(caps.caps_owned())),
                    gst::EventView::Gap(gap) => {
                        let (start, length) = gap.get();
                        let start = start.nseconds();
                        length.map(|length| Heard::Gap(start, start + length.nseconds()))
                    }
                    _ => None,
                },
                Some(gst::PadProbeData::Buffer(buffer)) => Some(Heard::Sound(
                    buffer.pts().unwrap().nseconds(),
                    buffer.flags().contains(gst::BufferFlags::DISCONT),
                )),
                _ => None,
            };
            if let Some(heard) = heard {
                send.send(heard).ok();
            }
            gst::PadProbeReturn::Ok
        });
        pad.link(&sink.static_pad("sink").unwrap()).unwrap();
    });
    heard
}

#[test]
fn sound_may_come_late_go_and_come_back() {
    for (media, kind) in [(PCMU, "audio/x-mulaw"), (PCMA, "audio/x-alaw")] {
        let payload_type = if kind == "audio/x-mulaw" { 0 } else { 8 };
        let script = Script::new(&sdp(&[clip(0).media(), media]), move |wire| {
            let (mut pictures, mut sound) = (Rtp::new(96), Rtp::new(payload_type));
            sound.ssrc = 77;
            for n in 0..1000_u32 {
                // Two seconds late, three seconds of it, five seconds gone.
                if (50..125).contains(&n) || n >= 250 {
                    for half in 0..2 {
                        let packet = sound.packet((n * 2 + half) * 160, false, &[0x55; 160]);
                        wire.send(1, &packet);
                    }
                }
                if !send(wire, &mut pictures, clip(0), n as usize..n as usize + 1) {
                    return;
                }
            }
        });
        let camera = Camera::start(vec![script]);
        let run = hasty(&camera.uri());
        let heard = listen(&run);
        let run = run.play();
        let pictures = run.take(260);
        check_order(&pictures);
        assert!(pictures[1..].iter().all(|picture| !picture.discont));
        let start = pictures[0].pts;
        let all: Vec<Heard> = heard.try_iter().collect();
        let Heard::Caps(caps) = &all[0] else {
            panic!("{:?}", all[0])
        };
        let caps = caps.structure(0).unwrap();
        assert_eq!(caps.name(), kind);
        assert_eq!(
            (caps.get::<i32>("rate"), caps.get::<i32>("channels")),
            (Ok(8000), Ok(1))
        );
        let mut end = None;
        let (mut gaps, mut holes) = (0, 0);
        for heard in &all[1..] {
            match heard {
                Heard::Gap(from, to) => {
                    assert!(end.is_none_or(|end| *from >= end));
                    end = Some(*to);
                    gaps += 1;
                }
                Heard::Sound(pts, discont) => {
                    if end.is_none() {
                        let late = (pts - start) / MS;
                        assert!((1950..2150).contains(&late), "{late} ms");
                        assert!(*discont);
                    } else if *discont {
                        holes += 1;
                        // It stands by its own arrival again, ten seconds after the start.
                        let at = (pts - start) / MS;
                        assert!((9900..10_200).contains(&at), "{at} ms");
                    }
                    end = Some(pts + 20 * MS);
                }
                Heard::Caps(caps) => panic!("{caps}"),
            }
        }
        assert!(gaps >= 2, "{gaps}");
        assert_eq!(holes, 1);
        assert_eq!(notes(&run), [""; 0]);
    }
}

#[test]
fn opus_comes_as_it_is() {
    let opus = "m=audio 0 RTP/AVP 99\r\na=rtpmap:99 opus/48000/2\r\na=control:audio\r\n";
    let script = Script::new(&sdp(&[clip(0).media(), opus]), |wire| {
        let (mut pictures, mut sound) = (Rtp::new(96), Rtp::new(99));
        for n in 0..1000_u32 {
            // Two frames of 20 ms with each picture, once a packet that is no Opus.
            let payload: &[u8] = if n == 20 { &[0xfb] } else { &[0xf9, 1, 2, 3] };
            wire.send(1, &sound.packet(n * 1920, false, payload));
            if !send(wire, &mut pictures, clip(0), n as usize..n as usize + 1) {
                return;
            }
        }
    });
    let camera = Camera::start(vec![script]);
    let run = hasty(&camera.uri());
    let heard = listen(&run);
    let run = run.play();
    check_order(&run.take(50));
    let all: Vec<Heard> = heard.try_iter().collect();
    let Heard::Caps(caps) = &all[0] else {
        panic!("{:?}", all[0])
    };
    let caps = caps.structure(0).unwrap();
    assert_eq!(caps.name(), "audio/x-opus");
    assert_eq!(caps.get::<i32>("channels"), Ok(2));
    let times: Vec<u64> = all[1..]
        .iter()
        .map(|heard| match heard {
            Heard::Sound(pts, _) => *pts,
            other => panic!("{other:?}"),
        })
        .collect();
    let long = times
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > 41 * MS)
        .count();
    assert!(times.len() > 40 && long == 1, "{} of {}", long, times.len());
    assert_eq!(camera.connections(), 1);
}

#[test]
fn sound_of_another_kind_is_left_out_with_one_word() {
    let speex = "m=audio 0 RTP/AVP 99\r\na=rtpmap:99 speex/16000\r\na=control:audio\r\n";
    let script = Script::new(&sdp(&[clip(0).media(), speex]), |wire| {
        send(wire, &mut Rtp::new(96), clip(0), 0..12);
        wire.close();
    });
    let camera = Camera::start(vec![script]);
    let run = hasty(&camera.uri()).play();
    check_order(&run.take(30));
    let notes = notes(&run);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("speex"), "{notes:?}");
    assert_eq!(
        camera
            .requests()
            .iter()
            .filter(|request| request.method == "SETUP")
            .count(),
        camera.connections(),
        "the sound is not even asked for"
    );
}
