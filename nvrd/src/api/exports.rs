//! Exports: asking for a range as one file, seeing how far it is, and fetching it.

use nvr_store::{ExportGap, ExportRow, ExportState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::file::{Conditions, Served};
use super::query::{List, PageQuery, Query};
use super::reply::{Accepted, Json, NoContent};
use crate::exports::{Range, moment_in_name};

/// What shall be exported.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewExport)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Name of the camera; one that was removed may have recordings still.
    camera: String,
    /// Start of the range, seconds since 1970-01-01 UTC.
    start_unix: f64,
    /// End of the range, seconds since 1970-01-01 UTC.
    end_unix: f64,
    /// What it is called in lists.
    name: Option<String>,
}

/// A range of a camera's time as one file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Export {
    /// UUID, version 7.
    id: String,
    camera: String,
    name: Option<String>,
    /// Start of the range, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// End of the range, microseconds since 1970-01-01 UTC.
    end_unix_us: i64,
    state: State,
    /// How much is done, 0 to 1.
    progress: f64,
    /// Wall time at which the file begins, microseconds since 1970-01-01 UTC: the start of the picture that was shown
    /// at the start of the range, or of the first one behind it.
    shown_start_unix_us: Option<i64>,
    /// Length of the file.
    bytes: Option<u64>,
    /// Stretches of the range that are not in the file; there the last picture before stands still.
    missing: Vec<Missing>,
    /// One sentence for people: why it failed, or what they should know of it.
    detail: Option<String>,
    /// Path of the file, once it is there.
    url: Option<String>,
    /// When it was asked for, microseconds since 1970-01-01 UTC.
    created_unix_us: i64,
    /// When it was over, microseconds since 1970-01-01 UTC.
    finished_unix_us: Option<i64>,
    /// When it is removed, microseconds since 1970-01-01 UTC; sooner when there are too many.
    expires_unix_us: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ExportState)]
enum State {
    /// It waits for its turn, or for the end of its range to be written.
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

/// A stretch of time that is not in the file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Missing {
    /// First missing moment, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// Its end, microseconds since 1970-01-01 UTC.
    end_unix_us: i64,
    /// `source_lost`, `disk_full`, …
    reason: String,
    /// One sentence for people.
    detail: Option<String>,
}

/// Asks for a range as one file, which is made in its turn.
#[utoipa::path(post, path = "/api/v1/exports", tag = "exports", operation_id = "create_export",
    request_body = Wish,
    responses(
        (status = 202, body = Export, description = "It will be made; ask for its state.", headers(("Location" = String, description = "Path of the export."))),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong; the sentence begins with its name."),
        (status = 404, body = super::error::ErrorBody, description = "Nothing is recorded in the range."),
        (status = 409, body = super::error::ErrorBody, description = "The range cannot be one file: the codec changes in it."),
        (status = 503, body = super::error::ErrorBody, description = "Too many exports wait already."),
        (status = 507, body = super::error::ErrorBody, description = "There is no room for it; the sentence says how much is needed."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn create(
    caller: Caller,
    []: [String; 0],
    Body(wish): Body<Wish>,
) -> ApiResult<Accepted<Export>> {
    let range = Range {
        start_us: micros("start_unix", wish.start_unix)?,
        end_us: micros("end_unix", wish.end_unix)?,
        camera: wish.camera,
    };
    let body = caller.run(Lane::Change, move |caller| {
        caller.may_know(&range.camera)?;
        let row = caller.exports.request(&range, wish.name)?;
        Ok(export_of(caller, row))
    });
    let body = body.await?;
    Ok(Accepted {
        location: format!("/api/v1/exports/{}", body.id),
        body,
    })
}

/// Exports, newest first.
#[utoipa::path(get, path = "/api/v1/exports", tag = "exports", operation_id = "list_exports", params(PageQuery), responses(
    (status = 200, body = List<Export>, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<List<Export>>> {
    let page = query.request()?;
    let list = caller.run(Lane::Read, move |caller| {
        let found = caller.store.exports(caller.principal(), page)?;
        let items = found
            .items
            .into_iter()
            .map(|row| export_of(caller, row))
            .collect();
        Ok(List::new(items, found.total, page))
    });
    list.await.map(Json)
}

/// One export, and how far it is.
#[utoipa::path(get, path = "/api/v1/exports/{id}", tag = "exports", operation_id = "get_export",
    params(("id" = String, Path, description = "Id of the export.")),
    responses(
        (status = 200, body = Export, description = "The export."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such export."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<Export>> {
    let export = caller.run(Lane::Read, move |caller| {
        let row = caller.store.export(caller.principal(), &id)?;
        Ok(export_of(caller, row))
    });
    export.await.map(Json)
}

/// Cancels an export that is not over; removes one that is, with its file.
#[utoipa::path(delete, path = "/api/v1/exports/{id}", tag = "exports", operation_id = "delete_export",
    params(("id" = String, Path, description = "Id of the export.")),
    responses(
        (status = 204, description = "It is cancelled, or has gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such export."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<NoContent> {
    let done = caller.run(Lane::Change, move |caller| {
        caller.store.export(caller.principal(), &id)?;
        caller.exports.delete(&id)
    });
    done.await.map(|()| NoContent)
}

/// The file of an export, whole or a range of it.
#[utoipa::path(get, path = "/api/v1/exports/{id}/file.mp4", tag = "exports", operation_id = "export_file",
    params(
        ("id" = String, Path, description = "Id of the export."),
        ("Range" = Option<String>, Header, description = "One range of bytes; more than one gives the whole file."),
    ),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "video/mp4", description = "The whole file."),
        (status = 206, body = super::reply::Binary, content_type = "video/mp4", description = "The range."),
        (status = 304, description = "The client has it: `If-None-Match` names its ETag."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such export, or its file has gone."),
        (status = 409, body = super::error::ErrorBody, description = "It is not done."),
        (status = 416, body = super::error::ErrorBody, description = "The range begins behind the end."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn file(
    caller: Caller,
    [id]: [String; 1],
    conditions: Conditions,
) -> ApiResult<Served> {
    let found = caller.run(Lane::Read, move |caller| {
        let row = caller.store.export(caller.principal(), &id)?;
        Ok((caller.exports.finished_file(&row)?, row))
    });
    let (path, row) = found.await?;
    let served = Served::open(&path, &row.id, &conditions).await?;
    Ok(served.saved_as(&file_name(&row)))
}

/// `front_2026-01-01_12-00-00Z_2026-01-01_12-05-00Z.mp4`
fn file_name(row: &ExportRow) -> String {
    format!(
        "{}_{}_{}.mp4",
        row.camera,
        moment_in_name(row.start_us),
        moment_in_name(row.end_us)
    )
}

fn micros(field: &str, seconds: f64) -> ApiResult<i64> {
    let micros = (seconds * 1e6).round();
    if (0.0..=9e17).contains(&micros) {
        Ok(micros as i64)
    } else {
        Err(ApiError::bad_request(format!(
            "{field}: is no moment between 1970 and 9999"
        )))
    }
}

fn export_of(caller: &Caller, row: ExportRow) -> Export {
    let progress = caller.exports.progress(&row);
    let expires_unix_us = caller.exports.expires_us(&row);
    let done = row.state == ExportState::Done;
    Export {
        url: done.then(|| format!("/api/v1/exports/{}/file.mp4", row.id)),
        state: match row.state {
            ExportState::Queued => State::Queued,
            ExportState::Running => State::Running,
            ExportState::Done => State::Done,
            ExportState::Failed => State::Failed,
            ExportState::Cancelled => State::Cancelled,
        },
        progress: (progress * 1e4).round() / 1e4,
        id: row.id,
        camera: row.camera,
        name: row.name,
        start_unix_us: row.start_us,
        end_unix_us: row.end_us,
        shown_start_unix_us: row.shown_us,
        bytes: row.bytes,
        missing: row.missing.into_iter().map(missing_of).collect(),
        detail: row.detail,
        created_unix_us: row.created_us,
        finished_unix_us: row.finished_us,
        expires_unix_us,
    }
}

fn missing_of(gap: ExportGap) -> Missing {
    Missing {
        start_unix_us: gap.start_us,
        end_unix_us: gap.end_us,
        reason: gap.reason,
        detail: gap.detail,
    }
}
