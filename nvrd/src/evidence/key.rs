//! The pair of keys that signs the chains: made at the first start, the private one readable by its owner alone.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use nvr_base::{Error, Result};

use super::disk;

/// File of the private key, below the folder of the evidence.
pub(super) const PRIVATE: &str = "key.pem";
/// File of the public key.
pub(super) const PUBLIC: &str = "public.pem";

/// The key that signs.
pub(super) struct PrivateKey(SigningKey);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// The key that signatures are checked with; it may be given to anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PrivateKey {
    /// Reads the key of a folder, or makes it from `seed` where there is none yet.
    pub(super) fn load_or_make(
        folder: &Path,
        may_make: bool,
        seed: impl FnOnce() -> Result<[u8; 32]>,
    ) -> Result<Self> {
        let file = folder.join(PRIVATE);
        let key = match std::fs::read_to_string(&file) {
            Ok(text) => SigningKey::from_pkcs8_pem(&text).map_err(|error| {
                Error::precondition(format!(
                    "{}: it is no Ed25519 key ({error}): put it back from a copy, or move the folder {} away to begin \
                     new chains",
                    file.display(),
                    folder.display()
                ))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_make => {
                let key = SigningKey::from_bytes(&seed()?);
                let text = key.to_pkcs8_pem(LineEnding::LF).map_err(unwritable)?;
                write_new(&file, text.as_bytes(), 0o600)?;
                disk::sync_folder(folder)?;
                tracing::info!(
                    "{}: made; keep {PUBLIC} beside it elsewhere too",
                    file.display()
                );
                key
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::precondition(format!(
                    "{}: the key is missing, but there are chains signed with it: put it back from a copy, or move \
                     the folder {} away to begin new chains",
                    file.display(),
                    folder.display()
                )));
            }
            Err(error) => return Err(Error::io(&file, error)),
        };
        let this = Self(key);
        this.publish(folder)?;
        Ok(this)
    }

    /// Writes the public key where it is missing; one that is another key is left for people to look at.
    fn publish(&self, folder: &Path) -> Result<()> {
        let file = folder.join(PUBLIC);
        let public = self.public();
        match PublicKey::read(&file) {
            Ok(found) if found == public => Ok(()),
            Err(error) if error.kind() == nvr_base::ErrorKind::NotFound => {
                write_new(&file, public.to_pem()?.as_bytes(), 0o644)?;
                disk::sync_folder(folder)
            }
            _ => {
                tracing::error!(
                    "{}: it is not the public half of {PRIVATE}; somebody changed one of them",
                    file.display()
                );
                Ok(())
            }
        }
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature of a message, 128 hex digits.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        hex(&self.0.sign(message).to_bytes())
    }

    #[cfg(test)]
    pub(super) fn from_seed(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }
}

impl PublicKey {
    /// Reads a public key in PEM.
    ///
    /// # Errors
    /// `NotFound` when there is no such file, `InvalidArgument` when it holds no Ed25519 public key.
    pub fn read(file: &Path) -> Result<Self> {
        // Anybody may name any file here: a key is far shorter than this.
        let text = disk::read_bounded(file, 64 << 10)?;
        let text = String::from_utf8_lossy(&text);
        Self::from_pem(&text).map_err(|error| {
            Error::invalid(format!(
                "{}: no Ed25519 public key in PEM: {error}",
                file.display()
            ))
        })
    }

    /// The key of a text in PEM.
    ///
    /// # Errors
    /// `InvalidArgument` when it is none.
    pub fn from_pem(text: &str) -> Result<Self> {
        VerifyingKey::from_public_key_pem(text)
            .map(Self)
            .map_err(|error| Error::invalid(error.to_string()))
    }

    /// The key as a text in PEM.
    ///
    /// # Errors
    /// Never with a key that was read or made here.
    pub fn to_pem(&self) -> Result<String> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|error| Error::internal(format!("the public key has no PEM form: {error}")))
    }

    /// Whether a signature, 128 hex digits, is this key's for a message.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Some(bytes) = unhex::<64>(signature) else {
            return false;
        };
        self.0
            .verify_strict(message, &Signature::from_bytes(&bytes))
            .is_ok()
    }
}

fn unwritable(error: ed25519_dalek::pkcs8::Error) -> Error {
    Error::internal(format!("the key has no PEM form: {error}"))
}

fn write_new(file: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        let mut out = options.open(file)?;
        out.write_all(bytes)?;
        out.sync_all()
    };
    write().map_err(|error| Error::io(file, error))
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        })
}

/// Bytes of exactly `N` pairs of hex digits.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_key_is_for_its_owner_and_comes_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let first = PrivateKey::load_or_make(folder.path(), true, || Ok([7; 32])).unwrap();
        let mode = std::fs::metadata(folder.path().join(PRIVATE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let again =
            PrivateKey::load_or_make(folder.path(), false, || panic!("made twice")).unwrap();
        let signature = first.sign(b"message");
        assert_eq!(signature, again.sign(b"message"));
        let public = PublicKey::read(&folder.path().join(PUBLIC)).unwrap();
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        assert!(!public.verifies(b"message", "no hex"));
    }

    #[test]
    fn a_key_that_is_missing_or_damaged_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let error = PrivateKey::load_or_make(folder.path(), false, || Ok([7; 32])).unwrap_err();
        assert!(error.to_string().contains("the key is missing"), "{error}");
        std::fs::write(folder.path().join(PRIVATE), "rubbish").unwrap();
        let error = PrivateKey::load_or_make(folder.path(), true, || Ok([7; 32])).unwrap_err();
        assert!(
            error.to_string().contains("put it back from a copy"),
            "{error}"
        );
    }

    #[test]
    fn hex_goes_both_ways() {
        assert_eq!(hex(&[0, 0xab]), "00ab");
        assert_eq!(unhex::<2>("00aB"), Some([0, 0xab]));
        for bad in ["", "0", "00a", "00abcd", "00ag", "é0a"] {
            assert_eq!(unhex::<2>(bad), None, "{bad}");
        }
    }
}
