//! Faces: landmarks of a face region and, once matched, whose it is, as parameters on its region meta; and the
//! message by which a recogniser tells whom it met.

use crate::fields::{self, FieldError, Message};

/// Five landmarks as (x, y) in shares of the picture: right eye, left eye, nose, right and left mouth corner,
/// as seen by the person.
pub type Landmarks = [(f64, f64); 5];

/// Whose face it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Id of the person in the gallery.
    pub person: String,
    /// Cosine similarity to the nearest sample, -1..1.
    pub similarity: f64,
}

/// What the ids of strangers begin with: people without a name, of whom only the face is known.
pub const STRANGER_PREFIX: &str = "stranger-";

const LANDMARKS: &str = "landmarks";
const POINTS: &str = "points";
const FACE: &str = "nvrd-face";
const PERSON: &str = "person";
const SIMILARITY: &str = "similarity";

/// Adds landmarks to the region meta of a face.
pub fn add_landmarks(meta: &mut gst_video::VideoRegionOfInterestMeta, points: &Landmarks) {
    let flat = points.iter().flat_map(|&(x, y)| [x, y]);
    meta.add_param(
        gst::Structure::builder(LANDMARKS)
            .field(POINTS, gst::Array::new(flat))
            .build(),
    );
}

/// The landmarks on a region meta.
pub fn landmarks_of(meta: &gst_video::VideoRegionOfInterestMeta) -> Option<Landmarks> {
    let array = meta.param(LANDMARKS)?.get::<gst::Array>(POINTS).ok()?;
    let flat: Vec<f64> = array.iter().filter_map(|v| v.get().ok()).collect();
    let flat: [f64; 10] = flat.try_into().ok()?;
    Some(std::array::from_fn(|i| (flat[2 * i], flat[2 * i + 1])))
}

impl Identity {
    /// Whether it is nobody with a name.
    pub fn is_stranger(&self) -> bool {
        self.person.starts_with(STRANGER_PREFIX)
    }

    /// Adds the identity to the region meta of a face.
    pub fn add_to_meta(&self, meta: &mut gst_video::VideoRegionOfInterestMeta) {
        meta.add_param(
            gst::Structure::builder(FACE)
                .field(PERSON, &self.person)
                .field(SIMILARITY, self.similarity)
                .build(),
        );
    }

    /// The identity on a region meta.
    pub fn of_meta(meta: &gst_video::VideoRegionOfInterestMeta) -> Option<Self> {
        let s = meta.param(FACE)?;
        Some(Self {
            person: s.get(PERSON).ok()?,
            similarity: s.get(SIMILARITY).ok()?,
        })
    }
}

/// Somebody was met: a track has got an identity, or there is one more sample of a stranger.
///
/// Posted once for each, not with every picture.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceSeen {
    /// Id of the person, or of the stranger.
    pub person: String,
    /// Whether it is somebody without a name.
    pub stranger: bool,
    /// Whether the stranger is new.
    pub new: bool,
    /// Cosine similarity to the nearest sample, -1..1.
    pub similarity: f64,
    /// PTS of the picture, nanoseconds.
    pub pts_ns: u64,
    /// The track, where there is one.
    pub track_id: Option<u64>,
    /// First 12 hex digits of the BLAKE3 of the model file.
    pub model: String,
    /// The sample, of a stranger's face that was kept: base64 of 32-bit little-endian floats.
    pub embedding: Option<String>,
}

const STRANGER: &str = "stranger";
const NEW: &str = "new";
const PTS_NS: &str = "pts-ns";
const TRACK_ID: &str = "track-id";
const MODEL: &str = "model";
const EMBEDDING: &str = "embedding";

impl Message for FaceSeen {
    const NAME: &'static str = "nvrd-face-seen";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(PERSON, &self.person)
            .field(STRANGER, self.stranger)
            .field(NEW, self.new)
            .field(SIMILARITY, self.similarity)
            .field(PTS_NS, self.pts_ns)
            .field_if_some(TRACK_ID, self.track_id)
            .field(MODEL, &self.model)
            .field_if_some(EMBEDDING, self.embedding.as_deref())
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        Ok(Self {
            person: fields::required(s, Self::NAME, PERSON)?,
            stranger: fields::required(s, Self::NAME, STRANGER)?,
            new: fields::required(s, Self::NAME, NEW)?,
            similarity: fields::required(s, Self::NAME, SIMILARITY)?,
            pts_ns: fields::required(s, Self::NAME, PTS_NS)?,
            track_id: s.get(TRACK_ID).ok(),
            model: fields::required(s, Self::NAME, MODEL)?,
            embedding: s.get(EMBEDDING).ok(),
        })
    }
}
