//! From cameras' notices to the store, in batches; only what is committed is published.
//!
//! One thread owns the writing. Opened and closed events, segments and gaps are never dropped: while the
//! database is busy they wait here and then in the cameras' bounded channels.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use nvr_base::{Clock, ErrorKind, Result, Shutdown};
use nvr_contract::event::{self, Event};
use nvr_contract::segment::{Gap, GapReason, SegmentClosed};
use nvr_contract::source::{SourceChange, SourceState, StreamRole};
use nvr_media::{CameraState, Notice, What};
use nvr_store::{Change, EventChange, EventRow, EventState, SegmentRow, Store, StoreChange};
use tokio::sync::broadcast;

use crate::evidence::Evidence;
use crate::storage::Storage;

/// Notices that may wait between the cameras and this thread.
pub const QUEUE: usize = 4096;
/// Most changes in one transaction.
const BATCH: usize = 256;
/// The reason of an outage.
const SOURCE_LOST: &str = GapReason::SourceLost.as_str();
/// First wait before a failed batch is tried again; doubles up to a second.
const RETRY: Duration = Duration::from_millis(50);

/// How long a store that takes nothing is waited for when the daemon stops; what is lost then is found again on disk.
const LAST_WAIT: Duration = Duration::from_secs(2);

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
    stopping: Shutdown,
    evidence: Option<Arc<Evidence>>,
}

impl Ingest {
    /// An ingest that publishes committed events to `committed`; once `stopping` is set, a store that does not
    /// take changes is waited for no longer than `LAST_WAIT`.
    pub fn new(
        store: Store,
        storage: Arc<Storage>,
        clock: Arc<dyn Clock>,
        committed: broadcast::Sender<CommittedEvent>,
        stopping: Shutdown,
    ) -> Self {
        Self {
            store,
            storage,
            clock,
            committed,
            stopping,
            evidence: None,
        }
    }

    /// The same ingest, which adds every segment to its camera's chain before the row.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Arc<Evidence>) -> Self {
        self.evidence = Some(evidence);
        self
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
                What::Gap(gap) => {
                    if gap.end_unix_us.is_none() {
                        self.storage.trouble(gap.reason, gap.detail.as_deref());
                    }
                    self.gap(&camera, &gap);
                }
                What::Source(change) => self.source(&camera, &change),
                What::State(status) => {
                    let state = status.state.as_str();
                    tracing::info!(
                        camera.id = camera,
                        detail = status.detail,
                        "camera is {state}"
                    );
                    if status.state == CameraState::Backoff {
                        let detail = status.detail.as_deref();
                        self.gap_begins(&camera, SOURCE_LOST, status.since_unix_us, detail);
                    }
                }
                What::SegmentOpened(opened) => {
                    tracing::debug!(
                        camera.id = camera,
                        segment.path = opened.location,
                        "segment opened"
                    );
                    // Whatever stood in the way, an earlier run's crash included, does so no longer.
                    self.gaps_end(&camera, None, opened.start_unix_us);
                }
            }
        }
        self.chain(&changes);
        for (camera, event) in self.commit(&changes, events) {
            // Fails only when nobody listens.
            drop(self.committed.send(CommittedEvent { camera, event }));
        }
    }

    /// Adds the segments among the changes to the chains of their cameras, before their rows are stored.
    ///
    /// A chain that cannot be written costs no recording: what it lacks is in the log, and added at the next start.
    fn chain(&self, changes: &[StoreChange]) {
        let Some(evidence) = &self.evidence else {
            return;
        };
        let segments = changes.iter().filter_map(|change| match change {
            StoreChange::Segment(row) => Some(row.clone()),
            _ => None,
        });
        let rows: Vec<SegmentRow> = segments.collect();
        if !rows.is_empty() {
            self.patiently("the proof of recordings", || evidence.recorded(&rows, None));
        }
    }

    /// Commits, trying again while the store is busy or full; what is refused is logged and left out.
    fn commit(
        &self,
        changes: &[StoreChange],
        mut events: HashMap<(String, Change), (String, Event)>,
    ) -> Vec<(String, Event)> {
        let Some(committed) = self.patiently("changes", || self.store.apply_batch(changes)) else {
            return Vec::new();
        };
        for refused in &committed.refused {
            tracing::error!(error = %refused.error, "a change was refused");
        }
        let ids = committed
            .changes
            .into_iter()
            .filter_map(|change| match change {
                StoreChange::Event(change) => Some((change.event.id, change.change)),
                StoreChange::Segment(_) | StoreChange::Gap(_) => None,
            });
        ids.filter_map(|key| events.remove(&key)).collect()
    }

    /// Does something with the store, again while it is busy or full; `None`, and a record in the log, when it
    /// cannot be done.
    fn patiently<T>(&self, what: &str, mut work: impl FnMut() -> Result<T>) -> Option<T> {
        let mut wait = RETRY;
        let mut last_waits = Duration::ZERO;
        loop {
            let error = match work() {
                Ok(done) => return Some(done),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::ResourceExhausted {
                // The disk of the database is full: what was held back for it is given up, and room is made.
                self.storage.release_reserve();
                self.storage.retention_bell.ring();
            }
            let passing = matches!(
                error.kind(),
                ErrorKind::Unavailable | ErrorKind::ResourceExhausted
            );
            if !passing || last_waits >= LAST_WAIT {
                tracing::error!(%error, "{what} could not be stored");
                return None;
            }
            tracing::warn!(%error, retry_ms = wait.as_millis() as u64, "the store does not take {what}, trying again");
            std::thread::sleep(wait);
            if self.stopping.is_triggered() {
                last_waits += wait;
            }
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    fn segment(&self, camera: &str, closed: &SegmentClosed) -> Option<SegmentRow> {
        let Some((storage, path)) = self.storage.relative(Path::new(&closed.location)) else {
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
            storage,
            protected: false,
            audio: closed.audio.clone(),
        })
    }

    fn gap(&self, camera: &str, gap: &Gap) {
        let reason = gap.reason.as_str();
        match gap.end_unix_us {
            Some(end) => self.gaps_end(camera, Some(reason), end),
            None => self.gap_begins(camera, reason, gap.start_unix_us, gap.detail.as_deref()),
        }
    }

    /// Notes a gap; one of that reason that is open already goes on.
    fn gap_begins(&self, camera: &str, reason: &str, unix_us: i64, detail: Option<&str>) {
        // What could not be stored is in the log.
        self.patiently("a gap", || {
            self.store.open_gap(camera, reason, unix_us, detail)
        });
    }

    /// Ends the open gaps of a camera, all or those of one reason.
    fn gaps_end(&self, camera: &str, reason: Option<&str>, unix_us: i64) {
        self.patiently("the end of a gap", || {
            self.store.close_gap(camera, reason, unix_us)
        });
    }

    /// An outage begins when pictures stop and ends when they come again.
    fn source(&self, camera: &str, change: &SourceChange) {
        // The second stream is analysed, not recorded.
        if change.stream == StreamRole::Sub {
            return;
        }
        match change.state {
            SourceState::Lost => {
                self.gap_begins(
                    camera,
                    SOURCE_LOST,
                    change.unix_us,
                    change.detail.as_deref(),
                );
            }
            SourceState::Connected | SourceState::Restored => {
                self.gaps_end(camera, Some(SOURCE_LOST), change.unix_us);
            }
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use nvr_base::SimulatedClock;
    use nvr_contract::segment::SegmentOpened;
    use nvr_store::{EventFilter, PageRequest};

    use super::*;

    const S: i64 = 1_000_000;

    fn event(change: event::Change, frames: u64) -> What {
        What::Event(Event {
            change,
            id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            kind: event::Kind::Motion,
            label: None,
            start_ns: 0,
            end_ns: (change != event::Change::Opened).then_some(2_000_000_000),
            start_unix_us: Some(10 * S),
            end_unix_us: (change != event::Change::Opened).then_some(12 * S),
            score: Some(0.5),
            bbox: None,
            zones: Vec::new(),
            track_id: None,
            identity: None,
            similarity: None,
            frames,
            model: None,
            pipeline: None,
        })
    }

    fn gap(reason: GapReason, start: i64) -> What {
        What::Gap(Gap {
            start_unix_us: start,
            end_unix_us: None,
            reason,
            detail: Some("why".to_owned()),
        })
    }

    fn closed(location: String) -> What {
        What::SegmentClosed(SegmentClosed {
            location,
            start_ns: 0,
            end_ns: 5_000_000_000,
            start_unix_us: 20 * S,
            end_unix_us: 25 * S,
            frames: 50,
            bytes: 1000,
            codec: "h264".to_owned(),
            width: 640,
            height: 360,
            keyframes: Vec::new(),
            blake3: String::new(),
            discont: false,
            audio: None,
        })
    }

    #[test]
    fn notices_become_rows_and_only_what_is_committed_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(Storage::open(folder.path()).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::at(0));
        let store = Store::open(&storage.database(), Arc::clone(&clock)).unwrap();
        let (committed, mut published) = broadcast::channel(16);
        let (notices, inbox) = channel();
        let location = |name: &str| {
            let path = storage.recordings().join("cam/2024-01-01").join(name);
            path.display().to_string()
        };
        let opened = SegmentOpened {
            location: location("b.mp4"),
            start_ns: 0,
            start_unix_us: 9 * S,
        };
        for what in [
            gap(GapReason::DiskFull, 5 * S),
            gap(GapReason::DiskFull, 6 * S),
            What::SegmentOpened(opened),
            event(event::Change::Opened, 1),
            event(event::Change::Updated, 5),
            event(event::Change::Closed, 9),
            closed(location("a.mp4")),
            closed("/elsewhere/a.mp4".to_owned()),
        ] {
            let camera = "cam".parse().unwrap();
            notices.send(Notice { camera, what }).unwrap();
        }
        drop(notices);
        let ingest = Ingest::new(
            store.clone(),
            Arc::clone(&storage),
            clock,
            committed,
            Shutdown::new(),
        );
        ingest.run(&inbox);

        let page = PageRequest { page: 1, limit: 10 };
        let events = store.events(&EventFilter::default(), page).unwrap().items;
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].state, events[0].end_us, events[0].frames),
            (EventState::Closed, Some(12 * S), 9)
        );
        let segments = store.segments("cam", 0, 100 * S, 10).unwrap();
        let paths: Vec<&str> = segments.iter().map(|row| row.path.as_str()).collect();
        assert_eq!(
            paths,
            ["cam/2024-01-01/a.mp4"],
            "what lies elsewhere is not listed"
        );
        let gaps = store.gaps("cam", 0, 100 * S, 10).unwrap();
        let spans: Vec<_> = gaps.iter().map(|gap| (gap.start_us, gap.end_us)).collect();
        assert_eq!(
            spans,
            [(5 * S, Some(9 * S))],
            "a file that is begun ends a gap"
        );
        let told: Vec<event::Change> = std::iter::from_fn(|| published.try_recv().ok())
            .map(|told| told.event.change)
            .collect();
        let all = [
            event::Change::Opened,
            event::Change::Updated,
            event::Change::Closed,
        ];
        assert_eq!(told, all);
    }
}
