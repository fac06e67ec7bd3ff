//! The socket of the RTSP server: lets clients in one by one, and looks now and then who has to go.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gio::prelude::{
    Cast as _, InetAddressExt as _, InetSocketAddressExt as _, SocketExt as _, SocketExtManual,
};
use gst::glib;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPFilterResult, RTSPServer, RTSPSessionPool};

use super::gate::{Keeper, RtspUser, id_of};
use super::guests::Guests;

/// How often clients are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Connections that are taken at once before anything else gets its turn.
const MAX_AT_ONCE: usize = 64;

/// The server and who may come in.
pub(super) struct Door {
    pub(super) server: RTSPServer,
    pub(super) guests: Arc<Guests>,
    pub(super) keeper: Keeper,
}

impl Door {
    /// Takes over a socket that listens, on the thread of a main context.
    pub(super) fn open(
        self,
        listener: TcpListener,
        context: &glib::MainContext,
    ) -> Result<(), glib::Error> {
        let socket = gio::Socket::from_fd(OwnedFd::from(listener))?;
        socket.set_blocking(false);
        let sessions = RTSPSessionPool::new();
        sessions.set_max_sessions(self.guests.limits().sessions);
        self.server.set_session_pool(Some(&sessions));
        let this = Arc::new(self);
        let door = Arc::clone(&this);
        let comes = SocketExtManual::create_source(
            &socket,
            glib::IOCondition::IN,
            gio::Cancellable::NONE,
            Some("rtsp-door"),
            glib::Priority::DEFAULT,
            move |socket, _| {
                door.let_in(socket);
                glib::ControlFlow::Continue
            },
        );
        comes.attach(Some(context));
        let look = move || {
            this.look();
            glib::ControlFlow::Continue
        };
        let look =
            glib::timeout_source_new(LOOK_EVERY, Some("rtsp-look"), glib::Priority::DEFAULT, look);
        look.attach(Some(context));
        Ok(())
    }

    fn let_in(&self, socket: &gio::Socket) {
        for _ in 0..MAX_AT_ONCE {
            let socket = match socket.accept(gio::Cancellable::NONE) {
                Ok(socket) => socket,
                Err(error) if error.matches(gio::IOErrorEnum::WouldBlock) => return,
                Err(error) => {
                    tracing::warn!(%error, "a client of RTSP was not let in");
                    // Out of file descriptors, most likely: trying again at once would only burn time.
                    std::thread::sleep(Duration::from_millis(50));
                    return;
                }
            };
            let Some(peer) = peer_of(&socket) else {
                continue;
            };
            let Some(origin) = self.guests.admit(peer) else {
                tracing::warn!(%peer, "too many clients of RTSP; this one is sent away");
                continue;
            };
            self.guests.arriving(Some(origin));
            let ip = peer.ip().to_string();
            let given = self
                .server
                .transfer_connection(socket, &ip, peer.port().into(), None);
            self.guests.arriving(None);
            if let Err(error) = given {
                tracing::debug!(%error, %peer, "a client of RTSP left at the door");
            }
        }
    }

    fn look(&self) {
        if let Some(sessions) = self.server.session_pool() {
            sessions.cleanup();
        }
        self.keeper.learn();
        let now = Instant::now();
        self.server.client_filter(Some(&mut |_, client| {
            let sessions = client.session_filter(None).len();
            let still = |shown: Option<&RtspUser>, cameras: &BTreeSet<String>| {
                self.keeper.still(shown, cameras)
            };
            match self.guests.must_go(id_of(client), sessions, now, still) {
                true => RTSPFilterResult::Remove,
                false => RTSPFilterResult::Keep,
            }
        }));
    }
}

/// The other side of a connection; none when it has gone already.
fn peer_of(socket: &gio::Socket) -> Option<SocketAddr> {
    let address = socket.remote_address().ok()?;
    let address = address.downcast::<gio::InetSocketAddress>().ok()?;
    let ip: IpAddr = address.address().to_str().parse().ok()?;
    Some(SocketAddr::new(ip, address.port()))
}
