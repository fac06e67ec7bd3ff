//! From cameras' notices to the store, in batches; only what is committed is published.
//!
//! One thread owns the writing. Opened and closed events, segments and gaps are never dropped: while the
//! database is busy they wait here and then in the cameras' bounded channels.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use nvr_base::{Clock, ErrorKind};
use nvr_contract::event::{self, Event};
use nvr_contract::segment::{Gap, GapReason, SegmentClosed};
use nvr_contract::source::{SourceChange, SourceState};
use nvr_media::{CameraState, Notice, What};
use nvr_store::{Change, EventChange, EventRow, EventState, SegmentRow, Store, StoreChange};
use tokio::sync::broadcast;

use crate::storage::Storage;

/// Notices that may wait between the cameras and this thread.
pub const QUEUE: usize = 4096;
/// Most changes in one transaction.
const BATCH: usize = 256;
/// The reason of an outage.
const SOURCE_LOST: &str = GapReason::SourceLost.as_str();
/// First wait before a failed batch is tried again; doubles up to a second.
const RETRY: Duration = Duration::from_millis(50);

/// A committed event, for clients and actions.
#[derive(Debug, Clone)]
pub struct CommittedEvent {
    /// The camera.
    pub camera: String,
    /// The event as `eventsink` said it.
    pub event: Event,
}

/// Writes notices until every sender has gone.
#[expect(missing_debug_implementations, reason = "lives on its own thread")]
pub struct Ingest {
    store: Store,
    storage: Arc<Storage>,
    clock: Arc<dyn Clock>,
    committed: broadcast::Sender<CommittedEvent>,
}

impl Ingest {
    /// An ingest that publishes committed events to `committed`.
    pub fn new(
        store: Store,
        storage: Arc<Storage>,
        clock: Arc<dyn Clock>,
        committed: broadcast::Sender<CommittedEvent>,
    ) -> Self {
        Self {
            store,
            storage,
            clock,
            committed,
        }
    }

    /// Works until every sender of `notices` has gone; then everything is written.
    pub fn run(self, notices: &Receiver<Notice>) {
        loop {
            let first = match notices.recv_timeout(Duration::from_secs(3600)) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut batch = vec![first];
            batch.extend(notices.try_iter().take(BATCH - 1));
            self.write(batch);
        }
    }

    fn write(&self, batch: Vec<Notice>) {
        let mut changes = Vec::new();
        let mut events = HashMap::new();
        for notice in batch {
            let camera = notice.camera.to_string();
            match notice.what {
                What::Event(event) => {
                    let change = change_of_event(&camera, &event, self.clock.unix_us());
                    events.insert((event.id.clone(), change.change), (camera, event));
                    changes.push(StoreChange::Event(change));
                }
                What::SegmentClosed(closed) => {
                    changes.extend(self.segment(&camera, &closed).map(StoreChange::Segment))
                }
                What::Gap(gap) => self.gap(&camera, &gap),
                What::Source(change) => self.source(&camera, &change),
                What::State(status) => {
                    let state = status.state.as_str();
                    tracing::info!(
                        camera.id = camera,
                        detail = status.detail,
                        "camera is {state}"
                    );
                    if status.state == CameraState::Backoff {
                        self.outage_begins(&camera, status.since_unix_us, status.detail.as_deref());
                    }
                }
                What::SegmentOpened(opened) => {
                    tracing::debug!(
                        camera.id = camera,
                        segment.path = opened.location,
                        "segment opened"
                    );
                }
            }
        }
        for (camera, event) in self.commit(&changes, events) {
            // Fails only when nobody listens.
            drop(self.committed.send(CommittedEvent { camera, event }));
        }
    }

    /// Commits, trying again while the store is busy or full; what is refused is logged and left out.
    fn commit(
        &self,
        changes: &[StoreChange],
        mut events: HashMap<(String, Change), (String, Event)>,
    ) -> Vec<(String, Event)> {
        let mut wait = RETRY;
        let committed = loop {
            match self.store.apply_batch(changes) {
                Ok(committed) => break committed,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Unavailable | ErrorKind::ResourceExhausted
                    ) =>
                {
                    tracing::warn!(%error, retry_ms = wait.as_millis() as u64, "the store does not take changes, trying again");
                    std::thread::sleep(wait);
                    wait = (wait * 2).min(Duration::from_secs(1));
                }
                Err(error) => {
                    tracing::error!(%error, changes = changes.len(), "changes could not be stored");
                    return Vec::new();
                }
            }
        };
        for refused in &committed.refused {
            tracing::error!(error = %refused.error, "a change was refused");
        }
        let ids = committed
            .changes
            .into_iter()
            .filter_map(|change| match change {
                StoreChange::Event(change) => Some((change.event.id, change.change)),
                StoreChange::Segment(_) => None,
            });
        ids.filter_map(|key| events.remove(&key)).collect()
    }

    fn segment(&self, camera: &str, closed: &SegmentClosed) -> Option<SegmentRow> {
        let Some(path) = self.storage.relative(Path::new(&closed.location)) else {
            tracing::error!(
                camera.id = camera,
                segment.path = closed.location,
                "a segment lies outside the storage"
            );
            return None;
        };
        Some(SegmentRow {
            id: self.store.new_id(),
            camera: camera.to_owned(),
            path: path.display().to_string(),
            start_us: closed.start_unix_us,
            end_us: closed.end_unix_us,
            frames: closed.frames,
            bytes: closed.bytes,
            codec: closed.codec.clone(),
            width: closed.width,
            height: closed.height,
            blake3: Some(closed.blake3.clone()).filter(|hash| !hash.is_empty()),
            discont: closed.discont,
            keyframes: closed
                .keyframes
                .iter()
                .map(|key| (key.offset_ns, key.byte))
                .collect(),
        })
    }

    fn gap(&self, camera: &str, gap: &Gap) {
        let done = match gap.end_unix_us {
            Some(end) => self
                .store
                .close_gap(camera, Some(gap.reason.as_str()), end)
                .map(drop),
            None => self
                .store
                .open_gap(
                    camera,
                    gap.reason.as_str(),
                    gap.start_unix_us,
                    gap.detail.as_deref(),
                )
                .map(drop),
        };
        if let Err(error) = done {
            tracing::error!(camera.id = camera, %error, "a gap could not be stored");
        }
    }

    /// An outage begins when pictures stop and ends when they come again.
    fn source(&self, camera: &str, change: &SourceChange) {
        match change.state {
            SourceState::Lost => {
                self.outage_begins(camera, change.unix_us, change.detail.as_deref())
            }
            SourceState::Connected | SourceState::Restored => {
                if let Err(error) = self
                    .store
                    .close_gap(camera, Some(SOURCE_LOST), change.unix_us)
                {
                    tracing::error!(camera.id = camera, %error, "the end of an outage could not be stored");
                }
            }
        }
    }

    /// Notes an outage; one that is open already goes on.
    fn outage_begins(&self, camera: &str, unix_us: i64, detail: Option<&str>) {
        if let Err(error) = self.store.open_gap(camera, SOURCE_LOST, unix_us, detail) {
            tracing::error!(camera.id = camera, %error, "an outage could not be stored");
        }
    }
}

fn change_of_event(camera: &str, event: &Event, now_us: i64) -> EventChange {
    let change = match event.change {
        event::Change::Opened => Change::Opened,
        event::Change::Updated => Change::Updated,
        event::Change::Closed => Change::Closed,
    };
    let state = if change == Change::Closed {
        EventState::Closed
    } else {
        EventState::Open
    };
    // Without a wall clock upstream the moment of arrival is the best that is known.
    let start_us = event.start_unix_us.unwrap_or(now_us);
    EventChange {
        change,
        event: EventRow {
            id: event.id.clone(),
            camera: camera.to_owned(),
            kind: event.kind.as_str().to_owned(),
            label: event.label.clone(),
            state,
            start_us,
            end_us: event.end_unix_us,
            start_ns: event.start_ns,
            end_ns: event.end_ns,
            score: event.score,
            bbox: event.bbox.map(nvr_contract::BBox::to_array),
            zones: event.zones.clone(),
            track_id: event.track_id,
            identity: event.identity.clone(),
            similarity: event.similarity,
            frames: event.frames,
            model: event.model.clone(),
            pipeline: event.pipeline.clone(),
            interrupted: false,
        },
    }
}
