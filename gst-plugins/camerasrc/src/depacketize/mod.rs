//! RTP payloads to whole pictures and pieces of sound; plain bytes, bounded, and never trusted.
//!
//! The RTSP library can do this too, but it keeps a picture for as long as a camera does not end it.

mod aac;
mod opus;
mod parameter_sets;
mod pictures;

use std::time::Instant;

pub use aac::AacUnits;
pub use opus::opus_length;
pub use parameter_sets::ParameterSets;
pub use pictures::{Codec, Picture, Pictures};

/// One RTP packet.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// What follows the RTP header.
    pub data: &'a [u8],
    /// Its time stamp, unwrapped, in ticks of the stream.
    pub ticks: i64,
    /// Its marker.
    pub marker: bool,
    /// Packets are missing before it.
    pub lost: bool,
    /// When it came.
    pub received: Instant,
}

/// Why a packet is of no use; what it belonged to is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It breaks the rules of its format.
    Malformed(&'static str),
    /// The picture has become larger than any picture is.
    TooLarge,
}
