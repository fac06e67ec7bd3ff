//! Cameras that a controller lends: made here, kept where the controller says they are, and given back.

use std::collections::BTreeMap;
use std::sync::Arc;

use nvr_base::{Error, ErrorKind, Principal, Result};
use nvr_media::ParamValue;
use nvr_store::{ControllerCamera, ControllerRow};

use super::bootstrap::{Bootstrap, is_word};
use super::device::in_url;
use super::{Controllers, blocking};
use crate::cameras::{CameraInput, CameraView};

/// Longest name that is made of what a controller calls a camera, before a number is added.
const MAX_NAME: usize = 48;

/// How a controller's camera is to be here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Its name here; made of the controller's name for it unless given.
    pub name: Option<String>,
    /// Its pipeline description; `motion` unless given.
    pub pipeline: Option<String>,
}

impl Controllers {
    /// Makes a controller's camera one here, and starts it; the name of one that is one already stays.
    ///
    /// # Errors
    /// `NotFound` if there is no such controller or camera, `FailedPrecondition` when it has no stream,
    /// `InvalidArgument` for a bad name, and what making a camera may say.
    pub async fn enable(
        self: &Arc<Self>,
        id: &str,
        camera: &str,
        wish: Wish,
    ) -> Result<CameraView> {
        let _door = self.door.lock().await;
        let row = self.row(id).await?;
        if !is_word(camera) {
            return Err(unknown(camera));
        }
        let known = self.link(id, |link| link.told.clone());
        let told = match known {
            Some((told, _)) if told.cameras.iter().any(|one| one.id == camera) => told,
            _ => self.refresh(&row).await?,
        };
        let (this, camera) = (Arc::clone(self), camera.to_owned());
        blocking(move || this.borrow(&row, &told, &camera, wish)).await?
    }

    /// Removes a camera that a controller lent; its recordings stay. One that is none here is no failure.
    ///
    /// # Errors
    /// `NotFound` if there is no such controller.
    pub async fn disable(self: &Arc<Self>, id: &str, camera: &str) -> Result<()> {
        let _door = self.door.lock().await;
        self.row(id).await?;
        let this = Arc::clone(self);
        let (id, camera) = (id.to_owned(), camera.to_owned());
        blocking(move || {
            let same = |link: &ControllerCamera| {
                link.controller_id == id && link.protect_camera_id == camera
            };
            match this.store.controller_cameras()?.into_iter().find(same) {
                Some(link) => this.give_back(&link),
                None => Ok(()),
            }
        })
        .await?
    }

    /// Blocks.
    fn borrow(
        &self,
        row: &ControllerRow,
        told: &Bootstrap,
        id: &str,
        wish: Wish,
    ) -> Result<CameraView> {
        let device = told.cameras.iter().find(|camera| camera.id == id);
        let device = device.ok_or_else(|| unknown(id))?;
        let host = in_url(&row.controller.host)?;
        let (uri, sub_uri) = device.places(&host, told).ok_or_else(|| {
            Error::precondition(format!(
                "camera {:?} has no stream: switch RTSP on for it at the controller",
                device.name
            ))
        })?;
        let links = self.store.controller_cameras()?;
        let linked = links
            .iter()
            .find(|link| link.controller_id == row.id && link.protect_camera_id == id);
        if let Some(link) = linked {
            match self.cameras.get(&link.camera) {
                Ok(_) => return self.cameras.set_enabled(&link.camera, true),
                // Somebody removed it by hand.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.store.unlink_controller_camera(&row.id, id)?;
                }
                Err(error) => return Err(error),
            }
        }
        let name = match wish.name {
            Some(name) => name,
            None => self.free_name(&device.name)?,
        };
        let mut params = BTreeMap::new();
        if !row.controller.verify_ssl && uri.starts_with("rtsps:") {
            params.insert("tls-insecure".to_owned(), ParamValue::Bool(true));
        }
        let view = self.cameras.create(CameraInput {
            name: name.clone(),
            title: Some(device.name.clone()),
            uri,
            sub_uri,
            user: None,
            password: None,
            pipeline: wish.pipeline.unwrap_or_else(|| "motion".to_owned()),
            params,
            enabled: true,
        })?;
        let link = ControllerCamera {
            controller_id: row.id.clone(),
            protect_camera_id: id.to_owned(),
            camera: name.clone(),
        };
        if let Err(error) = self.store.link_controller_camera(&link) {
            // Nothing half done: a camera that nobody would follow goes again.
            self.cameras.delete(&name)?;
            return Err(error);
        }
        Ok(view)
    }

    /// Removes a camera that was lent, if it is still there, and forgets that it was. Blocks.
    pub(super) fn give_back(&self, link: &ControllerCamera) -> Result<()> {
        match self.cameras.delete(&link.camera) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.store
            .unlink_controller_camera(&link.controller_id, &link.protect_camera_id)
            .map(drop)
    }

    /// Moves the cameras that a controller lends to where it says they are now; one that it no longer knows stays.
    pub(super) async fn follow(self: &Arc<Self>, row: &ControllerRow, told: &Arc<Bootstrap>) {
        let (this, row, told) = (Arc::clone(self), row.clone(), Arc::clone(told));
        let done = blocking(move || {
            for link in this.store.controller_cameras()? {
                if link.controller_id == row.id
                    && let Err(error) = this.move_one(&row, &told, &link)
                {
                    tracing::warn!(camera.id = link.camera, %error, "a lent camera cannot be followed");
                }
            }
            Ok::<_, Error>(())
        });
        if let Err(error) = done.await.and_then(|done| done) {
            tracing::error!(%error, "lent cameras cannot be followed");
        }
    }

    fn move_one(
        &self,
        row: &ControllerRow,
        told: &Bootstrap,
        link: &ControllerCamera,
    ) -> Result<()> {
        let here = match self.cameras.get(&link.camera) {
            Ok(view) => view.input,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Somebody removed it by hand, and it shall not come back.
                return self
                    .store
                    .unlink_controller_camera(&link.controller_id, &link.protect_camera_id)
                    .map(drop);
            }
            Err(error) => return Err(error),
        };
        let device = told
            .cameras
            .iter()
            .find(|camera| camera.id == link.protect_camera_id);
        let host = in_url(&row.controller.host)?;
        let Some((uri, sub_uri)) = device.and_then(|device| device.places(&host, told)) else {
            return Ok(());
        };
        if here.uri == uri && here.sub_uri == sub_uri {
            return Ok(());
        }
        self.cameras
            .change(&link.camera, |before| {
                Ok(CameraInput {
                    uri,
                    sub_uri,
                    ..before
                })
            })
            .map(drop)
    }

    /// A name that no camera has, made of what people call it. Blocks.
    fn free_name(&self, name: &str) -> Result<String> {
        let taken: Vec<String> = self
            .cameras
            .list(Principal::system())?
            .into_iter()
            .map(|view| view.input.name)
            .collect();
        let base = slug(name);
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        Ok(std::iter::once(base.clone())
            .chain(numbered)
            .find(|name| !taken.contains(name))
            .expect("there are more numbers than cameras"))
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("the controller has no camera {id:?}"))
}

/// A name for a camera out of any text.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        if slug.len() >= MAX_NAME {
            break;
        }
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            'ä' => slug.push_str("ae"),
            'ö' => slug.push_str("oe"),
            'ü' => slug.push_str("ue"),
            'ß' => slug.push_str("ss"),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    match slug.trim_end_matches('-') {
        "" => "camera".to_owned(),
        slug => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_gives_a_name() {
        let check = |text: &str, expect: &str| {
            assert_eq!(slug(text), expect, "{text}");
            assert!(slug(text).parse::<nvr_base::Slug>().is_ok(), "{text}");
        };
        check("Front Door", "front-door");
        check("  G4 (Pro) — Höfe! ", "g4-pro-hoefe");
        check("玄関", "camera");
        check("", "camera");
        check(&"a".repeat(500), &"a".repeat(MAX_NAME));
        check("../../etc", "etc");
    }
}
