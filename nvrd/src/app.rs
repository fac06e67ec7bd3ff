//! The composition root: builds every part, connects them in the order the data flows, and stops them in order.

mod doors;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use nvr_base::{Clock, Error, RealClock, Result, Secret, Shutdown};
use nvr_media::description::Descriptions;
use nvr_media::{CameraSpec, Supervisor};
use nvr_store::{RunRow, Store};
use tokio::sync::broadcast;

use self::doors::Doors;
use crate::alarms::Alarms;
use crate::api::{self, ApiContext};
use crate::auth::{self, Auth};
use crate::cameras::{Cameras, Parts, SpecContext, input_of_config, spec_of_input};
use crate::config::{Config, ExportConfig};
use crate::evidence::Evidence;
use crate::exports::{self, Exports};
use crate::faces::Faces;
use crate::hub::{CommittedEvent, Hub, Notifier};
use crate::ingest::{self, Ingest};
use crate::live::Live;
use crate::personality::ai_adapter;
use crate::pulse::{Pulse, Pulses, systemd};
use crate::retention::{self, Policy, Retention};
use crate::settings::{self, Settings};
use crate::storage::{Storage, Watch};
use crate::vault::Vault;
use crate::{net, plugins, recovery};

/// How long the supervisor may be held.
const SUPERVISOR_PULSE: Duration = Duration::from_secs(20);
/// How long the loop that accepts requests may say nothing.
const API_PULSE: Duration = Duration::from_secs(20);
/// How often it is seen that the supervisor can be asked.
const FEEL: Duration = Duration::from_millis(500);

/// Says what is logged, before file and settings.
pub const LOG_VARIABLE: &str = "NVRD_LOG";

/// A daemon that runs.
#[derive(Debug)]
pub struct App {
    cameras: Arc<Cameras>,
    settings: Arc<Settings>,
    storage: Arc<Storage>,
    /// The threads that look after the storages.
    keepers: Vec<JoinHandle<()>>,
    ingest: JoinHandle<()>,
    exports: (Exports, JoinHandle<()>),
    api: tokio::task::JoinHandle<()>,
    /// Looks after users and keys.
    identity: tokio::task::JoinHandle<()>,
    auth: Arc<Auth>,
    /// Stays in touch with the controllers that lend cameras.
    protect: tokio::task::JoinHandle<()>,
    api_address: std::net::SocketAddr,
    adapter: Option<ai_adapter::Running>,
    stopping: Shutdown,
    pulses: Pulses,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    hub: Arc<Hub>,
}

impl App {
    /// Starts everything that a configuration asks for.
    ///
    /// # Errors
    /// One sentence on what to change: the storage, a port, a camera of the file.
    pub async fn start(config: Config, config_folder: &Path) -> Result<Self> {
        plugins::register()?;
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let descriptions = Descriptions::load(config.pipelines.path.as_deref())?;

        // What earlier runs left: rows and files agree before anything new is written.
        let (stopping, live) = (Shutdown::new(), Arc::new(Live::default()));
        let kept = Kept::open(&config, &clock, &stopping)?;
        let pulses = Pulses::new(Arc::clone(&clock));
        let faces = kept.faces(&config, &clock);
        let writer = kept.writer(&clock, &stopping, &live).with_pulses(&pulses);
        let writer = writer.with_faces(Arc::clone(&faces));
        // Listeners before cameras: a port in use must not cost a started recording.
        let doors = Doors::open(&config, &kept.storage, &kept.auth, &clock, &stopping).await?;
        let Doors {
            api: listener,
            api_address,
            options,
            adapter,
            taps,
            restream,
            outbound,
        } = doors;

        // Cameras → notices → store → committed events.
        let (notices, inbox) = sync_channel(ingest::QUEUE);
        let supervisor = Supervisor::new(Arc::clone(&clock), notices, taps.clone());
        let ingest = keeper("ingest", &stopping, move |_| writer.run(&inbox))?;
        let told = kept.tell(&config, &clock, &stopping)?;

        // Commands go back by one door.
        let cameras = Cameras::new(Parts {
            descriptions,
            file: config.cameras.clone(),
            config_folder: config_folder.to_owned(),
            storage: Arc::clone(&kept.storage),
            store: kept.store.clone(),
            vault: Arc::clone(&kept.vault),
            clock: Arc::clone(&clock),
            supervisor,
            restream,
            taps,
        })?;
        let cameras = Arc::new(cameras.with_outbound(Arc::clone(&outbound)));
        let exports = kept.exports(&clock, config.export);
        let settings = Arc::new(kept.settings(config, &cameras, &exports)?);
        let context = kept.context(&cameras, &exports, &clock);
        let context = context.with_live(Arc::clone(&live));
        let context = context.with_faces(faces);
        let context = context.with_pulses(pulses.clone());
        let context = context.with_tls(options.tls.clone());
        let context = Arc::new(context.with_settings(Arc::clone(&settings)));
        let adapter = adapter.map(|adapter| adapter.start(&context, &outbound, &stopping));
        let controllers = Arc::clone(context.controllers());
        let service = api::service(context);
        let options = options.with_pulse(pulses.begin("api", API_PULSE));
        let api = tokio::spawn(net::serve(listener, service, options, stopping.clone()));
        let identity = tokio::spawn(Arc::clone(&kept.auth).keep(stopping.clone()));
        let starting = Arc::clone(&cameras);
        run_blocking(move || starting.start()).await??;
        let mut keepers = kept.keepers(&cameras, &clock, &pulses, &stopping)?;
        keepers.push(told);
        Ok(Self {
            cameras,
            settings,
            storage: kept.storage,
            keepers,
            ingest,
            exports: (exports.clone(), exports.start()?),
            api,
            identity,
            auth: kept.auth,
            protect: tokio::spawn(controllers.run(stopping.clone())),
            api_address,
            adapter,
            stopping,
            pulses,
            live,
            clock,
            hub: kept.hub,
        })
    }

    /// The address of the REST API.
    pub fn api_address(&self) -> std::net::SocketAddr {
        self.api_address
    }

    /// The address of the AI adapter, where it listens.
    pub fn adapter_address(&self) -> Option<std::net::SocketAddr> {
        self.adapter.as_ref().map(ai_adapter::Running::address)
    }

    /// The secret of a set-up link that counts from now on, where there is no user yet.
    pub fn begin_setup(&self) -> Option<Secret> {
        self.auth.begin_setup()
    }

    /// The address of the RTSP server.
    pub fn rtsp_address(&self) -> std::net::SocketAddr {
        self.cameras.rtsp_address()
    }

    /// The door by which its configuration changes.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Tells the service manager that the daemon goes on, for as long as all its parts do.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn watch_over(&self) -> Result<()> {
        let (live, clock) = (Arc::clone(&self.live), Arc::clone(&self.clock));
        let status = move || {
            let now = clock.monotonic();
            let all = live
                .names()
                .into_iter()
                .filter_map(|name| live.camera(&name));
            let all: Vec<_> = all.map(|camera| camera.recording(now)).collect();
            let wanted = all.iter().filter(|it| it.should_write).count();
            let failing = all.iter().filter(|it| it.failure.is_some()).count();
            format!(
                "recording {wanted} cameras, {failing} of {} with a problem",
                all.len()
            )
        };
        systemd::watch(&self.pulses, &self.stopping, status)
    }

    /// Events from now on, once they are committed.
    pub fn events(&self) -> broadcast::Receiver<CommittedEvent> {
        self.hub.committed().subscribe()
    }

    /// Stops in order: no new requests, then the cameras (files and events are closed), then the last commit.
    ///
    /// # Errors
    /// When a part panicked; the others are stopped all the same.
    pub async fn stop(self) -> Result<()> {
        let Self {
            cameras,
            storage,
            keepers,
            ingest,
            exports: (exports, exporter),
            api,
            adapter,
            identity,
            protect,
            stopping,
            ..
        } = self;
        stopping.trigger();
        exports.stop();
        let api = api.await;
        if let Some(adapter) = adapter {
            adapter.stopped().await;
        }
        let identity = identity.await;
        // It holds the cameras, which the ingest waits for.
        let protect = protect.await;
        let stopped = run_blocking(move || {
            storage.watch_bell.ring();
            storage.retention_bell.ring();
            for keeper in keepers {
                if keeper.join().is_err() {
                    tracing::error!("a thread that looks after the storages panicked");
                }
            }
            cameras.stop();
            // The last sender of notices goes with the cameras; then the ingest has written everything.
            drop(cameras);
            ingest
                .join()
                .map_err(|_| Error::internal("the ingest panicked"))?;
            exporter
                .join()
                .map_err(|_| Error::internal("the thread of the exports panicked"))
        });
        stopped.await??;
        protect.map_err(|error| {
            Error::internal("staying in touch with controllers panicked").with_source(error)
        })?;
        api.map_err(|error| Error::internal("the API panicked").with_source(error))?;
        identity
            .map_err(|error| Error::internal("what looks after users panicked").with_source(error))
    }
}

/// What lies on disk, brought in order, and those who look after it.
struct Kept {
    storage: Arc<Storage>,
    store: Store,
    /// This run of the daemon, which is noted.
    run: RunRow,
    evidence: Arc<Evidence>,
    vault: Arc<Vault>,
    hub: Arc<Hub>,
    auth: Arc<Auth>,
    alarms: Arc<Alarms>,
    retention: Arc<Retention>,
}

impl Kept {
    /// The ingest that writes here.
    fn writer(&self, clock: &Arc<dyn Clock>, stopping: &Shutdown, live: &Arc<Live>) -> Ingest {
        Ingest::new(
            self.store.clone(),
            Arc::clone(&self.storage),
            Arc::clone(clock),
            self.hub.committed().clone(),
            stopping.clone(),
        )
        .with_hub(Arc::clone(&self.hub))
        .with_evidence(Arc::clone(&self.evidence))
        .with_live(Arc::clone(live))
        .with_run(self.run.id.clone())
    }

    /// Those who tell faces apart; the models are opened meanwhile.
    fn faces(&self, config: &Config, clock: &Arc<dyn Clock>) -> Arc<Faces> {
        let mut wanted = config.faces.clone();
        let adapter = config.personality.listening_adapter();
        wanted.detector = wanted.detector.or(adapter.and_then(|it| it.faces.clone()));
        let (store, storage) = (self.store.clone(), Arc::clone(&self.storage));
        let faces = Arc::new(Faces::new(&wanted, store, storage, Arc::clone(clock)));
        let warming = Arc::clone(&faces);
        tokio::task::spawn_blocking(move || warming.warm_up());
        faces
    }

    fn exports(&self, clock: &Arc<dyn Clock>, config: ExportConfig) -> Exports {
        Exports::new(exports::Parts {
            store: self.store.clone(),
            storage: Arc::clone(&self.storage),
            evidence: Some(Arc::clone(&self.evidence)),
            clock: Arc::clone(clock),
            config,
        })
    }

    fn settings(
        &self,
        config: Config,
        cameras: &Arc<Cameras>,
        exports: &Exports,
    ) -> Result<Settings> {
        Settings::new(settings::Parts {
            store: self.store.clone(),
            cameras: Arc::clone(cameras),
            retention: Arc::clone(&self.retention),
            exports: exports.clone(),
            log_is_fixed: std::env::var_os(LOG_VARIABLE).is_some(),
            config,
        })
    }

    fn context(
        &self,
        cameras: &Arc<Cameras>,
        exports: &Exports,
        clock: &Arc<dyn Clock>,
    ) -> ApiContext {
        let context = ApiContext::new(
            Arc::clone(cameras),
            self.store.clone(),
            Arc::clone(&self.storage),
            Arc::clone(&self.retention),
            exports.clone(),
            Arc::clone(&self.auth),
            Arc::clone(clock),
        );
        let context = context.with_evidence(Arc::clone(&self.evidence));
        context.with_hub(Arc::clone(&self.hub))
    }

    /// The threads that look after storages and supervisor.
    fn keepers(
        &self,
        cameras: &Arc<Cameras>,
        clock: &Arc<dyn Clock>,
        pulses: &Pulses,
        stopping: &Shutdown,
    ) -> Result<Vec<JoinHandle<()>>> {
        let moving = Arc::clone(cameras);
        let watch = Watch::new(
            Arc::clone(&self.storage),
            self.store.clone(),
            Arc::clone(clock),
            Arc::clone(&self.alarms),
            Box::new(move || moving.storage_moved()),
        );
        let (felt, retention) = (Arc::clone(cameras), Arc::clone(&self.retention));
        let pulse = pulses.begin("supervisor", SUPERVISOR_PULSE);
        Ok(vec![
            keeper("supervisor", stopping, move |stopping| {
                feel(&felt, &pulse, stopping)
            })?,
            keeper("storage-watch", stopping, move |stopping| {
                watch.run(stopping)
            })?,
            keeper("retention", stopping, move |stopping| {
                retention.run(stopping)
            })?,
        ])
    }

    /// Tells whoever listens of events from now on, and makes notifications of them.
    fn tell(
        &self,
        config: &Config,
        clock: &Arc<dyn Clock>,
        stopping: &Shutdown,
    ) -> Result<JoinHandle<()>> {
        let (store, hub, clock) = (self.store.clone(), &self.hub, Arc::clone(clock));
        let config = config.notifications.clone();
        let (notifier, bell) = Notifier::new(store, Arc::clone(hub), clock, config);
        tokio::spawn(api::follow(Arc::clone(hub), bell));
        keeper("notify", stopping, move |_| notifier.run())
    }

    fn open(config: &Config, clock: &Arc<dyn Clock>, stopping: &Shutdown) -> Result<Self> {
        let storage = Arc::new(Storage::open_all(&config.storage)?);
        let store = crate::storage::database::open(&config.storage, clock)?;
        let run = store.begin_run(clock.unix_us())?;
        storage.identify(&store)?;
        store.close_interrupted_events(clock.unix_us())?;
        let evidence = Arc::new(Evidence::open(&storage.evidence(), Arc::clone(clock))?);
        let vault = Arc::new(Vault::open_in(&storage.keys())?);
        let auth = Arc::new(Auth::open(auth::Parts {
            store: store.clone(),
            vault: Arc::clone(&vault),
            clock: Arc::clone(clock),
            keys: &storage.keys(),
            open_at_first: config.api.listen.ip().is_loopback() && !config.api.auth,
            trusted_proxies: config.api.trusted_proxies.clone(),
        })?);
        let places = config.live.listeners as usize;
        let hub = Arc::new(Hub::new(Arc::clone(clock), places, stopping.clone()));
        let alarms = Alarms::new(store.clone(), Arc::clone(clock), hub.committed().clone());
        let alarms = Arc::new(alarms);
        let retention = Arc::new(Retention::new(retention::Parts {
            storage: Arc::clone(&storage),
            store: store.clone(),
            clock: Arc::clone(clock),
            policy: Policy::of(config),
            deletions: Some(evidence.clone()),
            alarms: Arc::clone(&alarms),
        })?);
        if let Err(error) = retention.empty_garbage(u64::MAX) {
            tracing::error!(%error, "what was being deleted stays for now; it is tried again");
        }
        recovery::recover(&storage, &store, &evidence)?;
        Ok(Self {
            storage,
            store,
            run,
            evidence,
            vault,
            hub,
            auth,
            alarms,
            retention,
        })
    }
}

/// Asks the supervisor again and again how many cameras it has: whoever holds it for good stops every change.
fn feel(cameras: &Cameras, pulse: &Pulse, stopping: &Shutdown) {
    while !stopping.is_triggered() {
        tracing::trace!(cameras = cameras.count(), "the supervisor goes on");
        pulse.tick();
        std::thread::sleep(FEEL);
    }
}

/// A thread that works until the daemon stops.
fn keeper(
    name: &str,
    stopping: &Shutdown,
    work: impl FnOnce(&Shutdown) + Send + 'static,
) -> Result<JoinHandle<()>> {
    let stopping = stopping.clone();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || work(&stopping))
        .map_err(|error| Error::exhausted(format!("{name}: no thread: {error}")))
}

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("a blocking task panicked").with_source(error))
}

/// The desired state of every camera of a configuration, without starting anything.
///
/// # Errors
/// Every problem, each with its key.
pub fn specs(config: &Config, config_folder: &Path) -> Result<Vec<CameraSpec>> {
    plugins::register()?;
    let descriptions = Descriptions::load(config.pipelines.path.as_deref())?;
    let context = SpecContext {
        descriptions: &descriptions,
        config_folder,
        recordings: &config.storage.path.join("recordings"),
        storage: None,
        thumbnails: &config.storage.path.join("thumbnails"),
    };
    let mut problems = Vec::new();
    let mut specs = Vec::new();
    for camera in &config.cameras {
        match input_of_config(camera.clone()).and_then(|input| spec_of_input(&input, &context)) {
            Ok(spec) => specs.push(spec),
            Err(error) => problems.push(error.to_string()),
        }
    }
    for description in descriptions.iter() {
        if let Err(found) = nvr_media::assemble::check(description) {
            problems.extend(found);
        }
    }
    problems.extend(missing_files(&specs));
    problems.extend(config.personality.missing_files());
    problems.extend(config.faces.missing_files());
    if problems.is_empty() {
        Ok(specs)
    } else {
        Err(Error::invalid(problems.join("\n")))
    }
}

/// Models that do not exist, and files that are no camera.
fn missing_files(specs: &[CameraSpec]) -> Vec<String> {
    let mut problems = Vec::new();
    for spec in specs {
        let paths = spec.pipelines[0]
            .params
            .iter()
            .filter(|(_, param)| param.path);
        for (key, _) in paths {
            if let Some(nvr_media::ParamValue::Text(path)) = spec.params.get(key)
                && !Path::new(path).is_file()
            {
                problems.push(format!(
                    "camera {:?}: params.{key}: {path} does not exist",
                    spec.name.as_str()
                ));
            }
        }
        if let Some(path) = url::Url::parse(&spec.uri)
            .ok()
            .filter(|url| url.scheme() == "file")
        {
            let path = path.to_file_path().unwrap_or_default();
            if !path.is_file() {
                problems.push(format!(
                    "camera {:?}: uri: {} does not exist",
                    spec.name.as_str(),
                    path.display()
                ));
            }
        }
    }
    problems
}
