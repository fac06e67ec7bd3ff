//! One question to one provider in the chat interface of `OpenAI`, and what it said.

use std::time::Duration;

use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use nvr_base::{Error, Secret};
use nvr_store::NewAiProvider;
use serde::Deserialize;
use serde_json::{Value, json};

use super::picture::data_url;
use crate::outbound::{Answer, Call, Outbound};

/// Largest answer.
const MAX_ANSWER: usize = 4 << 20;
/// Most tokens that an answer may have.
const MAX_TOKENS: u32 = 800;
/// Longest rest that a provider may ask for.
const MAX_REST: Duration = Duration::from_secs(3600);

/// What is asked of whom.
pub(super) struct Chat<'a> {
    pub(super) provider: &'a NewAiProvider,
    pub(super) key: Option<&'a Secret>,
    pub(super) instruction: &'a str,
    pub(super) question: &'a str,
    pub(super) jpeg: Option<&'a [u8]>,
    /// Whether the answer shall be an object in JSON.
    pub(super) as_json: bool,
}

/// What a provider said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) tokens_in: u64,
    pub(super) tokens_out: u64,
}

/// Why it said nothing.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// For how long it wants to be left alone.
    pub(super) rest: Option<Duration>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, rest: None }
    }
}

impl Chat<'_> {
    /// Asks, once more in plainer words where the provider knows less of the interface.
    pub(super) async fn ask(&self, outbound: &Outbound) -> Result<Said, Failure> {
        let answer = self.send(outbound, &self.body(true)).await?;
        if !matches!(answer.status, 400 | 422) {
            return heard(&answer);
        }
        heard(&self.send(outbound, &self.body(false)).await?)
    }

    async fn send(&self, outbound: &Outbound, body: &Value) -> Result<Answer, Error> {
        let base = self.provider.base_url.trim_end_matches('/');
        let url = outbound.check_url("base_url", &format!("{base}/chat/completions"))?;
        let mut call = Call::new(Method::POST, url)
            .json(body, true)
            .time(Duration::from_secs(self.provider.timeout_s.into()))
            .max_answer(MAX_ANSWER);
        if let Some(key) = self.key {
            let bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
            let bearer = bearer.map_err(|_| {
                // The cause would show the key.
                Error::invalid("api_key: has characters that no header may have")
            })?;
            call = call.secret_header(AUTHORIZATION, bearer);
        }
        outbound.call(call).await
    }

    fn body(&self, whole: bool) -> Value {
        let mut content = vec![json!({"type": "text", "text": self.question})];
        if let Some(jpeg) = self.jpeg {
            content.push(json!({"type": "image_url", "image_url": {"url": data_url(jpeg)}}));
        }
        let mut body = json!({
            "model": self.provider.model,
            "messages": [
                {"role": "system", "content": self.instruction},
                {"role": "user", "content": content},
            ],
        });
        if whole {
            body["max_tokens"] = MAX_TOKENS.into();
            body["temperature"] = json!(0.2);
            if self.as_json {
                body["response_format"] = json!({"type": "json_object"});
            }
        }
        body
    }
}

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Content,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
    #[default]
    Nothing,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize, Default)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// What an answer says; never a word of what stands in one that is a failure, since it may echo the request.
fn heard(answer: &Answer) -> Result<Said, Failure> {
    let why = match answer.status {
        200..=299 => None,
        401 | 403 => Some("the key is refused"),
        404 => Some("there is no such path or model"),
        413 => Some("the picture is too large for it"),
        429 => Some("too many requests"),
        400 | 422 => Some("it does not understand the question"),
        500.. => Some("it has a fault"),
        _ => Some("that is no answer"),
    };
    if let Some(why) = why {
        return Err(Failure {
            error: Error::unavailable(format!("HTTP {}: {why}", answer.status)),
            rest: rest_of(&answer.headers),
        });
    }
    let completion: Completion = serde_json::from_slice(&answer.body)
        .map_err(|_| Error::unavailable("the answer is not that of a chat"))?;
    let text = match completion.choices.into_iter().next() {
        Some(choice) => match choice.message.content {
            Content::Text(text) => text,
            Content::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
            Content::Nothing => String::new(),
        },
        None => String::new(),
    };
    if text.trim().is_empty() {
        return Err(Error::unavailable("the answer is empty").into());
    }
    let usage = completion.usage.unwrap_or_default();
    // A counter that nobody reaches, so that sums of what a server claims never overflow.
    let counted = |tokens: u64| tokens.min(100_000_000);
    Ok(Said {
        text,
        tokens_in: counted(usage.prompt_tokens),
        tokens_out: counted(usage.completion_tokens),
    })
}

/// The rest that `Retry-After` asks for, in seconds; a date counts as a minute.
fn rest_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let rest = text
        .trim()
        .parse()
        .map_or(Duration::from_secs(60), Duration::from_secs);
    Some(rest.min(MAX_REST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        });
        Answer {
            status,
            headers: headers.collect(),
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn every_shape_of_an_answer_is_heard() {
        let check = |body: &str, expect: Option<(&str, u64, u64)>| {
            let got = heard(&answer(200, &[], body)).ok();
            let got = got
                .as_ref()
                .map(|said| (said.text.as_str(), said.tokens_in, said.tokens_out));
            assert_eq!(got, expect, "{body}");
        };
        check(
            r#"{"choices":[{"message":{"content":"a cat"}}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#,
            Some(("a cat", 7, 2)),
        );
        check(
            r#"{"choices":[{"message":{"content":[{"type":"text","text":"a "},{"type":"text","text":"cat"}]}}]}"#,
            Some(("a cat", 0, 0)),
        );
        check(
            r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":18446744073709551615}}"#,
            Some(("x", 100_000_000, 0)),
        );
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":[{"message":{"content":null}}]}"#,
            r#"{"choices":[{"message":{"content":"  "}}]}"#,
            r#"{"choices":"x"}"#,
            "<html>",
        ] {
            check(bad, None);
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        check(&deep, None);
    }

    #[test]
    fn a_rest_is_honoured_within_reason_and_nothing_is_repeated() {
        let check = |status: u16, headers: &[(&'static str, &str)], rest: Option<u64>| {
            let failure = heard(&answer(status, headers, "canary sk-123")).unwrap_err();
            assert_eq!(
                failure.rest,
                rest.map(Duration::from_secs),
                "{status} {headers:?}"
            );
            assert!(!failure.error.to_string().contains("canary"));
            assert!(failure.error.to_string().contains(&status.to_string()));
        };
        check(429, &[("retry-after", "7")], Some(7));
        check(503, &[("retry-after", "999999999")], Some(3600));
        check(
            503,
            &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")],
            Some(60),
        );
        for status in [301, 400, 401, 403, 404, 413, 418, 422, 500] {
            check(status, &[], None);
        }
    }
}
