//! The tasks that tell faces apart: whose vector, who it is, whether two are one, whether somebody is watched for.

use std::sync::Arc;
use std::time::Duration;

use nvr_base::Result;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::Adapter;
use super::faces::unavailable;
use super::infer::{Fetched, InferInput, fetch, source_of};
use crate::api::access::Caller;
use crate::api::error::{ApiError, ApiResult};
use crate::auth::Need;
use crate::faces::{Faces, Seen};
use crate::infer::Picture;

/// The category of those who are watched for.
const WATCHLIST: &str = "watchlist";
/// The most people that are told of one face.
const MATCHES: usize = 5;

/// A task that tells faces apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matching {
    /// The vector of the largest face.
    Embedding,
    /// Who it is.
    Recognition,
    /// Whether two pictures show the same person.
    Verify,
    /// Whether it is somebody who is watched for.
    Watchlist,
}

/// Of `face_embedding`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FaceEmbedding {
    /// Of length 1; `null` where there is no face.
    embedding: Option<Vec<f32>>,
    face_bbox: Option<[i64; 4]>,
    embedding_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    latency_ms: u64,
}

/// Of `face_recognition`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct FaceRecognition {
    recognized: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    face_bbox: Option<[i64; 4]>,
    latency_ms: u64,
}

/// Of `face_verify`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FaceVerify {
    is_same_person: bool,
    /// Cosine; 0 where a picture has no face.
    similarity: f64,
    threshold: f64,
    face1_bbox: Option<[i64; 4]>,
    face2_bbox: Option<[i64; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    latency_ms: u64,
}

/// Of `watchlist_check`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WatchlistCheck {
    is_on_watchlist: bool,
    matches: Vec<WatchlistMatch>,
    face_bbox: Option<[i64; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    latency_ms: u64,
}

/// Somebody who is watched for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WatchlistMatch {
    person_id: String,
    name: String,
    category: String,
    similarity: f64,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Matched {
    /// Of `face_embedding`.
    Embedding(FaceEmbedding),
    /// Of `face_recognition`.
    Recognition(FaceRecognition),
    /// Of `face_verify`.
    Verify(FaceVerify),
    /// Of `watchlist_check`.
    Watchlist(WatchlistCheck),
}

impl Matched {
    /// As JSON.
    pub(super) fn into_json(self) -> Value {
        serde_json::to_value(self).expect("texts, finite numbers and lists always serialise")
    }
}

impl Matching {
    /// All of them.
    const ALL: [(&'static str, Self); 4] = [
        ("face_embedding", Self::Embedding),
        ("face_recognition", Self::Recognition),
        ("face_verify", Self::Verify),
        ("watchlist_check", Self::Watchlist),
    ];

    /// The one of a name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, task)| *task)
    }
}

/// # Errors
/// 503 with the reason where no model is configured or it cannot be used.
pub(super) fn ready(caller: &Caller) -> ApiResult<()> {
    match caller.faces.missing() {
        Some(why) => Err(unavailable(why)),
        None => Ok(()),
    }
}

/// Does a task; `started` is when its request came.
pub(super) async fn ask(
    adapter: &Arc<Adapter>,
    caller: &Caller,
    task: Matching,
    input: &InferInput,
    picture: Option<bytes::Bytes>,
    started: Duration,
) -> ApiResult<Matched> {
    // Who people are is for those who may change them.
    if !Need::Operate.allows(caller.principal()) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "people and their faces are for operators and administrators",
        ));
    }
    ready(caller)?;
    let threshold = input.similarity(caller.faces.threshold())?;
    let mut pictures = Vec::new();
    if task == Matching::Verify {
        let (one, two) = input.two_frames()?;
        for frame in [one, two] {
            let source = source_of("input", Some(frame), None)?;
            pictures.push(fetch(adapter, caller, source).await?);
        }
    } else if let Some(jpeg) = picture {
        pictures.push(Fetched::of_bytes(jpeg));
    } else {
        pictures.push(fetch(adapter, caller, input.source("input")?).await?);
    }
    let faces = Arc::clone(&caller.faces);
    let mut matched = adapter
        .analysis
        .run(move |_| matched(&faces, task, &pictures, threshold))
        .await?;
    let now = adapter.clock.monotonic();
    let latency = u64::try_from((now - started).as_millis()).unwrap_or(u64::MAX);
    match &mut matched {
        Matched::Embedding(it) => it.latency_ms = latency,
        Matched::Recognition(it) => it.latency_ms = latency,
        Matched::Verify(it) => it.latency_ms = latency,
        Matched::Watchlist(it) => it.latency_ms = latency,
    }
    Ok(matched)
}

/// The largest face of a picture and its vector.
fn largest(faces: &Faces, fetched: &Fetched) -> Result<Option<(Seen, Vec<f32>)>> {
    let picture = Picture::decode(&fetched.jpeg)?;
    let Some(seen) = faces.look(&picture)?.into_iter().next() else {
        return Ok(None);
    };
    let vector = faces.vector(&seen)?;
    Ok(Some((seen, vector)))
}

#[expect(clippy::too_many_lines, reason = "one arm a task")]
fn matched(faces: &Faces, task: Matching, pictures: &[Fetched], threshold: f32) -> Result<Matched> {
    let mut found = Vec::new();
    for picture in pictures {
        found.push(largest(faces, picture)?);
    }
    let bbox = |at: usize| {
        let face: Option<&(Seen, Vec<f32>)> = found.get(at)?.as_ref();
        face.map(|(seen, _)| seen.bbox.map(|edge| edge.round() as i64))
    };
    let first = found.first().and_then(Option::as_ref).map(|(_, v)| v);
    let nobody = || "No face detected in image".to_owned();
    let message = first.is_none().then(nobody);
    Ok(match task {
        Matching::Embedding => Matched::Embedding(FaceEmbedding {
            embedding_size: first.map_or(0, Vec::len),
            embedding: first.cloned(),
            face_bbox: bbox(0),
            message,
            latency_ms: 0,
        }),
        Matching::Recognition => {
            let near = match first {
                Some(vector) => faces.nearest(vector, None, 1)?,
                None => Vec::new(),
            };
            let face_bbox = bbox(0);
            let best = near.into_iter().find(|near| near.similarity >= threshold);
            Matched::Recognition(match best {
                Some(near) => FaceRecognition {
                    recognized: true,
                    person_id: Some(near.person.id),
                    name: Some(near.person.name),
                    category: Some(near.person.category),
                    similarity: Some(share(near.similarity)),
                    face_bbox,
                    ..FaceRecognition::default()
                },
                None => FaceRecognition {
                    message: Some(message.unwrap_or_else(|| {
                        format!("No match found (threshold: {})", share(threshold))
                    })),
                    face_bbox,
                    ..FaceRecognition::default()
                },
            })
        }
        Matching::Verify => {
            let second = found.get(1).and_then(Option::as_ref).map(|(_, v)| v);
            let similarity = match (first, second) {
                (Some(a), Some(b)) => gstfacematch::search::dot(a, b),
                _ => 0.0,
            };
            let both = first.is_some() && second.is_some();
            Matched::Verify(FaceVerify {
                is_same_person: both && similarity >= threshold,
                similarity: share(similarity),
                threshold: share(threshold),
                face1_bbox: bbox(0),
                face2_bbox: bbox(1),
                message: (!both).then(nobody),
                latency_ms: 0,
            })
        }
        Matching::Watchlist => {
            let near = match first {
                Some(vector) => faces.nearest(vector, Some(WATCHLIST), MATCHES)?,
                None => Vec::new(),
            };
            let matches: Vec<WatchlistMatch> = near
                .into_iter()
                .filter(|near| near.similarity >= threshold)
                .map(|near| WatchlistMatch {
                    person_id: near.person.id,
                    name: near.person.name,
                    category: near.person.category,
                    similarity: share(near.similarity),
                })
                .collect();
            Matched::Watchlist(WatchlistCheck {
                is_on_watchlist: !matches.is_empty(),
                matches,
                face_bbox: bbox(0),
                message,
                latency_ms: 0,
            })
        }
    })
}

/// Four digits: more would only look exact.
fn share(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}
