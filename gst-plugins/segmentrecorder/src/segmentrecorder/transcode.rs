//! Sound that no player finds in an MP4 file (G.711), made into Opus on the thread that brings it.

use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::imp::lock;

/// Enough for speech at 8 kHz, bits a second.
const BITRATE: i32 = 32_000;
/// Of 10; the least that sounds the same at this rate.
const COMPLEXITY: i32 = 4;

/// What comes out.
pub(super) enum Encoded {
    Caps(gst::Caps),
    Packet(gst::Buffer),
}

/// A decoder and an encoder in a bin of their own.
pub(super) struct Transcoder {
    bin: gst::Bin,
    input: gst::Pad,
    /// Keeps the other end alive.
    _output: gst::Pad,
    encoded: Arc<Mutex<Vec<Encoded>>>,
}

/// Whether sound with these caps has to be transcoded.
pub(super) fn is_needed(caps: &gst::CapsRef) -> bool {
    decoder(caps).is_some()
}

fn decoder(caps: &gst::CapsRef) -> Option<&'static str> {
    match caps.structure(0)?.name().as_str() {
        "audio/x-mulaw" => Some("mulawdec"),
        "audio/x-alaw" => Some("alawdec"),
        _ => None,
    }
}

fn make(name: &str) -> Result<gst::Element, String> {
    gst::ElementFactory::make(name).build().map_err(|_| {
        let package = match name {
            "mulawdec" | "alawdec" => "gstreamer1.0-plugins-good",
            _ => "gstreamer1.0-plugins-base",
        };
        format!("the element {name} is missing; install the package {package}")
    })
}

impl Transcoder {
    /// A transcoder for sound with these caps.
    pub fn new(caps: &gst::Caps) -> Result<Self, String> {
        let decoder = decoder(caps).ok_or("it is no G.711")?;
        let chain = [decoder, "audioconvert", "audioresample", "opusenc"];
        let chain = chain.map(make).into_iter().collect::<Result<Vec<_>, _>>()?;
        let [first, .., last] = &chain[..] else {
            return Err("there is nothing to transcode with".to_owned());
        };
        last.set_property_from_str("audio-type", "voice");
        last.set_property("bitrate", BITRATE);
        last.set_property("complexity", COMPLEXITY);
        let failed = |error: gst::glib::BoolError| error.message.to_string();
        let bin = gst::Bin::new();
        bin.add_many(&chain).map_err(failed)?;
        gst::Element::link_many(&chain).map_err(failed)?;

        let encoded = Arc::new(Mutex::new(Vec::new()));
        let (packets, news) = (Arc::clone(&encoded), Arc::clone(&encoded));
        let output = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                lock(&packets).push(Encoded::Packet(buffer));
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(move |_, _, event| {
                if let gst::EventView::Caps(caps) = event.view() {
                    lock(&news).push(Encoded::Caps(caps.caps_owned()));
                }
                true
            })
            .build();
        let input = gst::Pad::builder(gst::PadDirection::Src).build();
        let begin = || -> Result<(), gst::glib::BoolError> {
            let unlinked = |_| gst::glib::bool_error!("the pads do not fit");
            input.set_active(true)?;
            output.set_active(true)?;
            let sink = first.static_pad("sink").expect("a decoder has it");
            let src = last.static_pad("src").expect("an encoder has it");
            input.link(&sink).map_err(unlinked)?;
            src.link(&output).map_err(unlinked)?;
            bin.set_state(gst::State::Playing)
                .map_err(|_| gst::glib::bool_error!("the elements do not start"))?;
            Ok(())
        };
        begin().map_err(failed)?;
        input.push_event(gst::event::StreamStart::new("sound"));
        input.push_event(gst::event::Caps::new(caps));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        input.push_event(gst::event::Segment::new(&segment));
        Ok(Self {
            bin,
            input,
            _output: output,
            encoded,
        })
    }

    /// What comes of a buffer, with time stamps on the same line.
    pub fn push(&self, buffer: gst::Buffer) -> Result<Vec<Encoded>, gst::FlowError> {
        self.input.push(buffer)?;
        Ok(self.take())
    }

    /// What is left at the end.
    pub fn drain(&self) -> Vec<Encoded> {
        self.input.push_event(gst::event::Eos::new());
        self.take()
    }

    fn take(&self) -> Vec<Encoded> {
        std::mem::take(&mut *lock(&self.encoded))
    }
}

impl Drop for Transcoder {
    fn drop(&mut self) {
        // Elements of a bin without a parent always can stop.
        self.bin.set_state(gst::State::Null).ok();
    }
}
