//! Answers for connections that never reach a service, in the shape of every other failure.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time for such an answer to be sent and read.
const PATIENCE: Duration = Duration::from_secs(1);

/// For an address that has all its connections at work.
pub(super) const TOO_MANY: (u16, &str, &str) = (
    503,
    "Service Unavailable",
    "too many connections from this address at once: close some, or try again",
);
/// For a client that speaks in the clear where TLS is spoken.
pub(super) const NOT_TLS: (u16, &str, &str) =
    (400, "Bad Request", "this port speaks TLS: use https://");

/// Sends a failure and closes.
pub(super) async fn answer(mut stream: TcpStream, (status, reason, detail): (u16, &str, &str)) {
    let body = format!("{{\"detail\":\"{detail}\",\"status_code\":{status}}}");
    let text = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 2\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let sent = tokio::time::timeout(PATIENCE, async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing while something of the client's is unread would take the answer away from it.
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    });
    if let Err(error) = sent.await {
        tracing::debug!(%error, "a refusal was not read");
    }
}
