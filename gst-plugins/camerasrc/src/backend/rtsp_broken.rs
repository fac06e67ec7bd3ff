//! Why a connection to an RTSP camera ended, in one word and in one sentence.

use std::fmt::Write;

use nvr_contract::source::LossReason;
use url::Url;

/// What a camera says about itself may be long; a sentence is not.
const LONGEST: usize = 240;

/// Why a connection ended.
#[derive(Debug, Clone)]
pub struct Broken {
    /// In one word.
    pub reason: LossReason,
    /// The rest of the sentence.
    pub detail: String,
    /// Another transport may do better.
    pub by_transport: bool,
}

impl Broken {
    /// A reason with its detail.
    pub fn new(reason: LossReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            by_transport: false,
        }
    }

    /// The same, where pictures may travel another way.
    #[must_use]
    pub fn blaming_transport(mut self) -> Self {
        self.by_transport = !matches!(
            self.reason,
            LossReason::Unreachable | LossReason::Unauthorized | LossReason::NotFound
        );
        self
    }

    /// What an error of the library means.
    pub fn of(error: &retina::Error) -> Self {
        let text = error.to_string();
        // The first line says what; the others quote addresses and packets.
        let line = text.lines().next().unwrap_or_default();
        let (reason, detail) = match error.status_code() {
            Some(401 | 403) => (LossReason::Unauthorized, line.to_owned()),
            Some(404 | 410 | 454) => (LossReason::NotFound, line.to_owned()),
            Some(code @ (453 | 500..)) => (
                LossReason::Unreachable,
                format!("it answers {code}, so it is busy or serves too many others"),
            ),
            Some(_) => (LossReason::Protocol, line.to_owned()),
            // The kind is private: the text is all there is to tell them apart.
            None if text.starts_with("Unable to connect") => {
                (LossReason::Unreachable, line.to_owned())
            }
            None if text.starts_with("Error reading from RTSP peer")
                || text.starts_with("Error writing to RTSP peer") =>
            {
                (LossReason::Ended, line.to_owned())
            }
            None if text.starts_with("Timeout") => (LossReason::Silent, line.to_owned()),
            None if text.starts_with("Unsupported") => {
                (LossReason::UnsupportedCodec, line.to_owned())
            }
            None => (LossReason::Protocol, line.to_owned()),
        };
        Self::new(reason, detail)
    }

    /// Which camera, and what about it; the address is all of the URL that is told.
    pub fn sentence(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let usual = if url.scheme() == "rtsps" { 322 } else { 554 };
        let camera = format!("camera at {host}:{}", url.port().unwrap_or(usual));
        let text = match self.reason {
            LossReason::Unreachable => format!("{camera} cannot be reached: {}", self.detail),
            LossReason::Unauthorized => format!("{camera} refuses the user name or the password"),
            LossReason::NotFound => {
                format!("{camera} has no such stream: check the path of the URI")
            }
            _ => format!("{camera}: {}", self.detail),
        };
        shown(&text)
    }
}

/// One line of bounded length out of whatever a camera sent.
fn shown(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if line.len() >= LONGEST {
            line.push('…');
            break;
        }
        if character.is_control() {
            // Writing to a string does not fail.
            write!(line, "{}", character.escape_default()).ok();
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_the_camera_and_stay_short() {
        let url = Url::parse("rtsp://user:secret@cam:8554/x?key=secret").unwrap();
        for (reason, detail, expected) in [
            (
                LossReason::Unauthorized,
                "anything",
                "camera at cam:8554 refuses the user name or the password",
            ),
            (
                LossReason::Protocol,
                "a\u{1b}[31mb",
                "camera at cam:8554: a\\u{1b}[31mb",
            ),
        ] {
            assert_eq!(Broken::new(reason, detail).sentence(&url), expected);
        }
        let long = Broken::new(LossReason::Protocol, "x".repeat(100_000)).sentence(&url);
        assert!(long.len() < 260 && long.ends_with('…'), "{long}");
        assert!(!long.contains("secret"));
    }

    #[test]
    fn only_some_reasons_speak_for_another_transport() {
        for (reason, by_transport) in [
            (LossReason::Unauthorized, false),
            (LossReason::NotFound, false),
            (LossReason::Unreachable, false),
            (LossReason::Protocol, true),
            (LossReason::Silent, true),
            (LossReason::Ended, true),
        ] {
            let broken = Broken::new(reason, "x").blaming_transport();
            assert_eq!(broken.by_transport, by_transport, "{reason}");
        }
    }
}
