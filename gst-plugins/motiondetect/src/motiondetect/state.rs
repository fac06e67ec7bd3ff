//! What the element keeps from picture to picture: the detector, the open episode, the counters.

use std::time::Instant;

use gst_video::prelude::*;
use nvr_contract::BBox;
use nvr_contract::motion::{MotionChange, MotionFrame, MotionRegion, MotionState, ZoneLevels};
use nvr_contract::stats;

use super::detector::{Config, Detector, Outcome};
use super::episode::{Episodes, Turn};
use super::grid::Luma;
use super::overlay::{self, Paper};
use super::watch::{Plan, Watch};
use super::zones::ZoneSet;

/// A DISCONT buffer this far, in nanoseconds, from the one before begins a new stretch of video.
const DISCONT_GAP: u64 = 1_000_000_000;

/// State of a running element.
#[derive(Debug, Default)]
pub struct State {
    /// Format of the pictures, once negotiated.
    pub info: Option<gst_video::VideoInfo>,
    /// Whether what the detector sees is drawn into the picture.
    pub overlay: bool,
    detector: Detector,
    episodes: Episodes,
    /// The talk with a gate upstream.
    pub watch: Watch,
    last_pts: Option<u64>,
    frames_in: u64,
    processed: u64,
    last_ns: u64,
    total_ns: u64,
}

/// Why a picture was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No caps came before it.
    NotNegotiated,
    /// It is shorter than its caps say.
    Short,
}

impl State {
    /// The configuration in force.
    pub fn config(&self) -> &Config {
        self.detector.config()
    }

    /// Puts a configuration in force.
    pub fn set_config(&mut self, config: Config) {
        self.detector.set_config(config);
        self.watch.redraw(self.detector.config());
    }

    /// Forgets the background.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.watch.reset();
    }

    /// Treats the next picture as the first after a seek.
    pub fn interrupt(&mut self) {
        self.detector.interrupt();
        self.watch.interrupt();
        self.last_pts = None;
    }

    /// Counts a picture that is not looked at.
    pub fn pass(&mut self) {
        self.frames_in += 1;
    }

    /// Looks at a picture and writes on it what it shows; the answer is what started or is over with it, or `None`
    /// when the picture must not go on.
    pub fn look(
        &mut self,
        buffer: &mut gst::BufferRef,
    ) -> Result<Option<Vec<MotionChange>>, Trouble> {
        self.frames_in += 1;
        let info = self.info.as_ref().ok_or(Trouble::NotNegotiated)?;
        let (width, height) = (info.width(), info.height());
        let pts = buffer.pts().map(gst::ClockTime::nseconds);
        let gap = pts.zip(self.last_pts).map(|(now, last)| now.abs_diff(last));
        if buffer.flags().contains(gst::BufferFlags::DISCONT)
            && gap.is_some_and(|gap| gap > DISCONT_GAP)
        {
            self.detector.interrupt();
        }
        let began = Instant::now();
        let outcome = {
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info)
                .map_err(|_| Trouble::Short)?;
            let stride = usize::try_from(frame.plane_stride()[0]).map_err(|_| Trouble::Short)?;
            let data = frame.plane_data(0).map_err(|_| Trouble::Short)?;
            let luma =
                Luma::new(data, stride, width as usize, height as usize).ok_or(Trouble::Short)?;
            let at = pts.or(self.last_pts).unwrap_or(0);
            match self.watch.plan(luma, at, self.detector.config()) {
                Plan::Hold => return Ok(None),
                Plan::Follow => {
                    self.detector.process(luma, pts);
                    Outcome::default()
                }
                Plan::Look => {
                    let outcome = self.detector.process(luma, pts);
                    let moving = !outcome.regions.is_empty() || self.episodes.is_open();
                    let seen = (moving, outcome.learning);
                    self.watch.looked(luma, at, seen, self.detector.config());
                    outcome
                }
            }
        };
        self.last_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.total_ns += self.last_ns;
        self.processed += 1;
        self.last_pts = pts.or(self.last_pts);

        let mut touched = ZoneSet::default();
        for region in &outcome.regions {
            touched = touched.with(region.zones);
            MotionRegion {
                bbox: region.bbox,
                score: region.score,
                zones: region.zones.names(&self.config().zones),
            }
            .attach(buffer, width, height);
        }
        let moving = !outcome.regions.is_empty();
        MotionFrame {
            moving,
            level: outcome.level,
            learning: outcome.learning,
        }
        .attach(buffer);
        let zones = self.config().zones.iter().map(|zone| zone.name.clone());
        // A picture that begins a background says nothing of zones: nothing moves in any.
        let levels = outcome.zone_levels.iter().copied();
        let levels = levels.chain(std::iter::repeat(0.0));
        ZoneLevels(zones.zip(levels).collect()).attach(buffer);
        if self.overlay {
            self.draw(buffer, outcome.regions.iter().map(|region| region.bbox))?;
        }
        let hold = self.config().hold_ns;
        let turns = self.episodes.see(
            self.last_pts.unwrap_or(0),
            moving.then_some((outcome.level, touched)),
            hold,
        );
        let turns = turns.into_iter().flatten();
        Ok(Some(turns.map(|turn| self.change(turn)).collect()))
    }

    /// Draws what the detector sees into a picture.
    fn draw(
        &self,
        buffer: &mut gst::BufferRef,
        boxes: impl Iterator<Item = BBox>,
    ) -> Result<(), Trouble> {
        let (Some(info), Some(view)) = (self.info.as_ref(), self.detector.view()) else {
            return Ok(());
        };
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info)
            .map_err(|_| Trouble::Short)?;
        let stride = usize::try_from(frame.plane_stride()[0]).map_err(|_| Trouble::Short)?;
        let data = frame.plane_data_mut(0).map_err(|_| Trouble::Short)?;
        let mut paper = Paper {
            data,
            stride,
            width: info.width() as usize,
            height: info.height() as usize,
        };
        overlay::draw(&mut paper, &view, boxes);
        Ok(())
    }

    /// Ends motion that is open.
    pub fn finish(&mut self) -> Option<MotionChange> {
        self.episodes.finish().map(|turn| self.change(turn))
    }

    /// The message of a turn, without wall time.
    fn change(&self, turn: Turn) -> MotionChange {
        MotionChange {
            state: if turn.started {
                MotionState::Started
            } else {
                MotionState::Finished
            },
            pts_ns: turn.pts_ns,
            unix_us: None,
            level: turn.level,
            zones: turn.zones.names(&self.config().zones),
        }
    }

    /// The counters, as the property shows them.
    pub fn stats(&self) -> gst::Structure {
        gst::Structure::builder(stats::NAME)
            .field(stats::FRAMES_IN, self.frames_in)
            .field(stats::FRAMES_PROCESSED, self.processed)
            .field(stats::FRAMES_DROPPED, 0u64)
            .field(stats::LAST_LATENCY_NS, self.last_ns)
            .field(
                stats::AVG_LATENCY_NS,
                self.total_ns.checked_div(self.processed).unwrap_or(0),
            )
            .build()
    }
}
