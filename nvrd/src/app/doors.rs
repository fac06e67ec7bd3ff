//! The listeners of the daemon: their sockets, their limits and their certificate, before anything runs.

use std::net::SocketAddr;
use std::sync::Arc;

use nvr_base::{Clock, Error, Result, Shutdown};
use nvr_media::restream::{self, Restream};
use nvr_media::tap::Taps;
use tokio::net::TcpListener;

use crate::auth::{Auth, RtspViewers};
use crate::config::Config;
use crate::net::tls::{Names, Source, Tls};
use crate::net::{self, Relay};
use crate::outbound::Outbound;
use crate::personality::ai_adapter;
use crate::storage::Storage;

/// Sockets that are taken, and how they are served.
pub(super) struct Doors {
    pub(super) api: TcpListener,
    pub(super) api_address: SocketAddr,
    pub(super) options: net::Options,
    /// The AI adapter's, where it shall listen.
    pub(super) adapter: Option<ai_adapter::Bound>,
    pub(super) taps: Taps,
    pub(super) restream: Restream,
    /// Where requests may go, which is not to our own listeners.
    pub(super) outbound: Arc<Outbound>,
}

impl Doors {
    /// Takes every address of a configuration; a certificate is watched until the daemon stops.
    ///
    /// # Errors
    /// One sentence with the key, when an address or a certificate cannot be had.
    pub(super) async fn open(
        config: &Config,
        storage: &Storage,
        auth: &Arc<Auth>,
        clock: &Arc<dyn Clock>,
        stopping: &Shutdown,
    ) -> Result<Self> {
        let api = net::bind("api.listen", config.api.listen).await?;
        let api_address = api
            .local_addr()
            .map_err(|error| Error::internal(format!("api.listen: {error}")))?;
        let adapter = config.personality.listening_adapter();
        let wanted = config.api.tls
            || config.rtsp.tls_listen.is_some()
            || adapter.is_some_and(|adapter| adapter.tls);
        let tls = match wanted {
            true => Some(certificate(config, storage, clock)?),
            false => None,
        };
        let options = |encrypted: bool| net::Options {
            limits: limits(config),
            tls: tls.clone().filter(|_| encrypted),
            pulse: None,
        };
        let adapter = match adapter {
            Some(adapter) => {
                let options = options(adapter.tls);
                Some(ai_adapter::bind(adapter.clone(), options).await?)
            }
            None => None,
        };
        if let Some(tls) = &tls {
            tokio::spawn(Arc::clone(tls).watch(stopping.clone()));
        }
        let taps = Taps::default();
        let elsewhere = |at: &SocketAddr| !at.ip().is_loopback();
        let rtsp = &config.rtsp;
        let always = rtsp.auth || elsewhere(&rtsp.listen) || rtsp.tls_listen.iter().any(elsewhere);
        let viewers = Arc::new(RtspViewers::new(Arc::clone(auth), always));
        let bounds = restream::Limits::default();
        let restream = Restream::start_for(rtsp.listen, taps.clone(), viewers, bounds)?;
        let mut relays = Vec::new();
        if let (Some(listen), Some(tls)) = (config.rtsp.tls_listen, &tls) {
            let listener = net::bind("rtsp.tls_listen", listen).await?;
            let announcer = restream.announcer();
            let relay = Relay {
                target: restream.address(),
                announce: move |relay, client| announcer.announce(relay, client),
                tls: Arc::clone(tls),
                limits: limits(config),
            };
            relays.push(listener.local_addr());
            tokio::spawn(net::relay(listener, relay, stopping.clone()));
        }
        let outbound = Outbound::new(&config.outbound)?;
        outbound.add_listener(api_address);
        outbound.add_listener(restream.address());
        if let Some(adapter) = &adapter {
            outbound.add_listener(adapter.address());
        }
        for relay in relays.into_iter().flatten() {
            tracing::info!(%relay, "cameras are served by rtsps://");
            outbound.add_listener(relay);
        }
        Ok(Self {
            api,
            api_address,
            options: options(config.api.tls),
            adapter,
            taps,
            restream,
            outbound: Arc::new(outbound),
        })
    }
}

fn limits(config: &Config) -> net::Limits {
    net::Limits {
        connections: config.api.connections,
        per_address: config.api.connections_per_address,
        idle_time: config.api.idle_time(),
        ..net::Limits::default()
    }
}

/// The certificate that the configuration names, or one of our own.
fn certificate(config: &Config, storage: &Storage, clock: &Arc<dyn Clock>) -> Result<Arc<Tls>> {
    let adapter = config.personality.listening_adapter();
    let adapter = adapter.filter(|adapter| adapter.tls);
    let addresses: Vec<SocketAddr> = std::iter::once(config.api.listen)
        .chain(config.rtsp.tls_listen)
        .chain(adapter.map(|adapter| adapter.listen))
        .collect();
    let source = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Source::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        },
        _ => Source::SelfSigned {
            folder: storage.first().root().join("tls"),
            names: Names::of(&addresses, &config.tls.names),
        },
    };
    Ok(Arc::new(Tls::open(source, Arc::clone(clock))?))
}
