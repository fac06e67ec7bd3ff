//! One run of pictures through a model, from start to stop: what is due, waiting for it, attaching what was found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gst_video::prelude::*;
use nvr_contract::BBox;
use nvr_contract::detection::Detection;
use nvr_contract::face;

use super::settings::Settings;
use crate::schedule::Schedule;
use nvr_onnx::decode::{Candidate, Wanted};
use nvr_onnx::labels;
use nvr_onnx::model::{AnalysisError, Model};
use nvr_onnx::preprocess::{Colour, Geometry, InputTensor, Picture, Pixels, Plane, Preprocessor};
use nvr_onnx::worker::{self, Answer, Job, Waited, Worker};

/// What became of a picture.
#[derive(Debug)]
pub enum Outcome {
    /// The rules did not want it analysed.
    NotDue,
    /// The model looked at it.
    Ran {
        /// What it found.
        found: Vec<Candidate>,
        /// Where the picture lay in the input.
        geometry: Geometry,
        /// How long the model took.
        took: Duration,
    },
    /// It was due, but a live stream must not wait.
    NoTime,
    /// It was due and waited for, in vain.
    TooLate,
    /// Its memory does not hold a picture.
    Unreadable,
}

/// Why the stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The model does not run, or gives what it should not.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// The thread is gone.
    #[error("the analysis thread ended unexpectedly")]
    Gone,
}

/// The label filter, kept until the property changes.
#[derive(Debug, Default)]
struct Filter {
    list: Option<String>,
    classes: Option<Vec<bool>>,
}

/// The stream between start and stop.
#[derive(Debug)]
pub struct Stream {
    model: Arc<Model>,
    caps: Option<(gst_video::VideoInfo, Colour)>,
    preprocessor: Preprocessor,
    /// Absent while the worker is at it.
    tensor: Option<InputTensor>,
    /// Only in a live stream.
    worker: Option<Worker>,
    schedule: Schedule,
    filter: Filter,
    was_late: bool,
}

impl Stream {
    /// A stream through `model`.
    pub fn new(model: Arc<Model>) -> Self {
        Self {
            preprocessor: Preprocessor::new(model.facts().input.clone()),
            caps: None,
            tensor: Some(InputTensor::default()),
            worker: None,
            schedule: Schedule::default(),
            filter: Filter::default(),
            was_late: false,
            model,
        }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// From here on pictures are as `info` says.
    pub fn set_info(&mut self, info: gst_video::VideoInfo) {
        let colour = colour_of(&info);
        self.caps = Some((info, colour));
    }

    /// Width and height of the pictures, pixels; zero before they are known.
    pub fn size(&self) -> (u32, u32) {
        self.caps
            .as_ref()
            .map_or((0, 0), |(info, _)| (info.width(), info.height()))
    }

    /// Forgets what was before a flush.
    pub fn reset(&mut self) {
        self.schedule = Schedule::default();
    }

    /// Takes over the label filter; the names in it that the model does not know, once a change.
    pub fn set_filter(&mut self, list: Option<&str>) -> Vec<String> {
        if self.filter.list.as_deref() == list {
            return Vec::new();
        }
        let (classes, unknown) =
            labels::filter(list.unwrap_or_default(), &self.model.facts().labels);
        self.filter = Filter {
            list: list.map(str::to_owned),
            classes,
        };
        unknown
    }

    /// Starts the thread of a live stream.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn make_live(&mut self) -> std::io::Result<()> {
        if self.worker.is_none() {
            self.worker = Some(Worker::start(Arc::clone(&self.model))?);
        }
        Ok(())
    }

    /// Whether pictures may wait only as long as the budget allows.
    pub fn is_live(&self) -> bool {
        self.worker.is_some()
    }

    /// True for the first call of the stream.
    pub fn first_time_late(&mut self) -> bool {
        !std::mem::replace(&mut self.was_late, true)
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
        let rules = settings.rules();
        if !self.schedule.is_due(rules, pts, moving) {
            return Ok((Outcome::NotDue, Duration::ZERO));
        }
        if !self.has_time(pts)? {
            return Ok((Outcome::NoTime, Duration::ZERO));
        }
        let Some((geometry, tensor)) = self.fill(buffer) else {
            return Ok((Outcome::Unreadable, start.elapsed()));
        };
        let job = Job {
            tensor,
            wanted: Wanted {
                threshold: settings.threshold as f32,
                classes: self.filter.classes.clone(),
            },
            limit: settings.max_detections as usize,
        };
        let waited = match &self.worker {
            None => Waited::Answer(worker::analyse(&self.model, job)),
            Some(worker) => {
                let budget = match settings.budget {
                    0 => Duration::MAX,
                    ns => Duration::from_nanos(ns),
                };
                worker.analyse(job, budget.saturating_sub(start.elapsed()))
            }
        };
        let held = start.elapsed();
        if self.worker.is_some() {
            self.schedule.held(pts, held);
        }
        match waited {
            Waited::Answer(Answer {
                tensor,
                found,
                took,
            }) => {
                self.tensor = Some(tensor);
                self.schedule.analysed(rules, pts);
                let found = found?;
                Ok((
                    Outcome::Ran {
                        found,
                        geometry,
                        took,
                    },
                    held,
                ))
            }
            Waited::Busy => Ok((Outcome::TooLate, held)),
            Waited::Gone => Err(StreamError::Gone),
        }
    }

    /// Whether a live stream may wait for this picture.
    fn has_time(&mut self, pts: Option<u64>) -> Result<bool, StreamError> {
        if self.tensor.is_none() {
            match self.worker.as_ref().map(Worker::late_answer) {
                Some(Waited::Answer(answer)) => {
                    self.tensor = Some(answer.tensor);
                    answer.found?;
                }
                Some(Waited::Busy) => return Ok(false),
                Some(Waited::Gone) | None => return Err(StreamError::Gone),
            }
        }
        Ok(self.worker.is_none() || self.schedule.is_rested(pts))
    }

    /// The picture as a tensor, `None` when its memory does not hold one.
    fn fill(&mut self, buffer: &gst::BufferRef) -> Option<(Geometry, InputTensor)> {
        let (info, colour) = self.caps.as_ref()?;
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
        let picture = picture_of(&frame, *colour)?;
        let tensor = self.tensor.as_mut()?;
        let geometry = self.preprocessor.fill(&picture, tensor).ok()?;
        Some((geometry, self.tensor.take()?))
    }

    /// Puts what was found on the picture.
    pub fn attach(
        &self,
        buffer: &mut gst::BufferRef,
        found: &[Candidate],
        geometry: &Geometry,
    ) -> usize {
        let (width, height) = self.size();
        let mut count = 0;
        for candidate in found {
            let (x0, y0) = geometry.to_shares(candidate.x0, candidate.y0);
            let (x1, y1) = geometry.to_shares(candidate.x1, candidate.y1);
            let bbox = BBox::clamped(x0, y0, x1 - x0, y1 - y0);
            // A box that lies wholly in the surround is of no object.
            if bbox.area() <= 0.0 {
                continue;
            }
            Detection {
                label: self.model.label(candidate.class),
                label_id: i32::try_from(candidate.class).unwrap_or(i32::MAX),
                score: f64::from(candidate.score).clamp(0.0, 1.0),
                bbox,
            }
            .attach(buffer, width, height);
            if let Some(points) = candidate.landmarks {
                attach_landmarks(buffer, &points.map(|(x, y)| geometry.to_shares(x, y)));
            }
            count += 1;
        }
        count
    }
}

/// Adds landmarks to the region that was attached last, which has the greatest id.
fn attach_landmarks(buffer: &mut gst::BufferRef, points: &face::Landmarks) {
    let newest = buffer
        .iter_meta_mut::<gst_video::VideoRegionOfInterestMeta>()
        .max_by_key(|meta| meta.id());
    if let Some(mut meta) = newest {
        face::add_landmarks(&mut meta, points);
    }
}

fn colour_of(info: &gst_video::VideoInfo) -> Colour {
    use gst_video::VideoColorMatrix as Matrix;
    let colorimetry = info.colorimetry();
    let (kr, kb) = match colorimetry.matrix() {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
        Matrix::Fcc => (0.30, 0.11),
        Matrix::Smpte240m => (0.212, 0.087),
        _ => {
            let usual = Colour::by_height(info.height() as usize);
            (usual.kr, usual.kb)
        }
    };
    Colour {
        kr,
        kb,
        full_range: colorimetry.range() == gst_video::VideoColorRange::Range0_255,
    }
}

fn picture_of<'a>(
    frame: &'a gst_video::VideoFrameRef<&gst::BufferRef>,
    colour: Colour,
) -> Option<Picture<'a>> {
    let plane = |i: u32| {
        let stride = *frame.plane_stride().get(i as usize)?;
        Some(Plane {
            data: frame.plane_data(i).ok()?,
            stride: usize::try_from(stride).ok()?,
        })
    };
    let pixels = match frame.format() {
        gst_video::VideoFormat::I420 => Pixels::I420 {
            y: plane(0)?,
            u: plane(1)?,
            v: plane(2)?,
        },
        gst_video::VideoFormat::Nv12 => Pixels::Nv12 {
            y: plane(0)?,
            uv: plane(1)?,
        },
        gst_video::VideoFormat::Rgb => Pixels::Rgb(plane(0)?),
        _ => return None,
    };
    Some(Picture {
        width: frame.width() as usize,
        height: frame.height() as usize,
        pixels,
        colour,
    })
}
