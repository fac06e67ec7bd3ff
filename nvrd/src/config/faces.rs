//! `[faces]`: the models that tell faces apart.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use utoipa::ToSchema;

/// `[faces]`
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FacesConfig {
    /// An ONNX model that finds faces with five landmarks; that of the AI adapter unless given.
    #[schema(value_type = Option<String>)]
    pub detector: Option<PathBuf>,
    /// An ONNX model that turns a face into a vector; the same as that of the cameras' `facematch`.
    #[schema(value_type = Option<String>)]
    pub embedder: Option<PathBuf>,
    /// Least cosine similarity of two faces of one person; 0.35 unless given.
    pub threshold: f32,
}

impl Default for FacesConfig {
    fn default() -> Self {
        Self {
            detector: None,
            embedder: None,
            threshold: 0.35,
        }
    }
}

impl FacesConfig {
    /// Means relative paths from `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.detector, &mut self.embedder] {
            *path = path.take().map(|path| folder.join(path));
        }
    }

    /// Models that are named and not there.
    pub fn missing_files(&self) -> Vec<String> {
        [("detector", &self.detector), ("embedder", &self.embedder)]
            .into_iter()
            .filter_map(|(key, path)| Some((key, path.as_ref()?)))
            .filter(|(_, path)| !path.is_file())
            .map(|(key, path)| format!("faces.{key}: {} does not exist", path.display()))
            .collect()
    }

    pub(super) fn problems(&self) -> Vec<String> {
        match (-1.0..=1.0).contains(&self.threshold) {
            true => Vec::new(),
            false => vec![format!(
                "faces.threshold: {} is out of range: use -1 to 1",
                self.threshold
            )],
        }
    }
}
