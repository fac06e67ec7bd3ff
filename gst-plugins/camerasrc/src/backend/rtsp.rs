//! RTSP cameras: connects, delivers, and connects again, on the shared network thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use nvr_contract::source::LossReason;
use retina::client::{
    Credentials, Demuxed, InitialSequenceNumberPolicy, InitialTimestampPolicy, PlayOptions,
    Session, SessionGroup, SessionOptions, SetupOptions, TcpTransportOptions, UdpTransportOptions,
};
use retina::codec::{CodecItem, FrameFormat, ParametersRef};
use tokio::time::timeout_at;
use url::Url;

use super::{Options, rtsp_frame};
use crate::backoff::Backoff;
use crate::packet::{Item, Loss};
use crate::queue::Queue;

/// Damaged packets in a row, without a picture between them, that end a connection.
const ERRORS_IN_A_ROW: u32 = 50;
/// How long a camera may take to say goodbye before it is asked again.
const FAREWELL: Duration = Duration::from_secs(1);

/// How pictures travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP first, and the other one after a failure that the transport may be to blame for.
    Auto,
    /// Inside the RTSP connection.
    Tcp,
    /// In datagrams.
    Udp,
}

/// Why a connection ended.
#[derive(Debug)]
struct Broken {
    reason: LossReason,
    detail: String,
}

impl Broken {
    fn new(reason: LossReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    /// Which camera, and what about it; the address is all of the URL that is told.
    fn sentence(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let camera = format!("camera at {host}:{}", url.port().unwrap_or(554));
        match self.reason {
            LossReason::Unreachable => format!("{camera} cannot be reached: {}", self.detail),
            LossReason::Unauthorized => format!("{camera} refuses the user name or the password"),
            LossReason::NotFound => {
                format!("{camera} has no such stream: check the path of the URI")
            }
            _ => format!("{camera}: {}", self.detail),
        }
    }

    fn of(error: &retina::Error) -> Self {
        let text = error.to_string();
        // The first line says what; the others quote addresses and packets.
        let detail = text.lines().next().unwrap_or_default().to_owned();
        let reason = match error.status_code() {
            Some(401 | 403) => LossReason::Unauthorized,
            Some(404 | 410 | 454) => LossReason::NotFound,
            Some(_) => LossReason::Protocol,
            // The kind is private: the text is all there is to tell them apart.
            None if text.starts_with("Unable to connect") => LossReason::Unreachable,
            None if text.starts_with("Error reading from RTSP peer")
                || text.starts_with("Error writing to RTSP peer") =>
            {
                LossReason::Ended
            }
            None if text.starts_with("Timeout") => LossReason::Silent,
            None if text.starts_with("Unsupported") => LossReason::UnsupportedCodec,
            None => LossReason::Protocol,
        };
        Self { reason, detail }
    }
}

/// Delivers a camera until the queue is closed.
pub async fn run(url: Url, options: Options, queue: Arc<Queue>) {
    let mut backoff = Backoff::new(options.seed);
    let mut udp = options.transport == Transport::Udp;
    while !queue.is_closed() {
        let group = Arc::new(SessionGroup::default());
        let mut pictures = 0;
        let broken = connection(&url, &options, udp, &group, &queue, &mut pictures).await;
        if pictures > 0 {
            backoff.succeeded();
        } else if options.transport == Transport::Auto
            && !matches!(
                broken.reason,
                LossReason::Unreachable | LossReason::Unauthorized | LossReason::NotFound
            )
        {
            udp = !udp;
        }
        let wait = backoff.failed();
        let loss = Loss {
            reason: broken.reason,
            detail: broken.sentence(&url),
            attempts: backoff.attempts(),
        };
        if queue.tell(Item::Lost(loss)).is_err() {
            return;
        }
        let again = Instant::now() + wait;
        // Cameras that serve few sessions must have forgotten this one first; a dead one never answers.
        drop(tokio::time::timeout(FAREWELL, group.await_teardown()).await);
        tokio::time::sleep_until(again.into()).await;
    }
}

/// One connection from its beginning to its end.
async fn connection(
    url: &Url,
    options: &Options,
    udp: bool,
    group: &Arc<SessionGroup>,
    queue: &Queue,
    pictures: &mut u64,
) -> Broken {
    let session = match open(url, options, udp, group).await {
        Ok(session) => session,
        Err(broken) => return broken,
    };
    match deliver(session, options, queue, pictures).await {
        Ok(()) => Broken::new(LossReason::Ended, "the camera ended the stream"),
        Err(broken) => broken,
    }
}

/// A session that plays, and which of its streams are which.
struct Open {
    demuxed: Demuxed,
    video: usize,
    h265: bool,
    audio: Option<usize>,
}

async fn open(
    url: &Url,
    options: &Options,
    udp: bool,
    group: &Arc<SessionGroup>,
) -> Result<Open, Broken> {
    let credentials = options.credentials.as_ref().map(|known| Credentials {
        username: known.user.clone(),
        password: known.password.clone(),
    });
    let session_options = SessionOptions::default()
        .creds(credentials)
        .user_agent("nvrd".to_owned())
        .session_group(Arc::clone(group));
    let what = "the camera does not answer";
    let mut session = within(
        options.timeout,
        (LossReason::Unreachable, what),
        Session::describe(url.clone(), session_options),
    )
    .await?;
    let find = |media: &str, names: &[&str]| {
        session
            .streams()
            .iter()
            .position(|s| s.media() == media && names.contains(&s.encoding_name()))
    };
    let Some(video) = find("video", &["h264", "h265"]) else {
        let offered: Vec<String> = session
            .streams()
            .iter()
            .map(|s| format!("{}/{}", s.media(), s.encoding_name()))
            .collect();
        return Err(Broken::new(
            LossReason::UnsupportedCodec,
            format!(
                "the camera offers neither H.264 nor H.265, but {}",
                offered.join(", ")
            ),
        ));
    };
    let h265 = session.streams()[video].encoding_name() == "h265";
    let audio = find("audio", &["mpeg4-generic"]);
    for stream in std::iter::once(video).chain(audio) {
        let transport = match udp {
            true => retina::client::Transport::Udp(UdpTransportOptions::default()),
            false => retina::client::Transport::Tcp(TcpTransportOptions::default()),
        };
        let setup = SetupOptions::default()
            .transport(transport)
            .frame_format(FrameFormat::MP4);
        within(
            options.timeout,
            (LossReason::Silent, what),
            session.setup(stream, setup),
        )
        .await?;
    }
    // Cameras whose first packets do not fit RTP-Info are common: 18 of 32 connections to one server erred.
    let play = PlayOptions::default()
        .initial_seq(InitialSequenceNumberPolicy::Ignore)
        .initial_timestamp(InitialTimestampPolicy::Permissive);
    let playing = within(
        options.timeout,
        (LossReason::Silent, what),
        session.play(play),
    )
    .await?;
    let demuxed = playing.demuxed().map_err(|error| Broken::of(&error))?;
    Ok(Open {
        demuxed,
        video,
        h265,
        audio,
    })
}

async fn within<T>(
    timeout: Duration,
    late: (LossReason, &str),
    work: impl Future<Output = Result<T, retina::Error>>,
) -> Result<T, Broken> {
    match tokio::time::timeout(timeout, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Broken::of(&error)),
        Err(_) => Err(Broken::new(
            late.0,
            format!("{} for {:.1} s", late.1, timeout.as_secs_f64()),
        )),
    }
}

/// Moves frames into the queue; `Ok` when the camera ends the stream or nobody wants it any more.
async fn deliver(
    mut open: Open,
    options: &Options,
    queue: &Queue,
    pictures: &mut u64,
) -> Result<(), Broken> {
    let mut known = [false; 2];
    let mut errors = 0;
    let mut last_error = None;
    let mut deadline = tokio::time::Instant::now() + options.timeout;
    loop {
        let Ok(next) = timeout_at(deadline, open.demuxed.next()).await else {
            return Err(Broken::new(
                LossReason::Silent,
                format!("no picture for {:.1} s", options.timeout.as_secs_f64()),
            ));
        };
        let packet = match next {
            None => return last_error.map_or(Ok(()), Err),
            Some(Err(error)) => {
                errors += 1;
                let broken = Broken::of(&error);
                if errors >= ERRORS_IN_A_ROW {
                    return Err(broken);
                }
                last_error = Some(broken);
                continue;
            }
            Some(Ok(CodecItem::VideoFrame(frame))) => {
                deadline = tokio::time::Instant::now() + options.timeout;
                let new = frame.has_new_parameters() || !known[0];
                let caps = match open.demuxed.streams()[open.video].parameters() {
                    Some(ParametersRef::Video(parameters)) if new => {
                        Some(rtsp_frame::video_caps(parameters))
                    }
                    _ => None,
                };
                known[0] |= caps.is_some();
                if !known[0] {
                    continue;
                }
                (errors, last_error) = (0, None);
                *pictures += 1;
                rtsp_frame::video_packet(frame, open.h265, caps)
            }
            Some(Ok(CodecItem::AudioFrame(frame))) => {
                let parameters = open
                    .audio
                    .and_then(|stream| open.demuxed.streams()[stream].parameters());
                let caps = match parameters {
                    Some(ParametersRef::Audio(parameters)) if !known[1] => {
                        Some(rtsp_frame::audio_caps(parameters))
                    }
                    _ => None,
                };
                known[1] |= caps.is_some();
                if !known[1] {
                    continue;
                }
                rtsp_frame::audio_packet(&frame, caps)
            }
            Some(Ok(_)) => continue,
        };
        if queue.offer(packet).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_unreachable() {
        let (send, receive) = std::sync::mpsc::channel();
        crate::net::handle().unwrap().spawn(async move {
            // The port is free again when the listener is dropped.
            let port = std::net::TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .unwrap()
                .port();
            let options = Options {
                credentials: None,
                transport: Transport::Auto,
                timeout: Duration::from_secs(5),
                seed: 1,
            };
            let url = Url::parse(&format!("rtsp://127.0.0.1:{port}/x")).unwrap();
            let group = Arc::new(SessionGroup::default());
            let broken = open(&url, &options, false, &group).await.err().unwrap();
            send.send(broken.reason).unwrap();
        });
        assert_eq!(receive.recv().unwrap(), LossReason::Unreachable);
    }
}
