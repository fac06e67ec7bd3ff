//! From what a client or the file describes to the desired state that the supervisor takes, with every problem named.

use nvr_base::{Error, Result, Secret, Slug};
use nvr_media::description::Descriptions;
use nvr_media::spec::{Credentials, is_live};
use nvr_media::{CameraSpec, ParamValue, StorageMark};

use super::CameraInput;

/// What a camera's input is checked against.
#[derive(Debug)]
pub struct SpecContext<'a> {
    /// The descriptions that cameras may name.
    pub descriptions: &'a Descriptions,
    /// The folder that relative paths among the knobs are meant from.
    pub config_folder: &'a std::path::Path,
    /// The folder of all recordings.
    pub recordings: &'a std::path::Path,
    /// Which storage that folder must be in.
    pub storage: Option<StorageMark>,
    /// The folder of all thumbnails.
    pub thumbnails: &'a std::path::Path,
}

/// The desired state of a camera.
///
/// # Errors
/// Every problem of the input, each with its field.
pub fn spec_of_input(input: &CameraInput, context: &SpecContext<'_>) -> Result<CameraSpec> {
    let name: Slug = input
        .name
        .parse()
        .map_err(|error| Error::invalid(format!("name: {error}")))?;
    let fail = |message: String| Error::invalid(format!("camera {:?}: {message}", name.as_str()));
    check_uri("uri", &input.uri).map_err(fail)?;
    if let Some(sub_uri) = &input.sub_uri {
        check_uri("sub_uri", sub_uri).map_err(fail)?;
        if is_live(sub_uri) != is_live(&input.uri) {
            return Err(fail(
                "sub_uri: one stream is live and the other one is not: add realtime=true to both or to none"
                    .to_owned(),
            ));
        }
    }
    let pipelines = context
        .descriptions
        .chain(&input.pipeline)
        .map_err(|error| fail(error.to_string()))?;
    let mut params = input.params.clone();
    for (key, value) in &mut params {
        let is_path = pipelines[0].params.get(key).is_some_and(|param| param.path);
        if let (true, ParamValue::Text(text)) = (is_path, &value) {
            *value = ParamValue::Text(context.config_folder.join(text).display().to_string());
        }
    }
    pipelines[0]
        .check_params(&params)
        .map_err(|problems| fail(problems.join("; ")))?;
    let credentials = credentials_of(input);
    Ok(CameraSpec {
        recordings: context.recordings.join(name.as_str()),
        storage: context.storage.clone(),
        thumbnails: context.thumbnails.to_owned(),
        uri: input.uri.clone(),
        sub_uri: input.sub_uri.clone(),
        enabled: input.enabled,
        name,
        credentials,
        pipelines,
        params,
    })
}

/// How to log in at the camera.
pub fn credentials_of(input: &CameraInput) -> Option<Credentials> {
    match (&input.user, &input.password) {
        (None, None) => None,
        (user, password) => Some(Credentials {
            user: user.clone().unwrap_or_default(),
            password: password.clone().unwrap_or_else(|| Secret::new("")),
        }),
    }
}

/// Whether the URI of that key has a scheme that is spoken.
///
/// # Errors
/// One sentence that names the schemes.
pub fn check_uri(key: &str, uri: &str) -> Result<(), String> {
    // Not shown: credentials cannot be cut out of what cannot be read.
    let url = url::Url::parse(uri).map_err(|error| format!("{key}: this is no URI: {error}"))?;
    let known = ["rtsp", "rtsps", "file", "test"];
    if known.contains(&url.scheme()) {
        Ok(())
    } else {
        Err(format!(
            "{key}: {}:// is not spoken: use {}",
            url.scheme(),
            known.map(|s| format!("{s}://")).join(", ")
        ))
    }
}
