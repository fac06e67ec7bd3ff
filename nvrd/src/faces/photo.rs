//! The photos that people are known by: cut to the face, below the storage folder, under names that say nothing.

use std::io::Write as _;
use std::path::PathBuf;

use gstfacematch::align::Points;
use gstfacematch::embedder::Embedder;
use gstfacematch::search::Embedding;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use nvr_base::{Error, ErrorKind, Result};
use nvr_store::NewFace;

use super::portrait::{self, Seen};
use crate::infer::Picture;
use crate::storage::Storage;

/// Longest side of a photo that is kept, pixels: enough for any model of faces.
const SIDE_PX: u32 = 400;
/// How much wider than the face a photo is.
const AROUND: f32 = 1.6;
/// JPEG quality: what a model sees must not be what the codec made.
const QUALITY: u8 = 95;

/// A photo that was written.
pub(super) struct Kept {
    /// Name of its file.
    pub(super) file: String,
    /// Five points on it, as JSON.
    pub(super) landmarks: String,
}

/// The file of that name; never one outside of the folder, whatever the row says.
fn path_of(storage: &Storage, file: &str) -> Option<PathBuf> {
    let id = uuid::Uuid::parse_str(file.strip_suffix(".jpg")?).ok()?;
    Some(storage.faces().join(format!("{}.jpg", id.as_hyphenated())))
}

/// Writes the face of a picture.
pub(super) fn keep(storage: &Storage, id: &str, picture: &Picture, face: &Seen) -> Result<Kept> {
    let [left, top, right, bottom] = face.bbox;
    let half = (right - left).max(bottom - top) * AROUND / 2.0;
    let (cx, cy) = ((left + right) / 2.0, (top + bottom) / 2.0);
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let x0 = (cx - half).clamp(0.0, width - 1.0) as u32;
    let y0 = (cy - half).clamp(0.0, height - 1.0) as u32;
    let x1 = ((cx + half).clamp(0.0, width) as u32).max(x0 + 1);
    let y1 = ((cy + half).clamp(0.0, height) as u32).max(y0 + 1);
    let (w, h) = (x1 - x0, y1 - y0);
    let cut = imageops::crop_imm(picture.pixels(), x0, y0, w, h).to_image();
    let scale = (f64::from(SIDE_PX) / f64::from(w.max(h))).min(1.0);
    let side = |px: u32| ((f64::from(px) * scale).round() as u32).max(1);
    let small = match scale < 1.0 {
        true => imageops::resize(&cut, side(w), side(h), FilterType::Triangle),
        false => cut,
    };
    let (sx, sy) = (
        f64::from(small.width()) / f64::from(w),
        f64::from(small.height()) / f64::from(h),
    );
    // Half a pixel is where the first centre is.
    let landmarks: Vec<[f64; 2]> = face
        .landmarks
        .iter()
        .map(|(x, y)| {
            [
                (x + 0.5 - f64::from(x0)) * sx - 0.5,
                (y + 0.5 - f64::from(y0)) * sy - 0.5,
            ]
        })
        .collect();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode_image(&small)
        .map_err(|error| Error::internal("a photo could not be encoded").with_source(error))?;
    let file = format!("{id}.jpg");
    let path = path_of(storage, &file).ok_or_else(|| Error::internal("the id is no UUID"))?;
    write(&path, &jpeg).map_err(|error| Error::io(&path, error))?;
    let landmarks = serde_json::to_string(&landmarks)
        .map_err(|error| Error::internal("points are no JSON").with_source(error))?;
    Ok(Kept { file, landmarks })
}

/// Only its owner reads it.
fn write(path: &std::path::Path, jpeg: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(jpeg)?;
    file.sync_all()
}

/// # Errors
/// `NotFound` when it has gone.
pub(super) fn read(storage: &Storage, file: &str) -> Result<Vec<u8>> {
    let path = path_of(storage, file).ok_or_else(|| Error::not_found("there is no such photo"))?;
    std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found("there is no such photo"),
        _ => Error::io(&path, error),
    })
}

/// Removes a photo; one that has gone is no trouble.
pub(super) fn remove(storage: &Storage, file: &str) {
    let Some(path) = path_of(storage, file) else {
        return;
    };
    match std::fs::remove_file(&path).map_err(|error| Error::io(&path, error)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::error!(%error, "the photo of a face is not removed");
        }
        _ => {}
    }
}

/// The vector that a model makes of a kept photo.
pub(super) fn vector_of(
    storage: &Storage,
    face: &NewFace,
    embedder: &Embedder,
) -> Option<Embedding> {
    let points: Vec<(f64, f64)> = serde_json::from_str(face.landmarks.as_deref()?).ok()?;
    let points: Points = points.try_into().ok()?;
    let jpeg = read(storage, face.photo.as_deref()?).ok()?;
    let picture = Picture::decode(&jpeg).ok()?;
    let portrait = portrait::cut(&picture, &points)?;
    embedder.embed(&portrait.chip).ok()
}
