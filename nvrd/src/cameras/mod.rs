//! The one door by which cameras change: validate, store, and hand the whole desired state to the supervisor.
//!
//! Cameras of the configuration file are read-only here; those made over REST live in the store.

mod input;
mod spec;
mod from_file;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nvr_base::{Clock, Error, Principal, Result, Slug};
use nvr_contract::source::StreamRole;
use nvr_media::description::Descriptions;
use nvr_media::probe::{self, Probe, Stream};
use nvr_media::restream::Restream;
use nvr_media::tap::Taps;
use nvr_media::{CameraSpec, CameraStatus, StorageMark, Supervisor, Triggered, snapshot};
use nvr_store::Store;

use crate::config::CameraConfig;
use crate::outbound::Outbound;
use crate::storage::Storage;
use crate::vault::Vault;

pub use from_file::{FileChange, FromFile};
pub use input::{CameraInput, input_of_config, json_of_param, without_credentials_in_uri};
pub use spec::{SpecContext, check_uri, credentials_of, spec_of_input};

use input::{input_of_row, row_of_input};

/// How long a test of a camera waits for the first picture.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long it measures then.
const MEASURE: Duration = Duration::from_secs(3);
/// Most cameras of one daemon.
const MAX_CAMERAS: usize = 256;

/// Where a camera was defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration file: read-only over REST.
    File,
    /// Over REST.
    Api,
}

/// A camera: what it shall be and what it is.
#[derive(Debug, Clone)]
pub struct CameraView {
    /// What it shall be.
    pub input: CameraInput,
    /// Where it was defined.
    pub origin: Origin,
    /// What it is.
    pub status: Option<CameraStatus>,
    /// When it was made and last changed over REST, microseconds since 1970-01-01 UTC.
    pub stored_us: Option<(i64, i64)>,
}

/// What a camera sent when it was tried.
#[derive(Debug)]
pub struct Tested {
    /// The stream that is recorded.
    pub main: Probe,
    /// The second one, where there is one, or why it sent nothing.
    pub sub: Option<Result<Probe>>,
}

/// See the module.
#[derive(Debug)]
pub struct Cameras {
    /// Changes as a whole, when the file is read anew.
    file: Mutex<Arc<FromFile>>,
    config_folder: PathBuf,
    storage: Arc<Storage>,
    store: Store,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    supervisor: Supervisor,
    restream: Restream,
    taps: Taps,
    /// Judges what clients want to connect to; none in tests that trust them.
    outbound: Option<Arc<Outbound>>,
    /// Serialises changes: what is stored and what runs never differ by the order of two requests.
    door: Mutex<()>,
}

/// A camera, and when it was made and changed if it was made over REST, microseconds since 1970-01-01 UTC.
type Known = (CameraInput, Option<(i64, i64)>);

/// What [`Cameras`] is built from.
#[expect(
    missing_debug_implementations,
    reason = "moved once, from the composition root"
)]
pub struct Parts {
    /// The descriptions that cameras may name.
    pub descriptions: Descriptions,
    /// The cameras of the file.
    pub file: Vec<CameraConfig>,
    /// The folder that relative paths among the knobs are meant from.
    pub config_folder: PathBuf,
    /// The storage folder.
    pub storage: Arc<Storage>,
    /// The store.
    pub store: Store,
    /// Seals the passwords of cameras.
    pub vault: Arc<Vault>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The supervisor.
    pub supervisor: Supervisor,
    /// The RTSP server.
    pub restream: Restream,
    /// The taps that both share.
    pub taps: Taps,
}

impl Cameras {
    /// Takes the parts; nothing runs before [`Cameras::start`].
    ///
    /// # Errors
    /// Every problem of the file's cameras, each with its key.
    pub fn new(parts: Parts) -> Result<Self> {
        let file = FromFile::read(parts.descriptions, parts.file)?;
        let this = Self {
            file: Mutex::new(Arc::new(file)),
            config_folder: parts.config_folder,
            storage: parts.storage,
            store: parts.store,
            vault: parts.vault,
            clock: parts.clock,
            supervisor: parts.supervisor,
            restream: parts.restream,
            taps: parts.taps,
            outbound: None,
            door: Mutex::new(()),
        };
        this.check_file(&this.file())?;
        Ok(this)
    }

    /// The same cameras; what clients say of where they are is judged by this guard.
    #[must_use]
    pub fn with_outbound(mut self, outbound: Arc<Outbound>) -> Self {
        self.outbound = Some(outbound);
        self
    }

    /// What judges the places that clients name.
    pub fn outbound(&self) -> Option<&Arc<Outbound>> {
        self.outbound.as_ref()
    }

    /// Starts what shall run; passwords that an earlier version stored as they are get sealed first.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn start(&self) -> Result<()> {
        let _door = self.door.lock().expect("no holder of this lock panics");
        let sealed = self.store.replace_camera_passwords(|password| {
            (!Vault::is_sealed(password)).then(|| self.vault.seal(password))
        })?;
        if sealed > 0 {
            tracing::warn!(
                cameras = sealed,
                "passwords of cameras are sealed now; copies of the database that were made before still hold them as \
                 they are"
            );
        }
        for row in self.store.list_cameras()? {
            if let Some(Err(error)) = row.password.map(|sealed| self.vault.open(&sealed)) {
                tracing::error!(camera.id = row.name, %error, "the camera goes without its password");
            }
        }
        self.apply()
    }

    /// Tells every camera where to write now; a running pipeline goes on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn storage_moved(&self) -> Result<()> {
        let _door = self.door.lock().expect("no holder of this lock panics");
        self.apply()
    }

    /// Stops every camera in order.
    pub fn stop(&self) {
        self.supervisor.stop();
    }

    /// What seals the secrets of this daemon.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// How many cameras are looked after at this moment, running or not.
    pub fn count(&self) -> usize {
        self.supervisor.count()
    }

    /// The address of the RTSP server.
    pub fn rtsp_address(&self) -> std::net::SocketAddr {
        self.restream.address()
    }

    /// How many clients the RTSP server has.
    pub fn rtsp_clients(&self) -> usize {
        self.restream.clients()
    }

    /// All cameras that the asker may know of, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, principal: &Principal) -> Result<Vec<CameraView>> {
        Ok(self
            .inputs()?
            .into_iter()
            .filter(|(input, _)| principal.sees(&input.name))
            .map(|(input, stored_us)| self.view(input, stored_us))
            .collect())
    }

    /// One camera.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn get(&self, name: &str) -> Result<CameraView> {
        let found = self
            .inputs()?
            .into_iter()
            .find(|(input, _)| input.name == name);
        let (input, stored_us) = found.ok_or_else(|| unknown(name))?;
        Ok(self.view(input, stored_us))
    }

    /// Adds a camera.
    ///
    /// # Errors
    /// When a field is wrong or the name is taken.
    pub fn create(&self, input: CameraInput) -> Result<CameraView> {
        let input = self.checked(input)?;
        self.reachable(&input)?;
        let _door = self.door.lock().expect("no holder of this lock panics");
        let all = self.inputs()?;
        if all.iter().any(|(other, _)| other.name == input.name) {
            return Err(Error::already_exists(format!(
                "camera {:?} exists already",
                input.name
            )));
        }
        if all.len() >= MAX_CAMERAS {
            return Err(Error::exhausted(format!(
                "there are {MAX_CAMERAS} cameras already"
            )));
        }
        self.store
            .insert_camera(&row_of_input(&input, &self.vault)?)?;
        self.apply()?;
        self.get(&input.name)
    }

    /// Changes a camera to what `change` makes of it; nobody else changes it meanwhile.
    ///
    /// # Errors
    /// When `change` fails, a field is wrong, or there is no camera of that name that REST may change.
    pub fn change(
        &self,
        name: &str,
        change: impl FnOnce(CameraInput) -> Result<CameraInput>,
    ) -> Result<CameraView> {
        let _door = self.door.lock().expect("no holder of this lock panics");
        let before = self.get(name)?.input;
        self.writable(name)?;
        let places = (before.uri.clone(), before.sub_uri.clone());
        let after = self.checked(change(before)?)?;
        if places != (after.uri.clone(), after.sub_uri.clone()) {
            self.reachable(&after)?;
        }
        self.store
            .update_camera(&row_of_input(&after, &self.vault)?)?;
        self.apply()?;
        self.get(name)
    }

    /// Starts or stops a camera, for good.
    ///
    /// # Errors
    /// When there is no camera of that name that REST may change.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> Result<CameraView> {
        self.change(name, |before| Ok(CameraInput { enabled, ..before }))
    }

    /// Removes a camera; its events and files stay.
    ///
    /// # Errors
    /// When there is no camera of that name that REST may change.
    pub fn delete(&self, name: &str) -> Result<()> {
        let _door = self.door.lock().expect("no holder of this lock panics");
        self.writable(name)?;
        self.store.delete_camera(name)?;
        self.apply()
    }

    /// Makes an event of the kind `manual` that lasts `seconds` from now on, or lets the one that is open last so
    /// long; a camera that records on events records it.
    ///
    /// # Errors
    /// When there is no camera of that name, or it does not run.
    pub fn trigger(&self, name: &str, seconds: u32) -> Result<Triggered> {
        let view = self.get(name)?;
        self.supervisor
            .trigger(&view.input.name.parse()?, self.store.new_id(), seconds)
    }

    /// A JPEG of what a camera shows now. Blocks while it is decoded.
    ///
    /// # Errors
    /// When the camera has sent no picture.
    pub fn snapshot(&self, name: &str, max_width: Option<i32>) -> Result<Vec<u8>> {
        let view = self.get(name)?;
        let slug: Slug = view.input.name.parse()?;
        let gop = self
            .taps
            .get(&slug)
            .and_then(|tap| tap.gop())
            .ok_or_else(|| {
                let why = view
                    .status
                    .and_then(|status| status.detail)
                    .map(|detail| format!(": {detail}"));
                Error::unavailable(format!(
                    "camera {name:?} has sent no picture yet{}",
                    why.unwrap_or_default()
                ))
            })?;
        snapshot::jpeg(&gop, max_width)
    }

    /// Connects to a camera, saved or not, and says what its streams send. Blocks for some seconds.
    ///
    /// # Errors
    /// One sentence on why no picture came of the main stream.
    pub fn test(&self, input: CameraInput) -> Result<Tested> {
        let input = self.checked(input)?;
        self.reachable(&input)?;
        let spec = self.spec(&input)?;
        let clock = self.clock.as_ref();
        let probe = |stream: &Stream<'_>| probe::probe(clock, stream, PATIENCE, MEASURE);
        let main = Stream::of(&spec, StreamRole::Main)
            .ok_or_else(|| Error::internal("a camera without a main stream"))?;
        Ok(Tested {
            main: probe(&main)?,
            sub: Stream::of(&spec, StreamRole::Sub).map(|sub| probe(&sub)),
        })
    }

    /// The desired state that the supervisor gets for a camera.
    ///
    /// # Errors
    /// Every problem of the input, each with its field.
    pub fn spec(&self, input: &CameraInput) -> Result<CameraSpec> {
        self.spec_by(input, &self.file().descriptions)
    }

    fn spec_by(&self, input: &CameraInput, descriptions: &Descriptions) -> Result<CameraSpec> {
        // Where none takes files, the recorder finds no identity and says so until there is one again.
        let in_use = self.storage.in_use().map(AsRef::as_ref);
        let volume = in_use.unwrap_or_else(|| self.storage.first());
        let context = SpecContext {
            descriptions,
            config_folder: &self.config_folder,
            recordings: &volume.recordings(),
            storage: volume.id().map(|id| StorageMark {
                file: volume.identity_file(),
                id: id.to_owned(),
            }),
            thumbnails: &self.storage.thumbnails(),
        };
        spec_of_input(input, &context)
    }

    fn checked(&self, input: CameraInput) -> Result<CameraInput> {
        let input = without_credentials_in_uri(input)?;
        self.spec(&input)?;
        Ok(input)
    }

    /// Whether a client may send the daemon there; whoever wrote the configuration file may. Blocks for names.
    fn reachable(&self, input: &CameraInput) -> Result<()> {
        let places = (&input.uri, &input.sub_uri);
        let of_file = self
            .file()
            .inputs
            .iter()
            .any(|file| (&file.uri, &file.sub_uri) == places);
        let Some(outbound) = self.outbound.as_ref().filter(|_| !of_file) else {
            return Ok(());
        };
        outbound.check_camera("uri", &input.uri)?;
        match &input.sub_uri {
            Some(sub_uri) => outbound.check_camera("sub_uri", sub_uri),
            None => Ok(()),
        }
    }

    fn writable(&self, name: &str) -> Result<()> {
        if self.file().inputs.iter().any(|input| input.name == name) {
            return Err(Error::precondition(format!(
                "camera {name:?} stands in the configuration file: change it there"
            )));
        }
        self.store.camera(name).map(drop)
    }

    fn inputs(&self) -> Result<Vec<Known>> {
        let mut inputs: Vec<_> = self
            .file()
            .inputs
            .iter()
            .map(|input| (input.clone(), None))
            .collect();
        for row in self.store.list_cameras()? {
            let stored_us = (row.created_us, row.updated_us);
            let input = input_of_row(row, &self.vault)?;
            if inputs.iter().any(|(other, _)| other.name == input.name) {
                tracing::warn!(
                    camera.id = input.name,
                    "the configuration file has a camera of this name, which goes first"
                );
            } else {
                inputs.push((input, Some(stored_us)));
            }
        }
        inputs.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        Ok(inputs)
    }

    fn view(&self, input: CameraInput, stored_us: Option<(i64, i64)>) -> CameraView {
        let status = input
            .name
            .parse()
            .ok()
            .and_then(|slug| self.supervisor.status(&slug));
        CameraView {
            input,
            origin: match stored_us {
                Some(_) => Origin::Api,
                None => Origin::File,
            },
            status,
            stored_us,
        }
    }

    /// Hands the whole desired state to the supervisor and the RTSP server.
    fn apply(&self) -> Result<()> {
        let mut desired = Vec::new();
        for (input, _) in self.inputs()? {
            match self.spec(&input) {
                Ok(spec) => desired.push(spec),
                // A description that has gone must not stop the other cameras.
                Err(error) => {
                    tracing::error!(camera.id = input.name, %error, "the camera cannot run")
                }
            }
        }
        let names: Vec<Slug> = desired.iter().map(|spec| spec.name.clone()).collect();
        self.supervisor.apply(desired)?;
        self.restream.set_mounts(&names);
        Ok(())
    }
}

fn unknown(name: &str) -> Error {
    Error::not_found(format!("no camera is called {name:?}"))
}
