//! The description of the API, made from the code, and its pages, which need no network.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{Modify, OpenApi};

use super::access::Caller;
use super::error::{ApiError, ApiResult, ErrorBody};
use super::reply::{Content, Redirect};
use super::{
    cameras, coverage, events, evidence, exports, health, keeping, notifications, posted,
    recordings, reference, snapshot, socket, ssl, stills, storage, stream, timelapses, trigger,
};

/// The document; a test compares its paths with the table of routes.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "nvrd",
        description = "The API of a network video recorder. Failures have the shape `{\"detail\":\"…\",\"status_code\":400}`; \
            what is not known is `null`. Without users it listens on loopback only, and answers only to loopback names.",
    ),
    paths(
        health::get,
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
        document,
        reference::page,
        docs,
        docs_file,
    ),
    components(schemas(ErrorBody)),
    modifiers(&NullNotAbsent),
    tags(
        (name = "system", description = "Whether all is well."),
        (name = "cameras", description = "What is recorded, and how."),
        (name = "events", description = "What was seen."),
        (name = "live", description = "What happens, as it happens."),
        (name = "storage", description = "Where recordings are kept, and for how long."),
        (name = "recordings", description = "What is on disk."),
        (name = "exports", description = "Ranges of time as one file each."),
        (name = "timelapses", description = "Stretches of time as short films."),
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
    "KeepChange",
    "ExportChange",
    "LogChange",
    "ReloadRequest",
    "EventCreate",
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
