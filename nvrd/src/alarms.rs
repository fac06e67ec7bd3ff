//! What the daemon says about itself, as events of the kind `system`: kept, listed and published like all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use nvr_base::{Clock, Result};
use nvr_contract::event::Kind;
use nvr_store::{Change, EventChange, EventRow, EventState, Store};
use tokio::sync::broadcast;

use crate::hub::CommittedEvent;

/// Stands where other events name their camera; no camera can be called so.
pub const DAEMON: &str = "@nvrd";
/// Alarms that may be open at once.
const MOST: usize = 256;

/// The alarms that are open.
#[derive(Debug)]
pub struct Alarms {
    store: Store,
    clock: Arc<dyn Clock>,
    committed: broadcast::Sender<CommittedEvent>,
    open: Mutex<HashMap<(&'static str, String), EventRow>>,
}

impl Alarms {
    /// None is open.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        committed: broadcast::Sender<CommittedEvent>,
    ) -> Self {
        Self {
            store,
            clock,
            committed,
            open: Mutex::default(),
        }
    }

    /// Says that something is wrong with `subject`, once, until it is [cleared](Self::clear).
    pub fn raise(&self, label: &'static str, subject: &str) {
        let row = self.row(label, subject);
        {
            let mut open = self.open.lock().expect("no holder of this lock panics");
            let key = (label, subject.to_owned());
            if open.contains_key(&key) || open.len() >= MOST {
                return;
            }
            open.insert(key, row.clone());
        }
        self.commit(Change::Opened, row);
    }

    /// Says that it is no longer so.
    pub fn clear(&self, label: &'static str, subject: &str) {
        let row = {
            let mut open = self.open.lock().expect("no holder of this lock panics");
            open.remove(&(label, subject.to_owned()))
        };
        if let Some(mut row) = row {
            row.end_us = Some(self.clock.unix_us().max(row.start_us));
            self.commit(Change::Closed, row);
        }
    }

    /// Says that something happened to `subject`.
    pub fn note(&self, label: &'static str, subject: &str) {
        let mut row = self.row(label, subject);
        row.end_us = Some(row.start_us);
        self.commit(Change::Closed, row);
    }

    fn row(&self, label: &'static str, subject: &str) -> EventRow {
        EventRow {
            id: self.store.new_id(),
            camera: DAEMON.to_owned(),
            kind: Kind::System.as_str().to_owned(),
            label: Some(label.to_owned()),
            state: EventState::Open,
            start_us: self.clock.unix_us(),
            end_us: None,
            start_ns: 0,
            end_ns: None,
            score: None,
            bbox: None,
            zones: Vec::new(),
            track_id: None,
            identity: Some(subject.to_owned()),
            similarity: None,
            frames: 0,
            model: None,
            pipeline: None,
            interrupted: false,
        }
    }

    fn commit(&self, change: Change, mut event: EventRow) {
        if change == Change::Closed {
            event.state = EventState::Closed;
            event.end_ns = Some(0);
        }
        match self.apply(change, event) {
            Ok(Some(committed)) => {
                // Fails only when nobody listens.
                drop(self.committed.send(CommittedEvent::of(committed)));
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "an alarm could not be stored"),
        }
    }

    fn apply(&self, change: Change, event: EventRow) -> Result<Option<EventChange>> {
        self.store.apply_event(&EventChange { change, event })
    }
}

#[cfg(test)]
mod tests {
    use nvr_base::SimulatedClock;
    use nvr_store::{EventFilter, PageRequest};

    use nvr_base::Principal;

    use super::*;

    #[test]
    fn an_alarm_is_raised_once_and_cleared_once() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::at(5));
        let store = Store::open(&folder.path().join("a.db"), clock.clone()).unwrap();
        let (sender, mut published) = broadcast::channel(16);
        let alarms = Alarms::new(store.clone(), clock.clone(), sender);
        alarms.raise("storage_missing", "second");
        alarms.raise("storage_missing", "second");
        alarms.raise("storage_missing", "third");
        clock.advance(std::time::Duration::from_secs(1));
        alarms.clear("storage_missing", "second");
        alarms.clear("storage_missing", "second");
        alarms.note("protected_deleted", "first");
        let page = PageRequest { page: 1, limit: 10 };
        let events = store
            .events(Principal::system(), &EventFilter::default(), page)
            .unwrap()
            .items;
        let said = |subject: &str| {
            let found = events
                .iter()
                .find(|e| e.identity.as_deref() == Some(subject));
            let found = found.unwrap();
            (found.state, found.end_us)
        };
        assert_eq!(events.len(), 3);
        assert_eq!(said("second"), (EventState::Closed, Some(1_000_005)));
        assert_eq!(said("third"), (EventState::Open, None));
        assert_eq!(said("first"), (EventState::Closed, Some(1_000_005)));
        let told = std::iter::from_fn(|| published.try_recv().ok()).count();
        assert_eq!(told, 4);
    }
}
