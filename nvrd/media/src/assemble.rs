//! A description and a camera become a pipeline, or the launch line that builds the same one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gst::glib;
use gst::prelude::*;
use nvr_base::{Error, Result};
use nvr_contract::source::VideoCodec;

use crate::description::{self, Description};
use crate::launch::LaunchLine;
use crate::spec::{CameraSpec, ParamValue};

/// A pipeline and the elements that the daemon talks to.
#[derive(Debug, Clone)]
pub(crate) struct Assembled {
    pub(crate) pipeline: gst::Pipeline,
    pub(crate) source: gst::Element,
    pub(crate) encoded: gst::Element,
    pub(crate) codec: VideoCodec,
    /// False once the pipeline is left behind: nobody listens to it any more.
    pub(crate) wanted: Arc<AtomicBool>,
}

/// A property to set: element, property, value.
type Setting = (String, String, ParamValue);

/// The launch line for the codec of the analysed stream and a pace, before any value of the camera.
fn line_for(description: &Description, live: bool, codec: VideoCodec) -> LaunchLine {
    let mut line = description.launch.clone();
    if let Some(decoder) = &description.decoder {
        line.set_factory(&decoder.element, decoder.factory(codec));
    }
    if live {
        for (element, properties) in &description.live {
            for (property, value) in properties {
                line.set_property(element, property, &value.to_string());
            }
        }
    }
    line
}

/// First 12 hex digits of the BLAKE3 over the graph and the knobs: two events with one hash were made alike.
pub fn pipeline_hash(description: &Description, spec: &CameraSpec) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(description.launch.to_text().as_bytes());
    for (key, value) in knobs(description, spec) {
        hasher.update(format!("\n{key}={value}").as_bytes());
    }
    hasher.finalize().to_hex()[..12].to_owned()
}

/// The camera's knobs that this description has; a fallback has fewer.
fn knobs<'a>(
    description: &'a Description,
    spec: &'a CameraSpec,
) -> impl Iterator<Item = (&'a String, &'a ParamValue)> {
    spec.params
        .iter()
        // A fallback that makes no events must not wait for one: it keeps its own word.
        .filter(|(key, value)| {
            let param = description.params.get(*key);
            param.is_some_and(|param| param.allows(value))
        })
}

fn settings(description: &Description, spec: &CameraSpec, recordings: &Path) -> Vec<Setting> {
    let text = |text: String| ParamValue::Text(text);
    let mut settings = vec![
        (
            description::SOURCE.to_owned(),
            "uri".to_owned(),
            text(spec.uri.clone()),
        ),
        (
            description::RECORDER.to_owned(),
            "location".to_owned(),
            text(recordings.display().to_string()),
        ),
    ];
    if let Some(sub_uri) = &spec.sub_uri {
        let source = description::SOURCE.to_owned();
        settings.push((source, "sub-uri".to_owned(), text(sub_uri.clone())));
    }
    if description.launch.has(description::EVENTS) {
        let hash = pipeline_hash(description, spec);
        let events = || description::EVENTS.to_owned();
        settings.push((events(), "pipeline".to_owned(), text(hash)));
        // Two cameras of one pipeline must not share the id of an event.
        settings.push((events(), "id-seed".to_owned(), text(spec.name.to_string())));
    }
    for (key, value) in knobs(description, spec) {
        let param = &description.params[key];
        settings.push((param.element.clone(), param.property.clone(), value.clone()));
    }
    settings
}

/// Where the recorder writes, in an order in which no step lets it write to a storage that was not asked for: the
/// new file does not hold the old identity.
pub(crate) fn storage_settings(spec: &CameraSpec) -> Vec<(&'static str, ParamValue)> {
    let location = ParamValue::Text(spec.recordings.display().to_string());
    let (file, id) = match &spec.storage {
        Some(mark) => (mark.file.display().to_string(), mark.id.clone()),
        None => (String::new(), String::new()),
    };
    vec![
        ("identity-file", ParamValue::Text(file)),
        ("location", location),
        ("identity", ParamValue::Text(id)),
    ]
}

/// What the camera element has to be told beside its URI: the knobs that turn it.
pub(crate) fn source_knobs(spec: &CameraSpec) -> Vec<(String, ParamValue)> {
    let description = &spec.pipelines[0];
    knobs(description, spec)
        .map(|(key, value)| (&description.params[key], value))
        .filter(|(param, _)| param.element == description::SOURCE)
        .map(|(param, value)| (param.property.clone(), value.clone()))
        .collect()
}

/// Builds the pipeline of a camera; it stays in the NULL state.
///
/// # Errors
/// When an element is missing or refuses a value; the sentence names it.
pub(crate) fn assemble(
    spec: &CameraSpec,
    description: &Description,
    codec: VideoCodec,
    now_unix_us: i64,
    wanted: Arc<AtomicBool>,
) -> Result<Assembled> {
    let line = line_for(description, spec.is_live(), codec);
    check_factories(&line)?;
    // The text comes from a description file; no value of the camera is in it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where description text becomes a graph"
    )]
    let built = gst::parse::launch(&line.to_text()).map_err(|error| {
        Error::invalid(format!(
            "pipeline {:?}: launch: {}",
            description.name,
            error.message()
        ))
    })?;
    let pipeline = built.downcast::<gst::Pipeline>().map_err(|_| {
        Error::invalid(format!(
            "pipeline {:?}: launch: is a single element",
            description.name
        ))
    })?;
    for (element, property, value) in settings(description, spec, &spec.recordings) {
        set(&child(&pipeline, &element)?, &property, &value)?;
    }
    let recorder = child(&pipeline, description::RECORDER)?;
    for (property, value) in storage_settings(spec) {
        set(&recorder, property, &value)?;
    }
    let source = child(&pipeline, description::SOURCE)?;
    if let Some(credentials) = &spec.credentials {
        set(
            &source,
            "user-id",
            &ParamValue::Text(credentials.user.clone()),
        )?;
        set(
            &source,
            "user-pw",
            &ParamValue::Text(credentials.password.expose().to_owned()),
        )?;
    }
    if !spec.is_live() {
        // A file has no wall time of its own; in the daemon it is as if it were filmed now.
        set(&source, "start-unix-us", &ParamValue::Integer(now_unix_us))?;
    }
    if let Some(events) = pipeline.by_name(description::EVENTS) {
        set(
            &events,
            "thumbnails",
            &ParamValue::Text(spec.thumbnails.display().to_string()),
        )?;
    }
    let encoded = child(&pipeline, description::ENCODED)?;
    Ok(Assembled {
        pipeline,
        source,
        encoded,
        codec,
        wanted,
    })
}

/// The shell line that builds the same graph, with segments and events written below a folder.
///
/// # Errors
/// When a value does not fit its property.
pub fn render(
    spec: &CameraSpec,
    description: &Description,
    codec: VideoCodec,
    output: &Path,
) -> Result<String> {
    let mut line = line_for(description, spec.is_live(), codec);
    let recordings = output.join(spec.name.as_str());
    for (element, property, value) in settings(description, spec, &recordings) {
        line.set_property(&element, &property, &value.to_string());
    }
    if description.launch.has(description::EVENTS) {
        let events = output.join(format!("{}.events.jsonl", spec.name));
        line.set_property(
            description::EVENTS,
            "location",
            &events.display().to_string(),
        );
    }
    Ok(line.to_shell())
}

/// Checks, without running anything, that a description can be built and its knobs exist.
///
/// # Errors
/// Every problem, as sentences.
pub fn check(description: &Description) -> Result<(), Vec<String>> {
    let fail = |message: String| format!("pipeline {:?}: {message}", description.name);
    let mut problems = Vec::new();
    let codecs = if description.decoder.is_some() {
        VideoCodec::ALL
    } else {
        &VideoCodec::ALL[..1]
    };
    for &codec in codecs {
        let line = line_for(description, true, codec);
        if let Err(error) = check_factories(&line) {
            problems.push(fail(error.to_string()));
            continue;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the text comes from a description file"
        )]
        if let Err(error) = gst::parse::launch(&line.to_text()) {
            problems.push(fail(format!("launch: {}", error.message())));
        }
    }
    for (key, param) in &description.params {
        let factory = description
            .launch
            .factory_of(&param.element)
            .unwrap_or_default();
        let Some(element) = gst::ElementFactory::make(factory).build().ok() else {
            continue;
        };
        if element.find_property(&param.property).is_none() {
            problems.push(fail(format!(
                "param.{key}: {factory} has no property {:?}",
                param.property
            )));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn check_factories(line: &LaunchLine) -> Result<()> {
    match line
        .factories()
        .find(|name| gst::ElementFactory::find(name).is_none())
    {
        None => Ok(()),
        Some(missing) => Err(Error::precondition(format!(
            "element {missing:?} is not installed: scripts/setup --check names the missing packages"
        ))),
    }
}

fn child(pipeline: &gst::Pipeline, name: &str) -> Result<gst::Element> {
    pipeline
        .by_name(name)
        .ok_or_else(|| Error::invalid(format!("the pipeline has no element named {name}")))
}

/// Sets a property from a value, refusing what does not fit instead of aborting.
pub(crate) fn set(element: &gst::Element, property: &str, value: &ParamValue) -> Result<()> {
    let fail =
        |message: String| Error::invalid(format!("{}.{property}: {message}", element.name()));
    let pspec = element
        .find_property(property)
        .ok_or_else(|| fail("there is no such property".to_owned()))?;
    let value = to_value(&pspec, value).map_err(fail)?;
    element.set_property_from_value(property, &value);
    Ok(())
}

fn to_value(pspec: &glib::ParamSpec, value: &ParamValue) -> Result<glib::Value, String> {
    macro_rules! integer {
        ($spec:ty, $number:ty) => {
            if let Some(spec) = pspec.downcast_ref::<$spec>() {
                let ParamValue::Integer(v) = value else {
                    return Err(format!("{value} is not a whole number"));
                };
                let range = spec.minimum()..=spec.maximum();
                let fits = <$number>::try_from(*v).ok().filter(|v| range.contains(v));
                return fits.map(|v| v.to_value()).ok_or_else(|| {
                    format!("{v} is not between {} and {}", range.start(), range.end())
                });
            }
        };
    }
    integer!(glib::ParamSpecInt, i32);
    integer!(glib::ParamSpecUInt, u32);
    integer!(glib::ParamSpecInt64, i64);
    integer!(glib::ParamSpecUInt64, u64);
    if let Some(spec) = pspec.downcast_ref::<glib::ParamSpecDouble>() {
        let range = spec.minimum()..=spec.maximum();
        let number = number(value)?;
        let problem = || {
            format!(
                "{number} is not between {} and {}",
                range.start(),
                range.end()
            )
        };
        return range
            .contains(&number)
            .then(|| number.to_value())
            .ok_or_else(problem);
    }
    if let Some(spec) = pspec.downcast_ref::<glib::ParamSpecFloat>() {
        let range = spec.minimum()..=spec.maximum();
        let number = number(value)? as f32;
        let problem = || {
            format!(
                "{number} is not between {} and {}",
                range.start(),
                range.end()
            )
        };
        return range
            .contains(&number)
            .then(|| number.to_value())
            .ok_or_else(problem);
    }
    match value {
        ParamValue::Bool(v) if pspec.value_type() == glib::Type::BOOL => Ok(v.to_value()),
        ParamValue::Text(v) if pspec.value_type() == glib::Type::STRING => Ok(v.to_value()),
        ParamValue::Text(nick) => glib::EnumClass::with_type(pspec.value_type())
            .ok_or_else(|| format!("{nick:?} is a text, {} is wanted", pspec.value_type()))?
            .to_value_by_nick(nick)
            .ok_or_else(|| format!("{nick:?} is not one of its words")),
        other => Err(format!("{other} is not of type {}", pspec.value_type())),
    }
}

fn number(value: &ParamValue) -> Result<f64, String> {
    match value {
        ParamValue::Float(v) => Ok(*v),
        ParamValue::Integer(v) => Ok(*v as f64),
        other => Err(format!("{other} is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_refused_not_fatal() {
        gst::init().unwrap();
        let queue = gst::ElementFactory::make("queue")
            .name("q")
            .build()
            .unwrap();
        let check = |property: &str, value: ParamValue, expect: Result<(), &str>| {
            let got = set(&queue, property, &value).map_err(|error| error.to_string());
            assert_eq!(got, expect.map_err(str::to_owned), "{property} = {value}");
        };
        let text = |t: &str| ParamValue::Text(t.to_owned());
        check("leaky", text("downstream"), Ok(()));
        check("max-size-buffers", ParamValue::Integer(4), Ok(()));
        check("silent", ParamValue::Bool(true), Ok(()));
        check(
            "leaky",
            text("sideways"),
            Err("q.leaky: \"sideways\" is not one of its words"),
        );
        check(
            "max-size-buffers",
            ParamValue::Integer(-1),
            Err("q.max-size-buffers: -1 is not between 0 and 4294967295"),
        );
        check(
            "max-size-buffers",
            text("4"),
            Err("q.max-size-buffers: 4 is not a whole number"),
        );
        check(
            "silent",
            ParamValue::Integer(1),
            Err("q.silent: 1 is not of type gboolean"),
        );
        check(
            "nothing",
            ParamValue::Bool(true),
            Err("q.nothing: there is no such property"),
        );
    }

    #[test]
    fn a_missing_element_is_named() {
        gst::init().unwrap();
        let line = LaunchLine::parse("videotestsrc name=a ! nosuchelement ! fakesink").unwrap();
        assert!(
            check_factories(&line)
                .unwrap_err()
                .to_string()
                .starts_with("element \"nosuchelement\" is not installed")
        );
    }
}
