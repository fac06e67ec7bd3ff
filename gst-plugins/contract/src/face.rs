//! Faces: landmarks of a face region and, once matched, whose it is; parameters on its region meta.

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
