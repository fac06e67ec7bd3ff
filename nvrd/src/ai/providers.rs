//! Providers as people manage them: what they may say, in which order they are asked, and whether they answer.

use nvr_base::{Error, Result};
use nvr_store::{AiProviderRow, NewAiProvider};

use super::breaker::Pause;
use super::{Ai, AiResult, blocking, picture};

/// Longest name of a provider or a model, bytes.
const MAX_NAME: usize = 100;
/// Longest key, bytes.
const MAX_KEY: usize = 1024;
/// Longest prompt, bytes.
pub(super) const MAX_PROMPT: usize = 8000;
/// Highest price of 1000 tokens.
const MAX_PRICE: f64 = 1000.0;

/// What a person says about a provider; what is absent stays, or takes its default in a new one.
#[derive(Default)]
pub struct ProviderChange {
    /// Unique.
    pub name: Option<String>,
    /// Where its API begins.
    pub base_url: Option<String>,
    /// Name of the model.
    pub model: Option<String>,
    /// Key of its API; `Some(None)` removes it.
    pub api_key: Option<Option<String>>,
    /// Its own words for the question; `Some(None)` removes them.
    pub prompt: Option<Option<String>>,
    /// Its place in the order, from 0.
    pub rank: Option<u32>,
    /// Whether it is asked.
    pub enabled: Option<bool>,
    /// How long an answer may take, seconds.
    pub timeout_s: Option<u32>,
    /// Longest side of the pictures it gets, pixels.
    pub max_image_px: Option<u32>,
    /// Price of 1000 tokens in.
    pub price_in: Option<f64>,
    /// Price of 1000 tokens out.
    pub price_out: Option<f64>,
}

/// A provider, and whether it is left alone for now.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderView {
    /// What is stored; its key is sealed.
    pub row: AiProviderRow,
    /// Whether it is left alone.
    pub pause: Pause,
}

/// What came of trying a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// What it said of a small picture.
    pub result: AiResult,
    /// One sentence for people.
    pub message: String,
}

impl Ai {
    /// All providers, in the order in which they are asked. Blocks.
    ///
    /// # Errors
    /// Those of the store.
    pub fn providers(&self) -> Result<Vec<ProviderView>> {
        let rows = self.store.ai_providers()?;
        Ok(rows.into_iter().map(|row| self.view(row)).collect())
    }

    /// One provider. Blocks.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn provider(&self, id: &str) -> Result<ProviderView> {
        Ok(self.view(self.store.ai_provider(id)?))
    }

    /// Adds a provider. Blocks.
    ///
    /// # Errors
    /// `InvalidArgument` that names the field, `AlreadyExists`, or `ResourceExhausted`.
    pub fn add_provider(&self, change: ProviderChange) -> Result<ProviderView> {
        let missing = |field: &str| Error::invalid(format!("{field}: is missing"));
        let new = NewAiProvider {
            name: change.name.clone().ok_or_else(|| missing("name"))?,
            base_url: change.base_url.clone().ok_or_else(|| missing("base_url"))?,
            model: change.model.clone().ok_or_else(|| missing("model"))?,
            api_key: None,
            prompt: None,
            enabled: true,
            timeout_s: 30,
            max_image_px: 1024,
            price_in: 0.0,
            price_out: 0.0,
        };
        let rank = change.rank;
        let new = self.changed(new, change)?;
        Ok(self.view(self.store.insert_ai_provider(&new, rank)?))
    }

    /// Changes a provider, and forgives it its failures. Blocks.
    ///
    /// A key stays only while the place that it is sent to does.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` that names the field, or `AlreadyExists`.
    pub fn change_provider(&self, id: &str, change: ProviderChange) -> Result<ProviderView> {
        let mut before = self.store.ai_provider(id)?.provider;
        let moved = |url: &String| origin(url) != origin(&before.base_url);
        if change.api_key.is_none()
            && before.api_key.is_some()
            && change.base_url.as_ref().is_some_and(moved)
        {
            // Whoever may move it could have the key sent to themselves otherwise.
            before.api_key = None;
        }
        let rank = change.rank;
        let after = self.changed(before, change)?;
        let row = self.store.update_ai_provider(id, &after, rank)?;
        self.forgive(id);
        Ok(self.view(row))
    }

    /// Removes a provider. Blocks.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn remove_provider(&self, id: &str) -> Result<()> {
        self.store.delete_ai_provider(id)?;
        self.forgive(id);
        Ok(())
    }

    /// Asks one provider about a small picture, enabled or not, and whatever happened before.
    ///
    /// # Errors
    /// `NotFound` if there is none; that it does not answer is a result.
    pub async fn test_provider(&self, id: &str) -> Result<Tested> {
        let (store, asked) = (self.store.clone(), id.to_owned());
        let row = blocking(move || store.ai_provider(&asked)).await??;
        self.forgive(id);
        let _turn = self.turn().await?;
        let sample = std::sync::Arc::new(blocking(|| picture::sample().decoded()).await??);
        Ok(match self.ask_one(&row, sample, None).await {
            Ok(result) => Tested {
                message: format!(
                    "{} answered in {} ms",
                    result.model.as_deref().unwrap_or("the model"),
                    result.response_time_ms
                ),
                result,
            },
            Err(error) => Tested {
                message: error.message().to_owned(),
                result: AiResult {
                    error: Some(error.message().to_owned()),
                    ..AiResult::default()
                },
            },
        })
    }

    fn view(&self, row: AiProviderRow) -> ProviderView {
        let pause = self.breaker(&row.id, |breaker, now| breaker.pause(now));
        ProviderView { row, pause }
    }

    /// What a provider is to become, with every field checked and the key sealed.
    fn changed(&self, before: NewAiProvider, change: ProviderChange) -> Result<NewAiProvider> {
        let mut after = before;
        if let Some(name) = change.name {
            after.name = word("name", &name)?;
        }
        if let Some(model) = change.model {
            after.model = word("model", &model)?;
        }
        if let Some(url) = change.base_url {
            after.base_url = self.base_url(&url)?;
        }
        if let Some(key) = change.api_key {
            let key = key.as_deref().map(key_of).transpose()?;
            after.api_key = key.map(|key| self.vault.seal(key));
        }
        if let Some(prompt) = change.prompt {
            after.prompt = prompt
                .map(|prompt| prompt_of("prompt", &prompt))
                .transpose()?;
        }
        after.enabled = change.enabled.unwrap_or(after.enabled);
        if let Some(seconds) = change.timeout_s {
            after.timeout_s = whole("timeout_s", seconds, 1, 300)?;
        }
        if let Some(pixels) = change.max_image_px {
            after.max_image_px = whole("max_image_px", pixels, 64, 4096)?;
        }
        if let Some(price) = change.price_in {
            after.price_in = price_of("price_per_1k_input", price)?;
        }
        if let Some(price) = change.price_out {
            after.price_out = price_of("price_per_1k_output", price)?;
        }
        Ok(after)
    }

    fn base_url(&self, text: &str) -> Result<String> {
        let text = text.trim().trim_end_matches('/');
        let url = self.outbound.check_url("base_url", text)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Error::invalid(
                "base_url: has a query or a fragment: use what stands before /chat/completions",
            ));
        }
        if url.path().ends_with("/chat/completions") {
            return Err(Error::invalid(
                "base_url: leave out /chat/completions, which is added",
            ));
        }
        Ok(text.to_owned())
    }
}

/// Where a URL leads, without its path.
fn origin(url: &str) -> Option<url::Origin> {
    url::Url::parse(url.trim()).ok().map(|url| url.origin())
}

fn word(field: &str, text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "{field}: use 1 to {MAX_NAME} bytes without control characters"
        )));
    }
    Ok(text.to_owned())
}

fn key_of(text: &str) -> Result<&str> {
    let text = text.trim();
    // A header may have no others, and the message must not show which one it is.
    match (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text),
        false => Err(Error::invalid(format!(
            "api_key: use 1 to {MAX_KEY} visible characters of ASCII"
        ))),
    }
}

/// Words for a model.
pub(super) fn prompt_of(field: &str, text: &str) -> Result<String> {
    let text = text.trim();
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.is_empty() || text.len() > MAX_PROMPT || text.chars().any(bad) {
        return Err(Error::invalid(format!(
            "{field}: use 1 to {MAX_PROMPT} bytes without control characters"
        )));
    }
    Ok(text.to_owned())
}

fn whole(field: &str, value: u32, min: u32, max: u32) -> Result<u32> {
    match (min..=max).contains(&value) {
        true => Ok(value),
        false => Err(Error::invalid(format!(
            "{field}: {value} is out of range: use {min} to {max}"
        ))),
    }
}

fn price_of(field: &str, value: f64) -> Result<f64> {
    match (0.0..=MAX_PRICE).contains(&value) {
        true => Ok(value),
        false => Err(Error::invalid(format!(
            "{field}: {value} is out of range: use 0 to {MAX_PRICE}"
        ))),
    }
}
