//! From an address to a session that plays: what the camera offers, and what is taken of it.

use std::sync::Arc;
use std::time::Duration;

use nvr_contract::source::LossReason;
use retina::client::{
    Credentials, Described, InitialSequenceNumberPolicy, InitialTimestampPolicy, PlayOptions,
    Playing, Session, SessionGroup, SessionIdPolicy, SessionOptions, SetupOptions, Stream,
    TcpTransportOptions, Transport, UdpTransportOptions,
};
use url::Url;

use super::Options;
use super::rtsp_broken::Broken;
use super::rtsp_frame::Sound;
use crate::depacketize::Codec;

/// A camera describes itself in a few thousand bytes; more is no description.
const LONGEST_SDP: usize = 256 << 10;
/// Streams that are told of in a sentence.
const TOLD: usize = 8;
/// What is said of a camera that does not answer.
const MUTE: &str = "the camera does not answer";

/// A session that plays, and which of its streams are which.
pub struct Open {
    /// Delivers packets.
    pub session: Session<Playing>,
    /// The stream of pictures.
    pub video: usize,
    /// What they are.
    pub codec: Codec,
    /// The stream of sound and what it is.
    pub audio: Option<(usize, Sound)>,
    /// What was left out, and why.
    pub note: Option<String>,
}

/// Connects and has the camera play.
pub async fn open(
    url: &Url,
    options: &Options,
    udp: bool,
    group: &Arc<SessionGroup>,
) -> Result<Open, Broken> {
    let mut session = describe(url, options, group).await?;
    let Some(video) = find(&session, "video", &["h264", "h265"]) else {
        return Err(Broken::new(
            LossReason::UnsupportedCodec,
            format!(
                "the camera offers neither H.264 nor H.265, but {}",
                offered(session.streams())
            ),
        ));
    };
    let codec = match session.streams()[video].encoding_name() {
        "h265" => Codec::H265,
        _ => Codec::H264,
    };
    let (audio, note) = match options.second {
        // The sound is that of the first stream.
        true => (None, None),
        false => sound(session.streams()),
    };
    for stream in std::iter::once(video).chain(audio.map(|(stream, _)| stream)) {
        let transport = match udp {
            true => Transport::Udp(UdpTransportOptions::default()),
            false => Transport::Tcp(TcpTransportOptions::default()),
        };
        let setup = SetupOptions::default().transport(transport);
        within(
            options.timeout,
            LossReason::Silent,
            session.setup(stream, setup),
        )
        .await
        .map_err(Broken::blaming_transport)?;
    }
    // Cameras whose first packets do not fit RTP-Info are common: 18 of 32 connections to one server erred.
    let play = PlayOptions::default()
        .initial_seq(InitialSequenceNumberPolicy::Ignore)
        .initial_timestamp(InitialTimestampPolicy::Permissive);
    let session = within(options.timeout, LossReason::Silent, session.play(play))
        .await
        .map_err(Broken::blaming_transport)?;
    Ok(Open {
        session,
        video,
        codec,
        audio,
        note,
    })
}

async fn describe(
    url: &Url,
    options: &Options,
    group: &Arc<SessionGroup>,
) -> Result<Session<Described>, Broken> {
    let credentials = options.credentials.as_ref().map(|known| Credentials {
        username: known.user.clone(),
        password: known.password.clone(),
    });
    let session_options = SessionOptions::default()
        .creds(credentials)
        .user_agent("nvrd".to_owned())
        .session_id(SessionIdPolicy::UseFirst)
        .session_group(Arc::clone(group));
    let session = within(
        options.timeout,
        LossReason::Unreachable,
        Session::describe(url.clone(), session_options),
    )
    .await?;
    match session.sdp().len() {
        ..=LONGEST_SDP => Ok(session),
        length => Err(Broken::new(
            LossReason::Protocol,
            format!(
                "the camera describes itself in {length} bytes, at most {LONGEST_SDP} are read"
            ),
        )),
    }
}

fn find(session: &Session<Described>, media: &str, names: &[&str]) -> Option<usize> {
    session
        .streams()
        .iter()
        .position(|s| s.media() == media && names.contains(&s.encoding_name()))
}

/// The first stream of sound that can be taken, and a word on those that cannot when there is none.
fn sound(streams: &[Stream]) -> (Option<(usize, Sound)>, Option<String>) {
    let known = streams.iter().enumerate().find_map(|(index, stream)| {
        let sound = Sound::of(stream.media(), stream.encoding_name())?;
        // Without parameters from the description AAC cannot be told apart from noise.
        (sound != Sound::Aac || stream.parameters().is_some()).then_some((index, sound))
    });
    let is_audio = |stream: &&Stream| stream.media() == "audio";
    let note = match known {
        None if streams.iter().any(|stream| is_audio(&stream)) => {
            let names: Vec<&str> = streams
                .iter()
                .filter(is_audio)
                .map(Stream::encoding_name)
                .take(TOLD)
                .collect();
            Some(format!(
                "the camera's sound is left out: it is {}, and AAC, Opus, PCMA and PCMU are taken",
                names.join(", ")
            ))
        }
        _ => None,
    };
    (known, note)
}

fn offered(streams: &[Stream]) -> String {
    let mut names: Vec<String> = streams
        .iter()
        .take(TOLD)
        .map(|s| format!("{}/{}", s.media(), s.encoding_name()))
        .collect();
    if streams.len() > TOLD {
        names.push("others".to_owned());
    }
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}

async fn within<T>(
    timeout: Duration,
    late: LossReason,
    work: impl Future<Output = Result<T, retina::Error>>,
) -> Result<T, Broken> {
    match tokio::time::timeout(timeout, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Broken::of(&error)),
        Err(_) => Err(Broken::new(
            late,
            format!("{MUTE} for {:.1} s", timeout.as_secs_f64()),
        )),
    }
}
