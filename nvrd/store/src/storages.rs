//! Storage folders by their identity: which were ever used, where they were last seen, and what lies in them.

use diesel::prelude::*;
use nvr_base::{Error, Result};

use crate::conn::Store;
use crate::schema::{segments, storages};

/// A storage folder that was used.
#[derive(Queryable, Selectable, Insertable, Debug, Clone, PartialEq, Eq)]
#[diesel(table_name = storages)]
pub struct StorageRow {
    /// Its identity: UUID (version 7) in text.
    pub id: String,
    /// Where it was seen last.
    pub path: String,
    /// When it was first used, microseconds since 1970-01-01 UTC.
    pub first_us: i64,
    /// When it was last seen, microseconds since 1970-01-01 UTC.
    pub seen_us: i64,
}

impl Store {
    /// Every storage folder that was ever used, oldest first.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn storages(&self) -> Result<Vec<StorageRow>> {
        self.read(|conn| {
            Ok(storages::table
                .order((storages::first_us, storages::id))
                .select(StorageRow::as_select())
                .load(conn)?)
        })
    }

    /// Notes that a storage folder is at a path now; one that is not known is from now on.
    ///
    /// # Errors
    /// `InvalidArgument` if the identity or the path is empty.
    pub fn see_storage(&self, id: &str, path: &str) -> Result<()> {
        if id.is_empty() || path.is_empty() {
            return Err(Error::invalid("a storage needs an identity and a path"));
        }
        let now_us = self.now_us();
        self.write(|conn| {
            let known = diesel::update(storages::table.find(id))
                .set((storages::path.eq(path), storages::seen_us.eq(now_us)))
                .execute(conn)?;
            if known == 0 {
                diesel::insert_into(storages::table)
                    .values(&StorageRow {
                        id: id.to_owned(),
                        path: path.to_owned(),
                        first_us: now_us,
                        seen_us: now_us,
                    })
                    .execute(conn)?;
            }
            Ok(())
        })
    }

    /// Says of every segment whose storage is not named that it lies in this one; returns how many there were.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn place_segments(&self, storage: &str) -> Result<u64> {
        self.write(|conn| {
            let placed = diesel::update(segments::table.filter(segments::storage.eq("")))
                .set(segments::storage.eq(storage))
                .execute(conn)?;
            Ok(placed as u64)
        })
    }

    /// The paths of a camera's segments in one storage, sorted: what recovery compares with the files.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn segment_paths_in(&self, storage: &str, camera: &str) -> Result<Vec<String>> {
        self.read(|conn| {
            Ok(segments::table
                .filter(segments::storage.eq(storage))
                .filter(segments::camera.eq(camera))
                .order(segments::path)
                .select(segments::path)
                .load(conn)?)
        })
    }
}
