//! A camera as a client or the file describes it, and its way to and from a row of the store.

use std::collections::BTreeMap;

use nvr_base::{Error, Result, Secret};
use nvr_media::ParamValue;
use nvr_store::{CameraRow, NewCamera};

use crate::config::CameraConfig;
use crate::vault::Vault;

/// A camera as a client or the file describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraInput {
    /// Its name.
    pub name: String,
    /// What people call it, where that is not its name.
    pub title: Option<String>,
    /// Where its stream is; credentials in it are taken out.
    pub uri: String,
    /// Where its second, smaller stream is, which is analysed instead; credentials in it are taken out.
    pub sub_uri: Option<String>,
    /// User name at the camera.
    pub user: Option<String>,
    /// Password at the camera.
    pub password: Option<Secret>,
    /// Name of a pipeline description.
    pub pipeline: String,
    /// The knobs of the description.
    pub params: BTreeMap<String, ParamValue>,
    /// Whether it runs.
    pub enabled: bool,
}

/// The input of a camera of the file, with its password read where it stands apart.
///
/// # Errors
/// When the password file cannot be read.
pub fn input_of_config(config: CameraConfig) -> Result<CameraInput> {
    let password = match (&config.password_file, config.password) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Error::invalid(format!(
                    "camera {:?}: password_file: {}",
                    config.name,
                    Error::io(path, error)
                ))
            })?;
            Some(Secret::new(text.trim_end_matches(['\r', '\n'])))
        }
        (None, password) => password,
    };
    without_credentials_in_uri(CameraInput {
        name: config.name,
        title: config.title,
        uri: config.uri,
        sub_uri: config.sub_uri,
        user: config.user,
        password,
        pipeline: config.pipeline,
        params: config.params,
        enabled: config.enabled,
    })
}

/// Moves `user:password@` out of the URIs, so that it is never shown or logged.
///
/// # Errors
/// When a URI cannot do without them, or the two want different ones.
pub fn without_credentials_in_uri(mut input: CameraInput) -> Result<CameraInput> {
    let main = take_credentials("uri", &mut input.uri)?;
    let sub = match &mut input.sub_uri {
        Some(uri) => take_credentials("sub_uri", uri)?,
        None => None,
    };
    if let (Some(main), Some(sub)) = (&main, &sub)
        && main != sub
    {
        return Err(Error::invalid(
            "sub_uri: its user name or password is not that of uri, and a camera has one of each",
        ));
    }
    if let Some((user, password)) = main.or(sub) {
        input.user = input.user.or(Some(user));
        input.password = input.password.or(password);
    }
    Ok(input)
}

/// What a URI said before the `@`, which is cut out.
fn take_credentials(key: &str, uri: &mut String) -> Result<Option<(String, Option<Secret>)>> {
    let Ok(mut url) = url::Url::parse(uri) else {
        return Ok(None);
    };
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let plain = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let user = plain(url.username());
    let password = url.password().map(|password| Secret::new(plain(password)));
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| Error::invalid(format!("{key}: credentials are not allowed here")))?;
    *uri = url.into();
    Ok(Some((user, password)))
}

pub(super) fn row_of_input(input: &CameraInput, vault: &Vault) -> Result<NewCamera> {
    let params: serde_json::Map<String, serde_json::Value> = input
        .params
        .iter()
        .map(|(key, value)| (key.clone(), json_of_param(value)))
        .collect();
    let params_json = serde_json::to_string(&params)
        .map_err(|error| Error::internal("parameters do not serialise").with_source(error))?;
    Ok(NewCamera {
        name: input.name.clone(),
        title: input.title.clone(),
        uri: input.uri.clone(),
        sub_uri: input.sub_uri.clone(),
        pipeline: input.pipeline.clone(),
        params_json,
        enabled: input.enabled,
        user: input.user.clone(),
        password: input
            .password
            .as_ref()
            .map(|password| vault.seal(password.expose())),
    })
}

/// A camera whose password cannot be opened goes without it: the others record all the same.
pub(super) fn input_of_row(row: CameraRow, vault: &Vault) -> Result<CameraInput> {
    let params = serde_json::from_str(&row.params_json).map_err(|error| {
        Error::data_loss(format!(
            "camera {:?}: stored parameters are no JSON object",
            row.name
        ))
        .with_source(error)
    })?;
    let password = row.password.and_then(|sealed| {
        vault
            .open(&sealed)
            .inspect_err(|error| tracing::debug!(camera.id = row.name, %error, "no password"))
            .ok()
    });
    Ok(CameraInput {
        name: row.name,
        title: row.title,
        uri: row.uri,
        sub_uri: row.sub_uri,
        user: row.user,
        password,
        pipeline: row.pipeline,
        params,
        enabled: row.enabled,
    })
}

/// A knob's value as JSON.
pub fn json_of_param(value: &ParamValue) -> serde_json::Value {
    match value {
        ParamValue::Bool(value) => (*value).into(),
        ParamValue::Integer(value) => (*value).into(),
        ParamValue::Float(value) => (*value).into(),
        ParamValue::Text(value) => value.as_str().into(),
    }
}
