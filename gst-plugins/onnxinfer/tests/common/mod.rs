//! What the integration tests share: the library, the media, tiny models written byte by byte, and a harness.
#![allow(dead_code, reason = "each test binary uses a part of it")]

#[path = "../../../onnx/tests/support/onnx.rs"]
pub mod onnx;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;

use gst_check::Harness;

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstonnxinfer::register_static().unwrap();
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
pub fn shared(test: &str, file: &str) -> Option<PathBuf> {
    let root =
        std::env::var("NVRD_SHARED").map_or_else(|_| workspace().join("../shared"), PathBuf::from);
    let path = root.join(file);
    if path.exists() {
        return Some(path);
    }
    skip(test, "a file", &path)
}

/// The element with a model, in a pipeline that is not live unless a test says so.
pub fn element(library: &str, model: &Path) -> gst::Element {
    init();
    gst::ElementFactory::make("onnxinfer")
        .property("ort-library", library)
        .property("model", model.to_str().unwrap())
        .property_from_str("live", "no")
        .build()
        .unwrap()
}

pub fn harness(element: &gst::Element) -> Harness {
    Harness::with_element(element, Some("sink"), Some("src"))
}

pub fn caps(format: &str, width: i32, height: i32) -> String {
    format!("video/x-raw,format={format},width={width},height={height},framerate=25/1")
}

/// A grey I420 picture of `width` by `height` pixels, number `n` of 25 a second.
pub fn grey(width: u32, height: u32, level: u8, n: u64) -> gst::Buffer {
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height)
        .build()
        .unwrap();
    let mut bytes = vec![128_u8; info.size()];
    bytes[..info.offset()[1]].fill(level);
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let buffer_ref = buffer.get_mut().unwrap();
    buffer_ref.set_pts(gst::ClockTime::from_mseconds(40 * n));
    buffer_ref.set_duration(gst::ClockTime::from_mseconds(40));
    buffer
}

/// The error or warning that the element posted.
pub fn next_trouble(bus: &gst::Bus) -> Option<(gst::glib::Error, String)> {
    while let Some(message) = bus.pop() {
        let error = match message.view() {
            gst::MessageView::Error(e) => e.error(),
            gst::MessageView::Warning(w) => w.error(),
            _ => continue,
        };
        let text = error.message().to_owned();
        return Some((error, text));
    }
    None
}
