//! The listeners: every HTTP listener of the daemon accepts, bounds, encrypts and ends its connections here.
//!
//! It knows sockets and nothing of what is asked over them; warp's own server sets no time within which a request
//! must arrive, and takes no socket of ours.

mod limits;
mod bind;
mod place;
mod guarded;
mod counted;
mod refuse;
mod serve;
mod relay;
pub mod tls;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use bind::bind;
pub use limits::Limits;
pub use relay::{Relay, relay};
pub use serve::{Options, serve};

/// In the extensions of an answer: its connection only listens from now on, and whoever answered bounds how many do.
///
/// It does not count among the connections of the listener or of an address while the answer goes on, or, where it
/// became something else than HTTP, as long as it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apart;

/// The other side of a connection; the listener adds it to every request, and a [`nvr_base::Shutdown`] beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}
