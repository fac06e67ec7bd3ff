//! Files that are recorded for real and an ingest that hears of them, for tests that must not know how.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use gst::prelude::*;
use nvr_base::{Clock, Shutdown};
use nvr_contract::Message;
use nvr_contract::segment::{SegmentClosed, SegmentOpened};
use nvr_media::{Notice, What};
use nvr_store::Store;

use crate::hub::Hub;
use crate::ingest::Ingest;
use crate::live::Live;
use crate::storage::Storage;

/// Files of some pictures each, recorded for real, with what the recorder said.
pub(crate) fn record(folder: &Path) -> Vec<What> {
    crate::plugins::register().unwrap();
    let make = |factory: &str| gst::ElementFactory::make(factory).build().unwrap();
    let (source, recorder) = (make("camerasrc"), make("segmentrecorder"));
    source.set_property(
        "uri",
        "test://ball?width=64&height=64&frames=80&realtime=false",
    );
    source.set_property("start-unix-us", 1_767_225_600_000_000_i64);
    recorder.set_property("location", folder.display().to_string());
    recorder.set_property("segment-duration", 1_000_000_000_u64);
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, &recorder]).unwrap();
    let sink = recorder.static_pad("video").unwrap();
    source.connect_pad_added(move |_, pad| {
        if pad.name() == "video" {
            pad.link(&sink).unwrap();
        }
    });
    if let Some(pad) = source.static_pad("video") {
        pad.link(&recorder.static_pad("video").unwrap()).ok();
    }
    let started = pipeline.set_state(gst::State::Playing);
    let bus = pipeline.bus().unwrap();
    if started.is_err() {
        panic!("{:?}", bus.pop_filtered(&[gst::MessageType::Error]));
    }
    let mut said = Vec::new();
    for message in bus.iter_timed(gst::ClockTime::from_seconds(30)) {
        if let gst::MessageView::Error(error) = message.view() {
            panic!("{error:?}");
        }
        if message.type_() == gst::MessageType::Eos {
            break;
        }
        let opened =
            SegmentOpened::from_message(&message).map(|it| What::SegmentOpened(it.unwrap()));
        let closed =
            SegmentClosed::from_message(&message).map(|it| What::SegmentClosed(it.unwrap()));
        said.extend(opened.or(closed));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    said
}

/// The ingest of a daemon on a thread of its own, which ends once the sender of notices has gone.
pub(crate) fn hear(
    store: Store,
    storage: Arc<Storage>,
    clock: Arc<dyn Clock>,
    hub: Arc<Hub>,
    live: Arc<Live>,
) -> (Sender<Notice>, JoinHandle<()>) {
    let committed = hub.committed().clone();
    let ingest = Ingest::new(store, storage, clock, committed, Shutdown::new());
    let ingest = ingest.with_live(live).with_hub(hub);
    let (sender, inbox) = channel();
    (sender, std::thread::spawn(move || ingest.run(&inbox)))
}
