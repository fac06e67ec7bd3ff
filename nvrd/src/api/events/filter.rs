//! Which events a client asks for, under our own names and under those of ArgusAI.

use nvr_store::{EventFilter, EventState, PageRequest};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::error::{ApiError, ApiResult};
use super::super::query::{flag, limit_of, number, page_request, unix_us, whole};
use super::super::time::moment_us;
use super::view::State;
use super::words::labels_of;

/// Events on the page of the latest unless the client says otherwise.
const LATEST: &str = "10";
/// Most events before a page that is asked for by an offset.
const MAX_OFFSET: u32 = 500_000_000;

/// Which events: those that meet every condition given.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct EventQuery {
    /// Of this camera.
    camera: Option<String>,
    /// The same.
    camera_id: Option<String>,
    /// Of this kind.
    kind: Option<String>,
    /// With exactly this label.
    label: Option<String>,
    /// `person`, `vehicle`, `animal`, `package`, or a label or kind of ours.
    detection_type: Option<String>,
    /// The same.
    smart_detection_type: Option<String>,
    /// Several of them, with commas between.
    object_types: Option<String>,
    /// Going on at this time or after it, seconds since 1970-01-01 UTC, with a fraction if wanted.
    #[param(value_type = Option<f64>)]
    start_unix: Option<String>,
    /// Begun before this time, seconds since 1970-01-01 UTC, with a fraction if wanted.
    #[param(value_type = Option<f64>)]
    end_unix: Option<String>,
    /// Going on at this time or after it, RFC 3339 (`2026-01-31T12:00:00Z`).
    start_time: Option<String>,
    /// Begun before this time, RFC 3339.
    end_time: Option<String>,
    /// With at least this score.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 1)]
    min_score: Option<String>,
    /// With at least this score in hundredths.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 100)]
    min_confidence: Option<String>,
    /// With a score below one half, or not.
    #[param(value_type = Option<bool>)]
    low_confidence: Option<String>,
    /// That a rule raised an alert about, or not.
    #[param(value_type = Option<bool>)]
    alert_triggered: Option<String>,
    /// Whose pictures came from there; all come by `rtsp`.
    source_type: Option<String>,
    /// That touched this zone.
    zone: Option<String>,
    /// That are in this state.
    #[param(value_type = Option<State>)]
    state: Option<String>,
    /// With this text in camera, kind, label or identity.
    search: Option<String>,
    /// The same.
    search_query: Option<String>,
    /// `desc`, the newest start first, unless `asc` is given.
    sort_order: Option<String>,
    /// Counted from 1; 1 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    page: Option<String>,
    /// Items on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Instead of a page: how many events come before it; a multiple of the limit.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 500_000_000)]
    offset: Option<String>,
}

/// Which of the latest events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct LatestQuery {
    /// Of this camera.
    camera_id: Option<String>,
    /// `person`, `vehicle`, `animal`, `package`, or a label or kind of ours.
    detection_type: Option<String>,
    /// Most events; 10 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

impl LatestQuery {
    /// What the store is asked.
    pub(super) fn wanted(self) -> ApiResult<(EventFilter, PageRequest)> {
        let query = EventQuery {
            camera_id: self.camera_id,
            detection_type: self.detection_type,
            limit: self.limit.or(Some(LATEST.to_owned())),
            ..EventQuery::default()
        };
        query.wanted()
    }
}

impl EventQuery {
    /// What the store is asked.
    pub(super) fn wanted(self) -> ApiResult<(EventFilter, PageRequest)> {
        let page = self.page()?;
        Ok((self.filter()?, page))
    }

    fn page(&self) -> ApiResult<PageRequest> {
        let offset = whole("offset", self.offset.as_deref(), 0, MAX_OFFSET)?;
        let Some(offset) = offset else {
            return page_request(self.page.as_deref(), self.limit.as_deref());
        };
        if self.page.is_some() {
            return Err(ApiError::bad_request(
                "offset: give a page or an offset, not both",
            ));
        }
        let limit = limit_of(self.limit.as_deref())?;
        if !offset.is_multiple_of(limit) {
            return Err(ApiError::bad_request(format!(
                "offset: {offset} is no multiple of the limit {limit}"
            )));
        }
        Ok(PageRequest {
            page: offset / limit + 1,
            limit,
        })
    }

    pub(super) fn filter(self) -> ApiResult<EventFilter> {
        let state = match self.state.as_deref() {
            None => None,
            Some("open") => Some(EventState::Open),
            Some("closed") => Some(EventState::Closed),
            Some(other) => {
                return Err(ApiError::bad_request(format!(
                    "state: {other:?}: use open or closed"
                )));
            }
        };
        let ascending = match self.sort_order.as_deref() {
            None | Some("desc") => false,
            Some("asc") => true,
            Some(other) => {
                return Err(ApiError::bad_request(format!(
                    "sort_order: {other:?}: use asc or desc"
                )));
            }
        };
        let hundredths = number("min_confidence", self.min_confidence.as_deref(), 0.0, 100.0)?;
        let low = flag("low_confidence", self.low_confidence.as_deref())?;
        let weak = (low == Some(false)).then_some(0.5);
        let min_score = number("min_score", self.min_score.as_deref(), 0.0, 1.0)?;
        let lowest = [min_score, hundredths.map(|value| value / 100.0), weak];
        let either = |name: &str, ours: Option<i64>, text: Option<&str>| {
            let theirs = text.map(|text| moment_us(name, text)).transpose()?;
            Ok::<_, ApiError>(ours.or(theirs))
        };
        let start_us = unix_us("start_unix", self.start_unix.as_deref())?;
        let end_us = unix_us("end_unix", self.end_unix.as_deref())?;
        let nothing = flag("alert_triggered", self.alert_triggered.as_deref())? == Some(true)
            || self
                .source_type
                .as_deref()
                .is_some_and(|from| from != "rtsp");
        Ok(EventFilter {
            start_us: either("start_time", start_us, self.start_time.as_deref())?,
            end_us: either("end_time", end_us, self.end_time.as_deref())?,
            min_score: lowest.into_iter().flatten().reduce(f64::max),
            below_score: (low == Some(true)).then_some(0.5),
            camera: same("camera", "camera_id", self.camera, self.camera_id)?,
            kind: self.kind,
            label: self.label,
            about: about(
                nothing,
                [self.detection_type, self.smart_detection_type],
                self.object_types,
            ),
            zone: self.zone,
            state,
            search: same("search", "search_query", self.search, self.search_query)?,
            ascending,
        })
    }
}

/// Labels and kinds of which an event has one, `None` where all will do; an empty list lets nothing through.
fn about(
    nothing: bool,
    single: [Option<String>; 2],
    several: Option<String>,
) -> Option<Vec<String>> {
    if nothing {
        return Some(Vec::new());
    }
    let mut groups: Vec<Vec<String>> = single
        .iter()
        .flatten()
        .map(|word| labels_of(word))
        .collect();
    groups.extend(several.map(|words| {
        words
            .split(',')
            .flat_map(|word| labels_of(word.trim()))
            .collect()
    }));
    groups.into_iter().reduce(|mut all, group| {
        all.retain(|word| group.contains(word));
        all
    })
}

/// A parameter that has two names.
fn same(
    ours: &str,
    theirs: &str,
    first: Option<String>,
    second: Option<String>,
) -> ApiResult<Option<String>> {
    match (first, second) {
        (Some(a), Some(b)) if a != b => Err(ApiError::bad_request(format!(
            "{theirs}: {b:?} is not what {ours} says"
        ))),
        (first, second) => Ok(first.or(second)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &[(&str, &str)]) -> ApiResult<(EventFilter, PageRequest)> {
        let map: serde_json::Map<String, serde_json::Value> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        serde_json::from_value::<EventQuery>(map.into())
            .unwrap()
            .wanted()
    }

    #[test]
    fn both_names_of_a_condition_work() {
        let filter = |query: &[(&str, &str)]| wanted(query).unwrap().0;
        assert_eq!(filter(&[("camera_id", "a")]).camera.as_deref(), Some("a"));
        assert_eq!(filter(&[("min_confidence", "80")]).min_score, Some(0.8));
        assert_eq!(
            filter(&[("start_time", "2026-01-01T00:00:00Z")]).start_us,
            Some(1_767_225_600_000_000)
        );
        assert_eq!(filter(&[("low_confidence", "true")]).below_score, Some(0.5));
        let about = filter(&[("detection_type", "vehicle")]).about.unwrap();
        assert!(about.contains(&"car".to_owned()));
        let about = filter(&[("object_types", "person, dog")]).about.unwrap();
        assert!(about.contains(&"dog".to_owned()) && about.contains(&"person".to_owned()));
        assert_eq!(
            filter(&[("alert_triggered", "true")]).about,
            Some(Vec::new())
        );
        assert_eq!(filter(&[("alert_triggered", "false")]).about, None);
        assert!(filter(&[("sort_order", "asc")]).ascending);
    }

    #[test]
    fn offsets_are_pages() {
        let page = |query: &[(&str, &str)]| wanted(query).unwrap().1;
        assert_eq!(page(&[("offset", "40"), ("limit", "20")]).page, 3);
        assert_eq!(page(&[("offset", "0")]).page, 1);
    }

    #[test]
    fn wrong_values_are_named() {
        let check = |query: &[(&str, &str)], expect: &str| {
            let error = format!("{:?}", wanted(query).unwrap_err());
            assert!(error.contains(expect), "{query:?}: {error}");
        };
        check(
            &[("offset", "7"), ("limit", "20")],
            "offset: 7 is no multiple",
        );
        check(&[("offset", "0"), ("page", "1")], "offset: give a page");
        check(&[("camera", "a"), ("camera_id", "b")], "camera_id: ");
        check(&[("sort_order", "up")], "sort_order: ");
        check(&[("start_time", "yesterday")], "start_time: ");
        check(&[("min_confidence", "101")], "min_confidence: ");
        check(&[("alert_triggered", "yes")], "alert_triggered: ");
    }
}
