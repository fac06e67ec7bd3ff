//! What may be set over REST: which keys there are, what they default to, and which values they take.

use std::collections::BTreeMap;

use nvr_base::{Error, Result};
use serde_json::{Value, json};

/// Longest text of a setting, bytes.
const MAX_TEXT: usize = 200;

/// Keys of the configuration file that may be set where the file leaves them open.
pub(super) const OF_FILE: [&str; 9] = [
    "retention.continuous_days",
    "retention.motion_days",
    "retention.event_days",
    "retention.max_bytes",
    "export.keep_days",
    "export.keep_count",
    "export.max_hours",
    "export.queue",
    "log.filter",
];

/// Keys that only clients and pages look at, with their defaults.
pub(super) fn own() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("system_name", json!("nvrd")),
        ("timezone", json!("UTC")),
        ("language", json!("en")),
        ("date_format", json!("YYYY-MM-DD")),
        ("time_format", json!("24h")),
        ("primary_model", Value::Null),
    ])
}

/// Whether there is such a setting, and it takes the value; those of the file are checked with the whole of it.
///
/// # Errors
/// One sentence that begins with the key.
pub(super) fn check(key: &str, value: &Value) -> Result<()> {
    if OF_FILE.contains(&key) {
        return Ok(());
    }
    let fail = |why: String| Error::invalid(format!("{key}: {why}"));
    if !own().contains_key(key) {
        return Err(fail("there is no such setting".to_owned()));
    }
    let text = value
        .as_str()
        .ok_or_else(|| fail("use a text".to_owned()))?;
    let fits = (1..=MAX_TEXT).contains(&text.len()) && !text.contains(char::is_control);
    if !fits {
        return Err(fail(format!(
            "use 1 to {MAX_TEXT} bytes without control characters"
        )));
    }
    let one_of = |words: &[&str]| match words.contains(&text) {
        true => Ok(()),
        false => Err(fail(format!("{text:?}: use {}", words.join(", ")))),
    };
    match key {
        "timezone" => jiff::tz::TimeZone::get(text).map(drop).map_err(|_| {
            fail(format!(
                "{text:?} is no time zone that this machine knows: use a name such as Europe/Berlin or UTC"
            ))
        }),
        "language" if !is_language(text) => Err(fail(format!(
            "{text:?} is no language: use a tag such as en or pt-BR"
        ))),
        "date_format" => one_of(&["YYYY-MM-DD", "DD/MM/YYYY", "MM/DD/YYYY", "DD.MM.YYYY"]),
        "time_format" => one_of(&["24h", "12h"]),
        _ => Ok(()),
    }
}

fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    (2..=3).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_lowercase())
        && parts.all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

/// The value of a key of nested tables.
pub(super) fn find<'a>(table: &'a toml::Table, key: &str) -> Option<&'a toml::Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => find(table.get(first)?.as_table()?, rest),
    }
}

/// Puts a value where a key of two parts says; a table in its way is made.
pub(super) fn put(table: &mut toml::Table, key: &str, value: toml::Value) {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return;
    };
    let place = table
        .entry(first)
        .or_insert_with(|| toml::Table::new().into());
    if let Some(place) = place.as_table_mut() {
        put(place, rest, value);
    }
}

/// A value of JSON in the file's words; `None` for what the file has no word for.
pub(super) fn toml_of(value: &Value) -> Option<toml::Value> {
    match value {
        Value::String(text) => Some(text.clone().into()),
        Value::Bool(flag) => Some((*flag).into()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Some(whole.into()),
            None => number.as_f64().map(Into::into),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_by_their_key() {
        let good = |key: &str, value: Value| assert!(check(key, &value).is_ok(), "{key} {value}");
        let bad = |key: &str, value: Value, says: &str| {
            let error = check(key, &value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key}: ")), "{error}");
            assert!(error.contains(says), "{error}");
        };
        good("system_name", json!("Yard of Ö"));
        good("timezone", json!("UTC"));
        good("language", json!("pt-BR"));
        good("time_format", json!("12h"));
        good("log.filter", json!("whatever: the file says"));
        bad("system_name", json!(""), "1 to 200 bytes");
        bad("system_name", json!("a\nb"), "control");
        bad("system_name", json!(5), "use a text");
        bad("timezone", json!("Mars/Base"), "no time zone");
        bad("timezone", json!("../../etc/passwd"), "no time zone");
        bad("language", json!("English"), "no language");
        bad("date_format", json!("D"), "YYYY-MM-DD");
        bad("storage.path", json!("x"), "no such setting");
    }

    #[test]
    fn keys_lead_into_tables() {
        let mut table: toml::Table = "[a]\nb = 1".parse().unwrap();
        put(&mut table, "a.c", 2.into());
        put(&mut table, "x.y", 3.into());
        assert_eq!(find(&table, "a.b"), Some(&1.into()));
        assert_eq!(find(&table, "a.c"), Some(&2.into()));
        assert_eq!(find(&table, "x.y"), Some(&3.into()));
        assert_eq!(find(&table, "x.z"), None);
    }
}
