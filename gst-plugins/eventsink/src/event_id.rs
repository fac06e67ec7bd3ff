//! Ids of events: UUIDs of version 7 whose random part is a hash of what the event is, so that the same input
//! gives the same ids.

use nvr_contract::event::Kind;

/// What makes an event that event and no other.
#[derive(Debug, Clone, Copy)]
pub struct EventFacts<'a> {
    /// Hash of the pipeline.
    pub pipeline: &'a str,
    /// Tells apart streams of equal pipelines.
    pub seed: &'a str,
    /// What it is about.
    pub kind: Kind,
    /// The model's label.
    pub label: Option<&'a str>,
    /// The track it follows.
    pub track_id: Option<u64>,
    /// PTS of the first picture, nanoseconds.
    pub start_ns: u64,
    /// Wall time of it, microseconds since 1970-01-01 UTC, when known.
    pub start_unix_us: Option<i64>,
    /// Counts the events of a run.
    pub serial: u64,
}

/// The id in text. Its 48 bits of time are wall time where it is known, else media time; both in milliseconds.
pub fn event_id(facts: EventFacts<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    // Each text with its length, so that no two lists of texts read the same.
    let label = facts.label.unwrap_or_default();
    for text in [facts.pipeline, facts.seed, facts.kind.as_str(), label] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    for number in [
        u64::from(facts.track_id.is_some()),
        facts.track_id.unwrap_or(0),
        facts.start_ns,
        facts.start_unix_us.unwrap_or(0).cast_unsigned(),
        facts.serial,
    ] {
        hasher.update(&number.to_le_bytes());
    }
    let ms = facts
        .start_unix_us
        .and_then(|us| u64::try_from(us / 1000).ok())
        .unwrap_or(facts.start_ns / 1_000_000);
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&hasher.finalize().as_bytes()[..10]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: EventFacts<'_> = EventFacts {
        pipeline: "p",
        seed: "",
        kind: Kind::Object,
        label: Some("person"),
        track_id: Some(3),
        start_ns: 1_500_000_000,
        start_unix_us: None,
        serial: 1,
    };

    #[test]
    fn is_a_uuid_of_version_7_and_the_same_every_time() {
        let id = event_id(FACTS);
        assert_eq!(id, event_id(FACTS));
        assert_eq!(id.len(), 36);
        // 1500 ms.
        assert!(id.starts_with("00000000-05dc-7"), "{id}");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }

    #[test]
    fn wall_time_is_its_time_and_orders_ids() {
        let at = |us| {
            event_id(EventFacts {
                start_unix_us: Some(us),
                ..FACTS
            })
        };
        assert!(at(1_700_000_000_000_000).starts_with("018bcfe5-6800-7"));
        assert!(at(1_700_000_000_000_000) < at(1_700_000_000_001_000));
    }

    #[test]
    fn every_fact_makes_a_difference() {
        let other = [
            EventFacts {
                pipeline: "q",
                ..FACTS
            },
            EventFacts {
                seed: "p",
                pipeline: "",
                ..FACTS
            },
            EventFacts {
                kind: Kind::Face,
                ..FACTS
            },
            EventFacts {
                label: None,
                ..FACTS
            },
            EventFacts {
                track_id: None,
                ..FACTS
            },
            EventFacts {
                track_id: Some(0),
                ..FACTS
            },
            EventFacts {
                start_ns: 1_500_000_001,
                ..FACTS
            },
            EventFacts {
                start_unix_us: Some(1_500_000),
                ..FACTS
            },
            EventFacts { serial: 2, ..FACTS },
        ];
        let mut ids: Vec<String> = other.into_iter().chain([FACTS]).map(event_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 10);
    }
}
