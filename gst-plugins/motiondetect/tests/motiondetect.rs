//! The element in a harness: negotiation, metas, messages, properties, and what a stream may do to it.
#![allow(
    clippy::unwrap_used,
    reason = "allow-unwrap-in-tests does not reach helpers of integration tests"
)]

use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoFormat;
use nvr_contract::Message;
use nvr_contract::gate::SceneChange;
use nvr_contract::motion::{MotionChange, MotionFrame, MotionRegion, MotionState, ZoneLevels};
use nvr_contract::stats;
use nvr_contract::wallclock::WallClock;

const MS: u64 = 1_000_000;
/// Time between pictures, 10 a second.
const STEP: u64 = 100 * MS;
/// Pictures until a background is learned with `learn-time` at one second.
const LEARN: u64 = 14;

fn init() {
    static INIT: std::sync::Once = std::sync::Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstmotiondetect::register_static().unwrap();
    });
}

fn element() -> gst::Element {
    init();
    gst::ElementFactory::make("motiondetect")
        .property("learn-time", 1000 * MS)
        .build()
        .unwrap()
}

fn caps(format: VideoFormat, width: u32, height: u32) -> gst::Caps {
    gst_video::VideoInfo::builder(format, width, height)
        .fps(gst::Fraction::new(10, 1))
        .build()
        .unwrap()
        .to_caps()
        .unwrap()
}

/// A textured wall with, at `object` (pixels), a bright box of a quarter of the height; noise differs between pictures.
fn picture(
    format: VideoFormat,
    (width, height): (u32, u32),
    n: u64,
    object: Option<u32>,
) -> gst::Buffer {
    let info = gst_video::VideoInfo::builder(format, width, height)
        .build()
        .unwrap();
    let mut data = vec![128u8; info.size()];
    let stride = usize::try_from(info.stride()[0]).unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15u64 ^ (n << 17);
    for y in 0..height {
        for x in 0..width {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let wall = 90 + (x * 7 / width.max(1)) * 9 + (y * 5 / height.max(1)) * 6;
            let lit = object.is_some_and(|at| {
                (at..at + height / 4).contains(&x) && (height / 2..height * 3 / 4).contains(&y)
            });
            let value = if lit { 220 } else { wall } + (random >> 61) as u32;
            data[y as usize * stride + x as usize] = u8::try_from(value).unwrap();
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    let fields = buffer.get_mut().unwrap();
    fields.set_pts(gst::ClockTime::from_nseconds(n * STEP));
    fields.set_duration(gst::ClockTime::from_nseconds(STEP));
    buffer
}

const SMALL: (u32, u32) = (160, 96);

struct Bench {
    harness: Harness,
    bus: gst::Bus,
}

impl Bench {
    fn new(element: &gst::Element) -> Self {
        let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        harness.set_src_caps(caps(VideoFormat::Gray8, SMALL.0, SMALL.1));
        harness.play();
        Self { harness, bus }
    }

    /// Pushes picture `n`; the answer is what came out.
    fn push(&mut self, n: u64, object: Option<u32>) -> gst::Buffer {
        self.push_buffer(picture(VideoFormat::Gray8, SMALL, n, object))
    }

    #[track_caller]
    fn push_buffer(&mut self, buffer: gst::Buffer) -> gst::Buffer {
        self.harness.push_and_pull(buffer).unwrap()
    }

    /// An empty scene until the background is learned, then a box that crosses the picture; pictures `0..LEARN + 24`.
    fn cross(&mut self) -> Vec<gst::Buffer> {
        (0..LEARN + 24)
            .map(|n| {
                let object = n
                    .checked_sub(LEARN)
                    .map(|k| 6 * k as u32)
                    .filter(|_| n < LEARN + 20);
                self.push(n, object)
            })
            .collect()
    }

    fn changes(&self) -> Vec<MotionChange> {
        let messages = std::iter::from_fn(|| self.bus.pop());
        messages
            .filter_map(|m| MotionChange::from_message(&m))
            .map(Result::unwrap)
            .collect()
    }

    fn scenes(&mut self) -> Vec<SceneChange> {
        std::iter::from_fn(|| self.harness.try_pull_upstream_event())
            .filter_map(|event| SceneChange::from_event(&event))
            .collect()
    }
}

fn moving(buffer: &gst::Buffer) -> bool {
    MotionFrame::of_buffer(buffer).unwrap().moving
}

#[test]
fn a_crossing_box_is_reported_everywhere() {
    let element = element();
    element.set_property(
        "zones",
        "left=0,0 0.5,0 0.5,1 0,1; right=0.5,0 1,0 1,1 0.5,1; sky=0,0 1,0 1,0.2 0,0.2",
    );
    let mut bench = Bench::new(&element);
    let anchor = WallClock {
        pts_ns: 0,
        unix_us: 1_700_000_000_000_000,
    };
    bench.harness.push_event(anchor.to_event());
    let pictures = bench.cross();
    let facts: Vec<MotionFrame> = pictures
        .iter()
        .map(|b| MotionFrame::of_buffer(b).unwrap())
        .collect();
    let learned = facts.iter().position(|f| !f.learning).unwrap() as u64;
    assert!(
        (10..=LEARN).contains(&learned),
        "learned at picture {learned}"
    );
    let first = facts.iter().position(|f| f.moving).unwrap() as u64;
    assert!(
        (LEARN..LEARN + 4).contains(&first),
        "moves from picture {first}"
    );
    for (n, buffer) in pictures.iter().enumerate() {
        let regions = MotionRegion::all_of_buffer(buffer);
        assert_eq!(facts[n].moving, !regions.is_empty());
        assert_eq!(facts[n].moving, facts[n].level > 0.0);
        if let Some(k) = (n as u64)
            .checked_sub(first)
            .filter(|_| (n as u64) < LEARN + 16)
        {
            let truth = nvr_contract::BBox::from_pixels(
                (6 * (first - LEARN + k) as u32, 48, 24, 24),
                SMALL.0,
                SMALL.1,
            );
            let best = regions
                .iter()
                .map(|r| r.bbox.iou(truth))
                .fold(0.0, f64::max);
            assert!(best >= 0.3, "picture {n}: {best} {regions:?}");
            assert!(
                regions.iter().all(|r| !r.zones.contains(&"sky".to_owned())),
                "{regions:?}"
            );
            assert!(regions.iter().all(|r| (0.0..=1.0).contains(&r.score)));
        }
    }
    bench.harness.push_event(gst::event::Eos::new());
    let changes = bench.changes();
    let last = facts.iter().rposition(|f| f.moving).unwrap() as u64;
    assert_eq!(
        changes.iter().map(|c| c.state).collect::<Vec<_>>(),
        [MotionState::Started, MotionState::Finished]
    );
    assert_eq!(
        [changes[0].pts_ns, changes[1].pts_ns],
        [first * STEP, last * STEP]
    );
    assert_eq!(changes[0].unix_us, Some(anchor.unix_us_of(first * STEP)));
    assert_eq!(changes[0].zones, ["left"]);
    assert_eq!(changes[1].zones, ["left", "right"]);
    assert!(changes[1].level >= changes[0].level);
    let scenes = bench.scenes();
    assert_eq!(
        scenes.iter().map(|s| s.moving).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(scenes[0].pts_ns, first * STEP);
}

#[test]
fn zones_only_and_masks_leave_regions_out() {
    let check = |zones: &str, zones_only: bool, masks: &str, expect: bool| {
        let element = element();
        element.set_property("zones", zones);
        element.set_property("zones-only", zones_only);
        element.set_property("masks", masks);
        let seen = Bench::new(&element).cross().iter().any(moving);
        assert_eq!(seen, expect, "{zones:?} {zones_only} {masks:?}");
    };
    let (sky, ground) = ("sky=0,0 1,0 1,0.3 0,0.3", "0,0.4 1,0.4 1,1 0,1");
    check(sky, false, "", true);
    check(sky, true, "", false);
    check("", true, "", true);
    check("", false, ground, false);
    check("", false, "0,0 1,0 1,0.3 0,0.3", true);
}

#[test]
fn each_zone_has_a_level() {
    let element = element();
    element.set_property("zones", "left=0,0 0.5,0 0.5,1 0,1; sky=0,0 1,0 1,0.2 0,0.2");
    let pictures = Bench::new(&element).cross();
    let (mut seen, mut gone) = (false, false);
    for buffer in &pictures {
        let ZoneLevels(levels) = ZoneLevels::of_buffer(buffer);
        let names: Vec<&str> = levels.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["left", "sky"]);
        assert_eq!(levels[1].1, 0.0, "nothing moves in the sky");
        // The box covers 24x24 of the zone's 80x96 pixels, its rim touches some cells more.
        seen |= (0.05..0.2).contains(&levels[0].1);
        // In the right half it moves, but in no zone.
        gone |= moving(buffer) && levels[0].1 == 0.0;
        assert!(levels[0].1 < 0.2, "{levels:?}");
    }
    assert!(seen && gone);
}

#[test]
fn what_is_too_large_is_left_out() {
    for (max_area, expect) in [(1.0, true), (0.2, true), (0.01, false)] {
        let element = element();
        element.set_property("max-area", max_area);
        let seen = Bench::new(&element).cross().iter().any(moving);
        assert_eq!(seen, expect, "{max_area}");
    }
}

#[test]
fn the_overlay_is_drawn_and_can_be_switched_while_it_plays() {
    let element = element();
    element.set_property("zones", "left=0,0 0.5,0 0.5,1 0,1");
    let mut bench = Bench::new(&element);
    bench.cross();
    for (format, n) in [
        (VideoFormat::Gray8, 50),
        (VideoFormat::Nv12, 51),
        (VideoFormat::I420, 52),
    ] {
        bench.harness.set_src_caps(caps(format, SMALL.0, SMALL.1));
        let plain = picture(format, SMALL, n, Some(60));
        for on in [true, false] {
            element.set_property("debug-overlay", on);
            // Another owner keeps the picture as it was.
            let buffer = plain.clone();
            let out = bench.push_buffer(buffer);
            let (out, plain) = (out.map_readable().unwrap(), plain.map_readable().unwrap());
            let luma = (SMALL.0 * SMALL.1) as usize;
            assert_eq!(out[..luma] != plain[..luma], on, "{format:?}");
            assert_eq!(out[luma..], plain[luma..], "chroma stays");
        }
    }
}

#[test]
fn a_bad_text_keeps_the_old_value_and_names_the_property() {
    for (property, good) in [("masks", "0,0 1,0 1,1"), ("zones", "a=0,0 1,0 1,1")] {
        let element = element();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        element.set_property(property, good);
        element.set_property(property, "a=rubbish");
        assert_eq!(element.property::<String>(property), good);
        assert!(element.set_state(gst::State::Paused).is_err());
        let error = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = error.view() else {
            unreachable!()
        };
        assert!(error.error().to_string().contains(property), "{error:?}");
        element.set_state(gst::State::Null).unwrap();
        element.set_property(property, good);
        element.set_state(gst::State::Paused).unwrap();
        element.set_property(property, "a=rubbish");
        let warning = bus.pop_filtered(&[gst::MessageType::Warning]).unwrap();
        let gst::MessageView::Warning(warning) = warning.view() else {
            unreachable!()
        };
        assert!(
            warning.error().to_string().contains(property),
            "{warning:?}"
        );
        assert_eq!(element.property::<String>(property), good);
        // A refusal while it ran does not keep it from starting again.
        element.set_state(gst::State::Null).unwrap();
        element.set_state(gst::State::Paused).unwrap();
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn every_format_and_size_passes_without_a_copy() {
    init();
    let sizes = [(16, 16), (17, 19), (33, 500), (161, 97), (641, 361)];
    for format in [VideoFormat::Gray8, VideoFormat::I420, VideoFormat::Nv12] {
        let mut bench = Bench::new(&element());
        for (round, size) in sizes.into_iter().enumerate() {
            bench.harness.set_src_caps(caps(format, size.0, size.1));
            for n in 0..5 {
                let buffer = picture(format, size, round as u64 * 5 + n, None);
                let address = buffer.map_readable().unwrap().as_ptr();
                // Another owner: the buffer cannot be written in place, its memory must still not be copied.
                let other = buffer.clone();
                let out = bench.push_buffer(buffer);
                assert_eq!(out.map_readable().unwrap().as_ptr(), address);
                assert!(
                    MotionFrame::of_buffer(&out).unwrap().learning,
                    "{format:?} {size:?} {n}"
                );
                assert!(MotionFrame::of_buffer(&other).is_none());
            }
        }
    }
}

#[test]
fn strides_of_a_video_meta_are_followed() {
    let mut bench = Bench::new(&element());
    let (width, height) = SMALL;
    let mut seen = false;
    for n in 0..LEARN + 12 {
        let plain = picture(
            VideoFormat::Gray8,
            SMALL,
            n,
            n.checked_sub(LEARN).map(|k| 6 * k as u32),
        );
        let (stride, offset) = (width as usize + 37, 11);
        let mut data = vec![(n * 31 % 256) as u8; offset + stride * height as usize];
        let map = plain.map_readable().unwrap();
        for (to, from) in data[offset..]
            .chunks_mut(stride)
            .zip(map.chunks(width as usize))
        {
            to[..width as usize].copy_from_slice(from);
        }
        let mut buffer = gst::Buffer::from_mut_slice(data);
        let fields = buffer.get_mut().unwrap();
        fields.set_pts(plain.pts());
        gst_video::VideoMeta::add_full(
            fields,
            gst_video::VideoFrameFlags::empty(),
            VideoFormat::Gray8,
            width,
            height,
            &[offset],
            &[stride as i32],
        )
        .unwrap();
        let out = bench.push_buffer(buffer);
        // The padding changes with every picture: only who reads it sees motion everywhere.
        assert!(MotionFrame::of_buffer(&out).unwrap().level < 0.2);
        seen |= moving(&out);
    }
    assert!(seen);
}

#[test]
fn time_may_jump_and_stop() {
    let mut bench = Bench::new(&element());
    bench.cross();
    bench.changes();
    let at = |bench: &mut Bench,
              pts: Option<u64>,
              n: u64,
              object: Option<u32>,
              flags: gst::BufferFlags| {
        let mut buffer = picture(VideoFormat::Gray8, SMALL, n, object);
        let fields = buffer.get_mut().unwrap();
        fields.set_pts(pts.map(gst::ClockTime::from_nseconds));
        fields.set_flags(flags);
        bench.push_buffer(buffer)
    };
    // Backwards, far ahead, without a time stamp: the background stays, nothing moves.
    let times = [
        Some(5),
        Some(105),
        None,
        Some(90_000),
        Some(90_100),
        Some(200),
        Some(200),
        Some(300),
    ];
    for (n, ms) in times.into_iter().enumerate() {
        let out = at(
            &mut bench,
            ms.map(|ms| ms * MS),
            100 + n as u64,
            None,
            gst::BufferFlags::DISCONT,
        );
        let fact = MotionFrame::of_buffer(&out).unwrap();
        assert!(!fact.moving && !fact.learning, "{ms:?}");
    }
    bench.harness.push_event(gst::event::FlushStart::new());
    bench.harness.push_event(gst::event::FlushStop::new(true));
    bench
        .harness
        .push_event(gst::event::Segment::new(&gst::FormattedSegment::<
            gst::ClockTime,
        >::new()));
    let out = bench.push(3, None);
    assert!(!MotionFrame::of_buffer(&out).unwrap().learning);
    // And motion is still found, once more from the start.
    let seen = (4..20)
        .filter(|&n| moving(&bench.push(n, Some(6 * n as u32))))
        .count();
    assert!(seen >= 10, "{seen}");
    bench.harness.push_event(gst::event::Eos::new());
    let states: Vec<MotionState> = bench.changes().iter().map(|c| c.state).collect();
    // What crossed first was still held when time jumped.
    assert_eq!(
        states,
        [
            MotionState::Finished,
            MotionState::Started,
            MotionState::Finished
        ]
    );
}

#[test]
fn a_short_picture_is_an_error_and_no_panic() {
    for size in [0, 1, 160 * 95] {
        let mut bench = Bench::new(&element());
        bench.push(0, None);
        let flow = bench
            .harness
            .push(gst::Buffer::from_mut_slice(vec![0u8; size]));
        assert_eq!(flow, Err(gst::FlowError::Error), "{size} bytes");
        let error = bench.bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = error.view() else {
            unreachable!()
        };
        assert!(error.error().to_string().contains("shorter"), "{error:?}");
    }
}

#[test]
fn gaps_and_a_disabled_element_leave_pictures_alone() {
    let element = element();
    let mut bench = Bench::new(&element);
    bench.cross();
    let mut gap = picture(VideoFormat::Gray8, SMALL, 60, Some(40));
    gap.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
    assert!(MotionFrame::of_buffer(&bench.push_buffer(gap)).is_none());
    element.set_property("enabled", false);
    assert!(MotionFrame::of_buffer(&bench.push(61, None)).is_none());
    let stats: gst::Structure = element.property("stats");
    let field = |name: &str| stats.get::<u64>(name).unwrap();
    assert_eq!(field(stats::FRAMES_IN), LEARN + 26);
    assert_eq!(field(stats::FRAMES_PROCESSED), LEARN + 24);
    assert!(field(stats::AVG_LATENCY_NS) > 0);
    element.set_property("enabled", true);
    assert!(
        MotionFrame::of_buffer(&bench.push(62, None))
            .unwrap()
            .learning
    );
}

#[test]
fn disabling_ends_motion_that_is_open() {
    let element = element();
    let mut bench = Bench::new(&element);
    for n in 0..LEARN + 10 {
        bench.push(n, n.checked_sub(LEARN).map(|k| 6 * k as u32));
    }
    element.set_property("enabled", false);
    bench.push(LEARN + 10, None);
    let states: Vec<MotionState> = bench.changes().iter().map(|c| c.state).collect();
    assert_eq!(states, [MotionState::Started, MotionState::Finished]);
}

#[test]
fn the_background_can_be_reset() {
    let element = element();
    let mut bench = Bench::new(&element);
    bench.cross();
    assert!(
        !MotionFrame::of_buffer(&bench.push(50, None))
            .unwrap()
            .learning
    );
    element.emit_by_name::<()>("reset-background", &[]);
    assert!(
        MotionFrame::of_buffer(&bench.push(51, None))
            .unwrap()
            .learning
    );
}

#[test]
fn it_starts_and_stops_any_number_of_times() {
    init();
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("videotestsrc")
        .property("num-buffers", 20)
        .build()
        .unwrap();
    let sink = gst::ElementFactory::make("fakesink").build().unwrap();
    let elements = [&source, &element(), &sink];
    pipeline.add_many(elements).unwrap();
    gst::Element::link_many(elements).unwrap();
    for _ in 0..5 {
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let message = bus.timed_pop_filtered(
            gst::ClockTime::from_seconds(20),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        assert_eq!(message.unwrap().type_(), gst::MessageType::Eos);
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn surface() {
    let element = element();
    let factory = element.factory().unwrap();
    let mut text = String::new();
    for property in element.list_properties() {
        if property.owner_type() != element.type_() {
            continue;
        }
        // A structure without a value has no text.
        let default = match property.value_type() == gst::Structure::static_type() {
            true => "-".to_owned(),
            false => property.default_value().serialize().unwrap().to_string(),
        };
        let access = match (
            property.flags(),
            property.flags().bits() & gst::PARAM_FLAG_MUTABLE_PLAYING.bits() != 0,
        ) {
            (flags, _) if !flags.contains(gst::glib::ParamFlags::WRITABLE) => "read only",
            (_, true) => "playing",
            (_, false) => "null",
        };
        text += &format!(
            "{}: {} = {default}, {access}: {}\n",
            property.name(),
            property.value_type(),
            property.blurb().unwrap()
        );
    }
    for template in factory.static_pad_templates() {
        text += &format!("{}: {}\n", template.name_template(), template.caps());
    }
    expect_test::expect![[r#"
        enabled: gboolean = true, playing: Look for motion; when off, pictures pass untouched and the background is forgotten
        sensitivity: gdouble = 0.5, playing: From 0 (strong contrasts only) to 1 (faint ones too)
        min-area: gdouble = 0, playing: Smallest moving region, as the share of the picture that its moving cells cover (0 = four cells)
        max-area: gdouble = 1, playing: Largest moving region, as the share of the picture that its moving cells cover
        masks: gchararray = "", playing: Parts that are not looked at: polygons in shares of the picture, '0,0 0.3,0 0.3,0.1; ...'
        zones: gchararray = "", playing: Named parts: polygons in shares of the picture, 'door=0.1,0.2 0.5,0.2 0.5,0.9; ...'
        zones-only: gboolean = false, playing: Leave out motion that touches no zone; without zones nothing is left out
        confirm: guint64 = 130000000, playing: Activity after which a region counts as moving, at least two pictures (ns)
        hold-time: guint64 = 500000000, playing: Time for which a region that stands still, and motion as a whole, go on to count (ns)
        learn-time: guint64 = 4000000000, playing: Time at the start for which the background is learned and nothing reported, longer below 11 pictures a second (ns)
        absorb-time: guint64 = 12000000000, playing: Time for which something that came to stay must stand still before it belongs to the background (ns)
        debug-overlay: gboolean = false, playing: Draw cells, background, masks, zones and regions into the luma plane; a picture that others hold too is copied for it
        stats: GstStructure = -, read only: Pictures that came in and were looked at, and the time that one takes (ns)
        sink: video/x-raw, format=(string){ GRAY8, I420, NV12 }, width=(int)[ 16, 2147483647 ], height=(int)[ 16, 2147483647 ], framerate=(fraction)[ 0/1, 2147483647/1 ]
        src: video/x-raw, format=(string){ GRAY8, I420, NV12 }, width=(int)[ 16, 2147483647 ], height=(int)[ 16, 2147483647 ], framerate=(fraction)[ 0/1, 2147483647/1 ]
    "#]].assert_eq(&text);
}
