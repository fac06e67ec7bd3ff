//! Pictures one after the other as an MP4 file with H.264.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gst::prelude::*;
use nvr_base::{Error, Result};

use super::Picture;
use super::bounded::Bounded;

/// How long the encoder may take to make room for a picture, and for the end.
const DEADLINE: Duration = Duration::from_secs(60);
/// Raw pictures that wait for the encoder.
const MAX_WAITING: u64 = 4;
/// How long room is waited for before looking whether an element failed.
const STEP: Duration = Duration::from_millis(5);
/// What a failure is called.
const FAILED: &str = "the film could not be encoded";

/// The encoders in the order in which they are taken, each with its settings.
///
/// One thread: a film is made beside cameras that record, and may take its time.
const ENCODERS: &[(&str, &[(&str, &str)])] = &[
    (
        "x264enc",
        &[
            ("pass", "quant"),
            ("quantizer", "23"),
            ("speed-preset", "veryfast"),
            ("rc-lookahead", "10"),
            ("threads", "1"),
        ],
    ),
    (
        "openh264enc",
        &[
            ("rate-control", "quality"),
            ("bitrate", "6000000"),
            ("qp-max", "32"),
            ("multi-thread", "1"),
        ],
    ),
];

/// A film that is being made.
#[derive(Debug)]
pub struct Film {
    running: Bounded,
    source: gst_app::AppSrc,
    fps: u32,
    pictures: u64,
}

impl Film {
    /// Begins a film of this size in pixels, both even, with `fps` pictures a second.
    ///
    /// The file is whole only after [`finish`](Self::finish).
    ///
    /// # Errors
    /// `FailedPrecondition` without an encoder, `Internal` when the pipeline does not start.
    pub fn begin(path: &Path, (width, height): (u32, u32), fps: u32) -> Result<Self> {
        let source = gst_app::AppSrc::builder().format(gst::Format::Time).build();
        let pixels = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", pixels(width))
            .field("height", pixels(height))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field("framerate", gst::Fraction::new(pixels(fps), 1))
            .build();
        let filter = gst::ElementFactory::make("capsfilter").property("caps", caps);
        let muxer = gst::ElementFactory::make("mp4mux")
            .property("faststart", true)
            .property("faststart-file", Self::beside(path).display().to_string());
        let sink = gst::ElementFactory::make("filesink")
            .property("location", path.display().to_string())
            .property("sync", false)
            .property("async", false);
        let make = |builder: gst::element_factory::ElementBuilder<'_>| {
            builder.build().map_err(|error| {
                Error::precondition(format!("an element is not installed: {error}"))
            })
        };
        let plain = |factory| make(gst::ElementFactory::make(factory));
        let chain = [
            source.clone().upcast(),
            plain("videoconvertscale")?,
            make(filter)?,
            encoder(fps)?,
            plain("h264parse")?,
            make(muxer)?,
            make(sink)?,
        ];
        Ok(Self {
            running: Bounded::play(&chain)?,
            source,
            fps,
            pictures: 0,
        })
    }

    /// Adds a decoded picture of any size, with black beside one of another shape; it waits for the encoder.
    ///
    /// # Errors
    /// When the encoder, the muxer or the disk fails, or the encoder hangs.
    pub fn push(&mut self, Picture(sample): &Picture) -> Result<()> {
        let buffer = sample.buffer_owned().zip(sample.caps());
        let (mut buffer, caps) =
            buffer.ok_or_else(|| Error::internal("a picture without content"))?;
        let start = Instant::now();
        while self.source.current_level_buffers() >= MAX_WAITING {
            if self.running.ended(STEP, FAILED)? || start.elapsed() > DEADLINE {
                return Err(Error::unavailable("the film's encoder hangs"));
            }
        }
        // The rate of the recording is not that of the film.
        let mut caps = caps.to_owned();
        let rate = gst::Fraction::new(i32::try_from(self.fps).unwrap_or(i32::MAX), 1);
        caps.make_mut().set("framerate", rate);
        if self.source.caps().as_ref() != Some(&caps) {
            self.source.set_caps(Some(&caps));
        }
        let changed = buffer.make_mut();
        let at = |number: u64| {
            gst::ClockTime::SECOND
                .mul_div_floor(number, u64::from(self.fps))
                .unwrap_or_default()
        };
        changed.set_pts(at(self.pictures));
        changed.set_dts(gst::ClockTime::NONE);
        changed.set_duration(at(self.pictures + 1) - at(self.pictures));
        self.pictures += 1;
        self.source.push_buffer(buffer).map(drop).or_else(|error| {
            self.running.failure(FAILED)?;
            Err(Error::internal(FAILED).with_source(error))
        })
    }

    /// Where the muxer keeps the media until it can write the index in front of it: on the same disk. A film that was
    /// not finished leaves it behind.
    pub fn beside(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".media");
        name.into()
    }

    /// Pictures so far.
    pub fn pictures(&self) -> u64 {
        self.pictures
    }

    /// Ends the film: afterwards the file is whole, though not yet synced.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(self) -> Result<()> {
        self.source
            .end_of_stream()
            .map_err(|error| Error::internal(FAILED).with_source(error))?;
        match self.running.ended(DEADLINE, FAILED)? {
            true => Ok(()),
            false => Err(Error::unavailable("the film's encoder hangs")),
        }
    }
}

fn encoder(fps: u32) -> Result<gst::Element> {
    let found = ENCODERS
        .iter()
        .find(|(factory, _)| gst::ElementFactory::find(factory).is_some());
    let Some((factory, settings)) = found else {
        let names: Vec<&str> = ENCODERS.iter().map(|(factory, _)| *factory).collect();
        return Err(Error::precondition(format!(
            "no H.264 encoder is installed: one of {}",
            names.join(", ")
        )));
    };
    let encoder = gst::ElementFactory::make(factory)
        .build()
        .map_err(|_| Error::precondition(format!("element {factory:?} is not installed")))?;
    for (name, value) in *settings {
        encoder.set_property_from_str(name, value);
    }
    // A key frame every two seconds, so that players can jump.
    let distance = if encoder.has_property("gop-size") {
        "gop-size"
    } else {
        "key-int-max"
    };
    encoder.set_property(distance, fps.saturating_mul(2));
    Ok(encoder)
}
