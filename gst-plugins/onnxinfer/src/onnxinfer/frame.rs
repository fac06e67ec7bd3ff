//! Buffers and caps as the plain pictures that the preprocessor takes.

use gst_video::prelude::*;
use nvr_onnx::preprocess::{Colour, Picture, Pixels, Plane};

/// How pictures lie in buffers.
#[derive(Debug)]
pub struct Frame {
    info: gst_video::VideoInfo,
    colour: Colour,
}

impl Frame {
    /// For pictures as `info` says.
    pub fn new(info: gst_video::VideoInfo) -> Self {
        let colour = colour_of(&info);
        Self { info, colour }
    }

    /// Width and height of the pictures, pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.info.width(), self.info.height())
    }

    /// Hands the picture in a buffer to `work`, `None` when the buffer does not hold one.
    pub fn with_picture<T>(
        &self,
        buffer: &gst::BufferRef,
        work: impl FnOnce(&Picture<'_>) -> T,
    ) -> Option<T> {
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &self.info).ok()?;
        let picture = picture_of(&frame, self.colour)?;
        Some(work(&picture))
    }
}

fn colour_of(info: &gst_video::VideoInfo) -> Colour {
    use gst_video::VideoColorMatrix as Matrix;
    let colorimetry = info.colorimetry();
    let (kr, kb) = match colorimetry.matrix() {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
        Matrix::Fcc => (0.30, 0.11),
        Matrix::Smpte240m => (0.212, 0.087),
        _ => {
            let usual = Colour::by_height(info.height() as usize);
            (usual.kr, usual.kb)
        }
    };
    Colour {
        kr,
        kb,
        full_range: colorimetry.range() == gst_video::VideoColorRange::Range0_255,
    }
}

fn picture_of<'a>(
    frame: &'a gst_video::VideoFrameRef<&gst::BufferRef>,
    colour: Colour,
) -> Option<Picture<'a>> {
    let plane = |i: u32| {
        let stride = *frame.plane_stride().get(i as usize)?;
        Some(Plane {
            data: frame.plane_data(i).ok()?,
            stride: usize::try_from(stride).ok()?,
        })
    };
    let pixels = match frame.format() {
        gst_video::VideoFormat::I420 => Pixels::I420 {
            y: plane(0)?,
            u: plane(1)?,
            v: plane(2)?,
        },
        gst_video::VideoFormat::Nv12 => Pixels::Nv12 {
            y: plane(0)?,
            uv: plane(1)?,
        },
        gst_video::VideoFormat::Rgb => Pixels::Rgb(plane(0)?),
        _ => return None,
    };
    Some(Picture {
        width: frame.width() as usize,
        height: frame.height() as usize,
        pixels,
        colour,
    })
}
