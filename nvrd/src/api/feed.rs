//! From committed events to frames for whoever listens, and to the notifications of those that are new.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use nvr_store::{Change, EventRow};
use serde_json::{Map, Value};
use tokio::sync::broadcast::error::RecvError;

use super::events::{Beside, event_of};
use crate::hub::{Bellpull, CommittedEvent, Hub, Topic};

/// Events that are open at once and known to be; the ends of further ones come as new events.
const MOST_OPEN: usize = 65_536;

/// Tells of every event that is committed from now on, until the daemon stops.
pub fn follow(hub: Arc<Hub>, bell: Bellpull) -> impl Future<Output = ()> + Send {
    let mut committed = hub.committed().subscribe();
    async move {
        let mut open = HashSet::new();
        loop {
            let event = tokio::select! {
                event = committed.recv() => event,
                () = hub.stopping().wait() => return,
            };
            match event {
                Ok(event) => tell(&hub, &bell, &mut open, &event),
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "more events came than could be told");
                    hub.lost("more events came than could be told: ask for the lists again");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}

fn tell(hub: &Hub, bell: &Bellpull, open: &mut HashSet<String>, event: &CommittedEvent) {
    let row = &event.committed.event;
    let topic = match event.committed.change {
        Change::Opened => {
            if open.len() < MOST_OPEN {
                open.insert(row.id.clone());
            }
            Topic::EventCreated
        }
        Change::Updated => Topic::EventUpdated,
        Change::Closed if open.remove(&row.id) => Topic::EventClosed,
        // It came whole.
        Change::Closed => Topic::EventCreated,
    };
    if topic == Topic::EventCreated {
        hub.count_event(&event.camera, &row.kind);
        bell.pull(row);
    }
    hub.publish(topic, &event.camera, &data_of(row));
}

/// The event as the lists have it; what ArgusAI's `EVENT_CREATED` and `NEW_EVENT` have is in it.
fn data_of(row: &EventRow) -> Map<String, Value> {
    let mut data = match serde_json::to_value(event_of(row.clone(), &Beside::default())) {
        Ok(Value::Object(data)) => data,
        _ => Map::new(),
    };
    data.insert("event_id".to_owned(), row.id.clone().into());
    data
}

#[cfg(test)]
mod tests {
    use nvr_base::{Shutdown, SimulatedClock};
    use nvr_store::{EventChange, EventState, Store};

    use super::*;
    use crate::config::NotificationsConfig;
    use crate::hub::Notifier;

    fn step(id: &str, change: Change) -> CommittedEvent {
        CommittedEvent::of(EventChange {
            change,
            event: EventRow {
                id: id.to_owned(),
                camera: "front".to_owned(),
                kind: "object".to_owned(),
                label: Some("person".to_owned()),
                state: EventState::Open,
                start_us: 1_767_225_600_000_000,
                end_us: None,
                start_ns: 0,
                end_ns: None,
                score: Some(0.876),
                bbox: None,
                zones: Vec::new(),
                track_id: None,
                identity: None,
                similarity: None,
                frames: 1,
                model: None,
                pipeline: None,
                interrupted: false,
            },
        })
    }

    fn owned(((camera, kind), count): ((&str, &str), u64)) -> ((String, String), u64) {
        ((camera.to_owned(), kind.to_owned()), count)
    }

    #[tokio::test]
    async fn each_step_is_a_frame_and_a_new_event_rings_once() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::at(5));
        let store = Store::open(&folder.path().join("a.db"), clock.clone()).unwrap();
        let hub = Arc::new(Hub::new(clock.clone(), 10, Shutdown::new()));
        let config = NotificationsConfig::default();
        let (notifier, bell) = Notifier::new(store, Arc::clone(&hub), clock, config);
        let mut listener = hub.listen(None).unwrap();
        let following = tokio::spawn(follow(Arc::clone(&hub), bell));
        for (id, change) in [
            ("a", Change::Opened),
            ("a", Change::Updated),
            ("a", Change::Closed),
            ("whole", Change::Closed),
        ] {
            hub.committed().send(step(id, change)).unwrap();
        }
        let mut told = Vec::new();
        for _ in 0..4 {
            let frame = listener.next().await.unwrap();
            let json: Value = serde_json::from_str(frame.json()).unwrap();
            told.push((
                frame.topic(),
                json["data"]["id"].as_str().unwrap().to_owned(),
            ));
            assert_eq!(json["data"]["camera_id"], "front");
            assert_eq!(json["data"]["confidence"], 88);
            assert_eq!(
                json["data"]["objects_detected"],
                serde_json::json!(["person"])
            );
            assert_eq!(json["data"]["timestamp"], "2026-01-01T00:00:00Z");
        }
        let expect = [
            (Topic::EventCreated, "a"),
            (Topic::EventUpdated, "a"),
            (Topic::EventClosed, "a"),
            (Topic::EventCreated, "whole"),
        ];
        assert_eq!(told, expect.map(|(topic, id)| (topic, id.to_owned())));
        assert_eq!(hub.events(), [(("front", "object"), 2)].map(owned));
        hub.stopping().trigger();
        following.await.unwrap();
        // Its bellpull has gone with it.
        let mut rung = hub.listen(None).unwrap();
        notifier.run();
        let rung = std::iter::from_fn(|| rung.ready().unwrap()).count();
        assert_eq!(rung, 2);
    }
}
