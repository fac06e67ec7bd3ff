//! The first user: a page that needs no script, and the same as JSON.

use bytes::Bytes;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, REFERRER_POLICY};
use warp::reply::Response;

use super::access::Caller;
use super::auth::{Token, token_of};
use super::body::{Body, FormOrJson, Hidden};
use super::error::{ApiError, ApiResult};
use super::query::Query;
use super::reply::{IntoReply, Json, Remarked};

/// The first user to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstUser {
    /// The secret of the set-up link that the recorder printed at its start.
    #[schema(value_type = String, format = Password)]
    token: Hidden,
    /// Log-in name.
    username: String,
    /// 12 characters or more.
    #[schema(value_type = String, format = Password)]
    password: Hidden,
}

/// What the set-up link carries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SetupQuery {
    /// The secret.
    token: Option<String>,
}

/// A page of HTML.
#[derive(Debug)]
pub(super) struct Page {
    status: StatusCode,
    html: String,
}

impl IntoReply for Page {
    fn into_reply(self) -> Response {
        let mut response = Response::new(Bytes::from(self.html).into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Browsers send `Origin: null` with a form otherwise, and a form from nowhere is refused.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }
}

/// Makes the first user, who may do everything, and logs them in.
#[utoipa::path(post, path = "/api/v1/auth/first-time-setup", tag = "auth", operation_id = "first_time_setup",
    request_body = FirstUser,
    responses(
        (status = 200, body = Token, description = "Tokens of the user."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong; the sentence begins with its name."),
        (status = 403, body = super::error::ErrorBody, description = "The secret is wrong, used or too old."),
        (status = 409, body = super::error::ErrorBody, description = "There is a user already."),
        (status = 429, body = super::error::ErrorBody, description = "Too many attempts, see `Retry-After`."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn first(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<FirstUser>,
) -> ApiResult<Remarked<Json<Token>>> {
    make(&caller, body).await
}

/// The same as `POST /api/v1/auth/first-time-setup`.
#[utoipa::path(post, path = "/api/v1/setup", tag = "auth", operation_id = "setup",
    request_body = FirstUser,
    responses(
        (status = 200, body = Token, description = "Tokens of the user."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong; the sentence begins with its name."),
        (status = 403, body = super::error::ErrorBody, description = "The secret is wrong, used or too old."),
        (status = 409, body = super::error::ErrorBody, description = "There is a user already."),
        (status = 429, body = super::error::ErrorBody, description = "Too many attempts, see `Retry-After`."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn alias(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<FirstUser>,
) -> ApiResult<Remarked<Json<Token>>> {
    make(&caller, body).await
}

/// The page of the set-up link: asks for a name and a password.
#[utoipa::path(get, path = "/setup", tag = "auth", operation_id = "setup_page", params(SetupQuery), responses(
    (status = 200, body = String, content_type = "text/html", description = "The page."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn page(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<SetupQuery>,
) -> ApiResult<Page> {
    let html = match caller.auth.needs_setup() {
        true => form(query.token.as_deref().unwrap_or_default(), "", None),
        false => whole("<p>This recorder is set up: log in.</p>"),
    };
    let status = StatusCode::OK;
    Ok(Page { status, html })
}

/// What the page sends; answers with a page too.
#[utoipa::path(post, path = "/setup", tag = "auth", operation_id = "setup_form",
    request_body(content = FirstUser, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = String, content_type = "text/html", description = "The user was made."),
        (status = 400, content((String = "text/html"), (super::error::ErrorBody = "application/json")),
            description = "The page again, with what is wrong; or that a field is not known."),
        (status = 403, body = String, content_type = "text/html", description = "The page again: the link does not count."),
        (status = 409, body = String, content_type = "text/html", description = "There is a user already."),
        (status = 429, body = String, content_type = "text/html", description = "Too many attempts."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn submit(
    caller: Caller,
    []: [String; 0],
    FormOrJson(body): FormOrJson<FirstUser>,
) -> ApiResult<Remarked<Page>> {
    let (token, name) = (body.token.0.clone(), body.username.clone());
    match make(&caller, body).await {
        Ok(_) => {
            let html = whole("<p>Done: from now on everybody who wants something logs in.</p>");
            let status = StatusCode::OK;
            Ok(Remarked::done(Page { status, html }))
        }
        Err(error) => {
            let (status, detail) = (error.status(), error.detail().to_owned());
            let html = form(token.expose(), &name, Some(&detail));
            Ok(Remarked::done(Page { status, html }))
        }
    }
}

async fn make(caller: &Caller, body: FirstUser) -> ApiResult<Remarked<Json<Token>>> {
    let (Hidden(token), Hidden(password)) = (body.token, body.password);
    let done = caller
        .auth
        .set_up(token, body.username, password, caller.address())
        .await
        .map_err(ApiError::from)?;
    Ok(Remarked::done(Json(token_of(done)?)))
}

fn form(token: &str, name: &str, wrong: Option<&str>) -> String {
    let wrong = wrong.map(|wrong| format!("<p role=\"alert\"><b>{}</b></p>", escaped(wrong)));
    whole(&format!(
        "{}<form method=\"post\" action=\"/setup\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <p><label>Name<br><input name=\"username\" value=\"{}\" autocomplete=\"username\" required autofocus></label></p>\
         <p><label>Password, 12 characters or more<br>\
         <input name=\"password\" type=\"password\" minlength=\"12\" autocomplete=\"new-password\" required></label></p>\
         <p><button>Make the first user</button></p></form>",
        wrong.unwrap_or_default(),
        escaped(token),
        escaped(name)
    ))
}

fn whole(body: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>nvrd</title>\
         <style>body{{font:16px sans-serif;max-width:24em;margin:3em auto;padding:0 1em}}input{{width:100%;font:inherit}}</style>\
         </head><body><h1>nvrd</h1>{body}</body></html>\n"
    )
}

/// A text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_client_becomes_markup() {
        let evil = "\"><script>alert('1')</script>&";
        let page = form(evil, evil, Some(evil));
        assert!(
            !page.contains("<script") && !page.contains("\">&lt;script>"),
            "{page}"
        );
        assert_eq!(page.matches("&lt;script&gt;").count(), 3);
    }
}
