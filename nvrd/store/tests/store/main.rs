//! The store through its front door.
//!
//! `tests/store_postgres` is this folder by another name: the same tests, on a PostgreSQL server.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step fails the test, and the setting for tests does not reach helpers"
)]

#[path = "../../../../tests/support/postgres.rs"]
mod postgres;
mod support;

mod cameras;
mod event_life;
mod event_lists;
mod event_places;
mod notifications;
mod segments;
mod gaps;
mod timelapses;
mod ledger;
mod deletion;
mod exports;
mod described;
mod controllers;
mod people;
mod batches;
mod threads;
mod damage;
