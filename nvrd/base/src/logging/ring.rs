//! The last records of the log, in memory, bounded by number and by bytes.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::scrub::{names_a_secret, scrub};
use crate::{Clock as _, RealClock};

/// Most records that are kept.
const MAX_RECORDS: usize = 5000;
/// Most bytes that they take together, by the lengths of their texts.
const MAX_BYTES: usize = 4 << 20;
/// Longest text of a record; what is longer is cut.
const MAX_TEXT: usize = 4096;

/// One record of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Counts up from 1, without a hole.
    pub seq: u64,
    /// When it was made, microseconds since 1970-01-01 UTC.
    pub unix_us: i64,
    /// How grave it is.
    pub level: Level,
    /// Which part of the program made it.
    pub target: String,
    /// The sentence.
    pub message: String,
    /// What it says beside the sentence.
    pub fields: Map<String, Value>,
}

/// Which records are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// This level and graver ones.
    pub level: Option<Level>,
    /// Records with this text in the sentence, the target or a field, whatever the case.
    pub search: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Ring {
    kept: Mutex<Kept>,
    max_records: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<Record>,
    bytes: usize,
    last: u64,
}

impl Default for Ring {
    fn default() -> Self {
        Self::with_room(MAX_RECORDS, MAX_BYTES)
    }
}

impl Ring {
    fn with_room(max_records: usize, max_bytes: usize) -> Self {
        Self {
            kept: Mutex::default(),
            max_records,
            max_bytes,
        }
    }

    /// The records that fit, newest first, without the first `skip` of them, `limit` at most; and how many fit in all.
    pub fn newest(&self, wanted: &Wanted, skip: u64, limit: usize) -> (Vec<Record>, u64) {
        let search = wanted.search.as_deref().map(str::to_lowercase);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        let mut total = 0;
        for record in kept.records.iter().rev() {
            let fits = wanted.level.is_none_or(|level| record.level <= level)
                && search.as_deref().is_none_or(|text| record.has(text));
            if fits {
                if total >= skip && found.len() < limit {
                    found.push(record.clone());
                }
                total += 1;
            }
        }
        (found, total)
    }

    fn push(&self, mut record: Record) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last += 1;
        record.seq = kept.last;
        kept.bytes += record.bytes();
        kept.records.push_back(record);
        while kept.records.len() > self.max_records || kept.bytes > self.max_bytes {
            let Some(gone) = kept.records.pop_front() else {
                break;
            };
            kept.bytes -= gone.bytes();
        }
    }
}

impl Record {
    fn bytes(&self) -> usize {
        let fields = self.fields.iter();
        let fields = fields.map(|(key, value)| key.len() + value.as_str().map_or(8, str::len));
        size_of::<Self>() + self.target.len() + self.message.len() + fields.sum::<usize>()
    }

    /// Whether a text in lower case is somewhere in it.
    fn has(&self, text: &str) -> bool {
        let fields = self.fields.iter();
        self.message.to_lowercase().contains(text)
            || self.target.to_lowercase().contains(text)
            || fields.into_iter().any(|(key, value)| {
                let value = match value {
                    Value::String(value) => value.to_lowercase(),
                    other => other.to_string(),
                };
                key.to_lowercase().contains(text) || value.contains(text)
            })
    }
}

/// Keeps every record that the filter lets through.
pub(super) struct Keep(pub(super) &'static Ring);

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        self.0.push(Record {
            seq: 0,
            unix_us: RealClock::new().unix_us(),
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            message: said.message,
            fields: said.fields,
        });
    }
}

/// What a record says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn put(&mut self, field: &Field, text: &str) {
        let clean = scrub(text);
        let clean = match clean.len() > MAX_TEXT {
            true => format!("{}…", &clean[..clean.floor_char_boundary(MAX_TEXT)]),
            false => clean.into_owned(),
        };
        match field.name() {
            "message" => self.message = clean,
            name if names_a_secret(name) => drop(self.fields.insert(name.to_owned(), "***".into())),
            name => drop(self.fields.insert(name.to_owned(), clean.into())),
        }
    }

    fn value(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        if write!(text, "{value:?}").is_err() {
            text.push_str("(it cannot be shown)");
        }
        self.put(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(level: Level, message: &str) -> Record {
        Record {
            seq: 0,
            unix_us: 1,
            level,
            target: "nvrd::x".to_owned(),
            message: message.to_owned(),
            fields: Map::from_iter([("camera.id".to_owned(), Value::from("Front"))]),
        }
    }

    #[test]
    fn the_newest_come_first_and_are_filtered() {
        let ring = Ring::with_room(10, 1 << 20);
        for (level, message) in [
            (Level::INFO, "one"),
            (Level::ERROR, "two"),
            (Level::DEBUG, "three"),
        ] {
            ring.push(record(level, message));
        }
        let check = |wanted: Wanted, limit: usize, expect: &[&str], expect_total: u64| {
            let (found, total) = ring.newest(&wanted, 0, limit);
            let messages: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
            assert_eq!((messages.as_slice(), total), (expect, expect_total));
        };
        let level = |level| Wanted {
            level: Some(level),
            ..Wanted::default()
        };
        let search = |text: &str| Wanted {
            search: Some(text.to_owned()),
            ..Wanted::default()
        };
        check(Wanted::default(), 2, &["three", "two"], 3);
        check(level(Level::INFO), 9, &["two", "one"], 2);
        check(level(Level::ERROR), 9, &["two"], 1);
        check(search("fRONT"), 1, &["three"], 3);
        check(search("TW"), 9, &["two"], 1);
        check(search("nothing"), 9, &[], 0);
        let (found, total) = ring.newest(&Wanted::default(), 2, 9);
        assert_eq!(
            (found.len(), found[0].message.as_str(), total),
            (1, "one", 3)
        );
    }

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let few = Ring::with_room(3, 1 << 20);
        for _ in 0..10 {
            few.push(record(Level::INFO, "x"));
        }
        let (found, total) = few.newest(&Wanted::default(), 0, 100);
        assert_eq!((found[0].seq, found[2].seq, total), (10, 8, 3));
        let small = Ring::with_room(1000, 10_000);
        for _ in 0..100 {
            small.push(record(Level::INFO, &"y".repeat(1000)));
        }
        let (found, _) = small.newest(&Wanted::default(), 0, 1000);
        assert!((5..=9).contains(&found.len()), "{}", found.len());
    }
}
