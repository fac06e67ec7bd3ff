//! The encoded pictures of a camera since its last key frame, and whoever wants those that follow.
//!
//! A probe on the camera's tee feeds it: no element is added to the recording path, and a viewer that comes or
//! goes changes nothing there. The tap outlives the pipeline, so that viewers stay while a camera is rebuilt.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use gst::prelude::*;
use nvr_base::Slug;

/// Most bytes that are kept of one group of pictures; a longer one is forgotten until the next key frame.
const MAX_GOP_BYTES: usize = 32 << 20;
/// Most pictures that are kept of one group.
const MAX_GOP_FRAMES: usize = 2000;

/// Takes encoded pictures as they come.
pub(crate) trait Viewer: Send {
    /// A picture; `false` when the viewer has gone.
    fn push(&mut self, caps: &gst::Caps, buffer: &gst::Buffer) -> bool;

    /// The pictures since the last key frame have been pushed; those that follow come as they are taken.
    fn caught_up(&mut self) {}
}

/// Encoded pictures, first one a key frame, with their caps.
#[derive(Debug, Clone)]
pub struct Gop {
    /// Caps of all of them.
    pub caps: gst::Caps,
    /// The pictures.
    pub buffers: Vec<gst::Buffer>,
}

#[derive(Default)]
struct State {
    caps: Option<gst::Caps>,
    buffers: Vec<gst::Buffer>,
    bytes: usize,
    /// Whether pictures came since the source was last known to be gone.
    flowing: bool,
    viewers: Vec<Box<dyn Viewer>>,
}

/// See the module.
#[derive(Default)]
pub struct Tap {
    state: Mutex<State>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

impl Tap {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A viewer that panics must not take the recording with it.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Feeds the tap from a pad that carries encoded video.
    pub(crate) fn attach(self: &Arc<Self>, pad: &gst::Pad) {
        self.attach_while(pad, Arc::new(AtomicBool::new(true)));
    }

    /// The same, as long as `wanted` is true.
    pub(crate) fn attach_while(self: &Arc<Self>, pad: &gst::Pad, wanted: Arc<AtomicBool>) {
        let tap = Arc::clone(self);
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(types, move |_, info| {
            if !wanted.load(Ordering::Relaxed) {
                return gst::PadProbeReturn::Remove;
            }
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => tap.feed(buffer),
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Caps(caps) = event.view() {
                        tap.set_caps(caps.caps_owned());
                    }
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn set_caps(&self, caps: gst::Caps) {
        let mut state = self.lock();
        if state.caps.as_ref() != Some(&caps) {
            state.caps = Some(caps);
            state.buffers.clear();
            state.bytes = 0;
        }
    }

    fn feed(&self, buffer: &gst::Buffer) {
        let mut state = self.lock();
        let Some(caps) = state.caps.clone() else {
            return;
        };
        state.flowing = true;
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        if key {
            state.buffers.clear();
            state.bytes = 0;
        }
        let full =
            state.bytes + buffer.size() > MAX_GOP_BYTES || state.buffers.len() >= MAX_GOP_FRAMES;
        if full {
            state.buffers.clear();
            state.bytes = 0;
        } else if key || !state.buffers.is_empty() {
            state.bytes += buffer.size();
            state.buffers.push(buffer.clone());
        }
        state
            .viewers
            .retain_mut(|viewer| viewer.push(&caps, buffer));
    }

    /// Pictures have stopped: what was shown last is not what there is to see now. Viewers stay.
    pub(crate) fn dry(&self) {
        let mut state = self.lock();
        state.flowing = false;
        state.buffers.clear();
        state.bytes = 0;
    }

    /// Whether pictures come.
    pub fn is_flowing(&self) -> bool {
        self.lock().flowing
    }

    /// The caps of the stream, once known.
    pub fn caps(&self) -> Option<gst::Caps> {
        self.lock().caps.clone()
    }

    /// The pictures since the last key frame.
    pub fn gop(&self) -> Option<Gop> {
        let state = self.lock();
        let caps = state.caps.clone()?;
        (!state.buffers.is_empty()).then(|| Gop {
            caps,
            buffers: state.buffers.clone(),
        })
    }

    /// Gives a viewer the pictures since the last key frame at once, and then each new one.
    pub(crate) fn subscribe(&self, mut viewer: Box<dyn Viewer>) {
        let mut state = self.lock();
        let Some(caps) = state.caps.clone() else {
            return;
        };
        if state
            .buffers
            .iter()
            .all(|buffer| viewer.push(&caps, buffer))
        {
            viewer.caught_up();
            state.viewers.push(viewer);
        }
    }

    /// Sends every viewer away; they see the end of the stream.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        *state = State::default();
    }
}

/// The taps of all cameras.
#[derive(Debug, Clone, Default)]
pub struct Taps {
    by_camera: Arc<Mutex<HashMap<Slug, Arc<Tap>>>>,
}

impl Taps {
    fn lock(&self) -> MutexGuard<'_, HashMap<Slug, Arc<Tap>>> {
        self.by_camera
            .lock()
            .expect("no holder of this lock panics")
    }

    /// The tap of a camera that exists.
    pub fn get(&self, camera: &Slug) -> Option<Arc<Tap>> {
        self.lock().get(camera).cloned()
    }

    /// The tap of a camera, made when it is not there.
    pub(crate) fn obtain(&self, camera: &Slug) -> Arc<Tap> {
        Arc::clone(self.lock().entry(camera.clone()).or_default())
    }

    /// Removes a camera's tap.
    pub(crate) fn remove(&self, camera: &Slug) {
        if let Some(tap) = self.lock().remove(camera) {
            tap.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(key: bool, size: usize) -> gst::Buffer {
        let mut buffer = gst::Buffer::with_size(size).unwrap();
        if !key {
            buffer
                .get_mut()
                .unwrap()
                .set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        buffer
    }

    struct Counter(Arc<Mutex<usize>>, usize);
    impl Viewer for Counter {
        fn push(&mut self, _caps: &gst::Caps, _buffer: &gst::Buffer) -> bool {
            *self.0.lock().unwrap() += 1;
            *self.0.lock().unwrap() < self.1
        }
    }

    #[test]
    fn keeps_one_group_and_feeds_viewers_from_its_start() {
        gst::init().unwrap();
        let tap = Tap::default();
        tap.feed(&picture(true, 1));
        assert!(tap.gop().is_none(), "nothing is kept before caps");
        tap.set_caps(gst::Caps::new_empty_simple("video/x-h264"));
        tap.feed(&picture(false, 1));
        assert!(tap.gop().is_none(), "a group starts at a key frame");
        for key in [true, false, false, true, false] {
            tap.feed(&picture(key, 1));
        }
        assert_eq!(tap.gop().unwrap().buffers.len(), 2);
        let seen = Arc::new(Mutex::new(0));
        tap.subscribe(Box::new(Counter(Arc::clone(&seen), 4)));
        assert_eq!(*seen.lock().unwrap(), 2);
        for _ in 0..5 {
            tap.feed(&picture(false, 1));
        }
        assert_eq!(
            *seen.lock().unwrap(),
            4,
            "a viewer that has gone gets nothing"
        );
        assert!(tap.is_flowing());
        tap.dry();
        assert!(
            !tap.is_flowing() && tap.gop().is_none(),
            "yesterday's picture is not now"
        );
    }

    #[test]
    fn a_group_without_end_is_forgotten() {
        gst::init().unwrap();
        let tap = Tap::default();
        tap.set_caps(gst::Caps::new_empty_simple("video/x-h264"));
        tap.feed(&picture(true, 1));
        tap.feed(&picture(false, MAX_GOP_BYTES));
        assert!(tap.gop().is_none());
        tap.feed(&picture(false, 1));
        assert!(tap.gop().is_none());
        tap.feed(&picture(true, 1));
        assert_eq!(tap.gop().unwrap().buffers.len(), 1);
    }
}
