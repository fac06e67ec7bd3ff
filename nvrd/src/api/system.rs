//! `/system/storage` and `/system/retention`, in the words of ArgusAI and in ours.

use std::collections::BTreeMap;
use std::path::Path;

use nvr_base::{Error, Principal, Result};
use nvr_store::{EventFilter, PageRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::access::Caller;
use super::body::{Body, present};
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::reply::Json;
use super::storage::{self, StorageItem};
use super::time::rfc3339;

/// Bytes of what ArgusAI calls a megabyte.
const MB: f64 = 1_048_576.0;
/// Keys of the limits by age.
const DAYS: [&str; 3] = [
    "retention.continuous_days",
    "retention.motion_days",
    "retention.event_days",
];
/// The limit by size.
const MAX_BYTES: &str = "retention.max_bytes";

/// What is used of the storages, in ArgusAI's words, and how each of them is; more is at `/api/v1/storage`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SystemStorage {
    /// The database with its write-ahead log, in units of 1024² bytes.
    database_mb: f64,
    /// Pictures of events, in units of 1024² bytes.
    thumbnails_mb: f64,
    /// Recordings, in units of 1024² bytes.
    recordings_mb: f64,
    /// All of these, in units of 1024² bytes.
    total_mb: f64,
    event_count: u64,
    /// In the order in which they are used.
    storages: Vec<StorageItem>,
}

/// How long recordings and their events' files are kept where no camera says otherwise.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Retention {
    /// After how many days the last of them goes; -1 where something is kept for ever.
    retention_days: i64,
    /// Whether something is kept for ever, as far as there is room.
    forever: bool,
    /// When it is next looked what has to go, RFC 3339 in UTC.
    next_cleanup: Option<String>,
    /// Days that segments without anything in them are kept; `null` sets no limit.
    continuous_days: Option<f64>,
    /// Days that segments with motion are kept.
    motion_days: Option<f64>,
    /// Days that segments with another event are kept.
    event_days: Option<f64>,
    /// Most bytes of a camera.
    max_bytes: Option<u64>,
    /// Keys that stand in the configuration file: they are changed there, and 409 answers an attempt here.
    read_only: Vec<String>,
}

/// What to change; what is absent stays, `null` sets no limit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetentionChange {
    /// Whole days for all three kinds of segments; 0 or -1 keeps them for ever.
    #[schema(minimum = -1, maximum = 36500)]
    retention_days: Option<i64>,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<f64>)]
    continuous_days: Option<Option<f64>>,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<f64>)]
    motion_days: Option<Option<f64>>,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<f64>)]
    event_days: Option<Option<f64>>,
    /// Most bytes of a camera.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    max_bytes: Option<Option<u64>>,
}

/// What is used of the storages.
#[utoipa::path(get, path = "/api/v1/system/storage", tag = "system", operation_id = "system_storage", responses(
    (status = 200, body = SystemStorage, description = "What is used."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn storage(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<SystemStorage>> {
    // It walks a folder that may hold a picture of every event: one at a time.
    caller.run(Lane::Plan, used).await.map(Json)
}

fn used(caller: &Caller) -> Result<SystemStorage> {
    let one = PageRequest { page: 1, limit: 1 };
    let events = caller
        .store
        .events(Principal::system(), &EventFilter::default(), one)?;
    let storages = storage::status(caller)?.into_storages();
    let recordings: u64 = storages.iter().map(StorageItem::recordings_bytes).sum();
    let thumbnails = bytes_below(&caller.storage.thumbnails())?;
    let database = caller.store.size()?;
    Ok(SystemStorage {
        database_mb: megabytes(database),
        thumbnails_mb: megabytes(thumbnails),
        recordings_mb: megabytes(recordings),
        total_mb: megabytes(database + thumbnails + recordings),
        event_count: events.total,
        storages,
    })
}

fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / MB * 100.0).round() / 100.0
}

/// The length of all files in a folder and those in it; what goes away meanwhile counts nothing.
fn bytes_below(folder: &Path) -> Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io(folder, error)),
    };
    let mut bytes = 0;
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(found) if found.is_dir() => bytes += bytes_below(&entry.path())?,
            Ok(found) => bytes += found.len(),
            Err(_) => {}
        }
    }
    Ok(bytes)
}

/// How long recordings are kept.
#[utoipa::path(get, path = "/api/v1/system/retention", tag = "system", operation_id = "get_retention", responses(
    (status = 200, body = Retention, description = "How long."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn retention(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<Retention>> {
    caller.run(Lane::Read, kept).await.map(Json)
}

/// Changes how long recordings are kept, all or nothing; what is absent stays.
#[utoipa::path(put, path = "/api/v1/system/retention", tag = "system", operation_id = "update_retention",
    request_body = RetentionChange,
    responses(
        (status = 200, body = Retention, description = "How long, from now on."),
        (status = 400, body = super::error::ErrorBody, description = "A value is wrong; the sentence begins with its key."),
        (status = 409, body = super::error::ErrorBody, description = "A key stands in the configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn update_retention(
    caller: Caller,
    []: [String; 0],
    Body(change): Body<RetentionChange>,
) -> ApiResult<Json<Retention>> {
    let wanted = wanted(&change).map_err(ApiError::bad_request)?;
    let done = caller.run(Lane::Change, move |caller| {
        caller.settings()?.set(&wanted, true)?;
        kept(caller)
    });
    done.await.map(Json)
}

/// The same as PUT.
#[utoipa::path(patch, path = "/api/v1/system/retention", tag = "system", operation_id = "change_retention",
    request_body = RetentionChange,
    responses(
        (status = 200, body = Retention, description = "How long, from now on."),
        (status = 400, body = super::error::ErrorBody, description = "A value is wrong; the sentence begins with its key."),
        (status = 409, body = super::error::ErrorBody, description = "A key stands in the configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn change_retention(
    caller: Caller,
    names: [String; 0],
    change: Body<RetentionChange>,
) -> ApiResult<Json<Retention>> {
    update_retention(caller, names, change).await
}

/// The change by the keys of the configuration file.
fn wanted(change: &RetentionChange) -> Result<BTreeMap<String, Option<Value>>, String> {
    let own = [
        change.continuous_days,
        change.motion_days,
        change.event_days,
    ];
    let mut wanted = BTreeMap::new();
    for (key, value) in DAYS.into_iter().zip(own) {
        let value = match (change.retention_days, value) {
            (Some(_), Some(_)) => {
                let name = key.trim_start_matches("retention.");
                return Err(format!(
                    "retention_days: it says the same as {name}: leave one of them out"
                ));
            }
            (Some(-1 | 0), None) => None,
            (Some(days @ 1..=36_500), None) => Some(days.into()),
            (Some(days), None) => {
                return Err(format!(
                    "retention_days: {days} is out of range: use 1 to 36500, or -1 to keep recordings for ever"
                ));
            }
            (None, Some(value)) => value.map(Value::from),
            (None, None) => continue,
        };
        wanted.insert(key.to_owned(), value);
    }
    if let Some(value) = change.max_bytes {
        wanted.insert(MAX_BYTES.to_owned(), value.map(Value::from));
    }
    Ok(wanted)
}

fn kept(caller: &Caller) -> Result<Retention> {
    let current = caller.settings()?.current();
    let number = |key: &str| current.values.get(key).and_then(Value::as_f64);
    let [continuous_days, motion_days, event_days] = DAYS.map(number);
    let longest = [continuous_days, motion_days, event_days]
        .into_iter()
        // One without a limit is kept for ever.
        .try_fold(0.0_f64, |longest, days| Some(longest.max(days?)));
    let ours = |key: &String| key.starts_with("retention.");
    Ok(Retention {
        retention_days: longest.map_or(-1, |days| days.ceil() as i64),
        forever: longest.is_none(),
        next_cleanup: rfc3339(caller.retention.next_round_us()),
        continuous_days,
        motion_days,
        event_days,
        max_bytes: current.values.get(MAX_BYTES).and_then(Value::as_u64),
        read_only: current.read_only.into_iter().filter(ours).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_number_is_three_limits_or_none() {
        let check = |body: Value, expect: Result<Value, &str>| {
            let change: RetentionChange = serde_json::from_value(body.clone()).unwrap();
            let got = wanted(&change).map(|wanted| json!(wanted));
            match expect {
                Ok(expect) => assert_eq!(got, Ok(expect), "{body}"),
                Err(says) => assert!(got.unwrap_err().contains(says), "{body}"),
            }
        };
        let all = |days: Value| json!({"retention.continuous_days": days, "retention.motion_days": days, "retention.event_days": days});
        check(json!({}), Ok(json!({})));
        check(json!({"retention_days": 30}), Ok(all(json!(30))));
        check(json!({"retention_days": -1}), Ok(all(Value::Null)));
        check(json!({"retention_days": 0}), Ok(all(Value::Null)));
        check(json!({"retention_days": -2}), Err("out of range"));
        check(json!({"retention_days": 36501}), Err("out of range"));
        check(
            json!({"retention_days": 1, "motion_days": null}),
            Err("leave one of them out"),
        );
        check(
            json!({"motion_days": null, "max_bytes": 5}),
            Ok(json!({"retention.motion_days": null, "retention.max_bytes": 5})),
        );
    }
}
