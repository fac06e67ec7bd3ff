//! A second model on the regions that a first one found: what it says of each is written to the region.

use nvr_contract::attribute::{Classified, Embedding, Text};
use nvr_contract::detection::Detection;
use nvr_onnx::facts::Task;
use nvr_onnx::model::{AnalysisError, Model};
use nvr_onnx::preprocess::InputTensor;

use super::stream::{Stream, StreamError};
use crate::filter::Wish;

/// What the model says of a region.
enum Answer {
    Classified(Classified),
    Embedding(Embedding),
    Text(Text),
}

/// Asks the model about the regions of the wanted labels, the first `limit` of them; how many that were.
///
/// # Errors
/// When the model fails.
pub fn look(
    stream: &mut Stream,
    buffer: &mut gst::BufferRef,
    wish: &Wish,
    limit: usize,
) -> Result<usize, StreamError> {
    let wanted: Vec<&str> = wish
        .labels
        .split(',')
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let found = Detection::all_of_buffer(buffer);
    let regions = found
        .iter()
        .filter(|f| wanted.is_empty() || wanted.contains(&f.detection.label.as_str()));
    let mut answers = Vec::new();
    for region in regions.take(limit) {
        let answer = stream.ask(buffer, region.detection.bbox, |model, tensor| {
            answer(model, tensor, wish.threshold)
        })?;
        if let Some(Some(answer)) = answer {
            answers.push((region.roi_id, answer));
        }
    }
    let count = answers.len();
    for mut meta in buffer.iter_meta_mut::<gst_video::VideoRegionOfInterestMeta>() {
        // Ids of other detectors may repeat; each answer is used once, in order.
        if !Detection::is_on(&meta) {
            continue;
        }
        if let Some(at) = answers.iter().position(|(id, _)| *id == meta.id()) {
            match answers.remove(at).1 {
                Answer::Classified(it) => it.add_to_meta(&mut meta),
                Answer::Embedding(it) => it.add_to_meta(&mut meta),
                Answer::Text(it) => it.add_to_meta(&mut meta),
            }
        }
    }
    Ok(count)
}

/// `None` when it is not sure enough.
fn answer(
    model: &Model,
    tensor: &InputTensor,
    threshold: f64,
) -> Result<Option<Answer>, AnalysisError> {
    let hash = model.hash().to_owned();
    let sure = |score: f32| f64::from(score) >= threshold;
    Ok(match model.facts().task {
        Task::Embedding => Some(Answer::Embedding(Embedding {
            vector: model.embed(tensor)?,
            model: hash,
        })),
        Task::Text => {
            let (text, score) = model.read_text(tensor)?;
            (sure(score) && !text.is_empty()).then(|| {
                Answer::Text(Text {
                    text,
                    score: f64::from(score),
                    model: hash,
                })
            })
        }
        _ => model
            .classify(tensor, 1)?
            .first()
            .filter(|(_, score)| sure(*score))
            .map(|(class, score)| {
                Answer::Classified(Classified {
                    label: model.label(*class),
                    label_id: i32::try_from(*class).unwrap_or(i32::MAX),
                    score: f64::from(*score).clamp(0.0, 1.0),
                    model: hash,
                })
            }),
    })
}
