//! Cameras: the list, one, and every way to change one.

mod view;
mod input;

use nvr_base::{ErrorKind, Result};
use nvr_store::PageRequest;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Caller;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::query::{Query, flag, limit_of, page_request, whole};
use super::reply::{Created, Json, NoContent};
use crate::cameras::{CameraView, Tested};
use input::{CameraChange, CameraToTest, NewCamera};
use view::{Camera, CameraList, TestResult, camera_of};

/// Which cameras.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CameraQuery {
    /// Counted from 1; 1 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    page: Option<String>,
    /// Items on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Instead of a page: how many cameras come before it; a multiple of the limit.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 1_000_000)]
    skip: Option<String>,
    /// Whether those that shall not run are left out; `false` unless given.
    #[param(value_type = Option<bool>)]
    active_only: Option<String>,
}

impl CameraQuery {
    fn request(&self) -> ApiResult<PageRequest> {
        let Some(skip) = whole("skip", self.skip.as_deref(), 0, 1_000_000)? else {
            return page_request(self.page.as_deref(), self.limit.as_deref());
        };
        if self.page.is_some() {
            return Err(ApiError::bad_request(
                "skip: give a page or a skip, not both",
            ));
        }
        let limit = limit_of(self.limit.as_deref())?;
        if !skip.is_multiple_of(limit) {
            return Err(ApiError::bad_request(format!(
                "skip: {skip} is no multiple of the limit {limit}"
            )));
        }
        Ok(PageRequest {
            page: skip / limit + 1,
            limit,
        })
    }
}

/// All cameras, by name.
#[utoipa::path(get, path = "/api/v1/cameras", tag = "cameras", operation_id = "list_cameras", params(CameraQuery), responses(
    (status = 200, body = CameraList, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<CameraQuery>,
) -> ApiResult<Json<CameraList>> {
    let page = query.request()?;
    let only_active = flag("active_only", query.active_only.as_deref())? == Some(true);
    let list = caller.run(Lane::Read, move |caller| {
        let mut all = caller.cameras.list(caller.principal())?;
        all.retain(|view| view.input.enabled || !only_active);
        let total = all.len() as u64;
        let before = (page.page as usize - 1).saturating_mul(page.limit as usize);
        let here = all.into_iter().skip(before).take(page.limit as usize);
        Ok(CameraList::new(
            here.map(|view| camera_of(caller, view)).collect(),
            total,
            page,
        ))
    });
    list.await.map(Json)
}

/// One camera.
#[utoipa::path(get, path = "/api/v1/cameras/{camera}", tag = "cameras", operation_id = "get_camera",
    params(("camera" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 200, body = Camera, description = "The camera as it is now."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [name]: [String; 1], (): ()) -> ApiResult<Json<Camera>> {
    let camera = caller.run(Lane::Read, move |caller| {
        Ok(camera_of(caller, caller.cameras.get(&name)?))
    });
    camera.await.map(Json)
}

/// Adds a camera, and starts it if it is enabled.
#[utoipa::path(post, path = "/api/v1/cameras", tag = "cameras", operation_id = "create_camera", request_body = NewCamera, responses(
    (status = 201, body = Camera, description = "The camera.", headers(("Location" = String, description = "Path of the camera."))),
    (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
    (status = 409, body = super::error::ErrorBody, description = "The name is taken."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn create(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<NewCamera>,
) -> ApiResult<Created<Camera>> {
    let input = body.into_input()?;
    let location = format!("/api/v1/cameras/{}", input.name);
    let body = changed(caller, move |caller| caller.cameras.create(input))
        .await?
        .0;
    Ok(Created { location, body })
}

/// Changes some of a camera; the same as `PATCH`, because clients send it with what changes alone.
#[utoipa::path(put, path = "/api/v1/cameras/{camera}", tag = "cameras", operation_id = "replace_camera", request_body = CameraChange,
    params(("camera" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 200, body = Camera, description = "The camera as it is now."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
        (status = 409, body = super::error::ErrorBody, description = "It stands in the configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn replace(
    caller: Caller,
    [name]: [String; 1],
    Body(body): Body<CameraChange>,
) -> ApiResult<Json<Camera>> {
    changed(caller, move |caller| {
        caller.cameras.change(&name, |before| body.applied(before))
    })
    .await
}

/// Changes some of a camera.
#[utoipa::path(patch, path = "/api/v1/cameras/{camera}", tag = "cameras", operation_id = "change_camera", request_body = CameraChange,
    params(("camera" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 200, body = Camera, description = "The camera as it is now."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
        (status = 409, body = super::error::ErrorBody, description = "It stands in the configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn change(
    caller: Caller,
    [name]: [String; 1],
    Body(body): Body<CameraChange>,
) -> ApiResult<Json<Camera>> {
    changed(caller, move |caller| {
        caller.cameras.change(&name, |before| body.applied(before))
    })
    .await
}

/// Removes a camera; its events and recordings stay.
#[utoipa::path(delete, path = "/api/v1/cameras/{camera}", tag = "cameras", operation_id = "delete_camera",
    params(("camera" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 204, description = "It has gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
        (status = 409, body = super::error::ErrorBody, description = "It stands in the configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [name]: [String; 1], (): ()) -> ApiResult<NoContent> {
    caller
        .run(Lane::Change, move |caller| caller.cameras.delete(&name))
        .await
        .map(|()| NoContent)
}

/// Enables a camera, for good.
#[utoipa::path(post, path = "/api/v1/cameras/{camera}/start", tag = "cameras", operation_id = "start_camera",
    params(("camera" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 200, body = Camera, description = "The camera as it is now."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
        (status = 409, body = super::error::ErrorBody, description = "It stands in the configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn start(caller: Caller, [name]: [String; 1], (): ()) -> ApiResult<Json<Camera>> {
    changed(caller, move |caller| {
        caller.cameras.set_enabled(&name, true)
    })
    .await
}

/// Disables a camera, for good.
#[utoipa::path(post, path = "/api/v1/cameras/{camera}/stop", tag = "cameras", operation_id = "stop_camera",
    params(("camera" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 200, body = Camera, description = "The camera as it is now."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
        (status = 409, body = super::error::ErrorBody, description = "It stands in the configuration file."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn stop(caller: Caller, [name]: [String; 1], (): ()) -> ApiResult<Json<Camera>> {
    changed(caller, move |caller| {
        caller.cameras.set_enabled(&name, false)
    })
    .await
}

/// Connects to a camera that is not saved, and says what it sends. Takes some seconds.
#[utoipa::path(post, path = "/api/v1/cameras/test", tag = "cameras", operation_id = "test_camera", request_body = CameraToTest, responses(
    (status = 200, body = TestResult, description = "What came, or why nothing did."),
    (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn test(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<CameraToTest>,
) -> ApiResult<Json<TestResult>> {
    let input = body.into_input()?;
    let result = caller.run(Lane::Test, move |caller| {
        outcome(caller.cameras.test(input))
    });
    result.await.map(Json)
}

/// Connects to a camera, running or not, and says what it sends. Takes some seconds.
#[utoipa::path(post, path = "/api/v1/cameras/{camera}/test", tag = "cameras", operation_id = "test_saved_camera",
    params(("camera" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 200, body = TestResult, description = "What came, or why nothing did."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn test_saved(
    caller: Caller,
    [name]: [String; 1],
    (): (),
) -> ApiResult<Json<TestResult>> {
    let result = caller.run(Lane::Test, move |caller| {
        let input = caller.cameras.get(&name)?.input;
        outcome(caller.cameras.test(input))
    });
    result.await.map(Json)
}

/// A camera that gives no picture is a result; a wrong field or a fault of ours is not.
fn outcome(tested: Result<Tested>) -> Result<TestResult> {
    match tested {
        Ok(tested) => Ok(tested.into()),
        Err(error) => match error.kind() {
            ErrorKind::Unavailable | ErrorKind::FailedPrecondition | ErrorKind::DataLoss => {
                Ok(TestResult::failed(error.message()))
            }
            _ => Err(error),
        },
    }
}

async fn changed(
    caller: Caller,
    change: impl FnOnce(&Caller) -> Result<CameraView> + Send + 'static,
) -> ApiResult<Json<Camera>> {
    let camera = caller.run(Lane::Change, move |caller| {
        Ok(camera_of(caller, change(caller)?))
    });
    camera.await.map(Json)
}
