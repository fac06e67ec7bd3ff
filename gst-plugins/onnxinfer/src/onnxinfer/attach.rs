//! What was found, as metas on the picture.

use nvr_contract::face;

use super::stream::Found;

/// Puts the objects on a picture of (width, height) pixels.
pub fn objects(buffer: &mut gst::BufferRef, found: &[Found], (width, height): (u32, u32)) {
    for object in found {
        object.detection.attach(buffer, width, height);
        if let Some(points) = &object.landmarks {
            landmarks(buffer, points);
        }
    }
}

/// Adds landmarks to the region that was attached last, which has the greatest id.
fn landmarks(buffer: &mut gst::BufferRef, points: &face::Landmarks) {
    let newest = buffer
        .iter_meta_mut::<gst_video::VideoRegionOfInterestMeta>()
        .max_by_key(|meta| meta.id());
    if let Some(mut meta) = newest {
        face::add_landmarks(&mut meta, points);
    }
}
