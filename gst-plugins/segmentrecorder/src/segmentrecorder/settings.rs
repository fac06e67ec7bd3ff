//! What the properties and signals have asked for, and how the recorder is told.

use std::path::PathBuf;

use super::{Mode, Sync};
use crate::demand;
use crate::identity::Identity;
use crate::recorder::{Config, Recorder, SyncPolicy};
use crate::rotation::Limits;

/// More signals than this do not wait for a picture: what is asked for twice is asked for.
const MOST_WISHES: usize = 16;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Split,
    Start,
    Stop,
    Trigger,
}

/// The values of the properties.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub location: Option<String>,
    pub identity_file: Option<String>,
    pub identity: Option<String>,
    pub segment_duration: u64,
    pub segment_bytes: u64,
    pub wall_clock_boundary: u64,
    pub fragment_duration: u64,
    pub sync: Sync,
    pub sync_interval: u64,
    pub mode: Mode,
    pub pre_roll: u64,
    pub post_roll: u64,
    pub ring_bytes: u64,
    pub hash: bool,
    /// Whether the recorder has not been told of a change.
    pub changed: bool,
    /// Whether `start` came last, and no `stop`.
    pub held: bool,
    /// Signals that the recorder has not been told of.
    pub wishes: Vec<Wish>,
}

pub(super) const DEFAULTS: Settings = Settings {
    location: None,
    identity_file: None,
    identity: None,
    segment_duration: 60_000_000_000,
    segment_bytes: 0,
    wall_clock_boundary: 0,
    fragment_duration: 1_000_000_000,
    sync: Sync::Segment,
    sync_interval: 5_000_000_000,
    mode: Mode::Continuous,
    pre_roll: 5_000_000_000,
    post_roll: 10_000_000_000,
    ring_bytes: 32 << 20,
    hash: true,
    changed: false,
    held: false,
    wishes: Vec::new(),
};

/// What is new since the last picture.
pub(super) struct News {
    config: Option<Config>,
    wishes: Vec<Wish>,
}

impl News {
    /// Tells the recorder.
    pub fn tell<D: AsRef<[u8]>>(self, recorder: &mut Recorder<D>) {
        if let Some(config) = self.config {
            recorder.configure(config);
        }
        for wish in self.wishes {
            match wish {
                Wish::Split => recorder.split(),
                Wish::Start => recorder.start(),
                Wish::Stop => recorder.stop(),
                Wish::Trigger => recorder.trigger(),
            }
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        DEFAULTS
    }
}

impl Settings {
    /// Notes a signal.
    pub fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Start => self.held = true,
            Wish::Stop => self.held = false,
            Wish::Split | Wish::Trigger => {}
        }
        if self.wishes.last() != Some(&wish) {
            self.wishes.push(wish);
        }
        if self.wishes.len() > MOST_WISHES {
            self.wishes.remove(0);
        }
    }

    /// What the recorder has not been told of.
    pub fn take_news(&mut self) -> Option<News> {
        if !self.changed && self.wishes.is_empty() {
            return None;
        }
        let changed = std::mem::take(&mut self.changed);
        Some(News {
            config: changed.then(|| self.config()),
            wishes: std::mem::take(&mut self.wishes),
        })
    }

    /// Whether files go to a storage that must say who it is.
    pub fn has_identity(&self) -> bool {
        self.identity().is_some()
    }

    fn identity(&self) -> Option<Identity> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Some(Identity {
            file: PathBuf::from(given(&self.identity_file)?),
            text: given(&self.identity)?,
        })
    }

    /// What the recorder is told.
    pub fn config(&self) -> Config {
        let location = self.location.clone().unwrap_or_default();
        Config {
            identity: self.identity(),
            limits: Limits {
                duration_ns: self.segment_duration,
                bytes: self.segment_bytes,
                boundary_ns: self.wall_clock_boundary,
            },
            fragment_ns: self.fragment_duration,
            sync: match self.sync {
                Sync::None => SyncPolicy::None,
                Sync::Segment => SyncPolicy::Segment {
                    interval_ns: self.sync_interval,
                },
                Sync::Fragment => SyncPolicy::Fragment,
            },
            hash: self.hash,
            mode: match self.mode {
                Mode::Continuous => demand::Mode::Continuous,
                Mode::Event => demand::Mode::Event,
                Mode::Off => demand::Mode::Off,
            },
            pre_roll_ns: self.pre_roll,
            post_roll_ns: self.post_roll,
            ring_bytes: usize::try_from(self.ring_bytes).unwrap_or(usize::MAX),
            ..Config::new(PathBuf::from(location))
        }
    }
}
