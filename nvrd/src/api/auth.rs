//! Logging in and out, as a program with tokens and as a browser with a cookie, and what a person does with their own.

use nvr_base::Secret;
use nvr_base::principal::Actor;
use nvr_store::{SessionKind, SessionRow, UserRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::body::{Body, FormOrJson, Hidden};
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::headers::ClientHeaders;
use super::reply::{Json, NoContent, Remarked, WithCookie};
use super::time::rfc3339;
use super::users::User;
use crate::auth::{AccountChange, LogIn, LoggedIn, Proof, SESSION_COOKIE, change_user};

/// Who logs in; a form may also carry what `OAuth2` adds, which changes nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogInBody {
    /// Log-in name.
    username: String,
    /// Password.
    #[schema(value_type = String, format = Password)]
    password: Hidden,
    /// A code of the second factor, for users who have one.
    code: Option<String>,
    /// `password`, if anything.
    grant_type: Option<String>,
    /// Not used.
    #[expect(dead_code, reason = "OAuth2 clients send it")]
    scope: Option<String>,
    /// Not used.
    #[expect(dead_code, reason = "OAuth2 clients send it")]
    client_id: Option<String>,
    /// Not used.
    #[schema(value_type = Option<String>, format = Password)]
    #[expect(dead_code, reason = "OAuth2 clients send it")]
    client_secret: Option<Hidden>,
}

/// A token for renewal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshBody {
    /// The one of the last answer; it counts once.
    #[schema(value_type = String, format = Password)]
    refresh_token: Hidden,
}

/// A new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordBody {
    /// The one that counts now.
    #[schema(value_type = String, format = Password)]
    current_password: Hidden,
    /// The one that shall count: 12 characters or more.
    #[schema(value_type = String, format = Password)]
    new_password: Hidden,
}

/// Tokens of a program.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    /// For requests: `Authorization: Bearer …`.
    access_token: String,
    /// For new tokens, once.
    refresh_token: String,
    /// `bearer`.
    token_type: &'static str,
    /// How long the first counts, in seconds.
    expires_in: i64,
    /// Always `null`: there are no devices.
    device_token: Option<String>,
    /// Who is logged in.
    user: User,
    /// Whether nothing else is possible before the password was changed.
    must_change_password: bool,
}

/// A browser that is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BrowserSession {
    /// Who is logged in.
    user: User,
    /// When the session ends by itself, RFC 3339.
    expires_at: Option<String>,
    /// Whether nothing else is possible before the password was changed.
    must_change_password: bool,
}

/// A log-in that lasts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// UUID.
    id: String,
    /// `browser` or `token`.
    kind: &'static str,
    /// Whether it is the one that asks.
    current: bool,
    /// Address it was opened from.
    address: Option<String>,
    /// What the client said it is.
    user_agent: Option<String>,
    /// When it was opened, RFC 3339.
    created_at: Option<String>,
    /// When it was last used, about, RFC 3339.
    last_seen_at: Option<String>,
    /// When it ends by itself, RFC 3339.
    expires_at: Option<String>,
}

/// The sessions of whoever asks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sessions {
    /// The newest first; 32 at most.
    items: Vec<Session>,
    /// How many there are.
    total: usize,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Message {
    /// One sentence for people.
    pub(super) message: String,
}

/// Whether the first user is still to be made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SetupStatus {
    /// Whether there is no user yet.
    setup_required: bool,
    /// Whether requests without credentials are answered: only while there is no user, and only on this machine.
    open: bool,
}

/// Logs a program in with a form or JSON.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", operation_id = "log_in",
    request_body(content((LogInBody = "application/x-www-form-urlencoded"), (LogInBody = "application/json"))),
    responses(
        (status = 200, body = Token, description = "Tokens."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 401, body = super::error::ErrorBody, description = "Name, password or code are wrong; with `X-MFA-Required` a code is needed."),
        (status = 403, body = super::error::ErrorBody, description = "The user may not log in; with `X-Setup-Required` there is none yet."),
        (status = 429, body = super::error::ErrorBody, description = "Too many attempts, see `Retry-After`."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn log_in(
    caller: Caller,
    []: [String; 0],
    (client, FormOrJson(body)): (ClientHeaders, FormOrJson<LogInBody>),
) -> ApiResult<Remarked<Json<Token>>> {
    let done = enter(&caller, client, body, SessionKind::Token).await?;
    Ok(Remarked::done(Json(token_of(done)?)))
}

/// Logs a program in with JSON.
#[utoipa::path(post, path = "/api/v1/auth/login-json", tag = "auth", operation_id = "log_in_json",
    request_body = LogInBody,
    responses(
        (status = 200, body = Token, description = "Tokens."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 401, body = super::error::ErrorBody, description = "Name, password or code are wrong; with `X-MFA-Required` a code is needed."),
        (status = 429, body = super::error::ErrorBody, description = "Too many attempts, see `Retry-After`."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn log_in_json(
    caller: Caller,
    []: [String; 0],
    (client, Body(body)): (ClientHeaders, Body<LogInBody>),
) -> ApiResult<Remarked<Json<Token>>> {
    let done = enter(&caller, client, body, SessionKind::Token).await?;
    Ok(Remarked::done(Json(token_of(done)?)))
}

/// Logs a browser in: the answer sets a cookie that no script can read.
#[utoipa::path(post, path = "/api/v1/auth/session", tag = "auth", operation_id = "open_session",
    request_body = LogInBody,
    responses(
        (status = 200, body = BrowserSession, description = "The session.", headers(("Set-Cookie" = String, description = "The cookie."))),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 401, body = super::error::ErrorBody, description = "Name, password or code are wrong; with `X-MFA-Required` a code is needed."),
        (status = 429, body = super::error::ErrorBody, description = "Too many attempts, see `Retry-After`."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn open_session(
    caller: Caller,
    []: [String; 0],
    (client, Body(body)): (ClientHeaders, Body<LogInBody>),
) -> ApiResult<Remarked<WithCookie<Json<BrowserSession>>>> {
    let secure = client.secure;
    let done = enter(&caller, client, body, SessionKind::Browser).await?;
    let Proof::Cookie(secret) = &done.proof else {
        return Err(nvr_base::Error::internal("a browser got tokens").into());
    };
    let life_s = (done.session.expires_us - done.session.created_us) / 1_000_000;
    let cookie = cookie(secret.expose(), life_s, secure);
    let body = BrowserSession {
        expires_at: rfc3339(done.session.expires_us),
        must_change_password: done.user.must_change_password,
        user: User::from(done.user),
    };
    Ok(Remarked::done(WithCookie(Json(body), cookie)))
}

/// Logs the browser out that asks.
#[utoipa::path(delete, path = "/api/v1/auth/session", tag = "auth", operation_id = "close_session", responses(
    (status = 204, description = "It is logged out."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn close_session(
    caller: Caller,
    []: [String; 0],
    client: ClientHeaders,
) -> ApiResult<WithCookie<NoContent>> {
    end_own(&caller).await?;
    Ok(WithCookie(NoContent, cookie("", 0, client.secure)))
}

/// Gives new tokens for the one for renewal; one that comes twice ends the session.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", operation_id = "refresh",
    request_body = RefreshBody,
    responses(
        (status = 200, body = Token, description = "Tokens; the one that was sent counts no more."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 401, body = super::error::ErrorBody, description = "The token does not count."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn refresh(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<RefreshBody>,
) -> ApiResult<Remarked<Json<Token>>> {
    let Hidden(token) = body.refresh_token;
    let done = caller.auth.refresh(token, caller.address()).await?;
    Ok(Remarked::done(Json(token_of(done)?)))
}

/// Ends the session that asks, and with it all of its tokens.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", operation_id = "log_out", responses(
    (status = 200, body = Message, description = "It is over."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn log_out(
    caller: Caller,
    []: [String; 0],
    client: ClientHeaders,
) -> ApiResult<WithCookie<Json<Message>>> {
    end_own(&caller).await?;
    let message = "Logged out".to_owned();
    let gone = cookie("", 0, client.secure);
    Ok(WithCookie(Json(Message { message }), gone))
}

/// Who asks.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", operation_id = "me", responses(
    (status = 200, body = User, description = "The user."),
    (status = 401, body = super::error::ErrorBody, description = "Nobody is logged in."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn me(caller: Caller, []: [String; 0], (): ()) -> ApiResult<Json<User>> {
    match own_row(&caller) {
        Ok(row) => Ok(Json(row.into())),
        Err(_) if caller.principal().actor == Actor::Local => Ok(Json(User::local())),
        Err(error) => Err(error),
    }
}

/// The sessions of whoever asks.
#[utoipa::path(get, path = "/api/v1/auth/sessions", tag = "auth", operation_id = "list_sessions", responses(
    (status = 200, body = Sessions, description = "All of them."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn sessions(caller: Caller, []: [String; 0], (): ()) -> ApiResult<Json<Sessions>> {
    let items: Vec<Session> = match own_row(&caller) {
        Ok(row) => {
            let found = caller.auth.sessions_of(&row.id).into_iter();
            found.map(|row| session_of(&caller, row)).collect()
        }
        Err(_) => Vec::new(),
    };
    let total = items.len();
    Ok(Json(Sessions { items, total }))
}

/// Ends one of one's own sessions.
#[utoipa::path(delete, path = "/api/v1/auth/sessions/{id}", tag = "auth", operation_id = "delete_session",
    params(("id" = String, Path, description = "Id of the session.")),
    responses(
        (status = 204, description = "It is over."),
        (status = 404, body = super::error::ErrorBody, description = "One has no such session."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn end_session(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<NoContent> {
    let row = own_row(&caller)?;
    let mine = caller.auth.sessions_of(&row.id);
    if !mine.iter().any(|session| session.id == id) {
        return Err(ApiError::not_found(format!("no session has the id {id:?}")));
    }
    let ended = caller.run(Lane::Change, move |caller| caller.auth.log_out(&id));
    ended.await?;
    Ok(NoContent)
}

/// Changes one's own password; every other session of the user ends.
#[utoipa::path(post, path = "/api/v1/auth/change-password", tag = "auth", operation_id = "change_password",
    request_body = PasswordBody,
    responses(
        (status = 200, body = Message, description = "It counts from now on."),
        (status = 400, body = super::error::ErrorBody, description = "The new one may not be chosen; the sentence says why."),
        (status = 403, body = super::error::ErrorBody, description = "The current one is not the right one."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn change_password(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<PasswordBody>,
) -> ApiResult<Json<Message>> {
    let row = own_row(&caller)?;
    let (Hidden(current), Hidden(new)) = (body.current_password, body.new_password);
    if current == new {
        return Err(ApiError::bad_request("new_password: it is the current one"));
    }
    let session = caller.identified().session.clone();
    let done = caller.run(Lane::Change, move |caller| {
        let checked = caller.auth.check_password(&row, &current, caller.address());
        if let Err(refused) = checked {
            return Ok(Err(refused));
        }
        let change = AccountChange {
            password: Some(new),
            keep_session: session,
            must_change_password: Some(false),
            ..AccountChange::default()
        };
        change_user(&caller.store, &caller.vault, &row.id, &change).map_err(|error| match error
            .message()
            .strip_prefix("password: ")
        {
            Some(rest) => nvr_base::Error::invalid(format!("new_password: {rest}")),
            None => error,
        })?;
        caller.auth.reload()?;
        Ok(Ok(()))
    });
    done.await??;
    let message = "Password changed".to_owned();
    Ok(Json(Message { message }))
}

/// Whether the first user is still to be made.
#[utoipa::path(get, path = "/api/v1/auth/setup-status", tag = "auth", operation_id = "setup_status", responses(
    (status = 200, body = SetupStatus, description = "Whether it is."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn setup_status(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<SetupStatus>> {
    Ok(Json(SetupStatus {
        setup_required: caller.auth.needs_setup(),
        open: caller.auth.is_open(),
    }))
}

/// The row of the user who asks; those who are no user have none.
pub(super) fn own_row(caller: &Caller) -> ApiResult<UserRow> {
    let row = match &caller.principal().actor {
        Actor::User { id, .. } => caller.auth.user(id),
        _ => None,
    };
    row.ok_or_else(|| {
        nvr_base::Error::precondition("nobody is logged in: there is no user yet").into()
    })
}

/// The tokens of somebody who logged in.
pub(super) fn token_of(done: LoggedIn) -> ApiResult<Token> {
    let Proof::Tokens(tokens) = done.proof else {
        return Err(nvr_base::Error::internal("a program got a cookie").into());
    };
    Ok(Token {
        access_token: tokens.access.expose().to_owned(),
        refresh_token: tokens.refresh.expose().to_owned(),
        token_type: "bearer",
        expires_in: tokens.expires_in,
        device_token: None,
        must_change_password: done.user.must_change_password,
        user: done.user.into(),
    })
}

async fn enter(
    caller: &Caller,
    client: ClientHeaders,
    body: LogInBody,
    kind: SessionKind,
) -> ApiResult<LoggedIn> {
    if body
        .grant_type
        .as_deref()
        .is_some_and(|word| !word.is_empty() && word != "password")
    {
        return Err(ApiError::bad_request("grant_type: use password"));
    }
    let asked = LogIn {
        username: body.username,
        password: body.password.0,
        code: body.code,
        kind,
        address: caller.address(),
        agent: client.agent,
    };
    Ok(caller.auth.log_in(asked).await?)
}

/// Ends the session that asks; whoever has none is logged out already.
async fn end_own(caller: &Caller) -> ApiResult<()> {
    let Some(session) = caller.identified().session.clone() else {
        return Ok(());
    };
    let ended = caller.run(Lane::Change, move |caller| caller.auth.log_out(&session));
    ended.await?;
    Ok(())
}

fn cookie(value: &str, life_s: i64, secure: bool) -> Secret {
    let secure = if secure { "; Secure" } else { "" };
    Secret::new(format!(
        "{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life_s}{secure}"
    ))
}

fn session_of(caller: &Caller, row: SessionRow) -> Session {
    Session {
        current: caller.identified().session.as_deref() == Some(row.id.as_str()),
        kind: row.kind.as_str(),
        id: row.id,
        address: row.address,
        user_agent: row.agent,
        created_at: rfc3339(row.created_us),
        last_seen_at: rfc3339(row.seen_us),
        expires_at: rfc3339(row.expires_us),
    }
}
