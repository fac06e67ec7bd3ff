//! ONNX models on pictures, as plain values: what `onnxinfer`, `facematch` and the daemon share.
//!
//! Does not belong here: GStreamer, what detections mean over time, and whose face it is.
//!
//! The modules stand in the order the data flows: a picture becomes a tensor, the session turns it into
//! outputs, a decoder those into boxes, suppression thins them out.

pub mod labels;
pub mod io;
pub mod family;
pub mod facts;
pub mod preprocess;
pub mod provider;
pub mod runtime;
pub mod session;
pub mod decode;
pub mod nms;
pub mod model;
pub mod pool;

mod half;
mod value;
