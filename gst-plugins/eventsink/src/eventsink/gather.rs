//! Buffers and their metas into the plain values that the core works on.

use gst_video::prelude::*;
use nvr_contract::detection::{Detection, InferenceFrame};
use nvr_contract::face::Identity;
use nvr_contract::motion::{MotionFrame, MotionRegion};
use nvr_contract::track::Tracking;
use nvr_contract::wallclock::WallClock;

use crate::events::{Picture, Sight};
use crate::thumbnail::{Layout, Plane, Planes, Thumbnail};

/// What is known of a picture; `pts_ns` stands in for a missing time stamp.
pub(super) fn picture(buffer: &gst::BufferRef, pts_ns: u64, wall: Option<WallClock>) -> Picture {
    let inference = InferenceFrame::of_buffer(buffer);
    let notes: Vec<_> = buffer
        .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
        .filter(|meta| Detection::is_on(meta))
        .map(|meta| {
            (
                meta.id(),
                Tracking::of_meta(&meta),
                Identity::of_meta(&meta),
            )
        })
        .collect();
    let mut notes = notes.into_iter();
    let sights = Detection::all_of_buffer(buffer)
        .into_iter()
        .map(|found| {
            // Both lists are in the order of the metas; the first leaves out what it cannot read.
            let note = notes.find(|(id, ..)| *id == found.roi_id);
            let (tracking, identity) = note.map_or((None, None), |(_, t, i)| (t, i));
            Sight {
                label: found.detection.label,
                score: found.detection.score,
                bbox: found.detection.bbox,
                tracking,
                identity,
            }
        })
        .collect();
    Picture {
        pts_ns,
        duration_ns: buffer.duration().map(gst::ClockTime::nseconds),
        wall,
        motion: MotionFrame::of_buffer(buffer),
        regions: MotionRegion::all_of_buffer(buffer),
        looked: inference.as_ref().map(|i| i.ran),
        model: inference.map(|i| i.model).filter(|model| !model.is_empty()),
        sights,
    }
}

/// The layout of a format, `None` where no thumbnail is made of it.
pub(super) fn layout(format: gst_video::VideoFormat) -> Option<Layout> {
    match format {
        gst_video::VideoFormat::I420 => Some(Layout::I420),
        gst_video::VideoFormat::Nv12 => Some(Layout::Nv12),
        gst_video::VideoFormat::Rgb => Some(Layout::Rgb),
        gst_video::VideoFormat::Gray8 => Some(Layout::Gray),
        _ => None,
    }
}

/// A small copy of the picture, `None` when its memory or format does not allow it.
pub(super) fn thumbnail(
    buffer: &gst::BufferRef,
    info: &gst_video::VideoInfo,
    max_width: u32,
) -> Option<Thumbnail> {
    let layout = layout(info.format())?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
    let planes = (0..frame.n_planes())
        .map(|index| {
            Some(Plane {
                data: frame.plane_data(index).ok()?,
                stride: usize::try_from(*frame.plane_stride().get(index as usize)?).ok()?,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    let colorimetry = info.colorimetry();
    Planes {
        layout,
        width: frame.width() as usize,
        height: frame.height() as usize,
        planes,
        hd_colours: colorimetry.matrix() == gst_video::VideoColorMatrix::Bt709,
        // Plain gray has no matrix and, unless said otherwise, uses every value.
        full_range: colorimetry.range() == gst_video::VideoColorRange::Range0_255,
    }
    .scaled(max_width)
}
