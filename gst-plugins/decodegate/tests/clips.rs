//! The gate on real clips: it finds what is found when everything is decoded.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may fail loudly, and say what they skip"
)]

use std::path::{Path, PathBuf};

use gst::prelude::*;
use support::{Clip, Run, init, run, watched};

mod support;

/// The clips beside the repository.
fn clips() -> Vec<PathBuf> {
    let folder = std::env::var_os("NVRD_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let files = std::fs::read_dir(folder.join("media/video"));
    let mut clips: Vec<PathBuf> = files
        .into_iter()
        .flatten()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "mp4"))
        .collect();
    clips.sort();
    if clips.is_empty() {
        println!("SKIP: no clips; set NVRD_SHARED to the folder that holds media/");
    }
    clips
}

/// The encoded pictures of an H.264 file.
fn read(path: &Path) -> Clip {
    init();
    let line = "filesrc name=file ! qtdemux ! h264parse ! video/x-h264,stream-format=avc,alignment=au ! appsink name=out sync=false";
    #[expect(clippy::disallowed_methods, reason = "the text stands in the tests")]
    let pipeline = gst::parse::launch(line).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let file = pipeline.by_name("file").unwrap();
    file.set_property("location", path.to_str().unwrap());
    let sink = pipeline.by_name("out").unwrap();
    let sink = sink.downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut buffers, mut caps) = (Vec::new(), None);
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(60)) {
        caps = sample.caps_owned();
        buffers.push(sample.buffer_owned().unwrap());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    Clip {
        caps: caps.unwrap(),
        buffers,
    }
}

fn both(path: &Path) -> (Run, Run) {
    let clip = read(path);
    let (all, gated) = (
        run(&clip, &watched("all")),
        run(&clip, &watched("adaptive")),
    );
    let name = path.file_name().unwrap().display();
    println!(
        "{name}: {:?}\n  gated {:?}\n  {:?} {:?}",
        all.motion, gated.motion, gated.stats, gated.gate
    );
    (all, gated)
}

#[test]
fn the_same_motion_on_every_clip() {
    for path in clips() {
        let (all, gated) = both(&path);
        let step = all.pictures[1].0 - all.pictures[0].0 + 1;
        assert_eq!(all.motion.len(), gated.motion.len(), "{}", path.display());
        for ((_, a), (_, b)) in all.motion.iter().zip(&gated.motion) {
            assert!(a.abs_diff(*b) <= step, "{}: {a} {b}", path.display());
        }
        assert!(gated.pictures.is_sorted_by(|a, b| a.0 < b.0));
        let mut whole = all.pictures.iter();
        for picture in &gated.pictures {
            assert!(whole.any(|other| other == picture), "{picture:?}");
        }
    }
}
