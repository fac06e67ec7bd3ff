//! Tasks for models elsewhere, in the shape of Hugging Face's inference API, to the one endpoint that is configured.
//!
//! A failure there is an answer with `status` `failed`, as the upstream program has it; only a wrong request is a 400.

use std::sync::Arc;

use nvr_base::{Error, Secret};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::Adapter;
use super::discover::quoted;
use super::infer::{Source, fetch};
use super::intake::picture_in_text;
use super::uri::FrameUri;
use crate::api::access::Caller;
use crate::api::error::{ApiError, ApiResult};

/// Longest name of a model, bytes.
const MAX_MODEL: usize = 200;
/// Most calls at once.
pub(super) const CALLS: usize = 4;

/// The tasks of the interface, and whether they are about a picture.
const TASKS: [(&str, bool); 18] = [
    ("image-classification", true),
    ("object-detection", true),
    ("image-segmentation", true),
    ("image-to-text", true),
    ("image-captioning", true),
    ("zero-shot-image-classification", true),
    ("text-generation", false),
    ("text-classification", false),
    ("token-classification", false),
    ("question-answering", false),
    ("summarization", false),
    ("translation", false),
    ("fill-mask", false),
    ("zero-shot-classification", false),
    ("automatic-speech-recognition", false),
    ("audio-classification", false),
    ("conversational", false),
    ("feature-extraction", false),
];

/// What a request says of a model elsewhere.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloudInput {
    /// Name of the model: `owner/name`, or a name alone.
    model_name: Option<String>,
    /// `{"image": "opennvr://…"}` for a task about a picture (a data URL is fine too), else what the model takes.
    inputs: Option<Value>,
    /// Handed on to the model.
    parameters: Option<Map<String, Value>>,
    /// Used where the server has no token of its own.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>, write_only)]
    api_token: Option<Secret>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(Secret::new))
}

/// What a model elsewhere answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CloudResult {
    task: String,
    model_name: String,
    /// What it found, in the shape of the task; `null` where it failed.
    result: Option<Value>,
    /// Why it failed; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// From the request to the answer, milliseconds.
    latency_ms: u64,
    /// When it was answered, RFC 3339 in UTC.
    executed_at: String,
    /// `success` or `failed`.
    status: &'static str,
}

/// How an answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// As it came.
    Raw,
    /// Boxes with their sizes.
    Detections,
    /// The surest label first.
    Classes,
    /// One text.
    Caption,
}

/// A task of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CloudTask {
    about_picture: bool,
    shape: Shape,
}

impl CloudTask {
    /// The one of a name, with hyphens as the interface has them, or with `_` and a shape of its own.
    fn of(name: &str) -> Option<Self> {
        let picture = |shape| CloudTask {
            about_picture: true,
            shape,
        };
        match name {
            "object_detection_detr" | "object_detection" => Some(picture(Shape::Detections)),
            "image_classification" => Some(picture(Shape::Classes)),
            "scene_description" | "image_to_text" | "image_captioning" => {
                Some(picture(Shape::Caption))
            }
            name => {
                let name = name.replace('_', "-");
                let found = TASKS.iter().find(|(task, _)| *task == name);
                found.map(|(_, about_picture)| Self {
                    about_picture: *about_picture,
                    shape: Shape::Raw,
                })
            }
        }
    }
}

/// Whether a name is one of a task for models elsewhere.
pub(super) fn is_task(name: &str) -> bool {
    CloudTask::of(name).is_some()
}

/// Why nothing can be asked elsewhere; `None` where it can.
pub(super) fn unavailable(adapter: &Adapter) -> Option<String> {
    match &adapter.cloud {
        Some(_) => None,
        None => Some(
            "no endpoint is configured: set personality.ai_adapter.cloud.endpoint to one that answers as Hugging Face's inference API"
                .to_owned(),
        ),
    }
}

/// Asks a model elsewhere.
///
/// # Errors
/// 400 for a request that is wrong, 503 when too many are asked at once; whatever else fails is an answer.
pub(super) async fn ask(
    adapter: &Arc<Adapter>,
    caller: &Caller,
    task: String,
    input: CloudInput,
) -> ApiResult<CloudResult> {
    let started = adapter.clock.monotonic();
    let kind = CloudTask::of(&task).ok_or_else(|| {
        let names: Vec<&str> = TASKS.iter().map(|(name, _)| *name).collect();
        ApiError::bad_request(format!(
            "Unsupported cloud task: '{task}'. Available tasks: {}",
            quoted(&names)
        ))
    })?;
    let wrong = |detail: &str| ApiError::bad_request(format!("input_data.{detail}"));
    let model = input
        .model_name
        .filter(|name| !name.is_empty())
        .ok_or_else(|| wrong("model_name is required for Hugging Face inference"))?;
    if !is_model(&model) {
        return Err(wrong(
            "model_name: Invalid model_name format: use owner/name",
        ));
    }
    let inputs = input
        .inputs
        .filter(|inputs| !inputs.is_null())
        .ok_or_else(|| wrong("inputs are required for Hugging Face inference"))?;
    let asked = async {
        let cloud = adapter.cloud.as_ref();
        let cloud = cloud.ok_or_else(|| unavailable(adapter).unwrap_or_default())?;
        let body = match kind.about_picture {
            true => Body::Picture(picture(adapter, caller, &inputs).await?),
            false => Body::Values(inputs),
        };
        let parameters = input.parameters.unwrap_or_default();
        let answer = cloud
            .call(&model, body, parameters, input.api_token)
            .await
            .map_err(|error: Error| error.message().to_owned())?;
        shaped(kind.shape, answer, &model)
    };
    let place = adapter.calls.try_acquire();
    let _place =
        place.map_err(|_| ApiError::busy("too many models are asked at once: try again"))?;
    let (result, error) = match asked.await {
        Ok(result) => (Some(result), None),
        Err(why) => (None, Some(why)),
    };
    let took = adapter.clock.monotonic().saturating_sub(started);
    Ok(CloudResult {
        status: if error.is_none() { "success" } else { "failed" },
        task,
        model_name: model,
        result,
        error,
        latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        executed_at: rfc3339(adapter.clock.unix_us()),
    })
}

/// What is sent to the model.
pub(super) enum Body {
    /// A JPEG or PNG.
    Picture(bytes::Bytes),
    /// What the model takes.
    Values(Value),
}

/// The picture that the inputs name.
async fn picture(
    adapter: &Arc<Adapter>,
    caller: &Caller,
    inputs: &Value,
) -> Result<bytes::Bytes, String> {
    let text = match inputs {
        Value::String(text) => Some(text),
        Value::Object(map) => match map.get("image") {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    };
    let text = text.ok_or("inputs.image: name a picture: opennvr://<camera>/latest.jpg say")?;
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(
            "inputs.image: pictures of other servers are not fetched: send it as a data URL"
                .to_owned(),
        );
    }
    let source = if text.starts_with("data:") {
        Source::Bytes(picture_in_text(text).map_err(|why| format!("inputs.image: {why}"))?)
    } else {
        Source::Frame(FrameUri::parse(text)?)
    };
    let fetched = fetch(adapter, caller, source).await;
    let bytes = fetched.map_err(|error| error.detail().to_owned())?.jpeg;
    let whole = bytes.clone();
    let checked = adapter
        .analysis
        .run(move |_| crate::infer::Picture::decode(&whole).map(drop));
    checked.await.map_err(|error| error.message().to_owned())?;
    Ok(bytes)
}

/// Whether a text is the name of a model, which becomes a part of a path.
fn is_model(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let parts: Vec<&str> = text.split('/').collect();
    text.len() <= MAX_MODEL
        && (1..=2).contains(&parts.len())
        && parts.iter().all(|part| {
            !part.is_empty() && part.chars().all(word) && !part.chars().all(|c| c == '.')
        })
}

/// An answer in the shape of its task.
fn shaped(shape: Shape, answer: Value, model: &str) -> Result<Value, String> {
    let strange = || format!("{model} answered in a shape that is not one of this task");
    match shape {
        Shape::Raw => Ok(answer),
        Shape::Detections => detections(&answer).ok_or_else(strange),
        Shape::Classes => classes(&answer).ok_or_else(strange),
        Shape::Caption => {
            let first = answer.get(0).unwrap_or(&answer);
            let text = first.get("generated_text").and_then(Value::as_str);
            text.map(|text| json!({ "caption": text }))
                .ok_or_else(strange)
        }
    }
}

fn detections(answer: &Value) -> Option<Value> {
    let mut found = Vec::new();
    let mut sum = 0.0;
    for item in answer.as_array()? {
        let edge = |key: &str| item.get("box")?.get(key)?.as_f64();
        let (left, top) = (edge("xmin")?, edge("ymin")?);
        let (right, bottom) = (edge("xmax")?, edge("ymax")?);
        let score = item.get("score")?.as_f64()?;
        let bbox = [left, top, right - left, bottom - top];
        sum += score;
        found.push(json!({
            "label": item.get("label")?.as_str()?,
            "confidence": score,
            "bbox": (bbox.map(|it| it.round() as i64)),
        }));
    }
    let confidence = if found.is_empty() {
        0.0
    } else {
        sum / found.len() as f64
    };
    Some(json!({ "count": found.len(), "confidence": confidence, "detections": found }))
}

fn classes(answer: &Value) -> Option<Value> {
    let mut found = Vec::new();
    for item in answer.as_array()? {
        found.push((item.get("label")?.as_str()?, item.get("score")?.as_f64()?));
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (label, confidence) = *found.first()?;
    let all: Vec<Value> = found
        .iter()
        .map(|(label, score)| json!({ "label": label, "confidence": score }))
        .collect();
    Some(json!({ "top_label": label, "top_confidence": confidence, "classifications": all }))
}

fn rfc3339(unix_us: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(unix_us).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
