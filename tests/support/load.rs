//! RTSP cameras by the dozen: cheap, numbered picture by picture, each on a port of its own that can go and come.
//!
//! Every access unit carries an SEI with its number and the time it was sent, so that a recording tells exactly
//! which pictures are missing and which are there twice. The number runs on while a camera is down.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use gst::prelude::*;

/// Begins every stamp; no byte of it or after it is zero, so that no emulation prevention comes between.
const STAMP: &[u8; 16] = b"nvrd-load-stamp:";
/// Number and time, 16 hexadecimal digits each.
const DIGITS: usize = 32;
/// Payload of a packet on Ethernet.
const MTU: usize = 1400;

/// What a camera sends over and over.
pub struct Clip {
    /// NAL units of each access unit, without start codes and parameter sets.
    units: Vec<Vec<Vec<u8>>>,
    parameters: Vec<Vec<u8>>,
    fps: u32,
}

impl Clip {
    /// Encodes noise that takes about `kbit` kbit/s, with a key frame every two seconds.
    pub fn encode(width: u32, height: u32, fps: u32, kbit: u32, seconds: u32) -> Self {
        gst::init().unwrap();
        let line = format!(
            "videotestsrc pattern=snow num-buffers={frames} ! video/x-raw,width=160,height=90,framerate={fps}/1 ! videoscale ! \
             video/x-raw,width={width},height={height} ! x264enc bitrate={kbit} vbv-buf-capacity=1000 key-int-max={gop} \
             speed-preset=superfast tune=zerolatency threads=2 option-string=scenecut=0 ! \
             h264parse ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false",
            frames = fps * seconds,
            gop = fps * 2,
        );
        #[expect(clippy::disallowed_methods, reason = "the line is the test's own")]
        let pipeline = gst::parse::launch(&line).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("out").unwrap();
        let sink = sink.downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut clip = Self {
            units: Vec::new(),
            parameters: Vec::new(),
            fps,
        };
        while let Ok(sample) = sink.pull_sample() {
            let map = sample.buffer().unwrap().map_readable().unwrap();
            let mut unit = Vec::new();
            for nal in nals(&map) {
                match nal[0] & 0x1f {
                    7 | 8 if !clip.parameters.contains(&nal) => clip.parameters.push(nal),
                    7..=9 => {}
                    _ => unit.push(nal),
                }
            }
            clip.units.push(unit);
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(clip.parameters.len(), 2, "SPS and PPS");
        assert_eq!(clip.units.len(), (fps * seconds) as usize);
        let keys = (0..clip.units.len() as u64).filter(|number| clip.is_key(*number));
        assert_eq!(
            keys.count() as u32,
            seconds / 2,
            "a key frame every two seconds"
        );
        clip
    }

    /// Bytes of one round.
    pub fn bytes(&self) -> usize {
        self.units.iter().flatten().map(Vec::len).sum()
    }

    fn is_key(&self, number: u64) -> bool {
        let unit = &self.units[self.index(number)];
        unit.iter().any(|nal| nal[0] & 0x1f == 5)
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number % self.units.len() as u64).unwrap()
    }

    /// The access unit of that number as it goes over the wire, TCP framing included.
    fn packets(&self, number: u64, sequence: &mut u16) -> Vec<u8> {
        let rtp_time = (number * 90_000 / u64::from(self.fps)) as u32;
        let stamp = stamp(number);
        let mut nals: Vec<&[u8]> = Vec::new();
        if self.is_key(number) {
            nals.extend(self.parameters.iter().map(Vec::as_slice));
        }
        nals.push(&stamp);
        nals.extend(self.units[self.index(number)].iter().map(Vec::as_slice));
        let mut out = Vec::new();
        for (index, nal) in nals.iter().enumerate() {
            let last = index + 1 == nals.len();
            if nal.len() <= MTU {
                packet(&mut out, sequence, rtp_time, last, &[nal]);
                continue;
            }
            let mut chunks = nal[1..].chunks(MTU - 2).peekable();
            let mut start = 0x80;
            while let Some(chunk) = chunks.next() {
                let end = if chunks.peek().is_none() { 0x40 } else { 0 };
                let head = [(nal[0] & 0x60) | 28, start | end | (nal[0] & 0x1f)];
                packet(
                    &mut out,
                    sequence,
                    rtp_time,
                    last && end != 0,
                    &[&head, chunk],
                );
                start = 0;
            }
        }
        out
    }

    fn sdp(&self) -> String {
        let base64 = |nal: &[u8]| base64::engine::general_purpose::STANDARD.encode(nal);
        let sps = &self.parameters[0];
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=load\r\nt=0 0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\n\
             a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id={:02X}{:02X}{:02X};\
             sprop-parameter-sets={},{}\r\na=control:track1\r\n",
            sps[1],
            sps[2],
            sps[3],
            base64(sps),
            base64(&self.parameters[1])
        )
    }
}

fn nals(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= bytes.len() {
        if bytes[at..at + 3] == [0, 0, 1] {
            starts.push((at, at + 3));
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts.iter().skip(1).map(|(zero, _)| *zero);
    let ends = ends.chain([bytes.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|((_, from), to)| {
            let nal = &bytes[*from..to];
            let len = nal.iter().rposition(|byte| *byte != 0).map_or(0, |i| i + 1);
            nal[..len].to_vec()
        })
        .filter(|nal| !nal.is_empty())
        .collect()
}

fn packet(out: &mut Vec<u8>, sequence: &mut u16, time: u32, marker: bool, parts: &[&[u8]]) {
    let payload: usize = parts.iter().map(|part| part.len()).sum();
    out.extend([b'$', 0]);
    out.extend(u16::try_from(12 + payload).unwrap().to_be_bytes());
    out.extend([0x80, 96 | if marker { 0x80 } else { 0 }]);
    out.extend(sequence.to_be_bytes());
    out.extend(time.to_be_bytes());
    out.extend(0x6c6f_6164_u32.to_be_bytes());
    for part in parts {
        out.extend(*part);
    }
    *sequence = sequence.wrapping_add(1);
}

/// A user data SEI with number and time.
fn stamp(number: u64) -> Vec<u8> {
    let mut nal = vec![6, 5, u8::try_from(STAMP.len() + DIGITS).unwrap()];
    nal.extend(STAMP);
    nal.extend(format!("{number:016x}{:016x}", now_us()).bytes());
    nal.push(0x80);
    nal
}

#[expect(
    clippy::disallowed_methods,
    reason = "a camera's own clock is the machine's"
)]
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// A picture that was found in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Its number.
    pub number: u64,
    /// When the camera sent it, microseconds since 1970-01-01 UTC.
    pub sent_us: u64,
}

/// The stamps of a file in the order of the file.
pub fn stamps(path: &Path) -> Vec<Stamp> {
    let bytes = std::fs::read(path).unwrap();
    let mut found = Vec::new();
    let mut rest = &bytes[..];
    while let Some(at) = find(rest, STAMP) {
        rest = &rest[at + STAMP.len()..];
        let Some(digits) = rest.get(..DIGITS) else {
            break;
        };
        let hex = |part: &[u8]| u64::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok();
        if let (Some(number), Some(sent_us)) = (hex(&digits[..16]), hex(&digits[16..])) {
            found.push(Stamp { number, sent_us });
        }
    }
    found
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == what[0])?;
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
}

struct Shared {
    clip: Arc<Clip>,
    epoch: Instant,
    up: AtomicBool,
    /// Pictures, over all connections.
    sent: AtomicU64,
    connections: Mutex<HashMap<u64, TcpStream>>,
}

/// A camera; it goes with the value.
pub struct LoadCamera {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

impl LoadCamera {
    /// A camera on a free port, which is up.
    pub fn start(clip: &Arc<Clip>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut camera = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::new(Shared {
                clip: Arc::clone(clip),
                epoch: Instant::now(),
                up: AtomicBool::new(true),
                sent: AtomicU64::new(0),
                connections: Mutex::default(),
            }),
            accepting: None,
        };
        camera.accept(listener);
        camera
    }

    /// Where it is.
    pub fn uri(&self) -> String {
        format!("rtsp://{}/cam", self.address)
    }

    /// Cuts every connection and refuses new ones, as when it loses power.
    pub fn down(&mut self) {
        self.shared.up.store(false, Ordering::SeqCst);
        // Wakes the thread that accepts; where it is gone already there is nothing to wake.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.accepting.take() {
            thread.join().unwrap();
        }
        for connection in self.shared.connections.lock().unwrap().values() {
            // It may be closed from the other side.
            drop(connection.shutdown(Shutdown::Both));
        }
    }

    /// Comes back on the same port.
    pub fn up(&mut self) {
        if self.accepting.is_none() {
            self.shared.up.store(true, Ordering::SeqCst);
            let listener = crate::wait_for("the port is free", Duration::from_secs(10), || {
                TcpListener::bind(self.address).ok()
            });
            self.accept(listener);
        }
    }

    /// Pictures sent over all connections.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    fn accept(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            for (id, stream) in (0..).zip(listener.incoming()) {
                if !shared.up.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (shared, kept) = (Arc::clone(&shared), stream.try_clone().unwrap());
                shared.connections.lock().unwrap().insert(id, kept);
                std::thread::spawn(move || {
                    // A client that goes, in whatever way, is the end of its connection and of nothing else.
                    drop(serve(&shared, stream));
                    shared.connections.lock().unwrap().remove(&id);
                });
            }
        };
        self.accepting = Some(std::thread::spawn(work));
    }
}

impl Drop for LoadCamera {
    fn drop(&mut self) {
        self.down();
    }
}

fn serve(shared: &Arc<Shared>, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let writer = Arc::new(Mutex::new(stream.try_clone()?));
    let mut reader = BufReader::new(stream);
    let playing = Arc::new(AtomicBool::new(false));
    let done = loop {
        match request(&mut reader) {
            Err(error) => break Err(error),
            Ok(None) => break Ok(()),
            Ok(Some((method, url, headers))) => {
                let sequence = headers.get("cseq").cloned().unwrap_or_default();
                let mut answer =
                    format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 1;timeout=60\r\n");
                let mut body = String::new();
                match method.as_str() {
                    "OPTIONS" => answer.push_str(
                        "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n",
                    ),
                    "DESCRIBE" => {
                        body = shared.clip.sdp();
                        write!(answer, "Content-Base: {url}/\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n", body.len()).unwrap();
                    }
                    "SETUP" if headers.get("transport").is_some_and(|t| t.contains("TCP")) => {
                        answer.push_str("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
                    }
                    "SETUP" => {
                        answer =
                            format!("RTSP/1.0 461 Unsupported Transport\r\nCSeq: {sequence}\r\n");
                    }
                    _ => {}
                }
                answer.push_str("\r\n");
                answer.push_str(&body);
                writer.lock().unwrap().write_all(answer.as_bytes())?;
                if method == "PLAY" && !playing.swap(true, Ordering::SeqCst) {
                    let (shared, writer) = (Arc::clone(shared), Arc::clone(&writer));
                    let playing = Arc::clone(&playing);
                    std::thread::spawn(move || drop(send(&shared, &writer, &playing)));
                }
                if method == "TEARDOWN" {
                    break Ok(());
                }
            }
        }
    };
    playing.store(false, Ordering::SeqCst);
    // Closed already, perhaps.
    drop(writer.lock().unwrap().shutdown(Shutdown::Both));
    done
}

type Request = (String, String, HashMap<String, String>);

/// The next request; receiver reports between requests are passed over.
fn request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    loop {
        match reader.fill_buf()?.first() {
            None => return Ok(None),
            Some(b'$') => {
                let mut head = [0; 4];
                reader.read_exact(&mut head)?;
                let mut data = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
                reader.read_exact(&mut data)?;
            }
            Some(_) => break,
        }
    }
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut words = lines[0].split(' ').map(str::to_owned);
    let (method, url) = (words.next().unwrap(), words.next().unwrap_or_default());
    let headers = lines[1..].iter().filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let headers: HashMap<String, String> = headers.collect();
    if let Some(length) = headers.get("content-length") {
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body)?;
    }
    Ok(Some((method, url, headers)))
}

/// Sends each picture when it is due, beginning with the next one.
fn send(shared: &Shared, writer: &Mutex<TcpStream>, playing: &AtomicBool) -> std::io::Result<()> {
    let interval = Duration::from_secs(1) / shared.clip.fps;
    let due = |number: u64| {
        shared.epoch + Duration::from_nanos(number * 1_000_000_000 / u64::from(shared.clip.fps))
    };
    let mut number = (shared.epoch.elapsed().as_nanos() / interval.as_nanos()) as u64 + 1;
    let mut sequence = 1;
    while playing.load(Ordering::SeqCst) {
        std::thread::sleep(due(number).saturating_duration_since(Instant::now()));
        let packets = shared.clip.packets(number, &mut sequence);
        writer.lock().unwrap().write_all(&packets)?;
        shared.sent.fetch_add(1, Ordering::Relaxed);
        number += 1;
    }
    Ok(())
}

/// What is wrong with the pictures of one uninterrupted recording: missing numbers, and numbers that come twice.
pub fn faults(stamps: &[Stamp]) -> (u64, u64) {
    let mut numbers: Vec<u64> = stamps.iter().map(|stamp| stamp.number).collect();
    numbers.sort_unstable();
    let (Some(first), Some(last)) = (numbers.first().copied(), numbers.last().copied()) else {
        return (0, 0);
    };
    let all = numbers.len() as u64;
    numbers.dedup();
    let distinct = numbers.len() as u64;
    (last - first + 1 - distinct, all - distinct)
}
