//! `POST /pipeline/run`: several tasks on one picture.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Adapter;
use super::infer::{InferInput, Wish, fetch, known, look};
use super::intake::Intake;
use super::look::{Local, Looked};
use super::matching::{self, Matched, Matching};
use crate::api::access::Caller;
use crate::api::error::{ApiError, ApiResult, ErrorBody};
use crate::api::reply::Json;

/// Most tasks of one request.
const MAX_STEPS: usize = 8;

/// Tasks on one picture.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PipelineRequest {
    /// Names of tasks, done in this order; at most 8.
    steps: Vec<String>,
    /// The picture.
    data: InferInput,
}

/// What came of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PipelineResult {
    /// `success`, or `error` where a task failed and the ones after it were not done.
    status: &'static str,
    /// Task by task what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Map<String, Value>>,
    /// The task that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<String>,
    /// Why it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What the tasks before it found.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_results: Option<Map<String, Value>>,
}

/// Looks at one picture with several tasks.
///
/// `labels` applies to `object_detection` among them.
#[utoipa::path(post, path = "/pipeline/run", tag = "inference", operation_id = "pipeline_run",
    request_body(content = PipelineRequest, content_type = "application/json"),
    responses(
        (status = 200, body = PipelineResult, description = "What was found, or which task failed."),
        (status = 400, body = ErrorBody, description = "A field is missing or wrong."),
        (status = 404, body = ErrorBody, description = "There is no such frame."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn run(
    adapter: Arc<Adapter>,
    caller: Caller,
    []: [String; 0],
    intake: Intake,
) -> ApiResult<Json<PipelineResult>> {
    let PipelineRequest { steps, data } = intake.json()?;
    let wishes = wishes(&adapter, &steps, &data)?;
    let fetched = fetch(&adapter, &caller, data.source("data")?).await?;
    // A least score is none of a similarity.
    let usual = InferInput::default();
    let mut results = Map::new();
    for (step, wish) in steps.into_iter().zip(wishes) {
        let started = adapter.clock.monotonic();
        let done = match wish {
            Ok(Step::Look(wish)) => look(&adapter, fetched.clone(), wish, started)
                .await
                .map(Looked::into_json),
            Ok(Step::Match(task)) => {
                let picture = Some(fetched.jpeg.clone());
                matching::ask(&adapter, &caller, task, &usual, picture, started)
                    .await
                    .map(Matched::into_json)
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(found) => results.insert(step, found),
            Err(error) => {
                return Ok(Json(PipelineResult {
                    status: "error",
                    results: None,
                    failed_at: Some(step),
                    error: Some(error.detail().to_owned()),
                    partial_results: Some(results),
                }));
            }
        };
    }
    Ok(Json(PipelineResult {
        status: "success",
        results: Some(results),
        failed_at: None,
        error: None,
        partial_results: None,
    }))
}

/// A task of a list.
enum Step {
    /// One that looks for something.
    Look(Wish),
    /// One that tells faces apart.
    Match(Matching),
}

/// What each step looks for, or why it cannot be done now.
///
/// # Errors
/// 400 for a list of steps that cannot be one, before anything is done.
fn wishes(
    adapter: &Adapter,
    steps: &[String],
    data: &InferInput,
) -> ApiResult<Vec<ApiResult<Step>>> {
    if !(1..=MAX_STEPS).contains(&steps.len()) {
        return Err(ApiError::bad_request(format!(
            "steps: {} tasks are given: use 1 to {MAX_STEPS}",
            steps.len()
        )));
    }
    let mut names = BTreeSet::new();
    let mut wishes = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if !names.insert(step) {
            let detail = format!("steps[{index}]: '{step}' is given twice");
            return Err(ApiError::bad_request(detail));
        }
        match Matching::of(step) {
            Some(Matching::Verify) => {
                return Err(ApiError::bad_request(format!(
                    "steps[{index}]: '{step}' takes two pictures: use /infer"
                )));
            }
            Some(task) => {
                wishes.push(Ok(Step::Match(task)));
                continue;
            }
            None => {}
        }
        wishes.push(match known(adapter, step) {
            Ok(task) => Ok(Step::Look(Wish {
                task,
                sought: data.sought("data", task)?,
            })),
            Err(error) if error.is_clients() => {
                return Err(error.within(&format!("steps[{index}]")));
            }
            Err(error) => Err(error),
        });
    }
    let objects = Local::ObjectDetection.name();
    if data.has_labels() && !steps.iter().any(|step| step == objects) {
        let detail = format!("data.labels: is for {objects}, which is no step");
        return Err(ApiError::bad_request(detail));
    }
    Ok(wishes)
}
