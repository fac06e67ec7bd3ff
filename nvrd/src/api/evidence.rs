//! Evidence: the head of a camera's chain, to be kept where nobody who has the disk can change it.

use nvr_base::Error;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::{Caller, no_camera};
use super::context::Lane;
use super::error::ApiResult;
use super::recordings::is_known;
use super::reply::Json;

/// The last entry of a camera's chain.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChainHead {
    /// Name of the camera.
    camera: String,
    /// Number of the entry; `nvrd verify --head NUMBER:LINK` checks against it later.
    seq: u64,
    /// Its link, 64 hex digits.
    link: String,
    /// Ed25519 over the camera and the link, 128 hex digits.
    signature: String,
    /// How many entries were ever written; the oldest may be gone with what they are about.
    entries: u64,
    /// The key that checks it, in PEM.
    public_key: String,
}

/// The head of a camera's chain; whoever keeps it can tell later whether the chain was cut off or written anew.
#[utoipa::path(get, path = "/api/v1/evidence/{camera}", tag = "recordings", operation_id = "evidence_head",
    params(("camera" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 200, body = ChainHead, description = "The last entry."),
        (status = 404, body = super::error::ErrorBody, description = "Nothing was recorded of that camera."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn head(
    caller: Caller,
    [camera]: [String; 1],
    (): (),
) -> ApiResult<Json<ChainHead>> {
    let found = caller.run(Lane::Read, move |caller| {
        let none = || match is_known(caller, &camera) {
            Ok(true) => Error::not_found(format!("there is no chain of a camera {camera:?}")),
            _ => no_camera(&camera),
        };
        let evidence = caller.evidence.as_ref().ok_or_else(none)?;
        // What is no name of a camera has no chain either.
        let head = match evidence.head(&camera) {
            Err(error) if error.kind() == nvr_base::ErrorKind::InvalidArgument => None,
            head => head?,
        };
        let head = head.ok_or_else(none)?;
        Ok(ChainHead {
            camera,
            seq: head.seq,
            link: head.link,
            signature: head.signature,
            entries: head.seq,
            public_key: evidence.public_key().to_pem()?,
        })
    });
    found.await.map(Json)
}
