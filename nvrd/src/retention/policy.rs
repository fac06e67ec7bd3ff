//! How long and how much is kept, by camera and storage: from the configuration, or as somebody would have it.

use std::collections::BTreeMap;

use nvr_store::retention::{Limits, WhenFull};

use crate::config::{Bytes, Config, RetentionConfig, WhenFullConfig};

/// Without a word in the configuration, so much stays free, or a twentieth of a smaller disk, bytes.
const MIN_FREE: u64 = 1 << 30;

/// What a storage may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StorageLimits {
    /// Most bytes of recordings.
    pub max_bytes: Option<Bytes>,
    /// What stays free.
    pub min_free: Option<Bytes>,
}

impl StorageLimits {
    /// What stays free on a disk of a size.
    pub fn min_free_of(&self, total_bytes: u64) -> u64 {
        self.min_free
            .map_or(MIN_FREE.min(total_bytes / 20), Bytes::get)
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// What holds for every camera.
    pub general: RetentionConfig,
    /// What holds for one camera; what it leaves out is as for every camera.
    pub cameras: BTreeMap<String, RetentionConfig>,
    /// By the name of the storage.
    pub storages: BTreeMap<String, StorageLimits>,
    /// What happens when only protected segments are left.
    pub when_full: WhenFullConfig,
}

impl Policy {
    /// The policy of a configuration.
    pub fn of(config: &Config) -> Self {
        let storage = &config.storage;
        let first = StorageLimits {
            max_bytes: storage.max_bytes,
            min_free: storage.min_free,
        };
        let more = storage.more.iter().map(|more| {
            let limits = StorageLimits {
                max_bytes: more.max_bytes,
                min_free: more.min_free,
            };
            (
                more.name.clone().unwrap_or_else(|| more.default_name()),
                limits,
            )
        });
        let own = config
            .cameras
            .iter()
            .filter(|camera| camera.retention != RetentionConfig::default())
            .map(|camera| (camera.name.clone(), camera.retention));
        Self {
            general: config.retention,
            cameras: own.collect(),
            storages: std::iter::once(("first".to_owned(), first))
                .chain(more)
                .collect(),
            when_full: storage.when_full,
        }
    }

    /// The limits of a camera.
    pub fn limits(&self, camera: &str) -> Limits {
        let own = self.cameras.get(camera).copied().unwrap_or_default();
        own.or(self.general).limits()
    }

    /// The limits of a storage.
    pub fn storage(&self, name: &str) -> StorageLimits {
        self.storages.get(name).copied().unwrap_or_default()
    }

    /// As the planner takes it.
    pub fn when_full(&self) -> WhenFull {
        self.when_full.into()
    }
}
