//! The element in a harness: metas in, ids out, and its surface.
#![allow(
    clippy::unwrap_used,
    reason = "allow-unwrap-in-tests does not reach helpers of integration tests"
)]

use expect_test::expect;
use gst::prelude::*;
use gst_check::Harness;
use nvr_contract::BBox;
use nvr_contract::detection::{Detection, InferenceFrame};
use nvr_contract::stats;
use nvr_contract::track::{Track, Tracking};

const CAPS: &str = "video/x-raw,format=GRAY8,width=64,height=36,framerate=10/1";

fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstobjecttrack::register_static().unwrap();
    });
}

fn harness() -> Harness {
    init();
    let mut harness = Harness::new("objecttrack");
    harness.set_src_caps_str(CAPS);
    harness
}

fn picture(ms: u64, ran: Option<bool>, found: &[(&str, f64)]) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(64 * 36).unwrap();
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_pts(gst::ClockTime::from_mseconds(ms));
        if let Some(ran) = ran {
            InferenceFrame {
                ran,
                model: "0123456789ab".to_owned(),
            }
            .attach(buffer);
        }
        for (label, x) in found {
            let detection = Detection {
                label: (*label).to_owned(),
                label_id: 0,
                score: 0.9,
                bbox: BBox::clamped(*x, 0.5, 0.1, 0.4),
            };
            detection.attach(buffer, 64, 36);
        }
    }
    buffer
}

fn said(buffer: &gst::BufferRef) -> Vec<Option<Tracking>> {
    buffer
        .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
        .map(|meta| Tracking::of_meta(&meta))
        .collect()
}

fn ids(buffer: &gst::BufferRef) -> Vec<Option<u64>> {
    Detection::all_of_buffer(buffer)
        .into_iter()
        .map(|found| found.track.map(|track| track.id))
        .collect()
}

#[test]
fn detections_get_ids_that_stay() {
    let mut h = harness();
    let mut through = |buffer| h.push_and_pull(buffer).unwrap();
    let first = through(picture(0, Some(true), &[("person", 0.1), ("person", 0.6)]));
    assert_eq!(
        said(&first),
        [Some(Tracking::Tentative(1)), Some(Tracking::Tentative(2))]
    );
    assert_eq!(ids(&first), [None, None]);
    let second = through(picture(
        100,
        Some(true),
        &[("person", 0.61), ("person", 0.11)],
    ));
    assert_eq!(ids(&second), [Some(2), Some(1)]);
    // Nobody looked: nothing is added, nothing is lost.
    assert!(said(&through(picture(200, Some(false), &[]))).is_empty());
    let again = through(picture(9000, Some(true), &[("person", 0.11)]));
    assert_eq!(ids(&again), [Some(1)]);
    let counters: gst::Structure = h.element().unwrap().property("stats");
    assert_eq!(counters.name(), stats::NAME);
    assert_eq!(counters.get::<u64>(stats::FRAMES_IN), Ok(4));
    assert_eq!(counters.get::<u64>(stats::FRAMES_PROCESSED), Ok(3));
    assert_eq!(counters.get::<u64>(stats::TRACKS_CONFIRMED), Ok(2));
}

#[test]
fn detections_of_others_without_the_fact_of_a_look_are_tracked_too() {
    let mut h = harness();
    for (ms, expected) in [(0, None), (100, Some(1)), (5000, Some(1))] {
        let out = h.push_and_pull(picture(ms, None, &[("car", 0.3)])).unwrap();
        assert_eq!(ids(&out), [expected]);
    }
}

#[test]
fn a_track_of_another_tracker_is_left_alone() {
    let mut h = harness();
    for ms in [0, 100] {
        let mut buffer = picture(ms, None, &[("car", 0.3), ("car", 0.7)]);
        {
            let buffer = buffer.get_mut().unwrap();
            let mut meta = buffer
                .iter_meta_mut::<gst_video::VideoRegionOfInterestMeta>()
                .next()
                .unwrap();
            Track {
                id: 99,
                stationary: false,
                zones: Vec::new(),
            }
            .add_to_meta(&mut meta);
        }
        let out = h.push_and_pull(buffer).unwrap();
        assert_eq!(ids(&out)[0], Some(99));
        assert_eq!(ids(&out)[1], (ms == 100).then_some(1));
    }
}

#[test]
fn pixels_and_pictures_without_metas_pass_untouched() {
    let mut h = harness();
    for ms in [0, 40, 80] {
        let mut buffer = picture(ms, None, &[]);
        buffer
            .get_mut()
            .unwrap()
            .map_writable()
            .unwrap()
            .fill(ms as u8);
        let out = h.push_and_pull(buffer).unwrap();
        assert!(out.map_readable().unwrap().iter().all(|&b| b == ms as u8));
        assert!(said(&out).is_empty());
    }
    // No time stamp at all, as from a still picture.
    let mut still = picture(0, Some(true), &[("person", 0.1)]);
    still.get_mut().unwrap().set_pts(gst::ClockTime::NONE);
    assert_eq!(ids(&h.push_and_pull(still).unwrap()), [None]);
}

#[test]
fn properties_change_while_playing_and_bad_zones_change_nothing() {
    let mut h = harness();
    let element = h.element().unwrap();
    element.set_property("min-hits", 1u32);
    element.set_property("zones", "left=0,0 0.5,0 0.5,1 0,1");
    let zones = |buffer: &gst::BufferRef| match said(buffer).remove(0) {
        Some(Tracking::Tracked(track)) => track.zones,
        other => panic!("{other:?}"),
    };
    let out = h
        .push_and_pull(picture(0, Some(true), &[("person", 0.1)]))
        .unwrap();
    assert_eq!(zones(&out), ["left"]);
    element.set_property("zones", "nonsense");
    assert_eq!(
        element.property::<String>("zones"),
        "left=0,0 0.5,0 0.5,1 0,1"
    );
    element.set_property("zones", "");
    let out = h
        .push_and_pull(picture(100, Some(true), &[("person", 0.1)]))
        .unwrap();
    assert!(zones(&out).is_empty());
}

#[test]
fn flush_caps_and_state_cycles_begin_anew() {
    let mut h = harness();
    let look = |h: &mut Harness, ms| {
        let out = h
            .push_and_pull(picture(ms, Some(true), &[("person", 0.1)]))
            .unwrap();
        ids(&out)[0]
    };
    assert_eq!((look(&mut h, 0), look(&mut h, 100)), (None, Some(1)));
    // The same shape at another size is the same scene.
    h.set_src_caps_str("video/x-raw,format=GRAY8,width=128,height=72,framerate=10/1");
    assert_eq!(look(&mut h, 200), Some(1));
    h.set_src_caps_str("video/x-raw,format=GRAY8,width=64,height=64,framerate=10/1");
    assert_eq!((look(&mut h, 300), look(&mut h, 400)), (None, Some(2)));
    assert!(h.push_event(gst::event::FlushStart::new()));
    assert!(h.push_event(gst::event::FlushStop::new(true)));
    assert!(
        h.push_event(gst::event::Segment::new(&gst::FormattedSegment::<
            gst::ClockTime,
        >::new()))
    );
    assert_eq!((look(&mut h, 0), look(&mut h, 100)), (None, Some(3)));
    drop(h);

    init();
    let element = gst::ElementFactory::make("objecttrack").build().unwrap();
    for _ in 0..3 {
        element.set_state(gst::State::Playing).unwrap();
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn surface() {
    init();
    let element = gst::ElementFactory::make("objecttrack").build().unwrap();
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
        zones: gchararray = - (playing): Named polygons, name=x,y x,y x,y; name=… in shares (0..1) of the picture; an object is in a zone by the middle of its lower edge
        high-threshold: gdouble = 0.5 (playing): Score (0..1) from which on a detection may begin a track
        low-threshold: gdouble = 0.10000000000000001 (playing): Score (0..1) from which on a detection may continue a track
        match-iou: gdouble = 0.20000000000000001 (playing): Least overlap (intersection over union, 0..1) of a detection with the place where its track is expected
        max-age: guint64 = 2000000000 (playing): For how long a track that the model looks for and does not find is kept, nanoseconds of media time
        min-hits: guint = 2 (playing): Sightings after which a track is confirmed and its id is given out
        stationary-time: guint64 = 10000000000 (playing): After standing in one place this long an object is stationary, nanoseconds of media time
        stats: GstStructure = - (read-only): Counters: pictures in, pictures tracked on, tracks confirmed, tracks kept now
        sink: video/x-raw(ANY)
        src: video/x-raw(ANY)
    "#]].assert_eq(&text);
}
