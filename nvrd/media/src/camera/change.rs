//! Which changes of a specification a running pipeline can take without a restart.

use gst::prelude::*;

use crate::assemble::Assembled;
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
        ..new.clone()
    } == *old;
    let removed = old.params.keys().any(|key| !new.params.contains_key(key));
    if !same || removed {
        return None;
    }
    let description = &new.pipelines[level.min(new.pipelines.len() - 1)];
    let changed = new
        .params
        .iter()
        .filter(|(key, value)| old.params.get(*key) != Some(*value));
    changed
        .filter_map(|(key, value)| Some((description.params.get(key)?, value)))
        .map(|(param, value)| {
            let element = running.pipeline.by_name(&param.element)?;
            let pspec = element.find_property(&param.property)?;
            let mutable = pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING);
            mutable.then(|| (element, param.property.clone(), value.clone()))
        })
        .collect()
}
