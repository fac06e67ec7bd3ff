//! The hub: order, coming back, falling behind, and who may know what.

use std::collections::BTreeSet;

use nvr_base::SimulatedClock;
use nvr_base::principal::{Actor, CameraAccess, Principal, Role, Scope};

use super::*;

fn hub(places: usize) -> Hub {
    let clock = Arc::new(SimulatedClock::at(1_767_225_600_000_000));
    Hub::new(clock, places, Shutdown::new())
}

fn tell(hub: &Hub, numbers: std::ops::Range<u64>) {
    for number in numbers {
        hub.publish(Topic::EventCreated, "a", &number);
    }
}

/// The data of all frames that are there.
fn heard(listener: &mut Listener) -> Vec<String> {
    std::iter::from_fn(|| listener.ready().unwrap())
        .map(|frame| {
            let json: serde_json::Value = serde_json::from_str(frame.json()).unwrap();
            match frame.topic() {
                Topic::Reset => "reset".to_owned(),
                _ => json["data"].to_string(),
            }
        })
        .collect()
}

#[test]
fn a_frame_is_one_object_and_one_event() {
    let hub = hub(1);
    let mut listener = hub.listen(None).unwrap();
    hub.publish(
        Topic::EventCreated,
        "a",
        &serde_json::json!({"x": "line\nbreak"}),
    );
    let frame = listener.ready().unwrap().unwrap();
    let json: serde_json::Value = serde_json::from_str(frame.json()).unwrap();
    let id = json["id"].as_str().unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "type": "event.created",
            "data": {"x": "line\nbreak"},
            "timestamp": "2026-01-01T00:00:00Z",
            "id": id,
        })
    );
    let sse = String::from_utf8(frame.sse().to_vec()).unwrap();
    let lines: Vec<&str> = sse.lines().collect();
    assert_eq!(
        lines,
        [
            format!("id: {id}").as_str(),
            "event: event.created",
            format!("data: {}", frame.json()).as_str(),
            ""
        ]
    );
}

#[test]
fn whoever_comes_back_hears_what_was_missed() {
    let hub = hub(100);
    let mut first = hub.listen(None).unwrap();
    tell(&hub, 0..5);
    let ids: Vec<String> = std::iter::from_fn(|| first.ready().unwrap())
        .map(|frame| {
            let json: serde_json::Value = serde_json::from_str(frame.json()).unwrap();
            json["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let check = |after: &str, expect: &[&str]| {
        let mut listener = hub.listen(Some(after)).unwrap();
        assert_eq!(heard(&mut listener), expect, "{after}");
    };
    check(&ids[0], &["1", "2", "3", "4"]);
    check(&ids[4], &[]);
    // Of another start, of the future, of nobody.
    for strange in [
        "1-1",
        &format!("{}9", ids[4]),
        "",
        "-",
        "x",
        "999999999999999999999-1",
    ] {
        check(strange, &["reset"]);
    }
    let mut back = hub.listen(Some(&ids[3])).unwrap();
    tell(&hub, 5..7);
    assert_eq!(heard(&mut back), ["4", "5", "6"]);
}

#[test]
fn only_so_much_is_kept() {
    let hub = hub(10);
    let mut first = hub.listen(None).unwrap();
    hub.publish(Topic::EventCreated, "a", &0);
    let frame = first.ready().unwrap().unwrap();
    let id = |frame: &Frame| {
        let json: serde_json::Value = serde_json::from_str(frame.json()).unwrap();
        json["id"].as_str().unwrap().to_owned()
    };
    let kept = KEPT as u64;
    tell(&hub, 1..kept + 1);
    assert_eq!(
        heard(&mut hub.listen(Some(&id(&frame))).unwrap()).len(),
        KEPT,
        "all that came after it is there yet"
    );
    tell(&hub, 0..1);
    assert_eq!(
        heard(&mut hub.listen(Some(&id(&frame))).unwrap()),
        ["reset"]
    );
    assert_eq!(hub.lock().kept.len(), KEPT);
    // The first one has not taken any of them since.
    assert_eq!(first.ready().unwrap_err(), End::Slow);
}

#[tokio::test]
async fn the_end_is_told_and_places_are_given_back() {
    let hub = hub(2);
    let mut one = hub.listen(None).unwrap();
    let two = hub.listen(None).unwrap();
    assert_eq!(hub.listen(None).unwrap_err(), Full);
    assert_eq!(hub.listeners(), 2);
    drop(two);
    assert_eq!(hub.listeners(), 1);
    hub.stopping().trigger();
    assert_eq!(one.next().await.unwrap_err(), End::Stopping);
}

#[test]
fn a_frame_is_for_those_who_may_know_of_it() {
    let key = |scope| Principal {
        actor: Actor::Key {
            id: "1".to_owned(),
            name: "n".to_owned(),
        },
        role: Role::Viewer,
        scopes: Some(BTreeSet::from([scope])),
        cameras: CameraAccess::All,
    };
    let viewer_of_a = Principal {
        actor: Actor::User {
            id: "1".to_owned(),
            name: "n".to_owned(),
        },
        role: Role::Viewer,
        scopes: None,
        cameras: CameraAccess::Only(BTreeSet::from(["a".to_owned()])),
    };
    let check = |topic, camera: &str, who: &Principal, expect: bool| {
        let frame = Frame::new("1-1", topic, camera, 0, "{}");
        assert_eq!(frame.is_for(who), expect, "{topic:?} {camera} {who:?}");
    };
    for topic in Topic::ALL {
        check(topic, "a", &viewer_of_a, true);
        check(topic, "b", &viewer_of_a, false);
        check(topic, "b", &Principal::local(), true);
        check(topic, "b", &Principal::anonymous(), false);
        let camera = topic == Topic::CameraStatus;
        check(topic, "a", &key(Scope::ReadEvents), !camera);
        check(topic, "a", &key(Scope::ReadCameras), camera);
        assert_eq!(Topic::of(topic.as_str()), Some(topic));
    }
    check(Topic::Reset, "", &viewer_of_a, true);
    assert_eq!(Topic::of("reset"), None);
}
