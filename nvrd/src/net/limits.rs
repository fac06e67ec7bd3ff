//! What a listener grants its clients.

use std::time::Duration;

/// Times and numbers; none of them is ever exceeded by more than the time between two sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time for the header of a request to arrive.
    pub header_time: Duration,
    /// Time for the next request of a connection to begin.
    pub idle_time: Duration,
    /// Time for a TLS handshake.
    pub handshake_time: Duration,
    /// Time for a client to take something of what it is sent.
    pub stall_time: Duration,
    /// Connections at once; more wait in the system's queue, unless one that only waits can go.
    pub connections: usize,
    /// Connections at once from one address, or from one /64 network of IPv6.
    pub per_address: usize,
    /// Requests at once in one HTTP/2 connection.
    pub streams: u32,
    /// Time for requests to be finished when the daemon stops.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(10),
            handshake_time: Duration::from_secs(10),
            stall_time: Duration::from_secs(60),
            connections: 256,
            per_address: 64,
            streams: 64,
            farewell: Duration::from_secs(3),
        }
    }
}

impl Limits {
    /// How often connections are looked at: often enough that a limit is kept to a twentieth.
    pub(super) fn sweep_every(&self) -> Duration {
        let shortest = self
            .header_time
            .min(self.idle_time)
            .min(self.handshake_time)
            .min(self.stall_time);
        (shortest / 20).clamp(Duration::from_millis(5), Duration::from_millis(500))
    }
}
