//! Pictures out of recorded files: the one shown at a moment, key frames in small, and films made of them.
//!
//! Everything here blocks, for milliseconds to seconds, and is bounded in time: call it where blocking is allowed.

mod bounded;
mod decode;
mod recording;
mod sheet;
mod film;

pub use film::Film;
pub use recording::{Picture, Recording, Still};
pub use sheet::Sheet;

pub(crate) use decode::{Shape, Size, bytes_of, decode};
