//! Pictures of what is recorded: which file holds a moment, the picture itself, thumbnails and sheets of small ones.
//!
//! Nothing here is asked while something is recorded; everything blocks.

mod place;
mod pick;
mod cache;
mod thumbnail;
mod sprite;

use std::sync::Arc;

use nvr_base::{Clock, Error, Result, Slug};
use nvr_store::Store;

pub use pick::Pick;
pub use place::{Instant, Source, WallPicture};
pub use sprite::{Cell, Sprite, SpriteRequest};
pub use thumbnail::forget_segment;

use self::cache::Cache;
use crate::storage::Storage;

/// Most bytes of small pictures that are kept: ten to twenty thousand of them.
const KEPT_BYTES: u64 = 256 << 20;

/// The folder, beside the events' best pictures, of those that were made from recordings.
const MADE: &str = "made";

/// What pictures are made from.
#[derive(Debug)]
pub struct Stills {
    storage: Arc<Storage>,
    store: Store,
    clock: Arc<dyn Clock>,
    kept: Cache,
}

impl Stills {
    /// Pictures of the recordings of a storage.
    pub fn new(storage: Arc<Storage>, store: Store, clock: Arc<dyn Clock>) -> Self {
        let kept = Cache::new(storage.thumbnails().join(MADE), KEPT_BYTES);
        Self {
            storage,
            store,
            clock,
            kept,
        }
    }
}

/// The name of a camera, which may have been removed since.
fn camera(name: &str) -> Result<Slug> {
    name.parse()
        .map_err(|_| Error::not_found(format!("no camera is called {name:?}")))
}

#[cfg(test)]
pub(crate) mod tests;
