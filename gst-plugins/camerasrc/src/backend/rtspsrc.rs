//! RTSP over TLS and through HTTP tunnels: `rtspsrc` in a private pipeline, a thread per camera.
//!
//! Which elements follow comes from a fixed table; nothing that a camera sends chooses one by its rank.
//! Its state changes may hang, so they are made on threads of their own and left behind after a deadline.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use nvr_contract::source::LossReason;
use url::Url;

use super::rtsp::Transport;
use super::rtsp_broken::Broken;
use super::{Options, inner};
use crate::backoff::Backoff;
use crate::packet::{Failure, Item, Loss, Packet, Stream};
use crate::queue::Queue;

/// A connection that brought pictures for this long was a good one.
const HEALTHY: Duration = Duration::from_secs(5);
/// How soon a session notices that it is not wanted any more.
const POLL: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// How long a session may take to stop; less than the element waits for its backend.
const STOP: Duration = Duration::from_millis(600);
/// How long the packets of datagrams wait for one that was overtaken, milliseconds.
const REORDER_MS: u32 = 100;

/// Encoding name, what it is, and the elements from its packets to access units.
const TABLE: [(&str, Stream, &[&str]); 6] = [
    ("H264", Stream::Video, &["rtph264depay", "h264parse"]),
    ("H265", Stream::Video, &["rtph265depay", "h265parse"]),
    (
        "MPEG4-GENERIC",
        Stream::Audio,
        &["rtpmp4gdepay", "aacparse"],
    ),
    ("PCMU", Stream::Audio, &["rtppcmudepay"]),
    ("PCMA", Stream::Audio, &["rtppcmadepay"]),
    ("OPUS", Stream::Audio, &["rtpopusdepay", "opusparse"]),
];

/// Whom to believe that a camera is the camera.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// A file of certificates that are trusted; the system's where there is none.
    pub authorities: Option<PathBuf>,
    /// Any certificate will do.
    pub insecure: bool,
}

fn broken(reason: LossReason, detail: impl Into<String>) -> Broken {
    Broken::new(reason, detail)
}

/// Delivers a camera until the queue is closed.
pub fn run(url: &Url, options: &Options, queue: &Arc<Queue>) {
    let mut backoff = Backoff::new(options.seed, options.waits);
    let mut udp = options.transport == Transport::Udp;
    while !queue.is_closed() {
        let began = Instant::now();
        let (broken, pictures) = match options.hung.is_enough() {
            true => (
                broken(
                    LossReason::Protocol,
                    "too many connections hang: none is tried before one of them ends",
                ),
                0,
            ),
            false => session(url, options, udp, queue),
        };
        let broken = broken.blaming_transport();
        let lasted = match pictures {
            0 => Duration::ZERO,
            _ => began.elapsed(),
        };
        if lasted >= HEALTHY {
            backoff.succeeded();
        } else if pictures > 0 {
            backoff.flapped();
        } else if options.transport == Transport::Auto
            && url.scheme() == "rtsp"
            && broken.by_transport
        {
            udp = !udp;
        }
        let wait = match broken.reason {
            LossReason::Unauthorized => backoff.refused(),
            _ => backoff.failed(),
        };
        let loss = Loss {
            reason: broken.reason,
            detail: broken.sentence(url),
            attempts: backoff.attempts(),
        };
        if queue.tell(Item::Lost(loss)).is_err() || queue.wait_closed(wait) {
            return;
        }
    }
}

/// One connection from its beginning to its end, and the pictures that it brought.
fn session(url: &Url, options: &Options, udp: bool, queue: &Arc<Queue>) -> (Broken, u64) {
    let session = match Session::new(url, options, udp, queue) {
        Ok(session) => session,
        Err(failure) => return (broken(failure.reason(), failure.text()), 0),
    };
    let pipeline = session.pipeline.clone();
    let started = options.hung.within(
        options.timeout,
        || !queue.is_closed(),
        move || pipeline.set_state(gst::State::Playing),
    );
    let why = match started {
        Some(Ok(_)) => session.watch(options.timeout, queue),
        Some(Err(_)) => session
            .error()
            .unwrap_or_else(|| broken(LossReason::Protocol, "the connection does not start")),
        None => broken(
            LossReason::Silent,
            "the connection hangs and is left behind",
        ),
    };
    let found = &session.found;
    found.alive.store(false, Ordering::Relaxed);
    let pipeline = session.pipeline.clone();
    let stop = move || {
        if let Err(error) = pipeline.set_state(gst::State::Null) {
            gst::warning!(
                gst::CAT_DEFAULT,
                "a camera's pipeline does not stop: {error}"
            );
        }
    };
    match started {
        // It waits for the one that is left behind, and is counted with it.
        None => drop(std::thread::spawn(stop)),
        Some(_) => drop(options.hung.within(STOP, || true, stop)),
    }
    (why, found.pictures.load(Ordering::Relaxed))
}

/// What is known about a camera's streams so far.
#[derive(Debug, Default)]
struct Streams {
    video: bool,
    audio: bool,
    offered: Vec<String>,
    failure: Option<Failure>,
    /// What is wrong with its certificate.
    certificate: Option<String>,
}

/// What the callbacks of a session share.
#[derive(Debug)]
struct Found {
    streams: Mutex<Streams>,
    /// A session that was left behind delivers nothing.
    alive: AtomicBool,
    pictures: AtomicU64,
    queue: Arc<Queue>,
    second: bool,
}

impl Found {
    fn with<T>(&self, work: impl FnOnce(&mut Streams) -> T) -> T {
        work(&mut self.streams.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a stream is wanted: the first one of video and of sound that is in the table.
    fn select(&self, caps: &gst::CapsRef) -> bool {
        let Some((media, name)) = names(caps) else {
            return false;
        };
        self.with(|streams| {
            streams.offered.push(format!("{media}/{name}"));
            match entry(&name).map(|entry| entry.1) {
                Some(Stream::Video) => !std::mem::replace(&mut streams.video, true),
                Some(Stream::Audio) => !self.second && !std::mem::replace(&mut streams.audio, true),
                None => false,
            }
        })
    }

    fn deliver(&self, mut packet: Packet) -> Result<(), gst::FlowError> {
        if !self.alive.load(Ordering::Relaxed) {
            return Err(gst::FlowError::Flushing);
        }
        if packet.stream == Stream::Video {
            self.pictures.fetch_add(1, Ordering::Relaxed);
        }
        packet.arrival = Some(Instant::now());
        // What the parser makes up; the timeline knows better.
        packet.dts = None;
        self.queue
            .offer(packet)
            .map_err(|_| gst::FlowError::Flushing)
    }
}

fn entry(name: &str) -> Option<&'static (&'static str, Stream, &'static [&'static str])> {
    TABLE
        .iter()
        .find(|entry| entry.0.eq_ignore_ascii_case(name))
}

/// The media and the encoding name of RTP packets.
fn names(caps: &gst::CapsRef) -> Option<(String, String)> {
    let structure = caps.structure(0)?;
    let text = |field: &str| structure.get::<String>(field).ok();
    let payload = structure.get::<i32>("payload").ok();
    // The numbers that need no name.
    let name = text("encoding-name").or_else(|| match payload {
        Some(0) => Some("PCMU".to_owned()),
        Some(8) => Some("PCMA".to_owned()),
        _ => None,
    });
    Some((text("media")?, name.unwrap_or_else(|| "unnamed".to_owned())))
}

struct Session {
    pipeline: gst::Pipeline,
    found: Arc<Found>,
}

impl Session {
    fn new(url: &Url, options: &Options, udp: bool, queue: &Arc<Queue>) -> Result<Self, Failure> {
        let source = inner::make("rtspsrc")?;
        let found = Arc::new(Found {
            streams: Mutex::default(),
            alive: AtomicBool::new(true),
            pictures: AtomicU64::new(0),
            queue: Arc::clone(queue),
            second: options.second,
        });
        configure(&source, url, options, udp)?;
        listen(&source, &found, options.tls.insecure);
        let pipeline = gst::Pipeline::new();
        pipeline
            .add(&source)
            .map_err(|error| Failure::Internal(error.message.to_string()))?;
        let (weak, grown) = (pipeline.downgrade(), Arc::clone(&found));
        source.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade() else {
                return;
            };
            if let Err(failure) = grow(&pipeline, pad, &grown) {
                grown.with(|streams| streams.failure = Some(failure));
            }
        });
        Ok(Self { pipeline, found })
    }

    /// Waits for the end of the session, and for pictures meanwhile.
    fn watch(&self, timeout: Duration, queue: &Queue) -> Broken {
        let bus = self.pipeline.bus().expect("a pipeline has a bus");
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let (mut seen, mut deadline) = (0, Instant::now() + timeout);
        loop {
            let message = bus.timed_pop_filtered(POLL, &kinds);
            if queue.is_closed() {
                return broken(LossReason::Ended, "nobody wants it any more");
            }
            match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Error(error)) => return self.broken(error),
                Some(_) => return broken(LossReason::Ended, "the camera ended the stream"),
                None => {}
            }
            if let Some(failure) = self.found.with(|streams| streams.failure.clone()) {
                return broken(failure.reason(), failure.text());
            }
            let pictures = self.found.pictures.load(Ordering::Relaxed);
            if pictures > seen {
                (seen, deadline) = (pictures, Instant::now() + timeout);
            } else if Instant::now() >= deadline {
                let seconds = timeout.as_secs_f64();
                return match self.found.with(|streams| streams.video) {
                    true => broken(LossReason::Silent, format!("no picture for {seconds:.1} s")),
                    false => broken(
                        LossReason::Unreachable,
                        format!("the camera does not answer for {seconds:.1} s"),
                    ),
                };
            }
        }
    }

    /// The error that kept the pipeline from starting.
    fn error(&self) -> Option<Broken> {
        let message = self
            .pipeline
            .bus()?
            .pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(self.broken(error)),
            _ => None,
        }
    }

    fn broken(&self, error: &gst::message::Error) -> Broken {
        let (certificate, video, offered) = self.found.with(|streams| {
            let certificate = streams.certificate.clone();
            (certificate, streams.video, streams.offered.join(", "))
        });
        if let Some(certificate) = certificate {
            return broken(
                LossReason::Protocol,
                format!("its certificate is refused, {certificate}: name one to trust with tls-ca"),
            );
        }
        if !video && !offered.is_empty() {
            return broken(
                LossReason::UnsupportedCodec,
                format!("the camera offers neither H.264 nor H.265, but {offered}"),
            );
        }
        let gerror = error.error();
        let reason = if gerror.matches(gst::ResourceError::NotAuthorized) {
            LossReason::Unauthorized
        } else if gerror.matches(gst::ResourceError::NotFound) {
            LossReason::NotFound
        } else if self.found.pictures.load(Ordering::Relaxed) > 0 {
            LossReason::Ended
        } else if gerror.is::<gst::ResourceError>() {
            LossReason::Unreachable
        } else {
            LossReason::Protocol
        };
        broken(reason, words(error))
    }
}

/// What an error says: the text for developers is the clearer one, but begins with a place in a source file.
fn words(error: &gst::message::Error) -> String {
    let debug = error.debug();
    let last = debug
        .as_ref()
        .and_then(|debug| debug.lines().last())
        .filter(|line| !line.contains(".c("));
    let text = last.map_or_else(|| error.error().message().to_owned(), str::to_owned);
    text.trim().trim_end_matches('.').to_owned()
}

fn configure(
    source: &gst::Element,
    url: &Url,
    options: &Options,
    udp: bool,
) -> Result<(), Failure> {
    let scheme = match (url.scheme(), options.transport) {
        ("rtsps", Transport::Http) => "rtspsh",
        (_, Transport::Http) => "rtsph",
        (scheme, _) => scheme,
    };
    let rest = url.as_str().split_once(':').map_or("", |(_, rest)| rest);
    source.set_property("location", format!("{scheme}:{rest}"));
    // Datagrams beside a connection with TLS would be readable for everyone.
    let udp = udp && url.scheme() == "rtsp";
    source.set_property_from_str("protocols", if udp { "udp" } else { "tcp" });
    source.set_property("latency", if udp { REORDER_MS } else { 0 });
    // Times are what the camera's stamps say, and no estimate of its clock.
    source.set_property_from_str("buffer-mode", "none");
    let micros = u64::try_from(options.timeout.as_micros()).unwrap_or(u64::MAX);
    source.set_property("timeout", micros);
    source.set_property("tcp-timeout", micros);
    source.set_property("user-agent", "nvrd");
    if let Some(credentials) = &options.credentials {
        source.set_property("user-id", &credentials.user);
        source.set_property("user-pw", &credentials.password);
    }
    if let Some(path) = &options.tls.authorities {
        let known = gio::TlsFileDatabase::new(path).map_err(|error| {
            Failure::Unreadable(format!("tls-ca {} cannot be read: {error}", path.display()))
        })?;
        source.set_property("tls-database", &known);
    }
    Ok(())
}

/// Chooses streams, and judges certificates.
fn listen(source: &gst::Element, found: &Arc<Found>, insecure: bool) {
    let selected = Arc::clone(found);
    source.connect("select-stream", false, move |arguments| {
        let caps = arguments
            .get(2)
            .and_then(|caps| caps.get::<gst::Caps>().ok());
        Some(caps.is_some_and(|caps| selected.select(&caps)).to_value())
    });
    let judged = Arc::clone(found);
    // Asked only about certificates that are not trusted.
    source.connect("accept-certificate", false, move |arguments| {
        let flags = arguments
            .get(3)
            .and_then(|flags| flags.get::<gio::TlsCertificateFlags>().ok());
        if !insecure {
            let faults = faults(flags.unwrap_or(gio::TlsCertificateFlags::GENERIC_ERROR));
            judged.with(|streams| streams.certificate = Some(faults));
        }
        Some(insecure.to_value())
    });
}

fn faults(flags: gio::TlsCertificateFlags) -> String {
    use gio::TlsCertificateFlags as Flags;
    let known = [
        (Flags::UNKNOWN_CA, "nobody who is trusted has signed it"),
        (Flags::BAD_IDENTITY, "it is for another host"),
        (Flags::NOT_ACTIVATED, "it is not valid yet"),
        (Flags::EXPIRED, "it has expired"),
        (Flags::REVOKED, "it was revoked"),
        (Flags::INSECURE, "its algorithm is weak"),
    ];
    let faults: Vec<&str> = known
        .iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|(_, text)| *text)
        .collect();
    match faults.is_empty() {
        true => "it is not valid".to_owned(),
        false => faults.join(" and "),
    }
}

/// Leads a stream into the queue.
fn grow(pipeline: &gst::Pipeline, pad: &gst::Pad, found: &Arc<Found>) -> Result<(), Failure> {
    let internal = |error: glib::BoolError| Failure::Internal(error.message.to_string());
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let Some((_, stream, elements)) = names(&caps).and_then(|(_, name)| entry(&name)) else {
        return Ok(());
    };
    let mut branch = Vec::new();
    for name in *elements {
        branch.push(inner::make(name)?);
    }
    let delivers = Arc::clone(found);
    let sink = inner::sink_into(*stream, move |packet| delivers.deliver(packet));
    branch.push(sink.upcast());
    inner::chain(pipeline, &branch)?;
    for element in branch.iter().rev() {
        element.sync_state_with_parent().map_err(internal)?;
    }
    let sink = branch[0]
        .static_pad("sink")
        .ok_or_else(|| Failure::Internal("a branch without a sink pad".to_owned()))?;
    pad.link(&sink).map(drop).map_err(|error| {
        Failure::UnsupportedCodec(format!("the camera's stream fits no depayloader: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_streams_of_the_table_are_chosen() {
        gst::init().unwrap();
        let check = |second: bool, offers: &[(&str, Option<&str>, i32)], expect: &[bool]| {
            let found = Found {
                streams: Mutex::default(),
                alive: AtomicBool::new(true),
                pictures: AtomicU64::new(0),
                queue: Arc::new(super::super::queue_for(&crate::uri::Source::Rtsp(
                    Url::parse("rtsp://cam/").unwrap(),
                ))),
                second,
            };
            let chosen: Vec<bool> = offers
                .iter()
                .map(|(media, name, payload)| {
                    let caps = gst::Caps::builder("application/x-rtp")
                        .field("media", *media)
                        .field_if_some("encoding-name", *name)
                        .field("payload", *payload)
                        .build();
                    found.select(&caps)
                })
                .collect();
            assert_eq!(chosen, expect, "{offers:?}");
        };
        let offers = [
            ("application", Some("VND.ONVIF.METADATA"), 107),
            ("video", Some("JPEG"), 26),
            ("video", Some("h265"), 96),
            ("video", Some("H264"), 97),
            ("audio", None, 0),
            ("audio", Some("MPEG4-GENERIC"), 98),
        ];
        check(false, &offers, &[false, false, true, false, true, false]);
        check(true, &offers, &[false, false, true, false, false, false]);
        check(false, &[("audio", None, 3)], &[false]);
    }

    #[test]
    fn faults_of_certificates_have_words() {
        use gio::TlsCertificateFlags as Flags;
        for (flags, expect) in [
            (
                Flags::UNKNOWN_CA | Flags::BAD_IDENTITY,
                "nobody who is trusted has signed it and it is for another host",
            ),
            (Flags::EXPIRED, "it has expired"),
            (Flags::GENERIC_ERROR, "it is not valid"),
        ] {
            assert_eq!(faults(flags), expect);
        }
    }
}
