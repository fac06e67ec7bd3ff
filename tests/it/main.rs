//! The whole system with real peers, a module per behaviour.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up shall fail where it is"
)]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

mod elements;
mod record;
mod stills;
mod detect;
mod restream;
mod viewers;
mod outage;
mod second;
mod crash;
mod export;
mod proof;
mod disks;
mod cameras;
mod event_mode;
mod locked;
mod render;
mod control;
mod bad_input;
mod operations;
mod seeds;
mod described;
mod pace;
mod load;
mod kill;
mod flap;
mod memory;
mod soak;
