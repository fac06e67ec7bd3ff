//! The caps that are accepted, and the tracks they describe.

use nvr_mp4::track::{AudioTrack, TrackError, VideoCodec, VideoTrack};

/// Template caps of the video pad.
pub(super) fn video() -> gst::Caps {
    gst::Caps::builder_full()
        .structure(
            gst::Structure::builder("video/x-h264")
                .field("stream-format", "avc")
                .field("alignment", "au")
                .build(),
        )
        .structure(
            gst::Structure::builder("video/x-h265")
                .field("stream-format", "hvc1")
                .field("alignment", "au")
                .build(),
        )
        .build()
}

/// Template caps of the audio pad.
pub(super) fn audio() -> gst::Caps {
    gst::Caps::builder_full()
        .structure(
            gst::Structure::builder("audio/mpeg")
                .field("mpegversion", 4)
                .field("stream-format", "raw")
                .build(),
        )
        .structure(
            gst::Structure::builder("audio/x-opus")
                .field("channel-mapping-family", 0)
                .build(),
        )
        .structure(gst::Structure::new_empty("audio/x-mulaw"))
        .structure(gst::Structure::new_empty("audio/x-alaw"))
        .build()
}

/// The track of fixed caps, or a sentence that says what is wrong with them.
pub(super) fn video_track(caps: &gst::CapsRef) -> Result<VideoTrack, String> {
    let structure = first(caps)?;
    let codec = match structure.name().as_str() {
        "video/x-h264" => VideoCodec::H264,
        _ => VideoCodec::H265,
    };
    let width = field(structure, "width")?;
    let height = field(structure, "height")?;
    with_codec_data(structure, |data| {
        VideoTrack::new(codec, data, width, height)
    })
}

/// The track of fixed caps, or a sentence that says what is wrong with them.
pub(super) fn audio_track(caps: &gst::CapsRef) -> Result<AudioTrack, String> {
    let structure = first(caps)?;
    if structure.name() == "audio/x-opus" {
        return opus_track(structure);
    }
    let rate = field(structure, "rate")?;
    let channels = field(structure, "channels")?;
    with_codec_data(structure, |data| AudioTrack::aac(data, rate, channels))
}

/// Opus has a head where it was in a file or comes from an encoder, and none from the network.
fn opus_track(structure: &gst::StructureRef) -> Result<AudioTrack, String> {
    let channels = structure.get("channels").unwrap_or(2);
    let headers = structure.get::<gst::Array>("streamheader").ok();
    let head = headers.and_then(|headers| headers.first()?.get::<gst::Buffer>().ok());
    let head = head.and_then(|head| head.into_mapped_buffer_readable().ok());
    AudioTrack::opus(head.as_ref().map(|head| &head[..]), channels)
        .map_err(|error| error.to_string())
}

fn first(caps: &gst::CapsRef) -> Result<&gst::StructureRef, String> {
    caps.structure(0)
        .ok_or_else(|| "the caps are empty".to_owned())
}

fn field(structure: &gst::StructureRef, name: &str) -> Result<i32, String> {
    structure
        .get(name)
        .map_err(|_| format!("the caps have no {name}; put a parser before the recorder"))
}

fn with_codec_data<T>(
    structure: &gst::StructureRef,
    parse: impl FnOnce(&[u8]) -> Result<T, TrackError>,
) -> Result<T, String> {
    let buffer: gst::Buffer = structure
        .get("codec_data")
        .map_err(|_| "the caps have no codec_data; put a parser before the recorder".to_owned())?;
    let map = buffer
        .map_readable()
        .map_err(|_| "codec_data is not readable".to_owned())?;
    parse(&map).map_err(|error| error.to_string())
}
