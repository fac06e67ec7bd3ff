//! Everything in the daemon that runs GStreamer.
//!
//! What does not belong here: the database, HTTP, the format of the configuration file.
//! The modules stand in the order a camera comes to life.
#![warn(missing_docs, unreachable_pub)]

pub mod gstlog;
pub mod description;
pub mod launch;
pub mod spec;
pub mod assemble;
pub mod notice;
pub mod tap;
mod camera;
pub mod supervisor;
pub mod restream;
pub mod stills;
pub mod snapshot;
pub mod probe;

pub use camera::Triggered;
pub use description::Description;
pub use notice::{CameraState, CameraStatus, Decoding, Notice, What, advice_on};
pub use spec::{CameraSpec, ParamValue, StorageMark};
pub use supervisor::Supervisor;
