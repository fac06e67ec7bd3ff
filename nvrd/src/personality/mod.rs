//! Listeners that speak the language of other programs: thin translations onto the same recorder.

pub mod ai_adapter;
