//! The recorder as a library: what the program and its tests are made of.
//!
//! The modules stand in the order the data flows; [`app`] connects them.
#![warn(missing_docs, unreachable_pub)]
// The state of a camera in one `json!` of a test is deeper than usual.
#![cfg_attr(test, recursion_limit = "256")]

pub mod cli;
mod commands;
mod clip;
pub mod config;
pub mod app;
pub mod plugins;
pub mod storage;
pub mod vault;
pub mod evidence;
pub mod recovery;
mod backup;
pub mod outbound;
pub mod cameras;
pub mod live;
mod metrics;
pub mod pulse;
pub mod hub;
pub mod ingest;
pub mod alarms;
pub mod retention;
pub mod exports;
pub mod stills;
pub mod timelapse;
pub mod ai;
pub mod protect;
pub mod auth;
pub mod net;
pub mod infer;
pub mod faces;
pub mod settings;
pub mod api;
pub mod personality;
#[cfg(test)]
mod sample;
