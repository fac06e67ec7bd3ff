//! Times of the week at which everything is decoded, as a text: `mon-fri 08:00-18:00; sat,sun 22:00-06:00`, in UTC.

/// Minutes of a day.
const DAY: u32 = 24 * 60;
const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Times of the week.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    spans: Vec<Span>,
}

/// The same time on some days; it ends on the next day when `to` is not after `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// One bit a day, Monday the lowest.
    days: u8,
    /// Minutes since midnight.
    from: u32,
    to: u32,
}

/// Spans that a schedule may have.
const LIMIT: usize = 64;

impl Schedule {
    /// Reads a schedule; an empty text is never.
    ///
    /// # Errors
    /// A sentence that names the part that is wrong, and says how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(';').map(str::trim).filter(|p| !p.is_empty());
        let spans = parts.map(span).collect::<Result<Vec<_>, _>>()?;
        if spans.len() > LIMIT {
            return Err(format!("more than {LIMIT} times"));
        }
        Ok(Self { spans })
    }

    /// Whether there are no times at all.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Whether a moment, in microseconds since 1970-01-01 UTC, is among the times.
    pub fn holds(&self, unix_us: i64) -> bool {
        let minutes = unix_us.div_euclid(60_000_000);
        // The first of January 1970 was a Thursday.
        let today = (minutes.div_euclid(i64::from(DAY)) + 3).rem_euclid(7) as u8;
        let yesterday = (today + 6) % 7;
        let minute = minutes.rem_euclid(i64::from(DAY)) as u32;
        self.spans.iter().any(|span| {
            let on = |day: u8| span.days >> day & 1 == 1;
            if span.from < span.to {
                on(today) && (span.from..span.to).contains(&minute)
            } else {
                on(today) && minute >= span.from || on(yesterday) && minute < span.to
            }
        })
    }
}

fn span(part: &str) -> Result<Span, String> {
    let fail = || {
        format!(
            "{part:?} is not a time of the week: write mon-fri 08:00-18:00, the days by three letters, in UTC"
        )
    };
    let (days, hours) = match part.split_once(' ') {
        Some((days, hours)) => (days_of(days), hours.trim()),
        None => (Some(0x7f), part),
    };
    let (from, to) = hours.split_once('-').ok_or_else(fail)?;
    let span = days.zip(minute_of(from)).zip(minute_of(to));
    let ((days, from), to) = span.ok_or_else(fail)?;
    if from >= DAY {
        return Err(fail());
    }
    Ok(Span { days, from, to })
}

fn days_of(text: &str) -> Option<u8> {
    let day = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        NAMES.iter().position(|&known| known == name)
    };
    text.split(',').try_fold(0, |days, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        Some((0..=length).fold(days, |days, n| days | 1 << ((first + n) % 7)))
    })
}

/// Minutes since midnight, 24:00 included.
fn minute_of(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 2023-11-13 00:00 UTC.
    const MONDAY: i64 = 1_699_833_600;

    fn check(text: &str, day: i64, hour: i64, minute: i64, expect: bool) {
        let schedule = Schedule::parse(text).unwrap();
        let at = (MONDAY + ((day * 24 + hour) * 60 + minute) * 60) * 1_000_000;
        assert_eq!(schedule.holds(at), expect, "{text} {day} {hour}:{minute}");
    }

    #[test]
    fn times_of_the_week() {
        check("", 0, 12, 0, false);
        check("mon-fri 08:00-18:00", 0, 8, 0, true);
        check("mon-fri 08:00-18:00", 4, 17, 59, true);
        check("mon-fri 08:00-18:00", 4, 18, 0, false);
        check("mon-fri 08:00-18:00", 5, 12, 0, false);
        // Over midnight, and over the end of the week.
        check("sun 22:00-06:00", 6, 23, 0, true);
        check("sun 22:00-06:00", 7, 5, 59, true);
        check("sun 22:00-06:00", 6, 5, 0, false);
        check("fri-mon 00:00-24:00", 6, 12, 0, true);
        check("fri-mon 00:00-24:00", 2, 12, 0, false);
        check("mon,WED 01:00-02:00; 12:00-13:00", 2, 1, 30, true);
        check("mon,wed 01:00-02:00; 12:00-13:00", 3, 12, 30, true);
    }

    #[test]
    fn bad_texts_are_named() {
        for text in [
            "mon",
            "mon 8:00-9:00",
            "moon 08:00-09:00",
            "mon 08:00",
            "mon 25:00-26:00",
            "mon 24:00-25:00",
            "08:60-09:00",
        ] {
            let error = Schedule::parse(text).unwrap_err();
            assert!(
                error.starts_with(&format!("{text:?} is not a time")),
                "{error}"
            );
        }
        assert!(Schedule::parse(&"00:00-01:00;".repeat(65)).is_err());
    }
}
