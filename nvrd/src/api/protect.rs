//! Controllers of cameras: the list, one, every way to change one, and the cameras they lend.
//!
//! Answers wear the envelope that clients of such controllers know: `data`, and `meta` beside it.

use nvr_base::Secret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::query::{Query, flag};
use super::reply::{Created, Json};
use super::time::rfc3339;
use crate::protect::{self, ControllerView, Tested, Wish};

/// What an answer is about, and of which request it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Enveloped<T> {
    data: T,
    meta: Meta,
}

/// Of which request an answer is, and how many things are in it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Meta {
    /// Of this answer alone.
    request_id: String,
    /// When it was made, in RFC 3339.
    timestamp: Option<String>,
    /// Things in a list; `null` beside one thing.
    count: Option<usize>,
}

impl Meta {
    fn new(caller: &Caller, count: Option<usize>) -> Self {
        Self {
            request_id: caller.store.new_id(),
            timestamp: rfc3339(caller.clock.unix_us()),
            count,
        }
    }
}

fn enveloped<T>(caller: &Caller, data: T) -> Enveloped<T> {
    let meta = Meta::new(caller, None);
    Enveloped { data, meta }
}

/// A controller of cameras.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Controller {
    id: String,
    name: String,
    host: String,
    port: u16,
    username: String,
    /// Whether its certificate must be one that is trusted.
    verify_ssl: bool,
    /// Whether it answered when it was asked last.
    is_connected: bool,
    /// Whether the daemon stays in touch with it.
    is_wanted: bool,
    /// When it last answered, in RFC 3339.
    last_connected_at: Option<String>,
    /// Why it did not answer since.
    last_error: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl From<ControllerView> for Controller {
    fn from(view: ControllerView) -> Self {
        let (row, is_connected) = (view.row, view.is_connected);
        Self {
            id: row.id,
            name: row.controller.name,
            host: row.controller.host,
            port: row.controller.port,
            username: row.controller.username,
            verify_ssl: row.controller.verify_ssl,
            is_connected,
            is_wanted: row.wanted,
            last_connected_at: row.last_connected_us.and_then(rfc3339),
            last_error: row.last_error,
            created_at: rfc3339(row.created_us),
            updated_at: rfc3339(row.updated_us),
        }
    }
}

/// A new controller, or one to be tried.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewController {
    /// Unique; only a test does without.
    name: Option<String>,
    /// Name or address, without `https://` and without a port.
    host: String,
    #[serde(default = "https")]
    #[schema(default = 443, minimum = 1)]
    port: u16,
    /// A local user of the device, without a second factor.
    username: String,
    /// Sealed in the database, and never told.
    password: String,
    /// Whether its certificate must be one that is trusted; most controllers have one that nobody signed.
    #[serde(default)]
    #[schema(default = false)]
    verify_ssl: bool,
}

fn https() -> u16 {
    443
}

impl From<NewController> for protect::NewController {
    fn from(new: NewController) -> Self {
        Self {
            name: new.name.unwrap_or_else(|| "test".to_owned()),
            host: new.host,
            port: new.port,
            username: new.username,
            password: Secret::new(new.password),
            verify_ssl: new.verify_ssl,
        }
    }
}

/// What changes of a controller; the rest stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ControllerChange {
    name: Option<String>,
    /// Needs the password beside it.
    host: Option<String>,
    /// Needs the password beside it.
    #[schema(minimum = 1)]
    port: Option<u16>,
    username: Option<String>,
    password: Option<String>,
    verify_ssl: Option<bool>,
}

impl From<ControllerChange> for protect::ControllerChange {
    fn from(change: ControllerChange) -> Self {
        Self {
            name: change.name,
            host: change.host,
            port: change.port,
            username: change.username,
            password: change.password.map(Secret::new),
            verify_ssl: change.verify_ssl,
        }
    }
}

/// What came of trying a controller.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ControllerTest {
    success: bool,
    /// One sentence for people.
    message: String,
    firmware_version: Option<String>,
    camera_count: Option<u32>,
}

impl From<Tested> for ControllerTest {
    fn from(tested: Tested) -> Self {
        Self {
            success: tested.success,
            message: tested.message,
            firmware_version: tested.firmware_version,
            camera_count: tested.camera_count,
        }
    }
}

/// How it stands with a controller after connecting or disconnecting.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ControllerState {
    controller_id: String,
    /// `connected`, `disconnected`, or `error`.
    status: &'static str,
    /// Why it did not answer; the daemon goes on trying.
    error: Option<String>,
}

/// That something has gone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ControllerGone {
    deleted: bool,
}

/// All controllers, by name.
#[utoipa::path(get, path = "/api/v1/protect/controllers", tag = "protect", operation_id = "list_controllers", responses(
    (status = 200, body = Enveloped<Vec<Controller>>, description = "All of them; there are 32 at most."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<Enveloped<Vec<Controller>>>> {
    let all = caller
        .run(Lane::Read, |caller| caller.protect.list())
        .await?;
    let data: Vec<Controller> = all.into_iter().map(Controller::from).collect();
    let meta = Meta::new(&caller, Some(data.len()));
    Ok(Json(Enveloped { data, meta }))
}

/// Adds a controller. It is asked within seconds, and once a minute from then on.
#[utoipa::path(post, path = "/api/v1/protect/controllers", tag = "protect", operation_id = "create_controller", request_body = NewController, responses(
    (status = 201, body = Enveloped<Controller>, description = "The controller.", headers(("Location" = String, description = "Path of the controller."))),
    (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
    (status = 409, body = super::error::ErrorBody, description = "The name is taken."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn create(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<NewController>,
) -> ApiResult<Created<Enveloped<Controller>>> {
    if body.name.is_none() {
        return Err(ApiError::bad_request("name: is missing"));
    }
    let new = protect::NewController::from(body);
    let made = caller.run(Lane::Change, move |caller| caller.protect.add(&new));
    let made = Controller::from(made.await?);
    Ok(Created {
        location: format!("/api/v1/protect/controllers/{}", made.id),
        body: enveloped(&caller, made),
    })
}

/// One controller.
#[utoipa::path(get, path = "/api/v1/protect/controllers/{id}", tag = "protect", operation_id = "get_controller",
    params(("id" = String, Path, description = "Id of the controller.")),
    responses(
        (status = 200, body = Enveloped<Controller>, description = "The controller."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such controller."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Json<Enveloped<Controller>>> {
    let found = caller.run(Lane::Read, move |caller| caller.protect.get(&id));
    let found = found.await?;
    Ok(Json(enveloped(&caller, found.into())))
}

/// Changes some of a controller, which is asked anew.
#[utoipa::path(put, path = "/api/v1/protect/controllers/{id}", tag = "protect", operation_id = "change_controller", request_body = ControllerChange,
    params(("id" = String, Path, description = "Id of the controller.")),
    responses(
        (status = 200, body = Enveloped<Controller>, description = "The controller as it is now."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such controller."),
        (status = 409, body = super::error::ErrorBody, description = "The name is taken."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn change(
    caller: Caller,
    [id]: [String; 1],
    Body(body): Body<ControllerChange>,
) -> ApiResult<Json<Enveloped<Controller>>> {
    let changed = caller.run(Lane::Change, move |caller| {
        caller.protect.change(&id, body.into())
    });
    let changed = changed.await?;
    Ok(Json(enveloped(&caller, changed.into())))
}

/// Removes a controller and the cameras it lent; their recordings stay.
#[utoipa::path(delete, path = "/api/v1/protect/controllers/{id}", tag = "protect", operation_id = "delete_controller",
    params(("id" = String, Path, description = "Id of the controller.")),
    responses(
        (status = 200, body = Enveloped<ControllerGone>, description = "It has gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such controller."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Json<Enveloped<ControllerGone>>> {
    caller.protect.remove(&id).await?;
    Ok(Json(enveloped(&caller, ControllerGone { deleted: true })))
}

/// Tries a controller that is not saved; that it does not let us in is a result.
#[utoipa::path(post, path = "/api/v1/protect/controllers/test", tag = "protect", operation_id = "test_controller", request_body = NewController, responses(
    (status = 200, body = Enveloped<ControllerTest>, description = "What came of it."),
    (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn test(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<NewController>,
) -> ApiResult<Json<Enveloped<ControllerTest>>> {
    let tested = caller.protect.test(&body.into()).await?;
    Ok(Json(enveloped(&caller, tested.into())))
}

/// Tries a controller as it is saved.
#[utoipa::path(post, path = "/api/v1/protect/controllers/{id}/test", tag = "protect", operation_id = "test_saved_controller",
    params(("id" = String, Path, description = "Id of the controller.")),
    responses(
        (status = 200, body = Enveloped<ControllerTest>, description = "What came of it."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such controller."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn test_saved(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Json<Enveloped<ControllerTest>>> {
    let tested = caller.protect.test_saved(&id).await?;
    Ok(Json(enveloped(&caller, tested.into())))
}

/// Gets in touch with a controller, now and from now on.
#[utoipa::path(post, path = "/api/v1/protect/controllers/{id}/connect", tag = "protect", operation_id = "connect_controller",
    params(("id" = String, Path, description = "Id of the controller.")),
    responses(
        (status = 200, body = Enveloped<ControllerState>, description = "How it stands with it now."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such controller."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn connect(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Json<Enveloped<ControllerState>>> {
    let (view, error) = caller.protect.connect(&id).await?;
    let state = ControllerState {
        controller_id: id,
        status: if error.is_none() && view.is_connected {
            "connected"
        } else {
            "error"
        },
        error,
    };
    Ok(Json(enveloped(&caller, state)))
}

/// Leaves a controller alone from now on; the cameras it lent stay.
#[utoipa::path(post, path = "/api/v1/protect/controllers/{id}/disconnect", tag = "protect", operation_id = "disconnect_controller",
    params(("id" = String, Path, description = "Id of the controller.")),
    responses(
        (status = 200, body = Enveloped<ControllerState>, description = "How it stands with it now."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such controller."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn disconnect(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Json<Enveloped<ControllerState>>> {
    caller.protect.disconnect(&id).await?;
    let state = ControllerState {
        controller_id: id,
        status: "disconnected",
        error: None,
    };
    Ok(Json(enveloped(&caller, state)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CamerasQuery {
    /// Asks the controller, also where its last answer is younger than a minute.
    #[param(value_type = Option<bool>)]
    force_refresh: Option<String>,
}

/// A camera of a controller.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ControllerCamera {
    /// What the controller calls it.
    protect_camera_id: String,
    name: String,
    #[serde(rename = "type")]
    kind: CameraKind,
    model: Option<String>,
    /// Whether the controller reaches it.
    is_online: bool,
    is_doorbell: bool,
    /// Whether it is a camera here.
    is_enabled_for_ai: bool,
    /// What it detects by itself.
    smart_detection_capabilities: Vec<String>,
    /// The name of the camera here, if it is one.
    camera_id: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CameraKind {
    Camera,
    Doorbell,
}

/// The cameras of a controller, and how fresh the list is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ControllerCameras {
    data: Vec<ControllerCamera>,
    meta: CamerasMeta,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CamerasMeta {
    request_id: String,
    timestamp: Option<String>,
    count: usize,
    controller_id: String,
    /// Whether the list is older than this request.
    cached: bool,
    /// When the controller told it, in RFC 3339.
    cached_at: Option<String>,
    /// Why it is not a new one.
    warning: Option<String>,
}

/// The cameras of a controller; the last list it told where it is away.
#[utoipa::path(get, path = "/api/v1/protect/controllers/{id}/cameras", tag = "protect", operation_id = "list_controller_cameras",
    params(("id" = String, Path, description = "Id of the controller."), CamerasQuery),
    responses(
        (status = 200, body = ControllerCameras, description = "All of them."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such controller."),
        (status = 503, body = super::error::ErrorBody, description = "It never answered since the start."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn cameras(
    caller: Caller,
    [id]: [String; 1],
    Query(query): Query<CamerasQuery>,
) -> ApiResult<Json<ControllerCameras>> {
    let fresh = flag("force_refresh", query.force_refresh.as_deref())?.unwrap_or(false);
    let told = caller.protect.cameras_of(&id, fresh).await?;
    let of = |(device, here): (protect::DeviceCamera, Option<String>)| ControllerCamera {
        protect_camera_id: device.id,
        name: device.name,
        kind: if device.is_doorbell {
            CameraKind::Doorbell
        } else {
            CameraKind::Camera
        },
        model: device.model,
        is_online: device.is_online,
        is_doorbell: device.is_doorbell,
        is_enabled_for_ai: here.is_some(),
        smart_detection_capabilities: device.detects,
        camera_id: here,
    };
    let data: Vec<ControllerCamera> = told.cameras.into_iter().map(of).collect();
    let Meta {
        request_id,
        timestamp,
        ..
    } = Meta::new(&caller, None);
    Ok(Json(ControllerCameras {
        meta: CamerasMeta {
            request_id,
            timestamp,
            count: data.len(),
            controller_id: id,
            cached: told.cached,
            cached_at: rfc3339(told.told_us),
            warning: told.warning,
        },
        data,
    }))
}

/// How a controller's camera is to be here.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnableRequest {
    /// Its name here; made of the controller's name for it unless given.
    name: Option<String>,
    /// Its pipeline description; `motion` unless given.
    pipeline: Option<String>,
}

/// Whether a controller's camera is a camera here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Enabled {
    protect_camera_id: String,
    /// The name of the camera here; `null` where it is none.
    camera_id: Option<String>,
    is_enabled_for_ai: bool,
}

/// Makes a controller's camera a camera here, and starts it.
#[utoipa::path(post, path = "/api/v1/protect/controllers/{id}/cameras/{camera_id}/enable", tag = "protect", operation_id = "enable_controller_camera", request_body = Option<EnableRequest>,
    params(("id" = String, Path, description = "Id of the controller."), ("camera_id" = String, Path, description = "What the controller calls the camera.")),
    responses(
        (status = 200, body = Enveloped<Enabled>, description = "It is a camera here."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such controller or camera."),
        (status = 409, body = super::error::ErrorBody, description = "The name is taken, or the camera has no stream."),
        (status = 503, body = super::error::ErrorBody, description = "The controller is away."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn enable(
    caller: Caller,
    [id, camera]: [String; 2],
    body: Option<Body<EnableRequest>>,
) -> ApiResult<Json<Enveloped<Enabled>>> {
    let body = body.map(|Body(body)| body).unwrap_or_default();
    let wish = Wish {
        name: body.name,
        pipeline: body.pipeline,
    };
    let view = caller.protect.enable(&id, &camera, wish).await?;
    let enabled = Enabled {
        protect_camera_id: camera,
        camera_id: Some(view.input.name),
        is_enabled_for_ai: true,
    };
    Ok(Json(enveloped(&caller, enabled)))
}

/// Removes a camera that a controller lent; its recordings stay.
#[utoipa::path(post, path = "/api/v1/protect/controllers/{id}/cameras/{camera_id}/disable", tag = "protect", operation_id = "disable_controller_camera",
    params(("id" = String, Path, description = "Id of the controller."), ("camera_id" = String, Path, description = "What the controller calls the camera.")),
    responses(
        (status = 200, body = Enveloped<Enabled>, description = "It is no camera here any more, or was none."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such controller."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn disable(
    caller: Caller,
    [id, camera]: [String; 2],
    (): (),
) -> ApiResult<Json<Enveloped<Enabled>>> {
    caller.protect.disable(&id, &camera).await?;
    let enabled = Enabled {
        protect_camera_id: camera,
        camera_id: None,
        is_enabled_for_ai: false,
    };
    Ok(Json(enveloped(&caller, enabled)))
}
