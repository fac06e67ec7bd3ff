//! The element in pipelines: files and scenes, their times, their ends and their errors.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests build pipelines from text and may fail loudly"
)]

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use expect_test::expect;
use gst::prelude::*;
use nvr_contract::source::{SourceState, VideoCodec};
use support::{Picture, check_order, init, run};

mod support;

/// A clip of a known number of pictures at 25 a second.
fn clip(folder: &Path, name: &str, pictures: u32, chain: &str) -> PathBuf {
    init();
    let path = folder.join(name);
    let line = format!(
        "videotestsrc num-buffers={pictures} pattern=ball ! video/x-raw,width=160,height=120,framerate=25/1 ! \
         {chain} ! filesink location=\"{}\"",
        path.display()
    );
    let pipeline = gst::parse::launch(&line).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let message = bus
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(30),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    path
}

const H264: &str = "x264enc key-int-max=25 bframes=0 tune=zerolatency speed-preset=ultrafast";

fn uri_of(path: &Path, query: &str) -> String {
    let escaped = path
        .to_str()
        .unwrap()
        .replace('%', "%25")
        .replace(' ', "%20")
        .replace('#', "%23");
    format!("file://{escaped}{query}")
}

/// Files of all kinds: name, how it is made, the caps that come out, pictures that are decoded before the first is shown.
fn files() -> Vec<(&'static str, String, &'static str, u64)> {
    vec![
        (
            "a 1#.mp4",
            format!("{H264} ! h264parse ! mp4mux"),
            "video/x-h264",
            0,
        ),
        // Two pictures are decoded before the first is shown.
        (
            "b.mp4",
            "x264enc key-int-max=25 bframes=2 b-adapt=false ! h264parse ! mp4mux".to_owned(),
            "video/x-h264",
            2,
        ),
        (
            "b.mkv",
            "x264enc key-int-max=25 bframes=2 b-adapt=false ! h264parse ! matroskamux".to_owned(),
            "video/x-h264",
            2,
        ),
        (
            "h.mp4",
            "x265enc key-int-max=25 speed-preset=ultrafast tune=zerolatency ! h265parse ! mp4mux"
                .to_owned(),
            "video/x-h265",
            0,
        ),
        (
            "t.ts",
            format!("{H264} ! h264parse ! mpegtsmux"),
            "video/x-h264",
            0,
        ),
        ("m.avi", "jpegenc ! avimux".to_owned(), "video/x-h264", 0),
        (
            "odd.avi",
            "videoscale ! video/x-raw,width=161,height=121,pixel-aspect-ratio=1/1 ! jpegenc ! avimux".to_owned(),
            "video/x-h264",
            0,
        ),
        (
            "x.avi",
            "avenc_mpeg4 ! mpeg4videoparse ! avimux".to_owned(),
            "video/x-h264",
            0,
        ),
        (
            "div3.avi",
            "avenc_msmpeg4 ! avimux".to_owned(),
            "video/x-h264",
            0,
        ),
        (
            "mp42.avi",
            "avenc_msmpeg4v2 ! avimux".to_owned(),
            "video/x-h264",
            0,
        ),
        (
            "e.h264",
            format!("{H264} ! h264parse ! video/x-h264,stream-format=byte-stream"),
            "video/x-h264",
            0,
        ),
    ]
}

#[test]
fn files_come_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for (name, chain, caps, shift) in files() {
        let path = clip(folder.path(), name, 60, &chain);
        let pictures = run(&uri_of(&path, "")).play().all();
        assert_eq!(pictures.len(), 60, "{name}");
        check_order(&pictures);
        assert!(pictures[0].key && pictures[0].discont, "{name}");
        assert_eq!(pictures.iter().filter(|p| p.discont).count(), 1, "{name}");
        assert_eq!(
            pictures[0].caps.structure(0).unwrap().name(),
            caps,
            "{name}"
        );
        assert_eq!(pictures[0].anchor, None, "{name}");
        let mut shown: Vec<u64> = pictures.iter().map(|p| p.pts / 1_000_000).collect();
        shown.sort_unstable();
        assert!(shown[0] <= shift * 40, "{name}: {shown:?}");
        let reordered = pictures.iter().any(|picture| picture.dts < picture.pts);
        assert_eq!(reordered, shift > 0, "{name}");
        for pair in shown.windows(2) {
            assert!(
                (39..=41).contains(&(pair[1] - pair[0])),
                "{name}: {shown:?}"
            );
        }
    }
}

#[test]
fn loops_have_no_seam() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(
        folder.path(),
        "a.mp4",
        30,
        &format!("{H264} ! h264parse ! mp4mux"),
    );
    let run = run(&uri_of(&path, "?loop=true")).play();
    let pictures = run.take(100);
    check_order(&pictures);
    for (n, picture) in pictures.iter().enumerate() {
        let expected = n as u64 * 40_000_000;
        assert!(
            picture.pts.abs_diff(expected) < 1_000_000,
            "{n}: {}",
            picture.pts
        );
        assert_eq!(picture.discont, n == 0);
        assert!(n % 30 != 0 || picture.key);
    }
}

#[test]
fn realtime_files_follow_the_clock_and_are_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(
        folder.path(),
        "a.mp4",
        30,
        &format!("{H264} ! h264parse ! mp4mux"),
    );
    let run = run(&uri_of(&path, "?realtime=true"));
    assert_eq!(
        run.source.set_state(gst::State::Paused).unwrap(),
        gst::StateChangeSuccess::NoPreroll
    );
    let run = run.play();
    let first = run.next();
    let start = Instant::now();
    let last = run.take(29).pop().unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(1080), "{took:?}");
    assert_eq!((last.pts - first.pts) / 10_000_000, 116);
    let anchor = first.anchor.unwrap();
    assert_eq!(anchor.pts_ns, first.pts);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let age = i64::try_from(now.as_micros()).unwrap() - anchor.unix_us;
    assert!((0..30_000_000).contains(&age), "{age} us");
    let mut latency = gst::query::Latency::new();
    assert!(run.source.static_pad("video").unwrap().query(&mut latency));
    assert_eq!(
        latency.result(),
        (true, gst::ClockTime::from_mseconds(200), None)
    );
    run.end().unwrap();
}

#[test]
fn wall_time_of_recordings_is_given_by_hand() {
    let run = run("test://ball?frames=20&realtime=false&width=64&height=64");
    run.source.set_property("start-unix-us", 1_000_000_000_i64);
    let pictures = run.play().all();
    let anchor = pictures[0].anchor.unwrap();
    assert_eq!(anchor.unix_us_of(1_000_000), 1_000_001_000);
}

#[test]
fn a_new_size_is_told_before_its_first_picture() {
    let folder = tempfile::tempdir().unwrap();
    let chain = format!("{H264} ! h264parse ! video/x-h264,stream-format=byte-stream");
    let small = clip(folder.path(), "small.h264", 20, &chain);
    let large = clip(
        folder.path(),
        "large.h264",
        20,
        &format!("videoscale ! video/x-raw,width=320,height=240 ! {chain}"),
    );
    let both = folder.path().join("both.h264");
    let bytes = [small, large]
        .map(|path| std::fs::read(path).unwrap())
        .concat();
    std::fs::write(&both, bytes).unwrap();
    let pictures = run(&uri_of(&both, "")).play().all();
    assert_eq!(pictures.len(), 40);
    check_order(&pictures);
    for (n, picture) in pictures.iter().enumerate() {
        let width = picture.caps.structure(0).unwrap().get::<i32>("width");
        assert_eq!(width, Ok(if n < 20 { 160 } else { 320 }), "{n}");
        assert_eq!(picture.discont, n == 0 || n == 20, "{n}");
    }
}

#[test]
fn sound_has_a_pad_of_its_own() {
    init();
    let folder = tempfile::tempdir().unwrap();
    if gst::ElementFactory::find("avenc_aac").is_none() {
        println!("SKIP: no avenc_aac, so no sound to read");
        return;
    }
    let path = clip(
        folder.path(),
        "s.mp4",
        50,
        &format!(
            "{H264} ! h264parse ! mp4mux name=m audiotestsrc num-buffers=86 ! audio/x-raw,rate=44100 ! \
             avenc_aac ! m. m."
        ),
    );
    let run = run(&uri_of(&path, ""));
    let (send, sound) = channel();
    let pipeline = run.pipeline.downgrade();
    run.source.connect_pad_added(move |_, pad| {
        let sink = gst::ElementFactory::make("fakesink")
            .property("sync", false)
            .property("async", false)
            .build()
            .unwrap();
        pipeline.upgrade().unwrap().add(&sink).unwrap();
        sink.sync_state_with_parent().unwrap();
        let sink_pad = sink.static_pad("sink").unwrap();
        let send = send.clone();
        sink_pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer().unwrap();
            send.send(buffer.pts().unwrap()).unwrap();
            gst::PadProbeReturn::Ok
        });
        pad.link(&sink_pad).unwrap();
    });
    let run = run.play();
    assert_eq!(run.all().len(), 50);
    let sound: Vec<gst::ClockTime> = sound.try_iter().collect();
    assert!(sound.len() > 80, "{}", sound.len());
    assert!(sound.windows(2).all(|pair| pair[0] < pair[1]));
    // Again with the pad left alone: pictures come all the same.
    drop(run);
    assert_eq!(self::run(&uri_of(&path, "")).play().all().len(), 50);
}

#[test]
fn errors_name_the_file_and_the_fault() {
    let folder = tempfile::tempdir().unwrap();
    let whole = clip(
        folder.path(),
        "a.mp4",
        60,
        &format!("{H264} ! h264parse ! mp4mux faststart=true"),
    );
    let bytes = std::fs::read(&whole).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let missing = folder.path().join("missing.mp4");
    let text = write(
        "text.mp4",
        b"this is no video at all, whatever its name says",
    );
    let empty = write("empty.mp4", b"");
    let headless = write("headless.mp4", &bytes[..200]);
    let mut no_index = bytes.clone();
    no_index[0x24..0x28].copy_from_slice(b"free");
    let no_index = write("no_index.mp4", &no_index);
    for (path, domain, part) in [
        (
            &missing,
            gst::ResourceError::NotFound.into_error_kind(),
            "does not exist",
        ),
        (
            &text,
            gst::StreamError::TypeNotFound.into_error_kind(),
            "is not a video",
        ),
        (
            &empty,
            gst::StreamError::Demux.into_error_kind(),
            "is damaged",
        ),
        (
            &headless,
            gst::StreamError::Demux.into_error_kind(),
            "is damaged",
        ),
        (
            &no_index,
            gst::StreamError::Demux.into_error_kind(),
            "is damaged",
        ),
    ] {
        let error = run(&uri_of(path, "")).play().end().unwrap_err();
        assert!(error.message().contains(part), "{error}");
        assert!(error.message().contains(path.to_str().unwrap()), "{error}");
        assert!(domain(&error), "{path:?}: {error:?}");
    }
    let matroska = clip(
        folder.path(),
        "a.mkv",
        60,
        &format!("{H264} ! h264parse ! matroskamux"),
    );
    let matroska = std::fs::read(matroska).unwrap();
    let cut = [
        write("cut.mp4", &bytes[..bytes.len() * 2 / 3]),
        write("cut.mkv", &matroska[..matroska.len() * 2 / 3]),
    ];
    for cut in &cut {
        check_cut(cut);
    }
}

/// A file that breaks off gives what is good, and says how much that was.
fn check_cut(path: &Path) {
    let run = run(&uri_of(path, "")).play();
    let error = run.end().unwrap_err();
    let pictures = run.pictures.try_iter().count();
    assert!((5..60).contains(&pictures), "{pictures}");
    assert!(
        error
            .message()
            .contains(&format!("breaks off after {pictures} pictures")),
        "{error}"
    );
}

/// Whether an error is of a kind, as a function, so that kinds of two domains fit one table.
trait Kind {
    fn into_error_kind(self) -> Box<dyn Fn(&gst::glib::Error) -> bool>;
}

impl<T: gst::glib::error::ErrorDomain + Copy + PartialEq + 'static> Kind for T {
    fn into_error_kind(self) -> Box<dyn Fn(&gst::glib::Error) -> bool> {
        Box::new(move |error| error.matches(self))
    }
}

#[test]
fn settings_are_checked_at_once() {
    for (uri, part) in [
        (None, "set property"),
        (Some("http://cam/"), "known are"),
        (Some("rtsp://u:secret@/x"), "uri"),
    ] {
        let run = run("test://ball");
        run.source.set_property("uri", uri);
        assert!(run.pipeline.set_state(gst::State::Playing).is_err());
        let error = run.end().unwrap_err();
        assert!(error.matches(gst::ResourceError::Settings), "{error:?}");
        assert!(error.message().contains(part), "{error}");
        assert!(!error.message().contains("secret"), "{error}");
    }
}

#[test]
fn passwords_cannot_be_read() {
    init();
    let source = gst::ElementFactory::make("camerasrc")
        .property("uri", "rtsp://admin:secret@192.0.2.1/x?y=1")
        .property("user-pw", "hidden")
        .build()
        .unwrap();
    assert_eq!(
        source.property::<Option<String>>("uri").unwrap(),
        "rtsp://192.0.2.1/x?y=1"
    );
    let flags = source.find_property("user-pw").unwrap().flags();
    assert!(!flags.contains(gst::glib::ParamFlags::READABLE));
}

#[test]
fn scenes_are_deterministic_and_say_so() {
    let uri = "test://visits?width=320&height=240&fps=10&frames=45&realtime=false&seed=3";
    let run = run(uri);
    assert_eq!(
        run.source.set_state(gst::State::Paused).unwrap(),
        gst::StateChangeSuccess::Success
    );
    let run = run.play();
    let pictures = run.all();
    assert_eq!(pictures.len(), 45);
    check_order(&pictures);
    for (n, picture) in pictures.iter().enumerate() {
        assert_eq!(picture.pts, n as u64 * 100_000_000);
        assert_eq!(picture.key, n % 10 == 0, "{n}");
    }
    let stats = run.source.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>(nvr_contract::stats::FRAMES_IN), Ok(45));
    assert_eq!(stats.get::<u64>(nvr_contract::stats::FRAMES_DROPPED), Ok(0));
}

#[test]
fn the_first_picture_is_announced() {
    let run = run("test://ball?frames=30&width=96&height=64&fps=10").play();
    let change = run.change();
    assert_eq!(change.state, SourceState::Connected);
    assert_eq!(change.codec, Some(VideoCodec::H264));
    assert_eq!((change.width, change.height), (Some(96), Some(64)));
    assert_eq!(change.fps, Some(10.0));
}

#[test]
fn states_change_any_number_of_times_and_fast() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(
        folder.path(),
        "a.mp4",
        60,
        &format!("{H264} ! h264parse ! mp4mux"),
    );
    for uri in [
        "test://ball?width=64&height=64".to_owned(),
        "test://visits?realtime=false&width=64&height=64".to_owned(),
        uri_of(&path, "?loop=true"),
        uri_of(&path, "?loop=true&realtime=true"),
        // Nobody answers there.
        "rtsp://192.0.2.1/never".to_owned(),
    ] {
        let run = run(&uri);
        for state in [gst::State::Ready, gst::State::Paused, gst::State::Playing].repeat(4) {
            run.pipeline.set_state(state).unwrap();
            if !uri.starts_with("rtsp") && state == gst::State::Playing {
                let before: Vec<Picture> = run.pictures.try_iter().collect();
                check_order(&run.take(3));
                drop(before);
            }
            let start = Instant::now();
            run.pipeline.set_state(gst::State::Null).unwrap();
            assert!(
                start.elapsed() < Duration::from_secs(1),
                "{uri}: {:?}",
                start.elapsed()
            );
        }
    }
}

#[test]
fn a_pause_moves_time_on_without_a_step_back() {
    let run = run("test://ball?width=64&height=64&fps=30").play();
    let before = run.take(5);
    run.pipeline.set_state(gst::State::Paused).unwrap();
    run.pipeline.set_state(gst::State::Playing).unwrap();
    let mut all = before;
    all.extend(run.take(20));
    check_order(&all);
    assert!(all.iter().skip(1).any(|picture| picture.discont));
}

#[test]
fn an_end_that_is_asked_for_comes() {
    let run = run("test://ball?width=64&height=64").play();
    run.next();
    assert!(run.pipeline.send_event(gst::event::Eos::new()));
    run.end().unwrap();
}

#[test]
fn nobody_downstream_is_an_error_that_says_so() {
    init();
    let source = gst::ElementFactory::make("camerasrc")
        .property("uri", "test://ball?realtime=false")
        .build()
        .unwrap();
    let pipeline = gst::Pipeline::new();
    pipeline.add(&source).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let message = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error])
        .unwrap();
    let gst::MessageView::Error(error) = message.view() else {
        panic!("{message:?}")
    };
    assert!(error.error().message().contains("not linked"));
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn nothing_is_left_behind() {
    let weak = {
        let run = run("test://ball?width=64&height=64").play();
        run.take(3);
        run.source.downgrade()
    };
    assert!(weak.upgrade().is_none());
}

#[test]
fn real_clips_come_whole() {
    let shared = std::env::var_os("NVRD_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    for (name, pictures) in [
        ("one-by-one-person-detection.mp4", 1394),
        ("pets_s2l1_h264.mp4", 795),
        ("tud_campus_h264.mp4", 71),
        ("short_hamilton_clip.mp4", 275),
    ] {
        let path = shared.join("media/video").join(name);
        let Ok(path) = path.canonicalize() else {
            println!("SKIP: {} is not here", path.display());
            continue;
        };
        let found = run(&uri_of(&path, "")).play().all();
        assert_eq!(found.len(), pictures, "{name}");
        check_order(&found);
    }
}

#[test]
fn surface() {
    init();
    let source = gst::ElementFactory::make("camerasrc").build().unwrap();
    let mut lines = Vec::new();
    for property in source.list_properties() {
        if property.owner_type() != source.type_() {
            continue;
        }
        let flags = property.flags();
        let readable = flags.contains(gst::glib::ParamFlags::READABLE);
        let writable = flags.contains(gst::glib::ParamFlags::WRITABLE);
        lines.push(format!(
            "{}: {} = {:?}, {}\n    {}",
            property.name(),
            property.value_type(),
            // A structure has no default that can be shown.
            (property.value_type() != gst::Structure::static_type())
                .then(|| property.default_value()),
            match (readable, writable) {
                (true, false) => "read only",
                (false, _) => "write only, NULL or READY",
                _ => "NULL or READY",
            },
            property.blurb().unwrap_or_default(),
        ));
    }
    for template in source.pad_template_list() {
        lines.push(format!(
            "{:?} {} {}: {}",
            template.presence(),
            template.name_template(),
            template.direction() == gst::PadDirection::Src,
            template.caps()
        ));
    }
    expect![[r#"
        uri: gchararray = Some((gchararray) NULL), NULL or READY
            Camera: rtsp://host/path, file:///clip.mp4?loop=true&realtime=true, test://ball or test://visits; a user name and password in it are taken out and never shown
        sub-uri: gchararray = Some((gchararray) NULL), NULL or READY
            A second, smaller stream of the same camera for the pad "analysis", written as uri is; both are live, or neither
        user-id: gchararray = Some((gchararray) NULL), NULL or READY
            User name for the camera; goes before one in the URI
        user-pw: gchararray = Some((gchararray) NULL), write only, NULL or READY
            Password for the camera; can be written, not read
        transport: GstNvrdCameraSrcTransport = Some((GstNvrdCameraSrcTransport) ((GstNvrdCameraSrcTransport) TCP, and UDP after a failure)), NULL or READY
            How an RTSP camera's pictures travel
        backend: GstNvrdCameraSrcBackend = Some((GstNvrdCameraSrcBackend) ((GstNvrdCameraSrcBackend) The library, and rtspsrc for TLS and HTTP)), NULL or READY
            Who speaks with an RTSP camera
        tls-ca: gchararray = Some((gchararray) NULL), NULL or READY
            File of PEM certificates that are trusted for rtsps://, a camera's own one say; those of the system where there is none
        tls-insecure: gboolean = Some((gboolean) FALSE), NULL or READY
            Whether to believe any certificate of rtsps://: whoever sits between may then see and change everything
        timeout: guint64 = Some((guint64) 5000000000), NULL or READY
            Without a picture, or without an answer, for this long an RTSP camera is lost, in nanoseconds
        latency: guint64 = Some((guint64) 200000000), NULL or READY
            How late pictures of a live source may be, in nanoseconds; the answer to the latency query
        wake-interval: guint64 = Some((guint64) 20000000), NULL or READY
            How seldom the network thread of all RTSP cameras may look for packets, in nanoseconds: adds up to that much latency and saves a wake-up for each packet; the least of all cameras counts, cameras that send datagrams count as 0, and one camera alone is never waited with
        retry-first: guint64 = Some((guint64) 1000000000), NULL or READY
            How long to wait after the first failure of an RTSP camera, in nanoseconds; the wait doubles with each further one
        retry-longest: guint64 = Some((guint64) 30000000000), NULL or READY
            The longest wait between two attempts to reach an RTSP camera, in nanoseconds
        start-unix-us: gint64 = Some((gint64) -1), NULL or READY
            Wall time of time stamp 0 of a source that is not live, in microseconds since 1970-01-01 UTC; -1 for none
        stats: GstStructure = None, read only
            Counters: pictures that came in, pictures left out, reconnects
        Always video true: video/x-h264, stream-format=(string){ avc, byte-stream }, alignment=(string)au; video/x-h265, stream-format=(string){ hvc1, byte-stream }, alignment=(string)au
        Sometimes audio true: audio/mpeg, mpegversion=(int)4, stream-format=(string)raw, framed=(boolean)true; audio/x-opus, channel-mapping-family=(int)0; audio/x-alaw; audio/x-mulaw
        Request analysis true: video/x-h264, stream-format=(string){ avc, byte-stream }, alignment=(string)au; video/x-h265, stream-format=(string){ hvc1, byte-stream }, alignment=(string)au"#]].assert_eq(&lines.join("\n"));
}
