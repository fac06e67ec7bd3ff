//! A frame: something that happened, as it goes out, written once for everybody.

use std::ops::Range;

use bytes::Bytes;
use nvr_base::Principal;

use crate::auth::Need;

/// What a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// An event began, or came whole.
    EventCreated,
    /// More is known of an event.
    EventUpdated,
    /// An event is over.
    EventClosed,
    /// A camera's state changed.
    CameraStatus,
    /// Somebody should look.
    NotificationNew,
    /// Frames are missing before this one.
    Reset,
}

impl Topic {
    /// Every topic that can be asked for; [`Reset`](Self::Reset) comes to everybody.
    pub const ALL: [Self; 5] = [
        Self::EventCreated,
        Self::EventUpdated,
        Self::EventClosed,
        Self::CameraStatus,
        Self::NotificationNew,
    ];

    /// The word for clients.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventCreated => "event.created",
            Self::EventUpdated => "event.updated",
            Self::EventClosed => "event.closed",
            Self::CameraStatus => "camera.status",
            Self::NotificationNew => "notification.new",
            Self::Reset => "reset",
        }
    }

    /// The topic that a word names.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == word)
    }

    fn need(self) -> Option<Need> {
        match self {
            Self::EventCreated | Self::EventUpdated | Self::EventClosed | Self::NotificationNew => {
                Some(Need::SeeEvents)
            }
            Self::CameraStatus => Some(Need::SeeCameras),
            Self::Reset => None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Frame {
    topic: Topic,
    camera: String,
    sse: Bytes,
    json: Range<usize>,
}

impl Frame {
    /// A frame with `data`, which is JSON.
    pub(super) fn new(id: &str, topic: Topic, camera: &str, at_us: i64, data: &str) -> Self {
        let word = topic.as_str();
        let at = jiff::Timestamp::from_microsecond(at_us).unwrap_or_default();
        let head = format!("id: {id}\nevent: {word}\ndata: ");
        let json = format!(r#"{{"type":"{word}","data":{data},"timestamp":"{at}","id":"{id}"}}"#);
        Self {
            topic,
            camera: camera.to_owned(),
            json: head.len()..head.len() + json.len(),
            sse: format!("{head}{json}\n\n").into(),
        }
    }

    /// What it is about.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// The camera that it concerns; empty for what concerns nobody in particular.
    pub fn camera(&self) -> &str {
        &self.camera
    }

    /// The frame as an event of `text/event-stream`.
    pub fn sse(&self) -> &Bytes {
        &self.sse
    }

    /// The frame as a JSON object.
    pub fn json(&self) -> &str {
        std::str::from_utf8(&self.sse[self.json.clone()]).expect("it was made from a text")
    }

    /// Whether somebody may know of it.
    pub fn is_for(&self, principal: &Principal) -> bool {
        self.topic
            .need()
            .is_none_or(|need| need.allows(principal) && principal.sees(&self.camera))
    }
}
