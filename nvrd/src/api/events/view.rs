//! Events as clients see them: our own fields, and beside them the names that clients of ArgusAI and OpenNVR read.

use std::collections::{BTreeMap, HashMap};

use nvr_store::{EventDescription, EventRow, EventState, PageRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::query::Shared;
use super::super::time::rfc3339;
use super::words::object_of;

/// An event. What is not known is `null`; lists are empty rather than `null`.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Event {
    /// UUID, version 7.
    id: String,
    camera: String,
    /// What it is about: `motion`, `object`, `face`, `plate`, …
    kind: String,
    /// What exactly: the model's label.
    label: Option<String>,
    state: State,
    /// PTS of the first picture, nanoseconds.
    start_ns: u64,
    /// PTS of the last picture so far, nanoseconds.
    end_ns: Option<u64>,
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// Wall time of the last picture so far, microseconds since 1970-01-01 UTC.
    end_unix_us: Option<i64>,
    /// Best score, 0 to 1.
    score: Option<f64>,
    /// Where in the best picture: x, y, width and height as shares of the picture.
    #[serde(rename = "box")]
    bbox: Option<[f64; 4]>,
    /// Names of all zones touched, sorted.
    zones: Vec<String>,
    track_id: Option<u64>,
    /// Who.
    identity: Option<String>,
    /// How similar, -1 to 1.
    similarity: Option<f64>,
    /// Pictures it rests on.
    frames: u64,
    /// Hash of the model.
    model: Option<String>,
    /// Hash of the pipeline.
    pipeline: Option<String>,
    /// Whether the program ended before the event did, so that its end is only the last one known.
    interrupted: bool,
    /// Path of its thumbnail; nothing is there when no picture was kept and nothing of it is recorded.
    thumbnail_url: String,
    #[serde(flatten)]
    argus: ArgusEvent,
    #[serde(flatten)]
    opennvr: OpenNvrEvent,
}

/// The same event in the words of ArgusAI.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ArgusEvent {
    /// The camera's name in paths.
    camera_id: String,
    /// What people call the camera.
    camera_name: String,
    /// Its start, RFC 3339.
    timestamp: Option<String>,
    /// The same.
    created_at: Option<String>,
    /// One sentence on what was seen.
    description: String,
    /// Best score, 0 to 100; 0 where there is none.
    confidence: u32,
    /// `person`, `vehicle`, `animal`, `package` or `unknown`.
    objects_detected: Vec<&'static str>,
    /// The object, or `motion`.
    smart_detection_type: Option<&'static str>,
    /// Path of its thumbnail.
    thumbnail_path: String,
    /// Where in the best picture.
    bounding_boxes: Vec<BoundingBox>,
    has_annotations: bool,
    /// Where the pictures came from: `rtsp`.
    source_type: &'static str,
    /// Whether a rule raised an alert about it.
    alert_triggered: bool,
    is_doorbell_ring: bool,
    /// Whether the best score is below one half.
    low_confidence: bool,
    /// The event this one belongs to, where somebody grouped them.
    correlation_group_id: Option<String>,
    correlated_events: Vec<String>,
    /// Pictures it rests on.
    frame_count_used: u64,
    /// Which provider of language models described it; `null` where none did.
    provider_used: Option<String>,
    /// How sure the provider was, 0 to 100.
    ai_confidence: Option<u8>,
    /// What the description cost.
    ai_cost: Option<f64>,
    /// How long it took.
    ai_response_time_ms: Option<u64>,
    /// Tokens that went in and came out.
    tokens_used: Option<u64>,
    /// `single_frame` where a provider described it.
    analysis_mode: Option<&'static str>,
    /// When it was described anew, RFC 3339.
    reanalyzed_at: Option<String>,
    /// How often it was described anew.
    reanalysis_count: u32,
}

/// The same event in the words of OpenNVR.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct OpenNvrEvent {
    /// Who saw it: `nvrd`.
    source: &'static str,
    /// Its kind.
    event_type: String,
    /// Its start, RFC 3339.
    started_at: Option<String>,
    /// Its end so far, RFC 3339.
    ended_at: Option<String>,
    /// Path of the picture that was shown at its start.
    recording_ref: String,
    /// What was read on a plate.
    plate_text: Option<String>,
    /// Whether there may be a picture of it.
    has_evidence: bool,
    /// Path of its picture.
    evidence_url: String,
}

/// A box on a picture, in shares of it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BoundingBox {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    /// `person`, `vehicle`, `animal`, `package` or `unknown`.
    entity_type: &'static str,
    /// 0 to 1.
    confidence: Option<f64>,
    label: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = EventState)]
pub(in crate::api) enum State {
    /// It goes on.
    Open,
    /// It is over.
    Closed,
}

/// A page of events, under the names of every client.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct EventList {
    /// The events of this page.
    #[schema(value_type = Vec<Event>)]
    items: Shared<Event>,
    /// The same, as ArgusAI and OpenNVR call them.
    #[schema(value_type = Vec<Event>)]
    events: Shared<Event>,
    /// Events on all pages together.
    total: u64,
    /// This page, counted from 1.
    page: u32,
    /// Most events on a page.
    limit: u32,
    /// Pages; 0 when there is no event.
    pages: u64,
    /// Events on all pages together, as ArgusAI calls it.
    total_count: u64,
    /// Whether there is a page behind this one.
    has_more: bool,
    /// Events before this page.
    offset: u64,
    /// Events before the next page; `null` on the last one.
    next_offset: Option<u64>,
    /// Events on this page, as OpenNVR calls it.
    count: u64,
}

impl EventList {
    /// The page of a list of `total` events that `request` asked for.
    pub(in crate::api) fn new(items: Vec<Event>, total: u64, request: PageRequest) -> Self {
        let limit = u64::from(request.limit);
        let offset = u64::from(request.page - 1) * limit;
        let has_more = offset + limit < total;
        let items = Shared::new(items);
        Self {
            count: items.len() as u64,
            items: items.clone(),
            events: items,
            total,
            page: request.page,
            limit: request.limit,
            pages: total.div_ceil(limit),
            total_count: total,
            has_more,
            offset,
            next_offset: has_more.then_some(offset + limit),
        }
    }
}

/// What stands beside the rows of events.
#[derive(Debug, Default)]
pub(in crate::api) struct Beside {
    /// What cameras are called, by their names.
    pub(super) titles: BTreeMap<String, String>,
    /// What was said about the events, by their ids.
    pub(super) described: HashMap<String, EventDescription>,
}

/// The event for a client.
pub(in crate::api) fn event_of(row: EventRow, beside: &Beside) -> Event {
    let title = beside.titles.get(&row.camera).unwrap_or(&row.camera);
    let argus = argus_of(&row, title, beside.described.get(&row.id));
    let started = argus.timestamp.clone();
    let thumbnail_url = argus.thumbnail_path.clone();
    let score = row.score.map(rounded);
    let opennvr = OpenNvrEvent {
        source: "nvrd",
        event_type: row.kind.clone(),
        started_at: started,
        ended_at: row.end_us.and_then(rfc3339),
        recording_ref: format!(
            "/api/v1/recordings/{}/frame.jpg?at_unix={}.{:06}",
            row.camera,
            row.start_us.div_euclid(1_000_000),
            row.start_us.rem_euclid(1_000_000)
        ),
        plate_text: row.identity.clone().filter(|_| row.kind == "plate"),
        has_evidence: row.frames > 0,
        evidence_url: format!("/api/v1/events/{}/evidence", row.id),
    };
    Event {
        thumbnail_url,
        id: row.id,
        camera: row.camera,
        kind: row.kind,
        label: row.label,
        state: match row.state {
            EventState::Open => State::Open,
            EventState::Closed => State::Closed,
        },
        start_ns: row.start_ns,
        end_ns: row.end_ns,
        start_unix_us: row.start_us,
        end_unix_us: row.end_us,
        score,
        bbox: row.bbox.map(|sides| sides.map(rounded)),
        zones: row.zones,
        track_id: row.track_id,
        identity: row.identity,
        similarity: row.similarity.map(rounded),
        frames: row.frames,
        model: row.model,
        pipeline: row.pipeline,
        interrupted: row.interrupted,
        argus,
        opennvr,
    }
}

fn argus_of(row: &EventRow, title: &str, described: Option<&EventDescription>) -> ArgusEvent {
    let object = object_of(&row.kind, row.label.as_deref());
    let answer = described.map(|described| &described.answer);
    let again = described.map_or(0, |described| described.count.saturating_sub(1));
    let (started, score) = (rfc3339(row.start_us), row.score.map(rounded));
    let boxes = row.bbox.map(|[x, y, width, height]| BoundingBox {
        x: rounded(x),
        y: rounded(y),
        width: rounded(width),
        height: rounded(height),
        entity_type: object.unwrap_or("unknown"),
        confidence: score,
        label: row.label.clone(),
    });
    ArgusEvent {
        camera_id: row.camera.clone(),
        camera_name: title.to_owned(),
        timestamp: started.clone(),
        created_at: started,
        description: answer.map_or_else(|| sentence(row, title), |it| it.description.clone()),
        confidence: score.map_or(0, |score| (score.clamp(0.0, 1.0) * 100.0).round() as u32),
        objects_detected: object.into_iter().collect(),
        smart_detection_type: object.or_else(|| (row.kind == "motion").then_some("motion")),
        thumbnail_path: format!("/api/v1/events/{}/thumbnail", row.id),
        has_annotations: boxes.is_some(),
        bounding_boxes: boxes.into_iter().collect(),
        source_type: "rtsp",
        alert_triggered: false,
        is_doorbell_ring: false,
        low_confidence: score.is_some_and(|score| score < 0.5),
        correlation_group_id: None,
        correlated_events: Vec::new(),
        frame_count_used: row.frames,
        provider_used: answer.map(|it| it.provider.clone()),
        ai_confidence: answer.and_then(|it| it.confidence),
        ai_cost: answer.map(|it| it.cost),
        ai_response_time_ms: answer.map(|it| it.response_time_ms),
        tokens_used: answer.map(|it| it.tokens),
        analysis_mode: answer.map(|_| "single_frame"),
        reanalyzed_at: described
            .filter(|_| again > 0)
            .and_then(|described| rfc3339(described.created_us)),
        reanalysis_count: again,
    }
}

/// What was seen, out of the facts alone.
pub(super) fn sentence(row: &EventRow, title: &str) -> String {
    let what = row.identity.as_deref().or(row.label.as_deref());
    let what = what.unwrap_or(&row.kind);
    let mut letters = what.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    let mut text = format!(
        "{}{} at {title}",
        first.unwrap_or_default(),
        letters.as_str()
    );
    if !row.zones.is_empty() {
        text.push_str(" in ");
        text.push_str(&row.zones.join(", "));
    }
    let length = row.end_us.map(|end| (end - row.start_us) / 1_000_000);
    match (row.state, length) {
        (EventState::Open, _) => text.push_str(", going on"),
        (EventState::Closed, Some(seconds)) if seconds > 0 => {
            text.push_str(&format!(" for {seconds} s"));
        }
        _ => {}
    }
    text
}

/// As the elements print events: four digits after the point are a thirtieth of a pixel at 4K.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, label: Option<&str>) -> EventRow {
        EventRow {
            id: "e".to_owned(),
            camera: "front".to_owned(),
            kind: kind.to_owned(),
            label: label.map(str::to_owned),
            state: EventState::Closed,
            start_us: 1_767_225_600_000_000,
            end_us: Some(1_767_225_608_400_000),
            start_ns: 0,
            end_ns: None,
            score: Some(0.873),
            bbox: Some([0.1, 0.2, 0.3, 0.4]),
            zones: vec!["door".to_owned()],
            track_id: None,
            identity: None,
            similarity: None,
            frames: 12,
            model: None,
            pipeline: None,
            interrupted: false,
        }
    }

    #[test]
    fn an_event_has_the_names_of_every_client() {
        let beside = Beside {
            titles: BTreeMap::from([("front".to_owned(), "Front door".to_owned())]),
            ..Beside::default()
        };
        let json = serde_json::to_value(event_of(row("object", Some("truck")), &beside)).unwrap();
        let check =
            |name: &str, expect: serde_json::Value| assert_eq!(json[name], expect, "{name}");
        check("camera", "front".into());
        check("camera_id", "front".into());
        check("camera_name", "Front door".into());
        check("timestamp", "2026-01-01T00:00:00Z".into());
        check("ended_at", "2026-01-01T00:00:08.4Z".into());
        check("confidence", 87.into());
        check("objects_detected", serde_json::json!(["vehicle"]));
        check("description", "Truck at Front door in door for 8 s".into());
        check("event_type", "object".into());
        assert_eq!(json["bounding_boxes"][0]["width"], 0.3);
    }

    #[test]
    fn what_was_seen_is_said_in_a_sentence() {
        let check = |row: EventRow, expect: &str| assert_eq!(sentence(&row, "front"), expect);
        let plain = EventRow {
            zones: Vec::new(),
            ..row("motion", None)
        };
        check(plain.clone(), "Motion at front for 8 s");
        let open = EventRow {
            state: EventState::Open,
            identity: Some("émile".to_owned()),
            ..plain.clone()
        };
        check(open, "Émile at front, going on");
        let short = EventRow {
            end_us: None,
            ..plain
        };
        check(short, "Motion at front");
    }

    #[test]
    fn pages_are_told_in_both_ways() {
        let request = PageRequest { page: 2, limit: 10 };
        let list = EventList::new(Vec::new(), 21, request);
        assert_eq!(
            (list.offset, list.has_more, list.next_offset),
            (10, true, Some(20))
        );
        let list = EventList::new(Vec::new(), 20, request);
        assert_eq!(
            (list.pages, list.has_more, list.next_offset),
            (2, false, None)
        );
    }
}
