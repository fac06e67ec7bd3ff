//! What the configuration file says of cameras, which changes as a whole when the file is read anew.

use std::sync::Arc;

use nvr_base::{Error, Result};
use nvr_media::description::Descriptions;

use super::{CameraInput, Cameras, input_of_config};
use crate::config::CameraConfig;

/// The cameras of the file and the descriptions that cameras may name.
#[derive(Debug)]
pub struct FromFile {
    pub(super) descriptions: Descriptions,
    pub(super) inputs: Vec<CameraInput>,
}

/// What a file that was read anew changed; names of cameras.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileChange {
    /// Those that are in it now.
    pub added: Vec<String>,
    /// Those that no longer are.
    pub removed: Vec<String>,
    /// Those that it says something else of.
    pub changed: Vec<String>,
}

impl FromFile {
    /// Reads the passwords that stand apart.
    ///
    /// # Errors
    /// Every problem, each with its camera.
    pub fn read(descriptions: Descriptions, cameras: Vec<CameraConfig>) -> Result<Self> {
        let (mut inputs, mut problems) = (Vec::new(), Vec::new());
        for camera in cameras {
            match input_of_config(camera) {
                Ok(input) => inputs.push(input),
                Err(error) => problems.push(error.to_string()),
            }
        }
        match problems.is_empty() {
            true => Ok(Self {
                descriptions,
                inputs,
            }),
            false => Err(Error::invalid(problems.join("\n"))),
        }
    }

    fn change_to(&self, next: &Self) -> FileChange {
        let find = |all: &Self, name: &str| {
            let found = all.inputs.iter().find(|input| input.name == name);
            found.cloned()
        };
        let mut change = FileChange::default();
        for input in &next.inputs {
            match find(self, &input.name) {
                None => change.added.push(input.name.clone()),
                Some(before) if before != *input => change.changed.push(input.name.clone()),
                Some(_) => {}
            }
        }
        let gone = self
            .inputs
            .iter()
            .filter(|it| find(next, &it.name).is_none());
        change.removed = gone.map(|input| input.name.clone()).collect();
        change
    }
}

impl Cameras {
    pub(super) fn file(&self) -> Arc<FromFile> {
        let file = self.file.lock().expect("no holder of this lock panics");
        Arc::clone(&file)
    }

    /// Whether every camera of a file could run.
    ///
    /// # Errors
    /// Every problem, each with its camera and key.
    pub fn check_file(&self, file: &FromFile) -> Result<()> {
        let failed = file
            .inputs
            .iter()
            .filter_map(|input| self.spec_by(input, &file.descriptions).err());
        let problems: Vec<String> = failed.map(|error| error.to_string()).collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid(problems.join("\n"))),
        }
    }

    /// What a file would change, without doing it.
    pub fn preview_file(&self, file: &FromFile) -> FileChange {
        self.file().change_to(file)
    }

    /// Takes the cameras of a file that was read anew: what is the same in both goes on untouched.
    ///
    /// # Errors
    /// As [`Cameras::check_file`], and when the store cannot be read; then everything is as it was.
    pub fn set_file(&self, file: FromFile) -> Result<FileChange> {
        self.check_file(&file)?;
        let _door = self.door.lock().expect("no holder of this lock panics");
        let swap = |file: Arc<FromFile>| {
            let mut place = self.file.lock().expect("no holder of this lock panics");
            std::mem::replace(&mut *place, file)
        };
        let file = Arc::new(file);
        let before = swap(Arc::clone(&file));
        if let Err(error) = self.apply() {
            swap(before);
            if let Err(again) = self.apply() {
                tracing::error!(error = %again, "cameras could not be put back as they were");
            }
            return Err(error);
        }
        Ok(before.change_to(&file))
    }
}
