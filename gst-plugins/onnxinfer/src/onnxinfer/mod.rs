//! `onnxinfer` finds objects in raw video: it runs one ONNX detection model on the pictures that its rules choose.
//! The pictures themselves pass untouched; what was found is attached to them.
//!
//! **Upstream** it needs I420, NV12 or RGB of any size; with `trigger=motion` also `motiondetect`, whose verdict on
//! each picture it follows (a picture without a verdict counts as moving).
//!
//! **It adds** one region of interest per object, with label, confidence and exact box (faces also with five
//! landmarks), and to every picture whether the model looked at it, and which model. It posts nothing but errors
//! and warnings.
//!
//! **The model's facts** (input, family, labels, licence) are read from the TOML beside the model, `m.toml` for
//! `m.onnx`. A model of a known family (`yolox`, `yunet`, `yolov8`) is recognised by its shapes and needs none,
//! unless its labels are not COCO's 80:
//!
//! ```toml
//! task = "detection"              # or "face-detection"
//! family = "yolox"
//! description = "Parcels at the door"
//! licence = "Apache-2.0"
//! labels = ["parcel", "letter"]   # or "coco80"; or labels_file = "names.txt"
//! [input]                         # what the family does by habit may be left out
//! width = 416                     # needed only where the model leaves its size open
//! height = 416
//! channels = "bgr"                # or "rgb"
//! layout = "nchw"
//! scale = 1.0                     # value = (byte * scale - mean) / std
//! mean = [0.0, 0.0, 0.0]
//! std = [1.0, 1.0, 1.0]
//! letterbox = "top-left"          # or "center", "stretch"
//! pad = 114.0
//! [nms]
//! iou = 0.45
//! ```
//!
//! **ONNX Runtime** (1.17 or later) is loaded, and the model tried on a blank picture, when the element goes to READY: from `ort-library`, else
//! `$ORT_DYLIB_PATH`, else `/usr/lib/nvrd/libonnxruntime.so`, else wherever the system's loader finds it. The
//! process has one, whichever came first. All elements with the same model file and options share one session.
//!
//! **Time.** In a pipeline that is not live every due picture is analysed on the streaming thread, so that two runs
//! give the same result. In a live one a thread of the element analyses, and the picture waits for it at most
//! `budget`; an answer that comes later is thrown away, because its picture is gone. After each wait further pictures
//! pass without analysis until the stream has had a third of that time to spare. Analysis that fell out is
//! counted in `stats` as dropped; video is never dropped. The longest wait so far is added to the latency.
//!
//! `MODEL` names the ONNX file:
//!
//! ```sh
//! gst-launch-1.0 videotestsrc num-buffers=10 ! video/x-raw,format=I420 ! onnxinfer model=$MODEL ! fakesink
//! ```

mod counters;
mod failure;
mod imp;
mod settings;
mod stream;

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
