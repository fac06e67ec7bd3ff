//! Real models on real faces, where they lie beside the project.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use common::{EMBEDDER, YUNET, YUNET_SMALL, enrol, launch, library, photos, run, shared};
use gst::prelude::*;
use gstfacematch::DEFAULT_RULE;
use gstfacematch::file::{GalleryFile, decode};
use gstfacematch::search::dot;
use nvr_contract::face::Identity;

/// A photo's person, file name and vector; photos that are refused are left out.
fn vectors(
    models: (&str, &str),
    photos: &[(String, std::path::PathBuf)],
) -> Vec<(String, String, Vec<f32>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for (person, photo) in photos {
        let gallery = folder.path().join("one.toml");
        let file = photo.file_name().unwrap().to_str().unwrap().to_owned();
        if enrol(models, &gallery, person, photo).is_ok() {
            let read = GalleryFile::read(&gallery).unwrap();
            let vector = decode(&read.people[0].faces[0].embedding).unwrap();
            all.push((person.clone(), file, vector));
            std::fs::remove_file(&gallery).unwrap();
        }
    }
    all
}

#[test]
fn no_two_photos_of_two_people_match_and_those_of_one_do() {
    let name = "no_two_photos_of_two_people_match_and_those_of_one_do";
    let (Some(_), Some(small), Some(large), Some(embedder), Some(photos)) = (
        library(name),
        shared(name, YUNET_SMALL),
        shared(name, YUNET),
        shared(name, EMBEDDER),
        photos(name),
    ) else {
        return;
    };
    for detector in [&small, &large] {
        let all = vectors((detector, &embedder), &photos);
        let (mut same, mut other) = (Vec::new(), Vec::new());
        for (i, (person, file, vector)) in all.iter().enumerate() {
            for (person2, file2, vector2) in &all[i + 1..] {
                let similarity = dot(vector, vector2);
                println!("{similarity:.3} {file} {file2}");
                let list = if person == person2 {
                    &mut same
                } else {
                    &mut other
                };
                list.push((similarity, format!("{file} {file2}")));
            }
        }
        // Everybody who was enrolled at all is found by some other photo, and nobody by another person's.
        let threshold = DEFAULT_RULE.threshold;
        let wrong: Vec<_> = other.iter().filter(|(s, _)| *s >= threshold).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let missed: Vec<_> = same
            .iter()
            .filter(|(s, pair)| *s < threshold && !pair.contains("partial"))
            .collect();
        assert!(missed.is_empty(), "{missed:?}");
        assert!(
            all.len() >= photos.len() - 2,
            "{} of {}",
            all.len(),
            photos.len()
        );
    }
}

/// What the clip shows, by the ground truth: person, first and last picture, counted from 1. What is before is
/// not judged.
const SHOWN: [(&str, usize, usize); 2] = [("lin_manuel_miranda", 83, 211), ("obama", 212, 275)];

/// On which pictures of a pipeline's element `match` each person is named, counted from 1.
fn named_on(pipeline: &gst::Pipeline) -> BTreeMap<String, Vec<usize>> {
    let named = Arc::new(Mutex::new((0, BTreeMap::<String, Vec<usize>>::new())));
    let into = Arc::clone(&named);
    let pad = pipeline
        .by_name("match")
        .unwrap()
        .static_pad("src")
        .unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let (count, named) = &mut *into.lock().unwrap();
        *count += 1;
        let metas = info.buffer().unwrap();
        let metas = metas.iter_meta::<gst_video::VideoRegionOfInterestMeta>();
        for identity in metas.filter_map(|meta| Identity::of_meta(&meta)) {
            named.entry(identity.person).or_default().push(*count);
        }
        gst::PadProbeReturn::Ok
    });
    run(pipeline).unwrap();
    std::mem::take(&mut named.lock().unwrap().1)
}

/// The closed face events after what is not judged, by identity.
fn closed_events(file: &std::path::Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let judged = event["end_ns"]
            .as_f64()
            .is_some_and(|ns| ns * 29.97 / 1e9 + 1.0 >= SHOWN[0].1 as f64);
        if judged && event["type"] == "closed" && event["kind"] == "face" {
            let who = event["identity"].as_str().unwrap_or("nobody").to_owned();
            of.entry(who)
                .or_default()
                .insert(event["id"].as_str().unwrap().to_owned());
        }
    }
    of
}

#[test]
fn everybody_in_the_clip_has_one_event_with_the_right_name() {
    let name = "everybody_in_the_clip_has_one_event_with_the_right_name";
    let (Some(_), Some(detector), Some(large), Some(embedder), Some(clip), Some(photos)) = (
        library(name),
        shared(name, YUNET_SMALL),
        shared(name, YUNET),
        shared(name, EMBEDDER),
        shared(name, "media/video/short_hamilton_clip.mp4"),
        photos(name),
    ) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let gallery = folder.path().join("people.toml");
    for (person, photo) in &photos {
        enrol((&large, &embedder), &gallery, person, photo).unwrap();
    }
    let events = folder.path().join("events.jsonl");
    let pipeline = launch(&format!(
        "filesrc location={clip} ! qtdemux ! h264parse ! avdec_h264 ! onnxinfer model={detector} threshold=0.7 live=no \
         ! objecttrack ! facematch name=match model={embedder} gallery={} ! eventsink location={}",
        gallery.display(),
        events.display(),
    ));
    let pictures = named_on(&pipeline);
    // No wrong name on any picture.
    for (person, at) in pictures
        .iter()
        .filter(|(person, _)| !person.starts_with("stranger-"))
    {
        let shown = SHOWN.iter().find(|(who, ..)| who == person);
        let (_, from, to) = shown.unwrap_or_else(|| panic!("{person} is not in the clip"));
        let wrong: Vec<_> = at
            .iter()
            .filter(|n| **n >= SHOWN[0].1 && (*n < from || *n > to))
            .collect();
        assert!(wrong.is_empty(), "{person} is named on {wrong:?}");
    }
    // One event each.
    let of = closed_events(&events);
    for (person, ..) in SHOWN {
        assert_eq!(
            of.get(person).map_or(0, BTreeSet::len),
            1,
            "{person}: {of:?}"
        );
    }
}
