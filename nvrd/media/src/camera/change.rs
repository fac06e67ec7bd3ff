//! Which changes of a specification a running pipeline can take without a restart.

use gst::prelude::*;

use crate::assemble::{self, Assembled};
use crate::description;
use crate::spec::{CameraSpec, ParamValue};

/// The property changes that lead from one specification to the other without a restart, `None` when one is needed.
pub(super) fn live_changes(
    old: &CameraSpec,
    new: &CameraSpec,
    level: usize,
    running: &Assembled,
) -> Option<Vec<(gst::Element, String, ParamValue)>> {
    let same = CameraSpec {
        params: old.params.clone(),
        recordings: old.recordings.clone(),
        storage: old.storage.clone(),
        ..new.clone()
    } == *old;
    let removed = old.params.keys().any(|key| !new.params.contains_key(key));
    if !same || removed {
        return None;
    }
    let mut changes = Vec::new();
    if (&old.recordings, &old.storage) != (&new.recordings, &new.storage) {
        let recorder = running.pipeline.by_name(description::RECORDER)?;
        for (property, value) in assemble::storage_settings(new) {
            changes.push(live(&recorder, property, value)?);
        }
    }
    let description = &new.pipelines[level.min(new.pipelines.len() - 1)];
    let changed = new
        .params
        .iter()
        .filter(|(key, value)| old.params.get(*key) != Some(*value));
    for (key, value) in changed {
        let Some(param) = description.params.get(key) else {
            continue;
        };
        let element = running.pipeline.by_name(&param.element)?;
        changes.push(live(&element, &param.property, value.clone())?);
    }
    Some(changes)
}

/// The change of a property that takes effect while it plays, `None` for another one.
fn live(
    element: &gst::Element,
    property: &str,
    value: ParamValue,
) -> Option<(gst::Element, String, ParamValue)> {
    let pspec = element.find_property(property)?;
    let mutable = pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING);
    mutable.then(|| (element.clone(), property.to_owned(), value))
}
