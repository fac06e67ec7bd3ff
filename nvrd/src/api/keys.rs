//! API keys, for those who manage them.

use std::collections::BTreeSet;

use nvr_base::principal::{Actor, CameraAccess, Scope};
use nvr_store::{KeyRow, PageRequest};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::auth::Message;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::query::{List, Query, flag, page_request};
use super::reply::{Created, Json, Remarked};
use super::time::rfc3339;
use super::users::access_of;
use crate::auth::{NewProgram, add_key};

/// Requests a minute unless the body says otherwise.
const PER_MINUTE: u32 = 100;

/// A key, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApiKey {
    /// UUID.
    id: String,
    /// What a person calls it.
    name: String,
    /// Its first letters.
    prefix: String,
    /// `read:events`, `read:cameras`, `write:cameras`, `admin`.
    scopes: Vec<&'static str>,
    /// The cameras it may know of; `null` means all.
    cameras: Option<BTreeSet<String>>,
    /// Requests that it may make in a minute.
    rate_limit_per_minute: u32,
    /// Whether it counts now.
    is_active: bool,
    /// From when on it does not count any more, RFC 3339.
    expires_at: Option<String>,
    /// Requests made with it.
    usage_count: u64,
    /// When it was last used, RFC 3339.
    last_used_at: Option<String>,
    /// Name of the user who made it.
    created_by: Option<String>,
    /// When it was made, RFC 3339.
    created_at: Option<String>,
    /// When it was revoked, RFC 3339.
    revoked_at: Option<String>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApiKeyCreated {
    /// UUID.
    id: String,
    /// What a person calls it.
    name: String,
    /// The key itself, told this once.
    key: String,
    /// Its first letters.
    prefix: String,
    /// What it may be used for.
    scopes: Vec<&'static str>,
    /// The cameras it may know of; `null` means all.
    cameras: Option<BTreeSet<String>>,
    /// From when on it does not count any more, RFC 3339.
    expires_at: Option<String>,
    /// Requests that it may make in a minute.
    rate_limit_per_minute: u32,
    /// When it was made, RFC 3339.
    created_at: Option<String>,
}

/// How much a key is used.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApiKeyUsage {
    /// UUID.
    id: String,
    /// What a person calls it.
    name: String,
    /// Its first letters.
    prefix: String,
    /// Requests made with it.
    usage_count: u64,
    /// When it was last used, RFC 3339.
    last_used_at: Option<String>,
    /// Where it was last used from.
    last_used_ip: Option<String>,
    /// Requests that it may make in a minute.
    rate_limit_per_minute: u32,
    /// When it was made, RFC 3339.
    created_at: Option<String>,
}

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewApiKey {
    /// What it is for, 1 to 100 characters.
    name: String,
    /// One or more of `read:events`, `read:cameras`, `write:cameras` and `admin`.
    #[schema(example = json!(["read:events"]))]
    scopes: BTreeSet<String>,
    /// The cameras it may know of; absent or `null` means all.
    cameras: Option<BTreeSet<String>>,
    /// From when on it does not count any more, RFC 3339; absent means never.
    expires_at: Option<String>,
    /// Requests that it may make in a minute; 100 unless given.
    #[schema(minimum = 1, maximum = 10000)]
    rate_limit_per_minute: Option<u32>,
}

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysQuery {
    /// Counted from 1; 1 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    page: Option<String>,
    /// Items on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Whether revoked ones are listed too.
    #[param(value_type = Option<bool>)]
    include_revoked: Option<String>,
}

/// API keys, the newest first.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "users", operation_id = "list_api_keys", params(KeysQuery), responses(
    (status = 200, body = List<ApiKey>, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<KeysQuery>,
) -> ApiResult<Json<List<ApiKey>>> {
    let page: PageRequest = page_request(query.page.as_deref(), query.limit.as_deref())?;
    let revoked = flag("include_revoked", query.include_revoked.as_deref())?.unwrap_or(false);
    let found = caller.run(Lane::Read, move |caller| {
        caller.auth.write_uses()?;
        caller.store.keys(revoked, page)
    });
    let found = found.await?;
    let now_us = caller.clock.unix_us();
    let items = found
        .items
        .into_iter()
        .map(|row| key_of(row, now_us))
        .collect();
    Ok(Json(List::new(items, found.total, page)))
}

/// Makes an API key, which is told in this answer and never again.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "users", operation_id = "create_api_key", request_body = NewApiKey,
    responses(
        (status = 201, body = ApiKeyCreated, description = "The key.", headers(("Location" = String, description = "Path of the key."))),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong; the sentence begins with its name."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn create(
    caller: Caller,
    []: [String; 0],
    Body(new): Body<NewApiKey>,
) -> ApiResult<Remarked<Created<ApiKeyCreated>>> {
    let scopes = new.scopes.iter().map(|word| word.parse());
    let scopes: Result<BTreeSet<Scope>, nvr_base::Error> = scopes.collect();
    let program = NewProgram {
        name: new.name,
        scopes: scopes.map_err(|error| ApiError::bad_request(format!("scopes: {error}")))?,
        cameras: access_of(new.cameras),
        per_minute: new.rate_limit_per_minute.unwrap_or(PER_MINUTE),
        expires_us: new.expires_at.as_deref().map(moment_of).transpose()?,
        created_by: match &caller.principal().actor {
            Actor::User { name, .. } | Actor::Key { name, .. } => Some(name.clone()),
            _ => None,
        },
    };
    let made = caller.run(Lane::Change, move |caller| {
        let made = add_key(&caller.store, &program)?;
        caller.auth.reload()?;
        Ok(made)
    });
    let (row, key) = made.await?;
    let scopes = words_of(&row);
    let detail = format!("{} for {}", row.name, scopes.join(" "));
    let location = format!("/api/v1/api-keys/{}", row.id);
    let body = ApiKeyCreated {
        id: row.id,
        name: row.name,
        key: key.expose().to_owned(),
        prefix: row.prefix,
        scopes,
        cameras: list_of(row.cameras),
        expires_at: row.expires_us.and_then(rfc3339),
        rate_limit_per_minute: row.per_minute,
        created_at: rfc3339(row.created_us),
    };
    Ok(Remarked::with(Created { location, body }, detail))
}

/// One API key, without the key itself.
#[utoipa::path(get, path = "/api/v1/api-keys/{id}", tag = "users", operation_id = "get_api_key",
    params(("id" = String, Path, description = "Id of the key.")),
    responses(
        (status = 200, body = ApiKey, description = "The key."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such key."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<ApiKey>> {
    let row = current(&caller, id).await?;
    Ok(Json(key_of(row, caller.clock.unix_us())))
}

/// Revokes an API key: it stops working at once and for good.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "users", operation_id = "revoke_api_key",
    params(("id" = String, Path, description = "Id of the key.")),
    responses(
        (status = 200, body = Message, description = "It counts no more."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such key that counts."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn revoke(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Remarked<Json<Message>>> {
    let row = caller.run(Lane::Change, move |caller| {
        let row = caller.store.revoke_key(&id)?;
        caller.auth.reload()?;
        Ok(row)
    });
    let row = row.await?;
    let message = "API key revoked successfully".to_owned();
    Ok(Remarked::with(Json(Message { message }), row.name))
}

/// How much an API key is used.
#[utoipa::path(get, path = "/api/v1/api-keys/{id}/usage", tag = "users", operation_id = "api_key_usage",
    params(("id" = String, Path, description = "Id of the key.")),
    responses(
        (status = 200, body = ApiKeyUsage, description = "Its use so far."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such key."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn usage(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Json<ApiKeyUsage>> {
    let row = current(&caller, id).await?;
    Ok(Json(ApiKeyUsage {
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        usage_count: row.uses,
        last_used_at: row.last_used_us.and_then(rfc3339),
        last_used_ip: row.last_used_ip,
        rate_limit_per_minute: row.per_minute,
        created_at: rfc3339(row.created_us),
    }))
}

/// A key with the requests counted that were not written yet.
async fn current(caller: &Caller, id: String) -> ApiResult<KeyRow> {
    let row = caller.run(Lane::Read, move |caller| {
        caller.auth.write_uses()?;
        caller.store.key(&id)
    });
    row.await
}

fn key_of(row: KeyRow, now_us: i64) -> ApiKey {
    ApiKey {
        scopes: words_of(&row),
        is_active: row.revoked_us.is_none() && row.expires_us.is_none_or(|end| end > now_us),
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        cameras: list_of(row.cameras),
        rate_limit_per_minute: row.per_minute,
        expires_at: row.expires_us.and_then(rfc3339),
        usage_count: row.uses,
        last_used_at: row.last_used_us.and_then(rfc3339),
        created_by: row.created_by,
        created_at: rfc3339(row.created_us),
        revoked_at: row.revoked_us.and_then(rfc3339),
    }
}

fn words_of(row: &KeyRow) -> Vec<&'static str> {
    row.scopes.iter().map(|scope| scope.as_str()).collect()
}

fn list_of(cameras: CameraAccess) -> Option<BTreeSet<String>> {
    match cameras {
        CameraAccess::All => None,
        CameraAccess::Only(names) => Some(names),
    }
}

fn moment_of(text: &str) -> ApiResult<i64> {
    let moment: Result<jiff::Timestamp, _> = text.parse();
    moment.map(jiff::Timestamp::as_microsecond).map_err(|_| {
        ApiError::bad_request(format!(
            "expires_at: {text:?} is no time: use one like 2027-01-31T12:00:00Z"
        ))
    })
}
