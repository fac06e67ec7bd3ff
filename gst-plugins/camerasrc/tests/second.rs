//! The pad `analysis`: the main stream once more, or a second stream with a life of its own.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use gst::prelude::*;
use nvr_contract::source::{LossReason, SourceState, StreamRole, VideoCodec};
use nvr_contract::stats;
use support::server::Server;
use support::{Picture, Run, check_order, init, listen, run};

mod support;

const CAMERA: &str = "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 ! \
     x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=-1 )";

/// A camera with a queue and somebody at both pads.
fn both(uri: &str, sub: Option<&str>) -> (Run, Receiver<Picture>) {
    init();
    let queue = || gst::ElementFactory::make("queue").build().unwrap();
    let source = gst::ElementFactory::make("camerasrc")
        .property("uri", uri)
        .property("sub-uri", sub)
        .build()
        .unwrap();
    let pipeline = gst::Pipeline::new();
    pipeline.add(&source).unwrap();
    let pictures = listen(&pipeline, &source, "video", Some(&queue()));
    let analysed = listen(&pipeline, &source, "analysis", Some(&queue()));
    let run = Run {
        pipeline,
        source,
        pictures,
    };
    (run, analysed)
}

fn next(pictures: &Receiver<Picture>) -> Picture {
    pictures
        .recv_timeout(Duration::from_secs(30))
        .expect("a picture within 30 s")
}

fn width(picture: &Picture) -> i32 {
    picture.caps.structure(0).unwrap().get("width").unwrap()
}

#[test]
fn without_a_second_stream_the_main_one_comes_by_reference() {
    for realtime in [false, true] {
        let uri = format!("test://ball?width=64&height=64&fps=30&frames=40&realtime={realtime}");
        let (run, analysed) = both(&uri, None);
        let run = run.play();
        let main = run.all();
        let analysed: Vec<Picture> = analysed.try_iter().collect();
        assert_eq!((main.len(), analysed.len()), (40, 40));
        for (main, again) in main.iter().zip(&analysed) {
            assert_eq!((main.pts, main.at), (again.pts, again.at));
            assert_eq!((main.discont, main.key), (again.discont, again.key));
            assert_eq!((&main.caps, main.anchor), (&again.caps, again.anchor));
        }
    }
}

#[test]
fn an_analysis_that_is_stuck_never_holds_the_recording_up() {
    let run = run("test://ball?width=64&height=64&fps=60&frames=120");
    let queue = gst::ElementFactory::make("queue")
        .property("max-size-buffers", 2_u32)
        .property_from_str("leaky", "downstream")
        .build()
        .unwrap();
    let analysed = listen(&run.pipeline, &run.source, "analysis", Some(&queue));
    let block = queue.static_pad("src").unwrap();
    let block = block
        .add_probe(
            gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
            |_, _| gst::PadProbeReturn::Ok,
        )
        .map(|id| (block, id))
        .unwrap();
    let run = run.play();
    assert_eq!(run.take(120).len(), 120);
    assert_eq!(analysed.try_iter().count(), 0);
    block.0.remove_probe(block.1);
}

#[test]
fn an_analysis_that_refuses_says_so_and_the_recording_goes_on() {
    let run = run("test://ball?width=64&height=64&fps=30&frames=60");
    let wrong = gst::ElementFactory::make("h265parse").build().unwrap();
    let _analysed = listen(&run.pipeline, &run.source, "analysis", Some(&wrong));
    let run = run.play();
    let error = run.end().unwrap_err();
    assert!(error.message().contains("\"analysis\""), "{error}");
    assert!(error.matches(gst::StreamError::Failed), "{error:?}");
    assert_eq!(run.take(60).len(), 60);
}

#[test]
fn a_pad_that_comes_later_begins_at_a_key_frame() {
    for sub in [None, Some("test://visits?width=96&height=64&fps=30")] {
        let run = run("test://ball?width=64&height=64&fps=30");
        run.source.set_property("sub-uri", sub);
        let run = run.play();
        run.take(10);
        let pad = run.source.request_pad_simple("analysis").unwrap();
        let template = run.source.pad_template("analysis").unwrap();
        assert!(run.source.request_pad(&template, None, None).is_none());
        let (send, pictures) = std::sync::mpsc::channel();
        let sink = gst::ElementFactory::make("fakesink")
            .property("async", false)
            .property("sync", false)
            .build()
            .unwrap();
        run.pipeline.add(&sink).unwrap();
        sink.sync_state_with_parent().unwrap();
        let sink_pad = sink.static_pad("sink").unwrap();
        sink_pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let delta = info.buffer().unwrap().flags();
            let width = pad
                .current_caps()
                .unwrap()
                .structure(0)
                .unwrap()
                .get("width");
            send.send((
                !delta.contains(gst::BufferFlags::DELTA_UNIT),
                width.unwrap(),
            ))
            .ok();
            gst::PadProbeReturn::Ok
        });
        pad.link(&sink_pad).unwrap();
        let (key, width): (bool, i32) = pictures.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(key);
        assert_eq!(width, if sub.is_some() { 96 } else { 64 });
        run.source.release_request_pad(&pad);
        let before: Vec<Picture> = run.pictures.try_iter().collect();
        drop(before);
        check_order(&run.take(20));
        assert!(run.source.static_pad("analysis").is_none());
    }
}

#[test]
fn two_scenes_run_on_one_clock_and_end_together() {
    let main = "test://visits?width=320&height=180&fps=10&frames=45&realtime=";
    let sub = "test://visits?width=96&height=64&fps=15&realtime=";
    for realtime in [false, true] {
        let (run, analysed) = both(
            &format!("{main}{realtime}"),
            Some(&format!("{sub}{realtime}")),
        );
        run.source.set_property("start-unix-us", 1_000_000_000_i64);
        let run = run.play();
        let recorded = run.all();
        let analysed: Vec<Picture> = analysed.try_iter().collect();
        assert_eq!(recorded.len(), 45);
        check_order(&recorded);
        check_order(&analysed);
        assert_eq!((width(&recorded[0]), width(&analysed[0])), (320, 96));
        // The second one has no end of its own: it ends with the first one.
        let (end, last) = (
            4_500_000_000,
            analysed.last().unwrap().pts - analysed[0].pts,
        );
        match realtime {
            false => assert_eq!(analysed.len(), 68, "all that begin before {end}"),
            true => assert!(last.abs_diff(end) < 1_500_000_000, "{last}"),
        }
        assert_eq!(recorded[0].pts, analysed[0].pts, "they begin together");
        let wall = |picture: &Picture| picture.anchor.unwrap().unix_us_of(picture.pts);
        let apart = wall(&recorded[0]).abs_diff(wall(&analysed[0]));
        assert!(apart < 50_000, "{apart} us");
        let stats = run.source.property::<gst::Structure>("stats");
        assert!(stats.get::<u64>(stats::SUB_FRAMES_IN).unwrap() >= analysed.len() as u64);
        assert_eq!(stats.get::<u64>(stats::FRAMES_IN), Ok(45));
    }
}

#[test]
fn a_second_stream_that_ends_or_fails_leaves_the_first_one_alone() {
    init();
    let (run, analysed) = both(
        "test://ball?width=64&height=64&frames=50&realtime=false",
        Some("test://ball?width=96&height=64&frames=5&realtime=false"),
    );
    let run = run.play();
    assert_eq!(run.all().len(), 50);
    assert_eq!(analysed.try_iter().count(), 5);

    let (run, analysed) = both(
        "test://ball?width=64&height=64&frames=50&realtime=false",
        Some("file:///nowhere/at/all.mp4"),
    );
    let run = run.play();
    let changes = [run.change(), run.change()];
    let lost = changes
        .iter()
        .find(|change| change.stream == StreamRole::Sub)
        .unwrap();
    assert_eq!(lost.state, SourceState::Lost);
    assert_eq!(lost.reason, Some(LossReason::NotFound));
    assert!(lost.detail.as_ref().unwrap().contains("does not exist"));
    assert_eq!(run.all().len(), 50);
    assert_eq!(analysed.try_iter().count(), 0);
}

#[test]
fn a_second_camera_stream_dies_and_comes_back_and_the_first_one_misses_nothing() {
    let (main, sub) = (Server::start(0, CAMERA), Server::start(0, &smaller()));
    let (run, analysed) = both(&main.uri(), Some(&sub.uri()));
    let run = run.play();
    let first = next(&analysed);
    assert_eq!(width(&first), 96);
    assert!(first.key && first.discont);
    let mut recorded = run.take(20);
    let (wall, again) = (recorded[0].anchor.unwrap(), first.anchor.unwrap());
    let apart = wall.unix_us_of(first.pts).abs_diff(again.unix_us);
    assert!(apart < 100_000, "one clock, but {apart} us apart");

    let port = sub.port;
    drop(sub);
    let mut changes = vec![run.change(), run.change(), run.change()];
    assert!(
        changes
            .iter()
            .any(|change| change.state == SourceState::Lost),
        "{changes:?}"
    );
    let _sub = Server::start(port, &smaller());
    while changes.last().unwrap().state != SourceState::Restored {
        changes.push(run.change());
    }
    for change in &changes[2..] {
        assert_eq!(change.stream, StreamRole::Sub, "{change:?}");
    }
    let back = loop {
        let picture = next(&analysed);
        if picture.anchor != first.anchor {
            break picture;
        }
    };
    assert!(back.key && back.discont && back.pts > first.pts);
    let apart = wall
        .unix_us_of(back.pts)
        .abs_diff(back.anchor.unwrap().unix_us);
    assert!(apart < 100_000, "one clock, but {apart} us apart");
    recorded.extend(run.pictures.try_iter());
    recorded.extend(run.take(10));
    check_order(&recorded);
    for pair in recorded.windows(2) {
        let step = (pair[1].pts - pair[0].pts) / 1_000_000;
        assert!((35..45).contains(&step) && !pair[1].discont, "{pair:?}");
    }
    let stats = run.source.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>(stats::SUB_RECONNECTS), Ok(1));
    assert_eq!(stats.get::<u64>(stats::RECONNECTS), Ok(0));
}

#[test]
fn a_main_stream_that_dies_leaves_the_second_one_alone() {
    let (main, sub) = (Server::start(0, CAMERA), Server::start(0, &smaller()));
    let (run, analysed) = both(&main.uri(), Some(&sub.uri()));
    let run = run.play();
    run.take(5);
    next(&analysed);
    drop(main);
    loop {
        let change = run.change();
        if change.state == SourceState::Lost {
            assert_eq!(change.stream, StreamRole::Main);
            break;
        }
    }
    let seen: Vec<Picture> = analysed.try_iter().collect();
    drop(seen);
    check_order(&(0..30).map(|_| next(&analysed)).collect::<Vec<_>>());
}

#[test]
fn the_codecs_of_the_two_may_differ() {
    let sub = smaller()
        .replace("x264enc", "x265enc")
        .replace("rtph264pay", "rtph265pay");
    let (main, sub) = (Server::start(0, CAMERA), Server::start(0, &sub));
    let (run, analysed) = both(&main.uri(), Some(&sub.uri()));
    let run = run.play();
    assert_eq!(
        next(&analysed).caps.structure(0).unwrap().name(),
        "video/x-h265"
    );
    let changes = [run.change(), run.change()];
    let codec = |role| changes.iter().find(|c| c.stream == role).unwrap().codec;
    assert_eq!(codec(StreamRole::Main), Some(VideoCodec::H264));
    assert_eq!(codec(StreamRole::Sub), Some(VideoCodec::H265));
}

#[test]
fn states_change_any_number_of_times_and_fast() {
    for uris in [
        (
            "test://ball?width=64&height=64",
            Some("test://visits?width=64&height=64"),
        ),
        (
            "test://ball?width=64&height=64",
            Some("rtsp://192.0.2.1/never"),
        ),
        ("test://ball?width=64&height=64", None),
    ] {
        let (run, _analysed) = both(uris.0, uris.1);
        for state in [gst::State::Ready, gst::State::Paused, gst::State::Playing].repeat(3) {
            run.pipeline.set_state(state).unwrap();
            if state == gst::State::Playing {
                run.next();
            }
            let start = Instant::now();
            run.pipeline.set_state(gst::State::Null).unwrap();
            assert!(start.elapsed() < Duration::from_secs(1), "{uris:?}");
            assert!(run.pictures.try_iter().count() < 1000);
        }
    }
}

#[test]
fn mistakes_are_named_and_passwords_are_not() {
    for (uri, sub, part) in [
        ("test://ball", "test://ball?realtime=false", "live"),
        ("rtsp://192.0.2.1/x", "/a.mp4", "live"),
        ("test://ball", "http://a:secret@cam/x", "known are"),
        ("test://ball", "rtsp://a:secret@/x", "sub-uri"),
    ] {
        let (run, _analysed) = both(uri, Some(sub));
        assert!(run.pipeline.set_state(gst::State::Playing).is_err());
        let error = run.end().unwrap_err();
        assert!(error.matches(gst::ResourceError::Settings), "{error:?}");
        assert!(error.message().contains(part), "{error}");
        assert!(error.message().contains("sub-uri"), "{error}");
        assert!(!error.message().contains("secret"), "{error}");
        let shown = run.source.property::<Option<String>>("sub-uri").unwrap();
        assert!(!shown.contains("secret"), "{shown}");
    }
}

fn smaller() -> String {
    CAMERA.replace("width=160,height=120", "width=96,height=64")
}
