//! Keeps what lies behind the decoder from noticing that the decoder was wound back.
//!
//! A decoder that is flushed passes the flush on, and decodes its first key frame a second time. On the decoder's
//! source pad a probe takes both away, and the events that made it drain.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;

/// Elements between the gate and the decoder that are looked behind: parsers, capsfilters, queues.
const REACH: usize = 8;

/// The probe and what it takes away.
#[derive(Debug, Default)]
pub(super) struct Shield {
    watch: Arc<Mutex<Watch>>,
    place: Mutex<Option<(glib::WeakRef<gst::Pad>, gst::PadProbeId)>>,
}

#[derive(Debug, Default)]
struct Watch {
    /// The flush that is ours.
    flush: Option<gst::Seqnum>,
    /// Pictures up to this PTS were shown.
    shown_ns: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shield {
    /// Stands behind the decoder that is fed by `src`; without one nothing is taken away.
    pub(super) fn stand(&self, src: &gst::Pad) {
        let mut place = lock(&self.place);
        let behind = decoded_pad(src);
        let stands = place.as_ref().and_then(|(pad, _)| pad.upgrade());
        if stands == behind {
            return;
        }
        leave(place.take());
        let Some(pad) = behind else { return };
        let watch = Arc::clone(&self.watch);
        let mask = gst::PadProbeType::BUFFER
            | gst::PadProbeType::EVENT_DOWNSTREAM
            | gst::PadProbeType::EVENT_FLUSH;
        let probe = pad.add_probe(mask, move |_, info| {
            let mut watch = lock(&watch);
            match &info.data {
                Some(gst::PadProbeData::Event(event)) => watch.event(event),
                Some(gst::PadProbeData::Buffer(buffer)) => watch.picture(buffer),
                _ => gst::PadProbeReturn::Ok,
            }
        });
        *place = probe.map(|id| (pad.downgrade(), id));
    }

    /// Expects a flush, and pictures up to `shown_ns` for the second time.
    pub(super) fn expect(&self, flush: gst::Seqnum, shown_ns: Option<u64>) {
        *lock(&self.watch) = Watch {
            flush: Some(flush),
            shown_ns,
        };
    }

    /// Nothing that was shown comes again.
    pub(super) fn forget(&self) {
        *lock(&self.watch) = Watch::default();
    }

    /// Leaves the decoder.
    pub(super) fn leave(&self) {
        self.forget();
        leave(lock(&self.place).take());
    }
}

fn leave(place: Option<(glib::WeakRef<gst::Pad>, gst::PadProbeId)>) {
    if let Some((pad, probe)) = place
        && let Some(pad) = pad.upgrade()
    {
        pad.remove_probe(probe);
    }
}

impl Watch {
    fn event(&self, event: &gst::Event) -> gst::PadProbeReturn {
        let taken = match event.view() {
            gst::EventView::FlushStart(_) | gst::EventView::FlushStop(_) => {
                self.flush == Some(event.seqnum())
            }
            gst::EventView::CustomDownstream(_) => gst_video::StillFrameEvent::parse(event).is_ok(),
            _ => false,
        };
        match taken {
            true => gst::PadProbeReturn::Handled,
            false => gst::PadProbeReturn::Ok,
        }
    }

    fn picture(&mut self, buffer: &gst::Buffer) -> gst::PadProbeReturn {
        let Some(shown_ns) = self.shown_ns else {
            return gst::PadProbeReturn::Ok;
        };
        if buffer.pts().is_some_and(|pts| pts.nseconds() <= shown_ns) {
            return gst::PadProbeReturn::Handled;
        }
        self.shown_ns = None;
        gst::PadProbeReturn::Ok
    }
}

/// The first pad behind `src` on which raw video comes out.
fn decoded_pad(src: &gst::Pad) -> Option<gst::Pad> {
    let mut pad = src.clone();
    for _ in 0..REACH {
        let element = pad.peer()?.parent_element()?;
        let next = element.static_pad("src")?;
        let caps = next
            .current_caps()
            .unwrap_or_else(|| next.pad_template_caps());
        let raw = |s: &gst::StructureRef| s.name() == "video/x-raw";
        if !caps.is_any() && caps.iter().next().is_some_and(raw) {
            return Some(next);
        }
        pad = next;
    }
    None
}
