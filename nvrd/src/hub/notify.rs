//! Makes notifications of the events that matter, on a thread that may wait for the database.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::time::Duration;

use nvr_base::Clock;
use nvr_store::{EventRow, KeepNotifications, NewNotification, NotificationRow, Store};

use super::{Hub, Topic};
use crate::alarms::DAEMON;
use crate::config::NotificationsConfig;

/// Events that may wait to be told of; further ones make no notification.
const QUEUE: usize = 1024;
/// Notifications that are stored at once.
const BATCH: usize = 64;
/// Cameras whose last minute is remembered; more begin anew.
const MOST_CAMERAS: usize = 1024;
const MINUTE: Duration = Duration::from_secs(60);
const DAY_US: i64 = 86_400_000_000;

/// Hands events to the thread that makes notifications; never waits.
#[derive(Debug, Clone)]
pub struct Bellpull(std::sync::mpsc::SyncSender<EventRow>);

impl Bellpull {
    /// A new event.
    pub fn pull(&self, event: &EventRow) {
        match self.0.try_send(event.clone()) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(event)) => {
                tracing::warn!(
                    event.id,
                    "too many events at once: one makes no notification"
                );
            }
        }
    }
}

/// What the thread works with.
#[expect(missing_debug_implementations, reason = "lives on its own thread")]
pub struct Notifier {
    store: Store,
    hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
    config: NotificationsConfig,
    inbox: Receiver<EventRow>,
    /// When the last notifications of each camera were made, monotonic.
    recent: HashMap<String, VecDeque<Duration>>,
}

impl Notifier {
    /// A notifier, and what it is called with.
    pub fn new(
        store: Store,
        hub: Arc<Hub>,
        clock: Arc<dyn Clock>,
        config: NotificationsConfig,
    ) -> (Self, Bellpull) {
        let (sender, inbox) = sync_channel(QUEUE);
        let notifier = Self {
            store,
            hub,
            clock,
            config,
            inbox,
            recent: HashMap::new(),
        };
        (notifier, Bellpull(sender))
    }

    /// Works until every bellpull has gone.
    pub fn run(mut self) {
        while let Ok(first) = self.inbox.recv() {
            let mut events = vec![first];
            while let (true, Ok(event)) = (events.len() < BATCH, self.inbox.try_recv()) {
                events.push(event);
            }
            events.retain(|event| self.matters(event));
            if !events.is_empty() {
                self.tell(&events);
            }
        }
    }

    fn matters(&mut self, event: &EventRow) -> bool {
        if !self.config.kinds.contains(&event.kind) {
            return false;
        }
        let now = self.clock.monotonic();
        if self.recent.len() >= MOST_CAMERAS && !self.recent.contains_key(&event.camera) {
            self.recent.clear();
        }
        let recent = self.recent.entry(event.camera.clone()).or_default();
        while recent
            .front()
            .is_some_and(|at| now.saturating_sub(*at) >= MINUTE)
        {
            recent.pop_front();
        }
        if recent.len() >= self.config.per_minute as usize {
            return false;
        }
        recent.push_back(now);
        true
    }

    fn tell(&self, events: &[EventRow]) {
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let words = self.store.event_descriptions(&ids).unwrap_or_else(|error| {
            tracing::warn!(%error, "notifications go without the words of their events");
            HashMap::new()
        });
        let new: Vec<NewNotification> = events
            .iter()
            .map(|event| NewNotification {
                event_id: event.id.clone(),
                camera: event.camera.clone(),
                kind: event.kind.clone(),
                label: event.label.clone(),
                text: match words.get(&event.id) {
                    Some(words) => words.answer.description.clone(),
                    None => text_of(event),
                },
            })
            .collect();
        let keep = KeepNotifications {
            age_us: i64::from(self.config.keep_days) * DAY_US,
            count: self.config.keep_count,
        };
        match self.store.add_notifications(&new, keep) {
            Ok(rows) => {
                for row in &rows {
                    let data = notification_data(row);
                    self.hub
                        .publish(Topic::NotificationNew, &row.what.camera, &data);
                }
            }
            Err(error) => tracing::error!(%error, "notifications could not be stored"),
        }
    }
}

/// An event in a few words.
fn text_of(event: &EventRow) -> String {
    let label = event
        .label
        .as_deref()
        .unwrap_or(&event.kind)
        .replace('_', " ");
    match (&event.identity, event.camera.as_str()) {
        (Some(identity), DAEMON) => format!("{label}: {identity}"),
        (None, DAEMON) => label,
        (Some(identity), camera) => format!("{label} {identity} at {camera}"),
        (None, camera) => format!("{label} at {camera}"),
    }
}

/// A notification as it goes out.
pub fn notification_data(row: &NotificationRow) -> serde_json::Value {
    let moment = jiff::Timestamp::from_microsecond(row.created_us).unwrap_or_default();
    let what = &row.what;
    serde_json::json!({
        "id": row.id,
        "event_id": what.event_id,
        "camera_id": what.camera,
        "kind": what.kind,
        "label": what.label,
        "rule_id": null,
        "rule_name": what.kind,
        "event_description": what.text,
        "thumbnail_url": format!("/api/v1/events/{}/thumbnail", what.event_id),
        "created_at": moment.to_string(),
        "created_unix_us": row.created_us,
        "read": row.read,
    })
}

#[cfg(test)]
mod tests {
    use nvr_base::{Principal, Shutdown, SimulatedClock};
    use nvr_store::{Change, EventChange, EventState, NewDescription, PageRequest};

    use super::*;
    use crate::hub::LISTENERS;

    fn event(id: &str, camera: &str, kind: &str) -> EventRow {
        EventRow {
            id: id.to_owned(),
            camera: camera.to_owned(),
            kind: kind.to_owned(),
            label: Some("person".to_owned()),
            state: EventState::Closed,
            start_us: 1,
            end_us: Some(2),
            start_ns: 0,
            end_ns: None,
            score: None,
            bbox: None,
            zones: Vec::new(),
            track_id: None,
            identity: None,
            similarity: None,
            frames: 1,
            model: None,
            pipeline: None,
            interrupted: false,
        }
    }

    #[test]
    fn what_matters_is_stored_and_told_and_a_storm_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::at(1_767_225_600_000_000));
        let store = Store::open(&folder.path().join("a.db"), clock.clone()).unwrap();
        let hub = Arc::new(Hub::new(clock.clone(), LISTENERS, Shutdown::new()));
        let mut listener = hub.listen(None).unwrap();
        let config = NotificationsConfig {
            per_minute: 3,
            ..NotificationsConfig::default()
        };
        let said = event("said", "yard", "object");
        let change = Change::Closed;
        store
            .apply_event(&EventChange {
                change,
                event: said.clone(),
            })
            .unwrap();
        let words = NewDescription {
            description: "a man with a ladder".to_owned(),
            provider: "api".to_owned(),
            model: String::new(),
            confidence: None,
            objects: Vec::new(),
            tokens: 0,
            cost: 0.0,
            response_time_ms: 0,
        };
        store.describe_event("said", &words).unwrap();
        let (notifier, bell) = Notifier::new(store.clone(), Arc::clone(&hub), clock, config);
        let system = EventRow {
            label: Some("storage_missing".to_owned()),
            identity: Some("second".to_owned()),
            ..event("sys", DAEMON, "system")
        };
        bell.pull(&event("m", "front", "motion"));
        bell.pull(&said);
        bell.pull(&system);
        for n in 0..5 {
            bell.pull(&event(&n.to_string(), "front", "object"));
        }
        drop(bell);
        notifier.run();

        let told: Vec<serde_json::Value> = std::iter::from_fn(|| listener.ready().unwrap())
            .map(|frame| serde_json::from_str(frame.json()).unwrap())
            .collect();
        let texts: Vec<&str> = told
            .iter()
            .map(|frame| frame["data"]["event_description"].as_str().unwrap())
            .collect();
        assert_eq!(
            texts,
            [
                "a man with a ladder",
                "storage missing: second",
                "person at front",
                "person at front",
                "person at front"
            ]
        );
        assert!(told.iter().all(|frame| frame["type"] == "notification.new"));
        let page = PageRequest { page: 1, limit: 50 };
        let stored = store
            .notifications(&Principal::local(), true, page)
            .unwrap();
        assert_eq!(stored.total, 5);
        let first = &told[0]["data"];
        assert_eq!(first["id"], stored.items[4].id.as_str());
        assert_eq!(first["created_at"], "2026-01-01T00:00:00Z");
        assert_eq!(first["read"], false);
    }
}
