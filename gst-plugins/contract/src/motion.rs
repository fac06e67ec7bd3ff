//! Motion: a fact of the whole frame (custom meta), regions of it (ROI metas), and started / finished on the bus.

use crate::BBox;
use crate::detection::ROI_LIST_LIMIT;
use crate::fields::{self, FieldError, Message, words};

/// What `motiondetect` says of every picture it looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct MotionFrame {
    /// Whether confirmed motion is in the picture (after confirm and hold times).
    pub moving: bool,
    /// Share (0..1) of the picture's cells that move.
    pub level: f64,
    /// Whether the background is still being learned; `moving` is false as long.
    pub learning: bool,
}

/// Which share (0..1) of each zone's cells moves, by the zone's name; part of what `motiondetect` says of every picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZoneLevels(pub Vec<(String, f64)>);

/// A part of the picture that moves.
#[derive(Debug, Clone, PartialEq)]
pub struct MotionRegion {
    /// Where.
    pub bbox: BBox,
    /// How sure, 0..1.
    pub score: f64,
    /// Names of the zones that it touches.
    pub zones: Vec<String>,
}

const FRAME: &str = "NvrdMotionFrameMeta";
const ROI_TYPE: &str = "motion";
const REGION: &str = "nvrd-motion-region";
const MOVING: &str = "moving";
const LEVEL: &str = "level";
const LEARNING: &str = "learning";
const SCORE: &str = "score";
const ZONES: &str = "zones";
const BOX: &str = "box";
const ZONE_LEVELS: &str = "zone-levels";

fn ensure_registered() {
    // Two plugins of one process each carry this crate: the registry, not a static, knows.
    if !gst::meta::CustomMeta::is_registered(FRAME) {
        gst::meta::CustomMeta::register(FRAME, &[]);
    }
}

impl MotionFrame {
    /// Puts the fact on a picture.
    pub fn attach(&self, buffer: &mut gst::BufferRef) {
        ensure_registered();
        if let Ok(mut meta) = gst::meta::CustomMeta::add(buffer, FRAME) {
            let s = meta.mut_structure();
            s.set(MOVING, self.moving);
            s.set(LEVEL, self.level);
            s.set(LEARNING, self.learning);
        }
    }

    /// The fact on a picture, `None` when no `motiondetect` looked at it.
    pub fn of_buffer(buffer: &gst::BufferRef) -> Option<Self> {
        ensure_registered();
        let meta = gst::meta::CustomMeta::from_buffer(buffer, FRAME).ok()?;
        let s = meta.structure();
        Some(Self {
            moving: s.get(MOVING).ok()?,
            level: s.get(LEVEL).ok()?,
            learning: s.get(LEARNING).ok()?,
        })
    }
}

impl ZoneLevels {
    /// Adds the levels to the [`MotionFrame`] on a picture; without one, or without zones, nothing is added.
    pub fn attach(&self, buffer: &mut gst::BufferRef) {
        ensure_registered();
        if self.0.is_empty() {
            return;
        }
        if let Ok(mut meta) = gst::meta::CustomMeta::from_mut_buffer(buffer, FRAME) {
            let (names, levels): (Vec<String>, Vec<f64>) = self.0.iter().cloned().unzip();
            let s = meta.mut_structure();
            s.set(ZONES, fields::string_array(&names));
            s.set(ZONE_LEVELS, gst::Array::new(levels));
        }
    }

    /// The levels on a picture, none where no `motiondetect` looked at it or it had no zones.
    pub fn of_buffer(buffer: &gst::BufferRef) -> Self {
        ensure_registered();
        let Ok(meta) = gst::meta::CustomMeta::from_buffer(buffer, FRAME) else {
            return Self::default();
        };
        let s = meta.structure();
        let levels = s.get::<gst::Array>(ZONE_LEVELS).ok();
        let levels = levels.iter().flat_map(|array| array.iter());
        let levels = levels.filter_map(|value| value.get::<f64>().ok());
        Self(fields::strings(s, ZONES).into_iter().zip(levels).collect())
    }
}

impl MotionRegion {
    /// Puts the region on a picture of `width` by `height` pixels.
    pub fn attach(&self, buffer: &mut gst::BufferRef, width: u32, height: u32) {
        let mut meta = gst_video::VideoRegionOfInterestMeta::add(
            buffer,
            ROI_TYPE,
            self.bbox.to_pixels(width, height),
        );
        meta.add_param(
            gst::Structure::builder(REGION)
                .field(SCORE, self.score)
                .field(BOX, gst::Array::new(self.bbox.to_array()))
                .field(ZONES, fields::string_array(&self.zones))
                .build(),
        );
    }

    /// The regions on a picture.
    pub fn all_of_buffer(buffer: &gst::BufferRef) -> Vec<Self> {
        buffer
            .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
            .filter_map(|meta| {
                let s = meta.param(REGION)?;
                Some(Self {
                    bbox: box_of(s, BOX)?,
                    score: s.get(SCORE).ok()?,
                    zones: fields::strings(s, ZONES),
                })
            })
            .take(ROI_LIST_LIMIT)
            .collect()
    }
}

pub(crate) fn box_of(s: &gst::StructureRef, field: &str) -> Option<BBox> {
    let array = s.get::<gst::Array>(field).ok()?;
    let v: Vec<f64> = array.iter().filter_map(|value| value.get().ok()).collect();
    let [x, y, w, h] = v.try_into().ok()?;
    Some(BBox { x, y, w, h })
}

words! {
    /// Whether motion began or ended.
    pub enum MotionState {
        /// Confirmed motion began.
        Started = "started",
        /// It ended, the hold time is over.
        Finished = "finished",
    }
}

/// Posted by `motiondetect` when motion starts or finishes.
#[derive(Debug, Clone, PartialEq)]
pub struct MotionChange {
    /// What happened.
    pub state: MotionState,
    /// PTS of the first (started) or last (finished) moving picture, nanoseconds.
    pub pts_ns: u64,
    /// Wall time of it, microseconds since 1970-01-01 UTC; absent without a wall-clock anchor.
    pub unix_us: Option<i64>,
    /// Share (0..1) of the picture that moves; the peak, when finished.
    pub level: f64,
    /// Names of the zones touched.
    pub zones: Vec<String>,
}

const STATE: &str = "state";
const PTS: &str = "pts";
const UNIX_US: &str = "unix-us";

impl Message for MotionChange {
    const NAME: &'static str = "nvrd-motion";

    fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(Self::NAME)
            .field(STATE, self.state.as_str())
            .field(PTS, self.pts_ns)
            .field_if_some(UNIX_US, self.unix_us)
            .field(LEVEL, self.level)
            .field(ZONES, fields::string_array(&self.zones))
            .build()
    }

    fn try_from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        fields::expect_name(s, Self::NAME)?;
        Ok(Self {
            state: fields::word(s, Self::NAME, STATE, MotionState::from_word)?,
            pts_ns: fields::required(s, Self::NAME, PTS)?,
            unix_us: s.get(UNIX_US).ok(),
            level: fields::required(s, Self::NAME, LEVEL)?,
            zones: fields::strings(s, ZONES),
        })
    }
}
