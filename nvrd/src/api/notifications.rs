//! Notifications: what somebody has been told of, and what they made of it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::context::Lane;
use super::error::ApiResult;
use super::query::{Query, flag, page_request};
use super::reply::{Json, NoContent};
use super::time::rfc3339;

/// Something that people are told of. Whether it is read, and whether it is there at all, is each person's own.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Notification {
    /// UUID, version 7.
    id: String,
    /// Id of the event, which may have gone since.
    event_id: String,
    /// Name of the camera.
    camera_id: String,
    /// Kind of the event.
    kind: String,
    /// Label of the event.
    label: Option<String>,
    /// The rule that made it; none yet has an id.
    rule_id: Option<String>,
    /// Why it was made: the kind of the event, which is among `notifications.kinds` of the configuration.
    rule_name: String,
    /// What there is to see, in words.
    event_description: String,
    /// Path of the event's picture.
    thumbnail_url: String,
    /// When it was made, RFC 3339.
    created_at: Option<String>,
    /// When it was made, microseconds since 1970-01-01 UTC.
    created_unix_us: i64,
    /// Whether whoever asks has read it.
    read: bool,
}

/// A page of notifications.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationList {
    /// The items of this page, the newest first.
    items: Vec<Notification>,
    /// Items on all pages together.
    total: u64,
    /// This page, counted from 1.
    page: u32,
    /// Most items on a page.
    limit: u32,
    /// Pages; 0 when there is no item.
    pages: u64,
    /// How many whoever asks has not read.
    unread_count: u64,
}

/// How many notifications a request was about.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationCount {
    /// Always true.
    success: bool,
    /// Those that are not as before.
    updated_count: u64,
}

/// Which notifications.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct NotificationQuery {
    /// Counted from 1; 1 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    page: Option<String>,
    /// Items on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Only those that whoever asks has not read.
    #[param(value_type = Option<bool>)]
    unread: Option<String>,
}

/// What whoever asks has been told of, the newest first.
#[utoipa::path(get, path = "/api/v1/notifications", tag = "live", operation_id = "list_notifications", params(NotificationQuery), responses(
    (status = 200, body = NotificationList, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<NotificationQuery>,
) -> ApiResult<Json<NotificationList>> {
    let page = page_request(query.page.as_deref(), query.limit.as_deref())?;
    let unread = flag("unread", query.unread.as_deref())?.unwrap_or(false);
    let list = caller.run(Lane::Read, move |caller| {
        let who = caller.principal();
        let found = caller.store.notifications(who, unread, page)?;
        Ok(NotificationList {
            items: found.items.into_iter().map(notification_of).collect(),
            total: found.total,
            page: page.page,
            limit: page.limit,
            pages: found.total.div_ceil(u64::from(page.limit)),
            unread_count: caller.store.unread_notifications(who)?,
        })
    });
    list.await.map(Json)
}

/// Marks one as read by whoever asks.
#[utoipa::path(patch, path = "/api/v1/notifications/{id}/read", tag = "live", operation_id = "read_notification",
    params(("id" = String, Path, description = "Id of the notification.")),
    responses(
        (status = 200, body = Notification, description = "It is read."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such notification."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn read(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Json<Notification>> {
    let row = caller.run(Lane::Change, move |caller| {
        caller.store.read_notification(caller.principal(), &id)
    });
    row.await.map(|row| Json(notification_of(row)))
}

/// Marks all as read by whoever asks.
#[utoipa::path(patch, path = "/api/v1/notifications/mark-all-read", tag = "live", operation_id = "read_all_notifications", responses(
    (status = 200, body = NotificationCount, description = "They are read."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn read_all(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<NotificationCount>> {
    let count = caller.run(Lane::Change, move |caller| {
        caller.store.read_all_notifications(caller.principal())
    });
    count.await.map(counted)
}

/// Removes one for whoever asks; others see it as before.
#[utoipa::path(delete, path = "/api/v1/notifications/{id}", tag = "live", operation_id = "delete_notification",
    params(("id" = String, Path, description = "Id of the notification.")),
    responses(
        (status = 204, description = "It has gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such notification."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<NoContent> {
    let done = caller.run(Lane::Change, move |caller| {
        caller.store.hide_notification(caller.principal(), &id)
    });
    done.await.map(|()| NoContent)
}

/// Removes all for whoever asks; others see them as before.
#[utoipa::path(delete, path = "/api/v1/notifications", tag = "live", operation_id = "delete_notifications", responses(
    (status = 200, body = NotificationCount, description = "They have gone."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn delete_all(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<NotificationCount>> {
    let count = caller.run(Lane::Change, move |caller| {
        caller.store.hide_all_notifications(caller.principal())
    });
    count.await.map(counted)
}

fn counted(updated_count: u64) -> Json<NotificationCount> {
    Json(NotificationCount {
        success: true,
        updated_count,
    })
}

fn notification_of(row: nvr_store::NotificationRow) -> Notification {
    let what = row.what;
    Notification {
        thumbnail_url: format!("/api/v1/events/{}/thumbnail", what.event_id),
        id: row.id,
        event_id: what.event_id,
        camera_id: what.camera,
        rule_id: None,
        rule_name: what.kind.clone(),
        kind: what.kind,
        label: what.label,
        event_description: what.text,
        created_at: rfc3339(row.created_us),
        created_unix_us: row.created_us,
        read: row.read,
    }
}
