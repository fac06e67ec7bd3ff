//! Settings and the configuration of the running daemon: looked at, changed, tried, and read anew from the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::access::Caller;
use super::body::{Body, present};
use super::context::Lane;
use super::error::ApiResult;
use super::reply::Json;
use crate::settings::{Change, Current, Reloaded, Settings};

/// How the system presents itself, and what the configuration file leaves open.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct SystemSettings {
    /// What people call this recorder.
    system_name: String,
    /// Time zone in which clients show times, such as `Europe/Berlin`.
    timezone: String,
    /// Language in which clients speak, such as `en` or `pt-BR`.
    language: String,
    /// `YYYY-MM-DD`, `DD/MM/YYYY`, `MM/DD/YYYY` or `DD.MM.YYYY`.
    date_format: String,
    /// `24h` or `12h`.
    time_format: String,
    /// The model that describes pictures unless a request names one.
    primary_model: Option<String>,
    retention: KeepSettings,
    export: ExportSettings,
    log: LogSettings,
    /// Keys of those that stand in the configuration file: they are changed there, and 409 answers an attempt here.
    read_only: Vec<String>,
    /// The configuration file.
    config_file: Option<String>,
    /// What else the file says, by key, without secrets and cameras.
    #[schema(value_type = Object)]
    file: BTreeMap<String, Value>,
}

/// How long recordings are kept where neither a camera nor the file says otherwise; `null` sets no limit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct KeepSettings {
    continuous_days: Option<f64>,
    motion_days: Option<f64>,
    event_days: Option<f64>,
    /// Most bytes of a camera.
    max_bytes: Option<u64>,
}

/// Exports.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ExportSettings {
    keep_days: u32,
    keep_count: u32,
    max_hours: u32,
    queue: u32,
}

/// The log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LogSettings {
    /// In the syntax of `RUST_LOG`; the variable `NVRD_LOG` goes before it.
    filter: String,
}

/// What to change; what is absent stays, `null` goes back to the default.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SettingsChange {
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    system_name: Option<Option<String>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    timezone: Option<Option<String>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    language: Option<Option<String>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    date_format: Option<Option<String>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    time_format: Option<Option<String>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    primary_model: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<KeepChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<ExportChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogChange>,
}

/// How long recordings are kept.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeepChange {
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    continuous_days: Option<Option<f64>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    motion_days: Option<Option<f64>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    event_days: Option<Option<f64>>,
    /// Most bytes of a camera.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    max_bytes: Option<Option<u64>>,
}

/// Exports.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExportChange {
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3650)]
    keep_days: Option<Option<u32>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10000)]
    keep_count: Option<Option<u32>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 48)]
    max_hours: Option<Option<u32>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 500)]
    queue: Option<Option<u32>>,
}

/// The log.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogChange {
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    filter: Option<Option<String>>,
}

/// A value that is, or would be, another one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangeItem {
    /// Its key.
    path: String,
    /// What it was; secrets are never told.
    before: Value,
    /// What it is, or would be.
    after: Value,
    /// Whether it counts from the next start on only.
    needs_restart: bool,
}

/// What would change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Diff {
    changes: Vec<ChangeItem>,
}

/// Whether to do it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReloadRequest {
    /// Only say what would change.
    dry_run: bool,
}

/// What reading the configuration file anew did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReloadAnswer {
    /// Whether it was done.
    applied: bool,
    changes: Vec<ChangeItem>,
    cameras_added: Vec<String>,
    cameras_removed: Vec<String>,
    /// Only these were started anew.
    cameras_changed: Vec<String>,
    /// Keys that differ from the start of the daemon and count from the next one on.
    needs_restart: Vec<String>,
    /// What to know beside that.
    notes: Vec<String>,
}

/// The settings, and what the configuration file says.
#[utoipa::path(get, path = "/api/v1/system/settings", tag = "system", operation_id = "get_settings", responses(
    (status = 200, body = SystemSettings, description = "The settings."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn get(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<SystemSettings>> {
    let settings = caller.run(Lane::Read, |caller| told(caller.settings()?.current()));
    settings.await.map(Json)
}

/// Changes settings, all or none; what is absent stays.
#[utoipa::path(put, path = "/api/v1/system/settings", tag = "system", operation_id = "update_settings",
    request_body = SettingsChange,
    responses(
        (status = 200, body = SystemSettings, description = "The settings as they are now."),
        (status = 400, body = super::error::ErrorBody, description = "A value is wrong; the sentence begins with its key."),
        (status = 409, body = super::error::ErrorBody, description = "A key stands in the configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn update(
    caller: Caller,
    []: [String; 0],
    Body(change): Body<SettingsChange>,
) -> ApiResult<Json<SystemSettings>> {
    let wanted = flat(&change);
    let settings = caller.run(Lane::Change, move |caller| {
        caller.settings()?.set(&wanted, true)?;
        told(caller.settings()?.current())
    });
    settings.await.map(Json)
}

/// What a change of settings would change, without doing it.
#[utoipa::path(post, path = "/api/v1/system/settings/diff", tag = "system", operation_id = "diff_settings",
    request_body = SettingsChange,
    responses(
        (status = 200, body = Diff, description = "What would change."),
        (status = 400, body = super::error::ErrorBody, description = "A value is wrong; the sentence begins with its key."),
        (status = 409, body = super::error::ErrorBody, description = "A key stands in the configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn diff(
    caller: Caller,
    []: [String; 0],
    Body(change): Body<SettingsChange>,
) -> ApiResult<Json<Diff>> {
    let wanted = flat(&change);
    let changes = caller.run(Lane::Read, move |caller| {
        caller.settings()?.set(&wanted, false)
    });
    let changes = changes.await?.into_iter().map(item).collect();
    Ok(Json(Diff { changes }))
}

/// Reads the configuration file anew, as SIGHUP does: all of it, or nothing and every problem.
#[utoipa::path(post, path = "/api/v1/system/reload", tag = "system", operation_id = "reload",
    request_body = inline(Option<ReloadRequest>),
    responses(
        (status = 200, body = ReloadAnswer, description = "What changed, and what waits for a restart."),
        (status = 400, body = super::error::ErrorBody, description = "The file has problems, a line each; nothing changed."),
        (status = 409, body = super::error::ErrorBody, description = "There is no configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn reload(
    caller: Caller,
    []: [String; 0],
    body: Option<Body<ReloadRequest>>,
) -> ApiResult<Json<ReloadAnswer>> {
    let apply = !body
        .map(|Body(request)| request)
        .unwrap_or_default()
        .dry_run;
    let done = caller.run(Lane::Change, move |caller| caller.settings()?.reload(apply));
    done.await.map(|done| Json(answer(done, apply)))
}

fn answer(done: Reloaded, applied: bool) -> ReloadAnswer {
    let waiting = done.changes.iter().filter(|change| change.needs_restart);
    ReloadAnswer {
        applied,
        needs_restart: waiting.map(|change| change.path.clone()).collect(),
        changes: done.changes.into_iter().map(item).collect(),
        cameras_added: done.cameras.added,
        cameras_removed: done.cameras.removed,
        cameras_changed: done.cameras.changed,
        notes: done.notes,
    }
}

fn item(change: Change) -> ChangeItem {
    ChangeItem {
        path: change.path,
        before: change.before,
        after: change.after,
        needs_restart: change.needs_restart,
    }
}

/// The changes by key: `{"log": {"filter": null}}` is `log.filter`, back to its default.
fn flat(change: &SettingsChange) -> BTreeMap<String, Option<Value>> {
    let body = serde_json::to_value(change).expect("texts and finite numbers always serialise");
    let mut found = BTreeMap::new();
    let own = |value: Value| Some(value).filter(|value| !value.is_null());
    for (key, value) in body.as_object().cloned().unwrap_or_default() {
        match value {
            Value::Object(section) => found.extend(
                section
                    .into_iter()
                    .map(|(last, value)| (format!("{key}.{last}"), own(value))),
            ),
            value => drop(found.insert(key, own(value))),
        }
    }
    found
}

/// The settings in the shape of the API.
fn told(current: Current) -> nvr_base::Result<SystemSettings> {
    let mut body = serde_json::Map::new();
    for (key, value) in current.values {
        match key.split_once('.') {
            Some((section, last)) => {
                let section = body
                    .entry(section)
                    .or_insert_with(|| Value::Object(Default::default()));
                section[last] = value;
            }
            None => drop(body.insert(key, value)),
        }
    }
    body.insert("read_only".to_owned(), current.read_only.into());
    let path = current.path.map(|path| path.display().to_string());
    body.insert("config_file".to_owned(), path.into());
    body.insert("file".to_owned(), current.file.into_iter().collect());
    serde_json::from_value(body.into())
        .map_err(|error| nvr_base::Error::internal(format!("the settings: {error}")))
}

impl super::context::ApiContext {
    /// The settings; every daemon has them.
    pub(super) fn settings(&self) -> nvr_base::Result<&Arc<Settings>> {
        let settings = self.settings.as_ref();
        settings.ok_or_else(|| nvr_base::Error::unavailable("the settings are not there yet"))
    }
}
