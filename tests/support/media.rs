//! Clips and models: the shared ones where they are, clips of our own otherwise.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::{gst_command, root, run};

/// The folder with shared test media, where there is one.
pub fn shared() -> Option<PathBuf> {
    let folder =
        std::env::var_os("NVRD_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    folder
        .join("media")
        .is_dir()
        .then(|| folder.canonicalize().unwrap())
}

/// A shared clip by its file name.
pub fn shared_clip(name: &str) -> Option<PathBuf> {
    Some(shared()?.join("media/video").join(name)).filter(|path| path.is_file())
}

/// The object detection model, where there is one.
pub fn yolox() -> Option<PathBuf> {
    let model =
        Some(shared()?.join("models/yolox_nano_coco_416.onnx")).filter(|path| path.is_file());
    onnx_runtime().and(model)
}

/// A face detector, a model that tells faces apart, and a photo of one person.
pub fn faces() -> Option<[PathBuf; 3]> {
    let shared = shared()?;
    let files = [
        "models/yunet_n_320_320.onnx",
        "models/mobilefacenet_paddlex_128.onnx",
        "media/faces/obama_1.jpg",
    ]
    .map(|file| shared.join(file));
    let there = files.iter().all(|file| file.is_file());
    onnx_runtime().and(there.then_some(files))
}

/// The ONNX Runtime library, where there is one.
pub fn onnx_runtime() -> Option<PathBuf> {
    let set = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let library = set.unwrap_or_else(|| root().join(".deps/onnxruntime/libonnxruntime.so"));
    library.is_file().then_some(library)
}

/// An H.264 clip of real pictures with a key frame every 25, or a generated one of the same kind.
pub fn street() -> PathBuf {
    shared_clip("pets_s2l1_h264.mp4").unwrap_or_else(|| {
        println!("SKIP: no shared media, a generated clip stands in");
        generated()
    })
}

/// A clip of our own with H.265, 30 s, 10 pictures a second, a key frame every 10; `format` is the pictures'.
///
/// `Y444` has four times the usual colour: no decoder gives it to a detector as it is.
pub fn generated_h265(format: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("generated_h265.mp4");
    let location = format!("location={}", path.display());
    let caps = format!("video/x-raw,format={format},width=320,height=180,framerate=10/1");
    let mut line = vec![
        "-q",
        "videotestsrc",
        "num-buffers=300",
        "pattern=ball",
        "!",
        &caps,
        "!",
    ];
    line.extend([
        "x265enc",
        "key-int-max=10",
        "tune=zerolatency",
        "!",
        "h265parse",
        "!",
        "mp4mux",
        "!",
    ]);
    line.extend(["filesink", &location]);
    run(
        gst_command("gst-launch-1.0").args(line),
        Duration::from_secs(60),
    );
    (folder, path)
}

/// A clip of our own with sound: 8 s of H.264 and AAC.
pub fn generated_with_audio() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("generated_audio.mp4");
    let location = format!("location={}", path.display());
    let mut line = vec!["-q", "mp4mux", "name=m", "!", "filesink", &location];
    line.extend(["videotestsrc", "num-buffers=200", "!"]);
    line.extend([
        "video/x-raw,width=320,height=180,framerate=25/1",
        "!",
        "x264enc",
    ]);
    line.extend([
        "key-int-max=25",
        "bframes=0",
        "!",
        "h264parse",
        "!",
        "queue",
        "!",
        "m.",
    ]);
    line.extend([
        "audiotestsrc",
        "num-buffers=344",
        "!",
        "audio/x-raw,rate=44100",
        "!",
    ]);
    line.extend(["avenc_aac", "!", "queue", "!", "m."]);
    run(
        gst_command("gst-launch-1.0").args(line),
        Duration::from_secs(60),
    );
    (folder, path)
}

/// A clip of our own: 30 s, 10 pictures a second, each different, a key frame every 25, no B-frames.
pub fn generated() -> PathBuf {
    static CLIP: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = CLIP.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generated.mp4");
        generate(&path, 300);
        (folder, path)
    });
    path.clone()
}

fn generate(path: &Path, pictures: u32) {
    let location = format!("location={}", path.display());
    let count = format!("num-buffers={pictures}");
    let line = [
        "-q",
        "videotestsrc",
        &count,
        "pattern=smpte",
        "horizontal-speed=1",
        "!",
        // Left open, the encoder takes four times the usual colour, which no camera sends.
        "video/x-raw,format=I420,width=640,height=360,framerate=10/1",
        "!",
        "x264enc",
        "key-int-max=25",
        "bframes=0",
        "tune=zerolatency",
        "!",
        "h264parse",
        "!",
        "mp4mux",
        "!",
        "filesink",
        &location,
    ];
    run(
        gst_command("gst-launch-1.0").args(line),
        Duration::from_secs(60),
    );
}
