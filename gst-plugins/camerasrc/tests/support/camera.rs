//! A scripted RTSP camera: answers as a script says, and sends what a script says, rightly or wrongly.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it, and tests may fail loudly"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What one connection does.
#[derive(Clone)]
pub struct Script {
    /// The description.
    pub sdp: String,
    /// The `RTP-Info` of the answer to PLAY.
    pub rtp_info: Option<String>,
    /// Answers instead of 200: a word of the request's first line or of its `Transport`, and the code.
    pub refuse: Vec<(&'static str, u16)>,
    /// Requests that get no answer at all.
    pub mute: Vec<&'static str>,
    /// More lines of the answer to a request that is refused with 401.
    pub challenge: &'static str,
    /// The session's time-out, seconds.
    pub session_timeout: u32,
    /// Closes the connection as soon as it is made.
    pub slam: bool,
    /// What is sent after PLAY; when it returns, the connection stays open and silent.
    pub play: Arc<dyn Fn(&mut Wire) + Send + Sync>,
}

impl Script {
    /// Plays `play` with this description and is well-behaved otherwise.
    pub fn new(sdp: &str, play: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        Self {
            sdp: sdp.to_owned(),
            rtp_info: None,
            refuse: Vec::new(),
            mute: Vec::new(),
            challenge: "",
            session_timeout: 60,
            slam: false,
            play: Arc::new(play),
        }
    }

    pub fn refusing(mut self, word: &'static str, code: u16) -> Self {
        self.refuse.push((word, code));
        self
    }

    pub fn muting(mut self, word: &'static str) -> Self {
        self.mute.push(word);
        self
    }

    pub fn rtp_info(mut self, text: &str) -> Self {
        self.rtp_info = Some(text.to_owned());
        self
    }
}

/// A request that the camera saw.
#[derive(Debug, Clone)]
pub struct Request {
    pub at: Instant,
    /// Which connection it came by, counted from zero.
    pub connection: usize,
    pub method: String,
    pub transport: String,
}

struct Shared {
    scripts: Vec<Script>,
    connections: AtomicUsize,
    stop: AtomicBool,
    requests: Mutex<Vec<Request>>,
    open: Mutex<Vec<TcpStream>>,
}

/// A camera at a port of its own.
pub struct Camera {
    pub port: u16,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Camera {
    /// The n-th connection follows the n-th script, all later ones the last.
    pub fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            scripts,
            connections: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            requests: Mutex::default(),
            open: Mutex::default(),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    if shared.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                    shared
                        .open
                        .lock()
                        .unwrap()
                        .push(stream.try_clone().unwrap());
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || serve(&shared, number, stream));
                }
            }
        });
        Self {
            port,
            shared,
            thread: Some(thread),
        }
    }

    pub fn uri(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Lets go of connections that the other side has ended, which would be held open otherwise.
    pub fn forget_closed(&self) {
        let mut open = self.shared.open.lock().unwrap();
        open.retain(|stream| {
            stream.set_nonblocking(true).unwrap();
            // One that was reset with something unread still has that to read.
            let ended = stream.peer_addr().is_err() || matches!(stream.peek(&mut [0]), Ok(0));
            stream.set_nonblocking(false).unwrap();
            !ended
        });
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // It may be gone already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.cut();
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Where packets go: by stream, inside the connection or in datagrams.
enum Way {
    Interleaved,
    Datagrams(UdpSocket),
}

/// What a script writes to.
pub struct Wire {
    stream: TcpStream,
    ways: Vec<Way>,
    shared: Arc<Shared>,
    start: Instant,
    sent: Duration,
}

impl Wire {
    /// Sends one RTP packet of a stream; false when nobody listens any more.
    pub fn send(&mut self, stream: usize, packet: &[u8]) -> bool {
        match self.ways.get(stream) {
            Some(Way::Datagrams(socket)) => socket.send(packet).is_ok(),
            _ => {
                let channel = u8::try_from(stream * 2).unwrap();
                let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
                let head = [b'$', channel, length[0], length[1]];
                self.raw(&[&head[..], packet].concat())
            }
        }
    }

    pub fn send_all(&mut self, stream: usize, packets: &[Vec<u8>]) -> bool {
        packets.iter().all(|packet| self.send(stream, packet))
    }

    /// Sends bytes that are perhaps no RTSP.
    pub fn raw(&mut self, bytes: &[u8]) -> bool {
        !self.stopped() && self.stream.write_all(bytes).is_ok()
    }

    /// Waits so long after the last wait's end, so that what is sent keeps its pace.
    pub fn pause(&mut self, ms: u64) {
        self.sent += Duration::from_millis(ms);
        while !self.stopped() && self.start.elapsed() < self.sent {
            let left = self.sent.saturating_sub(self.start.elapsed());
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
    }

    pub fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }

    /// Whether packets go in datagrams.
    pub fn is_udp(&self) -> bool {
        matches!(self.ways.first(), Some(Way::Datagrams(_)))
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

fn serve(shared: &Arc<Shared>, number: usize, stream: TcpStream) {
    let script = shared.scripts[number.min(shared.scripts.len() - 1)].clone();
    if script.slam {
        stream.shutdown(Shutdown::Both).ok();
        return;
    }
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut ways = Vec::new();
    while let Some((first, headers)) = request(&mut reader) {
        let header = |name: &str| {
            headers
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map_or("", |(_, value)| value.as_str())
        };
        let method = first.split(' ').next().unwrap_or_default().to_owned();
        let transport = header("Transport").to_owned();
        shared.requests.lock().unwrap().push(Request {
            at: Instant::now(),
            connection: number,
            method: method.clone(),
            transport: transport.clone(),
        });
        if script.mute.contains(&method.as_str()) {
            continue;
        }
        let refused = script
            .refuse
            .iter()
            .find(|(word, _)| first.contains(word) || transport.contains(word));
        let (code, more, body) = match refused {
            Some((_, code)) => (*code, script.challenge.to_owned(), String::new()),
            None => answer(&script, &method, &transport, &mut ways),
        };
        let text = format!(
            "RTSP/1.0 {code} Whatever\r\nCSeq: {}\r\n{more}Content-Length: {}\r\n\r\n{body}",
            header("CSeq"),
            body.len()
        );
        if (&stream).write_all(text.as_bytes()).is_err() {
            return;
        }
        if method == "PLAY" && code == 200 {
            let mut wire = Wire {
                stream: stream.try_clone().unwrap(),
                ways: std::mem::take(&mut ways),
                shared: Arc::clone(shared),
                start: Instant::now(),
                sent: Duration::ZERO,
            };
            let play = Arc::clone(&script.play);
            std::thread::spawn(move || play(&mut wire));
        }
    }
}

/// The code, more header lines, and the body.
fn answer(
    script: &Script,
    method: &str,
    transport: &str,
    ways: &mut Vec<Way>,
) -> (u16, String, String) {
    let session = format!("Session: 1234;timeout={}\r\n", script.session_timeout);
    match method {
        "DESCRIBE" => (
            200,
            "Content-Type: application/sdp\r\n".to_owned(),
            script.sdp.clone(),
        ),
        "SETUP" => {
            let answer = match transport.split("client_port=").nth(1) {
                Some(ports) => {
                    let port: u16 = ports.split(['-', ';']).next().unwrap().parse().unwrap();
                    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                    socket.connect(("127.0.0.1", port)).unwrap();
                    let own = socket.local_addr().unwrap().port();
                    ways.push(Way::Datagrams(socket));
                    format!(
                        "RTP/AVP;unicast;client_port={ports};server_port={own}-{}",
                        own.wrapping_add(1)
                    )
                }
                None => {
                    let channel = ways.len() * 2;
                    ways.push(Way::Interleaved);
                    format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1)
                }
            };
            (
                200,
                format!("{session}Transport: {answer}\r\n"),
                String::new(),
            )
        }
        "PLAY" => {
            let info = script
                .rtp_info
                .as_ref()
                .map(|info| format!("RTP-Info: {info}\r\n"));
            (200, session + &info.unwrap_or_default(), String::new())
        }
        "OPTIONS" => (
            200,
            "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n".to_owned(),
            String::new(),
        ),
        _ => (200, session, String::new()),
    }
}

fn request(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|n| *n > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some((first, headers))
}
