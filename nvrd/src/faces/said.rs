//! What may be said about a person: name, category, metadata.

use std::collections::BTreeMap;

use nvr_base::{Error, Result};
use serde_json::Value;

/// Longest name, characters.
const MAX_NAME: usize = 255;
/// Longest category, characters.
const MAX_CATEGORY: usize = 32;
/// Longest metadata, bytes of JSON.
const MAX_METADATA: usize = 8192;

/// A name that a person may have.
///
/// # Errors
/// When it is empty or too long.
pub fn checked_name(name: &str) -> Result<String> {
    let name = name.trim();
    match name.is_empty() || name.chars().count() > MAX_NAME {
        true => Err(Error::invalid(format!(
            "name: use 1 to {MAX_NAME} characters"
        ))),
        false => Ok(name.to_owned()),
    }
}

/// A word that a category may be.
///
/// # Errors
/// When it is empty or too long.
pub fn checked_category(category: &str) -> Result<String> {
    let category = category.trim();
    match category.is_empty() || category.chars().count() > MAX_CATEGORY {
        true => Err(Error::invalid(format!(
            "category: use 1 to {MAX_CATEGORY} characters, employee, visitor, watchlist or vip say"
        ))),
        false => Ok(category.to_owned()),
    }
}

/// Metadata as it is stored.
///
/// # Errors
/// When it is too long.
pub fn checked_metadata(metadata: &BTreeMap<String, Value>) -> Result<String> {
    let text = serde_json::to_string(metadata)
        .map_err(|error| Error::invalid(format!("metadata: {error}")))?;
    match text.len() > MAX_METADATA {
        true => Err(Error::invalid(format!(
            "metadata: use at most {MAX_METADATA} bytes of JSON"
        ))),
        false => Ok(text),
    }
}

/// The metadata of a row.
pub fn metadata_of(text: &str) -> BTreeMap<String, Value> {
    // Whatever stands there was written by `checked_metadata`.
    serde_json::from_str(text).unwrap_or_default()
}
