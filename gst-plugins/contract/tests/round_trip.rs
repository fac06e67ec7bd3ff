//! Every typed form survives the way through its structure, meta or event; nothing foreign is taken for ours.
#![allow(
    clippy::unwrap_used,
    reason = "allow-unwrap-in-tests does not reach helpers of integration tests"
)]

use nvr_contract::detection::{Detection, InferenceFrame};
use nvr_contract::event::{Change, Event, Kind};
use nvr_contract::motion::{MotionChange, MotionFrame, MotionRegion, MotionState};
use nvr_contract::segment::{
    FragmentWritten, Gap, GapReason, Keyframe, SegmentClosed, SegmentOpened,
};
use nvr_contract::source::{LossReason, SourceChange, SourceState, StreamRole, VideoCodec};
use nvr_contract::track::{Track, Tracking};
use nvr_contract::{BBox, FieldError, Message, face, gate};
use proptest::prelude::*;

fn check<M: Message + PartialEq + std::fmt::Debug>(message: &M) {
    gst::init().unwrap();
    let structure = message.to_structure();
    assert_eq!(&M::try_from_structure(&structure).unwrap(), message);
    // Through a real bus message, and through the text form that `gst-launch-1.0 -m` prints.
    let posted = gst::message::Element::new(structure.clone());
    assert_eq!(&M::from_message(&posted).unwrap().unwrap(), message);
    assert!(M::from_message(&gst::message::Eos::new()).is_none());
    let foreign = gst::Structure::new_empty("something-else");
    assert!(matches!(
        M::try_from_structure(&foreign),
        Err(FieldError::Name { .. })
    ));
    let empty = gst::Structure::new_empty(M::NAME);
    assert!(M::try_from_structure(&empty).is_err());
}

fn text() -> impl Strategy<Value = String> {
    "[ -~\u{e4}\u{20ac}]{0,40}"
}

fn bbox() -> impl Strategy<Value = BBox> {
    prop::array::uniform4(0f64..0.5).prop_map(|[x, y, w, h]| BBox { x, y, w, h })
}

fn any_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

prop_compose! {
    fn event()(
        change in any_of(Change::ALL), kind in any_of(Kind::ALL), id in text(), label in prop::option::of(text()),
        start_ns in any::<u64>(), end_ns in prop::option::of(any::<u64>()),
        unix in prop::option::of((any::<i64>(), any::<i64>())),
        score in prop::option::of(0f64..1.0), bbox in prop::option::of(bbox()), zones in prop::collection::vec(text(), 0..4),
        (track_id, identity) in (prop::option::of(any::<u64>()), prop::option::of((text(), -1f64..1.0))),
        frames in any::<u64>(), model in prop::option::of(text()),
    ) -> Event {
        Event {
            change, id, kind, label, start_ns, end_ns,
            start_unix_us: unix.map(|u| u.0), end_unix_us: unix.map(|u| u.1),
            score, bbox, zones, track_id,
            similarity: identity.as_ref().map(|i| i.1), identity: identity.map(|i| i.0),
            frames, pipeline: model.clone(), model,
        }
    }
}

proptest! {
    #[test]
    fn events(event in event()) {
        check(&event);
        let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
        prop_assert_eq!(json["type"].as_str(), Some(event.change.as_str()));
        prop_assert_eq!(json["id"].as_str(), Some(event.id.as_str()));
        prop_assert_eq!(json["start_ns"].as_u64(), Some(event.start_ns));
        prop_assert_eq!(json.get("label").and_then(|l| l.as_str()), event.label.as_deref());
        prop_assert_eq!(json.get("zones").is_some(), !event.zones.is_empty());
    }

    #[test]
    fn segments(location in text(), a in any::<u64>(), b in any::<i64>(), keys in prop::collection::vec((any::<u64>(), any::<u64>()), 0..5), flag in any::<bool>(), reason in any_of(GapReason::ALL), detail in prop::option::of(text()), end in prop::option::of(any::<i64>())) {
        check(&SegmentOpened { location: location.clone(), start_ns: a, start_unix_us: b });
        check(&FragmentWritten { location: location.clone(), bytes: a, end_ns: a, end_unix_us: b, synced: flag });
        check(&SegmentClosed {
            location, start_ns: a, end_ns: a, start_unix_us: b, end_unix_us: b, frames: a, bytes: a,
            codec: "h264".into(), width: 640, height: 360,
            keyframes: keys.into_iter().map(|(offset_ns, byte)| Keyframe { offset_ns, byte }).collect(),
            blake3: "00".into(), discont: flag, audio: flag.then(|| "aac".to_owned()),
        });
        check(&Gap { start_unix_us: b, end_unix_us: end, reason, detail });
    }

    #[test]
    fn sources(state in any_of(SourceState::ALL), reason in prop::option::of(any_of(LossReason::ALL)), detail in prop::option::of(text()), codec in prop::option::of(any_of(VideoCodec::ALL)), n in any::<u64>(), size in prop::option::of(1i32..9999)) {
        check(&SourceChange { stream: StreamRole::Sub, state, reason, detail, running_time_ns: n, unix_us: 7, codec, width: size, height: size, fps: size.map(f64::from), attempts: 3 });
    }

    #[test]
    fn faces(person in text(), flags in any::<(bool, bool)>(), similarity in -1f64..1.0, pts_ns in any::<u64>(), track_id in prop::option::of(any::<u64>()), embedding in prop::option::of("[A-Za-z0-9+/]{4,64}")) {
        check(&face::FaceSeen { person, stranger: flags.0, new: flags.1, similarity, pts_ns, track_id, model: "0123456789ab".into(), embedding });
    }

    #[test]
    fn motion(state in any_of(MotionState::ALL), unix_us in prop::option::of(any::<i64>()), zones in prop::collection::vec(text(), 0..4), level in 0f64..1.0) {
        check(&MotionChange { state, pts_ns: 5, unix_us, level, zones });
    }
}

#[test]
fn an_unknown_word_is_named() {
    gst::init().unwrap();
    let mut s = Gap {
        start_unix_us: 1,
        end_unix_us: None,
        reason: GapReason::Paused,
        detail: None,
    }
    .to_structure();
    s.set("reason", "bored");
    assert_eq!(
        Gap::try_from_structure(&s).unwrap_err().to_string(),
        "nvrd-gap: field \"reason\" does not know the word \"bored\""
    );
}

fn detection(label: &str) -> Detection {
    Detection {
        label: label.into(),
        label_id: 1,
        score: 0.5,
        bbox: BBox {
            x: 0.5,
            y: 0.5,
            w: 0.25,
            h: 0.25,
        },
    }
}

#[test]
fn metas_survive_the_buffer_and_its_copy() {
    gst::init().unwrap();
    let mut buffer = gst::Buffer::new();
    let frame = MotionFrame {
        moving: true,
        level: 0.25,
        learning: false,
    };
    let region = MotionRegion {
        bbox: BBox {
            x: 0.1,
            y: 0.2,
            w: 0.3,
            h: 0.4,
        },
        score: 0.9,
        zones: vec!["porch".into()],
    };
    let looked = InferenceFrame {
        ran: true,
        model: "abc".into(),
    };
    assert_eq!(MotionFrame::of_buffer(&buffer), None);
    {
        let buffer = buffer.get_mut().unwrap();
        frame.attach(buffer);
        region.attach(buffer, 640, 360);
        looked.attach(buffer);
        detection("person").attach(buffer, 640, 360);
        detection("dog").attach(buffer, 640, 360);
    }
    let copy = buffer.copy();
    assert_eq!(MotionFrame::of_buffer(&copy), Some(frame));
    assert_eq!(MotionRegion::all_of_buffer(&copy), [region]);
    assert_eq!(InferenceFrame::of_buffer(&copy), Some(looked));
    let found = Detection::all_of_buffer(&copy);
    assert_eq!(
        found
            .iter()
            .map(|f| f.detection.clone())
            .collect::<Vec<_>>(),
        [detection("person"), detection("dog")]
    );
    assert_ne!(found[0].roi_id, found[1].roi_id);
}

#[test]
fn what_others_learn_of_a_detection_stays_with_it() {
    gst::init().unwrap();
    let mut copy = gst::Buffer::new();
    for label in ["person", "dog"] {
        detection(label).attach(copy.get_mut().unwrap(), 640, 360);
    }
    let dog = Detection::all_of_buffer(&copy)[1].roi_id;
    let track = Track {
        id: 1 << 40,
        stationary: true,
        zones: vec!["a".into(), "b".into()],
    };
    let identity = face::Identity {
        person: "p".into(),
        similarity: 0.5,
    };
    let points = [(0.1, 0.2), (0.3, 0.4), (0.5, 0.6), (0.7, 0.8), (0.9, 1.0)];
    for mut meta in copy
        .get_mut()
        .unwrap()
        .iter_meta_mut::<gst_video::VideoRegionOfInterestMeta>()
    {
        if meta.id() == dog {
            track.add_to_meta(&mut meta);
            identity.add_to_meta(&mut meta);
            face::add_landmarks(&mut meta, &points);
        }
    }
    let found = Detection::all_of_buffer(&copy);
    assert_eq!(found[0].track, None);
    assert_eq!(found[1].track, Some(track));
    let meta = copy
        .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
        .find(|m| m.id() == dog)
        .unwrap();
    assert_eq!(face::Identity::of_meta(&meta), Some(identity));
    assert_eq!(face::landmarks_of(&meta), Some(points));
}

#[test]
fn scene_changes_survive_the_upstream_event() {
    gst::init().unwrap();
    let change = gate::SceneChange {
        moving: true,
        pts_ns: 9,
    };
    assert_eq!(
        gate::SceneChange::from_event(&change.to_event()),
        Some(change)
    );
    assert_eq!(gate::SceneChange::from_event(&gst::event::Eos::new()), None);
    assert_eq!(
        gate::GateMode::from_word("adaptive"),
        Some(gate::GateMode::Adaptive)
    );
}

#[test]
fn the_gate_says_what_it_lets_through() {
    gst::init().unwrap();
    for (keys_only, replays) in [(false, false), (true, false), (true, true)] {
        let state = gate::GateState { keys_only, replays };
        assert_eq!(gate::GateState::from_event(&state.to_event()), Some(state));
    }
    assert_eq!(gate::GateState::from_event(&gst::event::Eos::new()), None);
    for &open in gate::OpenReason::ALL {
        for bypass in [None, Some(gate::Bypass::OpenGop)] {
            let change = gate::GateChange {
                open: Some(open),
                bypass,
                request: bypass.map(|_| "door".to_owned()),
                pts_ns: 7,
                replayed: 31,
            };
            let read = gate::GateChange::try_from_structure(&change.to_structure());
            assert_eq!(read.unwrap(), change);
        }
    }
    let closed = gate::GateChange {
        open: None,
        bypass: None,
        request: None,
        pts_ns: 9,
        replayed: 0,
    };
    let mut structure = closed.to_structure();
    assert_eq!(
        gate::GateChange::try_from_structure(&structure).unwrap(),
        closed
    );
    structure.set("open", true);
    structure.set("reason", "whim");
    let error = gate::GateChange::try_from_structure(&structure).unwrap_err();
    assert!(error.to_string().contains("whim"), "{error}");
}

#[test]
fn a_tracker_says_that_it_looked() {
    gst::init().unwrap();
    let track = Track {
        id: 7,
        stationary: false,
        zones: Vec::new(),
    };
    for (word, as_track) in [
        (None, None),
        (Some(Tracking::Unclaimed), None),
        (Some(Tracking::Tentative(7)), None),
        (Some(Tracking::Tracked(track.clone())), Some(track)),
    ] {
        let mut buffer = gst::Buffer::new();
        detection("person").attach(buffer.get_mut().unwrap(), 640, 360);
        if let Some(word) = &word {
            let buffer = buffer.get_mut().unwrap();
            let mut metas = buffer.iter_meta_mut::<gst_video::VideoRegionOfInterestMeta>();
            word.add_to_meta(&mut metas.next().unwrap());
        }
        let meta = buffer
            .meta::<gst_video::VideoRegionOfInterestMeta>()
            .unwrap();
        assert!(Detection::is_on(&meta));
        assert_eq!(Tracking::of_meta(&meta), word);
        assert_eq!(Detection::all_of_buffer(&buffer)[0].track, as_track);
    }
}
