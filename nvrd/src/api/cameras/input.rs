//! Cameras as clients describe them: whole, or by what changes.

use std::collections::{BTreeMap, BTreeSet};

use nvr_base::{Error, Result, Secret, Slug};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::body::present;
use super::view::Param;
use crate::cameras::CameraInput;

/// Longest user name, password or name of a pipeline, in bytes.
const MAX_WORD: usize = 256;
/// Longest name for people, in characters.
const MAX_TITLE: usize = 100;
/// Longest URI, in bytes.
const MAX_URI: usize = 2048;

/// A new camera. The names of ArgusAI and OpenNVR work beside ours.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NewCamera {
    /// What it is called. One of 1 to 64 of `a-z`, `0-9` and `-`, with a letter or digit at both ends, is its id too;
    /// of any other text one is made.
    name: String,
    /// Its id in paths and files, where that is not made of the name; never changes.
    id: Option<String>,
    /// Where its stream is: `rtsp://…`, `file://…` or `test://…`. Credentials in it are taken out. Also `rtsp_url`.
    #[serde(alias = "rtsp_url")]
    uri: String,
    /// Where its second, smaller stream is, which is analysed instead. Credentials in it are taken out. Also `substream_url`.
    #[serde(alias = "substream_url")]
    sub_uri: Option<String>,
    /// User name at the camera; also taken from the URI. Also `username`.
    #[serde(alias = "username")]
    user: Option<String>,
    /// Password at the camera; also taken from the URI.
    password: Option<String>,
    /// Name of a pipeline description; `motion` unless given.
    pipeline: Option<String>,
    /// The knobs of the description.
    #[serde(default)]
    params: BTreeMap<String, Param>,
    /// Whether it runs. Also `is_enabled` and `is_active`.
    #[serde(default = "yes", alias = "is_enabled", alias = "is_active")]
    #[schema(default = true)]
    enabled: bool,
    /// `rtsp`.
    #[serde(rename = "type", alias = "source_type")]
    #[expect(dead_code, reason = "read and checked, not used")]
    source: Option<Source>,
    /// Whether motion is looked for, where no description is named.
    motion_enabled: Option<bool>,
    /// How little counts as motion, where the knob `sensitivity` is not turned.
    motion_sensitivity: Option<Sensitivity>,
    /// Taken for clients of ArgusAI, without effect: every picture is recorded.
    #[schema(minimum = 1, maximum = 30)]
    #[expect(dead_code, reason = "read and checked, not used")]
    frame_rate: Option<FrameRate>,
    /// Taken for clients of ArgusAI, without effect: events are held together by the description's knobs.
    #[schema(minimum = 0, maximum = 300)]
    #[expect(dead_code, reason = "read and checked, not used")]
    motion_cooldown: Option<Cooldown>,
    /// Taken for clients of ArgusAI, without effect: there is one algorithm.
    #[expect(dead_code, reason = "read and checked, not used")]
    motion_algorithm: Option<Algorithm>,
}

/// Where a camera's pictures come from.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CameraSource)]
pub(in crate::api) enum Source {
    /// Over the network.
    Rtsp,
}

/// How little counts as motion.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MotionSensitivity)]
pub(in crate::api) enum Sensitivity {
    /// 0.3
    Low,
    /// 0.5
    Medium,
    /// 0.8
    High,
}

impl Sensitivity {
    fn value(self) -> f64 {
        match self {
            Self::Low => 0.3,
            Self::Medium => 0.5,
            Self::High => 0.8,
        }
    }
}

/// ArgusAI's names of algorithms.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MotionAlgorithm)]
pub(in crate::api) enum Algorithm {
    Mog2,
    Knn,
    FrameDiff,
}

/// Pictures per second, 1 to 30.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "u32")]
#[schema(value_type = u32)]
pub(in crate::api) struct FrameRate(#[expect(dead_code, reason = "only checked")] u32);

impl TryFrom<u32> for FrameRate {
    type Error = &'static str;

    fn try_from(value: u32) -> Result<Self, Self::Error> {
        (1..=30)
            .contains(&value)
            .then_some(Self(value))
            .ok_or("use 1 to 30")
    }
}

/// Seconds, 0 to 300.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "u32")]
#[schema(value_type = u32)]
pub(in crate::api) struct Cooldown(#[expect(dead_code, reason = "only checked")] u32);

impl TryFrom<u32> for Cooldown {
    type Error = &'static str;

    fn try_from(value: u32) -> Result<Self, Self::Error> {
        (value <= 300).then_some(Self(value)).ok_or("use 0 to 300")
    }
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
    #[serde(alias = "rtsp_url")]
    uri: String,
    /// Where its second stream is; it is tried too.
    #[serde(alias = "substream_url")]
    sub_uri: Option<String>,
    /// User name at the camera.
    #[serde(alias = "username")]
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
    #[serde(default = "yes", alias = "is_enabled", alias = "is_active")]
    #[schema(default = true)]
    enabled: bool,
    /// `rtsp`.
    #[serde(rename = "type", alias = "source_type")]
    #[expect(dead_code, reason = "read and checked, not used")]
    source: Option<Source>,
}

/// What changes; the rest stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct CameraChange {
    /// What it is called; its id stays.
    name: Option<String>,
    /// Its id, if it is given; it never changes.
    id: Option<String>,
    /// Where its stream is. Credentials in it replace both user and password.
    #[serde(alias = "rtsp_url")]
    uri: Option<String>,
    /// Where its second stream is; `null` removes it. Credentials in it replace both user and password.
    #[serde(default, deserialize_with = "present", alias = "substream_url")]
    #[schema(value_type = Option<String>)]
    sub_uri: Option<Option<String>>,
    /// User name at the camera; `null` removes it.
    #[serde(default, deserialize_with = "present", alias = "username")]
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
    #[serde(alias = "is_enabled", alias = "is_active")]
    enabled: Option<bool>,
    /// `rtsp`.
    #[serde(rename = "type", alias = "source_type")]
    #[expect(dead_code, reason = "read and checked, not used")]
    source: Option<Source>,
    /// Whether motion is looked for, where no description is named.
    motion_enabled: Option<bool>,
    /// How little counts as motion, where the knob `sensitivity` is not turned.
    motion_sensitivity: Option<Sensitivity>,
    /// Taken for clients of ArgusAI, without effect: every picture is recorded.
    #[schema(minimum = 1, maximum = 30)]
    #[expect(dead_code, reason = "read and checked, not used")]
    frame_rate: Option<FrameRate>,
    /// Taken for clients of ArgusAI, without effect: events are held together by the description's knobs.
    #[schema(minimum = 0, maximum = 300)]
    #[expect(dead_code, reason = "read and checked, not used")]
    motion_cooldown: Option<Cooldown>,
    /// Taken for clients of ArgusAI, without effect: there is one algorithm.
    #[expect(dead_code, reason = "read and checked, not used")]
    motion_algorithm: Option<Algorithm>,
}

/// The description without analysis, and the one that looks for motion.
pub(super) const RECORD: &str = "record";
const MOTION: &str = "motion";
/// The knob of motion descriptions that says how little counts.
const SENSITIVITY: &str = "sensitivity";

fn motion() -> String {
    MOTION.to_owned()
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
        let (name, title) = named(self.name, self.id)?;
        let pipeline = self.pipeline.unwrap_or_else(|| {
            let word = if self.motion_enabled == Some(false) {
                RECORD
            } else {
                MOTION
            };
            word.to_owned()
        });
        let mut params = values(self.params);
        turn_sensitivity(&mut params, &pipeline, self.motion_sensitivity);
        checked(CameraInput {
            name,
            title,
            uri: self.uri,
            sub_uri: self.sub_uri,
            user: self.user,
            password: self.password.map(Secret::new),
            pipeline,
            params,
            enabled: self.enabled,
        })
    }
}

/// Turns the knob where it is not turned already, and the description has it.
fn turn_sensitivity(
    params: &mut BTreeMap<String, nvr_media::ParamValue>,
    pipeline: &str,
    sensitivity: Option<Sensitivity>,
) {
    if let Some(sensitivity) = sensitivity.filter(|_| pipeline != RECORD) {
        params
            .entry(SENSITIVITY.to_owned())
            .or_insert(nvr_media::ParamValue::Float(sensitivity.value()));
    }
}

/// Id and title of a camera that is called `name`.
fn named(name: String, id: Option<String>) -> Result<(String, Option<String>)> {
    let title = checked_title(&name)?;
    let id = id.unwrap_or_else(|| slug_of(&name));
    id.parse::<Slug>()
        .map_err(|error| Error::invalid(format!("name: {error}")))?;
    let title = title.filter(|title| *title != id);
    Ok((id, title))
}

fn checked_title(name: &str) -> Result<Option<String>> {
    let title = name.trim();
    if title.chars().count() > MAX_TITLE || title.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "name: use 1 to {MAX_TITLE} characters, none of them a control character"
        )));
    }
    Ok((!title.is_empty()).then(|| title.to_owned()))
}

/// The id that is made of a name: its letters and digits in lower case, with single dashes for all between them.
fn slug_of(name: &str) -> String {
    if name.parse::<Slug>().is_ok() {
        return name.to_owned();
    }
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(64);
    slug.trim_matches('-').to_owned()
}

impl CameraToTest {
    /// The camera, as far as it can be checked without the descriptions.
    pub(super) fn into_input(self) -> Result<CameraInput> {
        checked(CameraInput {
            name: self.name,
            title: None,
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

impl CameraChange {
    /// What a camera is to become.
    pub(super) fn applied(self, before: CameraInput) -> Result<CameraInput> {
        let mut after = before;
        if let Some(id) = self.id.filter(|id| *id != after.name) {
            return Err(Error::invalid(format!(
                "id: {id:?} is not the id in the path, and an id never changes"
            )));
        }
        if let Some(name) = self.name {
            after.title = checked_title(&name)?.filter(|title| *title != after.name);
        }
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
        after.pipeline = match (self.pipeline, self.motion_enabled) {
            (Some(pipeline), _) => pipeline,
            (None, Some(false)) => RECORD.to_owned(),
            (None, Some(true)) if after.pipeline == RECORD => MOTION.to_owned(),
            (None, _) => after.pipeline,
        };
        after.enabled = self.enabled.unwrap_or(after.enabled);
        let named_knobs: BTreeSet<String> = self.params.keys().cloned().collect();
        for (key, value) in self.params {
            match value {
                Some(value) => after.params.insert(key, value.into()),
                None => after.params.remove(&key),
            };
        }
        if self.motion_sensitivity.is_some() && !named_knobs.contains(SENSITIVITY) {
            after.params.remove(SENSITIVITY);
            turn_sensitivity(&mut after.params, &after.pipeline, self.motion_sensitivity);
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
            title: None,
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

    fn made(text: &str) -> Result<CameraInput> {
        serde_json::from_str::<NewCamera>(text)
            .map_err(|error| Error::invalid(error.to_string()))?
            .into_input()
    }

    #[test]
    fn a_name_for_people_makes_an_id() {
        let check = |name: &str, id: &str, title: Option<&str>| {
            let text = serde_json::json!({"name": name, "uri": "rtsp://h/"}).to_string();
            let input = made(&text).unwrap();
            assert_eq!(
                (input.name.as_str(), input.title.as_deref()),
                (id, title),
                "{name}"
            );
        };
        check("front", "front", None);
        check("Front Door", "front-door", Some("Front Door"));
        check(" ../../etc/passwd ", "etc-passwd", Some("../../etc/passwd"));
        check(&"Ab".repeat(50), &"ab".repeat(32), Some(&"Ab".repeat(50)));
        for bad in ["", "///", "日本", &"x".repeat(101), "a\u{7}b"] {
            let text = serde_json::json!({"name": bad, "uri": "rtsp://h/"}).to_string();
            assert!(
                made(&text).unwrap_err().to_string().starts_with("name: "),
                "{bad}"
            );
        }
        let text = r#"{"name": "日本", "id": "japan", "uri": "rtsp://h/"}"#;
        let input = made(text).unwrap();
        assert_eq!(
            (input.name.as_str(), input.title.as_deref()),
            ("japan", Some("日本"))
        );
        assert_eq!(
            changed(r#"{"name": "Back Door"}"#).title.as_deref(),
            Some("Back Door")
        );
        assert_eq!(changed(r#"{"name": "front"}"#).title, None);
    }

    #[test]
    fn the_names_of_other_systems_work() {
        let text = r#"{"name": "a", "type": "rtsp", "rtsp_url": "rtsp://h/1", "substream_url": "rtsp://h/2",
            "username": "u", "password": "p", "is_enabled": false, "motion_enabled": true,
            "motion_sensitivity": "high", "frame_rate": 5, "motion_cooldown": 60, "motion_algorithm": "mog2"}"#;
        let input = made(text).unwrap();
        assert_eq!(
            (input.uri.as_str(), input.sub_uri.as_deref()),
            ("rtsp://h/1", Some("rtsp://h/2"))
        );
        assert_eq!((input.user.as_deref(), input.enabled), (Some("u"), false));
        assert_eq!(input.pipeline, "motion");
        assert_eq!(
            input.params["sensitivity"],
            nvr_media::ParamValue::Float(0.8)
        );
        assert_eq!(
            made(r#"{"name": "a", "uri": "rtsp://h/", "motion_enabled": false}"#)
                .unwrap()
                .pipeline,
            "record"
        );
        for bad in [
            r#"{"name": "a", "uri": "rtsp://h/", "rtsp_url": "rtsp://h/"}"#,
            r#"{"name": "a", "uri": "rtsp://h/", "type": "usb"}"#,
            r#"{"name": "a", "uri": "rtsp://h/", "frame_rate": 31}"#,
            r#"{"name": "a", "uri": "rtsp://h/", "homekit": true}"#,
        ] {
            assert!(made(bad).is_err(), "{bad}");
        }
        assert_eq!(changed(r#"{"motion_enabled": false}"#).pipeline, "record");
        assert_eq!(
            changed(r#"{"motion_sensitivity": "low"}"#).params["sensitivity"],
            nvr_media::ParamValue::Float(0.3)
        );
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
