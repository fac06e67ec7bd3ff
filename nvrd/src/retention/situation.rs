//! What the planner is told: who has how much where, what is written, and how much room there is.

use std::os::unix::fs::MetadataExt as _;

use nvr_base::Result;
use nvr_store::Store;
use nvr_store::retention::{Camera, Class, Item, Place, Segments, Situation};

use super::deletes_from;
use super::policy::Policy;
use crate::config::Bytes;
use crate::storage::Storage;

/// What is written is measured over so long.
const WINDOW_US: i64 = 600_000_000;
/// Segments that the planner is given at a time.
const BATCH: u32 = 256;

/// The segments as the store has them.
pub(super) struct FromStore<'a>(pub(super) &'a Store);

impl Segments for FromStore<'_> {
    fn oldest(
        &mut self,
        camera: &str,
        storage: &str,
        class: Class,
        after: Option<&Item>,
    ) -> Result<Vec<Item>> {
        self.0.oldest_segments(storage, camera, class, after, BATCH)
    }
}

/// Everything that a plan depends on, as it is now.
pub(super) fn gather(
    storage: &Storage,
    store: &Store,
    policy: &Policy,
    now_us: i64,
    clock_trusted: bool,
) -> Result<Situation> {
    let pending = store.pending_garbage()?;
    let mut places = Vec::new();
    for volume in storage.volumes().iter().filter(|v| deletes_from(v)) {
        let (Some(id), Some(space)) = (volume.id(), volume.space()) else {
            continue;
        };
        let limits = policy.storage(volume.name());
        let waiting = pending.iter().find(|pending| pending.storage == id);
        places.push(Place {
            id: id.to_owned(),
            disk: std::fs::metadata(volume.root()).map_or(0, |found| found.dev()),
            total_bytes: space.total_bytes,
            // Where a file cannot be unlinked, others must not go in its stead for ever.
            free_bytes: space
                .free_bytes
                .saturating_add(waiting.map_or(0, |pending| pending.bytes)),
            max_bytes: limits.max_bytes.map(Bytes::get),
            min_free_bytes: limits.min_free_of(space.total_bytes),
        });
    }
    let mut cameras: Vec<Camera> = Vec::new();
    for held in store.held()? {
        let has = (held.storage, held.bytes.cast_unsigned());
        if let Some(last) = cameras.last_mut().filter(|last| last.name == held.camera) {
            last.held.push(has);
            continue;
        }
        let Some(ahead) = store.ahead(&held.camera, WINDOW_US)? else {
            continue;
        };
        cameras.push(Camera {
            limits: policy.limits(&held.camera),
            name: held.camera,
            newest_us: ahead.newest_us,
            storage: ahead.storage,
            rate: ahead.rate,
            held: vec![has],
        });
    }
    Ok(Situation {
        now_us,
        clock_trusted,
        when_full: policy.when_full(),
        cameras,
        places,
    })
}
