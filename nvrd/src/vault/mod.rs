//! Secrets at rest: what others store sealed, so that a copy of the database tells no password.
//!
//! The key lies beside the database, in a file for the daemon's user alone. Who has both has everything.

mod keyring;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use nvr_base::{Error, Result, Secret};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

pub use keyring::{Key, Keyring, random};

/// File of the keys that seal, below the folder of the keys.
const FILE: &str = "vault.key";
/// What a sealed text begins with; the number is for the day another way to seal is needed.
const MARK: &str = "nvrd-sealed:1:";

/// Seals texts and opens them again.
#[derive(Debug)]
pub struct Vault {
    ring: Keyring,
}

impl Vault {
    /// Opens the vault of a folder; its key is made where there is none yet.
    ///
    /// # Errors
    /// When the file of the key cannot be read or made.
    pub fn open_in(folder: &Path) -> Result<Self> {
        Ok(Self {
            ring: Keyring::load_or_make(&folder.join(FILE), 0)?,
        })
    }

    /// A text that only this vault opens; the same text is sealed differently each time.
    pub fn seal(&self, text: &str) -> String {
        let key = self.ring.current();
        let nonce: [u8; NONCE_LEN] = random();
        let mut bytes = text.as_bytes().to_vec();
        cipher(key)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(MARK),
                &mut bytes,
            )
            .expect("a text is far shorter than what one key may seal");
        let whole = [&nonce[..], &bytes].concat();
        format!("{MARK}{}:{}", key.id, STANDARD_NO_PAD.encode(whole))
    }

    /// The text that was sealed.
    ///
    /// # Errors
    /// `FailedPrecondition` when another key sealed it, `DataLoss` when it was changed or is no sealed text.
    pub fn open(&self, sealed: &str) -> Result<Secret> {
        let (id, bytes) =
            parts(sealed).ok_or_else(|| Error::data_loss("a stored secret is not sealed"))?;
        let key = self.ring.find(id).ok_or_else(|| {
            Error::precondition(format!(
                "{}: it lacks the key {id:?} that a stored secret was sealed with: put the file back from a copy, or \
                 enter the secret again",
                self.ring.file().display()
            ))
        })?;
        let damaged = || Error::data_loss("a stored secret is damaged: enter it again");
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut rest = rest.to_vec();
        let text = cipher(key)
            .open_in_place(nonce, Aad::from(MARK), &mut rest)
            .map_err(|_| damaged())?;
        let text = std::str::from_utf8(text).map_err(|_| damaged())?;
        Ok(Secret::new(text))
    }

    /// Whether a text is a sealed one, by whatever key.
    pub fn is_sealed(text: &str) -> bool {
        parts(text).is_some()
    }
}

fn cipher(key: &Key) -> LessSafeKey {
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, &key.bytes);
    LessSafeKey::new(unbound.expect("keys have the length of the cipher's"))
}

/// Id of the key, and what follows the mark.
fn parts(text: &str) -> Option<(&str, Vec<u8>)> {
    let (id, body) = text.strip_prefix(MARK)?.split_once(':')?;
    Some((id, STANDARD_NO_PAD.decode(body).ok()?))
}

#[cfg(test)]
mod tests {
    use nvr_base::ErrorKind;

    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_the_same_vault_alone() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open_in(folder.path()).unwrap();
        for text in ["", "hunter2", "pässwörd \u{1f511}", &"x".repeat(10_000)] {
            let sealed = vault.seal(text);
            assert!(Vault::is_sealed(&sealed) && !sealed.contains("hunter2"));
            assert_ne!(sealed, vault.seal(text), "the same text shows as the same");
            let again = Vault::open_in(folder.path()).unwrap();
            assert_eq!(again.open(&sealed).unwrap().expose(), text);
        }
        let other = tempfile::tempdir().unwrap();
        let sealed = vault.seal("hunter2");
        let error = Vault::open_in(other.path())
            .unwrap()
            .open(&sealed)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
        assert!(error.to_string().contains("put the file back"), "{error}");
    }

    #[test]
    fn what_was_changed_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open_in(folder.path()).unwrap();
        let sealed = vault.seal("hunter2");
        let id = vault.ring.current().id.clone();
        let last = if sealed.ends_with('A') { 'E' } else { 'A' };
        let changed = format!("{}{last}", &sealed[..sealed.len() - 1]);
        for bad in [
            "hunter2",
            "",
            MARK,
            &format!("{MARK}{id}:"),
            &format!("{MARK}{id}:AAAA"),
            &changed,
            &sealed[..sealed.len() - 4],
        ] {
            let error = vault.open(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DataLoss, "{bad}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert!(!Vault::is_sealed("hunter2") && !Vault::is_sealed(MARK));
    }

    #[test]
    fn debug_shows_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open_in(folder.path()).unwrap();
        let file = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        let bytes = file.split_whitespace().last().unwrap();
        assert!(!format!("{vault:?}").contains(bytes));
        assert!(!format!("{vault:?}").contains(&format!("{:?}", vault.ring.current().bytes)));
    }
}
