//! What the gate before the decoder does, for the camera's state, and who asks it to let everything through.

use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use nvr_contract::gate::{Bypass, OpenReason};
use nvr_contract::stats;

use super::Camera;
use crate::description;
use crate::notice::Decoding;

/// The name by which a person's wish is known to the gate.
const TRIGGER: &str = "trigger";

impl Camera {
    fn gate(&self) -> Option<gst::Element> {
        let running = self.running.as_ref()?;
        running.pipeline.by_name(description::GATE)
    }

    /// Puts what the gate counts now into the camera's state.
    pub(super) fn note_decoding(&self) {
        let decoding = self.gate().and_then(|gate| decoding_of(&gate));
        let mut status = self.status.lock().expect("no holder of this lock panics");
        status.decoding = decoding;
    }

    /// Has everything decoded for a while: somebody wants to know what is there.
    pub(super) fn decode_all_for(&self, duration: Duration) {
        let Some(gate) = self.gate() else { return };
        if glib::subclass::SignalId::lookup("open", gate.type_()).is_some() {
            let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            // 0 would be for ever.
            gate.emit_by_name::<()>("open", &[&TRIGGER, &ns.max(1)]);
        }
    }
}

/// `None` when the element of that name is another one.
fn decoding_of(gate: &gst::Element) -> Option<Decoding> {
    gate.find_property("stats")?;
    let counted = gate.property::<Option<gst::Structure>>("stats")?;
    let word = |field: &str| counted.get::<&str>(field).ok();
    Some(Decoding {
        all: counted.get(stats::OPEN).ok()?,
        reason: word(stats::REASON).and_then(OpenReason::from_word),
        bypass: word(stats::BYPASS).and_then(Bypass::from_word),
        share: counted.get(stats::SHARE_DECODED).ok()?,
        opened: counted.get(stats::OPENED).ok()?,
        keyframe_interval_ns: counted.get(stats::KEYFRAME_INTERVAL_NS).ok(),
    })
}
