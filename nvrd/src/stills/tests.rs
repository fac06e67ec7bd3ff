//! Recordings made by the recorder, for the tests of what shows them.

use std::path::{Path, PathBuf};

use gst::prelude::*;
use nvr_base::SimulatedClock;
use nvr_mp4::inspect::inspect;
use nvr_store::SegmentRow;

use super::*;

pub(crate) const SECOND_US: i64 = 1_000_000;

/// Records four seconds of a ball with a key frame each second; `None`, and a line, where an element is missing.
pub(crate) fn record(folder: &Path) -> Option<PathBuf> {
    crate::plugins::register().unwrap();
    for needed in ["x264enc", "avdec_h264"] {
        if gst::ElementFactory::find(needed).is_none() {
            println!("SKIP: {needed} is not installed");
            return None;
        }
    }
    #[expect(clippy::disallowed_methods, reason = "a test's own graph")]
    let pipeline = gst::parse::launch(
        "videotestsrc num-buffers=100 pattern=ball ! video/x-raw,width=320,height=180,framerate=25/1 \
         ! x264enc key-int-max=25 bframes=2 option-string=scenecut=0 ! h264parse ! segmentrecorder name=out",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let out = pipeline.by_name("out").unwrap();
    out.set_property("location", folder.display().to_string());
    pipeline.set_state(gst::State::Playing).unwrap();
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let last = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(60), &types)
        .unwrap();
    assert_eq!(last.type_(), gst::MessageType::Eos, "{last:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    let day = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    let file = std::fs::read_dir(day.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    Some(file.path())
}

/// The row of a recording of `front` as if it had begun at `start_us`.
pub(crate) fn row_of(storage: &Storage, store: &Store, file: &Path, start_us: i64) -> SegmentRow {
    let found = inspect(file).unwrap();
    let (_, path) = storage.relative(file).unwrap();
    SegmentRow {
        id: store.new_id(),
        camera: "front".to_owned(),
        path: path.display().to_string(),
        start_us,
        end_us: start_us + i64::try_from(found.duration_ns / 1000).unwrap(),
        frames: found.frames,
        bytes: found.file_bytes,
        codec: found.codec,
        width: found.width,
        height: found.height,
        blake3: None,
        discont: false,
        keyframes: found
            .keyframes
            .iter()
            .map(|key| (key.offset_ns, key.byte))
            .collect(),
        storage: String::new(),
        protected: false,
        audio: None,
    }
}

pub(crate) struct World {
    pub(crate) stills: Stills,
    storage: Arc<Storage>,
    store: Store,
    pub(crate) file: PathBuf,
    _folder: tempfile::TempDir,
}

/// One recording of `front`, not listed.
fn world() -> Option<World> {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(Storage::open(folder.path()).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::at(4_000_000_000 * SECOND_US));
    let store = Store::open(&storage.database(), Arc::clone(&clock)).unwrap();
    let file = record(&storage.recordings_of(&"front".parse().unwrap()))?;
    Some(World {
        stills: Stills::new(Arc::clone(&storage), store.clone(), clock),
        storage,
        store,
        file,
        _folder: folder,
    })
}

/// One recording of `front`, listed as if it had begun at `start_us`.
pub(crate) fn listed(start_us: i64) -> Option<World> {
    let world = world()?;
    let row = row_of(&world.storage, &world.store, &world.file, start_us);
    world.store.insert_segment(&row).unwrap();
    Some(world)
}

fn exact(unix_us: i64) -> Instant {
    Instant {
        unix_us,
        exact: true,
        height: None,
    }
}

#[test]
fn a_moment_is_found_in_the_segment_that_holds_it() {
    let Some(world) = world() else { return };
    let start_us = 1_000 * SECOND_US;
    let row = row_of(&world.storage, &world.store, &world.file, start_us);
    world.store.insert_segment(&row).unwrap();
    let check = |unix_us: i64, expect: Option<i64>| {
        let source = world.stills.source("front", unix_us);
        let picture = source.and_then(|source| {
            assert_eq!(source.segment.as_ref(), Some(&row.id));
            world.stills.picture(&source, exact(unix_us))
        });
        let got = picture.ok().map(|picture| picture.unix_us - start_us);
        assert_eq!(got, expect, "{}", unix_us - start_us);
    };
    check(start_us - 1, None);
    check(start_us, Some(0));
    check(start_us + 39_999, Some(0));
    check(start_us + 40_000, Some(40_000));
    check(start_us + 1_510_000, Some(1_480_000));
    // The last picture stands a little longer than it says.
    check(start_us + 4 * SECOND_US + 49_999, Some(3_960_000));
    check(start_us + 4 * SECOND_US + 50_000, None);
    let key = Instant {
        exact: false,
        ..exact(start_us + 1_510_000)
    };
    let source = world.stills.source("front", key.unix_us).unwrap();
    let picture = world.stills.picture(&source, key).unwrap();
    assert_eq!(picture.unix_us, start_us + SECOND_US);

    std::fs::remove_file(&world.file).unwrap();
    let error = world.stills.picture(&source, key).unwrap_err();
    assert_eq!(error.message(), "the file of this segment has gone");
}

#[test]
fn what_is_being_written_is_shown_as_far_as_it_is_whole() {
    let Some(world) = world() else { return };
    let whole = std::fs::read(&world.file).unwrap();
    std::fs::write(&world.file, &whole[..whole.len() * 2 / 3]).unwrap();
    let open = world
        .stills
        .open_source(&"front".parse().unwrap())
        .unwrap()
        .unwrap();
    assert!((SECOND_US..4 * SECOND_US).contains(&(open.end_us - open.start_us)));
    let last = open.end_us - 1;
    let source = world.stills.source("front", last).unwrap();
    assert_eq!((&source, source.segment.as_ref()), (&open, None));
    let picture = world.stills.picture(&source, exact(last)).unwrap();
    assert_eq!(picture.unix_us, open.end_us - 40_000);
    let error = world.stills.source("front", open.end_us).unwrap_err();
    assert!(
        error
            .message()
            .contains("it is not on disk yet; what is before it ends at"),
        "{error}"
    );

    // Nothing whole yet, then nothing at all.
    std::fs::write(&world.file, &whole[..30]).unwrap();
    assert_eq!(
        world.stills.open_source(&"front".parse().unwrap()).unwrap(),
        None
    );
    std::fs::remove_file(&world.file).unwrap();
    let error = world.stills.source("front", last).unwrap_err();
    assert!(
        error.message().ends_with("nothing of it is recorded"),
        "{error}"
    );
}

#[test]
fn a_missing_moment_says_why_and_what_is_near() {
    let Some(world) = world() else { return };
    for second in [1000, 2000] {
        let mut row = row_of(
            &world.storage,
            &world.store,
            &world.file,
            second * SECOND_US,
        );
        row.path = format!("front/{second}.mp4");
        world.store.insert_segment(&row).unwrap();
    }
    std::fs::remove_file(&world.file).unwrap();
    let gap = |reason, from: i64, to: i64, detail| {
        let (from, to) = (from * SECOND_US, Some(to * SECOND_US));
        world
            .store
            .add_gap("front", reason, from, to, detail)
            .unwrap()
    };
    gap("source_lost", 1004, 1500, Some("no route to host"));
    gap("paused", 1500, 1600, None);
    let check = |second: i64, expect: &str| {
        let error = world
            .stills
            .source("front", second * SECOND_US)
            .unwrap_err();
        assert_eq!(
            error.message(),
            format!("camera \"front\" has no picture at {second}.000000: {expect}")
        );
    };
    let both = "what is before it ends at 1004.000000 and what is after it begins at 2000.000000";
    check(1200, &format!("source_lost (no route to host); {both}"));
    check(1550, &format!("paused; {both}"));
    check(1700, &format!("the reason is unknown; {both}"));
    check(
        500,
        "the reason is unknown; what is after it begins at 1000.000000",
    );
    check(
        5_000_000_000,
        "that moment has not come yet; what is before it ends at 2004.000000",
    );
}

#[test]
fn a_sheet_has_a_key_frame_for_each_moment_that_is_recorded() {
    let Some(world) = world() else { return };
    let start_us = 1_000 * SECOND_US;
    let row = row_of(&world.storage, &world.store, &world.file, start_us);
    world.store.insert_segment(&row).unwrap();
    let request = SpriteRequest {
        start_us: start_us - 4 * SECOND_US,
        end_us: start_us + 4 * SECOND_US,
        count: 8,
        columns: 4,
        height: 90,
    };
    let sprite = world.stills.sprite("front", request).unwrap();
    let times: Vec<Option<i64>> = sprite
        .cells
        .iter()
        .map(|cell| Some((cell.pick.as_ref()?.unix_us - start_us) / SECOND_US))
        .collect();
    assert_eq!(times[..4], [None; 4]);
    // Half a second is as near to either; no moment is further than that from its key frame.
    assert!(times[4..].iter().all(Option::is_some), "{times:?}");
    for cell in &sprite.cells[4..] {
        let distance = cell.pick.as_ref().unwrap().unix_us - cell.wanted_us;
        assert!(distance.abs() <= SECOND_US / 2, "{distance}");
    }
    let (jpeg, filled) = world.stills.sheet(&sprite).unwrap();
    assert_eq!(filled, [false, false, false, false, true, true, true, true]);
    assert!(jpeg.starts_with(&[0xff, 0xd8]));
    assert_eq!((sprite.width, sprite.request.rows()), (160, 2));

    let before = SpriteRequest {
        start_us: 0,
        end_us: SECOND_US,
        ..request
    };
    let error = world.stills.sprite("front", before).unwrap_err();
    assert!(
        error
            .message()
            .contains("what is after it begins at 1000.000000"),
        "{error}"
    );
}

#[test]
fn thumbnails_are_made_once_and_go_with_their_owner() {
    let Some(world) = world() else { return };
    let row = row_of(&world.storage, &world.store, &world.file, 1_000 * SECOND_US);
    world.store.insert_segment(&row).unwrap();
    assert_eq!(world.stills.kept_of_segment(&row), None);
    let jpeg = world.stills.thumbnail_of_segment(&row).unwrap();
    assert_eq!(world.stills.kept_of_segment(&row), Some(jpeg.clone()));
    // Kept on disk: the recording is not asked again.
    std::fs::remove_file(&world.file).unwrap();
    let again = Stills::new(
        Arc::clone(&world.storage),
        world.store.clone(),
        Arc::clone(&world.stills.clock),
    );
    assert_eq!(again.kept_of_segment(&row), Some(jpeg));
    forget_segment(&world.storage, &row.id);
    assert_eq!(again.kept_of_segment(&row), None);
    forget_segment(&world.storage, "../../nvrd");
}
