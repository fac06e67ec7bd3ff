//! The proof at the end of an export: a box of its own that players skip and that another machine can check.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use nvr_base::{Error, Result};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Kind};
use super::key::{PrivateKey, PublicKey};

/// The type of the box, as the standard has it for boxes of nobody else.
const UUID: &[u8; 16] = b"nvrd-proof-box-1";
/// Length of the header: size, `uuid`, the type.
const HEADER: u64 = 24;
/// The longest box that is read, bytes: as many sources as an export may have, and then some.
const MAX_BOX: u64 = 128 << 20;
/// Goes before everything that is signed here, so that no signature of a chain is one of a proof.
const TAG: &[u8] = b"nvrd-proof-1\n";

/// What an export says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Name of the camera.
    pub camera: String,
    /// Start of what is shown, microseconds since 1970-01-01 UTC.
    pub start_unix_us: i64,
    /// End of what is shown, microseconds since 1970-01-01 UTC.
    pub end_unix_us: i64,
    /// When the export was made, microseconds since 1970-01-01 UTC.
    pub made_unix_us: i64,
    /// The segments it was made of, as the chain has them.
    pub sources: Vec<Source>,
}

/// An entry of a chain, with what is needed to compute its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The link of the entry before, 64 hex digits.
    pub previous: String,
    /// The entry.
    pub entry: Entry,
}

/// The body of the box. What is signed stands in it as a text, so that no two programs can read it differently.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    /// A `Statement` in JSON.
    statement: String,
    /// Ed25519 over a tag and the bytes of `statement`, 128 hex digits.
    signature: String,
    /// The key in PEM, for people; whoever checks brings their own.
    public_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    format: u32,
    /// Length of everything before the box.
    bytes: u64,
    /// BLAKE3 of everything before the box, 64 hex digits.
    blake3: String,
    proof: Proof,
}

/// Adds the box to the end of a complete MP4 and syncs the file.
///
/// # Errors
/// Those of the disk; then the file is as long as before.
pub(super) fn append(path: &Path, proof: &Proof, key: &PrivateKey) -> Result<()> {
    let fail = |error| Error::io(path, error);
    let length = std::fs::metadata(path).map_err(fail)?.len();
    let statement = Statement {
        format: 1,
        bytes: length,
        blake3: nvr_mp4::inspect::hash(path).map_err(fail)?,
        proof: proof.clone(),
    };
    let broken = |error: serde_json::Error| Error::internal(format!("no JSON: {error}"));
    let statement = serde_json::to_string(&statement).map_err(broken)?;
    let signature = key.sign(&[TAG, statement.as_bytes()].concat());
    let public_key = key.public().to_pem()?;
    let body = serde_json::to_vec(&Body {
        statement,
        signature,
        public_key,
    })
    .map_err(broken)?;
    let size = u32::try_from(HEADER + body.len() as u64)
        .ok()
        .filter(|&size| u64::from(size) <= MAX_BOX)
        .ok_or_else(|| {
            Error::exhausted("the proof is too long for its box: export less at once")
        })?;
    let bytes = [&size.to_be_bytes(), b"uuid".as_slice(), UUID, &body].concat();
    let mut file = OpenOptions::new().append(true).open(path).map_err(fail)?;
    if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_all()) {
        file.set_len(length).map_err(fail)?;
        return Err(fail(error));
    }
    Ok(())
}

/// What the check of an export found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What the export says, as far as it can be believed: `None` when nothing can.
    pub proof: Option<Proof>,
    /// What is wrong, each a sentence; none when the export is what was signed.
    pub problems: Vec<String>,
}

/// Checks an export with nothing but the public key of who made it.
///
/// # Errors
/// Only when the file cannot be read; everything that is wrong with it is in the answer.
pub fn check(path: &Path, key: &PublicKey) -> Result<Checked> {
    let fail = |error| Error::io(path, error);
    let bad = |problem: String| {
        Ok(Checked {
            proof: None,
            problems: vec![problem],
        })
    };
    let mut file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    let (start, end) = match find(&mut file, length).map_err(fail)? {
        Ok(place) => place,
        Err(problem) => return bad(problem),
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start + HEADER)).map_err(fail)?;
    (&mut file)
        .take(end - start - HEADER)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    let Ok(body) = serde_json::from_slice::<Body>(&bytes) else {
        return bad("the proof in it cannot be read: it was changed".to_owned());
    };
    if !key.verifies(&[TAG, body.statement.as_bytes()].concat(), &body.signature) {
        let own = PublicKey::from_pem(&body.public_key).ok();
        let other = own.filter(|own| {
            own != key && own.verifies(&[TAG, body.statement.as_bytes()].concat(), &body.signature)
        });
        return bad(match other {
            Some(_) => "the proof in it is signed with another key than the one given".to_owned(),
            None => "the proof in it was changed: its signature is not that of the key".to_owned(),
        });
    }
    let statement: Statement = match serde_json::from_str(&body.statement) {
        Ok(statement) => statement,
        Err(error) => {
            return bad(format!(
                "the proof in it is signed but of a form that this program does not know: {error}"
            ));
        }
    };
    let mut problems = Vec::new();
    if end < length {
        problems.push(format!(
            "{} bytes were added behind the proof",
            length - end
        ));
    }
    problems.extend(problem_of_content(&mut file, start, &statement).map_err(fail)?);
    problems.extend(
        statement
            .proof
            .sources
            .iter()
            .filter_map(|source| problem_of_source(&statement.proof, source, key)),
    );
    Ok(Checked {
        proof: Some(statement.proof),
        problems,
    })
}

/// Start and end of the box, or what is wrong.
fn find(file: &mut File, length: u64) -> io::Result<Result<(u64, u64), String>> {
    let mut at = 0;
    while let Some(left) = length.checked_sub(at).filter(|&left| left > 0) {
        let mut head = [0; HEADER as usize];
        let size = left.min(HEADER);
        let head = &mut head[..usize::try_from(size).expect("24 at most")];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(head)?;
        let word = |from: usize| {
            head.get(from..from + 4)
                .map(|w| <[u8; 4]>::try_from(w).expect("four"))
        };
        let short = word(0).map(u32::from_be_bytes);
        let size = match (short, word(8), word(12)) {
            (Some(1), Some(high), Some(low)) => {
                u64::from(u32::from_be_bytes(high)) << 32 | u64::from(u32::from_be_bytes(low))
            }
            (Some(0), ..) => left,
            (Some(size), ..) => u64::from(size),
            (None, ..) => 0,
        };
        if size < 8 || size > left {
            return Ok(Err(format!(
                "it is cut off or changed: no whole box begins at byte {at}"
            )));
        }
        if word(4) == Some(*b"uuid") && head.get(8..24) == Some(UUID) {
            return Ok(if size < MAX_BOX {
                Ok((at, at + size))
            } else {
                Err("the proof in it is longer than any that is written".to_owned())
            });
        }
        at += size;
    }
    Ok(Err(
        "there is no proof in it: it was not exported with one, or its end was cut off".to_owned(),
    ))
}

fn problem_of_content(
    file: &mut File,
    start: u64,
    statement: &Statement,
) -> io::Result<Option<String>> {
    if start != statement.bytes {
        return Ok(Some(format!(
            "{start} bytes come before the proof, but {} were signed",
            statement.bytes
        )));
    }
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file.take(start))?;
    let found = hasher.finalize().to_hex();
    Ok((found.as_str() != statement.blake3)
        .then(|| "its pictures or sound were changed after it was made".to_owned()))
}

fn problem_of_source(proof: &Proof, source: &Source, key: &PublicKey) -> Option<String> {
    let entry = &source.entry;
    let what = if entry.link_after(&source.previous) != entry.link {
        "is not what its link says"
    } else if !entry.signed_by(key) {
        "is not signed by the key"
    } else if entry.camera != proof.camera || entry.kind != Kind::Segment {
        "is no segment of the camera"
    } else {
        return None;
    };
    Some(format!("the source {} {what}", entry.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(key: &PrivateKey, folder: &Path) -> std::path::PathBuf {
        let path = folder.join("export.mp4");
        let mdat = [&1016_u32.to_be_bytes(), b"mdat".as_slice(), &[7; 1008]].concat();
        let ftyp = [&16_u32.to_be_bytes(), b"ftypisom".as_slice(), &[0; 4]].concat();
        std::fs::write(&path, [ftyp, mdat].concat()).unwrap();
        let entry = Entry {
            seq: 1,
            kind: Kind::Segment,
            at_unix_us: 0,
            camera: "front".to_owned(),
            storage: String::new(),
            path: "front/a.mp4".to_owned(),
            start_unix_us: 0,
            end_unix_us: 10,
            bytes: 5,
            blake3: "00".repeat(32),
            reason: None,
            link: String::new(),
            signature: String::new(),
        };
        let previous = Entry::first_link("front");
        let proof = Proof {
            camera: "front".to_owned(),
            start_unix_us: 0,
            end_unix_us: 10,
            made_unix_us: 20,
            sources: vec![Source {
                entry: entry.seal(&previous, key),
                previous,
            }],
        };
        append(&path, &proof, key).unwrap();
        path
    }

    #[test]
    fn every_byte_of_an_export_is_covered() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_seed(1);
        let path = export(&key, folder.path());
        let checked = check(&path, &key.public()).unwrap();
        assert_eq!(checked.problems, Vec::<String>::new());
        assert_eq!(checked.proof.unwrap().sources.len(), 1);

        let whole = std::fs::read(&path).unwrap();
        // The copy of the key is for people: changing it changes nothing that is proved.
        let public_key = whole.windows(10).position(|w| w == b"public_key").unwrap();
        for at in (0..public_key).step_by(7) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let problems = check(&path, &key.public()).unwrap().problems;
            assert!(!problems.is_empty(), "byte {at} may be changed");
        }
        for length in [0, 5, 1031, 1032, 1040, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let problems = check(&path, &key.public()).unwrap().problems;
            assert!(!problems.is_empty(), "it may be cut to {length}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_seed(1);
        let path = export(&key, folder.path());
        let whole = std::fs::read(&path).unwrap();
        let check = |bytes: &[u8], key: &PrivateKey, expect: &str| {
            std::fs::write(&path, bytes).unwrap();
            let problems = check(&path, &key.public()).unwrap().problems.join("; ");
            assert!(
                problems.contains(expect),
                "{problems:?} does not say {expect:?}"
            );
        };
        check(&whole, &PrivateKey::from_seed(2), "another key");
        let mut changed = whole.clone();
        changed[100] ^= 1;
        check(&changed, &key, "pictures or sound were changed");
        check(&whole[..1032], &key, "there is no proof in it");
        check(
            &[&whole[..], b"\0\0\0\x08free"].concat(),
            &key,
            "8 bytes were added behind",
        );
        check(
            &[b"\0\0\0\x08free", &whole[..]].concat(),
            &key,
            "1040 bytes come before the proof, but 1032",
        );
        check(b"", &key, "there is no proof in it");
        check(&whole[..1000], &key, "no whole box begins at byte 16");
    }
}
