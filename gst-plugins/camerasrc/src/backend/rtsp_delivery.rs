//! From the packets of a session that plays to the queue, with the watchdog over them.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use nvr_contract::source::LossReason;
use retina::client::{PacketItem, Playing, Session};
use retina::codec::ParametersRef;
use retina::rtp::ReceivedPacket;
use tokio::time::timeout_at;

use super::Options;
use super::rtsp_broken::Broken;
use super::rtsp_frame::{self, Sound};
use super::rtsp_open::Open;
use crate::depacketize::{
    AacUnits, Codec, Fault, ParameterSets, Payload, Picture, Pictures, opus_length,
};
use crate::packet::Item;
use crate::queue::{Closed, Queue};

/// Damaged packets in a row, without a picture between them, that end a connection.
const ERRORS_IN_A_ROW: u32 = 50;
/// Pictures without a key frame for this long are worth a word.
const KEYLESS: Duration = Duration::from_secs(10);
/// What AAC packs into an access unit, where the camera does not say.
const AAC_SAMPLES: i64 = 1024;

/// Moves what one connection brings into the queue.
pub struct Delivery<'a> {
    queue: &'a Queue,
    timeout: Duration,
    /// Without anything for this long the transport is to blame.
    first_wait: Duration,
    /// Anything came at all.
    pub heard: bool,
    /// Pictures that went into the queue.
    pub pictures: u64,
    /// When the first of them came.
    pub first: Option<Instant>,
}

impl<'a> Delivery<'a> {
    /// Before the first packet; with a choice of transports half of the time is left for the other one.
    pub fn new(options: &Options, has_choice: bool, queue: &'a Queue) -> Self {
        Self {
            queue,
            timeout: options.timeout,
            first_wait: match has_choice {
                true => options.timeout / 2,
                false => options.timeout,
            },
            heard: false,
            pictures: 0,
            first: None,
        }
    }

    /// Delivers until the camera ends the stream or nobody wants it any more, which is `Ok`.
    pub async fn run(&mut self, open: Open) -> Result<(), Broken> {
        let mut streams = Streams::new(&open);
        let Open {
            mut session, note, ..
        } = open;
        if let Some(note) = note
            && self.queue.tell(Item::Note(note)).is_err()
        {
            return Ok(());
        }
        let mut errors = 0;
        let mut last_error = None;
        let start = tokio::time::Instant::now();
        let mut deadline = start + self.timeout;
        loop {
            let wait = match self.heard {
                true => deadline,
                false => deadline.min(start + self.first_wait),
            };
            let Ok(next) = timeout_at(wait, session.next()).await else {
                return Err(self.silence(&streams));
            };
            let fault = match next {
                None => return last_error.map_or(Ok(()), Err),
                Some(Err(error)) => Some(Broken::of(&error)),
                Some(Ok(PacketItem::Rtp(packet))) => {
                    self.heard = true;
                    match streams.take(&packet) {
                        Ok(()) => None,
                        Err(Fault::Malformed(what)) => Some(Broken::new(
                            LossReason::Protocol,
                            format!("it sends {what}"),
                        )),
                        Err(Fault::TooLarge) => {
                            self.queue.leave_out();
                            Some(Broken::new(
                                LossReason::Protocol,
                                "it sends pictures without an end",
                            ))
                        }
                    }
                }
                Some(Ok(_)) => {
                    self.heard = true;
                    None
                }
            };
            if let Some(broken) = fault {
                errors += 1;
                if errors >= ERRORS_IN_A_ROW {
                    return Err(broken);
                }
                last_error = Some(broken);
            }
            match self.hand_over(&mut streams) {
                Ok(false) => {}
                Ok(true) => {
                    (errors, last_error) = (0, None);
                    deadline = tokio::time::Instant::now() + self.timeout;
                }
                Err(Closed) => return Ok(()),
            }
        }
    }

    fn silence(&self, streams: &Streams) -> Broken {
        let seconds = match self.heard {
            true => self.timeout,
            false => self.first_wait,
        }
        .as_secs_f64();
        match streams.without_sets {
            0 => Broken::new(LossReason::Silent, format!("no picture for {seconds:.1} s")),
            count => Broken::new(
                LossReason::Protocol,
                format!("it sends no parameter sets that can be read with its {count} pictures"),
            ),
        }
    }

    /// Puts what is whole into the queue; whether a picture was among it.
    fn hand_over(&mut self, streams: &mut Streams) -> Result<bool, Closed> {
        let mut any = false;
        for packet in streams.ready.drain(..) {
            if packet.stream == crate::packet::Stream::Video {
                any = true;
                self.pictures += 1;
                self.first.get_or_insert_with(Instant::now);
            }
            self.queue.offer(packet)?;
        }
        if let Some(note) = streams.note.take() {
            self.queue.tell(Item::Note(note))?;
        }
        Ok(any)
    }
}

/// The streams of a session and what they are put together with.
struct Streams {
    video: usize,
    codec: Codec,
    clock_rate: u32,
    pictures: Pictures,
    whole: Vec<Picture>,
    /// The sets of the last caps.
    known: Option<ParameterSets>,
    caps: Option<gst::Caps>,
    needs_key: bool,
    without_sets: u64,
    keyless: Keyless,
    audio: Option<Audio>,
    ready: Vec<crate::packet::Packet>,
    note: Option<String>,
}

struct Audio {
    stream: usize,
    sound: Sound,
    clock_rate: u32,
    channels: i64,
    samples: i64,
    units: AacUnits,
    caps: Option<gst::Caps>,
}

impl Streams {
    fn new(open: &Open) -> Self {
        let stream = &open.session.streams()[open.video];
        let sets = rtsp_frame::described_sets(stream.parameters());
        Self {
            video: open.video,
            codec: open.codec,
            clock_rate: stream.clock_rate_hz(),
            pictures: Pictures::new(open.codec, sets),
            whole: Vec::new(),
            known: None,
            caps: None,
            needs_key: false,
            without_sets: 0,
            keyless: Keyless::Begin,
            audio: open
                .audio
                .map(|(index, sound)| Audio::new(&open.session, index, sound)),
            ready: Vec::new(),
            note: None,
        }
    }

    fn take(&mut self, packet: &ReceivedPacket) -> Result<(), Fault> {
        let payload = Payload {
            data: packet.payload(),
            ticks: packet.timestamp().elapsed(),
            marker: packet.mark(),
            lost: packet.loss() > 0,
            received: packet.ctx().received(),
        };
        if packet.stream_id() == self.video {
            let result = self.pictures.push(&payload, &mut self.whole);
            for picture in std::mem::take(&mut self.whole) {
                self.picture(picture);
            }
            return result;
        }
        match &mut self.audio {
            Some(audio) if audio.stream == packet.stream_id() => {
                audio.take(&payload, &mut self.ready)
            }
            _ => Ok(()),
        }
    }

    fn picture(&mut self, mut picture: Picture) {
        if let Some(sets) = picture.sets.take()
            && let Some(caps) = rtsp_frame::video_caps(self.codec, &sets)
        {
            // Pictures after a change of more than details refer to nothing from before it.
            self.needs_key |= self
                .known
                .as_ref()
                .is_some_and(|known| known.differs_in_sequence(&sets, self.codec));
            self.known = Some(sets);
            self.caps = Some(caps);
        }
        if self.known.is_none() {
            self.without_sets += 1;
            return;
        }
        self.without_sets = 0;
        self.watch_keys(&picture);
        if self.needs_key && !picture.key {
            return;
        }
        self.needs_key = false;
        let (codec, caps) = (self.codec, self.caps.take());
        let packet = rtsp_frame::video_packet(picture, codec, self.clock_rate, caps);
        self.ready.push(packet);
    }

    fn watch_keys(&mut self, picture: &Picture) {
        if picture.key {
            self.keyless = Keyless::Waiting(picture.received);
            return;
        }
        let Keyless::Waiting(since) = self.keyless else {
            if matches!(self.keyless, Keyless::Begin) {
                self.keyless = Keyless::Waiting(picture.received);
            }
            return;
        };
        if picture.received.saturating_duration_since(since) >= KEYLESS {
            self.keyless = Keyless::Told;
            self.note = Some(format!(
                "no key frame for {} s: recording and viewers begin at key frames, so have the camera send one every \
                 second or two",
                KEYLESS.as_secs()
            ));
        }
    }
}

/// How long there has been no key frame.
enum Keyless {
    Begin,
    Waiting(Instant),
    Told,
}

impl Audio {
    fn new(session: &Session<Playing>, stream: usize, sound: Sound) -> Self {
        let description = &session.streams()[stream];
        let clock_rate = description.clock_rate_hz();
        let channels = description.channels().map_or(1, std::num::NonZeroU16::get);
        let parameters = match description.parameters() {
            Some(ParametersRef::Audio(parameters)) => Some(parameters),
            _ => None,
        };
        Self {
            stream,
            sound,
            clock_rate,
            channels: i64::from(channels),
            samples: parameters
                .and_then(retina::codec::AudioParameters::frame_length)
                .map_or(AAC_SAMPLES, |length| i64::from(length.get())),
            units: AacUnits::default(),
            caps: rtsp_frame::audio_caps(sound, clock_rate, channels, parameters),
        }
    }

    fn take(
        &mut self,
        payload: &Payload<'_>,
        ready: &mut Vec<crate::packet::Packet>,
    ) -> Result<(), Fault> {
        let (rate, samples, caps) = (self.clock_rate, self.samples, &mut self.caps);
        let mut add = |ticks: i64, length: i64, data: &[u8]| {
            let times = (ticks, length);
            let mut packet =
                rtsp_frame::audio_packet(data, times, rate, payload.received, payload.lost);
            packet.caps = caps.take();
            ready.push(packet);
        };
        match self.sound {
            Sound::Aac => self.units.push(payload, |place, unit| {
                let ticks = payload.ticks.saturating_add(i64::from(place) * samples);
                add(ticks, samples, unit);
            }),
            Sound::Opus => match opus_length(payload.data) {
                Some(length) => {
                    add(payload.ticks, length, payload.data);
                    Ok(())
                }
                None => Err(Fault::Malformed("sound that is no Opus")),
            },
            Sound::ALaw | Sound::MuLaw => {
                let length = i64::try_from(payload.data.len()).unwrap_or(0) / self.channels;
                if length > 0 {
                    add(payload.ticks, length, payload.data);
                }
                Ok(())
            }
        }
    }
}
