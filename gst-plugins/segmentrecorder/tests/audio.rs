//! Sound beside pictures: which kinds, in sync, and what happens when it comes late, stays away or changes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]
#![allow(dead_code, reason = "the media of several test binaries")]

mod media;

use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use media::{H264, Rig};
use nvr_contract::segment::SegmentClosed;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// When the picture turns white and the tone begins, nanoseconds.
const FLASH_NS: u64 = 2520 * MS;

const AAC: &str = "avenc_aac ! aacparse";
const OPUS: &str = "opusenc";
const MULAW: &str = "audio/x-raw,rate=8000,channels=1 ! mulawenc";
const ALAW: &str = "audio/x-raw,rate=8000,channels=1 ! alawenc";

fn have_for(sound: &str) -> bool {
    let needs: &[&str] = match sound {
        AAC => &["x264enc", "avdec_h264", "avenc_aac", "avdec_aac"],
        OPUS => &["x264enc", "avdec_h264", "opusenc", "opusdec"],
        _ => &[
            "x264enc",
            "avdec_h264",
            "mulawenc",
            "alawenc",
            "opusenc",
            "opusdec",
        ],
    };
    media::have(needs)
}

/// Pictures that are black and then white, and a tone that begins with the white, recorded.
fn record_flash(sound: &str, folder: &std::path::Path) -> Vec<SegmentClosed> {
    let pipeline = media::launch(&format!(
        "appsrc name=v format=time caps=video/x-raw,format=I420,width=160,height=120,framerate=25/1 ! \
         x264enc tune=zerolatency key-int-max=25 option-string=scenecut=0 ! h264parse ! \
         segmentrecorder name=r location={} segment-duration=2000000000 \
         appsrc name=a format=time caps=audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=1 ! \
         audioconvert ! audioresample ! {sound} ! r.audio",
        folder.display()
    ));
    let source = |name: &str| -> AppSrc { pipeline.by_name(name).unwrap().downcast().unwrap() };
    let (video, audio) = (source("v"), source("a"));
    let feed = |source: AppSrc, step_ns: u64, data: fn(u64) -> Vec<u8>| {
        std::thread::spawn(move || {
            for at in (0..5 * S).step_by(usize::try_from(step_ns).unwrap()) {
                let mut buffer = gst::Buffer::from_mut_slice(data(at));
                let changed = buffer.get_mut().unwrap();
                changed.set_pts(gst::ClockTime::from_nseconds(at));
                changed.set_duration(gst::ClockTime::from_nseconds(step_ns));
                source.push_buffer(buffer).unwrap();
            }
            source.end_of_stream().unwrap();
        })
    };
    let pictures = feed(video, 40 * MS, |at| {
        let luma = if at < FLASH_NS { 16 } else { 235 };
        [vec![luma; 160 * 120], vec![128; 160 * 60]].concat()
    });
    let samples = feed(audio, 20 * MS, |at| {
        let tone = |n: u64| match (at < FLASH_NS, n % 48 < 24) {
            (true, _) => 0_i16,
            (false, true) => 12_000,
            (false, false) => -12_000,
        };
        (0..960).flat_map(|n| tone(n).to_le_bytes()).collect()
    });
    let closed = media::closed(&media::run(&pipeline));
    pictures.join().unwrap();
    samples.join().unwrap();
    closed
}

/// When the first sample for which `is` holds is played, nanoseconds.
fn first_when(sink: &AppSink, is: impl Fn(&gst::Sample) -> Option<u64>) -> u64 {
    while let Ok(sample) = sink.pull_sample() {
        if let Some(inside_ns) = is(&sample) {
            let segment = sample
                .segment()
                .unwrap()
                .downcast_ref::<gst::ClockTime>()
                .unwrap();
            let time = segment.to_running_time(sample.buffer().unwrap().pts().unwrap());
            return time.unwrap().nseconds() + inside_ns;
        }
    }
    panic!("it never comes");
}

/// Times of flash and tone in a file as GStreamer plays it, nanoseconds.
fn played(path: &str, decoder: &str) -> (u64, u64) {
    let play = |branch: &str| {
        let pipeline = media::launch(&format!(
            "filesrc location={path} ! qtdemux name=d {branch} ! appsink name=out sync=false"
        ));
        pipeline.set_state(gst::State::Playing).unwrap();
        pipeline
    };
    let sink = |pipeline: &gst::Pipeline| -> AppSink {
        pipeline.by_name("out").unwrap().downcast().unwrap()
    };
    let video = play("d.video_0 ! queue ! h264parse ! avdec_h264");
    let flash = first_when(&sink(&video), |sample| {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let frame =
            gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info);
        (frame.unwrap().plane_data(0).unwrap()[0] > 128).then_some(0)
    });
    video.set_state(gst::State::Null).unwrap();
    let audio = play(&format!(
        "d.audio_0 ! queue ! {decoder} ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=1"
    ));
    let tone = first_when(&sink(&audio), |sample| {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        let loud = map
            .chunks_exact(2)
            .position(|pair| i16::from_le_bytes([pair[0], pair[1]]).abs() > 4000);
        loud.map(|at| at as u64 * S / 48_000)
    });
    audio.set_state(gst::State::Null).unwrap();
    (flash, tone)
}

/// The same as ffmpeg plays it.
fn played_by_ffmpeg(path: &str) -> Option<(u64, u64)> {
    let text = media::program(
        "ffmpeg",
        &[
            "-hide_banner",
            "-nostdin",
            "-i",
            path,
            "-vf",
            "blackdetect=d=0.05",
            "-af",
            "silencedetect=n=-25dB:d=0.05",
            "-f",
            "null",
            "-",
        ],
    )?;
    let after = |key: &str| -> u64 {
        let at = text.find(key).unwrap_or_else(|| panic!("no {key}: {text}")) + key.len();
        let number = text[at..].trim_start();
        let end = number
            .find(|c: char| c != '.' && !c.is_ascii_digit())
            .unwrap();
        (number[..end].parse::<f64>().unwrap() * 1e9) as u64
    };
    Some((after("black_end:"), after("silence_end:")))
}

#[test]
fn sound_and_pictures_are_in_sync() {
    for (sound, decoder, name) in [
        (AAC, "aacparse ! avdec_aac", "aac"),
        (OPUS, "opusdec", "opus"),
        (MULAW, "opusdec", "opus"),
        (ALAW, "opusdec", "opus"),
    ] {
        if !have_for(sound) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let closed = record_flash(sound, folder.path());
        let frames: Vec<_> = closed.iter().map(|c| c.frames).collect();
        assert_eq!(frames, [50, 50, 25], "{sound}");
        assert!(closed.iter().all(|c| c.audio.as_deref() == Some(name)));
        let file = &closed[1];
        let expected = FLASH_NS - 2 * S;
        let (flash, tone) = played(&file.location, decoder);
        println!("{sound}: GStreamer flash {flash} tone {tone}");
        assert!(flash.abs_diff(expected) < MS, "{sound}: {flash}");
        assert!(tone.abs_diff(flash) < 60 * MS, "{sound}: {flash} {tone}");
        if let Some((flash, tone)) = played_by_ffmpeg(&file.location) {
            println!("{sound}: ffmpeg flash {flash} tone {tone}");
            assert!(flash.abs_diff(expected) < 41 * MS, "{sound}: {flash}");
            assert!(tone.abs_diff(flash) < 60 * MS, "{sound}: {flash} {tone}");
        }
    }
}

/// Encoded sound of `seconds`, packets of 20 ms or so.
fn sound(seconds: u32, encoder: &str) -> media::Clip {
    let pipeline = media::launch(&format!(
        "audiotestsrc num-buffers={} samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=1 ! audioconvert ! \
         audioresample ! {encoder} ! appsink name=out sync=false",
        seconds * 50
    ));
    let samples = media::pull(&pipeline);
    media::Clip {
        caps: samples[0].caps_owned().unwrap(),
        buffers: samples
            .iter()
            .map(|sample| sample.buffer_owned().unwrap())
            .collect(),
    }
}

/// Begins a stream on a pad of the recorder.
fn begin(pad: &gst::Pad, caps: &gst::Caps) {
    assert!(pad.send_event(gst::event::StreamStart::new("sound")));
    assert!(pad.send_event(gst::event::Caps::new(caps)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(pad.send_event(gst::event::Segment::new(&segment)));
}

/// Pictures from 0 on, 40 ms apart, one key frame a second.
fn pictures(count: u32) -> media::Clip {
    let mut clip = media::encode(count, "width=160,height=120", H264);
    for (buffer, n) in clip.buffers.iter_mut().zip(0_u64..) {
        let buffer = buffer.make_mut();
        buffer.set_pts(gst::ClockTime::from_nseconds(n * 40 * MS));
        buffer.set_dts(gst::ClockTime::from_nseconds(n * 40 * MS));
    }
    clip
}

#[test]
fn sound_that_stops_or_stays_behind_delays_no_picture() {
    if !have_for(AAC) {
        return;
    }
    let clip = pictures(300);
    let heard = sound(12, AAC);
    for behind_ns in [u64::MAX, S] {
        let mut rig = Rig::new(&[("segment-duration", 2 * S)]);
        let pad = rig.element.request_pad_simple("audio").unwrap();
        begin(&pad, &heard.caps);
        rig.harness.set_src_caps(clip.caps.clone());
        let begun = Instant::now();
        let mut packets = heard.buffers.iter().peekable();
        for buffer in &clip.buffers {
            // Two seconds in time; then nothing, or each packet a second after its picture.
            let now = buffer.pts().unwrap().nseconds();
            let until = if now < 2 * S {
                now
            } else {
                now.saturating_sub(behind_ns)
            };
            while packets
                .peek()
                .is_some_and(|p| p.pts().unwrap().nseconds() <= until)
            {
                pad.chain(packets.next().unwrap().clone()).unwrap();
            }
            rig.harness.push(buffer.clone()).unwrap();
        }
        let took = begun.elapsed();
        pad.send_event(gst::event::Eos::new());
        rig.harness.push_event(gst::event::Eos::new());
        let closed = media::closed(&rig.messages());
        assert_eq!(closed.iter().map(|c| c.frames).sum::<u64>(), 300);
        assert!(
            took < Duration::from_secs(4),
            "{took:?}: it waits once, not each time"
        );
    }
}

#[test]
fn sound_that_comes_late_begins_a_file_with_it() {
    if !have_for(AAC) {
        return;
    }
    let clip = pictures(100);
    let heard = sound(4, AAC);
    let mut rig = Rig::new(&[]);
    rig.harness.set_src_caps(clip.caps.clone());
    for buffer in &clip.buffers[..40] {
        rig.harness.push(buffer.clone()).unwrap();
    }
    let pad = rig.element.request_pad_simple("audio").unwrap();
    begin(&pad, &heard.caps);
    let mut packets = heard
        .buffers
        .iter()
        .skip_while(|b| b.pts() < clip.buffers[40].pts())
        .peekable();
    for buffer in &clip.buffers[40..] {
        while packets
            .peek()
            .is_some_and(|packet| packet.pts() <= buffer.pts())
        {
            pad.chain(packets.next().unwrap().clone()).unwrap();
        }
        rig.harness.push(buffer.clone()).unwrap();
    }
    pad.send_event(gst::event::Eos::new());
    rig.harness.push_event(gst::event::Eos::new());
    let closed = media::closed(&rig.messages());
    let files: Vec<_> = closed
        .iter()
        .map(|c| (c.frames, c.audio.as_deref()))
        .collect();
    assert_eq!(files, [(48, None), (52, Some("aac"))]);
}

#[test]
fn other_sound_begins_a_file_of_its_own() {
    if !have_for(AAC) || !have_for(OPUS) {
        return;
    }
    let clip = pictures(100);
    let mut rig = Rig::new(&[]);
    rig.harness.set_src_caps(clip.caps.clone());
    let pad = rig.element.request_pad_simple("audio").unwrap();
    for (encoder, from, to) in [(AAC, 0, 30), (OPUS, 30, 100)] {
        let heard = sound(4, encoder);
        begin(&pad, &heard.caps);
        let (start, end) = (from as u64 * 40 * MS, to as u64 * 40 * MS);
        let inside =
            |b: &&gst::Buffer| (start..end).contains(&b.pts().map_or(0, gst::ClockTime::nseconds));
        let mut packets = heard.buffers.iter().filter(inside).peekable();
        for buffer in &clip.buffers[from..to] {
            while packets.peek().is_some_and(|p| p.pts() <= buffer.pts()) {
                pad.chain(packets.next().unwrap().clone()).unwrap();
            }
            rig.harness.push(buffer.clone()).unwrap();
        }
    }
    pad.send_event(gst::event::Eos::new());
    rig.harness.push_event(gst::event::Eos::new());
    let closed = media::closed(&rig.messages());
    let files: Vec<_> = closed
        .iter()
        .map(|c| (c.frames, c.audio.as_deref()))
        .collect();
    assert_eq!(files, [(36, Some("aac")), (64, Some("opus"))]);
    for (file, decoder) in closed.iter().zip(["aacparse ! avdec_aac", "opusdec"]) {
        let pipeline = media::launch(&format!(
            "filesrc location={} ! qtdemux name=d d.audio_0 ! queue ! {decoder} ! appsink name=out sync=false",
            file.location
        ));
        assert!(media::pull(&pipeline).len() > 40);
    }
}

#[test]
fn sound_that_cannot_be_recorded_is_left_out() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = pictures(30);
    let mut rig = Rig::new(&[]);
    let pad = rig.element.request_pad_simple("audio").unwrap();
    let no_head = gst::Caps::builder("audio/mpeg")
        .field("mpegversion", 4)
        .field("stream-format", "raw");
    begin(&pad, &no_head.build());
    let begun = Instant::now();
    rig.push(&clip);
    assert!(
        begun.elapsed() < Duration::from_millis(400),
        "nothing is waited for"
    );
    pad.chain(gst::Buffer::from_slice([0; 9])).unwrap();
    pad.send_event(gst::event::Eos::new());
    rig.harness.push_event(gst::event::Eos::new());
    let messages = rig.messages();
    let kinds = messages.iter().map(|message| message.type_());
    assert_eq!(
        kinds
            .filter(|kind| *kind == gst::MessageType::Warning)
            .count(),
        1
    );
    let closed = media::closed(&messages);
    assert_eq!((closed[0].frames, closed[0].audio.as_deref()), (30, None));
}
