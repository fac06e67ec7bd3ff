//! Cameras made over the API; those of the configuration file never come here.

use diesel::prelude::*;
use nvr_base::{Error, Result, Slug};

use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::schema::cameras;

/// What a person says about a camera.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCamera {
    /// Slug, unique, never changed.
    pub name: String,
    /// What people call it, where that is not its name.
    pub title: Option<String>,
    /// Where the main stream is.
    pub uri: String,
    /// Where the stream for the analysis is, if it has its own.
    pub sub_uri: Option<String>,
    /// Name of the pipeline description.
    pub pipeline: String,
    /// Parameters of the description: a JSON object in text.
    pub params_json: String,
    /// Whether it runs.
    pub enabled: bool,
    /// User name at the camera.
    pub user: Option<String>,
    /// Password at the camera.
    pub password: Option<String>,
}

/// A camera as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct CameraRow {
    /// Slug, unique, never changed.
    pub name: String,
    /// What people call it, where that is not its name.
    pub title: Option<String>,
    /// Where the main stream is.
    pub uri: String,
    /// Where the stream for the analysis is, if it has its own.
    pub sub_uri: Option<String>,
    /// Name of the pipeline description.
    pub pipeline: String,
    /// Parameters of the description: a JSON object in text.
    pub params_json: String,
    /// Whether it runs.
    pub enabled: bool,
    /// User name at the camera.
    pub user: Option<String>,
    /// Password at the camera.
    pub password: Option<String>,
    /// When it was made, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// When it was last changed, microseconds since 1970-01-01 UTC.
    pub updated_us: i64,
}

// By hand: addresses may hold credentials too, and debug output ends in logs.
macro_rules! debug_without_secrets {
    ($($type:ident),+) => {
        $(impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("name", &self.name)
                    .field("pipeline", &self.pipeline)
                    .field("enabled", &self.enabled)
                    .finish_non_exhaustive()
            }
        })+
    };
}

debug_without_secrets!(NewCamera, CameraRow);

impl Store {
    /// All cameras, by name.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn list_cameras(&self) -> Result<Vec<CameraRow>> {
        self.read(|conn| Ok(all(conn)?.into_iter().map(CameraRow::from).collect()))
    }

    /// The camera of that name.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn camera(&self, name: &str) -> Result<CameraRow> {
        self.read(|conn| Ok(existing(conn, name)?.into()))
    }

    /// Stores a new camera.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `InvalidArgument` if it is no slug or the parameters are no JSON object.
    pub fn insert_camera(&self, camera: &NewCamera) -> Result<CameraRow> {
        check(camera)?;
        let now_us = self.now_us();
        self.write(|conn| {
            if find(conn, &camera.name)?.is_some() {
                return Err(Error::already_exists(format!(
                    "camera {:?} exists already",
                    camera.name
                ))
                .into());
            }
            let record = Record::new(camera, now_us, now_us);
            diesel::insert_into(cameras::table)
                .values(&record)
                .execute(conn)?;
            Ok(record.into())
        })
    }

    /// Replaces all that is said about the camera of that name.
    ///
    /// # Errors
    /// `NotFound` if there is none, `InvalidArgument` if the parameters are no JSON object.
    pub fn update_camera(&self, camera: &NewCamera) -> Result<CameraRow> {
        check(camera)?;
        let now_us = self.now_us();
        self.write(|conn| {
            let before = existing(conn, &camera.name)?;
            let record = Record::new(camera, before.created_us, now_us);
            diesel::update(cameras::table.find(&camera.name))
                .set(&record)
                .execute(conn)?;
            Ok(record.into())
        })
    }

    /// Replaces the stored passwords for which `replace` gives another text; says how many.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn replace_camera_passwords(
        &self,
        replace: impl Fn(&str) -> Option<String>,
    ) -> Result<usize> {
        let found: Vec<(String, String)> = self
            .list_cameras()?
            .into_iter()
            .filter_map(|row| Some((row.name, replace(row.password.as_deref()?)?)))
            .collect();
        if found.is_empty() {
            return Ok(0);
        }
        self.write(|conn| {
            for (name, password) in &found {
                diesel::update(cameras::table.find(name))
                    .set(cameras::password.eq(Some(password)))
                    .execute(conn)?;
            }
            Ok(found.len())
        })
    }

    /// Forgets a camera. Its events, segments, gaps and files stay: they leave by retention or by hand.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn delete_camera(&self, name: &str) -> Result<()> {
        self.write(|conn| {
            if diesel::delete(cameras::table.find(name)).execute(conn)? == 0 {
                return Err(unknown(name).into());
            }
            Ok(())
        })
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = cameras, primary_key(name), treat_none_as_null = true)]
struct Record {
    name: String,
    title: Option<String>,
    uri: String,
    sub_uri: Option<String>,
    pipeline: String,
    params_json: String,
    enabled: bool,
    username: Option<String>,
    password: Option<String>,
    created_us: i64,
    updated_us: i64,
}

fn all(conn: &mut Conn) -> QueryResult<Vec<Record>> {
    cameras::table
        .order(cameras::name)
        .select(Record::as_select())
        .load(conn)
}

fn find(conn: &mut Conn, name: &str) -> QueryResult<Option<Record>> {
    cameras::table
        .find(name)
        .select(Record::as_select())
        .first(conn)
        .optional()
}

fn existing(conn: &mut Conn, name: &str) -> Result<Record, Failure> {
    find(conn, name)?.ok_or_else(|| unknown(name).into())
}

fn unknown(name: &str) -> Error {
    Error::not_found(format!("no camera is called {name:?}"))
}

fn check(camera: &NewCamera) -> Result<()> {
    camera.name.parse::<Slug>()?;
    let params: Result<serde_json::Map<_, _>, _> = serde_json::from_str(&camera.params_json);
    params.map(drop).map_err(|error| {
        Error::invalid(format!(
            "camera {:?}: params must be a JSON object",
            camera.name
        ))
        .with_source(error)
    })
}

impl Record {
    fn new(camera: &NewCamera, created_us: i64, updated_us: i64) -> Self {
        let camera = camera.clone();
        Self {
            name: camera.name,
            title: camera.title,
            uri: camera.uri,
            sub_uri: camera.sub_uri,
            pipeline: camera.pipeline,
            params_json: camera.params_json,
            enabled: camera.enabled,
            username: camera.user,
            password: camera.password,
            created_us,
            updated_us,
        }
    }
}

impl From<Record> for CameraRow {
    fn from(record: Record) -> Self {
        Self {
            name: record.name,
            title: record.title,
            uri: record.uri,
            sub_uri: record.sub_uri,
            pipeline: record.pipeline,
            params_json: record.params_json,
            enabled: record.enabled,
            user: record.username,
            password: record.password,
            created_us: record.created_us,
            updated_us: record.updated_us,
        }
    }
}
