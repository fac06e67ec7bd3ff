//! Pipeline descriptions: a launch line, and the knobs that may be turned, read from TOML.

use std::collections::BTreeMap;

use nvr_base::{Error, Result};
use nvr_contract::polygon::{self, PolygonError};
use nvr_contract::source::{StreamRole, VideoCodec};
use serde::Deserialize;

use crate::launch::LaunchLine;
use crate::spec::{CameraSpec, ParamValue};

/// Name of the element that is the camera.
pub const SOURCE: &str = "source";
/// Name of its pad that carries what to analyse.
pub const ANALYSIS: &str = "analysis";
/// Name of the tee behind it that carries encoded video.
pub const ENCODED: &str = "encoded";
/// Name of the element that writes segments.
pub const RECORDER: &str = "recorder";
/// Name of the queue before it.
pub const RECORD_QUEUE: &str = "record-queue";
/// Name of the queue between the camera's audio and the recorder, where there is one.
pub const AUDIO_QUEUE: &str = "audio-queue";
/// Name of the element that makes events, where there is one.
pub const EVENTS: &str = "events";
/// Name of the element that decides what is decoded.
pub const GATE: &str = "gate";

/// The elements that a recording needs; what is not among them analyses.
pub(crate) const RECORDING: [&str; 5] = [SOURCE, ENCODED, RECORDER, RECORD_QUEUE, AUDIO_QUEUE];

/// A pipeline description, checked as far as it can be without building it.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The name by which cameras ask for it.
    pub name: String,
    /// What it is for, one sentence.
    pub description: String,
    /// The graph.
    pub launch: LaunchLine,
    /// The description that runs when an analysing element of this one cannot.
    pub fallback: Option<String>,
    /// Which factory decodes which codec.
    pub decoder: Option<Decoder>,
    /// Properties, by element, that hold only for sources that do not wait.
    pub live: BTreeMap<String, BTreeMap<String, ParamValue>>,
    /// The knobs.
    pub params: BTreeMap<String, Param>,
}

/// Which factory stands at the place of the decoder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoder {
    /// Name of the element in the launch line.
    pub element: String,
    /// Factory for H.264.
    pub h264: String,
    /// Factory for H.265.
    pub h265: String,
}

impl Decoder {
    /// The factory for a codec.
    pub fn factory(&self, codec: VideoCodec) -> &str {
        match codec {
            VideoCodec::H264 => &self.h264,
            VideoCodec::H265 => &self.h265,
        }
    }
}

/// A knob: an element's property that cameras may set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Name of the element in the launch line.
    pub element: String,
    /// Its property.
    pub property: String,
    /// Unit of the value.
    pub unit: Option<String>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Whether a camera must set it.
    #[serde(default)]
    pub required: bool,
    /// Whether the value names a file; relative ones are meant from the folder of the configuration file.
    #[serde(default)]
    pub path: bool,
    /// The texts that it may be, where there are few.
    #[serde(default)]
    pub words: Vec<String>,
    /// What the text must be, where it is more than a text.
    pub syntax: Option<Syntax>,
    /// What it does.
    pub doc: String,
}

/// A text with rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Syntax {
    /// Polygons without names.
    Masks,
    /// Polygons with names.
    Zones,
}

impl Syntax {
    fn check(self, text: &str) -> Result<(), PolygonError> {
        match self {
            Self::Masks => polygon::parse_masks(text).map(drop),
            Self::Zones => polygon::parse_zones(text).map(drop),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    description: String,
    launch: String,
    fallback: Option<String>,
    decoder: Option<Decoder>,
    #[serde(default)]
    live: BTreeMap<String, BTreeMap<String, ParamValue>>,
    #[serde(default)]
    param: BTreeMap<String, Param>,
}

impl Description {
    /// Reads a description from TOML text.
    ///
    /// # Errors
    /// When the text is no description, naming the file (by `name`) and the key.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let fail = |message: String| Error::invalid(format!("pipeline {name:?}: {message}"));
        let file: File =
            toml::from_str(text).map_err(|error| fail(error.to_string().trim().to_owned()))?;
        let launch =
            LaunchLine::parse(&file.launch).map_err(|error| fail(format!("launch: {error}")))?;
        let this = Self {
            name: name.to_owned(),
            description: file.description,
            launch,
            fallback: file.fallback,
            decoder: file.decoder,
            live: file.live,
            params: file.param,
        };
        this.check_names().map_err(fail)?;
        Ok(this)
    }

    /// Which stream of a camera is decoded: the second one where there is one and the graph asks for it.
    pub fn analysed(&self, spec: &CameraSpec) -> StreamRole {
        if spec.sub_uri.is_some() && self.launch.has_pad(SOURCE, ANALYSIS) {
            StreamRole::Sub
        } else {
            StreamRole::Main
        }
    }

    fn check_names(&self) -> Result<(), String> {
        for element in [SOURCE, ENCODED, RECORDER] {
            if !self.launch.has(element) {
                return Err(format!("launch: no element has name={element}"));
            }
        }
        let decoder = self
            .decoder
            .iter()
            .map(|d| ("decoder.element".to_owned(), &d.element));
        let live = self
            .live
            .keys()
            .map(|element| (format!("live.{element}"), element));
        let params = self
            .params
            .iter()
            .map(|(key, p)| (format!("param.{key}.element"), &p.element));
        for (key, element) in decoder.chain(live).chain(params) {
            if !self.launch.has(element) {
                return Err(format!(
                    "{key}: no element of the launch line has name={element}"
                ));
            }
        }
        Ok(())
    }

    /// Checks a camera's parameters against the knobs.
    ///
    /// # Errors
    /// Every problem, in one message: unknown knobs (with the nearest name), values out of range, missing ones.
    pub fn check_params(&self, params: &BTreeMap<String, ParamValue>) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        for (key, value) in params {
            match self.params.get(key) {
                None => problems.push(self.unknown_param(key)),
                Some(param) => problems.extend(param.check(key, value)),
            }
        }
        for (key, _) in self
            .params
            .iter()
            .filter(|(key, p)| p.required && !params.contains_key(*key))
        {
            problems.push(format!(
                "params.{key} is missing: pipeline {:?} needs it",
                self.name
            ));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    fn unknown_param(&self, key: &str) -> String {
        let known: Vec<&str> = self.params.keys().map(String::as_str).collect();
        format!(
            "params.{key} is not offered by pipeline {:?}: it offers {}",
            self.name,
            known.join(", ")
        )
    }
}

impl Param {
    /// Whether a value is one of the words, where there are any.
    pub(crate) fn allows(&self, value: &ParamValue) -> bool {
        let is = |word: &String| matches!(value, ParamValue::Text(text) if text == word);
        self.words.is_empty() || self.words.iter().any(is)
    }

    fn check(&self, key: &str, value: &ParamValue) -> Option<String> {
        if !self.words.is_empty() {
            return (!self.allows(value)).then(|| {
                format!(
                    "params.{key}: {value} is not one of {}",
                    self.words.join(", ")
                )
            });
        }
        if let Some(syntax) = self.syntax {
            let ParamValue::Text(text) = value else {
                return Some(format!("params.{key} must be a text"));
            };
            let problem = syntax.check(text).err();
            return problem.map(|error| format!("params.{key}: {error}"));
        }
        let number = match value {
            ParamValue::Integer(v) => *v as f64,
            ParamValue::Float(v) => *v,
            _ if self.min.is_some() || self.max.is_some() => {
                return Some(format!("params.{key} must be a number"));
            }
            _ => return None,
        };
        let (low, high) = (
            self.min.unwrap_or(f64::NEG_INFINITY),
            self.max.unwrap_or(f64::INFINITY),
        );
        let unit = self
            .unit
            .as_deref()
            .map(|unit| format!(" {unit}"))
            .unwrap_or_default();
        (!(low..=high).contains(&number))
            .then(|| format!("params.{key} must be between {low} and {high}{unit}"))
    }
}

/// The descriptions that come with the program, by name.
const BUILT_IN: [(&str, &str); 4] = [
    ("record", include_str!("../../../pipelines/record.toml")),
    ("motion", include_str!("../../../pipelines/motion.toml")),
    ("detect", include_str!("../../../pipelines/detect.toml")),
    ("faces", include_str!("../../../pipelines/faces.toml")),
];

/// All descriptions that cameras may name.
#[derive(Debug, Clone, Default)]
pub struct Descriptions {
    by_name: BTreeMap<String, Description>,
}

impl Descriptions {
    /// The built-in descriptions, and over them those of a folder, if one is given.
    ///
    /// # Errors
    /// When a file cannot be read or is no description.
    pub fn load(folder: Option<&std::path::Path>) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for (name, text) in BUILT_IN {
            by_name.insert(name.to_owned(), Description::parse(name, text)?);
        }
        if let Some(folder) = folder {
            let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
            for entry in entries {
                let path = entry.map_err(|error| Error::io(folder, error))?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "toml")
                {
                    let name = path
                        .file_stem()
                        .map(|s| s.to_string_lossy().into_owned())
                        .unwrap_or_default();
                    let text =
                        std::fs::read_to_string(&path).map_err(|error| Error::io(&path, error))?;
                    by_name.insert(name.clone(), Description::parse(&name, &text)?);
                }
            }
        }
        let this = Self { by_name };
        for description in this.by_name.values() {
            this.chain(&description.name)?;
        }
        Ok(this)
    }

    /// A description and its fallbacks, the wanted one first.
    ///
    /// # Errors
    /// When one of them does not exist, or they go in a circle.
    pub fn chain(&self, name: &str) -> Result<Vec<Description>> {
        let mut chain: Vec<Description> = Vec::new();
        let mut next = Some(name);
        while let Some(name) = next {
            let description = self.by_name.get(name).ok_or_else(|| {
                let known: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
                Error::invalid(format!(
                    "pipeline {name:?} does not exist: there are {}",
                    known.join(", ")
                ))
            })?;
            if chain.iter().any(|seen| seen.name == name) {
                return Err(Error::invalid(format!(
                    "pipeline {name:?}: fallback goes in a circle"
                )));
            }
            chain.push(description.clone());
            next = description.fallback.as_deref();
        }
        Ok(chain)
    }

    /// All descriptions, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Description> {
        self.by_name.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAUNCH: &str =
        "launch = \"camerasrc name=source ! tee name=encoded ! segmentrecorder name=recorder\"\n";

    fn problem(text: &str) -> String {
        Description::parse("x", text).unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_ones_parse_and_chain() {
        let all = Descriptions::load(None).unwrap();
        let chain: Vec<String> = all
            .chain("detect")
            .unwrap()
            .into_iter()
            .map(|d| d.name)
            .collect();
        assert_eq!(chain, ["detect", "motion", "record"]);
        assert_eq!(
            all.chain("detct").unwrap_err().to_string(),
            "pipeline \"detct\" does not exist: there are detect, faces, motion, record"
        );
    }

    #[test]
    fn problems_name_the_key() {
        assert!(problem("description = \"\"").contains("missing field `launch`"));
        assert!(problem(&format!("description = \"\"\n{LAUNCH}nonsense = 1")).contains("nonsense"));
        let param = "[param.p]\nelement = \"motion\"\nproperty = \"p\"\ndoc = \"\"";
        assert_eq!(
            problem(&format!("description = \"\"\n{LAUNCH}{param}")),
            "pipeline \"x\": param.p.element: no element of the launch line has name=motion"
        );
        assert_eq!(
            problem("description = \"\"\nlaunch = \"videotestsrc ! fakesink\""),
            "pipeline \"x\": launch: no element has name=source"
        );
    }

    #[test]
    fn parameters_are_checked_all_at_once() {
        let detect = Descriptions::load(None)
            .unwrap()
            .chain("detect")
            .unwrap()
            .remove(0);
        let params = BTreeMap::from([
            ("threshold".to_owned(), ParamValue::Float(1.5)),
            ("treshold".to_owned(), ParamValue::Float(0.5)),
        ]);
        let problems = detect.check_params(&params).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(problems[0], "params.threshold must be between 0 and 1");
        assert!(problems[1].starts_with("params.treshold is not offered"));
        assert_eq!(
            problems[2],
            "params.model is missing: pipeline \"detect\" needs it"
        );
    }

    #[test]
    fn zones_and_masks_are_checked_before_anything_runs() {
        let motion = Descriptions::load(None)
            .unwrap()
            .chain("motion")
            .unwrap()
            .remove(0);
        let check = |key: &str, text: &str| {
            let params = BTreeMap::from([(key.to_owned(), ParamValue::Text(text.to_owned()))]);
            motion
                .check_params(&params)
                .map_err(|problems| problems[0].clone())
        };
        assert_eq!(check("zones", "porch=0,0 1,0 1,1"), Ok(()));
        assert_eq!(check("masks", "0,0 1,0 1,1"), Ok(()));
        assert_eq!(
            check("zones", "0,0 2,0 1,1").unwrap_err(),
            "params.zones: \"0,0 2,0 1,1\" is not a zone: write name=x,y x,y x,y with a name of letters, digits, - and _"
        );
        assert_eq!(
            check("masks", "0,0 2,0 1,1").unwrap_err(),
            "params.masks: \"2,0\" is not a corner: write x,y with both between 0 and 1"
        );
    }

    #[test]
    fn a_circle_of_fallbacks_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, fallback) in [("a", "b"), ("b", "a")] {
            let text = format!("description = \"\"\nfallback = \"{fallback}\"\n{LAUNCH}");
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
        }
        let error = Descriptions::load(Some(folder.path()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("circle"), "{error}");
    }
}
