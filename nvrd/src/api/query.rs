//! Query strings: read into texts first, then checked, so that every error names its parameter.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};
use warp::Filter;
use warp::filters::BoxedFilter;

use super::error::{ApiError, ApiResult};
use super::route::Input;

/// Most items on a page.
pub(super) const MAX_LIMIT: u32 = nvr_store::MAX_LIMIT;
/// Items on a page unless the client says otherwise.
const DEFAULT_LIMIT: u32 = 50;
/// No list is so long that a page behind this one has anything.
const MAX_PAGE: u32 = 1_000_000;
/// 10000-01-01 UTC in seconds; a time behind it is a mistake.
const MAX_UNIX: f64 = 253_402_300_800.0;
/// How long a range is unless the client says where it begins: a day, in microseconds.
const DAY_US: i64 = 86_400_000_000;
/// Longest text that is searched for or compared, in bytes.
const MAX_TEXT: usize = 256;

/// The parameters of a request, all of them texts; an empty one counts as absent.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static> Input for Query<T> {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        let none = warp::any().map(String::new);
        warp::query::raw()
            .or(none)
            .unify()
            .map(|raw: String| parse(&raw).map(Query))
            .boxed()
    }
}

fn parse<T: DeserializeOwned>(raw: &str) -> ApiResult<T> {
    let mut texts = serde_json::Map::new();
    for (name, value) in url::form_urlencoded::parse(raw.as_bytes()) {
        if value.len() > MAX_TEXT {
            return Err(ApiError::bad_request(format!(
                "{name}: longer than {MAX_TEXT} bytes"
            )));
        }
        if texts.contains_key(name.as_ref()) {
            return Err(ApiError::bad_request(format!("{name}: given twice")));
        }
        let value = match value.is_empty() {
            true => serde_json::Value::Null,
            false => value.into_owned().into(),
        };
        texts.insert(name.into_owned(), value);
    }
    serde_json::from_value(texts.into()).map_err(|error| {
        let message = error
            .to_string()
            .replace("unknown field", "unknown parameter");
        ApiError::bad_request(format!("query: {message}"))
    })
}

/// Which page of a list.
#[derive(Debug, Default, serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// Counted from 1; 1 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    page: Option<String>,
    /// Items on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

impl PageQuery {
    /// The page that is asked for.
    pub(super) fn request(&self) -> ApiResult<nvr_store::PageRequest> {
        page_request(self.page.as_deref(), self.limit.as_deref())
    }
}

/// The page that two parameters ask for.
pub(super) fn page_request(
    page: Option<&str>,
    limit: Option<&str>,
) -> ApiResult<nvr_store::PageRequest> {
    Ok(nvr_store::PageRequest {
        page: whole("page", page, 1, MAX_PAGE)?.unwrap_or(1),
        limit: limit_of(limit)?,
    })
}

/// How many items at most.
pub(super) fn limit_of(limit: Option<&str>) -> ApiResult<u32> {
    Ok(whole("limit", limit, 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT))
}

/// A whole number in a range.
pub(super) fn whole(name: &str, text: Option<&str>, min: u32, max: u32) -> ApiResult<Option<u32>> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<u32>() {
        Ok(value) if (min..=max).contains(&value) => Ok(Some(value)),
        _ => Err(ApiError::bad_request(format!(
            "{name}: {text:?} is out of range: use {min} to {max}"
        ))),
    }
}

/// A number in a range.
pub(super) fn number(name: &str, text: Option<&str>, min: f64, max: f64) -> ApiResult<Option<f64>> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<f64>() {
        // NaN is in no range.
        Ok(value) if (min..=max).contains(&value) => Ok(Some(value)),
        _ => Err(ApiError::bad_request(format!(
            "{name}: {text:?} is out of range: use {min} to {max}"
        ))),
    }
}

/// `true` or `false`.
pub(super) fn flag(name: &str, text: Option<&str>) -> ApiResult<Option<bool>> {
    match text {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(ApiError::bad_request(format!(
            "{name}: {other:?}: use true or false"
        ))),
    }
}

/// A range of time from `start_unix` and `end_unix`: the last day up to now unless they say otherwise, microseconds.
pub(super) fn range_of(
    start: Option<&str>,
    end: Option<&str>,
    now_us: i64,
) -> ApiResult<(i64, i64)> {
    let end = unix_us("end_unix", end)?.unwrap_or(now_us);
    let start = unix_us("start_unix", start)?.unwrap_or(end.saturating_sub(DAY_US));
    if start < end {
        Ok((start, end))
    } else {
        Err(ApiError::bad_request("start_unix: is not before end_unix"))
    }
}

/// Seconds since 1970-01-01 UTC as microseconds.
pub(super) fn unix_us(name: &str, text: Option<&str>) -> ApiResult<Option<i64>> {
    let seconds = number(name, text, 0.0, MAX_UNIX)?;
    Ok(seconds.map(|seconds| (seconds * 1e6).round() as i64))
}

/// A list that an answer has under two names.
#[derive(Debug)]
pub(super) struct Shared<T>(Arc<Vec<T>>);

impl<T> Shared<T> {
    /// A list for two names.
    pub(super) fn new(items: Vec<T>) -> Self {
        Self(Arc::new(items))
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    /// The items of this page.
    items: Vec<T>,
    /// Items on all pages together.
    total: u64,
    /// This page, counted from 1.
    page: u32,
    /// Most items on a page.
    limit: u32,
    /// Pages; 0 when there is no item.
    pages: u64,
}

impl<T> List<T> {
    /// The page of a list of `total` items that `request` asked for.
    pub(super) fn new(items: Vec<T>, total: u64, request: nvr_store::PageRequest) -> Self {
        Self {
            items,
            total,
            page: request.page,
            limit: request.limit,
            pages: total.div_ceil(u64::from(request.limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail<T: std::fmt::Debug>(result: ApiResult<T>) -> String {
        format!("{:?}", result.unwrap_err())
    }

    #[test]
    fn pages_are_checked() {
        let check = |raw: &str, expect: Result<(u32, u32), &str>| {
            let got = parse::<PageQuery>(raw).and_then(|query| query.request());
            match expect {
                Ok(expect) => {
                    assert_eq!(got.map(|page| (page.page, page.limit)), Ok(expect), "{raw}")
                }
                Err(text) => assert!(detail(got).contains(text), "{raw}"),
            }
        };
        check("", Ok((1, 50)));
        check("page=&limit=", Ok((1, 50)));
        check("page=3&limit=500", Ok((3, 500)));
        for bad in ["0", "-1", "1.5", "99999999999999999999", "NaN", "1%200"] {
            check(&format!("page={bad}"), Err("page: "));
            check(&format!("limit={bad}"), Err("limit: "));
        }
        check("limit=501", Err("use 1 to 500"));
        check("page=1&page=2", Err("page: given twice"));
        check("pages=1", Err("unknown parameter `pages`"));
        check(
            &format!("page={}", "1".repeat(300)),
            Err("page: longer than 256 bytes"),
        );
    }

    #[test]
    fn times_are_checked() {
        let check = |text: &str, expect: Option<i64>| {
            assert_eq!(unix_us("t", Some(text)).ok().flatten(), expect, "{text}");
        };
        check("1767225600.25", Some(1_767_225_600_250_000));
        check("1767225600.000001", Some(1_767_225_600_000_001));
        check("0", Some(0));
        for bad in ["NaN", "inf", "-1", "1e300", "yesterday", "0x10"] {
            check(bad, None);
        }
    }

    #[test]
    fn no_item_makes_no_page() {
        let request = nvr_store::PageRequest { page: 1, limit: 10 };
        assert_eq!(List::<u8>::new(vec![], 0, request).pages, 0);
        assert_eq!(List::<u8>::new(vec![], 10, request).pages, 1);
        assert_eq!(List::<u8>::new(vec![], 11, request).pages, 2);
    }
}
