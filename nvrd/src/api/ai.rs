//! Pictures in words: describing one, what that costs, and better words for the question.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use nvr_base::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::events::{Event, shown};
use super::query::Query;
use super::reply::Json;
use super::upload::Upload;
use crate::ai::{AiResult, Picture, RefineWish};
use crate::stills::Instant;

/// Height of a picture out of a recording that is described, pixels.
const HEIGHT: u32 = 720;

/// A picture to be described: exactly one of the fields.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DescribeRequest {
    /// A JPEG or PNG in base64, alone or as a `data:` URL; 12 MiB, 8192 pixels on a side and 16 megapixels at most.
    image: Option<String>,
    /// Id of an event: its best picture is described. The answer is not kept with it; `reanalyse` does that.
    event_id: Option<String>,
    /// Name of a camera: what it shows now is described.
    camera_id: Option<String>,
}

/// The same as a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it stands for a form in the document")]
pub(super) struct DescribeForm {
    /// The file: a JPEG or PNG. Its part may be called `file` too.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}

/// What a picture shows, and what it cost to know. That nobody answers is a result too: `success` is false then.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AiResultResponse {
    description: String,
    /// 0 to 100; `null` where the model does not say.
    confidence: Option<u8>,
    /// `person`, `vehicle`, `animal`, `package`, or the model's own words; `unknown` where it names nothing.
    objects_detected: Vec<String>,
    /// Who answered; `null` where nobody did.
    provider: Option<String>,
    /// Tokens in and out, as the provider counts them.
    tokens_used: u64,
    response_time_ms: u64,
    /// By the prices of the provider.
    cost_estimate: f64,
    success: bool,
    /// Why nobody answered, provider by provider.
    error: Option<String>,
}

impl From<AiResult> for AiResultResponse {
    fn from(result: AiResult) -> Self {
        Self {
            success: result.error.is_none(),
            description: result.description,
            confidence: result.confidence,
            objects_detected: result.objects,
            provider: result.provider,
            tokens_used: result.tokens,
            response_time_ms: result.response_time_ms,
            cost_estimate: result.cost,
            error: result.error,
        }
    }
}

/// Describes a picture: one that is sent, an event's, or what a camera shows now.
#[utoipa::path(post, path = "/api/v1/ai/describe", tag = "ai", operation_id = "describe_image",
    request_body(content((DescribeRequest = "application/json"), (DescribeForm = "multipart/form-data"))),
    responses(
        (status = 200, body = AiResultResponse, description = "What it shows, or why nobody answered."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong, or it is no picture."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event or camera, or no picture of it."),
        (status = 503, body = super::error::ErrorBody, description = "No provider is configured, or the camera sends nothing."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn describe(
    caller: Caller,
    []: [String; 0],
    upload: Upload<DescribeRequest>,
) -> ApiResult<Json<AiResultResponse>> {
    let DescribeRequest {
        image,
        event_id,
        camera_id,
    } = &upload.fields;
    let (picture, camera) = match (image, &upload.file, event_id, camera_id) {
        (Some(text), None, None, None) => (Picture::of_text(text)?, None),
        (None, Some(file), None, None) => (Picture::of_bytes(file.clone())?, None),
        (None, None, Some(id), None) => {
            let (picture, camera) = picture_of_event(&caller, id.clone()).await?;
            (picture, Some(camera))
        }
        (None, None, None, Some(name)) => {
            caller.may_know(name)?;
            let camera = name.clone();
            let shown = caller.run(Lane::Snapshot, move |caller| {
                caller.cameras.snapshot(&camera, None)
            });
            (Picture::of_bytes(shown.await?)?, Some(name.clone()))
        }
        _ => {
            return Err(ApiError::bad_request(
                "image: give exactly one of image, event_id and camera_id",
            ));
        }
    };
    let ai = Arc::clone(&caller.ai);
    let asked = seen_through(async move {
        let asked = ai.describe(picture, camera.as_deref()).await;
        // What was sent keeps its place among the uploads as long as its picture is in memory.
        drop(upload);
        asked
    });
    Ok(Json(asked.await?.into()))
}

/// Goes on when the client goes: what was asked of a provider costs, is counted, and is kept.
async fn seen_through<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(work)
        .await
        .map_err(|error| Error::internal("asking a provider panicked").with_source(error))?
}

/// How an event is to be described again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReanalyseRequest {
    /// `single_frame`, which is what there is: the event's best picture is described.
    analysis_mode: Option<String>,
}

impl ReanalyseRequest {
    /// Reads it and sees that it can be done.
    fn of(body: serde_json::Value) -> ApiResult<()> {
        let wish: Self = serde_path_to_error::deserialize(body).map_err(|error| {
            ApiError::bad_request(format!("{}: {}", error.path(), error.inner()))
        })?;
        match wish.analysis_mode.as_deref() {
            None | Some("single_frame") => Ok(()),
            Some(other) => Err(ApiError::bad_request(format!(
                "analysis_mode: {other:?} is not possible: use single_frame"
            ))),
        }
    }
}

/// Describes the best picture of an event anew, and keeps the answer with it.
#[utoipa::path(post, path = "/api/v1/events/{id}/reanalyse", tag = "ai", operation_id = "reanalyse_event", request_body = Option<ReanalyseRequest>,
    params(("id" = String, Path, description = "Id of the event.")),
    responses(
        (status = 200, body = Event, description = "What is known of it now."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event, or no picture of it."),
        (status = 503, body = super::error::ErrorBody, description = "No provider is configured, or none answers; an earlier description stays."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn reanalyse(
    caller: Caller,
    [id]: [String; 1],
    body: Option<Body<serde_json::Value>>,
) -> ApiResult<Json<Event>> {
    // An event that one may not know of is unknown, whatever the body says.
    let known = id.clone();
    let known = caller.run(Lane::Read, move |caller| {
        caller.store.event(caller.principal(), &known).map(drop)
    });
    known.await?;
    if let Some(Body(body)) = body {
        ReanalyseRequest::of(body)?;
    }
    let (picture, camera) = picture_of_event(&caller, id.clone()).await?;
    let (ai, event) = (Arc::clone(&caller.ai), id.clone());
    seen_through(async move { ai.describe_event(&event, &camera, picture).await }).await?;
    let event = caller.run(Lane::Read, move |caller| shown(caller, &id));
    event.await.map(Json)
}

/// The same under its other spelling.
#[utoipa::path(post, path = "/api/v1/events/{id}/reanalyze", tag = "ai", operation_id = "reanalyze_event", request_body = Option<ReanalyseRequest>,
    params(("id" = String, Path, description = "Id of the event.")),
    responses(
        (status = 200, body = Event, description = "What is known of it now."),
        (status = "default", body = super::error::ErrorBody, description = "Any failure."),
    ))]
pub(super) async fn reanalyze(
    caller: Caller,
    path: [String; 1],
    body: Option<Body<serde_json::Value>>,
) -> ApiResult<Json<Event>> {
    reanalyse(caller, path, body).await
}

/// The best picture of an event that the caller may know of, and its camera.
pub(super) async fn picture_of_event(caller: &Caller, id: String) -> ApiResult<(Picture, String)> {
    caller
        .run(Lane::Still, move |caller| {
            let event = caller.store.event(caller.principal(), &id)?;
            let jpeg = match caller.stills.kept_of_event(&id)? {
                Some(jpeg) => jpeg,
                None => {
                    let end_us = event.end_us.unwrap_or(event.start_us);
                    let middle = event.start_us + (end_us - event.start_us) / 2;
                    recorded(caller, &event.camera, middle, event.start_us)?
                }
            };
            Ok((Picture::of_bytes(jpeg)?, event.camera))
        })
        .await
}

/// A picture out of a recording: of a moment, or of another one where that is not recorded.
fn recorded(caller: &Caller, camera: &str, first_us: i64, else_us: i64) -> Result<Vec<u8>> {
    let at = |unix_us: i64| {
        let source = caller.stills.source(camera, unix_us)?;
        let wanted = Instant {
            unix_us,
            exact: false,
            height: Some(HEIGHT),
        };
        Ok::<_, Error>(caller.stills.picture(&source, wanted)?.jpeg)
    };
    at(first_us).or_else(|error| match error.kind() {
        ErrorKind::NotFound => at(else_us),
        _ => Err(error),
    })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageQuery {
    /// From this day on, UTC: `2026-01-31`, or a moment of it in RFC 3339.
    start_date: Option<String>,
    /// Up to and including this day, UTC.
    end_date: Option<String>,
}

/// What was asked of providers, and what it cost, by whole days of UTC.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    total_calls: u64,
    successful_calls: u64,
    failed_calls: u64,
    total_tokens: u64,
    total_cost: f64,
    avg_response_time_ms: f64,
    /// By the name of the provider, also of one that was removed.
    provider_breakdown: BTreeMap<String, ProviderUsage>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderUsage {
    calls: u64,
    /// Percent of the calls.
    success_rate: f64,
    tokens: u64,
    cost: f64,
}

/// What was asked of providers, and what it cost.
#[utoipa::path(get, path = "/api/v1/ai/usage", tag = "ai", operation_id = "ai_usage", params(UsageQuery), responses(
    (status = 200, body = Usage, description = "The sums."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn usage(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<UsageQuery>,
) -> ApiResult<Json<Usage>> {
    let from = day("start_date", query.start_date.as_deref())?;
    let to = day("end_date", query.end_date.as_deref())?;
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(ApiError::bad_request("start_date: is after end_date"));
    }
    let sums = caller
        .ai
        .usage(from.unwrap_or(0), to.unwrap_or(i64::from(i32::MAX)));
    let sums = sums.await?;
    let sum = |of: fn(&nvr_store::AiUsage) -> u64| sums.iter().map(of).sum::<u64>();
    let (calls, successes) = (sum(|one| one.calls), sum(|one| one.successes));
    let took = sum(|one| one.duration_ms);
    Ok(Json(Usage {
        total_calls: calls,
        successful_calls: successes,
        failed_calls: calls - successes,
        total_tokens: sum(|one| one.tokens),
        total_cost: sums.iter().map(|one| one.cost).sum(),
        avg_response_time_ms: if calls == 0 {
            0.0
        } else {
            took as f64 / calls as f64
        },
        provider_breakdown: sums
            .into_iter()
            .map(|one| {
                let usage = ProviderUsage {
                    calls: one.calls,
                    success_rate: one.successes as f64 * 100.0 / one.calls.max(1) as f64,
                    tokens: one.tokens,
                    cost: one.cost,
                };
                (one.provider, usage)
            })
            .collect(),
    }))
}

/// Days since 1970-01-01 UTC.
fn day(name: &str, text: Option<&str>) -> ApiResult<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let seconds = match text.parse::<jiff::Timestamp>() {
        Ok(moment) => Some(moment.as_second()),
        Err(_) => text
            .parse::<jiff::civil::Date>()
            .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC))
            .map(|day| day.timestamp().as_second())
            .ok(),
    };
    match seconds {
        Some(seconds) => Ok(Some(seconds.div_euclid(86_400))),
        None => Err(ApiError::bad_request(format!(
            "{name}: {text:?} is no day: use one like 2026-01-31"
        ))),
    }
}

/// What each provider can do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Capabilities {
    /// By the name of the provider.
    providers: BTreeMap<String, Capability>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Capability {
    /// Always false: pictures are sent, no films.
    video: bool,
    /// Seconds.
    max_video_duration: u32,
    max_video_size_mb: u32,
    /// Of films.
    supported_formats: Vec<String>,
    /// Pictures in one question.
    max_images: u32,
    /// Whether it is asked.
    configured: bool,
}

/// What each provider can do.
#[utoipa::path(get, path = "/api/v1/ai/capabilities", tag = "ai", operation_id = "ai_capabilities", responses(
    (status = 200, body = Capabilities, description = "Each provider by its name."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn capabilities(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<Capabilities>> {
    let all = caller
        .run(Lane::Read, |caller| caller.ai.providers())
        .await?;
    let of = |provider: crate::ai::ProviderView| {
        let provider = provider.row.provider;
        let capability = Capability {
            video: false,
            max_video_duration: 0,
            max_video_size_mb: 0,
            supported_formats: Vec::new(),
            max_images: 1,
            configured: provider.enabled,
        };
        (provider.name, capability)
    };
    Ok(Json(Capabilities {
        providers: all.into_iter().map(of).collect(),
    }))
}

/// How well the memory of what was seen before at each camera works, which goes along with a picture.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContextMetrics {
    /// 0 to 1.
    cache_hit_rate: f64,
    total_requests: u64,
    cache_hits: u64,
    cache_misses: u64,
    /// How often reading took too long, and a picture was described without.
    timeouts: u64,
    cache_ttl_seconds: u64,
    timeout_threshold_ms: u64,
    /// Cameras in it.
    cache_size: u64,
}

/// How well the memory of what was seen before works, since the start.
#[utoipa::path(get, path = "/api/v1/ai/context-metrics", tag = "ai", operation_id = "ai_context_metrics", responses(
    (status = 200, body = ContextMetrics, description = "The counters."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn context_metrics(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<ContextMetrics>> {
    let metrics = caller.ai.context_metrics();
    Ok(Json(ContextMetrics {
        cache_hit_rate: metrics.hits as f64 / metrics.requests.max(1) as f64,
        total_requests: metrics.requests,
        cache_hits: metrics.hits,
        cache_misses: metrics.misses,
        timeouts: metrics.timeouts,
        cache_ttl_seconds: metrics.ttl.as_secs(),
        timeout_threshold_ms: metrics.threshold.as_millis() as u64,
        cache_size: metrics.size,
    }))
}

/// Words to be made better.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefineRequest {
    /// The words so far.
    current_prompt: String,
    /// Whether earlier descriptions go along, beside what the cameras' own analysis saw.
    #[serde(default = "yes")]
    #[schema(default = true)]
    include_feedback: bool,
    /// How many of them.
    #[serde(default = "fifty")]
    #[schema(default = 50, minimum = 1, maximum = 100)]
    max_feedback_samples: u32,
}

fn yes() -> bool {
    true
}

fn fifty() -> u32 {
    50
}

/// Better words.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefinedPrompt {
    suggested_prompt: String,
    changes_summary: String,
    /// Descriptions that went along.
    feedback_analyzed: u32,
    /// Those that name what the camera's own analysis saw.
    positive_examples: u32,
    /// Those that do not.
    negative_examples: u32,
    provider_used: String,
}

/// Asks a provider for better words for the question. Nothing is changed by it.
#[utoipa::path(post, path = "/api/v1/ai/refine-prompt", tag = "ai", operation_id = "refine_prompt", request_body = RefineRequest, responses(
    (status = 200, body = RefinedPrompt, description = "The words."),
    (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
    (status = 503, body = super::error::ErrorBody, description = "No provider is configured, or none answers."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn refine_prompt(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<RefineRequest>,
) -> ApiResult<Json<RefinedPrompt>> {
    let wish = RefineWish {
        current_prompt: body.current_prompt,
        include_feedback: body.include_feedback,
        max_samples: body.max_feedback_samples,
    };
    let ai = Arc::clone(&caller.ai);
    let refined = seen_through(async move { ai.refine(wish).await }).await?;
    Ok(Json(RefinedPrompt {
        suggested_prompt: refined.suggested_prompt,
        changes_summary: refined.changes_summary,
        feedback_analyzed: refined.positive + refined.negative,
        positive_examples: refined.positive,
        negative_examples: refined.negative,
        provider_used: refined.provider,
    }))
}
