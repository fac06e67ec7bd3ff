//! Taking an address, and saying in one sentence why it cannot be had.

use std::io;
use std::net::SocketAddr;

use nvr_base::{Error, Result};
use tokio::net::TcpListener;

/// Listens on an address; port 0 takes a free one. `key` is the one of the configuration that names it.
///
/// # Errors
/// One sentence with the key and the address when it is in use or not ours.
pub async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "is in use by another program: stop that one, or choose another port".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => {
                "is no address of this machine: choose another one".to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                "needs privileges: choose a port above 1023".to_owned()
            }
            _ => format!("cannot be listened on: {error}"),
        };
        Error::precondition(format!("{key}: {address} {why}")).with_source(error)
    })
}
