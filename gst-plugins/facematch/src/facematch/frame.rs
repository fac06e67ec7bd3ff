//! Buffers, their memory and their metas as the plain values that the core works on.

use gst_video::prelude::*;
use nvr_contract::detection::Detection;
use nvr_contract::face::{Identity, landmarks_of};
use nvr_contract::track::Tracking;

use crate::picture::{Matrix, Picture, Pixels, Plane};
use crate::recogniser::Found;

/// The label of faces.
const FACE: &str = "face";

/// The faces on a picture of `width` by `height` pixels that nobody has named, with the ids of their metas.
pub(super) fn faces(buffer: &gst::BufferRef, width: u32, height: u32) -> Vec<(i32, Found)> {
    let (w, h) = (f64::from(width), f64::from(height));
    buffer
        .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
        .filter(|meta| meta.roi_type() == FACE && Detection::is_on(meta))
        .filter(|meta| Identity::of_meta(meta).is_none())
        .filter_map(|meta| {
            // The centre of the first pixel is at half a pixel of the picture.
            let landmarks = landmarks_of(&meta)?.map(|(x, y)| (x * w - 0.5, y * h - 0.5));
            let track = match Tracking::of_meta(&meta) {
                Some(Tracking::Tracked(track)) => Some(track.id),
                Some(Tracking::Tentative(id)) => Some(id),
                Some(Tracking::Unclaimed) | None => None,
            };
            Some((meta.id(), Found { landmarks, track }))
        })
        .take(nvr_contract::detection::ROI_LIST_LIMIT)
        .collect()
}

/// Names faces, by the ids of their metas.
pub(super) fn name(buffer: &mut gst::BufferRef, mut named: Vec<(i32, Identity)>) {
    for mut meta in buffer.iter_meta_mut::<gst_video::VideoRegionOfInterestMeta>() {
        // Ids of other detectors may repeat; each name is used once, in order.
        if meta.roi_type() == FACE
            && Identity::of_meta(&meta).is_none()
            && let Some(at) = named.iter().position(|(id, _)| *id == meta.id())
        {
            named.remove(at).1.add_to_meta(&mut meta);
        }
    }
}

/// How luma and chroma of a stream become colour.
pub(super) fn matrix_of(info: &gst_video::VideoInfo) -> Matrix {
    use gst_video::VideoColorMatrix as Known;
    let colorimetry = info.colorimetry();
    let (kr, kb) = match colorimetry.matrix() {
        Known::Bt709 => (0.2126, 0.0722),
        Known::Bt2020 => (0.2627, 0.0593),
        Known::Fcc => (0.30, 0.11),
        Known::Smpte240m => (0.212, 0.087),
        // What a stream of high definition has when nobody says.
        Known::Unknown if info.height() > 576 => (0.2126, 0.0722),
        _ => (0.299, 0.114),
    };
    Matrix {
        kr,
        kb,
        full_range: colorimetry.range() == gst_video::VideoColorRange::Range0_255,
    }
}

/// The picture in a frame, `None` when its memory does not hold one.
pub(super) fn picture_of<'a>(
    frame: &'a gst_video::VideoFrameRef<&gst::BufferRef>,
    matrix: Matrix,
) -> Option<Picture<'a>> {
    let plane = |i: u32| {
        let stride = *frame.plane_stride().get(i as usize)?;
        Some(Plane {
            data: frame.plane_data(i).ok()?,
            stride: usize::try_from(stride).ok()?,
        })
    };
    let pixels = match frame.format() {
        gst_video::VideoFormat::I420 => Pixels::I420([plane(0)?, plane(1)?, plane(2)?]),
        gst_video::VideoFormat::Nv12 => Pixels::Nv12([plane(0)?, plane(1)?]),
        gst_video::VideoFormat::Rgb => Pixels::Rgb(plane(0)?),
        _ => return None,
    };
    Picture::new(
        frame.width() as usize,
        frame.height() as usize,
        pixels,
        matrix,
    )
}
