//! The AI adapter of OpenNVR on a listener of its own: this file is the table of its routes and what they share.
//!
//! A picture is named by a frame URI or comes with the request; what is on it is answered in the words of the task.

mod uri;
mod frames;
mod intake;
mod tracks;
mod catalogue;
mod look;
mod discover;
mod infer;
mod pipeline;
mod upload;
mod cloud;
mod endpoint;
mod faces;
mod matching;
mod openapi;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use nvr_base::{Clock, Error, Principal, Result, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use warp::Filter;
use warp::http::Method;
use warp::reply::Response;

use crate::api::ApiContext;
use crate::api::access::Caller;
use crate::api::context::Lane;
use crate::api::error::ApiResult;
use crate::api::route::Table;
use crate::auth::Need;
use crate::config::AiAdapterConfig;
use crate::faces::Faces;
use crate::infer::{Analysis, Eye};
use crate::net;
use crate::outbound::Outbound;

use catalogue::Provider;
use endpoint::Endpoint;
use frames::{Frames, no_frame};
use look::Local;
use tracks::Tracks;

/// What the routes of the adapter share.
#[derive(Debug)]
pub struct Adapter {
    analysis: Arc<Analysis>,
    /// Whose faces are.
    matcher: Arc<Faces>,
    frames: Frames,
    tracks: Mutex<Tracks>,
    clock: Arc<dyn Clock>,
    /// Monotonic time of the start.
    started: Duration,
    hardware: discover::Hardware,
    /// Where tasks for models elsewhere go.
    cloud: Option<Endpoint>,
    /// Places for calls of it.
    calls: Semaphore,
    /// Whether who asks must say who it is.
    auth: bool,
}

impl Adapter {
    /// What a configuration asks for; nothing is opened yet.
    pub fn new(config: &AiAdapterConfig, context: &ApiContext, outbound: &Arc<Outbound>) -> Self {
        let clock = Arc::clone(&context.clock);
        let detector = || Some(context.faces.detector()?.file().to_owned());
        let faces = config.faces.clone().or_else(detector);
        let analysis = Analysis::new(config.detector.clone(), faces, &clock);
        Self {
            analysis: Arc::new(analysis),
            matcher: Arc::clone(&context.faces),
            frames: Frames::new(context.storage.frames(), Arc::clone(&clock)),
            tracks: Mutex::default(),
            started: clock.monotonic(),
            clock,
            hardware: discover::Hardware::of_this_machine(),
            cloud: config
                .cloud
                .clone()
                .map(|cloud| Endpoint::new(cloud, Arc::clone(outbound))),
            calls: Semaphore::new(cloud::CALLS),
            auth: config.auth,
        }
    }

    /// The model that does a task, if one is configured.
    fn eye(&self, task: Local) -> Option<&Eye> {
        eye_of(&self.analysis, task)
    }

    fn tracks(&self) -> MutexGuard<'_, Tracks> {
        // A panic may lose numbers of persons, nothing else.
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn eye_of(analysis: &Analysis, task: Local) -> Option<&Eye> {
    match provider_of(task) {
        Provider::Faces => analysis.faces.as_ref(),
        _ => analysis.detector.as_ref(),
    }
}

fn provider_of(task: Local) -> Provider {
    match task {
        Local::FaceDetection => Provider::Faces,
        _ => Provider::Detector,
    }
}

/// The name of the camera that the words of a client mean.
///
/// # Errors
/// `NotFound`, in the words of a frame that does not exist, also where the client may not know of it.
async fn camera_meant(caller: &Caller, words: String) -> ApiResult<String> {
    caller
        .run(Lane::Read, move |caller| {
            let cameras = caller.cameras.list(Principal::system())?;
            let names: Vec<String> = cameras.into_iter().map(|it| it.input.name).collect();
            let meant = uri::camera_meant(&words, &names);
            meant
                .filter(|name| caller.principal().sees(name))
                .map(str::to_owned)
                .ok_or_else(no_frame)
        })
        .await
}

/// The adapter's address, held before anything is recorded.
#[derive(Debug)]
pub struct Bound {
    config: AiAdapterConfig,
    listener: TcpListener,
    address: SocketAddr,
    options: net::Options,
}

/// The adapter while it serves.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Listens where a configuration says.
///
/// # Errors
/// One sentence with the key and the address when it is in use or not ours.
pub async fn bind(config: AiAdapterConfig, options: net::Options) -> Result<Bound> {
    let key = "personality.ai_adapter.listen";
    let listener = net::bind(key, config.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::internal(format!("{key}: {error}")))?;
    Ok(Bound {
        config,
        listener,
        address,
        options,
    })
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the token is set; models are opened meanwhile.
    pub fn start(
        self,
        context: &ApiContext,
        outbound: &Arc<Outbound>,
        stopping: &Shutdown,
    ) -> Running {
        let adapter = Arc::new(Adapter::new(&self.config, context, outbound));
        let warming = Arc::clone(&adapter);
        tokio::task::spawn_blocking(move || warming.analysis.warm_up());
        let service = TowerToHyperService::new(warp::service(routes(context, adapter)));
        let (listener, options, stopping) = (self.listener, self.options, stopping.clone());
        Running {
            address: self.address,
            task: tokio::spawn(net::serve(listener, service, options, stopping)),
        }
    }
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has ended.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the AI adapter panicked");
        }
    }
}

/// Every route of the adapter, ready to be served or asked in a test; every request gets an answer.
pub fn routes(
    context: &ApiContext,
    adapter: Arc<Adapter>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    table(context, adapter).into_filter()
}

/// A handler that is given the adapter first.
macro_rules! with {
    ($adapter:ident, $handler:path) => {{
        let adapter = Arc::clone(&$adapter);
        move |caller, names, input| $handler(Arc::clone(&adapter), caller, names, input)
    }};
}

#[rustfmt::skip]
fn table(context: &ApiContext, adapter: Arc<Adapter>) -> Table {
    // As the original, it asks nobody who they are unless it is told to.
    Table::new(Arc::new(context.for_listener(!adapter.auth)))
        .on(Method::GET, "/health", Need::Public, with!(adapter, discover::health))
        .on(Method::GET, "/capabilities", Need::Public, with!(adapter, discover::capabilities))
        .on(Method::GET, "/tasks", Need::SeeCameras, with!(adapter, discover::tasks))
        .on(Method::GET, "/schema", Need::SeeCameras, with!(adapter, discover::schema))
        .on(Method::GET, "/adapters", Need::SeeCameras, with!(adapter, discover::adapters))
        .on(Method::POST, "/infer", Need::SeeCameras, with!(adapter, infer::post))
        .on(Method::POST, "/pipeline/run", Need::SeeCameras, with!(adapter, pipeline::run))
        .on(Method::POST, "/faces/register", Need::Operate, with!(adapter, faces::register))
        .on(Method::GET, "/faces/list", Need::Operate, faces::list)
        .on(Method::GET, "/faces/{person_id}", Need::Operate, faces::get)
        .on(Method::DELETE, "/faces/{person_id}", Need::Operate, faces::delete)
        .on(Method::GET, "/frames/{folder}", Need::SeeCameras, with!(adapter, upload::list))
        .on(Method::GET, "/frames/{folder}/{file}", Need::SeeCameras, with!(adapter, upload::get))
        .on(Method::POST, "/frames/{folder}/{file}", Need::Operate, with!(adapter, upload::post))
        .on(Method::DELETE, "/frames/{folder}/{file}", Need::Operate, with!(adapter, upload::delete))
        .on(Method::GET, "/openapi.json", Need::Public, openapi::document)
        .on(Method::GET, "/docs", Need::Public, crate::api::openapi::docs)
        .on(Method::GET, "/docs/{file}", Need::Public, crate::api::openapi::docs_file)
}

#[cfg(test)]
mod tests;
