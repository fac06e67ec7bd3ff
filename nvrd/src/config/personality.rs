//! `[personality.*]`: listeners that speak the language of other programs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use url::Url;
use utoipa::ToSchema;

/// `[personality]`
#[derive(Debug, Clone, PartialEq, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PersonalityConfig {
    /// The AI adapter; it listens when its section is there.
    #[schema(default = json!(null))]
    pub ai_adapter: Option<AiAdapterConfig>,
}

/// `[personality.ai_adapter]`
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AiAdapterConfig {
    /// Whether it listens; true unless given.
    pub enabled: bool,
    /// Address and port; `127.0.0.1:9100` unless given. Port 0 takes a free one.
    #[schema(value_type = String)]
    pub listen: SocketAddr,
    /// Whether it encrypts, with the certificate of `[tls]`.
    pub tls: bool,
    /// Whether a key or a log-in is asked for, as the API does; false unless given.
    pub auth: bool,
    /// An ONNX model that detects objects; persons and objects need it.
    #[schema(value_type = Option<String>)]
    pub detector: Option<PathBuf>,
    /// An ONNX model that detects faces.
    #[schema(value_type = Option<String>)]
    pub faces: Option<PathBuf>,
    /// Where tasks for models elsewhere go.
    #[schema(default = json!(null))]
    pub cloud: Option<CloudConfig>,
}

/// `[personality.ai_adapter.cloud]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudConfig {
    /// An address that answers in the shape of Hugging Face's inference API at `/models/<name>` below it.
    #[serde(deserialize_with = "address")]
    #[schema(value_type = String)]
    pub endpoint: Url,
    /// A file with the token for it; without one a request must bring its own, if the endpoint wants one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub token_file: Option<PathBuf>,
    /// Longest wait for an answer, seconds; 30 unless given.
    #[serde(default = "thirty")]
    pub timeout_s: u32,
}

/// Never repeats what it read: somebody may have put a password into it.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).map_err(|error| D::Error::custom(format!("endpoint: is no address: {error}")))
}

fn thirty() -> u32 {
    30
}

impl Default for AiAdapterConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([127, 0, 0, 1], 9100)),
            tls: false,
            auth: false,
            detector: None,
            faces: None,
            cloud: None,
        }
    }
}

impl PersonalityConfig {
    /// The AI adapter, if it shall listen.
    pub fn listening_adapter(&self) -> Option<&AiAdapterConfig> {
        self.ai_adapter.as_ref().filter(|adapter| adapter.enabled)
    }

    /// Means relative paths from `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Some(adapter) = &mut self.ai_adapter {
            let token = adapter.cloud.as_mut().map(|cloud| &mut cloud.token_file);
            for path in [&mut adapter.detector, &mut adapter.faces]
                .into_iter()
                .chain(token)
            {
                *path = path.take().map(|path| folder.join(path));
            }
        }
    }

    /// Models and files that the adapter names and that are not there.
    pub fn missing_files(&self) -> Vec<String> {
        let Some(adapter) = self.listening_adapter() else {
            return Vec::new();
        };
        let token = adapter.cloud.as_ref();
        [
            ("detector", &adapter.detector),
            ("faces", &adapter.faces),
            (
                "cloud.token_file",
                token.map_or(&None, |cloud| &cloud.token_file),
            ),
        ]
        .into_iter()
        .filter_map(|(key, path)| Some((key, path.as_ref()?)))
        .filter(|(_, path)| !path.is_file())
        .map(|(key, path)| {
            format!(
                "personality.ai_adapter.{key}: {} does not exist",
                path.display()
            )
        })
        .collect()
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let Some(adapter) = self.listening_adapter() else {
            return problems;
        };
        if let Some(cloud) = &adapter.cloud {
            problems.extend(cloud.problems());
        }
        problems
    }
}

impl CloudConfig {
    fn problems(&self) -> Vec<String> {
        let key = "personality.ai_adapter.cloud";
        let mut problems = Vec::new();
        let url = &self.endpoint;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            problems.push(format!(
                "{key}.endpoint: use an address that begins with https:// or http://"
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            problems.push(format!(
                "{key}.endpoint: credentials do not belong into an address: use token_file"
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            problems.push(format!(
                "{key}.endpoint: leave out what follows the path: /models/<name> is added to it"
            ));
        }
        if !(1..=300).contains(&self.timeout_s) {
            problems.push(format!(
                "{key}.timeout_s: {} is out of range: use 1 to 300",
                self.timeout_s
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(section: &str) -> Result<Config, String> {
        let text = format!("[storage]\npath = \"d\"\n{section}");
        Config::parse(&text, Path::new("/etc/nvrd")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_adapter_listens_when_its_section_is_there() {
        let check = |section: &str, expect: Option<&str>| {
            let config = parse(section).unwrap();
            let listen = config.personality.listening_adapter();
            let listen = listen.map(|adapter| adapter.listen.to_string());
            assert_eq!(listen.as_deref(), expect, "{section}");
        };
        check("", None);
        check("[personality.ai_adapter]", Some("127.0.0.1:9100"));
        check("[personality.ai_adapter]\nenabled = false", None);
        // What does not listen is not judged.
        check(
            "[personality.ai_adapter]\nlisten = \"0.0.0.0:9100\"\nenabled = false",
            None,
        );
    }

    #[test]
    fn paths_are_meant_from_the_file() {
        let section = "[personality.ai_adapter]\ndetector = \"a.onnx\"\n[personality.ai_adapter.cloud]\nendpoint = \"https://h/x\"\ntoken_file = \"/run/t\"";
        let adapter = parse(section).unwrap().personality.ai_adapter.unwrap();
        assert_eq!(
            adapter.detector.as_deref(),
            Some(Path::new("/etc/nvrd/a.onnx"))
        );
        let cloud = adapter.cloud.unwrap();
        assert_eq!(cloud.token_file.as_deref(), Some(Path::new("/run/t")));
        assert_eq!(cloud.timeout_s, 30);
    }

    #[test]
    fn mistakes_name_their_key() {
        let check = |section: &str, expect: &str| {
            let error = parse(section).unwrap_err();
            assert!(error.contains(expect), "{section} -> {error}");
        };
        check(
            "[personality.ai_adapter]\nlisten = \"0.0.0.0:9100\"",
            "personality.ai_adapter.listen: 0.0.0.0:9100 is reached by other machines",
        );
        check(
            "[personality.ai_adapter]\nlisten = \"127.0.0.1:8000\"",
            "personality.ai_adapter.listen: 127.0.0.1:8000 is api.listen already",
        );
        check(
            "[personality.ai_adapter]\ntls = true",
            "personality.ai_adapter.tls: there is no certificate",
        );
        check("[personality.ai_adaptor]", "did you mean `ai_adapter`?");
        let cloud = "[personality.ai_adapter.cloud]\nendpoint =";
        check(&format!("{cloud} \"ftp://h\""), "cloud.endpoint: use");
        check(
            &format!("{cloud} \"https://u:p@h\""),
            "cloud.endpoint: credentials",
        );
        check(
            &format!("{cloud} \"https://h?x=1\""),
            "cloud.endpoint: leave out",
        );
        check(
            &format!("{cloud} \"https://h\"\ntimeout_s = 0"),
            "cloud.timeout_s: 0 is out of range",
        );
        assert!(
            !parse(&format!("{cloud} \"https://u:hunter2@h\""))
                .unwrap_err()
                .contains("hunter2")
        );
    }
}
