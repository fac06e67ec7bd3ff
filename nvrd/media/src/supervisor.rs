//! Desired state in, actual state out: one thread per camera, started, changed and stopped by comparing lists.

use std::collections::HashMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use nvr_base::{Clock, Error, Result, Slug};

use crate::camera::{Camera, Command, Context, Input, Triggered};
use crate::notice::{CameraState, CameraStatus, Notice};
use crate::spec::CameraSpec;
use crate::tap::Taps;

/// Messages of one camera that may wait; at some ten a second it is minutes of a stalled database.
const INBOX: usize = 4096;

/// How long a camera may take to hear a person's wish.
const TRIGGER_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

struct Handle {
    outbox: SyncSender<Input>,
    status: Arc<Mutex<CameraStatus>>,
    thread: JoinHandle<()>,
}

/// See the module.
pub struct Supervisor {
    clock: Arc<dyn Clock>,
    /// Gone once the cameras have been stopped, so that the receiver sees the end.
    notices: Mutex<Option<SyncSender<Notice>>>,
    taps: Taps,
    cameras: Mutex<HashMap<Slug, Handle>>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").finish_non_exhaustive()
    }
}

impl Supervisor {
    /// A supervisor of no cameras; what they do goes to `notices`.
    pub fn new(clock: Arc<dyn Clock>, notices: SyncSender<Notice>, taps: Taps) -> Self {
        Self {
            clock,
            notices: Mutex::new(Some(notices)),
            taps,
            cameras: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Slug, Handle>> {
        self.cameras.lock().expect("no holder of this lock panics")
    }

    /// Makes the cameras what the list says: cameras that are not in it stop, new ones start, changed ones change.
    ///
    /// The others are not touched. Returns when those that had to stop have stopped.
    ///
    /// # Errors
    /// When a camera's thread could not be started; the other cameras are as the list says.
    pub fn apply(&self, desired: Vec<CameraSpec>) -> Result<()> {
        let mut failed = None;
        let removed: Vec<(Slug, Handle)> = {
            let mut cameras = self.lock();
            let gone: Vec<Slug> = cameras
                .keys()
                .filter(|name| !desired.iter().any(|spec| spec.name == **name))
                .cloned()
                .collect();
            let removed = gone
                .into_iter()
                .filter_map(|name| cameras.remove_entry(&name))
                .collect();
            for spec in desired {
                match cameras.get(&spec.name) {
                    Some(handle) => send(handle, Command::Update(Box::new(spec))),
                    None => match self.spawn(spec) {
                        Ok((name, handle)) => drop(cameras.insert(name, handle)),
                        Err(error) => failed = Some(error),
                    },
                }
            }
            removed
        };
        self.finish(removed, true);
        failed.map_or(Ok(()), Err)
    }

    fn spawn(&self, spec: CameraSpec) -> Result<(Slug, Handle)> {
        let notices = self
            .notices
            .lock()
            .expect("no holder of this lock panics")
            .clone();
        let notices = notices.ok_or_else(|| Error::unavailable("the daemon is stopping"))?;
        let name = spec.name.clone();
        let (outbox, inbox) = sync_channel(INBOX);
        let status = Arc::new(Mutex::new(CameraStatus {
            state: CameraState::Stopped,
            since_unix_us: self.clock.unix_us(),
            detail: None,
            loss: None,
            pipeline: spec.pipelines[0].name.clone(),
            recording: false,
            codec: None,
            size: None,
            fps: None,
            restarts: 0,
            abandoned: 0,
            decoding: None,
        }));
        let context = Context {
            clock: Arc::clone(&self.clock),
            notices,
            status: Arc::clone(&status),
            tap: self.taps.obtain(&name),
        };
        let camera = Camera::new(spec, context, inbox, outbox.clone());
        let thread = std::thread::Builder::new()
            .name(format!("camera-{name}"))
            .spawn(move || camera.run())
            .map_err(|error| {
                Error::exhausted(format!("camera {:?}: no thread: {error}", name.as_str()))
            })?;
        Ok((
            name,
            Handle {
                outbox,
                status,
                thread,
            },
        ))
    }

    /// Stops cameras; `gone` when the daemon goes on without them.
    fn finish(&self, removed: Vec<(Slug, Handle)>, gone: bool) {
        for (_, handle) in &removed {
            send(handle, Command::Quit { removed: gone });
        }
        for (name, handle) in removed {
            if handle.thread.join().is_err() {
                tracing::error!(camera.id = %name, "the camera's thread panicked");
            }
            self.taps.remove(&name);
        }
    }

    /// The actual state of a camera, `None` when there is no such camera.
    pub fn status(&self, name: &Slug) -> Option<CameraStatus> {
        let status = Arc::clone(&self.lock().get(name)?.status);
        let status = status
            .lock()
            .expect("no holder of this lock panics")
            .clone();
        Some(status)
    }

    /// How many cameras are looked after.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Has a camera make an event with that id for a person; see [`Triggered`].
    ///
    /// # Errors
    /// `NotFound` without such a camera, `FailedPrecondition` when it does not run, `Unavailable` when it is busy
    /// being stopped or built.
    pub fn trigger(&self, name: &Slug, id: String, seconds: u32) -> Result<Triggered> {
        let (reply, answer) = sync_channel(1);
        {
            let cameras = self.lock();
            let handle = cameras.get(name).ok_or_else(|| {
                Error::not_found(format!("no camera is called {:?}", name.as_str()))
            })?;
            send(handle, Command::Trigger { id, seconds, reply });
        }
        answer.recv_timeout(TRIGGER_WAIT).map_err(|_| {
            Error::unavailable(format!("camera {:?} is busy: try again", name.as_str()))
        })?
    }

    /// Stops every camera in order: files and events are closed. None starts after that.
    pub fn stop(&self) {
        drop(
            self.notices
                .lock()
                .expect("no holder of this lock panics")
                .take(),
        );
        let all: Vec<(Slug, Handle)> = self.lock().drain().collect();
        self.finish(all, false);
    }
}

fn send(handle: &Handle, command: Command) {
    // Fails only when the camera's thread has panicked, which is logged when it is joined.
    drop(handle.outbox.send(Input::Command(command)));
}
