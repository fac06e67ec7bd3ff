//! The description of the adapter's interface, made from the code.

use std::sync::LazyLock;

use bytes::Bytes;
use utoipa::OpenApi;

use super::{discover, faces, infer, pipeline, upload};
use crate::api::access::Caller;
use crate::api::error::{ApiResult, ErrorBody};
use crate::api::reply::Content;

/// The document; a test compares its paths with the table of routes.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "nvrd AI adapter",
        description = "What is on a picture of a camera, in the words of OpenNVR's AI adapter. \
            Pictures are named `opennvr://frames/<camera>/latest.jpg`; a camera may also be named by its number, \
            `camera_0` being the first one in the order of their names. \
            Failures have the shape `{\"detail\":\"…\",\"status_code\":400}`.",
    ),
    paths(
        discover::health,
        discover::capabilities,
        discover::tasks,
        discover::schema,
        discover::adapters,
        infer::post,
        pipeline::run,
        faces::register,
        faces::list,
        faces::get,
        faces::delete,
        upload::list,
        upload::get,
        upload::post,
        upload::delete,
        document,
        crate::api::openapi::docs,
        crate::api::openapi::docs_file,
    ),
    components(schemas(ErrorBody)),
    tags(
        (name = "discovery", description = "What can be done."),
        (name = "inference", description = "What is on a picture."),
        (name = "frames", description = "Pictures to ask about."),
        (name = "faces", description = "Who is known."),
        (name = "documentation", description = "This description."),
    ),
)]
struct Document;

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
