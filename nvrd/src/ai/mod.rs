//! Describes pictures in words: providers that are asked one after the other until one answers, what they know of a
//! camera, and what they cost.
//!
//! A provider is any server that speaks the chat interface of `OpenAI` with pictures, one on the local network say.
//! All calls go through the guard of `outbound`; nothing here runs while nobody asks.

mod picture;
mod chat;
mod answer;
mod breaker;
mod context;
mod refine;
mod providers;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nvr_base::{Clock, Error, Result};
use nvr_store::{AiProviderRow, AiUsage, EventDescription, NewDescription, Store};
use tokio::sync::{Semaphore, SemaphorePermit};

pub use breaker::Pause;
pub use context::ContextMetrics;
pub use picture::{MAX_PICTURE_BYTES, Picture};
pub use providers::{ProviderChange, ProviderView, Tested};
pub use refine::{RefineWish, Refined};

use self::answer::Described;
use self::breaker::Breaker;
use self::chat::Said;
use self::context::Contexts;
use crate::outbound::Outbound;
use crate::vault::Vault;

/// Requests at once that hold a picture in memory and ask providers.
const REQUESTS: usize = 4;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// What a picture shows, and what it cost to know.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AiResult {
    /// In words; empty where nobody answered.
    pub description: String,
    /// How sure the model is, 0 to 100; absent where it does not say.
    pub confidence: Option<u8>,
    /// `person`, `vehicle`, `animal`, `package`, or the model's own words; `unknown` where it names nothing.
    pub objects: Vec<String>,
    /// Who answered.
    pub provider: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens in and out, as the provider counts them.
    pub tokens: u64,
    /// How long the answer took, milliseconds.
    pub response_time_ms: u64,
    /// What it cost, by the prices of the provider.
    pub cost: f64,
    /// Why nobody answered, provider by provider.
    pub error: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Ai {
    store: Store,
    outbound: Arc<Outbound>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    breakers: Mutex<HashMap<String, Breaker>>,
    contexts: Contexts,
    turns: Semaphore,
}

impl Ai {
    /// Describes through this guard; keys are sealed by this vault.
    pub fn new(
        store: Store,
        outbound: Arc<Outbound>,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            contexts: Contexts::new(store.clone(), Arc::clone(&clock)),
            store,
            outbound,
            vault,
            clock,
            breakers: Mutex::default(),
            turns: Semaphore::new(REQUESTS),
        }
    }

    /// Describes a picture; of a camera's, what was seen there before goes along.
    ///
    /// That nobody answers is a result.
    ///
    /// # Errors
    /// `InvalidArgument` when it is no picture, `Unavailable` when no provider is enabled or too many ask at once.
    pub async fn describe(&self, picture: Picture, camera: Option<&str>) -> Result<AiResult> {
        let providers = self.enabled().await?;
        let _turn = self.turn().await?;
        // Its size and its kind, before anything else is done for it.
        let picture = blocking(move || picture.decoded()).await??;
        let picture = Arc::new(picture);
        let known = match camera {
            Some(camera) => self.contexts.of(camera).await,
            None => None,
        };
        let mut failures = Vec::new();
        for row in providers {
            let name = row.provider.name.clone();
            let asked = self.ask_one(&row, Arc::clone(&picture), known.as_deref());
            match asked.await {
                Ok(result) => return Ok(result),
                Err(error) => failures.push(format!("{name}: {}", error.message())),
            }
        }
        Ok(AiResult {
            error: Some(failures.join("; ")),
            ..AiResult::default()
        })
    }

    /// Describes the picture of an event and keeps the answer with it.
    ///
    /// # Errors
    /// Those of [`Ai::describe`], and `Unavailable` when nobody answers, which leaves an earlier answer as it is.
    pub async fn describe_event(
        &self,
        id: &str,
        camera: &str,
        picture: Picture,
    ) -> Result<EventDescription> {
        let result = self.describe(picture, Some(camera)).await?;
        if let Some(error) = result.error {
            return Err(Error::unavailable(error));
        }
        let (store, id) = (self.store.clone(), id.to_owned());
        let kept = blocking(move || {
            store.describe_event(
                &id,
                &NewDescription {
                    description: result.description,
                    provider: result.provider.unwrap_or_default(),
                    model: result.model.unwrap_or_default(),
                    confidence: result.confidence,
                    objects: result.objects,
                    tokens: result.tokens,
                    cost: result.cost,
                    response_time_ms: result.response_time_ms,
                },
            )
        });
        let kept = kept.await??;
        self.contexts.forget(camera);
        Ok(kept)
    }

    /// What was asked from day `from` to day `to`, by provider; days since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn usage(&self, from: i64, to: i64) -> Result<Vec<AiUsage>> {
        let store = self.store.clone();
        blocking(move || store.ai_usage(from, to)).await?
    }

    /// How well the cache of what is known of cameras works.
    pub fn context_metrics(&self) -> ContextMetrics {
        self.contexts.metrics()
    }

    /// The providers that may be asked, in their order.
    async fn enabled(&self) -> Result<Vec<AiProviderRow>> {
        let store = self.store.clone();
        let mut rows = blocking(move || store.ai_providers()).await??;
        rows.retain(|row| row.provider.enabled);
        match rows.is_empty() {
            true => Err(Error::precondition(
                "no AI provider is enabled: add one with POST /api/v1/ai/providers, \
                 which takes `name`, `base_url` and `model`",
            )),
            false => Ok(rows),
        }
    }

    /// A place among those that ask, before anything large is held in memory.
    async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        let turn = tokio::time::timeout(TURN, self.turns.acquire()).await;
        let turn = turn.map_err(|_| {
            Error::unavailable("too many pictures are described at once: try again")
        })?;
        Ok(turn.expect("nobody closes the lanes"))
    }

    async fn ask_one(
        &self,
        row: &AiProviderRow,
        picture: Arc<picture::Decoded>,
        known: Option<&str>,
    ) -> Result<AiResult> {
        let longest = row.provider.max_image_px;
        let jpeg = blocking(move || picture.jpeg(longest)).await??;
        let question = answer::question(row.provider.prompt.as_deref(), known);
        let began = self.clock.monotonic();
        let (said, cost) = self
            .talk(row, answer::INSTRUCTION, &question, Some(&jpeg), true)
            .await?;
        let took = self.clock.monotonic().saturating_sub(began);
        let Described {
            description,
            confidence,
            objects,
        } = answer::read(&said.text);
        Ok(AiResult {
            description,
            confidence,
            objects,
            provider: Some(row.provider.name.clone()),
            model: Some(row.provider.model.clone()),
            tokens: said.tokens_in + said.tokens_out,
            response_time_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            cost,
            error: None,
        })
    }

    /// One call of one provider: its breaker, its costs.
    async fn talk(
        &self,
        row: &AiProviderRow,
        instruction: &str,
        question: &str,
        jpeg: Option<&[u8]>,
        as_json: bool,
    ) -> Result<(Said, f64)> {
        self.breaker(&row.id, |breaker, now| breaker.may_call(now))
            .map_err(|rest| {
                Error::unavailable(format!(
                    "it failed before and is asked again in {} s",
                    rest.as_secs().max(1)
                ))
            })?;
        let key = match &row.provider.api_key {
            Some(sealed) => Some(self.vault.open(sealed)?),
            None => None,
        };
        let began = self.clock.monotonic();
        let chat = chat::Chat {
            provider: &row.provider,
            key: key.as_ref(),
            instruction,
            question,
            jpeg,
            as_json,
        };
        let said = chat.ask(&self.outbound).await;
        let took = self.clock.monotonic().saturating_sub(began);
        let cost = said.as_ref().map_or(0.0, |said| {
            (said.tokens_in as f64 * row.provider.price_in
                + said.tokens_out as f64 * row.provider.price_out)
                / 1000.0
        });
        self.breaker(&row.id, |breaker, now| match &said {
            Ok(_) => breaker.answered(),
            Err(failure) => breaker.failed(now, failure.rest),
        });
        let tokens = said
            .as_ref()
            .map_or(0, |said| said.tokens_in + said.tokens_out);
        let call = AiUsage {
            provider: row.provider.name.clone(),
            calls: 1,
            successes: u64::from(said.is_ok()),
            tokens,
            cost,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            ..AiUsage::default()
        };
        let store = self.store.clone();
        // The answer is worth more than its place in the sums.
        if let Err(error) = blocking(move || store.count_ai_call(&call)).await? {
            tracing::error!(%error, "the call of an AI provider is not counted");
        }
        match said {
            Ok(said) => Ok((said, cost)),
            Err(failure) => {
                let (provider, error) = (&row.provider.name, &failure.error);
                tracing::warn!(provider, %error, "an AI provider did not answer");
                Err(failure.error)
            }
        }
    }

    fn breaker<T>(&self, id: &str, work: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let now = self.clock.monotonic();
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        work(breakers.entry(id.to_owned()).or_default(), now)
    }

    /// Starts anew with a provider that was changed or has gone.
    fn forgive(&self, id: &str) {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        breakers.remove(id);
    }
}

/// Runs what blocks off the threads that serve requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("the work for a description panicked").with_source(error))
}
