//! What the decoding pipeline gives, and what becomes of one that does not answer.

use super::*;

fn picture(pts_ms: u64, byte: u8) -> Result<gst::Buffer> {
    let mut buffer = gst::Buffer::from_slice([byte; 64]);
    let changed = buffer.get_mut().unwrap();
    changed.set_pts(gst::ClockTime::from_mseconds(pts_ms));
    Ok(buffer)
}

fn h264() -> gst::Caps {
    gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .build()
}

#[test]
fn only_what_is_wanted_comes_out_and_then_it_ends() {
    gst::init().unwrap();
    let mut got = Vec::new();
    // Endless: it ends because everything wanted has come.
    let endless = (0..).map(|n| picture(n * 40, n as u8));
    let wanted = [80, 40_000].map(gst::ClockTime::from_mseconds);
    let stand_in = gst::ElementFactory::make("identity").build().unwrap();
    run(
        stand_in,
        &h264(),
        endless,
        &wanted,
        Shape::Raw,
        DEADLINE,
        |sample| {
            got.push(bytes_of(&sample)?[0]);
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(got, [2, 232]);
}

#[test]
fn a_decoder_that_hangs_is_left_behind() {
    gst::init().unwrap();
    let hanging = gst::ElementFactory::make("identity")
        .property("sleep-time", 3_000_000_u32)
        .build()
        .unwrap();
    let start = Instant::now();
    let limit = Duration::from_millis(100);
    let wanted = [gst::ClockTime::ZERO];
    let result = run(
        hanging,
        &h264(),
        std::iter::once(picture(0, 0)),
        &wanted,
        Shape::Raw,
        limit,
        |_| Ok(()),
    );
    assert_eq!(result.unwrap_err().message(), "decoding took too long");
    assert!(start.elapsed() < Duration::from_millis(2500));
}

#[test]
fn what_cannot_be_decoded_is_an_error_and_no_crash() {
    gst::init().unwrap();
    if gst::ElementFactory::find("avdec_h264").is_none() {
        println!("SKIP: avdec_h264 is not installed");
        return;
    }
    let mut pictures = 0;
    let wanted = [gst::ClockTime::ZERO];
    let shape = Shape::Jpeg(Size::Own);
    let noise = (0..100).map(|n| picture(n * 40, (n * 37) as u8));
    // Some noise fails, some gives nothing: neither gives a picture.
    let result = decode(&h264(), noise, &wanted, shape, DEADLINE, |_| {
        pictures += 1;
        Ok(())
    });
    assert_eq!(pictures, 0, "{result:?}");
    let vp8 = gst::Caps::new_empty_simple("video/x-vp8");
    let none = std::iter::empty();
    let error = decode(&vp8, none, &wanted, shape, DEADLINE, |_| Ok(())).unwrap_err();
    assert_eq!(error.message(), "no decoder is known for video/x-vp8");
}
