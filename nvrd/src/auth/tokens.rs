//! Signed tokens: HS256 and nothing else, with a key of this daemon's own.
//!
//! A token alone is worth nothing: its session must be there too, so ending a session ends its tokens.

use std::path::Path;
use std::sync::{LazyLock, PoisonError, RwLock};

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation};
use nvr_base::{Error, Result};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::evidence::hex;
use crate::vault::{Keyring, random};

/// File of the keys that sign, below the folder of the keys.
const FILE: &str = "tokens.key";
/// How long a token for requests counts, in seconds.
pub(super) const ACCESS_S: i64 = 30 * 60;
/// How long a token for renewal counts, in seconds.
pub(super) const REFRESH_S: i64 = 30 * 86_400;
/// Age at which a key is replaced, in seconds; the one before it still counts.
const KEY_AGE_S: i64 = 90 * 86_400;
const ISSUER: &str = "nvrd";
/// Longest token that is looked at.
const MAX_BYTES: usize = 4096;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Requests.
    Access,
    /// Renewal.
    Refresh,
}

impl Use {
    fn audience(self) -> &'static str {
        match self {
            Self::Access => "nvrd:api",
            Self::Refresh => "nvrd:refresh",
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    /// Id of the user.
    pub(super) sub: String,
    /// Id of the session.
    pub(super) sid: String,
    /// Its own id, random.
    pub(super) jti: String,
    iat: i64,
    exp: i64,
}

/// Signs and checks tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    ring: RwLock<Keyring>,
}

impl Tokens {
    /// Reads the keys of a folder, or makes one; replaces one that is old.
    ///
    /// # Errors
    /// When the file of the keys cannot be read or made.
    pub(super) fn open_in(folder: &Path, now_unix: i64) -> Result<Self> {
        // A second call changes nothing: there is one provider in this program.
        let _ours = PROVIDER.install_default().is_ok();
        let mut ring = Keyring::load_or_make(&folder.join(FILE), now_unix)?;
        if now_unix.saturating_sub(ring.current().made_unix) > KEY_AGE_S {
            ring.rotate(now_unix)?;
            tracing::info!(
                "the key that signs tokens is a new one; the one before it still counts"
            );
        }
        Ok(Self {
            ring: RwLock::new(ring),
        })
    }

    /// A token, and its own id.
    ///
    /// # Errors
    /// Never, as long as texts are JSON.
    pub(super) fn sign(
        &self,
        wanted: Use,
        user: &str,
        session: &str,
        now_unix: i64,
    ) -> Result<(String, String)> {
        let life = match wanted {
            Use::Access => ACCESS_S,
            Use::Refresh => REFRESH_S,
        };
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: wanted.audience().to_owned(),
            sub: user.to_owned(),
            sid: session.to_owned(),
            jti: hex(&random::<16>()),
            iat: now_unix,
            exp: now_unix.saturating_add(life),
        };
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let key = ring.current();
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key.id.clone());
        let key = EncodingKey::from_secret(&key.bytes);
        let token = jsonwebtoken::encode(&header, &claims, &key)
            .map_err(|error| Error::internal("no token").with_source(error))?;
        Ok((token, claims.jti))
    }

    /// What a token says, if it is one of ours, for this use, and counts now.
    pub(super) fn check(&self, wanted: Use, token: &str, now_unix: i64) -> Option<Claims> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let key = {
            let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
            DecodingKey::from_secret(&ring.find(&kid)?.bytes)
        };
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[wanted.audience()]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would ask the system for the time.
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules)
            .ok()?
            .claims;
        let counts = claims.exp > now_unix && claims.iat <= now_unix.saturating_add(60);
        counts.then_some(claims)
    }
}

static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hs256::signer(*algorithm, key)?)),
    verifier_factory: |algorithm, key| Ok(Box::new(Hs256::verifier(*algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(),
});

/// HMAC with SHA-256; every other algorithm is refused here too.
struct Hs256(hmac::Key);

impl Hs256 {
    fn signer(algorithm: Algorithm, key: &EncodingKey) -> jsonwebtoken::errors::Result<Self> {
        match (algorithm, key.family()) {
            (Algorithm::HS256, AlgorithmFamily::Hmac) => {
                Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))
            }
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        }
    }

    fn verifier(algorithm: Algorithm, key: &DecodingKey) -> jsonwebtoken::errors::Result<Self> {
        match (algorithm, key.family()) {
            (Algorithm::HS256, AlgorithmFamily::Hmac) => Ok(Self(hmac::Key::new(
                hmac::HMAC_SHA256,
                key.try_get_as_bytes()?,
            ))),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        }
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], shown: &Vec<u8>) -> Result<(), signature::Error> {
        // Takes the same time wherever they differ.
        hmac::verify(&self.0, message, shown).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
