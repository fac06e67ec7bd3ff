//! `facematch` says whose the faces on passing pictures are. The pictures themselves pass untouched.
//!
//! **Needs upstream**: I420, NV12 or RGB with regions labelled `face` that have five landmarks, from `onnxinfer`
//! with a face model; best with `objecttrack` between: then the best pictures of a track decide, a face is
//! embedded only when it pays, and a name is given out on every picture of the track. Without a tracker each
//! picture is judged for itself.
//!
//! **Adds** to the region of a face that is known `nvrd-face` (`person`, `similarity`): the id of a person of the
//! gallery, or of a stranger, `stranger-…`. The id of a stranger comes from the first good face of the track;
//! who comes again gets it again. A face that might be somebody's and is not surely so gets nothing.
//!
//! **Posts** `nvrd-face-seen` when a track gets an identity and when a stranger's face is kept as a sample.
//!
//! **The model** takes one face of 112 by 112 pixels, `[N, 3, 112, 112]`, and gives one vector, as those of the
//! `ArcFace` and `MobileFaceNet` kind. What is not red, green, blue with `(v - 127.5) / 127.5` stands in the TOML
//! beside the model, `m.toml` for `m.onnx`:
//!
//! ```toml
//! [input]
//! channels = "bgr"                # or "rgb"
//! scale = 1.0                     # value = (byte * scale - mean) / std
//! mean = [127.5, 127.5, 127.5]
//! std = [128.0, 128.0, 128.0]
//! ```
//!
//! **The gallery** is a TOML file of people with any number of faces each. Only faces made by the same model count;
//! the model is known by its hash. The file may be replaced at any time, best by renaming another one over it: it
//! is read anew in the background, and one that is broken or gone changes nothing but for a warning.
//!
//! ```toml
//! [[person]]
//! id = "emp_001"                  # what events carry: letters, digits, `_` and `-`, at most 64
//! name = "John Doe"
//! category = "employee"           # or visitor, watchlist, vip, or a word of one's own
//! [[person.face]]
//! model = "6ced4e0c36ab"          # first 12 hex digits of the BLAKE3 of the model file
//! embedding = "mpmZPg…"           # base64 of 32-bit little-endian floats
//! ```
//!
//! **To enrol** somebody, `enroll` names the id, and every passing picture must show exactly one face that is large,
//! sharp and frontal enough; it is added to the file, which is made when there is none. What is wrong with a picture
//! is a warning; a stream of which nothing was enrolled ends with an error.
//!
//! ```sh
//! gst-launch-1.0 filesrc location=$PHOTO ! jpegdec ! videoconvert ! onnxinfer model=$DETECTOR threshold=0.7 \
//!     ! facematch model=$EMBEDDER gallery=$GALLERY enroll=emp_001 ! fakesink
//! ```
//!
//! Then they are known, here in a photo; a camera has `objecttrack` before `facematch`:
//!
//! ```sh
//! gst-launch-1.0 filesrc location=$PHOTO ! jpegdec ! videoconvert ! onnxinfer model=$DETECTOR threshold=0.7 \
//!     ! facematch model=$EMBEDDER gallery=$GALLERY ! eventsink location=-
//! ```

mod frame;
mod imp;
mod settings;

pub use settings::{DEFAULT_GATE, DEFAULT_RULE};

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element.
    pub struct FaceMatch(ObjectSubclass<imp::FaceMatch>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element with a plugin.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "facematch",
        gst::Rank::NONE,
        FaceMatch::static_type(),
    )
}
