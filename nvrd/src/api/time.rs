//! Moments as texts for people.

/// A moment in RFC 3339, UTC; `None` outside the years that have four digits.
pub(super) fn rfc3339(unix_us: i64) -> Option<String> {
    jiff::Timestamp::from_microsecond(unix_us)
        .ok()
        .map(|moment| moment.to_string())
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
}
