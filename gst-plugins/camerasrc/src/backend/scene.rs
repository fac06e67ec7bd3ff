//! Test scenes: our own drawing, encoded.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use gst::prelude::*;

use super::inner::{self, Outcome};
use crate::packet::{Failure, Stream};
use crate::queue::Queue;
use crate::scene::{Painter, SceneOptions};

/// Delivers a scene until its end or until the queue is closed.
pub fn run(scene: &SceneOptions, queue: &Arc<Queue>) -> Result<(), Failure> {
    let pipeline = gst::Pipeline::new();
    let sink = inner::sink(Stream::Video, queue, &Arc::new(AtomicU64::new(0)));
    let parse = inner::make("h264parse")?;
    inner::chain(
        &pipeline,
        &[
            camera(scene).upcast(),
            inner::encoder(scene.fps)?,
            parse,
            sink.upcast(),
        ],
    )?;
    match inner::play(&pipeline, queue, || false) {
        Outcome::End | Outcome::Closed => Ok(()),
        Outcome::Error(error) => Err(Failure::Internal(format!(
            "the test scene failed: {}",
            error.message()
        ))),
    }
}

/// A source that draws a picture whenever the encoder wants one.
fn camera(scene: &SceneOptions) -> gst_app::AppSrc {
    let caps = gst_video::VideoCapsBuilder::new()
        .format(gst_video::VideoFormat::I420)
        .width(i32::try_from(scene.width).expect("at most 3840"))
        .height(i32::try_from(scene.height).expect("at most 2160"))
        .framerate(gst::Fraction::new(
            i32::try_from(scene.fps).expect("at most 120"),
            1,
        ))
        .pixel_aspect_ratio(gst::Fraction::new(1, 1))
        .build();
    let source = gst_app::AppSrc::builder()
        .caps(&caps)
        .format(gst::Format::Time)
        .build();
    let mut painter = Painter::new(scene);
    let scene = scene.clone();
    let mut n = 0;
    source.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .need_data(move |source, _| {
                // The source stops on any answer but Ok by itself.
                if scene.frames != 0 && n >= scene.frames {
                    source.end_of_stream().ok();
                } else {
                    source.push_buffer(picture(&scene, &mut painter, n)).ok();
                    n += 1;
                }
            })
            .build(),
    );
    source
}

fn picture(scene: &SceneOptions, painter: &mut Painter, n: u64) -> gst::Buffer {
    let mut pixels = vec![0; scene.picture_len()];
    painter.draw(n, &mut pixels);
    let pixels = padded(scene, pixels);
    let mut buffer = gst::Buffer::from_mut_slice(pixels);
    let (start, end) = (scene.pts_ns(n), scene.pts_ns(n + 1));
    let fresh = buffer.get_mut().expect("a new buffer has one owner");
    fresh.set_pts(gst::ClockTime::from_nseconds(start));
    fresh.set_duration(gst::ClockTime::from_nseconds(end - start));
    buffer
}

/// GStreamer's default layout of I420 has rows of a multiple of four bytes.
fn padded(scene: &SceneOptions, pixels: Vec<u8>) -> Vec<u8> {
    let (width, height) = (scene.width, scene.height);
    if width % 8 == 0 {
        return pixels;
    }
    let stride = |width: usize| width.next_multiple_of(4);
    let mut out = Vec::with_capacity(stride(width) * height * 2);
    let (luma, chroma) = pixels.split_at(width * height);
    for (plane, width) in [(luma, width), (chroma, width / 2)] {
        for row in plane.chunks(width) {
            out.extend_from_slice(row);
            out.resize(out.len() + stride(width) - width, 0);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Pattern;

    #[test]
    fn pictures_have_the_layout_that_gstreamer_expects() {
        gst::init().unwrap();
        for (width, height) in [(64, 64), (66, 64), (68, 66), (70, 98), (640, 360)] {
            let scene = SceneOptions {
                width,
                height,
                ..SceneOptions::of(Pattern::Visits)
            };
            let buffer = picture(&scene, &mut Painter::new(&scene), 3);
            let info = gst_video::VideoInfo::builder(
                gst_video::VideoFormat::I420,
                u32::try_from(width).unwrap(),
                u32::try_from(height).unwrap(),
            )
            .build()
            .unwrap();
            assert_eq!(buffer.size(), info.size(), "{width}x{height}");
            let frame = gst_video::VideoFrame::from_buffer_readable(buffer, &info).unwrap();
            assert_eq!(frame.plane_data(1).unwrap()[0], 128);
        }
    }
}
