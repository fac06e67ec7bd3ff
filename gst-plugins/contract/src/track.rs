//! The identity of a detected object over time: a parameter on its region meta.
//!
//! `object_id` with the integer `id` is what other GStreamer tools read; what else we know stands in a
//! structure of ours beside it. A detection that is no track (yet) has only the structure, without `id`.

use crate::fields;

/// What `objecttrack` knows of a detection.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Stable over pictures, unique within a run of the element, from 1.
    pub id: u64,
    /// Whether the object has not moved for a while.
    pub stationary: bool,
    /// Names of the zones in which it stands (by its foot).
    pub zones: Vec<String>,
}

const OBJECT_ID: &str = "object_id";
const ID: &str = "id";
const TRACK: &str = "nvrd-track";
const STATIONARY: &str = "stationary";
const ZONES: &str = "zones";
const TENTATIVE: &str = "tentative";

/// What a tracker that looked at a detection said of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Tracking {
    /// It belongs to no track.
    Unclaimed,
    /// It becomes the track with this id, if another sighting confirms it.
    Tentative(u64),
    /// It belongs to a track.
    Tracked(Track),
}

impl Tracking {
    /// Adds the word to the region meta of a detection. Only `Tracked` can be read as a [`Track`].
    pub fn add_to_meta(&self, meta: &mut gst_video::VideoRegionOfInterestMeta) {
        match self {
            Self::Unclaimed => meta.add_param(gst::Structure::new_empty(TRACK)),
            Self::Tentative(id) => {
                meta.add_param(gst::Structure::builder(TRACK).field(TENTATIVE, *id).build());
            }
            Self::Tracked(track) => track.add_to_meta(meta),
        }
    }

    /// The word on a region meta, `None` when no tracker looked at it.
    pub fn of_meta(meta: &gst_video::VideoRegionOfInterestMeta) -> Option<Self> {
        if let Some(track) = Track::of_meta(meta) {
            return Some(Self::Tracked(track));
        }
        let s = meta.param(TRACK)?;
        Some(s.get(TENTATIVE).map_or(Self::Unclaimed, Self::Tentative))
    }
}

impl Track {
    /// Adds the track to the region meta of a detection.
    pub fn add_to_meta(&self, meta: &mut gst_video::VideoRegionOfInterestMeta) {
        let short = i32::try_from(self.id & 0x7fff_ffff).unwrap_or(0);
        meta.add_param(gst::Structure::builder(OBJECT_ID).field(ID, short).build());
        meta.add_param(
            gst::Structure::builder(TRACK)
                .field(ID, self.id)
                .field(STATIONARY, self.stationary)
                .field(ZONES, fields::string_array(&self.zones))
                .build(),
        );
    }

    /// The track on a region meta: ours, or the plain `object_id` of another tracker.
    pub fn of_meta(meta: &gst_video::VideoRegionOfInterestMeta) -> Option<Self> {
        if let Some(s) = meta.param(TRACK) {
            return Some(Self {
                id: s.get(ID).ok()?,
                stationary: s.get(STATIONARY).unwrap_or(false),
                zones: fields::strings(s, ZONES),
            });
        }
        let id = meta.param(OBJECT_ID)?.get::<i32>(ID).ok()?;
        Some(Self {
            id: u64::try_from(id).ok()?,
            stationary: false,
            zones: Vec::new(),
        })
    }
}
