//! The composition root: builds every part, connects them in the order the data flows, and stops them in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use nvr_base::{Clock, Error, RealClock, Result, Shutdown};
use nvr_media::description::Descriptions;
use nvr_media::restream::Restream;
use nvr_media::tap::Taps;
use nvr_media::{CameraSpec, Supervisor};
use nvr_store::Store;
use tokio::sync::broadcast;

use crate::api::{self, ApiContext};
use crate::cameras::{Cameras, Parts, SpecContext, input_of_config, spec_of_input};
use crate::config::Config;
use crate::evidence::Evidence;
use crate::ingest::{self, CommittedEvent, Ingest};
use crate::storage::Storage;
use crate::{plugins, recovery};

/// Committed events that a slow listener may be behind before it loses the oldest.
const EVENT_BACKLOG: usize = 1024;

/// A daemon that runs.
#[derive(Debug)]
pub struct App {
    cameras: Arc<Cameras>,
    ingest: JoinHandle<()>,
    api: tokio::task::JoinHandle<()>,
    api_address: std::net::SocketAddr,
    stopping: Shutdown,
    events: broadcast::Sender<CommittedEvent>,
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
        let storage = Arc::new(Storage::open_all(&config.storage)?);
        let store = Store::open(&storage.database(), Arc::clone(&clock))?;
        storage.identify(&store)?;
        store.close_interrupted_events(clock.unix_us())?;
        let evidence = Arc::new(Evidence::open(&storage.evidence(), Arc::clone(&clock))?);
        recovery::recover(&storage, &store, &evidence)?;

        // Listeners before cameras: a port in use must not cost a started recording.
        let listener = api::bind(config.api.listen).await?;
        let api_address = listener
            .local_addr()
            .map_err(|error| Error::internal(format!("api.listen: {error}")))?;
        let taps = Taps::default();
        let restream = Restream::start(config.rtsp.listen, taps.clone())?;

        // Cameras → notices → store → committed events.
        let stopping = Shutdown::new();
        let (notices, inbox) = sync_channel(ingest::QUEUE);
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let supervisor = Supervisor::new(Arc::clone(&clock), notices, taps.clone());
        let writer = Ingest::new(
            store.clone(),
            Arc::clone(&storage),
            Arc::clone(&clock),
            events.clone(),
            stopping.clone(),
        )
        .with_evidence(Arc::clone(&evidence));
        let ingest = std::thread::Builder::new()
            .name("ingest".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| Error::exhausted(format!("ingest: no thread: {error}")))?;

        // Commands go back by one door.
        let cameras = Arc::new(Cameras::new(Parts {
            descriptions,
            file: config.cameras,
            config_folder: config_folder.to_owned(),
            storage: Arc::clone(&storage),
            store: store.clone(),
            clock: Arc::clone(&clock),
            supervisor,
            restream,
            taps,
        })?);
        let context = ApiContext::new(Arc::clone(&cameras), store, storage, clock);
        let context = Arc::new(context.with_evidence(evidence));
        let api = tokio::spawn(api::serve(listener, context, stopping.clone()));
        let starting = Arc::clone(&cameras);
        run_blocking(move || starting.start()).await??;
        Ok(Self {
            cameras,
            ingest,
            api,
            api_address,
            stopping,
            events,
        })
    }

    /// The address of the REST API.
    pub fn api_address(&self) -> std::net::SocketAddr {
        self.api_address
    }

    /// The address of the RTSP server.
    pub fn rtsp_address(&self) -> std::net::SocketAddr {
        self.cameras.rtsp_address()
    }

    /// Events from now on, once they are committed.
    pub fn events(&self) -> broadcast::Receiver<CommittedEvent> {
        self.events.subscribe()
    }

    /// Stops in order: no new requests, then the cameras (files and events are closed), then the last commit.
    ///
    /// # Errors
    /// When a part panicked; the others are stopped all the same.
    pub async fn stop(self) -> Result<()> {
        let Self {
            cameras,
            ingest,
            api,
            stopping,
            ..
        } = self;
        stopping.trigger();
        let api = api.await;
        let stopped = run_blocking(move || {
            cameras.stop();
            // The last sender of notices goes with the cameras; then the ingest has written everything.
            drop(cameras);
            ingest
                .join()
                .map_err(|_| Error::internal("the ingest panicked"))
        });
        stopped.await??;
        api.map_err(|error| Error::internal("the API panicked").with_source(error))
    }
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
