//! Numbers with a meaning in the configuration: days, and bytes as people write them.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Microseconds of a day.
const DAY_US: f64 = 86_400e6;
/// More days than that are no limit anybody means.
const MAX_DAYS: f64 = 36_500.0;

/// A time in days, above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Days(f64);

impl Days {
    /// In microseconds.
    pub fn us(self) -> i64 {
        (self.0 * DAY_US) as i64
    }
}

impl PartialSchema for Days {
    fn schema() -> RefOr<Schema> {
        let days = ObjectBuilder::new().schema_type(Type::Number);
        let days = days.exclusive_minimum(Some(0)).maximum(Some(MAX_DAYS));
        days.description(Some("Days, a fraction of one too."))
            .into()
    }
}

impl ToSchema for Days {}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Days;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of days above 0")
            }
            fn visit_f64<E: Error>(self, days: f64) -> Result<Days, E> {
                if days > 0.0 && days <= MAX_DAYS {
                    Ok(Days(days))
                } else {
                    Err(E::custom(format!(
                        "{days} is no number of days: use one above 0 and up to {MAX_DAYS}, or leave the key out to \
                         keep recordings whatever their age"
                    )))
                }
            }
            fn visit_i64<E: Error>(self, days: i64) -> Result<Days, E> {
                self.visit_f64(days as f64)
            }
            fn visit_u64<E: Error>(self, days: u64) -> Result<Days, E> {
                self.visit_f64(days as f64)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl Serialize for Days {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

/// A number of bytes, above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(u64);

impl Bytes {
    /// As a plain number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// The units, the longest name of each kind first.
const UNITS: &[(&str, f64)] = &[
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("B", 1.0),
];

fn bytes_of(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .unwrap_or((text, 1.0));
    let bytes = number.trim().parse::<f64>().ok()? * unit;
    // Beyond that a disk has no name yet, and numbers lose their last digits.
    (1.0..=9e15).contains(&bytes).then_some(bytes as u64)
}

impl PartialSchema for Bytes {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        let text = ObjectBuilder::new().schema_type(Type::String);
        let text = text.pattern(Some(r"^\s*[0-9.]+\s*([kKMGT]?B|[KMGT]iB)?\s*$"));
        AnyOfBuilder::new()
            .item(number.minimum(Some(1)))
            .item(text)
            .description(Some("A number of bytes, or a text such as \"500 GB\"."))
            .into()
    }
}

impl ToSchema for Bytes {}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;
        fn refuse<E: Error>(given: &dyn fmt::Display) -> E {
            E::custom(format!(
                "{given} is no number of bytes: use a number above 0 with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, \
                 such as \"500 GB\""
            ))
        }
        impl Visitor<'_> for Size {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, such as \"500 GB\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
                bytes_of(text)
                    .map(Bytes)
                    .ok_or_else(|| refuse(&format_args!("{text:?}")))
            }
            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Bytes, E> {
                bytes_of(&bytes.to_string())
                    .map(Bytes)
                    .ok_or_else(|| refuse(&bytes))
            }
            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Bytes, E> {
                bytes_of(&bytes.to_string())
                    .map(Bytes)
                    .ok_or_else(|| refuse(&bytes))
            }
        }
        deserializer.deserialize_any(Size)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_people_write_them() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(bytes_of(text), expect, "{text}");
        check("500 GB", Some(500_000_000_000));
        check("1.5TB", Some(1_500_000_000_000));
        check("64 MiB", Some(67_108_864));
        check("10", Some(10));
        check("10 kB", Some(10_000));
        check(" 7 B ", Some(7));
        for bad in [
            "", "GB", "-1 GB", "0", "5 XB", "NaN", "inf", "1e99 TB", "5 gb", "1 000",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn days_are_above_nothing() {
        let check = |text: &str, expect: Option<i64>| {
            let got = serde_json::from_str::<Days>(text).ok().map(Days::us);
            assert_eq!(got, expect, "{text}");
        };
        check("1", Some(86_400_000_000));
        check("0.5", Some(43_200_000_000));
        for bad in ["0", "-1", "1e300", "\"3\"", "null"] {
            check(bad, None);
        }
    }
}
