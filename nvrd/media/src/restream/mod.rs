//! Serves each camera over RTSP as it comes, without transcoding, to those who may see it.

mod media;
mod gate;
mod digest;
mod guests;
mod door;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use gst::glib;
use gst_rtsp_server::prelude::*;
use nvr_base::{Error, Result, Slug};

pub use gate::{Anybody, RtspUser, Viewers};
pub use guests::Limits;

use self::door::Door;
use self::guests::Guests;
use self::media::CameraFactory;
use crate::tap::Taps;

/// The RTSP server and the thread it runs on.
pub struct Restream {
    server: gst_rtsp_server::RTSPServer,
    mounts: gate::Mounts,
    guests: Arc<Guests>,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
    taps: Taps,
    mounted: Mutex<Vec<Slug>>,
    address: SocketAddr,
}

impl std::fmt::Debug for Restream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restream")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Restream {
    /// Listens on an address, for anybody; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is in use or not ours.
    pub fn start(listen: SocketAddr, taps: Taps) -> Result<Self> {
        Self::start_for(listen, taps, Arc::new(Anybody), Limits::default())
    }

    /// Listens on an address, for those who may.
    ///
    /// # Errors
    /// When the address is in use or not ours.
    pub fn start_for(
        listen: SocketAddr,
        taps: Taps,
        viewers: Arc<dyn Viewers>,
        limits: Limits,
    ) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("rtsp.listen: {listen}: {error}"))
        };
        let listener = std::net::TcpListener::bind(listen).map_err(|error| failed(&error))?;
        let address = listener.local_addr().map_err(|error| failed(&error))?;
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let guests = Arc::new(Guests::new(limits));
        let server = gst_rtsp_server::RTSPServer::new();
        let (mounts, keeper) = gate::guard(&server, viewers, &guests);
        let door = Door {
            server: server.clone(),
            guests: Arc::clone(&guests),
            keeper,
        };
        door.open(listener, &context)
            .map_err(|error| failed(&error))?;
        let runner = main_loop.clone();
        let running = context.clone();
        let thread = std::thread::Builder::new()
            .name("rtsp-server".to_owned())
            .spawn(move || {
                let run = running.with_thread_default(|| runner.run());
                if let Err(error) = run {
                    tracing::error!(%error, "the RTSP server has no main context");
                }
            })
            .map_err(|error| Error::exhausted(format!("rtsp server: no thread: {error}")))?;
        Ok(Self {
            server,
            mounts,
            guests,
            context,
            main_loop,
            thread: Some(thread),
            taps,
            mounted: Mutex::default(),
            address,
        })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.guests.count()
    }

    /// Who tells it of clients that come through somebody else's socket.
    pub fn announcer(&self) -> Announcer {
        Announcer(Arc::clone(&self.guests))
    }

    /// Offers exactly these cameras, each at `/<name>`; viewers of others see the end when the tap goes.
    pub fn set_mounts(&self, cameras: &[Slug]) {
        let mut mounted = self.mounted.lock().expect("no holder of this lock panics");
        for gone in mounted.iter().filter(|name| !cameras.contains(name)) {
            self.mounts.remove_factory(&format!("/{gone}"));
        }
        for name in cameras.iter().filter(|name| !mounted.contains(name)) {
            let factory = CameraFactory::of(self.taps.obtain(name));
            self.mounts.add_factory(&format!("/{name}"), factory);
        }
        *mounted = cameras.to_vec();
    }
}

/// Tells the RTSP server who is behind a connection that a relay makes on this machine.
#[derive(Debug, Clone)]
pub struct Announcer(Arc<Guests>);

impl Announcer {
    /// The next connection from `relay` is that of `client`, and encrypted on its way here.
    pub fn announce(&self, relay: SocketAddr, client: SocketAddr) {
        self.0.announce(relay, client);
    }
}

impl Drop for Restream {
    fn drop(&mut self) {
        self.server
            .client_filter(Some(&mut |_, _| gst_rtsp_server::RTSPFilterResult::Remove));
        // From inside the loop: a call from here is lost when the thread has not entered it yet.
        let main_loop = self.main_loop.clone();
        let quit = glib::idle_source_new(None, glib::Priority::DEFAULT, move || {
            main_loop.quit();
            glib::ControlFlow::Break
        });
        quit.attach(Some(&self.context));
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the RTSP server's thread panicked");
        }
    }
}
