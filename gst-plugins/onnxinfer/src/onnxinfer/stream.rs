//! One run of pictures through a model, from start to stop: what is due, waiting for it, and what was found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nvr_contract::BBox;
use nvr_contract::detection::Detection;
use nvr_contract::face;
use nvr_contract::motion::MotionRegion;
use nvr_onnx::decode::{Candidate, Wanted};
use nvr_onnx::model::{AnalysisError, Model};
use nvr_onnx::nms;
use nvr_onnx::pool::{self, Answer, Client, Job, Waited};
use nvr_onnx::preprocess::{Geometry, InputTensor, Preprocessor, Region};

use super::frame::Frame;
use super::settings::{Look, Settings};
use crate::crops;
use crate::filter::{Filter, Wish};
use crate::pace::Pace;
use crate::schedule::Schedule;

/// An object on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is.
    pub detection: Detection,
    /// Its landmarks in shares of the picture.
    pub landmarks: Option<face::Landmarks>,
}

/// What became of a picture.
#[derive(Debug)]
pub enum Outcome {
    /// The rules did not want it analysed.
    NotDue,
    /// The model looked at it.
    Ran {
        /// What it found.
        found: Vec<Found>,
        /// How long the model took.
        took: Duration,
    },
    /// It was due, but a live stream must not wait.
    NoTime,
    /// It was due and waited for, in vain.
    TooLate,
    /// Its memory does not hold a picture.
    Unreadable,
    /// The model's answer makes no sense for this picture; another one's may.
    Nonsense(AnalysisError),
}

/// Why the stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The model does not run.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// The thread is gone.
    #[error("the analysis thread ended unexpectedly")]
    Gone,
}

/// The filter, kept until the wish changes.
#[derive(Debug, Default)]
struct Kept {
    wish: Option<Wish>,
    filter: Filter,
}

/// The stream between start and stop.
#[derive(Debug)]
pub struct Stream {
    model: Arc<Model>,
    frame: Option<Frame>,
    preprocessor: Preprocessor,
    /// Absent while the model is at it.
    tensor: Option<InputTensor>,
    /// Only in a live stream.
    client: Option<Client>,
    schedule: Schedule,
    pace: Pace,
    began: Instant,
    kept: Kept,
    was_late: bool,
    was_nonsense: bool,
}

impl Stream {
    /// A stream through `model`.
    pub fn new(model: Arc<Model>) -> Self {
        Self {
            preprocessor: Preprocessor::new(model.facts().input.clone()),
            frame: None,
            tensor: Some(InputTensor::default()),
            client: None,
            schedule: Schedule::default(),
            pace: Pace::default(),
            began: Instant::now(),
            kept: Kept::default(),
            was_late: false,
            was_nonsense: false,
            model,
        }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// From here on pictures are as `info` says.
    pub fn set_info(&mut self, info: gst_video::VideoInfo) {
        self.frame = Some(Frame::new(info));
    }

    /// Width and height of the pictures, pixels; zero before they are known.
    pub fn size(&self) -> (u32, u32) {
        self.frame.as_ref().map_or((0, 0), Frame::size)
    }

    /// Forgets what was before a flush.
    pub fn reset(&mut self) {
        self.schedule = Schedule::default();
        self.pace = Pace::default();
    }

    /// Takes over the wish; the names in it that the model does not know, once a change.
    pub fn set_wish(&mut self, wish: &Wish) -> Vec<String> {
        if self.kept.wish.as_ref() == Some(wish) {
            return Vec::new();
        }
        let (filter, unknown) = Filter::new(wish, &self.model.facts().labels);
        self.kept = Kept {
            wish: Some(wish.clone()),
            filter,
        };
        unknown
    }

    /// Joins those who wait for the model, as a live stream does.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn make_live(&mut self) -> std::io::Result<()> {
        if self.client.is_none() {
            self.client = Some(Client::join(Arc::clone(&self.model))?);
        }
        Ok(())
    }

    /// Whether pictures may wait only as long as the budget allows.
    pub fn is_live(&self) -> bool {
        self.client.is_some()
    }

    /// True for the first call of the stream.
    pub fn first_time_late(&mut self) -> bool {
        !std::mem::replace(&mut self.was_late, true)
    }

    /// True for the first call of the stream.
    pub fn first_nonsense(&mut self) -> bool {
        !std::mem::replace(&mut self.was_nonsense, true)
    }

    /// Analyses a picture if it is due and there is time; also says for how long the stream was held.
    ///
    /// # Errors
    /// When the model fails, which it will again with the next picture.
    pub fn look(
        &mut self,
        buffer: &gst::BufferRef,
        settings: &Settings,
        moving: bool,
    ) -> Result<(Outcome, Duration), StreamError> {
        let start = Instant::now();
        let pts = buffer.pts().map(gst::ClockTime::nseconds);
        let behind = self.pace.came_in(start - self.began, pts);
        let looked = self.look_now(buffer, settings, moving, (start, behind));
        self.pace.done(self.began.elapsed());
        looked
    }

    fn look_now(
        &mut self,
        buffer: &gst::BufferRef,
        settings: &Settings,
        moving: bool,
        (start, behind): (Instant, Duration),
    ) -> Result<(Outcome, Duration), StreamError> {
        let pts = buffer.pts().map(gst::ClockTime::nseconds);
        let rules = settings.rules();
        if !self.schedule.is_due(rules, pts, moving) {
            return Ok((Outcome::NotDue, Duration::ZERO));
        }
        if !self.has_time(behind)? {
            return Ok((Outcome::NoTime, Duration::ZERO));
        }
        let regions = self.regions(buffer, settings);
        let (mut found, mut took) = (Vec::new(), Duration::ZERO);
        for region in regions {
            let looked = self.look_at(buffer, region, settings, moving, start);
            match looked? {
                (Outcome::Ran { found: more, .. }, time) => {
                    merge(&mut found, more);
                    took += time;
                }
                // What was found in the parts before is worth telling.
                (Outcome::TooLate, _) if !took.is_zero() => break,
                (other, _) => return Ok((other, start.elapsed())),
            }
        }
        self.pace.ran(took);
        self.schedule.analysed(rules, pts);
        self.schedule.found(!found.is_empty());
        found.truncate(settings.max_detections as usize);
        Ok((Outcome::Ran { found, took }, start.elapsed()))
    }

    /// The parts of the picture to look at.
    fn regions(&self, buffer: &gst::BufferRef, settings: &Settings) -> Vec<Region> {
        let (width, height) = self.size();
        let picture = (width as usize, height as usize);
        if settings.look == Look::FullFrame {
            return vec![Region::whole(picture.0, picture.1)];
        }
        let moving: Vec<BBox> = MotionRegion::all_of_buffer(buffer)
            .iter()
            .map(|region| region.bbox)
            .collect();
        let input = &self.model.facts().input;
        crops::crops(&moving, picture, (input.width, input.height))
    }

    /// Analyses a part of a picture; also says for how long the model took.
    fn look_at(
        &mut self,
        buffer: &gst::BufferRef,
        region: Region,
        settings: &Settings,
        moving: bool,
        start: Instant,
    ) -> Result<(Outcome, Duration), StreamError> {
        let Some((geometry, tensor)) = self.fill(buffer, region) else {
            return Ok((Outcome::Unreadable, Duration::ZERO));
        };
        let job = Job {
            tensor,
            wanted: Wanted {
                threshold: self.kept.filter.threshold as f32,
                classes: self.kept.filter.classes.clone(),
            },
            limit: settings.max_detections as usize,
            moving,
        };
        let waited = match &mut self.client {
            None => Waited::Answer(pool::analyse(&self.model, job)),
            Some(client) => {
                let budget = match settings.budget {
                    0 => Duration::MAX,
                    ns => Duration::from_nanos(ns),
                };
                client.analyse(job, budget.saturating_sub(start.elapsed()))
            }
        };
        match waited {
            Waited::Answer(answer) => self.read(answer, &geometry),
            Waited::Withdrawn(tensor) => {
                self.tensor = Some(tensor);
                Ok((Outcome::TooLate, Duration::ZERO))
            }
            Waited::Busy => Ok((Outcome::TooLate, Duration::ZERO)),
            Waited::Gone => Err(StreamError::Gone),
        }
    }

    fn read(
        &mut self,
        answer: Answer,
        geometry: &Geometry,
    ) -> Result<(Outcome, Duration), StreamError> {
        let Answer {
            tensor,
            found,
            took,
        } = answer;
        self.tensor = Some(tensor);
        let candidates = match found {
            Ok(candidates) => candidates,
            Err(error) if error.is_of_this_picture() => {
                return Ok((Outcome::Nonsense(error), took));
            }
            Err(error) => return Err(error.into()),
        };
        let found = candidates
            .iter()
            .filter_map(|c| self.found(c, geometry))
            .collect();
        Ok((Outcome::Ran { found, took }, took))
    }

    /// A candidate as an object on the picture; `None` when it is not kept.
    fn found(&self, candidate: &Candidate, geometry: &Geometry) -> Option<Found> {
        let (x0, y0) = geometry.to_shares(candidate.x0, candidate.y0);
        let (x1, y1) = geometry.to_shares(candidate.x1, candidate.y1);
        let bbox = BBox::clamped(x0, y0, x1 - x0, y1 - y0);
        let score = f64::from(candidate.score).clamp(0.0, 1.0);
        // A box that lies wholly in the surround is of no object.
        let kept = bbox.area() > 0.0 && self.kept.filter.keeps(candidate.class, score, bbox);
        kept.then(|| Found {
            detection: Detection {
                label: self.model.label(candidate.class),
                label_id: i32::try_from(candidate.class).unwrap_or(i32::MAX),
                score,
                bbox,
            },
            landmarks: candidate
                .landmarks
                .map(|points| points.map(|(x, y)| geometry.to_shares(x, y))),
        })
    }

    /// Whether a live stream may wait for this picture.
    fn has_time(&mut self, behind: Duration) -> Result<bool, StreamError> {
        if self.tensor.is_none() {
            match self.client.as_mut().map(Client::late_answer) {
                Some(Waited::Answer(answer)) => {
                    self.pace.ran(answer.took);
                    self.tensor = Some(answer.tensor);
                    match answer.found {
                        Err(error) if !error.is_of_this_picture() => return Err(error.into()),
                        _ => {}
                    }
                }
                Some(Waited::Busy) => return Ok(false),
                _ => return Err(StreamError::Gone),
            }
        }
        Ok(self.client.is_none() || self.pace.has_time(behind))
    }

    /// A part of the picture as a tensor, `None` when the buffer does not hold one.
    fn fill(&mut self, buffer: &gst::BufferRef, region: Region) -> Option<(Geometry, InputTensor)> {
        let frame = self.frame.as_ref()?;
        let (preprocessor, tensor) = (&mut self.preprocessor, self.tensor.as_mut()?);
        let geometry = frame.with_picture(buffer, |picture| {
            preprocessor.fill_region(picture, region, tensor).ok()
        })??;
        Some((geometry, self.tensor.take()?))
    }

    /// What the model says of a part of a picture as a whole, on the caller's thread.
    ///
    /// # Errors
    /// When the model fails.
    pub fn ask<T>(
        &mut self,
        buffer: &gst::BufferRef,
        bbox: BBox,
        ask: impl FnOnce(&Model, &InputTensor) -> Result<T, AnalysisError>,
    ) -> Result<Option<T>, StreamError> {
        let (width, height) = self.size();
        let (x, y, w, h) = bbox.to_pixels(width, height);
        let region = Region {
            x: x as usize,
            y: y as usize,
            width: w as usize,
            height: h as usize,
        };
        let Some((_, tensor)) = self.fill(buffer, region) else {
            return Ok(None);
        };
        let answer = ask(&self.model, &tensor);
        self.tensor = Some(tensor);
        Ok(Some(answer?))
    }
}

/// Adds what was found in another part; of an object that was seen in two, the surer sight stays.
fn merge(found: &mut Vec<Found>, more: Vec<Found>) {
    if found.is_empty() {
        *found = more;
        return;
    }
    for object in more {
        let same = found.iter().position(|f| {
            f.detection.label_id == object.detection.label_id
                && crops::are_one(f.detection.bbox, object.detection.bbox)
        });
        match same {
            Some(at) if found[at].detection.score < object.detection.score => found[at] = object,
            Some(_) => {}
            None => found.push(object),
        }
    }
    found.sort_by(|a, b| nms::surer(a.detection.score, b.detection.score));
}
