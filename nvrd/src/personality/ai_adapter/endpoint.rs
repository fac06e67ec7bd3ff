//! The one endpoint for models elsewhere, and how it is asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use nvr_base::{Error, Result, Secret};
use serde_json::{Map, Value, json};

use super::cloud::Body;
use crate::config::CloudConfig;
use crate::outbound::{Answer, Call, Outbound};

/// Largest answer.
const MAX_ANSWER: usize = 4 << 20;
/// Longest sentence of the endpoint that is repeated, characters.
const MAX_REASON: usize = 300;
/// Longest file of a token.
const MAX_TOKEN: u64 = 8 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Endpoint {
    config: CloudConfig,
    outbound: Arc<Outbound>,
}

impl Endpoint {
    /// The endpoint of a configuration, asked through a guard.
    pub(super) fn new(config: CloudConfig, outbound: Arc<Outbound>) -> Self {
        Self { config, outbound }
    }

    /// Asks a model, whose name is one; the answer is JSON of any shape.
    ///
    /// # Errors
    /// `Unavailable` with one sentence when no answer came that is one.
    pub(super) async fn call(
        &self,
        model: &str,
        body: Body,
        parameters: Map<String, Value>,
        token: Option<Secret>,
    ) -> Result<Value> {
        let mut url = self.config.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| Error::internal("the endpoint has no path"))?
            .pop_if_empty()
            .push("models")
            .extend(model.split('/'));
        let call = Call::new(Method::POST, url)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .time(Duration::from_secs(self.config.timeout_s.into()))
            .max_answer(MAX_ANSWER);
        let call = match body {
            Body::Picture(bytes) if parameters.is_empty() => {
                let kind = match bytes.starts_with(b"\x89PNG") {
                    true => "image/png",
                    false => "image/jpeg",
                };
                // Pictures of cameras are for this endpoint alone, wherever it may lead.
                call.body(kind, bytes, true)
            }
            Body::Picture(bytes) => {
                let inputs = STANDARD.encode(bytes);
                call.json(&json!({ "inputs": inputs, "parameters": parameters }), true)
            }
            Body::Values(inputs) => {
                call.json(&json!({ "inputs": inputs, "parameters": parameters }), true)
            }
        };
        // The server's own goes first, as the upstream program has it.
        let call = match self.token().await?.or(token) {
            Some(token) => {
                let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
                let bearer = bearer
                    .map_err(|_| Error::unavailable("api_token: it has characters no token has"))?;
                call.secret_header(AUTHORIZATION, bearer)
            }
            None => call,
        };
        told(self.outbound.call(call).await?)
    }

    /// The token of the configuration, read anew, so that a new one works at once.
    async fn token(&self) -> Result<Option<Secret>> {
        let Some(path) = self.config.token_file.clone() else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || read_token(&path)).await;
        read.map_err(|error| Error::internal("reading a token panicked").with_source(error))?
            .map(Some)
    }
}

fn read_token(path: &Path) -> Result<Secret> {
    use std::io::Read as _;
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_TOKEN).read_to_string(&mut text));
    read.map_err(|error| {
        tracing::warn!(path = %path.display(), %error, "the token of the endpoint cannot be read");
        Error::unavailable("personality.ai_adapter.cloud.token_file cannot be read")
    })?;
    Ok(Secret::new(text.trim()))
}

/// The answer's JSON, or in one sentence why there is none.
fn told(answer: Answer) -> Result<Value> {
    let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
    if (200..300).contains(&answer.status) {
        return json
            .ok_or_else(|| Error::unavailable("the endpoint answered something else than JSON"));
    }
    let reason = json.as_ref().and_then(|json| match &json["error"] {
        Value::String(reason) => Some(reason.as_str()),
        error => error["message"].as_str(),
    });
    let reason: String = reason
        .unwrap_or("no reason given")
        .chars()
        .take(MAX_REASON)
        .collect();
    let status = answer.status;
    Err(Error::unavailable(format!(
        "the endpoint answered {status}: {reason}"
    )))
}
