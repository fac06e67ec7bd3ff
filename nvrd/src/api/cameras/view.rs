//! Cameras as clients see them; a password never leaves.

use std::collections::BTreeMap;

use base64::Engine as _;
use nvr_media::probe::Probe;
use nvr_media::{CameraState, CameraStatus, ParamValue};
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::super::access::Caller;
use super::super::time::rfc3339;
use crate::cameras::{CameraView, Origin, Tested};

/// The value of a knob: a number, a text, or true or false.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "use a number, a text, or true or false")]
pub(in crate::api) enum Param {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

// By hand: one of whole number and number would refuse whole numbers, which are both.
impl PartialSchema for Param {
    fn schema() -> RefOr<Schema> {
        let types = [Type::Boolean, Type::Number, Type::String];
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter(types))
            .description(Some(
                "The value of a knob: a number, a text, or true or false.",
            ))
            .into()
    }
}

impl ToSchema for Param {}

impl From<Param> for ParamValue {
    fn from(value: Param) -> Self {
        match value {
            Param::Bool(value) => Self::Bool(value),
            Param::Integer(value) => Self::Integer(value),
            Param::Float(value) => Self::Float(value),
            Param::Text(value) => Self::Text(value),
        }
    }
}

impl From<ParamValue> for Param {
    fn from(value: ParamValue) -> Self {
        match value {
            ParamValue::Bool(value) => Self::Bool(value),
            ParamValue::Integer(value) => Self::Integer(value),
            ParamValue::Float(value) => Self::Float(value),
            ParamValue::Text(value) => Self::Text(value),
        }
    }
}

/// A camera: what it shall be and what it is. What is not known is `null`.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Camera {
    name: String,
    /// Where its stream is, without credentials.
    uri: String,
    /// Where its second stream is, without credentials; it is analysed instead of the first.
    sub_uri: Option<String>,
    /// User name at the camera.
    user: Option<String>,
    /// Whether a password is set; the password itself is never told.
    has_password: bool,
    /// Name of the pipeline description that is wanted.
    pipeline: String,
    /// The knobs of the description that are turned.
    params: BTreeMap<String, Param>,
    /// Whether it shall run.
    enabled: bool,
    /// Whether it stands in the configuration file, and can be changed only there.
    read_only: bool,
    /// Where it is served again.
    rtsp_url: String,
    status: Status,
}

/// What a camera is.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = CameraStatus)]
pub(in crate::api) struct Status {
    state: State,
    /// Since when, microseconds since 1970-01-01 UTC.
    since_unix_us: Option<i64>,
    /// The same in RFC 3339.
    since: Option<String>,
    /// One sentence, when not all is well.
    detail: Option<String>,
    /// Why no pictures come: `unreachable`, `unauthorized`, `not_found`, `unsupported_codec`, `silent`, `ended`,
    /// `protocol`, `damaged`.
    loss: Option<String>,
    /// The description that runs, which may be a fallback of the wanted one.
    pipeline: Option<String>,
    /// Whether a file is being written.
    recording: bool,
    /// `h264` or `h265`.
    codec: Option<String>,
    width: Option<i32>,
    height: Option<i32>,
    /// Pictures per second as the stream declares it.
    fps: Option<f64>,
    /// How often the pipeline was built anew after a failure.
    restarts: u32,
    /// How many pipelines hung while they started or stopped, and were left behind.
    abandoned: u32,
}

#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CameraState)]
pub(in crate::api) enum State {
    /// Not wanted, at the end of its file, or unable to run: the detail says so.
    #[default]
    Stopped,
    /// Waits for the first picture.
    Starting,
    /// Pictures come and every wanted element works.
    Running,
    /// Not all is well: the detail says what.
    Degraded,
    /// Failed, and about to be tried again.
    Backoff,
}

/// What a camera sent when it was tried.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::api) struct TestResult {
    /// Whether a picture came.
    success: bool,
    /// One sentence on why not.
    detail: Option<String>,
    /// `h264` or `h265`.
    codec: Option<String>,
    width: Option<i32>,
    height: Option<i32>,
    /// Pictures per second as measured, or else as declared.
    fps: Option<f64>,
    /// Seconds between key frames, as measured.
    keyframe_interval_s: Option<f64>,
    /// Bits per second, as measured.
    bitrate: Option<f64>,
    /// Whether there is an audio stream.
    audio: Option<bool>,
    /// A picture: `data:image/jpeg;base64,…`.
    thumbnail: Option<String>,
    /// What the second stream sent, where there is one.
    sub: Option<StreamResult>,
}

/// What a second stream sent when it was tried.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct StreamResult {
    /// Whether a picture came.
    success: bool,
    /// One sentence on why not.
    detail: Option<String>,
    /// `h264` or `h265`.
    codec: Option<String>,
    width: Option<i32>,
    height: Option<i32>,
    /// Pictures per second as measured, or else as declared.
    fps: Option<f64>,
}

impl From<nvr_base::Result<Probe>> for StreamResult {
    fn from(probed: nvr_base::Result<Probe>) -> Self {
        let (probe, error) = match probed {
            Ok(probe) => (Some(probe), None),
            Err(error) => (None, Some(error)),
        };
        let probe = probe.as_ref();
        Self {
            success: error.is_none(),
            detail: error.map(|error| error.message().to_owned()),
            codec: probe.map(|probe| probe.codec.as_str().to_owned()),
            width: probe.map(|probe| probe.width),
            height: probe.map(|probe| probe.height),
            fps: probe.and_then(|probe| probe.fps.or(probe.declared_fps)),
        }
    }
}

impl TestResult {
    /// No picture came.
    pub(super) fn failed(detail: &str) -> Self {
        Self {
            detail: Some(detail.to_owned()),
            ..Self::default()
        }
    }
}

impl From<Tested> for TestResult {
    fn from(tested: Tested) -> Self {
        let probe = tested.main;
        let base64 = |jpeg: &[u8]| base64::engine::general_purpose::STANDARD.encode(jpeg);
        Self {
            success: true,
            detail: None,
            codec: Some(probe.codec.as_str().to_owned()),
            width: Some(probe.width),
            height: Some(probe.height),
            fps: probe.fps.or(probe.declared_fps),
            keyframe_interval_s: probe.keyframe_interval_s,
            bitrate: probe.bitrate,
            audio: Some(probe.audio),
            thumbnail: probe
                .thumbnail
                .map(|jpeg| format!("data:image/jpeg;base64,{}", base64(&jpeg))),
            sub: tested.sub.map(StreamResult::from),
        }
    }
}

/// The camera for a client.
pub(super) fn camera_of(caller: &Caller, view: CameraView) -> Camera {
    let status = match view.status {
        Some(status) => status_of(status),
        // The supervisor does not know it: the input says why, if it is to run at all.
        None => Status {
            detail: caller
                .cameras
                .spec(&view.input)
                .err()
                .map(|error| error.to_string()),
            ..Status::default()
        },
    };
    Camera {
        status,
        rtsp_url: format!(
            "rtsp://{}/{}",
            caller.cameras.rtsp_address(),
            view.input.name
        ),
        read_only: view.origin == Origin::File,
        has_password: view.input.password.is_some(),
        name: view.input.name,
        uri: view.input.uri,
        sub_uri: view.input.sub_uri,
        user: view.input.user,
        pipeline: view.input.pipeline,
        params: view
            .input
            .params
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect(),
        enabled: view.input.enabled,
    }
}

fn status_of(status: CameraStatus) -> Status {
    let (width, height) = status.size.unzip();
    Status {
        state: match status.state {
            CameraState::Stopped => State::Stopped,
            CameraState::Starting => State::Starting,
            CameraState::Running => State::Running,
            CameraState::Degraded => State::Degraded,
            CameraState::Backoff => State::Backoff,
        },
        since_unix_us: Some(status.since_unix_us),
        since: rfc3339(status.since_unix_us),
        detail: status.detail,
        loss: status.loss.map(|loss| loss.as_str().to_owned()),
        pipeline: Some(status.pipeline),
        recording: status.recording,
        codec: status.codec.map(|codec| codec.as_str().to_owned()),
        width,
        height,
        fps: status.fps,
        restarts: status.restarts,
        abandoned: status.abandoned,
    }
}
