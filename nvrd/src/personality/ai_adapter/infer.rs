//! `POST /infer`: a task on a picture, done here or by a model elsewhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::cloud::{self, CloudInput, CloudResult};
use super::frames::DRAWN;
use super::intake::{Form, Intake, picture_in_text};
use super::look::{Local, Looked};
use super::matching::{self, Matched, Matching};
use super::uri::{FrameUri, LATEST, uri_of};
use super::{Adapter, camera_meant, discover, eye_of};
use crate::api::access::Caller;
use crate::api::body;
use crate::api::context::Lane;
use crate::api::error::{ApiError, ApiResult, ErrorBody};
use crate::api::reply::Json;
use crate::infer::{Found, Picture, Sought, annotate};

/// What is to be done with which picture.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InferRequest {
    /// The task: `/capabilities` has their names.
    task: Option<String>,
    /// For a task that is done here.
    input: Option<InferInput>,
    /// For a task that a model elsewhere does.
    input_data: Option<CloudInput>,
}

/// The picture, and what counts on it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InferInput {
    /// A picture of a camera.
    frame: Option<Frame>,
    /// The first of two pictures, of `face_verify`.
    frame1: Option<Frame>,
    /// The second of two pictures, of `face_verify`.
    frame2: Option<Frame>,
    /// In place of a frame: the picture itself, as base64 or a data URL.
    image: Option<String>,
    /// The least score that counts, above 0 and up to 1; 0.5 unless given, 0.7 for faces.
    threshold: Option<f64>,
    /// Only these, of `object_detection`.
    labels: Option<Vec<String>>,
}

/// A picture by its name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Frame {
    /// `opennvr://frames/<camera>/latest.jpg`, or another frame of the camera.
    uri: String,
}

/// The field `params` of a form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormParams {
    task: Option<String>,
    threshold: Option<f64>,
    labels: Option<Vec<String>>,
}

/// Where a picture comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A frame of a camera.
    Frame(FrameUri),
    /// The request.
    Bytes(Bytes),
}

/// A picture that was fetched.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) jpeg: Bytes,
    /// The camera that was meant, and whether it shows this now.
    camera: Option<(String, bool)>,
}

/// What a task looks for.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) task: Local,
    pub(super) sought: Sought,
}

/// Looks at a picture.
///
/// The picture is one of a camera by its frame URI, or comes along: as base64 in `input.image`, or in a form as the
/// file `frame` beside the task. A form's field `params` is JSON with `task`, `threshold` and `labels`.
#[utoipa::path(post, path = "/infer", tag = "inference", operation_id = "infer",
    request_body(content = InferRequest, content_type = "application/json"),
    responses(
        (status = 200, body = Inferred, description = "What the task found; `/schema` has its fields."),
        (status = 400, body = ErrorBody, description = "A field is missing or wrong."),
        (status = 404, body = ErrorBody, description = "There is no such frame."),
        (status = 503, body = ErrorBody, description = "The task cannot be done, or not now."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn post(
    adapter: Arc<Adapter>,
    caller: Caller,
    []: [String; 0],
    intake: Intake,
) -> ApiResult<Json<Inferred>> {
    let started = adapter.clock.monotonic();
    let asked = match intake.json_or_form::<InferRequest>()? {
        Ok(request) => Asked {
            task: request.task,
            input: request.input,
            elsewhere: request.input_data,
            picture: None,
        },
        Err(form) => of_form(form)?,
    };
    let task = asked
        .task
        .filter(|task| !task.is_empty())
        .ok_or_else(|| ApiError::bad_request("Missing 'task' field"))?;
    if let Some(elsewhere) = asked.elsewhere {
        if asked.input.is_some() {
            let detail =
                "input_data: give input for a task here, or input_data for a model elsewhere";
            return Err(ApiError::bad_request(detail));
        }
        let answer = cloud::ask(&adapter, &caller, task, elsewhere).await?;
        return Ok(Json(Inferred::Elsewhere(answer)));
    }
    let input = || ApiError::bad_request("Missing 'input' field");
    if let Some(task) = Matching::of(&task) {
        let input = asked.input.ok_or_else(input)?;
        let matched = matching::ask(&adapter, &caller, task, &input, asked.picture, started);
        return Ok(Json(Inferred::Matched(matched.await?)));
    }
    let task = known(&adapter, &task)?;
    let input = asked.input.ok_or_else(input)?;
    if input.labels.is_some() && task != Local::ObjectDetection {
        let detail = "input.labels: is for object_detection";
        return Err(ApiError::bad_request(detail));
    }
    let sought = input.sought("input", task)?;
    let source = match asked.picture {
        Some(picture) => Source::Bytes(picture),
        None => input.source("input")?,
    };
    let fetched = fetch(&adapter, &caller, source).await?;
    let wish = Wish { task, sought };
    let looked = look(&adapter, fetched, wish, started).await?;
    Ok(Json(Inferred::Here(looked)))
}

/// What came of a task.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Inferred {
    /// Of a task that is done here.
    Here(Looked),
    /// Of a task that tells faces apart.
    Matched(Matched),
    /// Of a model elsewhere.
    Elsewhere(CloudResult),
}

/// A request, whatever form it came in.
#[derive(Debug)]
struct Asked {
    task: Option<String>,
    input: Option<InferInput>,
    elsewhere: Option<CloudInput>,
    /// The picture, where it came as a file.
    picture: Option<Bytes>,
}

/// The request that a form makes.
fn of_form(form: Form) -> ApiResult<Asked> {
    let params: FormParams = match &form.params {
        Some(json) => body::parse(json).map_err(|error| error.within("params"))?,
        None => FormParams::default(),
    };
    if form.task.is_some() && params.task.is_some() {
        let detail = "task: given twice, alone and in params";
        return Err(ApiError::bad_request(detail));
    }
    let picture = form
        .frame
        .ok_or_else(|| ApiError::bad_request("Missing 'frame' field"))?;
    Ok(Asked {
        task: form.task.or(params.task),
        input: Some(InferInput {
            threshold: params.threshold,
            labels: params.labels,
            ..InferInput::default()
        }),
        elsewhere: None,
        picture: Some(picture),
    })
}

/// The task of a name.
///
/// # Errors
/// 400 when there is none, with the names that there are; 503 when its part is not there yet.
pub(super) fn known(adapter: &Adapter, name: &str) -> ApiResult<Local> {
    if let Some(task) = Local::of(name) {
        return Ok(task);
    }
    if cloud::is_task(name) {
        return Err(ApiError::bad_request(format!(
            "Missing 'input_data' field: '{name}' is done by a model elsewhere"
        )));
    }
    let available = discover::quoted(&discover::available(adapter));
    Err(ApiError::bad_request(format!(
        "Unsupported or disabled task: '{name}'. Available tasks: {available}"
    )))
}

impl InferInput {
    /// Whether only some labels count.
    pub(super) fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    /// What a task looks for; `path` is the name of this object in the request.
    pub(super) fn sought(&self, path: &str, task: Local) -> ApiResult<Sought> {
        let threshold = match self.threshold {
            None => task.threshold(),
            // NaN is in no range.
            Some(told) if told > 0.0 && told <= 1.0 => told as f32,
            Some(told) => {
                return Err(ApiError::bad_request(format!(
                    "{path}.threshold: {told} is out of range: use above 0 and up to 1"
                )));
            }
        };
        let labels = match task {
            Local::PersonDetection | Local::PersonCounting => Some(vec!["person".to_owned()]),
            Local::ObjectDetection => self.labels.clone(),
            Local::FaceDetection => None,
        };
        Ok(Sought { threshold, labels })
    }

    /// The picture; `path` is the name of this object in the request.
    pub(super) fn source(&self, path: &str) -> ApiResult<Source> {
        for (name, frame) in [("frame1", &self.frame1), ("frame2", &self.frame2)] {
            if frame.is_some() {
                let detail = format!("{path}.{name}: is for face_verify: use {path}.frame");
                return Err(ApiError::bad_request(detail));
            }
        }
        source_of(path, self.frame.as_ref(), self.image.as_deref())
    }

    /// The least similarity that counts, of tasks that tell faces apart.
    pub(super) fn similarity(&self, usual: f32) -> ApiResult<f32> {
        if self.labels.is_some() {
            let detail = "input.labels: is for object_detection";
            return Err(ApiError::bad_request(detail));
        }
        match self.threshold {
            None => Ok(usual),
            // NaN is in no range.
            Some(told) if told > 0.0 && told <= 1.0 => Ok(told as f32),
            Some(told) => Err(ApiError::bad_request(format!(
                "input.threshold: {told} is out of range: use above 0 and up to 1"
            ))),
        }
    }

    /// The two pictures of `face_verify`.
    pub(super) fn two_frames(&self) -> ApiResult<(&Frame, &Frame)> {
        let missing = |name: &str| ApiError::bad_request(format!("Missing 'input.{name}' field"));
        let one = self.frame1.as_ref().ok_or_else(|| missing("frame1"))?;
        let two = self.frame2.as_ref().ok_or_else(|| missing("frame2"))?;
        Ok((one, two))
    }
}

/// The picture that a frame or a text names; `path` is the name of the object in the request that has them.
pub(super) fn source_of(
    path: &str,
    frame: Option<&Frame>,
    image: Option<&str>,
) -> ApiResult<Source> {
    let field = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match (frame, image) {
        (Some(_), Some(_)) => {
            let detail = format!("{}: give a frame or an image, not both", field("image"));
            Err(ApiError::bad_request(detail))
        }
        (Some(frame), None) => FrameUri::parse(&frame.uri)
            .map(Source::Frame)
            .map_err(ApiError::bad_request),
        (None, Some(text)) => picture_in_text(text).map(Source::Bytes).map_err(|why| {
            ApiError::bad_request(format!("{}: Invalid image: {why}", field("image")))
        }),
        (None, None) => {
            let detail = format!("Missing '{}' field", field("frame"));
            Err(ApiError::bad_request(detail))
        }
    }
}

impl Fetched {
    /// A picture that came with the request.
    pub(super) fn of_bytes(jpeg: Bytes) -> Self {
        Self { jpeg, camera: None }
    }
}

/// Fetches a picture.
pub(super) async fn fetch(
    adapter: &Arc<Adapter>,
    caller: &Caller,
    source: Source,
) -> ApiResult<Fetched> {
    let uri = match source {
        Source::Bytes(jpeg) => return Ok(Fetched { jpeg, camera: None }),
        Source::Frame(uri) => uri,
    };
    let camera = camera_meant(caller, uri.camera).await?;
    let name = camera.clone();
    let latest = uri.file == LATEST;
    let jpeg = if latest {
        caller
            .run(Lane::Snapshot, move |caller| {
                caller.cameras.snapshot(&name, None)
            })
            .await?
            .into()
    } else {
        let adapter = Arc::clone(adapter);
        caller
            .run(Lane::Read, move |_| adapter.frames.get(&name, &uri.file))
            .await?
    };
    Ok(Fetched {
        jpeg,
        camera: Some((camera, latest)),
    })
}

/// Does a task on a picture; `started` is when its request came.
pub(super) async fn look(
    adapter: &Arc<Adapter>,
    fetched: Fetched,
    Wish { task, sought }: Wish,
    started: Duration,
) -> ApiResult<Looked> {
    if adapter.eye(task).is_none() {
        let reason = discover::no_model(super::provider_of(task));
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}: {reason}", task.name()),
        ));
    }
    let Fetched { jpeg, camera } = fetched;
    let draw = camera.is_some();
    let (found, drawn, model) = adapter
        .analysis
        .run(move |analysis| {
            let eye = eye_of(analysis, task).expect("the models stay what they are");
            let picture = Picture::decode(&jpeg)?;
            let found = task.pick(eye.find(&picture, &sought)?);
            let drawn = match draw && !found.is_empty() {
                true => Some(annotate(&picture, &found)?),
                false => None,
            };
            Ok((found, drawn, eye.name()))
        })
        .await?;
    let now = adapter.clock.monotonic();
    let boxes: Vec<[f32; 4]> = found.iter().map(|it: &Found| it.bbox).collect();
    let numbers = match &camera {
        Some((camera, true)) if task == Local::PersonCounting => {
            adapter.tracks().follow(camera, &boxes, now)
        }
        _ => (1..=boxes.len() as u64).collect(),
    };
    let annotated_image_uri = camera.as_ref().zip(drawn).map(|((camera, _), jpeg)| {
        let file = format!("{}{DRAWN}", task.name());
        adapter.frames.keep_drawn(camera, &file, jpeg.into());
        uri_of(camera, &file)
    });
    Ok(Looked {
        seen: task.tell(&found, &numbers, model),
        camera: camera.map(|(camera, _)| camera),
        annotated_image_uri,
        executed_at: adapter.clock.unix_us() / 1000,
        latency_ms: u64::try_from((now - started).as_millis()).unwrap_or(u64::MAX),
    })
}
