//! ONNX Runtime missing: a process of its own, because a process that found the library once keeps it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;

use common::{element, init, library, next_trouble, onnx};
use gst::prelude::*;

#[test]
fn a_missing_library_says_how_to_get_it_and_can_come_later() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let toml = "labels = [\"dull\", \"bright\"]";
    let model = onnx::write(folder.path(), "m.onnx", &onnx::brightness(32), toml);
    let bus = gst::Bus::new();
    for wrong in [
        "/nowhere/libonnxruntime.so".to_owned(),
        model.to_str().unwrap().to_owned(),
    ] {
        let element = element(&wrong, &model);
        element.set_bus(Some(&bus));
        assert!(element.set_state(gst::State::Ready).is_err());
        let (error, text) = next_trouble(&bus).unwrap();
        assert!(error.matches(gst::LibraryError::Init), "{error:?}");
        for word in [&wrong, "ORT_DYLIB_PATH", "scripts/setup"] {
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
        element.set_state(gst::State::Null).unwrap();
    }

    let Some(library) = library("the second half of a_missing_library") else {
        return;
    };
    let element = element(&library, &model);
    element.set_state(gst::State::Ready).unwrap();
    element.set_state(gst::State::Null).unwrap();
}
