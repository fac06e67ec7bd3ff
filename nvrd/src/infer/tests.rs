//! Pictures from outside, and models that are there, missing or of the wrong kind.

#[allow(unreachable_pub, reason = "the element's tests share it")]
#[path = "../../../gst-plugins/onnx/tests/support/onnx.rs"]
mod onnx;

use std::io::Cursor;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};
use nvr_base::{ErrorKind, SimulatedClock};

use super::*;

/// A model that sees a person in the middle of a picture, and is as sure of it as the picture is bright.
pub(crate) fn brightness(folder: &Path) -> Option<PathBuf> {
    let told = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    if !told.is_some_and(|library| library.is_file()) {
        println!("SKIP: ORT_DYLIB_PATH names no ONNX Runtime");
        return None;
    }
    let labels = "labels = [\"cat\", \"person\"]";
    let model = onnx::brightness(32);
    Some(onnx::write(folder, "bright.onnx", &model, labels))
}

/// A picture of one colour.
pub(crate) fn jpeg(width: u32, height: u32, grey: u8) -> Vec<u8> {
    let picture = RgbImage::from_pixel(width, height, Rgb([grey; 3]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// A PNG that says it is large, and has no pixels.
pub(crate) fn huge_png(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header.as_slice()), (b"IDAT", &[]), (b"IEND", &[])] {
        let chunk = [kind, data].concat();
        png.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        png.extend(&chunk);
        png.extend(crc(&chunk).to_be_bytes());
    }
    png
}

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}

fn analysis(
    detector: Option<PathBuf>,
    faces: Option<PathBuf>,
) -> (Arc<Analysis>, Arc<SimulatedClock>) {
    let clock = Arc::new(SimulatedClock::at(1_767_225_600_000_000));
    let of_all: Arc<dyn Clock> = clock.clone();
    (Arc::new(Analysis::new(detector, faces, &of_all)), clock)
}

fn sought(threshold: f32) -> Sought {
    Sought {
        threshold,
        labels: None,
    }
}

#[test]
fn pictures_are_judged_before_they_are_decoded() {
    let check = |bytes: &[u8], expect: Result<(u32, u32), &str>| {
        let got = Picture::decode(bytes);
        match (got, expect) {
            (Ok(picture), Ok(size)) => assert_eq!((picture.width(), picture.height()), size),
            (Err(error), Err(words)) => {
                assert_eq!(error.kind(), ErrorKind::InvalidArgument);
                assert!(error.message().starts_with("Invalid image: "), "{error}");
                assert!(error.message().contains(words), "{error}");
            }
            (got, expect) => panic!("{got:?} is not {expect:?}"),
        }
    };
    check(&jpeg(40, 30, 9), Ok((40, 30)));
    check(
        &huge_png(30_000, 30_000),
        Err("30000 x 30000 pixels are too many"),
    );
    check(
        &huge_png(8192, 8192),
        Err("8192 x 8192 pixels are too many"),
    );
    check(&huge_png(9000, 1), Err("too many"));
    check(&huge_png(u32::MAX, u32::MAX), Err(""));
    check(&huge_png(0, 5), Err(""));
    check(b"", Err("neither JPEG nor PNG"));
    check(b"GIF89a\x01\x00\x01\x00", Err("neither JPEG nor PNG"));
    check(b"\xff\xd8\xff\xe0garbage", Err(""));
    // The size in the header of a small JPEG is made larger than any picture here.
    let mut large = jpeg(40, 30, 9);
    let at = large.windows(2).position(|it| it == [0xff, 0xc0]).unwrap();
    large[at + 5..at + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
    check(&large, Err("30000 x 30000"));
    // A picture that stops in the middle is answered, one way or the other.
    let half = jpeg(400, 300, 9);
    drop(Picture::decode(&half[..half.len() / 2]));
}

#[test]
fn a_picture_is_shown_upright() {
    let pixels = RgbImage::from_pixel(40, 30, Rgb([9; 3]));
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
    // Orientation 6: to be turned by a quarter.
    let note = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    encoder.set_exif_metadata(note).unwrap();
    encoder
        .write_image(&pixels, 40, 30, ExtendedColorType::Rgb8)
        .unwrap();
    let picture = Picture::decode(&bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (30, 40));
}

#[test]
fn a_model_tells_what_it_sees_in_pixels_of_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let Some(model) = brightness(folder.path()) else {
        return;
    };
    let (analysis, _) = analysis(Some(model), None);
    let eye = analysis.detector.as_ref().unwrap();
    assert_eq!(eye.status(), Status::Closed);
    let white = Picture::decode(&jpeg(320, 160, 255)).unwrap();
    let found = eye.find(&white, &sought(0.1)).unwrap();
    let Status::Open(info) = eye.status() else {
        panic!("{:?}", eye.status());
    };
    assert_eq!(info.labels, ["cat", "person"]);
    assert_eq!((info.input_px, found.len()), ([32, 32], 1));
    // The picture fills the upper half of the input; what lies below it is cut off.
    assert_eq!(found[0].label, "person");
    let [left, top, right, bottom] = found[0].bbox;
    assert_eq!(
        [left, top, right, bottom].map(f32::round),
        [80.0, 120.0, 240.0, 160.0]
    );
    assert!((0.4..=1.0).contains(&found[0].score), "{found:?}");
    let black = Picture::decode(&jpeg(320, 160, 0)).unwrap();
    assert_eq!(eye.find(&black, &sought(0.6)).unwrap(), []);
    let of = |label: &str| Sought {
        threshold: 0.1,
        labels: Some(vec![label.to_owned()]),
    };
    assert_eq!(eye.find(&white, &of("cat")).unwrap(), []);
    let stranger = eye.find(&white, &of("dragon")).unwrap_err();
    assert_eq!(stranger.kind(), ErrorKind::InvalidArgument);
    assert!(stranger.message().contains("use cat, person"), "{stranger}");
    let drawn = Picture::decode(&annotate(&white, &found).unwrap()).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (320, 160));
    let [r, g, b] = drawn.pixels().get_pixel(160, 120).0;
    assert!(
        g > 180 && r < 100 && b < 140,
        "the frame is drawn: {r} {g} {b}"
    );
    assert_eq!(
        drawn.pixels().get_pixel(20, 20).0.map(|it| it / 16),
        [15; 3]
    );
}

#[test]
fn a_model_that_cannot_be_used_says_why_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(model) = brightness(folder.path()) else {
        return;
    };
    let white = Picture::decode(&jpeg(32, 32, 255)).unwrap();
    let later = folder.path().join("later.onnx");
    let (missing, clock) = analysis(Some(later.clone()), Some(model.clone()));
    let eye = missing.detector.as_ref().unwrap();
    let find = || eye.find(&white, &sought(0.5));
    let error = find().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("later.onnx"), "{error}");
    assert!(matches!(eye.status(), Status::Failed(_)));
    // It comes, and is looked for after a while only.
    std::fs::copy(&model, &later).unwrap();
    std::fs::copy(model.with_extension("toml"), later.with_extension("toml")).unwrap();
    assert!(find().is_err());
    clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(find().unwrap().len(), 1);
    // A model of objects does not look for faces.
    let wrong = missing.faces.as_ref().unwrap().open().unwrap_err();
    assert!(
        wrong.message().contains("choose one that detects faces"),
        "{wrong}"
    );
}

#[tokio::test]
async fn few_wait_and_the_rest_is_told_to_come_back() {
    let (analysis, _) = analysis(None, None);
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let first = Arc::clone(&analysis);
    let first = tokio::spawn(async move {
        first
            .run(move |_| {
                assert!(wait.recv().is_err());
                Ok(0)
            })
            .await
    });
    while analysis.turn.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let waiting: Vec<_> = (1..=QUEUE)
        .map(|number| {
            let analysis = Arc::clone(&analysis);
            tokio::spawn(async move { analysis.run(move |_| Ok(number)).await })
        })
        .collect();
    while analysis.places.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let refused = analysis.run(|_| Ok(99)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    drop(go);
    assert_eq!(first.await.unwrap().unwrap(), 0);
    for (number, waited) in waiting.into_iter().enumerate() {
        assert_eq!(waited.await.unwrap().unwrap(), number + 1);
    }
    assert_eq!(analysis.run(|_| Ok(1)).await.unwrap(), 1);
    // A panic is an answer, and gives the turn back.
    let panicked = analysis.run::<()>(|_| panic!("on purpose")).await;
    assert_eq!(panicked.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(analysis.run(|_| Ok(2)).await.unwrap(), 2);
}
