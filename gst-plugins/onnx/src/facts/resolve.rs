//! Fills in what the TOML leaves out: from the model's notes and shapes, then from its family's habits.

use std::path::Path;

use super::file::{FactsFile, InputFile, Labels, read_text};
use super::{Channels, Facts, FactsError, InputSpec, Layout, MAX_SIDE, Task};
use crate::family::{Family, Habits};
use crate::io::{Element, ModelIo, Outlet, class_names};
use crate::labels::COCO80;

/// Inputs beside the picture that are known and filled by us.
pub(crate) const SIDE_INPUTS: [&str; 3] = ["orig_target_sizes", "scale_factor", "im_shape"];

/// Name, layout, channels, width and height of the input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InputShape {
    pub(crate) name: String,
    pub(crate) element: Element,
    pub(crate) layout: Layout,
    pub(crate) planes: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl FactsFile {
    /// The input's shape as far as the TOML and the model tell it.
    ///
    /// # Errors
    /// When they leave something open, or contradict each other.
    pub(crate) fn input_shape(&self, io: &ModelIo, toml: &Path) -> Result<InputShape, FactsError> {
        self.input.shape(io).map_err(|message| FactsError::Wrong {
            toml: toml.to_owned(),
            message,
        })
    }

    /// Fills in what the TOML leaves out, from the model's shapes and its family's habits.
    ///
    /// `toml` is the path of the TOML, whether it is there or not.
    ///
    /// # Errors
    /// When the family cannot be told, or a fact contradicts the model.
    pub fn resolve(self, io: &ModelIo, toml: &Path) -> Result<Facts, FactsError> {
        let wrong = |message: String| FactsError::Wrong {
            toml: toml.to_owned(),
            message,
        };
        let shape = self.input_shape(io, toml)?;
        let mut inferred = Vec::new();
        let family = match self.family {
            Some(told) => told,
            None => {
                let found =
                    Family::recognise(io, shape.width, shape.height).or_else(|| self.by_task(io));
                let family = found.ok_or_else(|| FactsError::Unknown {
                    summary: io.summary(),
                    toml: toml.to_owned(),
                })?;
                inferred.push(format!("family {family:?} by its outputs"));
                family
            }
        };
        if let Some(o) = io.outputs.iter().find(|o| o.element == Element::Other) {
            return Err(wrong(format!(
                "output `{}` holds no numbers: export the model without it",
                o.name
            )));
        }
        let outlet = io.input(&shape.name).cloned().unwrap_or_else(|| Outlet {
            name: shape.name.clone(),
            shape: Vec::new(),
            element: shape.element,
        });
        let habits = family.habits(io, &outlet);
        if self.task.is_some_and(|told| told != habits.task) {
            return Err(wrong(format!(
                "`task` must be {:?} for this family",
                habits.task
            )));
        }
        let labels = self.label_list(family, io, toml, &mut inferred)?;
        let nms_iou = self.nms.iou.unwrap_or(habits.nms_iou);
        if !(0.0..=1.0).contains(&nms_iou) {
            return Err(wrong("`nms.iou` must lie in 0..1".to_owned()));
        }
        let input = self
            .input
            .fill(&habits, shape, &mut inferred)
            .map_err(wrong)?;
        Ok(Facts {
            task: habits.task,
            family,
            input,
            outputs: io.outputs.iter().map(|o| o.name.clone()).collect(),
            activation: self.activation.unwrap_or(habits.activation),
            labels,
            nms_iou,
            licence: self.licence,
            description: self.description,
            inferred,
        })
    }

    /// A told task names the family where there is but one of it; so does a list of as many labels as there are
    /// numbers.
    fn by_task(&self, io: &ModelIo) -> Option<Family> {
        match self.task {
            Some(Task::Classification) => Some(Family::Classification),
            Some(Task::Embedding) => Some(Family::Embedding),
            Some(Task::Text) => Some(Family::Ctc),
            Some(Task::Detection | Task::FaceDetection) => None,
            None => {
                let [only] = io.outputs.as_slice() else {
                    return None;
                };
                let flat = only.shape.len() == 2;
                let names = match &self.labels {
                    Some(Labels::List(list)) => list.len(),
                    _ => return None,
                };
                (flat && only.dimension(1) == Some(names)).then_some(Family::Classification)
            }
        }
    }

    fn label_list(
        &self,
        family: Family,
        io: &ModelIo,
        toml: &Path,
        inferred: &mut Vec<String>,
    ) -> Result<Vec<String>, FactsError> {
        let wrong = |message: String| FactsError::Wrong {
            toml: toml.to_owned(),
            message,
        };
        let coco = || COCO80.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        let classes = family.classes(io);
        let noted = || io.note("names").and_then(class_names);
        let labels = match (&self.labels, &self.labels_file) {
            (Some(_), Some(_)) => {
                return Err(wrong("give `labels` or `labels_file`, not both".to_owned()));
            }
            (Some(Labels::List(list)), None) => list.clone(),
            (Some(Labels::Named(name)), None) if name == "coco80" => coco(),
            (Some(Labels::Named(name)), None) => {
                return Err(wrong(format!(
                    "`labels = \"{name}\"` is not known: write \"coco80\" or the list of names"
                )));
            }
            (None, Some(file)) => {
                let text = read_text(&toml.parent().unwrap_or(Path::new(".")).join(file))?;
                text.lines()
                    .map(|l| l.trim().to_owned())
                    .filter(|l| !l.is_empty())
                    .collect()
            }
            (None, None) => match (family, classes) {
                (Family::Yunet | Family::Scrfd | Family::Ultraface, _) => vec!["face".to_owned()],
                (Family::Embedding, _) => return Ok(Vec::new()),
                (_, count) => match noted() {
                    Some(names) if count.is_none_or(|c| c == names.len()) => {
                        inferred.push(format!("{} labels by the model's notes", names.len()));
                        names
                    }
                    _ if count == Some(80) => {
                        inferred.push("COCO's labels, because there are 80".to_owned());
                        coco()
                    }
                    _ => {
                        let count = count.map_or("its".to_owned(), |c| c.to_string());
                        return Err(wrong(format!(
                            "write `labels`, the names of {count} classes, in the model's order"
                        )));
                    }
                },
            },
        };
        match classes {
            Some(classes) if classes != labels.len() => Err(wrong(format!(
                "`labels` names {} classes, the model tells {classes} apart",
                labels.len()
            ))),
            _ if labels.is_empty() => Err(wrong("`labels` is empty".to_owned())),
            _ => Ok(labels),
        }
    }
}

/// The sizes that Ultralytics notes: `[height, width]`.
fn noted_size(io: &ModelIo) -> Option<(usize, usize)> {
    let text = io
        .note("imgsz")?
        .trim()
        .strip_prefix('[')?
        .strip_suffix(']')?;
    let (height, width) = text.split_once(',')?;
    Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
}

impl InputFile {
    /// The input that takes the picture, and its shape, from the TOML and the model, which must agree.
    fn shape(&self, io: &ModelIo) -> Result<InputShape, String> {
        let input = match &self.name {
            Some(name) => io
                .input(name)
                .ok_or_else(|| format!("`input.name = \"{name}\"` is not an input of the model"))?,
            None => {
                let mut pictures = io.inputs.iter().filter(|i| i.shape.len() == 4);
                match (pictures.next(), pictures.next()) {
                    (Some(only), None) => only,
                    (Some(_), Some(_)) => {
                        return Err(
                            "write `input.name`: several inputs could take a picture".to_owned()
                        );
                    }
                    (None, _) if io.inputs.len() == 1 => &io.inputs[0],
                    (None, _) => {
                        return Err("the model must have one input that takes a picture".to_owned());
                    }
                }
            }
        };
        let stranger = io
            .inputs
            .iter()
            .find(|i| i.name != input.name && !SIDE_INPUTS.contains(&i.name.as_str()));
        if let Some(stranger) = stranger {
            return Err(format!(
                "input `{}` is not known: export the model with one input, the picture",
                stranger.name
            ));
        }
        if !matches!(input.element, Element::F32 | Element::F16 | Element::U8) {
            return Err(format!(
                "input `{}` must hold 32-bit floats, 16-bit floats or bytes",
                input.name
            ));
        }
        let (layout, planes, h, w) = self.dimensions(input)?;
        let noted = noted_size(io);
        let side = |key: &str, told: Option<usize>, model: i64, noted: Option<usize>| {
            let model = usize::try_from(model).ok();
            match (told, model.or(if told.is_none() { noted } else { None })) {
                (Some(a), Some(b)) if a != b => {
                    Err(format!("`input.{key} = {a}` contradicts the model's {b}"))
                }
                (None, None) => Err(format!("write `input.{key}`, which the model leaves open")),
                (Some(v), _) | (None, Some(v)) if (1..=MAX_SIDE).contains(&v) => Ok(v),
                _ => Err(format!("`input.{key}` must lie in 1..{MAX_SIDE}")),
            }
        };
        Ok(InputShape {
            name: input.name.clone(),
            element: input.element,
            layout,
            planes,
            width: side("width", self.width, w, noted.map(|n| n.0))?,
            height: side("height", self.height, h, noted.map(|n| n.1))?,
        })
    }

    /// Layout, planes, height and width, the latter -1 where they are open.
    fn dimensions(&self, input: &Outlet) -> Result<(Layout, usize, i64, i64), String> {
        let wrong = || {
            format!(
                "input `{}` has the shape {:?}: [1, 3, height, width] or [1, height, width, 3] is needed",
                input.name, input.shape
            )
        };
        let [1 | -1, a, b, c] = *input.shape.as_slice() else {
            return Err(wrong());
        };
        let layout = match (self.layout, a, c) {
            (Some(layout), ..) => layout,
            (None, 1 | 3, _) => Layout::Nchw,
            (None, _, 1 | 3) => Layout::Nhwc,
            (None, -1, -1) => Layout::Nchw,
            _ => return Err(wrong()),
        };
        let (planes, h, w) = match layout {
            Layout::Nchw => (a, b, c),
            Layout::Nhwc => (c, a, b),
        };
        let planes = match (planes, self.channels) {
            (-1, Some(channels)) => channels.count(),
            (-1, None) | (3, _) => 3,
            (1, _) => 1,
            _ => return Err(wrong()),
        };
        Ok((layout, planes, h, w))
    }

    fn fill(
        self,
        habits: &Habits,
        shape: InputShape,
        inferred: &mut Vec<String>,
    ) -> Result<InputSpec, String> {
        let channels = match (self.channels, shape.planes) {
            (Some(told), planes) if told.count() != planes => {
                return Err(format!(
                    "`input.channels` does not fit the model's {planes} planes"
                ));
            }
            (Some(told), _) => told,
            (None, 1) => Channels::Gray,
            (None, _) => habits.channels,
        };
        let scale = self.scale.or(habits.scale).ok_or_else(|| {
            "write `input.scale`, what a value 0..255 is multiplied by, which differs among such models".to_owned()
        })?;
        if self.channels.is_none() || self.scale.is_none() || self.letterbox.is_none() {
            inferred.push(format!(
                "input {}x{} {channels:?} {:?} times {scale} {:?} by the family's habits",
                shape.width, shape.height, shape.layout, habits.letterbox
            ));
        }
        let spec = InputSpec {
            name: shape.name,
            element: shape.element,
            layout: shape.layout,
            width: shape.width,
            height: shape.height,
            channels,
            scale,
            mean: self.mean.unwrap_or(habits.mean),
            std: self.std.unwrap_or(habits.std),
            letterbox: self.letterbox.unwrap_or(habits.letterbox),
            pad: self.pad.unwrap_or(habits.pad),
        };
        if !spec.std.iter().all(|s| s.is_finite() && *s != 0.0) {
            return Err("`input.std` must not be 0".to_owned());
        }
        let finite = spec
            .mean
            .iter()
            .chain([&spec.scale, &spec.pad])
            .all(|v| v.is_finite());
        if !finite {
            return Err("`input.scale`, `input.mean` and `input.pad` must be finite".to_owned());
        }
        Ok(spec)
    }
}
