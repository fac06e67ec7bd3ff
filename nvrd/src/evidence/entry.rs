//! One line of a chain: what it says, and how it is linked to the line before and signed.
//!
//! This file alone decides what is hashed and signed; a change of it is a new format with a new tag.

use serde::{Deserialize, Serialize};

use super::key::{PrivateKey, PublicKey, hex};

/// Goes into everything that is hashed or signed, so that no signature means two things.
const TAG: &str = "nvrd-chain-1";

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A segment is on disk.
    Segment,
    /// A segment is gone, by the daemon's own doing.
    Deleted,
    /// A segment is gone or damaged, and not by the daemon's doing.
    Lost,
    /// An old file of the chain is gone, for everything in it was deleted.
    Carry,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Deleted => "deleted",
            Self::Lost => "lost",
            Self::Carry => "carry",
        }
    }
}

/// One line of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its place in the chain of the camera; the first is 1.
    pub seq: u64,
    /// What it is about.
    pub kind: Kind,
    /// When it was written, microseconds since 1970-01-01 UTC.
    pub at_unix_us: i64,
    /// Name of the camera.
    pub camera: String,
    /// Identity of the storage that holds the file; empty for the first one.
    pub storage: String,
    /// The segment's file, relative to the recordings; of a `carry` the file of the chain that went.
    pub path: String,
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC; of a `carry` 0.
    pub start_unix_us: i64,
    /// Wall time of the end of the last picture; of a `carry` 0.
    pub end_unix_us: i64,
    /// Length of the file in bytes; of a `carry` the sequence number of the last entry that went.
    pub bytes: u64,
    /// BLAKE3 of the file, 64 hex digits; of a `carry` the link of the last entry that went.
    pub blake3: String,
    /// Why it was deleted, or how it was found if it did not come from a recorder that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// BLAKE3 over the link before and everything above, 64 hex digits.
    pub link: String,
    /// Ed25519 over the camera and the link, 128 hex digits.
    pub signature: String,
}

impl Entry {
    /// The link of a chain that has no entry yet.
    pub(super) fn first_link(camera: &str) -> String {
        let mut hasher = Fields::new();
        hasher.add(camera);
        hasher.finish()
    }

    /// Fills in link and signature.
    pub(super) fn seal(mut self, previous: &str, key: &PrivateKey) -> Self {
        self.link = self.link_after(previous);
        self.signature = key.sign(&self.signed());
        self
    }

    /// What the link has to be after the link before.
    pub(super) fn link_after(&self, previous: &str) -> String {
        let mut fields = Fields::new();
        fields.add(previous);
        fields.add(&self.seq.to_string());
        fields.add(self.kind.as_str());
        fields.add(&self.at_unix_us.to_string());
        for text in [&self.camera, &self.storage, &self.path] {
            fields.add(text);
        }
        fields.add(&self.start_unix_us.to_string());
        fields.add(&self.end_unix_us.to_string());
        fields.add(&self.bytes.to_string());
        fields.add(&self.blake3);
        fields.add(self.reason.as_deref().unwrap_or(""));
        fields.finish()
    }

    /// Whether the signature is that of a key.
    pub(super) fn signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(&self.signed(), &self.signature)
    }

    fn signed(&self) -> Vec<u8> {
        let mut message = Vec::new();
        for text in [TAG, &self.camera, &self.link] {
            message.extend((text.len() as u64).to_le_bytes());
            message.extend(text.as_bytes());
        }
        message
    }
}

/// Texts hashed one after the other, each after its length as eight bytes, lowest first.
struct Fields(blake3::Hasher);

impl Fields {
    fn new() -> Self {
        let mut this = Self(blake3::Hasher::new());
        this.add(TAG);
        this
    }

    fn add(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn finish(self) -> String {
        hex(self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            seq: 1,
            kind: Kind::Segment,
            at_unix_us: 30,
            camera: "front".to_owned(),
            storage: String::new(),
            path: "front/2026-11-20/a.mp4".to_owned(),
            start_unix_us: 10,
            end_unix_us: 20,
            bytes: 1000,
            blake3: "ab".repeat(32),
            reason: None,
            link: String::new(),
            signature: String::new(),
        }
    }

    #[test]
    fn every_field_and_every_border_between_fields_changes_the_link() {
        let link = entry().link_after("x");
        type Edit = fn(&mut Entry);
        let edits: [Edit; 12] = [
            |e| e.seq = 2,
            |e| e.kind = Kind::Deleted,
            |e| e.at_unix_us = 31,
            |e| e.camera = "back".to_owned(),
            |e| e.storage = "s".to_owned(),
            |e| e.path.push('x'),
            |e| e.start_unix_us = 11,
            |e| e.end_unix_us = 21,
            |e| e.bytes = 1001,
            |e| e.blake3 = "ac".repeat(32),
            |e| e.reason = Some("why".to_owned()),
            |e| {
                // The same characters, parted elsewhere.
                e.camera = "fron".to_owned();
                e.storage = "t".to_owned();
            },
        ];
        let mut links = vec![link, entry().link_after("y")];
        for edit in edits {
            let mut changed = entry();
            edit(&mut changed);
            links.push(changed.link_after("x"));
        }
        let distinct: std::collections::HashSet<&String> = links.iter().collect();
        assert_eq!(distinct.len(), links.len());
    }

    #[test]
    fn a_signature_is_of_one_camera_and_one_key() {
        let key = PrivateKey::from_seed(1);
        let sealed = entry().seal(&Entry::first_link("front"), &key);
        assert!(sealed.signed_by(&key.public()));
        assert!(!sealed.signed_by(&PrivateKey::from_seed(2).public()));
        let mut moved = sealed;
        moved.camera = "back".to_owned();
        assert!(!moved.signed_by(&key.public()));
    }
}
