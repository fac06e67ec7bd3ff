//! Cameras as clients see them; a password never leaves.

use std::collections::BTreeMap;

use base64::Engine as _;
use nvr_media::probe::Probe;
use nvr_media::{CameraState, CameraStatus, ParamValue};
use nvr_store::PageRequest;
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::super::access::Caller;
use super::super::query::Shared;
use super::super::time::rfc3339;
use super::input::RECORD;
use crate::cameras::{CameraInput, CameraView, Origin, Tested};

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
    /// What paths, files and the RTSP mount go by; never changes.
    id: String,
    /// What people call it; its id unless they call it something else.
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
    restream_url: String,
    status: Status,
    #[serde(flatten)]
    names: OtherNames,
}

/// The same camera in the words of ArgusAI and OpenNVR.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct OtherNames {
    /// `rtsp`, `file` or `test`.
    #[serde(rename = "type")]
    source: String,
    /// The same.
    source_type: String,
    /// Where its stream is, without credentials.
    rtsp_url: String,
    /// Where its second stream is, without credentials.
    substream_url: Option<String>,
    /// User name at the camera.
    username: Option<String>,
    /// Whether it shall run.
    is_enabled: bool,
    /// Whether it shall run.
    is_active: bool,
    /// Whether its description looks for motion.
    motion_enabled: bool,
    /// Pictures per second as the stream declares it.
    frame_rate: Option<f64>,
    /// Whether pictures come: `null` while that is not known.
    live_online: Option<bool>,
    /// Whether it is to be recorded while it runs.
    recording_enabled: bool,
    /// `recording`, `not_recording`, `stalled` or `off`.
    recording_state: &'static str,
    /// Until when it is on disk, RFC 3339.
    last_recording_at: Option<String>,
    /// RFC 3339; `null` for a camera of the configuration file.
    created_at: Option<String>,
    /// RFC 3339; `null` for a camera of the configuration file.
    updated_at: Option<String>,
}

/// A page of cameras, under the names of every client.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct CameraList {
    /// The cameras of this page.
    #[schema(value_type = Vec<Camera>)]
    items: Shared<Camera>,
    /// The same, as OpenNVR calls them.
    #[schema(value_type = Vec<Camera>)]
    cameras: Shared<Camera>,
    /// Cameras on all pages together.
    total: u64,
    /// This page, counted from 1.
    page: u32,
    /// Most cameras on a page.
    limit: u32,
    /// Pages; 0 when there is no camera.
    pages: u64,
}

impl CameraList {
    /// The page of a list of `total` cameras that `request` asked for.
    pub(super) fn new(items: Vec<Camera>, total: u64, request: PageRequest) -> Self {
        let items = Shared::new(items);
        Self {
            cameras: items.clone(),
            items,
            total,
            page: request.page,
            limit: request.limit,
            pages: total.div_ceil(u64::from(request.limit)),
        }
    }
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
    /// What is decoded for the analysis; `null` when nothing is.
    decoding: Option<Decoding>,
}

/// How much of a camera's pictures is decoded, and why; as of the last second that was recorded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CameraDecoding)]
pub(in crate::api) struct Decoding {
    /// Whether every picture is decoded at the moment, not the key frames alone.
    all: bool,
    /// Why it is: `mode`, `learning`, `motion`, `request`, `schedule`, `unanswered`, `bypass`.
    reason: Option<String>,
    /// What the stream lacks, so that it must be: `no-keyframes`, `intra-refresh`, `open-gop`, `no-timestamps`.
    bypass: Option<String>,
    /// Pictures decoded by pictures that came, since the pipeline was built.
    share: f64,
    /// How often it went over to every picture.
    opened: u64,
    /// The latest time between two key frames.
    keyframe_interval_s: Option<f64>,
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
    /// One sentence on what came, or on why nothing did.
    message: String,
    /// `h264` or `h265`.
    codec: Option<String>,
    width: Option<i32>,
    height: Option<i32>,
    /// `1920x1080`
    resolution: Option<String>,
    /// Pictures per second as measured, or else as declared.
    fps: Option<f64>,
    /// Seconds between key frames, as measured.
    keyframe_interval_s: Option<f64>,
    /// One sentence on what to change at the camera so that an idle one costs little, when there is something.
    advice: Option<String>,
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
            message: detail.to_owned(),
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
            message: format!(
                "a picture came: {} {}x{}",
                probe.codec.as_str(),
                probe.width,
                probe.height
            ),
            resolution: Some(format!("{}x{}", probe.width, probe.height)),
            codec: Some(probe.codec.as_str().to_owned()),
            width: Some(probe.width),
            height: Some(probe.height),
            fps: probe.fps.or(probe.declared_fps),
            keyframe_interval_s: probe.keyframe_interval_s,
            advice: probe.advice,
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
    let names = other_names(caller, &view.input, &status, view.stored_us);
    Camera {
        names,
        status,
        restream_url: format!("rtsp://{}/{}", caller.rtsp_authority(), view.input.name),
        read_only: view.origin == Origin::File,
        has_password: view.input.password.is_some(),
        name: view.input.title.unwrap_or_else(|| view.input.name.clone()),
        id: view.input.name,
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

fn other_names(
    caller: &Caller,
    input: &CameraInput,
    status: &Status,
    stored_us: Option<(i64, i64)>,
) -> OtherNames {
    let source = input.uri.split(':').next().unwrap_or_default();
    let source = match source {
        "rtsps" => "rtsp",
        other => other,
    };
    let (now, live) = (caller.clock.monotonic(), caller.live.camera(&input.name));
    let recording = live.map(|live| live.recording(now));
    let (writes, should) = recording
        .as_ref()
        .map_or((false, false), |it| (it.writes, it.should_write));
    let (created_us, updated_us) = stored_us.unzip();
    OtherNames {
        source: source.to_owned(),
        source_type: source.to_owned(),
        rtsp_url: input.uri.clone(),
        substream_url: input.sub_uri.clone(),
        username: input.user.clone(),
        is_enabled: input.enabled,
        is_active: input.enabled,
        motion_enabled: input.pipeline != RECORD,
        frame_rate: status.fps,
        live_online: match status.state {
            State::Running | State::Degraded => Some(status.loss.is_none()),
            State::Backoff | State::Stopped => Some(false),
            State::Starting => None,
        },
        recording_enabled: input.enabled,
        recording_state: match (input.enabled, writes, should) {
            (false, _, _) => "off",
            (_, true, _) => "recording",
            (_, false, true) => "stalled",
            (_, false, false) => "not_recording",
        },
        last_recording_at: recording.and_then(|it| it.covered_us).and_then(rfc3339),
        created_at: created_us.and_then(rfc3339),
        updated_at: updated_us.and_then(rfc3339),
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
        decoding: status.decoding.map(|decoding| Decoding {
            all: decoding.all,
            reason: decoding.reason.map(|reason| reason.as_str().to_owned()),
            bypass: decoding.bypass.map(|bypass| bypass.as_str().to_owned()),
            share: decoding.share,
            opened: decoding.opened,
            keyframe_interval_s: decoding.keyframe_interval_ns.map(|ns| ns as f64 / 1e9),
        }),
    }
}
