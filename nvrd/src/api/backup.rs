//! Backups that are made and kept on the recorder's own disk; they hold every secret, so none is ever sent.

use std::path::PathBuf;

use nvr_base::{Error, Result};
use nvr_store::PageRequest;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::context::Lane;
use super::error::ApiResult;
use super::query::List;
use super::reply::{Created, Json, NoContent};
use crate::backup::{self, Database, Kept};

/// Most that a list holds; far fewer are kept.
const ALL: PageRequest = PageRequest { page: 1, limit: 50 };

/// A backup on the recorder's disk.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BackupItem {
    /// Name of the file, which tells when it was made.
    name: String,
    /// Where it lies on the recorder.
    path: String,
    /// Its length.
    bytes: u64,
}

/// A backup that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeBackup {
    /// Name of the file, which tells when it was made.
    name: String,
    /// Where it lies on the recorder.
    path: String,
    /// Its length.
    bytes: u64,
    /// When it was made, microseconds since 1970-01-01 UTC.
    made_unix_us: i64,
    /// How many files are in it.
    files: u64,
    /// Whether the database is in it; one on a server is not.
    has_database: bool,
    /// What the configuration names and that is not in it, one sentence each.
    left_out: Vec<String>,
}

/// Makes a backup of database, configuration and keys on the recorder's disk; the last five are kept.
///
/// It holds every secret, so it is not sent: whoever sits at the machine takes it away, and puts it back with
/// `nvrd restore`.
#[utoipa::path(post, path = "/api/v1/system/backup", tag = "system", operation_id = "make_backup", responses(
    (status = 201, body = MadeBackup, description = "It is made.",
        headers(("Location" = String, description = "Its path."))),
    (status = 409, body = super::error::ErrorBody, description = "One was made this very second."),
    (status = 507, body = super::error::ErrorBody, description = "There is no room for it."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn make(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Created<MadeBackup>> {
    let body = caller.run(Lane::Backup, |caller| {
        let config = caller.settings()?.config();
        let folder = folder(caller);
        let (kept, manifest) = backup::make_in(&config, &folder, caller.clock.unix_us())?;
        Ok(MadeBackup {
            path: folder.join(&kept.name).display().to_string(),
            name: kept.name,
            bytes: kept.bytes,
            made_unix_us: manifest.made_unix_us,
            files: manifest.files.len() as u64,
            has_database: matches!(manifest.database, Database::Sqlite { .. }),
            left_out: manifest.left_out,
        })
    });
    let body = body.await?;
    Ok(Created {
        location: format!("/api/v1/system/backup/{}", body.name),
        body,
    })
}

/// The backups on the recorder's disk, the newest first.
#[utoipa::path(get, path = "/api/v1/system/backup", tag = "system", operation_id = "list_backups", responses(
    (status = 200, body = List<BackupItem>, description = "All of them."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<List<BackupItem>>> {
    let items = caller.run(Lane::Read, |caller| {
        let folder = folder(caller);
        let item = |kept: Kept| BackupItem {
            path: folder.join(&kept.name).display().to_string(),
            name: kept.name,
            bytes: kept.bytes,
        };
        let kept = Kept::list(&folder)?.into_iter().take(ALL.limit as usize);
        Ok(kept.map(item).collect::<Vec<_>>())
    });
    let items = items.await?;
    let total = items.len() as u64;
    Ok(Json(List::new(items, total, ALL)))
}

/// Removes a backup from the recorder's disk.
#[utoipa::path(delete, path = "/api/v1/system/backup/{name}", tag = "system", operation_id = "delete_backup",
    params(("name" = String, Path, description = "Name of the file.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is none of that name."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [name]: [String; 1], (): ()) -> ApiResult<NoContent> {
    let done = caller.run(Lane::Backup, move |caller| remove(caller, name));
    done.await.map(|()| NoContent)
}

fn remove(caller: &Caller, name: String) -> Result<()> {
    let folder = folder(caller);
    let kept = Kept::list(&folder)?
        .into_iter()
        .find(|kept| kept.name == name);
    let kept = kept.ok_or_else(|| Error::not_found(format!("no backup is called {name:?}")))?;
    kept.remove(&folder)
}

fn folder(caller: &Caller) -> PathBuf {
    caller.storage.first().root().join("backups")
}
