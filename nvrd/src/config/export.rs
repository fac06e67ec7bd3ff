//! `[export]`: how long exports may be, how many may wait, and how long they are kept.

use serde::Deserialize;
use utoipa::ToSchema;

/// `[export]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExportConfig {
    /// Days that a finished export is kept; 7 unless given.
    pub keep_days: u32,
    /// Finished exports that are kept at most; 100 unless given.
    pub keep_count: u32,
    /// Longest range of one export, hours; 24 unless given.
    pub max_hours: u32,
    /// Exports that may wait or run at once; 16 unless given.
    pub queue: u32,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            keep_days: 7,
            keep_count: 100,
            max_hours: 24,
            queue: 16,
        }
    }
}

impl ExportConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        [
            ("keep_days", self.keep_days, 1..=3650),
            ("keep_count", self.keep_count, 1..=10_000),
            // A file of two days is as much as its tables may take of memory.
            ("max_hours", self.max_hours, 1..=48),
            ("queue", self.queue, 1..=500),
        ]
        .into_iter()
        .filter(|(_, value, allowed)| !allowed.contains(value))
        .map(|(key, value, allowed)| {
            format!(
                "export.{key}: {value} is out of range: use {} to {}",
                allowed.start(),
                allowed.end()
            )
        })
        .collect()
    }
}
