//! The recorder's MP4 files: what is written, and reading it back without trusting anything in it.
//!
//! Plain values and files; no GStreamer type comes in here. The element writes with it, and the daemon reads.
#![warn(missing_docs, unreachable_pub)]

pub mod track;
pub mod fmp4;
mod walk;
pub mod inspect;
pub mod read;
pub mod flat;
#[cfg(test)]
mod recorded;

/// Why a box could not be written: a value does not fit its field.
pub use mp4_atom::Error as BoxError;
