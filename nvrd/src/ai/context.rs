//! What a model is told of a camera beside the picture: what was seen there before, kept for a minute.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nvr_base::{Clock, Result};
use nvr_store::{DescriptionSample, Store};

/// How long it is kept.
const TTL: Duration = Duration::from_secs(60);
/// How long reading it may take before the picture is described without.
const THRESHOLD: Duration = Duration::from_secs(1);
/// Cameras that are kept.
const MOST: usize = 256;
/// Descriptions of a camera that are told.
const SAMPLES: u32 = 3;
/// Characters of each.
const SAMPLE_LENGTH: usize = 300;

/// How well the cache works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContextMetrics {
    /// How often it was asked.
    pub requests: u64,
    /// How often it knew.
    pub hits: u64,
    /// How often the database was asked.
    pub misses: u64,
    /// How often that took too long.
    pub timeouts: u64,
    /// Cameras in it.
    pub size: u64,
    /// How long it keeps what it knows.
    pub ttl: Duration,
    /// How long it waits for the database.
    pub threshold: Duration,
}

#[derive(Debug)]
struct Kept {
    since: Duration,
    /// None where nothing was seen before.
    text: Option<Arc<str>>,
}

/// What is known of each camera.
#[derive(Debug)]
pub(super) struct Contexts {
    store: Store,
    clock: Arc<dyn Clock>,
    kept: Arc<Mutex<HashMap<String, Kept>>>,
    hits: AtomicU64,
    misses: AtomicU64,
    timeouts: AtomicU64,
}

impl Contexts {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            kept: Arc::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
        }
    }

    /// What is known of a camera, if anything, and if it is known soon enough.
    pub(super) async fn of(&self, camera: &str) -> Option<Arc<str>> {
        let now = self.clock.monotonic();
        {
            let kept = lock(&self.kept);
            if let Some(kept) = kept.get(camera).filter(|kept| now < kept.since + TTL) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return kept.text.clone();
            }
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let (store, name) = (self.store.clone(), camera.to_owned());
        let kept = Arc::clone(&self.kept);
        // It goes on after the time is over, and the next one finds what it found.
        let reading = tokio::task::spawn_blocking(move || {
            let text = read(&store, &name)?;
            keep(&mut lock(&kept), name, now, text.clone());
            Ok::<_, nvr_base::Error>(text)
        });
        match tokio::time::timeout(THRESHOLD, reading).await {
            Ok(Ok(Ok(text))) => text,
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "a picture is described without what was seen before");
                None
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "reading what was seen before panicked");
                None
            }
            Err(_) => {
                self.timeouts.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Something was seen there just now.
    pub(super) fn forget(&self, camera: &str) {
        lock(&self.kept).remove(camera);
    }

    pub(super) fn metrics(&self) -> ContextMetrics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (hits, misses) = (count(&self.hits), count(&self.misses));
        ContextMetrics {
            requests: hits + misses,
            hits,
            misses,
            timeouts: count(&self.timeouts),
            size: lock(&self.kept).len() as u64,
            ttl: TTL,
            threshold: THRESHOLD,
        }
    }
}

fn lock(kept: &Mutex<HashMap<String, Kept>>) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(kept: &mut HashMap<String, Kept>, camera: String, now: Duration, text: Option<Arc<str>>) {
    if kept.len() >= MOST && !kept.contains_key(&camera) {
        kept.retain(|_, kept| now < kept.since + TTL);
    }
    if kept.len() >= MOST
        && !kept.contains_key(&camera)
        && let Some(oldest) = kept
            .iter()
            .min_by_key(|(_, kept)| kept.since)
            .map(|(name, _)| name.clone())
    {
        kept.remove(&oldest);
    }
    kept.insert(camera, Kept { since: now, text });
}

fn read(store: &Store, camera: &str) -> Result<Option<Arc<str>>> {
    let samples = store.recent_descriptions(Some(camera), SAMPLES)?;
    Ok(text_of(camera, &samples).map(Arc::from))
}

/// In words, the oldest first.
fn text_of(camera: &str, samples: &[DescriptionSample]) -> Option<String> {
    if samples.is_empty() {
        return None;
    }
    let mut text = format!("Seen before by the camera {camera:?}, for comparison only:");
    for sample in samples.iter().rev() {
        let said = super::answer::clean(&sample.described.answer.description, SAMPLE_LENGTH);
        write!(text, "\n- {said}").expect("a text takes every text");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_never_holds_more_cameras_than_it_may() {
        let mut kept = HashMap::new();
        for number in 0..(2 * MOST as u64) {
            keep(
                &mut kept,
                format!("c{number}"),
                Duration::from_millis(number),
                None,
            );
        }
        assert_eq!(kept.len(), MOST);
        assert!(!kept.contains_key("c0") && kept.contains_key("c511"));
        // What is too old goes first, all at once.
        keep(
            &mut kept,
            "late".to_owned(),
            Duration::from_secs(3600),
            None,
        );
        assert_eq!(kept.len(), 1);
    }
}
