//! The desired state of one camera, as the supervisor takes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nvr_base::{Secret, Slug};
use serde::Deserialize;

use crate::Description;

/// The value of a knob.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ParamValue {
    /// A switch.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A text, the nick of an enumeration too.
    Text(String),
}

impl std::fmt::Display for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// Where the credentials of a camera stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// How the storage folder that a camera writes to is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageMark {
    /// The file that says which storage it is.
    pub file: PathBuf,
    /// What it must say.
    pub id: String,
}

/// What one camera shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraSpec {
    /// Its name.
    pub name: Slug,
    /// Where its stream is, without credentials.
    pub uri: String,
    /// Where its second stream is, which is analysed instead; without credentials.
    pub sub_uri: Option<String>,
    /// How to log in.
    pub credentials: Option<Credentials>,
    /// The wanted description and its fallbacks; never empty.
    pub pipelines: Vec<Description>,
    /// The knobs that are turned.
    pub params: BTreeMap<String, ParamValue>,
    /// Folder of its segments.
    pub recordings: PathBuf,
    /// Which storage that folder must be in; without it, any is taken.
    pub storage: Option<StorageMark>,
    /// Folder of the thumbnails of events.
    pub thumbnails: PathBuf,
    /// Whether it shall run.
    pub enabled: bool,
}

impl CameraSpec {
    /// Whether the source gives pictures at its own pace, whoever waits.
    pub fn is_live(&self) -> bool {
        is_live(&self.uri)
    }
}

/// Whether a source gives pictures at its own pace: cameras do, files only with `realtime=true`, scenes unless `realtime=false`.
pub fn is_live(uri: &str) -> bool {
    let (scheme, rest) = uri.split_once(':').unwrap_or_default();
    let query = rest
        .split_once('?')
        .map(|(_, query)| query)
        .unwrap_or_default();
    let says = |pair: &str| query.split('&').any(|item| item == pair);
    match scheme {
        "file" => says("realtime=true"),
        "test" => !says("realtime=false"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_waits() {
        let check = |uri: &str, live: bool| assert_eq!(is_live(uri), live, "{uri}");
        check("rtsp://h/a", true);
        check("file:///a.mp4", false);
        check("file:///a.mp4?loop=true&realtime=true", true);
        check("test://ball", true);
        check("test://visits?frames=9&realtime=false", false);
    }
}
