//! HTTP by hand over one connection, for tests that measure: no pool, no redirects, nothing hidden.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to the daemon that stays open.
pub struct Wire {
    reader: BufReader<TcpStream>,
    host: String,
}

impl Wire {
    /// Connects to `host:port`.
    pub fn connect(host: &str) -> Self {
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).unwrap();
        Self {
            reader: BufReader::new(stream),
            host: host.to_owned(),
        }
    }

    /// Sends a request and reads its answer: the status and the body.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, Vec<u8>)> {
        let host = &self.host;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.reader.get_mut().write_all(request.as_bytes())?;
        let (status, length) = self.head()?;
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok((status, body))
    }

    /// Asks for a page that does not end, and gives its lines.
    pub fn stream(mut self, path: &str) -> BufReader<TcpStream> {
        let host = &self.host;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n");
        self.reader.get_mut().write_all(request.as_bytes()).unwrap();
        assert_eq!(self.head().unwrap().0, 200);
        self.reader
    }

    /// Asks for a WebSocket; what follows are its frames.
    pub fn socket(mut self, path: &str) -> BufReader<TcpStream> {
        let host = &self.host;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.reader.get_mut().write_all(request.as_bytes()).unwrap();
        assert_eq!(self.head().unwrap().0, 101);
        self.reader
    }

    /// The status and the length of the body.
    fn head(&mut self) -> std::io::Result<(u16, usize)> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let Some(status) = status else {
            return Err(std::io::Error::other(format!("no status in {line:?}")));
        };
        let mut length = 0;
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else {
                return Ok((status, length));
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
    }
}

/// The next frame of a WebSocket as text, whatever its kind; it is short of 64 KiB.
pub fn frame(reader: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut head = [0; 2];
    reader.read_exact(&mut head)?;
    let mut length = usize::from(head[1] & 0x7f);
    if length == 126 {
        let mut more = [0; 2];
        reader.read_exact(&mut more)?;
        length = usize::from(u16::from_be_bytes(more));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
