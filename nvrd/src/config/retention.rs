//! `[retention]` and `[camera.retention]`: how long recordings are kept.

use nvr_store::retention::{Limits, WhenFull};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::units::{Bytes, Days};

/// `[retention]`, and for one camera `[camera.retention]`; what is absent sets no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Days that segments without anything in them are kept.
    pub continuous_days: Option<Days>,
    /// Days that segments with motion are kept.
    pub motion_days: Option<Days>,
    /// Days that segments with another event are kept.
    pub event_days: Option<Days>,
    /// Most bytes of a camera.
    pub max_bytes: Option<Bytes>,
}

impl RetentionConfig {
    /// These limits, with those of `general` where there is none.
    #[must_use]
    pub fn or(self, general: Self) -> Self {
        Self {
            continuous_days: self.continuous_days.or(general.continuous_days),
            motion_days: self.motion_days.or(general.motion_days),
            event_days: self.event_days.or(general.event_days),
            max_bytes: self.max_bytes.or(general.max_bytes),
        }
    }

    /// As the planner takes them.
    pub fn limits(self) -> Limits {
        Limits {
            age_us: [self.continuous_days, self.motion_days, self.event_days]
                .map(|days| days.map(Days::us)),
            max_bytes: self.max_bytes.map(Bytes::get),
        }
    }
}

/// What happens when a storage is full and only protected segments are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFullConfig {
    /// Recording stops.
    #[default]
    Stop,
    /// They are deleted, oldest first, with an alarm.
    DeleteProtected,
}

impl From<WhenFullConfig> for WhenFull {
    fn from(config: WhenFullConfig) -> Self {
        match config {
            WhenFullConfig::Stop => Self::Stop,
            WhenFullConfig::DeleteProtected => Self::DeleteProtected,
        }
    }
}
