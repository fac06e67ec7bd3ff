//! Pictures out of files that the recorder made, each of which carries its number as bars of black and white.

use std::path::PathBuf;

use gst::prelude::*;
use nvr_base::ErrorKind;

use super::super::{Film, Sheet};
use super::*;

/// Pictures a second.
const FPS: u64 = 25;
const PICTURE_NS: i64 = 40_000_000;
/// Bars, most significant first.
const BITS: u32 = 8;
const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;

fn grey(number: u32) -> Vec<u8> {
    let shade = |x: u32| match number >> (BITS - 1 - x * BITS / WIDTH) & 1 {
        // Video range: 16 is black and 235 is white.
        0 => 16,
        _ => 235,
    };
    let line: Vec<u8> = (0..WIDTH).map(shade).collect();
    let mut picture = line.repeat(HEIGHT as usize);
    picture.extend(std::iter::repeat_n(128, (WIDTH * HEIGHT / 2) as usize));
    picture
}

/// The number in a decoded picture of any size; `None` when a bar is neither black nor white.
fn number_of(picture: &image::RgbImage) -> Option<u32> {
    let (width, height) = picture.dimensions();
    (0..BITS).try_fold(0, |number, bit| {
        let pixel = picture
            .get_pixel((2 * bit + 1) * width / (2 * BITS), height / 2)
            .0;
        // White is 255 and black is 0: 235 and 16 would be a picture without its range.
        match pixel[1] {
            0..=10 => Some(number << 1),
            245.. => Some(number << 1 | 1),
            _ => None,
        }
    })
}

fn number_in(jpeg: &[u8]) -> u32 {
    let picture = image::load_from_memory(jpeg).unwrap().to_rgb8();
    number_of(&picture).expect("clean bars")
}

/// Records `pictures` numbered pictures; `None`, and a line, where the encoder is not installed.
fn recorded(encoder: &str, pictures: u32) -> Option<(tempfile::TempDir, PathBuf)> {
    gst::init().unwrap();
    let factory = encoder.split(' ').next().unwrap();
    for needed in [factory, "avdec_h264", "avdec_h265"] {
        if gst::ElementFactory::find(needed).is_none() {
            println!("SKIP: {needed} is not installed");
            return None;
        }
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| gstsegmentrecorder::register_static().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let parser = encoder.replace("x26", "h26");
    let parser = parser
        .split("enc")
        .next()
        .map(|codec| format!("{codec}parse"))
        .unwrap();
    let line = format!(
        "appsrc name=in format=time caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FPS}/1 \
         ! {encoder} ! {parser} ! segmentrecorder name=out"
    );
    #[expect(clippy::disallowed_methods, reason = "a test's own graph")]
    let pipeline = gst::parse::launch(&line)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let out = pipeline.by_name("out").unwrap();
    out.set_property("location", folder.path().display().to_string());
    let source = pipeline
        .by_name("in")
        .unwrap()
        .downcast::<gst_app::AppSrc>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for number in 0..pictures {
        let mut buffer = gst::Buffer::from_mut_slice(grey(number % 256));
        let changed = buffer.get_mut().unwrap();
        changed.set_pts(gst::ClockTime::from_mseconds(
            1000 / FPS * u64::from(number),
        ));
        changed.set_duration(gst::ClockTime::from_mseconds(1000 / FPS));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let bus = pipeline.bus().unwrap();
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let last = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(60), &types)
        .unwrap();
    assert_eq!(last.type_(), gst::MessageType::Eos, "{last:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    let file = walk(folder.path()).pop().expect("a recording");
    Some((folder, file))
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => walk(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn the_picture_shown_at_a_moment_is_the_right_one() {
    for encoder in [
        "x264enc pass=quant quantizer=20 key-int-max=25 bframes=0 option-string=scenecut=0",
        "x264enc pass=quant quantizer=20 key-int-max=25 bframes=3 b-pyramid=true",
        "x264enc pass=quant quantizer=20 key-int-max=25 bframes=3 option-string=open-gop=1:scenecut=0",
        "x265enc qp=20 key-int-max=25 option-string=bframes=0",
        "x265enc qp=20 key-int-max=25 option-string=bframes=3:open-gop=1:scenecut=0",
    ] {
        let Some((_folder, file)) = recorded(encoder, 100) else {
            continue;
        };
        let mut recording = Recording::open(&file).unwrap();
        assert_eq!(recording.end_ns(), 100 * PICTURE_NS, "{encoder}");
        // Every place in a group, both ends of the file, and moments between two pictures.
        let numbers = (0..100).step_by(7).chain([1, 24, 25, 26, 49, 50, 51, 99]);
        let mut keys: Vec<i64> = recording.keys().map(|ns| ns / PICTURE_NS).collect();
        keys.dedup();
        println!("{encoder}: key frames {keys:?}");
        for number in numbers {
            for within in [0, PICTURE_NS - 1] {
                let at_ns = i64::from(number) * PICTURE_NS + within;
                let still = recording.still(at_ns, true, None).unwrap();
                let told = (
                    number_in(&still.jpeg),
                    still.offset_ns / PICTURE_NS,
                    still.damaged,
                );
                assert_eq!(told, (number, number.into(), false), "{encoder} {at_ns}");
            }
        }
        let key = recording.still(30 * PICTURE_NS, false, Some(90)).unwrap();
        assert_eq!(
            i64::from(number_in(&key.jpeg)) * PICTURE_NS,
            key.offset_ns,
            "{encoder}"
        );
        assert!(recording.keys().any(|key_ns| key_ns == key.offset_ns));
        let size = image::load_from_memory(&key.jpeg).unwrap();
        assert_eq!((size.width(), size.height()), (160, 90));
        // Never larger than it is, and behind the end the last one.
        let last = recording.still(i64::MAX, true, Some(2000)).unwrap();
        let size = image::load_from_memory(&last.jpeg).unwrap();
        assert_eq!(
            (size.width(), size.height(), number_in(&last.jpeg)),
            (WIDTH, HEIGHT, 99)
        );
    }
}

#[test]
fn a_torn_file_gives_what_is_whole() {
    let Some((_folder, file)) = recorded(
        "x264enc pass=quant quantizer=20 key-int-max=25 bframes=0 option-string=scenecut=0",
        100,
    ) else {
        return;
    };
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() * 3 / 5]).unwrap();
    let mut recording = Recording::open(&file).unwrap();
    let last = recording.end_ns() / PICTURE_NS - 1;
    assert!((25..99).contains(&last), "{last}");
    let still = recording.still(last * PICTURE_NS, true, None).unwrap();
    assert_eq!(i64::from(number_in(&still.jpeg)), last);
    std::fs::write(&file, &whole[..40]).unwrap();
    assert_eq!(
        Recording::open(&file).unwrap_err().kind(),
        ErrorKind::DataLoss
    );
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        Recording::open(&file).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn damage_is_told_and_stays_in_its_group() {
    let Some((_folder, file)) = recorded(
        "x264enc pass=quant quantizer=20 key-int-max=25 bframes=0 option-string=scenecut=0",
        75,
    ) else {
        return;
    };
    let reader = Reader::open(&file).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    for sample in &reader.samples()[25..50] {
        let start = usize::try_from(sample.offset).unwrap();
        // Behind the length of the first NAL unit and its type.
        bytes[start + 5..start + sample.size as usize].fill(0x55);
    }
    std::fs::write(&file, bytes).unwrap();
    let mut recording = Recording::open(&file).unwrap();
    for exact in [true, false] {
        match recording.still(40 * PICTURE_NS, exact, None) {
            Ok(still) => assert!(still.damaged, "exact {exact}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DataLoss);
                assert!(error.message().contains("decoded"), "{error}");
            }
        }
    }
    let shown = recording.still(49 * PICTURE_NS, true, None);
    assert!(shown.is_err() || shown.unwrap().damaged);
    for number in [0, 24, 50, 66, 69, 74] {
        let still = recording
            .still(i64::from(number) * PICTURE_NS, true, None)
            .unwrap();
        assert_eq!((number_in(&still.jpeg), still.damaged), (number, false));
    }
}

#[test]
fn key_frames_come_small_and_whole_and_become_a_film() {
    let Some((folder, file)) = recorded(
        "x264enc pass=quant quantizer=20 key-int-max=25 bframes=2 option-string=scenecut=0",
        250,
    ) else {
        return;
    };
    let mut recording = Recording::open(&file).unwrap();
    let keys: Vec<i64> = recording.keys().collect();
    assert!(keys.len() >= 10);
    // A time without a key frame is left out; the others come once each.
    let wanted = [keys[1], keys[1] + 1, keys[7], keys[4]];
    let mut sheet = Sheet::new(2, 2, (82, 60));
    let mut came = Vec::new();
    let each = |offset_ns: i64, pixels: Vec<u8>| {
        let picture = image::RgbImage::from_raw(82, 60, pixels.clone()).unwrap();
        assert_eq!(
            number_of(&picture).map(i64::from),
            Some(offset_ns / PICTURE_NS)
        );
        sheet.put(came.len() as u32, &pixels);
        came.push(offset_ns);
    };
    recording.small_keys(&wanted, (82, 60), each).unwrap();
    assert_eq!(came, [keys[1], keys[4], keys[7]]);
    assert!(sheet.jpeg().unwrap().starts_with(&[0xff, 0xd8]));

    let film = folder.path().join("film.mp4");
    let mut making = Film::begin(&film, (160, 90), 10).unwrap();
    recording
        .whole_keys(&keys, |_, sample| making.push(&sample))
        .unwrap();
    assert_eq!(making.pictures(), keys.len() as u64);
    making.finish().unwrap();
    assert_eq!(frames_of(&film), keys.len());
    let bytes = std::fs::read(&film).unwrap();
    let place = |kind: &[u8]| bytes.windows(4).position(|window| window == kind);
    assert!(place(b"moov") < place(b"mdat"), "the index stands in front");
    assert_eq!(
        walk(folder.path()).len(),
        2,
        "nothing is left beside the film"
    );
}

/// Decoded pictures of an MP4 file.
fn frames_of(file: &Path) -> usize {
    let line = format!(
        "filesrc location=\"{}\" ! qtdemux ! h264parse ! avdec_h264 ! appsink name=out sync=false",
        file.display()
    );
    #[expect(clippy::disallowed_methods, reason = "a test's own graph")]
    let pipeline = gst::parse::launch(&line)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut count = 0;
    while sink
        .try_pull_sample(gst::ClockTime::from_seconds(20))
        .is_some()
    {
        count += 1;
    }
    assert!(sink.is_eos());
    pipeline.set_state(gst::State::Null).unwrap();
    count
}

#[test]
#[ignore = "a measurement: cargo nextest run -p nvr-media --release --run-ignored only measured --no-capture"]
fn measured() {
    let clip = std::env::var_os("NVRD_MEASURED")
        .map(PathBuf::from)
        .expect("NVRD_MEASURED: a recording");
    gst::init().unwrap();
    let start = std::time::Instant::now();
    let mut recording = Recording::open(&clip).unwrap();
    println!("open: {:?}", start.elapsed());
    for (exact, share) in [(true, 0.1), (true, 0.5), (true, 0.99), (false, 0.99)] {
        let at_ns = (recording.end_ns() as f64 * share) as i64;
        let start = std::time::Instant::now();
        let still = recording.still(at_ns, exact, None).unwrap();
        println!(
            "exact {exact} at {share}: {:?}, {} bytes",
            start.elapsed(),
            still.jpeg.len()
        );
    }
}
