//! Names, keys and typed forms of everything the elements exchange: metas, bus messages, sticky and upstream events.
//!
//! No string key of ours appears outside this crate.
//! What does not belong here: an element, an algorithm, anything of the database or of HTTP.
//!
//! The modules stand in the order the data flows.

pub mod attribute;
pub mod bbox;
pub mod detection;
pub mod event;
pub mod face;
pub mod gate;
pub mod motion;
pub mod polygon;
pub mod segment;
pub mod source;
pub mod stats;
pub mod track;
pub mod wallclock;

mod fields;

pub use bbox::BBox;
pub use fields::{FieldError, Message};
