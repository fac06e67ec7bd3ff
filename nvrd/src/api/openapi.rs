//! The description of the API, made from the code, and its pages, which need no network.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::{Modify, OpenApi};

use super::access::Caller;
use super::error::{ApiError, ApiResult, ErrorBody};
use super::reply::{Content, Redirect};
use super::{
    ai, ai_providers, audit, auth, backup, cameras, coverage, events, evidence, exports, faces,
    health, keeping, keys, metrics, mfa, notifications, posted, protect, recordings, reference,
    setup, snapshot, socket, ssl, stills, storage, stream, system, timelapses, trigger, users,
};

/// The document; a test compares its paths with the table of routes.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "nvrd",
        description = "The API of a network video recorder. Failures have the shape `{\"detail\":\"…\",\"status_code\":400}`; \
            what is not known is `null`. Until there is a user, it answers this machine alone; from then on requests carry a token, a session's cookie or an API key.",
    ),
    paths(
        health::get,
        metrics::get,
        system::storage,
        system::retention,
        system::update_retention,
        system::change_retention,
        backup::list,
        backup::make,
        backup::delete,
        ssl::get,
        super::logs::list,
        super::settings::get,
        super::settings::update,
        super::settings::diff,
        super::settings::reload,
        cameras::list,
        cameras::create,
        cameras::test,
        cameras::get,
        cameras::replace,
        cameras::change,
        cameras::delete,
        cameras::start,
        cameras::stop,
        cameras::test_saved,
        trigger::post,
        snapshot::get,
        coverage::get,
        events::list,
        events::latest,
        events::report::stats,
        events::report::export,
        posted::create,
        socket::ticket,
        events::get,
        events::delete,
        events::thumbnail,
        stills::event_sprite,
        stills::event_sprite_cells,
        recordings::chunks,
        recordings::list,
        stills::frame,
        stills::sprite,
        stills::sprite_cells,
        recordings::file,
        keeping::delete,
        keeping::protect,
        storage::get,
        storage::policy,
        storage::plan,
        storage::trust_clock,
        stills::thumbnail,
        evidence::head,
        exports::list,
        exports::create,
        exports::get,
        exports::delete,
        exports::file,
        timelapses::list,
        timelapses::create,
        timelapses::get,
        timelapses::delete,
        timelapses::file,
        socket::open,
        stream::open,
        notifications::list,
        notifications::delete_all,
        notifications::read_all,
        notifications::read,
        notifications::delete,
        auth::log_in,
        auth::log_in_json,
        auth::open_session,
        auth::close_session,
        auth::refresh,
        auth::log_out,
        auth::me,
        auth::sessions,
        auth::end_session,
        auth::change_password,
        auth::setup_status,
        setup::first,
        setup::alias,
        setup::page,
        setup::submit,
        mfa::setup,
        mfa::verify,
        mfa::disable,
        users::list,
        users::create,
        users::get,
        users::change,
        users::delete,
        faces::list,
        faces::create,
        faces::search,
        faces::get,
        faces::change,
        faces::delete,
        faces::photo,
        faces::strangers,
        faces::name_stranger,
        faces::forget_stranger,
        keys::list,
        keys::create,
        keys::get,
        keys::revoke,
        keys::usage,
        audit::list,
        ai::reanalyse,
        ai::reanalyze,
        ai::describe,
        ai::usage,
        ai::capabilities,
        ai::context_metrics,
        ai::refine_prompt,
        ai_providers::list,
        ai_providers::create,
        ai_providers::get,
        ai_providers::change,
        ai_providers::delete,
        ai_providers::test,
        protect::list,
        protect::create,
        protect::get,
        protect::change,
        protect::delete,
        protect::test,
        protect::test_saved,
        protect::connect,
        protect::disconnect,
        protect::cameras,
        protect::enable,
        protect::disable,
        document,
        reference::page,
        docs,
        docs_file,
    ),
    components(schemas(ErrorBody)),
    modifiers(&NullNotAbsent, &Credentials),
    tags(
        (name = "system", description = "Whether all is well."),
        (name = "cameras", description = "What is recorded, and how."),
        (name = "events", description = "What was seen."),
        (name = "live", description = "What happens, as it happens."),
        (name = "storage", description = "Where recordings are kept, and for how long."),
        (name = "recordings", description = "What is on disk."),
        (name = "exports", description = "Ranges of time as one file each."),
        (name = "timelapses", description = "Stretches of time as short films."),
        (name = "auth", description = "Logging in and out, and what a person does with their own."),
        (name = "users", description = "People, programs with API keys, and the log of what they changed."),
        (name = "ai", description = "Pictures in words, and who makes them."),
        (name = "protect", description = "Controllers, and the cameras they lend."),
        (name = "documentation", description = "This description."),
    ),
)]
struct Document;

/// Bodies of requests, where a field may be absent.
const REQUESTS: &[&str] = &[
    "NewCamera",
    "CameraToTest",
    "CameraChange",
    "TriggerOptions",
    "PlanRequest",
    "RetentionPolicy",
    "CameraLimits",
    "FolderLimits",
    "ProtectRequest",
    "NewExport",
    "NewTimelapse",
    "SettingsChange",
    "RetentionChange",
    "KeepChange",
    "ExportChange",
    "LogChange",
    "ReloadRequest",
    "EventCreate",
    "LogInBody",
    "RefreshBody",
    "PasswordBody",
    "FirstUser",
    "MfaCode",
    "MfaPassword",
    "NewUser",
    "UserChange",
    "NewApiKey",
    "DescribeRequest",
    "ReanalyseRequest",
    "RefineRequest",
    "NewAiProvider",
    "AiProviderChange",
    "NewController",
    "ControllerChange",
    "EnableRequest",
    "EnrolRequest",
    "PersonChange",
    "StrangerName",
    "FaceQuery",
];

/// Marks every field of an answer as present: what is not known is `null`.
struct NullNotAbsent;

impl Modify for NullNotAbsent {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let schemas = document
            .components
            .iter_mut()
            .flat_map(|components| &mut components.schemas);
        for (name, schema) in schemas {
            if let (RefOr::T(Schema::Object(object)), false) =
                (schema, REQUESTS.contains(&name.as_str()))
            {
                object.required = object.properties.keys().cloned().collect();
            }
        }
    }
}

/// What answers whoever asks; a test compares it with the table of routes.
///
/// `/ws` and `/api/v1/stream` are not among them: they ask later, for a browser cannot send a header there.
const OPEN: &[(HttpMethod, &str)] = &[
    (HttpMethod::Get, "/api/v1/system/health"),
    (HttpMethod::Post, "/api/v1/auth/login"),
    (HttpMethod::Post, "/api/v1/auth/login-json"),
    (HttpMethod::Post, "/api/v1/auth/session"),
    (HttpMethod::Post, "/api/v1/auth/refresh"),
    (HttpMethod::Get, "/api/v1/auth/setup-status"),
    (HttpMethod::Post, "/api/v1/auth/first-time-setup"),
    (HttpMethod::Post, "/api/v1/setup"),
    (HttpMethod::Get, "/setup"),
    (HttpMethod::Post, "/setup"),
    (HttpMethod::Get, "/openapi.json"),
    (HttpMethod::Get, "/docs"),
    (HttpMethod::Get, "/redoc"),
    (HttpMethod::Get, "/docs/{file}"),
];

/// Says how requests show who asks: one of three ways for all, nothing for what is open to everybody.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let schemes = &mut document.components.get_or_insert_default().security_schemes;
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        let cookie = ApiKey::Cookie(ApiKeyValue::new(crate::auth::SESSION_COOKIE));
        let key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        schemes.insert("bearerAuth".to_owned(), SecurityScheme::Http(bearer).into());
        schemes.insert(
            "cookieAuth".to_owned(),
            SecurityScheme::ApiKey(cookie).into(),
        );
        schemes.insert("apiKeyAuth".to_owned(), SecurityScheme::ApiKey(key).into());
        let any = ["bearerAuth", "cookieAuth", "apiKeyAuth"];
        let any = any.map(|name| SecurityRequirement::new::<_, [&str; 0], &str>(name, []));
        document.security = Some(any.to_vec());
        for (method, path) in OPEN {
            let item = document.paths.paths.get_mut(*path);
            let operation = item.and_then(|item| match method {
                HttpMethod::Post => item.post.as_mut(),
                _ => item.get.as_mut(),
            });
            if let Some(operation) = operation {
                operation.security = Some(Vec::new());
            }
        }
    }
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    Document::openapi()
        .to_pretty_json()
        .expect("the document is plain data")
});

/// The document as text.
pub(super) fn text() -> &'static str {
    &DOCUMENT
}

/// This description, OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", tag = "documentation", operation_id = "openapi", responses(
    (status = 200, body = serde_json::Value, content_type = "application/json", description = "The document."),
))]
pub(super) async fn document(_: Caller, []: [String; 0], (): ()) -> ApiResult<Content> {
    Ok(Content {
        content_type: "application/json".to_owned(),
        cache: "no-cache",
        bytes: Bytes::from_static(text().as_bytes()),
    })
}

/// Leads to the pages of this description.
#[utoipa::path(get, path = "/docs", tag = "documentation", operation_id = "docs", responses(
    (status = 307, description = "The first page."),
))]
pub(crate) async fn docs(_: Caller, []: [String; 0], (): ()) -> ApiResult<Redirect> {
    Ok(Redirect("/docs/index.html"))
}

/// A file of the pages of this description.
#[utoipa::path(get, path = "/docs/{file}", tag = "documentation", operation_id = "docs_file",
    params(("file" = String, Path, description = "Name of the file, `index.html` say.")),
    responses(
        (status = 200, body = String, content_type = "text/html", description = "The file."),
        (status = 404, body = ErrorBody, description = "There is no such file."),
    ))]
pub(crate) async fn docs_file(_: Caller, [file]: [String; 1], (): ()) -> ApiResult<Content> {
    // The pages would ask a server on the Internet about the document otherwise.
    let config = utoipa_swagger_ui::Config::from("/openapi.json").validator_url("none");
    let found = utoipa_swagger_ui::serve(&file, Arc::new(config)).map_err(|error| {
        nvr_base::Error::internal(format!("the pages of the documentation: {error}"))
    })?;
    let found = found
        .ok_or_else(|| ApiError::not_found(format!("the documentation has no file {file:?}")))?;
    Ok(Content {
        content_type: found.content_type,
        cache: "no-cache",
        bytes: found.bytes.into_owned().into(),
    })
}
