//! The audit log: every change that succeeded is written by the machinery of the routes, and this reads it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use warp::http::Method;
use warp::http::header::LOCATION;
use warp::reply::Response;

use nvr_store::{AuditFilter, AuditRow, NewAudit};

use super::access::Caller;
use super::context::Lane;
use super::error::ApiResult;
use super::query::{List, Query, page_request, unix_us};
use super::reply::{Json, Remark};
use super::time::rfc3339;

/// Longest name of what was changed.
const MAX_OBJECT: usize = 256;

/// A change that is about to happen.
pub(super) struct Record {
    method: Method,
    template: &'static str,
    object: String,
    caller: Caller,
}

impl Record {
    /// Of a request to a template, with what its path names.
    pub(super) fn new(
        method: Method,
        template: &'static str,
        names: &[String],
        caller: Caller,
    ) -> Self {
        Self {
            method,
            template,
            object: names.join("/"),
            caller,
        }
    }

    /// Writes the line once the change succeeded; the answer waits for it.
    pub(super) async fn write(self, response: &mut Response) {
        let remark = response.extensions_mut().remove::<Remark>();
        let remark = remark.unwrap_or_default();
        let status = response.status();
        if remark.done || !(status.is_success() || status.is_redirection()) {
            return;
        }
        let location = response.headers().get(LOCATION);
        let made = location
            .and_then(|path| path.to_str().ok()?.rsplit('/').next())
            .filter(|_| status == 201 || status == 202);
        let object = match (self.object.is_empty(), made) {
            (true, made) => made.map(str::to_owned),
            (false, _) => Some(self.object),
        };
        let entry = NewAudit {
            address: self.caller.address().map(|address| address.to_string()),
            action: action_of(&self.method, self.template, made.is_some()),
            method: Some(self.method.to_string()),
            route: Some(self.template.to_owned()),
            object: object.map(|object| object.chars().take(MAX_OBJECT).collect()),
            status: Some(status.as_u16()),
            refused: false,
            detail: remark.detail,
            ..NewAudit::default()
        };
        let entry = entry.by(&self.caller.principal().actor);
        self.caller.auth.note_later(entry).await;
    }
}

/// What was done, in words with dots: `cameras.create`, `recordings.protect`.
fn action_of(method: &Method, template: &str, created: bool) -> String {
    let path = template.strip_prefix("/api/v1/").unwrap_or(template);
    let words = path.split('/').filter(|word| !word.is_empty());
    let mut words: Vec<&str> = words.filter(|word| !word.starts_with('{')).collect();
    match method.as_str() {
        "PUT" | "PATCH" => words.push("change"),
        "DELETE" => words.push("delete"),
        _ if created || words.len() == 1 => words.push("create"),
        _ => {}
    }
    words.join(".")
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// Counted from 1; 1 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    page: Option<String>,
    /// Items on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Name of a user or key.
    actor: Option<String>,
    /// What was done, such as `cameras.delete`.
    action: Option<String>,
    /// Not before, seconds since 1970-01-01 UTC.
    #[param(value_type = Option<f64>)]
    start_unix: Option<String>,
    /// Before, seconds since 1970-01-01 UTC.
    #[param(value_type = Option<f64>)]
    end_unix: Option<String>,
}

/// A line of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditEntry {
    /// UUID.
    id: String,
    /// When, microseconds since 1970-01-01 UTC.
    at_unix_us: i64,
    /// The same as a text, RFC 3339.
    timestamp: Option<String>,
    /// `user`, `key`, `local`, `system` or `anonymous`.
    actor_kind: String,
    /// Id of the user or key.
    actor_id: Option<String>,
    /// Name of the user or key.
    actor: String,
    /// Address they asked from.
    address: Option<String>,
    /// What was done: `cameras.delete`, `session.open`, …
    action: String,
    /// Method of the request.
    method: Option<String>,
    /// Path of the request, with the places of names.
    route: Option<String>,
    /// What it was done to.
    object: Option<String>,
    /// Status of the answer.
    status: Option<u16>,
    /// Whether it was refused; log-ins that failed are.
    refused: bool,
    /// One sentence for people.
    detail: Option<String>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        let entry = row.entry;
        Self {
            id: row.id,
            at_unix_us: row.at_us,
            timestamp: rfc3339(row.at_us),
            actor_kind: entry.actor_kind,
            actor_id: entry.actor_id,
            actor: entry.actor,
            address: entry.address,
            action: entry.action,
            method: entry.method,
            route: entry.route,
            object: entry.object,
            status: entry.status,
            refused: entry.refused,
            detail: entry.detail,
        }
    }
}

/// Who changed what, and who logged in or tried to, newest first.
#[utoipa::path(get, path = "/api/v1/audit-logs", tag = "users", operation_id = "list_audit_logs", params(AuditQuery),
    responses(
        (status = 200, body = List<AuditEntry>, description = "A page of them."),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<AuditQuery>,
) -> ApiResult<Json<List<AuditEntry>>> {
    let page = page_request(query.page.as_deref(), query.limit.as_deref())?;
    let filter = AuditFilter {
        start_us: unix_us("start_unix", query.start_unix.as_deref())?,
        end_us: unix_us("end_unix", query.end_unix.as_deref())?,
        actor: query.actor,
        action: query.action,
    };
    let found = caller.run(Lane::Read, move |caller| caller.store.audits(&filter, page));
    let found = found.await?;
    let items = found.items.into_iter().map(AuditEntry::from).collect();
    Ok(Json(List::new(items, found.total, page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_words() {
        let check = |method: Method, template: &str, created: bool, expect: &str| {
            assert_eq!(action_of(&method, template, created), expect);
        };
        check(Method::POST, "/api/v1/cameras", true, "cameras.create");
        check(
            Method::PATCH,
            "/api/v1/cameras/{camera}",
            false,
            "cameras.change",
        );
        check(
            Method::POST,
            "/api/v1/cameras/{camera}/start",
            false,
            "cameras.start",
        );
        check(
            Method::DELETE,
            "/api/v1/recordings/{camera}",
            false,
            "recordings.delete",
        );
        check(
            Method::POST,
            "/api/v1/storage/trust-clock",
            false,
            "storage.trust-clock",
        );
        check(
            Method::POST,
            "/api/v1/protect/controllers",
            true,
            "protect.controllers.create",
        );
        check(Method::POST, "/setup", false, "setup.create");
    }
}
