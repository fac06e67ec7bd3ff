//! The element: real streams recorded, read back and compared, and how it behaves in a pipeline.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

mod media;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use expect_test::expect;
use gst::glib;
use gst::prelude::*;
use media::{Clip, H264, H264_B, H265, Rig};
use nvr_contract::Message;
use nvr_contract::segment::{FragmentWritten, Gap, GapReason, SegmentOpened};
use nvr_contract::wallclock::WallClock;
use nvr_mp4::inspect::{self, inspect};

const S: u64 = 1_000_000_000;

#[test]
fn surface() {
    media::init();
    let element = gst::ElementFactory::make("segmentrecorder")
        .build()
        .unwrap();
    let mut text = String::new();
    for pspec in element.list_properties() {
        if pspec.owner_type() != element.type_() {
            continue;
        }
        let flags = pspec.flags();
        let mutable = match () {
            () if !flags.contains(glib::ParamFlags::WRITABLE) => "read only",
            () if flags.contains(gst::PARAM_FLAG_MUTABLE_PLAYING) => "in PLAYING",
            () if flags.contains(gst::PARAM_FLAG_MUTABLE_READY) => "in READY",
            () => "in NULL",
        };
        let default = match pspec.value_type() {
            kind if kind == gst::Structure::static_type() => None,
            _ => pspec
                .default_value()
                .transform::<String>()
                .unwrap()
                .get()
                .unwrap(),
        };
        let default = default.unwrap_or_else(|| "none".to_owned());
        let (name, kind) = (pspec.name(), pspec.value_type());
        writeln!(
            text,
            "{name}: {kind} = {default}, {mutable}, {}",
            pspec.blurb().unwrap()
        )
        .unwrap();
    }
    for template in element.pad_template_list() {
        let name = template.name_template();
        writeln!(
            text,
            "{name} {:?}: {}",
            template.presence(),
            template.caps()
        )
        .unwrap();
    }
    expect![[r#"
        location: gchararray = none, in PLAYING, Folder for the recordings; made where it is missing, with one folder a day (UTC) in it; another one holds from the next file on
        identity-file: gchararray = none, in PLAYING, File that says which storage this is; read before a file is created, where identity is set
        identity: gchararray = none, in PLAYING, What identity-file must say, as its first line or in a line id = "..."; otherwise nothing is created
        segment-duration: guint64 = 60000000000, in PLAYING, Length after which the next key frame begins a new file, in nanoseconds
        segment-bytes: guint64 = 0, in PLAYING, Size after which the next key frame begins a new file, in bytes; 0 for any
        wall-clock-boundary: guint64 = 0, in PLAYING, Files begin at multiples of this wall time (UTC) too, in nanoseconds; 0 for anywhere
        fragment-duration: guint64 = 1000000000, in PLAYING, Longest fragment, which is the most that a crash can lose, in nanoseconds
        sync: GstNvrdSegmentRecorderSync = Sync every sync-interval and when a segment is closed, in READY, When what is written is made to survive a power cut
        sync-interval: guint64 = 5000000000, in READY, With sync=segment: most media time between two syncs, in nanoseconds; 0 to sync only when a segment is closed
        mode: GstNvrdSegmentRecorderMode = Record everything, in PLAYING, When to record: off closes the file at once, continuous begins at the next key frame, event records what the signals start, stop and trigger ask for
        pre-roll: guint64 = 5000000000, in PLAYING, With mode=event: what is recorded before a trigger, in nanoseconds
        post-roll: guint64 = 10000000000, in PLAYING, With mode=event: what is recorded after the last trigger or a stop, in nanoseconds
        ring-bytes: guint64 = 33554432, in PLAYING, With mode=event: the most that is kept in memory for the pre-roll, in bytes
        hash: gboolean = TRUE, in READY, Hash each file with BLAKE3 while writing
        stats: GstStructure = none, read only, Counters: pictures in, pictures dropped for whatever reason, bytes written, bytes in the ring, segments, gaps, write errors, slowest write in nanoseconds
        video Always: video/x-h264, stream-format=(string)avc, alignment=(string)au; video/x-h265, stream-format=(string)hvc1, alignment=(string)au
        audio Request: audio/mpeg, mpegversion=(int)4, stream-format=(string)raw; audio/x-opus, channel-mapping-family=(int)0; audio/x-mulaw; audio/x-alaw
    "#]].assert_eq(&text);
}

fn frames_of(files: &[PathBuf], h265: bool) -> Vec<blake3::Hash> {
    files
        .iter()
        .flat_map(|file| media::decode_file(file, h265))
        .collect()
}

#[test]
fn no_picture_is_lost_or_doubled() {
    for (encoder, h265, needs) in [
        (H264, false, ["x264enc", "avdec_h264"]),
        (H264_B, false, ["x264enc", "avdec_h264"]),
        (H265, true, ["x265enc", "avdec_h265"]),
    ] {
        if !media::have(&needs) {
            continue;
        }
        let clip = media::encode(250, "width=160,height=120", encoder);
        let source = media::decode_clip(&clip, h265);
        assert_eq!(source.len(), 250);
        for (segment, fragment) in [(1, 1), (S, S / 5), (3 * S, S)] {
            let mut rig = Rig::new(&[
                ("segment-duration", segment),
                ("fragment-duration", fragment),
            ]);
            rig.push(&clip);
            rig.harness.push_event(gst::event::Eos::new());
            let messages = rig.messages();
            let closed = media::closed(&messages);
            let expected = match segment {
                1 => 21,
                S => 7,
                _ => 3,
            };
            assert_eq!(closed.len(), expected, "{encoder}");
            assert_eq!(closed.iter().map(|c| c.frames).sum::<u64>(), 250);
            assert!(
                frames_of(&media::paths(&closed), h265) == source,
                "{encoder}, {segment} ns"
            );
            let last = messages.last().unwrap();
            assert_eq!(last.type_(), gst::MessageType::Eos);
            check_playable(&closed);
        }
    }
}

/// What `ffprobe` thinks of the first files.
fn check_playable(closed: &[nvr_contract::segment::SegmentClosed]) {
    for segment in closed.iter().take(4) {
        let entries = "format=start_time,duration:stream=duration,nb_read_frames";
        let arguments = [
            "-v",
            "warning",
            "-count_frames",
            "-select_streams",
            "v",
            "-show_entries",
            entries,
        ];
        let all = [
            &arguments[..],
            &["-of", "default=nw=1:nk=1", &segment.location],
        ]
        .concat();
        let Some(text) = media::program("ffprobe", &all) else {
            return;
        };
        let seconds = (segment.end_ns - segment.start_ns) as f64 / 1e9;
        let lines: Vec<&str> = text.lines().collect();
        let [stream, frames, start, format] = lines[..] else {
            panic!("{text}");
        };
        assert_eq!(frames.parse(), Ok(segment.frames), "{text}");
        // The last packet of audio may outlast the last picture.
        let longer = if inspect(Path::new(&segment.location)).unwrap().has_audio {
            0.03
        } else {
            0.0
        };
        for (said, expected, longer) in [
            (stream, seconds, 0.0),
            (start, 0.0, 0.0),
            (format, seconds, longer),
        ] {
            let said: f64 = said.parse().unwrap();
            let range = expected - 0.002..expected + longer + 0.002;
            assert!(range.contains(&said), "{expected}: {text}");
        }
    }
}

#[test]
fn a_player_seeks() {
    if !media::have(&["x264enc", "avdec_h264"]) {
        return;
    }
    let mut rig = Rig::new(&[("fragment-duration", S / 5)]);
    rig.push(&media::encode(150, "width=160,height=120", H264_B));
    rig.harness.push_event(gst::event::Eos::new());
    let path = media::paths(&media::closed(&rig.messages())).remove(0);
    let pipeline = media::launch(&format!(
        "filesrc location={} ! qtdemux ! h264parse ! avdec_h264 ! fakesink name=out sync=false",
        path.display()
    ));
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(10)).0.unwrap();
    let duration = pipeline.query_duration::<gst::ClockTime>().unwrap();
    assert_eq!(
        duration,
        gst::ClockTime::from_seconds(6),
        "the header says it"
    );
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    pipeline
        .seek_simple(flags, gst::ClockTime::from_seconds(4))
        .unwrap();
    pipeline.state(gst::ClockTime::from_seconds(10)).0.unwrap();
    let position = pipeline.query_position::<gst::ClockTime>().unwrap();
    assert!(position.nseconds().abs_diff(4 * S) <= S / 25, "{position}");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_torn_file_plays_up_to_its_last_whole_fragment() {
    if !media::have(&["x264enc", "avdec_h264"]) {
        return;
    }
    let mut rig = Rig::new(&[("fragment-duration", S / 5)]);
    rig.push(&media::encode(60, "width=160,height=120", H264_B));
    let mut ends = Vec::new();
    let mut location = String::new();
    for message in rig.messages() {
        if let Some(fragment) = FragmentWritten::from_message(&message) {
            let fragment = fragment.unwrap();
            location = fragment.location;
            ends.push(fragment.bytes);
        }
    }
    assert!(ends.len() > 8);
    // Not closed: as after a kill.
    let whole = std::fs::read(&location).unwrap();
    assert_eq!(whole.len() as u64, *ends.last().unwrap());
    let torn = rig.folder.path().join("torn.mp4");
    for &end in &ends {
        for beyond in [0, 9, 200, 900] {
            let length = whole.len().min(usize::try_from(end).unwrap() + beyond);
            std::fs::write(&torn, &whole[..length]).unwrap();
            let found = inspect::repair(&torn).unwrap();
            assert!(found.valid_bytes >= end);
            assert_eq!(media::decode_file(&torn, false).len() as u64, found.frames);
        }
    }
}

#[test]
fn wall_time_is_in_the_file() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = media::encode(100, "width=160,height=120", H264_B);
    let first = clip.buffers[0].pts().unwrap().nseconds();
    let mut rig = Rig::new(&[("segment-duration", S)]);
    let unix_us = 1_700_000_000_123_456;
    rig.harness.set_src_caps(clip.caps.clone());
    let anchor = WallClock {
        pts_ns: first,
        unix_us,
    };
    assert!(rig.harness.push_event(anchor.to_event()));
    rig.push(&clip);
    rig.harness.push_event(gst::event::Eos::new());
    let messages = rig.messages();
    let opened = messages
        .iter()
        .find_map(|m| SegmentOpened::from_message(m))
        .unwrap()
        .unwrap();
    assert_eq!((opened.start_ns, opened.start_unix_us), (first, unix_us));
    let day = rig
        .folder
        .path()
        .join("2023-11-14/22-13-20_1700000000123456.mp4");
    assert_eq!(Path::new(&opened.location), day);
    let mut expected = unix_us;
    for closed in media::closed(&messages) {
        let found = inspect(Path::new(&closed.location)).unwrap();
        assert_eq!(closed.start_unix_us, expected);
        assert!((found.start_unix_us.unwrap() - expected).abs() <= 6);
        expected = closed.end_unix_us;
    }
    assert_eq!(expected, unix_us + 4_000_000);
}

#[test]
fn another_size_begins_another_file() {
    if !media::have(&["x264enc", "avdec_h264"]) {
        return;
    }
    let small = media::encode(30, "width=160,height=120", H264);
    let mut large = media::encode(30, "width=320,height=240", H264);
    for buffer in &mut large.buffers {
        let buffer = buffer.make_mut();
        let later = gst::ClockTime::from_mseconds(1200);
        buffer.set_pts(buffer.pts().map(|pts| pts + later));
        buffer.set_dts(buffer.dts().map(|dts| dts + later));
    }
    let mut rig = Rig::new(&[]);
    rig.push(&small);
    rig.push(&large);
    rig.harness.push_event(gst::event::Eos::new());
    let closed = media::closed(&rig.messages());
    let sizes: Vec<_> = closed
        .iter()
        .map(|c| (c.width, c.height, c.frames))
        .collect();
    assert_eq!(sizes, [(160, 120, 30), (320, 240, 30)]);
    assert_eq!(frames_of(&media::paths(&closed), false).len(), 60);
    assert!(!closed[1].discont);
}

#[test]
fn audio_is_recorded_beside_video() {
    if !media::have(&["x264enc", "avenc_aac", "avdec_aac"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // 6 s of both, with time stamps that are 1000 hours apart: only running time says what belongs together.
    let pipeline = media::launch(&format!(
        "videotestsrc num-buffers=150 ! video/x-raw,framerate=25/1,width=160,height=120 ! {H264_B} ! \
         segmentrecorder name=r location={} segment-duration=1900000000 \
         audiotestsrc num-buffers=300 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=1 ! \
         avenc_aac ! aacparse ! r.audio",
        folder.path().display()
    ));
    let closed = media::closed(&media::run(&pipeline));
    assert_eq!(closed.iter().map(|c| c.frames).sum::<u64>(), 150);
    assert!(closed.len() >= 3);
    let mut samples = 0;
    for segment in &closed {
        assert!(inspect(Path::new(&segment.location)).unwrap().has_audio);
        let pipeline = media::launch(&format!(
            "filesrc location={} ! qtdemux name=d  d.audio_0 ! queue ! aacparse ! avdec_aac ! appsink name=out sync=false",
            segment.location
        ));
        let sink: gst_app::AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut here = 0;
        let mut first = None;
        while let Ok(sample) = sink.pull_sample() {
            let buffer = sample.buffer().unwrap();
            here += buffer.size() / 4;
            first = first.or(buffer.pts());
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert!(
            first.unwrap() < gst::ClockTime::from_mseconds(30),
            "{first:?}"
        );
        let expected = (segment.end_ns - segment.start_ns) * 48 / 1_000_000;
        assert!(
            (here as u64).abs_diff(expected) < 3 * 1024,
            "{here} of {expected}"
        );
        samples += here;
    }
    assert!(
        (samples as u64).abs_diff(6 * 48_000) <= 3 * 1024,
        "{samples}"
    );
    check_playable(&closed);
}

#[test]
fn audio_that_stays_away_does_not_stop_video() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = media::encode(100, "width=160,height=120", H264);
    let mut rig = Rig::new(&[]);
    let pad = rig.element.request_pad_simple("audio").unwrap();
    pad.send_event(gst::event::StreamStart::new("audio"));
    rig.push(&clip);
    rig.harness.push_event(gst::event::Eos::new());
    assert!(
        media::closed(&rig.messages()).is_empty(),
        "audio has not ended"
    );
    rig.element.release_request_pad(&pad);
    let messages = rig.messages();
    assert_eq!(media::closed(&messages)[0].frames, 100);
    assert_eq!(messages.last().unwrap().type_(), gst::MessageType::Eos);
}

#[test]
fn audio_that_a_camera_does_not_have_is_not_waited_for() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = media::encode(30, "width=160,height=120", H264);
    let mut rig = Rig::new(&[]);
    // Linked, as in a pipeline that is made before the camera is known, and never begun.
    let _pad = rig.element.request_pad_simple("audio").unwrap();
    rig.push(&clip);
    rig.harness.push_event(gst::event::Eos::new());
    let messages = rig.messages();
    assert_eq!(media::closed(&messages)[0].frames, 30);
    assert_eq!(messages.last().unwrap().type_(), gst::MessageType::Eos);
}

#[test]
fn any_number_of_state_cycles() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = media::encode(30, "width=160,height=120", H264);
    let mut rig = Rig::new(&[]);
    for _ in 0..5 {
        rig.push(&clip);
        rig.element.set_state(gst::State::Ready).unwrap();
        let closed = media::closed(&rig.messages());
        assert_eq!(closed[0].frames, 30, "closed without EOS");
        assert!(inspect(Path::new(&closed[0].location)).unwrap().finalised);
        rig.element.set_state(gst::State::Null).unwrap();
        rig.harness.play();
    }
}

#[test]
fn a_flush_ends_a_file_and_not_the_recording() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = media::encode(30, "width=160,height=120", H264);
    let mut rig = Rig::new(&[]);
    rig.push(&clip);
    rig.harness.push_event(gst::event::FlushStart::new());
    rig.harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    rig.harness.push_event(gst::event::Segment::new(&segment));
    rig.push(&clip);
    rig.harness.push_event(gst::event::Eos::new());
    let frames: Vec<_> = media::closed(&rig.messages())
        .iter()
        .map(|c| c.frames)
        .collect();
    assert_eq!(frames, [30, 30]);
}

#[test]
fn modes_and_splits_while_playing() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = media::encode(48, "width=160,height=120", H264);
    let part = |from: usize, to: usize| Clip {
        caps: clip.caps.clone(),
        buffers: clip.buffers[from..to].to_vec(),
    };
    let mut rig = Rig::new(&[]);
    rig.push(&part(0, 6));
    rig.element.emit_by_name::<()>("split-now", &[]);
    rig.push(&part(6, 18));
    rig.element.set_property_from_str("mode", "off");
    assert_eq!(
        media::closed(&rig.messages()).len(),
        2,
        "off closes at once"
    );
    rig.push(&part(18, 20));
    rig.element.set_property_from_str("mode", "continuous");
    rig.push(&part(20, 48));
    rig.harness.push_event(gst::event::Eos::new());
    let messages = rig.messages();
    assert_eq!(media::closed(&messages)[0].frames, 24);
    let gaps: Vec<_> = messages
        .iter()
        .filter_map(|m| Gap::from_message(m))
        .collect();
    assert_eq!(gaps[0].as_ref().unwrap().reason, GapReason::Paused);
    let stats: gst::Structure = rig.element.property("stats");
    assert_eq!(stats.get::<u64>(nvr_contract::stats::FRAMES_IN), Ok(48));
    assert_eq!(stats.get::<u64>(nvr_contract::stats::FRAMES_DROPPED), Ok(6));
}

#[test]
fn events_are_recorded_by_signals_while_playing() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = media::encode(120, "width=160,height=120", H264);
    let part = |from: usize, to: usize| Clip {
        caps: clip.caps.clone(),
        buffers: clip.buffers[from..to].to_vec(),
    };
    let mut rig = Rig::new(&[("pre-roll", S / 2), ("post-roll", S / 2)]);
    rig.element.set_property_from_str("mode", "event");
    rig.push(&part(0, 60));
    assert!(media::closed(&rig.messages()).is_empty());
    let held = |rig: &Rig| {
        let stats: gst::Structure = rig.element.property("stats");
        stats.get::<u64>(nvr_contract::stats::RING_BYTES).unwrap()
    };
    assert!(held(&rig) > 0);
    rig.element.emit_by_name::<()>("start", &[]);
    rig.push(&part(60, 72));
    assert_eq!(held(&rig), 0);
    rig.element.emit_by_name::<()>("stop", &[]);
    rig.push(&part(72, 120));
    rig.harness.push_event(gst::event::Eos::new());
    let closed = media::closed(&rig.messages());
    // A key frame every 12: from before picture 59 less 12.5 to after picture 71 and 12.5.
    assert_eq!(closed.iter().map(|c| c.frames).collect::<Vec<_>>(), [48]);
    assert_eq!(frames_of(&media::paths(&closed), false).len(), 48);
}

#[test]
fn nothing_is_created_on_another_disk() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = media::encode(180, "width=160,height=120", H264);
    let part = |from: usize, to: usize| Clip {
        caps: clip.caps.clone(),
        buffers: clip.buffers[from..to].to_vec(),
    };
    media::init();
    let storage = tempfile::tempdir().unwrap();
    let spare = tempfile::tempdir().unwrap();
    let identity = storage.path().join("nvrd-storage.toml");
    let mut rig = Rig::new(&[("segment-duration", S)]);
    rig.element.set_state(gst::State::Null).unwrap();
    let recordings = storage.path().join("recordings/front");
    rig.element
        .set_property("location", recordings.to_str().unwrap());
    rig.element
        .set_property("identity-file", identity.to_str().unwrap());
    rig.element.set_property("identity", "5f2a");
    rig.harness.play();
    rig.push(&part(0, 36));
    assert_eq!(std::fs::read_dir(storage.path()).unwrap().count(), 0);
    std::fs::write(&identity, "id = \"0000\"\n").unwrap();
    rig.push(&part(36, 60));
    assert_eq!(std::fs::read_dir(storage.path()).unwrap().count(), 1);
    // The daemon turns to another storage while the camera runs.
    rig.element.set_property("identity", "");
    rig.element
        .set_property("location", spare.path().to_str().unwrap());
    rig.push(&part(60, 120));
    std::fs::write(&identity, "# a storage\nid = \"5f2a\"\n").unwrap();
    rig.element
        .set_property("location", recordings.to_str().unwrap());
    rig.element.set_property("identity", "5f2a");
    rig.element.emit_by_name::<()>("split-now", &[]);
    rig.push(&part(120, 180));
    rig.harness.push_event(gst::event::Eos::new());
    let messages = rig.messages();
    let gaps = messages.iter().filter_map(|m| Gap::from_message(m));
    let gaps: Vec<_> = gaps.map(Result::unwrap).collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert_eq!(gaps[0].reason, GapReason::DiskGone);
    assert!(
        gaps[0]
            .detail
            .as_ref()
            .unwrap()
            .contains("nvrd-storage.toml")
    );
    let closed = media::closed(&messages);
    assert_eq!(gaps[1].end_unix_us, Some(closed[0].start_unix_us));
    assert!(
        closed[0]
            .location
            .starts_with(spare.path().to_str().unwrap())
    );
    assert!(
        closed
            .last()
            .unwrap()
            .location
            .starts_with(recordings.to_str().unwrap())
    );
    assert_eq!(closed.iter().map(|c| c.frames).sum::<u64>(), 120);
}

#[test]
fn a_folder_that_vanishes_is_a_gap_and_no_error() {
    if !media::have(&["x264enc"]) {
        return;
    }
    let clip = media::encode(150, "width=160,height=120", H264);
    let part = |from: usize, to: usize| Clip {
        caps: clip.caps.clone(),
        buffers: clip.buffers[from..to].to_vec(),
    };
    let mut rig = Rig::new(&[("segment-duration", S)]);
    rig.push(&part(0, 30));
    std::fs::remove_dir_all(rig.folder.path()).unwrap();
    std::fs::write(rig.folder.path(), "in the way").unwrap();
    rig.push(&part(30, 75));
    std::fs::remove_file(rig.folder.path()).unwrap();
    rig.push(&part(75, 150));
    rig.harness.push_event(gst::event::Eos::new());
    let messages = rig.messages();
    assert!(
        messages
            .iter()
            .all(|m| m.type_() != gst::MessageType::Error)
    );
    let gaps = messages.iter().filter_map(|m| Gap::from_message(m));
    let gaps: Vec<_> = gaps.map(Result::unwrap).collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert_eq!(gaps[0].reason, GapReason::DiskError);
    assert!(
        gaps[0]
            .detail
            .as_ref()
            .unwrap()
            .contains(rig.folder.path().to_str().unwrap())
    );
    let resumed = media::closed(&messages)
        .into_iter()
        .find(|c| Some(c.start_unix_us) == gaps[1].end_unix_us);
    assert!(resumed.unwrap().discont);
}

#[test]
fn a_wrong_configuration_is_an_error() {
    media::init();
    let file = tempfile::NamedTempFile::new().unwrap();
    let inside = file.path().join("folder");
    for (location, domain) in [
        (None, gst::ResourceError::NotFound),
        (inside.to_str(), gst::ResourceError::OpenWrite),
    ] {
        let element = gst::ElementFactory::make("segmentrecorder")
            .build()
            .unwrap();
        element.set_property("location", location);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        assert!(element.set_state(gst::State::Ready).is_err());
        let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!();
        };
        assert!(error.error().matches(domain), "{error:?}");
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn caps_without_parameter_sets_are_refused() {
    let mut rig = Rig::new(&[]);
    let caps = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("width", 160)
        .field("height", 120)
        .build();
    rig.harness.set_src_caps(caps);
    assert!(
        rig.harness
            .push(gst::Buffer::from_slice([0, 0, 0, 1, 0x65]))
            .is_err()
    );
    let errors = rig.messages();
    assert!(errors.iter().any(|m| m.type_() == gst::MessageType::Error));
}

#[test]
fn a_real_clip_with_sound_comes_through() {
    let shared = std::env::var("NVRD_SHARED").map(PathBuf::from);
    let shared =
        shared.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let clip = shared.join("media/video/short_hamilton_clip.mp4");
    if !clip.is_file() {
        println!("SKIP: there is no {}", clip.display());
        return;
    }
    if !media::have(&["avdec_h264", "qtdemux"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pipeline = media::launch(&format!(
        "filesrc location={} ! qtdemux name=d  d.video_0 ! queue ! h264parse ! segmentrecorder name=r location={} \
         segment-duration=1000000000 d.audio_0 ! queue ! aacparse ! r.audio",
        clip.display(),
        folder.path().display()
    ));
    let closed = media::closed(&media::run(&pipeline));
    let source = media::decode_file(&clip, false);
    assert!(
        frames_of(&media::paths(&closed), false) == source,
        "{} files",
        closed.len()
    );
}
