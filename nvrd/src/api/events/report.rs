//! Many events at once: how many there are of what, and all of them as a file.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::Stream;
use nvr_base::{Error, Result};
use nvr_store::{EventFilter, EventRow};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Sender;
use utoipa::{IntoParams, ToSchema};
use warp::Reply as _;
use warp::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use super::super::access::Caller;
use super::super::context::Lane;
use super::super::error::{ApiError, ApiResult};
use super::super::query::{Query, number};
use super::super::reply::{IntoReply, Json};
use super::super::time::{moment_us, rfc3339};
use super::titles;
use super::view::sentence;
use super::words::object_of;

/// Events that are read at once for a file.
const PART: u32 = 500;
/// A day in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// Which events are counted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct StatsQuery {
    /// Of this camera.
    camera_id: Option<String>,
    /// Begun at this time or after it, RFC 3339.
    start_time: Option<String>,
    /// Begun before this time, RFC 3339.
    end_time: Option<String>,
}

/// How many events there are of what.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct EventStats {
    total_events: u64,
    /// By the camera's name in paths.
    events_by_camera: BTreeMap<String, u64>,
    /// By `person`, `vehicle`, `animal`, `package`, `unknown`; what is no object by its kind.
    events_by_object_type: BTreeMap<String, u64>,
    /// Mean of the best scores, 0 to 100; 0 without any.
    average_confidence: f64,
    /// Events that a rule raised an alert about.
    alerts_triggered: u64,
    time_range: TimeRange,
}

/// From when to when events began.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct TimeRange {
    /// RFC 3339; what was asked for, else the first one's start.
    start: Option<String>,
    /// RFC 3339; what was asked for, else the last one's start.
    end: Option<String>,
}

/// How many events there are of what.
#[utoipa::path(get, path = "/api/v1/events/stats", tag = "events", operation_id = "event_stats", params(StatsQuery), responses(
    (status = 200, body = EventStats, description = "The numbers."),
    (status = 400, body = crate::api::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = crate::api::error::ErrorBody, description = "Any other failure."),
))]
pub(in crate::api) async fn stats(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<StatsQuery>,
) -> ApiResult<Json<EventStats>> {
    let moment = |name, text: Option<&str>| text.map(|text| moment_us(name, text)).transpose();
    let start = moment("start_time", query.start_time.as_deref())?;
    let end = moment("end_time", query.end_time.as_deref())?;
    let groups = caller.run(Lane::Read, move |caller| {
        let range = start.unwrap_or(i64::MIN)..end.unwrap_or(i64::MAX);
        let camera = query.camera_id.as_deref();
        caller
            .store
            .event_groups(caller.principal(), camera, &range)
    });
    let groups = groups.await?;
    let mut stats = EventStats {
        total_events: groups.iter().map(|group| group.events).sum(),
        events_by_camera: BTreeMap::new(),
        events_by_object_type: BTreeMap::new(),
        average_confidence: 0.0,
        alerts_triggered: 0,
        time_range: TimeRange {
            start: start
                .or_else(|| groups.iter().map(|group| group.first_us).min())
                .and_then(rfc3339),
            end: end
                .or_else(|| groups.iter().map(|group| group.last_us).max())
                .and_then(rfc3339),
        },
    };
    let scored: u64 = groups.iter().map(|group| group.scored).sum();
    if scored > 0 {
        let sum: f64 = groups.iter().map(|group| group.scores).sum();
        stats.average_confidence = (sum / scored as f64 * 1000.0).round() / 10.0;
    }
    for group in groups {
        let object = object_of(&group.kind, group.label.as_deref());
        let object = object.map_or(group.kind, str::to_owned);
        *stats.events_by_object_type.entry(object).or_default() += group.events;
        *stats.events_by_camera.entry(group.camera).or_default() += group.events;
    }
    Ok(Json(stats))
}

/// Which events become a file, and what kind of file.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ExportQuery {
    /// `csv` unless `json` is given.
    #[param(value_type = Option<Format>)]
    format: Option<String>,
    /// Of this camera.
    camera_id: Option<String>,
    /// Going on at this time or after it, RFC 3339 or a date.
    start_date: Option<String>,
    /// Begun before this time, RFC 3339; a date counts whole.
    end_date: Option<String>,
    /// With at least this score in hundredths.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 100)]
    min_confidence: Option<String>,
}

/// How a file of events is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = EventFileFormat)]
pub(in crate::api) enum Format {
    Csv,
    Json,
}

/// A line of the file.
#[derive(Debug, Serialize)]
struct Line {
    id: String,
    timestamp: Option<String>,
    ended_at: Option<String>,
    camera_id: String,
    camera_name: String,
    kind: String,
    label: Option<String>,
    objects_detected: &'static str,
    confidence: Option<f64>,
    description: String,
    zones: String,
    identity: Option<String>,
}

/// A file that is written while it is read from the store.
pub(in crate::api) struct EventFile {
    format: Format,
    caller: Caller,
    filter: EventFilter,
}

/// All events, oldest first, as a CSV file or as JSON Lines.
#[utoipa::path(get, path = "/api/v1/events/export", tag = "events", operation_id = "export_events", params(ExportQuery), responses(
    (status = 200, body = String, content_type = "text/csv", description = "One line an event, after a line of names; with `format=json` one JSON object a line (`application/x-ndjson`)."),
    (status = 400, body = crate::api::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = crate::api::error::ErrorBody, description = "Any other failure."),
))]
pub(in crate::api) async fn export(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<ExportQuery>,
) -> ApiResult<EventFile> {
    let format = match query.format.as_deref() {
        None | Some("csv") => Format::Csv,
        Some("json") => Format::Json,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "format: {other:?}: use csv or json"
            )));
        }
    };
    let moment = |name, text: Option<&str>| text.map(|text| moment_us(name, text)).transpose();
    let end = moment("end_date", query.end_date.as_deref())?;
    // A date without a time of day is a whole day.
    let whole_day = query
        .end_date
        .is_some_and(|text| text.len() == "2026-01-31".len());
    let hundredths = number(
        "min_confidence",
        query.min_confidence.as_deref(),
        0.0,
        100.0,
    )?;
    let filter = EventFilter {
        camera: query.camera_id,
        start_us: moment("start_date", query.start_date.as_deref())?,
        end_us: end.map(|end| end + if whole_day { DAY_US } else { 0 }),
        min_score: hundredths.map(|value| value / 100.0),
        ascending: true,
        ..EventFilter::default()
    };
    Ok(EventFile {
        format,
        caller,
        filter,
    })
}

impl IntoReply for EventFile {
    fn into_reply(self) -> Response {
        let (content_type, name) = match self.format {
            Format::Csv => (
                "text/csv; charset=utf-8",
                "attachment; filename=\"events.csv\"",
            ),
            Format::Json => (
                "application/x-ndjson",
                "attachment; filename=\"events.jsonl\"",
            ),
        };
        let mut response = warp::reply::stream(parts(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The file in parts, each read when the client has taken the one before the last: memory stays bounded.
fn parts(file: EventFile) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Sync {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(write(file, sender));
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|part| (part, receiver))
    })
}

/// Reads part after part until all are read or nobody takes them any more.
async fn write(file: EventFile, to: Sender<Result<Bytes, std::io::Error>>) {
    let EventFile {
        format,
        caller,
        filter,
    } = file;
    let mut last: Option<(i64, String)> = None;
    loop {
        let (filter, from) = (filter.clone(), last.take());
        let read = caller.run(Lane::Read, move |caller| {
            let last = from.as_ref().map(|(start_us, id)| (*start_us, id.as_str()));
            let who = caller.principal();
            let rows = caller.store.events_after(who, &filter, last, PART)?;
            let next = rows
                .last()
                .filter(|_| rows.len() == PART as usize)
                .map(|row| (row.start_us, row.id.clone()));
            Ok((
                text_of(format, from.is_none(), rows, &titles(caller)?)?,
                next,
            ))
        });
        // On a failure the connection breaks, so that nobody takes the file for whole.
        let (part, next) = match read.await {
            Ok((bytes, next)) => (Ok(bytes), next),
            Err(error) => (Err(std::io::Error::other(format!("{error:?}"))), None),
        };
        if to.send(part).await.is_err() || next.is_none() {
            return;
        }
        last = next;
    }
}

fn text_of(
    format: Format,
    first: bool,
    rows: Vec<EventRow>,
    titles: &BTreeMap<String, String>,
) -> Result<Bytes> {
    let failed = |error: &dyn std::error::Error| {
        Error::internal(format!("events do not serialise: {error}"))
    };
    let lines = rows.into_iter().map(|row| line_of(row, titles));
    match format {
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new()
                .has_headers(false)
                .from_writer(Vec::new());
            if first {
                writer
                    .write_record(COLUMNS)
                    .map_err(|error| failed(&error))?;
            }
            for line in lines {
                writer.serialize(line).map_err(|error| failed(&error))?;
            }
            writer
                .into_inner()
                .map(Bytes::from)
                .map_err(|error| failed(&error))
        }
        Format::Json => {
            let mut text = Vec::new();
            for line in lines {
                serde_json::to_writer(&mut text, &line).map_err(|error| failed(&error))?;
                text.push(b'\n');
            }
            Ok(text.into())
        }
    }
}

/// The names of a line's fields.
const COLUMNS: [&str; 12] = [
    "id",
    "timestamp",
    "ended_at",
    "camera_id",
    "camera_name",
    "kind",
    "label",
    "objects_detected",
    "confidence",
    "description",
    "zones",
    "identity",
];

fn line_of(row: EventRow, titles: &BTreeMap<String, String>) -> Line {
    let title = titles.get(&row.camera).unwrap_or(&row.camera);
    Line {
        timestamp: rfc3339(row.start_us),
        ended_at: row.end_us.and_then(rfc3339),
        camera_name: harmless(title),
        objects_detected: object_of(&row.kind, row.label.as_deref()).unwrap_or_default(),
        confidence: row.score.map(|score| (score * 1000.0).round() / 10.0),
        description: harmless(&sentence(&row, title)),
        zones: harmless(&row.zones.join(";")),
        label: row.label.as_deref().map(harmless),
        identity: row.identity.as_deref().map(harmless),
        id: row.id,
        camera_id: row.camera,
        kind: row.kind,
    }
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_fields() {
        let json = serde_json::to_value(Line {
            id: String::new(),
            timestamp: None,
            ended_at: None,
            camera_id: String::new(),
            camera_name: String::new(),
            kind: String::new(),
            label: None,
            objects_detected: "",
            confidence: None,
            description: String::new(),
            zones: String::new(),
            identity: None,
        })
        .unwrap();
        let fields = json.as_object().unwrap();
        assert_eq!(fields.len(), COLUMNS.len());
        assert!(COLUMNS.iter().all(|name| fields.contains_key(*name)));
    }

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(harmless("=1+1"), "'=1+1");
        assert_eq!(harmless("door"), "door");
    }
}
