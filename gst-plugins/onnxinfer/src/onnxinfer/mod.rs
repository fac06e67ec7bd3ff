//! `onnxinfer` finds objects in raw video: it runs one ONNX detection model on the pictures that its rules choose.
//! The pictures themselves pass untouched; what was found is attached to them.
//!
//! **Upstream** it needs I420, NV12 or RGB of any size; with `trigger=motion` also `motiondetect`, whose verdict on
//! each picture it follows (a picture without a verdict counts as moving).
//!
//! **It adds** one region of interest per object, with label, confidence and exact box (faces also with five
//! landmarks), and to every picture whether the model looked at it, and which model. It posts `nvrd-model-changed`
//! when the model's file was changed under it, and errors and warnings.
//!
//! **The model's facts** (input, family, labels, licence) are read from the TOML beside the model, `m.toml` for
//! `m.onnx`. A model of a known family needs none where its shapes, its names and its own notes tell the rest, as
//! Ultralytics' do; the log says what was inferred, and an error which key is missing. Families: `yolox`, `yolov5`
//! (v7), `yolov8` (v9, v11), `yolov10`, `yolov7-nms`, `efficient-nms`, `detr`, `rtdetr` (D-FINE), `rtdetr-rows`,
//! `ssd`, `nanodet`, `picodet`, `picodet-nms`, `yunet`, `scrfd`, `ultraface`; `classification`, `embedding`, `ctc`.
//!
//! ```toml
//! task = "detection"              # "face-detection", "classification", "embedding", "text"
//! family = "yolox"
//! description = "Parcels at the door"
//! licence = "Apache-2.0"
//! labels = ["parcel", "letter"]   # or "coco80"; or labels_file = "names.txt"
//! activation = "none"             # or "sigmoid", "softmax"
//! [input]                         # what the family does by habit may be left out
//! width = 416                     # needed only where the model leaves its size open
//! height = 416
//! channels = "bgr"                # or "rgb", "gray"
//! layout = "nchw"                 # or "nhwc"
//! scale = 1.0                     # value = (byte * scale - mean) / std
//! mean = [0.0, 0.0, 0.0]
//! std = [1.0, 1.0, 1.0]
//! letterbox = "top-left"          # or "center", "stretch"
//! pad = 114.0
//! [nms]
//! iou = 0.45
//! ```
//!
//! **Parts of the picture.** With `inference-region=roi-list` a detector looks at what `motiondetect` saw moving, in
//! parts as large as its input or larger, so that somebody small and far away in a large picture is found. A model
//! that classifies, embeds or reads text looks at the regions that another `onnxinfer` upstream found, of the labels
//! in `labels`, and writes its answer to them; its own labels are filtered by nothing but `threshold`.
//!
//! **ONNX Runtime** (1.17 or later) is loaded, and the model tried on a blank picture, when the element goes to READY: from `ort-library`, else
//! `$ORT_DYLIB_PATH`, else `/usr/lib/nvrd/libonnxruntime.so`, else wherever the system's loader finds it. The
//! process has one, whichever came first. All elements with the same model file and options share its sessions.
//!
//! **Time.** In a pipeline that is not live every due picture is analysed on the streaming thread, so that two runs
//! give the same result. In a live one the elements with the same model queue for `workers` threads: a picture with
//! motion before one without, among equals the camera that had the least of the model's time. The picture waits for
//! at most `budget`; an answer that comes later is thrown away, because its picture is gone. A stream that is behind
//! by more than the model takes lets pictures pass without a look until it has caught up. Analysis that fell out is
//! counted in `stats` as dropped; video is never dropped. The longest wait so far is added to the latency.
//!
//! `MODEL` names the ONNX file:
//!
//! ```sh
//! gst-launch-1.0 videotestsrc num-buffers=10 ! video/x-raw,format=I420 ! onnxinfer model=$MODEL ! fakesink
//! ```

mod settings;
mod frame;
mod stream;
mod attach;
mod second;
mod counters;
mod failure;
mod imp;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The `onnxinfer` element.
    pub struct OnnxInfer(ObjectSubclass<imp::OnnxInfer>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element with the plugin.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "onnxinfer",
        gst::Rank::NONE,
        OnnxInfer::static_type(),
    )
}
