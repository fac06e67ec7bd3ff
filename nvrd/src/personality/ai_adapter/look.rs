//! The tasks that are done here: what a model finds on a picture, in the words of each task.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::infer::Found;

/// A task that is done on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Local {
    /// The surest person.
    PersonDetection,
    /// All persons.
    PersonCounting,
    /// Everything the model knows.
    ObjectDetection,
    /// All faces.
    FaceDetection,
}

/// The surest person; all zero where there is none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonDetection {
    label: &'static str,
    confidence: f64,
    /// Left, top, width, height; pixels.
    bbox: [i64; 4],
}

/// All persons.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonCounting {
    task: &'static str,
    count: usize,
    /// Mean of all.
    confidence: f64,
    detections: Vec<Person>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Person {
    /// Left, top, width, height; pixels.
    bbox: [i64; 4],
    confidence: f64,
    /// The same for the same person, as long as the camera is asked about every few seconds.
    track_id: u64,
}

/// Everything that the model knows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ObjectDetection {
    task: &'static str,
    count: usize,
    /// Mean of all.
    confidence: f64,
    detections: Vec<Object>,
    /// Name of the model.
    model_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct Object {
    label: String,
    confidence: f64,
    /// Left, top, width, height; pixels.
    bbox: [i64; 4],
}

/// All faces.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FaceDetection {
    faces: Vec<Face>,
    face_count: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct Face {
    /// Left, top, right, bottom; pixels.
    bbox: [i64; 4],
    confidence: f64,
    /// The two eyes, the nose and the corners of the mouth, the left ones of the picture first; pixels.
    landmarks: Vec<[i64; 2]>,
    /// Always `null`: no model here tells it.
    age: Option<u8>,
    /// Always `null`: no model here tells it.
    gender: Option<char>,
}

/// What a task found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Seen {
    /// Of `person_detection`.
    Person(PersonDetection),
    /// Of `person_counting`.
    Persons(PersonCounting),
    /// Of `object_detection`.
    Objects(ObjectDetection),
    /// Of `face_detection`.
    Faces(FaceDetection),
}

/// The answer of a task that is done here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Looked {
    #[serde(flatten)]
    pub(super) seen: Seen,
    /// The camera that was meant; absent where the picture came with the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) camera: Option<String>,
    /// The picture with what was found drawn on it; absent where nothing was, or no camera is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotated_image_uri: Option<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) executed_at: i64,
    /// From the request to the answer, milliseconds.
    pub(super) latency_ms: u64,
}

impl Local {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [
        Self::PersonDetection,
        Self::PersonCounting,
        Self::ObjectDetection,
        Self::FaceDetection,
    ];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PersonDetection => "person_detection",
            Self::PersonCounting => "person_counting",
            Self::ObjectDetection => "object_detection",
            Self::FaceDetection => "face_detection",
        }
    }

    /// The one of a name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }

    /// The least score that counts, unless the client says otherwise.
    pub(super) fn threshold(self) -> f32 {
        match self {
            Self::PersonDetection | Self::PersonCounting | Self::ObjectDetection => 0.5,
            // Below, the face detector takes patterns for faces.
            Self::FaceDetection => 0.7,
        }
    }

    /// What of the things that were found the task is about, the surest first.
    pub(super) fn pick(self, mut found: Vec<Found>) -> Vec<Found> {
        if self == Self::PersonDetection {
            found.truncate(1);
        }
        found
    }

    /// The words of the task for what was picked; `tracks` has a number for each.
    pub(super) fn tell(self, found: &[Found], tracks: &[u64], model: String) -> Seen {
        match self {
            Self::PersonDetection => Seen::Person(PersonDetection {
                label: "person",
                confidence: found.first().map_or(0.0, |it| share(it.score)),
                bbox: found.first().map_or([0; 4], |it| with_size(it.bbox)),
            }),
            Self::PersonCounting => Seen::Persons(PersonCounting {
                task: self.name(),
                count: found.len(),
                confidence: mean(found),
                detections: found
                    .iter()
                    .zip(tracks)
                    .map(|(it, track)| Person {
                        bbox: with_size(it.bbox),
                        confidence: share(it.score),
                        track_id: *track,
                    })
                    .collect(),
            }),
            Self::ObjectDetection => Seen::Objects(ObjectDetection {
                task: self.name(),
                count: found.len(),
                confidence: mean(found),
                detections: found
                    .iter()
                    .map(|it| Object {
                        label: it.label.clone(),
                        confidence: share(it.score),
                        bbox: with_size(it.bbox),
                    })
                    .collect(),
                model_id: model,
            }),
            Self::FaceDetection => Seen::Faces(FaceDetection {
                face_count: found.len(),
                faces: found.iter().map(face).collect(),
            }),
        }
    }
}

impl Looked {
    /// As JSON.
    pub(super) fn into_json(self) -> Value {
        serde_json::to_value(self).expect("texts, finite numbers and lists always serialise")
    }
}

fn face(found: &Found) -> Face {
    Face {
        bbox: found.bbox.map(pixel),
        confidence: share(found.score),
        landmarks: found
            .landmarks
            .into_iter()
            .flatten()
            .map(|point| point.map(pixel))
            .collect(),
        age: None,
        gender: None,
    }
}

fn pixel(value: f32) -> i64 {
    value.round() as i64
}

fn with_size([left, top, right, bottom]: [f32; 4]) -> [i64; 4] {
    let (x, y) = (pixel(left), pixel(top));
    [x, y, (pixel(right) - x).max(1), (pixel(bottom) - y).max(1)]
}

/// Four digits: more would only look exact.
fn share(score: f32) -> f64 {
    (f64::from(score) * 1e4).round() / 1e4
}

fn mean(found: &[Found]) -> f64 {
    if found.is_empty() {
        return 0.0;
    }
    let sum: f32 = found.iter().map(|it| it.score).sum();
    share(sum / found.len() as f32)
}
