//! Moments as texts for people.

use super::error::{ApiError, ApiResult};

/// A moment in RFC 3339, UTC; `None` outside the years that have four digits.
pub(super) fn rfc3339(unix_us: i64) -> Option<String> {
    jiff::Timestamp::from_microsecond(unix_us)
        .ok()
        .map(|moment| moment.to_string())
}

/// A moment that a client wrote in RFC 3339 or as a date, microseconds since 1970-01-01 UTC; without an offset it is UTC.
pub(super) fn moment_us(name: &str, text: &str) -> ApiResult<i64> {
    let moment = text.parse::<jiff::Timestamp>().or_else(|_| {
        let civil = text.parse::<jiff::civil::DateTime>()?;
        civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
    });
    moment.map(|moment| moment.as_microsecond()).map_err(|_| {
        ApiError::bad_request(format!(
            "{name}: {text:?} is no time: use RFC 3339, 2026-01-31T12:00:00Z"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_utc() {
        let check = |us: i64, expect: &str| assert_eq!(rfc3339(us).as_deref(), Some(expect));
        check(1_767_225_600_000_000, "2026-01-01T00:00:00Z");
        check(1_767_225_600_250_000, "2026-01-01T00:00:00.25Z");
        assert_eq!(rfc3339(i64::MAX), None);
    }

    #[test]
    fn times_of_clients_are_read() {
        let check = |text: &str, expect: Option<i64>| {
            assert_eq!(moment_us("t", text).ok(), expect, "{text}")
        };
        check("2026-01-01T00:00:00Z", Some(1_767_225_600_000_000));
        check("2026-01-01T01:00:00+01:00", Some(1_767_225_600_000_000));
        check("2026-01-01T00:00:00.25", Some(1_767_225_600_250_000));
        check("2026-01-01", Some(1_767_225_600_000_000));
        check("1767225600", None);
        check("yesterday", None);
        check("", None);
    }
}
