//! Decoded pictures of files, as checksums, to tell whether one is lost or comes twice.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use gst::prelude::*;

/// A checksum per decoded picture of an MP4 file with H.264, in order of presentation.
pub fn checksums(file: &Path) -> Vec<u64> {
    gst::init().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's own graph")]
    let pipeline = gst::parse::launch(
        "filesrc name=file ! qtdemux ! h264parse ! avdec_h264 ! appsink name=out sync=false max-buffers=8",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    pipeline
        .by_name("file")
        .unwrap()
        .set_property("location", file.display().to_string());
    let sink = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut sums = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        sums.push(checksum(&sample));
    }
    let ended = sink.is_eos();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(
        ended,
        "{}: decoding did not come to the end",
        file.display()
    );
    sums
}

fn checksum(sample: &gst::Sample) -> u64 {
    let map = sample.buffer().unwrap().map_readable().unwrap();
    let mut hasher = DefaultHasher::new();
    hasher.write(&map);
    hasher.finish()
}

/// Where `part` stands in `whole`, as one unbroken run.
pub fn position(whole: &[u64], part: &[u64]) -> Option<usize> {
    (!part.is_empty()).then_some(())?;
    whole.windows(part.len()).position(|window| window == part)
}

/// The checksums of several files, one after the other.
pub fn all_checksums(files: &[PathBuf]) -> Vec<u64> {
    files.iter().flat_map(|file| checksums(file)).collect()
}
