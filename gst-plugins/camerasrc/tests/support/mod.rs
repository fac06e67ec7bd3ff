//! A camera source before a sink that hands every picture to the test.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it, and tests may fail loudly"
)]

pub mod camera;
pub mod media;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gst::prelude::*;
use nvr_contract::Message;
use nvr_contract::source::SourceChange;
use nvr_contract::wallclock::WallClock;

pub mod server;

pub fn init() {
    gst::init().unwrap();
    gstcamerasrc::register_static().unwrap();
}

/// What came out of a source pad.
#[derive(Debug, Clone)]
pub struct Picture {
    pub pts: u64,
    pub dts: u64,
    pub key: bool,
    pub discont: bool,
    pub corrupted: bool,
    pub bytes: usize,
    pub caps: gst::Caps,
    pub anchor: Option<WallClock>,
    /// Where its bytes lie.
    pub at: usize,
}

pub struct Run {
    pub pipeline: gst::Pipeline,
    pub source: gst::Element,
    pub pictures: Receiver<Picture>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// A source before a sink that hands every picture over.
pub fn run(uri: &str) -> Run {
    init();
    let source = gst::ElementFactory::make("camerasrc")
        .property("uri", uri)
        .build()
        .unwrap();
    let pipeline = gst::Pipeline::new();
    pipeline.add(&source).unwrap();
    let pictures = listen(&pipeline, &source, "video", None);
    Run {
        pipeline,
        source,
        pictures,
    }
}

/// Puts a sink behind a pad, maybe a queue before it, and hands over what comes.
pub fn listen(
    pipeline: &gst::Pipeline,
    source: &gst::Element,
    pad: &str,
    queue: Option<&gst::Element>,
) -> Receiver<Picture> {
    // With a queue, a sink that gets nothing must not hold up another one.
    let sink = gst_app::AppSink::builder()
        .sync(false)
        .async_(queue.is_none())
        .build();
    pipeline.add(&sink).unwrap();
    match queue {
        Some(queue) => {
            pipeline.add(queue).unwrap();
            source.link_pads(Some(pad), queue, Some("sink")).unwrap();
            queue.link(&sink).unwrap();
        }
        None => source.link_pads(Some(pad), &sink, Some("sink")).unwrap(),
    }
    let (send, pictures) = channel();
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let buffer = sample.buffer().unwrap();
                let picture = Picture {
                    pts: buffer.pts().unwrap().nseconds(),
                    dts: buffer.dts().unwrap().nseconds(),
                    key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
                    discont: buffer.flags().contains(gst::BufferFlags::DISCONT),
                    corrupted: buffer.flags().contains(gst::BufferFlags::CORRUPTED),
                    bytes: buffer.size(),
                    caps: sample.caps_owned().unwrap(),
                    anchor: WallClock::of_pad(&sink.static_pad("sink").unwrap()),
                    at: buffer.map_readable().unwrap().as_ptr() as usize,
                };
                // A test that has seen enough does not listen any more.
                send.send(picture).ok();
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    pictures
}

impl Run {
    pub fn play(self) -> Self {
        self.pipeline.set_state(gst::State::Playing).unwrap();
        self
    }

    pub fn next(&self) -> Picture {
        self.pictures
            .recv_timeout(Duration::from_secs(20))
            .expect("a picture within 20 s")
    }

    pub fn take(&self, n: usize) -> Vec<Picture> {
        (0..n).map(|_| self.next()).collect()
    }

    /// Waits for the end or an error.
    pub fn end(&self) -> Result<(), gst::glib::Error> {
        let message = self
            .pipeline
            .bus()
            .unwrap()
            .timed_pop_filtered(
                gst::ClockTime::from_seconds(30),
                &[gst::MessageType::Eos, gst::MessageType::Error],
            )
            .expect("an end within 30 s");
        match message.view() {
            gst::MessageView::Error(error) => Err(error.error()),
            _ => Ok(()),
        }
    }

    /// The next word about the connection.
    pub fn change(&self) -> SourceChange {
        loop {
            let message = self
                .pipeline
                .bus()
                .unwrap()
                .timed_pop_filtered(
                    gst::ClockTime::from_seconds(20),
                    &[gst::MessageType::Element, gst::MessageType::Error],
                )
                .expect("news within 20 s");
            assert_ne!(message.type_(), gst::MessageType::Error, "{message:?}");
            if let Some(change) = SourceChange::from_message(&message) {
                return change.unwrap();
            }
        }
    }

    /// All pictures up to the end.
    pub fn all(&self) -> Vec<Picture> {
        self.end().unwrap();
        self.pictures.try_iter().collect()
    }
}

pub fn check_order(pictures: &[Picture]) {
    for picture in pictures {
        assert!(picture.dts <= picture.pts, "{picture:?}");
    }
    for pair in pictures.windows(2) {
        assert!(pair[0].dts < pair[1].dts, "{pair:?}");
    }
}
