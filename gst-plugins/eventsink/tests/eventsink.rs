//! The element in a harness: metas in; messages, lines and thumbnails out; and its surface.
#![allow(
    clippy::unwrap_used,
    reason = "allow-unwrap-in-tests does not reach helpers of integration tests"
)]

use std::path::Path;

use expect_test::expect;
use gst::prelude::*;
use gst_check::Harness;
use nvr_contract::detection::{Detection, InferenceFrame};
use nvr_contract::event::{Change, Event, Kind};
use nvr_contract::face::Identity;
use nvr_contract::motion::{MotionFrame, MotionRegion};
use nvr_contract::track::{Track, Tracking};
use nvr_contract::wallclock::WallClock;
use nvr_contract::{BBox, Message, stats};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;

fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gsteventsink::register_static().unwrap();
    });
}

/// An element that plays in a harness, and its bus.
struct Bench {
    harness: Harness,
    bus: gst::Bus,
}

impl Bench {
    fn new(format: &str, properties: &[(&str, &str)]) -> Self {
        init();
        let mut builder = gst::ElementFactory::make("eventsink");
        for (name, value) in properties {
            builder = builder.property_from_str(name, value);
        }
        let element = builder.build().unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = Harness::with_element(&element, Some("sink"), None);
        harness.play();
        harness.set_src_caps_str(&format!(
            "video/x-raw,format={format},width={WIDTH},height={HEIGHT},framerate=10/1"
        ));
        Self { harness, bus }
    }

    fn push(&mut self, buffer: gst::Buffer) {
        self.harness.push(buffer).unwrap();
    }

    fn end(&mut self) -> Vec<Event> {
        assert!(self.harness.push_event(gst::event::Eos::new()));
        self.events()
    }

    fn events(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.bus.pop())
            .filter_map(|message| Event::from_message(&message))
            .map(Result::unwrap)
            .collect()
    }

    fn warnings(&self) -> usize {
        std::iter::from_fn(|| self.bus.pop())
            .filter(|message| message.type_() == gst::MessageType::Warning)
            .count()
    }
}

fn size_of(format: &str) -> usize {
    let format = gst_video::VideoFormat::from_string(format);
    gst_video::VideoInfo::builder(format, WIDTH, HEIGHT)
        .build()
        .unwrap()
        .size()
}

struct Shown<'a> {
    ms: u64,
    moving: Option<bool>,
    /// Label, left edge, track.
    found: &'a [(&'a str, f64, Option<u64>)],
    format: &'a str,
}

fn picture(shown: &Shown<'_>) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![128u8; size_of(shown.format)]);
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_pts(gst::ClockTime::from_mseconds(shown.ms));
        buffer.set_duration(gst::ClockTime::from_mseconds(100));
        if let Some(moving) = shown.moving {
            MotionFrame {
                moving,
                level: 0.1,
                learning: false,
            }
            .attach(buffer);
            if moving {
                MotionRegion {
                    bbox: BBox::clamped(0.25, 0.5, 0.25, 0.25),
                    score: 0.75,
                    zones: vec!["porch".to_owned()],
                }
                .attach(buffer, WIDTH, HEIGHT);
            }
        }
        InferenceFrame {
            ran: true,
            model: "0123456789ab".to_owned(),
        }
        .attach(buffer);
        for (label, x, _) in shown.found {
            Detection {
                label: (*label).to_owned(),
                label_id: 0,
                score: 0.9,
                bbox: BBox::clamped(*x, 0.5, 0.125, 0.5),
            }
            .attach(buffer, WIDTH, HEIGHT);
        }
        let mut tracks = shown.found.iter().map(|(.., track)| *track);
        for mut meta in buffer.iter_meta_mut::<gst_video::VideoRegionOfInterestMeta>() {
            if !Detection::is_on(&meta) {
                continue;
            }
            if let Some(id) = tracks.next().flatten() {
                Tracking::Tracked(Track {
                    id,
                    stationary: false,
                    zones: vec!["drive".to_owned()],
                })
                .add_to_meta(&mut meta);
            }
            if meta.roi_type() == "face" {
                Identity {
                    person: "p-1".to_owned(),
                    similarity: 0.61,
                }
                .add_to_meta(&mut meta);
            }
        }
    }
    buffer
}

fn plain(ms: u64) -> Shown<'static> {
    Shown {
        ms,
        moving: None,
        found: &[],
        format: "I420",
    }
}

/// Motion from 500 ms on, a person from 800 ms on, both gone after 1200 ms.
fn visit(bench: &mut Bench, format: &str) {
    for ms in (0..6000).step_by(100) {
        let person = [("person", 0.25, Some(7))];
        bench.push(picture(&Shown {
            moving: Some((500..=1200).contains(&ms)),
            found: if (800..=1200).contains(&ms) {
                &person
            } else {
                &[]
            },
            format,
            ..plain(ms)
        }));
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_visit_becomes_lines_that_say_what_the_messages_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let location = path.to_str().unwrap();
    let mut bench = Bench::new("I420", &[("location", location), ("pipeline", "cafe")]);
    visit(&mut bench, "I420");
    let events = bench.end();
    let lines = read(&path);
    let told: Vec<String> = events.iter().map(Event::to_json).collect();
    assert_eq!(lines, told.join("\n") + "\n");
    expect![[r#"
        {"type":"opened","id":"00000000-01f4-795f-a523-8efadee91058","kind":"motion","start_ns":500000000,"score":0.75,"box":[0.25,0.5,0.25,0.25],"zones":["porch"],"frames":1,"pipeline":"cafe"}
        {"type":"opened","id":"00000000-0320-7547-adc0-491bd3b05fa7","kind":"object","label":"person","start_ns":800000000,"score":0.9,"box":[0.25,0.5,0.125,0.5],"zones":["drive"],"track_id":7,"frames":2,"model":"0123456789ab","pipeline":"cafe"}
        {"type":"closed","id":"00000000-01f4-795f-a523-8efadee91058","kind":"motion","start_ns":500000000,"end_ns":1300000000,"score":0.75,"box":[0.25,0.5,0.25,0.25],"zones":["porch"],"frames":8,"pipeline":"cafe"}
        {"type":"closed","id":"00000000-0320-7547-adc0-491bd3b05fa7","kind":"object","label":"person","start_ns":800000000,"end_ns":1300000000,"score":0.9,"box":[0.25,0.5,0.125,0.5],"zones":["drive"],"track_id":7,"frames":5,"model":"0123456789ab","pipeline":"cafe"}
    "#]].assert_eq(&lines);
    let counters: gst::Structure = bench.harness.element().unwrap().property("stats");
    assert_eq!(counters.get::<u64>(stats::FRAMES_IN), Ok(60));
    assert_eq!(counters.get::<u64>(stats::EVENTS_OPENED), Ok(2));
    assert_eq!(counters.get::<u64>(stats::EVENTS_CLOSED), Ok(2));
    assert_eq!(
        counters.get::<u64>(stats::BYTES_WRITTEN),
        Ok(lines.len() as u64)
    );
}

#[test]
fn two_runs_give_the_same_bytes() {
    let run = || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut bench = Bench::new("I420", &[("location", path.to_str().unwrap())]);
        visit(&mut bench, "I420");
        assert_eq!(bench.end().len(), 4);
        read(&path)
    };
    assert_eq!(run(), run());
}

#[test]
fn the_end_of_the_stream_and_the_end_of_the_element_close_what_is_open() {
    for eos in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut bench = Bench::new("I420", &[("location", path.to_str().unwrap())]);
        for ms in [0, 100, 200] {
            bench.push(picture(&Shown {
                moving: Some(true),
                ..plain(ms)
            }));
        }
        if eos {
            let closed = bench.end().pop().unwrap();
            assert_eq!((closed.change, closed.kind), (Change::Closed, Kind::Motion));
            assert_eq!(closed.end_ns, Some(300_000_000));
        }
        // The harness stops the element.
        drop(bench);
        let lines = read(&path);
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert!(lines.contains(r#""type":"closed""#));
    }
}

#[test]
fn wall_time_comes_from_the_anchor_and_follows_it() {
    let mut bench = Bench::new("I420", &[]);
    let anchor = |unix_us| WallClock { pts_ns: 0, unix_us }.to_event();
    assert!(bench.harness.push_event(anchor(1_700_000_000_000_000)));
    bench.push(picture(&Shown {
        moving: Some(true),
        ..plain(1000)
    }));
    assert!(bench.harness.push_event(anchor(1_700_000_000_500_000)));
    bench.push(picture(&Shown {
        moving: Some(true),
        ..plain(2000)
    }));
    let events = bench.end();
    let closed = events.last().unwrap();
    assert_eq!(closed.start_unix_us, Some(1_700_000_001_000_000));
    assert_eq!(closed.end_unix_us, Some(1_700_000_002_600_000));
    assert!(closed.id.starts_with("018bcfe5-6be8-7"), "{}", closed.id);
}

#[test]
fn faces_bring_their_identity() {
    let mut bench = Bench::new("I420", &[]);
    for ms in [0, 100] {
        bench.push(picture(&Shown {
            found: &[("face", 0.1, None), ("person", 0.1, None)],
            ..plain(ms)
        }));
    }
    let events = bench.end();
    let face = &events[0];
    assert_eq!((face.kind, face.change), (Kind::Face, Change::Opened));
    assert_eq!(face.identity.as_deref(), Some("p-1"));
    assert_eq!(face.similarity, Some(0.61));
    assert_eq!((events[1].kind, &events[1].identity), (Kind::Object, &None));
}

#[test]
fn thumbnails_show_the_best_picture_at_the_right_size() {
    for format in ["I420", "NV12", "RGB", "GRAY8"] {
        let folder = tempfile::tempdir().unwrap();
        let thumbnails = folder.path().join("a/b");
        let properties = [
            ("thumbnails", thumbnails.to_str().unwrap()),
            ("thumbnail-width", "160"),
        ];
        let mut bench = Bench::new(format, &properties);
        visit(&mut bench, format);
        let events = bench.end();
        let mut names: Vec<String> = std::fs::read_dir(&thumbnails)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut ids: Vec<String> = events.iter().map(|e| format!("{}.jpg", e.id)).collect();
        names.sort();
        ids.sort();
        ids.dedup();
        assert_eq!(names, ids);
        for name in names {
            let picture = image::open(thumbnails.join(name)).unwrap();
            assert_eq!((picture.width(), picture.height()), (160, 90), "{format}");
        }
    }
}

#[test]
fn what_no_thumbnail_can_be_made_of_still_makes_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new("YUY2", &[("thumbnails", folder.path().to_str().unwrap())]);
    visit(&mut bench, "YUY2");
    assert_eq!(bench.end().len(), 4);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_location_that_cannot_be_written_is_an_error_at_the_start() {
    init();
    for property in ["location", "thumbnails"] {
        let element = gst::ElementFactory::make("eventsink")
            .property(property, "/proc/nvrd/none")
            .build()
            .unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        assert!(element.set_state(gst::State::Playing).is_err());
        let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!("filtered above");
        };
        assert!(error.error().matches(gst::ResourceError::OpenWrite));
        let text = error.error().to_string();
        assert!(
            text.contains(property) && text.contains("/proc/nvrd/none"),
            "{text}"
        );
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn a_full_disk_is_told_once_and_events_go_on() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let mut bench = Bench::new("I420", &[("location", "/dev/full")]);
    visit(&mut bench, "I420");
    assert!(bench.harness.push_event(gst::event::Eos::new()));
    assert_eq!(bench.warnings(), 1);
    let counters: gst::Structure = bench.harness.element().unwrap().property("stats");
    assert_eq!(counters.get::<u64>(stats::EVENTS_CLOSED), Ok(2));
}

#[test]
fn a_source_that_is_gone_closes_what_is_open() {
    let mut bench = Bench::new("I420", &[]);
    let moving = |ms| {
        picture(&Shown {
            moving: Some(true),
            ..plain(ms)
        })
    };
    bench.push(moving(1000));
    // Without a length: nobody knows when pictures come again.
    let gone = gst::event::Gap::builder(gst::ClockTime::from_mseconds(1100)).build();
    assert!(bench.harness.push_event(gone));
    let events = bench.events();
    let last = events.last().unwrap();
    assert_eq!(
        (last.change, last.end_ns),
        (Change::Closed, Some(1_100_000_000))
    );
    bench.push(moving(9000));
    assert_eq!(bench.end().last().unwrap().start_ns, 9_000_000_000);
}

#[test]
fn flush_caps_gaps_and_missing_time_stamps_do_no_harm() {
    let mut bench = Bench::new("I420", &[]);
    let moving = |ms| {
        picture(&Shown {
            moving: Some(true),
            ..plain(ms)
        })
    };
    bench.push(moving(1000));
    let (start, length) = (
        gst::ClockTime::from_mseconds(1100),
        gst::ClockTime::from_mseconds(100),
    );
    let gap = gst::event::Gap::builder(start).duration(length).build();
    assert!(bench.harness.push_event(gap));
    let mut without = moving(0);
    without.get_mut().unwrap().set_pts(gst::ClockTime::NONE);
    bench.push(without);
    bench
        .harness
        .set_src_caps_str("video/x-raw,format=GRAY8,width=33,height=17,framerate=10/1");
    let mut small = moving(1200);
    small.get_mut().unwrap().set_size(33 * 17);
    bench.push(small);
    assert!(bench.harness.push_event(gst::event::FlushStart::new()));
    assert!(bench.harness.push_event(gst::event::FlushStop::new(true)));
    let events = bench.events();
    let changes: Vec<Change> = events.iter().map(|e| e.change).collect();
    assert_eq!(changes, [Change::Opened, Change::Closed]);
    assert_eq!(
        (events[1].frames, events[1].end_ns),
        (3, Some(1_300_000_000))
    );
    // A plain buffer, and one that is too short for its caps.
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(bench.harness.push_event(gst::event::Segment::new(&segment)));
    bench.push(gst::Buffer::new());
    assert!(bench.end().is_empty());
}

#[test]
fn properties_change_while_playing() {
    let mut bench = Bench::new("I420", &[]);
    let element = bench.harness.element().unwrap();
    element.set_property("motion", false);
    element.set_property("labels", " dog, cat ");
    assert_eq!(element.property::<String>("labels"), "dog,cat");
    visit(&mut bench, "I420");
    assert!(bench.events().is_empty());
    element.set_property("labels", "person");
    bench.push(picture(&plain(6000)));
    for ms in [6100, 6200] {
        bench.push(picture(&Shown {
            found: &[("person", 0.1, Some(9))],
            ..plain(ms)
        }));
    }
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn states_may_be_cycled_any_number_of_times() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let element = gst::ElementFactory::make("eventsink")
        .property("location", folder.path().join("e.jsonl").to_str().unwrap())
        .property("thumbnails", folder.path().to_str().unwrap())
        .build()
        .unwrap();
    for _ in 0..5 {
        element.set_state(gst::State::Playing).unwrap();
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn surface() {
    init();
    let element = gst::ElementFactory::make("eventsink").build().unwrap();
    let mut text = String::new();
    for pspec in element.list_properties() {
        if pspec.owner_type() != element.type_() {
            continue;
        }
        let mutable = [
            (gst::PARAM_FLAG_MUTABLE_PLAYING, "playing"),
            (gst::PARAM_FLAG_MUTABLE_READY, "ready"),
            (gst::glib::ParamFlags::WRITABLE, "null"),
        ]
        .into_iter()
        .find(|(flag, _)| pspec.flags().contains(*flag))
        .map_or("read-only", |(_, word)| word);
        let default = match pspec.default_value() {
            value if value.type_() == gst::Structure::static_type() => "-".to_owned(),
            value => value
                .serialize()
                .map_or_else(|_| "-".to_owned(), |text| text.to_string()),
        };
        text += &format!(
            "{}: {} = {default} ({mutable}): {}\n",
            pspec.name(),
            pspec.value_type(),
            pspec.blurb().unwrap_or_default()
        );
    }
    for template in element.pad_template_list() {
        text += &format!("{}: {}\n", template.name_template(), template.caps());
    }
    expect![[r#"
        location: gchararray = - (ready): File that gets one JSON object a line for each change of an event; - for standard output, empty for none
        truncate: gboolean = false (ready): Whether the file at location is emptied at the start; else lines are appended
        thumbnails: gchararray = - (ready): Folder that gets a JPEG <id>.jpg of the best picture of each event (I420, NV12, RGB and GRAY8 video); empty for none
        thumbnail-width: guint = 480 (playing): Greatest width of a thumbnail, pixels
        motion: gboolean = true (playing): Whether motion makes events
        motion-gap: guint64 = 1000000000 (playing): For how long it must be quiet for a motion event to close, nanoseconds of media time
        motion-limit: guint64 = 300000000000 (playing): A motion event this long is closed and goes on as a new one, nanoseconds of media time; 0 for no limit
        object-gap: guint64 = 3000000000 (playing): For how long an object must be gone for its event to close, nanoseconds of media time
        min-frames: guint64 = 2 (playing): Pictures that must show an object before its event opens; a stream of fewer pictures counts what all of them show
        open-score: gdouble = 0.59999999999999998 (playing): Score (0..1) that an object must reach on one picture before its event opens; one seen on ten times min-frames pictures needs none
        min-score: gdouble = 0 (playing): Score (0..1) below which a detection is not looked at
        labels: gchararray = - (playing): Labels that make events, parted by commas; empty for all
        pipeline: gchararray = - (ready): Hash of the pipeline description, stamped on each event
        id-seed: gchararray = - (ready): Text that goes into the ids of events, the camera's name say, so that two streams never share an id
        stats: GstStructure = - (read-only): Counters: pictures in, events opened and closed, bytes of lines written, thumbnails dropped for want of time
        sink: video/x-raw(ANY)
    "#]].assert_eq(&text);
}
