//! What goes through `rtspsrc`: TLS, HTTP tunnels, and plain RTSP when it is asked for.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may fail loudly, and say when they are skipped"
)]

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_rtsp_server::prelude::*;
use nvr_contract::source::{LossReason, SourceState, VideoCodec};
use nvr_contract::stats;
use support::server::Server;
use support::{Run, check_order, init, run};

mod support;

const CAMERA: &str = "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 ! \
     x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=-1 )";

fn data(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
        .display()
        .to_string()
}

/// Whether this machine can do TLS at all.
fn can_tls() -> bool {
    init();
    let can = gio::TlsBackend::default().supports_tls();
    if !can {
        println!("SKIP: no TLS for GLib: install the Debian package glib-networking");
    }
    can
}

/// A camera that speaks nothing but TLS, with the certificate of the tests.
fn secure(port: i32) -> Server {
    Server::start_with(port, CAMERA, |server| {
        let auth = gst_rtsp_server::RTSPAuth::new();
        let certificate = gio::TlsCertificate::from_file(data("camera.pem")).unwrap();
        auth.set_tls_certificate(Some(&certificate));
        let mut anyone = gst_rtsp_server::RTSPToken::builder()
            .field("media.factory.role", "anonymous")
            .build();
        auth.set_default_token(Some(&mut anyone));
        server.set_auth(Some(&auth));
    })
}

fn secure_uri(server: &Server) -> String {
    server.uri().replace("rtsp://", "rtsps://")
}

fn by_rtspsrc(uri: &str) -> Run {
    let run = run(uri);
    run.source.set_property_from_str("backend", "rtspsrc");
    run.source.set_property("timeout", 3_000_000_000_u64);
    run
}

#[test]
fn a_camera_with_tls_is_believed_by_its_certificate() {
    if !can_tls() {
        return;
    }
    let server = secure(0);
    for (property, value) in [
        ("tls-ca", data("camera.pem").to_value()),
        ("tls-insecure", true.to_value()),
    ] {
        let run = run(&secure_uri(&server));
        run.source.set_property_from_value(property, &value);
        let run = run.play();
        let pictures = run.take(20);
        check_order(&pictures);
        assert!(pictures[0].key && pictures[0].discont);
        assert_eq!(run.change().state, SourceState::Connected);
    }
}

#[test]
fn another_certificate_is_refused_with_a_sentence() {
    if !can_tls() {
        return;
    }
    let server = secure(0);
    for authorities in [None, Some(data("stranger.pem"))] {
        let run = run(&secure_uri(&server).replace("rtsps://", "rtsps://u:secret@"));
        run.source.set_property("tls-ca", authorities);
        let lost = run.play().change();
        assert_eq!(lost.state, SourceState::Lost);
        assert_eq!(lost.reason, Some(LossReason::Protocol), "{lost:?}");
        let detail = lost.detail.unwrap();
        assert!(
            detail.contains("nobody who is trusted has signed it"),
            "{detail}"
        );
        assert!(!detail.contains("secret"), "{detail}");
    }
    // The other way round: a camera without TLS.
    let plain = Server::start(0, CAMERA);
    let run = run(&secure_uri(&plain));
    run.source.set_property("timeout", 1_000_000_000_u64);
    let lost = run.play().change();
    assert_eq!(lost.state, SourceState::Lost, "{lost:?}");
}

#[test]
fn a_camera_with_tls_that_restarts_is_restored() {
    if !can_tls() {
        return;
    }
    check_restart(secure(0), &secure, |server| {
        let run = run(&secure_uri(server));
        run.source.set_property("tls-ca", data("camera.pem"));
        run.source.set_property("timeout", 3_000_000_000_u64);
        run
    });
}

#[test]
fn a_plain_camera_that_restarts_is_restored() {
    let start = |port| Server::start(port, CAMERA);
    check_restart(start(0), &start, |server| by_rtspsrc(&server.uri()));
}

fn check_restart(server: Server, start: &dyn Fn(i32) -> Server, run: impl Fn(&Server) -> Run) {
    let run = run(&server).play();
    let before = run.take(20);
    assert_eq!(run.change().state, SourceState::Connected);
    let port = server.port;
    drop(server);
    let lost = run.change();
    assert_eq!(lost.state, SourceState::Lost);
    // A connection with TLS that is cut off may look like one that has fallen silent.
    assert!(
        matches!(lost.reason, Some(LossReason::Ended | LossReason::Silent)),
        "{lost:?}"
    );
    let _server = start(port);
    let restored = loop {
        let change = run.change();
        if change.state != SourceState::Lost {
            break change;
        }
    };
    assert_eq!(restored.state, SourceState::Restored);
    let last = before.last().unwrap();
    let after = loop {
        let picture = run.next();
        if picture.anchor != last.anchor {
            break picture;
        }
    };
    assert!(after.discont && after.key && after.pts > last.pts);
    check_order(&run.take(20));
    let stats = run.source.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>(stats::RECONNECTS), Ok(1));
    assert_eq!(stats.get::<u64>(stats::ABANDONED), Ok(0));
}

#[test]
fn pictures_come_by_every_transport() {
    let h265 = CAMERA
        .replace("x264enc", "x265enc")
        .replace("rtph264pay", "rtph265pay");
    for (launch, codec) in [(CAMERA, VideoCodec::H264), (&h265, VideoCodec::H265)] {
        let server = Server::start(0, launch);
        for transport in ["tcp", "udp", "http"] {
            let run = by_rtspsrc(&server.uri());
            run.source.set_property_from_str("transport", transport);
            let run = run.play();
            let pictures = run.take(40);
            check_order(&pictures);
            let span = (pictures[39].pts - pictures[0].pts) / 1_000_000;
            assert!((1500..1640).contains(&span), "{transport}: {span} ms");
            assert!(
                pictures[0]
                    .caps
                    .structure(0)
                    .unwrap()
                    .has_field("codec_data")
            );
            let change = run.change();
            assert_eq!(
                (change.state, change.codec),
                (SourceState::Connected, Some(codec))
            );
            let start = Instant::now();
            run.pipeline.set_state(gst::State::Null).unwrap();
            assert!(start.elapsed() < Duration::from_secs(1), "{transport}");
        }
    }
}

#[test]
fn sound_comes_too() {
    init();
    for (chain, name) in [
        (
            "audioconvert ! audioresample ! audio/x-raw,rate=16000,channels=1 ! avenc_aac ! rtpmp4gpay",
            "audio/mpeg",
        ),
        (
            "audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay",
            "audio/x-mulaw",
        ),
        (
            "audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay",
            "audio/x-alaw",
        ),
    ] {
        if name == "audio/mpeg" && gst::ElementFactory::find("avenc_aac").is_none() {
            println!("SKIP: no avenc_aac, so no sound to send");
            continue;
        }
        let sound = format!(" audiotestsrc is-live=true ! {chain} name=pay1 pt=97 )");
        let server = Server::start(0, &CAMERA.replace(" )", &sound));
        let run = by_rtspsrc(&server.uri());
        let (send, caps) = channel();
        run.source.connect_pad_added(move |_, pad| {
            let send = send.clone();
            pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
                    send.send(caps.caps_owned()).ok();
                }
                gst::PadProbeReturn::Ok
            });
        });
        let run = run.play();
        check_order(&run.take(30));
        let caps = caps.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(caps.structure(0).unwrap().name(), name);
        check_order(&run.take(10));
    }
}

#[test]
fn reasons_are_told_apart() {
    let server = Server::start(0, CAMERA);
    let other = server.uri().replace("/cam", "/other");
    let lost = by_rtspsrc(&other).play().change();
    assert_eq!(lost.reason, Some(LossReason::NotFound), "{lost:?}");
    let jpeg = CAMERA
        .replace(
            "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10",
            "jpegenc",
        )
        .replace(
            "rtph264pay name=pay0 pt=96 config-interval=-1",
            "rtpjpegpay name=pay0 pt=26",
        );
    let jpeg = Server::start(0, &jpeg);
    let lost = by_rtspsrc(&jpeg.uri()).play().change();
    assert_eq!(lost.reason, Some(LossReason::UnsupportedCodec), "{lost:?}");
    assert!(lost.detail.unwrap().contains("video/JPEG"));
    let locked = Server::start_with(0, CAMERA, |server| {
        let auth = gst_rtsp_server::RTSPAuth::new();
        let token = gst_rtsp_server::RTSPToken::builder()
            .field("media.factory.role", "anonymous")
            .build();
        auth.add_basic(
            &gst_rtsp_server::RTSPAuth::make_basic("admin", "pa/ss"),
            &token,
        );
        server.set_auth(Some(&auth));
    });
    let uri = locked.uri();
    let lost = by_rtspsrc(&uri.replace("://", "://admin:wrong@"))
        .play()
        .change();
    assert_eq!(lost.reason, Some(LossReason::Unauthorized), "{lost:?}");
    assert!(!lost.detail.unwrap().contains("wrong"));
    let right = by_rtspsrc(&uri.replace("://", "://admin:pa%2Fss@"));
    assert_eq!(right.play().change().state, SourceState::Connected);

    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("rtsp://{}/x", free.local_addr().unwrap());
    drop(free);
    let lost = by_rtspsrc(&nobody).play().change();
    assert_eq!(lost.reason, Some(LossReason::Unreachable), "{lost:?}");
}

#[test]
fn a_camera_that_says_nothing_is_lost_and_left_fast() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = by_rtspsrc(&format!("rtsp://{}/x", listener.local_addr().unwrap()));
    run.source.set_property("timeout", 500_000_000_u64);
    let run = run.play();
    let lost = run.change();
    assert_eq!(lost.reason, Some(LossReason::Unreachable), "{lost:?}");
    let start = Instant::now();
    run.pipeline.set_state(gst::State::Null).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn mistakes_are_named() {
    for (uri, property, value, part) in [
        (
            "rtsps://cam/x",
            "backend",
            "retina",
            "retina speaks neither",
        ),
        ("rtsps://cam/x", "transport", "udp", "unencrypted"),
        ("rtsps://cam/x", "tls-ca", "/nowhere.pem", "/nowhere.pem"),
    ] {
        let run = run(uri);
        run.source.set_property_from_str(property, value);
        assert!(run.pipeline.set_state(gst::State::Playing).is_err());
        let error = run.end().unwrap_err();
        assert!(error.matches(gst::ResourceError::Settings), "{error:?}");
        assert!(error.message().contains(part), "{error}");
    }
}
