//! Controllers as people manage them: what they may say of one, trying one, and staying in touch or not.

use std::sync::Arc;

use nvr_base::{Error, Result, Secret};
use nvr_store::{ControllerRow, NewController as StoredController};

use super::device::{Device, url_of};
use super::{Controllers, blocking};

/// Longest name of a controller or a user, bytes.
const MAX_NAME: usize = 100;
/// Longest password, bytes.
const MAX_PASSWORD: usize = 256;

/// What a person says about a new controller, or one that is to be tried.
#[derive(Clone)]
pub struct NewController {
    /// Unique.
    pub name: String,
    /// Name or address of the device.
    pub host: String,
    /// Port of its HTTPS.
    pub port: u16,
    /// User name at the device.
    pub username: String,
    /// Password at the device.
    pub password: Secret,
    /// Whether its certificate must be one that is trusted.
    pub verify_ssl: bool,
}

/// What changes of a controller; what is absent stays.
#[derive(Default)]
pub struct ControllerChange {
    /// Unique.
    pub name: Option<String>,
    /// Name or address of the device.
    pub host: Option<String>,
    /// Port of its HTTPS.
    pub port: Option<u16>,
    /// User name at the device.
    pub username: Option<String>,
    /// Password at the device.
    pub password: Option<Secret>,
    /// Whether its certificate must be one that is trusted.
    pub verify_ssl: Option<bool>,
}

/// A controller, and whether it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerView {
    /// What is stored; its password is sealed.
    pub row: ControllerRow,
    /// Whether it answered when it was asked last.
    pub is_connected: bool,
}

/// What came of trying a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Whether it let us in and told its cameras.
    pub success: bool,
    /// One sentence for people.
    pub message: String,
    /// Version of its software.
    pub firmware_version: Option<String>,
    /// How many cameras it has.
    pub camera_count: Option<u32>,
}

impl Controllers {
    /// All controllers, by name. Blocks.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list(&self) -> Result<Vec<ControllerView>> {
        let rows = self.store.controllers()?;
        Ok(rows.into_iter().map(|row| self.view(row)).collect())
    }

    /// One controller. Blocks.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn get(&self, id: &str) -> Result<ControllerView> {
        Ok(self.view(self.store.controller(id)?))
    }

    /// Adds a controller, which is asked soon. Blocks.
    ///
    /// # Errors
    /// `InvalidArgument` that names the field, `AlreadyExists`, or `ResourceExhausted`.
    pub fn add(&self, new: &NewController) -> Result<ControllerView> {
        self.check(new)?;
        let stored = StoredController {
            name: new.name.trim().to_owned(),
            host: new.host.clone(),
            port: new.port,
            username: new.username.clone(),
            password: self.vault.seal(new.password.expose()),
            verify_ssl: new.verify_ssl,
        };
        Ok(self.view(self.store.insert_controller(&stored)?))
    }

    /// Changes a controller, which is asked anew. Blocks.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` that names the field, or `AlreadyExists`.
    pub fn change(&self, id: &str, change: ControllerChange) -> Result<ControllerView> {
        let before = self.store.controller(id)?.controller;
        let host = change.host.unwrap_or_else(|| before.host.clone());
        let port = change.port.unwrap_or(before.port);
        let moved = (&host, port) != (&before.host, before.port);
        let password = match change.password {
            Some(password) => password,
            // Whoever may move it could have the password sent to themselves otherwise.
            None if moved => {
                return Err(Error::invalid(
                    "password: is needed anew when the host or the port changes",
                ));
            }
            None => self.vault.open(&before.password)?,
        };
        let after = NewController {
            name: change.name.unwrap_or(before.name),
            host,
            port,
            username: change.username.unwrap_or(before.username),
            password,
            verify_ssl: change.verify_ssl.unwrap_or(before.verify_ssl),
        };
        self.check(&after)?;
        let stored = StoredController {
            name: after.name.trim().to_owned(),
            host: after.host,
            port: after.port,
            username: after.username,
            password: self.vault.seal(after.password.expose()),
            verify_ssl: after.verify_ssl,
        };
        let row = self.store.update_controller(id, &stored)?;
        self.forget(id);
        Ok(self.view(row))
    }

    /// Removes a controller, and the cameras that it lent; their recordings stay.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn remove(self: &Arc<Self>, id: &str) -> Result<()> {
        let _door = self.door.lock().await;
        let (this, id) = (Arc::clone(self), id.to_owned());
        blocking(move || {
            this.store.controller(&id)?;
            for link in this.store.controller_cameras()? {
                if link.controller_id == id {
                    this.give_back(&link)?;
                }
            }
            this.store.delete_controller(&id)?;
            this.forget(&id);
            Ok(())
        })
        .await?
    }

    /// Tries a controller that is not saved; that it does not let us in is a result.
    ///
    /// # Errors
    /// `InvalidArgument` that names the field.
    pub async fn test(&self, new: &NewController) -> Result<Tested> {
        self.check(new)?;
        let device = Device {
            host: &new.host,
            port: new.port,
            username: &new.username,
            password: &new.password,
            verify_ssl: new.verify_ssl,
        };
        let turn = tokio::time::timeout(super::TURN, self.turns.acquire()).await;
        let _turn = turn
            .map_err(|_| Error::unavailable("too many controllers are asked at once: try again"))?
            .expect("nobody closes the lanes");
        match device.bootstrap(&self.outbound, None).await {
            Ok((told, _)) => Ok(Tested {
                success: true,
                message: format!("it answers, and has {} cameras", told.cameras.len()),
                camera_count: u32::try_from(told.cameras.len()).ok(),
                firmware_version: told.version,
            }),
            Err(error) => match error.kind() {
                nvr_base::ErrorKind::Unavailable | nvr_base::ErrorKind::FailedPrecondition => {
                    Ok(Tested {
                        success: false,
                        message: error.message().to_owned(),
                        firmware_version: None,
                        camera_count: None,
                    })
                }
                _ => Err(error),
            },
        }
    }

    /// Tries a controller as it is saved.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn test_saved(self: &Arc<Self>, id: &str) -> Result<Tested> {
        let controller = self.row(id).await?.controller;
        let password = self.vault.open(&controller.password)?;
        let saved = NewController {
            name: controller.name,
            host: controller.host,
            port: controller.port,
            username: controller.username,
            password,
            verify_ssl: controller.verify_ssl,
        };
        self.test(&saved).await
    }

    /// Gets in touch with a controller, now and from now on; says why where that fails for now.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn connect(self: &Arc<Self>, id: &str) -> Result<(ControllerView, Option<String>)> {
        let row = self.want(id, true).await?;
        let failed = self.refresh(&row).await.err();
        let (this, id) = (Arc::clone(self), id.to_owned());
        let view = blocking(move || this.get(&id)).await??;
        Ok((view, failed.map(|error| error.message().to_owned())))
    }

    /// Leaves a controller alone from now on; the cameras it lent stay.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn disconnect(self: &Arc<Self>, id: &str) -> Result<ControllerView> {
        let row = self.want(id, false).await?;
        self.forget(id);
        Ok(self.view(row))
    }

    async fn want(self: &Arc<Self>, id: &str, wanted: bool) -> Result<ControllerRow> {
        let (this, id) = (Arc::clone(self), id.to_owned());
        blocking(move || this.store.want_controller(&id, wanted)).await?
    }

    fn view(&self, row: ControllerRow) -> ControllerView {
        ControllerView {
            is_connected: self.link(&row.id, |link| link.connected),
            row,
        }
    }

    fn check(&self, new: &NewController) -> Result<()> {
        word("name", &new.name, MAX_NAME)?;
        word("username", &new.username, MAX_NAME)?;
        if new.password.expose().is_empty() || new.password.expose().len() > MAX_PASSWORD {
            return Err(Error::invalid(format!(
                "password: use 1 to {MAX_PASSWORD} bytes"
            )));
        }
        if new.port == 0 {
            return Err(Error::invalid("port: 0 is out of range: use 1 to 65535"));
        }
        url_of(&self.outbound, &new.host, new.port).map(drop)
    }
}

fn word(field: &str, text: &str, most: usize) -> Result<()> {
    if text.trim().is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "{field}: use 1 to {most} bytes without control characters"
        )));
    }
    Ok(())
}
