//! `[live]` and `[notifications]`: how many may listen to what happens, and what people are told of.

use nvr_contract::event::Kind;
use serde::Deserialize;
use utoipa::ToSchema;

/// `[live]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LiveConfig {
    /// Sockets and event streams at once; 2000 unless given.
    pub listeners: u32,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self { listeners: 2000 }
    }
}

/// `[notifications]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NotificationsConfig {
    /// Kinds of events that people are told of; all but `motion` and `sensor` unless given.
    pub kinds: Vec<String>,
    /// Days that a notification is kept; 30 unless given.
    pub keep_days: u32,
    /// Notifications that are kept at most; 2000 unless given.
    pub keep_count: u32,
    /// Notifications of one camera in a minute; what is more makes none. 30 unless given.
    pub per_minute: u32,
}

impl Default for NotificationsConfig {
    fn default() -> Self {
        let matters = |kind: &&Kind| !matches!(kind, Kind::Motion | Kind::Sensor);
        let kinds = Kind::ALL.iter().filter(matters);
        Self {
            kinds: kinds.map(|kind| kind.as_str().to_owned()).collect(),
            keep_days: 30,
            keep_count: 2000,
            per_minute: 30,
        }
    }
}

impl LiveConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        out_of_range("live.listeners", self.listeners, 1, 10_000)
            .into_iter()
            .collect()
    }
}

impl NotificationsConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let known = known.join(", ");
        let kinds = self.kinds.iter().enumerate();
        let unknown = kinds
            .filter(|(_, kind)| Kind::from_word(kind).is_none())
            .map(|(index, kind)| {
                format!("notifications.kinds[{index}]: {kind:?} is no kind of event: use {known}")
            });
        [
            out_of_range("notifications.keep_days", self.keep_days, 1, 3650),
            out_of_range("notifications.keep_count", self.keep_count, 1, 10_000),
            out_of_range("notifications.per_minute", self.per_minute, 1, 1000),
        ]
        .into_iter()
        .flatten()
        .chain(unknown)
        .collect()
    }
}

fn out_of_range(key: &str, value: u32, least: u32, most: u32) -> Option<String> {
    (!(least..=most).contains(&value))
        .then(|| format!("{key}: {value} is out of range: use {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_says_is_sound() {
        assert!(LiveConfig::default().problems().is_empty());
        let config = NotificationsConfig::default();
        assert!(config.problems().is_empty());
        assert!(!config.kinds.iter().any(|kind| kind == "motion"));
        assert!(config.kinds.iter().any(|kind| kind == "system"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let config = NotificationsConfig {
            kinds: vec!["object".to_owned(), "cats".to_owned()],
            keep_days: 0,
            ..NotificationsConfig::default()
        };
        let problems = config.problems().join("\n");
        assert!(problems.contains("notifications.keep_days: 0 is out of range: use 1 to 3650"));
        assert!(
            problems.contains(
                "notifications.kinds[1]: \"cats\" is no kind of event: use motion, object"
            )
        );
    }
}
