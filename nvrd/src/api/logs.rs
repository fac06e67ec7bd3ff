//! `/logs`: the last records of the daemon's own log, for whoever looks after it.

use nvr_base::logging::{self, Record, Wanted};
use serde::{Deserialize, Serialize};
use tracing::Level;
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::error::{ApiError, ApiResult};
use super::query::{List, Query, page_request};
use super::reply::Json;
use super::time::rfc3339;

/// Which records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    /// Counted from 1; 1 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    page: Option<String>,
    /// Records on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// `error`, `warn`, `info`, `debug` or `trace`: this level and graver ones.
    level: Option<String>,
    /// Only records with this text in the sentence, the target or a field, whatever the case.
    search: Option<String>,
}

/// A record of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogRecord {
    /// Counts up from the start of the daemon.
    id: u64,
    /// RFC 3339, UTC.
    time: Option<String>,
    /// Microseconds since 1970-01-01 UTC.
    time_unix_us: i64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    level: String,
    /// The part of the program that said it.
    target: String,
    message: String,
    /// What it says beside the sentence.
    #[schema(value_type = Object)]
    fields: serde_json::Map<String, serde_json::Value>,
}

/// The last records of the log, newest first: 5000 of them at most, since the start of the daemon.
#[utoipa::path(get, path = "/api/v1/logs", tag = "system", operation_id = "list_logs", params(LogQuery), responses(
    (status = 200, body = List<LogRecord>, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    _: Caller,
    []: [String; 0],
    Query(query): Query<LogQuery>,
) -> ApiResult<Json<List<LogRecord>>> {
    let page = page_request(query.page.as_deref(), query.limit.as_deref())?;
    let level = query.level.as_deref().map(level_of).transpose()?;
    let wanted = Wanted {
        level,
        search: query.search,
    };
    let skip = u64::from(page.page - 1) * u64::from(page.limit);
    let (found, total) = logging::last_records().newest(&wanted, skip, page.limit as usize);
    let items = found.into_iter().map(record_of).collect();
    Ok(Json(List::new(items, total, page)))
}

fn level_of(word: &str) -> ApiResult<Level> {
    // Words only: tracing would take numbers too.
    let known = word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let level = known.then(|| word.parse().ok()).flatten();
    level.ok_or_else(|| {
        ApiError::bad_request(format!(
            "level: {word:?}: use error, warn, info, debug or trace"
        ))
    })
}

fn record_of(record: Record) -> LogRecord {
    LogRecord {
        id: record.seq,
        time: rfc3339(record.unix_us),
        time_unix_us: record.unix_us,
        level: record.level.as_str().to_lowercase(),
        target: record.target,
        message: record.message,
        fields: record.fields,
    }
}
