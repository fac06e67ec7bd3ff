//! Video files: demuxed, and encoded as H.264 where they hold another codec.
//!
//! The elements come from fixed tables; nothing in a file chooses an element by its rank.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::inner::{self, Outcome};
use crate::container::{self, Container};
use crate::packet::{Failure, Item, Stream};
use crate::queue::Queue;
use crate::uri::FileOptions;

/// Delivers a file, again and again where it loops, until its end or until the queue is closed.
pub fn run(file: &FileOptions, queue: &Arc<Queue>) -> Result<(), Failure> {
    let (container, broken) = look(&file.path)?;
    loop {
        let pictures = play(&file.path, container, broken, queue)?;
        let path = file.path.display();
        if queue.is_closed() {
            return Ok(());
        } else if broken {
            return Err(Failure::Damaged(format!(
                "{path} is damaged: it breaks off after {pictures} pictures"
            )));
        } else if pictures == 0 {
            return Err(Failure::Damaged(format!(
                "{path} is damaged: it holds no pictures"
            )));
        } else if !file.looped || queue.tell(Item::Looped).is_err() {
            return Ok(());
        }
    }
}

/// What kind of file it is, and whether it breaks off.
fn look(path: &Path) -> Result<(Container, bool), Failure> {
    let unreadable = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => Failure::NotFound(format!("{} does not exist", path.display())),
        _ => Failure::Unreadable(format!("{} cannot be read: {error}", path.display())),
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut head = Vec::new();
    (&mut file)
        .take(512)
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    if head.is_empty() {
        return Err(Failure::Damaged(format!(
            "{} is damaged: it is empty",
            path.display()
        )));
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let container = container::sniff(&head, &extension).ok_or_else(|| {
        Failure::UnknownType(format!(
            "{} is not a video that is known: MP4, MOV, MKV, WebM, AVI, MPEG-TS, FLV, .h264 and .h265 are",
            path.display()
        ))
    })?;
    let broken = container::breaks_off(container, &mut file).map_err(unreadable)?;
    Ok((container, broken))
}

/// Plays a file once; the number of pictures that came.
fn play(
    path: &Path,
    container: Container,
    broken: bool,
    queue: &Arc<Queue>,
) -> Result<u64, Failure> {
    let branches = Arc::new(Branches {
        path: path.display().to_string(),
        container,
        pipeline: gst::Pipeline::new(),
        queue: Arc::clone(queue),
        pictures: Arc::default(),
        state: Mutex::default(),
    });
    let source = inner::make("filesrc")?;
    source.set_property("location", path);
    match container.demuxer() {
        Some(name) => {
            let demuxer = inner::make(name)?;
            inner::chain(&branches.pipeline, &[source, demuxer.clone()])?;
            let weak = Arc::downgrade(&branches);
            demuxer.connect_pad_added(move |_, pad| {
                if let Some(branches) = weak.upgrade() {
                    branches.pad_added(pad);
                }
            });
            let weak = Arc::downgrade(&branches);
            demuxer.connect_no_more_pads(move |_| {
                if let Some(branches) = weak.upgrade() {
                    branches.no_more_pads();
                }
            });
        }
        None => {
            let codec = match container {
                Container::H265 => "video/x-h265",
                _ => "video/x-h264",
            };
            let mut elements = vec![source];
            elements.extend(branches.video_branch(codec, &gst::Structure::new_empty(codec))?);
            inner::chain(&branches.pipeline, &elements)?;
        }
    }
    let outcome = inner::play(&branches.pipeline, queue, || branches.failure().is_some());
    let pictures = branches.pictures.load(Ordering::Relaxed);
    if let Some(failure) = branches.failure() {
        return Err(failure);
    }
    match outcome {
        Outcome::End | Outcome::Closed => Ok(pictures),
        // The caller says it better: the file breaks off.
        Outcome::Error(_) if broken && pictures > 0 => Ok(pictures),
        Outcome::Error(error) => Err(reason(&branches.path, &error)),
    }
}

fn reason(path: &str, error: &gst::glib::Error) -> Failure {
    let text = error.message();
    if error.matches(gst::ResourceError::NotFound) {
        Failure::NotFound(format!("{path} does not exist"))
    } else if error.is::<gst::ResourceError>() {
        Failure::Unreadable(format!("{path} cannot be read: {text}"))
    } else if error.matches(gst::StreamError::CodecNotFound)
        || error.matches(gst::StreamError::WrongType)
    {
        Failure::UnsupportedCodec(format!("{path} holds a stream that is not known: {text}"))
    } else {
        Failure::Damaged(format!("{path} is damaged: {text}"))
    }
}

/// What is known about the streams of a file so far.
#[derive(Debug, Default)]
struct Found {
    video: bool,
    audio: bool,
    other: Vec<String>,
    failure: Option<Failure>,
}

/// The branches from the demuxer to the queue, which grow as streams show up.
struct Branches {
    path: String,
    container: Container,
    pipeline: gst::Pipeline,
    queue: Arc<Queue>,
    pictures: Arc<AtomicU64>,
    state: Mutex<Found>,
}

impl Branches {
    fn with<T>(&self, work: impl FnOnce(&mut Found) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn failure(&self) -> Option<Failure> {
        self.with(|found| found.failure.clone())
    }

    fn pad_added(&self, pad: &gst::Pad) {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let Some(structure) = caps.structure(0) else {
            return;
        };
        let name = structure.name().as_str();
        let aac = name == "audio/mpeg" && structure.get::<i32>("mpegversion") == Ok(4);
        let branch = if (name.starts_with("video/") || name.starts_with("image/"))
            && !self.with(|found| found.video)
        {
            match self.video_branch(name, structure) {
                Ok(branch) => {
                    self.with(|found| found.video = true);
                    branch
                }
                Err(Failure::UnsupportedCodec(codec)) => {
                    self.with(|found| found.other.push(codec));
                    return;
                }
                Err(failure) => return self.with(|found| found.failure = Some(failure)),
            }
        } else if aac && !self.with(|found| std::mem::replace(&mut found.audio, true)) {
            match self.audio_branch() {
                Ok(branch) => branch,
                // Pictures without sound are better than nothing.
                Err(_) => return,
            }
        } else {
            return;
        };
        if let Err(failure) = self.grow(pad, &branch) {
            self.with(|found| found.failure = Some(failure));
        }
    }

    fn grow(&self, pad: &gst::Pad, branch: &[gst::Element]) -> Result<(), Failure> {
        inner::chain(&self.pipeline, branch)?;
        let sink = branch
            .first()
            .and_then(|first| first.static_pad("sink"))
            .ok_or_else(|| Failure::Internal("a branch without a sink pad".to_owned()))?;
        for element in branch.iter().rev() {
            element
                .sync_state_with_parent()
                .map_err(|error| Failure::Internal(error.message.to_string()))?;
        }
        pad.link(&sink).map_err(|error| {
            Failure::UnsupportedCodec(format!(
                "{}: its stream fits no decoder: {error}",
                self.path
            ))
        })?;
        Ok(())
    }

    fn no_more_pads(&self) {
        self.with(|found| {
            if !found.video && found.failure.is_none() {
                let text = match found.other.is_empty() {
                    true => format!("{} holds no video", self.path),
                    false => format!(
                        "{} holds video of a codec that is not known: {}",
                        self.path,
                        found.other.join(", ")
                    ),
                };
                found.failure = Some(Failure::UnsupportedCodec(text));
            }
        });
    }

    /// The elements from encoded video of any known codec to the queue.
    fn video_branch(
        &self,
        name: &str,
        structure: &gst::StructureRef,
    ) -> Result<Vec<gst::Element>, Failure> {
        let sink = inner::sink(Stream::Video, &self.queue, &self.pictures).upcast();
        // Matroska and AVI say when a picture is shown, not when it is decoded; bare streams say neither.
        let half_stamped = matches!(self.container, Container::Matroska | Container::Avi);
        let (parser, timestamper) = match name {
            "video/x-h264" => ("h264parse", "h264timestamper"),
            "video/x-h265" => ("h265parse", "h265timestamper"),
            _ => return self.transcode(name, structure, sink),
        };
        let mut branch = vec![inner::make(parser)?];
        if half_stamped {
            branch.push(inner::make(timestamper)?);
        }
        branch.push(sink);
        Ok(branch)
    }

    fn transcode(
        &self,
        name: &str,
        structure: &gst::StructureRef,
        sink: gst::Element,
    ) -> Result<Vec<gst::Element>, Failure> {
        let version = ["mpegversion", "divxversion", "msmpegversion"]
            .iter()
            .find_map(|field| structure.get::<i32>(*field).ok())
            .unwrap_or(0);
        let decoder: &[&str] = match (name, version) {
            ("video/x-raw", _) => &[],
            ("video/mpeg", 4) => &["mpeg4videoparse", "avdec_mpeg4"],
            ("video/mpeg", 1 | 2) => &["mpegvideoparse", "avdec_mpeg2video"],
            // DivX 3 was Microsoft's MPEG-4 under another name.
            ("video/x-divx", 3) | ("video/x-msmpeg", 43) => &["avdec_msmpeg4"],
            ("video/x-msmpeg", 42) => &["avdec_msmpeg4v2"],
            ("video/x-divx", _) => &["avdec_mpeg4"],
            ("image/jpeg", _) => &["jpegdec"],
            ("video/x-vp8", _) => &["vp8dec"],
            ("video/x-vp9", _) => &["vp9dec"],
            _ => return Err(Failure::UnsupportedCodec(name.to_owned())),
        };
        let mut branch = Vec::new();
        for name in decoder {
            branch.push(inner::make(name)?);
        }
        branch.push(inner::make("videoconvert")?);
        // Encoders refuse odd sizes; even ones pass untouched.
        branch.push(inner::make("videoscale")?);
        branch.push(even_size()?);
        branch.push(inner::encoder(rate(structure))?);
        branch.push(inner::make("h264parse")?);
        branch.push(sink);
        Ok(branch)
    }

    fn audio_branch(&self) -> Result<Vec<gst::Element>, Failure> {
        Ok(vec![
            inner::make("aacparse")?,
            inner::sink(Stream::Audio, &self.queue, &self.pictures).upcast(),
        ])
    }
}

/// Lets 4:2:0 pictures of even sizes through only.
fn even_size() -> Result<gst::Element, Failure> {
    let even = gst::IntRange::with_step(2, 16_384, 2);
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", even)
        .field("height", even)
        .build();
    let filter = inner::make("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

/// Pictures per second as the container says, 25 where it does not.
fn rate(structure: &gst::StructureRef) -> u64 {
    structure
        .get::<gst::Fraction>("framerate")
        .ok()
        .filter(|rate| rate.numer() > 0 && rate.denom() > 0)
        .and_then(|rate| u64::try_from(rate.numer() / rate.denom()).ok())
        .filter(|rate| (1..=120).contains(rate))
        .unwrap_or(25)
}
