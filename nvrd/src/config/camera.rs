//! `[[camera]]`: one camera of the file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nvr_base::Secret;
use nvr_media::ParamValue;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::RetentionConfig;

/// One camera of the file.
#[derive(Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraConfig {
    /// `[a-z0-9-]`; also the RTSP mount.
    pub name: String,
    /// What people call it; its name unless given.
    pub title: Option<String>,
    /// The stream that is recorded.
    pub uri: String,
    /// A second, smaller stream of the camera, which is analysed instead.
    pub sub_uri: Option<String>,
    /// User name at the camera; also taken from the URI.
    pub user: Option<String>,
    /// Password at the camera, in the file.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
    /// A file that holds the password, so that it does not stand here.
    #[schema(value_type = Option<String>)]
    pub password_file: Option<PathBuf>,
    /// Name of a pipeline description; `motion` unless given.
    #[serde(default = "motion")]
    pub pipeline: String,
    /// The knobs of the description.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub params: BTreeMap<String, ParamValue>,
    /// How long its recordings are kept, where that differs from `[retention]`.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// Whether it runs; true unless given.
    #[serde(default = "yes")]
    pub enabled: bool,
}

// By hand: debug output ends in logs, and a URI may hold a password.
impl std::fmt::Debug for CameraConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CameraConfig")
            .field("name", &self.name)
            .field("pipeline", &self.pipeline)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

fn motion() -> String {
    "motion".to_owned()
}

fn yes() -> bool {
    true
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}
