//! RTSP cameras: a server in this process that is started, killed, and started again.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst_rtsp_server::gst_rtsp;
use gst_rtsp_server::prelude::*;
use nvr_contract::source::{LossReason, SourceState, VideoCodec};
use nvr_contract::stats;
use support::{Run, check_order, init, run};

mod support;

/// A camera that sends H.264 at 25 pictures a second, a key frame every ten.
const H264: &str = "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 ! \
     x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=-1 )";
const H265: &str = "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 ! \
     x265enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph265pay name=pay0 pt=96 config-interval=-1 )";

/// A server with a thread of its own.
struct Server {
    main: glib::MainLoop,
    thread: Option<std::thread::JoinHandle<()>>,
    port: i32,
}

impl Server {
    /// A server for one stream at `/cam`; port 0 is any free one.
    fn start(port: i32, launch: &str, password: Option<&str>) -> Self {
        init();
        let (send, ready) = channel();
        let (launch, password) = (launch.to_owned(), password.map(str::to_owned));
        let thread = std::thread::spawn(move || {
            let context = glib::MainContext::new();
            let main = glib::MainLoop::new(Some(&context), false);
            let server = gst_rtsp_server::RTSPServer::new();
            server.set_address("127.0.0.1");
            server.set_service(&port.to_string());
            // Connections live in this thread, so that this thread can cut them.
            server.thread_pool().unwrap().set_max_threads(0);
            let factory = gst_rtsp_server::RTSPMediaFactory::new();
            factory.set_launch(&launch);
            factory.set_shared(true);
            if let Some(password) = password {
                let auth = gst_rtsp_server::RTSPAuth::new();
                auth.set_supported_methods(gst_rtsp::RTSPAuthMethod::Digest);
                let token = gst_rtsp_server::RTSPToken::builder()
                    .field("media.factory.role", "viewer")
                    .build();
                auth.add_digest("admin", &password, &token);
                server.set_auth(Some(&auth));
                let role = gst::Structure::builder("viewer")
                    .field("media.factory.access", true)
                    .field("media.factory.construct", true)
                    .build();
                factory.add_role_from_structure(&role);
            }
            server.mount_points().unwrap().add_factory("/cam", factory);
            let source = server.attach(Some(&context)).unwrap();
            send.send((main.clone(), server.bound_port())).unwrap();
            main.run();
            server.client_filter(Some(&mut |_, _| gst_rtsp_server::RTSPFilterResult::Remove));
            context.find_source_by_id(&source).unwrap().destroy();
        });
        let (main, port) = ready.recv().unwrap();
        Self {
            main,
            thread: Some(thread),
            port,
        }
    }

    fn uri(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.main.quit();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn with_transport(run: Run, transport: &str) -> Run {
    run.source.set_property_from_str("transport", transport);
    run.source.set_property("timeout", 3_000_000_000_u64);
    run
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port()
}

#[test]
fn both_codecs_come_by_both_transports() {
    for (launch, codec, caps) in [
        (H264, VideoCodec::H264, "avc"),
        (H265, VideoCodec::H265, "hvc1"),
    ] {
        let server = Server::start(0, launch, None);
        for transport in ["tcp", "udp"] {
            let run = with_transport(run(&server.uri()), transport).play();
            let pictures = run.take(40);
            check_order(&pictures);
            assert!(pictures[0].key && pictures[0].discont);
            assert!(pictures.iter().all(|picture| picture.dts == picture.pts));
            let span = (pictures[39].pts - pictures[0].pts) / 1_000_000;
            assert!((1500..1640).contains(&span), "{transport}: {span} ms");
            assert_eq!(pictures[0].anchor.unwrap().pts_ns, pictures[0].pts);
            let structure = pictures[0].caps.structure(0).unwrap();
            assert_eq!(structure.get::<&str>("stream-format"), Ok(caps));
            assert!(structure.has_field("codec_data"));
            let change = run.change();
            assert_eq!(change.state, SourceState::Connected);
            assert_eq!(change.codec, Some(codec));
            assert_eq!((change.width, change.height), (Some(160), Some(120)));
        }
    }
}

#[test]
fn a_camera_that_restarts_is_lost_and_restored() {
    let server = Server::start(0, H264, None);
    let run = with_transport(run(&server.uri()), "tcp").play();
    let before = run.take(20);
    assert_eq!(run.change().state, SourceState::Connected);
    let port = server.port;
    drop(server);
    let lost = run.change();
    assert_eq!(lost.state, SourceState::Lost);
    assert_eq!(lost.reason, Some(LossReason::Ended));
    assert_eq!(lost.attempts, 1);
    let again = run.change();
    assert_eq!(again.reason, Some(LossReason::Unreachable));
    let _server = Server::start(port, H264, None);
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
    let (old, new) = (last.anchor.unwrap(), after.anchor.unwrap());
    assert_eq!(new.pts_ns, after.pts);
    // Both anchors tell the same clock.
    assert!(old.unix_us_of(after.pts).abs_diff(new.unix_us) < 500_000);
    check_order(&run.take(20));
    let reconnects = run.source.property::<gst::Structure>("stats");
    assert_eq!(reconnects.get::<u64>(stats::RECONNECTS), Ok(1));
}

#[test]
fn nobody_there_is_unreachable_and_no_error() {
    let run = run(&format!("rtsp://user:secret@127.0.0.1:{}/x", free_port())).play();
    for attempts in 1..3 {
        let lost = run.change();
        assert_eq!(lost.state, SourceState::Lost);
        assert_eq!(lost.reason, Some(LossReason::Unreachable));
        assert_eq!(lost.attempts, attempts);
        let detail = lost.detail.unwrap();
        assert!(detail.contains("Unable to connect"), "{detail}");
        assert!(!detail.contains("secret"), "{detail}");
    }
    let start = Instant::now();
    run.pipeline.set_state(gst::State::Null).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_camera_that_says_nothing_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("rtsp://{}/x", listener.local_addr().unwrap());
    let run = with_transport(run(&uri), "auto");
    run.source.set_property("timeout", 300_000_000_u64);
    let run = run.play();
    let lost = run.change();
    assert_eq!(lost.reason, Some(LossReason::Unreachable));
    assert!(lost.detail.unwrap().contains("does not answer"));
    run.pipeline.set_state(gst::State::Ready).unwrap();
    let run = run.play();
    assert_eq!(run.change().state, SourceState::Lost);
}

#[test]
fn a_camera_that_falls_silent_is_lost() {
    let launch = H264.replace("is-live=true", "is-live=true num-buffers=20");
    let server = Server::start(0, &launch, None);
    let run = with_transport(run(&server.uri()), "tcp");
    run.source.set_property("timeout", 1_000_000_000_u64);
    let run = run.play();
    assert_eq!(run.change().state, SourceState::Connected);
    let lost = run.change();
    assert_eq!(lost.state, SourceState::Lost);
    assert!(
        matches!(lost.reason, Some(LossReason::Silent | LossReason::Ended)),
        "{lost:?}"
    );
}

#[test]
fn reasons_are_told_apart() {
    let server = Server::start(0, H264, Some("pa/ss@word"));
    let uri = server.uri();
    let lost = run(&uri).play().change();
    assert_eq!(lost.reason, Some(LossReason::Unauthorized), "{lost:?}");
    let in_uri = uri.replace("rtsp://", "rtsp://admin:pa%2Fss%40word@");
    assert_eq!(run(&in_uri).play().change().state, SourceState::Connected);
    let by_property = run(&uri);
    by_property.source.set_property("user-id", "admin");
    by_property.source.set_property("user-pw", "pa/ss@word");
    assert_eq!(by_property.play().change().state, SourceState::Connected);
    let open = Server::start(0, H264, None);
    let lost = run(&open.uri().replace("/cam", "/other")).play().change();
    assert_eq!(lost.reason, Some(LossReason::NotFound), "{lost:?}");
    let jpeg = H264
        .replace(
            "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10",
            "jpegenc",
        )
        .replace(
            "rtph264pay name=pay0 pt=96 config-interval=-1",
            "rtpjpegpay name=pay0 pt=26",
        );
    let jpeg = Server::start(0, &jpeg, None);
    let lost = run(&jpeg.uri()).play().change();
    assert_eq!(lost.reason, Some(LossReason::UnsupportedCodec), "{lost:?}");
}

#[test]
fn reordered_pictures_get_decoding_times() {
    for launch in [
        // Left to itself the encoder agrees with the payloader on a profile without B pictures.
        H264.replace(
            "tune=zerolatency speed-preset=ultrafast key-int-max=10",
            "speed-preset=veryfast bframes=2 b-adapt=false rc-lookahead=5 key-int-max=10 ! video/x-h264,profile=main",
        ),
        H265.replace(
            "tune=zerolatency",
            "option-string=\"bframes=2:b-adapt=0:rc-lookahead=5\"",
        ),
    ] {
        let server = Server::start(0, &launch, None);
        let run = with_transport(run(&server.uri()), "tcp").play();
        // The first group teaches how deep pictures are reordered.
        let pictures = run.take(100);
        check_order(&pictures);
        let settled = &pictures[40..];
        assert!(settled.iter().all(|picture| !picture.discont));
        assert!(
            settled.iter().any(|picture| picture.dts < picture.pts),
            "{launch}: {:?}",
            settled
                .iter()
                .map(|p| (p.pts / 1_000_000, p.dts / 1_000_000))
                .collect::<Vec<_>>()
        );
        let mut shown: Vec<u64> = settled.iter().map(|picture| picture.pts).collect();
        shown.sort_unstable();
        let inner = &shown[4..shown.len() - 4];
        assert!(
            inner
                .windows(2)
                .all(|pair| (20..60).contains(&((pair[1] - pair[0]) / 1_000_000))),
            "{inner:?}"
        );
    }
}

#[test]
fn sound_comes_too() {
    init();
    if gst::ElementFactory::find("avenc_aac").is_none() {
        println!("SKIP: no avenc_aac, so no sound to send");
        return;
    }
    let launch = H264.replace(
        " )",
        " audiotestsrc is-live=true ! audio/x-raw,rate=16000,channels=1 ! avenc_aac ! rtpmp4gpay name=pay1 pt=97 )",
    );
    let server = Server::start(0, &launch, None);
    let run = run(&server.uri());
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
    let structure = caps.structure(0).unwrap();
    assert_eq!(structure.get::<i32>("rate"), Ok(16000));
    assert!(structure.has_field("codec_data"));
    check_order(&run.take(20));
}

#[test]
fn a_stuck_pipeline_loses_pictures_up_to_a_key_frame_and_stops_fast() {
    let launch = H264.replace("framerate=25/1", "framerate=200/1");
    let server = Server::start(0, &launch, None);
    let run = with_transport(run(&server.uri()), "tcp").play();
    run.take(5);
    let pad = run.source.static_pad("video").unwrap();
    let block = pad
        .add_probe(
            gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
            |_, _| gst::PadProbeReturn::Ok,
        )
        .unwrap();
    let dropped = || {
        let stats = run.source.property::<gst::Structure>("stats");
        stats.get::<u64>(stats::FRAMES_DROPPED).unwrap()
    };
    let start = Instant::now();
    while dropped() == 0 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "nothing is dropped"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    pad.remove_probe(block);
    let after = loop {
        let picture = run.next();
        if picture.discont {
            break picture;
        }
    };
    assert!(after.key);
    let _block = pad.add_probe(
        gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
        |_, _| gst::PadProbeReturn::Ok,
    );
    let start = Instant::now();
    run.pipeline.set_state(gst::State::Null).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}
