//! Cameras as clients describe them: whole, or by what changes.

use std::collections::BTreeMap;

use nvr_base::{Error, Result, Secret};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::body::present;
use super::view::Param;
use crate::cameras::CameraInput;

/// Longest user name, password or name of a pipeline, in bytes.
const MAX_WORD: usize = 256;
/// Longest URI, in bytes.
const MAX_URI: usize = 2048;

/// A new camera.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NewCamera {
    /// 1 to 64 of `a-z`, `0-9` and `-`, with a letter or digit at both ends; never changes.
    name: String,
    /// Where its stream is: `rtsp://…`, `file://…` or `test://…`. Credentials in it are taken out.
    uri: String,
    /// Where its second, smaller stream is, which is analysed instead. Credentials in it are taken out.
    sub_uri: Option<String>,
    /// User name at the camera; also taken from the URI.
    user: Option<String>,
    /// Password at the camera; also taken from the URI.
    password: Option<String>,
    /// Name of a pipeline description.
    #[serde(default = "motion")]
    #[schema(default = "motion")]
    pipeline: String,
    /// The knobs of the description.
    #[serde(default)]
    params: BTreeMap<String, Param>,
    /// Whether it runs.
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
}

/// A camera to be tried, saved nowhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct CameraToTest {
    /// A name for messages.
    #[serde(default = "test")]
    #[schema(default = "test")]
    name: String,
    /// Where its stream is.
    uri: String,
    /// Where its second stream is; it is tried too.
    sub_uri: Option<String>,
    /// User name at the camera.
    user: Option<String>,
    /// Password at the camera.
    password: Option<String>,
    /// Name of a pipeline description; it is checked, not run.
    #[serde(default = "motion")]
    #[schema(default = "motion")]
    pipeline: String,
    /// The knobs of the description; they are checked, not used.
    #[serde(default)]
    params: BTreeMap<String, Param>,
    /// Of no meaning here.
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
}

/// All that a camera shall be; what is absent takes its default, but for the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct WholeCamera {
    /// The name in the path, if given.
    name: Option<String>,
    /// Where its stream is.
    uri: String,
    /// Where its second, smaller stream is, which is analysed instead. Credentials in it are taken out.
    sub_uri: Option<String>,
    /// User name at the camera.
    user: Option<String>,
    /// Password at the camera. Since it cannot be read, an absent one stays as long as the user does; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    password: Option<Option<String>>,
    /// Name of a pipeline description.
    #[serde(default = "motion")]
    #[schema(default = "motion")]
    pipeline: String,
    /// The knobs of the description.
    #[serde(default)]
    params: BTreeMap<String, Param>,
    /// Whether it runs.
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
}

/// What changes; the rest stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct CameraChange {
    /// Where its stream is. Credentials in it replace both user and password.
    uri: Option<String>,
    /// Where its second stream is; `null` removes it. Credentials in it replace both user and password.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    sub_uri: Option<Option<String>>,
    /// User name at the camera; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    user: Option<Option<String>>,
    /// Password at the camera; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    password: Option<Option<String>>,
    /// Name of a pipeline description.
    pipeline: Option<String>,
    /// Knobs to turn; `null` gives one its default back, those that are absent stay.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Param>)]
    params: BTreeMap<String, Option<Param>>,
    /// Whether it runs.
    enabled: Option<bool>,
}

fn motion() -> String {
    "motion".to_owned()
}

fn test() -> String {
    "test".to_owned()
}

fn yes() -> bool {
    true
}

impl NewCamera {
    /// The camera, as far as it can be checked without the descriptions.
    pub(super) fn into_input(self) -> Result<CameraInput> {
        checked(CameraInput {
            name: self.name,
            uri: self.uri,
            sub_uri: self.sub_uri,
            user: self.user,
            password: self.password.map(Secret::new),
            pipeline: self.pipeline,
            params: values(self.params),
            enabled: self.enabled,
        })
    }
}

impl CameraToTest {
    /// The camera, as far as it can be checked without the descriptions.
    pub(super) fn into_input(self) -> Result<CameraInput> {
        checked(CameraInput {
            name: self.name,
            uri: self.uri,
            sub_uri: self.sub_uri,
            user: self.user,
            password: self.password.map(Secret::new),
            pipeline: self.pipeline,
            params: values(self.params),
            enabled: self.enabled,
        })
    }
}

impl WholeCamera {
    /// What a camera is to become.
    pub(super) fn applied(self, before: CameraInput) -> Result<CameraInput> {
        if let Some(name) = self.name.filter(|name| *name != before.name) {
            return Err(Error::invalid(format!(
                "name: {name:?} is not the name in the path, and a name never changes"
            )));
        }
        let stays = before
            .password
            .filter(|_| self.user == before.user && !has_credentials(&self.uri))
            .filter(|_| !self.sub_uri.as_deref().is_some_and(has_credentials));
        checked(CameraInput {
            name: before.name,
            uri: self.uri,
            sub_uri: self.sub_uri,
            user: self.user,
            password: self
                .password
                .map_or(stays, |password| password.map(Secret::new)),
            pipeline: self.pipeline,
            params: values(self.params),
            enabled: self.enabled,
        })
    }
}

impl CameraChange {
    /// What a camera is to become.
    pub(super) fn applied(self, before: CameraInput) -> Result<CameraInput> {
        let mut after = before;
        if let Some(uri) = self.uri {
            if has_credentials(&uri) {
                after.user = None;
                after.password = None;
            }
            after.uri = uri;
        }
        if let Some(sub_uri) = self.sub_uri {
            if sub_uri.as_deref().is_some_and(has_credentials) {
                after.user = None;
                after.password = None;
            }
            after.sub_uri = sub_uri;
        }
        if let Some(user) = self.user {
            after.user = user;
        }
        if let Some(password) = self.password {
            after.password = password.map(Secret::new);
        }
        after.pipeline = self.pipeline.unwrap_or(after.pipeline);
        after.enabled = self.enabled.unwrap_or(after.enabled);
        for (key, value) in self.params {
            match value {
                Some(value) => after.params.insert(key, value.into()),
                None => after.params.remove(&key),
            };
        }
        checked(after)
    }
}

fn values(params: BTreeMap<String, Param>) -> BTreeMap<String, nvr_media::ParamValue> {
    params
        .into_iter()
        .map(|(key, value)| (key, value.into()))
        .collect()
}

fn has_credentials(uri: &str) -> bool {
    url::Url::parse(uri).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

/// Bounds the texts, and keeps out what no camera can want.
fn checked(input: CameraInput) -> Result<CameraInput> {
    let password = input.password.as_ref().map(Secret::expose);
    let texts = [
        ("uri", Some(input.uri.as_str()), MAX_URI),
        ("sub_uri", input.sub_uri.as_deref(), MAX_URI),
        ("user", input.user.as_deref(), MAX_WORD),
        ("password", password, MAX_WORD),
        ("pipeline", Some(input.pipeline.as_str()), MAX_WORD),
    ];
    for (name, text, most) in texts {
        let text = text.unwrap_or_default();
        if text.len() > most {
            return Err(Error::invalid(format!("{name}: longer than {most} bytes")));
        }
        if text.chars().any(char::is_control) {
            return Err(Error::invalid(format!("{name}: holds a control character")));
        }
    }
    Ok(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before() -> CameraInput {
        CameraInput {
            name: "front".to_owned(),
            uri: "rtsp://10.0.0.5/1".to_owned(),
            sub_uri: Some("rtsp://10.0.0.5/2".to_owned()),
            user: Some("admin".to_owned()),
            password: Some(Secret::new("old")),
            pipeline: "motion".to_owned(),
            params: BTreeMap::from([("a".to_owned(), nvr_media::ParamValue::Integer(1))]),
            enabled: true,
        }
    }

    fn changed(text: &str) -> CameraInput {
        serde_json::from_str::<CameraChange>(text)
            .unwrap()
            .applied(before())
            .unwrap()
    }

    fn replaced(text: &str) -> CameraInput {
        serde_json::from_str::<WholeCamera>(text)
            .unwrap()
            .applied(before())
            .unwrap()
    }

    #[test]
    fn a_change_leaves_the_rest() {
        assert_eq!(changed("{}"), before());
        assert_eq!(changed(r#"{"password": null}"#).password, None);
        assert_eq!(changed(r#"{"user": null}"#).user, None);
        assert_eq!(changed(r#"{"sub_uri": null}"#).sub_uri, None);
        let second = changed(r#"{"sub_uri": "rtsp://root:new@10.0.0.5/2"}"#);
        assert_eq!((second.user, second.password), (None, None));
        assert_eq!(changed(r#"{"params": {"b": true}}"#).params.len(), 2);
        assert_eq!(changed(r#"{"params": {"a": null}}"#).params.len(), 0);
        assert!(!changed(r#"{"enabled": false}"#).enabled);
        // The cameras take them out of the URI where none are set.
        let moved = changed(r#"{"uri": "rtsp://root:new@10.0.0.6/1"}"#);
        assert_eq!((moved.user, moved.password), (None, None));
    }

    #[test]
    fn a_password_that_cannot_be_read_survives_a_whole_camera() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(replaced(text).password, expect.map(Secret::new), "{text}");
        };
        check(r#"{"uri": "rtsp://h/", "user": "admin"}"#, Some("old"));
        check(
            r#"{"uri": "rtsp://h/", "user": "admin", "password": null}"#,
            None,
        );
        check(
            r#"{"uri": "rtsp://h/", "user": "admin", "password": "new"}"#,
            Some("new"),
        );
        check(r#"{"uri": "rtsp://h/", "user": "other"}"#, None);
        check(r#"{"uri": "rtsp://h/"}"#, None);
        check(
            r#"{"uri": "rtsp://h/", "sub_uri": "rtsp://a:b@h/2", "user": "admin"}"#,
            None,
        );
        check(r#"{"uri": "rtsp://admin:new@h/", "user": "admin"}"#, None);
        assert!(replaced(r#"{"uri": "rtsp://h/"}"#).params.is_empty());
    }

    #[test]
    fn texts_are_bounded() {
        let check = |text: &str, expect: &str| {
            let change: CameraChange = serde_json::from_str(text).unwrap();
            assert_eq!(
                change.applied(before()).unwrap_err().to_string(),
                expect,
                "{text}"
            );
        };
        check(r#"{"user": "a\u0000b"}"#, "user: holds a control character");
        check(
            &format!(r#"{{"password": "{}"}}"#, "x".repeat(257)),
            "password: longer than 256 bytes",
        );
        check(
            &format!(r#"{{"uri": "rtsp://{}"}}"#, "x".repeat(2048)),
            "uri: longer than 2048 bytes",
        );
    }
}
