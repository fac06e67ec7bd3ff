//! The event: what `eventsink` posts, what a JSON line holds, what the REST API and MQTT send.

use crate::BBox;
use crate::fields::{self, FieldError, Message, words};

words! {
    /// Where an event is in its life.
    pub enum Change {
        /// It began.
        Opened = "opened",
        /// It has a better picture, more zones or an identity.
        Updated = "updated",
        /// It is over.
        Closed = "closed",
    }
}

words! {
    /// What an event is about.
    pub enum Kind {
        /// Something moves.
        Motion = "motion",
        /// An object was detected.
        Object = "object",
        /// A face was seen.
        Face = "face",
        /// A number plate was read.
        Plate = "plate",
        /// A sound was heard.
        Sound = "sound",
        /// A rule calls for attention.
        Alert = "alert",
        /// A person made it.
        Manual = "manual",
        /// A sensor reported.
        Sensor = "sensor",
        /// The system reports on itself.
        System = "system",
    }
}

/// An event of one camera; times in nanoseconds are PTS.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Where the event is in its life.
    pub change: Change,
    /// UUID (version 7) in text, the same through the event's life.
    pub id: String,
    /// What it is about.
    pub kind: Kind,
    /// What exactly: the model's label, `person` say.
    pub label: Option<String>,
    /// PTS of the first picture.
    pub start_ns: u64,
    /// PTS of the last picture so far; absent in `opened`.
    pub end_ns: Option<u64>,
    /// Wall time of the start, microseconds since 1970-01-01 UTC.
    pub start_unix_us: Option<i64>,
    /// Wall time of the end, microseconds since 1970-01-01 UTC.
    pub end_unix_us: Option<i64>,
    /// Best score, 0..1.
    pub score: Option<f64>,
    /// Where, in the best picture.
    pub bbox: Option<BBox>,
    /// Names of all zones touched, sorted.
    pub zones: Vec<String>,
    /// The track it follows.
    pub track_id: Option<u64>,
    /// Who.
    pub identity: Option<String>,
    /// How similar, -1..1.
    pub similarity: Option<f64>,
    /// Pictures it rests on.
    pub frames: u64,
    /// Hash of the model.
    pub model: Option<String>,
    /// Hash of the pipeline.
    pub pipeline: Option<String>,
}

const TYPE: &str = "type";
const ID: &str = "id";
const KIND: &str = "kind";
const LABEL: &str = "label";
const START_NS: &str = "start_ns";
const END_NS: &str = "end_ns";
const START_UNIX_US: &str = "start_unix_us";
const END_UNIX_US: &str = "end_unix_us";
const SCORE: &str = "score";
const BOX: &str = "box";
const ZONES: &str = "zones";
const TRACK_ID: &str = "track_id";
const IDENTITY: &str = "identity";
const SIMILARITY: &str = "similarity";
const FRAMES: &str = "frames";
const MODEL: &str = "model";
const PIPELINE: &str = "pipeline";

impl Message for Event {
    const NAME: &'static str = "nvrd-event";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(TYPE, self.change.as_str())
            .field(ID, &self.id)
            .field(KIND, self.kind.as_str())
            .field_if_some(LABEL, self.label.as_deref())
            .field(START_NS, self.start_ns)
            .field_if_some(END_NS, self.end_ns)
            .field_if_some(START_UNIX_US, self.start_unix_us)
            .field_if_some(END_UNIX_US, self.end_unix_us)
            .field_if_some(SCORE, self.score)
            .field_if_some(BOX, self.bbox.map(|b| gst::Array::new(b.to_array())))
            .field(ZONES, fields::string_array(&self.zones))
            .field_if_some(TRACK_ID, self.track_id)
            .field_if_some(IDENTITY, self.identity.as_deref())
            .field_if_some(SIMILARITY, self.similarity)
            .field(FRAMES, self.frames)
            .field_if_some(MODEL, self.model.as_deref())
            .field_if_some(PIPELINE, self.pipeline.as_deref())
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        Ok(Self {
            change: fields::word(s, Self::NAME, TYPE, Change::from_word)?,
            id: fields::required(s, Self::NAME, ID)?,
            kind: fields::word(s, Self::NAME, KIND, Kind::from_word)?,
            label: s.get(LABEL).ok(),
            start_ns: fields::required(s, Self::NAME, START_NS)?,
            end_ns: s.get(END_NS).ok(),
            start_unix_us: s.get(START_UNIX_US).ok(),
            end_unix_us: s.get(END_UNIX_US).ok(),
            score: s.get(SCORE).ok(),
            bbox: crate::motion::box_of(s, BOX),
            zones: fields::strings(s, ZONES),
            track_id: s.get(TRACK_ID).ok(),
            identity: s.get(IDENTITY).ok(),
            similarity: s.get(SIMILARITY).ok(),
            frames: fields::required(s, Self::NAME, FRAMES)?,
            model: s.get(MODEL).ok(),
            pipeline: s.get(PIPELINE).ok(),
        })
    }
}

/// Borrowed wire form of an [`Event`]: what is absent has no meaning for the event.
#[derive(serde::Serialize)]
struct Line<'a> {
    r#type: &'static str,
    id: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    start_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_unix_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_unix_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#box: Option<[f64; 4]>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    zones: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    track_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f64>,
    frames: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a str>,
}

/// Four digits after the point are a thirtieth of a pixel at 4K, and keep lines short and stable.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl Event {
    /// The event as one line of JSON, without a line break.
    pub fn to_json(&self) -> String {
        let line = Line {
            r#type: self.change.as_str(),
            id: &self.id,
            kind: self.kind.as_str(),
            label: self.label.as_deref(),
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            start_unix_us: self.start_unix_us,
            end_unix_us: self.end_unix_us,
            score: self.score.map(rounded),
            r#box: self.bbox.map(|b| b.to_array().map(rounded)),
            zones: &self.zones,
            track_id: self.track_id,
            identity: self.identity.as_deref(),
            similarity: self.similarity.map(rounded),
            frames: self.frames,
            model: self.model.as_deref(),
            pipeline: self.pipeline.as_deref(),
        };
        serde_json::to_string(&line).expect("strings, numbers and lists always serialise")
    }
}
