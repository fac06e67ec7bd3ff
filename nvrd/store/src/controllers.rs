//! Devices that have cameras and an API of their own, and which of their cameras are cameras here.

use diesel::prelude::*;
use nvr_base::{Error, Result};

use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::schema::{protect_cameras, protect_controllers};

/// Most controllers that are kept.
pub const MAX_CONTROLLERS: usize = 32;

/// What a person says about a controller.
#[derive(Clone, PartialEq, Eq)]
pub struct NewController {
    /// Unique.
    pub name: String,
    /// Name or address of the device.
    pub host: String,
    /// Port of its HTTPS.
    pub port: u16,
    /// User name at the device.
    pub username: String,
    /// Password at the device, sealed by whoever calls.
    pub password: String,
    /// Whether its certificate must be one that the system trusts.
    pub verify_ssl: bool,
}

/// A controller as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct ControllerRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// What was said about it.
    pub controller: NewController,
    /// Whether the daemon shall stay in touch with it.
    pub wanted: bool,
    /// When it last answered, microseconds since 1970-01-01 UTC.
    pub last_connected_us: Option<i64>,
    /// Why it did not answer since, in one sentence.
    pub last_error: Option<String>,
    /// When it was made, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// When it was last changed, microseconds since 1970-01-01 UTC.
    pub updated_us: i64,
}

// By hand: debug output ends in logs.
impl std::fmt::Debug for NewController {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewController")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ControllerRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControllerRow")
            .field("id", &self.id)
            .field("controller", &self.controller)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// A controller's camera that is a camera here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerCamera {
    /// Id of the controller.
    pub controller_id: String,
    /// What the controller calls it.
    pub protect_camera_id: String,
    /// Name of the camera here.
    pub camera: String,
}

impl Store {
    /// All controllers, by name.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn controllers(&self) -> Result<Vec<ControllerRow>> {
        self.read(|conn| {
            let records = protect_controllers::table
                .order(protect_controllers::name)
                .select(Record::as_select())
                .load(conn)?;
            Ok(records.into_iter().map(ControllerRow::from).collect())
        })
    }

    /// The controller with that id.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn controller(&self, id: &str) -> Result<ControllerRow> {
        self.read(|conn| Ok(existing(conn, id)?.into()))
    }

    /// Adds a controller, which is wanted from the start.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `ResourceExhausted` when there are [`MAX_CONTROLLERS`].
    pub fn insert_controller(&self, controller: &NewController) -> Result<ControllerRow> {
        let (id, now_us) = (self.new_id(), self.now_us());
        self.write(|conn| {
            let count: i64 = protect_controllers::table.count().get_result(conn)?;
            if count >= MAX_CONTROLLERS as i64 {
                return Err(Error::exhausted(format!(
                    "there are {MAX_CONTROLLERS} controllers already"
                ))
                .into());
            }
            free_name(conn, &controller.name, None)?;
            let record = Record::new(&id, controller, now_us);
            diesel::insert_into(protect_controllers::table)
                .values(&record)
                .execute(conn)?;
            Ok(record.into())
        })
    }

    /// Replaces what a person said about a controller.
    ///
    /// # Errors
    /// `NotFound` if there is none, `AlreadyExists` if the name is another's.
    pub fn update_controller(&self, id: &str, controller: &NewController) -> Result<ControllerRow> {
        let now_us = self.now_us();
        self.write(|conn| {
            let before = existing(conn, id)?;
            free_name(conn, &controller.name, Some(id))?;
            let record = Record {
                wanted: before.wanted,
                last_connected_us: before.last_connected_us,
                last_error: before.last_error,
                created_us: before.created_us,
                updated_us: now_us,
                ..Record::new(id, controller, now_us)
            };
            diesel::update(protect_controllers::table.find(id))
                .set(&record)
                .execute(conn)?;
            Ok(record.into())
        })
    }

    /// Says whether the daemon shall stay in touch with a controller.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn want_controller(&self, id: &str, wanted: bool) -> Result<ControllerRow> {
        self.write(|conn| {
            existing(conn, id)?;
            diesel::update(protect_controllers::table.find(id))
                .set(protect_controllers::wanted.eq(wanted))
                .execute(conn)?;
            Ok(existing(conn, id)?.into())
        })
    }

    /// Notes that a controller answered now, or why it did not.
    ///
    /// # Errors
    /// Only those of the database; a controller that has gone is none.
    pub fn note_controller(&self, id: &str, error: Option<&str>) -> Result<()> {
        let now_us = self.now_us();
        self.write(|conn| {
            let row = protect_controllers::table.find(id);
            match error {
                None => diesel::update(row)
                    .set((
                        protect_controllers::last_connected_us.eq(Some(now_us)),
                        protect_controllers::last_error.eq(None::<String>),
                    ))
                    .execute(conn)?,
                Some(error) => diesel::update(row)
                    .set(protect_controllers::last_error.eq(Some(error)))
                    .execute(conn)?,
            };
            Ok(())
        })
    }

    /// Forgets a controller and which of its cameras were cameras here; the cameras themselves are not touched.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn delete_controller(&self, id: &str) -> Result<()> {
        self.write(|conn| {
            if diesel::delete(protect_controllers::table.find(id)).execute(conn)? == 0 {
                return Err(unknown(id).into());
            }
            Ok(())
        })
    }

    /// Which cameras of controllers are cameras here, by controller and its id for them.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn controller_cameras(&self) -> Result<Vec<ControllerCamera>> {
        let rows: Vec<(String, String, String)> = self.read(|conn| {
            Ok(protect_cameras::table
                .order((
                    protect_cameras::controller_id,
                    protect_cameras::protect_camera_id,
                ))
                .select((
                    protect_cameras::controller_id,
                    protect_cameras::protect_camera_id,
                    protect_cameras::camera,
                ))
                .load(conn)?)
        })?;
        let camera = |(controller_id, protect_camera_id, camera)| ControllerCamera {
            controller_id,
            protect_camera_id,
            camera,
        };
        Ok(rows.into_iter().map(camera).collect())
    }

    /// Notes that a controller's camera is a camera here, under another name than before if it had one.
    ///
    /// # Errors
    /// `NotFound` if the controller has gone, `AlreadyExists` if the camera is another one's.
    pub fn link_controller_camera(&self, link: &ControllerCamera) -> Result<()> {
        let now_us = self.now_us();
        self.write(|conn| {
            existing(conn, &link.controller_id)?;
            let place = (&link.controller_id, &link.protect_camera_id);
            let changed = diesel::update(protect_cameras::table.find(place))
                .set(protect_cameras::camera.eq(&link.camera))
                .execute(conn)?;
            if changed == 0 {
                diesel::insert_into(protect_cameras::table)
                    .values((
                        protect_cameras::controller_id.eq(&link.controller_id),
                        protect_cameras::protect_camera_id.eq(&link.protect_camera_id),
                        protect_cameras::camera.eq(&link.camera),
                        protect_cameras::created_us.eq(now_us),
                    ))
                    .execute(conn)?;
            }
            Ok(())
        })
    }

    /// Forgets that a controller's camera was a camera here; `false` if it was none.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn unlink_controller_camera(
        &self,
        controller_id: &str,
        protect_camera_id: &str,
    ) -> Result<bool> {
        self.write(|conn| {
            let place = (controller_id, protect_camera_id);
            let gone = diesel::delete(protect_cameras::table.find(place)).execute(conn)?;
            Ok(gone > 0)
        })
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = protect_controllers, treat_none_as_null = true)]
struct Record {
    id: String,
    name: String,
    host: String,
    port: i64,
    username: String,
    password: String,
    verify_ssl: bool,
    wanted: bool,
    last_connected_us: Option<i64>,
    last_error: Option<String>,
    created_us: i64,
    updated_us: i64,
}

impl Record {
    fn new(id: &str, controller: &NewController, now_us: i64) -> Self {
        let controller = controller.clone();
        Self {
            id: id.to_owned(),
            name: controller.name,
            host: controller.host,
            port: controller.port.into(),
            username: controller.username,
            password: controller.password,
            verify_ssl: controller.verify_ssl,
            wanted: true,
            last_connected_us: None,
            last_error: None,
            created_us: now_us,
            updated_us: now_us,
        }
    }
}

impl From<Record> for ControllerRow {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            controller: NewController {
                name: record.name,
                host: record.host,
                port: u16::try_from(record.port).unwrap_or_default(),
                username: record.username,
                password: record.password,
                verify_ssl: record.verify_ssl,
            },
            wanted: record.wanted,
            last_connected_us: record.last_connected_us,
            last_error: record.last_error,
            created_us: record.created_us,
            updated_us: record.updated_us,
        }
    }
}

fn existing(conn: &mut Conn, id: &str) -> Result<Record, Failure> {
    protect_controllers::table
        .find(id)
        .select(Record::as_select())
        .first(conn)
        .optional()?
        .ok_or_else(|| unknown(id).into())
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("no controller has the id {id:?}"))
}

fn free_name(conn: &mut Conn, name: &str, except: Option<&str>) -> Result<(), Failure> {
    let taken: Vec<String> = protect_controllers::table
        .filter(protect_controllers::name.eq(name))
        .select(protect_controllers::id)
        .load(conn)?;
    match taken.iter().any(|id| Some(id.as_str()) != except) {
        false => Ok(()),
        true => Err(Error::already_exists(format!(
            "name: a controller is called {name:?} already"
        ))
        .into()),
    }
}
