//! What the integration tests share: the library, the models, the media, and pipelines that run to their end.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;

use gst::prelude::*;

pub const YUNET: &str = "models/yunet_n_640_640.onnx";
pub const YUNET_SMALL: &str = "models/yunet_n_320_320.onnx";
pub const EMBEDDER: &str = "models/mobilefacenet_paddlex_128.onnx";

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstfacematch::register_static().unwrap();
        gstonnxinfer::register_static().unwrap();
        gstobjecttrack::register_static().unwrap();
        gsteventsink::register_static().unwrap();
    });
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Says so where the test runner does not swallow it, as it does with what a passing test prints.
fn skip<T>(test: &str, what: &str, path: &Path) -> Option<T> {
    let line = format!("SKIP: {test} needs {what} at {}\n", path.display());
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}

/// ONNX Runtime's library, or a visible word that the test is skipped.
pub fn library(test: &str) -> Option<String> {
    let told = std::env::var("ORT_DYLIB_PATH").ok().map(PathBuf::from);
    let path = told.unwrap_or_else(|| workspace().join(".deps/onnxruntime/libonnxruntime.so"));
    if path.exists() {
        return Some(path.to_str().unwrap().to_owned());
    }
    skip(test, "ONNX Runtime", &path)
}

/// A file of the shared test media and models, or a visible word that the test is skipped.
pub fn shared(test: &str, file: &str) -> Option<String> {
    let root =
        std::env::var("NVRD_SHARED").map_or_else(|_| workspace().join("../shared"), PathBuf::from);
    let path = root.join(file);
    if path.exists() {
        return Some(path.to_str().unwrap().to_owned());
    }
    skip(test, "a file", &path)
}

/// The photos of one named person each, with the name that the file says.
pub fn photos(test: &str) -> Option<Vec<(String, PathBuf)>> {
    let folder = shared(test, "media/faces")?;
    let mut photos: Vec<(String, PathBuf)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let stem = path.file_stem()?.to_str()?;
            let (name, number) = stem.rsplit_once('_')?;
            let named = number.parse::<u32>().is_ok() && !name.starts_with("group");
            named.then(|| (name.replace("_partial", ""), path.clone()))
        })
        .collect();
    photos.sort();
    Some(photos)
}

/// Runs a pipeline to its end; its warnings, or the error that ended it.
pub fn run(pipeline: &gst::Pipeline) -> Result<Vec<String>, String> {
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let mut warnings = Vec::new();
    let kinds = [
        gst::MessageType::Eos,
        gst::MessageType::Error,
        gst::MessageType::Warning,
    ];
    let ended = loop {
        let message = bus
            .timed_pop_filtered(gst::ClockTime::from_seconds(120), &kinds)
            .expect("the pipeline ends");
        match message.view() {
            gst::MessageView::Eos(_) => break Ok(warnings),
            gst::MessageView::Error(e) => break Err(e.error().message().to_owned()),
            gst::MessageView::Warning(w) => warnings.push(w.error().message().to_owned()),
            _ => {}
        }
    };
    pipeline.set_state(gst::State::Null).unwrap();
    ended
}

#[allow(
    clippy::disallowed_methods,
    reason = "the lines are the test's own, as a user would write them"
)]
pub fn launch(line: &str) -> gst::Pipeline {
    init();
    gst::parse::launch(line)
        .unwrap_or_else(|error| panic!("{line}: {error}"))
        .downcast()
        .unwrap()
}

/// Enrols the one face of a photo; the warnings, or the error.
pub fn enrol(
    (detector, embedder): (&str, &str),
    gallery: &Path,
    person: &str,
    photo: &Path,
) -> Result<Vec<String>, String> {
    let decoder = match photo.extension().and_then(|e| e.to_str()) {
        Some("png") => "pngdec",
        _ => "jpegdec",
    };
    run(&launch(&format!(
        "filesrc location={} ! {decoder} ! videoconvert ! onnxinfer model={detector} threshold=0.7 live=no \
         ! facematch model={embedder} gallery={} enroll={person} ! fakesink",
        photo.display(),
        gallery.display(),
    )))
}
