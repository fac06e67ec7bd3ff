//! Who describes pictures: the list of providers, one, and every way to change one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::body::{Body, present};
use super::context::Lane;
use super::error::ApiResult;
use super::query::{List, PageQuery, Query};
use super::reply::{Created, Json, NoContent};
use crate::ai::{ProviderChange, ProviderView};

/// A server that describes pictures.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AiProvider {
    id: String,
    name: String,
    /// Where its API begins; `/chat/completions` is added.
    base_url: String,
    model: String,
    /// Whether it has a key, which is never told.
    has_api_key: bool,
    /// Its own words for the question.
    prompt: Option<String>,
    /// Its place in the order in which providers are asked, from 0.
    order: u32,
    enabled: bool,
    timeout_s: u32,
    /// Longest side of the pictures that it is sent.
    max_image_px: u32,
    /// Price of 1000 tokens that go in.
    price_per_1k_input: f64,
    /// Price of 1000 tokens that come out.
    price_per_1k_output: f64,
    /// Failures in a row; after three it is left alone for a while.
    failures: u32,
    /// Seconds that it is left alone yet; `null` when it is asked.
    paused_for_s: Option<u64>,
    created_unix_us: i64,
    updated_unix_us: i64,
}

impl From<ProviderView> for AiProvider {
    fn from(view: ProviderView) -> Self {
        let (row, provider) = (&view.row, &view.row.provider);
        Self {
            id: row.id.clone(),
            name: provider.name.clone(),
            base_url: provider.base_url.clone(),
            model: provider.model.clone(),
            has_api_key: provider.api_key.is_some(),
            prompt: provider.prompt.clone(),
            order: row.rank,
            enabled: provider.enabled,
            timeout_s: provider.timeout_s,
            max_image_px: provider.max_image_px,
            price_per_1k_input: provider.price_in,
            price_per_1k_output: provider.price_out,
            failures: view.pause.failures,
            paused_for_s: view.pause.rest.map(|rest| rest.as_secs().max(1)),
            created_unix_us: row.created_us,
            updated_unix_us: row.updated_us,
        }
    }
}

/// A new provider.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAiProvider {
    /// Unique.
    name: String,
    /// Where its API begins: `http://10.0.0.7:11434/v1`, say. One on this machine needs `outbound.allow` in the file.
    base_url: String,
    model: String,
    /// Sent as `Authorization: Bearer`; sealed in the database, and never told.
    api_key: Option<String>,
    /// Its own words for the question.
    prompt: Option<String>,
    /// Its place in the order, from 0; the last unless given.
    order: Option<u32>,
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
    /// How long an answer may take; 30 unless given.
    #[schema(minimum = 1, maximum = 300)]
    timeout_s: Option<u32>,
    /// Longest side of the pictures that it is sent; 1024 unless given.
    #[schema(minimum = 64, maximum = 4096)]
    max_image_px: Option<u32>,
    /// Price of 1000 tokens that go in; 0 unless given.
    #[schema(minimum = 0, maximum = 1000)]
    price_per_1k_input: Option<f64>,
    /// Price of 1000 tokens that come out; 0 unless given.
    #[schema(minimum = 0, maximum = 1000)]
    price_per_1k_output: Option<f64>,
}

/// What changes of a provider; the rest stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AiProviderChange {
    name: Option<String>,
    /// A new place on another server forgets the key unless it comes along.
    base_url: Option<String>,
    model: Option<String>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    api_key: Option<Option<String>>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    prompt: Option<Option<String>>,
    order: Option<u32>,
    enabled: Option<bool>,
    #[schema(minimum = 1, maximum = 300)]
    timeout_s: Option<u32>,
    #[schema(minimum = 64, maximum = 4096)]
    max_image_px: Option<u32>,
    #[schema(minimum = 0, maximum = 1000)]
    price_per_1k_input: Option<f64>,
    #[schema(minimum = 0, maximum = 1000)]
    price_per_1k_output: Option<f64>,
}

fn yes() -> bool {
    true
}

impl From<NewAiProvider> for ProviderChange {
    fn from(new: NewAiProvider) -> Self {
        Self {
            name: Some(new.name),
            base_url: Some(new.base_url),
            model: Some(new.model),
            api_key: Some(new.api_key),
            prompt: Some(new.prompt),
            rank: new.order,
            enabled: Some(new.enabled),
            timeout_s: new.timeout_s,
            max_image_px: new.max_image_px,
            price_in: new.price_per_1k_input,
            price_out: new.price_per_1k_output,
        }
    }
}

impl From<AiProviderChange> for ProviderChange {
    fn from(change: AiProviderChange) -> Self {
        Self {
            name: change.name,
            base_url: change.base_url,
            model: change.model,
            api_key: change.api_key,
            prompt: change.prompt,
            rank: change.order,
            enabled: change.enabled,
            timeout_s: change.timeout_s,
            max_image_px: change.max_image_px,
            price_in: change.price_per_1k_input,
            price_out: change.price_per_1k_output,
        }
    }
}

/// What came of trying a provider.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AiProviderTest {
    success: bool,
    /// One sentence for people.
    message: String,
    /// What it said of a red square on grey.
    description: Option<String>,
    response_time_ms: u64,
    tokens_used: u64,
}

/// All providers, in the order in which they are asked.
#[utoipa::path(get, path = "/api/v1/ai/providers", tag = "ai", operation_id = "list_ai_providers", params(PageQuery), responses(
    (status = 200, body = List<AiProvider>, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<List<AiProvider>>> {
    let page = query.request()?;
    let all = caller
        .run(Lane::Read, |caller| caller.ai.providers())
        .await?;
    let total = all.len() as u64;
    let before = (page.page as usize - 1).saturating_mul(page.limit as usize);
    let here = all.into_iter().skip(before).take(page.limit as usize);
    let items = here.map(AiProvider::from).collect();
    Ok(Json(List::new(items, total, page)))
}

/// One provider.
#[utoipa::path(get, path = "/api/v1/ai/providers/{id}", tag = "ai", operation_id = "get_ai_provider",
    params(("id" = String, Path, description = "Id of the provider.")),
    responses(
        (status = 200, body = AiProvider, description = "The provider."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such provider."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<AiProvider>> {
    let found = caller.run(Lane::Read, move |caller| caller.ai.provider(&id));
    Ok(Json(found.await?.into()))
}

/// Adds a provider. Nothing is asked of it yet.
#[utoipa::path(post, path = "/api/v1/ai/providers", tag = "ai", operation_id = "create_ai_provider", request_body = NewAiProvider, responses(
    (status = 201, body = AiProvider, description = "The provider.", headers(("Location" = String, description = "Path of the provider."))),
    (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
    (status = 409, body = super::error::ErrorBody, description = "The name is taken."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn create(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<NewAiProvider>,
) -> ApiResult<Created<AiProvider>> {
    let made = caller.run(Lane::Change, move |caller| {
        caller.ai.add_provider(body.into())
    });
    let body = AiProvider::from(made.await?);
    Ok(Created {
        location: format!("/api/v1/ai/providers/{}", body.id),
        body,
    })
}

/// Changes some of a provider, its place in the order too.
#[utoipa::path(put, path = "/api/v1/ai/providers/{id}", tag = "ai", operation_id = "change_ai_provider", request_body = AiProviderChange,
    params(("id" = String, Path, description = "Id of the provider.")),
    responses(
        (status = 200, body = AiProvider, description = "The provider as it is now."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such provider."),
        (status = 409, body = super::error::ErrorBody, description = "The name is taken."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn change(
    caller: Caller,
    [id]: [String; 1],
    Body(body): Body<AiProviderChange>,
) -> ApiResult<Json<AiProvider>> {
    let changed = caller.run(Lane::Change, move |caller| {
        caller.ai.change_provider(&id, body.into())
    });
    Ok(Json(changed.await?.into()))
}

/// Removes a provider; what it cost stays counted.
#[utoipa::path(delete, path = "/api/v1/ai/providers/{id}", tag = "ai", operation_id = "delete_ai_provider",
    params(("id" = String, Path, description = "Id of the provider.")),
    responses(
        (status = 204, description = "It has gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such provider."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<NoContent> {
    let gone = caller.run(Lane::Change, move |caller| caller.ai.remove_provider(&id));
    gone.await.map(|()| NoContent)
}

/// Asks a provider about a small picture, enabled or not; that it does not answer is a result.
#[utoipa::path(post, path = "/api/v1/ai/providers/{id}/test", tag = "ai", operation_id = "test_ai_provider",
    params(("id" = String, Path, description = "Id of the provider.")),
    responses(
        (status = 200, body = AiProviderTest, description = "What it said, or why it did not."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such provider."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn test(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<Json<AiProviderTest>> {
    let tested = caller.ai.test_provider(&id).await?;
    let success = tested.result.error.is_none();
    Ok(Json(AiProviderTest {
        success,
        message: tested.message,
        description: success.then_some(tested.result.description),
        response_time_ms: tested.result.response_time_ms,
        tokens_used: tested.result.tokens,
    }))
}
