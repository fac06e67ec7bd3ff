//! Users, for those who manage them.

use std::collections::BTreeSet;

use nvr_base::principal::{CameraAccess, Role};
use nvr_store::UserRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::body::{Body, Hidden, present};
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::query::{List, PageQuery, Query};
use super::reply::{Created, Json, NoContent, Remarked};
use super::time::rfc3339;
use crate::auth::{AccountChange, NewAccount, add_user, change_user, generate_password};

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct User {
    /// UUID; `local` for whoever sits at this machine while there is no user.
    id: String,
    /// Log-in name.
    username: String,
    /// What a person calls them.
    display_name: Option<String>,
    /// Address for mail.
    email: Option<String>,
    /// `admin`, `operator` or `viewer`.
    role: &'static str,
    /// The cameras they may know of; `null` means all.
    cameras: Option<BTreeSet<String>>,
    /// Whether they may log in.
    is_active: bool,
    /// Whether nothing else is possible before the password was changed.
    must_change_password: bool,
    /// Whether a code is needed to log in.
    mfa_enabled: bool,
    /// A password that nobody chose; told in the answer that made the user, and never again.
    temporary_password: Option<String>,
    /// When they were added, RFC 3339.
    created_at: Option<String>,
    /// When they last logged in, RFC 3339.
    last_login: Option<String>,
    /// Always `null`: users are made, not invited.
    invited_by: Option<String>,
    /// Always `null`.
    invited_at: Option<String>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            username: row.name,
            display_name: row.display_name,
            email: row.email,
            role: row.role.as_str(),
            cameras: match row.cameras {
                CameraAccess::All => None,
                CameraAccess::Only(names) => Some(names),
            },
            is_active: row.active,
            must_change_password: row.must_change_password,
            mfa_enabled: row.totp.is_some(),
            temporary_password: None,
            created_at: rfc3339(row.created_us),
            last_login: row.last_login_us.and_then(rfc3339),
            invited_by: None,
            invited_at: None,
        }
    }
}

impl User {
    /// Whoever sits at this machine while there is no user.
    pub(super) fn local() -> Self {
        Self {
            id: "local".to_owned(),
            username: "local".to_owned(),
            display_name: None,
            email: None,
            role: Role::Admin.as_str(),
            cameras: None,
            is_active: true,
            must_change_password: false,
            mfa_enabled: false,
            temporary_password: None,
            created_at: None,
            last_login: None,
            invited_by: None,
            invited_at: None,
        }
    }
}

/// A user to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// Log-in name: 1 to 64 of a-z, A-Z, 0-9, . _ - and @; it never changes.
    username: String,
    /// 12 characters or more; one is made up and told once when it is absent.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Hidden>,
    /// What a person calls them.
    display_name: Option<String>,
    /// Address for mail.
    email: Option<String>,
    /// `admin`, `operator` or `viewer`.
    #[schema(example = "viewer")]
    role: String,
    /// The cameras they may know of; absent or `null` means all. They need not exist yet.
    cameras: Option<BTreeSet<String>>,
    /// Whether they may log in; they may unless this says otherwise.
    is_active: Option<bool>,
    /// Whether they must choose a password first; so it is with one that was made up.
    must_change_password: Option<bool>,
}

/// What changes about a user; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    /// A new password ends all sessions of the user.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Hidden>,
    /// What a person calls them; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    display_name: Option<Option<String>>,
    /// Address for mail; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// `admin`, `operator` or `viewer`.
    role: Option<String>,
    /// The cameras they may know of; `null` means all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeSet<String>>)]
    cameras: Option<Option<BTreeSet<String>>>,
    /// Whether they may log in; all sessions end when not.
    is_active: Option<bool>,
    /// Whether they must choose a password first.
    must_change_password: Option<bool>,
    /// `false` takes the second factor away, for somebody who lost it.
    mfa_enabled: Option<bool>,
}

/// All users, by name.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", operation_id = "list_users", params(PageQuery), responses(
    (status = 200, body = List<User>, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<List<User>>> {
    let page = query.request()?;
    let rows = caller
        .run(Lane::Read, |caller| caller.store.users())
        .await?;
    let total = rows.len() as u64;
    let before = (page.page as usize - 1).saturating_mul(page.limit as usize);
    let items = rows.into_iter().skip(before).take(page.limit as usize);
    Ok(Json(List::new(
        items.map(User::from).collect(),
        total,
        page,
    )))
}

/// Adds a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", operation_id = "create_user", request_body = NewUser,
    responses(
        (status = 201, body = User, description = "The user.", headers(("Location" = String, description = "Path of the user."))),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong; the sentence begins with its name."),
        (status = 409, body = super::error::ErrorBody, description = "The name is taken, or the first user is no admin."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn create(
    caller: Caller,
    []: [String; 0],
    Body(new): Body<NewUser>,
) -> ApiResult<Remarked<Created<User>>> {
    let made_up = new.password.is_none().then(generate_password);
    let account = NewAccount {
        role: role_of(&new.role)?,
        cameras: access_of(new.cameras),
        display_name: new.display_name,
        email: new.email,
        active: new.is_active.unwrap_or(true),
        must_change_password: new.must_change_password.unwrap_or(made_up.is_some()),
        password: match (new.password, &made_up) {
            (Some(Hidden(password)), _) => password,
            (None, Some(password)) => password.clone(),
            (None, None) => generate_password(),
        },
        username: new.username,
    };
    let row = caller.run(Lane::Change, move |caller| {
        let row = add_user(&caller.store, &caller.vault, &account, false)?;
        caller.auth.reload()?;
        Ok(row)
    });
    let row = row.await?;
    let detail = format!("{} as {}", row.name, row.role.as_str());
    let location = format!("/api/v1/users/{}", row.id);
    let body = User {
        temporary_password: made_up.map(|password| password.expose().to_owned()),
        ..User::from(row)
    };
    Ok(Remarked::with(Created { location, body }, detail))
}

/// One user.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", operation_id = "get_user",
    params(("id" = String, Path, description = "Id of the user.")),
    responses(
        (status = 200, body = User, description = "The user."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such user."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<User>> {
    let row = caller.run(Lane::Read, move |caller| caller.store.user(&id));
    Ok(Json(row.await?.into()))
}

/// Changes a user: what is absent stays.
#[utoipa::path(put, path = "/api/v1/users/{id}", tag = "users", operation_id = "change_user", request_body = UserChange,
    params(("id" = String, Path, description = "Id of the user.")),
    responses(
        (status = 200, body = User, description = "The user."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong; the sentence begins with its name."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such user."),
        (status = 409, body = super::error::ErrorBody, description = "Nobody would be left who may manage."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn change(
    caller: Caller,
    [id]: [String; 1],
    Body(wish): Body<UserChange>,
) -> ApiResult<Remarked<Json<User>>> {
    if wish.mfa_enabled == Some(true) {
        return Err(ApiError::bad_request(
            "mfa_enabled: only the user can set it up, by POST /api/v1/auth/mfa/setup",
        ));
    }
    let words = words_of(&wish);
    let change = AccountChange {
        password: wish.password.map(|Hidden(password)| password),
        keep_session: None,
        display_name: wish.display_name,
        email: wish.email,
        role: wish.role.as_deref().map(role_of).transpose()?,
        cameras: wish.cameras.map(access_of),
        active: wish.is_active,
        must_change_password: wish.must_change_password,
        without_second_factor: wish.mfa_enabled == Some(false),
    };
    let row = caller.run(Lane::Change, move |caller| {
        let row = change_user(&caller.store, &caller.vault, &id, &change)?;
        caller.auth.reload()?;
        Ok(row)
    });
    let row = row.await?;
    let detail = format!("{}: {words}", row.name);
    Ok(Remarked::with(Json(row.into()), detail))
}

/// Removes a user and ends their sessions.
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "users", operation_id = "delete_user",
    params(("id" = String, Path, description = "Id of the user.")),
    responses(
        (status = 204, description = "The user is gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such user."),
        (status = 409, body = super::error::ErrorBody, description = "Nobody would be left who may manage."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Remarked<NoContent>> {
    let row = caller.run(Lane::Change, move |caller| {
        let row = caller.store.delete_user(&id)?;
        caller.auth.reload()?;
        Ok(row)
    });
    Ok(Remarked::with(NoContent, row.await?.name))
}

/// The cameras that a list in a body grants.
pub(super) fn access_of(cameras: Option<BTreeSet<String>>) -> CameraAccess {
    cameras.map_or(CameraAccess::All, CameraAccess::Only)
}

fn role_of(word: &str) -> ApiResult<Role> {
    word.parse()
        .map_err(|error| ApiError::bad_request(format!("role: {error}")))
}

/// Which fields a change names, for the audit log; never their values.
fn words_of(wish: &UserChange) -> String {
    let fields = [
        ("password", wish.password.is_some()),
        ("display_name", wish.display_name.is_some()),
        ("email", wish.email.is_some()),
        ("role", wish.role.is_some()),
        ("cameras", wish.cameras.is_some()),
        ("is_active", wish.is_active.is_some()),
        ("must_change_password", wish.must_change_password.is_some()),
        ("mfa_enabled", wish.mfa_enabled.is_some()),
    ];
    let named = fields.iter().filter(|(_, named)| *named);
    named
        .map(|(field, _)| *field)
        .collect::<Vec<_>>()
        .join(", ")
}
